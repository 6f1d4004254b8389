"""A site joins a federation, and what catches the eye in its table is said."""

from __future__ import annotations

import stat
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from coplay import Config
from coplay.cli.main import main
from coplay.data.sources.table import Table
from coplay.run.one_schema import united
from coplay.run.site_file import SiteFile
from coplay.site.codes import codes_in
from coplay.site.looking import looked_over
from coplay.site.proposed_column import Proposed
from coplay.site.proposing import proposal

from .test_cli_sites import output, wards


@pytest.fixture
def founded(tmp_path, monkeypatch, capsys):
    """Three tables, of which one has other spellings, and the federation of their proposals."""
    monkeypatch.chdir(tmp_path)
    wards(tmp_path, "north")
    wards(tmp_path, "south", ("age", "weight", "town", "outcome"), seed=1)
    for name in ("north", "south"):
        output(capsys, "site", "propose", f"{name}.csv")
    output(capsys, "init", "--proposals", "north.proposal.toml", "south.proposal.toml")
    return tmp_path / "federation" / "federation.toml"


def joined(capsys, *options, code=0):
    given = ("federation/federation.toml", *options)
    return output(capsys, "site", "init", *given, code=code)


def test_a_site_writes_its_file_with_one_command_and_plays(founded, capsys):
    said = joined(capsys, "--data", "north.csv", "--tell", "utility", "--count", "tens")
    assert "'patient_id' seems to name what a row belongs to: unit, no variable" in said
    assert "it lacks 'weight'" in said
    assert "no fault was met" in said
    assert "next: coplay site preview north/site.toml --federation federation/fed" in said
    file = SiteFile.from_file(Path("north/site.toml"))
    assert (file.federation, file.name, file.data.unit) == ("federation", "north", "patient_id")
    assert file.data.lacks == ("weight",)
    assert (file.tell.numbers, file.tell.count) == (("utility",), "tens")
    given = ["north/site.toml", "--federation", "federation/federation.toml"]
    assert "no fault was met" in output(capsys, "site", "check", *given)
    joined(capsys, "--data", "south.csv")
    silent = SiteFile.from_file(Path("south/site.toml"))
    assert (silent.tell.numbers, silent.tell.count) == ((), "no"), "nothing unless it is said"
    fast = ["game.rounds=2", "game.own_rounds=1", "game.local_steps=2", "measure.samples=100"]
    options = [part for setting in fast for part in ("--set", setting)]
    sites = ["--site", "north=north/site.toml", "--site", "south=south/site.toml"]
    output(capsys, "run", "federation/federation.toml", *sites, *options, "--out", "run")


def test_columns_that_are_spelled_otherwise_are_taken_by_their_names(founded, capsys):
    text = Path("south.csv").read_text()
    head = text.splitlines()[0].replace("age", "Age").replace("weight", "WEIGHT")
    Path("south.csv").write_text("\n".join([head, *text.splitlines()[1:]]) + "\n")
    said = joined(capsys, "--data", "south.csv")
    assert "column 'Age' is taken for 'age', by its name" in said
    data = SiteFile.from_file(Path("south/site.toml")).data
    assert data.columns == {"age": "Age", "weight": "WEIGHT"}
    assert data.lacks == ("dose",)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ([], "site init: expected --data with the site's table"),
        (["--data", "nowhere.csv", "--name", "north"], "the file nowhere.csv does not exist"),
        (["--data", "north.csv", "--name", "nort"], "has no site 'nort'; known, nearest first"),
        (["--data", "north.csv", "--unit", "pid"], "unit: no column 'pid'"),
        (["--data", "other.csv", "--name", "north"], "has none of the agreed variables"),
    ],
)
def test_what_a_site_that_joins_has_to_say(founded, capsys, options, fault):
    Path("other.csv").write_text("x\n" + "\n".join(f"{i}.5" for i in range(30)) + "\n")
    assert fault in joined(capsys, *options, code=2)
    assert not Path("north").exists()


def test_a_file_that_does_not_pass_yet_is_there_to_be_mended(founded, capsys):
    said = joined(capsys, "--data", "north.csv", "--tell", "utilty", code=2)
    assert "north/site.toml is written, and is to be mended before its site can play" in said
    assert "'utilty' is no number that is measured or reported here" in said
    said = joined(capsys, "--data", "north.csv", code=2)
    assert "north/site.toml: exists already; name another folder with --out" in said


def test_values_outside_the_agreed_ranges_are_clipped_where_one_says_so(founded, capsys):
    text = Path("north.csv").read_text()
    Path("north.csv").write_text(text + "extra,p0,150.5,0.5,Ulm,ill\n")
    assert "expected a value in [" in joined(capsys, "--data", "north.csv", code=2)
    said = joined(capsys, "--data", "north.csv", "--outside", "clip", "--out", "clipped.toml")
    assert "'age': 1 row clipped to the agreed range" in said


def test_a_site_is_asked_on_a_terminal(founded, monkeypatch, capsys):
    answers = iter(["north.csv", "", "", "utility column_fidelity", "tens"])
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda text: next(answers))
    joined(capsys)
    file = SiteFile.from_file(Path("north/site.toml"))
    assert file.tell.numbers == ("utility", "column_fidelity")
    assert file.tell.count == "tens"


def test_a_new_site_may_hold_its_messages_back(founded, capsys):
    joined(capsys, "--data", "north.csv", "--hold")
    given = "north/site.toml --federation federation/federation.toml"
    said = output(capsys, "site", "preview", *given.split())
    assert f"next, if all of this may leave: coplay site approve {given}" in said
    output(capsys, "site", "approve", *given.split())
    assert stat.S_IMODE(Path("north/approved.json").stat().st_mode) == 0o600


def coded(path, code, rows, low=100, n=60):
    """Write a table in which some cells are a code."""
    lines = ["patient,chol,ok"]
    for i in range(n):
        cell = code if i in rows else low + 3 * i
        lines.append(f"p{i // 2},{cell},{('no', 'yes')[i % 2]}")
    Path(path).write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("numbers", "codes"),
    [
        ([120, 180, 150, -9, -9], [-9]),
        ([0, 1, 2, 1, 9, 9], [9]),
        ([18, 40, 63, 999, 999, 99, 55], [999]),
        ([0.5, 0.1, 0.9, -1, -1], [-1]),
        ([0, 3000, 41310, 99999, 99999], [99999]),
        ([30, 60, -99, -99, 999, 999], [-99, 999]),
        # not repeated; inside; near; usual for numbers with either sign
        ([120, 180, 150, -9], []),
        ([7, 8, 9, 9, 10, 6], []),
        ([80, 60, 99, 99, 20], []),
        ([-3.2, 2.5, -1, -1, 0.4], []),
        ([9, 9, 9], []),
    ],
)
def test_numbers_of_the_usual_forms_that_lie_apart_are_codes(numbers, codes):
    assert [code.value for code in codes_in(np.array(numbers, float))] == codes


def test_codes_are_said_wherever_a_table_is_looked_at(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    coded("a.csv", "-9", {3, 20, 41})
    coded("b.csv", "-9", ())
    note = "'chol': -9 stands in 3 rows, apart from the other numbers (100 to 277), as codes for"
    line = 'missing_marks = ["-9"] and missing = "drop rows" under [data.source]'
    for command in (["site", "propose", "a.csv"], ["init", "--from", "a.csv", "b.csv"]):
        said = output(capsys, *command)
        assert note in said
        assert line in said
    given = ["federation/a/site.toml", "--federation", "federation/federation.toml"]
    assert f"look at: {note}" in output(capsys, "site", "check", *given)
    assert f"note: {note}" in output(capsys, "site", "check", given[0])
    options = ["--missing-marks", "-9", "--out", "marked"]
    said = output(capsys, "init", "--from", "a.csv", "b.csv", *options)
    assert "stands in" not in said
    assert "a: 3 rows of 60 with missing cells are kept, since these" in said
    config = Config.from_file("marked/federation.toml")
    assert config.variables["chol"].low == 100
    assert config.variables["chol"].optional
    assert "-9" in SiteFile.from_file(Path("marked/a/site.toml")).data.source.missing_marks
    assert "no fault was met" in output(capsys, "check", "marked/federation.toml")


def test_a_mark_that_another_column_holds_in_earnest_is_said(tmp_path):
    lines = [f"{(120 + i, 999)[i % 10 == 3]},{990 + i % 20}" for i in range(60)]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["chol,count", *lines]) + "\n")
    (note,) = looked_over(Table(file=str(path)), [], None)
    assert "'chol': 999 stands in 6 rows" in note
    assert "it would be missing in 'count' too" in note


def test_a_code_among_words_is_said(tmp_path):
    path = tmp_path / "a.csv"
    lines = [("no", "yes", "-9")[i % 3] + f",{i}.5" for i in range(60)]
    path.write_text("\n".join(["smokes,dose", *lines]) + "\n")
    (note,) = looked_over(Table(file=str(path)), [], None)
    assert note.startswith("'smokes': '-9' stands among words in 20 rows")


@pytest.mark.parametrize(
    "name",
    [
        "pid",
        "patient",
        "mrn",
        "subject",
        "person_id",
        "case_id",
        "PatientID",
        "patient no",
        "Pat-ID",
    ],
)
@pytest.mark.parametrize("visits", [2, 5])
def test_a_column_that_names_patients_is_the_unit_and_said(tmp_path, name, visits):
    path = tmp_path / "a.csv"
    lines = [f"{i // visits + 1000},{i}.5" for i in range(60)]
    path.write_text("\n".join([f"{name},dose", *lines]) + "\n")
    proposed = proposal(path)
    assert proposed.unit == name
    assert name not in proposed.variables
    assert any(f"unit = '{name}' in the site file" in note for note in proposed.notes)
    (note,) = looked_over(Table(file=str(path)), [], None)
    assert f"'{name}' seems to name what a row belongs to, and repeats: unit = '{name}'" in note
    assert looked_over(Table(file=str(path)), [], name) == []


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([f"p{i % 3}" for i in range(60)], "has only 3 different texts; if rows of one are to"),
        (["", *(f"p{i // 2}" for i in range(59))], "its cell is empty in 1 row: fill them"),
    ],
)
def test_a_column_of_patients_that_cannot_be_the_unit_is_said_and_does_not_leave(
    tmp_path, cells, words
):
    path = tmp_path / "a.csv"
    lines = [f"{cell},{i}.5" for i, cell in enumerate(cells)]
    path.write_text("\n".join(["pid,dose", *lines]) + "\n")
    proposed = proposal(path)
    assert proposed.unit is None
    assert set(proposed.variables) == {"dose"}
    assert any(words in note for note in proposed.notes)


@pytest.mark.parametrize("words", [("0", "1"), ("no", "yes"), ("0.0", "1.0")])
def test_a_rare_value_of_two_is_said_to_the_person_and_not_revealed(
    tmp_path, monkeypatch, capsys, words
):
    monkeypatch.chdir(tmp_path)
    lines = [f"{words[i % 20 == 7]},{i}.5" for i in range(60)]
    Path("a.csv").write_text("\n".join(["hiv,dose", *lines]) + "\n")
    said = output(capsys, "site", "propose", "a.csv")
    assert "stays here: 'hiv': one of its two values has fewer than 10 rows" in said
    values = tomllib.loads(Path("a.proposal.toml").read_text())
    assert values["variables"]["hiv"] == {"kind": "binary"}
    proposed = proposal(Path("a.csv"))
    assert words[1].removesuffix(".0") not in proposed.variables["hiv"].levels


def test_rare_categories_are_counted_for_the_person(tmp_path):
    path = tmp_path / "a.csv"
    towns = ["Ulm"] * 30 + ["Bonn"] * 25 + ["Jena"] * 3 + ["Kiel"] * 2
    path.write_text("\n".join(["town,dose", *(f"{t},{i}.5" for i, t in enumerate(towns))]) + "\n")
    notes = proposal(path).notes
    assert (
        "'town': categories with fewer than 10 rows (2 of 4) count as 'other', without a name"
        in (notes)
    )


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (Proposed("real", -5, 20), ("real", -5, 20, ())),
        (Proposed("categorical", levels=("0", "1", "2")), ("categorical", ("0", "1", "2"))),
        (Proposed("categorical", levels=("no", "unasked", "yes")), ("categorical", ("no", "yes"))),
    ],
)
def test_a_binary_column_of_a_proposal_fits_more_values_at_another_site(other, expected):
    section = united({"a": {"x": Proposed("binary")}, "b": {"x": other}}, {}).variables["x"]
    if expected[0] == "real":
        assert (section.kind, section.low, section.high) == expected[:3]
    else:
        assert section.kind == "categorical"
        assert set(expected[1]) <= set(section.levels)


def test_names_spelled_two_ways_in_proposals_are_said_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, column in (("a", "Chol"), ("b", "chol"), ("c", "chol")):
        text = f'name = "{name}"\n[variables.{column}]\nkind = "real"\nlow = 0\nhigh = 9\n'
        Path(f"{name}.toml").write_text(text + '[variables.age]\nkind = "real"\n')
    said = output(capsys, "init", "--proposals", "a.toml", "b.toml", "c.toml")
    assert said.count("if they are one") == 1
    assert "a has 'Chol' and lacks 'chol' of b: if they are one" in said


def test_help_of_the_new_command_names_its_options(capsys):
    with pytest.raises(SystemExit):
        main(["site", "init", "--help"])
    said = capsys.readouterr().out
    for option in ("--data", "--name", "--unit", "--tell", "--missing-marks", "--hold"):
        assert option in said
