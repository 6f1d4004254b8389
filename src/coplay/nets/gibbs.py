"""Gibbs sampling with one conditional p(v | rest) per variable: what is missing is drawn, what is there stays."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor, nn

from coplay.core.space import Samples, Variable
from coplay.nets.conditional import Conditional, start
from coplay.nets.critic import Judge

Values = dict[str, Tensor]
"""One tensor per variable, latents included, rows first."""


class Gibbs(nn.Module):
    """The conditionals of all variables, and chains that draw with them, one chain a row.

    Args:
        variables: By name.
        sees: What each conditional is given, by target.
        conditionals: One per variable, in their order.
        judges: Of some variables, by name; drawing makes no use of them.
        starts: What a chain may start from, by name: p(v | some of the rest).

    ``known`` says, in that order, which variables an earlier turn has taught, for its caller to use; it is part of the state.

    Example:
        >>> from coplay.nets.conditional import Sizes, conditional
        >>> bits = {name: Variable(kind="binary") for name in "ab"}
        >>> sees = {"a": ["b"], "b": ["a"]}
        >>> gibbs = Gibbs(bits, sees, [conditional(name, bits, sees[name], None, Sizes(1, 4, 1)) for name in bits])
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
        judges: Mapping[str, Judge] | None = None,
        starts: Mapping[str, Conditional] | None = None,
    ) -> None:
        super().__init__()
        self.variables, self.sees = dict(variables), dict(sees)
        self.conditionals = nn.ModuleList(conditionals)
        self.judges, self.starts = nn.ModuleDict(judges or {}), nn.ModuleDict(starts or {})
        self.known: Tensor
        self.register_buffer("known", torch.zeros(len(self.variables), dtype=torch.bool))

    def observe(self, names: Collection[str]) -> None:
        """From now on these are known, and what was stays so."""
        self.known |= torch.tensor([name in names for name in self.variables]).to(self.known.device)

    def knows(self, name: str) -> bool:
        """Whether this one is known."""
        return bool(self.known[list(self.variables).index(name)])

    def of(self, name: str) -> Conditional:
        """The conditional of a variable."""
        return self.conditionals[list(self.variables).index(name)]  # type: ignore[return-value]

    def judge(self, name: str) -> Judge:
        """The judge of a variable."""
        return self.judges[name]  # type: ignore[return-value]

    def start(self, name: str) -> Conditional:
        """What a chain draws a variable from at its start: its conditional, if there is nothing else."""
        return self.starts[name] if name in self.starts else self.of(name)  # type: ignore[return-value]

    def given(self, name: str, values: Values, rows: Tensor | slice = slice(None)) -> Values:
        """What the conditional of a variable sees of some rows."""
        return {g: values[g][rows] for g in self.sees[name]}

    def begin(self, parts: Sequence[Samples], generator: torch.Generator) -> tuple[Values, Values]:
        """The rows of all parts one after the other.

        A chain starts from what other parts have observed of a variable, in random order, so that what learns while draws are
        still poor meets real values; from noise where nobody observed it.

        Returns:
            Values, of what is missing those that a chain starts from; and which rows miss a variable, shape (n,) by its name.
        """
        values: Values = {}
        missing: Values = {}
        for name, v in self.variables.items():
            there = [name in part.keys() for part in parts]
            seen = [part[name] for part, has in zip(parts, there, strict=True) if has]
            columns = [
                (part[name] if has else _starts(v, seen, len(part), generator)).to(self.known.device)
                for part, has in zip(parts, there, strict=True)
            ]
            values[name] = torch.cat(columns).to(v.dtypes[0])  # what is drawn is of the usual type
            missing[name] = torch.cat([torch.full((len(p),), not has) for p, has in zip(parts, there, strict=True)])
        return values, missing

    def sweep(self, values: Values, missing: Values, sweeps: int, generator: torch.Generator) -> Values:
        """Draw what is missing, in place, each sweep in an order of its own.

        Returns:
            Which rows drew a variable last, shape (n,) by its name.
        """
        names = [name for name in self.variables if missing[name].any()]
        last = {name: torch.zeros_like(rows) for name, rows in missing.items()}
        for _ in range(sweeps if len(names) > 1 else 1):  # given the rest, one draw of one variable is as good as many
            for k in torch.randperm(len(names), generator=generator).tolist():
                drawn = names[k]
                self.redraw(drawn, values, missing[drawn], generator)
                for name in names:
                    last[name] = missing[name] if name == drawn else last[name] & ~missing[drawn]
        return last

    def redraw(self, name: str, values: Values, rows: Tensor, generator: torch.Generator) -> None:
        """Draw one variable of some rows anew, in place."""
        values[name][rows] = self.of(name).draw(self.given(name, values, rows), generator)


def _starts(v: Variable, seen: list[Tensor], n: int, generator: torch.Generator) -> Tensor:
    """n values that were seen, in random order; noise where none was."""
    pool = torch.cat(seen) if seen else torch.empty(0)
    return pool[torch.randint(len(pool), (n,), generator=generator)] if len(pool) else start(v, n, generator)
