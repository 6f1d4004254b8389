"""The costs of MD-GAN and FL-GAN beside the formulas of MD-GAN's paper (Tables II and III, B4)."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from coplay.core.text import in_units
from coplay.report import charts
from coplay.report.link_costs import GAMES, GanCosts, LinkCost, costs_of, gan_plays, missing
from coplay.report.parts import Cell, ChartPicture, PageSection, Table
from coplay.report.words import listed, number, words
from coplay.run.result import Result
from coplay.theory import gan_costs as theory
from coplay.theory.gan_costs import Link, Setting

_TITLE = "Costs against the paper's formulas"

_SENT = {
    "exchange/generated": "generated samples",
    "exchange/feedback": "feedback",
    "exchange/swap": "discriminators",
}
"""What is sent, by purpose of the ledger."""


def section(result: Result) -> PageSection | None:
    """Tables of traffic, orders and work, and the ingress over the batch size.

    Args:
        result: The run.

    Returns:
        None for a run of other games. A game whose record lacks what the formulas need is named in
        a sentence.
    """
    if not gan_plays(result):
        return None
    gaps = _gaps(result)
    games = {costs.game: costs for costs in costs_of(result)}
    if not games:
        return PageSection("formulas", _TITLE, gaps, is_empty=True)
    costs = list(games.values())
    setting = costs[0].setting
    text = [_letters(games), _break_even(setting), *gaps]
    tables = [_traffic_table(costs), _orders_table(setting, result.plays), *_work_table(costs)]
    return PageSection("formulas", _TITLE, text, tables, [_picture(setting)], data=_data(costs))


def sentences(result: Result) -> list[str]:
    """Summarise the costs in a line per game, for a terminal.

    A game whose record lacks something has none.
    """
    lines = []
    work = {}
    for costs in costs_of(result):
        sent = [_sent(cost) for cost in costs.links if cost.bytes]
        if sent:
            lines.append(f"{words(costs.game)} sent {listed(sent)}: {_verdict(costs)}")
        work[costs.game] = costs.work.get("a worker")
    md_gan = work.get("md_gan")
    fl_gan = work.get("fl_gan")
    if md_gan and fl_gan:
        share = f"{md_gan / fl_gan:.2f} of the operations"
        lines.append(f"a worker of MD-GAN does {share} of one of FL-GAN for an update")
    return lines


def _sent(cost: LinkCost) -> str:
    text = f"{_purpose(cost.link)} {in_units(cost.bytes)}"
    if cost.classes:
        text += f" ({in_units(cost.classes)} of it classes)"
    return text


def _verdict(costs: GanCosts) -> str:
    if not costs.exact:
        return "workers were lost or late, so the paper's formulas only bound it"
    off = sum(abs(cost.left) for cost in costs.links)
    return f"{off:,} bytes off the paper's formulas" if off else "the paper's formulas, to the byte"


def _purpose(link: Link) -> str:
    return _SENT.get(link.purpose, f"pairs to the {link.receiver}")


def _gaps(result: Result) -> list[str]:
    """A sentence per reason why games cannot be compared with the formulas."""
    games: dict[str, list[str]] = {}
    for play in gan_plays(result):
        reason = missing(result, play)
        if reason:
            games.setdefault(reason, []).append(words(play.name))
    gaps = []
    for reason, names in games.items():
        gaps.append(f"{listed(names)} cannot be compared with the paper's formulas: {reason}.")
    return gaps


def _data(costs: Sequence[GanCosts]) -> dict[str, Any]:
    setting = costs[0].setting
    worker, server = theory.break_even_batch(setting.pair, setting.batches)
    games = {}
    for each in costs:
        games[each.game] = asdict(each) | {"left_bytes": [cost.left for cost in each.links]}
    return {
        "break_even_batch": {"worker": worker, "server": server},
        "games": games,
        "orders": [asdict(order) for order in theory.orders(setting)],
    }


def _picture(setting: Setting) -> ChartPicture:
    pair = setting.pair
    shown = min(setting.batches, 2)
    chart = charts.ingress(pair.sample, pair.both, setting.workers, setting.batch, shown)
    caption = (
        "What arrives in one exchange, by the formulas, over the batch size b; this run's is "
        f"{setting.batch}. MD-GAN's grows with b, FL-GAN's does not. MD-GAN exchanges at every "
        "iteration, FL-GAN every m E / b iterations."
    )
    return ChartPicture("ingress", chart, caption)


# -------------------------------------------------------------------------------- the text


def _letters(games: Mapping[str, GanCosts]) -> str:
    """The values of the letters in this run."""
    setting = next(iter(games.values())).setting
    pair = setting.pair
    letters = [
        f"N = {setting.workers} workers of m = {number(setting.samples)} samples",
        f"batches of b = {setting.batch}",
        f"d = {pair.sample:,} numbers a sample",
        f"|w| = {pair.generator:,} parameters of the generator",
        f"|θ| = {pair.discriminator:,} of a discriminator",
    ]
    md_gan = games.get("md_gan")
    if md_gan is not None:
        letters.append(f"k = {md_gan.setting.batches} generated batches an iteration")
    epochs = []
    iterations = []
    for game, costs in games.items():
        epochs.append(f"{number(costs.setting.epochs)} ({words(game)})")
        iterations.append(f"{costs.iterations:,} ({words(game)})")
    return (
        f"{', '.join(letters)}; E = {listed(epochs)} epochs; I = {listed(iterations)} iterations "
        "up to the last checkpoint."
    )


def _break_even(setting: Setting) -> str:
    pair = setting.pair
    worker, server = theory.break_even_batch(pair, setting.batches)
    sent = min(setting.batches, 2)  # batches that a worker gets, min(k, 2)
    factor = "2 " if sent == 2 else ""
    numbers = sent * setting.samples * pair.sample
    return (
        "An exchange brings a worker less with MD-GAN than with FL-GAN for batches below "
        f"(|w| + |θ|) / ({factor}d) = {worker:,.0f}, and the server for batches below "
        f"(|w| + |θ|) / d = {server:,.0f}. MD-GAN exchanges more often, however: while a worker "
        f"goes through its m samples once, it gets {factor}m d = {numbers:,.0f} numbers, whatever "
        f"b is, and with FL-GAN, E = 1, |w| + |θ| = {pair.both:,}."
    )


# ------------------------------------------------------------------------------ the tables


def _traffic_table(games: Sequence[GanCosts]) -> Table:
    """By kind of link: the formula, what the ledger counted, and the difference that is left."""
    links: list[tuple[GanCosts, LinkCost]] = []
    for costs in games:
        links += [(costs, cost) for cost in costs.links]
    classes = any(cost.classes for _, cost in links)
    others = any(cost.others for _, cost in links)
    header = ["sent", "numbers each", "times", "by the formula"]
    caption = (
        "Bytes over all links of a kind: by the formula, 4 for each number; what the ledger "
        "counted; and the difference that is left."
    )
    if classes:
        header.append("classes")
        caption += " Classes: 8 for each generated sample that was sent, "
        caption += "which the paper does not count."
    if others:
        header.append("beside")
        caption += " Beside: buffers and the optimizer's state that travel with the parameters."
    inexact = [words(costs.game) for costs in games if not costs.exact]
    if inexact:
        caption += (
            f" Workers of {listed(inexact)} were lost or late; of that only the round is on "
            "record, so there the formulas bound what was sent."
        )
    rows = [_traffic_row(costs.game, cost, classes, others) for costs, cost in links]
    return Table([*header, "measured", "left"], rows, caption)


def _traffic_row(game: str, cost: LinkCost, classes: bool, others: bool) -> list[Cell]:
    link = cost.link
    times: Cell = number(link.times)
    if round(cost.times) != link.times:
        times = (number(link.times), f"measured {number(cost.times)}")
    name = (f"{words(game)}: {_purpose(link)}", f"{link.sender} → {link.receiver}")
    row: list[Cell] = [name, link.formula, times, f"{link.bytes:,}"]
    if classes:
        row.append(f"{cost.classes:,}" if cost.classes else "–")
    if others:
        row.append(f"{cost.others:,}" if cost.others else "–")
    left = f"{cost.left:,}".replace("-", "−")
    return [*row, f"{cost.bytes:,}", left]


def _orders_table(setting: Setting, played: Container[str]) -> Table:
    """The paper's Tables II and III in this run's numbers."""
    rows: list[list[Cell]] = []
    for order in theory.orders(setting):
        ratio = "–"
        if order.fl_gan_value and order.md_gan_value:
            ratio = number(order.md_gan_value / order.fl_gan_value, 3)
        fl_gan: Cell = "none"
        if order.fl_gan != "–":
            fl_gan = (number(order.fl_gan_value), order.fl_gan)
        rows.append([order.what, (number(order.md_gan_value), order.md_gan), fl_gan, ratio])
    caption = (
        "The paper's Tables II and III with this run's numbers: operations and numbers. Work and "
        "memory are orders of growth, so they compare and count nothing exactly."
    )
    others = [words(game) for game in GAMES if game not in played]
    if others:
        caption += f" {listed(others)} was not played; its column is what it would cost."
    return Table(["the paper's orders", "MD-GAN", "FL-GAN", "MD-GAN / FL-GAN"], rows, caption)


def _work_table(games: Sequence[GanCosts]) -> list[Table]:
    """Operations per update as counted, beside the paper's orders; empty if none were counted."""
    rows: list[list[Cell]] = []
    for costs in games:
        for role, work in costs.work.items():
            letters, value = _work_order(costs, role)
            name = f"{words(costs.game)}, {role}"
            rows.append([name, number(work), (number(value), letters), number(work / value, 3)])
    if not rows:
        return []
    caption = (
        "Floating-point operations of matrix products and convolutions, forwards and backwards, "
        "per update of the generator, as counted; and how many of them a unit of the paper's order "
        "takes. Averaging pairs has none."
    )
    header = ["work per update", "measured", "the paper's order", "measured / order"]
    return [Table(header, rows, caption)]


def _work_order(costs: GanCosts, role: str) -> tuple[str, float]:
    """The paper's order of the work per update, in letters and in this run's numbers."""
    setting = costs.setting
    pair = setting.pair
    if role == "server":
        numbers = pair.sample * setting.workers + setting.batches * pair.generator
        return "b (d N + k |w|)", setting.batch * numbers
    if costs.game == "md_gan":
        return "b |θ|", setting.batch * pair.discriminator
    return "b (|w| + |θ|)", setting.batch * pair.both
