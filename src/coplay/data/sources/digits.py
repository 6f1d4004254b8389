"""The 8×8 handwritten digits that come with scikit-learn: real data that need no file."""

from __future__ import annotations

import torch
from pydantic import Field

from coplay.core.streams import stream
from coplay.data.sources.base import Dataset, Source, labelled_images

_TEST = 497


class Digits(Source):
    """1,797 handwritten digits of 8×8 pixels, always split into 1,300 to train on and 497 to test.

    Args:
        threshold: Grey value in (0, 1] from which a pixel is 1; None (in TOML: ``grey = true``)
            keeps 17 grey levels.
        grey: Keep grey values in [0, 1] instead of binary pixels.

    Example:
        >>> data = Digits().load()
        >>> len(data.train), len(data.test), data.space
        (1300, 497, Space(image: binary 8×8, class: categorical of 10 scalar))

    References:
        Optical Recognition of Handwritten Digits (E. Alpaydin, C. Kaynak, 1998), UCI Machine
        Learning Repository.
    """

    threshold: float = Field(default=0.5, gt=0, le=1)
    grey: bool = False

    def load(self) -> Dataset:
        """Load from scikit-learn."""
        from sklearn.datasets import load_digits

        raw = load_digits()
        images = torch.from_numpy(raw.images).float() / 16
        labels = torch.from_numpy(raw.target)
        order = torch.randperm(len(images), generator=stream(0, "digits split"))
        test = order[:_TEST]
        train = order[_TEST:]
        return labelled_images(
            "8×8 digits of scikit-learn",
            (images[train], labels[train]),
            (images[test], labels[test]),
            None if self.grey else self.threshold,
        )
