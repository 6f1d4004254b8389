"""A model of your own, in thirty lines, plays against one of scikit-learn's.

It is a smoothed histogram of whole images.

python examples/own_model.py
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

import coplay


class NoisyMemory(coplay.LocalModel):
    """Remembers the samples of its last turn and repeats them with flipped bits.

    Don't use it where data are private!

    Args:
        flip: Probability that a bit is flipped, in [0, 1].
    """

    flip: float = 0.02

    def setup(self, space: coplay.Space, seed: int) -> None:
        """Begin with a single empty image."""
        self._space = space
        self._memory = torch.zeros(1, sum(space[name].size for name in space))

    def learn(
        self, mixture: coplay.Mixture, steps: int, generator: torch.Generator
    ) -> Mapping[str, float]:
        """Remember 500 samples in proportion to the weights."""
        self._memory = self._space.flatten(mixture.batch(500, generator))
        return {"mean": self._memory.mean().item()}

    def sample(self, n: int, generator: torch.Generator) -> coplay.Samples:
        """Repeat remembered samples with noise."""
        rows = self._memory[torch.randint(len(self._memory), (n,), generator=generator)]
        noise = (torch.rand(rows.shape, generator=generator) < self.flip).float()
        return self._space.unflatten((rows - noise).abs())

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return the remembered samples."""
        return {"memory": self._memory}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the remembered samples."""
        self._memory = state["memory"]


def main() -> None:
    config = coplay.Config.from_dict(
        {
            "players": {
                "low": {"model": {"name": f"{Path(__file__).stem}:NoisyMemory", "flip": 0.01}},
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
