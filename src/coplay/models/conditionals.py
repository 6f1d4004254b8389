"""A joint model of any variables, given only as conditionals: one p(v | rest) for each (A5).

The joint is the law that Gibbs sampling with these conditionals settles in. One step, on rows in
which variables may be missing:

    1. Draw what a row misses, latents always, in ``sweeps`` sweeps v ~ p(v | rest) in random order;
       observed values stay.
    2. Ascend log p(v | rest) for every v, over all rows except those whose last drawn variable
       is v.

A row whose last draw is v has v from that very conditional given exactly these values. There
E ∇ log p(v | rest) = 0, so it would add noise only. No gradient passes through draws. What no
source has observed yet stays the noise that a chain starts from, so that others do not give it a
meaning of their own; its conditional waits for a source that has it, and a VAE that is given it
waits a turn more, in which that conditional learns. Samples are classified as in (A6): what is
given stays, the rest is swept, and p(class | rest) is averaged over sweeps with factor 0.9.

Draws of a variable named in ``matched`` must also be distributed as others observe it: likelihoods
alone may settle in another reading of what connects variables that no source has together.
:mod:`coplay.nets.critic` explains how and why.

What the sources determine: ``given = {a: [b], b: [a, c], c: [b]}`` states that a and c are
independent given b. Sources of (a, b) and of (b, c) then determine the joint, if they agree on
p(b). Where every variable sees all others, nothing is stated about independence. The same sources
still determine p(a, b) and p(b, c), but what a and c have in common given b is left to the networks
and to where learning began, and no number of samples changes that: only a source of all three, or
``given``, does. Conditionals that do not fit one another belong to no joint at all; the chain then
settles in a law that depends on the order of draws.

References:
    Game-theoretic distributed learning of generative models for heterogeneous data collections
    (D. Schlesinger, B. Flach, 2025), arXiv:2511.01740, experiment IV-C.
    Deep Multivariate Models with Parametric Conditionals
    (D. Schlesinger, B. Flach, A. Shekhovtsov, 2026), arXiv:2602.01953.

Differs from the paper:
    On a complete row a latent is the only variable to draw, hence its last draw, and would never
    learn. Where a latent was drawn last the chain goes on by one draw of a variable that sees it,
    and the row, so changed, teaches the latent alone: as in (A4), it learns from what the model
    draws. One order is drawn per sweep for all rows, not one per row, which are independent of
    each other either way.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping
from typing import ClassVar, Self

import torch
from pydantic import Field, PositiveInt, PrivateAttr
from torch import Tensor, nn

from coplay.core.errors import ModelError
from coplay.core.space import LABEL, Samples, Space
from coplay.core.streams import stream
from coplay.core.surroundings import SPEAKER
from coplay.models import conditionals_checks as checks
from coplay.models.base import Mixture
from coplay.models.neural import NeuralModel
from coplay.nets import devices
from coplay.nets.chains import Chains, nothing_known
from coplay.nets.conditional import (
    Conditional,
    Draw,
    Independent,
    Network,
    build_conditional,
    chain_start,
    without_gradients,
)
from coplay.nets.critic import Critic
from coplay.nets.gibbs import Gibbs, Values
from coplay.nets.variables import Sizes

AUTOCORRELATION = "autocorrelation"
"""Name of the number of a turn that measures how well Gibbs mixes.

It ranges from 0, where a chain forgets its earlier state, to 1, where it stays there.
"""

_CHAINS = 64  # that measure the autocorrelation
_STUCK = 0.5  # autocorrelation above which samples cannot be trusted
_ROWS = 1000  # at a time, for memory


class Conditionals(NeuralModel):
    """Conditionals p(v | rest) that complete what samples lack, and learn from what they completed.

    A categorical variable, bits and real numbers that are no image come from a perceptron,
    components of one variable independent given the rest; a binary image that sees an image of its
    own height and width comes from a U-Net, any other image from a conditional VAE with latents of
    its own.

    Args:
        latents: Variables that are never observed, by name, with their size in bits. They never
            travel.
        given: The variables that a conditional is given, by target; by default all others.
        networks: A network other than the usual one, by target: ``"perceptron"``, ``"unet"`` or
            ``"vae"``.
        uniform: Variables of finite range that a row without them is given uniformly while
            learning, as in (A6), and not drawn: they are independent of what such a row has, and
            Gibbs sampling cannot come to prefer some of their values.
        matched: Binary variables whose draws a critic compares with what others observe, by name;
            the values name the variables of the same row that the critic is given, such as the
            class. It compares rows in which all of them are observed.
        match_weight: λ, the weight of the critic's loss beside the log-likelihood in nats.
        starts: Where a chain that draws starts, in order: with v ~ p(v | these) where v is missing,
            instead of noise. Unless these are just what p(v | rest) is given, a network of its own
            learns it beside. It is for variables that determine each other, such as an image and a
            mask of it, since a chain does not leave where it starts.
        sweeps: Gibbs sweeps that complete a batch for a learning step.
        sample_sweeps: Gibbs sweeps before a sample is drawn, completed or classified. A chain
            begins uniformly distributed, in a real variable without limits standard normal.
        channels: Of convolutions at full resolution; each halving of the image doubles them.
        hidden: Width of fully connected layers.
        image_latents: Size of the latents that each VAE keeps to itself.
        draw: ``"sample"`` draws every pixel of a VAE on its own; ``"mean"`` leaves that noise out,
            so that networks that learn from drawn images find no noise there that observed ones
            lack. The joint is then that of the images without it.

    Example:
        One site knows (a, b), another (b, c); together with ``given`` this determines all three.

        >>> from coplay import Variable
        >>> from coplay.models.base import OWN, Portion
        >>> bit = Variable(kind="binary")
        >>> space = Space({"a": bit, "b": bit, "c": bit})
        >>> given = {"a": ["b"], "b": ["a", "c"], "c": ["b"]}
        >>> model = Conditionals(given=given, hidden=16, decay_steps=300, learning_rate=0.01)
        >>> model.setup(space, seed=1)
        >>> b = torch.arange(100, dtype=torch.uint8) % 2
        >>> noisy = b ^ (torch.arange(100) % 5 == 0)  # one in five is wrong
        >>> own = Portion(OWN, space.samples(a=noisy, b=b), 0.5)
        >>> south = Portion("south", space.samples(b=b, c=1 - noisy), 0.5)
        >>> _ = model.learn(Mixture((own, south)), 300, torch.Generator().manual_seed(1))
        >>> drawn = model.sample(2000, torch.Generator().manual_seed(2))
        >>> differ = (drawn["a"] != drawn["c"]).float().mean()
        >>> abs(differ - (0.8**2 + 0.2**2)) < 0.1
        tensor(True)
    """

    kinds: ClassVar[tuple[str, ...]] = ("binary", "categorical", "real")
    learns_incomplete: ClassVar[bool] = True
    scales: ClassVar[bool] = True
    reported_names: ClassVar[tuple[str, ...] | None] = (AUTOCORRELATION,)
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
    _has_warned: bool = PrivateAttr(default=False)

    # ------------------------------------------------------------------------------- conditionals

    def build(self, space: Space) -> Gibbs:
        """Build one conditional per variable and latent."""
        variables = checks.with_latents(space, self.latents, self.kinds)
        checks.check_uniform(self.uniform, space)
        sees = checks.what_each_sees(variables, self.latents, self.given, self.networks)
        sizes = Sizes(channels=self.channels, hidden=self.hidden, image_latents=self.image_latents)
        networks: dict[str, Conditional] = {}
        for v in variables:
            kind = self.networks.get(v)
            networks[v] = build_conditional(v, variables, sees[v], kind, sizes, self.draw)
        checks.check_matched(self.matched, space, networks)
        critics: dict[str, Critic] = {}
        for v, names in self.matched.items():
            critics[v] = Critic(v, space[v], {t: space[t] for t in names}, sizes)
        checks.check_starts(self.starts, variables)
        starts: dict[str, Conditional] = {}
        for v, names in self.starts.items():
            if set(names) != set(sees[v]):
                starts[v] = build_conditional(v, variables, names, None, sizes, self.draw)
        net = Gibbs(variables, sees, list(networks.values()), critics, starts)
        net.observe(self.latents)
        return net

    def unscaled(self, space: Space) -> Collection[str]:
        """Return the variables that a chain draws uniformly, whose range is their scale."""
        return [*super().unscaled(space), *self.uniform]

    def note_scales(self) -> None:
        """Let chains stay within the limits of variables, which depend on the scales."""
        self._net.limits = self._scaling.limits()

    def sides(self) -> Mapping[str, list[nn.Parameter]]:
        """Return the sides: "p(v)" for each conditional, and each "judge(v)" and "start(v)"."""
        net = self._net
        networks: dict[str, nn.Module] = {f"p({name})": net.of(name) for name in net.variables}
        # records and checkpoints have these names
        networks |= {f"judge({name})": net.critic(name) for name in net.judges}
        networks |= {f"start({name})": net.start(name) for name in net.starts}
        return {side: list(network.parameters()) for side, network in networks.items()}

    @property
    def _chains(self) -> Chains:
        return Chains(self._net, self._space, self.starts)

    # ----------------------------------------------------------------------------------- learning

    def learn(
        self, mixture: Mixture, steps: int, generator: torch.Generator
    ) -> Mapping[str, float]:
        """Take so many steps, and measure how well Gibbs mixes.

        Raises:
            ModelError: A source has none of the variables; nothing is learned then.
        """
        checks.check_sources(mixture, self._space, self.matched)
        numbers = super().learn(mixture, steps, generator)
        self._net.observe(checks.observed(mixture))
        if "stopped" in numbers:
            return numbers
        correlation = self._autocorrelation(generator)
        if correlation > _STUCK and not self._has_warned:
            self._has_warned = True  # the number of every turn says how it goes on
            warnings.warn(checks.does_not_mix(SPEAKER.get(), self.sample_sweeps), stacklevel=2)
        return {**numbers, AUTOCORRELATION: correlation}

    def _autocorrelation(self, generator: torch.Generator) -> float:
        with self.averaged(), without_gradients(self._place):
            return self._chains.autocorrelation(_CHAINS, self.sample_sweeps, generator)

    def _learning(self, mixture: Mixture) -> list[str]:
        """Return the names of conditionals that learn: of latents, and of observed variables.

        A variable that all sources lack would become a latent of arbitrary meaning. A VAE waits
        until its inputs are known or are observed together with it: otherwise its own latents
        would learn to explain what a mask should, and an untrained conditional of a mask would
        supply noise.
        """
        observed = checks.observed(mixture)
        names = []
        for v in self._net.variables:
            if v in self.latents or (v in observed and not self._lacks_inputs(v, mixture)):
                names.append(v)
        return names

    def _lacks_inputs(self, name: str, mixture: Mixture) -> bool:
        """Whether a conditional waits: an input is neither known nor observed together with it."""
        if not self._net.of(name).needs_known_inputs:
            return False
        having = [part for part in mixture.parts if name in part.samples.keys()]
        together = checks.observed(Mixture(tuple(having)))
        return any(g not in together and not self._net.knows(g) for g in self._net.sees[name])

    def kind_of_step(self, mixture: Mixture) -> str:
        """Return the kind of a neural step, with the conditionals that learn in it."""
        return f"{super().kind_of_step(mixture)} {','.join(self._learning(mixture))}"

    def losses(self, mixture: Mixture, generator: torch.Generator) -> Iterator[tuple[str, Tensor]]:
        """Yield the losses of a step; the module's head says from which rows each one learns."""
        learning = self._learning(mixture)
        with without_gradients(self._place):
            parts = list(self.drawn(mixture, generator).values())
            values, missing = self._chains.begin(parts, generator)
            compared = {name: self._compared(name, missing) for name in learning}
            for name in self.uniform:
                lacking = missing[name]
                drawn = chain_start(self._space[name], int(lacking.sum()), generator)
                values[name][lacking] = drawn.to(self._place)
                lacking.zero_()
            for name, lacking in missing.items():
                waits = self._lacks_inputs(name, mixture) or not self._net.knows(name)
                if name not in learning and waits:
                    lacking.zero_()  # it stays where it is
            last = self._net.sweep(values, missing, self.sweeps, generator)
        for name in learning:
            log_p = self._objective(name, learning, values, last[name], generator)
            if log_p is None:
                continue
            # divided by all rows: those left out have gradient zero on average, and count as that
            loss = -log_p.sum() / self.batch
            rows = compared[name]
            if rows:
                comparison = self._net.comparison(name, values, *rows, generator)
                yield f"judge({name})", comparison.critic_loss(generator)
                # by the critic after its step
                loss = loss + self.match_weight * comparison.generator_loss()
            yield f"p({name})", loss
        for name in self._net.starts:
            if name in learning:
                inputs = {v: values[v] for v in self.starts[name]}
                log_p = self._net.start(name).objective(values[name], inputs, generator)
                yield f"start({name})", -log_p.mean()

    def _compared(self, name: str, lacking: Values) -> tuple[Tensor, Tensor] | None:
        """Return the rows that a critic compares, with the variable observed and without.

        None where it has nothing to compare.
        """
        if name not in self.matched:
            return None
        complete = torch.ones_like(lacking[name])
        for t in self.matched[name]:
            complete &= ~lacking[t]
        observed = complete & ~lacking[name]
        drawn = complete & lacking[name]
        return (observed, drawn) if observed.any() and drawn.any() else None

    def _objective(
        self,
        name: str,
        learning: list[str],
        values: Values,
        drawn_last: Tensor,
        generator: torch.Generator,
    ) -> Tensor | None:
        """Return log p(v | rest) on the rows that v learns from, (rows,); None without any."""
        rows = ~drawn_last
        readers = [reader for reader in learning if name in self._net.sees[reader]]
        if name in self.latents and readers and drawn_last.any():
            with without_gradients(self._place):
                values = self._net.one_more_draw(readers, values, drawn_last, generator)
            rows = torch.ones_like(rows)
        if not rows.any():
            return None
        given = self._net.given(name, values, rows)
        log_p = self._net.of(name).objective(values[name][rows], given, generator)
        return log_p - self._scaling.log_volume([name])

    def validation_loss(self, samples: Samples, generator: torch.Generator) -> Tensor:
        """−Σ_v log p(v | rest) over what is observed, latents drawn, by the running mean."""
        net = self._net
        with self.averaged(), without_gradients(self._place):
            values = self._chains.settle(samples, self.sweeps, generator)
            log_p = []
            for v in self._space:
                each = net.of(v).log_prob(values[v], net.given(v, values), generator)
                log_p.append(each.cpu().double())
        return -torch.stack(log_p).sum(0)

    # ------------------------------------------------------------------------------------ drawing

    def sample(self, n: int, generator: torch.Generator) -> Samples:
        """Draw from the law that Gibbs sampling settles in, by the running mean."""
        return self.complete(nothing_known(n), generator)

    def complete(self, partial: Samples, generator: torch.Generator) -> Samples:
        """Draw what is missing given what is there, by Gibbs sampling with the running mean."""
        standard = self._scaling.standard(partial)
        with self.averaged(), without_gradients(self._place):
            drawn = self._chains.complete(standard, self.sample_sweeps, generator)
        return self._scaling.completed(drawn, partial)

    def classify(self, samples: Samples) -> Tensor:
        """p(class | given variables), shape (n, C); a given ``"class"`` is ignored.

        Its random numbers are a stream of the model's own seed, so the result for the same samples
        is the same.

        Raises:
            ModelError: There is no class.
        """
        classifier = self._net.of(LABEL) if self._has_class() else None
        if not isinstance(classifier, Independent):
            space = self._scaling.space
            raise ModelError(
                f"conditionals can only tell a categorical number called '{LABEL}'; got {space}"
            )
        generator = stream(self._seed, "classify")
        given = devices.moved(self._scaling.standard(samples).exclude(LABEL), self._place)
        chains = self._chains
        probabilities = []
        with self.averaged(), without_gradients(self._place):
            for part in given.split(_ROWS):
                each = chains.class_probabilities(LABEL, part, self.sample_sweeps, generator)
                probabilities.append(each)
        return torch.cat(probabilities).cpu()

    def _has_class(self) -> bool:
        if LABEL not in self._space:
            return False
        return self._space[LABEL].kind == "categorical" and not self._space[LABEL].shape

    @classmethod
    def tiny(cls) -> Self:
        """Return a model with few channels and sweeps."""
        return cls(channels=2, hidden=8, image_latents=3, batch=8, sweeps=2, sample_sweeps=4)
