"""One run on numbers worked out by hand.

Who holds what, what is measured against what, what a round writes down.
"""

import math
from dataclasses import replace

import pytest
import torch

from coplay import Player, Space, Variable
from coplay.core.errors import ConfigError, DataError, PlayerError
from coplay.core.message import COORDINATOR, Message, PlayerDied, PlayerLate, PlayerLost
from coplay.core.requests import CLASSIFIED, SCORED
from coplay.core.space import LABEL, pick
from coplay.core.streams import stream
from coplay.data.sources.base import Dataset
from coplay.engines.local import Local
from coplay.games.base import Row, State
from coplay.games.isolated import Isolated
from coplay.games.md_gan import MdGan
from coplay.games.pooled import Pooled
from coplay.games.sample_exchange import SampleExchange
from coplay.metrics.base import Metric, Stat, Value
from coplay.metrics.features import DomainClassifier
from coplay.metrics.fidelity import Fidelity
from coplay.models.acgan import Acgan
from coplay.models.exponential_family import ExponentialFamily
from coplay.player import Evaluate, Gain
from coplay.run import measuring as measuring_module
from coplay.run.config import Config
from coplay.run.differences import differences
from coplay.run.federation import Federation, _holds_something
from coplay.run.match import Match, RunSettings
from coplay.run.measuring import Measuring, reference, unmeasured
from coplay.run.new_model import on_available_device
from coplay.run.play import Mean, Play, best_of
from coplay.run.presets import chosen_metrics
from coplay.run.reach import check_common_variables, check_unobserved
from coplay.run.record import GameRecord
from coplay.run.result import Result
from coplay.run.round_record import RoundRecord
from coplay.run.rows import Chain, Counted, Rows
from coplay.run.sections import CheckpointSection, MeasureSection
from coplay.run.sites import Seats, check_data, deal, facts_of_pool, seats_for
from coplay.run.sparse_matrix import SparseMatrix

from .by_hand import write_rows, write_run

SPACE = Space(
    {
        "x": Variable(kind="real"),
        "y": Variable(kind="real"),
        LABEL: Variable(kind="categorical", classes=3),
    }
)
TRAIN = [7, 5, 9]  # samples per class
TEST = [2, 3, 1]


def split(counts, start):
    """Samples of which no two have the same x."""
    labels = torch.arange(3).repeat_interleave(torch.tensor(counts))
    x = start + torch.arange(float(len(labels)))
    return SPACE.samples(x=x, y=-x, **{LABEL: labels})


DATA = Dataset("toy", SPACE, split(TRAIN, 0.0), split(TEST, 100.0))
COUNTS = {"north": [3, 1, 0], "south": [0, 4, 2], "east": [4, 0, 6]}


def config(players=None, **sections):
    values = {
        "seed": 3,
        "model": {"name": "exponential_family"},
        "players": players or {name: {} for name in COUNTS},
        "data": {"partition": {"name": "by_count", "counts": COUNTS}},
        "game": {"name": "sample_exchange", "own_weight": 0.4},
    }
    return Config.from_dict(values | sections)


# ----------------------------------------------------------------------------------- the sites


def test_shares_are_those_of_each_site_and_what_is_dealt_is_its_own():
    sites = deal(config(), DATA)
    assert sites.counts == COUNTS
    expected = [[3 / 4, 1 / 4, 0], [0, 4 / 6, 2 / 6], [4 / 10, 0, 6 / 10]]
    assert torch.allclose(sites.shares, torch.tensor(expected, dtype=torch.float64))
    assert torch.equal(sites.shares_by_player["south"], sites.shares[1])
    assert {name: len(part) for name, part in sites.data.items()} == {
        "north": 4,
        "south": 6,
        "east": 10,
    }
    for name, part in sites.data.items():
        assert set(part.keys()) == {"x", "y"}
        labels = DATA.train[LABEL][part["x"].long()]
        assert torch.bincount(labels, minlength=3).tolist() == COUNTS[name]
    together = torch.cat([part["x"] for part in sites.data.values()])
    assert torch.equal(DATA.train["x"][sites.dealt], together)
    assert not sites.notes


def test_a_site_of_one_class_is_noted_and_an_empty_one_has_no_shares():
    counts = {"north": [0, 5, 0], "south": [0, 0, 0], "east": [1, 0, 1]}
    sites = deal(config(data={"partition": {"name": "by_count", "counts": counts}}), DATA)
    (note,) = sites.notes
    assert note.startswith("north holds a single class (1)")
    assert sites.shares.tolist() == [[0, 1, 0], [0, 0, 0], [0.5, 0, 0.5]]


def test_pooled_players_hold_everybodys_rows_and_others_their_own():
    sites = deal(config(players={"north": {"variables": ["y"]}, "south": {}, "east": {}}), DATA)
    held = sites.data_in(Pooled())
    assert {name: len(part) for name, part in held.items()} == dict.fromkeys(COUNTS, 20)
    assert set(held["north"].keys()) == {"y"}
    assert torch.equal(held["south"]["x"], DATA.train["x"][sites.dealt])
    assert list(sites.data_in(Isolated(once=True))) == ["north"]
    assert torch.equal(sites.data_in(Isolated())["east"]["x"], sites.data["east"]["x"])


def test_players_without_data_sit_only_where_none_are_needed(tmp_path):
    counts = COUNTS | {"south": [0, 0, 0]}
    alpha = [[0.6, 0.0, 0.4], [0.5, 0.0, 0.5], [0.1, 0.0, 0.9]]
    given = config(
        data={"partition": {"name": "by_count", "counts": counts}},
        game={"name": "sample_exchange", "alpha": alpha},
    )
    sites = deal(given, DATA)
    check_data(given, sites)
    names = [player.name for player in seats_for(given, given.game, sites, tmp_path).players]
    assert names == ["north", "south", "east"]
    seats = seats_for(given, Isolated(), sites, tmp_path)
    assert [player.name for player in seats.players] == ["north", "east"]
    assert seats.players[0].home == tmp_path
    assert torch.equal(seats.shares["east"], sites.shares[2])
    even = config(data={"partition": {"name": "by_count", "counts": counts}})
    with pytest.raises(DataError, match="no private data for 'south'"):
        check_data(even, sites)


def test_a_variable_is_reached_along_the_arrows_of_listening_and_not_against_them():
    """east observes both; south hears east and north hears south, by which y comes to it."""
    players = {"north": {"unobserved": ["y"]}, "south": {"unobserved": ["y"]}, "east": {}}

    def chain(alpha):
        return config(players=players, game={"name": "sample_exchange", "alpha": alpha})

    heard = chain([[0.5, 0.5, 0], [0, 0.5, 0.5], [0, 0, 1]])
    check_unobserved(heard, facts_of_pool(heard, deal(heard, DATA)))
    against = chain([[0.5, 0, 0.5], [0.5, 0.5, 0], [0, 0, 1]])
    check_unobserved(against, facts_of_pool(against, deal(against, DATA)))
    cut = chain([[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0.5, 0.5]])
    with pytest.raises(DataError, match=r"players\.north\.unobserved: 'y' is observed by nobody"):
        check_unobserved(cut, facts_of_pool(cut, deal(cut, DATA)))


def test_a_listener_needs_the_variables_of_whom_it_hears_and_not_the_reverse():
    players = {
        "north": {"variables": ["x"], "model": "symmetric_hvae"},
        "south": {"variables": ["x", "y"], "model": "symmetric_hvae"},
        "east": {},
    }

    def hears(alpha):
        given = config(players=players, game={"name": "sample_exchange", "alpha": alpha})
        check_common_variables(given, facts_of_pool(given, deal(given, DATA)))

    hears([[0.5, 0.5, 0], [0, 1, 0], [0, 0, 1]])
    with pytest.raises(
        DataError, match=r"player 'south': .* 'y' is missing in the samples of player 'north'"
    ):
        hears([[1, 0, 0], [0.5, 0.5, 0], [0, 0, 1]])


# --------------------------------------------------------------------------------- the measuring


def settings(**changes):
    values = {"metrics": [], "samples": 100, "nash_gap_steps": 7, "log_prob_draws": 5}
    return MeasureSection.model_validate(values | changes)


def test_everybody_is_asked_for_the_gain_by_its_own_row_of_the_weights():
    names = ["north", "south", "east"]
    alpha = torch.tensor([[0.5, 0.4, 0.1], [0.0, 0.25, 0.75], [0.6, 0.1, 0.3]], dtype=torch.float64)
    drawn = {
        name: SPACE.only(["x"]).samples(x=torch.full((2,), float(i)))
        for i, name in enumerate(names[:2])
    }
    asks = Measuring(settings(), None, DATA.test).gains(alpha, names, drawn, 4)
    assert [ask.receiver for ask in asks] == names
    assert asks[0].request == Gain(7, 5, 0.5, {"south": 0.4, "east": 0.1})
    assert asks[1].request == Gain(7, 5, 0.25, {"east": 0.75})
    assert asks[2].request == Gain(7, 5, 0.3, {"north": 0.6, "south": 0.1})
    assert [set(ask.payload) for ask in asks] == [{"south"}, set(), {"north", "south"}]
    assert asks[2].payload["south"] is drawn["south"]


def test_intervals_are_those_of_the_numbers_that_players_report():
    measuring = Measuring(settings(), None, DATA.test)
    gain = measuring.gain({"value": 0.5, "error": 0.1, "n": 40.0})
    assert (gain.value, gain.better, gain.n) == (0.5, "lower", 40)
    assert (gain.low, gain.high) == (pytest.approx(0.304), pytest.approx(0.696))
    log_p = measuring.log_prob({"log_p": -3.0, "low": -4.0, "high": -2.5})
    assert log_p == Value(-3.0, "nats per real test sample", "higher", 0, 6, -4.0, -2.5)
    bound = measuring.log_prob({"log_p": -3.0, "low": -4.0, "high": math.inf})
    assert (bound.high, bound.low) == (None, -4.0)
    assert "a lower bound: 5 draws" in bound.unit


def test_the_classifier_learns_from_the_training_split_and_is_measured_on_the_other(
    monkeypatch, tmp_path
):
    """The test split teaches nobody anything."""
    given = {}

    def fit(self, train, train_labels, test, test_labels, report):
        given.update(train=train, train_labels=train_labels, test=test, test_labels=test_labels)
        self.accuracy = 0.75
        self.n_test = 6

    monkeypatch.setattr(DomainClassifier, "fit", fit)
    progress = []
    known, digest = reference(
        metrics_of(config()), 1, tmp_path, DATA, lambda *what: progress.append(what)
    )
    assert torch.equal(given["train"]["x"], DATA.train["x"])
    assert torch.equal(given["train_labels"], DATA.train[LABEL])
    assert torch.equal(given["test"]["x"], DATA.test["x"])
    assert torch.equal(given["test_labels"], DATA.test[LABEL])
    assert set(given["train"].keys()) == {"x", "y"}
    assert torch.equal(known.test["x"], DATA.test["x"])
    assert torch.equal(known.labels, DATA.test[LABEL])
    given.clear()
    again, _ = reference(metrics_of(config()), 1, tmp_path, DATA, lambda *what: None, digest)
    assert not given, "it is trained once a run"
    assert again.classifier.accuracy == 0.75


def metrics_of(config):
    return chosen_metrics(config.measure, DATA.space, has_classes=True)


def test_why_nothing_is_scored():
    assert unmeasured(metrics_of(config()), DATA, at_players=False) == ""
    assert unmeasured((), DATA, at_players=False) == "measure.metrics is empty"
    empty = replace(DATA, test=pick(DATA.test, slice(0)))
    metrics = metrics_of(config())
    assert "has no test samples" in unmeasured(metrics, empty, at_players=False)
    plain = SPACE.only(["x"])
    bare = Dataset("bare", plain, plain.restrict(DATA.train), plain.restrict(DATA.test))
    scores = [metric for metric in metrics if metric.needs_classifier]
    assert "bare has none" in unmeasured(scores, bare, at_players=False)
    assert unmeasured([*metrics, Fidelity()], bare, at_players=False) == ""
    assert "no others to measure against" in unmeasured(metrics, None, at_players=False)
    assert "[reference] gives it some" in unmeasured(scores, None, at_players=True)
    assert unmeasured([Fidelity()], None, at_players=True) == ""


class Seen(Metric):
    """Keeps what it is shown."""

    def observe(self, observed):
        self._observed = observed
        return Seen.Nothing()

    class Nothing(Stat):
        """No value but a mark."""

        def merge(self, other):
            return self

        def result(self):
            return {"seen": Value(1.0, "", None, 1)}


def test_a_metric_sees_the_players_samples_its_own_prediction_and_what_it_held(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(DomainClassifier, "fit", lambda self, *_: None)
    known, _ = reference(metrics_of(config()), 1, tmp_path, DATA, lambda *_: None)
    metric = Seen()
    measuring = Measuring(settings().model_copy(update={"metrics": (metric,)}), known, DATA.test)
    drawn = SPACE.only(["x", "y"]).restrict(DATA.train)
    classes = SPACE.only([LABEL]).restrict(DATA.test)
    held = pick(DATA.train, slice(3))
    found = measuring.values({COORDINATOR: drawn, CLASSIFIED: classes}, [0.5, 0.3, 0.2], held)
    assert set(found) == {"seen"}
    seen = metric._observed
    assert torch.equal(seen.samples["x"], DATA.train["x"])
    assert torch.allclose(seen.predicted, torch.tensor([0.5, 0.3, 0.2]))
    assert torch.equal(seen.classified, DATA.test[LABEL])
    assert seen.held is held
    measuring.values({COORDINATOR: drawn}, None, None)
    assert (
        metric._observed.predicted is metric._observed.classified is metric._observed.held is None
    )
    assert Measuring(settings(), None, DATA.test).values({COORDINATOR: drawn}, None, None) == {}


def test_players_are_sent_what_only_they_can_say_of(tmp_path):
    me = Player(
        "north", SPACE.only(["x"]), SPACE.only(["x"]).restrict(DATA.train), ExponentialFamily(), 1
    )
    (ask,) = Measuring(settings(log_prob=True), None, DATA.test).evaluations(
        {"north": me.facts()}, ["north"], 6
    )
    assert ask.request == Evaluate(100, 5)
    assert ask.round == 6
    assert set(ask.payload) == {SCORED}
    assert ask.payload[SCORED] is DATA.test
    (bare,) = Measuring(settings(), None, DATA.test).evaluations(
        {"north": me.facts()}, ["north"], 6
    )
    assert not bare.payload
    assert Measuring(settings(), None, DATA.test).anything
    assert not Measuring(settings(nash_gap_steps=0), None, DATA.test).anything
    assert Measuring(settings(nash_gap_steps=0, log_prob=True), None, DATA.test).anything


def test_real_samples_of_a_run_are_of_the_test_split(small_config, tmp_path):
    """Pictures show them, and the log p of so many is asked for."""
    given = small_config(
        game={"name": "isolated", "rounds": 2},
        measure={"metrics": [], "samples": 100, "log_prob": True},
    )
    result = Federation(given).run(tmp_path / "run")
    data = given.data.source.load()
    assert torch.equal(result.real_samples()["image"], data.test["image"][:300])
    told = [values["log_p"].n_real for values in result.main.last.values()]
    assert told == [len(data.test)] * 2 == [497] * 2


# ------------------------------------------------------------------ one round of a game

NAMES = ("north", "south", "east")
BITS = Space({"bit": Variable(kind="binary")})


class Clock:
    """The time that a test says it is."""

    now = 0.0

    def perf_counter(self):
        return self.now


class Scripted(Isolated):
    """Each round does as the test says: ``_script`` by round."""

    _script = None

    def play(self, engine, state, round):
        if self._script and round in self._script:
            return self._script[round](engine, state)
        return super().play(engine, state, round)


def match(tmp_path, game, predicted=None, shares=None, measure=None, every=1, engine=None):
    players = []
    for i, name in enumerate(NAMES):
        data = BITS.samples(bit=(torch.arange(8) < 2 * i + 1).to(torch.uint8))
        players.append(Player(name, BITS, data, ExponentialFamily(), 5, tmp_path / "game"))
    run = RunSettings(5, engine or Local(), CheckpointSection(every_rounds=every), predicted or {})
    seats = Seats(players, {}, shares or {})
    section = MeasureSection.model_validate({"metrics": [], "samples": 100, **(measure or {})})
    return Match(
        "game", game, tmp_path / "game", run, seats, Measuring(section, None, BITS.empty())
    )


def quiet(*_):
    pass


def test_seconds_of_a_round_are_what_players_booked_and_what_is_left_of_the_clock(
    tmp_path, monkeypatch
):
    clock = Clock()
    monkeypatch.setattr("coplay.run.match.time", clock)

    def booked(engine, state):
        clock.now += 10
        reported = {
            "north": {"loss": 1.0, "seconds_learning": 3.0, "seconds_sampling": 0.5},
            "south": {"loss": 2.0, "seconds_learning": 2.0},
        }
        return state, Row(reported)

    def parallel(engine, state):
        clock.now += 4
        return state, Row({"north": {"seconds_learning": 3.0}, "south": {"seconds_learning": 3.0}})

    game = Scripted(rounds=3)
    game._script = {1: booked, 2: parallel, 3: booked}
    played = match(tmp_path, game, every=3, measure={"every_rounds": 2})
    ask = played.engine.ask

    def slow(messages, purpose="exchange"):
        clock.now += {"evaluation": 2, "checkpoint": 5}[purpose]
        return ask(messages, purpose)

    monkeypatch.setattr(Local, "ask", lambda self, *a, **k: slow(*a, **k))
    append = Rows.append

    def dear(self, record):
        append(self, record)
        clock.now += 0.25

    monkeypatch.setattr(Rows, "append", dear)
    played.run(quiet)
    rows = Play("game", tmp_path / "game").rows
    spent = [dict(row.seconds) for row in rows]
    assert spent[0] == {
        "learning": 5.0,
        "sampling": 0.5,
        "exchange": 4.5,
        "evaluation": 0.0,
        "bookkeeping": 0.0,
    }
    assert spent[1] == {
        "learning": 6.0,
        "sampling": 0.0,
        "exchange": 0.0,
        "evaluation": 2.0,
        "bookkeeping": 0.25,
    }
    assert spent[2] == {
        "learning": 5.0,
        "sampling": 0.5,
        "exchange": 4.5,
        "evaluation": 2.0,
        "bookkeeping": 0.25,
    }
    assert rows[0].players == {"north": {"loss": 1.0}, "south": {"loss": 2.0}}
    # two rows of a quarter of a second, then five seconds of saving and the last row
    assert Play("game", tmp_path / "game").bookkeeping_seconds == 0.25 * 3 + 5


def test_bytes_of_a_round_are_those_exchanged_in_it(tmp_path):
    def sends(n):
        def play(engine, state):
            engine.ledger.add("exchange", "north", "south", bytes=n, samples=1)
            engine.ledger.add("exchange/part", "north", "south", bytes=1000 * n, samples=1)
            engine.ledger.add("evaluation", "north", "south", bytes=7, samples=1)
            return state, Row()

        return play

    game = Scripted(rounds=3)
    game._script = {1: sends(2), 2: sends(0), 3: sends(5)}
    match(tmp_path, game, every=2).run(quiet)
    assert [row.bytes for row in Play("game", tmp_path / "game").rows] == [2002, 0, 5005]


@pytest.mark.parametrize(
    ("every", "rounds", "due"), [(2, 5, [2, 4, 5]), (3, 6, [3, 6]), (9, 4, [4])]
)
def test_a_game_is_measured_and_saved_when_it_is_time_and_at_its_end(tmp_path, every, rounds, due):
    played = match(tmp_path, Isolated(rounds=rounds), every=every, measure={"every_rounds": every})
    saved = []
    checkpoint = Match._checkpoint

    def noted(self, state, round):
        checkpoint(self, state, round)
        saved.append(round)

    played._checkpoint = noted.__get__(played)
    played.run(quiet)
    shown = sorted((tmp_path / "game" / "samples").iterdir())
    assert [int(path.stem[-6:]) for path in shown] == due == saved


def test_the_first_samples_of_everybody_are_kept_to_be_shown(tmp_path):
    played = match(tmp_path, Isolated(rounds=1), measure={"shown": 7})
    played.run(quiet)
    shown = Play("game", tmp_path / "game").samples(1)
    assert sorted(shown) == sorted(NAMES)
    for player in played.seats.players:
        drawn = player.model.sample(100, stream(5, "draw", 1, player.name, "evaluation 1"))
        assert torch.equal(shown[player.name]["bit"], drawn["bit"][:7])


def test_after_a_loss_the_prediction_is_m_times_the_shares_of_those_who_are_left(tmp_path):
    """Rows of M belong to models, columns to sites: nothing here is symmetric."""
    shares = {
        "north": torch.tensor([0.9, 0.1], dtype=torch.float64),
        "south": torch.tensor([0.2, 0.8], dtype=torch.float64),
        "east": torch.tensor([0.5, 0.5], dtype=torch.float64),
    }
    influence = torch.tensor([[0.75, 0.25], [0.1, 0.9]], dtype=torch.float64)
    loss = PlayerLost("south", "turn", 2, "gone")

    def loses(engine, state):
        left = state.without(["south"])
        return left, Row({"north": {}}, lost={"south": loss}, influence=influence, frozen=[])

    game = Scripted(rounds=3, on_lost="continue")
    game._script = {2: loses}
    predicted = {name: [0.5, 0.5] for name in NAMES}
    played = match(tmp_path, game, predicted, shares, every=1)
    played.run(quiet)
    expected = {"north": [0.75 * 0.9 + 0.25 * 0.5, 0.75 * 0.1 + 0.25 * 0.5]}
    expected["east"] = [0.1 * 0.9 + 0.9 * 0.5, 0.1 * 0.1 + 0.9 * 0.5]
    assert set(played.predicted) == {"north", "east"}
    for name in expected:
        assert played.predicted[name] == pytest.approx(expected[name])
    rows = Play("game", tmp_path / "game").rows
    assert [row.predicted is None for row in rows] == [True, False, True]
    assert rows[1].predicted == played.predicted
    assert rows[1].lost == {"south": loss}
    assert torch.equal(rows[1].influence.dense(), influence)
    home = tmp_path / "game"
    again = match(tmp_path, game, predicted, shares)
    again._go_on_after(Rows.read(home), [])
    assert again.predicted == rows[1].predicted, "a resumed run goes on with it"
    early = match(tmp_path, game, predicted, shares)
    chain = Chain.begin("game")
    chain.line(rows[0].json())
    early._go_on_after(Rows.read(home, Counted(1, chain.digest), only_counted=True), [])
    assert early.predicted == predicted
    assert [row.round for row in Rows.read(home).records] == [1]


def test_a_checkpoint_has_state_payload_and_traffic_and_a_resumed_game_goes_on(tmp_path):
    def sends(engine, state):
        engine.ledger.add("exchange", "north", "south", bytes=3, samples=1)
        sent = {
            ("north", "south"): BITS.samples(bit=torch.tensor([0, 1], dtype=torch.uint8)),
            ("south", "north"): BITS.samples(bit=torch.tensor([1], dtype=torch.uint8)),
        }
        return replace(state, payload=sent), Row()

    game = Scripted(rounds=2)
    game._script = {1: sends, 2: sends}
    first = match(tmp_path, game)
    first.engine.start(first.seats.players, game)
    state, done = first._restore()
    assert (state, done) == (State(NAMES), 0)
    state, _ = first._round(state, 1, 0.0)
    second = match(tmp_path, game)
    second.engine.start(second.seats.players, game)
    again, done = second._restore()
    assert done == 1
    assert again.players == NAMES
    for link, part in state.payload.items():
        assert torch.equal(again.payload[link]["bit"], part["bit"])
    assert second.engine.ledger.total("exchange") == 3
    second.run(quiet)
    rows = Play("game", tmp_path / "game").rows
    assert [row.bytes for row in rows] == [3, 3]
    assert Play("game", tmp_path / "game").traffic[0].bytes == 6


def test_the_first_reason_for_being_late_is_told(tmp_path):
    played = match(tmp_path, Isolated())
    first = PlayerLate("north", "turn", 1, "slow")
    played.engine._late = [
        first,
        PlayerLate("north", "send", 1, "slower"),
        PlayerLate("east", "turn", 1, "too"),
    ]
    assert played._late() == {"north": first, "east": PlayerLate("east", "turn", 1, "too")}
    assert played._late() == {}


class Replies(Local):
    """Answers to "save" as the test says, one after the other."""

    _replies = ()

    def ask(self, messages, purpose="exchange"):
        return [self._replies.pop(0)(message) for message in messages]


def test_who_comes_back_while_it_saves_saves_again_and_who_died_is_lost(tmp_path):
    def saved(message):
        return message.reply()

    def late(message):
        return PlayerLate(message.receiver, "save", 3, "restarted")

    def died(message):
        return PlayerDied(message.receiver, "save", 3, "gone")

    def failed(message):
        return PlayerLost(message.receiver, "save", 3, "disk full")

    played = match(tmp_path, Isolated(on_lost="continue"))
    played.engine = Replies()
    played.engine._replies = [saved, late, died, saved]
    state, row = played._save(State(NAMES), 3)
    assert state.players == ("north", "south")
    assert set(row.lost) == {"east"}
    assert not played.engine._replies, "who was late was asked again"
    played.engine._replies = [saved, failed, saved]
    with pytest.raises(PlayerError, match=r"player 'south' .*disk full"):
        played._save(State(NAMES), 3)


def test_gains_are_added_to_what_was_measured_at_the_end_and_only_there(tmp_path):
    game = SampleExchange(own_weight=0.5, rounds=4, samples_per_round=100)
    played = match(tmp_path, game, measure={"nash_gap_steps": 2, "every_rounds": 2, "samples": 500})
    played.run(quiet)
    early, late = (
        row.measured for row in Play("game", tmp_path / "game").rows if row.measured is not None
    )
    assert all("nash_gap" not in values for values in early.values())
    assert sorted(late) == sorted(NAMES)
    assert all(set(values) == {"nash_gap"} for values in late.values())


# -------------------------------------------------------------- records, plays, results


def written(folder, *rows):
    write_rows(folder, [row.json() for row in rows])
    return Play(folder.name, folder)


def value(number, better="lower"):
    return Value(number, "u", better, 10)


def test_means_bests_and_losses_of_a_play(tmp_path):
    measured = {
        "north": {
            "fid": value(4.0),
            "acc": value(0.2, "higher"),
            "shares": value([0.1, 0.9], None),
        },
        "south": {"fid": value(1.0), "acc": value(0.9, "higher")},
        "east": {"fid": value(100.0)},
    }
    loss = PlayerLost("east", "turn", 3, "gone")
    late = PlayerLost("north", "turn", 2, "slow")
    play = written(
        tmp_path / "game",
        RoundRecord(1, measured={"north": {"fid": value(8.0)}}),
        RoundRecord(2, late={"north": late}),
        RoundRecord(3, measured=measured, lost={"east": loss}),
        RoundRecord(4, late={"north": replace(late, round=4)}),
    )
    assert play.last_round == 3
    assert play.quantities == ["acc", "fid"]
    assert play.mean("fid", ["south", "north"]) == Mean(2.5, 1.0, ["south", "north"])
    assert play.mean("acc", ["north", "south", "west"]) == Mean(0.55, 0.9, ["north", "south"])
    assert play.mean("fid", ["north", "east"]) is None
    assert play.mean("fid", ["north", "east"], 1) == Mean(8.0, 8.0, ["north"])
    assert play.lost_among(["east", "north"]) == [loss]
    assert play.lost_among(["east"], 2) == []
    assert play.lost_among(["east"], 3) == [loss]
    assert [each.round for each in play.late] == [2, 4]
    assert play.scalars("fid", 3) == {"north": 4.0, "south": 1.0, "east": 100.0}
    assert best_of([2.0, 1.0], "lower") == 1.0
    assert best_of([2.0, 1.0], "higher") == 2.0
    assert play.counted_rounds == 0


def test_the_corner_of_m_follows_from_weights_without_symmetry():
    alpha = torch.tensor([[0.5, 0.4, 0.1], [0.05, 0.25, 0.7], [0.6, 0.1, 0.3]], dtype=torch.float64)
    away = alpha - torch.diag(alpha.diag())
    influence = torch.linalg.inv(torch.eye(3) - away) @ torch.diag(alpha.diag())
    for record in (
        GameRecord(SparseMatrix.of(alpha)),
        GameRecord(SparseMatrix.of(alpha), SparseMatrix.of(influence)),
    ):
        corner = torch.tensor(record.influence_corner(2), dtype=torch.float64)
        assert torch.allclose(corner, influence[:2, :2], atol=1e-9)


def test_a_sparse_matrix_goes_to_scipy_as_it_is():
    for fill in (0.0, 0.25):
        dense = torch.full((3, 3), fill, dtype=torch.float64)
        dense[0, 2] = 0.5
        dense[2, 1] = 0.75
        matrix = SparseMatrix.of(dense)
        assert matrix.scipy().toarray().tolist() == dense.tolist()
        assert matrix.row(0) == dense[0].tolist()
        assert matrix.rows == (0, 2)
        assert matrix.columns == (2, 1)
    limit = torch.zeros(2, 2)
    limit[0, 0] = 1
    assert SparseMatrix.if_small(limit) == SparseMatrix.of(limit)


def test_a_game_carried_along_has_its_own_settings_and_the_rest_of_the_main_one(tmp_path):
    given = Config.from_dict(
        {
            "model": "exponential_family",
            "game": {
                "name": "sample_exchange",
                "rounds": 7,
                "local_steps": 3,
                "on_lost": "continue",
            },
            "compare": ["isolated", {"name": "pooled", "rounds": 2}],
        }
    )
    isolated, pooled = given.carried
    assert (isolated.rounds, isolated.local_steps, isolated.on_lost) == (7, 3, "continue")
    assert (pooled.rounds, pooled.local_steps, pooled.on_lost) == (2, 3, "continue")
    record = {
        "status": "finished",
        "config": given.to_dict(),
        "versions": {},
        "data": {
            "name": "toy",
            "train": 9,
            "test": 9,
            "space": {"x": {"kind": "real"}},
            "counts": {"player0": [3, 0, 1]},
        },
        "notes": [],
        "games": {name: {} for name in ("sample_exchange", "isolated", "pooled")},
    }
    write_run(tmp_path, record)
    result = Result.load(tmp_path)
    planned = {name: result.planned_rounds(name) for name in result.plays}
    assert planned == {"sample_exchange": 7, "isolated": 7, "pooled": 2}
    assert result.section("pooled")["local_steps"] == 3
    assert result.classes_of("player0") == [0, 2]
    assert result.classes_of("player1") is None
    assert result.game("pooled") == pooled


def test_every_game_is_measured_against_what_the_main_one_predicts(
    small_config, tmp_path, monkeypatch
):
    """M by hand for two players of unlike weights, on shares that the partition made uneven."""
    fit = DomainClassifier.fit
    monkeypatch.setattr(DomainClassifier, "fit", lambda self, *given: fit(self, *given, steps=30))
    measure = {"metrics": ["class_shares"], "samples": 100, "every_rounds": 2}
    alpha = [[0.3, 0.7], [0.4, 0.6]]
    classes = {"north": [0, 1, 2], "south": [5, 6, 7, 8, 9]}
    given = small_config(
        game={"name": "sample_exchange", "rounds": 2, "samples_per_round": 50, "alpha": alpha},
        compare=["isolated"],
        measure=measure,
        data={"partition": {"name": "by_class", "classes": classes}},
    )
    result = Federation(given).run(tmp_path / "run")
    counts = torch.tensor([result.record.data.counts[n] for n in classes], dtype=torch.float64)
    shares = counts / counts.sum(1, keepdim=True)
    whole = 1 - 0.7 * 0.4
    influence = torch.tensor([[0.3, 0.7 * 0.6], [0.4 * 0.3, 0.6]], dtype=torch.float64) / whole
    expected = influence @ shares
    for game in ("sample_exchange", "isolated"):
        told = torch.tensor(list(result.predicted(game).values()), dtype=torch.float64)
        assert torch.allclose(told, expected)
        for i, name in enumerate(classes):
            values = result.plays[game].last[name]
            measured = torch.tensor(values["class_shares"].value, dtype=torch.float64)
            distance = 0.5 * (measured - expected[i]).abs().sum().item()
            assert values["distance_to_prediction"].value == pytest.approx(distance, abs=1e-6)
    assert torch.allclose(
        torch.tensor(list(result.record.games["isolated"].predicted.values()), dtype=torch.float64),
        shares,
    )
    weights = result.record.games["sample_exchange"].weights.dense()
    assert torch.equal(weights, torch.tensor(alpha, dtype=torch.float64))
    assert result.record.data.sizes == {
        n: int(c.sum()) for n, c in zip(classes, counts, strict=True)
    }
    assert (result.record.data.train, result.record.data.test) == (1300, 497)
    summary = result.summary()
    assert summary["games"]["isolated"]["rounds"] == 2
    assert summary["classifier"]["n_test"] == 497


# ------------------------------------------------------------------------------------- the config


def test_a_number_of_players_becomes_names_that_sort():
    assert Config.from_dict({"players": 3}).player_names == ["player0", "player1", "player2"]
    assert Config.from_dict({"players": 10}).player_names[-1] == "player9"
    names = Config.from_dict({"players": 11}).player_names
    assert (names[0], names[10]) == ("player00", "player10")
    assert names == sorted(names)


def test_a_player_has_its_own_model_or_the_configs():
    given = config(
        players={"north": {"model": {"name": "acgan", "batch": 3}}, "south": {}, "east": {}}
    )
    assert isinstance(given.player_model("north"), Acgan)
    assert isinstance(given.player_model("south"), ExponentialFamily)
    assert given.player_model("south") is not given.player_model("south")


def test_overrides_are_toml_or_text_and_reach_into_sections():
    text = 'players = 2\n[game]\nname = "sample_exchange"\n'
    given = Config.from_toml(
        text,
        ["game.own_weight=0.25", "seed=9", "title=plain words", "model.name=exponential_family"],
    )
    assert (given.game.own_weight, given.seed, given.title) == (0.25, 9, "plain words")
    assert isinstance(given.model, ExponentialFamily)
    with pytest.raises(ConfigError, match=r"expected key\.path=value"):
        Config.from_toml(text, ["seed"])
    assert Config.from_toml('game = "isolated"', ["game.rounds=3"]).game == Isolated(rounds=3)


def test_differences_name_each_value_with_both_sides():
    before = {"game": {"rounds": 4, "n": 1}, "seed": 1}
    after = {"game": {"rounds": 5, "n": 1}, "title": "t"}
    assert list(differences(before, after)) == [
        "game.rounds: was 4, is 5",
        "seed: was 1, is unset",
        "title: was unset, is t",
    ]


def test_a_folder_holds_something_unless_it_is_what_an_aborted_start_leaves(tmp_path):
    assert not _holds_something(tmp_path / "new")
    folder = tmp_path / "old"
    folder.mkdir()
    assert not _holds_something(folder)
    (folder / "lock").touch()
    (folder / "run.json.partial").touch()
    assert not _holds_something(folder)
    (folder / "run.json").touch()
    assert _holds_something(folder)
    assert _holds_something(folder / "run.json")


def test_a_model_stays_on_its_device_where_there_is_one():
    assert on_available_device(Acgan(device="cpu", batch=3)) == Acgan(device="cpu", batch=3)
    assert on_available_device(Acgan(device="elsewhere", batch=3)) == Acgan(device="cpu", batch=3)


def test_a_games_own_seats_come_after_the_players_and_hold_nothing(tmp_path):
    space = Space({"image": Variable(kind="real", shape=(8, 8), low=0, high=1)})
    samples = space.samples(image=torch.rand(12, 8, 8, generator=stream(1)))
    data = Dataset("pictures", space, samples, pick(samples, slice(2)))
    given = Config.from_dict(
        {"players": 2, "model": "acgan", "game": {"name": "md_gan"}, "measure": {"metrics": []}}
    )
    seats = seats_for(given, MdGan(), deal(given, data), tmp_path)
    assert [player.name for player in seats.players] == ["player0", "player1", "server"]
    assert seats.players[-1].count == 0
    assert seats.players[-1].seed == given.seed
    assert set(seats.learned_from) == {"player0", "player1"}


def test_the_module_of_measuring_asks_with_the_names_of_players():
    """Payloads of an evaluation have the names by which a player knows them."""
    assert measuring_module.CLASSIFIED == CLASSIFIED
    assert Message(Evaluate(1, 2), COORDINATOR, "north", 1).action == "evaluate"
