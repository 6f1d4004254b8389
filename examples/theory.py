"""How much do each hospital's data count in each model? Theory, before anybody has trained.

python examples/theory.py
"""

import torch

import coplay

# Row i: how much hospital i weighs its own data and the others' samples. The third trusts its own
# data little.
ALPHA = torch.tensor([[0.6, 0.4, 0.0], [0.2, 0.6, 0.2], [0.0, 0.9, 0.1]])
# Class shares of each hospital's data: healthy, ill.
SHARES = torch.tensor([[0.9, 0.1], [0.5, 0.5], [0.0, 1.0]])


def main() -> None:
    print("influence of site j's data on player i's model:")
    print(coplay.influence_matrix(ALPHA))
    print("predicted class shares:")
    print(coplay.equilibrium_moments(ALPHA, SHARES))
    print(f"contraction per round: {coplay.spectral_radius(ALPHA):.3f}")
    print(f"rounds until shares are within 0.01: {coplay.rounds_needed(ALPHA, 0.01)}")


if __name__ == "__main__":
    main()
