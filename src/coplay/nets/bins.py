"""Columns as levels: classes and bits as they are, counts and real numbers in bins.

A column is one number of one variable. Classes and bits are levels already. A count or a real
number has bins [e_0, e_1), …, [e_{m-1}, e_m) between quantiles of what was learned from, one more
below them and one above. The j-th of K edges is the quantile of sin²(πj/2K), so that tails have
narrow bins, too, and each bin has at least five rows. Inside a bin the density is uniform; beyond
the outermost edges, where the variable has no limit, it falls exponentially, of counts
geometrically. So

    p(x) = P(level of x) · p(x | level),

which integrates to 1 in the variable's own units. A real value that occurs again and again, such as
a 0 for "none", has a bin of its own, as narrow as a rounding error, from which the value itself is
drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from coplay.core.scaling import allowed
from coplay.core.space import Samples, Space, Variable
from coplay.core.subset import Subset
from coplay.nets.bin_edges import edges_of, parts_of, point_width

_ROWS = 200_000  # that edges are fitted on, at most
_COARSE = 0.1  # mass in one bin, beyond what is usual, from which bins are fitted anew


class Bins:
    """The levels of all columns of a space, fitted on data as they come.

    Columns are in the space's order, and inside a variable in the order of memory. A variable's
    bins are fitted on the first samples that have it. Should later ones crowd in a single bin, or
    beyond the outermost, they are fitted anew.

    Args:
        space: The variables.
        count: Bins of a count or a real number, between the outermost edges; at least 4.

    Example:
        >>> space = Space({"age": Variable(kind="real", low=0), "sex": Variable(kind="binary")})
        >>> bins = Bins(space, 4)
        >>> people = space.samples(
        ...     age=torch.arange(80.0), sex=torch.tensor([0, 1], dtype=torch.uint8).repeat(40))
        >>> _ = bins.follow([people], [1.0])
        >>> bins.edges[0].tolist()[:4], bins.levels(people)[[0, 21, 79]].tolist()
        ([0.0, 11.5, 39.5, 67.5], [[1, 0], [2, 1], [4, 1]])
    """

    def __init__(self, space: Space, count: int) -> None:
        self.space = space
        self.count = count
        self.columns: dict[str, slice] = {}
        self.sizes: list[int] = []
        """Levels of every column."""
        self.binned: list[bool] = []
        """Whether a column has bins."""
        self.known = {name: False for name in space}
        """Whether bins and frequencies of a variable are fitted."""
        self._rows: dict[str, slice] = {}  # of a binned variable among the edges
        self._dtypes = {name: space[name].dtypes[0] for name in space}
        edges: list[Tensor] = []
        for name in space:
            v = space[name]
            is_binned = v.kind in ("count", "real")
            levels = count + 2 if is_binned else v.classes or 2
            self.columns[name] = slice(len(self.sizes), len(self.sizes) + v.size)
            self.sizes += [levels] * v.size
            self.binned += [is_binned] * v.size
            if is_binned:
                self._rows[name] = slice(len(edges), len(edges) + v.size)
                edges += [_first_edges(v, count)] * v.size
        self.edges = torch.stack(edges) if edges else torch.zeros(0, count + 1).double()
        """Edges of the binned columns, float64, shape (columns, count + 1); the last repeats."""
        self.points = torch.zeros(len(edges), count + 2, dtype=torch.bool)
        """Which levels stand for a single value, shape (columns, count + 2)."""
        self.tails = torch.ones(len(edges), dtype=torch.float64)
        """Mean distance beyond the outermost edges where there is no limit."""
        self.frequencies: list[Tensor] = []
        """Of the levels of every column, float64; 0 for a level that no value can have."""
        for name in space:
            usable = self._usable(name)
            self.frequencies += list(usable.double() / usable.sum(1, keepdim=True))

    @property
    def known_columns(self) -> Tensor:
        """Which columns are fitted, bool, shape (D,)."""
        known = [torch.full((self.space[name].size,), self.known[name]) for name in self.space]
        return torch.cat(known)

    # ------------------------------------------------------------------------------------ fitting

    def follow(self, sources: Sequence[Samples], weights: Sequence[float]) -> bool:
        """Fit variables that are there for the first time, or whose bins have become too coarse.

        Args:
            sources: Sample sets; each may lack variables.
            weights: Their masses.

        Returns:
            Whether bins that were in use have changed.
        """
        changed = False
        for name in self.space:
            pooled = self._pooled(name, sources, weights)
            if pooled is None:
                continue
            values, masses = pooled
            before = self.edges.clone()
            if not self.known[name]:
                self._fit(name, values, masses)
            elif name in self._rows and self._is_coarse(name, values, masses):
                self._fit(name, values, masses)
                changed = changed or not torch.equal(before, self.edges)
        return changed

    def _pooled(
        self, name: str, sources: Sequence[Samples], weights: Sequence[float]
    ) -> tuple[Tensor, Tensor] | None:
        """Return a variable's values, (n, its columns), and the mass of each row; None without."""
        values = []
        masses = []
        for samples, weight in zip(sources, weights, strict=True):
            if name in samples.keys() and len(samples) and weight > 0:
                stride = -(-len(samples) // _ROWS)
                rows = samples[name][::stride].cpu()
                values.append(rows.reshape(len(rows), -1))
                masses.append(torch.full((len(rows),), weight / len(rows), dtype=torch.float64))
                if rows.is_floating_point() and not self.known[name]:
                    self._dtypes[name] = rows.dtype
        if not values:
            return None
        return torch.cat(values), torch.cat(masses)

    def _fit(self, name: str, values: Tensor, masses: Tensor) -> None:
        v = self.space[name]
        columns = range(*self.columns[name].indices(len(self.sizes)))
        there = self._there(name, values)
        if name in self._rows:
            for i in range(v.size):
                has = there[:, i]
                if has.any():
                    self._fit_bins(v, self._rows[name].start + i, values[has, i], masses[has])
        levels = self._levels_of(name, values)
        usable = self._usable(name)
        for i, column in enumerate(columns):
            has = there[:, i]
            n = int(has.sum())
            counts = torch.zeros(self.sizes[column], dtype=torch.float64)
            counts.index_add_(0, levels[has, i], masses[has])
            share = counts / counts.sum().clamp_min(1e-300)
            # as if one more row were spread over all levels: none is impossible
            prior = usable[i].double() / usable[i].sum()
            self.frequencies[column] = (n * share + prior) / (n + 1)
        self.known[name] = True

    def _fit_bins(self, v: Variable, row: int, values: Tensor, masses: Tensor) -> None:
        edges, points = edges_of(values.double(), masses, self.count, v.kind == "count")
        low, high = _limits(v)
        if points[-1]:  # the end of the range itself may be such a value
            high = max(high, edges[-1].item())
        edges = edges.clamp(low, high)
        self.edges[row] = edges[-1]
        self.edges[row, : len(edges)] = edges
        self.points[row] = False
        self.points[row, 1 : 1 + len(points)] = points
        spread = (edges[-1] - edges[0]).item() / 10
        self.tails[row] = max(spread, 1e-3 * abs(edges[0].item()), 1e-9)

    def _is_coarse(self, name: str, values: Tensor, masses: Tensor) -> bool:
        """Whether one bin that could be cut holds far more than its share."""
        starts, ends = self._intervals(name)
        cuttable = ~self.points[self._rows[name]]
        if self.space[name].kind == "count":
            cuttable &= ends - starts > 1
        levels = self._levels_of(name, values)
        there = self._there(name, values)
        mass = torch.zeros(levels.shape[1], self.count + 2, dtype=torch.float64)
        mass.scatter_add_(1, levels.T.clamp_min(0), (masses[:, None] * there).T)
        mass = mass / mass.sum(1, keepdim=True).clamp_min(1e-300)
        most = _COARSE + 2 / parts_of(len(values), self.count)
        return bool((mass * cuttable > most).any())

    # ------------------------------------------------------------------------------ there and back

    def levels(self, samples: Samples) -> Tensor:
        """Return the level of every column, int64, shape (n, D); -1 where a value is missing."""
        levels = torch.full((len(samples), len(self.sizes)), -1)
        for name, columns in self.columns.items():
            if name in samples.keys():
                values = samples[name].cpu().reshape(len(samples), self.space[name].size)
                levels[:, columns] = self._levels_of(name, values)
        return levels

    def log_inside(self, samples: Samples, levels: Tensor) -> Tensor:
        """Return the log density of values inside their levels, float64, shape (n, D).

        Args:
            samples: n samples.
            levels: What :meth:`levels` returned for them. It is 0 where a value is missing.
        """
        inside = torch.zeros(levels.shape, dtype=torch.float64)
        for name in self._rows:
            if name not in samples.keys():
                continue
            columns = self.columns[name]
            values = samples[name].cpu().reshape(len(samples), self.space[name].size).double()
            start, end, tail = self._at(name, levels[:, columns].clamp_min(0))
            away = torch.where(start.isinf(), end - values, values - start)
            if self.space[name].kind == "count":
                falling = away * (tail / (1 + tail)).log() - (1 + tail).log()
            else:
                falling = -tail.log() - away / tail
            width = end - start
            inside[:, columns] = torch.where(width.isinf(), falling, -width.log())
        return torch.where(levels >= 0, inside, 0.0)

    def values(self, levels: Tensor, generator: torch.Generator) -> Samples:
        """Draw values inside their levels, of shape (n, D); all variables of the space."""
        values = {}
        n = len(levels)
        for name, columns in self.columns.items():
            v = self.space[name]
            drawn = levels[:, columns]
            if name in self._rows:
                u = torch.rand(drawn.shape, generator=generator, dtype=torch.float64)
                drawn = self._inside(name, drawn, u)
            numbers = allowed(drawn.double(), v, self._dtypes[name])
            values[name] = numbers.reshape(n, *v.shape)
        return self.space.samples(**values)

    def within(self, name: str, subset: Subset) -> tuple[Tensor, Tensor] | None:
        """Return which part of each level of a variable that is one number lies in a subset.

        A value inside a level is a function of one number u, uniform in [0, 1), that never turns;
        so the values in a range are those of an interval of u.

        Args:
            name: The variable.
            subset: A range, or some levels of a variable without bins.

        Returns:
            The interval of each level, its beginning and its end, float64, shape (levels,) each;
            None for a list of values of a variable with bins.
        """
        size = self.sizes[self.columns[name].start]
        if name not in self._rows:
            allowed = subset.holds(torch.arange(size)).double()
            return torch.zeros(size, dtype=torch.float64), allowed
        if subset.values is not None:
            return None
        start, end, tail = (each[:, 0] for each in self._at(name, torch.arange(size)[:, None]))
        low, high = subset.ends(self._dtypes[name])
        points = self.points[self._rows[name]][0]
        is_allowed = ((start >= low) & (start <= high)).double()
        if self.space[name].kind == "count":
            # a count is the whole number below
            low = math.ceil(low) if math.isfinite(low) else low
            high = math.floor(high) + 1 if math.isfinite(high) else high
            tail = 1 / ((1 + tail) / tail).log()
            points = torch.zeros_like(points)
        begin, finish = (_share_below(a, start, end, tail) for a in (low, high))
        begin = torch.where(points, 0.0, begin)
        finish = torch.where(points, is_allowed, finish)
        down = start.isinf()  # below the outermost edge values fall with u
        begin, finish = torch.where(down, 1 - finish, begin), torch.where(down, 1 - begin, finish)
        return begin, finish.maximum(begin)

    def drawn_within(self, name: str, levels: Tensor, u: Tensor, subset: Subset) -> Tensor:
        """Return the values of places inside levels, shape (n,); none leaves the subset.

        Args:
            name: A variable that is one number.
            levels: Its levels, shape (n,).
            u: Places in the intervals of :meth:`within`, float64, shape (n,).
            subset: What the values lie in.
        """
        v = self.space[name]
        drawn = levels
        if name in self._rows:
            drawn = self._inside(name, levels[:, None], u[:, None])[:, 0]
        values = allowed(drawn.double(), v, self._dtypes[name])
        if v.kind != "real":
            return values
        low, high = subset.ends(values.dtype)  # rounding may lead out of it
        return values.clamp(low, high)

    def _inside(self, name: str, levels: Tensor, u: Tensor) -> Tensor:
        """Return the values at places u in [0, 1) of their levels, from the inner end outwards."""
        start, end, tail = self._at(name, levels)
        far = -(-u).log1p()  # exponentially distributed
        if self.space[name].kind == "count":
            away = (far / ((1 + tail) / tail).log()).floor()
            return torch.where(end.isinf(), start + away, (start + u * (end - start)).floor())
        points = self.points[self._rows[name]].T.gather(0, levels)
        between = torch.where(points, start, torch.lerp(start, end, u))
        between = torch.where(start.isinf(), end - far * tail, between)
        return torch.where(end.isinf(), start + far * tail, between)

    def _levels_of(self, name: str, values: Tensor) -> Tensor:
        """Return levels of a variable's values, (n, its columns); -1 where one is missing."""
        there = self._there(name, values)
        if name not in self._rows:
            return torch.where(there, values.long(), -1)
        starts, ends = self._intervals(name)
        lowest, end = starts[:, :1], ends[:, -1:]
        below = torch.nextafter(end, lowest)  # the end of a range counts to the bin below it
        inside = values.T.double().clamp(lowest, below).contiguous()
        levels = torch.searchsorted(self.edges[self._rows[name]], inside, right=True).T
        return torch.where(there, levels, -1)

    def _there(self, name: str, values: Tensor) -> Tensor:
        v = self.space[name]
        if v.kind == "real":
            return ~values.isnan()
        return values != v.missing

    def _intervals(self, name: str) -> tuple[Tensor, Tensor]:
        """Return where the levels of a binned variable start and end, (columns, levels) each."""
        edges = self.edges[self._rows[name]]
        low, high = _limits(self.space[name])
        ends = torch.tensor([low, high], dtype=torch.float64).repeat(len(edges), 1)
        ends[:, 1] = ends[:, 1].maximum(edges[:, -1])
        return torch.cat([ends[:, :1], edges], 1), torch.cat([edges, ends[:, 1:]], 1)

    def _at(self, name: str, levels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return start, end and tail of levels of shape (n, columns)."""
        starts, ends = self._intervals(name)
        tails = self.tails[self._rows[name]].expand(levels.shape)
        return starts.T.gather(0, levels), ends.T.gather(0, levels), tails

    def _usable(self, name: str) -> Tensor:
        """Return which levels a value can have, bool, shape (the variable's columns, levels)."""
        if name not in self._rows:
            v = self.space[name]
            return torch.ones(v.size, v.classes or 2, dtype=torch.bool)
        starts, ends = self._intervals(name)
        return ends > starts

    # -------------------------------------------------------------------------------------- state

    def state_dict(self) -> dict[str, Tensor]:
        """Return edges, frequencies and what is known of them."""
        known = [self.known[name] for name in self.space]
        types = {f"type/{name}": torch.zeros((), dtype=self._dtypes[name]) for name in self.space}
        return {
            "edges": self.edges,
            "points": self.points,
            "tails": self.tails,
            "frequencies": torch.cat(self.frequencies),
            "known": torch.tensor(known),
            **types,
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state returned by :meth:`state_dict`."""
        self.edges = state["edges"].clone()
        self.points = state["points"].clone()
        self.tails = state["tails"].clone()
        self.frequencies = list(state["frequencies"].clone().split(self.sizes))
        for name, known in zip(self.space, state["known"].tolist(), strict=True):
            self.known[name] = known
            self._dtypes[name] = state[f"type/{name}"].dtype


def _limits(v: Variable) -> tuple[float, float]:
    """Return the range of a variable; one that has a single value has the width of a point."""
    low, high = v.range
    if high > low:
        return low, high
    return low, low + point_width(low, low)


def _share_below(value: float, start: Tensor, end: Tensor, tail: Tensor) -> Tensor:
    """Return P(x < value | level) of all levels; those beyond the edges fall exponentially."""
    falling = torch.where(start.isinf(), (end - value) / tail, (value - start) / tail)
    falling = 1 - (-falling.clamp_min(0)).exp()
    falling = torch.where(start.isinf(), 1 - falling, falling)
    even = ((value - start) / (end - start)).nan_to_num(0.0, 1.0, 0.0).clamp(0, 1)
    return torch.where(start.isinf() | end.isinf(), falling, even)


def _first_edges(v: Variable, count: int) -> Tensor:
    """Return the edges before any are fitted: of the range, or of numbers of order one."""
    if v.kind == "count":
        return torch.arange(count + 1, dtype=torch.float64)
    low, high = _limits(v)
    if math.isinf(low):
        low = min(high, 3.0) - 6
    if math.isinf(high):
        high = low + 6
    return torch.linspace(low, high, count + 1, dtype=torch.float64)
