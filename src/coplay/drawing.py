"""Draw from what a finished run's player learned, into a file."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from coplay.components import nearest
from coplay.errors import CoplayError, RunFolderError
from coplay.player import Player
from coplay.result import Result, space_from_json
from coplay.space import Samples, tensors


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


def sample_file(run: Path, player: str, game: str | None, n: int, seed: int, out: Path) -> Samples:
    """Draw n samples and write them: ``.npz``, one array per variable; ``.csv``, a row per sample; ``.png``, a grid of images.

    Raises:
        RunFolderError: See :func:`load_player`.
        CoplayError: n is not positive, or the file's ending is unknown.
    """
    if n < 1:
        raise CoplayError(f"-n {n}: expected at least 1 sample")
    if out.suffix not in (".npz", ".csv", ".png"):
        raise CoplayError(f"--out {out}: expected a name that ends in .npz, .csv or .png")
    found = load_player(run, player, game)
    samples = found.draw(n, 0, f"file {seed}")
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".npz":
        np.savez_compressed(out, **{name: tensor.numpy() for name, tensor in tensors(samples).items()})  # type: ignore[arg-type]
    elif out.suffix == ".csv":
        out.write_text(as_csv(samples), encoding="utf-8")
    else:
        from coplay.report.figures import image_grid

        image = next((name for name in samples.keys() if len(samples[name].shape) >= 3), None)
        if image is None:
            raise CoplayError(f"--out {out}: the samples hold no images; write an .npz or a .csv instead")
        out.write_bytes(image_grid(samples[image]))
    return samples


def as_csv(samples: Samples) -> str:
    """Samples as lines of CSV: a number per column, those of a larger variable named by their place in it.

    Example:
        >>> import torch
        >>> print(as_csv(Samples({"age": torch.tensor([31.5]), "bits": torch.tensor([[[0, 1]]])}, batch_size=[1])), end="")
        age,bits.0.0,bits.0.1
        31.5,0,1
    """
    header, columns = [], []
    for name, tensor in tensors(samples).items():
        values = tensor.reshape(len(tensor), -1).numpy()
        header += [".".join([name, *map(str, place)]) for place in np.ndindex(tuple(tensor.shape[1:]))]
        columns += list(values.T)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(zip(*columns, strict=True))
    return file.getvalue()
