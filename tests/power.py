"""A disk that loses, when the power fails, what was not synced: names as well as contents."""

import os
import random
import stat


class PowerCut(BaseException):
    """The power failed."""


class Disk:
    """Records what is safe on disk, and fails at a chosen moment.

    A file's content is safe as it was when the file was synced, and a folder's names are as they
    were when the folder was. What was done since may be lost or kept, each thing by itself.

    Args:
        root: A folder that is there from the beginning.
        cut: Number of the event at which the power fails; None for never. Events are syncs and
            renames.
        after: Folder into which what is left then is put.
        chance: Decides what is left of what was not synced; None for nothing.
    """

    def __init__(self, root, cut=None, after=None, chance: random.Random | None = None):
        self.root = root
        self.cut = cut
        self.after = after
        self.chance = chance
        self.events = 0
        self.names: dict[int, dict[str, int]] = {}
        self.contents: dict[int, bytes] = {}
        self._open: dict[int, int] = {}
        self._replace = os.replace

    def install(self, monkeypatch):
        """Take the place of the system's calls."""
        monkeypatch.setattr("os.fsync", self.fsync)
        monkeypatch.setattr("os.replace", self.replace)

    def fsync(self, number):
        status = os.fstat(number)
        path = f"/proc/self/fd/{number}"
        if stat.S_ISDIR(status.st_mode):
            self.names[self._hold(path)] = self._listed(path)
        else:
            self.contents[self._hold(path)] = self._read(path)
        self._event()

    def replace(self, source, target):
        self._replace(source, target)
        self._event()

    def _event(self):
        self.events += 1
        if self.events == self.cut:
            self._fill(self._hold(self.root), self.after)
            raise PowerCut

    def _hold(self, path):
        """Return the number of an inode, kept open so that no other file gets the number."""
        inode = os.stat(path).st_ino
        if inode not in self._open:
            self._open[inode] = os.open(path, os.O_RDONLY)
        return inode

    def _listed(self, path):
        with os.scandir(path) as entries:
            return {entry.name: self._hold(entry.path) for entry in entries}

    @staticmethod
    def _read(path):
        with open(path, "rb") as file:
            return file.read()

    def _fill(self, inode, folder):
        """Write what is left of a folder."""
        folder.mkdir(exist_ok=True)
        safe = self.names.get(inode, {})
        now = self._listed(f"/proc/self/fd/{self._open[inode]}")
        for name in {**safe, **now}:
            kept = self._one_of(safe.get(name), now.get(name))
            if kept is None:
                continue
            if stat.S_ISDIR(os.fstat(self._open[kept]).st_mode):
                self._fill(kept, folder / name)
            else:
                (folder / name).write_bytes(self._content(kept))

    def _content(self, inode):
        safe = self.contents.get(inode, b"")
        now = self._read(f"/proc/self/fd/{self._open[inode]}")
        if self.chance is None or now == safe:
            return safe
        return now[: self.chance.randint(len(safe) if now.startswith(safe) else 0, len(now))]

    def _one_of(self, safe, now):
        return safe if self.chance is None else self.chance.choice([safe, now])

    def close(self):
        for number in self._open.values():
            os.close(number)
