"""Audits, measured on models that are planted: what they find, and how often they find nothing.

python benchmarks/audits.py   # some ten minutes; writes benchmarks/results/audits.json

Honest models: 200 repetitions, each with rows and samples of its own; counted is how often the
95 % interval of each number holds what chance gives. Memorisers: every number once. The bound on ε:
200 repetitions of mechanisms whose ε is known and tight, and one without its noise.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

import common
import torch

sys.path.insert(0, str(common.ROOT))

from tests import planted

from coplay.site.audits.auditing import audit
from coplay.site.audits.base import Figure
from coplay.site.audits.one_run import bound, refuted_epsilon, right_guesses

REPETITIONS = 200
COINS = 1000
DIMENSION = 10_000
EPSILON = 1.0
DELTA = 1e-5


def honest(kind: str) -> dict[str, int]:
    """Count how often the interval of each number of an honest model holds chance."""
    held: Counter[str] = Counter()
    for repetition in range(REPETITIONS):
        generator = planted.seeded("honest", kind, repetition)
        rows = planted.rows(kind, 300, 150, 100, generator)
        report = audit(rows, planted.honest(kind, 1000, generator))
        for figure in report.figures:
            of = "" if "worst" in figure.attack else figure.of
            name = " ".join(filter(None, [figure.attack, figure.name, of]))
            held[name] += figure.low <= figure.chance <= figure.high
    return dict(held)


def memorisers() -> dict[str, dict[str, list[float]]]:
    """Return every number of every memoriser with its interval."""
    values: dict[str, dict[str, list[float]]] = {}
    for name in (
        "kernel_density",
        "repeating_some",
        "repeating_among_others",
        "repeating_three_columns",
    ):
        generator = planted.seeded("memoriser", name)
        rows = planted.rows("table", 2000, 1000, 500, generator)
        samples = getattr(planted, name)(rows.members.rows, 8000, generator)
        values[name] = _numbers(audit(rows, samples).figures)
    generator = planted.seeded("memoriser", "pictures")
    rows = planted.rows("pictures", 1000, 500, 500, generator)
    samples = planted.kernel_density(rows.members.rows, 5000, generator)
    samples["image"] = samples["image"].clamp(0, 1)
    values["kernel_density of pictures"] = _numbers(audit(rows, samples).figures)
    return values


def _numbers(figures: Sequence[Figure]) -> dict[str, list[float]]:
    numbers = {}
    for figure in figures:
        name = " ".join(filter(None, [figure.attack, figure.name, figure.of]))
        numbers[name] = [figure.value, figure.low, figure.high]
    return numbers


def one_run() -> dict[str, int | float]:
    """Count how often the bound exceeds a tight ε, and return it for a sum without its noise."""
    sigma = planted.noise_for(EPSILON, DELTA)
    above: Counter[str] = Counter()
    for repetition in range(REPETITIONS):
        generator = planted.seeded("one run", repetition)
        is_in = planted.coin_flips(COINS, generator)
        answers = planted.randomised_response(is_in, EPSILON, generator)
        right = int((answers.bool() == is_in).sum())
        above["randomised response, all guessed"] += refuted_epsilon(COINS, COINS, right) > EPSILON
        above["randomised response"] += bound([answers], is_in) > EPSILON
        noisy = is_in.float() + sigma * torch.randn(COINS, generator=generator)
        guesses, hits = right_guesses(noisy, is_in, (0.03125, 0.0))
        single = refuted_epsilon(COINS, guesses, hits, DELTA)
        above["Gaussian noise, few guessed"] += single > EPSILON
        above["Gaussian noise"] += bound([noisy], is_in, DELTA) > EPSILON
    results: dict[str, int | float] = dict(above)
    generator = planted.seeded("no noise")
    is_in = planted.coin_flips(COINS, generator)
    for name, deviation in (("with its noise", sigma), ("without its noise", 0.0)):
        like = planted.noisy_sum(is_in, DIMENSION, deviation, generator)
        results[f"bound of a sum {name}"] = bound([like], is_in, DELTA)
    return results


def main() -> None:
    """Measure everything and write it down."""
    results = {
        "repetitions": REPETITIONS,
        "honest_intervals_that_hold_chance": {
            kind: honest(kind) for kind in ("table", "units", "pictures")
        },
        "memorisers": memorisers(),
        "one_run": {"coins": COINS, "epsilon": EPSILON, "delta": DELTA, **one_run()},
    }
    common.save("audits", results)


if __name__ == "__main__":
    main()
