"""What a site takes of what is sent to it: beyond its policy a portion is dropped, and noted."""

from __future__ import annotations

import json
import math
import stat

import pytest
import torch
from safetensors.torch import load_file

from coplay import Config, Federation, Space, Variable
from coplay.cli.main import main
from coplay.core.errors import ConfigError
from coplay.core.message import COORDINATOR, Message, PlayerLost
from coplay.core.slices import Slice
from coplay.engines.base import answer
from coplay.games.sample_exchange_expected import Turn
from coplay.run.own_data import SiteRecipe, own_data
from coplay.site.ingress import Ingress, Policy

from .sites_for_borders import record, wards

SPACE = Space(
    {
        "age": Variable(kind="real", low=0, high=120),
        "dose": Variable(kind="real", low=0, high=1, optional=True),
    }
)


def samples(n=10, age=50.0, **more):
    return SPACE.samples(age=torch.full((n,), age)).update(more)


def ask(round, **parts):
    return Message(Turn(1.0, {}), COORDINATOR, "north", round, payload=parts)


def entered(policy, *messages, home):
    """Return who is let in with each message, and the reasons why others are not."""
    ingress = Ingress(home, SPACE, policy)
    results = []
    for message in messages:
        left, dropped = ingress.enters(message)
        results.append((list(left.payload), dropped))
    return results


def test_without_a_policy_everything_is_taken_and_nothing_is_written(tmp_path):
    message = ask(1, south=samples(), east=samples(1000))
    ingress = Ingress(tmp_path, SPACE, Policy())
    left, dropped = ingress.enters(message)
    assert left is message
    assert dropped == {}
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("policy", "bad", "reason"),
    [
        ({"count": 9}, samples(10), "10 samples in a round, of which 9 are accepted"),
        ({"bytes": 39}, samples(10), "40 bytes in a round, of which 39 are accepted"),
        (
            {"variables": ("age",)},
            samples(2, dose=torch.zeros(2)),
            "variable 'dose' is not accepted",
        ),
        (
            {"ranges": {"age": (18, 49.5)}},
            samples(2),
            "variable 'age': 50 is outside 18 to 49.5, which is accepted",
        ),
        (
            {"ranges": {"age": (51, 99)}},
            samples(2),
            "variable 'age': 50 is outside 51 to 99, which is accepted",
        ),
        (
            {},
            samples(2, other=torch.tensor([1.0, math.inf])),
            "variable 'other': values that are not finite",
        ),
    ],
)
def test_a_portion_beyond_the_policy_is_dropped_and_the_others_are_taken(
    tmp_path, policy, bad, reason
):
    fine = samples(1, age=51.0 if "ranges" in policy and policy["ranges"]["age"][0] > 50 else 49.0)
    ((names, dropped),) = entered(Policy(**policy), ask(3, south=bad, east=fine), home=tmp_path)
    assert names == ["east"]
    assert dropped == {"south": reason}
    (line,) = (tmp_path / "ingress.jsonl").read_text().splitlines()
    values = json.loads(line)
    assert (values["sender"], values["round"], values["reason"]) == ("south", 3, reason)
    assert values["count"] == len(bad)
    assert stat.S_IMODE((tmp_path / "ingress.jsonl").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("policy", "good"),
    [
        ({"count": 10}, samples(10)),
        ({"bytes": 40}, samples(10)),
        ({"variables": ("age", "dose")}, samples(2, dose=torch.zeros(2))),
        ({"ranges": {"age": (50, 50)}}, samples(2)),
        # a missing value is no value out of range
        ({"ranges": {"dose": (0.4, 0.6)}}, samples(2, dose=torch.tensor([math.nan, 0.5]))),
        ({"count": 3}, Slice({"age": torch.full((9,), 50.0)}, 2, 3)),
    ],
)
def test_a_portion_just_within_the_policy_is_taken(tmp_path, policy, good):
    assert entered(Policy(**policy), ask(1, south=good), home=tmp_path) == [(["south"], {})]


def test_counts_are_of_each_sender_and_round(tmp_path):
    """Two portions of ten in one round are twenty; the next round begins anew."""
    results = entered(
        Policy(count=15),
        ask(1, south=samples(10)),
        ask(1, south=samples(10), east=samples(10)),
        ask(2, south=samples(10)),
        home=tmp_path,
    )
    assert [names for names, _ in results] == [["south"], ["east"], ["south"]]
    assert results[1][1] == {"south": "20 samples in a round, of which 15 are accepted"}


def test_a_sender_is_left_out_after_so_many_portions(tmp_path):
    policy = Policy(count=5, strikes=2)
    bad = {"south": samples(6)}
    good = {"south": samples(1)}
    messages = [ask(1, **good), ask(2, **bad), ask(3, **good), ask(4, **bad), ask(5, **good)]
    results = entered(policy, *messages, home=tmp_path)
    assert [bool(names) for names, _ in results] == [True, False, True, False, False]
    left_out = "it is left out after 2 portions beyond what is accepted"
    assert results[-1][1] == {"south": left_out}
    # it stays left out after the site's process was started again; an other sender is not
    again = entered(policy, ask(6, **good, east=samples(1)), home=tmp_path)
    assert again == [(["east"], {"south": left_out})]
    lines = (tmp_path / "ingress.jsonl").read_text().splitlines()
    assert [json.loads(line)["is_strike"] for line in lines] == [True, True, False, False]


def test_what_is_played_again_after_a_resume_is_no_second_strike(tmp_path):
    policy = Policy(count=5, strikes=3)
    ingress = Ingress(tmp_path, SPACE, policy)
    for round in (1, 2):
        ingress.enters(ask(round, south=samples(6)))
    again = Ingress(tmp_path, SPACE, policy)
    again.restored(1)
    assert again.strikes_of("south") == 1
    again.enters(ask(2, south=samples(6)))
    assert again.strikes_of("south") == 2
    # and without going back first, the same portion is the same strike
    third = Ingress(tmp_path, SPACE, policy)
    assert third.strikes_of("south") == 2


def test_a_line_that_was_cut_off_is_no_strike_and_spoils_no_other(tmp_path):
    policy = Policy(count=5, strikes=3)
    ingress = Ingress(tmp_path, SPACE, policy)
    for round in (1, 2):
        ingress.enters(ask(round, south=samples(6)))
    path = tmp_path / "ingress.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    again = Ingress(tmp_path, SPACE, policy)
    assert again.strikes_of("south") == 1
    again.enters(ask(3, south=samples(6)))
    assert Ingress(tmp_path, SPACE, policy).strikes_of("south") == 2


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('variables = ["agee"]', "names 'agee', which was not agreed; agreed, nearest first: age"),
        ("[accepts.ranges]\nweight = [0, 1]", "names 'weight', which was not agreed"),
        ("[accepts.ranges]\noutcome = [0, 1]", "'outcome', which is categorical and has no range"),
        ("[accepts.ranges]\nage = [9, 1]", "age: expected two numbers in order, got [9, 1]"),
        ("[accepts.ranges]\nage = [nan, 1]", "age: expected two numbers in order, got [nan, 1]"),
        ("count = 0", "accepts.count"),
        ("strikes = 0", "accepts.strikes"),
        ("counts = 3", "known, nearest first: count"),
        ("variables = []", "accepts.variables"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_before_play(tmp_path, text, fault):
    path = wards(tmp_path, more={"north": f"[accepts]\n{text}\n"})
    with pytest.raises(ConfigError) as error:
        own_data(Config.from_file(path), None, {})
    assert fault in str(error.value)


# ------------------------------------------------------------------------------------------- runs


def models_of(run, game, name="north"):
    (path,) = (run / "sites" / name / game).rglob("models/*.safetensors")
    return {key: tensor.numpy().tobytes() for key, tensor in load_file(path).items()}


def played(folder, run, accepts, resumed_at=None, rounds=5):
    path = wards(folder, rounds=rounds, more={"north": f"[accepts]\n{accepts}\n"})
    path.write_text(path.read_text().replace("compare = []", 'compare = ["isolated"]'))
    federation = Federation(Config.from_file(path))
    if resumed_at is None:
        federation.run(run)
        return run

    def progress(game, round, rounds):
        if (game, round) == ("sample_exchange", resumed_at):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        federation.run(run, progress)
    assert main(["resume", str(run)]) == 0
    return run


def test_the_game_goes_on_with_the_rest_of_the_mixture(tmp_path, capsys):
    """North takes nothing of south, so it learns what it learns alone; south is not disturbed."""
    run = played(tmp_path / "a", tmp_path / "dropping", "count = 20")
    assert models_of(run, "sample_exchange") == models_of(run, "isolated")
    other = played(tmp_path / "b", tmp_path / "taking", "count = 30")
    assert models_of(other, "sample_exchange") != models_of(other, "isolated")
    assert not list(other.rglob("ingress.jsonl"))
    lines = (record(run, "north").with_name("ingress.jsonl")).read_text().splitlines()
    reasons = [json.loads(line)["reason"] for line in lines]
    assert reasons[:3] == ["30 samples in a round, of which 20 are accepted"] * 3
    assert reasons[3] == "it is left out after 3 portions beyond what is accepted"
    main(["egress", "show", str(run), "--player", "north"])
    assert "of south 4 portions came that were not taken, last in round 5" in (
        capsys.readouterr().out
    )


def test_a_resumed_run_leaves_out_whom_the_uninterrupted_one_does(tmp_path):
    """Ranges cut some portions and not others, so a strike too many would show in the model."""
    accepts = "strikes = 2\n[accepts.ranges]\nage = [0, 84]"
    whole = played(tmp_path / "a", tmp_path / "whole", accepts, rounds=7)
    parts = played(tmp_path / "b", tmp_path / "parts", accepts, resumed_at=4, rounds=7)
    assert models_of(whole, "sample_exchange") == models_of(parts, "sample_exchange")


def player_of(folder, accepts):
    config = Config.from_file(wards(folder, more={"north": f"[accepts]\n{accepts}\n"}))
    own = own_data(config, None, {})["north"]
    return config.game, SiteRecipe(own, config.seed, folder / "home").build()


def of_ward(n, age):
    return {
        "age": torch.full((n,), age),
        "dose": torch.full((n,), 0.5),
        "outcome": torch.zeros(n, dtype=torch.int64),
    }


def test_a_malformed_message_stays_a_loss_at_once(tmp_path):
    """The gate comes first: nothing of such a message is dropped, all of it is refused."""
    game, player = player_of(tmp_path, "count = 100")
    bad = player.space.samples(**of_ward(5, 50.0))
    bad["age"] = torch.full((5,), 121.0)
    message = Message(Turn(1.0, {}), COORDINATOR, "north", 2, payload={"south": bad})
    lost = answer(game, player, message)
    assert isinstance(lost, PlayerLost)
    assert lost.reason.startswith("refused, nothing has changed")
    assert not (tmp_path / "home" / "ingress.jsonl").exists()
    lines = record_lines(tmp_path / "home")
    assert (lines[-1]["what"], lines[-1]["text"]) == ("loss", lost.reason)
    assert lost.head.lines == len(lines), "the words of a loss leave, too, and are recorded"


def record_lines(home):
    return [json.loads(line) for line in (home / "egress.jsonl").read_text().splitlines()]
