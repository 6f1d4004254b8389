"""What one game of a run left on disk: the main game, or one carried along."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from torch import Tensor

from coplay.core import remedies, storage
from coplay.core.message import LinkTraffic, PlayerLost
from coplay.core.nesting import unnest
from coplay.metrics.base import Value
from coplay.run.caution import Caution
from coplay.run.checkpoint import Checkpoint
from coplay.run.round_record import Measured, RoundRecord
from coplay.run.rows import Rows


@dataclass(frozen=True)
class Mean:
    """The mean of a quantity over players.

    Args:
        value: The mean.
        best: The best of the values, in the direction that is better; None where neither is.
        players: Names of those that it is over.
    """

    value: float
    best: float | None
    players: Sequence[str]


@dataclass(frozen=True)
class Play:
    """What one game of a run left.

    Args:
        name: The game's name.
        folder: Where it lies.
    """

    name: str
    folder: Path

    @cached_property
    def rows(self) -> list[RoundRecord]:
        """One record per finished round, oldest first.

        Raises:
            CheckpointError: A row is missing or damaged.
        """
        # the checkpoint first: while a run is played, there are at least the rows it counts
        last = Checkpoint.last(self.folder)
        return Rows.read(self.folder, last.counted if last else None).records

    @cached_property
    def measurements(self) -> dict[int, Measured]:
        """By measured round, what was measured: by player and quantity."""
        return {row.round: row.measured for row in self.rows if row.measured is not None}

    @property
    def early_end(self) -> str:
        """A sentence that says when and why it ended early; empty if it did not."""
        if not self.rows or not self.rows[-1].stopped:
            return ""
        last = self.rows[-1]
        return f"{self.name} stopped after round {last.round}: {last.stopped}"

    @property
    def last_round(self) -> int | None:
        """The last measured round; None if nothing was measured."""
        return max(self.measurements, default=None)

    @property
    def last(self) -> Measured:
        """The last measurement: by player and quantity; empty if nothing was measured."""
        return {} if self.last_round is None else self.measurements[self.last_round]

    @property
    def last_cautions(self) -> Mapping[str, Caution]:
        """What a reader of the last measurement must know, by player."""
        cautions: Mapping[str, Caution] = {}
        for row in self.rows:
            if row.measured is not None or row.cautions:
                cautions = row.cautions
        return cautions

    @cached_property
    def quantities(self) -> list[str]:
        """Names of the quantities of the last measurement that are one number, sorted."""
        names = set()
        for values in self.last.values():
            names |= {name for name, value in values.items() if value.is_scalar}
        return sorted(names)

    def example(self, quantity: str) -> Value | None:
        """One value of a quantity of the last measurement; None if there is none.

        Its unit and direction are those of all others.
        """
        for values in self.last.values():
            if quantity in values:
                return values[quantity]
        return None

    def scalars(self, quantity: str, round: int | None = None) -> dict[str, float]:
        """The values of a quantity that is one number, by player.

        Args:
            quantity: Its name.
            round: A measured round; the last one by default.
        """
        measured = self.last if round is None else self.measurements[round]
        numbers = {}
        for name, values in measured.items():
            if quantity in values:
                value = values[quantity].value
                assert not isinstance(value, list), f"{quantity} is not one number"
                numbers[name] = float(value)
        return numbers

    def mean(self, quantity: str, members: Sequence[str], round: int | None = None) -> Mean | None:
        """The mean of a quantity over players; see :meth:`Result.mean`."""
        round = self.last_round if round is None else round
        if round is None:
            return None
        if self.lost_among(members, round):
            return None  # a mean over survivors would compare unlike things
        by_player = self.scalars(quantity, round)
        names = [name for name in members if name in by_player]
        if not names:
            return None
        values = [by_player[name] for name in names]
        better = self.measurements[round][names[0]][quantity].better
        return Mean(math.fsum(values) / len(values), best_of(values, better), names)

    @cached_property
    def lost(self) -> dict[str, PlayerLost]:
        """Players that were lost, by name, with action, round and reason."""
        losses: dict[str, PlayerLost] = {}
        for row in self.rows:
            losses |= row.lost
        return losses

    def lost_among(self, members: Sequence[str], round: int | None = None) -> list[PlayerLost]:
        """The losses among some players up to a round.

        Args:
            members: Names of the players.
            round: A measured round; the last one by default.

        Returns:
            Losses in that round or before; none if nothing was measured.
        """
        end = self.last_round if round is None else round
        if end is None:
            return []
        losses = [self.lost[name] for name in members if name in self.lost]
        return [loss for loss in losses if loss.round <= end]

    @cached_property
    def late(self) -> list[PlayerLost]:
        """Every lateness: player, action, round and reason."""
        return [loss for row in self.rows for loss in row.late.values()]

    @cached_property
    def traffic(self) -> list[LinkTraffic]:
        """Payload per purpose and link, up to the last checkpoint."""
        last = Checkpoint.last(self.folder)
        return last.links(self.folder) if last else []

    @property
    def counted_rounds(self) -> int:
        """Rounds up to the last checkpoint, as far as the ledger on disk goes."""
        last = Checkpoint.last(self.folder)
        return last.round if last else 0

    @property
    def bookkeeping_seconds(self) -> float:
        """Seconds spent on rows and checkpoints since the start or the last resume.

        They are written at the end; 0 before.
        """
        path = self.folder / "seconds.json"
        if not path.exists():
            return 0.0
        return float(storage.read_sealed(path, "remove it to go without it")["bookkeeping"])

    @property
    def shown_rounds(self) -> list[int]:
        """The rounds after which samples were kept, in order."""
        return [row.round for row in self.rows if row.shown is not None]

    def samples(self, round: int) -> dict[str, dict[str, Tensor]]:
        """The samples shown after a measured round: by player and variable.

        Raises:
            CheckpointError: Their file is missing or damaged.
        """
        digests = [row.shown for row in self.rows if row.round == round and row.shown is not None]
        if not digests:
            return {}
        path = storage.shown_file(self.folder, round)
        remedy = remedies.play_again(self.folder.parent)
        tensors = storage.load_tensors(path, digests[0], remedy)
        return dict(sorted(unnest(tensors).items()))


def best_of(values: Sequence[float], better: Literal["higher", "lower"] | None) -> float | None:
    """The best of some values; None where no direction is better.

    Example:
        >>> best_of([1.0, 3.0], "lower"), best_of([1.0, 3.0], None)
        (1.0, None)
    """
    if better is None:
        return None
    return min(values) if better == "lower" else max(values)
