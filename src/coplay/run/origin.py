"""Whether a run began here: a seal that only this user of this machine can make.

A run folder may come from somebody else, and its config may name any file. Going on with it would
read that file and keep rows of it in the folder. So a run that reads files is sealed when it
begins, with a key that never leaves the user's own folder, and only with an intact seal does it go
on without being trusted. The seal also tells where the config lay, and with it classes of the
user's, which are imported only with trust all the same.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from coplay.core import storage
from coplay.core.errors import CheckpointError
from coplay.run.config import Config
from coplay.run.foreign import code_in, places_in, refuse
from coplay.run.result import Result

SEAL = "seal"
"""File of a run's seal; runs that need nothing from outside coplay have none."""


def seal(folder: Path, config: Config) -> None:
    """Note in a run's folder that the run begins here, if it needs anything from outside coplay.

    The folder of the config's file is noted too, since classes may lie there. Without a place for
    the key nothing is noted.
    """
    if not places_in(config) and not code_in(config):
        return
    home = "" if config.file is None else str(config.file.parent)
    try:
        mark = _mark(config, home, _key(create=True))
    except (OSError, RuntimeError, ValueError):  # such as a user without a home
        return
    storage.write_sealed(folder / SEAL, {"home": home, "mark": mark})


def is_sealed(folder: Path, config: Config) -> bool:
    """Whether the run began here with the same config and the same places of its files."""
    return _sealed_home(folder, config) is not None


def home_of(folder: Path, config: Config) -> Path | None:
    """Return the folder of the file with which a run began here; None if it is not known."""
    home = _sealed_home(folder, config)
    return Path(home) if home else None


def _sealed_home(folder: Path, config: Config) -> str | None:
    """Return what an intact seal says of the config's folder, perhaps nothing; None without one."""
    try:
        written = storage.read_sealed(folder / SEAL)
        home = str(written.get("home"))
        mark = str(written.get("mark"))
        intact = hmac.compare_digest(mark, _mark(config, home, _key(create=False)))
    except (CheckpointError, OSError, ValueError, TypeError, RuntimeError):  # anybody wrote it
        return None
    return home if intact else None


def refuse_untrusted(result: Result) -> None:
    """Refuse to go on with a run that somebody else may have made, if that would do harm.

    Raises:
        TrustError: The run is not trusted, and names code outside coplay, or files and clusters
            though it did not begin here.
    """
    if result.trust:
        return
    code = code_in(result.config)
    if code:
        refuse("names code from outside coplay", code, str(result.folder))
    places = places_in(result.config)
    if places and not is_sealed(result.folder, result.config):
        fault = "did not begin here, or what it used has moved, and would use"
        if _is_damaged(result.folder / SEAL):
            fault = (
                f"has a damaged seal ({result.folder / SEAL}), so that nothing shows whether it "
                "began here, and would use"
            )
        refuse(fault, places, str(result.folder))


def _is_damaged(path: Path) -> bool:
    """Whether a seal is there and is not what was written."""
    if not path.exists():
        return False
    try:
        storage.read_sealed(path)
    except CheckpointError:
        return True
    return False


def _mark(config: Config, home: str, key: bytes) -> str:
    """Return what stands for a config, its folder and the absolute paths of what it reads."""
    values = config.to_dict()
    for section in ("engine", "checkpoint"):  # they cannot change what a run gives
        values.pop(section, None)
    text = json.dumps([values, home, _absolute(places_in(config))], sort_keys=True)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _absolute(places: Sequence[str]) -> list[str]:
    """Return places as paths: the same relative path means another file from another folder."""
    paths = []
    for place in places:
        _, _, text = place.partition(": ")
        path = Path(text).expanduser()
        # the name of a data set on a hub is no path, and the same from everywhere
        paths.append(os.path.realpath(path) if path.exists() else text)
    return paths


def _key(*, create: bool) -> bytes:
    """Return the user's key; it is made at its first use.

    Raises:
        OSError: There is none and it cannot be made, or it may not be made.
    """
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    path = Path(home) / "coplay" / "key"
    if create and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        mine = path.with_name(f"key.{secrets.token_hex(8)}")
        with open(os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
        # two runs may begin at once: the first to come keeps its key, and both use it
        try:
            os.link(mine, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without second names
            mine.replace(path)
        mine.unlink(missing_ok=True)
    key = path.read_bytes()
    if len(key) < 32:
        raise OSError(f"{path} is damaged; remove it")
    return key
