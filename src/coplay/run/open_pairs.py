"""What the rows that are here leave open of variables that nobody observes together (I)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from coplay.core.facts import Facts
from coplay.core.space import Samples, Space, Variable, pick, tensors
from coplay.theory.completion import mattering, possible_correlations
from coplay.theory.identifiability import correlation_interval, frechet_bounds, pairs_apart

if TYPE_CHECKING:
    from coplay.run.preparing import Prepared

MOST_PAIRS = 200
"""Most pairs whose bounds are worked out."""

UNREAD = "not all rows are here to be read"
"""Why no bounds are known where sites keep their rows."""

_MOST_ROWS = 200_000  # of a site that moments are taken of
_AT_ONCE = 100_000  # rows that are looked through for missing values
_FEWEST = 2  # rows that make a correlation
_SEMIDEFINITE = 1e-6  # least eigenvalue of correlations that come from several sites


@dataclass(frozen=True)
class Column:
    """One variable of the rows of one site.

    Args:
        values: Shape (n,); numbers, or those of categories.
        present: Which are no missing values, shape (n,), bool.
    """

    values: Tensor
    present: Tensor


@dataclass(frozen=True)
class Rows:
    """What a site observes.

    Args:
        space: Its variables.
        columns: Those of them that are one number or category per row.
    """

    space: Space
    columns: Mapping[str, Column]


@dataclass(frozen=True)
class OpenPair:
    """Between what it lies how two variables go together.

    Args:
        variables: The two.
        of: ``probability`` of two categories, for those whose bounds are furthest apart;
            ``correlation`` of two numbers; empty where no bounds are known.
        low: The least value.
        high: The largest one.
        categories: The two categories, for a probability.
        given: The variables that both are observed with, and that narrow the bounds.
        why: Why no bounds are known; empty where they are.
    """

    variables: tuple[str, str]
    of: str = ""
    low: float | None = None
    high: float | None = None
    categories: Sequence[str] = ()
    given: Sequence[str] = ()
    why: str = ""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :func:`dataclasses.asdict`."""
        one, other = values["variables"]
        return cls(**{**values, "variables": (one, other)})


def unseen_pairs(players: Iterable[Facts]) -> list[tuple[str, str]]:
    """Return the pairs of variables that no player observes both of."""
    everything: dict[str, None] = {}
    observed = []
    for each in players:
        everything |= dict.fromkeys(each.variables)
        observed.append([name for name in each.variables if name not in each.unobserved])
    pairs = pairs_apart(observed, sorted(everything))
    order = {name: place for place, name in enumerate(everything)}
    return sorted(pairs, key=lambda pair: (order[pair[0]], order[pair[1]]))


def open_here(prepared: Prepared) -> list[OpenPair]:
    """Return the pairs that nobody observes together, with what the rows here leave open of them.

    Two columns that one site has are such a pair, too, where never a row has a value of both.
    """
    apart = unseen_pairs(prepared.facts.values())
    held = dict(_rows(prepared))
    if len(held) == len(prepared.facts):
        apart += _never_in_a_row(prepared.facts, held, apart)
    return open_pairs(apart, rows_here(prepared) if apart else {}, len(prepared.facts))


def rows_here(prepared: Prepared) -> dict[str, Rows]:
    """Return the rows that a plan may read: a pool's, and tables that the config itself names.

    A site with a file of its own tells what that file lets it tell, and its rows are left alone.
    """
    rows = {}
    for name, samples in _rows(prepared):
        variables = prepared.facts[name].variables
        rows[name] = rows_of(samples, variables)
    return rows


def rows_of(samples: Samples, space: Space) -> Rows:
    """Return the columns of samples; of very many rows, evenly spread ones.

    Args:
        samples: What is observed.
        space: Its variables.
    """
    stride = -(-max(1, len(samples)) // _MOST_ROWS)
    columns = {}
    for variable, values in tensors(samples).items():
        if variable in space and space[variable].size == 1:
            columns[variable] = _column(space[variable], values[::stride])
    return Rows(space, columns)


def _rows(prepared: Prepared) -> Iterator[tuple[str, Samples]]:
    """Yield the players whose rows are here, with these."""
    for name in prepared.facts:
        samples = None
        if prepared.sites is not None and name in prepared.sites.data:
            samples = prepared.sites.data[name]
        own = prepared.own.get(name)
        if own is not None and own.held is not None and not own.has_site_file:
            samples = own.held.train
        if samples is not None:
            yield name, samples


def _never_in_a_row(
    facts: Mapping[str, Facts], held: Mapping[str, Samples], apart: Sequence[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Return further pairs: of variables that are never there in one row."""
    names: dict[str, None] = {}
    for each in facts.values():
        names |= {name: None for name in each.variables if each.variables[name].size == 1}
    together = set(map(frozenset, apart))
    for player, samples in held.items():
        space = facts[player].variables
        here = [name for name in names if name in space and name in samples.keys()]
        for start in range(0, len(samples) if len(here) > 1 else 0, _AT_ONCE):
            part = pick(samples, slice(start, start + _AT_ONCE))
            there = [_column(space[name], part[name]).present for name in here]
            table = torch.stack(there, 1).float()
            for i, j in (table.T @ table).nonzero().tolist():
                together.add(frozenset((here[i], here[j])))
    return [pair for pair in _two_of(list(names)) if frozenset(pair) not in together]


def _two_of(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            yield one, other


def _column(variable: Variable, values: Tensor) -> Column:
    # values may be missing at a site where agreed ones may not
    optional = variable.model_copy(update={"optional": True})
    return Column(values.flatten().double(), optional.present(values).flatten())


def open_pairs(
    apart: Sequence[tuple[str, str]], rows: Mapping[str, Rows], players: int
) -> list[OpenPair]:
    """Return what rows leave open of pairs that nobody observes together.

    Correlations and shares are those of the rows of all sites that observe what is asked, so the
    bounds hold where their populations are alike.

    Args:
        apart: The pairs.
        rows: Rows by player.
        players: How many players there are; without the rows of all, no bounds are worked out.
    """
    if len(rows) < players:
        return [OpenPair(pair, why=UNREAD) for pair in apart]
    known = _Correlations(rows)
    pairs = [_open(pair, rows, known) for pair in apart[:MOST_PAIRS]]
    why = f"bounds are worked out for {MOST_PAIRS} pairs at most"
    return pairs + [OpenPair(pair, why=why) for pair in apart[MOST_PAIRS:]]


def _open(pair: tuple[str, str], rows: Mapping[str, Rows], known: _Correlations) -> OpenPair:
    """Return the bounds of one pair."""
    for name in pair:
        holders = [each for each in rows.values() if name in each.space]
        if holders[0].space[name].size > 1:
            return OpenPair(pair, why=f"'{name}' is no single number or category")
        if not any(name in each.columns for each in holders):
            return OpenPair(pair, why=f"nobody observes '{name}'")
    if all(_categories(name, rows) for name in pair):
        return _of_categories(pair, rows)
    if all(_categories(name, rows) <= 2 for name in pair):
        return _of_numbers(pair, rows, known)
    return OpenPair(pair, why="no bound is known for a number and more than two categories")


def _categories(name: str, rows: Mapping[str, Rows]) -> int:
    """Return how many categories a variable has; 0 for a number."""
    variable = next(each.space[name] for each in rows.values() if name in each.space)
    return 2 if variable.kind == "binary" else variable.classes or 0


def _category(name: str, place: int, rows: Mapping[str, Rows]) -> str:
    variable = next(each.space[name] for each in rows.values() if name in each.space)
    return variable.class_names[place] if variable.class_names else str(place)


def _together(names: Sequence[str], rows: Mapping[str, Rows]) -> Tensor:
    """Return all rows that have several variables, shape (n, V)."""
    parts = [torch.zeros(0, len(names), dtype=torch.float64)]
    for each in rows.values():
        if all(name in each.columns for name in names):
            columns = [each.columns[name] for name in names]
            complete = torch.stack([column.present for column in columns]).all(0)
            parts.append(torch.stack([column.values for column in columns], 1)[complete])
    return torch.cat(parts)


def _names(rows: Mapping[str, Rows]) -> list[str]:
    """Return all variables that somebody observes, in order."""
    return list(dict.fromkeys(name for each in rows.values() for name in each.columns))


def _of_categories(pair: tuple[str, str], rows: Mapping[str, Rows]) -> OpenPair:
    """Return Fréchet's bounds, within each value of the third variable that narrows them most."""
    alone = [_counts([name], rows) for name in pair]
    if not all(counts.sum() for counts in alone):
        return OpenPair(pair, why="too few rows have a value of both")
    one, other = (counts / counts.sum() for counts in alone)
    best = frechet_bounds(one, other)
    given: list[str] = []
    for third in _names(rows):
        if third in pair or not _categories(third, rows):
            continue
        narrowed = _within(pair, third, rows)
        if narrowed is not None and _width(narrowed) < _width(best) - 1e-12:
            best = narrowed
            given = [third]
    low, high = best
    place = int((high - low).argmax())
    row, column = divmod(place, low.shape[1])
    categories = (_category(pair[0], row, rows), _category(pair[1], column, rows))
    return OpenPair(
        pair, "probability", low[row, column].item(), high[row, column].item(), categories, given
    )


def _counts(names: Sequence[str], rows: Mapping[str, Rows]) -> Tensor:
    """Return how many rows have each combination of categories, one axis for each variable."""
    values = _together(names, rows).long()
    sizes = [_categories(name, rows) for name in names]
    counts = torch.zeros(sizes, dtype=torch.float64)
    return counts.index_put(
        tuple(values.T), torch.ones(len(values), dtype=torch.float64), accumulate=True
    )


def _within(
    pair: tuple[str, str], third: str, rows: Mapping[str, Rows]
) -> tuple[Tensor, Tensor] | None:
    """Return the bounds within each value of a third variable; None where some are unknown."""
    given = _counts([third], rows)
    tables = [_counts([third, name], rows) for name in pair]
    values = given > 0
    if not values.any() or any((table.sum(1)[values] == 0).any() for table in tables):
        return None
    p, q = (table[values] / table[values].sum(1, keepdim=True) for table in tables)
    return frechet_bounds(p, q, given[values] / given.sum())


def _width(bounds: tuple[Tensor, Tensor]) -> float:
    return (bounds[1] - bounds[0]).sum().item()


class _Correlations:
    """Correlations of all rows that have two variables, each worked out once.

    Args:
        rows: Rows by player.
    """

    def __init__(self, rows: Mapping[str, Rows]) -> None:
        self.rows = rows
        self._known: dict[frozenset[str], float] = {}

    def of(self, one: str, other: str) -> float:
        """Return a correlation; NaN where there is none."""
        pair = frozenset((one, other))
        if pair not in self._known:
            self._known[pair] = self._compute(one, other)
        return self._known[pair]

    def among(self, names: Sequence[str]) -> Tensor:
        """Return all correlations of some variables, shape (V, V); NaN where there is none."""
        matrix = torch.eye(len(names), dtype=torch.float64)
        for i, one in enumerate(names):
            for j in range(i):
                matrix[i, j] = matrix[j, i] = self.of(one, names[j])
        return matrix

    def _compute(self, one: str, other: str) -> float:
        both = _together([one, other], self.rows)
        return correlation(both) if len(both) >= _FEWEST else torch.nan


def correlation(both: Tensor) -> float:
    """Return the correlation of rows of two numbers, shape (n, 2); NaN where one is constant."""
    centred = both - both.mean(0)
    scale = centred.square().sum(0).sqrt()
    if (scale == 0).any():
        return torch.nan
    return ((centred[:, 0] / scale[0]) @ (centred[:, 1] / scale[1])).item()


def _of_numbers(pair: tuple[str, str], rows: Mapping[str, Rows], known: _Correlations) -> OpenPair:
    """Return the interval of a correlation that leaves all known ones those of a distribution."""
    others = []
    for name in _names(rows):
        if name not in pair and _categories(name, rows) <= 2:
            others.append(name)
    matrix = known.among([*pair, *others])
    interval = possible_correlations(matrix, 0, 1)
    if interval is None:  # correlations of several sites contradict each other, or are very many
        return _by_some(pair, others, known)
    chosen = [others[place - 2] for place in mattering(matrix, 0, 1)[2:]]
    return OpenPair(pair, "correlation", *interval, (), chosen)


def _by_some(pair: tuple[str, str], others: Sequence[str], known: _Correlations) -> OpenPair:
    """Return the interval by as many others as fit, each known with both and with each other."""
    chosen: list[str] = []
    interval = (-1.0, 1.0)
    for third in others:
        trial = [*chosen, third]
        narrowed = _by_others(known.among([*trial, *pair]))
        if narrowed is not None:
            chosen = trial
            interval = narrowed
    return OpenPair(pair, "correlation", max(interval[0], -1), min(interval[1], 1), (), chosen)


def _by_others(matrix: Tensor) -> tuple[float, float] | None:
    """Return the interval of the last two; None where a correlation is unknown or they do not fit.

    Correlations come from different sites and may not fit together: they must be those of some
    distribution, with each of the two variables added.
    """
    count = len(matrix) - 2
    for last in (count, count + 1):
        places = torch.tensor([*range(count), last])
        block = matrix[places][:, places]
        if block.isnan().any() or torch.linalg.eigvalsh(block)[0] < _SEMIDEFINITE:
            return None
    return correlation_interval(matrix[count, :count], matrix[-1, :count], matrix[:count, :count])
