"""Samples of finished runs under conditions, and tables that are filled."""

import csv
import io

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

import coplay
from coplay import Result, Variable
from coplay.cli.main import main
from coplay.core.errors import CoplayError, DataError, ModelError
from coplay.data.tables.delimited import read_delimited
from coplay.data.tables.filling import Spelling, filled, raw_rows
from coplay.data.tables.formats import TextFormat
from coplay.data.tables.numbers import Marks
from coplay.data.tables.types import Settings
from coplay.run.complete_file import complete_file
from coplay.run.completing import fill
from coplay.run.given import Asked
from coplay.run.given_draws import draw_given
from coplay.run.sampling import load_player

AUTO = {"name": "autoregressive", "hidden": 16, "blocks": 1, "bins": 10}
NOTHING = {"measure": {"metrics": []}, "target": "kind"}


def people(n, seed):
    """Of whom those that are ill are old, and only they smoke."""
    random = np.random.default_rng(seed)
    is_ill = random.random(n) < 0.5
    age = np.where(is_ill, 70, 30) + random.normal(0, 4, n)
    kind = np.where(is_ill, "=ill", np.where(random.random(n) < 0.5, "well", "so, so"))
    smokes = np.where(is_ill, "yes", "no")
    return pd.DataFrame({"age": age.round(1), "kind": kind, "smokes": smokes})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    frames = {"north": people(300, 1), "south": people(300, 2).drop(columns="smokes")}
    folder = tmp_path_factory.mktemp("given") / "run"
    game = {"name": "sample_exchange", "rounds": 2, "local_steps": 150}
    return coplay.play(frames, model=AUTO, game=game, compare=[], folder=folder, **NOTHING)


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    frames = {"north": people(200, 1), "south": people(200, 2)}
    folder = tmp_path_factory.mktemp("family") / "run"
    game = {"name": "direct_exchange", "rounds": 1}
    compare = ["ensemble"]
    model = "exponential_family"
    return coplay.play(frames, model=model, game=game, compare=compare, folder=folder, **NOTHING)


# ---------------------------------------------------------------------------------- in Python


def test_a_frame_under_conditions_fulfils_them_and_tells_how_it_came_about(run):
    run.draws.clear()
    drawn = run.sample("north", 400, given={"kind": "=ill", "age": (68, 72)})
    assert set(drawn["kind"]) == {"=ill"}
    assert drawn["age"].between(68, 72).all()
    assert (drawn["smokes"] == "yes").mean() > 0.9
    assert list(drawn.columns) == ["age", "kind", "smokes"]
    (record,) = run.draws
    assert (record.completed, record.restricted, record.rate) == (("kind",), "age", 1.0)
    assert record.given == ("kind==ill", "age=68..72")
    assert 0.2 < record.chance < 0.6


def test_conditions_as_texts_and_as_values_are_the_same_draw(run):
    one = run.sample("north", 30, given=["smokes=yes", "age=60..", "kind==ill|well"])
    other = run.sample(
        "north", 30, given={"smokes": True, "age": (60, None), "kind": ["=ill", "well"]}
    )
    assert one.equals(other)


def test_samples_without_conditions_are_the_same_as_ever(run):
    before = len(run.draws)
    assert run.sample("north", 20).equals(run.sample("north", 20, given={}))
    assert len(run.draws) == before


def test_rejection_tells_the_share_of_draws_that_it_accepted(family):
    drawn = family.sample("north", 500, given={"kind": "=ill"})
    assert set(drawn["kind"]) == {"=ill"}
    record = family.draws[-1]
    assert record.rejected_by == ("kind",)
    assert record.rate == pytest.approx(0.5, abs=0.08)


def test_an_ensemble_is_asked_as_a_whole(family):
    drawn = family.sample("north", 300, game="ensemble", given={"age": (50, 60)})
    assert drawn["age"].between(50, 60).all()
    with pytest.raises(CoplayError, match=r"given age=50: ensemble of Exp.* give a range, such as"):
        family.sample("north", 3, game="ensemble", given={"age": 50})


def test_an_ensemble_of_stored_samples_shows_none_of_them_twice(family):
    loaded = load_player(family.folder, "north", "ensemble")
    sources = loaded.model._sources
    other = sources["south"]
    stored = other.model.sample(60, torch.Generator().manual_seed(1))
    sources["south"] = type(other)(other.mass, None, stored)
    most = loaded.model.most
    assert most == int(60 / other.mass * sum(loaded.model.masses.values()))
    conditions = Asked("north", loaded.variables).conditions({"kind": ["=ill", "well", "so, so"]})
    samples, record = draw_given(loaded, conditions, most, 1)
    assert (record.drawn, record.accepted) == (most, most)
    ages = samples["age"].tolist()
    assert sum(age in ages for age in stored["age"].tolist()) >= 59
    assert len(set(ages)) == most
    rare = Asked("north", loaded.variables).conditions({"kind": "=ill"})
    with pytest.raises(CoplayError, match=r"no more samples of others are here: ask for at most"):
        draw_given(loaded, rare, most, 1)


# ----------------------------------------------------------------------------- the command line


def test_the_command_line_draws_into_every_form_of_table(run, tmp_path, capsys):
    given = ["--given", "kind=well|so, so", "--given", "age=20..40"]
    rows = {}
    for ending in ("csv", "tsv", "parquet", "npz"):
        out = tmp_path / f"x.{ending}"
        command = ["sample", str(run.folder), "--player", "north", "-n", "50", *given]
        assert main([*command, "--out", str(out)]) == 0
        printed = capsys.readouterr()
        assert printed.out == f"{out}\n"
        rows[ending] = out
    assert "first within the condition, whose chance is" in printed.err
    assert "by rejection; " in printed.err
    frame = pd.read_csv(rows["csv"])
    assert set(frame["kind"]) == {"well", "so, so"}
    assert frame["age"].between(20, 40).all()
    assert len(frame) == 50
    tabs = pd.read_csv(rows["tsv"], sep="\t")
    pd.testing.assert_frame_equal(tabs, frame)
    parquet = pq.read_table(rows["parquet"]).to_pandas()
    assert parquet["kind"].tolist() == frame["kind"].tolist()
    assert parquet["age"].tolist() == np.load(rows["npz"])["age"].tolist()
    assert parquet["smokes"].dtype == bool


def test_the_command_line_refuses_with_one_message(run, tmp_path, capsys):
    out = tmp_path / "x.csv"
    command = ["sample", str(run.folder), "--player", "north", "--out", str(out)]
    assert main([*command, "--given", "kind=wel", "--given", "ages=3"]) == 2
    error = capsys.readouterr().err
    assert "given kind=wel: no level 'wel'; known, nearest first: 'well', " in error
    assert "given ages=3: player 'north' has no variable 'ages'; known, nearest first: age" in error
    assert main([*command, "--most", "0", "--given", "kind=well"]) == 2
    assert "--most 0: expected at least 1 draw" in capsys.readouterr().err
    assert not out.exists()


# ------------------------------------------------------------------------------ filling a table

TABLE = (
    "\ufeffid, age ,note,kind,smokes\r\n"
    '1,29.50,"a ""b"", c",,no\r\n'
    "2,,,=ill, \r\n"
    "3,71,x , so\r\n".replace(" so", '"so, so",yes')
    + "\r\n"
    '"4",,"two\nlines",,'
)


def complete(run, tmp_path, text, name="in.csv", **settings):
    file = tmp_path / name
    file.write_bytes(text.encode())
    out = tmp_path / f"out-{name}"
    lines = complete_file(run.folder, "north", file, out, settings=settings)
    return out.read_bytes().decode(), lines


def test_a_table_is_filled_and_every_other_character_stays(run, tmp_path):
    text, lines = complete(run, tmp_path, TABLE)
    rows = [row.cells for row in raw_rows(text, ",", '"')]
    before = [row.cells for row in raw_rows(TABLE, ",", '"')]
    new = {(1, 3), (2, 1), (2, 4), (5, 1), (5, 3), (5, 4)}
    for i, cells in enumerate(before):
        for j, cell in enumerate(cells):
            if (i, j) in new:
                assert rows[i][j].strip() not in ("", '""')
            else:
                assert rows[i][j] == cell
    assert [row.end for row in raw_rows(text, ",", '"')] == ["\r\n"] * 5 + [""]
    assert len(rows[2][1].partition(".")[2]) == 2  # as many decimals as the column has
    assert rows[2][4] == "yes"
    assert rows[5][4] in ("yes", "no")
    assert "6 missing cells filled, in 3 of 4 rows" in lines
    assert "no variables of this player, left as they are: 'id', 'note'" in lines
    assert "missing cells that stay: 1 in 'note'" in lines


def test_what_is_filled_has_the_law_given_the_rest_of_its_row(run, tmp_path):
    body = "".join(f"{i},{kind},\n" for i, kind in enumerate(["=ill", "well"] * 150))
    text, _ = complete(run, tmp_path, f"id,kind,age\n{body}9,,70.0\n" + "8,,70.0\n" * 100)
    frame = pd.read_csv(io.StringIO(text))
    age = frame[:300].groupby("kind")["age"].median()
    assert age["=ill"] == pytest.approx(70, abs=2)
    assert age["well"] == pytest.approx(30, abs=2)
    assert (frame[300:]["kind"] == "=ill").mean() > 0.9
    assert frame["age"].map(lambda x: round(x, 1) == x).all()


def test_a_column_may_go_by_the_name_that_the_site_has_for_it(run, tmp_path):
    player = load_player(run.folder, "north")
    file = written(tmp_path, "jahre,kind\n" + ",=ill\n" * 41 + "31,\n")
    grid = read_delimited(file, TextFormat())
    filling = fill(player, grid, Settings(), {"jahre": "age"}, seed=1)
    assert set(filling.new) == set(range(2, 44))
    assert 66 < np.median([float(filling.new[line][0]) for line in range(2, 43)]) < 74
    assert filling.new[43][1] in ("well", "'so, so", "so, so")
    assert filling.drawn_along == ("smokes",)


def written(folder, text):
    file = folder / "table.csv"
    file.write_text(text)
    return file


def test_another_seed_fills_otherwise_and_the_same_one_the_same(run, tmp_path):
    file = tmp_path / "in.csv"
    file.write_text("age,kind\n" + ",well\n" * 20)
    texts = []
    for number, seed in enumerate((1, 1, 2)):
        out = tmp_path / f"{number}.csv"
        complete_file(run.folder, "north", file, out, seed=seed)
        texts.append(out.read_text())
    assert texts[0] == texts[1] != texts[2]


def test_semicolons_and_decimal_commas_are_written_as_they_were_read(run, tmp_path):
    settings = {"separator": ";", "decimal": ",", "missing_marks": ("NA",)}
    text, _ = complete(run, tmp_path, "age;kind;smokes\n30,5;;NA\nNA;well;NO\n", **settings)
    rows = list(csv.reader(io.StringIO(text), delimiter=";"))
    assert rows[1][0] == "30,5"
    assert rows[1][1] in ("well", "so, so")
    assert rows[1][2] == "NO"
    assert "," in rows[2][0]
    assert 15 < float(rows[2][0].replace(",", ".")) < 45


def test_all_wrong_cells_are_told_with_their_place(run, tmp_path):
    with pytest.raises(DataError) as raised:
        complete(run, tmp_path, "age,kind,smokes\nold,well,\n30,wel,perhaps\n")
    first, second, third = str(raised.value).splitlines()
    assert "in.csv, line 2, column 'age': expected a number such as 40 or 0.5, got 'old'" in first
    assert "line 3, column 'kind': no level 'wel'; known, nearest first: 'well'" in second
    assert "line 3, column 'smokes': expected yes or no" in third


@pytest.mark.parametrize(
    ("name", "out", "fault"),
    [
        ("in.json", "x.json", "expected a name that ends in .csv, .tsv, .parquet, .feather or"),
        ("in.csv", "x.tsv", "expected a name that ends in .csv, as"),
        ("in.csv", "in.csv", "it is the table itself, which stays; name another file"),
        ("none.csv", "x.csv", "none.csv does not exist"),
    ],
)
def test_files_that_cannot_be(run, tmp_path, name, out, fault, capsys):
    (tmp_path / "in.csv").write_text("age,kind\n,well\n")
    files = [str(tmp_path / name), "--out", str(tmp_path / out)]
    assert main(["complete", str(run.folder), *files, "--player", "north"]) == 2
    assert fault in capsys.readouterr().err
    assert (tmp_path / "in.csv").read_text() == "age,kind\n,well\n"


def test_a_model_that_does_not_complete_and_a_table_of_other_columns_are_refused(
    run, family, tmp_path
):
    with pytest.raises(ModelError, match="cannot draw some variables given others; autoregressive"):
        complete(family, tmp_path, "age,kind\n,well\n")
    with pytest.raises(DataError, match="expected columns of player 'north', which are 'age', 'ki"):
        complete(run, tmp_path, "a,b\n,1\n")


def test_raw_rows_give_their_text_again_and_replaced_cells_get_quotes():
    text = 'a|b\r"x|""y""\n" |  "z"\n\n|'
    rows = list(raw_rows(text, "|", '"'))
    assert "".join("|".join(row.cells) + row.end for row in rows) == text
    assert [(row.line, len(row.cells)) for row in rows] == [(1, 2), (2, 2), (4, 1), (5, 2)]
    new, count = filled(text, "|", '"', {5: {0: 'a|"b"', 1: "c"}})
    assert (new, count) == (text[:-1] + '"a|""b"""|c', 2)


@pytest.mark.parametrize(
    ("variable", "cells", "value", "text"),
    [
        ({"kind": "real"}, ("1.25", "3"), 2.0, "2.00"),
        ({"kind": "real"}, ("1", "3"), 2.6, "3"),
        ({"kind": "real"}, (), 2.123456789, "2.12346"),
        ({"kind": "real"}, ("1e3",), 0.00001234, "1.234e-05"),
        ({"kind": "real"}, ("1",), -0.2, "0"),
        ({"kind": "real", "low": 0, "high": 1.5}, ("1",), 1.5, "1"),
        ({"kind": "count"}, ("1.0",), 7, "7"),
        ({"kind": "binary"}, ("True",), 0, "False"),
        ({"kind": "binary"}, (), 1, "1"),
        ({"kind": "categorical", "classes": 2, "names": ("=a", "b")}, ("=a",), 0, "=a"),
        ({"kind": "categorical", "classes": 2, "names": ("=a", "b")}, ("b",), 0, "'=a"),
    ],
)
def test_values_are_written_as_the_column_writes_them(variable, cells, value, text):
    assert Spelling(Variable(**variable), cells, Marks()).text(value) == text


def test_a_run_that_is_read_again_draws_the_same(run):
    given = {"age": (60, 80)}
    again = Result.load(run.folder)
    assert again.sample("north", 10, given=given).equals(run.sample("north", 10, given=given))


ADMITTED = Variable(kind="real", low=19000, high=20000, unit="days since 1970-01-01")
WOKEN = Variable(kind="real", unit="hours since midnight")
MOMENTS = Asked("north", coplay.Space({"admitted": ADMITTED, "woken": WOKEN}))


@pytest.mark.parametrize(
    ("given", "low", "high"),
    [
        ("admitted=2023-06-01..2023-06-30", 19509.0, 19538.0),
        ("admitted=2023-06-01 12:00..", 19509.5, np.inf),
        ("admitted=19509..19538", 19509.0, 19538.0),
        ("admitted=2023-06-01", 19509.0, 19509.0),
        ("woken=6:45..07:30 PM", 6.75, 19.5),
    ],
)
def test_a_condition_on_a_date_is_written_as_a_date(given, low, high):
    (condition,) = MOMENTS.conditions([given]).values()
    assert (condition.subset.low, condition.subset.high) == (low, high)


def test_a_date_of_python_is_one_too():
    day = np.datetime64("2023-06-01").item()
    assert MOMENTS.conditions({"admitted": day})["admitted"].point == 19509.0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("admitted=02/03/2023..", "expected a date such as 2024-02-29 or"),
        ("admitted=2023-02-30", "expected a date such as 2024-02-29 or"),
        ("admitted=6:45", "expected a date such as 2024-02-29 or"),
        ("woken=2023-06-01", "expected a time of day such as 13:30, or its hours"),
        ("admitted=2023-07-01..2023-06-01", "since 2023-07-01 is more than 2023-06-01"),
        (
            "admitted=1999-01-01..",
            "expected limits in the agreed range [2022-01-08, 2024-10-04]",
        ),
        (
            "admitted=1999-01-01",
            "expected a value in the agreed range [2022-01-08, 2024-10-04], got 1999-01-01",
        ),
    ],
)
def test_what_is_no_date_is_refused_in_words_of_dates(given, words):
    with pytest.raises(CoplayError) as error:
        MOMENTS.conditions([given])
    assert words in str(error.value)
