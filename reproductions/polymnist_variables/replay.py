"""A player that gives its data away: what real (class, segmentation) would bring. For comparison only."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import PrivateAttr
from torch import Tensor

from coplay import LocalModel, Mixture, Samples, Space
from coplay.core.space import pick, tensors


class Replay(LocalModel):
    """Draws rows of what it learned from."""

    _kept: Samples = PrivateAttr()

    def setup(self, space: Space, seed: int) -> None:
        """Nothing is kept yet."""
        self._kept = space.empty()

    def learn(
        self, mixture: Mixture, steps: int, generator: torch.Generator
    ) -> Mapping[str, float]:
        """Keep the own data, the mixture's first part."""
        self._kept = mixture.parts[0].samples
        return {}

    def sample(self, n: int, generator: torch.Generator) -> Samples:
        """Rows with replacement."""
        return pick(self._kept, torch.randint(len(self._kept), (n,), generator=generator))

    def state_dict(self) -> Mapping[str, Tensor]:
        """The rows."""
        return tensors(self._kept)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take rows back."""
        self._kept = Samples(dict(state), batch_size=[len(next(iter(state.values())))])
