"""A model of your own as a player: any class with ``fit`` and ``sample``, here of numpy.

python examples/own_player.py
"""

import tempfile
from pathlib import Path

import numpy as np

import coplay


class LikeNeighbours:
    """Draws a point between a row and one of its nearest neighbours.

    Args:
        neighbours: How many of the nearest rows count as neighbours.
    """

    def __init__(self, neighbours: int = 5) -> None:
        self.neighbours = neighbours

    def fit(self, rows: np.ndarray) -> None:
        """Remember at most 500 rows."""
        self.rows = rows[np.random.permutation(len(rows))[:500]]

    def sample(self, n: int) -> np.ndarray:
        """Draw n rows of bits."""
        first = self.rows[np.random.randint(len(self.rows), size=n)]
        distances = np.abs(first[:, None] - self.rows).sum(2)
        nearest = distances.argsort(1)[:, : self.neighbours]
        second = self.rows[nearest[np.arange(n), np.random.randint(nearest.shape[1], size=n)]]
        return np.where(np.random.random(first.shape) < 0.5, first, second)


def main() -> None:
    """Play it against a mixture of scikit-learn's, and compare with what theory predicts."""
    config = coplay.Config.from_toml(f"""
        data.partition = {{ name = "by_class", classes = {{ low = [0, 1, 2], high = [3, 4, 5] }} }}
        game = {{ name = "sample_exchange", own_weight = 0.5, rounds = 6 }}
        measure = {{ metrics = ["class_shares"], samples = 500 }}
        [players.low.model]
        name = "{Path(__file__).stem}:LikeNeighbours"
        neighbours = 3
        [players.high.model]
        name = "sklearn.mixture:GaussianMixture"
        n_components = 15
        reg_covar = 0.01
    """)
    result = coplay.Federation(config).run(Path(tempfile.mkdtemp()) / "run")
    for player, values in result.main.last.items():
        distance = values["distance_to_prediction"]
        print(f"{player}: total variation to the predicted class shares {distance.value:.3f}")


if __name__ == "__main__":
    main()
