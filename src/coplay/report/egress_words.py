"""What left a site and what came in, in words: lines for a person, a page for the data officer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coplay.core.text import in_units
from coplay.report.words import listed, number, words
from coplay.run.audit_lines import audit_lines
from coplay.run.egress_records import SiteRecord
from coplay.site import egress
from coplay.site.egress import Line
from coplay.site.ingress import Dropped

NOTHING = "none promised"
"""Where no ε is promised."""

_KINDS = {
    egress.OF_MODEL: "drawn from or reported by its model, which has learned from its rows",
    egress.PARAMETERS: "networks, or what follows from them; the model has learned from its rows",
    egress.OF_ROWS: "computed from rows it learned from, and named in [tell] of its site file",
    egress.MEASURED: "measured on rows it held out, and named in [tell] of its site file",
    egress.PUBLIC: "what the work took; nothing of the rows",
    egress.POST_PROCESSING: "made from what the budget had paid for before",
    egress.CHARGED: "of a model whose learning is charged to the budget",
}


def promise(epsilon: float | None) -> str:
    """Say what is promised.

    Example:
        >>> promise(None), promise(1.5)
        ('none promised', 'ε = 1.5')
    """
    return NOTHING if epsilon is None else f"ε = {number(epsilon)}"


def line_text(line: Line) -> str:
    """Write a line of a record for a terminal."""
    contents = [line.text] if line.text else []
    for part in line.parts:
        variables = ", ".join(part.variables[:8])
        if len(part.variables) > 8:
            variables += f" and {len(part.variables) - 8} more"
        contents.append(
            f"{part.count:,} samples for {part.to} ({variables}; {in_units(part.bytes)})"
        )
    if line.numbers:
        contents.append(f"numbers: {', '.join(line.numbers)}")
    what = "; ".join(contents) or "nothing else"
    if line.what in (egress.MENDED, egress.RELEASE):
        return f"{line.number:>6}  {line.at}  {line.what}: {what}"
    about = f"round {line.round}, {line.request}" if line.request else f"round {line.round}"
    if line.what == egress.LOSS:
        what = f"no answer, but: {what}"
    version = f"model after {line.turns} turns, {promise(line.epsilon)}"
    return f"{line.number:>6}  {line.at}  {about}, to {line.to}: {what} [{version}]"


@dataclass
class _Total:
    """What left for one receiver."""

    messages: int = 0
    samples: int = 0
    bytes: int = 0
    variables: dict[str, None] = field(default_factory=dict)
    kinds: dict[str, None] = field(default_factory=dict)


def _numbers_by_kind(sent: Sequence[Line]) -> dict[str, dict[str, None]]:
    """Return the names of all numbers that left by what they are, each once in order."""
    numbers: dict[str, dict[str, None]] = {}
    for line in sent:
        for name, kind in line.numbers.items():
            numbers.setdefault(kind, {})[name] = None
    return numbers


def _totals(lines: Sequence[Line]) -> dict[str, _Total]:
    """Return what samples left, by receiver."""
    totals: dict[str, _Total] = {}
    for line in lines:
        for part in line.parts:
            total = totals.setdefault(part.to, _Total())
            total.messages += 1
            total.samples += part.count
            total.bytes += part.bytes
            total.variables |= dict.fromkeys(part.variables)
            total.kinds |= dict.fromkeys([part.kind])
    return totals


def summary(record: SiteRecord) -> list[str]:
    """Say in a few lines what a record holds.

    Args:
        record: The record of a site in a game.
    """
    lines = record.lines
    if not lines:
        return [f"{record.title}: nothing is written down"]
    sent = [line for line in lines if line.what not in (egress.MENDED, egress.RELEASE)]
    count = f"{len(sent):,} message{_s(len(sent))}"
    texts = [f"{record.title}: {count} left, {lines[0].at} to {lines[-1].at}"]
    for to, total in _totals(sent).items():
        texts.append(
            f"  to {to}: {total.samples:,} samples in {total.messages:,} messages, "
            f"{in_units(total.bytes)}: {listed(_first(total.variables))}"
        )
    numbers = _numbers_by_kind(sent)
    for kind, names in numbers.items():
        texts.append(f"  numbers {kind}: {listed(words(name) for name in _first(names))}")
    losses = [line for line in sent if line.what == egress.LOSS]
    if losses:
        texts.append(f"  {len(losses)} times it gave no answer, last: {losses[-1].text}")
    for line in lines:
        if line.what == egress.RELEASE:
            texts.append(f"  handed on, {line.at}: {line.text}")
        elif line.what == egress.MENDED:
            texts.append(f"  line {line.number}, {line.at}: {line.text}")
    texts.append(f"  promise: {promise(lines[-1].epsilon)}")
    texts += [f"  {text}" for text in dropped_texts(record.dropped)]
    return texts


def dropped_texts(dropped: Sequence[Dropped]) -> list[str]:
    """Say which portions were dropped, by sender."""
    counts = Counter(each.sender for each in dropped)
    last = {each.sender: each for each in dropped}
    texts = []
    for sender, count in counts.items():
        texts.append(
            f"of {sender} {count} portion{_s(count)} came that were not taken, last in round "
            f"{last[sender].round}: {last[sender].reason}"
        )
    return texts


def page(site: str, records: Sequence[SiteRecord]) -> str:
    """Write the page for the data officer of a site, as Markdown in plain words.

    Args:
        site: The site.
        records: Its records, of every game of the run.
    """
    lines = [
        f"# What left {site}",
        "",
        "Every message is written into a record on this site's own disk before it leaves. This "
        "page sums the record up. No row is sent as such: what leaves are samples that a model "
        "drew, which may repeat what it has learned from, and the numbers named below.",
    ]
    for record in records:
        lines += ["", f"## {words(record.game)}", ""]
        lines += _game_lines(record)
    lines += ["", "## Under which promise", ""]
    lines.append(_promise_text(records))
    lines += ["", "## What the audits say", ""]
    audits = audit_lines(records[0].record.path.parents[1]) if records else []
    nobody = "No audit was made. 'coplay audit RUN' attacks the samples and says what it achieves."
    lines += [f"- {line}" for line in audits] or [nobody]
    lines += ["", "## Whether the record is whole", ""]
    for record in records:
        fault = record.fault()
        lines.append(f"- {_short(fault, record.record.path) if fault else record.verdict}.")
    return "\n".join(lines) + "\n"


def _short(text: str, path: Path) -> str:
    return text.replace(str(path), path.name)


def _game_lines(record: SiteRecord) -> list[str]:
    """Say what left in one game, in sentences."""
    sent = [line for line in record.lines if line.what not in (egress.MENDED, egress.RELEASE)]
    if not sent:
        return ["Nothing is written down."]
    rounds = max(line.round for line in sent)
    lines = [
        f"{len(sent):,} messages left from {sent[0].at} to {sent[-1].at}, in {rounds:,} "
        f"round{_s(rounds)}."
    ]
    for to, total in _totals(sent).items():
        kinds = listed(_KINDS.get(kind, kind) for kind in total.kinds)
        lines.append(
            f"- {to} was sent {total.samples:,} samples ({in_units(total.bytes)}) with "
            f"{listed(_first(total.variables))}: {kinds}."
        )
    numbers = _numbers_by_kind(sent)
    for kind, names in numbers.items():
        listing = listed(words(name) for name in _first(names))
        lines.append(f"- Numbers ({_KINDS.get(kind, kind)}): {listing}.")
    if egress.OF_ROWS not in numbers and egress.MEASURED not in numbers:
        lines.append("- No number that was computed from real rows left.")
    for line in sent:
        if line.what == egress.LOSS:
            lines.append(f"- In round {line.round} it gave no answer, but these words: {line.text}")
    for line in record.lines:
        if line.what == egress.RELEASE:
            lines.append(f"- Handed on at {line.at}: {line.text}.")
    lines += [f"- {text[:1].upper()}{text[1:]}." for text in dropped_texts(record.dropped)]
    return lines


def _promise_text(records: Sequence[SiteRecord]) -> str:
    ends = [record.lines[-1] for record in records if record.lines]
    spent = [line.epsilon for line in ends if line.epsilon is not None]
    if not spent:
        return (
            "None promised: samples of a model that learned from rows may repeat what is in them. "
            "How much an attacker makes of it, audits say in part."
        )
    return (
        f"When something left last, {promise(max(spent))} of the site's budget was spent, for "
        "adding or taking away one unit ([privacy] of its site file). What follows from what was "
        "paid for costs nothing more."
    )


def _first(names: dict[str, None], most: int = 20) -> list[str]:
    """Return the first names, and how many more there are."""
    first = list(names)[:most]
    if len(names) > most:
        first.append(f"{len(names) - most} more")
    return first


def _s(count: int) -> str:
    return "" if count == 1 else "s"
