"""Whose data a variable comes from, where players learn and observe different variables.

For each variable, the game is one among the players that learn it: α is restricted to them, a
player's own weight counts only where its data have the variable, and rows are re-normalised. What
follows by (A2) is the share of each site's data in what a player learns of the variable.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from coplay.theory.equilibrium import influence_matrix
from coplay.theory.sparse import reaches_data


def influence_of_variable(alpha: Tensor, learns: Tensor, observes: Tensor) -> Tensor:
    """Return M of one variable.

    Args:
        alpha: Weights, shape (N, N).
        learns: Whether it is a variable of a player's model, shape (N,), bool.
        observes: Whether a player's data have it, shape (N,), bool.

    Returns:
        Shape (N, N), float64. The row of a player whom the variable does not reach is 0; others sum
        to 1, and have mass only at players that observe the variable.

    Example:
        Of three players in a row, the middle one passes on what only the first observes.

        >>> alpha = torch.tensor([[1.0, 0, 0], [0.5, 0.5, 0], [0, 0.5, 0.5]])
        >>> all_three, first = torch.tensor([True] * 3), torch.tensor([True, False, False])
        >>> influence_of_variable(alpha, all_three, first)
        tensor([[1., 0., 0.],
                [1., 0., 0.],
                [1., 0., 0.]], dtype=torch.float64)
    """
    restricted = alpha.double() * learns[:, None] * learns[None]
    own = restricted.diagonal() * observes
    restricted = restricted - torch.diag(restricted.diagonal()) + torch.diag(own)
    # a player whom the variable does not reach has nothing of it that another could learn from
    reached = torch.tensor(reaches_data(restricted)) & learns
    result = torch.zeros_like(restricted)
    if not reached.any():
        return result
    among = restricted[reached][:, reached]
    influence = influence_matrix(among / among.sum(1, keepdim=True))
    places = reached.nonzero().flatten()
    result[places[:, None], places[None]] = influence
    return result


def layers(masses: Mapping[str, float]) -> list[tuple[tuple[str, ...], float]]:
    """Split a source into portions of fewer and fewer variables, so that each has its own mass.

    A portion has one mass for all of its variables. Where the masses differ, the least is that of a
    portion with all of them, what the next one has more is that of a portion without the first, and
    so on: as much as possible is learned jointly.

    Args:
        masses: The source's mass by variable.

    Returns:
        The variables of each portion with its mass, in the order of the masses; portions without
        mass are left out. Over the portions that have a variable, masses sum to the variable's.

    Example:
        >>> layers({"age": 0.5, "dose": 0.25, "sex": 0.5})
        [(('age', 'dose', 'sex'), 0.25), (('age', 'sex'), 0.25)]
    """
    portions = []
    below = 0.0
    for level in sorted(set(masses.values())):
        if level > below:
            names = tuple(name for name, mass in masses.items() if mass >= level)
            portions.append((names, level - below))
            below = level
    return portions
