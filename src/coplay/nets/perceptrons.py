"""Small perceptrons that several networks are made of."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


def one_hidden_layer(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Return a perceptron from (n, inputs) to (n, outputs)."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, outputs))


class Perceptron(nn.Module):
    """A perceptron of two hidden layers, called as a :class:`~coplay.nets.canvas.UNet` is."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, hidden), nn.SiLU(), one_hidden_layer(hidden, hidden, outputs)
        )

    def forward(self, vector: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """Map (n, inputs) to (n, outputs); all that is given is in the vector already."""
        return self.layers(vector)
