"""What a rectified flow is made of: the variables that it takes, its networks, and its loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from coplay.core.errors import ModelError
from coplay.core.space import Space
from coplay.core.variable import Variable
from coplay.nets.convolutions import Convolutions


class FlowNetworks(nn.Module):
    """The flow and, where there are combinations of categories, their classifier."""

    def __init__(self, flow: nn.Module, shape: tuple[int, ...], combinations: int) -> None:
        super().__init__()
        self.flow = flow
        self.classifier: nn.Sequential | None = None
        if combinations:
            convolved = Convolutions(shape, channels=16, hidden=64, kind="strided")
            self.classifier = nn.Sequential(convolved, nn.Linear(64, combinations))


def error_at(flow: nn.Module, x: Tensor, levels: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """|v(x_t, t, s) − (x − ε)|² as a mean over pixels; shape (n,)."""
    along = torch.lerp(noise, x, t[:, None, None, None])
    velocity: Tensor = flow(along, t, levels)
    return (velocity.float() - (x - noise)).square().flatten(1).mean(1)


def channels_and_side(v: Variable) -> tuple[int, int, int]:
    """Return channels, height and width of an image, or of a signal as an image of height 1."""
    return (*(1,) * (3 - len(v.shape)), *v.shape)  # type: ignore[return-value]


def image_and_categories(space: Space) -> tuple[str, dict[str, int]]:
    """Return the name of a space's one image or signal, and the levels of each category.

    Raises:
        ModelError: There are other variables, no image, or more than one.
    """
    levels = {}
    for name in space:
        classes = space[name].classes
        if classes and not space[name].shape:
            levels[name] = classes
    images = [name for name in space if name not in levels]
    v = space[images[0]] if images else None
    if (
        len(images) != 1
        or v is None
        or v.kind not in ("binary", "real")
        or not 1 <= len(v.shape) <= 3
    ):
        has = ", ".join(f"'{name}' ({space[name]})" for name in space)
        raise ModelError(
            "rectified_flow needs one image or signal of real values or bits, with any number of "
            f"categories beside it; the variables are {has}. Learn such ones alone, or choose a "
            "model for any variables, such as conditionals"
        )
    return images[0], levels
