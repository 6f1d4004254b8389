"""Discriminators that cannot share a product, several at a time: each has one of torch's threads.

A convolution of ten images is too small for two threads to halve its time; two discriminators, each
on one thread, take about half as long as one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch
from torch import Tensor

from coplay.core.errors import FAILURES
from coplay.games.md_gan_stack import Lesson, feedback_alone, takes_own_steps
from coplay.models.acgan import Acgan

Answer = tuple[Tensor, dict[str, float]] | BaseException
"""Feedback and numbers, or the error of the model that it happened to."""


def at_once(models: Sequence[Acgan]) -> bool:
    """Whether these models take their steps at the same time.

    They do where torch has several threads, and all networks are coplay's own on a CPU: what
    somebody else's layers do in several threads, such as drawing from torch's one generator, is not
    known.

    Example:
        >>> at_once([Acgan(network="cnn")])
        False
    """
    if len(models) < 2 or torch.get_num_threads() < 2:
        return False
    for model in models:
        if model.discriminator is not None or takes_own_steps(model) or model.place.type != "cpu":
            return False
    return True


def feedback_at_once(models: Sequence[Acgan], lessons: Sequence[Lesson]) -> list[Answer]:
    """Do what :func:`feedback_alone` does, for as many models at a time as torch has threads.

    Each computes on one thread, so how many there are changes no bit.
    """
    for model in models:
        model.half("discriminator")  # networks are built one after the other
    threads = torch.get_num_threads()
    # operations are counted by hooks on all modules of a process, so by one model at a time
    workers = threads if all("feedback" in model.flops for model in models) else 1
    try:
        one_thread = partial(torch.set_num_threads, 1)
        with ThreadPoolExecutor(min(workers, len(models)), initializer=one_thread) as pool:
            return list(pool.map(_answer_of, models, lessons))
    finally:
        torch.set_num_threads(threads)


def feedback_in_turn(models: Sequence[Acgan], lessons: Sequence[Lesson]) -> list[Answer]:
    """Do the same one after the other, with all threads for each."""
    return list(map(_answer_of, models, lessons))


def _answer_of(model: Acgan, lesson: Lesson) -> Answer:
    try:
        return feedback_alone(model, lesson)
    except FAILURES as error:
        return error
