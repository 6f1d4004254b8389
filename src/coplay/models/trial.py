"""Own models are tried before play: one small turn on made-up samples of the space.

A fault of ``state_dict`` would otherwise show at the first checkpoint, and one of
``load_state_dict`` or of repeating when a run is resumed. The trial has instances of its own and
leaves every generator as it was, so it changes no bit of a run.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from coplay.core.components import find
from coplay.core.errors import FAILURES, CoplayError, ModelError
from coplay.core.nesting import nest, unnest
from coplay.core.space import Samples, Space, Variable
from coplay.core.streams import isolated_seed, stream
from coplay.core.surroundings import own_settings, settings_restored
from coplay.models.base import OWN, LocalModel, Mixture, Portion, finite_number
from coplay.models.estimator import Estimator
from coplay.models.trial_checks import (
    FLAT,
    alike,
    fault_of_entry,
    faults_of_draw,
    faults_of_memory,
    kind_of,
    place_of,
    same,
    same_samples,
)

# enough for a few batches of a usual size
_OWN_SAMPLES = 300
_RECEIVED = 200
_DRAWN = 7
_SEED = 1
_SLOW_SECONDS = 5.0


@dataclass(frozen=True)
class Turn:
    """What a model left of one small turn.

    Args:
        state: Its state, as a checkpoint stores it.
        start: Its state before it learned; empty if it has none.
        drawn: What it drew; None if it does not generate.
    """

    state: Mapping[str, Tensor]
    start: Mapping[str, Tensor]
    drawn: Samples | None


class Faults(Exception):
    """What is wrong with a model.

    Args:
        faults: One sentence each.
    """

    def __init__(self, *faults: str) -> None:
        super().__init__(*faults)
        self.faults = faults


def is_tried(model: LocalModel) -> bool:
    """Whether a model is tried: a class outside coplay that does not say ``tried = False``.

    Of the estimators, scikit-learn's are not: they have tests of their own.
    """
    if isinstance(model, Estimator):
        if model.estimator.startswith(("sklearn.", "coplay.")):
            return False
        return bool(getattr(find("model", model.estimator), "tried", True))
    return model.tried and not type(model).__module__.startswith("coplay.")


def try_out(
    model: LocalModel,
    space: Space,
    whose: str,
    unobserved: Collection[str] = (),
    *,
    receives: bool = True,
) -> str | None:
    """Let new models of these settings learn, draw, be stored and restored.

    Args:
        model: It is not changed.
        space: The variables that it is to learn.
        whose: Whose model it is, such as ``"player 'north'"``, for the error.
        unobserved: Variables that its own data lack.
        receives: Whether it also learns from what others send.

    Returns:
        A sentence, if it took long.

    Raises:
        ModelError: Something is wrong with it; the error says what, and what to do.
    """
    began = time.perf_counter()
    trial = _Trial(model, space, unobserved, receives)
    with own_settings(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            faults: Sequence[str] = trial.faults()
        except Faults as error:
            faults = error.faults
    if faults:
        lines = [f"{whose}: {model.title} was tried on made-up samples before play:"]
        lines += [f"  - {fault}" for fault in faults]
        lines.append("A class that cannot learn from made-up samples says tried = False")
        raise ModelError("\n".join(lines))
    seconds = time.perf_counter() - began
    if seconds > _SLOW_SECONDS:
        return (
            f"{model.title} was tried before play, which took {seconds:.0f} s; "
            "a class that says tried = False is not"
        )
    return None


class _Trial:
    """One model on made-up samples."""

    def __init__(
        self, model: LocalModel, space: Space, unobserved: Collection[str], receives: bool
    ) -> None:
        self.model = model
        self.space = space
        self.unobserved = unobserved
        self.receives = receives
        self.sent = space.extended(model.latent_variables())

    def faults(self) -> list[str]:
        """Return what is wrong; nothing if all is well.

        Raises:
            Faults: So much is wrong that nothing else can be tried.
        """
        try:
            first = self.turn(_SEED)
        except _Unfit:  # an estimator may want other data than made-up ones
            return []
        faults = self._of_repeating(first)
        return faults or self._of_restoring(first)

    def turn(self, global_seed: int) -> Turn:
        """Let a new model take one turn, under some seed of the global generators."""
        model = self.model.fresh()
        with isolated_seed(global_seed):
            self._call("setup", lambda: model.setup(self.space, _SEED))
            start = _state_if_any(model)
            faults = self._learn(model, 1)
            state: dict[str, Tensor] = {}
            drawn = None
            try:
                state = self._state(model)
            except Faults as error:
                faults += error.faults
            try:
                drawn = self._draw(model)
            except Faults as error:
                faults += error.faults
        if faults:
            raise Faults(*faults)
        return Turn(state, start, drawn)

    def _learn(self, model: LocalModel, index: int) -> list[str]:
        """Let a model learn from a mixture, and return what is wrong with what it did."""
        mixture = self._mixture(index)
        before = [part.samples.clone() for part in mixture.parts]
        generator = stream(_SEED, "trial", "learn", index)
        try:
            numbers = self._call("learn", lambda: model.learn(mixture, 1, generator))
        except Faults:
            if isinstance(model, Estimator):
                raise _Unfit from None
            raise
        faults = []
        if not isinstance(numbers, Mapping):
            faults.append(
                f"learn returned {kind_of(numbers)}, expected named numbers such as "
                '{"loss": 0.5}, or {} for none'
            )
            numbers = {}
        for name, value in numbers.items():
            try:
                finite_number(str(name), value)
            except ModelError as error:
                faults.append(str(error))
        for part, samples in zip(mixture.parts, before, strict=True):
            changed = [name for name in self.space if not alike(part.samples, samples, name)]
            if changed:
                faults.append(
                    f"learn changed '{changed[0]}' of the samples that it was given; "
                    "they are the player's own, so change a clone()"
                )
                break
        return faults

    def _mixture(self, index: int) -> Mixture:
        """Return own and received samples, each half of the mass, or own ones only."""
        own = made_up(self.space, _OWN_SAMPLES, stream(_SEED, "trial", "own", index))
        own = own.exclude(*self.unobserved)
        if not self.receives:
            return Mixture((Portion(OWN, own, 1.0),))
        received = made_up(self.space, _RECEIVED, stream(_SEED, "trial", "received", index))
        return Mixture((Portion(OWN, own, 0.5), Portion("another player", received, 0.5)))

    def _state(self, model: LocalModel) -> dict[str, Tensor]:
        """Return the model's state as it comes back from a file."""
        state = self._call("state_dict", model.state_dict)
        if not isinstance(state, Mapping):
            raise Faults(f"state_dict returned {kind_of(state)}, expected tensors by name; {FLAT}")
        faults = [fault for fault in map(fault_of_entry, state.items()) if fault]
        faults = faults or faults_of_memory(state)
        if faults:
            raise Faults(*faults)
        try:
            stored = nest({"model": state})  # as a player's checkpoint has it
            loaded = load(save({name: t.detach().contiguous() for name, t in stored.items()}))
            return unnest(loaded).get("model", {})
        except Exception as error:
            raise Faults(f"state_dict cannot be stored: {error}") from error

    def _draw(self, model: LocalModel) -> Samples | None:
        if not model.generates:
            return None
        generator = stream(_SEED, "trial", "sample")
        drawn = self._call("sample", lambda: model.sample(_DRAWN, generator))
        faults = faults_of_draw(drawn, self.sent, _DRAWN)
        if faults:
            raise Faults(*faults)
        return drawn.clone()

    def _of_repeating(self, first: Turn) -> list[str]:
        """Faults of a model that does something else when it does the same again."""
        if _on_accelerator(self.model):
            return []
        second = self.turn(_SEED + 1)
        method = _difference(first, second)
        if method is None:
            return []
        again = _difference(first, self.turn(_SEED))
        if again is None:
            return [
                f"{method} draws from a global generator of torch, numpy or Python, so a run would "
                f"not repeat; everything random must come from {_generator_of(method)}"
            ]
        return [
            f"{method} gives something else when it is called again with the same seed; "
            f"everything random must come from {_generator_of(method)}"
        ]

    def _of_restoring(self, first: Turn) -> list[str]:
        """Faults of a model that is not what it was after its state was loaded."""
        if _on_accelerator(self.model):
            return []
        with isolated_seed(_SEED):
            restored = self._restored(first)
            drawn = self._draw(restored)
            if not same_samples(first.drawn, drawn):
                return [
                    "load_state_dict does not bring back what state_dict returned: the model draws "
                    "other samples than before; put all that sample needs into the state"
                ]
            # what changes with a draw belongs into the state, so an equal state draws the same
            as_before = same(first.state, self._state(restored))
            if as_before and not same_samples(drawn, self._draw(restored)):
                return [
                    "sample gives something else when it is called again with the same state and "
                    "generator, so a resumed run would draw other samples; draw from the generator "
                    "that it is given, or put a generator or counter of its own into the state"
                ]
            original = self.model.fresh()
            self._call("setup", lambda: original.setup(self.space, _SEED))
            self._learn(original, 1)
            continued = self._restored(first)
            for model in (original, continued):
                self._learn(model, 2)
            if not same(self._state(original), self._state(continued)):
                return [
                    "after load_state_dict the model learns on in another way than before; put the "
                    f"optimizer's state and all counters into state_dict: {FLAT}"
                ]
        return []

    def _restored(self, turn: Turn) -> LocalModel:
        """Return a new model with the state after a turn."""
        model = self.model.fresh()
        state = {name: tensor.clone() for name, tensor in turn.state.items()}
        self._call("setup", lambda: model.setup(self.space, _SEED))
        self._call("load_state_dict", lambda: model.load_state_dict(state))
        return model

    def _call(self, method: str, call: Any) -> Any:
        """Call a method of the model; what it raises becomes a fault."""
        try:
            with settings_restored():
                return call()
        except FAILURES as error:
            if isinstance(error, CoplayError):
                raise Faults(f"{method}: {error}") from error
            kind = type(error).__name__
            raise Faults(f"{method} failed: {kind}: {error} ({place_of(error)})") from error


class _Unfit(Exception):
    """Made-up samples do not suit an estimator."""


def made_up(space: Space, n: int, generator: torch.Generator) -> Samples:
    """Return n made-up samples of a space, within the range of every variable.

    Example:
        >>> space = Space({"age": Variable(kind="real", low=0, high=120)})
        >>> ages = made_up(space, 100, stream(1))["age"]
        >>> bool((ages >= 0).all() and (ages <= 120).all())
        True
    """
    return space.samples(**{name: _values(space[name], n, generator) for name in space})


def _values(v: Variable, n: int, generator: torch.Generator) -> Tensor:
    shape = (n, *v.shape)
    if v.kind != "real":
        several = v.classes or 2
        if v.kind == "count":
            several = 6
        return torch.randint(several, shape, generator=generator).to(v.dtypes[0])
    low, high = v.range
    if low > -torch.inf and high < torch.inf:
        values = low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)
    else:
        values = torch.randn(shape, generator=generator, dtype=torch.float64)
        # a half-open range begins somewhere
        if low > -torch.inf:
            values = low + values.abs()
        elif high < torch.inf:
            values = high - values.abs()
    return values.clamp(low, high).float().clamp(low, high)


def _state_if_any(model: LocalModel) -> dict[str, Tensor]:
    """Return copies of a state's tensors, where a model has a state before it has learned."""
    try:
        with settings_restored():
            state = model.state_dict()
        return {name: t.detach().clone() for name, t in state.items() if isinstance(t, Tensor)}
    except FAILURES:
        return {}


def _difference(one: Turn, other: Turn) -> str | None:
    """Return the first method after which two turns differ."""
    if not same(one.start, other.start):
        return "setup"
    if not same(one.state, other.state):
        return "learn"
    return None if same_samples(one.drawn, other.drawn) else "sample"


def _generator_of(method: str) -> str:
    if method == "setup":
        return "its seed: build networks inside coplay.core.streams.isolated_seed(seed)"
    return "the generator that it is given"


def _on_accelerator(model: LocalModel) -> bool:
    """Whether a model may compute elsewhere than on the CPU, where sums need not repeat."""
    return str(getattr(model, "device", "cpu")) != "cpu"
