"""Many players cost their links: preparation, a round, and what a checkpoint holds of them."""

import time

import numpy as np
import pytest
import torch

from coplay import Config, Federation, Player, Space, Variable
from coplay.core import storage
from coplay.core.errors import SpaceError
from coplay.core.message import COORDINATOR, Ledger, Message, PlayerLost
from coplay.core.slices import MANY, Slice, joined_if_alike, slices_of
from coplay.core.space import tensors
from coplay.core.streams import stream
from coplay.engines.local import Local
from coplay.games.draws import ByLink, draws_for
from coplay.games.sample_exchange import SampleExchange
from coplay.models.base import OWN
from coplay.models.exponential_family import ExponentialFamily
from coplay.player import Restore, Save
from coplay.run import links_on_disk
from coplay.run.links_on_disk import (
    TRAFFIC,
    load_traffic,
    payload_from_tensors,
    payload_to_tensors,
    save_traffic,
)

SPACE = Space(
    {"x": Variable(kind="binary", shape=(3,)), "y": Variable(kind="categorical", classes=4)}
)
CROWD = MANY + 8


def table(n, seed):
    x = torch.randint(2, (n, 3), generator=stream(seed, "x")).to(torch.uint8)
    return SPACE.samples(x=x, y=torch.randint(4, (n,), generator=stream(seed, "y")))


def crowd(home=None, model=ExponentialFamily):
    players = []
    for i in range(CROWD):
        folder = home / f"p{i:02}" if home else None
        players.append(Player(f"p{i:02}", SPACE, table(6, i), model(), 1, folder))
    return players


def started(players, game):
    engine = Local()
    engine.start(players, game)
    return engine, game.start([player.name for player in players], 1)


def equal(one, other):
    assert list(one.keys()) == list(other.keys())
    return all(torch.equal(one[name], other[name]) for name in one.keys())


# ------------------------------------------------------------------------------------ preparation


@pytest.mark.parametrize(("players", "topology"), [(600, "complete"), (4000, "ring")])
def test_preparation_costs_the_links(players, topology, tmp_path):
    """It took half a minute when all links were gone through for each player, and M was formed."""
    rows = np.random.default_rng(1).integers(0, 2, (4 * players, 4)) == 1
    np.savez(tmp_path / "table.npz", **{"train/bits": rows, "test/bits": rows[:4]})
    config = Config.from_dict(
        {
            "players": players,
            "data": {"source": {"name": "npz", "file": str(tmp_path / "table.npz")}},
            "model": "exponential_family",
            "game": {"name": "sample_exchange", "topology": topology},
            "measure": {"metrics": []},
        }
    )
    began = time.process_time()
    Federation(config).prepare()
    assert time.process_time() - began < 5


# ------------------------------------------------------------------------------------------ draws


def test_many_draws_are_those_of_each_receiver_alone():
    player = crowd()[0]
    player.learn({}, {OWN: 1.0}, 1, 1)
    counts = {f"p{i:02}": 1 + i % 4 for i in range(1, CROWD)}
    together = draws_for(player, counts, 3)
    assert list(together) == list(counts)
    for receiver, part in together.items():
        assert isinstance(part, Slice)
        alone = player.draw(counts[receiver], 3, receiver)
        assert equal(part.fetch(), alone)
        assert part.count == counts[receiver]
        assert part.size_bytes == 11 * counts[receiver]
    few = dict(list(counts.items())[:3])
    assert equal(draws_for(player, few, 3)["p02"], together["p02"].fetch())


class WrongOnce(ExponentialFamily):
    def sample(self, n, generator):
        samples = super().sample(n, generator)
        if n == 4:
            samples["x"] = samples["x"] + 7
        return samples if n != 3 else samples[:2]


@pytest.mark.parametrize(
    ("wrong", "fault"), [(4, r"values in \[0, 1\], got"), (3, "3 samples, got 2")]
)
def test_one_wrong_draw_among_many_is_refused(wrong, fault):
    player = Player("p", SPACE, table(6, 1), WrongOnce(), 1)
    player.learn({}, {OWN: 1.0}, 1, 1)
    counts = {f"q{i}": 2 for i in range(CROWD)} | {"q7": wrong}
    with pytest.raises(SpaceError, match=f"samples of WrongOnce: .*expected {fault}"):
        draws_for(player, counts, 1)


@pytest.mark.parametrize("sent", ["value", "type", "variable"])
def test_one_wrong_set_among_many_names_its_sender(sent):
    player = Player("p", SPACE, table(6, 1), ExponentialFamily(), 1)
    received = {f"q{i}": table(2, i) for i in range(CROWD)}
    if sent == "value":
        received["q7"]["y"] = torch.tensor([0, 9])
    elif sent == "type":
        received["q7"]["y"] = torch.tensor([0.0, 1.0])
    else:
        received["q7"] = received["q7"].exclude("x", "y")
    with pytest.raises(SpaceError, match="samples received from player 'q7'"):
        player.learn(received, {OWN: 1.0}, 1, 1)


def test_sets_of_which_one_lacks_a_variable_are_learned_from():
    model = ExponentialFamily()
    player = Player("p", SPACE, table(6, 1), model, 1)
    received = {f"q{i}": table(2, i) for i in range(CROWD)}
    received["q7"] = received["q7"].exclude("y")
    weights = dict.fromkeys(received, 1.0)
    player.learn(received, weights, 1, 1)
    mean = torch.stack([samples["x"].double().mean(0) for samples in received.values()]).mean(0)
    assert torch.allclose(model.moments[:3], mean)


def test_only_sets_that_are_alike_are_joined():
    sets = [table(2, 1), table(3, 2)]
    assert joined_if_alike(sets, [2, 3])["y"].shape == (5,)
    assert joined_if_alike(sets, [2, 2]) is None
    assert joined_if_alike([sets[0], {"x": 1}], [2, 3]) is None
    assert joined_if_alike([sets[0], sets[1].exclude("y")], [2, 3]) is None
    wide = sets[1].clone()
    wide["y"] = wide["y"].double()
    assert joined_if_alike([sets[0], wide], [2, 3]) is None


# ------------------------------------------------------------------------------- rounds and disk


class AsOne(SampleExchange):
    """The same game with draws of each receiver alone."""

    def serve(self, player, message):
        reply = super().serve(player, message)
        drawn = {}
        for to, part in reply.payload.items():
            drawn[to] = player.draw(part.count, message.round, to)
        return message.reply(reply.numbers, drawn)


def test_a_crowd_plays_as_if_each_set_were_by_itself():
    ends = []
    for cls in (SampleExchange, AsOne):
        players = crowd()
        game = cls(samples_per_round=90, rounds=9)
        engine, state = started(players, game)
        for round in (1, 2, 3):
            state, _ = game.play(engine, state, round)
        ends.append((players, engine.ledger.links(), state))
    for one, other in zip(ends[0][0], ends[1][0], strict=True):
        assert torch.equal(one.model.moments, other.model.moments)
    assert ends[0][1] == ends[1][1]
    assert ends[0][2].known() == ends[1][2].known()
    assert list(ends[0][2].payload) == list(ends[1][2].payload)


def test_a_crowd_goes_on_from_its_checkpoint(tmp_path):
    game = SampleExchange(samples_per_round=90, rounds=9)
    players = crowd(tmp_path)
    engine, state = started(players, game)
    for round in (1, 2):
        state, _ = game.play(engine, state, round)
    storage.save_tensors(tmp_path / "state.safetensors", payload_to_tensors(state.payload))
    payload = payload_from_tensors(storage.load_tensors(tmp_path / "state.safetensors"))
    assert list(payload) == list(state.payload)
    again = game.state_class.from_known(state.known(), payload)
    others = crowd(tmp_path)
    other, _ = started(others, game)
    for player, twin in zip(players, others, strict=True):
        player.serve(Message(Save(), COORDINATOR, player.name, 2))
        twin.serve(Message(Restore(), COORDINATOR, twin.name, 2))
    state, _ = game.play(engine, state, 3)
    game.play(other, again, 3)
    for player, twin in zip(players, others, strict=True):
        assert torch.equal(player.model.moments, twin.model.moments)


def test_what_is_in_flight_comes_back_from_few_tensors():
    whole = tensors(table(50, 5))
    payload = {("a", f"q{i}"): part for i, part in enumerate(slices_of(whole, [1, 0, 4] * 10))}
    payload["b", "a"] = table(3, 1)
    payload["b", "q1"] = table(2, 2).exclude("y")
    payload["a", "b"] = table(2, 3)
    del payload["a", "q2"]  # a receiver that was lost
    stored = payload_to_tensors(payload)
    assert len(stored) == 2 + 2 + 2 + 1
    back = payload_from_tensors(stored)
    assert list(back) == list(payload)
    for link, part in back.items():
        expected = payload[link].fetch() if isinstance(payload[link], Slice) else payload[link]
        assert equal(part.fetch() if isinstance(part, Slice) else part, expected)
    assert payload_from_tensors(payload_to_tensors({})) == {}


def test_payload_by_link_is_a_mapping():
    sets = {name: table(1, i) for i, name in enumerate("abc")}
    payload = ByLink({"a": {"b": sets["a"], "c": sets["b"]}, "b": {"a": sets["c"]}})
    flat = dict(payload)
    assert list(flat) == [("a", "b"), ("a", "c"), ("b", "a")]
    assert len(payload) == 3
    assert ("c", "a") not in payload
    assert ByLink.of(payload) is payload
    assert ByLink.of(flat).by_receiver(["b", "a"]) == payload.by_receiver(["b", "a"])
    assert list(payload.by_receiver(["b", "a"])["a"]) == ["b"]


@pytest.mark.parametrize("most", [1, 100])
def test_traffic_comes_back_from_the_checkpoint(most, tmp_path, monkeypatch):
    monkeypatch.setattr(links_on_disk, "_MOST_LISTED", most)
    ledger = Ledger()
    for _ in range(2):
        ledger.add("exchange", "a", "b", bytes=5, samples=2)
        ledger.add("exchange/feedback", "b", "a", bytes=2**40, samples=3)
        ledger.add("evaluation", "a", "coordinator", bytes=1, samples=1)
    assert ledger.total("exchange") == 2**41 + 10
    assert len(ledger) == 3
    listed, digest = save_traffic(tmp_path, ledger)
    assert listed == (ledger.links() if most == 100 else [])
    assert bool(digest) == (most == 1)
    if digest:
        assert load_traffic(tmp_path / TRAFFIC, digest, "") == ledger.links()
    assert Ledger(ledger.links()).total("exchange") == 2**41 + 10


def test_losses_leave_the_slices_of_the_rest():
    game = SampleExchange(samples_per_round=90, rounds=9, on_lost="continue")
    engine, state = started(crowd(), game)
    state, _ = game.play(engine, state, 1)
    left, row = game.lose(state, [PlayerLost("p03", "turn", 1, "gone")])
    assert len(left.payload) < len(state.payload)
    assert not any("p03" in link for link in left.payload)
    assert row.frozen == []
    stored = payload_from_tensors(payload_to_tensors(left.payload))
    for link, part in left.payload.items():
        assert equal(stored[link].fetch(), part.fetch())
    after, _ = game.play(engine, left, 2)
    assert "p03" not in after.players
