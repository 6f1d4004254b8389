"""What MD-GAN and FL-GAN cost, measured, beside the formulas of MD-GAN's paper (Tables II and III, B4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from coplay.core.errors import CoplayError
from coplay.core.space import LABEL
from coplay.report import charts
from coplay.report.costs import counted_rounds, in_units
from coplay.report.headline import late, lost
from coplay.report.parts import Cell, PageSection, Picture, Table
from coplay.report.words import listed, number, words
from coplay.run.result import Play, Result, space_from_json
from coplay.theory import gan_costs as costs
from coplay.theory.gan_costs import Link, Pair, Setting

GAMES = ("md_gan", "fl_gan")


@dataclass(frozen=True)
class Measured:
    """What a kind of link was to carry by the formulas, and what the ledger counted on it.

    Args:
        link: By the formulas.
        times: How often something was sent, by the ledger.
        bytes: All that the ledger counted.
        classes: Bytes of generated samples' classes among them.
        others: Bytes of buffers and of optimisers' states that went along.
    """

    link: Link
    times: float
    bytes: int
    classes: int
    others: int

    @property
    def left(self) -> int:
        """Bytes that neither the formula nor what was said to go along explain."""
        return self.bytes - self.link.bytes - self.classes - self.others


@dataclass(frozen=True)
class GanCosts:
    """One game's costs.

    Args:
        game: Its name.
        setting: The letters' values.
        iterations: I so far, up to the last checkpoint.
        links: Traffic.
        work: Floating-point operations per update of the generator, by ``"server"`` and ``"a worker"``; as far as models tell.
        exact: Whether who took part at each iteration is known, so that measured bytes must be those of the formulas.
    """

    game: str
    setting: Setting
    iterations: int
    links: Sequence[Measured]
    work: Mapping[str, float]
    exact: bool


def found(result: Result) -> list[GanCosts]:
    """The costs of every MD-GAN and FL-GAN of a run; empty for a run without, or one that cannot be read any more."""
    told = []
    for name in GAMES:
        play = result.plays.get(name)
        if play is not None and play.rows and play.traffic:
            try:
                told.append(_costs(result, play))
            except CoplayError:  # networks or settings of the run no longer exist
                continue
    return told


def _costs(result: Result, play: Play) -> GanCosts:
    game: Any = result.game(play.name)
    model: Any = result.model()
    names, data = result.players, result.record["data"]
    space = space_from_json(data["space"]).only(data["learned"][names[0]])
    model.setup(space, result.config.seed)
    sizes = {half: model.size(half) for half in ("generator", "discriminator")}
    image, _ = space.image_and_class(any_shape=True)
    pair = Pair(sizes["generator"].parameters, sizes["discriminator"].parameters, space[image].size)
    held = {name: float(data["sizes"][name]) for name in names}
    mean, iterations = sum(held.values()) / len(held), counted_rounds(play) * game.local_steps
    if play.name == "fl_gan":
        setting = Setting(pair, len(names), model.batch, 1, mean, game.average_every_epochs, iterations)
        along = sum(size.buffer_bytes for size in sizes.values()) if game.average_buffers else 0
        links, exact = _fl_gan(result, play, setting, along), not lost(play) and not late(play)
    else:
        k = game.count_of_batches(len(names))
        setting = Setting(pair, len(names), model.batch, k, mean, game.swap_every_epochs or 1.0, iterations)
        along = sizes["discriminator"].buffer_bytes
        if game.optimiser_on_swap == "travel":  # two moments of every parameter, and a count of steps of every tensor
            along += costs.NUMBER_BYTES * (2 * pair.discriminator + sizes["discriminator"].tensors)
        classes = costs.CLASS_BYTES if LABEL in space else 0
        links, exact = _md_gan(result, play, setting, held, along, classes)
    return GanCosts(play.name, setting, iterations, links, _work(result, play, game.local_steps), exact)


def _fl_gan(result: Result, play: Play, s: Setting, along: int) -> list[Measured]:
    found = []
    for link in costs.fl_gan_links(s.pair, s.workers, s.iterations, costs.period(s.batch, s.samples, s.epochs)):
        rows, sent = _ledger(play, result.seats, link)
        found.append(Measured(link, rows, sent, 0, rows * along))
    return found


def _md_gan(
    result: Result, play: Play, s: Setting, held: Mapping[str, float], along: int, classes: int
) -> tuple[list[Measured], bool]:
    """Links, and whether who took part is known of every iteration."""
    game: Any = result.game(play.name)
    there, exact = _living(play, list(held), game.joins, s.iterations)
    moved = sum(first <= s.iterations for first in game.joins.values())  # a copy for each that joins
    for iteration, living in enumerate(there, 1):
        if game.swap_every_epochs and len(living) > 1:
            m = sum(held[name] for name in living) / len(living)
            moved += len(living) if iteration % costs.period(s.batch, m, game.swap_every_epochs) == 0 else 0
    counts = [(len(living), game.count_of_batches(len(living))) for living in there]
    times = max(1, sum(n for n, _ in counts))
    each = {  # rows of the ledger that are sent at a time, classes' bytes of a row, bytes along with it
        "exchange/generated": (s.batch * sum(n * min(k, 2) for n, k in counts) / times, classes, 0),
        "exchange/feedback": (s.batch, 0, 0),
        "exchange/swap": (1, 0, along),
    }
    found = []
    for link in costs.md_gan_links(s.pair, s.batch, counts, moved):
        rows, sent = _ledger(play, result.seats, link)
        at_once, of_class, beside = each[link.purpose]
        found.append(Measured(link, rows / at_once, sent, rows * of_class, rows * beside))
    return found, exact


def _ledger(play: Play, seats: Sequence[str], link: Link) -> tuple[int, int]:
    """Rows and bytes that the ledger counted on a kind of link."""
    rows = sent = 0
    for entry in play.traffic:
        kind = ["server" if entry[end] in seats else "workers" for end in ("sender", "receiver")]
        if entry["purpose"] == link.purpose and kind == [link.sender, link.receiver]:
            rows, sent = rows + entry["samples"], sent + entry["bytes"]
    return rows, sent


def _living(
    play: Play, names: Sequence[str], joins: Mapping[str, int], iterations: int
) -> tuple[list[list[str]], bool]:
    """Who took part in each iteration, and whether that is known: of losses and lateness only the round is on record."""
    leaves = {name: iteration for row in play.rows for name, iteration in row.get("left", {}).items()}
    exact = not late(play) and all(name in leaves for name in lost(play))
    return [
        [name for name in names if joins.get(name, 1) <= iteration < leaves.get(name, iterations + 1)]
        for iteration in range(1, iterations + 1)
    ], exact


def _work(result: Result, play: Play, steps: int) -> dict[str, float]:
    """Operations per update of the generator: of the server, and of a worker as the mean over turns of all workers."""
    sums, turns = {"server": 0.0, "a worker": 0.0}, {"server": 0, "a worker": 0}
    for row in play.rows:
        for name, numbers in row.get("players", {}).items():
            if "flops" in numbers:
                role = "server" if name in result.seats else "a worker"
                sums[role] += numbers["flops"]
                turns[role] += steps
    return {role: sums[role] / turns[role] for role in sums if turns[role]}


# -------------------------------------------------------------------------------------------------------- the page


def section(result: Result) -> PageSection | None:
    """Tables of traffic, orders and work, and the ingress over the batch size; None for a run of other games."""
    told = found(result)
    if not told:
        return None
    setting, games = told[0].setting, {each.game: each for each in told}
    worker, server = costs.break_even_batch(setting.pair, setting.batches)
    text = [_letters(games), _break_even(setting)]
    tables = [_traffic_table(told), _orders_table(setting, games), *_work_table(told)]
    figure = Picture(
        "ingress",
        charts.ingress(setting.pair.sample, setting.pair.both, setting.workers, setting.batch, min(setting.batches, 2)),
        "Bytes that arrive in one exchange over the batch size",
        f"What arrives in one exchange, by the formulas, over the batch size b; this run's is {setting.batch}. MD-GAN's grows "
        "with b, FL-GAN's does not. MD-GAN exchanges at every iteration, FL-GAN every m E / b iterations.",
    )
    data = {
        "break_even_batch": {"worker": worker, "server": server},
        "games": {each.game: asdict(each) | {"left_bytes": [link.left for link in each.links]} for each in told},
        "orders": [asdict(order) for order in costs.orders(setting)],
    }
    return PageSection("formulas", "Costs against the paper's formulas", text, tables, [figure], data=data)


def sentences(result: Result) -> list[str]:
    """The same in a line or two per game, for a terminal."""
    lines = []
    told = found(result)
    for each in told:
        parts = [
            f"{_purpose(m.link)} {in_units(m.bytes)}" + (f" ({in_units(m.classes)} of it classes)" if m.classes else "")
            for m in each.links
            if m.bytes
        ]
        lines.append(f"{words(each.game)} sent {listed(parts)}: {_verdict(each)}" if parts else "")
    work = {each.game: each.work.get("a worker") for each in told}
    if work.get("md_gan") and work.get("fl_gan"):
        share = work["md_gan"] / work["fl_gan"]  # type: ignore[operator]
        lines.append(f"a worker of MD-GAN does {share:.2f} of the operations of one of FL-GAN for an update")
    return [line for line in lines if line]


def _verdict(each: GanCosts) -> str:
    if not each.exact:
        return "workers were lost or late, so the paper's formulas only bound it"
    off = sum(abs(link.left) for link in each.links)
    return f"{off:,} bytes off the paper's formulas" if off else "the paper's formulas, to the byte"


def _purpose(link: Link) -> str:
    kind = {
        "exchange/generated": "generated samples",
        "exchange/feedback": "feedback",
        "exchange/swap": "discriminators",
    }
    return kind.get(link.purpose, f"pairs to the {link.receiver}")


def _letters(games: Mapping[str, GanCosts]) -> str:
    s = next(iter(games.values())).setting
    found = [
        f"N = {s.workers} workers of m = {number(s.samples)} samples", f"batches of b = {s.batch}",
        f"d = {s.pair.sample:,} numbers a sample", f"|w| = {s.pair.generator:,} parameters of the generator",
        f"|θ| = {s.pair.discriminator:,} of a discriminator",
    ]  # fmt: skip
    if "md_gan" in games:
        found.append(f"k = {games['md_gan'].setting.batches} generated batches an iteration")
    epochs = listed(f"{number(c.setting.epochs)} ({words(game)})" for game, c in games.items())
    counts = listed(f"{c.iterations:,} ({words(game)})" for game, c in games.items())
    return f"{', '.join(found)}; E = {epochs} epochs; I = {counts} iterations up to the last checkpoint."


def _break_even(s: Setting) -> str:
    worker, server = costs.break_even_batch(s.pair, s.batches)
    seen, twice = ("2 ", 2) if s.batches > 1 else ("", 1)
    return (
        "An exchange brings a worker less with MD-GAN than with FL-GAN for batches below "
        f"(|w| + |θ|) / ({seen}d) = {worker:,.0f}, and the server for batches below (|w| + |θ|) / d = {server:,.0f}. MD-GAN "
        f"exchanges more often, however: while a worker goes through its m samples once, it gets {seen}m d = "
        f"{twice * s.samples * s.pair.sample:,.0f} numbers, whatever b is, and with FL-GAN, E = 1, |w| + |θ| = {s.pair.both:,}."
    )


def _traffic_table(told: Sequence[GanCosts]) -> Table:
    rows: list[list[Cell]] = []
    classes, beside = (any(getattr(m, of) for each in told for m in each.links) for of in ("classes", "others"))
    for each in told:
        for m in each.links:
            rows.append(
                [
                    (f"{words(each.game)}: {_purpose(m.link)}", f"{m.link.sender} → {m.link.receiver}"),
                    m.link.formula,
                    number(m.link.times)
                    if round(m.times) == m.link.times
                    else (number(m.link.times), f"measured {number(m.times)}"),
                    f"{m.link.bytes:,}",
                    *([f"{m.classes:,}" if m.classes else "–"] if classes else []),
                    *([f"{m.others:,}" if m.others else "–"] if beside else []),
                    f"{m.bytes:,}",
                    f"{m.left:,}".replace("-", "−"),
                ]
            )
    caption = (
        "Bytes over all links of a kind: by the formula, 4 for each number; what the ledger counted; and the difference that is "
        "left."
    )
    if classes:
        caption += " Classes: 8 for each generated sample that was sent, which the paper does not count."
    if beside:
        caption += " Beside: buffers and the optimiser's state that travel with the parameters."
    if not all(each.exact for each in told):
        who = listed(words(each.game) for each in told if not each.exact)
        caption += (
            f" Workers of {who} were lost or late; of that only the round is on record, so there the formulas bound what was "
            "sent."
        )
    extra = (["classes"] if classes else []) + (["beside"] if beside else [])
    return Table(["sent", "numbers each", "times", "by the formula", *extra, "measured", "left"], rows, caption)


def _orders_table(setting: Setting, games: Mapping[str, GanCosts]) -> Table:
    rows: list[list[Cell]] = []
    for order in costs.orders(setting):
        both = order.fl_gan_value and order.md_gan_value
        ratio = number(order.md_gan_value / order.fl_gan_value, 3) if both else "–"
        fl: Cell = "none" if order.fl_gan == "–" else (number(order.fl_gan_value), order.fl_gan)
        rows.append([order.what, (number(order.md_gan_value), order.md_gan), fl, ratio])
    missing = [words(game) for game in GAMES if game not in games]
    beside = f" {listed(missing)} was not played; its column is what it would cost." if missing else ""
    caption = (
        "The paper's Tables II and III with this run's numbers: operations and numbers. Work and memory are orders of growth, "
        f"so they compare and count nothing exactly.{beside}"
    )
    return Table(["the paper's orders", "MD-GAN", "FL-GAN", "MD-GAN / FL-GAN"], rows, caption)


def _work_table(told: Sequence[GanCosts]) -> list[Table]:
    rows: list[list[Cell]] = []
    for each in told:
        s = each.setting
        unit: dict[str, tuple[str, float]] = {
            "server": ("b (d N + k |w|)", s.batch * (s.pair.sample * s.workers + s.batches * s.pair.generator)),
            "a worker": ("b |θ|", s.batch * s.pair.discriminator)
            if each.game == "md_gan"
            else ("b (|w| + |θ|)", s.batch * s.pair.both),
        }
        for role, work in each.work.items():
            order, value = unit[role]
            rows.append([f"{words(each.game)}, {role}", number(work), (number(value), order), number(work / value, 3)])
    if not rows:
        return []
    caption = (
        "Floating-point operations of matrix products and convolutions, forwards and backwards, per update of the generator, as "
        "counted; and how many of them a unit of the paper's order takes. Averaging pairs has none."
    )
    return [Table(["work per update", "measured", "the paper's order", "measured / order"], rows, caption)]
