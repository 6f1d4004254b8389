"""Rules between columns from the config to what is drawn: who is told what, and what is kept."""

from __future__ import annotations

import csv
from statistics import NormalDist

import numpy as np
import pytest

from coplay import Config, Federation
from coplay.cli.main import main
from coplay.core.errors import ConfigError, CoplayError
from coplay.report import page
from coplay.report.site_page import write_pages
from coplay.run.preparing import first_record, prepare

RULES = ["start <= end", "a + b = total"]
COLUMNS = ("start", "end", "a", "b", "total")


def federation(folder, rules=RULES, own=("a >= -100",)):
    """Two sites with a file each; in north two rows break the first rule, and one the second."""
    generator = np.random.default_rng(0)
    for name in ("north", "south"):
        start, a, b = generator.normal(0, 1, (3, 60)).round(2)
        end = start + generator.uniform(0.5, 3, 60).round(2)
        total = a + b
        if name == "north":
            end[:2] = start[:2] - 1
            total[5] += 1
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for row in zip(start, end, a, b, total, strict=True):
                writer.writerow([f"{value:.2f}" for value in row])
        (folder / f"{name}.toml").write_text(
            f'federation = "f"\nname = "{name}"\nrules = {list(own)}\n[data.source]\n'
            f'name = "table"\nfile = "{name}.csv"\n'
        )
    variables = "".join(f'[variables.{name}]\nkind = "real"\n' for name in COLUMNS)
    sites = "".join(f'[players.{name}]\nsite = "{name}.toml"\n' for name in ("north", "south"))
    path = folder / "f.toml"
    path.write_text(
        f'name = "f"\nrules = {rules}\n{variables}{sites}[model]\nname = "exponential_family"\n'
        '[game]\nname = "sample_exchange"\nrounds = 1\n[measure]\nsamples = 400\n'
    )
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rules")
    result = Federation(Config.from_file(federation(folder))).run(folder / "run")
    page.write(result)
    write_pages(result)
    return result


def test_each_site_reads_how_many_of_its_rows_break_a_rule_and_nobody_else_does(run):
    path = run.folder / "sites" / "north" / "sample_exchange" / "site" / "north.txt"
    lines = path.read_text().splitlines()
    assert "rule 'start <= end': 2 of 60 rows to which it applies break it" in lines
    assert "rule 'a + b = total': 1 of 60 rows to which it applies break it" in lines
    assert "rule 'a >= -100': 0 of 60 rows to which it applies break it" in lines
    assert "break it" not in (run.folder / "run.json").read_text()
    assert "break it" not in (run.folder / "report.html").read_text()
    assert "2 of 60 rows" in (run.folder / "sites" / "north" / "page.html").read_text()


def test_the_check_of_a_site_says_it(tmp_path, capsys):
    path = federation(tmp_path)
    assert main(["site", "check", str(tmp_path / "north.toml"), "--federation", str(path)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "rule 'start <= end': 2 of 60 rows to which it applies break it" in printed


def share_in_order(run):
    """P(start ≤ end) of the normal distribution that has the moments of all rows."""
    differences = []
    for name in ("north", "south"):
        with (run.folder.parent / f"{name}.csv").open() as file:
            differences += [float(row["end"]) - float(row["start"]) for row in csv.DictReader(file)]
    return 1 - NormalDist(np.mean(differences), np.std(differences)).cdf(0)


def test_the_share_that_keeps_them_is_on_record_and_on_the_page(run):
    for name in ("north", "south"):
        values = run.main.last[name]
        kept, accepted = values["rules_kept"], values["rules_accepted"]
        # south has learned the sum, which all of its rows keep; one in north does not
        assert kept.value == pytest.approx(0 if name == "north" else accepted.value, abs=0.01)
        # the model is a normal distribution, and so is end − start
        assert accepted.value == pytest.approx(share_in_order(run), abs=0.03)
        assert accepted.low < accepted.value < accepted.high
        assert accepted.n >= 400
    assert "rules accepted" in (run.folder / "report.html").read_text()


def test_what_is_sent_shown_and_written_keeps_them(run, tmp_path, capsys):
    for drawn in run.main.samples(1).values():
        assert (drawn["start"] <= drawn["end"]).all()
    out = tmp_path / "x.csv"
    command = ["sample", str(run.folder), "--player", "north", "-n", "300", "--out", str(out)]
    assert main(command) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "rows drawn keep all rules as they are, and 3" in printed
    assert "once sums are put right" in printed
    with out.open() as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    assert len(rows) == 300
    for row in rows:
        assert row["start"] <= row["end"]
        assert row["a"] + row["b"] == pytest.approx(row["total"], abs=1e-4)


def test_a_model_that_cannot_keep_them_is_refused_where_a_file_would_break_them(tmp_path):
    config = Config.from_file(federation(tmp_path, ["start <= end", "a > 1000"], ()))
    result = Federation(config).run(tmp_path / "run")
    assert result.main.last["north"]["rules_accepted"].value == 0
    with pytest.raises(CoplayError, match="hardly draws a row that keeps the rules") as error:
        result.sample("north", 50)
    assert "Most often broken is 'a > 1000'" in str(error.value)


def test_faults_of_all_files_are_told_at_once(tmp_path):
    path = federation(tmp_path, ["strat <= end", "a ="], ["b < 'x'"])
    with pytest.raises(ConfigError) as error:
        prepare(Config.from_file(path))
    problems = error.value.problems
    assert [problem.split(": ")[0].rpartition("/")[2] for problem in problems] == [
        "rules[0] 'strat <= end'",
        "rules[1] 'a ='",
        "north.toml",
        "south.toml",
    ]


def test_they_may_stand_in_a_section_of_their_own_but_not_as_a_text():
    assert Config.from_toml('[rules]\nrules = ["a < b"]').rules == ("a < b",)
    config = Config.from_toml('rules = ["a < b"]')
    assert Config.from_toml(config.to_toml()) == config
    with pytest.raises(ConfigError, match=r"expected a list of rules, got a text; write rules = "):
        Config.from_toml('rules = "a < b"')


def test_rows_of_a_pool_are_checked_too(tmp_path):
    lines = ["x,y", *(f"{k}.5,{k + 1 - 5 * (k < 3)}.25" for k in range(40))]
    (tmp_path / "pool.csv").write_text("\n".join(lines))
    values = {
        "rules": ["x <= y"],
        "data": {"source": {"name": "table", "file": str(tmp_path / "pool.csv"), "test": 0.25}},
        "model": {"name": "exponential_family"},
        "game": {"name": "sample_exchange", "rounds": 1},
        "measure": {"metrics": []},
    }
    values["data"]["source"].pop("test")
    config = Config.from_dict(values)
    prepared = prepare(config)
    for player in prepared.games[0].seats.players:
        assert [rule.text for rule in player.rules.rules] == ["x <= y"]
    notes = [note for note in first_record(config, prepared).notes if note.startswith("rule")]
    (note,) = notes
    train = prepared.data.train
    broken = int((train["x"] > train["y"]).sum())
    expected = f"{broken} of {len(train)} rows to which it applies break it in the pool"
    assert note == f"rule 'x <= y': {expected}"
