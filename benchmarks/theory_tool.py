"""The theory as a tool, measured: weights by design, the band of shares, and plans of many sites.

python benchmarks/theory_tool.py   # some ten minutes; writes benchmarks/results/theory_tool.json
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import common
import numpy as np
import torch

from coplay.core.streams import stream
from coplay.run.config import Config
from coplay.run.federation import Federation
from coplay.run.plan_lines import lines_of_plan
from coplay.run.planning import plan_of
from coplay.theory import bands
from coplay.theory.design import design
from coplay.theory.equilibrium import influence_matrix

FOUR = """
seed = {seed}
players = 4
[data]
source = {{ name = "digits" }}
variables = ["class"]
[data.partition]
name = "dirichlet"
concentration = 1.0
[model]
name = "exponential_family"
[game]
name = "sample_exchange"
own_weight = 0.3
rounds = 20
local_steps = 1
samples_per_round = 400
[measure]
metrics = []
every_rounds = 20
[checkpoint]
every_rounds = 20
"""


def weights(n: int, seed: int, least: float) -> torch.Tensor:
    """Return random weights with own weights from ``least``, the smallest of them exactly that."""
    generator = stream(seed, "weights")
    alpha = torch.rand(n, n, generator=generator, dtype=torch.float64) + 1e-3
    alpha.fill_diagonal_(0)
    own = least + (1 - least) * torch.rand(n, generator=generator, dtype=torch.float64)
    own[0] = least
    alpha = alpha / alpha.sum(1, keepdim=True) * (1 - own)[:, None]
    alpha.diagonal().copy_(own)
    return alpha


def round_trip(targets: int = 10_000) -> dict:
    """Design weights for mixtures that some weights reach."""
    worst = 0.0
    for seed in range(targets):
        alpha = weights(2 + seed % 9, seed, 0.01)
        result = design(influence_matrix(alpha), least_own=0.01)
        assert result.exact
        worst = max(worst, (result.alpha - alpha).abs().max().item(), result.distance)
    print(f"round trip of {targets:,} targets: {worst:.1e} (bar: 1e-10)")
    return {"targets": targets, "largest_error": worst}


def unreachable(targets: int = 50) -> dict:
    """Design weights for mixtures that no weights reach."""
    optimality = []
    violation = []
    for seed in range(targets):
        n = 2 + seed % 7
        generator = stream(seed, "unreachable")
        target = torch.rand(n, n, generator=generator, dtype=torch.float64) ** 2
        if seed % 3 == 0:  # everybody wants the same: a limit of own weights of 0
            target = target[:1].expand(n, n)
        links = (torch.rand(n, n, generator=generator) < 0.9).fill_diagonal_(True)
        result = design(target / target.sum(1, keepdim=True), least_own=0.01, links=links)
        if result.exact:
            continue
        alpha = result.alpha
        optimality.append(result.optimality)
        faults = [
            (alpha.sum(1) - 1).abs().max().item(),
            -min(alpha.min().item(), 0.0),
            alpha[~links].abs().sum().item(),
            max(0.01 - alpha.diag().min().item(), 0.0),
        ]
        violation.append(max(faults))
    print(
        f"unreachable ({len(optimality)}): projected step {max(optimality):.1e} (bar: 1e-6), "
        f"constraints {max(violation):.1e} (bar: 1e-9)"
    )
    return {
        "targets": len(optimality),
        "largest_projected_step": max(optimality),
        "largest_violation": max(violation),
    }


def simulated_band(draws: int = 20, replicas: int = 20_000, samples: int = 400) -> dict:
    """Compare predicted standard deviations with those of simulated play."""
    rng = np.random.default_rng(0)
    ratios = []
    for seed in range(draws):
        n = 3 + seed % 3
        alpha = weights(n, seed, 0.15)
        asked = torch.round(alpha * samples)  # whole numbers, so that nothing is rounded
        asked.diagonal().add_(samples - asked.sum(1))
        alpha = asked / samples
        data = torch.from_numpy(rng.random((n, 1)))
        expected = bands.share_deviations(alpha, data, samples)[:, 0].numpy()
        w = alpha.numpy()
        counts = asked.numpy().astype(int)
        share = np.tile((influence_matrix(alpha) @ data).numpy()[:, 0], (replicas, 1))
        for _ in range(60):
            following = np.tile(w.diagonal() * data.numpy()[:, 0], (replicas, 1))
            for i in range(n):
                for j in range(n):
                    if i != j:
                        drawn = rng.binomial(counts[i, j], np.clip(share[:, j], 0, 1))
                        following[:, i] += drawn / samples
            share = following
        ratios += (share.std(0) / expected).tolist()
    print(f"band, simulated / predicted: {min(ratios):.4f} to {max(ratios):.4f} (bar: ±3 %)")
    return {"weights": draws, "replicas": replicas, "ratios": ratios}


def shares_inside(seeds: int = 200, drawn: int = 2000) -> dict:
    """Count the shares of four exponential families that lie inside their band of 95 %."""
    inside = []
    for seed in range(1, seeds + 1):
        config = Config.from_toml(FOUR.format(seed=seed))
        with tempfile.TemporaryDirectory() as folder:
            result = Federation(config).run(Path(folder) / "run")
            counts = result.record.data.counts
            data = torch.tensor([counts[name] for name in result.players], dtype=torch.float64)
            data = data / data.sum(1, keepdim=True)
            alpha = config.game.weights(result.players)
            predicted = influence_matrix(alpha) @ data
            deviations = bands.share_deviations(alpha, data, config.game.samples_per_round)
            width = bands.band_width(deviations, predicted, drawn)
            for i, name in enumerate(result.players):
                labels = result.sample(name, drawn)["class"].flatten().astype(int)
                share = torch.from_numpy(np.bincount(labels, minlength=10)) / drawn
                inside += ((share - predicted[i]).abs() <= width[i]).tolist()
    share = sum(inside) / len(inside)
    print(f"inside the band: {share:.1%} of {len(inside):,} shares (bar: 92 to 98 %)")
    return {"seeds": seeds, "shares": len(inside), "inside": share}


def plans() -> dict:
    """Time plans of many sites, without reading data."""
    seconds = {}
    for sites in (100, 100_000):
        text = (
            f'players = {sites}\n[game]\nname = "sample_exchange"\nown_weight = 0.2\n'
            'topology = "random_regular"\nneighbours = 8'
        )
        config = Config.from_toml(text)
        config.game.start(config.player_names, config.seed)  # the graph, which is the loading
        begun = time.perf_counter()
        lines = lines_of_plan(plan_of(config))
        seconds[str(sites)] = time.perf_counter() - begun
        assert lines
        print(f"plan of {sites:,} sites: {seconds[str(sites)]:.2f} s")
    return {"seconds_by_sites": seconds, "peak_bytes": common.peak_bytes()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    common.save(
        "theory_tool",
        {
            "plans": plans(),
            "round_trip": round_trip(),
            "unreachable": unreachable(),
            "simulated_band": simulated_band(),
            "shares_inside": shares_inside(),
        },
    )
