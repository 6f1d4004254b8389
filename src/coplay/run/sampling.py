"""A finished run's player with what it learned, to draw from."""

from __future__ import annotations

from pathlib import Path

from coplay.core.components import nearest
from coplay.core.errors import RunFolderError
from coplay.player import Player
from coplay.run.result import Result, space_from_json


def load_player(run: Path, player: str, game: str | None = None) -> Player:
    """A player of a finished run, or a seat such as a server, with its model and without any data.

    Args:
        run: The run's folder.
        player: The player's name, or the seat's.
        game: Name of the game; the main one by default.

    Raises:
        RunFolderError: There is no such run, game, player or model, or the model only judges.
    """
    result = Result.load(run)
    game = game or result.main.name
    if game not in result.plays:
        raise RunFolderError(f"{run} has no game {game!r}; it has {', '.join(result.plays)}")
    rules = result.game(game)
    names = [*rules.seats, *rules.players_of(result.config.player_names)]
    if player not in names:
        elsewhere = [name for name, who in _places(result).items() if player in who]
        hint = f"; it has in {', '.join(elsewhere)}, see --game" if elsewhere else ""
        raise RunFolderError(
            f"{run} has no player {player!r} in {game!r}{hint}; known, nearest first: {nearest(player, names)}"
        )
    path = result.plays[game].folder / "models" / f"{player}.safetensors"
    if not path.exists():
        if result.record["status"] == "finished":
            raise RunFolderError(f"player {player!r} was lost in {game!r} before its end; it left no model")
        raise RunFolderError(f"{path} does not exist; '{game}' is not finished, 'coplay resume {run}' goes on")
    config, seat = result.config, player in rules.seats
    learned = result.record["data"]["learned"][config.player_names[0] if seat else player]
    space = space_from_json(result.record["data"]["space"]).only(learned)
    model = result.model(None if seat else player)
    unobserved = () if seat else config.players[player].unobserved
    found = Player(player, space, space.empty(), model, config.seed, unobserved=unobserved)
    found.load(path)
    if not getattr(model, "generates", True):
        raise RunFolderError(
            f"player {player!r} only judges in {game!r} and has no generator; sample from {', '.join(result.measured[game])}"
        )
    return found


def _places(result: Result) -> dict[str, list[str]]:
    """Who has a model, by game."""
    games = {name: result.game(name) for name in result.plays}
    return {name: [*g.seats, *g.players_of(result.config.player_names)] for name, g in games.items()}
