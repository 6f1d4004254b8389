"""Files that survive a crash and a power cut, and that show when they are damaged.

A file is replaced in one step, after its content and before its name is safe on disk. Records are
JSON that holds a digest of itself; of every other file the digest stands in a record.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from coplay.core.digests import of_bytes, of_values
from coplay.core.errors import CheckpointError, WriteError
from coplay.core.text import json_text

_DIGEST = "digest"
"""Name of the entry in which a JSON file has the digest of its other entries."""

_ABOUT = "coplay"
"""Name of the entry in the header of a safetensors file that says what the file is of.

There is only one, because safetensors writes several in any order.
"""

_LONGEST_HEADER = 100_000_000
"""Bytes; safetensors refuses longer ones."""

# ------------------------------------------------------------------------------------- writing


def write_atomically(
    path: Path, content: bytes, private: bool = False, sync_name: bool = True
) -> None:
    """Write a file so that a reader gets either the old content or the new.

    That holds even if this process is killed, or the power fails, while it writes.

    Args:
        path: The file.
        content: What it will hold.
        private: Whether only the owner of the process may read it.
        sync_name: Whether its name is safe on disk at the end. Who writes many files into one
            folder calls :func:`sync_folder` once instead.

    Raises:
        WriteError: The system refused (disk full, no permission); no half-written file is left.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        make_folder(path.parent)
        with open(partial, "wb", opener=opened_privately if private else None) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        if sync_name:
            sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise cannot_write(path, error) from error


def opened_privately(path: str, flags: int) -> int:
    """Open a file that only its owner may read, for the ``opener`` of :func:`open`."""
    return os.open(path, flags, 0o600)


def append_privately(path: Path, text: str) -> None:
    """Add a text to a file that only its owner may read; a refusal by the system is ignored."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8", opener=opened_privately) as file:
            file.write(text)


def in_the_way(folder: Path) -> str:
    """Say what lies where a folder is to be, or one above it; empty if nothing does."""
    for place in (folder, *folder.parents):
        if place.is_dir():
            return ""
        if place.is_symlink() and not place.exists():
            return f"{place} is a link to nothing, expected a folder"
        if place.exists():
            return f"{place} is a file, expected a folder"
    return ""


def cannot_write(path: Path, error: OSError) -> WriteError:
    """Return the error for a file that the system refuses to write."""
    obstacle = in_the_way(path.parent)
    if path.is_dir():
        obstacle = "there is a folder of this name, expected a file"
    if obstacle:
        return WriteError(
            f"cannot write {path}: {obstacle}; what was written before is intact: move it away, "
            "then try again"
        )
    return WriteError(
        f"cannot write {path}: {error.strerror or error}; what was written before is intact: "
        "make room or give permission, then try again"
    )


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, so that a power cut does not take it away."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are safe on disk."""
    if os.name == "nt":  # Windows opens no folders
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Claim a folder, so that nobody else plays in it.

    The operating system frees the lock when this process ends, however it ends. A folder in which
    nothing but the lock was left, and that did not exist before, is removed again.

    Raises:
        CheckpointError: Somebody else holds the lock, or the folder cannot be written to.
    """
    new = _missing_folders(folder)
    lock = _locked_file(folder)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if [path.name for path in folder.iterdir()] == ["lock"]:
                (folder / "lock").unlink()
                for path in new:
                    path.rmdir()
        lock.release()


def _missing_folders(folder: Path) -> list[Path]:
    """Return the folder and those above it that do not exist, innermost first."""
    places = (folder, *folder.parents)
    return [path for path in places if not path.exists()]


def _locked_file(folder: Path) -> Any:
    """Return the lock of a folder, held."""
    error: OSError | None = None
    for _ in range(3):  # whoever gives up a new folder removes it, perhaps just now
        try:
            make_folder(folder)
            # without flock there is no lock that ends with its process
            lock = FileLock(folder / "lock", blocking=False, fallback_to_soft=False)
            lock.acquire()
            return lock
        except Timeout:
            raise CheckpointError(
                f"{folder} is being played by another process, or by another thread of this one; "
                "wait for it or stop it, or name another folder with --out"
            ) from None
        except FileNotFoundError as reason:
            error = reason
        except OSError as reason:
            error = reason
            break
    assert error is not None
    obstacle = in_the_way(folder)
    if (folder / "lock").is_dir():
        obstacle = f"{folder / 'lock'} is a folder, expected a file"
    words = f"{obstacle}; move it away" if obstacle else f"{reason_of(error)}; give permission"
    raise WriteError(f"cannot write into {folder}: {words}, or name another folder") from error


# ---------------------------------------------------------------------------------------- JSON


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, indented so that people can read it."""
    text = json_text(json.dumps(value, indent=1, ensure_ascii=False)) + "\n"
    write_atomically(path, text.encode())


def write_sealed(
    path: Path, values: Mapping[str, Any], private: bool = False, sync_name: bool = True
) -> None:
    """Write a record as JSON that holds a digest of itself, for :func:`read_sealed`.

    Args:
        path: The file.
        values: Plain values by name.
        private: Whether only the owner of the process may read it.
        sync_name: As in :func:`write_atomically`.
    """
    plain = json.loads(json.dumps(dict(values)))
    plain.pop(_DIGEST, None)
    sealed = plain | {_DIGEST: of_values(plain)}
    text = json_text(json.dumps(sealed, indent=1, ensure_ascii=False)) + "\n"
    write_atomically(path, text.encode(), private, sync_name)


def read_json(path: Path, remedy: str = "") -> Any:
    """Read a JSON file.

    Args:
        path: The file.
        remedy: What to do about damage, for the error.

    Raises:
        CheckpointError: It is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        what_to_do = remedy or "restore it from a copy"
        raise CheckpointError(f"{path} was deleted; {what_to_do}") from None
    except OSError as error:
        raise _cannot_read(path, error, remedy) from error
    except (ValueError, RecursionError) as error:
        raise damaged(path, error, remedy) from error


def read_sealed(path: Path, remedy: str = "") -> dict[str, Any]:
    """Read a record that :func:`write_sealed` wrote.

    Args:
        path: The file.
        remedy: What to do about damage, for the error.

    Raises:
        CheckpointError: It is missing, or is not what was written.
    """
    return check_seal(path, read_json(path, remedy), remedy)


def check_seal(path: Path, values: Any, remedy: str = "") -> dict[str, Any]:
    """Return what a record holds, without its digest.

    Raises:
        CheckpointError: It is not what :func:`write_sealed` wrote.
    """
    if not isinstance(values, dict):
        raise damaged(path, "expected a record with names", remedy)
    content = dict(values)
    if content.pop(_DIGEST, None) != of_values(content):
        raise damaged(path, "it does not have the digest that it names", remedy)
    return content


def _cannot_read(path: Path, error: OSError, remedy: str) -> CheckpointError:
    """Return the error for a file that the system refuses to read."""
    if path.is_dir():
        remove = "remove it, then "
        what_to_do = remedy or "restore the file from a copy"
        return CheckpointError(f"{path} is a folder, expected a file; {remove}{what_to_do}")
    return CheckpointError(f"cannot read {path}: {reason_of(error)}; give permission to read it")


def reason_of(error: BaseException | None) -> str:
    """Say in the system's words why it refused to read or write."""
    strerror = error.strerror if isinstance(error, OSError) else None
    return strerror or str(error)


def damaged(path: Path, fault: object, remedy: str = "") -> CheckpointError:
    """Return the error for a file that is not what was written."""
    what_to_do = remedy or "restore it from a copy"
    return CheckpointError(f"{path} is damaged or was changed ({fault}); {what_to_do}")


# ------------------------------------------------------------------------------------- tensors


def read_bytes(path: Path, digest: str, remedy: str = "") -> bytes:
    """Read a file of which the digest is known.

    Args:
        path: The file.
        digest: What :func:`coplay.core.digests.of_bytes` gave when it was written.
        remedy: What to do about damage, for the error.

    Raises:
        CheckpointError: It is missing, or is not what was written.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        what_to_do = remedy or "restore it from a copy"
        raise CheckpointError(f"{path} was deleted; {what_to_do}") from None
    except OSError as error:
        raise _cannot_read(path, error, remedy) from error
    if of_bytes(content) != digest:
        raise damaged(path, "its digest is not the one on record", remedy)
    return content


def save_tensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    about: Mapping[str, str | int] | None = None,
    private: bool = False,
    sync_name: bool = True,
) -> str:
    """Write a flat mapping of tensors as safetensors, atomically.

    Equal tensors give equal bytes.

    Args:
        path: The file.
        tensors: Tensors by name.
        about: What the file is of, to be read by :func:`about`.
        private: Whether only the owner of the process may read it.
        sync_name: As in :func:`write_atomically`.

    Returns:
        The file's digest.
    """
    contiguous = {name: tensor.detach().contiguous() for name, tensor in sorted(tensors.items())}
    header = None if about is None else {_ABOUT: json.dumps(dict(about), sort_keys=True)}
    content = save(contiguous, header)
    write_atomically(path, content, private, sync_name)
    return of_bytes(content)


def load_tensors(path: Path, digest: str | None = None, remedy: str = "") -> dict[str, Tensor]:
    """Read a safetensors file.

    Args:
        path: The file.
        digest: Its digest, if it is on record.
        remedy: What to do about damage, for the error.

    Raises:
        CheckpointError: It is missing or damaged.
    """
    try:
        content = path.read_bytes() if digest is None else read_bytes(path, digest, remedy)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
    return unpacked(path, content)


def unpacked(path: Path, content: bytes) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, in the order of their names.

    Args:
        path: The file, for the error.
        content: What it holds.

    Raises:
        CheckpointError: It is damaged.
    """
    try:
        tensors = load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
    # sorted, because the file's own order is not stable
    return dict(sorted(tensors.items()))


def about(path: Path) -> dict[str, Any]:
    """Return what a safetensors file says that it is of; empty if it says nothing.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(min(length, _LONGEST_HEADER))
    try:
        entries = json.loads(json.loads(header)["__metadata__"][_ABOUT])
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return entries if isinstance(entries, dict) else {}


# --------------------------------------------------------------------------------------- names


def shown_file(home: Path, round: int) -> Path:
    """Return the file of the samples that a game shows of a round."""
    return home / "samples" / f"round-{round:06d}.safetensors"
