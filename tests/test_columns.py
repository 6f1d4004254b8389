"""The page's tables of columns and pairs."""

from __future__ import annotations

import json
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest

from coplay import Config, Federation, Space, Variable
from coplay.metrics.base import Value
from coplay.report.columns import section
from coplay.report.page import write


def of(statistic, number, *names):
    return Value(number, statistic, "higher", 100, 50, of=names)


def measured_of(last):
    """A result with one game, measured as given: by player, then by quantity."""
    play = SimpleNamespace(last=last)
    image = Space({"image": Variable(kind="binary", shape=(2, 2))})  # so that there is no chart
    record = SimpleNamespace(data=SimpleNamespace(space=image))
    return SimpleNamespace(plays={"sample_exchange": play}, parties=list(last), record=record)


TWO = {
    "north": {
        "column_fidelity": Value(0.8, "", "higher", 100, 50),
        "KSComplement age": of("KSComplement", 0.9, "age"),
        "TVComplement town": of("TVComplement", 0.7, "town"),
        "ContingencySimilarity age, town": of("ContingencySimilarity", 0.6, "age", "town"),
    },
    "south": {
        "KSComplement age": of("KSComplement", 0.3, "age"),
        "KSComplement dose": of("KSComplement", 1.0, "dose"),
        "CorrelationSimilarity age, dose": of("CorrelationSimilarity", 0.4, "age", "dose"),
    },
}


def test_columns_stand_worst_first_and_a_player_without_one_has_a_dash():
    table, pairs = section(measured_of(TWO)).tables
    assert list(table.header) == ["column", "statistic", "north", "south"]
    assert [list(row) for row in table.rows] == [
        ["age", "KSComplement", "0.900", "0.300"],
        ["town", "TVComplement", "0.700", "–"],
        ["dose", "KSComplement", "–", "1.000"],
    ]
    assert [list(row) for row in pairs.rows] == [
        ["age and dose", "CorrelationSimilarity", "south", "0.400"],
        ["age and town", "ContingencySimilarity", "north", "0.600"],
    ]


def test_many_players_are_summed_up_by_mean_and_lowest():
    numbers = [0.9, 0.8, 0.2, 0.7, 0.6, 0.5, 0.4]
    last = {f"p{i}": {"KS x": of("KSComplement", x, "x")} for i, x in enumerate(numbers)}
    (table,) = section(measured_of(last)).tables
    assert list(table.header) == ["column", "statistic", "mean", "lowest", "player"]
    mean = math.fsum(numbers) / 7
    assert list(table.rows[0]) == ["x", "KSComplement", f"{mean:.3f}", "0.200", "p2"]


def test_many_columns_are_cut_in_words_and_kept_beneath_the_page():
    each = {f"KS x{i}": of("KSComplement", i / 100, f"x{i}") for i in range(60)}
    page = section(measured_of({"north": each}))
    (table,) = page.tables
    assert [row[0] for row in table.rows] == [f"x{i}" for i in range(40)]
    assert "The worst 40 of 60 are shown; report.json has them all." in table.caption
    assert len(page.data["sample_exchange"]) == 60


def test_without_such_values_there_is_no_section():
    assert section(measured_of({"north": {"fid": Value(3.0, "", "lower", 9)}})) is None
    assert section(measured_of({})) is None


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One pool without classes."""
    folder = tmp_path_factory.mktemp("pool")
    rng = np.random.default_rng(3)
    age = rng.normal(50, 9, 200)
    lines = ["age,weight,smokes"]
    for a, noise, u in zip(age, rng.normal(0, 5, 200), rng.random(200), strict=True):
        lines.append(f"{a:.2f},{60 + a / 4 + noise:.2f},{('no', 'yes')[int(u < 0.4)]}")
    (folder / "wards.csv").write_text("\n".join(lines) + "\n")
    config = Config.from_dict(
        {
            "players": {"north": {}, "south": {}},
            "data": {"source": {"name": "table", "file": str(folder / "wards.csv")}},
            "model": {"name": "conditionals", "hidden": 8, "batch": 50},
            "game": {"name": "sample_exchange", "rounds": 2, "local_steps": 5},
            "measure": {"samples": 100, "target": "smokes"},
        }
    )
    return Federation(config).run(folder / "run")


def test_a_pool_without_classes_is_scored_and_its_page_shows_every_column(run):
    for player in ("north", "south"):
        assert {"column_fidelity", "pair_fidelity", "utility"} <= set(run.main.last[player])
    page = write(run).read_text()
    assert re.findall(r'<section id="columns">', page)
    assert "nothing was scored" not in page
    data = json.loads((run.folder / "report.json").read_text())
    kept = {tuple(each["of"]): each for each in data["columns"]["sample_exchange"]}
    assert {names for names in kept if len(names) == 1} == {("age",), ("weight",), ("smokes",)}
    recorded = run.main.last["north"]["KSComplement age"].value
    assert kept[("age",)]["values"]["north"] == recorded
    assert f">{recorded:.3f}<" in page


def test_tables_and_curves_leave_single_columns_out(run):
    assert not [name for name in run.main.quantities if "KSComplement" in name]
    assert "column_fidelity" in run.main.quantities
