"""Sites that make a promise: what they are refused for, what they spend, what leaves them."""

import json
import random
import signal
import stat
import subprocess
import sys
import time

import pytest
import torch

from coplay import Federation, Result, Space, Variable, load_player
from coplay.core import digests
from coplay.core.errors import (
    CheckpointError,
    ConfigError,
    CoplayError,
    DataError,
    PrivacyError,
    RunFolderError,
)
from coplay.core.message import Message
from coplay.run.audit_rows import audit_rows
from coplay.run.own_data import SiteRecipe, own_data
from coplay.run.release_card import card_of
from coplay.site.accounting import Charge, needed_noise, spent_epsilon
from coplay.site.budget import Budget, Spent
from coplay.site.private_data import evenly
from coplay.site.private_rows import PrivateRows, unit_names
from coplay.site.splitting import steady_split_of
from coplay.theory.noise import gaussian_noise

from .private_sites import MOMENTS, VARIABLES, federation, replies_of, table


def refused(*arguments, **settings):
    with pytest.raises(ConfigError) as error:
        Federation(federation(*arguments, **settings)).prepare()
    return str(error.value)


def ledger(folder, name="north"):
    return folder / name / "privacy" / "wards" / name / "budget.jsonl"


# --------------------------------------------------------------------- refused before any reading


def test_what_cannot_be_promised_is_refused_with_all_faults_before_anything_is_read(tmp_path):
    variables = {
        **VARIABLES,
        "age": {"kind": "real", "low": 0},
        "dose": {"kind": "real", "low": 0, "high": 10, "from_data": True},
        "visits": {"kind": "count"},
    }
    config = federation(tmp_path, {"stand_in": MOMENTS}, variables, site={"unit": "patient"})
    (tmp_path / "north" / "rows.csv").unlink()  # whoever reads them fails otherwise
    with pytest.raises(ConfigError) as error:
        Federation(config).prepare()
    text = str(error.value)
    place = "players.north.site: [privacy]: "
    assert text.startswith("4 problems in the config:")
    assert f"{place}'age' (real scalar in [0, inf]) has no range; agree on low and high" in text
    assert f"{place}the range or the categories of 'dose' were read off somebody's data" in text
    assert f"{place}'visits' is a count, which has no highest value" in text
    assert f"{place}a unit ('patient') has any number of rows" in text


def test_a_federation_that_agrees_on_no_variables_is_refused(tmp_path):
    text = refused(tmp_path, {"stand_in": MOMENTS}, variables={})
    assert "variables: expected the agreed variables, since north, south is read from" in text


@pytest.mark.parametrize(
    ("privacy", "words"),
    [
        (
            {"stand_in": {**MOMENTS, "epsilon": 0}},
            "privacy.stand_in.epsilon: input should be greater than 0, got 0",
        ),
        ({"stand_in": {**MOMENTS, "epsilon": float("inf")}}, "should be a finite number"),
        ({"stand_in": {**MOMENTS, "epsilon": -1.0}}, "greater than 0"),
        ({"stand_in": {**MOMENTS, "delta": 0}}, "greater than 0"),
        ({"stand_in": {**MOMENTS, "delta": 1}}, "less than 1"),
        ({"stand_in": {**MOMENTS, "name": "moments"}}, "unknown stand_in 'moments'; known, near"),
        ({}, "expected a stand_in, such as stand_in = {name = 'noisy_moments'"),
        ({"epsilon": 1.0}, "expected a stand_in"),
        ({"stand_in": MOMENTS, "epsilon": 0.5}, "epsilon = 1 is more than epsilon = 0.5"),
        ({"stand_in": MOMENTS, "rows_per_unit": 3}, "rows_per_unit belongs to a site whose"),
        ({"stand_in": {**MOMENTS, "by": "age"}}, "by = 'age': expected a categorical variable"),
        ({"stand_in": MOMENTS, "epsilno": 1.0}, "epsilon"),
    ],
)
def test_settings_that_promise_nothing_are_refused(tmp_path, privacy, words):
    assert words in refused(tmp_path, privacy)


def test_a_delta_of_one_over_n_is_refused_at_the_site_without_telling_n(tmp_path):
    config = federation(tmp_path, {"stand_in": {**MOMENTS, "delta": 0.01}})
    own = own_data(config, None, {})["north"]
    with pytest.raises(DataError, match=r"delta = 0.01: expected less than 1 / \d+, one over the"):
        own.load()
    recipe = SiteRecipe(own, 1, tmp_path / "run" / "sites" / "north" / "game")
    with pytest.raises(CoplayError) as error:
        recipe.build()
    assert "cannot be read as agreed" in str(error.value)
    assert "delta" not in str(error.value), "whether n is below 1 / delta is not told"
    assert not ledger(tmp_path).exists()


# ------------------------------------------------------------------------------- paid for once


def test_a_stand_in_is_paid_for_once_and_is_the_same_in_every_round_run_and_restart(tmp_path):
    config = federation(tmp_path, {"stand_in": MOMENTS}, compare=["isolated"])
    Federation(config).prepare()
    assert not ledger(tmp_path).exists(), "checking spends nothing"
    Federation(config).run(tmp_path / "one")
    paid = ledger(tmp_path).read_bytes()
    assert paid.count(b"\n") == 1
    draws = ledger(tmp_path).with_name("draws.safetensors").read_bytes()
    longer = federation(tmp_path, {"stand_in": MOMENTS}, seed=8)
    Federation(
        longer.model_copy(update={"game": longer.game.model_copy(update={"rounds": 6})})
    ).run(tmp_path / "two")
    assert ledger(tmp_path).read_bytes() == paid
    assert ledger(tmp_path).with_name("draws.safetensors").read_bytes() == draws
    player = load_player(tmp_path / "two", "north")
    assert player.draw(5, 0, "x")["age"].shape == (5,)
    budget = Budget(ledger(tmp_path).parent, 1.0, 1e-4)
    assert budget.spent() == Spent(pytest.approx(1.0, abs=1e-9), 1e-4)
    for path in ledger(tmp_path).parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(ledger(tmp_path).parent.stat().st_mode) == 0o700


def test_another_stand_in_is_refused_until_the_site_raises_its_budget(tmp_path):
    Federation(federation(tmp_path, {"stand_in": MOMENTS})).run(tmp_path / "one")
    other = {**MOMENTS, "epsilon": 0.5}
    with pytest.raises(CoplayError, match="a stand-in was made with other settings"):
        Federation(federation(tmp_path, {"stand_in": other})).run(tmp_path / "two")
    ledger(tmp_path).with_name("stand_in.json").unlink()
    with pytest.raises(CoplayError, match=r"the privacy budget is spent: epsilon = .* of 0.5 at"):
        Federation(federation(tmp_path, {"stand_in": other})).run(tmp_path / "three")
    Federation(federation(tmp_path, {"stand_in": other, "epsilon": 1.5})).run(tmp_path / "four")
    spent = Budget(ledger(tmp_path).parent, 1.5, 1e-4).spent()
    assert spent.epsilon == pytest.approx(
        spent_epsilon([Charge("", noise=gaussian_noise(e, 1e-4)) for e in (1.0, 0.5)], 1e-4)
    )
    assert 1.0 < spent.epsilon < 1.5, "Gaussian noise adds up by squares"


def test_a_budget_that_is_missing_is_not_taken_for_one_that_is_full(tmp_path):
    Federation(federation(tmp_path, {"stand_in": MOMENTS})).run(tmp_path / "one")
    ledger(tmp_path).unlink()
    with pytest.raises(CoplayError, match=r"budget.jsonl is missing, though a stand-in was paid"):
        Federation(federation(tmp_path, {"stand_in": MOMENTS})).run(tmp_path / "two")


# --------------------------------------------------------------------------------------- budget


def test_a_torn_line_was_never_used_and_a_changed_one_stops_everything(tmp_path):
    budget = Budget(tmp_path, 10.0, 1e-5)
    one = budget.charge(Charge("a", noise=4.0))
    two = budget.charge(Charge("b", noise=4.0), Charge("c", noise=8.0))
    assert two.epsilon > one.epsilon
    with budget.path.open("ab") as file:
        file.write(b'{"what": "d", "noi')
    assert budget.spent() == two
    three = budget.charge(Charge("d", noise=4.0))
    assert [charge.what for charge in budget.charges()] == ["a", "b", "c", "d"]
    assert budget.spent() == three
    lines = budget.path.read_bytes().splitlines(keepends=True)
    for damaged in (
        [lines[0].replace(b"4.0", b"9.0"), *lines[1:]],
        [lines[0], *lines[2:]],
        [*lines[1:]],
        [lines[1], lines[0], *lines[2:]],
        [*lines, b"{}\n"],
        [*lines, b"\n"],
    ):
        budget.path.write_bytes(b"".join(damaged))
        with pytest.raises(PrivacyError, match=r"budget.jsonl, line \d: it is damaged"):
            budget.charge(Charge("e", noise=100.0))


def test_what_cannot_be_written_down_is_not_spent(tmp_path):
    budget = Budget(tmp_path / "folder", 10.0, 1e-5)
    (tmp_path / "folder").write_text("in the way")
    with pytest.raises((PrivacyError, CheckpointError)):
        budget.charge(Charge("a", noise=4.0))


def test_charges_add_up_as_theory_says():
    half = gaussian_noise(1.0, 1e-5) * 2**0.5
    assert spent_epsilon([Charge("", noise=half)] * 2, 1e-5) == pytest.approx(1.0, abs=1e-9)
    assert spent_epsilon([Charge("", noise=half, steps=2)], 1e-5) == pytest.approx(1.0, abs=1e-9)
    assert spent_epsilon([], 1e-5) == 0
    for epsilon in (0.1, 1.0, 10.0):
        noise = needed_noise(lambda s: [Charge("", noise=s)], epsilon, 1e-6)
        assert noise == pytest.approx(gaussian_noise(epsilon, 1e-6), rel=1e-12)
        assert spent_epsilon([Charge("", noise=noise)], 1e-6) == pytest.approx(epsilon, rel=1e-9)
    stated = Charge("own", epsilon=0.7, delta=4e-6)
    both = [stated, Charge("", noise=gaussian_noise(1.0, 6e-6))]
    assert spent_epsilon(both, 1e-5) == pytest.approx(1.7, abs=1e-9)
    assert spent_epsilon([stated, stated, stated], 1e-5) == float("inf"), "their deltas are more"


# ------------------------------------------------------------------------ one unit more or less


def test_a_unit_more_or_less_moves_no_other_unit(tmp_path):
    """Whoever is held out, and which rows of a patient stay, follows from that patient alone."""
    units = [f"p{i % 70}".encode() for i in range(300)]
    for drop in (0, 13, 69):
        kept = [i for i in range(300) if i % 70 != drop]
        whole = steady_split_of(units, 0.3, None, "site")
        less = steady_split_of([units[i] for i in kept], 0.3, None, "site")
        for purpose in ("train", "scored", "chosen_on"):
            rows = [i for i in getattr(whole, purpose).tolist() if i in set(kept)]
            assert rows == [kept[i] for i in getattr(less, purpose).tolist()]


def test_equal_rows_are_told_apart_so_that_one_more_moves_one():
    space = Space({"x": Variable(kind="binary")})
    bits = space.samples(x=torch.tensor([0, 1, 1, 0, 1], dtype=torch.uint8))
    names = unit_names(bits, None)
    assert len(set(names)) == 5
    assert set(unit_names(bits[1:], None)) < set(names)


def test_the_split_of_a_promise_changes_by_one_row_where_others_change_by_many(tmp_path):
    def train(skip, privacy):
        home = tmp_path / "north"
        home.mkdir(exist_ok=True)
        table(home / "rows.csv", n=200)
        lines = (home / "rows.csv").read_text().splitlines(keepends=True)
        (home / "rows.csv").write_text("".join(lines[: 1 + skip] + lines[2 + skip :]))
        config = federation(tmp_path, privacy, site={"outside": "clip"})
        return set(own_data(config, None, {})["north"].load().train["age"].tolist())

    one = train(500, {"stand_in": MOMENTS})
    two = train(0, {"stand_in": MOMENTS})
    assert len(one ^ two) <= 1


def test_evenly_drawn_samples_fill_the_ranges():
    space = Space(
        {
            "x": Variable(kind="real", low=-2, high=6),
            "b": Variable(kind="binary", shape=(2,)),
            "c": Variable(kind="categorical", classes=3),
        }
    )
    drawn = space.check(evenly(space, 3000), "test", complete=True)
    assert abs(float(drawn["x"].mean()) - 2) < 0.15
    assert abs(float(drawn["b"].float().mean()) - 0.5) < 0.05
    assert (drawn["c"].bincount() / 3000 - 1 / 3).abs().max() < 0.05


def test_units_keep_so_many_rows():
    space = Space({"x": Variable(kind="real", low=0, high=1)})
    x = torch.rand(50, generator=torch.Generator().manual_seed(1))
    from coplay.site.holdings import Holdings

    samples = space.samples(x=x)
    held = Holdings(space, samples, samples, samples, torch.arange(50) % 7)
    rows = PrivateRows.of(held, 3)
    assert rows.count == 7
    assert rows.units.bincount().tolist() == [3] * 7
    assert rows.most == 3


# ------------------------------------------------------------------- what leaves, and what not

LEARNING = {
    "epsilon": 4.0,
    "delta": 1e-4,
    "accountant": "rdp",
    "learning": {"steps": 8, "rate": 0.1, "histogram": 0.2},
}
SMALL = {
    "name": "autoregressive",
    "bins": 8,
    "hidden": 16,
    "blocks": 1,
    "embedding": 4,
    "batch": 32,
}


@pytest.fixture
def sent(monkeypatch):
    """All replies of the first site, as the engine has them."""
    return replies_of("north", monkeypatch)


@pytest.mark.parametrize("privacy", [{"stand_in": MOMENTS}, LEARNING], ids=["stand_in", "learning"])
def test_every_number_that_leaves_is_post_processing_public_or_charged(tmp_path, sent, privacy):
    """With all the site may tell asked for: what is computed from rows stays in its own folder."""
    pytest.importorskip("opacus")
    config = federation(
        tmp_path,
        privacy,
        model=SMALL,
        measure={"samples": 100, "shown": 3, "metrics": ["fidelity", "utility"], "target": "class"},
    )
    file = tmp_path / "north" / "site.toml"
    told = '\n[tell]\ncount = "exact"\nshares = true\nsmall_cell = 1\nnumbers = ["all"]\n'
    file.write_text(file.read_text() + told)
    Federation(federation_of(config)).run(tmp_path / "run")
    assert sent
    post_processing = {"row_loss", "flops"} if "stand_in" in privacy else set()
    for reply in sent:
        assert isinstance(reply, Message), reply
        for name in reply.numbers:
            assert name in post_processing, f"{name} is neither of the stand-in nor charged"
        # samples are those of a model that learned from draws, or by steps that were charged
        assert set(reply.samples()) <= {"south", "", "coordinator", "the coordinator"}
    own = own_data(federation_of(config), None, {})["north"]
    rows = own.load()
    counts = {len(rows.train), len(rows.scored), len(rows.chosen_on), 400}
    outside = [
        path for path in (tmp_path / "run").rglob("*.json*") if "sites/north" not in path.as_posix()
    ]
    for path in outside:
        for number in numbers_in(path.read_text()):
            assert number not in counts, f"{path}: {number} counts real rows"


def federation_of(config):
    """Read the site files anew."""
    return type(config).from_dict(config.model_dump(mode="json", exclude_unset=True))


def numbers_in(text):
    """All numbers of JSON lines."""
    numbers = []

    def walk(value):
        if isinstance(value, dict):
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            numbers.append(value)

    for part in [text] if text.startswith("{\n") else text.splitlines():
        walk(json.loads(part))
    return numbers


def test_a_site_whose_budget_is_spent_sends_no_more_and_the_game_goes_on(tmp_path):
    pytest.importorskip("opacus")
    game = {
        "name": "sample_exchange",
        "rounds": 6,
        "local_steps": 2,
        "samples_per_round": 40,
        "own_weight": 0.5,
        "own_rounds": 1,
        "on_lost": "continue",
    }
    sites = ("north", "south", "west")
    config = federation(tmp_path, LEARNING, sites=sites, model=SMALL, game=game)
    result = Federation(config).run(tmp_path / "run")
    assert result.record.status == "finished"
    losses = [loss for row in result.main.rows for loss in row.lost.values()]
    assert [loss.player for loss in losses] == ["north"]
    assert "the privacy budget is spent: epsilon = " in losses[0].reason
    budget = Budget(ledger(tmp_path).parent, 4.0, 1e-4, "rdp")
    charges = budget.charges()
    assert [charge.steps for charge in charges] == [1, 2, 2, 2, 2]
    assert 3.9 < budget.spent().epsilon <= 4.0
    # and in a run that follows it is lost at once, whatever is deleted of the runs
    again = Federation(config).run(tmp_path / "again")
    assert [loss.player for row in again.main.rows for loss in row.lost.values()] == ["north"]
    assert budget.charges() == charges


def test_a_model_or_a_game_that_no_budget_covers_is_refused(tmp_path):
    text = refused(tmp_path, LEARNING)
    assert "ExponentialFamily cannot learn by DP-SGD; choose autoregressive or rectified_fl" in text
    text = refused(tmp_path, LEARNING, model={**SMALL, "validation": 0.1}, compare=["ensemble"])
    assert "validation: early stopping looks at real rows" in text
    assert "in ensemble players use their rows in other ways than by learning" in text


SPENDER = """
import sys
from pathlib import Path
from coplay.site.accounting import Charge
from coplay.site.budget import Budget

budget = Budget(Path(sys.argv[1]), 1e6, 1e-5)
while True:
    budget.charge(Charge("step", noise=50.0))
    print("used", flush=True)  # only now are rows looked at
"""


@pytest.mark.slow
def test_fifty_kills_never_leave_less_spent_than_was_used(tmp_path):
    used = 0
    wait = random.Random(1)
    for _ in range(50):
        process = subprocess.Popen(
            [sys.executable, "-c", SPENDER, tmp_path], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(wait.random() * 0.2)
        process.send_signal(signal.SIGKILL)
        used += 1 + process.stdout.read().count("used")
        process.wait()
        charges = Budget(tmp_path, 1e6, 1e-5).charges()
        assert used <= len(charges) <= used + 50
    assert used > 50


def test_an_audit_afterwards_attacks_the_rows_behind_a_stand_in(tmp_path):
    """Members are the rows that were held in, not draws of the stand-in."""
    config = federation(tmp_path, {"stand_in": MOMENTS})
    result = Federation(config).run(tmp_path / "run")
    own = own_data(config, None, {})["north"].load()
    rows = audit_rows(result, "north", result.main.name)
    assert digests.of_samples(own.space, rows.members.rows) == digests.of_samples(
        own.space, own.train
    )
    card = card_of(result, load_player(result.folder, "north"), result.main.name, 10, 1)
    assert card.learned_from[0] == "north: draws of a differentially private stand-in of its rows"
    assert card.promise.startswith(f"ε = {MOMENTS['epsilon']:g} at δ = {MOMENTS['delta']:g} for")
    table = tmp_path / "north" / "rows.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines[:-1], lines[1]]) + "\n")
    with pytest.raises(RunFolderError, match="no longer those that the run began with"):
        audit_rows(Result.load(result.folder), "north", result.main.name)
