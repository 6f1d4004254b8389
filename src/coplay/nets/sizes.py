"""The size of a network."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NetworkSize:
    """The size of a network that travels.

    Args:
        parameters: Number of trainable numbers, |w| or |θ| of the MD-GAN paper.
        tensors: Number of tensors that hold them.
        buffer_bytes: Bytes of its buffers, such as the statistics of batch normalisation.
    """

    parameters: int
    tensors: int
    buffer_bytes: int
