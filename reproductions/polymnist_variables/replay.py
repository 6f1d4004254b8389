"""A player that gives its data away: what real (class, segmentation) would bring."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import PrivateAttr
from torch import Tensor

from coplay import LocalModel, Mixture, Samples, Space
from coplay.core.space import pick, tensors


class Replay(LocalModel):
    """Draws rows of what it learned from."""

    _rows: Samples = PrivateAttr()

    def setup(self, space: Space, seed: int) -> None:
        """Begin without rows."""
        self._rows = space.empty()

    def learn(
        self, mixture: Mixture, steps: int, generator: torch.Generator
    ) -> Mapping[str, float]:
        """Keep the own data, the mixture's first part."""
        self._rows = mixture.parts[0].samples
        return {}

    def sample(self, n: int, generator: torch.Generator) -> Samples:
        """Draw rows with replacement."""
        return pick(self._rows, torch.randint(len(self._rows), (n,), generator=generator))

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return the rows."""
        return tensors(self._rows)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore rows that :meth:`state_dict` returned."""
        self._rows = Samples(dict(state), batch_size=[len(next(iter(state.values())))])
