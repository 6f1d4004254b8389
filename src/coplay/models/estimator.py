"""Any object with ``fit`` and ``sample`` as a player: scikit-learn's estimators as they are, or a user's class."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from pydantic import Field, PrivateAttr
from torch import Tensor

from coplay.core.components import find
from coplay.core.errors import ModelError
from coplay.core.space import Samples, Space, join, pick
from coplay.core.streams import isolated_seed, small_seed, unbiased_counts
from coplay.models.base import OWN, LocalModel, Mixture


class Estimator(LocalModel):
    """A player whose model is any class with ``fit(rows)`` and ``sample(n)``.

    In a config its name is the class itself, and all other keys are the class's own arguments::

        model = { name = "sklearn.mixture:GaussianMixture", n_components = 30, covariance_type = "diag" }

    Rows are all variables of a sample side by side. What the estimator draws is moved to the nearest allowed value: pixels
    of a binary image are rounded, real values clamped. ``fit`` starts afresh each round, as scikit-learn's does. Since few
    estimators take weights, own samples are repeated or left out at random so that they have their mass among the received
    ones; with nothing received, they are used once each.

    ``random_state``, where the class has it, is set from the run's seed, and so are the global generators of numpy and torch
    while the estimator works. An estimator with ``state_dict`` and
    ``load_state_dict`` is stored by them; another by its attributes if they are arrays and plain values, else by the rows
    it was fitted on (a kernel density *is* its data: its file holds private samples and must not be shared).

    Args:
        estimator: The class as ``"package.module:Class"``.
        arguments: Its constructor's arguments.

    Example:
        >>> model = Estimator(estimator="sklearn.mixture:GaussianMixture", arguments={"n_components": 2})
        >>> model.arguments
        {'n_components': 2}
    """

    estimator: str = "sklearn.mixture:GaussianMixture"
    arguments: dict[str, Any] = Field(default_factory=dict)

    _space: Space = PrivateAttr()
    _model: Any = PrivateAttr()
    _rows: np.ndarray | None = PrivateAttr(default=None)
    _seed: int = PrivateAttr(default=0)

    @property
    def title(self) -> str:
        """The estimator's own name."""
        return self.estimator

    def setup(self, space: Space, seed: int) -> None:
        """Construct the estimator."""
        self._space, self._rows, self._seed = (
            space,
            None,
            seed % 2**31,
        )  # what numpy accepts as a seed
        self._model = self._construct()

    def _construct(self) -> Any:
        try:
            with isolated_seed(self._seed):
                model = find("model", self.estimator)(**copy.deepcopy(self.arguments))
        except (TypeError, ValueError) as error:
            raise ModelError(
                f"cannot construct {self.estimator} from {self.arguments}: {error}"
            ) from error
        missing = [
            method for method in ("fit", "sample") if not callable(getattr(model, method, None))
        ]
        if missing:
            raise ModelError(
                f"{self.estimator} has no method {' and '.join(missing)}; a player needs fit and sample"
            )
        return model

    def learn(
        self, mixture: Mixture, steps: int, generator: torch.Generator
    ) -> Mapping[str, float]:
        """Fit the estimator to as many rows as there are received and own samples."""
        self._rows = self._space.flatten(_in_proportion(mixture, generator)).double().numpy()
        self._seed = small_seed(generator)
        self._fit()
        numbers = {"samples": float(len(self._rows))}
        score = getattr(self._model, "lower_bound_", None)
        return numbers | ({"log_likelihood": float(score)} if score is not None else {})

    def _fit(self) -> None:
        if hasattr(self._model, "random_state"):
            self._model.random_state = self._seed
        with isolated_seed(self._seed):
            self._model.fit(self._rows)

    def sample(self, n: int, generator: torch.Generator) -> Samples:
        """Draw from the estimator and move the values into the space."""
        drawn = self._draw(n, small_seed(generator))
        rows = np.asarray(drawn[0] if isinstance(drawn, tuple) else drawn)
        if rows.ndim != 2:
            raise ModelError(
                f"{self.estimator}.sample({n}) returned shape {rows.shape}, expected ({n}, D)"
            )
        if not np.isfinite(rows).all():
            raise ModelError(
                f"{self.estimator}.sample({n}) returned {int((~np.isfinite(rows)).sum())} NaN or infinite values"
            )
        # estimators such as mixtures draw component after component; the order must carry no meaning
        order = torch.randperm(len(rows), generator=generator)
        return self._space.unflatten(torch.from_numpy(rows).float()[order])

    def _draw(self, n: int, seed: int) -> Any:
        with isolated_seed(seed):
            if "random_state" in inspect.signature(self._model.sample).parameters:
                return self._model.sample(n, random_state=seed)
            before = getattr(self._model, "random_state", None)
            if hasattr(self._model, "random_state"):
                self._model.random_state = seed
            try:
                return self._model.sample(n)
            finally:
                if hasattr(self._model, "random_state"):
                    self._model.random_state = before  # drawing must leave no trace in the state

    def state_dict(self) -> Mapping[str, Tensor]:
        """The estimator's own state, its attributes, or the rows it was fitted on, in this order."""
        if hasattr(self._model, "state_dict"):
            return {f"own/{name}": tensor for name, tensor in self._model.state_dict().items()}
        if self._rows is None:
            return {"fitted": torch.tensor(False)}
        attributes = _attributes(self._model)
        if attributes is not None:
            return attributes
        return {"rows": torch.from_numpy(self._rows), "seed": torch.tensor(self._seed)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Bring the estimator back."""
        self._model, self._rows = self._construct(), None
        if hasattr(self._model, "load_state_dict"):
            self._model.load_state_dict(
                {name.removeprefix("own/"): tensor for name, tensor in state.items()}
            )
        elif "rows" in state:
            self._rows, self._seed = state["rows"].numpy(), int(state["seed"])
            self._fit()
        elif "fitted" not in state:
            self._rows = np.empty((0, 0))  # fitted, though the rows are not kept
            for name, tensor in state.items():
                form, _, attribute = name.partition("/")
                setattr(
                    self._model,
                    attribute,
                    tensor.numpy() if form == "array" else json.loads(bytes(tensor.tolist())),
                )

    @classmethod
    def tiny(cls) -> Self:
        """Two spherical Gaussians."""
        return cls(
            arguments={"n_components": 2, "covariance_type": "spherical", "max_iter": 2, "tol": 1.0}
        )


def _in_proportion(mixture: Mixture, generator: torch.Generator) -> Samples:
    """Rows in which every source has its mass; received samples are used once each where their counts are in proportion."""
    if len(mixture.parts) == 1:
        return mixture.parts[0].samples
    received = [part for part in mixture.parts if part.name != OWN]
    total = round(
        sum(len(part.samples) for part in received) / sum(part.weight for part in received)
    )
    drawn = []
    for part, count in zip(
        mixture.parts, unbiased_counts(mixture.weights, total, generator), strict=True
    ):
        # every sample as often as possible, the remainder at random: less noise than drawing with replacement
        whole, rest = divmod(count, len(part.samples))
        order = torch.randperm(len(part.samples), generator=generator)[:rest]
        drawn.append(
            pick(
                part.samples,
                torch.cat([torch.arange(len(part.samples)).repeat(whole), order.sort().values]),
            )
        )
    return join(drawn)


def _attributes(model: Any) -> dict[str, Tensor] | None:
    """An object's attributes as tensors; None if one is neither array nor plain value."""
    encoded = {}
    for name, value in vars(model).items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            encoded[f"array/{name}"] = torch.from_numpy(value.copy())
            continue
        plain = value.item() if isinstance(value, np.generic) else value
        if isinstance(plain, list):
            plain = [v.item() if isinstance(v, np.generic) else v for v in plain]
        try:
            text = json.dumps(plain)
        except TypeError:
            return None
        if (
            json.loads(text) != plain
        ):  # a tuple or a dictionary with other keys would come back as something else
            return None
        encoded[f"plain/{name}"] = torch.tensor(list(text.encode()), dtype=torch.uint8)
    return encoded
