"""The federation's figure: what sites told of rows of their own, as of all their rows."""

from __future__ import annotations

import json
import math
import stat

import numpy as np
import pytest

from coplay import Federation
from coplay.cli import run_table
from coplay.core.measures import MEASURES
from coplay.core.requests import Measure
from coplay.core.space import Space
from coplay.core.telling import EVERYTHING
from coplay.core.variable import Variable
from coplay.metrics.base import Value, share_value, wilson
from coplay.metrics.sums import HitSum, MeanSum
from coplay.report.headline import headline
from coplay.run.together import together, together_of
from coplay.site.holdings import Holdings
from coplay.site.measuring import SiteMeasurer

from .test_measuring_at_players import TELL_UTILITY, federation, write_sites

UNIT = MEASURES["utility"].unit


def accuracy(hits, of, unit=UNIT):
    return share_value(hits, of, unit, "higher", n=200, n_real=of)


def test_shares_of_parts_give_the_share_of_the_whole():
    parts = {"a": accuracy(9, 10), "b": accuracy(7, 37), "c": accuracy(0, 1), "d": accuracy(5, 5)}
    figure = together_of("utility", parts)
    whole = accuracy(21, 53)
    assert figure.players == ["a", "b", "c", "d"]
    assert figure.value.value == whole.value
    assert (figure.value.low, figure.value.high) == (whole.low, whole.high) == wilson(21, 53)
    assert (figure.value.n, figure.value.n_real) == (800, 53)


def test_the_order_and_grouping_of_sites_change_nothing():
    stats = [HitSum.from_value("utility", accuracy(h, n), n) for h, n in [(1, 3), (9, 17), (4, 4)]]
    one = stats[0].merge(stats[1]).merge(stats[2])
    other = stats[2].merge(stats[0].merge(stats[1]))
    assert one.result() == other.result()


def test_copies_are_counted_among_samples_and_not_among_rows():
    unit = MEASURES["copies_share"].unit
    parts = {
        "a": Value(0.5, unit, "lower", 100, 7, 0.4, 0.6),
        "b": Value(0.0, unit, "lower", 300, 0, 0.0, 0.01),
    }
    figure = together_of("copies_share", parts).value
    assert figure.value == 50 / 400
    assert (figure.low, figure.high) == wilson(50, 400)


def log_p(rows):
    """Mean log p of rows with its normal interval."""
    error = rows.std(ddof=1) / math.sqrt(len(rows))
    low, high = rows.mean() - 1.959963984540054 * error, rows.mean() + 1.959963984540054 * error
    return Value(float(rows.mean()), MEASURES["log_p"].unit, "higher", 0, len(rows), low, high)


def test_means_of_parts_give_the_mean_of_the_whole_and_an_interval_that_covers():
    """95 of 100 simulations hold the mean that the rows were drawn with, sites unlike in size."""
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(300):
        sites = {str(n): rng.normal(-40, 5, n) for n in (20, 60, 200)}
        figure = together_of("log_p", {name: log_p(rows) for name, rows in sites.items()}).value
        assert figure.value == pytest.approx(np.concatenate(list(sites.values())).mean())
        covered += figure.low <= -40 <= figure.high
    assert 270 <= covered <= 297
    assert figure.high - figure.low == pytest.approx(2 * 1.96 * 5 / math.sqrt(280), rel=0.15)


def test_a_bound_among_the_means_leaves_a_bound():
    unit = MEASURES["log_p"].unit
    bound = Value(-9.0, unit, "higher", 0, 10, -10.0, None)
    figure = together_of("log_p", {"a": bound, "b": log_p(np.arange(-5.0, 0))}).value
    assert figure.high is None
    assert figure.low < figure.value
    without = Value(-9.0, unit, "higher", 0, 10)
    assert MeanSum.from_value("log_p", without).result()["log_p"].low is None


@pytest.mark.parametrize(
    ("quantity", "values"),
    [
        ("utility", {"a": accuracy(9, 10)}),
        ("utility", {"a": accuracy(9, 10), "b": Value(0.5, UNIT, "higher", 200, 0, 0.4, 0.6)}),
        ("utility", {"a": accuracy(9, 10, "elsewhere"), "b": accuracy(1, 2, "elsewhere")}),
        ("column_fidelity", {"a": accuracy(9, 10), "b": accuracy(1, 2)}),
        ("fid", {"a": accuracy(9, 10), "b": accuracy(1, 2)}),
        ("utility", {}),
    ],
)
def test_there_is_no_figure_where_sums_do_not_suffice(quantity, values):
    """One site alone, a site that keeps its number of rows, a pool's values, other kinds."""
    assert together_of(quantity, values) is None


TELLS = '[tell]\ncount = "COUNT"\nnumbers = ["utility", "column_fidelity"]\n'


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wards")
    tells = {"a": TELLS.replace("COUNT", "exact"), "b": TELLS.replace("COUNT", "exact")}
    tells |= {"shy": TELL_UTILITY, "silent": ""}
    write_sites(folder, tells)
    config = federation(folder, list(tells), rounds=2)
    return Federation(config).run(folder / "run")


def test_table_and_page_show_it_beside_the_mean_with_the_number_of_sites(run):
    figure = together(run, "sample_exchange", "utility")
    assert figure.players == ["a", "b"]
    values = [run.main.last[name]["utility"] for name in ("a", "b")]
    hits = sum(round(value.value * value.n_real) for value in values)
    rows = sum(value.n_real for value in values)
    assert figure.value.value == hits / rows
    table = run_table.table(run)
    place = list(table.header).index("utility ↑")
    last = table.rows[-1]
    assert last[0] == "all rows together"
    assert last[place].endswith(" of 2")
    assert f"{hits / rows:.3f}" in last[place]
    assert last[list(table.header).index("column fidelity ↑")] == "–"
    notes = run_table.notes(run)
    assert any(note.startswith("all rows together: by the hits and sums") for note in notes)
    assert "in square brackets: 95 % intervals" in notes

    section = headline(run)
    assert section.tables[0].rows[-1][0] == "all rows together"
    told = section.data["all_rows"]["sample_exchange"]["utility"]
    assert told["value"] == hits / rows
    assert told["players"] == ["a", "b"]
    assert not any("nothing was scored" in text for text in section.text)


def test_a_target_that_is_a_number_has_no_such_figure(run, monkeypatch):
    monkeypatch.setitem(run.record.config["measure"], "target", "age")
    assert together(run, "sample_exchange", "utility") is None


def measurer(folder, name):
    space = Space({"x": Variable(kind="real")})
    rows = space.samples(x=np.linspace(0, 1, 9))
    return SiteMeasurer(name, Holdings(space, rows, rows, rows), EVERYTHING, folder), rows


def test_a_resumed_round_is_written_once_and_the_file_stays_private(tmp_path):
    site, rows = measurer(tmp_path, "north")
    asked = Measure(9, ["fidelity"])
    for round in (2, 4, 6, 4):
        site.measure(rows, asked, {}, round)
    assert [json.loads(line)["round"] for line in site.path.read_text().splitlines()] == [2, 4]
    assert stat.S_IMODE(site.path.stat().st_mode) == 0o600
    with site.path.open("a") as file:
        file.write('{"round": 5, "val')  # it was killed while it wrote
    site.measure(rows, asked, {}, 6)
    assert [json.loads(line)["round"] for line in site.path.read_text().splitlines()] == [2, 4, 6]


def test_a_players_name_stays_in_its_folder(tmp_path):
    site, rows = measurer(tmp_path / "game", "../north")
    site.measure(rows, Measure(9, ["fidelity"]), {}, 1)
    assert site.path.resolve().parent == (tmp_path / "game" / "site").resolve()
    assert site.path.exists()
