"""Every engine in engines/ joins by existing; the local one is the oracle."""

import pytest
import torch

from coplay import Message, Player, PlayerLost, Space, Variable, find, names
from coplay.core.message import COORDINATOR, LinkTraffic
from coplay.engines.flower_link import Link, connect, disconnect
from coplay.games.sample_exchange import SampleExchange, Turn
from coplay.models.exponential_family import ExponentialFamily
from coplay.player import Evaluate

from ..flower_loop import Loop, begun_engine, deployed_bits, linked

ENGINES = names("engine")
SPACE = Space({"x": Variable(kind="binary", shape=(3,))})


@pytest.fixture(scope="module", autouse=True)
def _finished():
    """Share what outlives a game, such as a cluster, among all tests here."""
    yield
    for name in ENGINES:
        find("engine", name).tiny().finish()


def tiny(name):
    if name == "ray":
        pytest.importorskip("ray")
    if name == "flower":
        connect(Link(Loop({}), "0" * 64, "0" * 16))
    return find("engine", name).tiny()


def engine_between_sites(folder):
    """Yield an engine whose players are at sites; over real nodes in test_flower_nodes.py."""
    federation, places = deployed_bits(folder)
    engine = begun_engine(linked(Loop(places), federation), federation, folder)
    yield engine
    engine.close()
    disconnect()


@pytest.fixture(params=ENGINES)
def engine(request, tmp_path):
    if request.param == "flower":
        yield from engine_between_sites(tmp_path)
        return
    engine = tiny(request.param)
    players = [
        Player(
            name,
            SPACE,
            SPACE.samples(x=torch.full((4, 3), i % 2, dtype=torch.uint8)),
            ExponentialFamily(),
            seed=1,
        )
        for i, name in enumerate(("a", "b", "c"))
    ]
    engine.start(players, SampleExchange.tiny())
    yield engine
    engine.close()


def turn(receiver, draw=None, round=1, own=1.0, payload=None):
    return Message(Turn(own, draw or {}), COORDINATOR, receiver, round, payload=payload or {})


def test_answers_come_in_the_order_of_the_messages(engine):
    replies = engine.ask([turn("c"), turn("a"), turn("b")])
    assert [reply.sender for reply in replies] == ["c", "a", "b"]
    assert {reply.round for reply in replies} == {1}


def test_drawn_samples_come_back_under_the_receivers_name(engine):
    (reply,) = engine.ask([turn("a", {"b": 5, "c": 2})])
    assert {to: len(samples) for to, samples in reply.samples().items()} == {"b": 5, "c": 2}


def test_a_failure_names_player_action_round_and_reason(engine):
    bad = {"b": SPACE.samples(x=torch.full((2, 3), 9, dtype=torch.uint8))}
    good, lost = engine.ask([turn("c"), turn("a", round=7, own=0.5, payload=bad)])
    assert isinstance(good, Message)
    assert isinstance(lost, PlayerLost)
    assert (lost.player, lost.action, lost.round) == ("a", "turn", 7)
    assert "received from player 'b'" in lost.reason
    assert "got 9" in lost.reason


def test_the_ledger_counts_bytes_from_logical_sender_to_receiver(engine):
    payload = {"b": SPACE.samples(x=torch.ones(10, 3, dtype=torch.uint8))}
    engine.ask([turn("a", own=0.5, payload=payload)])
    engine.ask([turn("c")])
    engine.ask([Message(Evaluate(4, 2), COORDINATOR, "c", 1)], purpose="evaluation")
    assert engine.ledger.links() == [
        LinkTraffic("exchange", "b", "a", bytes=30, samples=10),
        LinkTraffic("evaluation", "c", COORDINATOR, bytes=12, samples=4),
    ]


@pytest.mark.parametrize("name", ENGINES)
def test_closing_twice_is_harmless_and_gives_threads_back(name):
    before = torch.get_num_threads()
    engine = tiny(name)
    engine.start([], SampleExchange.tiny())
    engine.close()
    engine.close()
    assert torch.get_num_threads() == before
