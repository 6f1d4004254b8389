"""Gibbs sampling with one conditional p(v | rest) per variable: it draws what is missing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor, nn

from coplay.core.space import Samples, Variable
from coplay.nets.conditional import Conditional, Independent, chain_start
from coplay.nets.critic import Comparison, Critic

Values = dict[str, Tensor]
"""One tensor per variable, latents included, rows first."""


class Gibbs(nn.Module):
    """The conditionals of all variables, and chains that draw with them, one chain a row.

    Args:
        variables: By name.
        sees: Names of the variables that each conditional is given, by target.
        conditionals: One per variable, in their order.
        critics: Critics of some variables, by name; drawing does not use them.
        starts: Conditionals that a chain may start from, by name: p(v | some of the rest).

    ``known`` says, in the order of the variables, which of them were learned in an earlier turn,
    for its caller to use; it is part of the state.

    Example:
        >>> from coplay.nets.conditional import build_conditional
        >>> from coplay.nets.variables import Sizes
        >>> bits = {"a": Variable(kind="binary"), "b": Variable(kind="binary")}
        >>> sees = {"a": ["b"], "b": ["a"]}
        >>> sizes = Sizes(channels=1, hidden=4, image_latents=1)
        >>> networks = [build_conditional(name, bits, sees[name], None, sizes) for name in bits]
        >>> gibbs = Gibbs(bits, sees, networks)
        >>> generator = torch.Generator().manual_seed(1)
        >>> known = Samples({"a": torch.tensor([0, 1, 1], dtype=torch.uint8)}, batch_size=[3])
        >>> values, missing = gibbs.begin([known], generator)
        >>> with torch.no_grad():
        ...     last = gibbs.sweep(values, missing, 5, generator)
        >>> values["a"].tolist(), values["b"].shape, last["b"].all()
        ([0, 1, 1], torch.Size([3]), tensor(True))
    """

    def __init__(
        self,
        variables: Mapping[str, Variable],
        sees: Mapping[str, list[str]],
        conditionals: Sequence[Conditional],
        critics: Mapping[str, Critic] | None = None,
        starts: Mapping[str, Conditional] | None = None,
    ) -> None:
        super().__init__()
        self.variables = dict(variables)
        self.sees = dict(sees)
        self.conditionals = nn.ModuleList(conditionals)
        self.judges = nn.ModuleDict(critics or {})  # their name in checkpoints
        self.starts = nn.ModuleDict(starts or {})
        self.limits: dict[str, tuple[Tensor, Tensor]] = {}
        """Smallest and largest values of variables, to which draws are moved; not in the state."""
        self.known: Tensor
        self.register_buffer("known", torch.zeros(len(self.variables), dtype=torch.bool))

    def observe(self, names: Collection[str]) -> None:
        """Mark variables as known from now on, besides those that are already."""
        self.known |= torch.tensor([name in names for name in self.variables]).to(self.known.device)

    def knows(self, name: str) -> bool:
        """Whether a variable is known."""
        return bool(self.known[list(self.variables).index(name)])

    def of(self, name: str) -> Conditional:
        """Return the conditional of a variable."""
        return self.conditionals[list(self.variables).index(name)]  # type: ignore[return-value]

    def critic(self, name: str) -> Critic:
        """Return the critic of a variable."""
        return self.judges[name]  # type: ignore[return-value]

    def start(self, name: str) -> Conditional:
        """Return the conditional that a chain starts a variable from: by default its own."""
        start = self.starts[name] if name in self.starts else self.of(name)
        return start  # type: ignore[return-value]

    def given(self, name: str, values: Values, rows: Tensor | slice = slice(None)) -> Values:
        """Return the inputs of a variable's conditional in some rows."""
        return {g: values[g][rows] for g in self.sees[name]}

    def begin(self, parts: Sequence[Samples], generator: torch.Generator) -> tuple[Values, Values]:
        """Put the rows of all parts one after the other.

        Where a part lacks a variable, a chain starts from values that other parts have observed of
        it, drawn at random, so that conditionals learn from real values while draws are still poor;
        from noise where no part has it.

        Returns:
            Values, including those that a chain starts from; and which rows miss a variable, shape
            (n,) by its name.
        """
        values: Values = {}
        missing: Values = {}
        for name, v in self.variables.items():
            observed = [part[name] for part in parts if name in part.keys()]
            columns = []
            lacking = []
            for part in parts:
                lacks = name not in part.keys()
                column = _starts(v, observed, len(part), generator) if lacks else part[name]
                columns.append(column.to(self.known.device))
                lacking.append(torch.full((len(part),), lacks))
            values[name] = torch.cat(columns).to(v.dtypes[0])  # as draws are
            missing[name] = torch.cat(lacking)
        return values, missing

    def sweep(
        self, values: Values, missing: Values, sweeps: int, generator: torch.Generator
    ) -> Values:
        """Draw what is missing, in place, each sweep in an order of its own.

        Returns:
            Which rows drew a variable last, shape (n,) by its name.
        """
        names = [name for name in self.variables if missing[name].any()]
        last = {name: torch.zeros_like(rows) for name, rows in missing.items()}
        if len(names) <= 1:  # one draw of a single variable given the rest is exact
            sweeps = 1
        for _ in range(sweeps):
            for k in torch.randperm(len(names), generator=generator).tolist():
                drawn = names[k]
                self.redraw(drawn, values, missing[drawn], generator)
                for name in names:
                    last[name] = last[name] & ~missing[drawn]
                last[drawn] = missing[drawn]
        return last

    def redraw(self, name: str, values: Values, rows: Tensor, generator: torch.Generator) -> None:
        """Draw one variable of some rows anew, in place."""
        drawn = self.of(name).draw(self.given(name, values, rows), generator)
        if name in self.limits:
            least, most = (end.to(drawn.device) for end in self.limits[name])
            drawn = torch.minimum(torch.maximum(drawn, least), most)
        values[name][rows] = drawn

    def one_more_draw(
        self, readers: Sequence[str], values: Values, rows: Tensor, generator: torch.Generator
    ) -> Values:
        """Go on with the chains of some rows by one draw of one of the readers.

        Returns:
            The values after it; those given stay as they are.
        """
        reader = readers[int(torch.randint(len(readers), (1,), generator=generator))]
        changed = {**values, reader: values[reader].clone()}
        self.redraw(reader, changed, rows, generator)
        return changed

    def comparison(
        self,
        name: str,
        values: Values,
        observed: Tensor,
        drawn: Tensor,
        generator: torch.Generator,
    ) -> Comparison:
        """Return rows with a variable observed beside rows for which it is drawn once more.

        Args:
            name: Of the variable; it has a critic, and its conditional draws bits.
            values: By name.
            observed: Which rows have it observed, shape (n,).
            drawn: Which rows have it drawn, shape (n,).
            generator: Source of the draw, through which gradients pass.
        """
        critic = self.critic(name)
        conditional = self.of(name)
        assert isinstance(conditional, Independent)
        given = self.given(name, values, drawn)
        return Comparison(
            critic,
            observed=values[name][observed],
            of_observed={t: values[t][observed] for t in critic.context},
            drawn=conditional.draw_straight_through(given, generator),
            of_drawn={t: values[t][drawn] for t in critic.context},
        )


def _starts(v: Variable, observed: list[Tensor], n: int, generator: torch.Generator) -> Tensor:
    """n values that were observed, in random order; noise where none was."""
    pool = torch.cat(observed) if observed else torch.empty(0)
    if not len(pool):
        return chain_start(v, n, generator)
    return pool[torch.randint(len(pool), (n,), generator=generator)]
