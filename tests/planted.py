"""Models planted for audits: honest ones and memorisers, and mechanisms whose ε is known."""

from __future__ import annotations

import math

import torch
from scipy.optimize import brentq
from scipy.stats import norm

from coplay import Space, Variable, pick
from coplay.core.streams import stream
from coplay.site.audits.base import AuditRows, Side

TABLE = Space(
    {
        "a": Variable(kind="real"),
        "b": Variable(kind="real"),
        "c": Variable(kind="real"),
        "k": Variable(kind="categorical", classes=4),
    }
)
PICTURES = Space({"image": Variable(kind="real", shape=(1, 8, 8), low=0, high=1)})


def people(n, generator):
    """Rows of one population: numbers of unlike units that depend on a category."""
    k = torch.randint(4, (n,), generator=generator)
    z = torch.randn(n, 3, generator=generator)
    return TABLE.samples(a=z[:, 0] + k, b=300 * z[:, 1] + 100 * z[:, 0], c=z[:, 2], k=k)


def visits(units, generator):
    """Rows of units: one to four a unit, which are alike in everything but one number."""
    each = torch.randint(1, 5, (units,), generator=generator)
    unit = torch.arange(units).repeat_interleave(each)
    rows = people(units, generator)[unit].clone()
    rows["c"] = rows["c"] + 0.1 * torch.randn(len(rows), generator=generator)
    return rows, unit


def pictures(n, generator):
    """Small pictures: blobs of light at random places."""
    place = 1 + 5 * torch.rand(n, 2, 1, 1, generator=generator)
    grid = torch.arange(8.0)
    square = (grid[:, None] - place[:, 0]).square() + (grid[None] - place[:, 1]).square()
    image = (-square / 3).exp() + 0.05 * torch.rand(n, 8, 8, generator=generator)
    return PICTURES.samples(image=image.clamp(0, 1)[:, None])


def rows(kind, members, controls, reference, generator):
    """Rows of an audit, of one population: ``table``, ``units`` or ``pictures``."""
    if kind == "units":
        sides = [Side(*visits(n, generator)) for n in (members, controls)]
        return AuditRows.of(TABLE, *sides, people(reference, generator))
    draw, space = (people, TABLE) if kind == "table" else (pictures, PICTURES)
    sides = [Side(draw(n, generator)) for n in (members, controls)]
    return AuditRows.of(space, *sides, draw(reference, generator))


def honest(kind, n, generator):
    """Samples of the population itself: nothing is kept of any row."""
    if kind == "units":
        return pick(visits(n, generator)[0], slice(n))
    return (people if kind == "table" else pictures)(n, generator)


def kernel_density(learned, n, generator, width=0.01):
    """Draws from a kernel density of tiny bandwidth, relative to each column's deviation."""
    drawn = pick(learned, torch.randint(len(learned), (n,), generator=generator)).clone()
    for name in drawn.keys():
        if drawn[name].is_floating_point():
            noise = torch.randn(drawn[name].shape, generator=generator)
            drawn[name] = drawn[name] + width * learned[name].std() * noise
    return drawn


def repeating_some(learned, n, generator):
    """Draws that are nothing but one row in a hundred of those learned from."""
    few = pick(learned, slice(max(1, len(learned) // 100)))
    return pick(few, torch.randint(len(few), (n,), generator=generator)).clone()


def repeating_among_others(learned, n, generator):
    """Honest draws, among which is one row in a hundred of those learned from, as it is."""
    few = pick(learned, slice(max(1, len(learned) // 100)))
    return torch.cat([people(n - len(few), generator), few])


def repeating_three_columns(learned, n, generator):
    """Draws that repeat a row in all columns but ``c``, which is new."""
    drawn = pick(learned, torch.randint(len(learned), (n,), generator=generator)).clone()
    drawn["c"] = torch.randn(n, generator=generator)
    return drawn


def coin_flips(count, generator):
    return torch.rand(count, generator=generator) < 0.5


def randomised_response(is_in, epsilon, generator):
    """Each coin, told right with the probability that ε-differential privacy allows at most."""
    right = torch.rand(len(is_in), generator=generator) < 1 / (1 + math.exp(-epsilon))
    return torch.where(right, is_in, ~is_in).float()


def noise_for(epsilon, delta):
    """The smallest deviation of Gaussian noise on a sum of sensitivity 1 that is (ε, δ)-private.

    Balle and Wang, arXiv:1805.06530, theorem 8.
    """

    def excess(sigma):
        half, shift = 1 / (2 * sigma), epsilon * sigma
        return norm.cdf(half - shift) - math.exp(epsilon) * norm.cdf(-half - shift) - delta

    return brentq(excess, 1e-3, 1e3)


def noisy_sum(is_in, dimension, deviation, generator):
    """How like each canary a noisy sum of those is that coins put in; canaries have length 1."""
    canaries = torch.randn(len(is_in), dimension, generator=generator)
    canaries /= canaries.norm(dim=1, keepdim=True)
    released = canaries[is_in].sum(0) + deviation * torch.randn(dimension, generator=generator)
    return canaries @ released


def seeded(*words):
    return stream(28, *words)
