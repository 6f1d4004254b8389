"""Draw from what a finished run's player learned, into a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from coplay.components import nearest
from coplay.errors import CoplayError, RunFolderError
from coplay.player import Player
from coplay.result import Result, space_from_json
from coplay.space import Samples, tensors


def load_player(run: Path, player: str, game: str | None = None) -> Player:
    """A player of a finished run with its model and without any data.

    Args:
        run: The run's folder.
        player: The player's name.
        game: Name of the game; the main one by default.

    Raises:
        RunFolderError: There is no such run, game, player or model.
    """
    result = Result.load(run)
    game = game or result.main.name
    if game not in result.plays:
        raise RunFolderError(f"{run} has no game {game!r}; it has {', '.join(result.plays)}")
    if player not in result.config.player_names:
        known = nearest(player, result.config.player_names)
        raise RunFolderError(f"{run} has no player {player!r}; known, nearest first: {known}")
    path = result.plays[game].folder / "models" / f"{player}.safetensors"
    if not path.exists():
        if result.record["status"] == "finished":
            raise RunFolderError(f"player {player!r} was lost in {game!r} before its end; it left no model")
        raise RunFolderError(f"{path} does not exist; '{game}' is not finished, 'coplay resume {run}' goes on")
    space = space_from_json(result.record["data"]["space"]).only(result.record["data"]["learned"][player])
    found = Player(player, space, space.empty(), result.config.player_model(player), result.config.seed)
    found.load(path)
    return found


def sample_file(run: Path, player: str, game: str | None, n: int, seed: int, out: Path) -> Samples:
    """Draw n samples and write them as ``.npz`` (one array per variable) or, for images, as a ``.png`` grid.

    Raises:
        RunFolderError: See :func:`load_player`.
        CoplayError: n is not positive, or the file's ending is unknown.
    """
    if n < 1:
        raise CoplayError(f"-n {n}: expected at least 1 sample")
    if out.suffix not in (".npz", ".png"):
        raise CoplayError(f"--out {out}: expected a name that ends in .npz or .png")
    found = load_player(run, player, game)
    samples = found.draw(n, 0, f"file {seed}")
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".npz":
        np.savez_compressed(out, **{name: tensor.numpy() for name, tensor in tensors(samples).items()})  # type: ignore[arg-type]
    else:
        from coplay.report.figures import image_grid

        image = next((name for name in samples.keys() if len(samples[name].shape) >= 3), None)
        if image is None:
            raise CoplayError(f"--out {out}: the samples hold no images; write an .npz instead")
        out.write_bytes(image_grid(samples[image]))
    return samples
