"""Whole runs of private sites: resumed, without a variable, with a stand-in of one's own."""

import json
import shutil
from types import SimpleNamespace

import pytest
import torch

from coplay import Federation, load_player
from coplay.cli.forget import _measured
from coplay.cli.main import main
from coplay.core import storage
from coplay.core.errors import CoplayError
from coplay.engines import local
from coplay.run.auditing import audit_player
from coplay.run.checking import lines_of
from coplay.run.preparing import prepare
from coplay.run.previewing import preview
from coplay.run.release_card import AUDITS_STAY
from coplay.site.budget import Budget
from coplay.site.private_steps import PrivateSteps

from .private_sites import MOMENTS, federation
from .test_nothing_follows_from_rows import cut_off
from .test_private_sites import LEARNING, SMALL, ledger

LONG = {**LEARNING, "learning": {"steps": 40, "rate": 0.1, "histogram": 0.2}}


def charged(folder):
    """Return the steps of DP-SGD that were paid for."""
    budget = Budget(ledger(folder).parent, LEARNING["epsilon"], LEARNING["delta"], "rdp")
    return sum(charge.steps for charge in budget.charges() if charge.rate < 1)


def models(run):
    """Return what north's model is in the end."""
    (path,) = (run / "sites" / "north" / "sample_exchange" / "models").glob("*.safetensors")
    return storage.load_tensors(path)


@pytest.fixture
def taken(monkeypatch):
    """Count the steps on real rows that are really taken."""
    counts = []
    original = PrivateSteps.gradient

    def counting(steps):
        counts.append(1)
        return original(steps)

    monkeypatch.setattr(PrivateSteps, "gradient", counting)
    return counts


def stopped_in(monkeypatch, round):
    """Let the process end after north has answered in a round, before anybody knows of it."""
    original = local.answer_all
    wait = [True]

    def ending(game, players, messages):
        answers = original(game, players, messages)
        asked = [message for message in messages if message.receiver == "north"]
        if wait and asked and asked[0].round == round and asked[0].action == "turn":
            wait.clear()
            raise KeyboardInterrupt
        return answers

    monkeypatch.setattr(local, "answer_all", ending)


@pytest.mark.parametrize("is_cut_off", [False, True], ids=["with its noise", "without any"])
def test_a_run_that_is_stopped_and_resumed_pays_again_and_what_is_not_noise_is_the_same(
    tmp_path, monkeypatch, taken, is_cut_off
):
    """With the noisy sums cut off, to the last bit; with them, each step has noise of its own."""
    pytest.importorskip("opacus")
    config = federation(tmp_path, LONG, model=SMALL, checkpoint={"every_rounds": 1})
    if is_cut_off:
        cut_off(monkeypatch)
    whole = Federation(config).run(tmp_path / "whole")
    straight = charged(tmp_path)
    assert straight == 2 * config.game.rounds
    assert is_cut_off or len(taken) == straight
    shutil.rmtree(tmp_path / "north" / "privacy")
    taken.clear()
    stopped_in(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        Federation(config).run(tmp_path / "stopped")
    before = charged(tmp_path)
    resumed = Federation.resume(tmp_path / "stopped")
    assert resumed.record.status == whole.record.status == "finished"
    assert charged(tmp_path) == straight + 2, "the steps of the round that was played again"
    assert before == 4
    assert is_cut_off or len(taken) == charged(tmp_path)
    one, two = models(whole.folder), models(resumed.folder)
    same = all(torch.equal(one[name], two[name]) for name in one)
    assert same == is_cut_off


def test_a_budget_that_was_rolled_back_is_no_longer_spent_from(tmp_path, monkeypatch, taken):
    pytest.importorskip("opacus")
    config = federation(tmp_path, LONG, model=SMALL, checkpoint={"every_rounds": 1})
    stopped_in(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        Federation(config).run(tmp_path / "run")
    lines = ledger(tmp_path).read_bytes().splitlines(keepends=True)
    ledger(tmp_path).write_bytes(b"".join(lines[:-2]))
    steps = len(taken)
    with pytest.raises(CoplayError, match=r"budget.jsonl says .*: it is an old copy"):
        Federation.resume(tmp_path / "run")
    assert len(taken) == steps
    ledger(tmp_path).write_bytes(b"".join(lines))
    assert Federation.resume(tmp_path / "run").record.status == "finished"


def test_a_site_that_lacks_a_variable_learns_it_from_others_by_steps_that_cost_nothing_more(
    tmp_path, taken, monkeypatch
):
    pytest.importorskip("opacus")
    sent = []
    original = local.answer_all

    def noting(game, players, messages):
        answers = original(game, players, messages)
        sent.extend(each for each in answers if each.sender == "north")
        return answers

    monkeypatch.setattr(local, "answer_all", noting)
    federation(tmp_path, LONG)
    table = tmp_path / "north" / "rows.csv"
    cells = [line.split(",") for line in table.read_text().splitlines()]
    table.write_text("\n".join(f"{row[0]},{row[1]},{row[3]}" for row in cells) + "\n")
    site = {"lacks": ["dose"]}
    config = federation(tmp_path, LONG, model=SMALL, sites=("north",), site=site)
    values = config.to_dict()
    values["players"] = {
        name: {"site": str(tmp_path / name / "site.toml")} for name in ("north", "south")
    }
    result = Federation(type(config).from_dict(values)).run(tmp_path / "run")
    assert result.record.status == "finished"
    assert list(result.record.data.unobserved["north"]) == ["dose"]
    assert charged(tmp_path) == len(taken) == 2 * config.game.rounds
    drawn = [samples for reply in sent for samples in reply.samples().values()]
    assert "dose" not in drawn[0].keys(), "before it has learned of it from anybody"
    assert "dose" in drawn[-1].keys()
    assert 0 <= float(drawn[-1]["dose"].min()) <= float(drawn[-1]["dose"].max()) <= 10


def test_a_stand_in_of_ones_own_is_all_that_a_run_sees_of_a_site(tmp_path):
    stand_in = {
        "name": "own",
        "made_by": "tests.private_sites:Constant",
        "epsilon": 0.5,
        "delta": 1e-4,
        "draws": 200,
    }
    config = federation(tmp_path, {"stand_in": stand_in}, compare=["isolated"])
    result = Federation(config).run(tmp_path / "run")
    assert result.record.status == "finished"
    (charge,) = Budget(ledger(tmp_path).parent, 0.5, 1e-4).charges()
    assert (charge.epsilon, charge.delta) == (0.5, 1e-4)
    assert charge.what == "what tests.private_sites:Constant states that it spends"
    record = json.loads(ledger(tmp_path).with_name("stand_in.json").read_text())
    assert "the promise is that of tests.private_sites:Constant, unchecked" in str(record)
    # alone, the site's model knows nobody but the constant one
    ages = torch.cat([each["age"] for each in alone(tmp_path / "run")])
    assert abs(float(ages.mean()) - 50) < 5


def alone(run):
    """Return what the site draws that has learned from nobody else."""
    return [load_player(run, "north", "isolated").draw(200, 0, "test")]


# ------------------------------------------------------------------- promises that would be broken


def test_a_model_that_learned_without_a_promise_is_no_beginning_of_one_with(tmp_path):
    Federation(federation(tmp_path, {"stand_in": MOMENTS}, sites=("other", "south"))).prepare()
    open_site = federation(tmp_path, {"stand_in": MOMENTS})
    file = tmp_path / "north" / "site.toml"
    private = file.read_text()
    file.write_text(private.partition("[privacy")[0])
    config = type(open_site).from_dict(open_site.to_dict())
    Federation(config).run(tmp_path / "open")
    file.write_text(private)
    config = type(open_site).from_dict(open_site.to_dict())
    with pytest.raises(CoplayError, match="learned from its rows without a promise of privacy"):
        Federation(config).run(tmp_path / "begun", start_from=tmp_path / "open")
    Federation(config).run(tmp_path / "private")
    again = Federation(config).run(tmp_path / "again", start_from=tmp_path / "private")
    assert again.record.status == "finished"


def test_a_promise_is_not_dropped_without_a_word(tmp_path):
    config = federation(tmp_path, {"stand_in": MOMENTS})
    Federation(config).run(tmp_path / "one")
    file = tmp_path / "north" / "site.toml"
    file.write_text(file.read_text().partition("[privacy")[0])
    config = type(config).from_dict(config.to_dict())
    with pytest.raises(CoplayError, match=r"has no \[privacy\], but by .*budget.jsonl a promise"):
        Federation(config).prepare()
    ledger(tmp_path).rename(tmp_path / "put away")
    Federation(config).prepare()


def test_a_game_of_others_does_not_run_beside_rows_with_a_promise(tmp_path):
    game = {"name": "tests.private_sites:GameOfOthers", "rounds": 1}
    with pytest.raises(CoplayError) as error:
        Federation(federation(tmp_path, {"stand_in": MOMENTS}, game=game)).prepare()
    place = "players.north.site: [privacy]: the game tests.private_sites:GameOfOthers is code from"
    assert place in str(error.value)


# ------------------------------------------------------------------------------- what a site reads


def test_a_check_and_a_preview_say_what_stands_in_the_place_of_rows(tmp_path):
    config = federation(tmp_path, {"stand_in": MOMENTS})
    lines = "\n".join(lines_of(config, prepare(config)))
    assert "north: ExponentialFamily, draws of a stand-in; tells of its rows: nothing" in lines
    assert "nothing else that is computed from its rows leaves it, whatever [tell]" in lines
    first = preview(config, "north")
    assert "its stand-in is made, and paid for, before the first round, and not here" in first[0]
    assert not ledger(tmp_path).exists()
    result = Federation(config).run(tmp_path / "run")
    assert "draws of the stand-in that was made" in preview(config, "north")[0]
    assert any("promise of privacy" in note for note in result.record.data.notes)
    reasons = result.main.rows[-1].cautions["north"].unmeasured
    assert "its promise of privacy keeps what is measured" in " ".join(reasons.values())


def test_a_count_is_refused_with_what_to_write_and_that_works(tmp_path):
    text = 'visits = { kind = "real", low = 0, high = 50 }'
    variables = {"age": {"kind": "real", "low": 0, "high": 120}, "visits": {"kind": "count"}}
    config = federation(tmp_path, {"stand_in": MOMENTS}, variables)
    rows = "\n".join(f"{20 + i % 60},{i % 7}" for i in range(300))
    for name in ("north", "south"):
        (tmp_path / name / "rows.csv").write_text(f"age,visits\n{rows}\n")
    with pytest.raises(CoplayError) as error:
        Federation(config).prepare()
    assert text in str(error.value)
    for section in (
        {"kind": "real", "low": 0, "high": 50},
        {"kind": "categorical", "categories": [str(number) for number in range(7)]},
    ):
        shutil.rmtree(tmp_path / "north" / "privacy", ignore_errors=True)
        config = federation(tmp_path, {"stand_in": MOMENTS}, {**variables, "visits": section})
        run = tmp_path / section["kind"]
        assert Federation(config).run(run).record.status == "finished"


def test_audits_in_play_compare_with_what_the_site_promises(tmp_path):
    config = federation(tmp_path, {"stand_in": MOMENTS})
    file = tmp_path / "north" / "site.toml"
    file.write_text(file.read_text() + "\n[audit]\nevery_rounds = 3\ncanaries = 0.5\n")
    result = Federation(type(config).from_dict(config.to_dict())).run(tmp_path / "run")
    (path,) = (tmp_path / "run" / "sites" / "north").rglob("*.audits.jsonl")
    (line,) = map(json.loads, path.read_text().splitlines())
    (bound,) = [each for each in line["figures"] if each["attack"] == "one run"]
    assert bound["promised"] == MOMENTS["epsilon"]
    assert f"(δ = {MOMENTS['delta']:g}, one unit added or removed)" in bound["meaning"]
    assert bound["value"] < MOMENTS["epsilon"]
    made = audit_player(result, "north")
    (after,) = [each for each in made.report.figures if each.attack == "one run"]
    assert after.promised == MOMENTS["epsilon"]


def test_nothing_is_handed_on_without_its_record_and_forgetting_measures_no_rows(tmp_path, capsys):
    result = Federation(federation(tmp_path, {"stand_in": MOMENTS})).run(tmp_path / "run")
    plan = SimpleNamespace(site="north", players=["south"])
    assert _measured(result, result, plan) == (
        "north made a promise of privacy, and nothing pays for it here"
    )
    record = tmp_path / "run/sites/north/sample_exchange/egress.jsonl"
    record.rename(tmp_path / "put away")
    release = ["release", str(tmp_path / "run"), "--player", "north"]
    assert main([*release, "--out", str(tmp_path / "out")]) == 2
    assert "is missing, the record of what left north, so nothing is" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    (tmp_path / "put away").rename(record)
    assert main([*release, "--out", str(tmp_path / "out")]) == 0
    assert AUDITS_STAY in (tmp_path / "out" / "card.md").read_text()
