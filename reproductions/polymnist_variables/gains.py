"""Gains in accuracy between arms, and the part of them that synthetic pairs bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from coplay.core.streams import stream

from ..experiment import Figures, Runs, Summary
from ..spreads import spread

BOOTSTRAP = 2000
QUANTITIES = ("accuracy", "iou", "seconds_playing")
PLAIN = "plain"


def summarise(runs: Runs) -> Summary:
    """Return means over seeds and gains between arms.

    Args:
        runs: Figures of every arm, in the order of the table.
    """
    first = next(iter(next(iter(runs.values())).values()))
    arms = {}
    styles = {}
    for arm, by_seed in runs.items():
        each = list(by_seed.values())
        arms[arm] = {"seeds": list(by_seed), **_means(each)}
        styles[arm] = _by_style(each)
    pairs = [(arm, PLAIN) for arm in runs if arm != PLAIN]
    pairs.append(("joint", "synthetic"))
    gains = {}
    for arm, base in pairs:
        if arm in runs and base in runs and set(runs[arm]) & set(runs[base]):
            gains[f"{arm} - {base}"] = gain(runs[arm], runs[base])
    part = {}
    if {PLAIN, "synthetic", "real"} <= set(runs):
        part = part_of_gain(runs)
    return {
        "data": first["data"],
        "tested": first["tested"],
        "arms": arms,
        "accuracy_by_style": styles,
        "gains_in_accuracy": gains,
        **part,
    }


def _means(each: Sequence[Figures]) -> dict[str, Any]:
    """Return means over seeds of what all of them have."""
    means = {}
    for quantity in QUANTITIES:
        if all(quantity in run for run in each):
            means[quantity] = spread([run[quantity] for run in each])
    if all("shapes" in run for run in each):
        for quantity in ("fid", "right"):
            means[f"shapes_{quantity}"] = spread([run["shapes"][quantity] for run in each])
    return means


def _by_style(each: Sequence[Figures]) -> list[dict[str, Any]]:
    """Return the mean accuracy over seeds in every style."""
    columns = zip(*(run["accuracy_by_style"] for run in each), strict=True)
    return [spread(values) for values in columns]


def changes(
    one: Mapping[int, Figures],
    other: Mapping[int, Figures],
    seeds: Sequence[int],
) -> torch.Tensor:
    """Return a number by seed and test image: 1 where only ``one`` is right, −1 where ``other`` is.

    Args:
        one: Figures of an arm by seed.
        other: Those of the arm that it is compared with.
        seeds: S seeds that both have.

    Returns:
        Of shape (S, test images); 0 where both are right or both are wrong.
    """
    rows = torch.zeros(len(seeds), one[seeds[0]]["tested"], dtype=torch.float64)
    for row, seed in zip(rows, seeds, strict=True):
        row[other[seed]["wrong"]] += 1
        row[one[seed]["wrong"]] -= 1
    return rows


def gain(one: Mapping[int, Figures], other: Mapping[int, Figures]) -> dict[str, Any]:
    """Return the mean difference over common seeds.

    Its standard error is the larger of those over images and over seeds.

    Args:
        one: Figures of an arm by seed.
        other: Those of the arm that it is compared with.
    """
    seeds = sorted(set(one) & set(other))
    rows = changes(one, other, seeds)
    errors = [rows.mean(0).std().item() / rows.shape[1] ** 0.5]
    if len(seeds) > 1:
        errors.append(rows.mean(1).std().item() / len(seeds) ** 0.5)
    return {"seeds": seeds, "mean": rows.mean().item(), "standard_error": max(errors)}


def part_of_gain(runs: Runs) -> dict[str, Any]:
    """Return the gain by synthetic pairs over that by real ones; empty if there is none.

    Its interval holds 95 % of a bootstrap over seeds and images.
    """
    seeds = sorted(set(runs[PLAIN]) & set(runs["synthetic"]) & set(runs["real"]))
    if not seeds:
        return {}
    synthetic = changes(runs["synthetic"], runs[PLAIN], seeds)
    real = changes(runs["real"], runs[PLAIN], seeds)
    generator = stream(1, "bootstrap")
    parts = []
    for _ in range(BOOTSTRAP):
        which = torch.randint(len(seeds), (len(seeds),), generator=generator)
        images = torch.randint(real.shape[1], (real.shape[1],), generator=generator)
        by_real = real[which][:, images].mean().item()
        by_synthetic = synthetic[which][:, images].mean().item()
        parts.append(by_synthetic / by_real if by_real > 0 else float("nan"))
    shares = torch.tensor(parts)
    # Where real pairs bring nothing there is no share of it.
    if real.mean() <= 0 or shares.isnan().double().mean() > 0.025:
        return {}
    low, high = shares.nanquantile(torch.tensor([0.025, 0.975])).tolist()
    share = (synthetic.mean() / real.mean()).item()
    return {
        "part_of_the_gain_by_real_data": {"mean": share, "interval": [low, high], "seeds": seeds}
    }
