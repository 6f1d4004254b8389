"""Ten thousand bad requests and five thousand bad replies, over all games that exchange anything.

None is accepted, none ends a player or the coordinator, none changes anything, and no innocent
player is lost. Honest messages go on as if nothing had been: to the last bit.
"""

import random
from collections import Counter

import pytest
import torch

from coplay import Message, Player, PlayerLost, Space, Variable
from coplay.core.message import COORDINATOR
from coplay.core.requests import CLASSIFIED, SCORED
from coplay.engines.base import answer_all
from coplay.engines.local import Local
from coplay.games import originals
from coplay.games.direct_exchange import DirectExchange
from coplay.games.distillation import Distillation
from coplay.games.ensemble import Ensemble
from coplay.games.fl_gan import FlGan
from coplay.games.md_gan import MdGan
from coplay.games.sample_exchange import SampleExchange
from coplay.games.sourced_exchange import SourcedExchange
from coplay.models.acgan import Acgan
from coplay.models.conditionals import Conditionals
from coplay.models.exponential_family import ExponentialFamily
from coplay.models.joint_classifier import JointClassifier
from coplay.player import Evaluate, Gain, Save

from .mutations import bad_reply, bad_request, one_of

PIECES = 10
REQUESTS = 10_000 // PIECES
REPLIES = 5_000 // PIECES

DIGITS = Space(
    {
        "image": Variable(kind="real", shape=(4, 4), low=0, high=1),
        "class": Variable(kind="categorical", classes=3),
    }
)
PATIENTS = Space(
    {
        "age": Variable(kind="real"),
        "sex": Variable(kind="binary"),
        "class": Variable(kind="categorical", classes=3),
    }
)
ROUNDS = {"rounds": 3, "local_steps": 2}


def gan():
    return Acgan(latent=4, batch=4)


def classifier():
    sizes = {"latents": (3, 4), "channels": 2, "hidden": 8, "classifier_channels": 2}
    return JointClassifier(**sizes, batch=4)


def conditionals():
    return Conditionals(hidden=4, batch=8, sweeps=2, sample_sweeps=3)


OFTEN = {"swap_every_epochs": 1e-9, "optimiser_on_swap": "travel", "joins": {"p3": 4}}
GAMES = {
    "exchange": (
        SampleExchange(rounds=3, topology="ring", samples_per_round=20),
        PATIENTS,
        ExponentialFamily,
    ),
    "originals": (
        SampleExchange(rounds=3, originals=True, samples_per_round=20),
        PATIENTS,
        ExponentialFamily,
    ),
    "direct": (
        DirectExchange(rounds=3, topology="ring", relay=True, samples_per_round=20, local_steps=2),
        PATIENTS,
        ExponentialFamily,
    ),
    "ensemble": (Ensemble(rounds=3, samples_per_round=20), PATIENTS, ExponentialFamily),
    "sourced": (SourcedExchange(**ROUNDS, samples_per_round=20), PATIENTS, conditionals),
    "md_gan": (MdGan(**ROUNDS, **OFTEN), DIGITS, gan),
    "fl_gan": (FlGan(**ROUNDS, average_every_epochs=1e-9), DIGITS, gan),
    "distillation": (Distillation(**ROUNDS), DIGITS, classifier),
}


def data(space, i, n=8):
    generator = torch.Generator().manual_seed(i)
    values = {}
    for name in space:
        variable = space[name]
        if variable.kind == "real":
            values[name] = torch.rand(n, *variable.shape, generator=generator)
        else:
            most = int(variable.range[1]) + 1
            drawn = torch.randint(most, (n,), generator=generator)
            values[name] = drawn.to(variable.dtypes[0])
    return space.samples(**values)


class Watched(Local):
    """A local engine that calls ``watch`` with each batch of messages before it is delivered."""

    _watch = None
    _change = None

    def deliver(self, messages, purpose):
        if self._watch:
            self._watch(messages)
        replies = super().deliver(messages, purpose)
        return self._change(messages, replies) if self._change else replies


class Canned(Local):
    """A local engine whose players answer what the test says."""

    _canned = ()

    def deliver(self, messages, purpose):
        return self._canned


class Table:
    """A game with four players, its engine, and all that is asked beside the game itself."""

    def __init__(self, name, home, on_lost="stop"):
        game, self.space, model = GAMES[name]
        self.game = type(game).model_validate(
            game.model_dump(exclude_unset=True) | {"on_lost": on_lost}
        )
        self.players = {}
        for i, seat in enumerate((*(f"p{i}" for i in range(4)), *self.game.seats)):
            held = data(self.space, i) if seat not in self.game.seats else self.space.empty()
            self.players[seat] = Player(seat, self.space, held, model(), seed=1, home=home)
        self.engine = Watched()

    def play(self):
        """Play, measure and save; return what the players are in the end."""
        names = [name for name in self.players if name not in self.game.seats]
        self.engine.start(list(self.players.values()), self.game)
        state = self.game.start(names, 1)
        rows = []
        try:
            for round in range(1, self.game.rounds + 1):
                state, row = self.game.play(self.engine, state, round)
                rows.append(row)
                everybody = (*state.players, *self.game.seats)
                real = {SCORED: data(self.space, 9, 5)}
                if self.game.described(self.players["p0"].facts()).classifies:
                    real[CLASSIFIED] = data(self.space, 9, 5)
                self.ask(Evaluate(5, 2), everybody, round, real)
                others = {}
                for name in state.players:
                    others = {other: 0.5 for other in state.players if other != name}
                    parts = {other: data(self.space, 9, 4) for other in others}
                    self.ask(Gain(1, 2, 0.5, others), [name], round, parts)
                self.ask(Save(), everybody, round, {})
        finally:
            self.engine.close()
        return rows

    def ask(self, request, names, round, payload):
        asks = [Message(request, COORDINATOR, name, round, payload=payload) for name in names]
        for reply in self.engine.ask(asks, "evaluation"):
            lost = isinstance(reply, PlayerLost)
            assert not lost or self.game.on_lost == "continue", reply


def everything_of(player):
    """All that a player is, as values that can be compared."""
    tensors = {**player.model.state_dict(), **{f"kept {k}": v for k, v in player.kept.items()}}
    bits = {name: tensor.detach().numpy().tobytes() for name, tensor in tensors.items()}
    return bits, player.learned, tuple(player.unlearned), id(player.pending), dict(player._seconds)


def without_times(state):
    bits, learned, unlearned, _, _ = state
    return bits, learned, unlearned


@pytest.fixture(autouse=True)
def _short_lessons(monkeypatch):
    monkeypatch.setattr(originals, "_STEPS", 20)
    monkeypatch.setattr("warnings.warn", lambda *args, **kwargs: None)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return what the players of an undisturbed game are in the end, by game."""
    ends = {}

    def of(name):
        if name not in ends:
            table = Table(name, tmp_path_factory.mktemp("home"))
            table.play()
            ends[name] = {k: without_times(everything_of(p)) for k, p in table.players.items()}
        return ends[name]

    return of


@pytest.mark.slow
@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("piece", range(PIECES))
def test_no_bad_request_is_accepted_or_changes_anything(name, piece, undisturbed, tmp_path):
    dice = random.Random(f"requests {name} {piece}")
    table = Table(name, tmp_path)
    wanted = REQUESTS // len(GAMES)
    refused = Counter()
    past = {seat: [] for seat in table.players}
    known = {*table.game.requests}

    def attack(messages):
        for ask in messages:
            player = table.players[ask.receiver]
            before = everything_of(player)
            for _ in range(each):
                bad = bad_request(ask, known, dice, past[ask.receiver], messages)
                if bad is None:
                    continue
                (answer,) = answer_all(table.game, [player], [bad])
                assert isinstance(answer, PlayerLost), f"accepted: {bad}"
                assert answer.player == player.name
                assert answer.reason.startswith("refused, nothing has changed: "), answer
                assert len(answer.reason) < 3000
                refused[ask.action] += 1
            assert everything_of(player) == before
            past[ask.receiver].append(ask)

    asked = []
    table.engine._watch = lambda messages: asked.append(len(messages))
    table.play()
    each = -(-wanted // sum(asked))
    table = Table(name, tmp_path)
    table.engine._watch = attack
    table.play()
    assert sum(refused.values()) >= wanted * 0.9
    ends = {k: without_times(everything_of(p)) for k, p in table.players.items()}
    assert ends == undisturbed(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("piece", range(PIECES))
def test_no_bad_reply_is_used_or_counted_or_costs_an_innocent_player(name, piece, tmp_path):
    dice = random.Random(f"replies {name} {piece}")
    table = Table(name, tmp_path)
    recorded = []

    def record(messages, replies):
        recorded.append((messages, replies))
        return replies

    table.engine._change = record
    table.play()
    engine = Canned()
    engine.start(list(table.players.values()), table.game)
    for _ in range(REPLIES // len(GAMES)):
        messages, replies = one_of(dice, recorded)
        place = dice.randrange(len(messages))
        others = [reply for i, reply in enumerate(replies) if i != place]
        bad = bad_reply(messages[place], replies[place], dice, others)
        engine._canned = [*replies[:place], bad, *replies[place + 1 :]]
        engine.start_ledger([])
        answers = engine.ask(messages, "exchange")
        for i, (ask, answer) in enumerate(zip(messages, answers, strict=True)):
            if i != place:
                assert same(answer, replies[i])
                continue
            assert isinstance(answer, PlayerLost), f"accepted: {bad}"
            assert (answer.player, answer.round) == (ask.receiver, ask.round)
            assert answer.reason.startswith("bad reply: "), answer
            assert len(answer.reason) < 3000
            links = [(link.sender, link.receiver) for link in engine.ledger.links()]
            assert (ask.receiver, COORDINATOR) not in links
    engine.close()


def same(answer, reply):
    """Whether an answer is an honest reply, with the very same payload."""
    parts = [answer.payload[name] is part for name, part in reply.payload.items()]
    head = (answer.sender, answer.receiver, answer.round, answer.numbers)
    is_like = head == (reply.sender, reply.receiver, reply.round, reply.numbers)
    return is_like and all(parts) and len(answer.payload) == len(reply.payload)


@pytest.mark.slow
@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("piece", range(PIECES))
def test_a_game_goes_on_without_the_player_that_answers_badly(name, piece, tmp_path):
    """One bad reply somewhere in a whole game, and a model is finite in the end."""
    dice = random.Random(f"games {name} {piece}")
    for _ in range(2):
        table = Table(name, tmp_path, on_lost="continue")
        culprits = []
        batch = dice.randrange(12)

        def spoil(messages, replies, batch=batch, table=table, culprits=culprits):
            table._batches = getattr(table, "_batches", -1) + 1
            if table._batches != batch or len(messages) < 2:
                return replies
            place = dice.randrange(len(messages))
            culprits.append(messages[place].receiver)
            others = [reply for i, reply in enumerate(replies) if i != place]
            bad = bad_reply(messages[place], replies[place], dice, others)
            return [*replies[:place], bad, *replies[place + 1 :]]

        table.engine._change = spoil
        rows = table.play()
        lost = {player for row in rows for player in row.lost}
        assert lost <= set(culprits)
        for player in table.players.values():
            for tensor in player.model.state_dict().values():
                assert torch.isfinite(tensor).all()
