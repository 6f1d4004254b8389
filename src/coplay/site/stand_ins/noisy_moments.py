r"""Moments of bounded variables with Gaussian noise, and an exponential family that has them.

Each row x becomes numbers ψ(x) that lie in a ball: with every number scaled by its agreed range to
z ∈ [−1, 1],

    ψ(x) = (1, bits, categories as 0 and 1, z, z zᵀ above the diagonal by √2, and on it)

and, with a category k that rows are told apart by, ψ in the k-th block of so many. The sum over all
rows changes by at most

    Δ = m · max |ψ|,   |ψ|² ≤ 1 + B + C + D + D²

when a unit with at most m rows comes or goes (B bits, C categories, D numbers). So the sums with
Gaussian noise of s·Δ, s from (V1), are (ε, δ) private, and everything else follows from them: the
number of rows too, unless it is public. A missing value adds nothing to the sums; that it is
there, is one more number for each variable that may lack values.

Noise in moments propagates exactly: with M of the game, player i's equilibrium carries
Σ_j M_ij² S_j of noise of covariance S_j (V), unless the noise leaves the set of possible moments.
Then the nearest possible ones take their place, and the stand-in says so.

References:
    Analyze Gauss: optimal bounds for privacy-preserving principal component analysis (C. Dwork,
    K. Talwar, A. Thakurta, L. Zhang, STOC 2014), for noise in second moments.
    Improving the Gaussian mechanism for differential privacy (B. Balle, Y.-X. Wang, ICML 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

from torch import Tensor

from coplay.core.errors import ModelError
from coplay.core.space import LABEL, Space
from coplay.site import secret
from coplay.site.accounting import Accountant, Charge, needed_noise
from coplay.site.bounded import Features
from coplay.site.private_rows import PrivateRows
from coplay.site.stand_ins.base import Made, StandIn

_MOST = 100_000  # numbers that noise is added to


class NoisyMoments(StandIn):
    """Means, shares and second moments with Gaussian noise; draws are of the family that has them.

    Args:
        by: A category whose values have moments of their own, such as a diagnosis; by default
            ``class`` where there is one. Within each, numbers are jointly normal, cut off at the
            ends of their range, and bits and categories independent.

    Example:
        >>> import torch
        >>> from coplay.core.variable import Variable
        >>> space = Space({"x": Variable(kind="real", low=0, high=10)})
        >>> tens = space.samples(x=torch.full((5000,), 6.0))
        >>> rows = PrivateRows(space, tens, torch.arange(5000))
        >>> stand_in = NoisyMoments(epsilon=1.0, delta=1e-6)
        >>> made = stand_in.make(rows, stand_in.charges(1, "prv"))
        >>> x = made.draw(1000, torch.Generator())["x"]
        >>> bool((x.mean() - 6).abs() < 0.2), float(x.min()) >= 0
        (True, True)
    """

    citation: ClassVar[tuple[str, ...]] = ("balle2018gaussian",)

    by: str | None = None

    def features(self, space: Space, n: int | None = None) -> Features:
        """Return the numbers of rows on a space.

        Args:
            space: The variables.
            n: The number of rows where it is public; None where it is one of the numbers.

        Raises:
            ModelError: ``by`` is no category, or there are too many numbers.
        """
        by = self.by
        if by is None and LABEL in space and space[LABEL].classes and not space[LABEL].shape:
            by = LABEL
        if by is not None and (
            by not in space or not space[by].classes or space[by].shape or space[by].optional
        ):
            raise ModelError(
                f"noisy_moments: by = {by!r}: expected a categorical variable that is one number "
                f"and never missing; the variables are {space!r}"
            )
        features = Features(space, by, n)
        if features.size > _MOST:
            raise ModelError(
                f"noisy_moments: {features.size:,} moments of these variables are more than "
                f"{_MOST:,}, and noise would hide all of them; let it learn fewer variables "
                "(learns), or choose another stand-in"
            )
        return features

    def check(self, space: Space) -> None:
        """Refuse variables without a range, and too many of them."""
        self.features(space)

    def charges(self, most: int, accountant: Accountant) -> Sequence[Charge]:
        """Return one Gaussian mechanism."""
        noise = needed_noise(lambda s: [_charge(s)], self.epsilon, self.delta, accountant)
        return [_charge(noise)]

    def make(self, rows: PrivateRows, charges: Sequence[Charge]) -> Made:
        """Sum up, add noise, and take the family with the nearest possible moments."""
        n = len(rows.samples) if rows.n_is_public else None
        features = self.features(rows.space, n)
        sums = released(features, rows, charges[0].noise)
        family = features.family(sums)
        notes = []
        if family.moved:
            notes.append(
                f"noise left the set of possible moments in {family.moved} of {features.blocks} "
                "blocks, and the nearest possible ones took their place: there, (V) of the theory "
                "does not hold"
            )
        return Made(family.draw, {"sums": sums}, notes)

    @classmethod
    def tiny(cls) -> Self:
        """Return one with a large budget."""
        return cls(epsilon=10.0, delta=1e-4, draws=100)


def released(features: Features, rows: PrivateRows, noise: float) -> Tensor:
    """Return the sums of features over rows, with noise; they may be published.

    Args:
        features: The numbers of each row.
        rows: The rows.
        noise: Standard deviation in units of the sensitivity; 0 for the sums themselves.

    Returns:
        Shape (blocks, numbers), float64.
    """
    sensitivity = rows.most * features.radius * (1 + secret.MARGIN)
    return secret.noisy(features.sums(rows.samples), sensitivity, noise)


def _charge(noise: float) -> Charge:
    return Charge("the stand-in's moments", noise=noise)
