"""Random streams: a generator is derived from the seed and its purpose, so none is ever stored.

A stream is named by (seed, words…), for instance (seed, round, action, player, receiver). The same
name gives the same numbers in any process, engine or resumed run, and no global generator is
touched.
"""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from coplay.core.surroundings import Turns

_SEEDING = Turns()


def derive(seed: int, *words: str | int) -> int:
    """Return a 63-bit seed for the stream named by ``words``.

    Torch's CPU generator uses its lower 32 bits.

    Example:
        >>> derive(1, "learn", "north") == derive(1, "learn", "north")
        True
        >>> derive(1, "learn", "north") == derive(1, "learn", "south")
        False
    """
    # a separator that no name holds, so that ("a", "bc") and ("ab", "c") are two streams
    name = "\x1f".join([str(int(seed)), *map(str, words)])
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def stream(seed: int, *words: str | int) -> torch.Generator:
    """Return a torch generator for the stream named by ``words``.

    Args:
        seed: The run's seed.
        words: Words and integers that name the stream, for instance action, round and player.

    Example:
        >>> a = stream(1, "draw", 7)
        >>> b = stream(1, "draw", 7)
        >>> bool(torch.equal(torch.rand(3, generator=a), torch.rand(3, generator=b)))
        True
    """
    return torch.Generator().manual_seed(derive(seed, *words))


def numpy_stream(generator: torch.Generator) -> np.random.Generator:
    """Return a numpy generator whose seed is drawn from a torch generator."""
    return np.random.default_rng(small_seed(generator))


def small_seed(generator: torch.Generator) -> int:
    """Draw a seed below 2³¹ from ``generator``, for libraries that take an integer."""
    return int(torch.randint(2**31 - 1, (1,), generator=generator))


def unbiased_counts(weights: Tensor, n: int, generator: torch.Generator) -> list[int]:
    """Round ``n * weights`` to integers that sum to n and whose expectation is exact.

    Systematic rounding: one common offset u ~ U[0, 1) cuts the cumulated weights, so every count is
    the floor or the ceiling of its share.

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
    # the tiny shift keeps an exact integer share, such as 0.25 * 8, from being cut by rounding
    # errors of the cumulated sum
    cuts = torch.floor(edges + offset + 1e-9)
    counts: list[int] = cuts.diff().long().tolist()
    return counts


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use ``count`` threads inside the block; sums of floats depend on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def single_pools(threads: int) -> Iterator[None]:
    """Let the thread pools of scikit-learn and BLAS use ``threads`` threads inside the block.

    Torch has a thread pool of its own, see :func:`torch_threads`.
    """
    with _pools(len(sys.modules)).limit(limits=threads):
        yield


@lru_cache(maxsize=1)
def _pools(modules: int) -> ThreadpoolController:
    """Return the thread pools of this process.

    Looking for them is slow. ``modules``, the number of imported modules, is only the cache's key:
    when it changes, a library with a pool may have been loaded, so the pools are looked for anew.
    """
    return ThreadpoolController()


@contextmanager
def isolated_seed(seed: int) -> Iterator[None]:
    """Seed the global generators of torch, numpy and Python inside the block only.

    The caller's states are restored afterwards. This is for code that takes no generator:
    initial weights of layers, dropout, estimators of other libraries. A process has these
    generators once, so threads that call this wait for one another; a thread that draws from them
    in the meantime, without this, changes what comes. coplay's own networks are built inside
    :func:`own_draws` as well, which no other thread can reach.

    Example:
        >>> before = torch.random.get_rng_state()
        >>> with isolated_seed(1):
        ...     _ = torch.rand(3)
        >>> bool(torch.equal(before, torch.random.get_rng_state()))
        True
    """
    with _SEEDING.taken():
        numpy_before = np.random.get_state()
        python_before = random.getstate()
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                np.random.seed(seed % 2**32)
                random.seed(seed)
                yield
        finally:
            np.random.set_state(numpy_before)
            random.setstate(python_before)


@contextmanager
def own_draws(seed: int) -> Iterator[None]:
    """Let what torch draws in this thread, on the CPU, come from a generator of its own.

    These are the very numbers that :func:`isolated_seed` gives, whatever other threads draw in the
    meantime. Each operation takes longer, so it is for building networks and not for training.
    What seeds torch's generator itself inside the block still draws from this one.

    Example:
        >>> with isolated_seed(1):
        ...     expected = torch.nn.Linear(2, 3).weight
        >>> with own_draws(1):
        ...     weight = torch.nn.Linear(2, 3).weight
        >>> bool(torch.equal(weight, expected))
        True
    """
    with _OwnDraws(torch.Generator().manual_seed(seed)):
        yield


class _OwnDraws(TorchDispatchMode):
    """Gives a generator to every operation of this thread that draws and was given none."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.generator = generator

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        drawing = func
        if not _takes_generator(func):  # such as rand, which has a form of its own with one
            form = func._overloadname
            name = "generator" if form == "default" else f"{form}_generator"
            drawing = getattr(func.overloadpacket, name, func)
        if _takes_generator(drawing) and given.get("generator") is None:
            given["generator"] = self.generator
            if not _on_cpu(args, given):
                return func(*args, **(kwargs or {}))
            return drawing(*args, **given)
        return func(*args, **given)


def _takes_generator(func: Any) -> bool:
    return any(argument.name == "generator" for argument in func._schema.arguments)


def _on_cpu(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether an operation draws on the CPU, where the generator is."""
    if args and isinstance(args[0], Tensor):
        return args[0].device.type == "cpu"
    return torch.device(kwargs.get("device") or "cpu").type == "cpu"
