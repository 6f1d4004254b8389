"""The page says which columns sites saw together, and what is possible where none did."""

import json

import numpy as np
import pytest

from coplay import Config, Federation
from coplay.report import write
from coplay.report.together import _value
from coplay.run.open_pairs import OpenPair
from coplay.run.overlap import Ended, overlap_of
from coplay.run.record import DataRecord

SEES = {"a": "xy", "b": "yz", "c": "xyw"}
CORRELATION = np.array(
    [[1.0, 0.6, 0.2, 0.3], [0.6, 1.0, 0.8, -0.2], [0.2, 0.8, 1.0, -0.1], [0.3, -0.2, -0.1, 1.0]]
)


def drawn(n=400):
    rng = np.random.default_rng(0)
    return {site: rng.multivariate_normal(np.zeros(4), CORRELATION, n) for site in SEES}


def config(folder, sees, own_files=False, n=400):
    players = {}
    variables = sorted({name for columns in sees.values() for name in columns}, key="xyzw".index)
    for site, rows in drawn(n).items():
        if site not in sees:
            continue
        places = ["xyzw".index(name) for name in sees[site]]
        head = ",".join(sees[site])
        file = folder / f"{site}.csv"
        np.savetxt(file, rows[:, places], "%.5f", ",", header=head, comments="")
        source = {"name": "table", "file": str(file)}
        lacks = [name for name in variables if name not in sees[site]]
        players[site] = {"data": {"source": source, "test": source, "lacks": lacks}}
        if own_files:
            text = f'name = "{site}"\nfederation = "federation"\n[data]\nlacks = {lacks}\n'
            text += f'source = {{ name = "table", file = "{site}.csv" }}\n'
            (folder / f"{site}.toml").write_text(text)
            players[site] = {"site": str(folder / f"{site}.toml")}
    return Config.from_dict(
        {
            "name": "federation",
            "variables": {name: {"kind": "real"} for name in variables},
            "players": players,
            "model": "exponential_family",
            "game": {
                "name": "sample_exchange",
                "rounds": 4,
                "own_rounds": 1,
                "own_weight": 0.4,
                "samples_per_round": 500,
            },
            "measure": {"every_rounds": 4, "metrics": []},
        }
    )


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("overlap")
    return Federation(config(folder, SEES)).run(folder / "run")


def section_of(result):
    write(result)
    page = json.loads((result.folder / "report.json").read_text())
    return page.get("together"), (result.folder / "report.html").read_text()


def test_bounds_of_a_run_are_the_closed_form_of_its_rows(result):
    """x with z by y, and z with w by y: correlations of all rows that have both."""
    rows = drawn()

    def known(one, other):
        places = ["xyzw".index(one), "xyzw".index(other)]
        both = [rows[site][:, places] for site in SEES if {one, other} <= set(SEES[site])]
        return np.corrcoef(np.concatenate(both).T)[0, 1]

    pairs = {pair.variables: pair for pair in result.record.data.open}
    assert set(pairs) == {("x", "z"), ("w", "z")}
    for one, pair in (("x", pairs["x", "z"]), ("w", pairs["w", "z"])):
        a, b = known(one, "y"), known("y", "z")
        width = np.sqrt((1 - a**2) * (1 - b**2))
        assert (pair.low, pair.high) == pytest.approx((a * b - width, a * b + width), abs=1e-4)
        assert list(pair.given) == ["y"]


def test_the_page_has_pairs_bounds_and_what_models_end_with(result):
    data, page = section_of(result)
    assert "No site saw x and z, or w and z together." in page
    assert "what models say of it is an assumption" in page
    pair = next(pair for pair in result.record.data.open if pair.variables == ("x", "z"))
    assert f"{pair.low:.2f} to {pair.high:.2f}".replace("-", "−") in page
    samples = result.main.samples(result.main.shown_rounds[-1])
    place = [each["variables"] for each in data["open"]].index(["x", "z"])
    for player in SEES:
        x, z = (samples[player][name].double().numpy().ravel() for name in "xz")
        value = data["ended"]["sample_exchange"][place]["values"][player]
        assert value == pytest.approx(np.corrcoef(x, z)[0, 1])
        assert f"{value:.2f}" in page
    assert not data["bounds_by_samples"]
    seen_by = {tuple(each["pair"]): each["players"] for each in data["by_some"]}
    assert seen_by == {("x", "y"): ["a", "c"], ("x", "w"): ["c"], ("y", "z"): ["b"]} | {
        ("y", "w"): ["c"]
    }
    assert "a and c" in page


def test_records_keep_pairs(result):
    data = result.record.data
    assert DataRecord.from_json(json.loads(json.dumps(data.json()))).open == data.open


def test_where_sites_keep_their_rows_samples_take_their_place(tmp_path):
    run = Federation(config(tmp_path, SEES, own_files=True)).run(tmp_path / "run")
    assert {pair.low for pair in run.record.data.open} == {None}
    overlap = overlap_of(run)
    assert overlap.by_samples
    (pair,) = (pair for pair in overlap.open if pair.variables == ("x", "z"))
    assert (pair.low, pair.high) == pytest.approx((0.0, 0.96), abs=0.15)
    assert "samples of each site" in section_of(run)[1]


def test_one_line_where_some_site_sees_every_pair(tmp_path):
    sees = {"a": "xyz", "b": "xyz", "c": "xy"}
    run = Federation(config(tmp_path, sees)).run(tmp_path / "run")
    data, page = section_of(run)
    assert data == {}
    assert "Every two columns were seen together by some site." in page
    assert "No site saw" not in page


def test_two_variables_that_all_see_have_no_section(tmp_path):
    run = Federation(config(tmp_path, {"a": "xy", "b": "xy"})).run(tmp_path / "run")
    data, page = section_of(run)
    assert data is None
    assert "Columns seen together" not in page


def test_what_contradicts_bounds_beyond_chance_is_called_impossible():
    pair = OpenPair(("x", "z"), "correlation", 0.2, 0.4)
    ended = Ended({"a": 0.44, "b": 0.9, "c": float("nan")}, {"a": 500, "b": 500, "c": 500})
    texts = [_value(pair, ended, name) for name in ("a", "b", "c", "d")]
    assert texts == ["0.44", "0.90, not possible", "–", "–"]
