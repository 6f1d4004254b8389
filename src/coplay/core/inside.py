"""Where files may go: names that become paths, and folders that lead nowhere else.

A run folder may come from somebody else. A name in it must not lead out of the folder, and a file
in it must not be a link through which something outside would be written.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from coplay.core import storage
from coplay.core.errors import CheckpointError, OutputError, RunFolderError
from coplay.core.text import visible

LONGEST_NAME = 200
"""Most bytes of a file's name without its ending; systems allow 255, endings included."""

_HARMLESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,=+-]*")
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_LISTED = 5

# Files that are appended to or emptied where they lie, so that a second name of one changes too.
_IN_PLACE = re.compile(r"lock|(rows|egress|ingress)\.jsonl|errors\.txt|.*\.partial")


def file_name(text: str) -> str:
    """Return a name for a file that no other text has, without its ending.

    A harmless text is its own name. Any other is written with its letters and digits, ``~`` and a
    digest of it, so that it leads to no other folder, means no device and is short enough.

    Args:
        text: Any text, such as the name of a variable.

    Example:
        >>> file_name("image"), file_name("/../../x"), file_name("nul")
        ('image', 'x~f8e77bfe043aa4f5', 'nul~99e6242759016035')
        >>> len(file_name("ä" * 500).encode()) <= LONGEST_NAME
        True
    """
    if is_file_name(text):
        return text
    digest = _digest(text)
    composed = unicodedata.normalize("NFC", text)
    letters = "".join(c if c.isalnum() else "-" for c in composed).strip("-")
    room = LONGEST_NAME - len(digest) - 1
    short = letters.encode("utf-8", "ignore")[:room].decode("utf-8", "ignore")
    return f"{short}~{digest}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def is_file_name(text: str) -> bool:
    """Whether a text may be the name of a file as it is, on every system."""
    fits = len(text.encode("utf-8", "surrogatepass")) <= LONGEST_NAME and not text.endswith(".")
    return fits and bool(_HARMLESS.fullmatch(text)) and not _DEVICE.fullmatch(text)


def stays_inside(name: str) -> bool:
    """Whether a name leads to a place in the folder that it is looked for in.

    Example:
        >>> stays_inside("md_gan"), stays_inside("../md_gan"), stays_inside("..")
        (True, False, False)
    """
    return name not in ("", ".", "..") and not set(name) & set("/\\:\x00")


def file_names(texts: Iterable[str]) -> dict[str, str]:
    """Return a file's name for each text; no two are alike, also where case does not count.

    Example:
        >>> names = file_names(["north", "North"])
        >>> names["north"], names["North"]
        ('north', 'North~43f853bbb5928600')
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for text in texts:
        name = file_name(text)
        if name.casefold() in taken and text not in names:
            name = f"{name[: LONGEST_NAME - 17]}~{_digest(text)}"
        taken.add(name.casefold())
        names[text] = name
    return names


def refuse_links(folder: Path, names: Collection[str] = ()) -> None:
    """Refuse a folder in which writing could change something outside it.

    The folder itself may be a link, since the user names it.

    Args:
        folder: A run's folder, or a comparison's; it need not exist.
        names: What is written there, where other things may lie beside it; by default anything.

    Raises:
        RunFolderError: It holds links, pipes or devices, or files that are written in place and
            have a second name elsewhere. The message names the first of them.
    """
    faults = []
    for place, what in _not_plain(folder):
        if not names or Path(place).parts[0].removesuffix(".partial") in names:
            faults.append(f"{place} is {what}")
    if faults:
        listed = "\n".join(f"  - {visible(line)}" for line in faults[:_LISTED])
        more = f"\n  and {len(faults) - _LISTED} more" if len(faults) > _LISTED else ""
        raise RunFolderError(
            f"{folder} holds what would let coplay write outside it:\n{listed}{more}\n"
            "expected plain files and folders; remove these, or copy what they stand for"
        )


def refuse_pipes(folder: Path) -> None:
    """Refuse a folder in which reading could go on for ever.

    Args:
        folder: A run's folder.

    Raises:
        RunFolderError: It holds pipes, sockets or devices, or links to some.
    """
    for path, _ in _entries(folder):
        try:
            kind = path.stat().st_mode
        except OSError:  # a link to nothing
            continue
        if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
            place = visible(str(path.relative_to(folder)))
            fault = f"{folder} holds {place}, which is no file but a pipe, a socket or a device"
            raise RunFolderError(f"{fault}; expected plain files and folders; remove it")


def _entries(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield everything in a folder and below it with its status; links are not followed."""
    waiting = [folder]
    while waiting:
        try:
            entries = sorted(os.scandir(waiting.pop()), key=lambda entry: entry.name)
        except OSError:  # missing, or unreadable: whoever reads or writes there says so
            continue
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:  # a run that is going on removes old checkpoints
                continue
            yield Path(entry.path), status
            if stat.S_ISDIR(status.st_mode):
                waiting.append(Path(entry.path))


def _not_plain(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the place of everything in a folder that is no plain file or folder, with its kind."""
    for path, status in _entries(folder):
        place = str(path.relative_to(folder))
        kind = status.st_mode
        if stat.S_ISLNK(kind):
            yield place, f"a link to {os.readlink(path)}"
        elif not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
            yield place, "no file but a pipe, a socket or a device"
        elif stat.S_ISREG(kind) and status.st_nlink > 1 and _IN_PLACE.fullmatch(path.name):
            yield place, "a file with a second name elsewhere (a hard link)"


def write_output(path: Path, content: bytes, remedy: str) -> None:
    """Write a file that a user asked for, whole or not at all.

    Args:
        path: Where to; missing folders are made.
        content: What to write.
        remedy: What to do where it cannot be written.

    Raises:
        OutputError: The system refuses.
    """
    try:
        if path.is_dir():
            raise OutputError(f"cannot write {path}: it is a folder; {remedy}")
        if path.exists() and not os.access(path, os.W_OK):  # it could be replaced all the same
            raise OutputError(f"cannot write {path}: it is protected from writing; {remedy}")
        partial = path.with_name(path.name + ".partial")
        if partial.is_symlink() or (partial.exists() and partial.stat().st_nlink > 1):
            raise OutputError(f"cannot write {path}: {partial} is a link; remove it")
        storage.write_atomically(path, content)
    except OSError as error:  # such as a name that is too long
        reason = reason_of(error, path.parent)
        raise OutputError(f"cannot write {path}: {reason}; {remedy}") from error
    except CheckpointError as error:
        reason = reason_of(error.__cause__, path.parent)
        raise OutputError(f"cannot write {path}: {reason}; {remedy}") from error


def make_folder(folder: Path, remedy: str) -> None:
    """Make a folder that a user asked for, unless there is one.

    Raises:
        OutputError: The system refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = reason_of(error, folder)
        raise OutputError(f"cannot write into {folder}: {reason}; {remedy}") from error


def reason_of(error: BaseException | None, folder: Path | None = None) -> str:
    """Say why the system refused to write, in its words or, of a folder, what is in its way."""
    obstacle = "" if folder is None else storage.in_the_way(folder)
    return obstacle or storage.reason_of(error)
