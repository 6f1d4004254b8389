"""A value of a row that stands in the words of an error is met in the site's own folder only."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from coplay import Config, Federation, Result
from coplay.cli.main import main
from coplay.core.errors import CoplayError
from coplay.models.exponential_family import ExponentialFamily

CELL = 48151623.42
WORDS = f"row 17 has dose {CELL}"
VARIABLES = {
    "age": {"kind": "real", "low": 0, "high": 120},
    "dose": {"kind": "real"},
    "outcome": {"kind": "categorical", "categories": ["ill", "well"]},
}


class Failing(ExponentialFamily):
    """A model that fails with a row in its words, once a file says at what."""

    at: str

    def _perhaps_fail(self, what):
        if Path(self.at).exists() and Path(self.at).read_text() == what:
            raise ValueError(WORDS)

    def setup(self, space, seed):
        self._perhaps_fail("setup")
        super().setup(space, seed)

    def learn(self, mixture, steps, generator):
        self._perhaps_fail("learn")
        return super().learn(mixture, steps, generator)

    def sample(self, n, generator):
        self._perhaps_fail("sample")
        return super().sample(n, generator)

    def state_dict(self):
        self._perhaps_fail("state_dict")
        return super().state_dict()

    def load_state_dict(self, state):
        self._perhaps_fail("load_state_dict")
        super().load_state_dict(state)


class Late(Federation):
    """A federation in which something goes wrong between what is checked and what is played."""

    spoil: ClassVar = staticmethod(lambda: None)

    def prepare(self, *given):
        prepared = super().prepare(*given)
        self.spoil()
        return prepared


def table(path, seed):
    """Write sixty rows, one of them with a dose unlike any other."""
    generator = np.random.default_rng(seed)
    lines = ["age,dose,outcome"]
    for i in range(60):
        dose = CELL if i == 17 else round(generator.normal(), 3)
        outcome = ("ill", "well")[i % 2]
        lines.append(f"{generator.integers(20, 80)},{dose},{outcome}")
    path.write_text("\n".join(lines) + "\n")


def federation(folder, engine, with_files=True):
    """Write two sites, the first with a model that may fail, and return their federation."""
    values = {
        "name": "wards",
        "variables": VARIABLES,
        "model": {"name": "exponential_family"},
        "compare": ["isolated"],
        "game": {"name": "sample_exchange", "rounds": 2, "samples_per_round": 20},
        "measure": {"samples": 100, "shown": 5},
        "checkpoint": {"every_rounds": 1},
        "engine": engine,
        "players": {},
    }
    failing = {"name": f"{__name__}:Failing", "at": str(folder / "fail-at")}
    for place, name in enumerate(("north", "south")):
        table(folder / f"{name}.csv", place)
        lines = ['federation = "wards"', f'name = "{name}"', "[data.source]", 'name = "table"']
        lines.append(f'file = "{name}.csv"')
        if name == "north":
            lines += ["[model]", *(f'{key} = "{value}"' for key, value in failing.items())]
        (folder / f"{name}.toml").write_text("\n".join(lines) + "\n")
        source = {"name": "table", "file": str(folder / f"{name}.csv")}
        section = {"data": {"source": source}}
        if name == "north":
            section["model"] = failing
        values["players"][name] = section
    if with_files:
        for name in values["players"]:
            values["players"][name] = {"site": str(folder / f"{name}.toml")}
    return Config.from_dict(values)


def holders(run):
    """Return the files of a run, by their path in it, in which the cell stands, as text or bits."""
    forms = [str(CELL).encode(), struct.pack("<d", CELL), struct.pack("<f", CELL)]
    kept = []
    for path in run.rglob("*"):
        if path.is_file() and any(form in path.read_bytes() for form in forms):
            kept.append(str(path.relative_to(run)))
    return sorted(kept)


def check_kept(run, error):
    """Assert that the words are in files of the site alone, and that the others know where."""
    assert main(["report", str(run)]) == 0
    for text in (str(error), Result.load(run).record.reason):
        assert str(CELL) not in text
        assert re.search(r"sites/north/\w+/errors\.txt", text), text
    kept = holders(run)
    assert kept, "the words are lost"
    for path in kept:
        assert re.fullmatch(r"sites/north/\w+/errors\.txt", path)
        assert (run / path).stat().st_mode & 0o777 == 0o600


LOCAL = {"name": "local", "games_at_once": 1}
FORKS = {"name": "local", "games_at_once": 2}
RAY = {"name": "ray", "processes": 2}


@pytest.mark.parametrize("with_files", [True, False], ids=["site files", "in the config"])
@pytest.mark.parametrize("engine", [LOCAL, FORKS], ids=["local", "forks"])
@pytest.mark.parametrize("at", ["setup", "learn", "sample", "state_dict"])
def test_what_a_model_says_of_a_row_stays_at_its_site(
    tmp_path, monkeypatch, engine, at, with_files
):
    monkeypatch.setattr(Late, "spoil", staticmethod(lambda: (tmp_path / "fail-at").write_text(at)))
    config = federation(tmp_path, engine, with_files)
    with pytest.raises(CoplayError, match=r"ValueError|ModelError") as error:
        Late(config).run(tmp_path / "run")
    check_kept(tmp_path / "run", error.value)


def test_what_a_model_says_when_it_is_restored_stays_at_its_site(tmp_path, monkeypatch):
    config = federation(tmp_path, LOCAL)

    def impatient(what, done, of):
        if what == "sample_exchange" and done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Late(config).run(tmp_path / "run", impatient)
    monkeypatch.setattr(
        Late, "spoil", staticmethod(lambda: (tmp_path / "fail-at").write_text("load_state_dict"))
    )
    with pytest.raises(CoplayError) as error:
        Late.resume(tmp_path / "run", trust=True)
    check_kept(tmp_path / "run", error.value)


@pytest.mark.parametrize("with_files", [True, False], ids=["site files", "in the config"])
@pytest.mark.parametrize("what", ["setup", "learn", "rows"])
def test_with_ray_neither_a_models_words_nor_coplays_own_leave_the_site(
    tmp_path, monkeypatch, what, with_files
):
    pytest.importorskip("ray")
    rows = tmp_path / "north.csv"

    def spoil():
        if what == "rows":
            rows.write_text(rows.read_text() + f"30,0.5,{CELL}\n")
        else:
            (tmp_path / "fail-at").write_text(what)

    monkeypatch.setattr(Late, "spoil", staticmethod(spoil))
    with pytest.raises(CoplayError) as error:
        Late(federation(tmp_path, RAY, with_files)).run(tmp_path / "run")
    check_kept(tmp_path / "run", error.value)


def test_with_ray_the_words_of_a_fault_in_setup_do_not_travel_before_play(tmp_path):
    pytest.importorskip("ray")
    config = federation(tmp_path, RAY)
    (tmp_path / "fail-at").write_text("setup")
    with pytest.raises(CoplayError) as error:
        Federation(config).prepare()
    chain = [error.value, error.value.__cause__]
    assert "player 'north': ModelError, whose text stays with the player" in str(chain[0])
    assert not [each for each in chain if str(CELL) in str(each)]


@pytest.mark.parametrize("outside", ["clip", "drop"])
def test_a_cell_that_is_moved_or_dropped_is_in_no_file_of_a_run(tmp_path, outside):
    values = federation(tmp_path, LOCAL, with_files=False).to_dict()
    (tmp_path / "fail-at").write_text("nothing")
    values["variables"]["dose"] |= {"low": -100, "high": 100}
    for section in values["players"].values():
        section["data"]["outside"] = outside
    Federation(Config.from_dict(values)).run(tmp_path / "run")
    assert main(["report", str(tmp_path / "run")]) == 0
    assert not holders(tmp_path / "run")
