"""Rules between the columns of a table, such as ``start <= end`` or ``a + b = total``.

A rule is checked row by row. In a row in which one of its values is missing, or its condition does
not hold, it says nothing. What is drawn keeps all rules: a sum is put right, and a row that breaks
one all the same is drawn anew, so that what is kept has the model's distribution given the rules.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from coplay.core.errors import ConfigError
from coplay.core.rule_faults import faults_of
from coplay.core.rule_meaning import holds_in, numbers_of
from coplay.core.rule_words import (
    Name,
    RuleFault,
    Sentence,
    Term,
    Text,
    names_in,
    understood,
)
from coplay.core.scaling import allowed
from coplay.core.space import Samples, Space, join, pick
from coplay.core.variable import Variable

_DRAWS = 20  # times as many rows as are wanted are drawn at most
RATES = ("rules_kept", "rules_accepted")
"""Shares of the rows drawn that keep all rules: as they are, and once sums are put right."""

ROWS_DRAWN = "rows_drawn"
"""Number of rows that these shares are of."""


@dataclass(frozen=True)
class Rule:
    """One rule.

    Args:
        text: As it was written.
        sentence: What it says.
    """

    text: str
    sentence: Sentence

    @property
    def names(self) -> list[str]:
        """The columns that it speaks of."""
        names: dict[str, None] = {}
        for comparison in self.sentence.comparisons:
            names |= dict.fromkeys(comparison.names)
        return list(names)

    def speaks(self, space: Space, samples: Samples) -> Tensor:
        """Return of which rows it says anything, shape (n,)."""
        speaks = torch.ones(len(samples), dtype=torch.bool)
        for name in self.names:
            if name not in samples.keys():
                return torch.zeros_like(speaks)
            speaks &= space[name].present(samples[name])
        if self.sentence.condition:
            holds = torch.zeros_like(speaks)
            for all_of in self.sentence.condition:
                each = torch.ones_like(speaks)
                for comparison in all_of:
                    each &= holds_in(comparison, space, samples)
                holds |= each
            speaks &= holds
        return speaks

    def broken(self, space: Space, samples: Samples) -> Tensor:
        """Return which rows break it, shape (n,).

        Args:
            space: What the variables are.
            samples: The rows; where they lack a column, the rule says nothing.
        """
        speaks = self.speaks(space, samples)
        if not speaks.any():
            return speaks
        return speaks & ~holds_in(self.sentence.then, space, samples)

    def repaired(self, space: Space, samples: Samples) -> Samples:
        """Return rows in which a sum is put right, where it is a column that can hold it."""
        then = self.sentence.then
        target, source = then.left, then.right
        if not _can_take(target, source, space):
            target, source = source, target
        if then.operator != "=" or not _can_take(target, source, space):
            return samples
        assert isinstance(target, Name)
        wrong = self.broken(space, samples)
        if not wrong.any():
            return samples
        changed = samples.clone(recurse=False)
        values = samples[target.value].clone()
        numbers = numbers_of(source, samples)
        fit = wrong & numbers.isfinite()
        values[fit] = allowed(numbers[fit], space[target.value], values.dtype)
        changed[target.value] = values
        return changed


def _can_take(target: Term, source: Term, space: Space) -> bool:
    """Whether a term is a column that a sum of others can be written into."""
    if not isinstance(target, Name) or isinstance(source, Text):
        return False
    is_own = target.value in names_in(source)
    return space[target.value].kind in ("real", "count") and not is_own


@dataclass(frozen=True)
class Broken:
    """How many rows break a rule.

    Args:
        rule: The rule, as it was written.
        rows: Rows that break it.
        of: Rows of which it says anything.
    """

    rule: str
    rows: int
    of: int

    def __str__(self) -> str:
        if not self.of:
            return f"rule {self.rule!r} applies to none of the rows"
        return f"rule {self.rule!r}: {self.rows:,} of {self.of:,} rows to which it applies break it"


@dataclass(frozen=True)
class Rules:
    """All rules of a table.

    Args:
        space: The variables.
        rules: The rules, in the order in which sums are put right.
    """

    space: Space
    rules: tuple[Rule, ...] = ()

    @classmethod
    def of(cls, texts: Sequence[str], space: Space, place: str = "rules") -> Rules:
        """Read rules.

        Args:
            texts: The rules as they are written.
            space: The variables that there are.
            place: Where they are written, for errors.

        Raises:
            ConfigError: With what is wrong with each.

        Example:
            >>> real = Variable(kind="real")
            >>> space = Space({"a": real, "b": real})
            >>> rules = Rules.of(["a <= b"], space)
            >>> rows = space.samples(a=torch.tensor([1.0, 3.0]), b=torch.tensor([2.0, 2.0]))
            >>> rules.broken(rows).tolist()
            [False, True]
            >>> Rules.of(["a <= c"], space)
            Traceback (most recent call last):
            coplay.core.errors.ConfigError: 1 problem in the config:
              - rules[0] 'a <= c': there is no column 'c'; known, nearest first: a, b
        """
        faults = []
        rules = []
        for number, text in enumerate(texts):
            try:
                sentence = understood(text, list(space))
            except RuleFault as error:
                faults.append(f"{place}[{number}] {text!r}: {error}")
                continue
            for fault in faults_of(sentence, space):
                faults.append(f"{place}[{number}] {text!r}: {fault}")
            rules.append(Rule(text, sentence))
        if faults:
            raise ConfigError(faults)
        return cls(space, tuple(rules))

    def __bool__(self) -> bool:
        return bool(self.rules)

    def only(self, space: Space) -> Rules:
        """Return the rules whose columns all are in a space."""
        kept = tuple(rule for rule in self.rules if set(rule.names) <= set(space))
        return Rules(space, kept)

    def broken(self, samples: Samples) -> Tensor:
        """Return which rows break any rule, shape (n,)."""
        broken = torch.zeros(len(samples), dtype=torch.bool)
        for rule in self.rules:
            broken |= rule.broken(self.space, samples)
        return broken

    def counts(self, samples: Samples) -> list[Broken]:
        """Return how many rows break each rule."""
        counts = []
        for rule in self.rules:
            rows = int(rule.broken(self.space, samples).sum())
            counts.append(Broken(rule.text, rows, int(rule.speaks(self.space, samples).sum())))
        return counts

    def repaired(self, samples: Samples) -> Samples:
        """Return rows in which sums are put right, one rule after the other."""
        for rule in self.rules:
            samples = rule.repaired(self.space, samples)
        return samples

    def kept(self, draw: Callable[[int], Samples], n: int) -> tuple[Samples, Kept]:
        """Draw until n rows keep all rules, or until that is hopeless.

        Args:
            draw: Returns so many rows.
            n: How many are wanted.

        Returns:
            The rows, n of them, and how it went. Where too few keep the rules, rows that break one
            make up for them.
        """
        if not self.rules:
            return draw(n), Kept(n, n, n, n, 0)
        parts: list[Samples] = []
        spare: list[Samples] = []
        drawn = fine = accepted = 0
        wanted = n
        while wanted and drawn < _DRAWS * n:
            as_drawn = draw(wanted)
            drawn += wanted
            fine += int((~self.broken(as_drawn)).sum())
            rows = self.repaired(as_drawn)
            good = ~self.broken(rows)
            parts.append(pick(rows, good))
            spare.append(pick(rows, ~good))
            accepted += int(good.sum())
            missing = max(0, n - accepted)
            wanted = min(math.ceil(1.1 * missing * drawn / max(1, accepted)), 4 * n)
        if not drawn:
            return draw(0), Kept(0, 0, 0, 0, 0)
        rows = pick(join([*parts, *spare]), slice(n))
        return rows, Kept(n, drawn, fine, accepted, max(0, n - accepted))


NO_RULES = Rules(Space({"any": Variable(kind="binary")}))
"""For rows that need not keep any; no rule looks at its variable."""


@dataclass(frozen=True)
class Kept:
    """How many rows were drawn until some kept all rules.

    Args:
        n: Rows that were wanted.
        drawn: Rows that were drawn for it.
        fine: Rows among them that kept all rules as they were drawn.
        accepted: Rows among them that kept all rules once sums were put right.
        breaking: Rows among those wanted that break a rule, since too few others were drawn.

    Example:
        >>> str(Kept(100, 150, 20, 100, 0))
        '20 of 150 rows drawn keep all rules as they are, and 100 once sums are put right'
    """

    n: int
    drawn: int
    fine: int
    accepted: int
    breaking: int

    @property
    def numbers(self) -> dict[str, float]:
        """The shares as numbers that travel, by :data:`RATES` and how many rows they are of."""
        if not self.drawn:
            return {}
        shares = (self.fine / self.drawn, self.accepted / self.drawn)
        return {**dict(zip(RATES, shares, strict=True)), ROWS_DRAWN: float(self.drawn)}

    def __str__(self) -> str:
        share = f"{self.fine:,} of {self.drawn:,} rows drawn keep all rules as they are"
        if self.accepted > self.fine:
            share += f", and {self.accepted:,} once sums are put right"
        if self.breaking:
            share += f"; {self.breaking:,} of the {self.n:,} rows break a rule still"
        return share
