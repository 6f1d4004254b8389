"""The verdicts on sites: how their players are asked for them, and where they stand.

A verdict is made where the site's rows are (:mod:`coplay.site.judging`) and stays there:

RUN/sites/NAME/verdict.json, mode 600   which model is best for the site, by how much
RUN/sites/NAME/page.html, mode 600      the site's own page
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from coplay.core import storage
from coplay.core.components import nearest
from coplay.core.errors import RunFolderError
from coplay.core.message import COORDINATOR, Message
from coplay.core.requests import SERVED, Evaluate, Judge
from coplay.core.space import Samples
from coplay.engines.base import Engine
from coplay.games.base import Game, State
from coplay.run.site_folders import site_folder
from coplay.run.sites import Seats
from coplay.site.judging import VERDICT
from coplay.site.verdict import Verdict

if TYPE_CHECKING:
    from coplay.run.result import Result

_SAMPLES = 2000


@dataclass(frozen=True)
class Judging:
    """How players are asked which model is best for them; nothing of what they find comes back.

    Args:
        games: Names of all games of the run.
        target: The variable by whose prediction models are judged; None for none.
        measured: Samples that are drawn of a player when it is measured.
    """

    games: Sequence[str] = ()
    target: str | None = None
    measured: int = 2000

    def ask(
        self,
        engine: Engine,
        game: Game[Any],
        name: str,
        state: State,
        seats: Seats,
        drawn: Mapping[str, Samples],
    ) -> None:
        """Let players with rows of their own find out what a game did for them.

        Where a generator serves everybody, as in MD-GAN, its samples go to each player.

        Args:
            engine: Where the players are.
            game: The rules; it has just ended.
            name: The game's name in the run.
            state: Its last state.
            seats: Everybody who takes part.
            drawn: Samples that were measured after the last round.
        """
        judging = [player for player in state.players if seats.facts[player].measures]
        if not judging:
            return
        payload = {}
        givers = [giver for giver in game.sampled_from(state) if giver in game.seats]
        for giver in givers[:1]:
            samples = drawn.get(giver)
            if samples is None:  # the run was stopped between its last round and this
                samples = _samples_of(engine, giver, self.measured, game.rounds)
            if samples is not None:
                payload[SERVED] = samples
        asks = []
        for player in judging:
            is_known = self.target is not None and self.target in seats.facts[player].learned
            target = self.target or "" if is_known else ""
            request = Judge(_SAMPLES, name, self.games or (name,), target, game.changes_draws)
            asks.append(Message(request, COORDINATOR, player, game.rounds, payload=payload))
        engine.ask(asks, "evaluation")  # one that fails has no verdict, and ends no run


def _samples_of(engine: Engine, giver: str, n: int, round: int) -> Samples | None:
    """Return samples of a seat, those that a measurement would draw; None where there are none."""
    (reply,) = engine.ask([Message(Evaluate(n, 1), COORDINATOR, giver, round)], "evaluation")
    return reply.samples().get(COORDINATOR) if isinstance(reply, Message) else None


def best(result: Result, player: str) -> Verdict:
    """Return the verdict on a site; its notes name games in which the site was lost, too.

    Raises:
        RunFolderError: There is none; the message says why.
    """
    if player not in result.players:
        known = nearest(player, result.players)
        raise RunFolderError(
            f"{result.folder} has no player {player!r}; known, nearest first: {known}"
        )
    if player in result.config.pool_players or player not in result.config.players:
        raise RunFolderError(
            f"player {player!r} was dealt its rows from one pool and kept none of its own to "
            "choose a model by, so nothing says which is best for it; give it data of its own"
        )
    if result.record.status != "finished":
        raise RunFolderError(
            f"{result.folder} is {result.record.status}; the best model is chosen once the games "
            f"are finished: 'coplay resume {result.folder}' goes on"
        )
    lost = [play.name for play in result.plays.values() if player in play.lost]
    path = site_folder(result.folder, player) / VERDICT
    if path.exists():
        try:
            values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            verdict = Verdict(**values)
        except (ValueError, TypeError) as error:
            raise storage.damaged(path, error, "play again") from error
        notes = [f"'{game}' is not compared: the site was lost in it" for game in lost]
        return replace(verdict, notes=[*verdict.notes, *notes])
    if len(lost) == len(result.plays):
        raise RunFolderError(
            f"player {player!r} was lost in {', '.join(map(repr, lost))}, so no game left it a "
            "model to choose"
        )
    raise RunFolderError(
        f"the rows that {player!r} kept to choose a model by are at the site {player!r}, and so is "
        f"its verdict: {path} is not here"
    )
