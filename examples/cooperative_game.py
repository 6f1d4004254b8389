"""The cooperative game on one page, as plain loops over plain torch.

python examples/cooperative_game.py

Every site has private data and a black box that can learn and sample. What travels is synthetic
samples. The fast version, with engines, checkpoints and networks, is
``coplay.games.sample_exchange``; tests/oracles/test_pages.py holds this page against it: the same
samples, the same shares.

References:
    Game-theoretic distributed learning of generative models for heterogeneous data collections
    (D. Schlesinger, B. Flach, 2025), arXiv:2511.01740.
"""

import torch
from sklearn.datasets import load_digits

CLASSES = 10


class Categorical:
    """The smallest black box: how often each class occurs."""

    def __init__(self):
        self.shares = torch.full((CLASSES,), 1 / CLASSES, dtype=torch.float64)

    def learn(self, samples, weights):
        """Maximum likelihood on weighted samples: match the moments (A2)."""
        one_hot = torch.nn.functional.one_hot(samples, CLASSES).double()
        self.shares = weights @ one_hot

    def sample(self, n, generator):
        """Draw n samples from what was learned."""
        return torch.multinomial(self.shares, n, replacement=True, generator=generator)


def mixture(own, received, alpha_i, i):
    """Player i's samples and their weights: m_i = α_ii π_i + Σ_j α_ij p_j of (A1)."""
    sources = {i: own, **received}
    heard = sum(alpha_i[j] for j in sources)  # before anybody has drawn, only α_ii
    samples = []
    weights = []
    for j, part in sources.items():
        samples.append(part)
        share = alpha_i[j] / heard / len(part)
        weights.append(share.expand(len(part)))
    return torch.cat(samples), torch.cat(weights)


def play(data, models, alpha, rounds, n, draw):
    """Play the game: in every round all players learn, then draw for the others.

    Args:
        data: Private samples of each of the N players.
        models: Their black boxes.
        alpha: Weights α, shape (N, N), rows sum to 1.
        rounds: How many.
        n: Player i receives n·α_ij samples from j each round.
        draw: Called as draw(round, sender, receiver, count).
    """
    players = range(len(data))
    inbox = [{} for _ in players]
    for round in range(1, rounds + 1):
        for i in players:
            models[i].learn(*mixture(data[i], inbox[i], alpha[i], i))
        for i in players:  # simultaneous: nobody hears what was learned in this round
            for j in players:
                if j != i and alpha[i, j] > 0:
                    count = int((n * alpha[i, j]).round())
                    inbox[i][j] = draw(round, j, i, count)


def influence(alpha):
    """M = (I − W)⁻¹ Λ: the share of site j's data in player i's model at the equilibrium (A2)."""
    own = torch.diag(alpha.diag())
    others = alpha - own
    return torch.linalg.solve(torch.eye(len(alpha), dtype=alpha.dtype) - others, own)


def main():
    """Two sites learn digits that only the other one holds."""
    labels = torch.from_numpy(load_digits().target)
    data = [labels[labels < 5], labels[labels >= 5]]
    models = [Categorical(), Categorical()]
    alpha = torch.tensor([[0.3, 0.7], [0.6, 0.4]], dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    play(data, models, alpha, 30, 20_000, lambda _, j, i, n: models[j].sample(n, generator))
    predicted = influence(alpha)
    for i, model in enumerate(models):
        lower = model.shares[:5].sum()
        print(f"player {i} draws digits below 5: {lower:.3f}, predicted {predicted[i, 0]:.3f}")


if __name__ == "__main__":
    main()
