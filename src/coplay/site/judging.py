"""The verdict of a site, made where its rows are, wherever that is.

After each game of a run its players are asked to judge (:class:`coplay.core.requests.Judge`). What
comes of it stays in the site's own folder, which only its owner may read:

NAME/judged/GAME.safetensors   samples of the model that a game left, and log p of rows by it
NAME/verdict.json              which model is best for the site, by how much
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tensordict import TensorDict
from torch import Tensor, isfinite

from coplay.core import storage
from coplay.core.errors import FAILURES
from coplay.core.inside import file_name
from coplay.core.measures import Judged
from coplay.core.nesting import nest, unnest
from coplay.core.requests import Judge
from coplay.core.space import Samples, pick, tensors
from coplay.core.streams import stream
from coplay.core.surroundings import own_settings
from coplay.models.likelihood import log_prob
from coplay.site.holdings import Holdings
from coplay.site.losses import losses_on
from coplay.site.verdict import Verdict, verdict

VERDICT = "verdict.json"
"""File, in the site's own folder of a run, of its verdict."""

_CANDIDATES = "judged"
_LOG_P = "log p"
_DRAWS = 32  # of the encoder, where log p takes importance weighting


@dataclass(frozen=True)
class Candidate:
    """The model that a game left a site.

    Args:
        samples: Samples of it; empty where there are none to judge.
        log_p: Log p of each row that is kept for the verdict, shape (n,); None where it has none.
        note: Why there is nothing to judge, in a sentence without a full stop.
    """

    samples: Samples
    log_p: Tensor | None = None
    note: str = ""

    @classmethod
    def of(
        cls, holdings: Holdings, player: Judged, request: Judge, served: Samples | None
    ) -> Candidate:
        """Return what there is to judge after a game."""
        nothing = TensorDict({}, batch_size=[0])
        if not request.changes_draws:
            note = (
                f"'{request.game}' changes nothing in what draws your samples, and is not compared"
            )
            return cls(nothing, note=note)
        if served is not None:
            return cls(player.variables.restrict(served))
        if not player.learned or not getattr(player.model, "generates", True):
            return cls(nothing, note=f"'{request.game}' left you no model that draws samples")
        samples = player.draw(request.n, 0, "verdict")
        return cls(samples, _log_p(player, holdings.chosen_on))

    def write(self, path: Path) -> None:
        """Write it for the site alone."""
        parts: dict[str, Mapping[str, Tensor]] = {"samples": tensors(self.samples)}
        if self.log_p is not None:
            parts["rows"] = {_LOG_P: self.log_p}
        storage.save_tensors(path, nest(parts), {"note": self.note}, private=True)

    @classmethod
    def read(cls, path: Path) -> Candidate:
        """Read what :meth:`write` wrote."""
        parts = unnest(storage.load_tensors(path))
        values = parts.get("samples", {})
        n = len(next(iter(values.values()))) if values else 0
        note = str(storage.about(path).get("note", ""))
        return cls(TensorDict(values, batch_size=[n]), parts.get("rows", {}).get(_LOG_P), note)


def write_privately(path: Path, text: str) -> None:
    """Write a file anew, in a folder of its own, that only its owner may read."""
    make_private_folder(path.parent)
    storage.write_atomically(path, text.encode(), private=True)


def make_private_folder(folder: Path) -> None:
    """Make a folder that only its owner may enter."""
    storage.make_folder(folder)
    folder.chmod(0o700)


@own_settings(threads=1)
def judge(
    holdings: Holdings, player: Judged, request: Judge, served: Samples | None, folder: Path
) -> None:
    """Keep what a game left a site, and decide anew between all games so far.

    A verdict that fails says so; it never ends a run.

    Args:
        holdings: The site's rows.
        player: The site's player, at the end of a game.
        request: What was asked.
        served: Samples of a generator that serves everybody; None for the player's own model.
        folder: The site's own folder.
    """
    make_private_folder(folder)
    make_private_folder(folder / _CANDIDATES)
    try:
        candidate = Candidate.of(holdings, player, request, served)
    except FAILURES as error:  # a model is foreign code
        nothing = TensorDict({}, batch_size=[0])
        note = f"'{request.game}' is not compared: it failed with {type(error).__name__}: {error}"
        candidate = Candidate(nothing, note=note)
    candidate.write(_file(folder, request.game))
    there = _there(folder, request.games)
    while True:
        judged = _decided(holdings, player.name, request.target, folder, there)
        text = json.dumps(judged.json(), ensure_ascii=False, indent=1) + "\n"
        write_privately(folder / VERDICT, text)
        before, there = there, _there(folder, request.games)
        if there == before:  # else another game, played side by side with this one, just ended
            return


def _file(folder: Path, game: str) -> Path:
    return folder / _CANDIDATES / f"{file_name(game)}.safetensors"


def _there(folder: Path, games: Sequence[str]) -> list[str]:
    """Return the games that have left something to judge, in their order."""
    return [game for game in games if _file(folder, game).exists()]


def _decided(
    holdings: Holdings, name: str, target: str, folder: Path, games: Sequence[str]
) -> Verdict:
    """Return the verdict on what some games left."""
    rows = holdings.chosen_on
    try:
        candidates = {game: Candidate.read(_file(folder, game)) for game in games}
        notes = [each.note for each in candidates.values() if each.note]
        judged = {game: each for game, each in candidates.items() if not each.note}
        if not judged:
            reason = "no game left it a model that generates"
            return Verdict(name, n=len(rows), reason=reason, notes=notes)
        # as many of each: more samples teach more, whatever they are samples of
        fewest = slice(min(len(each.samples) for each in judged.values()))
        samples = {game: pick(each.samples, fewest) for game, each in judged.items()}
        log_p = {game: each.log_p for game, each in judged.items() if each.log_p is not None}
        losses = losses_on(rows, holdings.space, samples, target or None, log_p)
        if isinstance(losses, str):
            return Verdict(name, n=len(rows), reason=losses, notes=notes)
        return replace(verdict(name, losses, holdings.chosen_units), notes=notes)
    except FAILURES as error:
        # the words of an error may quote a row; the file is the site's own
        return Verdict(name, reason=f"it failed with {type(error).__name__}: {error}")


def _log_p(player: Judged, rows: Samples) -> Tensor | None:
    """Return log p of each row by a player's model; None where it has none."""
    space = player.variables
    present = tensors(rows)
    if any(v not in present or not space[v].present(present[v]).all() for v in space):
        return None
    generator = stream(player.seed, "verdict", 0, player.name)
    estimate = log_prob(player.model, space.restrict(rows).clone(), _DRAWS, generator)
    if estimate is None or not isfinite(estimate.value).all():
        return None
    return estimate.value
