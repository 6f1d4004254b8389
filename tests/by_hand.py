"""What a run leaves on disk, written by hand: with the seals and digests that a reader expects."""

import pytest

from coplay import Federation
from coplay.core import storage
from coplay.run.checkpoint import Checkpoint
from coplay.run.record import FORMAT
from coplay.run.rows import Chain


def two_sites(name, rounds, shown=40):
    """The config of a small game on digits, as text."""
    return f"""
name = "{name}"
[data.partition]
name = "by_class"
classes = {{ north = [0, 1], south = [2, 3] }}
[model]
name = "exponential_family"
[players.north]
[players.south]
[game]
name = "sample_exchange"
rounds = {rounds}
samples_per_round = 50
[measure]
metrics = []
samples = 100
shown = {shown}
[checkpoint]
every_rounds = 1
"""


def write_run(folder, values):
    """Write ``run.json`` of plain values."""
    storage.write_sealed(folder / "run.json", {"format": FORMAT, **values})


def write_rows(home, rows):
    """Write the rows of a game, plain values each, and return their chain."""
    chain = Chain.begin(home.name)
    home.mkdir(parents=True, exist_ok=True)
    lines = [chain.line({"seconds": {}, **row}) for row in rows]
    (home / "rows.jsonl").write_text("".join(lines))
    return chain


def write_checkpoint(home, round, traffic=(), chain=None):
    """Write a checkpoint that counts ``round`` rows, whose chain is given."""
    digest = (chain or Chain.begin(home.name)).digest
    record = Checkpoint(round, home.name, digest, {}, {}, list(traffic), finished=True)
    storage.write_sealed(home / "checkpoint.json", record.json())


def cut(config, folder, rounds, game="sample_exchange", **given):
    """Play a run that fails after some rounds of a game, and return its folder."""

    class Cut(Exception):
        pass

    def stop(what, done, of):
        if what == game and done == rounds:
            raise Cut

    with pytest.raises(Cut):
        Federation(config).run(folder, stop, **given)
    return folder
