"""What a site has spent of its privacy, over all runs, restarts and games of a federation.

A line is added, and is safe on disk, *before* anything is computed from rows that it pays for. So
a process that is killed has spent what it did not use, and never used what it did not spend; a run
that is resumed spends again. Nothing is ever taken back.

Each line holds the digest of the one before. That shows a line that was changed or taken out, but
cannot show that the last ones are missing: keep the file with the data, and in their backups.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from coplay.core import storage
from coplay.core.digests import of_bytes, of_values
from coplay.core.errors import PrivacyError
from coplay.site.accounting import Accountant, Charge, spent_epsilon

FILE = "budget.jsonl"
"""The file of what was spent, in the site's own folder."""

_LOCK = "budget.lock"
_BEFORE = "before"
_ROOM = 1 + 1e-9  # for rounding where the whole budget is spent at once


@dataclass(frozen=True)
class Spent:
    """What was spent, for adding or removing one unit.

    Args:
        epsilon: ε.
        delta: The δ at which it is ε; 0 where nothing was spent.
    """

    epsilon: float
    delta: float


class Budget:
    """The budget of one site in one federation.

    Args:
        folder: The site's own folder for it, which is made.
        epsilon: The most that may be spent.
        delta: The δ at which it is counted.
        accountant: How steps on random batches are added up.

    Example:
        >>> import tempfile
        >>> budget = Budget(Path(tempfile.mkdtemp()), 1.0, 1e-5)
        >>> budget.charge(Charge("moments", noise=5.3)).epsilon < 1
        True
        >>> budget.charge(Charge("moments", noise=4.0))
        Traceback (most recent call last):
        coplay.core.errors.PrivacyError: the privacy budget is spent: ...
    """

    def __init__(
        self, folder: Path, epsilon: float, delta: float, accountant: Accountant = "prv"
    ) -> None:
        self.folder = folder
        self.epsilon = epsilon
        self.delta = delta
        self.accountant = accountant

    @property
    def path(self) -> Path:
        """The file of what was spent."""
        return self.folder / FILE

    def charges(self) -> list[Charge]:
        """Return all charges so far, the first one first.

        Raises:
            PrivacyError: The file is damaged.
        """
        return self._read()[0]

    def spent(self) -> Spent:
        """Return what was spent so far.

        Raises:
            PrivacyError: The file is damaged.
        """
        return self._of(self.charges())

    def check(self, *charges: Charge) -> Spent:
        """Return what would be spent with more charges, without spending.

        Raises:
            PrivacyError: It is more than the budget, or the file is damaged.
        """
        before = self.charges()
        after = self._of([*before, *charges])
        if after.epsilon > self.epsilon * _ROOM:
            listed = ", ".join(dict.fromkeys(charge.what for charge in charges))
            raise PrivacyError(
                f"the privacy budget is spent: epsilon = {self._of(before).epsilon:.4g} of "
                f"{self.epsilon:g} at delta = {self.delta:g}, and {listed} would make it "
                f"{after.epsilon:.4g}. Nothing more is computed from this site's rows in this "
                f"federation, unless the site itself raises the budget in its [privacy]"
            )
        return after

    def charge(self, *charges: Charge) -> Spent:
        """Spend, and return what was spent so far; it is safe on disk before this returns.

        Raises:
            PrivacyError: It is more than the budget, the file is damaged, or it cannot be written.
        """
        with self.locked():
            after = self.check(*charges)
            _, end, digest = self._read()
            lines = []
            for charge in charges:
                lines.append(_line(charge, digest))
                digest = of_bytes(lines[-1])
            self._append(b"".join(lines), end)
        return after

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from the folder; one that holds it already may ask again.

        Raises:
            PrivacyError: The folder cannot be written to.
        """
        try:
            storage.make_folder(self.folder)
            self.folder.chmod(0o700)
            # of one process there is one lock, so that it may be held twice
            lock = FileLock(self.folder / _LOCK, mode=0o600, is_singleton=True)
            lock.acquire()
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        try:
            yield
        finally:
            lock.release()

    def _of(self, charges: Sequence[Charge]) -> Spent:
        if not charges:
            return Spent(0.0, 0.0)
        return Spent(spent_epsilon(charges, self.delta, self.accountant), self.delta)

    def _read(self) -> tuple[list[Charge], int, str]:
        """Return the charges, where the last whole line ends, and that line's digest."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return [], 0, ""
        except OSError as error:
            raise PrivacyError(f"cannot read {self.path}: {error.strerror}") from error
        # what follows the last line break was never safe on disk, so nothing was used for it
        end = content.rfind(b"\n") + 1
        charges = []
        digest = ""
        for number, line in enumerate(content[:end].splitlines(keepends=True), start=1):
            charge = _charge_of(line, digest)
            if charge is None:
                raise PrivacyError(
                    f"{self.path}, line {number}: it is damaged, or a line before it is missing, "
                    "so nobody knows what was spent; restore it from a copy. Until then nothing is "
                    "computed from this site's rows"
                )
            charges.append(charge)
            digest = of_bytes(line)
        return charges, end, digest

    def _append(self, lines: bytes, end: int) -> None:
        """Write lines behind the last whole one, and wait until they are safe on disk."""
        try:
            is_new = not self.path.exists()
            number = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                os.ftruncate(number, end)
                os.lseek(number, end, os.SEEK_SET)
                written = 0
                while written < len(lines):
                    written += os.write(number, lines[written:])
                os.fsync(number)
            finally:
                os.close(number)
            if is_new:
                storage.sync_folder(self.folder)
        except OSError as error:
            raise _cannot_write(self.path, error) from error


def _cannot_write(path: Path, error: OSError) -> PrivacyError:
    """Return the error for a charge that cannot be written down: then nothing is used."""
    return PrivacyError(
        f"cannot write {path}: {error.strerror or type(error).__name__}; nothing is computed from "
        "this site's rows unless what it spends is written down: make room or give permission"
    )


def _line(charge: Charge, before: str) -> bytes:
    """Return a line of the file."""
    values = {**asdict(charge), _BEFORE: before}
    sealed = {**values, "digest": of_values(values)}
    return (json.dumps(sealed, ensure_ascii=False) + "\n").encode()


def _charge_of(line: bytes, before: str) -> Charge | None:
    """Return the charge of a line; None if it is not as it was written, or follows another."""
    try:
        values = json.loads(line)
        digest = values.pop("digest")
        if digest != of_values(values) or values.pop(_BEFORE) != before:
            return None
        return Charge(**values)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
