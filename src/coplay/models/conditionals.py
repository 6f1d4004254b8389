"""A joint model of any variables, given only as conditionals: one p(v | rest) for each (A5).

The joint is the law that Gibbs sampling with these conditionals settles in. One step, on rows in which variables may be missing:

    1. Draw what a row misses, latents always, in ``sweeps`` sweeps v ~ p(v | rest) in random order; what was observed stays.
    2. Ascend log p(v | rest) for every v, over all rows except those whose last drawn variable is v.

A row whose last draw is v has v from that very conditional given exactly these values. There E ∇ log p(v | rest) = 0, so it would
add noise only. No gradient passes through draws. What no source has observed yet stays the noise that a chain starts from, lest
others give it a meaning of their own; its conditional waits for a source that has it, and a VAE that sees it waits a turn more,
in which that conditional learns. Classes are told as in (A6): what is given stays, the rest is swept, and p(class | rest) is
averaged over sweeps with factor 0.9.

What is drawn of a variable named in ``matched`` must also be distributed as what others observe of it: likelihoods alone may
settle in another reading of what connects variables that no source has together. judge.py says how and why.

What the sources determine: ``given = {a: [b], b: [a, c], c: [b]}`` says that a and c are independent given b. Sources of (a, b)
and of (b, c) then determine the joint, if they agree on p(b). Where every variable sees all others, nothing is said about
independence. The same sources still determine p(a, b) and p(b, c), but what a and c have in common given b is left to the
networks and to where learning began, and no number of samples changes that: it takes a source of all three, or ``given``.
Conditionals that do not fit one another are those of no joint at all; the chain then settles in a law that depends on the order
of draws.

References:
    Game-theoretic distributed learning of generative models for heterogeneous data collections
    (D. Schlesinger, B. Flach, 2025), arXiv:2511.01740, experiment IV-C.
    Deep Multivariate Models with Parametric Conditionals
    (D. Schlesinger, B. Flach, A. Shekhovtsov, 2026), arXiv:2602.01953.

Differs from the paper:
    On a complete row a latent is the only variable to draw, hence its last draw, and would never learn. Where a latent was drawn
    last the chain goes on by one draw of a variable that sees it, and the row, so changed, teaches the latent alone: as in (A4),
    it learns from what the model draws. One order is drawn per sweep for all rows, not one per row, which are independent of
    each other either way.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from typing import ClassVar, Self

import torch
from pydantic import Field, PositiveInt, PrivateAttr
from torch import Tensor, nn

from coplay.core.errors import ModelError
from coplay.core.space import LABEL, Samples, Space, Variable, tensors
from coplay.core.streams import stream
from coplay.models.base import Mixture
from coplay.models.neural import NeuralModel
from coplay.nets import devices
from coplay.nets.conditional import (
    Conditional,
    Draw,
    Independent,
    Network,
    Sizes,
    conditional,
    drawing,
    start,
)
from coplay.nets.critic import Judge
from coplay.nets.gibbs import Gibbs, Values

AUTOCORRELATION = "autocorrelation"
"""Number of a turn that says how well Gibbs mixes: from 0, a chain forgets where it was, to 1, it stays there."""

_FACTOR = 0.9  # of the running average of class probabilities over sweeps
_CHAINS = 64  # that measure the autocorrelation
_STUCK = 0.5  # autocorrelation above which samples are not to be trusted
_ROWS = 1000  # at a time, for memory


class Conditionals(NeuralModel):
    """Conditionals p(v | rest) that complete, by Gibbs sampling, what samples lack, and learn from what they completed.

    A categorical variable, bits and real numbers that are no image come from a perceptron, components of one variable independent
    given the rest; a binary image that sees an image of its own height and width comes from a U-Net, any other image from a
    conditional VAE with latents of its own.

    Args:
        latents: Variables that nobody observes, by name, with their size in bits. They never travel.
        given: What a conditional sees, by target; by default all other variables.
        networks: A network other than the usual one, by target: ``"perceptron"``, ``"unet"`` or ``"vae"``.
        uniform: Variables of finite range that a row without them is given uniformly while learning, as in (A6), and not drawn:
            they are independent of what such a row has, and Gibbs sampling cannot come to prefer some of their values.
        matched: Binary variables whose draws a judge compares with what others observe, by name; the values name what the
            judge is told of the same row, such as the class. It compares rows that have all of that observed.
        match_weight: λ, how much p(v | rest) heeds the judge beside its log-likelihood in nats.
        starts: Where a chain that draws starts, in order: with v ~ p(v | these) where v is missing, instead of noise. Unless
            these are just what p(v | rest) sees, a network of its own learns it beside. For variables that, once there, hold
            each other, such as an image and a mask of it: a chain does not leave where it starts.
        sweeps: Gibbs sweeps that complete a batch for a learning step.
        sample_sweeps: Gibbs sweeps before a sample is taken or completed, or a class told. A chain begins uniformly
            distributed, in a real variable without limits standard normal.
        channels: Of convolutions at full resolution; each halving of the image doubles them.
        hidden: Width of fully connected layers.
        image_latents: Size of the latents that each VAE keeps to itself.
        draw: ``"sample"`` draws every pixel of a VAE on its own; ``"mean"`` leaves that noise out, so that what learns from drawn
            images does not meet noise that observed ones lack. The joint is then that of the images without it.

    Example:
        A site knows (a, b), another (b, c); with what sees what, this determines all three.

        >>> from coplay.models.base import Part
        >>> bit = Variable(kind="binary")
        >>> space = Space({"a": bit, "b": bit, "c": bit})
        >>> model = Conditionals(given={"a": ["b"], "b": ["a", "c"], "c": ["b"]}, hidden=16, decay_steps=300, learning_rate=0.01)
        >>> model.setup(space, seed=1)
        >>> b = torch.arange(100, dtype=torch.uint8) % 2
        >>> noisy = b ^ (torch.arange(100) % 5 == 0)  # one in five is wrong
        >>> parts = Part("own", space.samples(a=noisy, b=b), 0.5), Part("south", space.samples(b=b, c=1 - noisy), 0.5)
        >>> _ = model.learn(Mixture(parts), 300, torch.Generator().manual_seed(1))
        >>> drawn = model.sample(2000, torch.Generator().manual_seed(2))
        >>> differ = (drawn["a"] != drawn["c"]).float().mean()
        >>> abs(differ - (0.8**2 + 0.2**2)) < 0.1
        tensor(True)
    """

    kinds: ClassVar[tuple[str, ...]] = ("binary", "categorical", "real")
    learns_incomplete: ClassVar[bool] = True
    citation: ClassVar[tuple[str, ...]] = ("schlesinger2026deep", "schlesinger2025game")

    latents: dict[str, PositiveInt] = Field(default_factory=dict)
    given: dict[str, list[str]] = Field(default_factory=dict)
    networks: dict[str, Network] = Field(default_factory=dict)
    uniform: list[str] = Field(default_factory=list)
    matched: dict[str, list[str]] = Field(default_factory=dict)
    match_weight: float = Field(default=30.0, gt=0)
    starts: dict[str, list[str]] = Field(default_factory=dict)
    sweeps: int = Field(default=10, ge=1)
    sample_sweeps: int = Field(default=100, ge=2)
    channels: int = Field(default=16, ge=1)
    hidden: int = Field(default=128, ge=1)
    image_latents: int = Field(default=64, ge=1)
    draw: Draw = "sample"

    _net: Gibbs = PrivateAttr()

    # ----------------------------------------------------------------------------------------------- conditionals

    def build(self, space: Space) -> Gibbs:
        """One conditional per variable and latent."""
        count = [f"'{name}' ({space[name]})" for name in space if space[name].kind not in self.kinds]
        if count:
            raise ModelError(f"conditionals needs {', '.join(self.kinds)} variables, got {', '.join(count)}")
        doubled = [name for name in self.latents if name in space]
        if doubled:
            raise ModelError(f"latents: '{doubled[0]}' is a variable of this player; give the latent another name")
        endless = [name for name in self.uniform if name not in space or not math.isfinite(sum(space[name].range))]
        if endless:
            raise ModelError(
                f"uniform: expected variables of this player of finite range, got '{endless[0]}'; it has {space}"
            )
        latent = {name: Variable(kind="binary", shape=(bits,)) for name, bits in self.latents.items()}
        variables = {name: space[name] for name in space} | latent
        sees, sizes = self._checked_sees(list(variables)), Sizes(self.channels, self.hidden, self.image_latents)
        networks = [conditional(v, variables, sees[v], self.networks.get(v), sizes, self.draw) for v in variables]
        judges = self._judges(space, dict(zip(variables, networks, strict=True)), sizes)
        own = {v: told for v, told in self._checked_starts(variables).items() if set(told) != set(sees[v])}
        starts = {v: conditional(v, variables, told, None, sizes, self.draw) for v, told in own.items()}
        net = Gibbs(variables, sees, networks, judges, starts)
        net.observe(self.latents)
        return net

    def _checked_sees(self, variables: list[str]) -> dict[str, list[str]]:
        """Names that each conditional sees, by target."""
        known = ", ".join(variables)
        for setting, targets in (("given", self.given), ("networks", self.networks)):
            unknown = [name for name in targets if name not in variables]
            if unknown:
                raise ModelError(
                    f"{setting}: '{unknown[0]}' is neither a variable of this player nor a latent; those are {known}"
                )
        sees = {name: self.given.get(name, [g for g in variables if g != name]) for name in variables}
        for name, given in sees.items():
            wrong = [g for g in given if g not in variables or g == name]
            if wrong:
                raise ModelError(f"given: '{name}' cannot see '{wrong[0]}'; the variables and latents are {known}")
            if not given:
                raise ModelError(
                    f"the conditional of '{name}' sees nothing, expected one variable or more; name some in given, or declare a "
                    f"latent, such as latents = {{ z = 8 }}"
                )
        unseen = [z for z in self.latents if not any(z in given for given in sees.values())]
        if unseen:
            raise ModelError(
                f"latents: nobody sees '{unseen[0]}', so it explains nothing; add it to what others are given"
            )
        return sees

    def _judges(self, space: Space, networks: Mapping[str, Conditional], sizes: Sizes) -> dict[str, Judge]:
        """Judges of the variables that are matched."""
        for name, told in self.matched.items():
            if name not in space or space[name].kind != "binary" or not isinstance(networks[name], Independent):
                raise ModelError(
                    f"matched: expected binary variables of this player that a perceptron or a unet draws, got '{name}'; it has "
                    f"{space}"
                )
            strange = [t for t in told if t not in space or t == name]
            if strange:
                raise ModelError(
                    f"matched: the judge of '{name}' cannot be told '{strange[0]}'; this player has {space}"
                )
        return {
            name: Judge(name, space[name], {t: space[t] for t in told}, sizes) for name, told in self.matched.items()
        }

    def _checked_starts(self, variables: Mapping[str, Variable]) -> dict[str, list[str]]:
        """What chains start with."""
        for name, told in self.starts.items():
            wrong = [v for v in (name, *told) if v not in variables] or [v for v in told if v == name]
            if wrong or not told:
                raise ModelError(
                    f"starts: '{name}' cannot start by {', '.join(map(repr, told)) or 'nothing'}; expected one or more of the "
                    f"other variables and latents; all are {', '.join(variables)}"
                )
        return self.starts

    def sides(self) -> Mapping[str, list[nn.Parameter]]:
        """One side per conditional, called "p(v)" for variable v; "judge(v)" and "start(v)" where v has these."""
        net = self._net
        networks: dict[str, nn.Module] = {f"p({name})": net.of(name) for name in net.variables}
        networks |= {f"judge({name})": net.judge(name) for name in net.judges}
        networks |= {f"start({name})": net.start(name) for name in net.starts}
        return {side: list(network.parameters()) for side, network in networks.items()}

    # -------------------------------------------------------------------------------------------------- learning

    def learn(self, mixture: Mixture, steps: int, generator: torch.Generator) -> Mapping[str, float]:
        """Take so many steps, and measure how well Gibbs mixes.

        Raises:
            ModelError: A source has none of the variables; nothing is learned then.
        """
        self._check_sources(mixture)
        numbers = super().learn(mixture, steps, generator)
        self._net.observe(_observed(mixture))
        if "stopped" in numbers:
            return numbers
        found = self._autocorrelation(generator)
        if found > _STUCK:
            warnings.warn(
                "conditionals: Gibbs sampling does not mix. Halfway through sample_sweeps a chain is where it will be at their "
                "end, so the shares of what is drawn show where chains began. Raise sample_sweeps, let variables be noisier "
                "given each other by more latents or fewer variables in given, or say in starts where chains shall begin",
                stacklevel=2,
            )
        return {**numbers, AUTOCORRELATION: found}

    def _check_sources(self, mixture: Mixture) -> None:
        for part in mixture.parts:
            if not any(name in part.samples.keys() for name in self._space):
                raise ModelError(
                    f"source '{part.name}' has the variables {', '.join(map(str, part.samples.keys())) or 'none'}, and none of "
                    f"{', '.join(self._space)}; give it weight 0, or a variable in common"
                )
        for name, told in self.matched.items():
            observed = [set(part.samples.keys()) for part in mixture.parts if name in part.samples.keys()]
            if observed and not any(names.issuperset(told) for names in observed):
                warnings.warn(
                    f"conditionals: nothing is matched. The judge of '{name}' compares rows that have {' and '.join(told)} "
                    f"beside it, and no source that has '{name}' does; name others in matched, that some source has with it",
                    stacklevel=3,
                )

    def _taught(self, mixture: Mixture) -> list[str]:
        """Latents, and what some source observes: a variable that everybody lacks would become a latent of arbitrary meaning.

        A VAE waits until what it sees is known or comes together with it. Its own latents would come to explain what a mask
        should, and go on to; and a mask's conditional that is still to learn would say nothing, or worse, something wrong.
        """
        observed = _observed(mixture)
        return [v for v in self._net.variables if v in self.latents or (v in observed and not self._waits(v, mixture))]

    def _waits(self, name: str, mixture: Mixture) -> bool:
        """Whether what it sees is neither known nor observed together with it."""
        seen_with = [part.samples.keys() for part in mixture.parts if name in part.samples.keys()]
        unknown = [
            g for g in self._net.sees[name] if not any(g in keys for keys in seen_with) and not self._net.knows(g)
        ]
        return self._net.of(name).waits and bool(unknown)

    def kind_of_step(self, mixture: Mixture) -> str:
        """Also which conditionals learn in it."""
        return f"{super().kind_of_step(mixture)} {','.join(self._taught(mixture))}"

    def losses(self, mixture: Mixture, generator: torch.Generator) -> Iterator[tuple[str, Tensor]]:
        """One step; the module's head says on which rows each conditional learns."""
        taught = self._taught(mixture)
        with drawing(self._place):
            values, missing = self._begin(list(self.drawn(mixture, generator).values()), generator)
            compared = {name: self._compared(name, missing) for name in taught}
            for name in self.uniform:
                rows = missing[name]
                values[name][rows] = start(self._space[name], int(rows.sum()), generator).to(self._place)
                rows.zero_()
            for name, rows in missing.items():
                if name not in taught and (self._waits(name, mixture) or not self._net.knows(name)):
                    rows.zero_()  # it stays where it is
            last = self._net.sweep(values, missing, self.sweeps, generator)
        for name in taught:
            lesson = self._lesson(name, taught, values, last[name], generator)
            if lesson is None:
                continue
            # divided by all rows: rows that are left out count as the zero that they are on average
            loss = -lesson.sum() / self.batch
            both = compared[name]
            if both:
                observed, drawn = both
                judge, own = self._net.judge(name), self._drawn_to_pass(name, values, drawn, generator)
                one, two = ({t: values[t][rows] for t in judge.told} for rows in both)
                yield f"judge({name})", judge.loss((values[name][observed], one), (own.detach(), two), generator)
                loss = loss + self.match_weight * judge.doubt(own, two)
            yield f"p({name})", loss
        for name in self._net.starts:
            if name in taught:
                told = {t: values[t] for t in self.starts[name]}
                yield f"start({name})", -self._net.start(name).lesson(values[name], told, generator).mean()

    def _compared(self, name: str, lacking: Values) -> tuple[Tensor, Tensor] | None:
        """Which rows a judge compares, with the variable observed and without; None where it has nothing to compare."""
        if name not in self.matched:
            return None
        told = torch.ones_like(lacking[name])
        for t in self.matched[name]:
            told &= ~lacking[t]
        observed, drawn = told & ~lacking[name], told & lacking[name]
        return (observed, drawn) if observed.any() and drawn.any() else None

    def _drawn_to_pass(self, name: str, values: Values, rows: Tensor, generator: torch.Generator) -> Tensor:
        """The variable of some rows drawn once more, so that a gradient passes."""
        conditional = self._net.of(name)
        assert isinstance(conditional, Independent)
        return conditional.passing(self._net.given(name, values, rows), generator)

    def _begin(self, parts: list[Samples], generator: torch.Generator) -> tuple[Values, Values]:
        return self._net.begin([self._space.restrict(part) for part in parts], generator)

    def _lesson(
        self, name: str, taught: list[str], values: Values, drawn_last: Tensor, generator: torch.Generator
    ) -> Tensor | None:
        """Log p(v | rest) on the rows that teach v, shape (rows,); None if there are none."""
        rows = ~drawn_last
        readers = [reader for reader in taught if name in self._net.sees[reader]]
        if name in self.latents and readers and drawn_last.any():
            values, rows = self._one_more(readers, values, drawn_last, generator), torch.ones_like(rows)
        if not rows.any():
            return None
        return self._net.of(name).lesson(values[name][rows], self._net.given(name, values, rows), generator)

    def _one_more(self, readers: list[str], values: Values, rows: Tensor, generator: torch.Generator) -> Values:
        """The chain of some rows goes on by one draw of a variable that sees the latent; the given values stay."""
        reader = readers[int(torch.randint(len(readers), (1,), generator=generator))]
        changed = {**values, reader: values[reader].clone()}
        with drawing(self._place):
            self._net.redraw(reader, changed, rows, generator)
        return changed

    def validation_loss(self, samples: Samples, generator: torch.Generator) -> Tensor:
        """−Σ_v log p(v | rest) over what is observed, latents drawn; by the parameters that samples are drawn from."""
        net = self._net
        with self.averaged(), drawing(self._place):
            values = self._settled(samples, self.sweeps, generator)
            found = [net.of(v).log_prob(values[v], net.given(v, values), generator) for v in self._space]
        return -torch.stack([part.cpu().double() for part in found]).sum(0)

    # --------------------------------------------------------------------------------------------------- drawing

    def _settled(self, given: Samples, sweeps: int, generator: torch.Generator) -> Values:
        """What so many sweeps make of rows that miss something."""
        values, missing = self._started(given, generator)
        self._net.sweep(values, missing, sweeps, generator)
        return values

    def _started(self, given: Samples, generator: torch.Generator) -> tuple[Values, Values]:
        """Where chains that draw start, and which rows miss a variable."""
        values, missing = self._begin([given], generator)
        for name, told in self.starts.items():
            rows = missing[name]
            if rows.any():
                values[name][rows] = self._net.start(name).draw({t: values[t][rows] for t in told}, generator)
        return values, missing

    def _autocorrelation(self, generator: torch.Generator) -> float:
        """Largest correlation, over variables, of chains halfway through ``sample_sweeps`` with themselves at the end."""
        with self.averaged(), drawing(self._place):
            values, missing = self._started(_nothing(_CHAINS), generator)
            self._net.sweep(values, missing, self.sample_sweeps // 2, generator)
            before = {name: column.cpu().clone() for name, column in values.items()}
            self._net.sweep(values, missing, self.sample_sweeps // 2, generator)
        return max(_correlation(v, before[name], values[name].cpu()) for name, v in self._net.variables.items())

    def sample(self, n: int, generator: torch.Generator) -> Samples:
        """Draw from the law that Gibbs sampling settles in, by the running mean of the parameters."""
        return self.complete(_nothing(n), generator)

    def complete(self, partial: Samples, generator: torch.Generator) -> Samples:
        """Draw what is missing given what is there, by Gibbs sampling with the running mean of the parameters."""
        with self.averaged(), drawing(self._place):
            drawn = [self._settled(part, self.sample_sweeps, generator) for part in partial.split(_ROWS)]
        return self._space.samples(**{name: torch.cat([part[name] for part in drawn]).cpu() for name in self._space})

    def classify(self, samples: Samples) -> Tensor:
        """p(class | what is given), shape (n, C); the variable is called ``"class"``, and what is given of it is ignored.

        Its random numbers are a stream of the model's own seed, so the same samples get the same answer.

        Raises:
            ModelError: There is no class.
        """
        found = self._net.of(LABEL) if LABEL in self._space else None
        if not isinstance(found, Independent) or not self._space[LABEL].classes or self._space[LABEL].shape:
            raise ModelError(f"conditionals can only tell a categorical number called '{LABEL}'; got {self._space}")
        generator = stream(self._seed, "classify")
        given = devices.moved(samples.exclude(LABEL), self._place)
        with self.averaged(), drawing(self._place):
            if all(name in given.keys() for name in self._net.sees[LABEL]):
                return torch.cat([found.probabilities(tensors(part)) for part in given.split(_ROWS)]).cpu()
            return torch.cat([self._swept_classes(found, part, generator) for part in given.split(_ROWS)]).cpu()

    def _swept_classes(self, classifier: Independent, given: Samples, generator: torch.Generator) -> Tensor:
        """(A6): the running average over sweeps, divided by the sum of its weights."""
        values, missing = self._started(given, generator)
        mean = torch.zeros(())
        for _ in range(self.sample_sweeps):
            self._net.sweep(values, missing, 1, generator)
            mean = _FACTOR * mean + (1 - _FACTOR) * classifier.probabilities(self._net.given(LABEL, values))
        return mean / mean.sum(1, keepdim=True)

    @classmethod
    def tiny(cls) -> Self:
        """A few channels and sweeps."""
        return cls(channels=2, hidden=8, image_latents=3, batch=8, sweeps=2, sample_sweeps=4)


def _observed(mixture: Mixture) -> set[str]:
    """Names of the variables that some source has."""
    return {str(name) for part in mixture.parts for name in part.samples.keys()}


def _nothing(n: int) -> Samples:
    """n rows of which nothing is known."""
    return Samples({}, batch_size=[n])


def _correlation(v: Variable, one: Tensor, two: Tensor) -> float:
    """Of two states of n chains, all components of a variable together, classes one-hot; 0 for what is constant."""
    if v.kind == "categorical":
        one, two = (nn.functional.one_hot(state, v.classes or 0) for state in (one, two))
    one, two = (state.double().flatten(1) if state.dim() > 1 else state.double()[:, None] for state in (one, two))
    one, two = one - one.mean(0), two - two.mean(0)
    spread = (one.square().sum() * two.square().sum()).sqrt()
    return (one * two).sum().div(spread).item() if spread > 0 else 0.0
