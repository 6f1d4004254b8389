"""The verdict on each site whose rows were read in this process, and what is kept of it there.

RUN/sites/NAME/verdict.json, mode 600   which model is best for the site, by how much
RUN/sites/NAME/page.html, mode 600      the site's own page
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from coplay.core import storage
from coplay.core.components import nearest
from coplay.core.errors import FAILURES, RunFolderError
from coplay.core.space import Samples, tensors
from coplay.core.streams import stream
from coplay.core.surroundings import own_settings
from coplay.models.likelihood import log_prob
from coplay.player import Player
from coplay.run.own_data import OwnData
from coplay.run.site_folders import site_folder
from coplay.site.holdings import Holdings
from coplay.site.losses import losses_on
from coplay.site.verdict import Verdict, verdict

if TYPE_CHECKING:
    from coplay.run.result import Result

_SAMPLES = 2000
_DRAWS = 32  # of the encoder, where log p takes importance weighting


def judge(result: Result, own: Mapping[str, OwnData]) -> None:
    """Write the verdict of each site whose rows were read in this process into its own folder.

    A verdict that fails says so; it never ends a run.
    """
    for name, site in own.items():
        if site.held is None:
            continue
        try:
            judged = _judged(result, name, site.held)
        except FAILURES as error:
            # the words of an error may quote a row; the file is the site's own
            judged = Verdict(name, reason=f"it failed with {type(error).__name__}: {error}")
        text = json.dumps(judged.json(), ensure_ascii=False, indent=1) + "\n"
        write_privately(site_folder(result.folder, name) / "verdict.json", text)


def write_privately(path: Path, text: str) -> None:
    """Write a file anew, in a folder of its own, that only its owner may read."""
    storage.make_folder(path.parent)
    path.parent.chmod(0o700)
    storage.write_atomically(path, text.encode(), private=True)


def best(result: Result, player: str) -> Verdict:
    """Return the verdict on a site.

    Raises:
        RunFolderError: There is none; the message says why.
    """
    if player not in result.players:
        known = nearest(player, result.players)
        raise RunFolderError(
            f"{result.folder} has no player {player!r}; known, nearest first: {known}"
        )
    path = site_folder(result.folder, player) / "verdict.json"
    if path.exists():
        try:
            values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return Verdict(**values)
        except (ValueError, TypeError) as error:
            raise storage.damaged(path, error, "play again") from error
    section = result.config.players.get(player)
    if section is None or not section.has_own_data:
        raise RunFolderError(
            f"player {player!r} was dealt its rows from one pool and kept none of its own to "
            "choose a model by, so nothing says which is best for it; give it data of its own"
        )
    if result.record.status != "finished":
        raise RunFolderError(
            f"{result.folder} is {result.record.status}; the best model is chosen once the games "
            f"are finished: 'coplay resume {result.folder}' goes on"
        )
    raise RunFolderError(
        f"the rows that {player!r} kept to choose a model by are at the site {player!r}, and so is "
        f"its verdict: {path} is not here"
    )


@own_settings(threads=1)
def _judged(result: Result, name: str, held: Holdings) -> Verdict:
    """Return the verdict on one site."""
    from coplay.run.sampling import load_player

    rows = held.chosen_on
    samples: dict[str, Samples] = {}
    log_p: dict[str, Tensor] = {}
    for play in result.plays.values():
        if name in play.lost or name not in result.sampled_from[play.name]:
            continue
        player = load_player(result.folder, name, play.name, result.trust)
        samples[play.name] = player.draw(_SAMPLES, 0, "verdict")
        known = _log_p(player, rows)
        if known is not None:
            log_p[play.name] = known
    if not samples:
        return Verdict(name, n=len(rows), reason="no game left it a model that generates")
    target = result.config.measure.target or ""
    losses = losses_on(rows, held.space, samples, target or None, log_p)
    if isinstance(losses, str):
        return Verdict(name, n=len(rows), reason=losses)
    return verdict(name, losses, held.chosen_units)


def _log_p(player: Player, rows: Samples) -> Tensor | None:
    """Return log p of each row by a player's model; None where it has none."""
    space = player.variables
    present = tensors(rows)
    if any(v not in present or not space[v].present(present[v]).all() for v in space):
        return None
    generator = stream(player.seed, "verdict", 0, player.name)
    estimate = log_prob(player.model, space.restrict(rows).clone(), _DRAWS, generator)
    if estimate is None or not torch.isfinite(estimate.value).all():
        return None
    return estimate.value
