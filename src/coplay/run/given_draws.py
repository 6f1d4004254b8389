"""Samples under conditions: by the model where it can, by rejection where it cannot.

A model that completes is given the variables of which one value is asked for. A model that can draw
one variable within a subset first (:class:`CompletesWithin`) does so with the rarest. All other
conditions are kept by rejection: rows are drawn until enough fulfil them. Rows that were kept have
exactly the law that the model has under the conditions, whatever their rate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch

from coplay.core.errors import CoplayError
from coplay.core.space import Samples, join, pick
from coplay.core.streams import stream
from coplay.core.subset import Subset
from coplay.core.surroundings import own_settings
from coplay.data.words import some
from coplay.games.ensemble import Mixed
from coplay.models.abilities import Completes, CompletesWithin
from coplay.player import Player
from coplay.run.given import MOST_DRAWS, Condition

_BATCH = 10_000
_SOON = 10_000  # draws after which it is said early that the rest will not be enough


@dataclass(frozen=True)
class DrawRecord:
    """How samples under conditions came about.

    Args:
        player: Whose model drew them.
        n: How many were asked for.
        given: The conditions as they were written.
        completed: Variables whose value the model was given.
        restricted: The variable that the model drew first, within its condition; empty for none.
        chance: Its probability of that condition given the values; 1 for none.
        rejected_by: Variables whose conditions were kept by rejection.
        drawn: Rows that were drawn for this.
        accepted: Those of them that fulfil all conditions.
    """

    player: str
    n: int
    given: tuple[str, ...]
    completed: tuple[str, ...] = ()
    restricted: str = ""
    chance: float = 1.0
    rejected_by: tuple[str, ...] = ()
    drawn: int = 0
    accepted: int = 0

    @property
    def rate(self) -> float:
        """Share of the rows drawn that fulfil the conditions kept by rejection."""
        return self.accepted / self.drawn if self.drawn else 0.0

    def lines(self) -> list[str]:
        """Return what a person should know of it, a sentence a line.

        Example:
            >>> record = DrawRecord("north", 9, ("age=40..60",), (), "", 1.0, ("age",), 40, 10)
            >>> record.lines()
            ['age: by rejection; 10 of 40 draws (25 %) fulfil the condition']
        """
        lines = []
        if self.completed:
            lines.append(f"{', '.join(self.completed)}: given to the model, nothing is rejected")
        if self.restricted:
            lines.append(
                f"{self.restricted}: drawn first within the condition, whose chance is "
                f"{_percent(self.chance)}; nothing is rejected"
            )
        if self.rejected_by:
            fulfil = "fulfil the condition" if len(self.rejected_by) == 1 else "fulfil them"
            lines.append(
                f"{', '.join(self.rejected_by)}: by rejection; {self.accepted:,} of "
                f"{self.drawn:,} draws ({_percent(self.rate)}) {fulfil}"
            )
        return lines


def draw_given(
    player: Player,
    conditions: Mapping[str, Condition],
    n: int,
    seed: int,
    most: int = MOST_DRAWS,
) -> tuple[Samples, DrawRecord]:
    """Draw samples that fulfil conditions.

    Args:
        player: It has learned, or was loaded.
        conditions: By variable.
        n: How many samples.
        seed: Seed of the draw.
        most: Rows that are drawn for it at most.

    Returns:
        n samples, and how they came about.

    Raises:
        CoplayError: The model cannot, or the conditions are too rare for so many draws.
    """
    plan = _Plan.of(player, conditions, n)
    generator = stream(player.seed, "draw", 0, player.name, f"given {seed}")
    with own_settings():
        record = plan.record
        if not plan.rejecting and not player.rules:
            samples = plan.drawn(n, generator)
            return samples, replace(record, drawn=n, accepted=n)
        return plan.kept(most, generator)


@dataclass(frozen=True)
class _Plan:
    """Which condition is kept in which way."""

    player: Player
    points: Samples  # of one row
    restricted: tuple[str, Subset] | None
    rejecting: dict[str, Condition]
    record: DrawRecord
    conditions: Mapping[str, Condition]

    @classmethod
    def of(cls, player: Player, conditions: Mapping[str, Condition], n: int) -> _Plan:
        """Choose for each condition the best way that the model has."""
        values = {}
        rejecting = dict(conditions)
        faults = []
        completes = isinstance(player.model, Completes)
        for name, condition in conditions.items():
            if condition.point is None:
                continue
            if completes:
                values[name] = _one(player, name, condition.point)
                del rejecting[name]
            elif player.variables[name].kind == "real":
                faults.append(_no_chance(player, condition))
        if faults:
            raise CoplayError("\n".join(faults))
        points = Samples(values, batch_size=[1])
        record = DrawRecord(player.name, n, tuple(each.text for each in conditions.values()))
        record = replace(record, completed=tuple(values))
        return cls(player, points, None, rejecting, record, conditions)._restricting()

    def _restricting(self) -> _Plan:
        """Return the plan in which the model draws first what is rarest, if it can."""
        model = self.player.model
        chances: dict[str, float] = {}
        with own_settings():
            for name, condition in self.rejecting.items():
                if isinstance(model, CompletesWithin):
                    chance = model.chance_within(self.points, name, condition.subset)
                    if chance is not None:
                        chances[name] = chance[0].item()
        if not chances:
            return replace(self, record=replace(self.record, rejected_by=tuple(self.rejecting)))
        name = min(chances, key=chances.__getitem__)
        condition = self.rejecting[name]
        if chances[name] <= 0:
            raise CoplayError(
                f"given {condition.text}: {model.title} of player '{self.player.name}' gives it "
                "the chance 0, beyond anything it has learned from; widen it"
            )
        rest = {each: self.rejecting[each] for each in self.rejecting if each != name}
        record = replace(
            self.record, restricted=name, chance=chances[name], rejected_by=tuple(rest)
        )
        restricted = (name, condition.subset)
        return replace(self, restricted=restricted, rejecting=rest, record=record)

    def drawn(self, n: int, generator: torch.Generator) -> Samples:
        """Draw rows by the model, as it can, and check them."""
        player, model = self.player, self.player.model
        given = Samples({}, batch_size=[n])
        if len(self.points.keys()):
            given = pick(self.points, torch.zeros(n, dtype=torch.int64))
        if self.restricted is not None:
            assert isinstance(model, CompletesWithin)
            samples = model.complete_within(given, *self.restricted, generator)
        elif len(self.points.keys()):
            assert isinstance(model, Completes)
            samples = model.complete(given, generator)
        else:
            samples = model.sample(n, generator)
        samples = player.variables.restrict(samples)
        origin = f"samples of {model.title}"
        checked = player.variables.check(samples, origin, complete=True, rows=n, quote=False)
        return checked.detach().exclude(*player.unlearned).clone()

    def kept(self, most: int, generator: torch.Generator) -> tuple[Samples, DrawRecord]:
        """Draw until enough rows fulfil the conditions."""
        n = self.record.n
        model = self.player.model
        is_limited = isinstance(model, Mixed) and model.most is not None
        if isinstance(model, Mixed) and model.most is not None:
            most = min(most, model.most)
        parts: list[Samples] = []
        drawn = accepted = 0
        # what keeps rules may be mended until it does, and then breaks what it was drawn within
        asked = self.conditions if self.player.rules else self.rejecting
        fulfilling = dict.fromkeys(asked, 0)
        while accepted < n and drawn < most:
            # what was stored of others comes without repeating only in one draw
            batch = most if is_limited else min(_BATCH, most - drawn)
            rows = self.player.draw_by_rules(partial(self.drawn, generator=generator), batch)
            holds = torch.ones(batch, dtype=torch.bool)
            for name, condition in asked.items():
                each = condition.subset.holds(rows[name])
                fulfilling[name] += int(each.sum())
                holds &= each
            parts.append(pick(rows, holds.nonzero()[:, 0]))
            drawn += batch
            accepted += len(parts[-1])
            if drawn >= _SOON and _is_hopeless(accepted, drawn, n, most):
                break
        if accepted < n:
            raise CoplayError(self._too_rare(accepted, drawn, fulfilling, most, is_limited))
        samples = pick(join(parts), slice(n))
        return samples, replace(self.record, drawn=drawn, accepted=accepted)

    def _too_rare(
        self, accepted: int, drawn: int, fulfilling: Mapping[str, int], most: int, is_limited: bool
    ) -> str:
        """Say how rare conditions are and what can be done."""
        each = []
        for name, count in fulfilling.items():
            each.append(f"{self.conditions[name].text} in {_percent(count / drawn)}")
        alone = f" ({some(each)})" if len(each) > 1 else ""
        texts = some([self.conditions[name].text for name in fulfilling])
        n = self.record.n
        fault = (
            f"given {texts}: {accepted:,} of {drawn:,} draws of player '{self.player.name}' fulfil "
            f"it{alone}, too few for {n:,} samples"
        )
        if is_limited:
            return (
                f"{fault}; no more samples of others are here: ask for at most {accepted:,}, widen "
                "the condition, or play with larger samples_per_round"
            )
        ways = "widen the rarest condition, "
        if accepted:
            possible = int(accepted / drawn * most)
            ways += f"ask for at most about {possible:,} samples, "
            needed = math.ceil(1.2 * n * drawn / accepted)
            ways += f"or allow more draws (--most {needed}; in Python most={needed})"
        else:
            ways += f"or allow more than {most:,} draws (--most; in Python most=)"
        return f"{fault}; {ways}"


def _is_hopeless(accepted: int, drawn: int, n: int, most: int) -> bool:
    """Whether even a rate five standard errors above this one gives too few rows."""
    likely = accepted + 5 * math.sqrt(accepted) + 12
    return likely / drawn * most < n


def _one(player: Player, name: str, value: float) -> torch.Tensor:
    """Return a value as a tensor of one row, of the type that loses nothing of it."""
    v = player.variables[name]
    dtype = v.dtypes[0]
    if v.kind == "real" and float(f"{torch.tensor(value, dtype=dtype).item():.7g}") != value:
        dtype = torch.float64
    return torch.tensor([value], dtype=dtype)


def _no_chance(player: Player, condition: Condition) -> str:
    """Say why one value of a real number cannot be drawn by rejection."""
    title = player.model.title
    return (
        f"given {condition.text}: {title} of player '{player.name}' cannot be given a value, and "
        f"draws would never hit it exactly; give a range, such as {condition.name}="
        f"{_around(condition.point or 0.0)}"
    )


def _around(value: float) -> str:
    width = max(0.05 * abs(value), 0.01)
    return f"{value - width:.4g}..{value + width:.4g}"


def _percent(share: float) -> str:
    """Write a share in per cent; a rare one with its first digits.

    Example:
        >>> _percent(0.25), _percent(0.00012), _percent(0.0)
        ('25 %', '0.012 %', '0 %')
    """
    return f"{100 * share:.3g} %"
