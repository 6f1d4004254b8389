"""The texts of a new federation: its own file, site files, and what sites propose."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import tomli_w

from coplay.core.measures import MEASURES
from coplay.core.telling import Telling
from coplay.data.words import counted, quoted
from coplay.run.schema import ProposedSection, VariableSection
from coplay.site.conforming import OTHER
from coplay.site.proposed_column import Proposed
from coplay.site.proposing import Proposal

SMALL_CELL = 10
"""Categories with fewer rows are not named."""

Outside = Literal["refuse", "clip", "drop"]
"""What becomes of values outside the agreed ranges."""

FORBIDDEN = re.compile(r"[^A-Za-z0-9_.-]+")
"""What a name may not hold."""


def section_of(variable: Proposed) -> ProposedSection:
    """Return what was proposed as a section of a config; ranges and levels are from data."""
    optional = variable.optional
    if variable.kind == "categorical":
        return ProposedSection(
            kind="categorical", categories=variable.levels, optional=optional, from_data=True
        )
    if variable.kind == "binary":
        return ProposedSection(kind="binary", optional=optional)
    return ProposedSection(
        kind=variable.kind,
        optional=optional,
        low=variable.low,
        high=variable.high,
        unit=variable.unit,
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
    for column, variable in each.keeping(_to_propose(each)).variables.items():
        sections[column] = section_of(variable).model_dump(
            mode="json", exclude_none=True, exclude_defaults=True
        )
    return head + tomli_w.dumps({"name": name, "variables": sections})


def _to_propose(each: Proposal) -> list[str]:
    """Return the columns of one value that a site proposes; a range would show a number."""
    return [name for name, one in each.single.items() if one.variable.kind != "real"]


def single_notes(each: Proposal) -> list[str]:
    """Say which columns of one value a site proposes, and which it does not."""
    proposed = _to_propose(each)
    notes = []
    for name, one in each.single.items():
        if name in proposed:
            notes.append(f"{one.reason}: it becomes a variable if another site has other values")
        else:
            notes.append(f"left out: {one.reason}")
    return notes


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
    values = {
        "title": f"{name}: {', '.join(sites)}" if len(sites) <= 5 else name,
        "name": name,
        "seed": 1,
        "compare": ["isolated"],
        "model": {"name": "autoregressive", "validation": 0.1},
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


@dataclass(frozen=True)
class SiteDraft:
    """What a new site file says.

    Args:
        federation: Name of the federation.
        name: The site.
        table: What was read of its table.
        lacks: Agreed variables that it does not have.
        columns: Column by agreed variable, where their names differ.
        incomplete: Number of rows that are dropped, since a value is missing.
        kept: Number of rows with a missing value that are kept, since the variable is optional.
        tell: What it tells of its rows.
        hold: Whether its messages wait for an approval.
        outside: What becomes of values outside the agreed ranges.
    """

    federation: str
    name: str
    table: Proposal
    lacks: Sequence[str]
    columns: Mapping[str, str] = field(default_factory=dict)
    incomplete: int = 0
    kept: int = 0
    tell: Telling = field(default_factory=lambda: Telling(count="tens", numbers=tuple(MEASURES)))
    hold: bool = False
    outside: Outside = "refuse"

    @classmethod
    def of(cls, federation: str, name: str, table: Proposal, lacks: Sequence[str]) -> Self:
        """Draft the file of a site whose columns are called as the variables are."""
        needed = [key for key, variable in table.variables.items() if not variable.optional]
        dropped = table.incomplete_in(needed)
        kept = table.incomplete_in(table.variables) - dropped
        return cls(federation, name, table, lacks, incomplete=dropped, kept=kept)

    @property
    def lines(self) -> list[str]:
        """What becomes of rows with missing cells, in sentences."""
        lines = []
        of_all = f"of {self.table.rows:,} with missing cells"
        if self.incomplete:
            dropped = counted(self.incomplete, "row")
            lines.append(f"{self.name}: {dropped} {of_all} are dropped (missing in its site file)")
        if self.kept:
            lines.append(
                f"{self.name}: {counted(self.kept, 'row')} {of_all} are kept, since these "
                "variables may be missing (optional)"
            )
        return lines


def site_text(draft: SiteDraft, path: Path) -> str:
    """Return a site's file.

    Args:
        draft: What it says.
        path: Where it is to lie.
    """
    table = draft.table
    source: dict[str, Any] = {
        "name": "table",
        "file": os.path.relpath(table.path.resolve(), path.resolve().parent),
        **table.reading,
    }
    if draft.incomplete:
        source["missing"] = "drop rows"
    if draft.incomplete or draft.kept:
        source["missing_marks"] = list(table.missing_marks)
    data: dict[str, Any] = {"lacks": list(draft.lacks), "source": source}
    if draft.outside != "refuse":
        data["outside"] = draft.outside
    if draft.columns:
        data["columns"] = dict(draft.columns)
    if table.unit is not None:
        data = {"unit": table.unit, **data}
    values: dict[str, Any] = {"federation": draft.federation, "name": draft.name}
    if draft.hold:
        values["hold"] = True
    head = tomli_w.dumps({**values, "data": data})
    tell = draft.tell.model_dump(mode="json", exclude_defaults=True, exclude={"count", "numbers"})
    tell |= {"count": draft.tell.count, "numbers": list(draft.tell.numbers)}
    if draft.tell.numbers:
        advice = "# Take a name out, and that number stays on the site's own page.\n"
    else:
        advice = f"# No number does. Those that may be named: {', '.join(MEASURES)}.\n"
    return (
        f"# What the site {quoted(draft.name)} decides for itself; paths are taken from this "
        f"folder.\n{head}\n"
        "# What leaves this site of what is computed from its rows, beside samples of its model.\n"
        f"{advice}{tomli_w.dumps({'tell': tell})}"
    )
