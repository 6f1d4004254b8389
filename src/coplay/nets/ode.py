"""Following a velocity from t = 0 to 1 in few equal steps.

References:
    Pseudo Numerical Methods for Diffusion Models on Manifolds (L. Liu et al., ICLR 2022),
    arXiv:2202.09778, for multistep methods in place of straight steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor

Solver = Literal["adams", "euler", "heun"]
"""Two-step Adams–Bashforth, straight steps, or two evaluations a step."""


def followed(
    velocity: Callable[[Tensor, float], Tensor], x: Tensor, evaluations: int, solver: Solver
) -> Tensor:
    """Solve dx/dt = v(x, t) from t = 0 to 1.

    Args:
        velocity: v.
        x: Where it begins.
        evaluations: How often v is asked; at least once, and twice a step by ``"heun"``.
        solver: How steps are taken.

    Example:
        >>> import torch
        >>> round(followed(lambda x, t: 2 * t + 0 * x, torch.zeros(1), 10, "heun").item(), 6)
        1.0
    """
    count = max(1, evaluations // 2 if solver == "heun" else evaluations)
    before: Tensor | None = None
    for i in range(count):
        now = velocity(x, i / count)
        step = now / count
        if solver == "heun":
            step = (step + velocity(x + step, (i + 1) / count) / count) / 2
        elif solver == "adams" and before is not None:
            step = (1.5 * now - 0.5 * before) / count
        before = now
        x = x + step
    return x
