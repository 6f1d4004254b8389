"""The losses of a GAN whose discriminator also classifies, from its logits.

In a row of 1 + C logits, the first is that of real (> 0) against generated; the rest are those of
the classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class GanLosses:
    """The losses of both sides, in nats.

    Args:
        saturating: Whether the generator minimises log(1 − D), and not −log D.
        class_term: Whether both have a term for the class, where there is one.

    Example:
        >>> losses = GanLosses(saturating=False, class_term=True)
        >>> undecided = torch.zeros(2, 1 + 3)
        >>> losses.generator(undecided, None).exp().round(decimals=3)
        tensor([2., 2.])
        >>> with_class = losses.generator(undecided, torch.tensor([0, 2]))  # one of three classes
        >>> with_class.exp().round(decimals=3)
        tensor([6., 6.])
    """

    saturating: bool
    class_term: bool

    def discriminator(
        self, logits: Tensor, real_classes: Tensor | None, fake_classes: Tensor | None
    ) -> Tensor:
        """Mean loss over two batches of equal size, real ones first.

        Logits of shape (..., 2b, 1 + C), classes of each batch (..., b); losses of shape (...).
        """
        classes = None
        if real_classes is not None and fake_classes is not None:
            classes = torch.cat([real_classes, fake_classes], -1)
        sign = torch.ones(logits.shape[-2], dtype=logits.dtype, device=logits.device)
        sign[: len(sign) // 2] = -1
        adversarial = F.softplus(sign * logits[..., 0])
        return 2 * (adversarial + self._wrong_class(logits, classes)).mean(-1)

    def generator(self, logits: Tensor, classes: Tensor | None) -> Tensor:
        """The generator's loss B̃ per sample, from logits (..., b, 1 + C); shape (..., b)."""
        real = logits[..., 0]
        adversarial = -F.softplus(real) if self.saturating else F.softplus(-real)
        return adversarial + self._wrong_class(logits, classes)

    def _wrong_class(self, logits: Tensor, classes: Tensor | None) -> Tensor:
        if classes is None or not self.class_term:
            return torch.zeros(())
        return -logits[..., 1:].log_softmax(-1).gather(-1, classes[..., None])[..., 0]
