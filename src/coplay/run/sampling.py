"""Load a player of a finished run, to draw samples from it."""

from __future__ import annotations

from pathlib import Path

from coplay.core import checkpoints, remedies, storage
from coplay.core.components import nearest
from coplay.core.errors import RunFolderError
from coplay.core.inside import file_name
from coplay.core.player_files import PlayerFile
from coplay.core.player_folder import MODELS, PlayerFolder
from coplay.core.surroundings import own_settings
from coplay.player import Player
from coplay.run.checkpoint import Checkpoint
from coplay.run.new_model import new_model
from coplay.run.result import Result
from coplay.run.rules_of import rules_for
from coplay.run.site_folders import site_home


@own_settings()
def load_player(run: Path, player: str, game: str | None = None, trust: bool = False) -> Player:
    """Load a player of a finished run, or a seat such as a server, with its model but no data.

    Args:
        run: The run's folder.
        player: The player's name, or the seat's.
        game: Name of the game; the main one by default.
        trust: Whether a class outside coplay may be imported for its model.

    Returns:
        The player, ready to draw.

    Raises:
        TrustError: The model takes code from outside coplay, and ``trust`` is not given.
        RunFolderError: There is no such run, game, player or model, or the model cannot generate.
        CheckpointError: The model was deleted, is damaged, or is another player's.

    Example:
        >>> import coplay
        >>> from coplay.core.temporary import temporary_folder
        >>> config = coplay.Config.from_dict({
        ...     "players": {"north": {}, "south": {}}, "model": "exponential_family",
        ...     "game": {"name": "sample_exchange", "rounds": 2}, "measure": {"metrics": []}})
        >>> folder = temporary_folder("example") / "run"
        >>> _ = coplay.Federation(config).run(folder)
        >>> len(load_player(folder, "north").draw(100, 0, "my figure"))
        100
    """
    result = Result.load(run, trust)
    game = game or result.main.name
    if game not in result.plays:
        raise RunFolderError(f"{run} has no game {game!r}; it has {', '.join(result.plays)}")
    _check_plays(result, player, game)
    loaded = _loaded(result, player, game)
    if not getattr(loaded.model, "generates", True):
        others = ", ".join(result.sampled_from[game])
        fault = f"player {player!r} only judges in {game!r} and has no generator"
        raise RunFolderError(f"{fault}; sample from {others}")
    rules = result.game(game)
    models = {}
    for name in result.config.player_names if rules.shows_others else ():
        if name != player and _has_model(result, name, game):
            models[name] = _loaded(result, name, game).model
    rules.finished(loaded, models)
    return loaded


def _loaded(result: Result, player: str, game: str) -> Player:
    """Return a player with the state of its checkpoint."""
    checkpoint = _checkpoint(result, player, game)
    record = result.record
    names = result.config.player_names
    if player in result.game(game).seats:
        model = new_model(result, None)
        learned = record.data.learned[names[0]]
        unobserved: tuple[str, ...] = ()
    else:
        model = new_model(result, player)
        learned = record.data.learned[player]
        unobserved = tuple(
            record.data.unobserved.get(player, result.config.players[player].unobserved)
        )
    space = record.data.space.only(learned)
    loaded = Player(
        player,
        space,
        space.empty(),
        model,
        result.config.seed,
        unobserved=unobserved,
    )
    loaded.rules = rules_for(result.config, player, record.data.space, loaded.variables)
    rules = result.game(game)
    rules.ready(loaded, names)
    file, digest = _file(result, player, game, checkpoint)
    loaded.load(file.path, file.read(digest, remedies.play_again(result.folder)))
    return loaded


def _has_model(result: Result, player: str, game: str) -> bool:
    """Whether what a player learned lies in the run's folder."""
    last = Checkpoint.last(result.plays[game].folder)
    if last is None or player not in last.names:
        return False
    try:
        return _file(result, player, game, last)[0].path.exists()
    except RunFolderError:  # it is at a site elsewhere
        return False


def _check_plays(result: Result, player: str, game: str) -> None:
    """Refuse a name that takes no part in a game."""
    parties = _parties(result, game)
    if player in parties:
        return
    elsewhere = [name for name in result.plays if player in _parties(result, name)]
    hint = f"; it has in {', '.join(elsewhere)}, see --game" if elsewhere else ""
    known = f"known, nearest first: {nearest(player, parties)}"
    raise RunFolderError(f"{result.folder} has no player {player!r} in {game!r}{hint}; {known}")


def _parties(result: Result, play: str) -> list[str]:
    """Return the names of the seats and players of a game."""
    game = result.game(play)
    return [*game.seats, *game.players_of(result.config.player_names)]


def _checkpoint(result: Result, player: str, game: str) -> Checkpoint:
    """Return the checkpoint of a finished game that has what a player learned.

    Raises:
        RunFolderError: The game is not finished, or the player was lost.
    """
    play = result.plays[game]
    last = Checkpoint.last(play.folder)
    if last is None or not last.finished:
        if result.record.status == "finished":
            path = play.folder / checkpoints.LAST
            fault = "it does not say that the game is finished"
            raise storage.damaged(path, fault, remedies.play_again(result.folder))
        path = play.folder / MODELS / f"{file_name(player)}.safetensors"
        unfinished = f"{path} does not exist; '{game}' is not finished"
        raise RunFolderError(f"{unfinished}, 'coplay resume {result.folder}' goes on")
    if player not in last.names:
        lost = f"player {player!r} was lost in {game!r} before its end"
        raise RunFolderError(f"{lost}; it left no model")
    return last


def _file(result: Result, player: str, game: str, last: Checkpoint) -> tuple[PlayerFile, str]:
    """Return the file of a model and its digest, as the coordinator or the site has it.

    Raises:
        RunFolderError: The model is at a site whose files are not here.
    """
    if player not in last.at_sites:
        return last.file(result.plays[game].folder, player), last.models[player]
    home = site_home(result.folder, player, game)
    file = PlayerFolder(home, player).model(last.round)
    if not file.note_path.exists():
        raise RunFolderError(
            f"the model of {player!r} is at the site {player!r}: {file.path} is not here; ask that "
            f"site: 'coplay sample RUN --player {player}' there"
        )
    return file, str(file.note()["model"])
