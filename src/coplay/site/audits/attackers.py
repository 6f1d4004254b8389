"""The attackers of membership: each gives a row a score, larger where it seems a member.

Both see samples, reference rows and one row at a time, and neither knows the model. No score
depends on which rows are members, so that under the hypothesis that the model keeps nothing of them
the scores of members and controls are exchangeable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from coplay.core.space import Samples, pick
from coplay.site.audits.distances import Distances, Profile

DENSITY_RATIO = "density ratio"
NEAREST = "nearest neighbours"

_OF_USUAL = 0.25  # width of samples' kernels, of the median distance of reference rows to a sample

MEANINGS: Mapping[str, str] = {
    DENSITY_RATIO: "the density of samples over that of reference rows, by kernels",
    NEAREST: "how near the nearest sample is, in all columns and in those that agree best",
}
"""What an attacker goes by."""


@dataclass(frozen=True)
class Attackers:
    """Both attackers, with the samples and the reference rows that they have.

    Args:
        distances: How rows are compared.
        samples: What they were given.
        reference: Rows that no model knows.
        usual: How near samples are to the reference rows.
        apart: How far reference rows are from each other, in the median.
    """

    distances: Distances
    samples: Samples
    reference: Samples
    usual: Profile
    apart: float

    @classmethod
    def of(cls, distances: Distances, samples: Samples, reference: Samples) -> Attackers:
        """Return attackers who have samples, and at least two reference rows."""
        usual = distances.profile(reference, samples)
        half = len(reference) // 2
        first, second = pick(reference, slice(half)), pick(reference, slice(half, None))
        apart = distances.profile(first, second).whole.median().item()
        return cls(distances, samples, reference, usual, apart)

    def scores(self, rows: Samples) -> dict[str, Tensor]:
        """Return the scores of rows, each of shape (n,), by attacker."""
        # narrow around samples, to notice one that repeats a row; smooth around few reference rows
        narrow = _OF_USUAL * (self.usual.whole.median().item() or 1.0)
        seen_by_all = self.distances.profile(rows, self.samples, narrow)
        known = self.distances.profile(rows, self.reference, self.apart or 1.0)
        assert seen_by_all.kernel is not None, "a width was given"
        assert known.kernel is not None, "a width was given"
        places = _place(seen_by_all.whole, self.usual.whole)
        if seen_by_all.partial is not None and self.usual.partial is not None:
            # the more telling of the two: which one it is says which columns are repeated
            places = torch.minimum(places, _place(seen_by_all.partial, self.usual.partial))
        return {DENSITY_RATIO: seen_by_all.kernel - known.kernel, NEAREST: -places}


def _place(distances: Tensor, usual: Tensor) -> Tensor:
    """Return which share of usual distances is smaller, and between two of them how far.

    Example:
        >>> usual = torch.tensor([1.0, 2.0, 5.0]).double()
        >>> _place(torch.tensor([0.0, 3.0]).double(), usual).tolist()
        [0.0, 0.65]
    """
    ordered = usual.sort().values
    smaller = torch.searchsorted(ordered, distances)
    middle = ordered[len(ordered) // 2]
    unit = middle if middle > 0 else 1.0
    return (smaller + distances / (distances + unit)) / (len(ordered) + 1)
