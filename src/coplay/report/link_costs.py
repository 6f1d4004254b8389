"""The counted costs of MD-GAN and FL-GAN in a run, beside the formulas of MD-GAN's paper (B4).

Everything is read from the run's record: no model is built. The letters N, b, k, d, m, E, I, |w|
and |θ| are those of :mod:`coplay.theory.gan_costs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coplay.core.errors import CoplayError
from coplay.core.space import Space
from coplay.run.play import Play
from coplay.run.result import Result
from coplay.theory import gan_costs as theory
from coplay.theory.gan_costs import Link, Pair, Setting

GAMES = ("md_gan", "fl_gan")
"""Games that the formulas are about."""


@dataclass(frozen=True)
class LinkCost:
    """What a kind of link was to carry by the formulas, and what the ledger counted on it.

    Args:
        link: By the formulas.
        times: How often something was sent, by the ledger.
        bytes: All that the ledger counted.
        classes: Bytes of generated samples' classes among them.
        others: Bytes of buffers and of optimizers' states that went along.
    """

    link: Link
    times: float
    bytes: int
    classes: int
    others: int

    @property
    def left(self) -> int:
        """Bytes that neither the formula nor what went along explain."""
        return self.bytes - self.link.bytes - self.classes - self.others


@dataclass(frozen=True)
class GanCosts:
    """One game's costs.

    Args:
        game: Its name.
        setting: The letters' values.
        iterations: I so far, up to the last checkpoint.
        links: Traffic.
        work: Floating-point operations per update of the generator, by ``"server"`` and
            ``"a worker"``; empty where models do not count them.
        exact: Whether the record names the workers of each iteration, so that the counted bytes
            must be those of the formulas.
    """

    game: str
    setting: Setting
    iterations: int
    links: Sequence[LinkCost]
    work: Mapping[str, float]
    exact: bool


def gan_plays(result: Result) -> list[Play]:
    """The games of a run that the formulas are about, MD-GAN first."""
    return [result.plays[name] for name in GAMES if name in result.plays]


def missing(result: Result, play: Play) -> str:
    """Say what a game's record lacks for a comparison with the formulas; empty if nothing."""
    if not play.rows or not play.traffic:
        return "no traffic is on record"
    if not result.record.games[play.name].network_sizes:
        return "sizes of networks are not on record"
    if any(name not in result.record.data.sizes for name in result.players):
        return "not all players tell how many samples they have"
    try:
        result.game(play.name)
        if _batch(result) is None:
            return "the model's batch size is not on record"
    except CoplayError:
        return "the settings of the run are no longer valid"
    return ""


def _batch(result: Result) -> int | None:
    """Return the batch size b, also of a model whose class is not coplay's and was not imported."""
    model: Any = result.config.model
    batch = getattr(model, "class_settings", {}).get("batch", getattr(model, "batch", None))
    return batch if isinstance(batch, int) else None


def costs_of(result: Result) -> list[GanCosts]:
    """The costs of every MD-GAN and FL-GAN of a run, except where the record lacks something.

    Args:
        result: The run. :func:`missing` says what its games lack.

    Example:
        ``[link.left for link in costs_of(Result.load("runs/md_gan"))[0].links]``
    """
    costs = []
    for play in gan_plays(result):
        if missing(result, play):
            continue
        count = _fl_gan if play.name == "fl_gan" else _md_gan
        costs.append(count(result, play))
    return costs


def _setting(result: Result, play: Play, batches: int, epochs: float) -> Setting:
    record = result.record
    sizes = record.games[play.name].network_sizes
    names = result.players
    space = _space(result)
    image, _ = space.image_and_class(any_shape=True)
    pair = Pair(
        generator=sizes["generator"].parameters,
        discriminator=sizes["discriminator"].parameters,
        sample=space[image].size,
    )
    game: Any = result.game(play.name)
    return Setting(
        pair,
        workers=len(names),
        batch=_batch(result) or 1,
        batches=batches,
        samples=_mean_samples(result, names),
        epochs=epochs,
        iterations=play.counted_rounds * game.local_steps,
    )


def _space(result: Result) -> Space:
    """Return the variables that the GAN learns; they are the same for all players."""
    data = result.record.data
    return data.space.only(data.learned[result.players[0]])


def _mean_samples(result: Result, names: Sequence[str]) -> float:
    """Return m, the mean number of private samples of some players."""
    return sum(result.record.data.sizes[name] for name in names) / len(names)


def _ledger(play: Play, seats: Sequence[str], link: Link) -> tuple[int, int]:
    """Return the rows and bytes that the ledger counted on a kind of link."""
    rows = 0
    sent = 0
    for entry in play.traffic:
        sender = "server" if entry.sender in seats else "workers"
        receiver = "server" if entry.receiver in seats else "workers"
        if (entry.purpose, sender, receiver) == (link.purpose, link.sender, link.receiver):
            rows += entry.samples
            sent += entry.bytes
    return rows, sent


def _work(result: Result, play: Play) -> dict[str, float]:
    """Return operations per update of the generator, by role; the mean over all turns."""
    game: Any = result.game(play.name)
    sums = {"server": 0.0, "a worker": 0.0}
    turns = dict.fromkeys(sums, 0)
    for row in play.rows:
        for name, numbers in row.players.items():
            if "flops" in numbers:
                role = "server" if name in result.seats else "a worker"
                sums[role] += numbers["flops"]
                turns[role] += game.local_steps
    return {role: sums[role] / turns[role] for role in sums if turns[role]}


# ---------------------------------------------------------------------------------- FL-GAN


def _fl_gan(result: Result, play: Play) -> GanCosts:
    game: Any = result.game(play.name)
    setting = _setting(result, play, batches=1, epochs=game.average_every_epochs)
    others = 0
    if game.average_buffers:
        sizes = result.record.games[play.name].network_sizes
        others = sum(size.buffer_bytes for size in sizes.values())
    every = theory.period(setting.batch, setting.samples, setting.epochs)
    links = []
    for link in theory.fl_gan_links(setting.pair, setting.workers, setting.iterations, every):
        rows, sent = _ledger(play, result.seats, link)
        links.append(LinkCost(link, times=rows, bytes=sent, classes=0, others=rows * others))
    exact = not play.lost and not play.late
    return GanCosts(play.name, setting, setting.iterations, links, _work(result, play), exact)


# ---------------------------------------------------------------------------------- MD-GAN


@dataclass(frozen=True)
class _Row:
    """How the ledger counts what is sent at a time.

    Args:
        at_once: Rows of the ledger that are sent at a time.
        classes: Bytes of a sample's class in each row.
        others: Bytes beside the formula's numbers in each row.
    """

    at_once: float = 1.0
    classes: int = 0
    others: int = 0


def _md_gan(result: Result, play: Play) -> GanCosts:
    game: Any = result.game(play.name)
    setting = _setting(
        result,
        play,
        batches=game.count_of_batches(len(result.players)),
        epochs=game.swap_every_epochs or 1.0,
    )
    leaves = _leaves(play)
    living = _living(result, play, leaves, setting.iterations)
    counts = [(len(names), game.count_of_batches(len(names))) for names in living]
    moved = _moved_discriminators(result, play, living)
    rows_of = _ledger_rows(result, play, setting, counts)
    links = []
    for link in theory.md_gan_links(setting.pair, setting.batch, counts, moved):
        rows, sent = _ledger(play, result.seats, link)
        row = rows_of[link.purpose]
        cost = LinkCost(link, rows / row.at_once, sent, rows * row.classes, rows * row.others)
        links.append(cost)
    # of losses and lateness only the round is on record, not the iteration
    exact = not play.late and all(name in leaves for name in play.lost)
    return GanCosts(play.name, setting, setting.iterations, links, _work(result, play), exact)


def _leaves(play: Play) -> dict[str, int]:
    """The iteration before which each player left as configured."""
    leaves: dict[str, int] = {}
    for row in play.rows:
        leaves |= row.left
    return leaves


def _living(
    result: Result,
    play: Play,
    leaves: Mapping[str, int],
    iterations: int,
) -> list[list[str]]:
    """Return the workers that took part in each iteration, as far as the record says."""
    game: Any = result.game(play.name)
    living = []
    for iteration in range(1, iterations + 1):
        present = []
        for name in result.players:
            joined = game.joins.get(name, 1) <= iteration
            if joined and iteration < leaves.get(name, iterations + 1):
                present.append(name)
        living.append(present)
    return living


def _moved_discriminators(result: Result, play: Play, living: Sequence[Sequence[str]]) -> int:
    """Discriminators that moved: all at each swap, and one for each player that joined."""
    game: Any = result.game(play.name)
    batch = _batch(result) or 1
    moved = sum(first <= len(living) for first in game.joins.values())
    if not game.swap_every_epochs:
        return moved
    for iteration, names in enumerate(living, 1):
        if len(names) > 1:
            m = _mean_samples(result, names)
            if iteration % theory.period(batch, m, game.swap_every_epochs) == 0:
                moved += len(names)
    return moved


def _ledger_rows(
    result: Result,
    play: Play,
    setting: Setting,
    counts: Sequence[tuple[int, int]],
) -> dict[str, _Row]:
    """How the ledger counts each purpose; ``counts`` are N and k of every iteration."""
    game: Any = result.game(play.name)
    discriminator = result.record.games[play.name].network_sizes["discriminator"]
    others = discriminator.buffer_bytes
    if game.optimiser_on_swap == "travel":
        # two moments of every parameter, and a count of steps of every tensor
        others += theory.NUMBER_BYTES * (2 * discriminator.parameters + discriminator.tensors)
    _, label = _space(result).image_and_class(any_shape=True)
    classes = theory.CLASS_BYTES if label else 0
    times = max(1, sum(n for n, _ in counts))
    generated = setting.batch * sum(n * min(k, 2) for n, k in counts) / times
    return {
        "exchange/generated": _Row(generated, classes=classes),
        "exchange/feedback": _Row(setting.batch),
        "exchange/swap": _Row(others=others),
    }
