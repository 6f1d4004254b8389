"""Distributions of a variable given the outputs of a network: bits, classes, Gaussians.

Components of a variable are independent given the outputs. Draws of a real variable are clamped to
its range.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

from coplay.core.space import Variable
from coplay.nets import devices
from coplay.nets.bits import draw_bits, log_bits, straight_through_bits
from coplay.nets.variables import centre_and_half_width, goes_through_convolutions

_SPEED = 10.0


class Distribution(nn.Module):
    """A distribution of one variable, with ``size`` outputs of a network for each row.

    Values have shape (n, *shape), outputs (n, size).
    """

    size: int

    @abstractmethod
    def log_prob(self, outputs: Tensor, values: Tensor) -> Tensor:
        """Log p of values in nats, shape (n,)."""

    @abstractmethod
    def draw(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        """Draw one value for each row."""

    @abstractmethod
    def likeliest(self, outputs: Tensor) -> Tensor:
        """Return the most probable value for each row."""


class Bits(Distribution):
    """Independent bits; outputs are logits."""

    def __init__(self, v: Variable) -> None:
        super().__init__()
        self.shape = v.shape
        self.size = v.size

    def log_prob(self, outputs: Tensor, values: Tensor) -> Tensor:
        """Log p of values in nats, shape (n,)."""
        return log_bits(outputs, values.reshape(outputs.shape).float())

    def draw(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        """Draw values of shape (n, *shape)."""
        return draw_bits(outputs, generator).to(torch.uint8).reshape(-1, *self.shape)

    def draw_straight_through(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        """Draw values, float32 of shape (n, *shape), through which gradients pass."""
        return straight_through_bits(outputs, generator).reshape(-1, *self.shape)

    def likeliest(self, outputs: Tensor) -> Tensor:
        """Return the most probable values, shape (n, *shape)."""
        return (outputs > 0).to(torch.uint8).reshape(-1, *self.shape)


class Classes(Distribution):
    """Independent classes; outputs are logits."""

    def __init__(self, v: Variable) -> None:
        super().__init__()
        self.shape = v.shape
        self.classes = v.classes or 0
        self.size = v.size * self.classes

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Log p of every class, shape (n, D, C)."""
        return logits.float().reshape(len(logits), -1, self.classes).log_softmax(2)

    def log_prob(self, outputs: Tensor, values: Tensor) -> Tensor:
        """Log p of values in nats, shape (n,)."""
        each = self.log_probabilities(outputs).gather(2, values.reshape(len(values), -1, 1))
        return each.sum((1, 2))

    def draw(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        """Draw values of shape (n, *shape)."""
        probabilities = self.log_probabilities(outputs).exp().flatten(0, 1)
        return devices.classes(probabilities, 1, generator).reshape(-1, *self.shape)

    def likeliest(self, outputs: Tensor) -> Tensor:
        """Return the most probable values, shape (n, *shape)."""
        return self.log_probabilities(outputs).argmax(2).reshape(-1, *self.shape)


class Gaussian(Distribution):
    """Independent numbers around means, which are the outputs.

    All pixels of an image have one learned deviation; otherwise every component has its own, which
    learns faster than other parameters do.
    """

    speed: float
    """log σ is the parameter times this."""

    def __init__(self, v: Variable) -> None:
        super().__init__()
        self.shape = v.shape
        self.size = v.size
        self.range = v.range
        self.centre, self.half_width = centre_and_half_width(v)
        is_image = goes_through_convolutions(v)
        # Adam moves a parameter by its rate at most: without it, numbers that others say little
        # about come out too narrow for a thousand steps
        self.speed = 1.0 if is_image else _SPEED
        deviations = () if is_image else (v.size,)
        self.slow_deviation = nn.Parameter(torch.full(deviations, -1.0 / self.speed))

    @property
    def log_deviation(self) -> Tensor:
        """log σ of the components, in scaled units."""
        return self.speed * self.slow_deviation

    def log_prob(self, outputs: Tensor, values: Tensor) -> Tensor:
        """Log p of values in nats, in the variable's own units; shape (n,)."""
        scaled = (values.float().reshape(outputs.shape) - self.centre) / self.half_width
        error = (scaled - outputs.float()) * torch.exp(-self.log_deviation)
        constant = 0.5 * math.log(2 * math.pi) + math.log(self.half_width)
        return -(0.5 * error.square() + self.log_deviation + constant).sum(1)

    def draw(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        """Draw values of shape (n, *shape)."""
        noise = devices.normal(outputs, generator)
        return self._in_range(outputs.float() + self.log_deviation.exp() * noise)

    def likeliest(self, outputs: Tensor) -> Tensor:
        """Return the most probable values, shape (n, *shape)."""
        return self._in_range(outputs.float())

    def _in_range(self, scaled: Tensor) -> Tensor:
        values = self.centre + self.half_width * scaled
        return values.reshape(-1, *self.shape).clamp(*self.range)


def distribution_of(v: Variable) -> Distribution:
    """Return the distribution of a binary, categorical or real variable.

    Example:
        >>> law = distribution_of(Variable(kind="categorical", classes=4))
        >>> law.size, law.likeliest(torch.tensor([[0.0, 3.0, 1.0, 0.0]]))
        (4, tensor([1]))
    """
    if v.kind == "binary":
        return Bits(v)
    if v.kind == "categorical":
        return Classes(v)
    return Gaussian(v)
