"""kill -9 of a player's process at random moments of both games.

Is every run's result valid, and how soon does the run go on?

python benchmarks/ray_faults.py           # 20 kills; writes benchmarks/results/ray_faults.json
python benchmarks/ray_faults.py --quick   # one per game, nothing written

Every run has three processes. One of them, drawn at random, is killed at a moment drawn evenly over
nine tenths of the time that an undisturbed run takes. Where MD-GAN's server dies the run stops and
is resumed. All runs share one local cluster.
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

KILLS = 20
ROUNDS = 16
PROCESSES = 3
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
}

seats: list[tuple[int, list[str]]] = []
"""The processes of the run that is being played, each with the names of its players."""
began: list[float] = []
"""When each run began to play."""
_start = Ray.start


def start(self: Ray, players: Sequence[Player], game: Game) -> None:
    """Start the players and note in which processes they are."""
    _start(self, players, game)
    numbers = import_ray().get([actor.ready.remote() for actor in self._actors])
    processes = []
    for number, group in zip(numbers, self._specs, strict=True):
        processes.append((number, [spec.name for spec in group]))
    seats[:] = processes  # at once, since the killer's thread reads it
    began.append(time.perf_counter())


def rows(home: Path) -> list[dict[str, Any]]:
    path = home / "rows.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def play(name: str, folder: Path, rounds: int) -> None:
    base = GAMES[name]
    game = base["game"] | {"rounds": rounds, "on_lost": "continue"}
    Federation(Config.from_dict(COMMON | base | {"game": game})).run(folder)


class Killer(threading.Thread):
    """Kills one process some seconds after play began, and notes when the next rounds ended."""

    def __init__(self, home: Path, delay: float, victim: int) -> None:
        super().__init__(daemon=True)
        self.home = home
        self.delay = delay
        self.victim = victim
        self.killed = 0.0
        self.before = 0
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
    """Return the seconds of play, and the mean per round, of a run in which nobody dies."""
    play(name, folder, rounds)
    seconds = time.perf_counter() - began[-1]
    return seconds, seconds / rounds


def disturbed(name: str, folder: Path, rounds: int, delay: float, victim: int) -> dict[str, Any]:
    """Play a run with one kill.

    Returns:
        What the run reports of it, what is wrong with its result, and how long it took to go on.
    """
    seats.clear()
    killer = Killer(folder / name, delay, victim)
    stopped = ""
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
    losses: list[list[Any]] = []
    for row in rows(folder / name):
        if "lost" in row:
            actions = {player: loss["action"] for player, loss in row["lost"].items()}
            losses.append([row["round"], actions])
    return {
        "game": name,
        "after_seconds": delay,
        "players": killer.players,
        "told": stopped or losses,
        "to_next_round_seconds": None if stopped else (killer.ends or [None])[0],
        "to_round_after_seconds": None if stopped else (killer.ends[1:] or [None])[0],
        "resumed": bool(stopped),
        "faults": faults,
    }


def wrong(name: str, folder: Path, rounds: int, killer: Killer, stopped: str) -> list[str]:
    """Return what a valid result would have and this one has not."""
    records = rows(folder / name)
    faults = []
    if json.loads((folder / "run.json").read_text())["status"] != "finished":
        faults.append("the run is not finished")
    if [row["round"] for row in records] != list(range(1, rounds + 1)):
        faults.append("rows are missing or doubled")
    lost = {}
    for row in records:
        for player, loss in row.get("lost", {}).items():
            lost[player] = (row["round"], loss)
    late = killer.before >= rounds  # killed after the last round: nobody had to notice
    if stopped:
        named = any(f"'{player}'" in stopped for player in killer.players)
        if SERVER not in killer.players or not named:
            faults.append(f"stopped for another reason: {stopped}")
    elif set(lost) != set(killer.players) and not (late and not lost):
        faults.append(
            f"lost are {sorted(lost)}, killed was the process of {sorted(killer.players)}"
        )
    for player, (_, loss) in lost.items():
        if "process died" not in loss["reason"]:
            faults.append(f"{player}: {loss['reason']}")
    for player, (round, _) in lost.items():
        if not 0 <= round - killer.before <= 2:
            faults.append(f"{player} was lost in round {round}, killed after round {killer.before}")
    models = sorted((folder / name / "models").glob("*.safetensors"))
    if not models:
        faults.append("no model was left")
    for path in models:
        for key, value in load_tensors(path).items():
            if value.is_floating_point() and not torch.isfinite(value).all():
                faults.append(f"{path.stem}: {key} is not finite")
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**9)
    given = parser.parse_args()
    kills, rounds = (len(GAMES), 4) if given.quick else (KILLS, ROUNDS)
    finish = Ray.finish
    Ray.start = start  # type: ignore[method-assign]
    Ray.finish = lambda self: None  # type: ignore[method-assign]  # the cluster serves all runs
    chance = random.Random(given.seed)
    outcomes = []
    with tempfile.TemporaryDirectory() as place:
        # the first of each is slow, and kills drawn by its time would come after the end
        for name in GAMES:
            play(name, Path(place) / f"warm up {name}", 2)
        calm = {name: undisturbed(name, Path(place) / name, rounds) for name in GAMES}
        print(
            {name: f"{total:.1f} s, a round {one:.2f} s" for name, (total, one) in calm.items()},
            flush=True,
        )
        for i in range(kills):
            name = list(GAMES)[i % len(GAMES)]
            delay = chance.uniform(0, 0.9 * calm[name][0])
            victim = chance.randrange(PROCESSES)
            outcomes.append(disturbed(name, Path(place) / str(i), rounds, delay, victim))
            print(json.dumps(outcomes[-1]), flush=True)
    finish(Ray())
    excess = []
    for kill in outcomes:
        if kill["to_next_round_seconds"] is not None:
            _, round_seconds = calm[kill["game"]]
            excess.append(kill["to_next_round_seconds"] - round_seconds)
    summary = {
        "kills": kills,
        "valid": sum(not kill["faults"] for kill in outcomes),
        "resumed": sum(kill["resumed"] for kill in outcomes),
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
                "each": outcomes,
            },
        )


if __name__ == "__main__":
    main()
