"""Seconds of a round over Flower: coplay's messages beside Flower's own loop with an echo.

python benchmarks/flower_transport.py             # writes benchmarks/results/flower_transport.json
python benchmarks/flower_transport.py --rounds 2  # a short look, nothing written

It needs a Python with Flower (pip install -c constraints-flower.txt 'coplay[flower]'). A SuperLink
and three SuperNodes run on loopback, without TLS. Rounds alternate: in one, Flower's
``send_and_receive`` sends bytes to a handler that imports coplay and echoes them; in the other,
coplay's engine sends as many bytes of samples to sites that check them, draw as many from their
model, and keep their state on disk. The same nodes answer both.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from common import ROOT, save

from coplay import Dataset, Source, Space, Variable
from coplay.core.codec import request_to_bytes
from coplay.core.message import COORDINATOR, Message
from coplay.engines.flower_carrier import Fault
from coplay.engines.flower_link import Link
from coplay.games.sample_exchange import Turn
from coplay.run.checkpoint import run_id
from coplay.run.config import Config
from coplay.run.elsewhere import agreed_digest

SIZES = {"100 kB": 100_000, "20 MB": 20_000_000}
SITES = ("north", "south", "east")
BYTES_A_ROW = 8
SPACE = Space({"x": Variable(kind="binary", shape=(8,))})
FIRST = 3
"""The first round in which samples of others arrive: before, players learn alone."""

MOST_RATIO = 1.2

FEDERATION = """
name = "transport"
compare = []
[variables.x]
kind = "binary"
shape = [8]
[players.north]
[players.south]
[players.east]
[model]
name = "exponential_family"
[game]
name = "sample_exchange"
rounds = 1000
samples_per_round = 10_000_000
local_steps = 1
[measure]
preset = "none"
"""


class Rows(Source):
    """Two hundred rows of eight bits."""

    def load(self) -> Dataset:
        """Draw them."""
        generator = torch.Generator().manual_seed(1)
        bits = torch.randint(2, (200, 8), dtype=torch.uint8, generator=generator)
        rows = SPACE.samples(x=bits)
        return Dataset("bits", SPACE, rows, rows)


def laid_out(folder: Path) -> dict[str, Path]:
    """Write the federation and three sites with a few rows each."""
    places = {}
    for name in SITES:
        home = folder / name
        home.mkdir(parents=True)
        (home / "federation.toml").write_text(FEDERATION)
        (home / "site.toml").write_text(
            f'federation = "transport"\nname = "{name}"\n[data.source]\n'
            'name = "flower_transport:Rows"\n'
        )
        places[name] = home
    return places


def measured(grid: Any, context: Any) -> None:
    """Measure both loops in turn; Flower's server app calls this."""
    from flwr.app import Message as Carried

    from coplay.run.flower_apps import to_records
    from coplay.run.flower_play import GridCarrier

    settings = context.run_config
    agreed = agreed_digest(Config.from_file(str(settings["federation"])))
    link = Link(GridCarrier(grid), agreed, run_id({"agreed": agreed}))
    link.begin(SITES)
    first = {}
    for name in SITES:
        first[name] = (link.envelope(name, "begin", "sample_exchange", plays=True), b"")
    got = link.exchange(first, 600)
    assert not any(isinstance(each, Fault) for each in got.values()), got
    seconds: dict[str, list[float]] = {}
    for round in range(1, int(settings["rounds"]) + 1):
        for place, (title, size) in enumerate(SIZES.items()):
            body = os.urandom(size)
            began = time.monotonic()
            echoes = []
            for name in SITES:
                node = link.sites[name].node
                assert node is not None
                echoes.append(Carried(to_records({"echo": 1}, body), node, "train", ttl=600))
            replies = list(grid.send_and_receive(echoes, timeout=600))
            assert len(replies) == len(SITES)
            seconds.setdefault(f"echo {title}", []).append(time.monotonic() - began)
            number = FIRST + (round - 1) * len(SIZES) + place
            asks = {}
            for name in SITES:
                ask = link.envelope(name, "ask", "sample_exchange", takers=SITES)
                asks[name] = (ask, turn(name, number, size))
            began = time.monotonic()
            answers = link.exchange(asks, 600)
            for each in answers.values():
                assert not isinstance(each, Fault), each
                assert len(each[1]) >= size, each[1][:500]
            seconds.setdefault(f"coplay {title}", []).append(time.monotonic() - began)
    Path(str(settings["out"])).write_text(json.dumps(seconds))


def turn(name: str, round: int, size: int) -> bytes:
    """Return a request that brings so many bytes of samples and asks for as many."""
    other = SITES[(SITES.index(name) + 1) % len(SITES)]
    rows = size // BYTES_A_ROW
    samples = SPACE.samples(x=torch.randint(2, (rows, 8), dtype=torch.uint8))
    request = Turn(0.5, {other: rows})
    return request_to_bytes(Message(request, COORDINATOR, name, round, payload={other: samples}))


def report(seconds: dict[str, list[float]]) -> dict[str, Any]:
    """Return medians and their ratios."""
    result: dict[str, Any] = {}
    for title in SIZES:
        echo = statistics.median(seconds[f"echo {title}"])
        own = statistics.median(seconds[f"coplay {title}"])
        result[title] = {"flower": echo, "coplay": own, "ratio": own / echo}
        print(
            f"{title}: Flower's own loop {echo:.1f} s, coplay {own:.1f} s, {own / echo:.2f} times"
        )
    result["seconds"] = seconds
    return result


def main() -> None:
    """Start the nodes, measure, and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=0)
    rounds = parser.parse_args().rounds
    sys.path[:0] = [str(ROOT)]
    from tests.flower_nodes import nodes

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        places = laid_out(folder)
        out = folder / "seconds.json"
        apps = {"module": "flower_transport_apps", "client": "flower_transport_client"}
        with nodes(folder / "nodes", places, **apps) as flower:
            run = flower.begin(
                federation=places["north"] / "federation.toml",
                out=out,
                resume="",
                nodes="",
                rounds=rounds or 10,
            )
            status = flower.finished(run, 3600)
            assert status == "finished:completed", flower.tails()
        result = report(json.loads(out.read_text()))
    if not rounds:
        save("flower_transport", result)
        slow = [title for title in SIZES if result[title]["ratio"] > MOST_RATIO]
        sys.exit(f"slower than {MOST_RATIO} times: {', '.join(slow)}" if slow else 0)


if __name__ == "__main__":
    main()
