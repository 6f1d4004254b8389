"""The commands for sites, as a newcomer types them: init, check, site, list, demo."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coplay import Config, Federation
from coplay.cli.main import main
from coplay.core import storage
from coplay.core.errors import ConfigError
from coplay.core.facts import PROTOCOL, Facts
from coplay.run.approval import check_held
from coplay.run.checking import lines_of
from coplay.run.founding import site_names
from coplay.run.measuring_at_players import not_told
from coplay.run.one_schema import united
from coplay.run.preparing import prepare
from coplay.run.site_file import SiteFile
from coplay.site.proposed_column import Proposed, rounded_outwards
from coplay.site.proposing import proposal

ROOT = Path(__file__).parents[1]


def wards(folder, name, columns=("age", "dose", "town", "outcome"), seed=0, n=60):
    """Write a table with a few columns, an identifier and a remark."""
    rng = np.random.default_rng(seed)
    values = {
        "record": [f"{name}-{i}" for i in range(n)],
        "patient_id": [f"p{i // 2}" for i in range(n)],
        "age": [f"{x:.1f}" for x in rng.normal(50, 10, n).clip(1, 99)],
        "dose": [f"{x:.3f}" for x in rng.random(n)],
        "town": rng.choice(["Ulm", "Bonn"], n).tolist(),
        "outcome": rng.choice(["ill", "well"], n).tolist(),
        "weight": [f"{x:.1f}" for x in rng.normal(70, 9, n)],
    }
    names = ["record", "patient_id", *columns]
    lines = [",".join(names)]
    lines += [",".join(row) for row in zip(*(values[key] for key in names), strict=True)]
    path = folder / f"{name}.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def tables(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wards(tmp_path, "north")
    wards(tmp_path, "south", ("age", "weight", "town", "outcome"), seed=1)
    return tmp_path


def output(capsys, *arguments, code=0):
    assert main([str(argument) for argument in arguments]) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def test_from_tables_to_samples_without_editing_a_file(tables, capsys):
    said = output(capsys, "init", "--from", "north.csv", "south.csv", "--out", "wards")
    assert "target: outcome, by its name" in said
    assert "next: coplay check wards/federation.toml, then coplay run" in said
    assert "'patient_id' seems to name what a row belongs to" in said
    assert "column 'record'" in said, "an identifier is left out with a word"
    said = output(capsys, "check", "wards/federation.toml")
    assert "north: Autoregressive, 50 rows; lacks 'weight'" in said
    assert "nobody sees together: 'dose' with 'weight'" in said
    assert "from_data: the range or the categories of" in said
    assert "north learns from its own rows 50%, south 50% (1,000 samples)" in said
    assert "no fault was met" in said
    fast = ["game.rounds=3", "game.own_rounds=1", "game.local_steps=5", "measure.samples=100"]
    options = [part for setting in fast for part in ("--set", setting)]
    said = output(capsys, "run", "wards/federation.toml", "--out", "run", *options)
    assert "column fidelity" in said
    assert output(capsys, "report", "run").strip() == "run/report.html"
    output(capsys, "sample", "run", "--player", "north", "-n", "4", "--out", "drawn.csv")
    lines = Path("drawn.csv").read_text().splitlines()
    assert lines[0].split(",") == ["age", "dose", "town", "outcome", "weight"]
    assert {line.split(",")[3] for line in lines[1:]} <= {"ill", "well"}


def test_init_marks_what_it_read_off_the_data_and_names_no_rare_level(tables, capsys):
    text = Path("north.csv").read_text().splitlines()
    cells = text[1].split(",")
    cells[4] = "Atlantis"
    Path("north.csv").write_text("\n".join([text[0], ",".join(cells), *text[2:]]) + "\n")
    output(capsys, "init", "--from", "north.csv", "south.csv")
    config = Config.from_file(Path("federation/federation.toml"))
    assert all(section.from_data for section in config.variables.values())
    town = config.variables["town"].categories
    assert set(town) == {"Ulm", "Bonn", "other"}
    assert "Atlantis" not in Path("federation/federation.toml").read_text()
    age = config.variables["age"]
    assert (age.low, age.high) == rounded_outwards(age.low, age.high)
    file = SiteFile.from_file(Path("federation/north/site.toml"))
    assert file.data.unit == "patient_id"
    assert file.data.lacks == ("weight",)
    said = output(capsys, "check", "federation/federation.toml")
    assert "no fault was met" in said


def test_init_overwrites_nothing(tables, capsys):
    output(capsys, "init", "--from", "north.csv", "south.csv")
    before = Path("federation/north/site.toml").read_text()
    said = output(capsys, "init", "--from", "north.csv", "south.csv", code=2)
    assert "exists already; name another folder with --out" in said
    assert Path("federation/north/site.toml").read_text() == before


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ([], "init: expected --from with one table per site"),
        (["--from", "nowhere.csv", "north.csv"], "the file nowhere.csv does not exist"),
        (
            ["--from", "north.csv", "south.csv", "--target", "outcom"],
            "no such variable; known, nearest",
        ),
        (["--from", "north.csv", "south.csv", "--unit", "who"], "unit: no column 'who'"),
        (["--from", "north.csv"], "init --from north.csv: expected two tables or more, one a site"),
        (["--proposals", "north.csv"], "north.csv is no proposal that can be read"),
        (["--from", "north.csv", "--proposals", "x"], "not both"),
    ],
)
def test_init_says_what_it_needs(tables, capsys, arguments, fault):
    assert fault in output(capsys, "init", *arguments, code=2)
    assert not Path("federation").exists()


def test_columns_of_unlike_kinds_are_named_with_both_sites(tables, capsys):
    text = Path("south.csv").read_text().replace("age", "town2").replace("town,", "age,")
    Path("south.csv").write_text(text)
    said = output(capsys, "init", "--from", "north.csv", "south.csv", code=2)
    assert "'age' is real at 'north' and categorical at 'south'" in said


def test_a_schema_holds_what_all_sites_hold():
    one = {"age": Proposed("real", 0, 90), "town": Proposed("categorical", levels=("Ulm", "other"))}
    two = {"age": Proposed("real", 10, 120), "town": Proposed("categorical", levels=("Bonn",))}
    schema = united({"a": one, "b": two}, {})
    age = schema.variables["age"]
    assert (age.low, age.high) == (0, 120)
    assert schema.variables["town"].levels == ("Ulm", "Bonn", "other")
    assert not schema.notes
    spelled = {"sex": Proposed("categorical", levels=("Female", "male"))}
    other = {"sex": Proposed("categorical", levels=("female", "male"))}
    notes = united({"a": spelled, "b": other}, {}).notes
    assert "'female' of b may be 'Female' of a spelled another way" in notes[0]


def test_two_tables_of_one_name_are_told_apart_by_their_folders():
    assert site_names([Path("x/a.csv"), Path("y/a.csv")]) == ["x_a", "y_a"]


def test_a_proposal_holds_no_row_and_no_count(tables, capsys):
    output(capsys, "site", "propose", "north.csv")
    text = Path("north.proposal.toml").read_text()
    values = tomllib.loads(text)
    assert set(values) == {"name", "variables"}
    assert values["variables"]["town"]["categories"] == ["Bonn", "Ulm"]
    assert "north-1" not in text
    assert "p7" not in text
    assert "60" not in text.replace("0.60", "")
    output(capsys, "site", "propose", "south.csv")
    out = output(capsys, "init", "--proposals", "north.proposal.toml", "south.proposal.toml")
    assert "6 variables for 2 sites" not in out
    config = Config.from_file(Path("federation/federation.toml"))
    assert set(config.variables) == {"age", "dose", "town", "outcome", "weight"}
    assert config.player_names == ["north", "south"]


def test_a_site_checks_its_own_file_without_those_of_others(tables, capsys):
    output(capsys, "init", "--from", "north.csv", "south.csv")
    Path("federation/south/site.toml").unlink()
    given = ["federation/north/site.toml", "--federation", "federation/federation.toml"]
    said = output(capsys, "site", "check", *given)
    assert "no fault was met" in said
    assert "rows to learn from" in said
    Path("north.csv").unlink()
    said = output(capsys, "site", "check", *given, code=2)
    assert "north.csv does not exist" in said


def test_what_would_leave_is_shown_and_nothing_is_written(tables, capsys):
    output(capsys, "init", "--from", "north.csv", "south.csv")
    path = Path("federation/north/site.toml")
    path.write_text(path.read_text().split("# What leaves")[0])
    before = sorted(Path().rglob("*"))
    given = [path, "--federation", "federation/federation.toml"]
    said = output(capsys, "site", "preview", *given)
    assert "no number leaves; all stay on the site's own page" in said
    assert "unobserved: weight" in said
    assert "count" not in said
    assert sorted(Path().rglob("*")) == before


def interrupt(what, done, of):
    """Press Ctrl-C after the first round."""
    if done == 1:
        raise KeyboardInterrupt


def test_messages_wait_for_a_person_where_the_site_says_so(tables, capsys):
    output(capsys, "init", "--from", "north.csv", "south.csv")
    path = Path("federation/north/site.toml")
    path.write_text("hold = true\n" + path.read_text())
    fast = ["game.rounds=2", "game.local_steps=2", "compare=[]", "measure.preset=none"]
    options = [part for setting in fast for part in ("--set", setting)]
    run = ["run", "federation/federation.toml", *options, "--out"]
    said = output(capsys, *run, "first", code=2)
    assert "site 'north' holds its messages back until they are approved" in said
    given = "federation/north/site.toml --federation federation/federation.toml"
    assert f"'coplay site preview {given}', then 'coplay site approve {given}'" in said
    assert not (Path("first") / "run.json").exists()
    edited = Path("federation/federation.toml").read_text()
    edited = edited.replace("rounds = 8", "rounds = 2").replace(
        "local_steps = 60", "local_steps = 2"
    )
    edited = edited.replace('compare = [\n    "isolated",\n]', "compare = []")
    edited = edited.replace("[measure]\n", '[measure]\npreset = "none"\n')
    Path("federation/federation.toml").write_text(
        edited.replace("own_rounds = 2", "own_rounds = 1")
    )
    output(capsys, "site", "approve", path, "--federation", "federation/federation.toml")
    approved = Path("federation/north/approved.json")
    assert json.loads(approved.read_text())["site"] == "north"
    assert stat.S_IMODE(approved.stat().st_mode) == 0o600, "a digest of rows helps to guess at them"
    output(capsys, "run", "federation/federation.toml", "--out", "second")
    rows = Path("north.csv").read_text()
    for changed in (rows.replace(",ill", ",well", 1), rows + rows.splitlines()[1] + "\n"):
        Path("north.csv").write_text(changed)
        assert "no fault was met" in output(capsys, "check", "federation/federation.toml")
        said = output(capsys, "run", "federation/federation.toml", "--out", "rows", code=2)
        assert "its rows are others than those that were approved" in said
        assert f"'coplay site approve {given}'" in said
        assert not (Path("rows") / "run.json").exists()
    output(capsys, "site", "approve", path, "--federation", "federation/federation.toml")
    output(capsys, "run", "federation/federation.toml", "--out", "rows")
    stopped = Federation(Config.from_file("federation/federation.toml"))
    with pytest.raises(KeyboardInterrupt):
        stopped.run("stopped", interrupt)
    kept = approved.read_text()
    approved.unlink()
    with pytest.raises(ConfigError, match="back until they are approved there: look at"):
        Federation.resume("stopped")
    approved.write_text(kept)
    assert Federation.resume("stopped").record.status == "finished"
    Path("north.csv").write_text(rows)
    output(capsys, "site", "approve", path, "--federation", "federation/federation.toml")
    federation = Path("federation/federation.toml")
    before = federation.read_text()
    federation.write_text(before.replace("validation = 0.1", "validation = 0.2"))
    said = output(capsys, "run", federation, "--out", "other model", code=2)
    assert "until they are approved" in said, "what another model gives away was not looked at"
    federation.write_text(before)
    path.write_text(path.read_text().replace('count = "tens"', 'count = "exact"'))
    said = output(capsys, "run", "federation/federation.toml", "--out", "third", code=2)
    assert "until they are approved" in said, "another file needs another approval"


def test_a_site_refuses_what_it_does_not_accept(tables, capsys):
    output(capsys, "init", "--from", "north.csv", "south.csv")
    path = Path("federation/north/site.toml")
    path.write_text(
        path.read_text() + '[accepts]\ngames = ["isolated"]\nrounds = 4\nsamples = 100\n'
    )
    said = output(capsys, "check", "federation/federation.toml", code=2)
    assert "site 'north' accepts the games isolated, and not sample_exchange" in said
    assert "site 'north' accepts 4 rounds, and sample_exchange has 8" in said
    assert (
        "draws at most 100 samples for one receiver, and sample_exchange may ask for 2000" in said
    )


def column(path, name, cells):
    """Write a table of a number and one more column."""
    lines = [f"{i % 7}.{i % 10},{cell}" for i, cell in enumerate(cells)]
    Path(path).write_text("\n".join([f"size,{name}", *lines]) + "\n")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        # few whole numbers at one site and many at the other
        ([0, 1, 2], range(15), {"kind": "real", "low": 0, "high": 20}),
        (["no", "yes"], ["no", "yes", "unasked"], {"categories": ["no", "unasked", "yes"]}),
        ([0, 1], [0, 1, 2], {"categories": ["0", "1", "2"]}),
        (["1.0", "2.0", "3.0"], ["1.0", "2.0", "4.0"], {"kind": "real", "low": 0, "high": 10}),
        (["No", "Yes"], ["No", "Yes"], {"kind": "binary"}),
        # the commonest is not first, which would tell which it is
        (["b", "b", "a"], ["a", "c"], {"categories": ["a", "b", "c"]}),
    ],
)
def test_columns_of_two_tables_become_one_variable(
    tmp_path, monkeypatch, capsys, one, other, expected
):
    monkeypatch.chdir(tmp_path)
    column("a.csv", "x", [*one] * 40)
    column("b.csv", "x", [*other] * 40)
    output(capsys, "init", "--from", "a.csv", "b.csv", "--out", ".")
    values = tomllib.loads(Path("federation.toml").read_text())["variables"]["x"]
    assert {key: values[key] for key in expected} == expected
    assert "no fault was met" in output(capsys, "check", "federation.toml")


@pytest.mark.parametrize("visits", [2, 5, 15])
def test_names_of_patients_leave_in_no_file_however_often_they_came(
    tmp_path, monkeypatch, capsys, visits
):
    monkeypatch.chdir(tmp_path)
    column("a.csv", "patient_id", [f"anna{i // visits}" for i in range(15 * visits)])
    column("b.csv", "patient_id", [f"anna{i // visits}" for i in range(15 * visits)])
    output(capsys, "site", "propose", "a.csv")
    assert "anna" not in Path("a.proposal.toml").read_text()
    output(capsys, "init", "--from", "a.csv", "b.csv")
    assert "anna" not in Path("federation/federation.toml").read_text()
    assert SiteFile.from_file(Path("federation/a/site.toml")).data.unit == "patient_id"


def test_amounts_that_differ_in_every_row_are_no_names(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    column("a.csv", "income", [9000 + 37 * i * i for i in range(40)])
    column("b.csv", "record", [100 + i for i in range(40)])
    said = output(capsys, "init", "--from", "a.csv", "b.csv")
    assert "column 'record' holds another whole number in every row" in said
    config = Config.from_file(Path("federation/federation.toml"))
    assert set(config.variables) == {"size", "income"}


def test_a_federation_of_proposals_names_no_path_and_no_range_that_was_taken_out(tables, capsys):
    output(capsys, "site", "propose", "north.csv")
    output(capsys, "site", "propose", "south.csv")
    path = Path("north.proposal.toml")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith(("low", "high"))))
    said = output(capsys, "init", "--proposals", path, "south.proposal.toml")
    assert "each types coplay site init federation/federation.toml --data TABLE --name NAME" in said
    values = tomllib.loads(Path("federation/federation.toml").read_text())
    assert values["players"] == {"north": {}, "south": {}}
    assert "low" not in values["variables"]["age"]
    assert values["variables"]["weight"]["low"] > 0


def test_an_interrupted_init_leaves_no_file(tables, monkeypatch, capsys):
    written = storage.write_atomically

    def interrupted(path, content):
        written(path, content)
        if path.name == "site.toml":
            raise KeyboardInterrupt

    monkeypatch.setattr(storage, "write_atomically", interrupted)
    output(capsys, "init", "--from", "north.csv", "south.csv", code=130)
    assert not list(Path("federation").rglob("*.toml"))
    monkeypatch.undo()
    monkeypatch.chdir(tables)
    output(capsys, "init", "--from", "north.csv", "south.csv")


def test_check_says_who_learns_from_whom_by_the_rows_of_the_weights():
    weights = [[0.5, 0.5, 0.0], [0.1, 0.2, 0.7], [0.0, 0.25, 0.75]]
    config = Config.from_dict(
        {
            "players": {"a": {}, "b": {}, "c": {}},
            "model": "exponential_family",
            "game": {"name": "sample_exchange", "alpha": weights, "samples_per_round": 1000},
        }
    )
    lines = "\n".join(lines_of(config, prepare(config)))
    assert "a learns from its own rows 50%, b 50% (500 samples)\n" in lines
    assert "b learns from its own rows 20%, a 10% (100 samples), c 70% (700 samples)\n" in lines
    assert "c learns from its own rows 75%, b 25% (250 samples)\n" in lines
    # 700 samples, and 1,550, of 64 bits, a byte each
    assert "a link carries up to 43.75 KiB a round, all links 96.88 KiB" in lines


def test_check_says_what_games_of_first_hand_samples_learn_from_by_m():
    values = {
        "players": {"a": {}, "b": {}, "c": {}},
        "model": "exponential_family",
        "game": {"name": "direct_exchange", "own_weight": 0.1, "samples_per_round": 2000},
    }
    config = Config.from_dict(values)
    lines = "\n".join(lines_of(config, prepare(config)))
    # M of three sites with own weight 0.1: 0.1 / (1 - 0.9 · ½ … ) gives 0.379 and 0.310
    assert "a learns from its own rows 38%, b 31% (621 samples), c 31% (621 samples)" in lines
    ring = {"topology": "ring", "relay": True, "rounds": 3, "own_rounds": 2}
    values["players"] = {name: {} for name in "abcde"}
    values["game"] |= ring
    config = Config.from_dict(values)
    assert (
        "direct_exchange: samples take one link a round, and those of 'a', 'b', 'c' and 2 more do "
        "not reach everybody in the 1 that follow own_rounds; it takes 2"
    ) in prepare(config).notes
    values["game"]["rounds"] = 4
    assert not any("samples take" in note for note in prepare(Config.from_dict(values)).notes)
    values["game"]["rounds"] = 2
    (note,) = [n for n in prepare(Config.from_dict(values)).notes if "nobody learns" in n]
    assert "all of its rounds (2) are own_rounds (2) on own data alone" in note


def test_list_describes_one_component(capsys):
    said = output(capsys, "list", "fidelity")
    assert said.startswith("metric fidelity\nWhether the samples of a table are distributed like")
    assert "replicates: int (Ge(ge=2), Le(le=10000)), default 20" in said
    said = output(capsys, "list", "fidelty", code=2)
    assert "unknown kind or component 'fidelty'; known, nearest first: fidelity" in said


def test_the_demo_is_that_of_the_repository():
    packaged = (ROOT / "src" / "coplay" / "cli" / "demo.toml").read_text()
    assert packaged == (ROOT / "configs" / "digits.toml").read_text()


@pytest.mark.parametrize(
    ("low", "high"), [(6.981, 28.11), (-3.0, 5.5), (0.0, 0.4268), (1e-5, 2e5), (-1, -0.5)]
)
def test_ranges_are_rounded_outwards(low, high):
    first, last = rounded_outwards(low, high)
    assert first <= low
    assert high <= last
    assert first >= 0 or low < 0
    assert len(f"{abs(last):g}".replace(".", "").strip("0").split("e")[0]) <= 2


def european(folder, name, seed):
    """Write a table as spreadsheets of much of Europe do: semicolons, decimal commas, cp1252."""
    rng = np.random.default_rng(seed)
    lines = ["größe;wert;stufe;klasse"]
    for x, y in rng.normal(0, 20, (60, 2)):
        row = [f"{x:.3f}".replace(".", ","), f"{y:.1f}".replace(".", ",")]
        lines.append(";".join([*row, str(rng.integers(3)), str(rng.choice(["Süd", "Ost"]))]))
    (folder / f"{name}.csv").write_bytes("\r\n".join(lines).encode("cp1252"))


def test_init_writes_down_how_a_table_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    european(tmp_path, "sud", 0)
    european(tmp_path, "ost", 1)
    said = output(capsys, "init", "--from", "sud.csv", "ost.csv")
    how = "separator = ';' and encoding = 'cp1252' and decimal = ','"
    assert f"sud: read with {how}, as it seems to be written" in said
    source = SiteFile.from_file(tmp_path / "federation/sud/site.toml").data.source
    assert (source.separator, source.decimal, source.encoding) == (";", ",", "cp1252")
    variables = Config.from_file(tmp_path / "federation/federation.toml").variables
    kinds = {name: variable.kind for name, variable in variables.items()}
    assert kinds == {
        "größe": "real",
        "wert": "real",
        "stufe": "categorical",
        "klasse": "categorical",
    }
    assert variables["größe"].low > -200, "12,345 is no number of thousands here"
    assert variables["klasse"].categories == ("Ost", "Süd")
    assert "no fault was met" in output(capsys, "check", "federation/federation.toml")
    assert how in output(capsys, "site", "propose", "sud.csv")


def test_sites_without_a_common_category_are_named():
    words = Proposed("categorical", levels=("f", "m"))
    numbers = Proposed("binary", levels=("0", "1"))
    notes = united({"a": {"sex": words}, "b": {"sex": numbers}}, {}).notes
    assert notes == [
        "'sex': a and b have no category in common ('f', 'm' and '0', '1'); all are categories "
        "now: if they mean the same, write them alike in one of the tables"
    ]


def test_other_for_rare_categories_is_no_word_spelled_another_way():
    rare = Proposed("categorical", levels=("Ulm", "Bonn", "other"))
    named = Proposed("categorical", levels=("Ulm", "Bonn", "Other"))
    notes = united({"a": {"town": rare}, "b": {"town": named}}, {}).notes
    assert notes == []


def test_sites_of_a_few_rows_are_no_sites_without_a_column(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("north", "south"):
        (tmp_path / f"{name}.csv").write_text("x,y\n1.5,2\n2.5,1\n3.1,4\n4.7,3\n5.2,5.5\n")
    output(capsys, "init", "--from", "north.csv", "south.csv")
    said = output(capsys, "check", "federation/federation.toml", code=2)
    assert said == (
        "coplay: 'x', 'y' were agreed, and 'north', 'south' said that they have 0 rows to learn "
        "from, which is what fewer than 6 are where counts are rounded to tens: give them more "
        'rows, or write count = "exact" under [tell] of the site files\n'
    )
    for name in ("north", "south"):
        path = tmp_path / f"federation/{name}/site.toml"
        path.write_text(path.read_text().replace('"tens"', '"exact"'))
    assert "no fault was met" in output(capsys, "check", "federation/federation.toml")


def test_why_the_use_of_samples_is_not_measured_is_said_where_it_is_known():
    north = Facts(
        "north", "0.1.0", PROTOCOL, "", {"x": "", "outcome": ""}, tells=("utility",), measures=True
    )
    assert not_told(["utility"], {}, north) == {
        "utility": "no target is named; set measure.target to the variable to be predicted"
    }
    lacking = replace(north, unobserved=("outcome",))
    assert not_told(["utility"], {}, lacking, "outcome") == {
        "utility": "it has no column of the target 'outcome'"
    }
    assert not_told(["utility"], {}, north, "outcome") == {
        "utility": "it could not be measured at the player, whose own file says why"
    }


def test_a_federation_of_one_variable_plays(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("north", "south"):
        numbers = [f"{x:.3f}" for x in rng.normal(size=60)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["dose", *numbers]))
    output(capsys, "init", "--from", "north.csv", "south.csv")
    assert "no fault was met" in output(capsys, "check", "federation/federation.toml")


def test_a_site_learns_from_its_check_what_it_does_not_accept(tables, capsys):
    output(capsys, "init", "--from", "north.csv", "south.csv")
    site = Path("federation/north/site.toml")
    site.write_text(site.read_text() + "\n[accepts]\nrounds = 2\n")
    said = output(
        capsys, "site", "check", site, "--federation", "federation/federation.toml", code=2
    )
    assert "site 'north' accepts 2 rounds, and sample_exchange has 8" in said


def test_a_warning_shows_no_line_of_python(tables):
    """In a process of its own: pytest writes warnings itself."""
    code = (
        "import warnings\n"
        "import coplay.cli.main as cli\n"
        "cli.say = lambda text: warnings.warn('does not mix', stacklevel=2)\n"
        "import coplay.cli.init\n"
        "coplay.cli.init.say = cli.say\n"
        "cli.main(['init', '--from', 'north.csv', 'south.csv'])\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(ended.stderr.splitlines()) == {"warning: does not mix"}


def test_another_model_needs_another_approval(tables, capsys):
    """The approved model may store no rows, and the next one nothing else."""
    output(capsys, "init", "--from", "north.csv", "south.csv")
    federation, site = Path("federation/federation.toml"), Path("federation/north/site.toml")
    site.write_text("hold = true\n" + site.read_text())
    output(capsys, "site", "approve", site, "--federation", federation)
    check_held(Config.from_file(federation))
    federation.write_text(federation.read_text().replace("validation = 0.1", "validation = 0.2"))
    with pytest.raises(ConfigError, match="holds its messages back until they are approved"):
        check_held(Config.from_file(federation))


def test_init_says_what_it_reads_of_folders_and_arrays(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("images").mkdir()
    np.savez("scans.npz", x_train=np.zeros((4, 8, 8)))
    said = output(capsys, "init", "--from", "images", "scans.npz", code=2)
    assert said.startswith("coplay: images is a folder: expected one that ends in .csv, .tsv,")
    assert "'coplay list source' shows which there are" in said
    said = output(capsys, "site", "propose", "scans.npz", code=2)
    assert said.startswith("coplay: scans.npz is no table by its name: expected one that ends in")
    assert "image_folder" in output(capsys, "list", "source")


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (range(18, 98), (10, 100)),
        ([n / 10 for n in range(23, 98)], (2, 10)),
        (range(21_000, 98_000, 1000), (20_000, 100_000)),
        (range(230, 978), (230, 980)),
    ],
)
def test_no_end_of_a_range_is_the_extreme_row_itself(tmp_path, numbers, expected):
    path = tmp_path / "north.csv"
    path.write_text("\n".join(["dose", *map(str, [*numbers, max(numbers)])]) + "\n")
    dose = proposal(path).variables["dose"]
    assert (dose.low, dose.high) == expected
