"""Runs side by side: the arms they form, and the scores and costs of each arm over its seeds.

Runs that differ only in their seed (and in title, name and the games carried along) belong
together, and each game of theirs is an arm. Everything is read from disk, so that old and
unfinished runs take part.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from coplay.comparison import labels, spread
from coplay.comparison.spread import Curve, Spread
from coplay.core.errors import RunFolderError
from coplay.metrics.base import Value
from coplay.report.words import scalar, words
from coplay.run.play import Mean, Play
from coplay.run.result import Result


@dataclass(frozen=True)
class Arm:
    """One game under one config, over the seeds.

    Args:
        label: A name that no other arm has, made of what differs.
        settings: The part of the label that comes from the config; empty if all configs agree.
        game: The game's name.
        runs: One run per seed, by seed in ascending order.
    """

    label: str
    settings: str
    game: str
    runs: Mapping[int, Result]

    @cached_property
    def plays(self) -> dict[int, Play]:
        """The game's records on disk, by seed."""
        return {seed: run.plays[self.game] for seed, run in self.runs.items()}

    @cached_property
    def quantities(self) -> dict[str, Value]:
        """Measured quantities that are one number, each with a value of it as an example."""
        examples: dict[str, Value] = {}
        for play in self.plays.values():
            for values in play.last.values():
                for quantity, value in values.items():
                    if value.is_scalar:
                        examples.setdefault(quantity, value)
        return examples

    @property
    def players(self) -> list[str]:
        """Names of all players and seats that were measured last."""
        return list(dict.fromkeys(player for play in self.plays.values() for player in play.last))

    def mean(self, seed: int, quantity: str, round: int | None = None) -> Mean | None:
        """The mean over players of one run; see :meth:`coplay.run.result.Result.mean`.

        Args:
            seed: The run's seed.
            quantity: Name of a measured quantity that is one number.
            round: A measured round; the last one by default.
        """
        return self.runs[seed].mean(self.game, quantity, round)

    def score(self, quantity: str) -> Spread | None:
        """The mean over players after the last measured round, over the seeds that have one.

        Args:
            quantity: Name of a measured quantity that is one number.

        Returns:
            None if no run has such a mean.
        """
        means = {}
        for seed in self.runs:
            mean = self.mean(seed, quantity)
            if mean is not None:
                means[seed] = mean.value
        return Spread(means) if means else None

    def player_score(self, player: str, quantity: str) -> Spread | None:
        """The last value of one player, over the seeds that have one.

        Args:
            player: Name of a player or seat.
            quantity: Name of a measured quantity that is one number.

        Returns:
            None if no run has such a value.
        """
        values = {seed: scalar(value) for seed, value in self._values_of(player, quantity).items()}
        return Spread(values) if values else None

    def single_value(self, quantity: str, player: str | None = None) -> Value | None:
        """The measured value behind a score, if the score is no mean but a single value.

        Args:
            quantity: Name of a measured quantity that is one number.
            player: A player, for its own score; None for the arm's.

        Returns:
            None if several seeds or several players have a value, or none has.
        """
        if player is not None:
            values = list(self._values_of(player, quantity).values())
            return values[0] if len(values) == 1 else None
        means = {seed: self.mean(seed, quantity) for seed in self.runs}
        present = {seed: mean for seed, mean in means.items() if mean is not None}
        if len(present) != 1:
            return None
        ((seed, mean),) = present.items()
        if len(mean.players) != 1:
            return None
        return self.plays[seed].last[mean.players[0]][quantity]

    def _values_of(self, player: str, quantity: str) -> dict[int, Value]:
        """Return the last values of one player, by seed."""
        values = {}
        for seed, play in self.plays.items():
            measured = play.last.get(player, {})
            if quantity in measured:
                values[seed] = measured[quantity]
        return values

    def over_seeds(self, number: Callable[[Play], float | None]) -> Spread | None:
        """Collect a number of every play of the arm; None if one of them does not have it.

        Args:
            number: A function that returns the number of a play, or None.
        """
        values = {}
        for seed, play in self.plays.items():
            value = number(play)
            if value is None:
                return None
            values[seed] = float(value)
        return Spread(values)

    @cached_property
    def costs(self) -> dict[str, Spread | None]:
        """The costs of a run of this game, by name; None where a run did not record one.

        ``bytes_PURPOSE`` is payload in bytes, ``seconds_KIND`` is time; then come ``rounds``,
        ``steps`` (learning steps asked of each player) and ``flops``.
        """
        costs = {}
        for purpose in self._purposes():
            of_play = partial(spread.payload_bytes, purpose=purpose)
            costs[f"bytes_{purpose}"] = self.over_seeds(of_play)
        for kind in self._kinds_of_seconds():
            costs[f"seconds_{kind}"] = self.over_seeds(partial(spread.booked_seconds, kind=kind))
        amounts = {
            "rounds": self.over_seeds(lambda play: len(play.rows)),
            "steps": self._steps(),
            "flops": self.over_seeds(spread.flops),
        }
        return costs | amounts

    def _purposes(self) -> list[str]:
        """Return the headings of the ledger, the usual ones first, and then their parts."""
        links = [link for play in self.plays.values() for link in play.traffic]
        headings = [link.heading for link in links]
        parts = [link.purpose for link in links]
        usual = ["exchange", "evaluation", "checkpoint"]
        return list(dict.fromkeys([*usual, *headings, *parts]))

    def _kinds_of_seconds(self) -> list[str]:
        """Return the kinds of time, the usual ones first."""
        rows = [row for play in self.plays.values() for row in play.rows]
        kinds = [kind for row in rows for kind in row.seconds]
        return list(dict.fromkeys([*spread.SECONDS, *kinds]))

    def _steps(self) -> Spread | None:
        steps = {}
        for seed, run in self.runs.items():
            taken = spread.learning_steps(run, self.plays[seed])
            if taken is None:
                return None
            steps[seed] = taken
        return Spread(steps)

    @cached_property
    def curves(self) -> dict[str, Curve]:
        """Means over players at the rounds at which all seeds have one, by quantity.

        A seed without any mean of a quantity is left out of its curve, and so is a quantity
        without a common round.
        """
        curves = {}
        for quantity in self.quantities:
            curve = self._curve(quantity)
            if curve is not None:
                curves[quantity] = curve
        return curves

    def _curve(self, quantity: str) -> Curve | None:
        by_seed = {}
        for seed in self.runs:
            means = self._means_by_round(seed, quantity)
            if means:
                by_seed[seed] = means
        if not by_seed:
            return None
        rounds = sorted(set.intersection(*(set(means) for means in by_seed.values())))
        if not rounds:
            return None
        spreads = []
        for round in rounds:
            spreads.append(Spread({seed: means[round] for seed, means in by_seed.items()}))
        sent = [spread.bytes_by_round(self.runs[seed], self.plays[seed]) for seed in by_seed]
        spent = [spread.seconds_by_round(self.plays[seed]) for seed in by_seed]
        return Curve(
            rounds,
            bytes=_means(sent, rounds),
            seconds=_means(spent, rounds),
            mean=[each.mean for each in spreads],
            std=[each.std for each in spreads],
        )

    def _means_by_round(self, seed: int, quantity: str) -> dict[int, float]:
        means = {}
        for round in self.plays[seed].measurements:
            mean = self.mean(seed, quantity, round)
            if mean is not None:
                means[round] = mean.value
        return means


def _means(by_seed: Sequence[Mapping[int, float]], rounds: Sequence[int]) -> list[float]:
    """Return the mean over seeds at each round."""
    means = []
    for round in rounds:
        means.append(statistics.fmean(by_round[round] for by_round in by_seed))
    return means


# ------------------------------------------------------------------------------ comparisons


@dataclass(frozen=True)
class Comparison:
    """Arms side by side.

    Args:
        arms: In the order of the runs, a run's main game before those carried along.
        differences: By dotted key of the config, its value by settings; keys that are the same
            everywhere are left out.
        left_out: Sentences on runs that do not count.

    Example:
        ``Comparison.load(["runs/a", "runs/b"]).arms[0].score("fid").mean``
    """

    arms: Sequence[Arm]
    differences: Mapping[str, Mapping[str, Any]]
    left_out: Sequence[str] = ()

    @classmethod
    def load(cls, folders: Iterable[str | Path]) -> Comparison:
        """Read runs and sort them into arms.

        Args:
            folders: Folders of runs; a folder named twice counts once.

        Raises:
            RunFolderError: A folder holds no run, or there is none.
        """
        places = {Path(folder).resolve(): Path(folder) for folder in folders}
        runs = [Result.load(folder) for folder in places.values()]
        if not runs:
            raise RunFolderError("nothing to compare: expected the folder of at least one run")
        all_settings = labels.settings_of(runs)
        groups: dict[str, list[int]] = {}
        for place, settings in enumerate(all_settings):
            groups.setdefault(json.dumps(settings, sort_keys=True), []).append(place)
        distinct = [all_settings[places[0]] for places in groups.values()]
        differing = labels.differing_keys(distinct)
        names = labels.labels(distinct)
        label_says_game = "game.name" in differing
        several_games = any(len(run.plays) > 1 for run in runs)
        arms: list[Arm] = []
        left_out: list[str] = []
        for name, members in zip(names, groups.values(), strict=True):
            by_seed, doubled = _by_seed([runs[place] for place in members])
            prefix = f"{name}: " if name else ""
            left_out += [prefix + sentence for sentence in doubled]
            arms += _arms_of(name, by_seed, label_says_game, several_games)
        differences = {}
        for key in differing:
            values = [settings.get(key) for settings in distinct]
            differences[key] = dict(zip(names, values, strict=True))
        return cls(arms, differences, left_out)

    @cached_property
    def quantities(self) -> dict[str, Value]:
        """Measured quantities of any arm that are one number, each with a value as an example."""
        examples: dict[str, Value] = {}
        for arm in self.arms:
            for quantity, value in arm.quantities.items():
                examples.setdefault(quantity, value)
        return examples

    @cached_property
    def runs(self) -> dict[str, Result]:
        """All runs that count, by folder."""
        return {str(run.folder): run for arm in self.arms for run in arm.runs.values()}


def _arms_of(
    settings: str,
    by_seed: Mapping[int, Result],
    label_says_game: bool,
    several_games: bool,
) -> list[Arm]:
    """Return the arms of runs that differ only in their seed, one per game.

    Args:
        settings: The label of their settings; empty if all configs agree.
        by_seed: The runs by seed.
        label_says_game: Whether that label says which game is the main one.
        several_games: Whether any run of the comparison has more than one game.
    """
    arms = []
    for game in dict.fromkeys(game for run in by_seed.values() for game in run.plays):
        runs = {seed: run for seed, run in by_seed.items() if game in run.plays}
        is_main = all(run.main.name == game for run in runs.values())
        label = settings
        if not settings:
            label = words(game)
        elif several_games and not (label_says_game and is_main):
            label = f"{settings}, {words(game)}"
        arms.append(Arm(label, settings, game, runs))
    return arms


def _by_seed(runs: Sequence[Result]) -> tuple[dict[int, Result], list[str]]:
    """Choose the run per seed that got furthest; the others are named in sentences."""
    by_seed: dict[int, Result] = {}
    doubled = []
    for run in sorted(runs, key=_rank):
        seed = run.record.seed
        if seed not in by_seed:
            by_seed[seed] = run
            continue
        doubled.append(
            f"seed {seed} was run twice; {run.folder} is left out beside {by_seed[seed].folder}, "
            "so that no seed counts more than another",
        )
    return dict(sorted(by_seed.items())), doubled


def _rank(run: Result) -> tuple[bool, int]:
    """Return a sort key: finished runs come first, then those with the most rounds."""
    rounds = sum(len(play.rows) for play in run.plays.values())
    return run.record.status != "finished", -rounds
