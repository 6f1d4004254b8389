"""kill -9 of a player's process at random moments of both games: is every run's result valid, and how soon does it go on?

python benchmarks/ray_faults.py               # 20 kills in a row; writes benchmarks/results/ray_faults.json
python benchmarks/ray_faults.py --quick       # one per game, nothing written

Every run has three processes and one of them, drawn by lot, is killed at a moment drawn evenly over nine tenths of the
time that an undisturbed run takes. Where MD-GAN's server dies the run stops and is resumed. All runs share one local cluster.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import common
import torch

from coplay import Config, Federation
from coplay.core.errors import PlayerError
from coplay.core.storage import load_tensors
from coplay.engines.ray import Ray
from coplay.engines.ray_cluster import import_ray
from coplay.games.base import Game
from coplay.games.gan_common import SERVER
from coplay.player import Player

KILLS, ROUNDS, PROCESSES = 20, 16, 3
COMMON = {
    "seed": 1,
    "measure": {"metrics": [], "samples": 1000, "every_rounds": 2},
    "checkpoint": {"every_rounds": 2},
    "engine": {"name": "ray", "processes": PROCESSES},
}
GAMES: dict[str, dict[str, Any]] = {
    "sample_exchange": {
        "players": 6,
        "model": {"name": "symmetric_hvae", "hidden": 32, "batch": 50},
        "game": {"name": "sample_exchange", "local_steps": 20, "samples_per_round": 1500},
    },
    "md_gan": {
        "players": 5,  # and the server
        "data": {"source": {"name": "digits", "grey": True}, "variables": ["image", "class"]},
        "model": {"name": "acgan", "latent": 20, "batch": 10},
        "game": {"name": "md_gan", "local_steps": 25, "swap_every_epochs": 0.4},
    },
}  # fmt: skip

seats: list[tuple[int, list[str]]] = []
"""The processes of the run that is being played, and who sits there."""
began: list[float] = []
"""When each run began to play."""
_seat = Ray.start


def seat(self: Ray, players: Sequence[Player], game: Game) -> None:
    """Seat the players and note in which processes."""
    _seat(self, players, game)
    numbers = import_ray().get([actor.ready.remote() for actor in self._actors])
    seats[:] = [
        (n, [spec.name for spec in group]) for n, group in zip(numbers, self._specs, strict=True)
    ]
    began.append(time.perf_counter())


def rows(home: Path) -> list[dict[str, Any]]:
    path = home / "rows.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def play(name: str, folder: Path, rounds: int) -> None:
    base = GAMES[name]
    game = base["game"] | {"rounds": rounds, "on_lost": "continue"}
    Federation(Config.from_dict(COMMON | base | {"game": game})).run(folder)


class Killer(threading.Thread):
    """Kills one process some seconds after the run began to play, and notes when the next rounds ended."""

    def __init__(self, home: Path, delay: float, victim: int) -> None:
        super().__init__(daemon=True)
        self.home, self.delay, self.victim = home, delay, victim
        self.killed, self.before = 0.0, 0
        self.ends: list[float] = []
        self.over = threading.Event()

    def _played(self) -> int:
        path = self.home / "rows.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def run(self) -> None:
        """Wait, kill, watch."""
        while not (seats and self.home.parent.exists()):
            time.sleep(0.001)
        time.sleep(self.delay)
        self.number, self.players = seats[self.victim]
        self.before = self._played()
        os.kill(self.number, signal.SIGKILL)
        self.killed = time.perf_counter()
        while not self.over.is_set():
            ended = self._played() - self.before
            self.ends += [time.perf_counter() - self.killed] * (ended - len(self.ends))
            time.sleep(0.002)


def undisturbed(name: str, folder: Path, rounds: int) -> tuple[float, float]:
    """Seconds of play, and of a round on the mean, of a run in which nobody dies."""
    play(name, folder, rounds)
    seconds = time.perf_counter() - began[-1]
    return seconds, seconds / rounds


def disturbed(name: str, folder: Path, rounds: int, delay: float, victim: int) -> dict[str, Any]:
    """One kill: what the run says of it, what is wrong with its result, how long it took to go on."""
    seats.clear()
    killer, stopped = Killer(folder / name, delay, victim), ""
    killer.start()
    try:
        play(name, folder, rounds)
    except PlayerError as error:
        stopped = str(error)
    killer.over.set()
    killer.join(30)
    if stopped:
        Federation.resume(folder)
    faults = wrong(name, folder, rounds, killer, stopped)
    told = [(row["round"], row["lost"]) for row in rows(folder / name) if "lost" in row]
    return {
        "game": name,
        "after_seconds": delay,
        "players": killer.players,
        "told": stopped
        or [[round, {who: loss["action"] for who, loss in lost.items()}] for round, lost in told],
        "to_next_round_seconds": None if stopped else (killer.ends or [None])[0],
        "to_round_after_seconds": None if stopped else (killer.ends[1:] or [None])[0],
        "resumed": bool(stopped),
        "faults": faults,
    }


def wrong(name: str, folder: Path, rounds: int, killer: Killer, stopped: str) -> list[str]:
    """What a valid result would have and this one has not."""
    found, faults = rows(folder / name), []
    if json.loads((folder / "run.json").read_text())["status"] != "finished":
        faults.append("the run is not finished")
    if [row["round"] for row in found] != list(range(1, rounds + 1)):
        faults.append("rows are missing or doubled")
    lost = {who: (row["round"], loss) for row in found for who, loss in row.get("lost", {}).items()}
    late = killer.before >= rounds  # killed after the last round: nobody had to notice
    if stopped:
        if SERVER not in killer.players or not any(f"'{who}'" in stopped for who in killer.players):
            faults.append(f"stopped for another reason: {stopped}")
    elif set(lost) != set(killer.players) and not (late and not lost):
        faults.append(
            f"lost are {sorted(lost)}, killed was the process of {sorted(killer.players)}"
        )
    faults += [
        f"{who}: {loss['reason']}"
        for who, (_, loss) in lost.items()
        if "process died" not in loss["reason"]
    ]
    faults += [
        f"{who} was lost in round {round}, killed after round {killer.before}"
        for who, (round, _) in lost.items()
        if not 0 <= round - killer.before <= 2
    ]
    models = sorted((folder / name / "models").glob("*.safetensors"))
    if not models:
        faults.append("no model was left")
    faults += [
        f"{path.stem}: {key} is not finite"
        for path in models
        for key, value in load_tensors(path).items()
        if value.is_floating_point() and not torch.isfinite(value).all()
    ]
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**9)
    given = parser.parse_args()
    kills, rounds = (len(GAMES), 4) if given.quick else (KILLS, ROUNDS)
    Ray.start, finish, Ray.finish = seat, Ray.finish, lambda self: None  # type: ignore[method-assign, assignment]
    lot, found = random.Random(given.seed), []
    with tempfile.TemporaryDirectory() as place:
        for name in (
            GAMES
        ):  # the first of each is slow, and kills drawn by its time would come after the end
            play(name, Path(place) / f"warm up {name}", 2)
        calm = {name: undisturbed(name, Path(place) / name, rounds) for name in GAMES}
        print(
            {name: f"{total:.1f} s, a round {one:.2f} s" for name, (total, one) in calm.items()},
            flush=True,
        )
        for i in range(kills):
            name = list(GAMES)[i % len(GAMES)]
            delay, victim = lot.uniform(0, 0.9 * calm[name][0]), lot.randrange(PROCESSES)
            found.append(disturbed(name, Path(place) / str(i), rounds, delay, victim))
            print(json.dumps(found[-1]), flush=True)
    finish(Ray())
    excess = [
        kill["to_next_round_seconds"] - calm[kill["game"]][1] for kill in found if kill["to_next_round_seconds"] is not None
    ]  # fmt: skip
    summary = {
        "kills": kills,
        "valid": sum(not kill["faults"] for kill in found),
        "resumed": sum(kill["resumed"] for kill in found),
        "most_seconds_beyond_one_round": max(excess, default=None),
        "median_seconds_beyond_one_round": statistics.median(excess) if excess else None,
    }
    print(json.dumps(summary))
    if not given.quick:
        calm_rounds = {
            name: {"play_seconds": total, "round_seconds": one}
            for name, (total, one) in calm.items()
        }
        common.save(
            "ray_faults",
            {
                "seed": given.seed,
                "processes": PROCESSES,
                "undisturbed": calm_rounds,
                "summary": summary,
                "each": found,
            },
        )


if __name__ == "__main__":
    main()
