"""Columns that have one value, or none, at some sites of a new federation."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from reproductions.tables.cases import CASES

from coplay import Config
from coplay.run.own_data import own_data
from coplay.run.site_file import SiteFile

from .test_cli_sites import column, output

ADULT = Path("/work/shared/data/tables")


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def founded(capsys, *names):
    """Found a federation on tables; return its variables, and what was said."""
    files = [f"{name}.csv" for name in names]
    said = output(capsys, "init", "--from", *files, "--out", ".")
    return tomllib.loads(Path("federation.toml").read_text())["variables"], said


def site(name):
    return SiteFile.from_file(Path(name) / "site.toml").data


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (["a"], ["a", "b"], {"kind": "categorical", "categories": ["a", "b"]}),
        (["a"], ["b", "c"], {"kind": "categorical", "categories": ["a", "b", "c"]}),
        (["a"], ["b"], {"kind": "categorical", "categories": ["a", "b"]}),
        ([3], [1, 2, 3, 4], {"kind": "categorical", "categories": ["1", "2", "3", "4"]}),
        ([3], range(100, 140), {"kind": "real", "low": 0, "high": 140}),
        ([1.5], [2.5, 3.5, 4.5], {"kind": "real", "low": 1.0}),
        ([0], [0, 1], {"kind": "binary"}),
        (["y"], ["n", "y"], {"kind": "binary"}),
        (["Yes"], ["No", "Yes"], {"kind": "binary"}),
        (["yes"], ["no"], {"kind": "binary"}),
        (["no"], ["no", "unasked", "yes"], {"categories": ["no", "unasked", "yes"]}),
    ],
)
@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_a_column_with_one_value_at_a_site_is_a_variable_where_another_has_more(
    capsys, names, one, other, expected
):
    column("a.csv", "x", [*one] * 60)
    column("b.csv", "x", (list(other) * 60)[:60])
    variables, said = founded(capsys, *names)
    assert {key: variables["x"][key] for key in expected} == expected
    said = [line for line in said.splitlines() if line.startswith("a: column 'x' is ")]
    assert [line.partition(" in every row; ")[2] for line in said] == [
        "it is a variable, since other sites have others"
    ]
    assert (site("a").lacks, site("b").lacks) == ((), ())
    assert "no fault was met" in output(capsys, "check", "federation.toml")


def values_at(name, variable):
    """Return the values that a site learns, categories by their names."""
    held = own_data(Config.from_file(Path("federation.toml")), None, {})[name].load()
    values = held.train[variable].tolist()
    names = held.space[variable].class_names
    return [names[value] for value in values] if names else values


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (["b"], ["a", "c"], {"b"}),
        ([3], range(100, 140), {3.0}),
        (["y"], ["n", "y"], {1}),
        (["n"], ["n", "y"], {0}),
        (["yes"], ["no"], {1}),
        ([1.5], [2.5, 3.5], {1.5}),
    ],
)
def test_the_rows_of_a_site_have_its_one_value(capsys, one, other, expected):
    column("a.csv", "x", [*one] * 60)
    column("b.csv", "x", (list(other) * 60)[:60])
    founded(capsys, "a", "b")
    assert set(values_at("a", "x")) == expected


def test_a_site_whose_column_has_one_level_plays_and_draws_the_others(capsys):
    column("a.csv", "x", ["b"] * 60)
    column("b.csv", "x", ["a", "c"] * 30)
    founded(capsys, "a", "b")
    fast = ["game.rounds=2", "game.own_rounds=1", "game.local_steps=20", "measure.samples=100"]
    options = [part for setting in fast for part in ("--set", setting)]
    output(capsys, "run", "federation.toml", *options, "--out", "run")
    given = ("run", "--player", "a", "-n", "300", "--out", "a-drawn.csv")
    output(capsys, "sample", *given)
    header, *lines = Path("a-drawn.csv").read_text().splitlines()
    place = header.split(",").index("x")
    assert {line.split(",")[place] for line in lines} == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (["a"], "column 'x' is 'a' in every row"),
        ([7], "column 'x' is '7' in every row"),
        ([1.5], "column 'x' is 1.5 in every row"),
        (["yes"], "column 'x' is 'yes' in every row"),
        (["1.0"], "column 'x' is 1 in every row"),
    ],
)
def test_a_column_with_one_value_at_all_sites_is_left_out(capsys, cells, reason):
    for name in "abc":
        column(f"{name}.csv", "x", cells * 60)
    variables, said = founded(capsys, "a", "b", "c")
    assert set(variables) == {"size"}
    assert f"left out: {reason} of every site" in said.splitlines()
    assert "no fault was met" in output(capsys, "check", "federation.toml")


def test_a_column_that_only_one_site_has_with_one_value_is_left_out(capsys):
    column("a.csv", "x", ["u"] * 60)
    column("b.csv", "y", ["v", "w"] * 30)
    variables, said = founded(capsys, "a", "b")
    assert set(variables) == {"size", "y"}
    expected = "column 'x' is 'u' in every row of a, and no other site has it as a variable"
    assert f"left out: {expected}" in said.splitlines()


def test_rare_levels_of_small_sites_are_counted_together(capsys):
    column("a.csv", "x", ["u"] * 6 + ["v"] * 6)
    column("b.csv", "x", ["u"] * 6 + ["v"] * 6)
    variables, _ = founded(capsys, "a", "b")
    assert variables["x"]["categories"] == ["u", "v"]
    column("b.csv", "x", ["u"] * 2 + ["v"] * 2)
    Path("federation.toml").unlink()
    for name in "ab":
        (Path(name) / "site.toml").unlink()
    variables, said = founded(capsys, "a", "b")
    assert set(variables) == {"size"}
    assert "left out: column 'x' has fewer than two categories with 10 rows of every" in said


def test_a_text_in_every_row_beside_numbers_is_lacking_there(capsys):
    column("a.csv", "x", ["unasked"] * 60)
    column("b.csv", "x", [f"{i}.5" for i in range(60)])
    variables, said = founded(capsys, "a", "b")
    assert variables["x"]["kind"] == "real"
    assert "a: column 'x' is 'unasked' in every row, and 'x' is real elsewhere; a lacks it" in said
    assert site("a").lacks == ("x",)
    assert "no fault was met" in output(capsys, "check", "federation.toml")


@pytest.mark.parametrize("cell", ["", "NA", "?"])
@pytest.mark.parametrize("other", [["u", "v"], [1.5, 2.5, 9.5]])
def test_a_column_without_values_at_a_site_is_lacking_there(capsys, cell, other):
    column("a.csv", "x", [cell] * 60)
    column("b.csv", "x", (list(other) * 60)[:60])
    variables, said = founded(capsys, "a", "b")
    assert set(variables) == {"size", "x"}
    assert "a: it lacks 'x', which has no value there" in said.splitlines()
    assert (site("a").lacks, site("b").lacks) == (("x",), ())
    assert "optional" not in variables["x"]
    assert "no fault was met" in output(capsys, "check", "federation.toml")
    assert len(set(values_at("a", "size"))) > 5


def test_a_column_without_values_anywhere_is_left_out(capsys):
    for name in "ab":
        column(f"{name}.csv", "x", [""] * 60)
    variables, said = founded(capsys, "a", "b")
    assert set(variables) == {"size"}
    assert "a: left out: column 'x' is empty" in said.splitlines()


def test_the_one_value_may_be_missing_in_some_rows(capsys):
    column("a.csv", "x", ["u", "u", ""] * 20)
    column("b.csv", "x", ["u", "v"] * 30)
    variables, _ = founded(capsys, "a", "b")
    assert variables["x"]["optional"]
    held = own_data(Config.from_file(Path("federation.toml")), None, {})["a"].load()
    present = held.space["x"].present(held.train["x"])
    assert 0 < int(present.sum()) < len(present)
    assert set(held.train["x"][present].tolist()) == {0}


def test_a_target_with_one_value_is_refused(capsys):
    for name in "ab":
        column(f"{name}.csv", "outcome", ["ill"] * 60)
    given = ("--from", "a.csv", "b.csv", "--target", "outcome")
    said = output(capsys, "init", *given, code=2)
    assert "--target outcome: column 'outcome' is 'ill' in every row of every site" in said


def test_sites_that_propose_say_their_one_level(capsys):
    column("a.csv", "x", ["u"] * 60)
    column("b.csv", "x", ["v"] * 60)
    for name in "ab":
        said = output(capsys, "site", "propose", f"{name}.csv")
        assert "in every row: it becomes a variable if another site has other values" in said
    proposed = tomllib.loads(Path("a.proposal.toml").read_text())["variables"]["x"]
    assert (proposed["kind"], proposed["categories"]) == ("categorical", ["u"])
    said = output(capsys, "init", "--proposals", "a.proposal.toml", "b.proposal.toml")
    assert "a: column 'x' is 'u' in every row; it is a variable" in said
    variables = tomllib.loads(Path("federation/federation.toml").read_text())["variables"]
    assert variables["x"]["categories"] == ["u", "v"]
    said = output(capsys, "site", "init", "federation/federation.toml", "--data", "a.csv")
    assert "no fault was met" in said
    assert site("a").lacks == ()


def test_the_only_level_of_too_few_rows_is_not_named_in_a_proposal(capsys):
    column("a.csv", "x", ["secret"] * 8)
    said = output(capsys, "site", "propose", "a.csv")
    assert "secret" not in Path("a.proposal.toml").read_text()
    assert "stays here: column 'x' is 'secret' in every row" in said


def test_a_site_that_joins_without_a_value_of_a_column_lacks_it(capsys):
    for name in "ab":
        column(f"{name}.csv", "x", ["u", "v"] * 30)
        output(capsys, "site", "propose", f"{name}.csv")
    output(capsys, "init", "--proposals", "a.proposal.toml", "b.proposal.toml")
    column("a.csv", "x", ["NA"] * 60)
    said = output(capsys, "site", "init", "federation/federation.toml", "--data", "a.csv")
    assert "it lacks 'x'" in said
    assert site("a").lacks == ("x",)


@pytest.mark.skipif(not ADULT.exists(), reason="the table is not on this machine")
def test_adult_by_education_keeps_education_at_all_sites(capsys):
    case = CASES["adult"]
    sites, _ = case.dealt(ADULT, 0)
    for name, grid in sites.items():
        grid.write(Path(f"{name}.csv"))
    variables, said = founded(capsys, *sites)
    assert set(variables["education"]["categories"]) == set().union(*case.levels.values())
    assert "bachelors: column 'education' is 'Bachelors' in every row; it is a variable" in said
    assert {site(name).lacks for name in sites} == {()}
    for name, levels in case.levels.items():
        assert set(values_at(name, "education")) == set(levels)


def test_dates_of_a_new_federation_stay_dates(capsys):
    for name in "ab":
        days = [f"2023-0{1 + i // 28}-{1 + i % 28:02}" for i in range(60)]  # no two are the same
        column(f"{name}.csv", "visit", days)
    variables, _ = founded(capsys, "a", "b")
    assert variables["visit"]["unit"] == "days since 1970-01-01"
    assert (variables["visit"]["low"], variables["visit"]["high"]) == (19000, 20000)
    assert "no fault was met" in output(capsys, "check", "federation.toml")


def test_a_date_beside_numbers_is_no_one_variable(capsys):
    column("a.csv", "visit", [f"2023-01-{1 + i % 28:02}" for i in range(60)])
    column("b.csv", "visit", [1990.5 + i % 40 for i in range(60)])
    said = output(capsys, "init", "--from", "a.csv", "b.csv", code=2)
    assert "'visit' is a date at 'a' and real at 'b'" in said
