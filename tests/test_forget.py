"""``coplay forget``: what is certified, what is played, what is measured, and what is refused."""

import json
import shutil

import numpy as np
import pytest
import torch

from coplay import Config, Federation, Result
from coplay.cli.main import main
from coplay.run.forgetting import forgetting
from coplay.run.preparing import prepare
from coplay.theory.unlearning import rounds_to_forget
from coplay.theory.weights import among, by_edges

from .by_hand import write_checkpoint, write_rows

THREE = """\
[data]
source = { name = "digits" }
variables = ["class"]
[data.partition]
name = "by_class"
classes = { north = [0, 1, 2, 3], south = [3, 4, 5, 6], clinic = [7, 8, 9] }
[players.north]
[players.south]
[players.clinic]
[model]
name = "exponential_family"
[game]
name = "sample_exchange"
own_weight = 0.5
rounds = 6
local_steps = 1
samples_per_round = 500
[measure]
metrics = []
"""


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forget") / "run"
    Federation(Config.from_toml(THREE)).run(folder)
    return folder


def run(capsys, *arguments, code=0):
    assert main([str(argument) for argument in arguments]) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def test_rounds_are_those_that_the_certificate_takes(played):
    plan = forgetting(Result.load(played), "clinic", 0.001)
    # five rounds with others: S_t = W S + Λ, from the identity
    w = np.full((3, 3), 0.25) - 0.25 * np.eye(3)
    shares = np.eye(3)
    for _ in range(5):
        shares = w @ shares + 0.5 * np.eye(3)
    assert plan.before == pytest.approx(shares[:2, 2])
    edges = by_edges(torch.full((3, 3), 0.25).fill_diagonal_(0.5))
    rounds, after = rounds_to_forget(among(edges, [0, 1]), shares[:2, 2], 0.001)
    assert (plan.rounds, plan.after) == (rounds, after)
    assert after < 0.001
    # those that stay divide by their weights: 1/2 and 1/4 of 3/4
    assert plan.config.game.alpha[0] == pytest.approx([2 / 3, 1 / 3])
    assert plan.config.game.rounds == rounds + 1
    assert plan.config.player_names == ["north", "south"]


def test_those_that_stay_keep_the_data_that_they_were_dealt(played):
    result = Result.load(played)
    plan = forgetting(result, "clinic", 0.01)
    counts = prepare(plan.config).sites.counts
    assert counts == {name: result.record.data.counts[name] for name in ("north", "south")}


def test_it_is_played_certified_and_measured(played, capsys, tmp_path):
    text = run(capsys, "forget", played, "clinic", "--below", "0.01", "--out", tmp_path / "new")
    assert "clinic: at most 20.02% of" in text
    assert "certified: at most 0.0" in text
    assert "not certified: a network learns on" in text
    assert f"{played} still has models that learned from clinic: delete it" in text
    record = json.loads((tmp_path / "new" / "forgotten.json").read_text())
    assert record["certified_after"] < 0.01
    # the classes of the clinic are nobody else's, so that a classifier is right on all rows
    measured = record["measured"]
    assert measured["accuracy"] == 1
    for name in ("north", "south"):
        assert measured["before"][name] == pytest.approx(0.2, abs=0.05)
        assert measured["after"][name] < 0.01 + 3 * 0.005
    after = Result.load(tmp_path / "new")
    drawn = after.sample("north", 2000)["class"]
    assert np.isin(drawn, [7, 8, 9]).mean() < 0.02


def test_what_is_below_already_plays_nothing(played, capsys, tmp_path):
    text = run(capsys, "forget", played, "clinic", "--below", "0.5", "--out", tmp_path / "new")
    assert "nothing is to be played" in text
    assert not (tmp_path / "new").exists()


def test_at_a_share_of_exactly_the_value_one_more_round_is_played(played):
    """Below is below: after three rounds of 1/2 each, 0.4 has become 0.05."""
    edges = by_edges(torch.full((2, 2), 0.5))
    assert rounds_to_forget(edges, np.array([0.4, 0.4]), 0.05) == (4, 0.025)


@pytest.mark.parametrize(
    "event",
    [
        {"late": {"south": {"action": "turn", "reason": "slow"}}},
        {"left": {"south": 2}},
    ],
)
def test_where_somebody_was_away_only_all_is_a_bound_of_what_is_left(played, tmp_path, event):
    """The weights of such rounds are not those of the config, so that nothing was followed."""
    folder = tmp_path / "run"
    shutil.copytree(played, folder)
    home = folder / "sample_exchange"
    lines = (home / "rows.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    for row in rows:
        row.pop("seal")
    rows[2] |= event
    write_checkpoint(home, len(rows), chain=write_rows(home, rows))
    before = forgetting(Result.load(played), "clinic", 0.001)
    plan = forgetting(Result.load(folder), "clinic", 0.001)
    assert not before.bounded
    assert plan.bounded
    assert plan.before == [1, 1]
    # a third of what is left stays in a round: 1/3^7 < 0.001 < 0.2/3^4
    assert (before.rounds, plan.rounds) == (5, 7)


def test_with_originals_all_is_a_bound_and_the_rest_is_played_without(tmp_path):
    """Originals take the place of copies by M of all players, which the site has left."""
    game = "name = 'sample_exchange'\nrounds = 4\noriginals = true"
    folder = with_game(tmp_path, game)
    result = Result.load(folder)
    assert result.config.game.originals
    plan = forgetting(result, "clinic", 0.01)
    assert plan.bounded
    assert not plan.config.game.originals
    assert plan.config.game.own_rounds == 1


@pytest.mark.parametrize(
    ("site", "below", "fault"),
    [
        ("clinc", "0.001", "has no player 'clinc'; known, nearest first: clinic"),
        ("clinic", "0", "--below: expected a share between 0 and 1, got 0"),
        ("clinic", "2", "got 2"),
    ],
)
def test_what_cannot_be_forgotten(played, capsys, site, below, fault):
    assert fault in run(capsys, "forget", played, site, "--below", below, code=2)


def with_game(tmp_path, game, **changes):
    text = THREE.split("[game]")[0] + f"[game]\n{game}\nlocal_steps = 1\nsamples_per_round = 100\n"
    for old, new in changes.items():
        text = text.replace(old, new)
    Federation(Config.from_toml(text + "[measure]\nmetrics = []")).run(tmp_path / "run")
    return tmp_path / "run"


def test_those_that_hear_nobody_else_with_data(tmp_path, capsys):
    rows = "[[0.5, 0.5, 0], [0, 0, 1], [0, 0, 1]]"
    folder = with_game(tmp_path, f"name = 'sample_exchange'\nrounds = 4\nalpha = {rows}")
    text = run(capsys, "forget", folder, "clinic", code=2)
    assert "'clinic' cannot be forgotten by playing on: 'south' hears nobody with data" in text


def test_own_weights_so_small_that_it_would_take_forever(tmp_path, capsys):
    folder = with_game(tmp_path, "name = 'sample_exchange'\nrounds = 3\nown_weight = 1e-9")
    text = run(capsys, "forget", folder, "clinic", code=2)
    assert "'clinic' cannot be forgotten by playing on: after 100,000 rounds it still is" in text


def test_the_only_site_with_a_variable(tmp_path, capsys):
    rows = {"north": "age,dose\n", "south": "age,dose\n", "clinic": "age,dose,lab\n"}
    rng = np.random.default_rng(0)
    variables = 'age = { kind = "real" }\ndose = { kind = "real" }\nlab = { kind = "real" }\n'
    players = ""
    for name, head in rows.items():
        columns = head.count(",") + 1
        lines = [",".join(f"{x:.3f}" for x in rng.normal(size=columns)) for _ in range(60)]
        (tmp_path / f"{name}.csv").write_text(head + "\n".join(lines) + "\n")
        lacks = "" if name == "clinic" else 'lacks = ["lab"]'
        source = f'source = {{ name = "table", file = "{name}.csv" }}'
        players += f"[players.{name}.data]\n{source}\n{lacks}\n"
    game = 'name = "sample_exchange"\nrounds = 2\nlocal_steps = 1\nsamples_per_round = 100\n'
    model = '[model]\nname = "exponential_family"\n'
    text = f"[variables]\n{variables}{players}{model}[game]\n{game}[measure]\nmetrics = []\n"
    (tmp_path / "federation.toml").write_text(text)
    Federation(Config.from_file(tmp_path / "federation.toml")).run(tmp_path / "run")
    text = run(capsys, "forget", tmp_path / "run", "clinic", code=2)
    assert "'clinic' cannot be forgotten by playing on: only its data have 'lab'" in text
    assert "leave it out of the variables" in text
    text = run(capsys, "forget", tmp_path / "run", "north", "--below", "0.01")
    assert "certified" in text
