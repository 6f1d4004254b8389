"""Games that end early: by the clock, and when nothing changes any more."""

import math

import pytest
import torch
from scipy.stats import chi2

from coplay import Config, Federation, Variable
from coplay.cli.run_table import notes
from coplay.core.errors import ConfigError
from coplay.games.isolated import Isolated
from coplay.games.sample_exchange import SampleExchange
from coplay.report.headline import status
from coplay.run import stopping
from coplay.run.moments import Moments
from coplay.run.round_record import RoundRecord
from coplay.run.stopping import Stopping, change, moments_of, steady

from .test_kill_and_resume import learned


class Clock:
    """A clock by which every round takes ten seconds."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        self.now += 10.0
        return self.now


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(stopping, "time", Clock())


def models_and_samples(run):
    return {name: data for name, data in learned(run).items() if "checkpoint.json" not in name}


def game(**settings):
    values = {"name": "sample_exchange", "local_steps": 2, "samples_per_round": 50}
    return values | settings


def test_the_round_in_which_the_minutes_end_is_the_last_and_as_if_rounds_said_so(
    clock, small_config, tmp_path
):
    measure = {"metrics": [], "samples": 100, "shown": 4, "every_rounds": 3}
    timed = small_config(game=game(rounds=50, minutes=1), measure=measure)
    result = Federation(timed).run(tmp_path / "timed")
    play = result.plays["sample_exchange"]
    assert [row.elapsed for row in play.rows] == [10, 20, 30, 40, 50, 60]
    assert [row.round for row in play.rows if row.shown] == [3, 6]
    assert play.early_end == "sample_exchange stopped after round 6: 1 minute was over"
    assert play.early_end in notes(result)
    assert status(result).text == (
        "All games ended; sample_exchange stopped after round 6: 1 minute was over."
    )
    counted = small_config(game=game(rounds=6), measure=measure)
    other = Federation(counted).run(tmp_path / "counted").plays["sample_exchange"]
    assert models_and_samples(tmp_path / "timed") == models_and_samples(tmp_path / "counted")
    assert [row.bytes for row in play.rows] == [row.bytes for row in other.rows]
    assert other.early_end == ""


def test_a_resumed_game_goes_on_counting(clock, small_config, tmp_path):
    class Stopped(Exception):
        pass

    def report(what, done, of):
        if (what, done) == ("sample_exchange", 4):
            raise Stopped

    timed = small_config(game=game(rounds=50, minutes=1))
    with pytest.raises(Stopped):
        Federation(timed).run(tmp_path / "run", report)
    play = Federation.resume(tmp_path / "run").plays["sample_exchange"]
    assert [row.elapsed for row in play.rows] == [10, 20, 30, 40, 50, 60]
    assert play.rows[-1].stopped == "1 minute was over"


def test_a_game_killed_after_its_last_checkpoint_plays_no_further_round():
    rows = [RoundRecord(1, elapsed=10.0), RoundRecord(2, elapsed=70.0, stopped="1 minute was over")]
    assert Stopping(Isolated(rounds=9, minutes=1)).go_on_after(rows).rounds == 2
    assert Stopping(Isolated(rounds=9, minutes=1)).go_on_after(rows[:1]).rounds == 9


def test_progress_expects_as_many_rounds_as_the_minutes_allow():
    timed = Stopping(Isolated(rounds=100, minutes=2))
    assert timed.expected_rounds == 100
    timed.go_on_after([RoundRecord(1, elapsed=20.0), RoundRecord(2, elapsed=40.0)])
    assert timed.expected_rounds == 6


def test_equal_players_end_when_nothing_changes(small_config, tmp_path):
    measure = {"metrics": [], "samples": 400, "shown": 4, "every_rounds": 1}
    still = small_config(
        game=game(rounds=60, until_steady=True, own_weight=0.5, samples_per_round=20_000),
        measure=measure,
        seed=1,
    )
    result = Federation(still).run(tmp_path / "still")
    play = result.plays["sample_exchange"]
    assert 6 < len(play.rows) < 60
    end = f"sample_exchange stopped after round {len(play.rows)}: nothing changed any more"
    assert play.early_end == end
    window = [row.moments for row in play.rows[-6:-1]]
    assert steady(window)
    assert not any(
        steady([row.moments for row in play.rows[i : i + 5]]) for i in range(1, len(play.rows) - 6)
    )
    counted = small_config(
        game=game(rounds=len(play.rows), own_weight=0.5, samples_per_round=20_000),
        measure=measure,
        seed=1,
    )
    Federation(counted).run(tmp_path / "counted")
    assert models_and_samples(tmp_path / "still") == models_and_samples(tmp_path / "counted")


def draws(means, n=2000, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rounds = []
    for mean in means:
        values = mean + torch.randn(n, generator=generator, dtype=torch.float64)
        rounds.append({"north": {"dose": moments_of(values, None)}})
    return rounds


def test_the_share_of_still_windows_that_count_as_steady_is_the_level_s():
    verdicts = [steady(draws([0.0] * 5, seed=seed)) for seed in range(300)]
    # the mean over two moments exceeds one moment's limit more seldom than one of them
    assert 0.94 < sum(verdicts) / 300 <= 1.0


def test_a_drift_above_the_sampling_error_is_no_rest():
    steps = [0.0, 0.05, 0.1, 0.15, 0.2]  # the error of a mean of 2,000 is 0.022
    assert not steady(draws(steps))
    assert not any(steady(draws(steps, seed=seed)) for seed in range(20))


def test_fewer_than_five_measured_rounds_are_too_few():
    assert not steady(draws([0.0] * 4))


def test_change_is_the_mean_chi_square_over_moments():
    rounds = [Moments([1.0, 0.0], [0.5, 2.0]), Moments([3.0, 4.0], [0.5, 2.0])]
    assert change(rounds) == pytest.approx(((1 + 1) / 0.5 + (4 + 4) / 2) / 2)
    assert change([Moments([1.0], [0.0]), Moments([2.0], [0.0])]) == math.inf
    assert change([Moments([1.0], [math.nan])] * 2) == math.inf


def test_one_players_move_among_many_counts():
    calm = draws([0.0] * 5)
    moved = [{**each, "south": {"dose": Moments([float(t)], [0.1])}} for t, each in enumerate(calm)]
    at_rest = [{**each, "south": {"dose": Moments([1.0], [0.1])}} for each in calm]
    assert steady(at_rest)
    assert not steady(moved)
    assert not steady([*at_rest[:4], calm[4]])  # south was lost


def test_the_limit_is_shared_over_players_and_variables():
    q = float(chi2.ppf(1 - 0.05 / 2, 4))
    half = math.sqrt(
        q / 4 * 0.5
    )  # five rounds, four of them at ±half around the fifth: Σ = 4 half²
    for factor, rests in ((0.99, True), (1.01, False)):
        means = [factor * half * sign for sign in (1, -1, 1, -1, 0)]
        rounds = []
        for mean in means:
            rounds.append({"north": {"a": Moments([mean], [0.5]), "b": Moments([0.0], [1.0])}})
        assert steady(rounds) is rests


def test_moments_of_pictures_classes_and_missing_values():
    picture = torch.arange(2 * 64).reshape(2, 8, 8).to(torch.uint8)
    moments = moments_of(picture, Variable(kind="binary", shape=(8, 8)))
    assert moments.means[:2] == [(1.5 + 65.5) / 2, (5.5 + 69.5) / 2]
    assert len(moments.means) == 32
    dose = Variable(kind="real", low=0, optional=True)
    values = moments_of(torch.tensor([1.0, math.nan, 3.0]), dose)
    assert values == Moments([2.0, 5.0], [1.0, 16.0])


def test_rounds_in_which_nobody_listens_are_no_rest():
    rules = SampleExchange(rounds=40, until_steady=True, own_rounds=3, warmup_rounds=2)
    rest = draws([0.0] * 5)[0]
    for first, rounds in ((9, False), (10, True)):
        records = [RoundRecord(t, moments=rest) for t in range(1, first + 1)]
        waiting = Stopping(rules)
        waiting.go_on_after(records)
        assert (waiting.begin(first + 1).rounds == first + 1) is rounds


def test_players_that_leave_evenly_need_a_number_of_rounds():
    text = (
        'players = 3\nmodel = {name = "acgan"}\n'
        '[game]\nname = "md_gan"\nleave_evenly = true\nminutes = 5'
    )
    message = "md_gan: with leave_evenly players leave evenly over all rounds, and with minutes"
    with pytest.raises(ConfigError, match=message):
        Federation(Config.from_toml(text)).prepare()


@pytest.mark.parametrize("minutes", [0, -1, "inf"])
def test_minutes_are_a_number_above_zero(minutes):
    with pytest.raises(ConfigError, match=r"game.minutes: "):
        Config.from_toml(f'[game]\nname = "isolated"\nminutes = {minutes}')


def test_carried_games_have_the_main_games_minutes_unless_they_say_otherwise():
    text = (
        'compare = ["isolated", {name = "pooled", minutes = 3}]\n'
        '[game]\nname = "sample_exchange"\nminutes = 2\nuntil_steady = true'
    )
    carried = Config.from_toml(text).carried
    assert [each.minutes for each in carried] == [2, 3]
    assert all(each.until_steady for each in carried)
