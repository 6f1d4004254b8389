"""The texts of a new federation: its own file, site files, and what sites propose."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from coplay.core.measures import MEASURES
from coplay.data.words import quoted
from coplay.run.schema import VariableSection
from coplay.site.conforming import OTHER
from coplay.site.proposing import Proposal, Proposed

SMALL_CELL = 10
"""Categories with fewer rows are not named."""

FORBIDDEN = re.compile(r"[^A-Za-z0-9_.-]+")
"""What a name may not hold."""


def section_of(variable: Proposed) -> VariableSection:
    """Return what was proposed as a section of a config; ranges and levels are from data."""
    if variable.kind == "categorical":
        return VariableSection(kind="categorical", categories=variable.levels, from_data=True)
    if variable.kind == "binary":
        return VariableSection(kind="binary")
    return VariableSection(
        kind=variable.kind,
        low=variable.low,
        high=variable.high,
        from_data=variable.low is not None or variable.high is not None,
    )


def proposal_text(name: str, each: Proposal) -> str:
    """Return what a site proposes, to be looked over before it leaves."""
    head = (
        f'# What the site "{name}" proposes. Look it over: this file is meant to leave the site.\n'
        "# It holds names of columns, their kinds, ranges rounded outwards to two digits, and\n"
        f"# categories with {SMALL_CELL} rows or more; all others are {quoted(OTHER)}. No counts.\n"
    )
    sections = {}
    for column, variable in each.variables.items():
        sections[column] = section_of(variable).model_dump(
            mode="json", exclude_none=True, exclude_defaults=True
        )
    return head + tomli_w.dumps({"name": name, "variables": sections})


def federation_text(
    name: str,
    variables: Mapping[str, VariableSection],
    sites: Sequence[str],
    target: str | None,
    has_site_files: bool = True,
) -> str:
    """Return a federation's file; with the paths of site files where they lie here."""
    sections = {
        key: section.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        for key, section in variables.items()
    }
    players: dict[str, dict[str, str]] = {site: {} for site in sites}
    head = "# A federation: what its sites agreed on. "
    if has_site_files:
        players = {site: {"site": f"{site}/site.toml"} for site in sites}
        head += "The paths of site files stand here for\n# simulations only. "
    head += (
        "Variables with from_data = true have\n# ranges or categories that were read off "
        "somebody's data.\n"
    )
    measure: dict[str, Any] = {"samples": 1000, "every_rounds": 4}
    if target is not None:
        measure["target"] = target
    model: dict[str, Any] = {"name": "conditionals", "hidden": 32}
    if len(variables) == 1:  # there is no other variable that it could depend on
        model["latents"] = {"latent": 4}
    values = {
        "title": f"{name}: {', '.join(sites)}" if len(sites) <= 5 else name,
        "name": name,
        "seed": 1,
        "compare": ["isolated"],
        "model": model,
        "game": {
            "name": "sample_exchange",
            "rounds": 8,
            "own_rounds": 2,
            "local_steps": 60,
            "own_weight": 0.5,
        },
        "measure": measure,
        "players": players,
        "variables": sections,
    }
    return head + tomli_w.dumps(values)


def site_text(
    federation: str,
    name: str,
    path: Path,
    each: Proposal,
    variables: Mapping[str, VariableSection],
) -> str:
    """Return a site's file."""
    source: dict[str, Any] = {
        "name": "table",
        "file": os.path.relpath(each.path.resolve(), path.resolve().parent),
        **each.reading,
    }
    if each.incomplete:
        source["missing"] = "drop rows"
        source["missing_marks"] = ["NA", "?", "N/A", "null", "NaN"]
    lacks = [variable for variable in variables if variable not in each.variables]
    data: dict[str, Any] = {"lacks": lacks, "source": source}
    if each.unit is not None:
        data = {"unit": each.unit, **data}
    head = tomli_w.dumps({"federation": federation, "name": name, "data": data})
    tell = tomli_w.dumps({"tell": {"count": "tens", "numbers": list(MEASURES)}})
    return (
        f"# What the site {quoted(name)} decides for itself; paths are taken from this folder.\n"
        f"{head}\n"
        "# What leaves this site of what is computed from its rows. Take a name out, and that\n"
        "# number stays on the site's own page.\n"
        f"{tell}"
    )
