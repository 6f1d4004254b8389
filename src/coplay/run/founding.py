"""A new federation: one schema of what several sites hold, and the files that play it."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from coplay.core import storage
from coplay.core.components import nearest
from coplay.core.errors import ConfigError
from coplay.data.tables.formats import stem
from coplay.data.words import counted, quoted, some
from coplay.run.founding_notes import perhaps_one
from coplay.run.founding_texts import (
    FORBIDDEN,
    SMALL_CELL,
    SiteDraft,
    federation_text,
    site_text,
)
from coplay.run.one_schema import United, sections_of, single_of, united
from coplay.run.schema import ProposedSection, VariableSection
from coplay.run.unlike_units import proposed_ranges, unlike_units
from coplay.site.proposed_column import Proposed
from coplay.site.proposing import Single, proposal, summary

_TARGETS = ("target", "label", "class", "outcome", "diagnosis", "y", "num", "income")


@dataclass
class Founding:
    """Files of a new federation.

    Args:
        texts: Contents by path.
        lines: What was decided, a sentence a line.
    """

    texts: Mapping[Path, str]
    lines: list[str] = field(default_factory=list)

    @property
    def files(self) -> list[Path]:
        """The files, the federation's first."""
        return list(self.texts)

    def write(self) -> None:
        """Write the files.

        Raises:
            ConfigError: One of them exists; nothing is written then.
        """
        there = [str(path) for path in self.texts if path.exists()]
        if there:
            raise ConfigError(
                [f"{', '.join(there)}: exists already; name another folder with --out"]
            )
        written = []
        try:
            for path, text in self.texts.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                written.append(path)
                storage.write_atomically(path, text.encode())
        except BaseException:  # half a federation would be in the way of the next attempt
            for path in written:
                path.unlink(missing_ok=True)
            raise


def from_tables(
    files: Sequence[Path],
    out: Path,
    target: str | None,
    unit: str | None,
    missing_marks: Sequence[str] = (),
) -> Founding:
    """Found a federation on tables that lie here, one a site.

    Args:
        files: The tables.
        out: The folder to write to.
        target: The variable to be predicted; None to guess it.
        unit: The column that names what a row belongs to; None to guess it.
        missing_marks: Cells that stand for a missing value, beside the usual ones.

    Raises:
        ConfigError: The tables do not fit each other, or two are called alike.
        DataError: One of them cannot be read.
    """
    if len(files) < 2:
        raise ConfigError(
            [f"init --from {files[0]}: expected two tables or more, one a site; got one"]
        )
    names = site_names(files)
    proposals = {}
    for name, path in zip(names, files, strict=True):
        proposals[name] = proposal(path, SMALL_CELL, unit, missing_marks)
    schema = united(
        {name: each.variables for name, each in proposals.items()},
        {name: each.single for name, each in proposals.items()},
        {name: each.level_counts for name, each in proposals.items()},
    )
    proposals = {name: each.keeping(schema.kept[name]) for name, each in proposals.items()}
    proposed = {name: each.variables for name, each in proposals.items()}
    chosen, why = _target(schema, target)
    lines = [*summary(list(proposals.values()))]
    for name, each in proposals.items():
        lines += [f"{name}: {note}" for note in each.notes]
        lines += [
            f"{name}: it lacks {quoted(column)}, which has no value there"
            for column in each.empty
            if column in schema.variables
        ]
    lines += [*schema.notes, *perhaps_one(proposed), *unlike_units(proposed_ranges(proposed)), why]
    variables = sections_of(schema)
    lines += _said_of_variables(variables, names)
    called = _name_of(out)
    texts = {out / "federation.toml": federation_text(called, variables, names, chosen)}
    for name, each in proposals.items():
        path = out / name / "site.toml"
        draft = SiteDraft.of(called, name, each, [v for v in variables if v not in each.variables])
        texts[path] = site_text(draft, path)
        lines += draft.lines
    return Founding(texts, lines)


def from_proposals(files: Sequence[Path], out: Path, target: str | None) -> Founding:
    """Found a federation on what its sites propose.

    Args:
        files: What ``coplay site propose`` wrote.
        out: The folder to write to.
        target: The variable to be predicted; None to guess it.

    Raises:
        ConfigError: The proposals cannot be read, or do not fit each other.
    """
    names = []
    proposed: dict[str, dict[str, Proposed]] = {}
    single: dict[str, dict[str, Single]] = {}
    units: dict[tuple[str, str], str] = {}
    for path in files:
        name, variables = read_proposal(path)
        if name in proposed:
            raise ConfigError([f"{path}: there is another proposal of a site {name!r}"])
        names.append(name)
        proposed[name] = {}
        single[name] = {}
        for key, section in variables.items():
            variable = _as_proposed(section)
            if variable.kind == "categorical" and len(variable.levels) == 1:
                single[name][key] = single_of(key, variable)
            else:
                proposed[name][key] = variable
        units |= {(name, key): section.unit for key, section in variables.items()}
    schema = united(proposed, single)
    _check_units(units)
    chosen, why = _target(schema, target)
    for name, kept in schema.kept.items():
        proposed[name] |= {key: single[name][key].variable for key in kept}
    sections = sections_of(schema)
    text = federation_text(_name_of(out), sections, names, chosen, has_site_files=False)
    notes = [*schema.notes, *perhaps_one(proposed), *unlike_units(proposed_ranges(proposed))]
    lines = [*notes, why, *_said_of_variables(sections, names)]
    return Founding({out / "federation.toml": text}, lines)


def _name_of(out: Path) -> str:
    """Return a federation's name, after its folder."""
    return FORBIDDEN.sub("_", out.resolve().name).strip("_.-") or "federation"


def read_proposal(path: Path) -> tuple[str, dict[str, ProposedSection]]:
    """Read what a site proposes.

    Raises:
        ConfigError: It cannot be read, or is no proposal.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError([f"{path} is no proposal that can be read: {error}"]) from None
    name, variables = values.get("name"), values.get("variables")
    if not isinstance(name, str) or not isinstance(variables, dict) or not variables:
        raise ConfigError(
            [
                f"{path}: expected a proposal with a name and [variables]; 'coplay site propose' "
                "writes one"
            ]
        )
    sections = {}
    faults = []
    for key, section in variables.items():
        try:
            sections[key] = ProposedSection.model_validate(section)
        except ValidationError as error:
            text = error.errors()[0]["msg"].removeprefix("Value error, ")
            faults.append(f"{path}: variables.{key}: {text}")
    if faults:
        raise ConfigError(faults)
    return name, sections


def site_names(files: Sequence[Path]) -> list[str]:
    """Return a name for each site, after its file.

    Raises:
        ConfigError: Two would have one name.

    Example:
        >>> site_names([Path("a/north east.csv"), Path("b/south.csv")])
        ['north_east', 'south']
    """
    names = []
    for path in files:
        names.append(FORBIDDEN.sub("_", stem(path)).strip("_.-") or "site")
    if len(set(names)) < len(names):  # files of one name in several folders
        names = [
            FORBIDDEN.sub("_", f"{path.resolve().parent.name}_{stem(path)}").strip("_.-")
            for path in files
        ]
    doubled = [name for name, count in Counter(names).items() if count > 1]
    if doubled:
        raise ConfigError([f"two tables would be the site {doubled[0]!r}; rename one of them"])
    return names


def _as_proposed(section: ProposedSection) -> Proposed:
    levels = section.categories or ()
    unit = section.unit if section.kind == "real" else ""
    return Proposed(section.kind, section.low, section.high, levels, section.optional, unit)


def _check_units(units: Mapping[tuple[str, str], str]) -> None:
    """Refuse variables that sites measure in unlike units.

    Raises:
        ConfigError: There are some.
    """
    by_variable: dict[str, dict[str, str]] = {}
    for (site, name), unit in units.items():
        by_variable.setdefault(name, {})[site] = unit
    faults = []
    for name, by_site in by_variable.items():
        if len(set(by_site.values())) > 1:
            listed = ", ".join(f"{unit or 'none'} at {site}" for site, unit in by_site.items())
            faults.append(f"{quoted(name)} has unlike units: {listed}")
    if faults:
        raise ConfigError(faults)


def _target(schema: United, target: str | None) -> tuple[str | None, str]:
    """Return the variable to be predicted, and how it came to be.

    Raises:
        ConfigError: There is no such variable.
    """
    variables = schema.variables
    if target is not None:
        if target in schema.left_out:
            raise ConfigError([f"--target {target}: {schema.left_out[target]}"])
        if target not in variables:
            known = some(nearest(target, variables).split(", "), 12)
            raise ConfigError(
                [f"--target {target}: no such variable; known, nearest first: {known}"]
            )
        return target, f"target: {target}"
    for name, variable in variables.items():
        words = FORBIDDEN.sub("_", name.lower()).split("_")
        if set(words) & set(_TARGETS) and variable.kind in ("categorical", "binary"):
            return name, f"target: {name}, by its name; --target names another"
    return None, "target: none was named, so it is not measured of what use samples are (--target)"


def _said_of_variables(variables: Mapping[str, VariableSection], names: Sequence[str]) -> list[str]:
    """Say what was read off the data, and what that means."""
    read_off = [name for name, section in variables.items() if section.from_data]
    count = counted(len(variables), "variable")
    called = [" ".join(name.split()) for name in variables]  # a name may hold a line break
    lines = [f"{count} for {counted(len(names), 'site')}: {some(called, 8)}"]
    if read_off:
        lines.append(
            f"ranges and categories of {counted(len(read_off), 'variable')} were read off the data "
            "(from_data = true); write in what is known without them where privacy counts"
        )
    return lines
