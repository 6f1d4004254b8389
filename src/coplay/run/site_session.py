"""What a player leaves from one message to the next, where each is answered by a new process.

It lies in the site's own folder of the game, for its owner alone: tensors in one file, and a sealed
note that names it and says what the player was asked before. The note is replaced in one step, so
that a kill leaves the state before or the state after.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tensordict import TensorDict
from torch import Tensor

from coplay.core import storage
from coplay.core.digests import of_bytes
from coplay.core.errors import CheckpointError
from coplay.core.history import History
from coplay.core.message import Request
from coplay.core.nesting import nest, unnest
from coplay.core.player_files import PlayerState
from coplay.core.space import tensors
from coplay.player import Player
from coplay.site.audits.in_play import Auditor
from coplay.site.border import SiteBorder

NOTE = "session.json"
"""File, in a site's folder of a game, that names the state after the last message."""

ANSWER = "session.answer"
"""File beside it: what was answered last, of what is no move, in case it did not arrive."""

_REMEDY = "let the coordinator begin again from its last checkpoint: coplay serve --resume"
_PLAYER = "player"


@dataclass(frozen=True)
class Answered:
    """What was answered last.

    Args:
        asked: Digest of the bytes of the message.
        answer: The bytes of the answer; None for a move, which is answered once.
    """

    asked: str
    answer: bytes | None


def keep_session(
    player: Player, home: Path, sitting: str, number: int, answered: Answered | None = None
) -> str:
    """Write a player's state after a message, and return the name of its file.

    Args:
        player: The player.
        home: The site's folder in the game.
        sitting: The sitting of the coordinator.
        number: The message's place in it.
        answered: What was asked and answered; None for a beginning.
    """
    state: dict[str, Mapping[str, Tensor]] = {_PLAYER: player.state.tensors()}
    values: dict[str, Any] = {
        "sitting": sitting,
        "number": number,
        "history": player.history.plain(),
        "log": player.log.plain(),
    }
    if isinstance(player.border, SiteBorder):
        values["ingress"] = player.border.ingress.plain()
    if isinstance(player.watching, Auditor):
        round, sent = player.watching.collected
        values["audited"] = {"round": round, "sets": [len(each) for each in sent]}
        for place, samples in enumerate(sent):
            state[f"sent {place}"] = tensors(samples)
    if answered is not None and answered.answer is not None:
        storage.write_atomically(home / ANSWER, answered.answer, private=True)
        values |= {"asked": answered.asked, "answer": of_bytes(answered.answer)}
    flat = nest(state)
    # files sort them, and a game may draw in the order that it has
    values["order"] = list(flat)
    path = home / f"session-{number:09d}.safetensors"
    digest = storage.save_tensors(path, flat, private=True)
    values |= {"file": path.name, "tensors": digest}
    storage.write_sealed(home / NOTE, values, private=True)
    for other in home.glob("session-*.safetensors"):
        if other != path:
            with contextlib.suppress(OSError):
                other.unlink()
    return path.name


def answered_before(home: Path, sitting: str, number: int, body: bytes) -> bytes | None:
    """Return what was answered to the same message, if it was the last and no move.

    The coordinator sends it again where a node was killed before its answer was on its way.

    Args:
        home: The site's folder in the game.
        sitting: The sitting of the coordinator.
        number: The message's place in it.
        body: Its bytes.

    Raises:
        CheckpointError: The note is damaged.
    """
    if not (home / NOTE).exists():
        return None
    note = storage.read_sealed(home / NOTE, _REMEDY)
    if (note.get("sitting"), note.get("number")) != (sitting, number):
        return None
    if note.get("asked") != of_bytes(body):
        return None
    return storage.read_bytes(home / ANSWER, str(note["answer"]), _REMEDY)


def last_number(home: Path) -> int:
    """Return the place of the last message whose state was kept; 0 where none was."""
    if not (home / NOTE).exists():
        return 0
    return int(storage.read_sealed(home / NOTE, _REMEDY)["number"])


def forget_session(home: Path) -> None:
    """Forget the state of a game that begins anew; its checkpoints stay."""
    (home / NOTE).unlink(missing_ok=True)
    (home / ANSWER).unlink(missing_ok=True)
    for path in home.glob("session-*.safetensors"):
        path.unlink(missing_ok=True)


def take_session(player: Player, home: Path, sitting: str, known: Iterable[type[Request]]) -> int:
    """Give a player that was just made the state after its last message; return its number.

    Args:
        player: The player.
        home: The site's folder in the game.
        sitting: The sitting of the coordinator.
        known: The kinds of request that the player may be asked.

    Raises:
        CheckpointError: It is missing or damaged, or of another sitting.
        ModelError: It does not fit the model.
    """
    note = storage.read_sealed(home / NOTE, _REMEDY)
    if note.get("sitting") != sitting:
        raise CheckpointError("this game was not begun in this sitting of the coordinator")
    path = home / str(note["file"])
    flat = storage.load_tensors(path, str(note["tensors"]), _REMEDY)
    try:
        parts = unnest({name: flat[name] for name in note["order"]})
        player.load(path, PlayerState.of(parts[_PLAYER]))
        player.history = History.from_plain(note["history"], known)
        player.log.take(note["log"])
        if isinstance(player.border, SiteBorder):
            player.border.ingress.take(note["ingress"])
        if isinstance(player.watching, Auditor):
            audited = note["audited"]
            sent = []
            for place, count in enumerate(audited["sets"]):
                sent.append(TensorDict(parts[f"sent {place}"], batch_size=[count]))
            player.watching.take(audited["round"], sent)
    except KeyError as error:
        raise storage.damaged(home / NOTE, f"{error} is missing", _REMEDY) from error
    return int(note["number"])
