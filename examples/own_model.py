"""A model of your own plays against one of scikit-learn's.

It is a small network that draws an image bit by bit. The helpers ``flat_state`` and
``load_flat_state`` store it together with its optimizer.

python examples/own_model.py
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import coplay
from coplay.core.streams import isolated_seed


class BitByBit(coplay.LocalModel):
    """Draws every bit given those before it: p(x_i = 1 | x_1 … x_{i-1}) = σ(b_i + Σ_j<i W_ij x_j).

    Args:
        batch: Samples per step.
        learning_rate: Adam's.
    """

    batch: int = 100
    learning_rate: float = 0.02

    def setup(self, space: coplay.Space, seed: int) -> None:
        """Begin with small weights, which follow from the seed alone."""
        self._space = space
        bits = sum(space[name].size for name in space)
        with isolated_seed(seed):
            self._net = nn.Linear(bits, bits)
        self._adam = torch.optim.Adam(self._net.parameters(), lr=self.learning_rate)

    def _logits(self, rows: Tensor) -> Tensor:
        return F.linear(rows, self._net.weight.tril(-1), self._net.bias)

    def learn(
        self, mixture: coplay.Mixture, steps: int, generator: torch.Generator
    ) -> Mapping[str, float]:
        """Take steps along the likelihood of batches in proportion to the weights."""
        total = 0.0
        for _ in range(steps):
            rows = self._space.flatten(mixture.batch(self.batch, generator))
            bits = F.binary_cross_entropy_with_logits(self._logits(rows), rows, reduction="none")
            loss = bits.sum(1).mean()
            self._adam.zero_grad()
            loss.backward()
            self._adam.step()
            total += loss.item()
        return {"nats_per_sample": total / steps}

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator) -> coplay.Samples:
        """Draw bit after bit."""
        rows = torch.zeros(n, self._net.in_features)
        for i in range(rows.shape[1]):
            rows[:, i] = torch.bernoulli(self._logits(rows)[:, i].sigmoid(), generator=generator)
        return self._space.unflatten(rows)

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return the network and its optimizer's state."""
        return coplay.flat_state(self._net, self._adam)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore both."""
        coplay.load_flat_state(state, self._net, self._adam)


def main() -> None:
    config = coplay.Config.from_dict(
        {
            "players": {
                "low": {"model": {"name": f"{Path(__file__).stem}:BitByBit"}},
                "high": {
                    "model": {
                        "name": "sklearn.mixture:GaussianMixture",
                        "n_components": 20,
                        "reg_covar": 0.01,
                    }
                },
            },
            "data": {
                "partition": {
                    "name": "by_class",
                    "classes": {"low": [0, 1, 2, 3, 4], "high": [5, 6, 7, 8, 9]},
                }
            },
            "game": {"name": "sample_exchange", "own_weight": 0.5, "rounds": 6},
            "measure": {"metrics": ["class_shares"], "samples": 1000},
        }
    )
    result = coplay.Federation(config).run(Path(tempfile.mkdtemp()) / "run")
    for player, values in result.main.last.items():
        distance = values["distance_to_prediction"]
        print(
            f"{player}: total variation to the predicted class shares {distance.value:.3f} "
            f"on {distance.n} samples"
        )


if __name__ == "__main__":
    main()
