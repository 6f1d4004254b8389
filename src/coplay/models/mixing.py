"""The mixture that a player learns from: its own rows and what others sent (A1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from coplay.core.errors import ModelError
from coplay.core.slices import to_check
from coplay.core.space import Samples, Space, pick
from coplay.models.base import OWN, LocalModel, Portion

INCOMPLETE = (
    "exponential_family, joint_classifier, conditionals, autoregressive, gaussian_copula, "
    "rectified_flow"
)
"""For errors: the models that learn from incomplete samples."""

_FEW_BITS = 15  # that a number of 16 bits holds
_BITS = 28  # that a number of 64 bits holds beside that of a row


def required(space: Space) -> Space:
    """Return a space in which no value may be missing: what models live on, and what they draw."""
    if not any(space[name].optional for name in space):
        return space
    return Space({name: space[name].model_copy(update={"optional": False}) for name in space})


def by_pattern(space: Space, samples: Samples) -> dict[str, Samples]:
    """Split samples by which of their optional variables are there.

    A model that learns from incomplete samples knows variables that are absent from a whole set.
    So rows with missing values become sets of one pattern each, and such a model learns from them
    without knowing of masks.

    Args:
        space: What the variables are; optional ones may be missing in some rows.
        samples: Own rows.

    Returns:
        The sets by a name of their own: complete rows under :data:`OWN`, and first; rows in which
        nothing is there are in none of them.

    Example:
        >>> from coplay.core.variable import Variable
        >>> space = Space({"a": Variable(kind="count", optional=True), "b": Variable(kind="count")})
        >>> rows = space.samples(a=torch.tensor([3, -1, 5]), b=torch.tensor([1, 2, 3]))
        >>> {name: len(part) for name, part in by_pattern(space, rows).items()}
        {'own data': 2, 'own data without a': 1}
    """
    return {part.name: part.whole() for part in own_portions(space, samples)}


def own_portions(space: Space, samples: Samples) -> list[Portion]:
    """Return own rows as portions of one pattern each, which say which of all rows they are.

    Args:
        space: What the variables are; optional ones may be missing in some rows.
        samples: Own rows.

    Returns:
        The portions of :func:`by_pattern`, whose masses are their shares of the rows in them.
    """
    names = [str(name) for name in samples.keys()]
    optional = [name for name in names if name in space and space[name].optional]
    if not optional or not len(samples):
        return [Portion(OWN, samples, 1.0)]
    parts = []
    for there, rows in _patterns(space, samples, optional):
        lacking = [name for name, is_there in zip(optional, there, strict=True) if not is_there]
        if len(lacking) == len(names):
            continue
        title = f"{OWN} without {', '.join(lacking)}" if lacking else OWN
        parts.append(Portion(title, samples.exclude(*lacking), 0.0, rows))
    count = sum(map(len, parts))
    return [replace(part, weight=_share(len(part), count)) for part in parts]


def own_of(model: LocalModel, space: Space, samples: Samples) -> list[Portion]:
    """Return own rows as portions that a model can learn from (:func:`own_portions`)."""
    return [part.fit_for(model) for part in own_portions(space, samples)]


def _share(count: int, total: int) -> float:
    return 1.0 if count == total else count / total


def _patterns(
    space: Space, samples: Samples, optional: list[str]
) -> Iterator[tuple[list[bool], Tensor]]:
    """Return which variables rows have, and which rows these are: complete rows first.

    The order of the rest depends on the patterns alone.
    """
    kind = torch.int16 if len(optional) < _FEW_BITS else torch.int64
    codes = torch.zeros(len(samples), dtype=kind)
    for start in range(0, len(optional), _BITS):
        if start:  # numbers of the patterns so far, in their order, leave room for more
            codes = codes.unique(return_inverse=True)[1]
        for name in optional[start : start + _BITS]:
            codes = codes.mul_(2).add_(space[name].present(samples[name]))
    ordered, order = codes.sort(stable=True)
    counts = ordered.unique_consecutive(return_counts=True)[1].tolist()
    if len(order) < 2**31:
        order = order.to(torch.int32)  # half of the memory
    for rows in reversed(order.split(counts)):
        first = pick(samples, rows[:1].long())
        yield [bool(space[name].present(first[name])) for name in optional], rows


def known_of(samples: Samples, space: Space, learned: Space) -> Samples:
    """Return the variables of samples that a player knows; latents only if they are like its own.

    Args:
        samples: What came.
        space: The player's variables and latents.
        learned: Its variables alone.
    """
    if list(samples.keys()) == list(learned):
        return samples
    present = set(samples.keys())
    latents = [name for name in space if name not in learned and name in present]
    foreign = [name for name in latents if samples[name].shape[1:] != space[name].shape]
    return space.restrict(samples.exclude(*foreign))


def portions(
    model: LocalModel,
    space: Space,
    own: Sequence[Portion],
    received: Mapping[str, Samples],
    weights: Mapping[str, float],
    learned: Space,
) -> tuple[Portion, ...]:
    """Return the sources of a mixture that have samples and mass; the masses sum to 1.

    Args:
        model: Who learns.
        space: What samples consist of.
        own: Own rows, by pattern (:func:`own_portions`).
        received: Samples by sender, of variables that the player knows.
        weights: Mass by sender, and of all own rows together as :data:`OWN`.
        learned: The variables that the model learns.

    Raises:
        SpaceError: A received sample does not lie in the space.
        ModelError: One lacks a variable that the model needs.
    """
    for sender, samples in to_check(space, received).items():
        origin = f"samples received from player '{sender}'"
        space.check(samples, origin)
        missing = [name for name in learned if name not in samples.keys()]
        if missing and not model.learns_incomplete:
            raise ModelError(
                f"{model.title} needs every variable, and '{missing[0]}' is missing in {origin}; "
                "choose a model that learns from incomplete samples, or other variables"
            )
    sources = {}
    for part in own:
        if len(part):  # own mass is shared by rows
            sources[part.name] = replace(part, weight=weights.get(OWN, 0.0) * part.weight)
    for sender, samples in received.items():
        if len(samples):
            sources[sender] = Portion(sender, samples, weights.get(sender, 0.0))
    total = sum(part.weight for part in sources.values())
    return tuple(
        replace(part, weight=part.weight / total) for part in sources.values() if part.weight > 0
    )


def check_missing(model: LocalModel, space: Space, samples: Samples, player: str) -> None:
    """Refuse rows with missing values for a model that cannot learn from them.

    Raises:
        ModelError: It names the variables and how many rows lack them.
    """
    if model.learns_incomplete:
        return
    counts = []
    for name in space:
        if space[name].optional and name in samples.keys():
            absent = int((~space[name].present(samples[name])).sum())
            if absent:
                counts.append(f"'{name}' in {absent:,}")
    if counts:
        raise ModelError(
            f"player '{player}': {model.title} needs every value, and of {len(samples):,} rows "
            f"some lack {', '.join(counts)}; choose a model that learns from incomplete samples "
            f'({INCOMPLETE}), or drop these rows (missing = "drop rows")'
        )
