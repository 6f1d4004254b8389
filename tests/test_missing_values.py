"""Rows with missing values: they stay among the values, and models learn from what is there."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import torch

from coplay import Config, Federation, Player, Space, Variable, find, load_player
from coplay.core.errors import DataError, ModelError, SpaceError
from coplay.core.streams import stream
from coplay.data.sources.table import Table
from coplay.models.base import OWN
from coplay.models.mixing import by_pattern

A = Variable(kind="binary", optional=True)
B = Variable(kind="binary", optional=True)
PAIR = Space({"a": A, "b": B})
NONE = 255


def bits(*values):
    return torch.tensor(values, dtype=torch.uint8)


def test_a_value_may_be_missing_only_where_the_variable_says_so():
    for kind, missing in (("real", math.nan), ("count", -1), ("binary", 255)):
        may = Variable(kind=kind, optional=True)
        must = Variable(kind=kind)
        values = torch.tensor([1, missing], dtype=may.dtypes[0])
        assert may.fault(values) is None
        assert must.fault(values)
        assert may.present(values).tolist() == [True, False]
    both = Variable(kind="real", shape=(2,), optional=True)
    assert both.fault(torch.tensor([[math.nan, math.nan], [1.0, 2.0]])) is None
    assert "NaN" in both.fault(torch.tensor([[1.0, math.nan], [1.0, 2.0]]))
    town = Variable(kind="categorical", classes=3, optional=True)
    assert town.fault(torch.tensor([0, -1, 2])) is None
    assert town.fault(torch.tensor([0, -2, 2]))


def test_rows_become_sets_of_one_pattern_each():
    rows = PAIR.samples(a=bits(0, 1, NONE, 1, NONE), b=bits(1, NONE, 0, 0, NONE))
    parts = by_pattern(PAIR, rows)
    assert list(parts) == [OWN, f"{OWN} without b", f"{OWN} without a"]
    assert parts[OWN]["a"].tolist() == [0, 1]
    assert parts[f"{OWN} without b"]["a"].tolist() == [1]
    assert set(parts[f"{OWN} without a"].keys()) == {"b"}
    assert sum(map(len, parts.values())) == 4, "a row in which nothing is there teaches nothing"


def family(rows):
    player = Player("north", PAIR, rows, find("model", "exponential_family")(), 1)
    player.learn({}, {OWN: 1.0}, 1, 1)
    return player


def test_an_exponential_family_has_the_moments_of_what_is_there():
    generator = stream(3)
    a = (torch.rand(3000, generator=generator) < 0.7).to(torch.uint8)
    b = (torch.rand(3000, generator=generator) < 0.2 + 0.6 * a).to(torch.uint8)
    a[torch.rand(3000, generator=generator) < 0.4] = NONE
    player = family(PAIR.samples(a=a, b=b))
    drawn = player.draw(20_000, 1, "south")
    assert set(drawn.keys()) == {"a", "b"}
    assert set(drawn["a"].unique().tolist()) == {0, 1}, "a draw has no missing values"
    there = a[a != NONE].double().mean().item()
    assert drawn["a"].double().mean().item() == pytest.approx(there, abs=0.01)
    assert drawn["b"].double().mean().item() == pytest.approx(b.double().mean().item(), abs=0.01)


def test_complete_rows_teach_what_they_taught_before():
    plain = Space({name: Variable(kind="binary") for name in PAIR})
    rows = PAIR.samples(a=bits(0, 1, 1, 1), b=bits(0, 1, 0, 1))
    players = [
        Player("north", space, rows, find("model", "exponential_family")(), 1)
        for space in (PAIR, plain)
    ]
    for player in players:
        player.learn({}, {OWN: 1.0}, 1, 1)
    first, second = (player.draw(50, 1, "south") for player in players)
    assert torch.equal(first["a"], second["a"])
    assert torch.equal(first["b"], second["b"])


def test_own_mass_is_shared_by_rows():
    rows = PAIR.samples(a=bits(0, 1, NONE, 1), b=bits(1, 0, 0, 1))
    player = Player("north", PAIR, rows, find("model", "exponential_family")(), 1)
    plain = Space({name: Variable(kind="binary") for name in PAIR})
    others = plain.samples(a=bits(1), b=bits(1))
    parts = player._mixture({"south": others}, {OWN: 30.0, "south": 10.0})
    masses = {part.name: part.weight for part in parts}
    assert masses == {
        OWN: pytest.approx(0.75 * 3 / 4),
        f"{OWN} without a": pytest.approx(0.75 / 4),
        "south": pytest.approx(0.25),
    }


def test_a_model_that_needs_every_value_is_refused_with_the_counts():
    rows = PAIR.samples(a=bits(0, 1, NONE, 1), b=bits(1, NONE, NONE, 1))
    with pytest.raises(ModelError) as caught:
        Player("north", PAIR, rows, find("model", "symmetric_hvae")(), 1)
    assert str(caught.value).startswith(
        "player 'north': SymmetricHvae needs every value, and of 4 rows some lack 'a' in 1, 'b' in "
        "2; choose a model that learns from incomplete samples"
    )


def test_no_message_may_hold_a_missing_value():
    player = family(PAIR.samples(a=bits(0, 1, NONE), b=bits(1, 0, 0)))
    bad = PAIR.samples(a=bits(0, NONE), b=bits(1, 0))
    with pytest.raises(SpaceError, match=r"received from player 'south'.*got 255"):
        player.learn({"south": bad}, {OWN: 1.0, "south": 1.0}, 1, 2)


def write(path, rows):
    path.write_text("\n".join(["age,smokes,town", *rows]) + "\n")
    return str(path)


ROWS = ["30,yes,Ulm", ",no,Bonn", "50,,Ulm", "60,yes,", "NA,no,Bonn", "20,no,Ulm"] * 5


class TestTables:
    def test_missing_cells_are_kept_and_counted(self, tmp_path):
        file = write(tmp_path / "t.csv", ROWS)
        data = Table(file=file, missing="keep", missing_marks=("NA",), numbers=("age",)).load()
        assert all(data.space[name].optional for name in data.space)
        whole = torch.cat([data.train, data.test])
        assert int(whole["age"].isnan().sum()) == 10
        assert int((whole["smokes"] == 255).sum()) == 5
        assert int((whole["town"] == -1).sum()) == 5
        assert data.space["town"].class_names == ("Bonn", "Ulm")
        assert "'age': 10 of 30 values are missing" in data.notes

    def test_they_are_refused_unless_somebody_says_so(self, tmp_path):
        file = write(tmp_path / "t.csv", ROWS)
        with pytest.raises(DataError, match=r"line 3, column 'age': the cell is missing"):
            Table(file=file, missing_marks=("NA",)).load()

    def test_a_class_may_not_be_missing(self, tmp_path):
        file = write(tmp_path / "t.csv", ROWS)
        source = Table(file=file, label_column="town", missing="keep", missing_marks=("NA",))
        with pytest.raises(DataError, match=r"line 5, column 'town': the cell is missing"):
            source.load()

    def test_an_agreed_optional_variable_is_kept_at_a_site(self, tmp_path):
        write(tmp_path / "t.csv", ROWS * 6)
        kinds = {
            "age": {"kind": "real", "low": 0, "high": 120, "optional": True},
            "smokes": {"kind": "binary", "optional": True},
            "town": {"kind": "categorical", "categories": ["Ulm", "Bonn"], "optional": True},
        }
        source = {"name": "table", "file": str(tmp_path / "t.csv"), "missing_marks": ["NA"]}
        config = Config.from_dict(
            {
                "variables": kinds,
                "players": {name: {"data": {"source": source}} for name in ("north", "south")},
                "model": {"name": "conditionals", "hidden": 8, "batch": 20},
                "game": {"name": "sample_exchange", "rounds": 3, "local_steps": 4},
                "measure": {"samples": 100, "target": "smokes", "every_rounds": 3},
            }
        )
        result = Federation(config).run(tmp_path / "run")
        assert {"column_fidelity", "utility"} <= set(result.main.last["north"])
        drawn = load_player(tmp_path / "run", "north").draw(20, 1, "test")
        assert not drawn["age"].isnan().any()
        assert drawn["town"].min() >= 0

    def test_a_pool_with_missing_values_is_dealt_and_scored(self, tmp_path):
        file = write(tmp_path / "t.csv", ROWS * 3)
        source = {"name": "table", "file": file, "missing": "keep", "missing_marks": ["NA"]}
        config = Config.from_dict(
            {
                "players": 2,
                "data": {"source": source},
                "model": {"name": "conditionals", "hidden": 8, "batch": 20},
                "game": {"name": "sample_exchange", "rounds": 2, "local_steps": 4},
                "measure": {"samples": 100, "every_rounds": 2},
            }
        )
        result = Federation(config).run(tmp_path / "run")
        assert "column_fidelity" in result.main.last["player0"]
        reasons = result.main.last_cautions["player0"].unmeasured
        assert "memorisation" not in reasons


def test_many_patterns_do_not_make_learning_slow():
    rng = np.random.default_rng(0)
    names = [f"x{i}" for i in range(12)]
    space = Space({name: Variable(kind="real", optional=True) for name in names})
    values = torch.from_numpy(rng.normal(size=(1000, 12)).astype(np.float32))
    holes = values.clone()
    holes[torch.from_numpy(rng.random((1000, 12)) < 0.15)] = math.nan
    assert len(by_pattern(space, space.samples(**dict(zip(names, holes.T, strict=True))))) > 150
    seconds = []
    for rows in (values, holes):
        samples = space.samples(**{name: rows[:, i].clone() for i, name in enumerate(names)})
        player = Player("north", space, samples, find("model", "conditionals")(hidden=8), 1)
        began = time.process_time()
        player.learn({}, {OWN: 1.0}, 5, 1)
        seconds.append(time.process_time() - began)
    assert seconds[1] < 60 * seconds[0]
