"""A session of Python: data in memory in, scores, samples, models and a verdict out."""

import stat

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from sklearn.datasets import load_breast_cancer
from torch import nn

import coplay
from coplay import Config, Federation, Result, Space
from coplay.core.errors import ConfigError, CoplayError, DataError, ModelError, RunFolderError
from coplay.data.frames import given_by
from coplay.data.given_form import as_given
from coplay.run.given_rows import categories_of, reread
from coplay.run.playing import _usual_model

FAST = {"name": "exponential_family"}


def three_frames():
    data = load_breast_cancer(as_frame=True).frame
    data["diagnosis"] = data.pop("target").map({0: "malignant", 1: "benign"})
    data = data[["mean radius", "mean texture", "mean smoothness", "diagnosis"]]
    return {
        "north": data[:190].drop(columns="mean smoothness"),
        "south": data[190:380],
        "east": data[380:].drop(columns="mean texture"),
    }


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    folder = tmp_path_factory.mktemp("session") / "run"
    return coplay.play(
        three_frames(), target="diagnosis", rounds=2, model="exponential_family", folder=folder
    )


def test_ten_lines_play_three_frames_with_different_columns(played):
    assert played.record.status == "finished"
    scores = played.scores()
    assert list(scores.columns) == [
        *("arm", "seed", "game", "player", "round", "metric", "value", "low", "high", "n"),
        "reason",
    ]
    assert set(scores["game"]) == {"sample_exchange", "isolated"}
    assert set(scores["player"]) == {"north", "south", "east"}
    missing = scores[scores["value"].isna()]
    assert (missing["reason"] != "").all()
    kept = scores.query("game == 'sample_exchange' and player == 'north' and metric == 'utility'")
    last = played.plays["sample_exchange"].last["north"]["utility"]
    assert kept["value"].tolist() == [last.value]
    assert kept["low"].tolist() == [last.low]
    assert len(played.curves()) >= len(scores.dropna(subset="value"))
    sample = played.sample("north", 50)
    assert list(sample.columns) == ["mean radius", "mean texture", "diagnosis", "mean smoothness"]
    assert set(sample["diagnosis"]) <= {"benign", "malignant"}
    assert played.best("north").best in ("isolated", "sample_exchange")


def test_the_same_seed_draws_the_same_samples_and_another_one_others(played):
    one, again, other = (played.sample("east", 20, seed=seed) for seed in (1, 1, 2))
    assert one.equals(again)
    assert not one.equals(other)


def test_a_verdict_stays_in_the_folder_of_its_site_where_only_its_owner_reads_it(played):
    file = played.folder / "sites" / "south" / "verdict.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    verdict = played.best("south")
    assert set(verdict.values) == {"sample_exchange", "isolated"}
    assert verdict.n == 19
    with pytest.raises(RunFolderError, match="has no player 'sout'; known, nearest first: south"):
        played.best("sout")


def test_players_of_one_pool_kept_no_rows_for_a_verdict(tmp_path):
    values = {
        "players": 2,
        "model": FAST,
        "game": {"name": "sample_exchange", "rounds": 1},
        "measure": {"metrics": []},
    }
    result = Federation(Config.from_dict(values)).run(tmp_path / "run")
    with pytest.raises(RunFolderError) as error:
        result.best("player0")
    assert str(error.value) == (
        "player 'player0' was dealt its rows from one pool and kept none of its own to choose a "
        "model by, so nothing says which is best for it; give it data of its own"
    )
    reasons = {row for row in result.scores()["reason"]}
    assert "" not in reasons


def test_a_model_comes_with_what_it_learned(played):
    model = played.model("north")
    drawn = model.sample(2000, torch.Generator().manual_seed(0))["mean radius"].mean()
    frame = three_frames()["north"]
    assert abs(drawn - frame["mean radius"].mean()) < 1
    with pytest.raises(ModelError, match=r"player 'north': .* has no network of torch"):
        played.network("north")


def test_a_run_goes_on_only_with_its_data_given_again(tmp_path):
    frames = {"a": three_frames()["south"], "b": three_frames()["south"][:100]}
    settings = {"model": FAST, "rounds": 2, "compare": [], "measure": {"metrics": []}}

    class Stopped(Exception):
        pass

    def stop(what, done, of):
        raise Stopped

    folder = tmp_path / "run"
    whole = coplay.play(frames, folder=tmp_path / "whole", **settings)
    with pytest.raises(Stopped):
        coplay.play(frames, folder=folder, report=stop, **settings)
    with pytest.raises(DataError, match=r"these data \(pandas\) were in memory"):
        Federation.resume(folder)
    result = Federation.resume(folder, given=frames)
    assert result.sample("a", 30).equals(whole.sample("a", 30))


FRAMES = {
    "pandas": lambda columns: pd.DataFrame(columns),
    "polars": lambda columns: pl.DataFrame(columns),
    "pyarrow": lambda columns: pa.table(columns),
}


@pytest.mark.parametrize("library", FRAMES)
def test_frames_come_back_with_their_columns_types_and_texts(library):
    n = 40
    columns = {
        "town": ["Ulm", "Bonn"] * (n // 2),
        "dose": [i / 8 for i in range(n)],
        "visits": [i % 20 for i in range(n)],
        "ok": [i % 3 == 0 for i in range(n)],
        "smokes": ["yes" if i % 4 else "no" for i in range(n)],
    }
    frame = FRAMES[library](columns)
    given = given_by("north", frame)
    kinds = {name: given.data.space[name].kind for name in given.data.space}
    assert kinds == {
        "town": "categorical",
        "dose": "real",
        "visits": "real",
        "ok": "binary",
        "smokes": "binary",
    }
    back = as_given(given.data.test, given.data.space, given.source)
    assert type(back) is type(frame)
    if library == "pandas":
        assert back.dtypes.equals(frame.dtypes)
        rows, all_rows = back.values.tolist(), frame.values.tolist()
    else:
        assert back.schema == frame.schema
        table = back if library == "polars" else pl.from_arrow(back)
        rows, all_rows = table.rows(), pl.DataFrame(columns).rows()
    known = {tuple(row) for row in all_rows}
    assert len(rows) == 8
    assert all(tuple(row) in known for row in rows)


def test_categories_of_pandas_stay_categories_with_their_names():
    town = pd.Series(["Ulm", "Bonn"] * 10, dtype="category")
    given = given_by("north", pd.DataFrame({"town": town, "dose": np.arange(20.0)}))
    back = as_given(given.data.test, given.data.space, given.source)
    assert list(back["town"].cat.categories) == ["Bonn", "Ulm"]


def test_dates_are_read_and_names_are_left_out_with_a_note():
    n = 30
    frame = pd.DataFrame(
        {
            "seen": pd.date_range("2024-01-01", periods=n),
            "name": [f"person {i}" for i in range(n)],
            "case": np.arange(n) + 700,
            "dose": np.arange(n) / 4,
        }
    )
    given = given_by("north", frame)
    data = given.data
    assert list(data.space) == ["seen", "dose"]
    assert any("column 'name' is an identifier: it holds" in note for note in data.notes)
    assert any("column 'case' is an identifier: it holds" in note for note in data.notes)
    back = as_given(data.train, data.space, given.source)
    assert back["seen"].dtype == frame["seen"].dtype
    assert set(back["seen"]) <= set(frame["seen"])


def test_a_pair_of_arrays_comes_back_as_one():
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    y = np.arange(50) % 3
    given = given_by("north", (x, y))
    assert list(given.data.space) == ["x0", "x1", "x2", "class"]
    back_x, back_y = as_given(given.data.train, given.data.space, given.source)
    assert back_x.dtype == np.float32
    assert back_y.dtype == y.dtype
    assert {tuple(row) for row in back_x.tolist()} <= {tuple(row) for row in x.tolist()}


def test_images_in_arrays_and_tensors_are_read():
    pictures = torch.arange(30 * 36).reshape(30, 6, 6) / (30 * 36)
    given = given_by("north", {"image": pictures, "class": np.arange(30) % 2})
    assert given.data.space["image"].shape == (6, 6)
    assert given.data.space["class"].classes == 2


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (
            "north.csv",
            "data of 'north': expected a frame of pandas, polars or pyarrow, a dictionary of "
            "arrays, a pair (X, y) of arrays, or a coplay Dataset; got str; read the file first, "
            "such as with pandas.read_csv",
        ),
        (
            {"a": [1.0, 2.0], "b": [1.0]},
            "data of 'north': expected as many rows in every array, got 2 of 'a', 1 of 'b'",
        ),
        (
            {},
            "data of 'north': expected a frame of pandas, polars or pyarrow, a dictionary of "
            "arrays, a pair (X, y) of arrays, or a coplay Dataset; got no array",
        ),
        (pd.DataFrame({"dose": []}), "data of 'north': expected rows, got none"),
        (
            pd.DataFrame({0: [1.0, 2.0]}),
            "data of 'north': expected names of columns that are texts, got 0",
        ),
    ],
)
def test_data_that_cannot_be_read_are_refused_with_what_was_expected(data, text):
    with pytest.raises(DataError) as error:
        given_by("north", data)
    assert str(error.value) == text


def test_a_slip_in_a_name_is_refused_before_anything_is_played(tmp_path):
    sites = {"a": {"dose": [0.5, 1.0] * 20}}
    with pytest.raises(ConfigError, match="target: no site has a variable 'dos'; there are 'dose'"):
        coplay.play(sites, target="dos", folder=tmp_path / "run")
    with pytest.raises(ConfigError, match="unknown game 'sample_exchang'"):
        coplay.play(sites, game="sample_exchang", folder=tmp_path / "run")
    with pytest.raises(ConfigError, match="sites: expected data by the name of each site"):
        coplay.play({}, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_no_sample_is_refused(played):
    with pytest.raises(CoplayError, match="n: expected at least 1 sample, got 0"):
        played.sample("north", 0)


def test_runs_without_a_folder_are_called_after_their_game(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sites = {"a": {"dose": [0.5, 1.0] * 20}, "b": {"dose": [0.25, 1.0] * 20}}
    settings = {"model": FAST, "rounds": 1, "compare": [], "measure": {"metrics": []}}
    folders = [str(coplay.play(sites, **settings).folder) for _ in range(2)]
    assert folders == ["runs/sample_exchange", "runs/sample_exchange-2"]


def test_a_notebook_shows_scores_with_texts_escaped(tmp_path):
    sites = {"a": {"dose": [0.5, 1.0] * 20}}
    settings = {"model": FAST, "rounds": 1, "game": "isolated"}
    result = coplay.play(sites, title="<script>", folder=tmp_path / "run", **settings)
    page = Result.load(result.folder)._repr_html_()
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert ">column_fidelity ↑</th>" in page
    value = result.main.last["a"]["column_fidelity"]
    assert f">{value.value:.3f}<br>" in page
    assert f">{value.low:.3f} to {value.high:.3f}</small>" in page
    assert str(result.best("a")) in page


def test_a_model_of_torch_gives_its_network(tmp_path):
    sites = {"a": {"dose": np.linspace(0, 1, 40), "ok": np.arange(40) % 2 == 0}}
    settings = {"game": {"name": "isolated", "local_steps": 2}, "rounds": 1}
    result = coplay.play(sites, folder=tmp_path / "run", measure={"metrics": []}, **settings)
    assert isinstance(result.network("a"), nn.Module)


@pytest.mark.parametrize("path", ["missing/run.toml", "there.toml"])
def test_a_path_given_as_toml_is_answered_with_the_right_call(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.toml").write_text("seed = 3")
    with pytest.raises(
        ConfigError, match=rf"expected TOML, got a path: Config.from_file\('{path}'"
    ):
        Config.from_toml(path)
    assert Config.from_file("there.toml").seed == 3


N = 40


def numbers():
    return np.random.default_rng(0).normal(size=N)


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
def test_columns_of_pandas_with_nullable_types_come_back_as_they_were(backend):
    frame = pd.DataFrame(
        {"dose": numbers(), "n": [i % 20 for i in range(N)], "ok": [True, False] * (N // 2)}
    )
    frame = frame.convert_dtypes(dtype_backend=backend)
    given = given_by("north", frame)
    drawn = as_given(given.data.train, given.data.space, given.source)
    assert drawn.dtypes.tolist() == frame.dtypes.tolist()


def test_missing_values_of_any_library_are_refused_with_their_place():
    cells = [True, None] * (N // 2)
    for column in (pd.array(cells, dtype="boolean"), pd.Series(cells, dtype=object)):
        with pytest.raises(DataError, match=r"data of 'north', row 1, column 'ok': the cell is mi"):
            given_by("north", pd.DataFrame({"dose": numbers(), "ok": column}))


def test_columns_of_one_name_are_refused():
    with pytest.raises(DataError, match=r"data of 'north': give every column a name of its own"):
        given_by("north", pd.DataFrame(np.zeros((4, 2)), columns=["a", "a"]))


def test_categories_that_are_numbers_are_categories_and_come_back_as_numbers(tmp_path):
    stage = pd.Categorical([1, 2, 4, 2] * (N // 4))
    frames = {
        "north": pd.DataFrame({"dose": numbers(), "stage": stage}),
        "south": pd.DataFrame({"dose": numbers(), "stage": [1, 4] * (N // 2)}),
    }
    settings = {"model": FAST, "rounds": 1, "compare": [], "measure": {"metrics": []}}
    result = coplay.play(frames, folder=tmp_path / "run", **settings)
    assert result.sample("north", 5)["stage"].dtype == stage.dtype
    assert set(result.sample("south", 50)["stage"]) <= {1, 2, 4}


def test_a_target_of_whole_numbers_is_a_category_though_values_are_missing():
    for missing in (None, float("nan"), pd.NA):
        sites = {"north": pd.DataFrame({"y": pd.Series([0, 1, 2, missing], dtype=object)})}
        assert categories_of(sites, "y") == ["y"]
    assert categories_of({"north": pa.table({"y": [0, 1, 2, None]})}, "y") == ["y"]


def test_what_is_a_category_is_decided_on_all_sites_when_a_run_goes_on():
    few = {"dose": numbers(), "y": np.arange(N) % 15}
    many = {"dose": numbers(), "y": np.arange(N) * 3 // 4}
    config = Config.from_dict({"model": FAST, "measure": {"target": "y"}})
    read = reread(config, {"north": few, "south": many})
    assert [read[name].space["y"].kind for name in read] == ["real", "real"]


def test_a_site_of_which_every_row_says_yes_draws_yes(tmp_path):
    frames = {
        "north": pd.DataFrame({"dose": numbers(), "ok": ["yes", "no"] * (N // 2)}),
        "south": pd.DataFrame({"dose": numbers(), "ok": ["yes"] * N}),
    }
    settings = {"model": FAST, "rounds": 1, "compare": [], "measure": {"metrics": []}}
    result = coplay.play(frames, folder=tmp_path / "run", **settings)
    assert set(result.sample("south", 50)["ok"]) <= {"yes", "no"}


def test_rows_with_missing_values_are_dropped_or_kept_as_one_asks(tmp_path):
    dose = np.where(np.arange(N) % 4 == 0, np.nan, numbers())
    frames = {"north": pd.DataFrame({"dose": dose, "n": range(N)})}
    assert len(given_by("north", frames["north"], missing="drop rows").data.train) == 24
    kept = given_by("north", frames["north"], missing="keep").data
    assert kept.space["dose"].optional
    assert int(kept.train["dose"].isnan().sum() + kept.test["dose"].isnan().sum()) == 10
    settings = {"model": FAST, "rounds": 1, "game": "isolated", "measure": {"metrics": []}}
    result = coplay.play(frames, missing="keep", folder=tmp_path / "run", **settings)
    assert reread(result.config, frames)["north"].space["dose"].optional
    with pytest.raises(ConfigError, match="missing: expected one of 'refuse', 'drop rows', 'keep'"):
        coplay.play(frames, missing="drop")


def test_rows_of_a_table_are_not_dropped_beside_images_that_would_keep_theirs():
    dose = np.where(np.arange(N) % 4 == 0, np.nan, numbers())
    arrays = {"image": np.random.default_rng(0).random((N, 4, 4)), "dose": dose}
    with pytest.raises(DataError) as error:
        given_by("north", arrays, missing="drop rows")
    assert str(error.value) == (
        "data of 'north': 10 of 40 rows have missing values and are left out, but 'image' would "
        "keep them; leave them out of every array"
    )


GREY = np.random.default_rng(0).random((N, 4, 4)).astype("float32")


@pytest.mark.parametrize(
    ("sites", "model"),
    [
        ([{"image": GREY > 0.5}] * 2, "symmetric_hvae"),
        ([{"image": GREY}] * 2, "conv_hvae"),
        ([{"image": GREY, "class": np.arange(N) % 2}] * 2, "conv_hvae"),
        ([{"image": GREY > 0.5, "class": np.arange(N) % 2}] * 2, "conv_hvae"),
        ([{"image": GREY, "class": np.arange(N) % 2}, {"image": GREY}], "conditionals"),
        ([{"image": GREY, "dose": numbers()}] * 2, "conditionals"),
        ([{"dose": numbers(), "ok": np.arange(N) % 2 == 0}] * 2, "autoregressive"),
        ([{"dose": numbers()}] * 2, "autoregressive"),
    ],
)
def test_the_usual_model_can_learn_what_the_sites_have(sites, model):
    given = {str(place): given_by(str(place), data) for place, data in enumerate(sites)}
    section = _usual_model(given)
    assert section["name"] == model
    variables = {name: each.data.space[name] for each in given.values() for name in each.data.space}
    Config.from_dict({"model": section}).model.fresh().setup(Space(variables), 0)


def test_names_that_are_no_texts_are_refused():
    with pytest.raises(DataError, match="data of 'north': expected names of columns that are te"):
        given_by("north", {1: [0.1, 0.2], "1": [0.3, 0.4]})
    with pytest.raises(ConfigError, match="sites: expected names that are texts, got 1"):
        coplay.play({1: {"dose": [0.1, 0.2]}, "1": {"dose": [0.3, 0.4]}})


SETTINGS_OF_FILES = ("without", "missing_marks", "categories =", "thousands or", "outside =")


def spoilt(column):
    values = pd.Series(numbers(), dtype=object)
    values[:] = column(values)
    return {"n": pd.DataFrame({"dose": numbers()}), "s": pd.DataFrame({"dose": values})}


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (lambda v: v.where(v.index != 3, None), 'play(…, missing="drop rows") leaves out 1 row'),
        (lambda v: v.where(v.index != 3, "n/k"), "put None in its place if it stands for a"),
        (
            lambda v: ["1,5", "2.5"] * (N // 2),
            "make it numbers before, or leave 'dose' out of the data",
        ),
        (lambda v: range(2**60 + 1, 2**60 + 1 + N), "leave 'dose' out of the data if it only"),
    ],
)
def test_errors_of_frames_say_what_can_be_done_in_python(column, text, tmp_path):
    with pytest.raises(DataError) as error:
        coplay.play(spoilt(column), folder=tmp_path / "run")
    assert text in str(error.value)
    assert not [name for name in SETTINGS_OF_FILES if name in str(error.value)]


def test_values_outside_an_agreed_range_are_mended_in_python(tmp_path):
    variables = {"dose": {"kind": "real", "low": 0, "high": 0.01}}
    sites = {"n": {"dose": numbers()}, "s": {"dose": numbers()}}
    with pytest.raises(DataError) as error:
        coplay.play(sites, variables=variables, folder=tmp_path / "run")
    assert "or agree on a wider one: play(…, variables=…)" in str(error.value)
    assert "outside =" not in str(error.value)


def test_missing_values_of_arrays_with_two_axes_are_named_with_a_way_out():
    values = np.random.default_rng(0).random((N, 3))
    values[4, 1] = values[7, 0] = np.nan
    with pytest.raises(DataError) as error:
        given_by("north", {"x": values, "image": GREY})
    assert str(error.value).startswith(
        "data of 'north', row 4, array 'x': expected finite values, got 2 NaN or infinite ones; "
    )
    assert "arrays of one axis each, whose rows play(…, missing=…) drops or keeps" in str(
        error.value
    )


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("missing_marks", "put None where they stand"),
        ("without", "leave columns out of the data"),
        ("outside", "clip the columns"),
        ("separator", "how a file is read"),
    ],
)
def test_settings_of_files_are_answered_with_what_to_do_in_python(setting, text):
    with pytest.raises(ConfigError) as error:
        coplay.play({"n": {"dose": numbers()}}, **{setting: "x"})
    assert f"{setting}: play does not take it; {text}" in str(error.value)


def test_data_given_for_nobody_are_refused(played, tmp_path):
    given = {"nort": {"dose": numbers()}, "south": {"dose": numbers()}}
    config = Config.from_dict({"players": {"north": {}, "south": {}}})
    with pytest.raises(ConfigError) as error:
        Federation(config, given)
    assert "given: no player 'nort'; known, nearest first: north, south" in str(error.value)
    assert "given: player 'south' is dealt its rows from the pool" in str(error.value)
    with pytest.raises(ConfigError, match="given: no player 'nort'"):
        Federation.resume(played.folder, given={"nort": {"dose": numbers()}})
