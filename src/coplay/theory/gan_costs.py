"""The costs of MD-GAN and FL-GAN by the formulas of MD-GAN's paper (its Tables II to IV; B4).

They cover the bytes on every link, work and memory.

Letters, everywhere in this module:

    N     workers                            b     samples of a batch
    k     batches generated an iteration     d     numbers of one sample
    m     samples that a worker holds        E     epochs between two swaps, or two averages
    I     iterations, one update of the generator each
    |w|   parameters of the generator        |θ|   parameters of a discriminator

References:
    MD-GAN: Multi-Discriminator Generative Adversarial Networks for Distributed Datasets (C. Hardy,
    E. Le Merrer, B. Sericola, IPDPS 2019), arXiv:1811.03850.

Differs from the paper:
    With k = 1 a single batch serves a worker both to learn from and for feedback, so the server
    sends min(k, 2) b d numbers where the paper always writes 2 b d. Classes of generated samples,
    which an ACGAN needs, are no part of the formulas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NUMBER_BYTES = 4
"""Bytes of a parameter, a pixel or an entry of feedback."""

CLASS_BYTES = 8
"""Bytes of a sample's class."""


@dataclass(frozen=True)
class Pair:
    """Sizes of a GAN and of what it generates, in numbers.

    Args:
        generator: |w|.
        discriminator: |θ|.
        sample: d, the class not counted.

    Example:
        >>> MLP_MNIST.both
        1386779
    """

    generator: int
    discriminator: int
    sample: int

    @property
    def both(self) -> int:
        """|w| + |θ|."""
        return self.generator + self.discriminator


MLP_MNIST = Pair(generator=716_560, discriminator=670_219, sample=784)
"""The paper's perceptrons on MNIST, without the generator's vectors per class (B5)."""


def generated_bytes(pair: Pair, batch: int, batches: int) -> int:
    """Return the bytes of generated samples for one worker in one iteration.

    These are min(k, 2) b d numbers, down from the server (Table III).

    Args:
        pair: Sizes.
        batch: b.
        batches: k.

    Example:
        >>> generated_bytes(MLP_MNIST, batch=10, batches=3)
        62720
        >>> generated_bytes(MLP_MNIST, batch=10, batches=1)
        31360
    """
    return min(batches, 2) * feedback_bytes(pair, batch)


def feedback_bytes(pair: Pair, batch: int) -> int:
    """Return the bytes of one worker's error feedback in one iteration.

    These are b d numbers, up to the server (Table III).

    Args:
        pair: Sizes.
        batch: b.

    Example:
        >>> feedback_bytes(MLP_MNIST, batch=10)
        31360
    """
    return batch * pair.sample * NUMBER_BYTES


def swap_bytes(pair: Pair) -> int:
    """Return the bytes of one discriminator that moves to another worker: |θ| numbers (Table III).

    Example:
        >>> swap_bytes(MLP_MNIST)
        2680876
    """
    return pair.discriminator * NUMBER_BYTES


def pair_bytes(pair: Pair) -> int:
    """Return the bytes of FL-GAN's pair to or from one worker: |w| + |θ| numbers (Table III).

    Example:
        >>> pair_bytes(MLP_MNIST)
        5547116
    """
    return pair.both * NUMBER_BYTES


def period(batch: int, samples: float, epochs: float) -> int:
    """Return the iterations between two swaps, or two averages: m E / b, rounded, at least 1.

    So a run has I b / (m E) swaps or averages.

    Args:
        batch: b.
        samples: m; where workers have different numbers of samples, their mean.
        epochs: E.

    Example:
        >>> period(batch=10, samples=6000, epochs=1)
        600
    """
    return max(1, round(samples * epochs / batch))


def break_even_batch(pair: Pair, batches: int = 2) -> tuple[float, float]:
    """Return the batch size b at which MD-GAN's ingress per exchange equals FL-GAN's.

    Below it, MD-GAN's is smaller.

    Args:
        pair: Sizes.
        batches: k; the paper's 2 b d hold from 2 on.

    Returns:
        At a worker, which gets min(k, 2) b d numbers or |w| + |θ|: (|w| + |θ|) / (min(k, 2) d). At
        the server, which gets b d or |w| + |θ| from every worker: (|w| + |θ|) / d.

    Example:
        >>> [round(b) for b in break_even_batch(MLP_MNIST)]
        [884, 1769]
    """
    return pair.both / (min(batches, 2) * pair.sample), pair.both / pair.sample


# ------------------------------------------------------------------------------------- a whole run


@dataclass(frozen=True)
class Link:
    """The traffic of a run over all links of one kind, by the formulas.

    Args:
        purpose: Its heading in the ledger.
        sender: ``"server"`` or ``"workers"``.
        receiver: ``"server"`` or ``"workers"``.
        formula: How many numbers are sent each time, in letters.
        times: How often something is sent, over all workers.
        bytes: Bytes sent in total.
    """

    purpose: str
    sender: str
    receiver: str
    formula: str
    times: int
    bytes: int


def md_gan_links(
    pair: Pair, batch: int, iterations: Sequence[tuple[int, int]], swapped: int
) -> list[Link]:
    """Return MD-GAN's traffic, one entry per kind of link.

    Args:
        pair: Sizes.
        batch: b.
        iterations: (N, k) of every iteration, N the living workers.
        swapped: Discriminators that moved in all: N at every swap, and one for every worker that
            joins.

    Example:
        >>> for link in md_gan_links(MLP_MNIST, 10, [(10, 3)] * 600, swapped=10):
        ...     link_name = f"{link.sender} to {link.receiver}"
        ...     print(f"{link_name}: {link.times:,} × {link.formula} = {link.bytes:,} bytes")
        server to workers: 6,000 × min(k, 2) b d = 376,320,000 bytes
        workers to server: 6,000 × b d = 188,160,000 bytes
        workers to workers: 10 × |θ| = 26,808,760 bytes
    """
    times = sum(n for n, _ in iterations)
    down = sum(n * generated_bytes(pair, batch, k) for n, k in iterations)
    up = times * feedback_bytes(pair, batch)
    return [
        Link("exchange/generated", "server", "workers", "min(k, 2) b d", times, down),
        Link("exchange/feedback", "workers", "server", "b d", times, up),
        Link("exchange/swap", "workers", "workers", "|θ|", swapped, swapped * swap_bytes(pair)),
    ]


def fl_gan_links(pair: Pair, workers: int, iterations: int, every: int) -> list[Link]:
    """Return FL-GAN's traffic, one entry per kind of link.

    The pair goes down before every period, and comes up after every whole one.

    Args:
        pair: Sizes.
        workers: N.
        iterations: I.
        every: Iterations between two averages, see :func:`period`.

    Example:
        >>> down, up = fl_gan_links(MLP_MNIST, 10, 1200, every=600)
        >>> down.sender, down.times, down.bytes
        ('server', 20, 110942320)
        >>> up.sender, up.times, up.bytes
        ('workers', 20, 110942320)
    """
    started = -(-iterations // every)  # the last period may be cut off, so this rounds up
    down = workers * started
    up = workers * (iterations // every)
    return [
        Link("exchange/average", "server", "workers", "|w| + |θ|", down, down * pair_bytes(pair)),
        Link("exchange/average", "workers", "server", "|w| + |θ|", up, up * pair_bytes(pair)),
    ]


@dataclass(frozen=True)
class Setting:
    """The values of the letters on which the paper's orders of growth depend.

    Args:
        pair: Sizes.
        workers: N.
        batch: b.
        batches: k.
        samples: m.
        epochs: E, above 0.
        iterations: I.
    """

    pair: Pair
    workers: int
    batch: int
    batches: int
    samples: float
    epochs: float
    iterations: int


@dataclass(frozen=True)
class Order:
    """One line of the paper's Tables II and III: the same quantity for both games.

    Args:
        what: The quantity, in words.
        md_gan: MD-GAN's formula.
        md_gan_value: The formula's value in the setting.
        fl_gan: FL-GAN's formula.
        fl_gan_value: The formula's value in the setting.
    """

    what: str
    md_gan: str
    md_gan_value: float
    fl_gan: str
    fl_gan_value: float


def orders(setting: Setting) -> list[Order]:
    """Return the lines of the paper's Tables II and III.

    Work and memory are orders of growth: their values can be compared, but count nothing exactly.

    Args:
        setting: The values of the letters.

    Example:
        >>> for order in orders(Setting(MLP_MNIST, 10, 10, 1, 6000, 1.0, 50_000))[2:4]:
        ...     print(order.what, f"{order.md_gan_value / order.fl_gan_value:.3f}")
        work, a worker 0.483
        memory, a worker 0.483
    """
    pair = setting.pair
    n = setting.workers
    b = setting.batch
    k = setting.batches
    i = setting.iterations
    d = pair.sample
    averages = i * b / (setting.samples * setting.epochs)
    both = "N (|w| + |θ|)"
    server = d * n + k * pair.generator
    work = i * b * server
    worker_work = i * b * pair.discriminator
    averaging = averages * n * pair.both
    down = min(k, 2) * b * d * n
    up = b * d * n
    pairs = n * pair.both
    return [
        Order("work, server", "I b (d N + k |w|)", work, "I b N (|w| + |θ|) / (m E)", averaging),
        Order("memory, server", "b (d N + k |w|)", b * server, both, pairs),
        Order("work, a worker", "I b |θ|", worker_work, "I b (|w| + |θ|)", i * b * pair.both),
        Order("memory, a worker", "|θ|", pair.discriminator, "|w| + |θ|", pair.both),
        Order("server to workers, each exchange", "min(k, 2) b d N", down, both, pairs),
        Order("workers to server, each exchange", "b d N", up, both, pairs),
        Order("exchanges with the server", "I", i, "I b / (m E)", averages),
        Order("worker to worker, each swap", "|θ|", pair.discriminator, "–", 0),
        Order("swaps", "I b / (m E)", averages, "–", 0),
    ]
