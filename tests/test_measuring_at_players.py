"""Players measure on rows of their own; what leaves them is what their site files name."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from coplay import Config, Federation, Message, Result, Space, Variable, pick
from coplay.core.facts import PROTOCOL, Facts, variables_to_text
from coplay.core.history import Roster
from coplay.core.measures import COUNTED, MEASURES, OF_REAL_ROWS
from coplay.core.message import COORDINATOR, PlayerLost
from coplay.core.requests import Judge, Measure
from coplay.core.telling import Telling
from coplay.engines.base import answer
from coplay.engines.gate import checked_reply
from coplay.games.isolated import Isolated
from coplay.games.isolated import Turn as Alone
from coplay.games.party import Known
from coplay.games.sample_exchange import SampleExchange
from coplay.metrics.base import Value
from coplay.report.site_page import write_pages
from coplay.run.own_data import SiteRecipe, own_data
from coplay.site.holdings import Holdings
from coplay.site.judging import judge
from coplay.site.measuring import SiteMeasurer, compared, numbers_told

VARIABLES = {
    "age": {"kind": "real", "low": 0, "high": 120},
    "weight": {"kind": "real", "low": 0, "high": 300},
    "smokes": {"kind": "categorical", "categories": ["no", "yes"]},
}


def write_sites(folder, tells, lacks=()):
    """Write a CSV file and a site file for each site."""
    rng = np.random.default_rng(5)
    for i, (name, tell) in enumerate(tells.items()):
        age = rng.normal(50 + 5 * i, 9, 120).clip(1, 110)
        smokes = rng.random(120) < 1 / (1 + np.exp((50 - age) / 5))
        weight = 60 + age / 4 + rng.normal(0, 6, 120)
        lines = ["age,weight,smokes"]
        for row in zip(age, weight, smokes, strict=True):
            lines.append(f"{row[0]:.2f},{row[1]:.2f},{('no', 'yes')[int(row[2])]}")
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
        (folder / f"{name}.toml").write_text(
            f'federation = "wards"\nname = "{name}"\n'
            f"[data]\nlacks = {json.dumps(list(lacks))}\n"
            f'[data.source]\nname = "table"\nfile = "{name}.csv"\n' + tell
        )


def federation(folder, names, **more):
    return Config.from_dict(
        {
            "name": "wards",
            "variables": VARIABLES,
            "players": {name: {"site": str(folder / f"{name}.toml")} for name in names},
            "model": {"name": "conditionals", "hidden": 8, "batch": 50},
            "game": {"name": "sample_exchange", "rounds": 4, "local_steps": 5, **more},
            "measure": {"every_rounds": 2, "samples": 200, "target": "smokes"},
        }
    )


TELL_ALL = '[tell]\ncount = "tens"\nnumbers = ["all"]\n'
TELL_UTILITY = '[tell]\nnumbers = ["utility"]\n'


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wards")
    write_sites(folder, {"open": TELL_ALL, "shy": TELL_UTILITY, "silent": ""})
    config = federation(folder, ["open", "shy", "silent"])
    return Federation(config).run(folder / "run")


def site_lines(run, name):
    path = run.folder / "sites" / name / "sample_exchange" / "site" / f"{name}.jsonl"
    return path, [json.loads(line) for line in path.read_text().splitlines()]


def test_everybody_measures_the_same_but_tells_what_it_names(run):
    for name in ("open", "shy", "silent"):
        path, lines = site_lines(run, name)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [line["round"] for line in lines] == [2, 4]
        own = lines[-1]["values"]
        assert {"column_fidelity", "pair_fidelity", "utility", "copies_share"} <= set(own)
        assert {"KSComplement age", "TVComplement smokes"} <= set(own)
    last = run.main.last
    assert set(last["silent"]) == set()
    assert set(last["shy"]) == {"utility"}
    assert {"column_fidelity", "utility", "utility_of_real"} <= set(last["open"])


def test_what_is_told_is_what_was_measured(run):
    _, lines = site_lines(run, "open")
    own = lines[-1]["values"]
    for name, value in run.main.last["open"].items():
        step = 0.05 if name in COUNTED else 1e-12
        assert abs(value.value - own[name]["value"]) <= step / 2 + 1e-9
        for end, sign in (("low", 1), ("high", -1)):
            outwards = sign * ((own[name][end] or 0) - (getattr(value, end) or 0))
            assert -1e-9 <= outwards < step, "intervals are rounded outwards"
        # that of real rows is told as rows are
        rounded = round(own[name]["n"], -1) if name in OF_REAL_ROWS else own[name]["n"]
        assert value.n == rounded
        assert value.n_real % 10 == 0, "the number of held-out rows is told as rows are"
        assert value.unit == MEASURES[name].unit


def test_the_reader_is_given_the_reason_for_each_gap(run):
    cautions = run.main.last_cautions
    assert set(cautions["silent"].unmeasured) == {"fidelity", "utility", "memorisation"}
    assert set(cautions["shy"].unmeasured) == {"fidelity", "memorisation"}
    assert "[tell] numbers" in cautions["silent"].unmeasured["utility"]
    assert "open" not in cautions


def test_no_number_of_a_silent_site_is_anywhere_but_in_its_own_files(run):
    _, lines = site_lines(run, "silent")
    secrets = set()
    for line in lines:
        for name, value in line["values"].items():
            if not name.startswith(("utility", "copies", "KS", "TV")):  # those may be like others
                secrets.add(repr(value["value"]))
    secrets = {secret for secret in secrets if len(secret) > 6}  # two digits occur anywhere
    assert len(secrets) >= 8
    for path in run.folder.rglob("*.json*"):
        if path.parent.name != "site":
            text = path.read_text()
            assert not [secret for secret in secrets if secret in text], path
    record = run.record
    assert "silent" not in record.data.sizes
    assert record.data.sizes["open"] % 10 == 0
    for row in run.main.rows:
        assert set(row.players["silent"]) <= {"flops"}
        assert len(row.players["open"]) > 1 or set(row.players["open"]) <= {"flops"}


def test_what_the_coordinator_measures_is_not_asked_for_again(tmp_path):
    write_sites(tmp_path, {"a": TELL_ALL, "b": TELL_ALL})
    source = {"name": "table", "file": str(tmp_path / "b.csv")}
    values = federation(tmp_path, ["a", "b"], rounds=2).to_dict()
    config = Config.from_dict({**values, "reference": {"source": source}})
    result = Federation(config).run(tmp_path / "run")
    value = result.main.last["a"]["column_fidelity"]
    assert "held-out" not in value.unit
    assert value.n_real == 24, "a fifth of the rows of the reference"
    assert not list((tmp_path / "run").rglob("a.jsonl"))


def test_a_metric_with_a_target_of_its_own_is_aimed_at_it_at_players(tmp_path):
    write_sites(tmp_path, {"a": TELL_ALL, "b": TELL_ALL})
    values = federation(tmp_path, ["a", "b"], rounds=2).to_dict()
    metrics = [{"name": "utility", "target": "weight"}]
    measure = {"metrics": metrics, "samples": 200, "every_rounds": 2}
    result = Federation(Config.from_dict({**values, "measure": measure})).run(tmp_path / "run")
    _, (line,) = site_lines(result, "a")
    assert line["values"]["utility"]["unit"].startswith("R² of weight")


def test_settings_of_a_metric_reach_players(tmp_path):
    write_sites(tmp_path, {"a": TELL_ALL})
    values = federation(tmp_path, ["a"], rounds=2).to_dict()
    lows = {}
    for settings in ({}, {"replicates": 20}, {"replicates": 300}):
        measure = {"metrics": [{"name": "fidelity", **settings}], "samples": 200}
        folder = tmp_path / f"{len(lows)}"
        Federation(Config.from_dict({**values, "measure": measure})).run(folder)
        _, (*_, line) = site_lines(Result.load(folder), "a")  # what is told is rounded
        lows[settings.get("replicates")] = line["values"]["column_fidelity"]["low"]
    assert lows[None] == lows[20] != lows[300], "the interval is that of so many replicates"


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"fidelity": "{}"}, "settings: expected those of memorisation, got those of 'fidelity'"),
        ({"memorisation": '{"most": 0}'}, "settings of memorisation: expected valid ones, got"),
        ({"memorisation": "x"}, "settings of memorisation: expected valid ones, got 'x'"),
        ({"memorisation": '{"code": "os"}'}, "settings of memorisation: expected valid ones, got"),
    ],
)
def test_settings_that_no_metric_asked_for_has_are_refused(tmp_path, settings, fault):
    write_sites(tmp_path, {"a": TELL_ALL})
    config = federation(tmp_path, ["a"])
    player = SiteRecipe(own_data(config, None, {})["a"], 0, None).build()
    request = Measure(200, ["memorisation"], settings=settings)
    reply = answer(config.game, player, Message(request, COORDINATOR, "a", 1))
    assert fault in reply.reason


def test_a_value_that_is_no_number_is_a_reason_at_a_site():
    space = Space({"age": Variable(kind="real"), "weight": Variable(kind="real")})
    rows = space.samples(age=torch.arange(6.0), weight=torch.ones(6))
    holdings = Holdings(space, rows, rows, rows)
    got = compared(holdings, rows, Measure(6, ["utility"], "weight"))
    assert not got.values, "R² of a number that is always the same"
    assert "not finite" in got.unmeasured["utility"]


def test_a_verdict_is_given_on_the_rows_kept_for_it(run, tmp_path):
    held = own_data(run.config, None, {})["open"].load()
    some = replace(held, chosen_on=pick(held.chosen_on, slice(5)), chosen_units=None)
    assert run.best("open").n == len(held.chosen_on) == 12
    player = SiteRecipe(own_data(run.config, None, {})["open"], 0, None).build()
    served = pick(held.train, slice(20))
    for holdings in (held, some):
        judge(holdings, player, Judge(9, "a", ["a"], "smokes"), served, tmp_path / "site")
        values = json.loads((tmp_path / "site" / "verdict.json").read_text())
        assert values["n"] == len(holdings.chosen_on)


def test_measuring_changes_nothing_that_is_learned(tmp_path):
    write_sites(tmp_path, {"a": TELL_ALL, "b": ""})
    config = federation(tmp_path, ["a", "b"])
    silent = Config.from_dict({**config.to_dict(), "measure": {"metrics": [], "samples": 200}})
    for name, each in (("measured", config), ("bare", silent)):
        Federation(each).run(tmp_path / name)
    for player in ("a", "b"):
        model = Path("sites") / player / "sample_exchange" / "models" / f"{player}.safetensors"
        measured, bare = ((tmp_path / name / model).read_bytes() for name in ("measured", "bare"))
        assert measured == bare


def test_players_that_all_lack_something_still_begin(tmp_path):
    names = {"a": TELL_ALL, "b": TELL_ALL}
    write_sites(tmp_path, names)
    for name, lacks in (("a", "age"), ("b", "weight")):
        path = tmp_path / f"{name}.toml"
        path.write_text(path.read_text().replace("lacks = []", f'lacks = ["{lacks}"]'))
    result = Federation(federation(tmp_path, ["a", "b"])).run(tmp_path / "run")
    sent = [row.bytes for row in result.main.rows]
    assert sent[0] == 0
    assert any(sent[1:]), "each waits for the other"
    samples = result.main.rows[-1]
    assert samples.measured is not None
    from coplay import load_player

    drawn = load_player(tmp_path / "run", "a").draw(10, 1, "test")
    assert set(drawn.keys()) == {"age", "weight", "smokes"}


def test_each_site_has_a_page_of_its_own(run):
    pages = {page.parent.name: page for page in write_pages(run)}
    assert set(pages) == {"open", "shy", "silent"}
    for name, page in pages.items():
        assert stat.S_IMODE(page.stat().st_mode) == 0o600
        assert stat.S_IMODE(page.parent.stat().st_mode) == 0o700
        text = page.read_text()
        assert f"This page is for {name} alone" in text
        assert "KSComplement age" in text
    silent = pages["silent"].read_text()
    assert "these numbers left: none." in silent
    assert "The number of your rows was not told." in silent
    shy = pages["shy"].read_text()
    assert "these numbers left: utility." in shy
    assert "read from" in shy
    assert "rows kept for this" in shy, "the verdict, which here has one model to choose from"


def test_nothing_is_told_by_default():
    assert not any(Telling().tells(name) for name in MEASURES)


@pytest.mark.parametrize(
    ("count", "rows", "trained"), [("no", None, None), ("tens", 20, 80), ("exact", 17, 83)]
)
def test_counts_of_rows_leave_as_the_site_says_whatever_scores_it_tells(count, rows, trained):
    rng = np.random.default_rng(2)
    real = Variable(kind="real")
    space = Space({"x": real, "y": Variable(kind="binary"), "z": real})
    sets = []
    for n in (83, 17, 200):
        x, z = torch.as_tensor(rng.normal(size=(2, n)), dtype=torch.float32)
        sets.append(space.samples(x=x, y=(x > 0).to(torch.uint8), z=z))
    train, scored, drawn = sets
    tell = Telling(count=count, numbers=("all",))
    measurer = SiteMeasurer("north", Holdings(space, train, scored, scored), tell)
    log_p = {"log_p": -1.0, "low": -2.0, "high": 0.0}
    request = Measure(200, ("fidelity", "utility", "memorisation"), "y")
    numbers = measurer.measure(drawn, request, log_p, 1)
    assert set(MEASURES) <= set(numbers)
    assert numbers.get("utility_of_real n") == trained
    told = {number for name, number in numbers.items() if name.endswith(" n_real")}
    assert told == ({rows} if rows else set())
    of_real = {f"{name} n" for name in OF_REAL_ROWS}
    others = {name for name in numbers if name.endswith(" n")} - of_real
    assert {numbers[name] for name in others} == {200.0, 0.0}


@pytest.mark.parametrize(
    ("count", "alike"),
    [("tens", range(26, 35)), ("tens", range(106, 115)), ("tens", range(1006, 1015, 4)),
     ("no", (20, 57, 284))],
)  # fmt: skip
def test_the_digits_of_an_accuracy_do_not_tell_on_how_many_rows_it_was_counted(count, alike):
    tell = Telling(count=count, numbers=("all",))
    told = []
    for n in alike:
        each = [
            numbers_told({"utility": Value(k / n, "", "higher", 100, n)}, tell)
            for k in range(n + 1)
        ]
        told.append({numbers["utility"] for numbers in each})
        assert {numbers.get("utility n_real") for numbers in each} == {tell.count_of(n)}
    assert all(values == told[0] for values in told)


def test_seconds_are_told_with_one_digit_and_operations_as_they_are(tmp_path):
    write_sites(tmp_path, {"a": ""})
    config = federation(tmp_path, ["a"])
    player = SiteRecipe(own_data(config, None, {})["a"], 0, None).build()
    player.roster = Roster(["a"])
    ask = Message(Alone(), COORDINATOR, "a", 1)
    player.take_seconds = lambda: {"seconds_learning": 0.01234}
    reply = answer(Isolated(rounds=1, local_steps=2), player, ask)
    assert reply.numbers["seconds_learning"] == 0.01
    assert reply.numbers["flops"] == 2 * next(iter(player.model._flops.values()))


def measure_reply(**numbers):
    """What comes of a reply to the request to measure, with these numbers."""
    ask = Message(Measure(100, ("utility",)), COORDINATOR, "north", 3)
    facts = Facts("north", "0", PROTOCOL, "", variables_to_text({"x": Variable(kind="real")}))
    named = {name.replace("__", " "): number for name, number in numbers.items()}
    return checked_reply(SampleExchange.tiny(), Known(facts, 1), ask, ask.reply(named))


@pytest.mark.parametrize(
    "numbers",
    [
        {},
        {"utility": 0.8},
        {"utility": -3.5, "utility__low": -9.0, "utility__high": 0.5, "utility__n": 100.0},
        {"column_fidelity": 1.0 + 1e-12, "log_p": -4321.5, "log_p__low": -5000.0},
        {"copies_share": 0.0, "nearest_training_ratio": 7.0, "seconds_sampling": 3},
    ],
)
def test_a_site_may_tell_any_part_of_what_it_measured(numbers):
    assert type(measure_reply(**numbers)) is Message


@pytest.mark.parametrize(
    ("numbers", "fault"),
    [
        ({"age": 51.0}, "got 'age'"),
        ({"utility": 1.5}, "expected for 'utility' a number from"),
        ({"utility": float("nan")}, "expected for 'utility' a number from"),
        ({"column_fidelity": -0.5}, "expected for 'column_fidelity' a number from"),
        ({"pair_fidelity__high": 1.5}, "expected for 'pair_fidelity high' a number from"),
        ({"utility__n": -1.0}, "expected for 'utility n' a number from 0"),
        ({"utility__n_real": 1e30}, "expected for 'utility n_real' a number from 0"),
        ({"copies_share": "few"}, "expected for 'copies_share' a number from"),
    ],
)
def test_strange_measurements_are_the_loss_of_the_site_that_sent_them(numbers, fault):
    reply = measure_reply(**numbers)
    assert type(reply) is PlayerLost
    assert fault in reply.reason
