"""Whether the data of a run are those that it began with.

The digest of what the source read lies in ``private`` in the run's folder, and that of each
player's share beside the player's checkpoint; of data of its own, in the site's own folder, and the
player says no more than "same" or "changed". All may help to guess at rows, so they are not to be
passed on; the record of the run says no more than that, either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from coplay.core import digests, storage
from coplay.core.errors import CheckpointError
from coplay.data.sources.base import Dataset
from coplay.run.own_data import OwnData

FOLDER = "private"
"""The folder of what is not to be passed on."""

_REMEDY = (
    "nothing can say whether the data are those of the start: restore it from a copy, or begin a "
    "new run with these models: 'coplay run CONFIG --start-from RUN --out NEW'"
)


@dataclass(frozen=True)
class DataDigest:
    """Digests of a data set as its source read it, and of what site files say.

    Args:
        train: Of the training split, the variables included; empty without a pool.
        test: Of the test split.
        files: Of what each player's site file says.
    """

    train: str
    test: str
    files: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, data: Dataset | None, sites: Mapping[str, OwnData]) -> Self:
        """Return the digests of a pool, and of the files of sites."""
        train, test = "", ""
        if data is not None:
            train = digests.of_samples(data.space, data.train)
            test = digests.of_samples(data.space, data.test)
        files = {}
        for name, own in sites.items():
            if own.has_site_file:
                files[name] = own.settings_digest
        return cls(train, test, files)

    def write(self, run: Path) -> None:
        """Write the digests into a run's folder."""
        storage.write_sealed(_path(run), asdict(self), private=True)

    @classmethod
    def read(cls, run: Path) -> Self:
        """Read the digests of a run.

        Raises:
            CheckpointError: They are missing or damaged.
        """
        path = _path(run)
        if not path.exists():
            raise CheckpointError(f"{path} was deleted; {_REMEDY}")
        try:
            return cls(**storage.read_sealed(path, _REMEDY))
        except TypeError as error:
            raise storage.damaged(path, error, _REMEDY) from error

    def changed(self, now: DataDigest) -> Sequence[str]:
        """Return the names of what is not that of ``now``."""
        splits = []
        if self.train != now.train:
            splits.append("the training split")
        if self.test != now.test:
            splits.append("the test split")
        for name, digest in self.files.items():
            if now.files.get(name, digest) != digest:
                splits.append(f"the site file of '{name}'")
        return splits


def _path(run: Path) -> Path:
    return run / FOLDER / "data.json"
