"""Games that play at the same time: the same bits, and nobody is left behind."""

import json
import os
import pickle
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from coplay import Config, Federation
from coplay.core.errors import ConfigError, EngineError, PlayerError
from coplay.engines.local import Local
from coplay.games.isolated import Isolated
from coplay.games.sample_exchange import SampleExchange
from coplay.models.exponential_family import ExponentialFamily
from coplay.run.side_by_side import MOST, _Failure, games_at_once, play_side_by_side

from .test_kill_and_resume import CONFIG, coplay, learned

QUICK = [
    "game.rounds=4",
    'compare=["isolated", "pooled"]',
    "measure.every_rounds=2",
    "checkpoint.every_rounds=1",
]


def rows(run):
    """Return the rows of all games without what depends on the clock."""
    lines = {}
    for path in sorted(run.glob("*/rows.jsonl")):
        values = [json.loads(line) for line in path.read_text().splitlines()]
        lines[path.parent.name] = [
            {key: row[key] for key in row if key not in ("seconds", "seal")} for row in values
        ]
    assert len(lines) == 3
    return lines


def children_of(process):
    return [
        int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()
    ]


def still_there(processes, seconds=10):
    """Return those of some processes that have not ended after so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        left = [pid for pid in processes if Path(f"/proc/{pid}").exists()]
        if not left:
            return []
        time.sleep(0.01)
    return left


def config(at_once):
    engine = f'engine={{name = "local", games_at_once = {at_once}}}'
    return Config.from_toml(CONFIG, [*QUICK, engine])


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory):
    """The folder of a run whose games played one after the other."""
    folder = tmp_path_factory.mktemp("one-by-one") / "run"
    Federation(config(1)).run(folder)
    return folder


def same(run, other):
    return learned(run) == learned(other) and rows(run) == rows(other)


def test_games_side_by_side_have_the_bits_of_games_one_after_the_other(one_by_one, tmp_path):
    processes = set()
    reported = {}

    def report(what, done, of):
        processes.add(os.getpid())
        reported.setdefault(what, []).append(done)

    result = Federation(config(3)).run(tmp_path / "run", report)
    assert result.record.status == "finished"
    assert same(tmp_path / "run", one_by_one)
    assert processes == {os.getpid()}
    for game in ("sample_exchange", "isolated", "pooled"):
        assert reported[game] == list(range(5))
    assert not children_of(os.getpid())


def test_killing_the_runs_process_leaves_nobody_and_a_run_that_goes_on(one_by_one, tmp_path):
    (tmp_path / "killed.toml").write_text(config(3).to_toml())
    process = coplay("run", "killed.toml", "--out", "run", cwd=tmp_path)
    run = tmp_path / "run"
    deadline = time.monotonic() + 120
    while len(list(run.glob("*/checkpoint.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    children = children_of(process.pid)
    assert len(children) == 3
    process.kill()
    process.wait(timeout=60)
    assert not still_there(children)
    Federation.resume(run)
    assert same(run, one_by_one)


def test_killing_a_games_process_ends_the_others_and_leaves_a_run_that_goes_on(
    one_by_one, tmp_path
):
    def report(what, done, of):
        if (what, done) == ("isolated", 2):
            os.kill(children_of(os.getpid())[0], signal.SIGKILL)

    message = (
        r"the process that played '\w+' was killed by SIGKILL; 'coplay resume' goes on from its "
        "last checkpoint. If memory was short, --set engine.games_at_once=1 plays one game after "
        "the other"
    )
    with pytest.raises(EngineError, match=message):
        Federation(config(3)).run(tmp_path / "run", report)
    assert not children_of(os.getpid())
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["status"] == "failed"
    assert re.fullmatch(message, record["reason"])
    Federation.resume(tmp_path / "run")
    assert same(tmp_path / "run", one_by_one)


def test_a_run_goes_on_one_by_one_and_the_other_way_round(one_by_one, tmp_path):
    class Stopped(Exception):
        pass

    def report(what, done, of):
        if (what, done) == ("pooled", 2):
            raise Stopped

    with pytest.raises(Stopped):
        Federation(config(2)).run(tmp_path / "run", report)
    assert not children_of(os.getpid())
    Federation.resume(tmp_path / "run", overrides=["engine.games_at_once=1"])
    assert same(tmp_path / "run", one_by_one)


class Failing(ExponentialFamily):
    """A model that cannot learn."""

    tried = False

    def learn(self, mixture, steps, generator):
        raise ValueError("row 17 is wrong")


@pytest.mark.parametrize("at_once", [1, 2])
def test_an_error_has_the_type_and_text_that_it_had_in_the_games_process(tmp_path, at_once):
    values = {
        "players": 2,
        "model": {"name": "tests.test_side_by_side:Failing"},
        "game": {"name": "sample_exchange", "rounds": 2},
        "compare": ["isolated"],
        "measure": {"metrics": []},
        "engine": {"name": "local", "games_at_once": at_once},
    }
    with pytest.raises(PlayerError) as caught:
        Federation(Config.from_dict(values)).run(tmp_path / "run")
    error = caught.value
    assert (error.player, error.action, error.round) == ("player0", "turn", 1)
    assert str(error).startswith(
        "player 'player0' failed at 'turn' in round 1: ValueError, whose text stays with the player"
    )
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (record["status"], record["reason"]) == ("failed", str(error))


@pytest.mark.parametrize(
    "error",
    [
        PlayerError("north", "turn", 3, "it is ill"),
        ConfigError(["seed: one", "rounds: two"]),
        KeyError("name"),
        OSError(28, "No space left on device"),
    ],
)
def test_an_error_travels_whole(error):
    copy = pickle.loads(pickle.dumps(_Failure.of(error))).error()
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    fields = {key: value for key, value in vars(copy).items() if key != "__notes__"}
    assert fields == vars(error)


def test_an_error_that_cannot_travel_keeps_its_words():
    class Local(Exception):
        pass

    copy = _Failure.of(Local("it is ill")).error()
    assert (type(copy), str(copy)) == (RuntimeError, "Local: it is ill")


def test_how_many_games_play_at_once(monkeypatch):
    monkeypatch.delenv(MOST)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    assert games_at_once(Local(), 3) == 3
    assert games_at_once(Local(), 5) == 4
    assert games_at_once(Local(games_at_once=2), 3) == 2
    assert games_at_once(Local(games_at_once=5), 3) == 3
    assert games_at_once(Local(), 1) == 1
    assert games_at_once(Local(games_at_once=3, threads=2), 3) == 1
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {1})
    assert games_at_once(Local(), 3) == 1
    monkeypatch.setenv(MOST, "1")
    assert games_at_once(Local(), 3) == 1
    monkeypatch.setenv(MOST, "two")
    with pytest.raises(ConfigError, match="COPLAY_GAMES_AT_ONCE=two: expected a whole number"):
        games_at_once(Local(), 3)


def test_a_setting_that_does_nothing_is_noted():
    assert Local(games_at_once=2, threads=2).notes(4) == (
        "engine.games_at_once = 2, but with engine.threads = 2 games play one after the other",
    )
    assert Local(games_at_once=2).notes(4) == ()


@dataclass
class Named:
    name: str
    game: object


def test_the_longest_game_begins_first():
    games = [
        Named("short", Isolated(rounds=2, local_steps=10)),
        Named("long", SampleExchange(rounds=4, local_steps=10)),
    ]
    begun = []
    play_side_by_side(
        games, lambda game, report: report(game.name, 0, 1), 1, lambda what, *_: begun.append(what)
    )
    assert begun == ["long", "short"]
