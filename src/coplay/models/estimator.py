"""Any class with ``fit`` and ``sample`` as a player: scikit-learn's estimators, or your own."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from pydantic import Field, PrivateAttr
from torch import Tensor

from coplay.core.components import find
from coplay.core.errors import ModelError
from coplay.core.scaling import Scaling
from coplay.core.space import Samples, Space, join, pick
from coplay.core.streams import isolated_seed, small_seed, unbiased_counts
from coplay.models import estimator_frames
from coplay.models.base import OWN, LocalModel, Mixture
from coplay.models.estimator_frames import as_rows, draw, is_frame, takes_frames

KNOWN_ESTIMATORS = (
    "sklearn.mixture:GaussianMixture",
    "sklearn.mixture:BayesianGaussianMixture",
    "sklearn.neighbors:KernelDensity",
)
"""Classes outside coplay that a run from somebody else may name: they run no code of its own.

The list is short on purpose. Most of scikit-learn can be made to call a function, to read a file
or to unpickle one by the arguments of a class.
"""

# prefixes of a state's keys
_OWN_STATE = "own/"
_ARRAY = "array/"
_PLAIN = "plain/"
_SCALES = "scale/"


class Estimator(LocalModel):
    """A player whose model is any class with ``fit(rows)`` and ``sample(n)``.

    In a config its name is the class itself, and all other keys are the class's own arguments::

        model = { name = "sklearn.mixture:GaussianMixture", n_components = 30 }

    One that is fitted on frames, as SDV's ``CTGAN`` and ``TabularARGN`` of mostlyai-engine are,
    gets a frame of pandas with columns by their names, in their own units, categories as texts, and
    draws one (:mod:`coplay.models.estimator_frames`). To any other, a row holds all variables of a
    sample side by side. What the estimator draws is moved to the
    nearest allowed value: pixels of a binary image are rounded, real values clamped. To an
    estimator of scikit-learn, numbers are scaled first and scaled back when drawn
    (:mod:`coplay.core.scaling`): a ``bandwidth`` or ``reg_covar`` is in these units, in which one
    is about a standard deviation. A class of your own sees and draws numbers as they are. ``fit``
    starts afresh each round, as scikit-learn's does. Since few estimators take weights, own samples
    are repeated or left out at random so that they have their mass among the received ones; with
    nothing received, they are used once each.

    ``random_state``, where the class has it, is set from the run's seed, and so are the global
    generators of numpy and torch while the estimator works.

    An estimator with ``state_dict`` and ``load_state_dict`` is stored by them. Any other is stored
    by its attributes if they are arrays and plain values, else by the rows it was fitted on. (A
    kernel density *is* its data: its file holds private samples and must not be shared.)

    Args:
        estimator: The class as ``"package.module:Class"``.
        arguments: Its constructor's arguments.

    Example:
        >>> model = Estimator(arguments={"n_components": 2})
        >>> model.estimator, model.arguments
        ('sklearn.mixture:GaussianMixture', {'n_components': 2})
    """

    reported_names: ClassVar[tuple[str, ...] | None] = ("samples", "log_likelihood")

    estimator: str = "sklearn.mixture:GaussianMixture"
    arguments: dict[str, Any] = Field(default_factory=dict)

    _space: Space = PrivateAttr()
    _scaling: Scaling = PrivateAttr()
    _model: Any = PrivateAttr()
    _rows: np.ndarray | None = PrivateAttr(default=None)
    _seed: int = PrivateAttr(default=0)
    _takes_frames: bool = PrivateAttr(default=False)

    @property
    def title(self) -> str:
        """The estimator's own name."""
        return self.estimator

    def outside(self) -> list[str]:
        """The estimator's class, unless it is a known one of scikit-learn."""
        return [] if self.estimator in KNOWN_ESTIMATORS else [self.estimator]

    def setup(self, space: Space, seed: int) -> None:
        """Construct the estimator."""
        self._space = space
        self._rows = None
        self._seed = seed % 2**31  # the range that numpy accepts
        self._model = self._construct()
        self._takes_frames = takes_frames(self.estimator, self._model)
        self._scaling = self._new_scaling()

    def _new_scaling(self) -> Scaling:
        # a class of one's own may know the units of its variables
        plain = self._takes_frames or not self.estimator.startswith("sklearn.")
        return Scaling(self._space, plain=plain)

    def _construct(self) -> Any:
        try:
            with isolated_seed(self._seed):
                model = find("model", self.estimator)(**copy.deepcopy(self.arguments))
        except (TypeError, ValueError) as error:
            raise ModelError(
                f"cannot construct {self.estimator} from {self.arguments}: {error}"
            ) from error
        needed = ("fit", "sample")
        missing = [method for method in needed if not callable(getattr(model, method, None))]
        if missing:
            raise ModelError(
                f"{self.estimator} has no method {' and '.join(missing)}; "
                "a player needs fit and sample"
            )
        return model

    def learn(
        self, mixture: Mixture, steps: int, generator: torch.Generator
    ) -> Mapping[str, float]:
        """Fit the estimator to as many rows as there are received and own samples."""
        samples = _in_proportion(mixture, generator)
        self._scaling = self._new_scaling()
        self._scaling.follow([samples], [1.0])
        space = self._scaling.standard_space
        standard = self._scaling.standard(samples, torch.float64)
        # nothing but numbers may need more digits, and images keep their bits
        dtype = torch.float64 if self._scaling.by_data else torch.float32
        self._rows = space.flatten(standard, dtype).double().numpy()
        self._seed = small_seed(generator)
        self._fit()
        numbers = {"samples": float(len(self._rows))}
        score = getattr(self._model, "lower_bound_", None)
        if score is not None:
            numbers["log_likelihood"] = float(score) - self._scaling.log_volume()
        return numbers

    def _fit(self) -> None:
        if hasattr(self._model, "random_state"):
            self._model.random_state = self._seed
        with isolated_seed(self._seed):
            if self._takes_frames and self._rows is not None:
                estimator_frames.fit(self._model, self._space, self._rows)
            else:
                self._model.fit(self._rows)

    def sample(self, n: int, generator: torch.Generator) -> Samples:
        """Draw from the estimator and move the values into the space."""
        drawn = self._draw(n, small_seed(generator))
        if isinstance(drawn, tuple):
            drawn = drawn[0]
        if is_frame(drawn):
            drawn = as_rows(self.estimator, self._space, drawn)
        rows = np.asarray(drawn)
        if rows.ndim != 2:
            raise ModelError(
                f"{self.estimator}.sample({n}) returned shape {rows.shape}, expected ({n}, D)"
            )
        if not np.isfinite(rows).all():
            count = int((~np.isfinite(rows)).sum())
            raise ModelError(
                f"{self.estimator}.sample({n}) returned {count} NaN or infinite values"
            )
        # estimators such as mixtures draw component after component; order must carry no meaning
        order = torch.randperm(len(rows), generator=generator)
        dtype = torch.float64 if self._scaling.by_data else torch.float32
        ordered = torch.from_numpy(rows).to(dtype)[order]
        samples = self._scaling.standard_space.unflatten(ordered)
        for name in self._space:
            if samples[name].is_floating_point() and name not in self._scaling.by_data:
                samples[name] = samples[name].float()
        return self._scaling.original(samples)

    def _draw(self, n: int, seed: int) -> Any:
        with isolated_seed(seed):
            if "random_state" in inspect.signature(self._model.sample).parameters:
                return draw(self._model, n, random_state=seed)
            before = getattr(self._model, "random_state", None)
            if hasattr(self._model, "random_state"):
                self._model.random_state = seed
            try:
                return draw(self._model, n)
            finally:
                if hasattr(self._model, "random_state"):
                    self._model.random_state = before  # drawing must not change the state

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return the estimator's own state, else its attributes, else the rows it was fitted on.

        The scales are beside it.
        """
        scales = {_SCALES + name: scale for name, scale in self._scaling.state_dict().items()}
        return {**self._own_state(), **scales}

    def _own_state(self) -> Mapping[str, Tensor]:
        if hasattr(self._model, "state_dict"):
            own = self._model.state_dict()
            return {_OWN_STATE + name: tensor for name, tensor in own.items()}
        if self._rows is None:
            return {"fitted": torch.tensor(False)}
        attributes = _attributes(self._model)
        if attributes is not None:
            return attributes
        return {"rows": torch.from_numpy(self._rows), "seed": torch.tensor(self._seed)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state returned by :meth:`state_dict`."""
        scales = [name for name in state if name.startswith(_SCALES)]
        self._scaling.load_state_dict({name.removeprefix(_SCALES): state[name] for name in scales})
        state = {name: tensor for name, tensor in state.items() if name not in scales}
        self._model = self._construct()
        self._rows = None
        if hasattr(self._model, "load_state_dict"):
            own = {name.removeprefix(_OWN_STATE): tensor for name, tensor in state.items()}
            self._model.load_state_dict(own)
        elif "rows" in state:
            self._rows = state["rows"].numpy()
            self._seed = int(state["seed"])
            self._fit()
        elif "fitted" not in state:
            self._rows = np.empty((0, 0))  # it was fitted, though the rows are not stored
            for name, value in _decoded(state).items():
                # a file from anybody must not replace what the estimator does
                if name.startswith("__") or callable(getattr(type(self._model), name, None)):
                    raise ValueError(f"{name!r} is no attribute that {self.estimator} learns")
                setattr(self._model, name, value)

    @classmethod
    def tiny(cls) -> Self:
        """Return a mixture of two spherical Gaussians."""
        arguments = {"n_components": 2, "covariance_type": "spherical", "max_iter": 2, "tol": 1.0}
        return cls(arguments=arguments)


def _in_proportion(mixture: Mixture, generator: torch.Generator) -> Samples:
    """Return rows in which every source has its mass.

    Received samples are used once each where their counts are in proportion.
    """
    if len(mixture.parts) == 1:
        return mixture.parts[0].samples
    received = [part for part in mixture.parts if part.name != OWN]
    count_received = sum(len(part.samples) for part in received)
    total = round(count_received / sum(part.weight for part in received))
    counts = unbiased_counts(mixture.weights, total, generator)
    drawn = []
    for part, count in zip(mixture.parts, counts, strict=True):
        # every sample is used as often as possible and the remainder drawn at random, which adds
        # less noise than drawing with replacement
        n = len(part.samples)
        whole, rest = divmod(count, n)
        once_more = torch.randperm(n, generator=generator)[:rest].sort().values
        rows = torch.cat([torch.arange(n).repeat(whole), once_more])
        drawn.append(pick(part.samples, rows))
    return join(drawn)


def _attributes(model: Any) -> dict[str, Tensor] | None:
    """Return an object's attributes as tensors; None if one is neither array nor plain value."""
    encoded = {}
    for name, value in vars(model).items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            encoded[_ARRAY + name] = torch.from_numpy(value.copy())
            continue
        plain = _as_plain(value)
        try:
            text = json.dumps(plain)
        except TypeError:
            return None
        # a tuple, or a dictionary whose keys are not texts, is restored as something else
        if json.loads(text) != plain:
            return None
        encoded[_PLAIN + name] = torch.tensor(list(text.encode()), dtype=torch.uint8)
    return encoded


def _as_plain(value: Any) -> Any:
    """Return numpy's numbers, also those in a list, as Python's; anything else as it is."""
    if isinstance(value, list):
        return [_scalar(item) for item in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _decoded(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the attributes that :func:`_attributes` made tensors of, by name."""
    attributes: dict[str, Any] = {}
    for key, tensor in state.items():
        if key.startswith(_ARRAY):
            attributes[key.removeprefix(_ARRAY)] = tensor.numpy()
        else:
            attributes[key.removeprefix(_PLAIN)] = json.loads(bytes(tensor.tolist()))
    return attributes
