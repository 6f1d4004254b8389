"""Random streams: every generator is derived from the seed and what it is for, so none needs to be stored.

A stream is named by (seed, words…), for instance (seed, round, action, player, receiver). The same name gives the same
numbers in any process, engine or resumed run, and no global generator is touched.
"""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor


def derive(seed: int, *words: str | int) -> int:
    """A 63-bit seed for the stream named by ``words``; torch's CPU generator uses its lower 32 bits.

    Example:
        >>> derive(1, "learn", "north") == derive(1, "learn", "north") != derive(1, "learn", "south")
        True
    """
    name = "\x1f".join([str(int(seed)), *(str(word) for word in words)])
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> 1


def stream(seed: int, *words: str | int) -> torch.Generator:
    """Return a torch generator for the stream named by ``words``.

    Args:
        seed: The run's seed.
        words: Words and integers that name the stream, for instance action, round and player.

    Example:
        >>> a, b = stream(1, "draw", 7), stream(1, "draw", 7)
        >>> bool(torch.equal(torch.rand(3, generator=a), torch.rand(3, generator=b)))
        True
    """
    return torch.Generator().manual_seed(derive(seed, *words))


def numpy_stream(generator: torch.Generator) -> np.random.Generator:
    """A numpy generator whose seed is drawn from a torch generator."""
    return np.random.default_rng(small_seed(generator))


def small_seed(generator: torch.Generator) -> int:
    """A seed below 2³¹ drawn from ``generator``, for libraries that take an integer."""
    return int(torch.randint(2**31 - 1, (1,), generator=generator))


def unbiased_counts(weights: Tensor, n: int, generator: torch.Generator) -> list[int]:
    """Round ``n * weights`` to integers that sum to n and whose expectation is exact.

    Systematic rounding: one common offset u ~ U[0, 1) cuts the cumulated weights, so every count is the floor or the
    ceiling of its share.

    Args:
        weights: Shape (k,), non-negative, sum 1.
        n: Total count.
        generator: Source of the offset.

    Example:
        >>> unbiased_counts(torch.tensor([0.25, 0.75]), 8, stream(0))
        [2, 6]
    """
    edges = torch.cat([torch.zeros(1, dtype=torch.float64), weights.double().cumsum(0) * n])
    edges[-1] = n  # so that rounding of the sum cannot lose a sample
    offset = torch.rand((), generator=generator, dtype=torch.float64)
    # the tiny shift keeps an exact integer share, such as 0.25 * 8, from being cut by rounding errors of the cumulated sum
    cuts = torch.floor(edges + offset + 1e-9)
    return [int(c) for c in cuts.diff()]


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use ``count`` threads inside the block; sums of floats depend on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def single_pools(threads: int) -> Iterator[None]:
    """Let the thread pools of scikit-learn and BLAS use so many threads inside the block; torch's is set for itself."""
    with _pools(len(sys.modules)).limit(limits=threads):
        yield


@lru_cache(maxsize=1)
def _pools(modules: int) -> ThreadpoolController:
    """The thread pools of this process; looked for anew, which is slow, only when a library may have come."""
    return ThreadpoolController()


@contextmanager
def isolated_seed(seed: int) -> Iterator[None]:
    """Seed the global generators of torch, numpy and Python inside the block only; the caller's states come back.

    For code that takes no generator of its own: layer starts, dropout, estimators of others.

    Example:
        >>> before = torch.random.get_rng_state()
        >>> with isolated_seed(1):
        ...     _ = torch.rand(3)
        >>> bool(torch.equal(before, torch.random.get_rng_state()))
        True
    """
    numpy_before, python_before = np.random.get_state(), random.getstate()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)
            random.seed(seed)
            yield
    finally:
        np.random.set_state(numpy_before)
        random.setstate(python_before)
