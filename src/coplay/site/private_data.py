"""A site's stand-in on disk: made and paid for once, the same in every run of the federation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from coplay.core import storage
from coplay.core.errors import CheckpointError, PrivacyError
from coplay.core.scaling import allowed
from coplay.core.space import Samples, Space, tensors
from coplay.site import secret
from coplay.site.budget import Budget
from coplay.site.private_rows import PrivateRows
from coplay.site.stand_ins.base import StandIn

RECORD = "stand_in.json"
"""The record of a stand-in that is ready, in the site's own folder."""

DRAWS = "draws.safetensors"
"""The draws that take the place of the rows."""

STATE = "stand_in.safetensors"
"""What was released of the rows."""


@dataclass(frozen=True)
class StandInFolder:
    """The stand-in of one site in one federation.

    Args:
        folder: The site's own folder for it.
        budget: What it is paid from.
    """

    folder: Path
    budget: Budget

    @property
    def is_made(self) -> bool:
        """Whether there is one."""
        return (self.folder / RECORD).exists()

    def samples(
        self, stand_in: StandIn, rows: PrivateRows, settings: str, writes: bool = True
    ) -> Samples:
        """Return the draws; the stand-in is made if there is none.

        Args:
            stand_in: How it is made.
            rows: The rows.
            settings: Digest of all settings that decide it.
            writes: Whether it may be made; if not, evenly drawn samples take its place.

        Raises:
            PrivacyError: The budget is spent, or a stand-in was made with other settings.
        """
        if not writes:
            kept = self._kept(rows.space, settings)
            return evenly(rows.space, _draws(stand_in, rows)) if kept is None else kept
        with self.budget.locked():
            kept = self._kept(rows.space, settings)
            if kept is not None:
                return kept
            charges = stand_in.charges(rows.most, self.budget.accountant)
            self.budget.charge(*charges)
            made = stand_in.make(rows, charges)
            drawn = made.draw(_draws(stand_in, rows), secret.generator())
            drawn = rows.space.check(drawn, "draws of the stand-in", quote=False)
            digest = storage.save_tensors(self.folder / DRAWS, tensors(drawn), private=True)
            storage.save_tensors(self.folder / STATE, dict(made.state), private=True)
            record = {
                "settings": settings,
                "draws": digest,
                "epsilon": stand_in.epsilon,
                "delta": stand_in.delta,
                "notes": list(made.notes),
            }
            storage.write_sealed(self.folder / RECORD, record, private=True)
        return drawn

    def _kept(self, space: Space, settings: str) -> Samples | None:
        """Return the draws of a stand-in that is ready; None without one."""
        path = self.folder / RECORD
        if not path.exists():
            return None
        remedy = "restore the site's folder for privacy from a copy"
        try:
            record = storage.read_sealed(path, remedy)
            if record["settings"] != settings:
                raise PrivacyError(
                    f"{path}: a stand-in was made with other settings, and it stands in for these "
                    "rows in the whole federation. Put [privacy] back as it was; or move "
                    f"{path.name} away and raise epsilon, since another stand-in spends its own "
                    "beside what is spent"
                )
            if not self.budget.charges():
                raise PrivacyError(
                    f"{self.budget.path} is missing, though a stand-in was paid for; {remedy}"
                )
            values = storage.load_tensors(self.folder / DRAWS, str(record["draws"]), remedy)
        except CheckpointError as error:
            raise PrivacyError(str(error)) from error
        return space.samples(**{name: values[name] for name in space})


def evenly(space: Space, n: int) -> Samples:
    """Return samples that say nothing of any rows: each value evenly from its range.

    Args:
        space: The variables, all with finite ranges.
        n: How many.
    """
    generator = torch.Generator().manual_seed(0)
    values = {}
    for name in space:
        v = space[name]
        low, high = v.range
        places = torch.rand(n, *v.shape, generator=generator, dtype=torch.float64)
        if v.kind == "real":
            drawn = low + places * (high - low)
        else:
            drawn = (low + places * (high - low + 1)).floor().clamp(low, high)
        values[name] = allowed(drawn, v, v.dtypes[0])
    return space.samples(**values)


def _draws(stand_in: StandIn, rows: PrivateRows) -> int:
    """Return how many samples take the place of the rows: a public number."""
    if rows.n_is_public and "draws" not in stand_in.model_fields_set:
        return len(rows.samples)
    return stand_in.draws
