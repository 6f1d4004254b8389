"""Variables, the space they span, and the gate that every sample passes.

A sample set is a ``tensordict.TensorDict`` of named variables whose first axis is n, the number of
samples. A variable that is absent is unobserved. Shape letters used in the whole package: N
players, n samples, B batch, C classes, D features.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from tensordict import TensorDict
from torch import Tensor

from coplay.core.errors import SpaceError
from coplay.core.variable import Variable as Variable  # part of a space, with a file of its own

Samples = TensorDict
"""A set of n samples: a TensorDict of named variables with batch size ``[n]``."""

LABEL = "class"
"""Name of the variable that holds a sample's class, where there is one."""

SOURCE = "source"
"""Name of the variable that holds whose data a sample comes from, in play conditional on it."""


def finite(values: Tensor) -> bool:
    """Whether no value is NaN or infinite, in one pass.

    Example:
        >>> finite(torch.ones(2)), finite(torch.tensor([1.0, math.nan])), finite(torch.tensor([]))
        (True, False, True)
    """
    if not values.numel():
        return True
    return all(math.isfinite(end.item()) for end in values.aminmax())


def join(parts: Sequence[Samples]) -> Samples:
    """Concatenate sample sets; all must have the same variables."""
    joined: Samples = torch.cat(list(parts))  # type: ignore[assignment]
    return joined


def tensors(samples: Samples) -> dict[str, Tensor]:
    """Return the tensors of a sample set by variable."""
    return dict(samples.items())  # type: ignore[arg-type]


def pick(samples: Samples, index: Tensor | slice) -> Samples:
    """Return some of the samples, by position.

    Args:
        samples: n samples.
        index: Positions from 0 to n - 1, a mask of shape (n,), or a slice.

    Example:
        >>> samples = Samples({"age": torch.tensor([31.0, 52.0, 47.0])}, batch_size=[3])
        >>> pick(samples, slice(2))["age"].tolist()
        [31.0, 52.0]
    """
    if isinstance(index, Tensor) and index.dtype == torch.int64 and index.dim() == 1:
        # several times faster than indexing, and the same
        values = {name: tensor.index_select(0, index) for name, tensor in tensors(samples).items()}
        return TensorDict(values, batch_size=[len(index)])
    picked: Samples = samples[index]
    return picked


class Space:
    """An ordered set of named variables.

    Args:
        variables: Name to :class:`Variable`, at least one.

    Example:
        >>> space = Space({"image": Variable(kind="binary", shape=(2,))})
        >>> ok = space.samples(image=torch.tensor([[0, 1], [1, 1]], dtype=torch.uint8))
        >>> space.check(ok, "an example") is ok
        True
        >>> sevens = space.samples(image=torch.full((1, 2), 7, dtype=torch.uint8))
        >>> space.check(sevens, "site 'a'")
        Traceback (most recent call last):
        coplay.core.errors.SpaceError: site 'a': variable 'image' (binary 2):
        expected values in [0, 1], got 7 in row 0
    """

    def __init__(self, variables: Mapping[str, Variable]) -> None:
        if not variables:
            raise SpaceError("a space needs at least one variable")
        self._variables = dict(variables)

    def __getitem__(self, name: str) -> Variable:
        return self._variables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and self._variables == other._variables

    def __hash__(self) -> int:
        return hash(tuple(self._variables.items()))

    def __repr__(self) -> str:
        variables = ", ".join(f"{name}: {v}" for name, v in self._variables.items())
        return f"Space({variables})"

    def only(self, names: Iterable[str]) -> Space:
        """Return the space of some of the variables, in the order given.

        Raises:
            SpaceError: One of them is unknown.
        """
        chosen = {}
        for name in names:
            if name not in self._variables:
                raise SpaceError(f"unknown variable {name!r}; the space has {', '.join(self)}")
            chosen[name] = self._variables[name]
        return Space(chosen)

    def image_and_class(self, *, any_shape: bool = False) -> tuple[str, str | None]:
        """Return the names of the one image and of its class, a categorical number, or None.

        Args:
            any_shape: Whether the one variable beside the class counts as an image whatever its
                shape and kind, for a model to which an image is just a row of numbers.

        Raises:
            SpaceError: There is no image or more than one, more than one class, or any other
                variable.

        Example:
            >>> grey = Variable(kind="real", shape=(28, 28), low=0, high=1)
            >>> digit = Variable(kind="categorical", classes=10)
            >>> Space({"digit": digit, "scan": grey}).image_and_class()
            ('scan', 'digit')
            >>> Space({"scan": grey}).image_and_class()
            ('scan', None)
        """
        classes = [name for name, v in self._variables.items() if v.classes and not v.shape]
        images = [name for name in self if name not in classes]
        fits = len(images) == 1 and len(classes) <= 1
        if not fits or not (any_shape or self[images[0]].is_image):
            has = ", ".join(f"'{name}' ({v})" for name, v in self._variables.items())
            raise SpaceError(
                f"expected one image and at most one class; the variables are {has}. An image has "
                "shape (H, W), (1, H, W) or (3, H, W), a class is one categorical number. Name "
                "these alone as the variables that are learned, or choose a model for any "
                "variables, such as conditionals"
            )
        return images[0], classes[0] if classes else None

    def extended(self, more: Mapping[str, Variable]) -> Space:
        """Return the space with more variables.

        Raises:
            SpaceError: The space has a variable of one of the names already.
        """
        doubled = [name for name in more if name in self._variables]
        if doubled:
            raise SpaceError(
                f"the space has a variable {doubled[0]!r} already; "
                "another of that name cannot be added"
            )
        return Space({**self._variables, **more})

    def samples(self, /, **values: Tensor) -> Samples:
        """Bind tensors of shape (n, …) to a sample set; the values are not checked."""
        n = len(next(iter(values.values())))
        return TensorDict(dict(values), batch_size=[n])

    def empty(self) -> Samples:
        """Return a sample set with no samples, in which every variable is present."""
        values = {}
        for name, variable in self._variables.items():
            values[name] = torch.empty((0, *variable.shape), dtype=variable.dtypes[0])
        return TensorDict(values, batch_size=[0])

    def restrict(self, samples: Samples) -> Samples:
        """Keep the variables that this space knows; the rest stays unobserved here (A5)."""
        known = [name for name in self if name in samples.keys()]
        return samples.select(*known)

    def check(
        self,
        samples: object,
        origin: str,
        *,
        complete: bool = False,
        rows: int | None = None,
        quote: bool = True,
    ) -> Samples:
        """Return ``samples`` unchanged if they lie in this space.

        Args:
            samples: An object that should be a sample set of this space.
            origin: Where it comes from, named in the error.
            complete: Whether every variable must be present.
            rows: How many samples there must be, if that is known.
            quote: Whether the error may quote a value.

        Raises:
            SpaceError: It is no sample set, or a variable is unknown, missing, of the wrong type or
                shape, not finite or out of range.
        """
        if not isinstance(samples, TensorDict) or samples.batch_dims != 1:
            raise SpaceError(
                f"{origin}: expected a TensorDict with one batch axis, got {_describe(samples)}"
            )
        if rows is not None and len(samples) != rows:
            raise SpaceError(f"{origin}: expected {rows} samples, got {len(samples)}")
        names = [str(name) for name in samples.keys()]
        unknown = [name for name in names if name not in self._variables]
        if unknown or not names:
            raise SpaceError(
                f"{origin}: expected variables among {', '.join(self)}; "
                f"got {', '.join(names) or 'none'}"
            )
        missing = [name for name in self if name not in names]
        if complete and missing:
            raise SpaceError(
                f"{origin}: variable '{missing[0]}' ({self[missing[0]]}) is missing; "
                f"got {', '.join(names)}"
            )
        for name in names:
            fault = self[name].fault(samples[name], quote)
            if fault:
                raise SpaceError(f"{origin}: variable '{name}' ({self[name]}): expected {fault}")
        return samples

    def flatten(self, samples: Samples, dtype: torch.dtype = torch.float32) -> Tensor:
        """Put all variables side by side, shape (n, D); every variable must be present."""
        columns = [samples[name].reshape(len(samples), -1).to(dtype) for name in self]
        return torch.cat(columns, 1)

    def unflatten(self, rows: Tensor) -> Samples:
        """Undo :meth:`flatten`, and move every value to the nearest allowed one.

        Args:
            rows: Shape (n, D).

        Raises:
            SpaceError: D is not the number of values in one sample.
        """
        values = {}
        start = 0
        for name, variable in self._variables.items():
            columns = rows[:, start : start + variable.size]
            start += variable.size
            numbers = columns.reshape(len(rows), *variable.shape)
            # real variables keep the type of the rows, 32 or 64 bits
            dtype = numbers.dtype
            if variable.kind != "real":
                numbers = numbers.round()
                dtype = variable.dtypes[0]
            low, high = variable.range
            values[name] = numbers.clamp(low, high).to(dtype)
        if start != rows.shape[1]:
            raise SpaceError(f"expected {start} numbers a sample for {self!r}, got {rows.shape[1]}")
        return self.samples(**values)


def _describe(value: object) -> str:
    """Name the type of a value and its shape, if it has one."""
    kind = type(value).__name__
    shape = getattr(value, "shape", None)
    if shape is None:
        return kind
    return f"{kind} of shape {tuple(shape)}"


def payload_bytes(samples: Samples) -> int:
    """Return the number of bytes of the tensors in a sample set, without any framing."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors(samples).values())
