"""Audits in tables: each number with its interval, what chance gives, and what it can show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from coplay.report.parts import PageSection, Table
from coplay.report.words import sentence_case, words
from coplay.run.auditing import SMOKE_ALARM, PlayerAudit
from coplay.site.audits.auditing import Report
from coplay.site.audits.base import Figure
from coplay.site.audits.in_play import RoundAudit

HEADER = ("attack", "number", "value", "95 % interval", "chance", "members", "controls", "verdict")


def audit_table(report: Report) -> Table:
    """Return every number of an audit, one a row."""
    rows = []
    for figure in report.figures:
        rows.append(
            [
                _attack(figure),
                figure.name,
                f"{figure.value:.3f}",
                _interval(figure),
                f"{figure.chance:g}",
                _count(figure.hits, figure.n),
                _count(figure.hits_control, figure.n_control),
                _verdict(figure),
            ]
        )
    return Table(HEADER, rows)


def rounds_table(audits: Sequence[RoundAudit]) -> Table:
    """Return the numbers of several rounds, one round a row; columns of a table are left out."""
    names: dict[tuple[str, str], None] = {}
    for each in audits:
        for figure in each.report.figures:
            if figure.of == "" or "worst" in figure.attack:
                names[figure.attack, figure.name] = None
    rows = []
    for each in audits:
        by_name = {(figure.attack, figure.name): figure for figure in each.report.figures}
        cells = [words(each.game), str(each.round), f"{each.report.samples:,}"]
        for name in names:
            figure_there = by_name.get(name)
            cells.append("–" if figure_there is None else _cell(figure_there))
        rows.append(cells)
    header = ["game", "round", "samples", *(f"{attack}: {name}" for attack, name in names)]
    caption = (
        "In brackets: 95 % intervals; ! marks one that lies above chance, or a bound on ε above "
        "what is promised."
    )
    return Table(header, rows, caption=caption)


def meanings(reports: Sequence[Report]) -> list[str]:
    """Say what each kind of number can and cannot show, once each, from the last report on."""
    sentences: dict[str, str] = {}
    for report in reports[::-1]:
        for figure in report.figures:
            what = f"{figure.attack}, {figure.name}"
            sentences.setdefault(what, f"{what}: {figure.meaning}.")
    return list(sentences.values())


def audit_section(rounds: Sequence[RoundAudit], after: Sequence[PlayerAudit]) -> PageSection:
    """Return the part of a site's page on its audits: of rounds, and those made afterwards.

    Args:
        rounds: Audits in play.
        after: Audits of ``coplay audit``.
    """
    title = "Audits: what samples keep of your rows"
    if not rounds and not after:
        text = [
            "Nothing was audited: [audit] every_rounds in your site file does so in play, and "
            "'coplay audit RUN' afterwards.",
            f"{sentence_case(SMOKE_ALARM)}.",
        ]
        return PageSection("audits", title, text, is_empty=True)
    text = [
        "With samples of your model, rows that it learned from are attacked, and so are control "
        "rows that were held out before anything was learned.",
        f"{sentence_case(SMOKE_ALARM)}.",
    ]
    tables = []
    if rounds:
        tables.append(rounds_table(rounds))
    for each in after:
        caption = f"After {words(each.game)}, {each.report.samples:,} samples."
        tables.append(replace(audit_table(each.report), caption=caption))
    reports = [each.report for each in rounds] + [each.report for each in after]
    reasons: dict[str, None] = {}
    for report in reports:
        reasons |= dict.fromkeys(f"not tried: {reason}." for reason in report.reasons)
    return PageSection("audits", title, text, tables, points=[*meanings(reports), *reasons])


def _attack(figure: Figure) -> str:
    return f"{figure.attack}: {figure.of}" if figure.of else figure.attack


def _interval(figure: Figure) -> str:
    if figure.high is None:
        return f"from {figure.low:.3f}"
    return f"{figure.low:.3f} to {figure.high:.3f}"


def _cell(figure: Figure) -> str:
    mark = "!" if figure.is_alarming else ""
    if figure.promised is not None:
        mark = "!" if figure.breaks_promise else ""
    if figure.high is None:
        return f"{figure.value:.2f}{mark}"
    return f"{figure.value:.2f}{mark} [{figure.low:.2f}, {figure.high:.2f}]"


def _count(hits: int | None, n: int) -> str:
    return f"{n:,}" if hits is None else f"{hits:,} of {n:,}"


def _verdict(figure: Figure) -> str:
    if figure.promised is not None:
        how = "refutes" if figure.breaks_promise else "does not refute"
        return f"{how} the promise of ε = {figure.promised:g}"
    return "above chance" if figure.is_alarming else "not above"
