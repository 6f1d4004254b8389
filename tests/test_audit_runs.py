"""Audits of runs: in play at a site, afterwards by the command, and what they leave untouched."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import numpy as np
import pytest
import torch

from coplay import Config, Federation, Message, Result
from coplay.cli.main import main
from coplay.core.errors import CheckpointError, ConfigError
from coplay.core.message import COORDINATOR
from coplay.core.requests import Evaluate, Judge, Restore, Save
from coplay.games.isolated import Turn
from coplay.report.site_page import write_pages
from coplay.run.auditing import SMOKE_ALARM, audit_player, read_audits_of
from coplay.run.own_data import own_data
from coplay.run.site_file import SiteFile
from coplay.site.audits.in_play import Auditor, read_audits
from coplay.site.audits.rows import rows_of

COPYING = {"name": "sklearn.neighbors:KernelDensity", "bandwidth": 1e-3}
GAUSSIAN = {"name": "exponential_family"}
VARIABLES = {
    "age": {"kind": "real", "low": 0, "high": 120},
    "weight": {"kind": "real", "low": 0, "high": 300},
    "dose": {"kind": "real", "low": -50, "high": 50},
}


def write_site(folder, name, more="", n=240, seed=0):
    rng = np.random.default_rng([seed, *name.encode()])
    age = rng.normal(50, 9, n).clip(1, 110)
    weight = 60 + age / 4 + rng.normal(0, 6, n)
    lines = ["patient,age,weight,dose"]
    for i, row in enumerate(zip(age, weight, rng.normal(0, 3, n), strict=True)):
        lines.append(f"p{i // 2}," + ",".join(f"{value:.4f}" for value in row))
    (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    (folder / f"{name}.toml").write_text(
        f'federation = "wards"\nname = "{name}"\n[data]\nheld_out = 0.4\n'
        f'[data.source]\nname = "table"\nfile = "{name}.csv"\n{more}'
    )


def config_of(folder, model, names=("north", "south"), rounds=4):
    return Config.from_dict(
        {
            "name": "wards",
            "variables": VARIABLES,
            "players": {name: {"site": str(folder / f"{name}.toml")} for name in names},
            "model": model,
            "game": {"name": "sample_exchange", "rounds": rounds, "samples_per_round": 200},
            "measure": {"metrics": [], "samples": 200},
            "checkpoint": {"every_rounds": 2},
        }
    )


def audits_of(run, name):
    path = run / "sites" / name / "sample_exchange" / "site" / f"{name}.audits.jsonl"
    return path, read_audits("sample_exchange", path)


def alarming(report):
    return {each.attack for each in report.figures if each.is_alarming}


@pytest.fixture(scope="module")
def wards(tmp_path_factory):
    """A run of two sites, one of which audits every third round."""
    folder = tmp_path_factory.mktemp("wards")
    write_site(folder, "north", "[audit]\nevery_rounds = 3\n")
    write_site(folder, "south")
    Federation(config_of(folder, COPYING)).run(folder / "run")
    return folder


def test_a_site_audits_what_it_sent_in_due_rounds_and_the_last(wards):
    path, audits = audits_of(wards / "run", "north")
    assert [each.round for each in audits] == [3, 4]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not audits_of(wards / "run", "south")[0].exists()
    first = audits[0].report
    # at an own weight of 0.3 the other player takes 140 of its 200 samples from here
    assert first.samples == 140
    assert {"density ratio", "nearest neighbours", "linkability"} <= {
        each.attack for each in first.figures
    }
    assert "nearest neighbours" in alarming(first), "a kernel density is found"


def test_audits_change_no_bit_of_the_game_and_tell_nobody(wards, tmp_path):
    for name in ("north", "south"):
        write_site(tmp_path, name)
    Federation(config_of(tmp_path, COPYING)).run(tmp_path / "run")
    here, there = wards / "run", tmp_path / "run"

    def numbers(run):
        rows = (run / "sample_exchange" / "rows.jsonl").read_text().splitlines()
        kept = []
        for row in map(json.loads, rows):
            row.pop("seconds", None)
            row.pop("seal", None)  # of the seconds, too
            kept.append(row)
        return kept

    assert numbers(here) == numbers(there)
    for name in ("north", "south"):
        model = Path("sites", name, "sample_exchange", "models", f"{name}.safetensors")
        assert (here / model).read_bytes() == (there / model).read_bytes()
    for path in here.rglob("*"):
        if path.is_file() and "sites" not in path.relative_to(here).parts:
            assert b"nearest neighbours" not in path.read_bytes(), path


def test_the_command_audits_every_player_and_keeps_the_numbers_private(wards, capsys):
    run = wards / "run"
    assert main(["audit", str(run), "-n", "600"]) == 0
    text = capsys.readouterr().out
    assert "north, sample_exchange: 600 samples of its model" in text
    assert "south, sample_exchange: 600 samples of its model" in text
    for sentence in ("it shows", "cannot show", "is a smoke alarm"):
        assert sentence in text
    for name in ("north", "south"):
        path = run / "sites" / name / "audit.json"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        content = json.loads(path.read_text())
        assert content["memorisation"] == SMOKE_ALARM
        (audit,) = content["audits"]
        assert (audit["game"], audit["samples"]) == ("sample_exchange", 600)
    result = Result.load(run)
    (audit,) = read_audits_of(result, "south")
    assert {"nearest neighbours", "density ratio"} <= alarming(audit.report)
    # again in place of the first, and to the bit
    before = path.read_text()
    assert main(["audit", str(run), "--player", "south", "-n", "600"]) == 0
    assert path.read_text() == before
    page = (run / "sites" / "south" / "page.html").read_text()
    assert "Audits: what samples keep of your rows" in page
    assert "smoke alarm" in page


def test_the_page_of_a_site_has_its_audits_in_play(wards):
    write_pages(Result.load(wards / "run"))
    page = (wards / "run" / "sites" / "north" / "page.html").read_text()
    assert "density ratio: AUC" in page
    assert "cannot show" in page


def test_rows_that_are_others_now_are_refused(tmp_path, capsys):
    write_site(tmp_path, "north")
    write_site(tmp_path, "south")
    run = tmp_path / "run"
    Federation(config_of(tmp_path, GAUSSIAN, rounds=1)).run(run)
    write_site(tmp_path, "north", seed=1)
    assert main(["audit", str(run), "--player", "north"]) == 2
    assert "'north' are no longer those that the run began with" in capsys.readouterr().err
    (tmp_path / "north.toml").unlink()
    assert main(["audit", str(run), "--player", "north"]) == 2
    error = capsys.readouterr().err
    assert "north.toml" in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--player", "nort"], "has no player 'nort'; known, nearest first: north"),
        (["--game", "md_gan"], "has no game 'md_gan'; it has sample_exchange"),
        (["-n", "3"], "-n: expected at least 10 samples, got 3"),
    ],
)
def test_slips_on_the_command_line_are_named(wards, capsys, arguments, words):
    assert main(["audit", str(wards / "run"), *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_simulation_from_one_pool_is_audited_against_its_test_split(tmp_path, capsys):
    config = {
        "players": 3,
        "model": COPYING,
        "data": {"partition": {"name": "dirichlet", "concentration": 1.0}},
        "game": {"name": "sample_exchange", "rounds": 1, "own_weight": 1.0},
        "compare": ["pooled"],
        "measure": {"metrics": []},
    }
    run = tmp_path / "run"
    result = Federation(Config.from_dict(config)).run(run)
    made = audit_player(result, "player1", n=1500)
    assert "nearest neighbours" in alarming(made.report)
    (area,) = (
        each
        for each in made.report.figures
        if (each.attack, each.name) == ("nearest neighbours", "AUC")
    )
    assert area.value > 0.8
    pooled = audit_player(result, "player1", "pooled", n=1500)
    assert pooled.report.figures[0].n > area.n, "everybody's rows were learned from"
    assert main(["audit", str(run), "--player", "player0"]) == 0
    path = run / "sites" / "player0" / "audit.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert "not tried" in capsys.readouterr().out


def test_an_honest_model_of_skewed_classes_is_not_accused(tmp_path):
    """Members of a player with few classes differ from the test split, but for its classes."""
    config = {
        "players": 3,
        "model": GAUSSIAN,
        "data": {
            "variables": ["image", "class"],
            "partition": {"name": "dirichlet", "concentration": 0.3},
        },
        "game": {"name": "sample_exchange", "rounds": 1},
        "measure": {"metrics": []},
    }
    result = Federation(Config.from_dict(config)).run(tmp_path / "run")
    areas = []
    for name in result.players:
        report = audit_player(result, name, n=1000).report
        areas += [each for each in report.figures if each.name == "AUC"]
    assert len(areas) == 6
    assert sum(each.is_alarming for each in areas) <= 1


def test_coins_of_a_site_file_decide_what_is_learned_from(tmp_path):
    write_site(tmp_path, "north", "[audit]\ncanaries = 0.5\n")
    write_site(tmp_path, "south", "[audit]\ncanaries = 0.5\nevery_rounds = 2\n")
    for name in ("north", "south"):
        text = (tmp_path / f"{name}.toml").read_text()
        (tmp_path / f"{name}.toml").write_text(text.replace("[data]", '[data]\nunit = "patient"'))
    config = config_of(tmp_path, COPYING, rounds=2)
    held = own_data(config, None, {})["north"].load()
    assert len(held.train) + len(held.left_out) + len(held.scored) + len(held.chosen_on) == 240
    assert any("left out of learning by coins" in note for note in held.notes)
    rows = rows_of(held)
    assert not rows.coins.replaced
    assert rows.controls.count == int(held.scored_units.max() + held.left_units.max()) + 2
    assert rows.coins.count == len(rows.coins.members) + int(held.left_units.max()) + 1
    write_site(tmp_path, "north")
    without = own_data(config_of(tmp_path, COPYING), None, {})["north"].load()
    assert without.left_out is None
    assert without.digest != held.digest
    write_site(tmp_path, "north", "[audit]\ncanaries = 0.5\n")
    result = Federation(config_of(tmp_path, COPYING, rounds=2)).run(tmp_path / "run")
    (bound,) = (
        each
        for each in audit_player(result, "south", n=2000).report.figures
        if each.attack == "one run"
    )
    assert bound.low > 0.3, "a kernel density has no ε to speak of"
    assert "one unit added or removed" in bound.meaning


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("every_rounds = -1", "audit.every_rounds"),
        ("canaries = 0.7", "audit.canaries"),
        ("every = 2", "audit.every"),
    ],
)
def test_faults_in_the_site_file_are_named(tmp_path, line, words):
    write_site(tmp_path, "north", f"[audit]\n{line}\n")
    with pytest.raises(ConfigError, match=words):
        SiteFile.from_file(tmp_path / "north.toml")


def test_a_round_is_audited_once_it_is_over(tmp_path):
    write_site(tmp_path, "north")
    held = own_data(config_of(tmp_path, GAUSSIAN, ("north",)), None, {})["north"].load()
    path = tmp_path / "north.audits.jsonl"
    auditor = Auditor(held, 2, path)
    samples = {"south": held.train[:50]}

    def rounds():
        return [each.round for each in read_audits("g", path)]

    def noted(request, round, payload=None):
        auditor.noted(Message(request, COORDINATOR, "north", round).reply(payload=payload))

    turn = Turn()
    noted(turn, 2, samples)
    noted(Evaluate(5, 0), 2, {COORDINATOR: held.train[:30]})
    assert rounds() == []
    noted(Save(), 2)
    assert rounds() == [2]
    assert read_audits("g", path)[0].report.samples == 80
    noted(turn, 3, samples)
    noted(turn, 4, samples)
    assert rounds() == [2], "the third is not due"
    noted(turn, 5, samples)
    assert rounds() == [2, 4]
    noted(Judge(5, "g", ("g",)), 5)
    assert rounds() == [2, 4, 5], "the last round is audited in any case"
    noted(Restore(), 3)
    assert rounds() == [2]
    # what is not samples, such as a network that travels, is no matter of audits
    weights = held.train[:3].clone()
    weights["age"] = torch.full((3,), 1e9, dtype=weights["age"].dtype)
    noted(turn, 6, {"south": weights})
    noted(turn, 7, {"south": held.train[:3].select("age").rename_key_("age", "weight.0")})
    noted(Save(), 7)
    assert rounds() == [2]


def test_an_audit_that_fails_says_so_and_ends_nothing(tmp_path, monkeypatch):
    write_site(tmp_path, "north")
    held = own_data(config_of(tmp_path, GAUSSIAN, ("north",)), None, {})["north"].load()
    auditor = Auditor(held, 1, tmp_path / "north.audits.jsonl")

    def failing(holdings):
        raise ZeroDivisionError("by a row")

    monkeypatch.setattr("coplay.site.audits.in_play.rows_of", failing)
    auditor.noted(Message(Turn(), COORDINATOR, "n", 1).reply(payload={"s": held.train[:50]}))
    auditor.noted(Message(Save(), COORDINATOR, "n", 1).reply())
    (audit,) = read_audits("g", auditor.path)
    assert list(audit.report.reasons) == ["it failed with ZeroDivisionError: by a row"]


def test_a_damaged_file_of_audits_is_named(tmp_path):
    path = tmp_path / "north.audits.jsonl"
    path.write_text('{"round": 1}\n')
    with pytest.raises(CheckpointError, match=r"north\.audits\.jsonl"):
        read_audits("g", path)
