"""The theory, measured: contraction, fluctuation of sampled play, and a hundred thousand players.

python benchmarks/theory.py        # about a minute; writes benchmarks/results/theory.json
"""

from __future__ import annotations

import resource
import statistics
import time

import common
import numpy as np
import scipy.sparse as sp
import torch

from coplay import Player, Space, Variable
from coplay.core.streams import stream
from coplay.engines.local import Local
from coplay.games.sample_exchange import SampleExchange
from coplay.models.exponential_family import ExponentialFamily
from coplay.theory import equilibrium

SEEDS = range(10)


def contraction() -> dict:
    """Compare the late-round rate of simultaneous best response with the spectral radius.

    Play begins at random moments.
    """
    ratios = []
    for seed in SEEDS:
        g = stream(seed, "contraction")
        alpha = torch.rand(8, 8, generator=g, dtype=torch.float64) + 0.02
        alpha /= alpha.sum(1, keepdim=True)
        error = torch.randn(8, 3, generator=g, dtype=torch.float64)
        sizes = []
        for _ in range(80):
            error = equilibrium.best_response(alpha, torch.zeros_like(error), error)
            sizes.append(error.norm().item())
        ratios.append((sizes[79] / sizes[39]) ** (1 / 40) / equilibrium.spectral_radius(alpha))
    print(
        f"contraction / spectral radius: {min(ratios):.4f} to {max(ratios):.4f} (bar: 0.95 to 1.05)"
    )
    return {"ratio_to_spectral_radius": ratios}


def fluctuation() -> dict:
    """Fit the exponent of n in the root mean square error of sampled play around (A2).

    The real game is played with n samples a round.
    """
    space = Space({"x": Variable(kind="binary", shape=(8,))})
    names = [f"p{i}" for i in range(4)]
    sizes = (100, 300, 1000, 3000, 10_000, 30_000)
    slopes = []
    errors = []
    for seed in range(5):
        g = stream(seed, "sites")
        data = [
            (torch.rand(500, 8, generator=g) < torch.rand(8, generator=g)).to(torch.uint8)
            for _ in names
        ]
        row = []
        for n in sizes:
            game = SampleExchange(own_weight=0.3, rounds=120, samples_per_round=n)
            players = [
                Player(name, space, space.samples(x=d), ExponentialFamily(), seed)
                for name, d in zip(names, data, strict=True)
            ]
            engine = Local()
            engine.start(players, game)
            state = game.start(names, seed)
            path = []
            for round in range(1, game.rounds + 1):
                state, _ = game.play(engine, state, round)
                path.append(torch.stack([player.model.moments for player in players]))
            engine.close()
            own = torch.stack([d.double().mean(0) for d in data])
            expected = equilibrium.equilibrium_moments(game.weights(names), own)
            row.append((torch.stack(path[20:]) - expected).square().mean().sqrt().item())
        errors.append(row)
        slopes.append(np.polyfit(np.log(sizes), np.log(row), 1)[0].item())
    slope = statistics.fmean(slopes)
    exponent = f"{slope:.3f} ± {statistics.stdev(slopes):.3f}"
    print(f"error of sampled play falls as n^{exponent} (bar: -0.5 ± 0.1)")
    return {"samples_per_round": sizes, "errors": errors, "slopes": slopes, "slope": slope}


def many_players() -> dict:
    """Compute M φ̄ of 100,000 players with 10 random neighbours each."""
    n = 100_000
    neighbours = 10
    own_weight = 0.3
    rng = np.random.default_rng(1)
    rows = np.repeat(np.arange(n), neighbours)
    columns = (rows + rng.integers(1, n, n * neighbours)) % n
    w = sp.csr_matrix((rng.random(n * neighbours), (rows, columns)), shape=(n, n))
    alpha = (
        sp.diags((1 - own_weight) / np.asarray(w.sum(1)).ravel()) @ w + own_weight * sp.eye(n)
    ).tocsr()
    moments = rng.random((n, 10))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.perf_counter()
    solution = equilibrium.solve_sparse(alpha, moments)
    seconds = time.perf_counter() - begin
    row = equilibrium.influence_rows(alpha, [0])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"100,000 players, 10 neighbours, 10 moments: {seconds:.2f} s, "
        f"residual {solution.residual:.1e}, error at most {solution.error_bound:.1e}, "
        f"{solution.iterations} sweeps, peak memory of the process {peak:.2f} GiB "
        f"({before / 2**20:.2f} before); one row of M: mass {row.values.sum():.9f}"
    )
    return {
        "seconds": seconds,
        "residual": solution.residual,
        "error_bound": solution.error_bound,
        "sweeps": solution.iterations,
        "peak_process_gib": peak,
        "row_mass_missing": row.error_bound,
    }


def main() -> None:
    common.save(
        "theory",
        {
            "many_players": many_players(),
            "contraction": contraction(),
            "fluctuation": fluctuation(),
        },
    )


if __name__ == "__main__":
    main()
