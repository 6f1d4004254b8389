"""What a player says of itself: no more than its site allows, and read with every type checked."""

from __future__ import annotations

import itertools
import json
import math
from importlib.metadata import version

import pytest
import torch

from coplay import Message, Player, Space, Variable, find
from coplay.core.errors import MessageError
from coplay.core.facts import PROTOCOL, Facts, schema_digest
from coplay.core.message import COORDINATOR
from coplay.core.telling import EVERYTHING, Telling
from coplay.engines.local import Local
from coplay.games.gan_common import Introduce
from coplay.games.party import Known, has_model
from coplay.models.acgan import Acgan

HERE = version("coplay")
SPACE = Space(
    {"dose": Variable(kind="real", low=0), "class": Variable(kind="categorical", classes=3)}
)


def player(tell=EVERYTHING, labels=(0, 0, 1, 1, 1, 2), **more):
    data = SPACE.samples(dose=torch.linspace(0, 1, len(labels)), **{"class": torch.tensor(labels)})
    return Player("north", SPACE, data, find("model", "conditionals")(), 1, tell=tell, **more)


def test_facts_survive_any_carrier_of_plain_values():
    facts = player(schema=schema_digest(SPACE)).facts()
    carried = json.loads(json.dumps(facts.plain()))
    assert Facts.from_plain(carried, "north") == facts
    assert facts.space == SPACE
    assert facts.learns_incomplete
    assert facts.count == 6
    assert facts.shares == (2 / 6, 3 / 6, 1 / 6)


def test_shares_that_a_site_withholds_travel_as_withheld():
    tell = Telling(count="exact", shares=True, small_cell=10)
    facts = player(tell, labels=[0] * 40 + [1] * 3 + [2] * 20).facts()
    carried = Facts.from_plain(json.loads(json.dumps(facts.plain(), allow_nan=False)), "north")
    assert carried.shares[0] == 40 / 63
    assert [math.isnan(share) for share in carried.shares] == [False, True, True]


def test_a_site_that_tells_nothing_has_facts_of_its_model_only():
    few = player(Telling(), labels=[0, 1, 2]).facts()
    many = player(Telling(), labels=[0, 0, 0, 0, 1, 2]).facts()
    assert few == many
    assert few.count is None
    assert few.shares == ()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"name": "south"}, "they name 'south'"),
        (
            {"protocol": PROTOCOL + 1, "coplay": "0.9.0", "newer": 1},
            f"its coplay '0.9.0' speaks protocol {PROTOCOL + 1}, this one ({HERE}) {PROTOCOL}; "
            "give both the same version of coplay",
        ),
        ({"protocol": True}, "protocol: expected a whole number, got True"),
        ({"count": -3}, "expected a number of rows from 0 to 2**53, got -3"),
        ({"count": 10**400}, "expected a number of rows from 0 to 2**53, got 1000"),
        ({"shares": [0.5, 0.5]}, "expected 3 shares, got 2"),
        ({"unobserved": ["class"]}, "expected 0 shares, got 3"),
        ({"shares": [0.5, 1.5]}, "expected shares from 0 to 1, got 1.5"),
        ({"shares": [-0.5]}, "expected shares from 0 to 1, got -0.5"),
        ({"unobserved": ["weight"]}, "it lacks 'weight', which it does not learn"),
        ({"count": "many"}, "count"),
        ({"learned.keys": [], "learned.values": []}, "a space needs at least one variable"),
        ({"learned.values": ["{", "{}"]}, "Invalid JSON"),
        ({"model": "x" * 200_000}, "expected texts of at most 100,000 characters"),
    ],
)
def test_strange_facts_are_refused(change, fault):
    values = {**player().facts().plain(), **change}
    with pytest.raises(MessageError, match=r"the facts of player 'north'") as caught:
        Facts.from_plain(values, "north")
    assert fault in str(caught.value)


def test_shares_that_are_told_are_those_of_the_rows_and_no_small_one_is_told():
    tell = Telling(count="exact", shares=True, small_cell=10)
    for counts in itertools.product([0, 1, 9, 10, 11, 40, 200], repeat=4):
        shares = tell.shares_of(counts)
        for share, count in zip(shares, counts, strict=bool(shares)):
            assert math.isnan(share) or (count >= 10 and share == count / sum(counts))
        if min(counts) >= 10:
            assert len(shares) == 4
            assert not any(map(math.isnan, shares))


def tables(total, cells):
    """All tables of so many rows."""
    for cuts in itertools.combinations(range(total + cells - 1), cells - 1):
        edges = (-1, *cuts, total + cells - 1)
        yield tuple(high - low - 1 for low, high in itertools.pairwise(edges))


@pytest.mark.parametrize("count", ["exact", "tens"])
@pytest.mark.parametrize(("small_cell", "most"), [(2, 16), (3, 26)])
def test_who_knows_the_rule_and_the_total_still_cannot_tell_what_a_small_cell_holds(
    count, small_cell, most
):
    """Even who is given which cells are small has to reckon with every number in each of them."""
    tell = Telling(count=count, shares=True, small_cell=small_cell)
    for total in range(1, most):
        possible = {}
        for table in tables(total, 4):
            small = tuple(place for place, rows in enumerate(table) if rows < small_cell)
            shares = tell.shares_of(table)
            if small and shares:
                values = tuple(table[place] for place in small)
                possible.setdefault((repr(shares), small), set()).add(values)
        for (_, small), values in possible.items():
            assert len(values) == small_cell ** len(small)
    assert possible


def test_a_total_of_tens_is_not_given_away_by_shares():
    """17 of 30 rows would be a share of 0.57, as 17 of 32 would not."""
    tell = Telling(count="tens", shares=True, small_cell=10)
    for total in range(26, 35):
        assert tell.count_of(total) == 30
        assert tell.shares_of([17, total - 17]) in {(2 / 3, 1 / 3), (1 / 2, 1 / 2), ()}
    assert tell.shares_of([17, 14]) == (2 / 3, 1 / 3)
    assert tell.shares_of([17, 16]) == (1 / 2, 1 / 2)
    assert sum(tell.shares_of([15, 15, 15, 25, 94])) == 1
    assert Telling(count="tens", shares=True, small_cell=1).shares_of([2, 2]) == ()


def test_shares_need_a_count_that_is_told():
    assert Telling(count="no", shares=True).shares_of([50, 50]) == ()


def test_what_a_count_is_rounded_to():
    assert [Telling(count="tens").count_of(n) for n in (4, 5, 6, 284)] == [0, 0, 10, 280]
    assert Telling(count="exact").count_of(284) == 284


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("name", ["md_gan", "fl_gan"])
def test_a_game_of_gans_is_told_how_many_rows_a_site_has_as_the_site_tells_it(name, groups):
    """Both alone and side by side with others; and the reply passes the gate."""
    space = Space({"image": Variable(kind="real", shape=(4, 4), low=0, high=1)})
    data = space.samples(image=torch.linspace(0, 1, 432).reshape(27, 4, 4))
    tell = Telling(count="tens")
    players = []
    for each in ("east", "west"):
        players.append(Player(each, space, data, Acgan.tiny(), 1, tell=tell))
    players.append(Player("server", space, space.empty(), Acgan.tiny(), 1))
    engine = Local(groups=groups)
    try:
        engine.start(players, find("game", name).tiny())
        asks = [Message(Introduce(), COORDINATOR, each, 1) for each in ("east", "west")]
        replies = engine.ask(asks)
    finally:
        engine.close()
    assert [reply.numbers["samples"] for reply in replies] == [30, 30]


def test_the_engine_describes_everybody():
    engine = Local()
    try:
        engine.start([player()], find("game", "sample_exchange")())
        assert engine.describe() == {"north": player().facts()}
    finally:
        engine.close()


def test_a_gan_elsewhere_is_known_by_its_settings():
    space = Space({"image": Variable(kind="real", shape=(4, 4), low=0, high=1)})
    data = space.samples(image=torch.linspace(0, 1, 480).reshape(30, 4, 4))
    there = Player("east", space, data, Acgan.tiny(), 1)
    known = Known(there.facts(), 1)
    assert has_model(known, Acgan)
    assert known.model == there.model
    assert known.model.builder.size("generator") == there.model.builder.size("generator")


def test_what_a_stranger_names_as_its_model_is_not_imported():
    facts = player().facts()
    strange = Facts(**{**vars(facts), "network": json.dumps({"name": "antigravity:Cls"})})
    assert not has_model(Known(strange, 1), Acgan)
    with pytest.raises(MessageError, match=r"expected a model of coplay, got 'antigravity:Cls'"):
        Known(strange, 1).model  # noqa: B018


@pytest.mark.parametrize(
    ("label", "values", "shares"),
    [
        (Variable(kind="real"), torch.tensor([1.5, -2.0, 1.5]), ()),
        (Variable(kind="count"), torch.tensor([7, 0, 7]), ()),
        (Variable(kind="binary"), torch.tensor([0, 1, 1], dtype=torch.uint8), ()),
        (
            Variable(kind="categorical", classes=3, optional=True),
            torch.tensor([2, -1, 2]),
            (0.0, 0.0, 1.0),
        ),
    ],
)
def test_a_column_that_is_called_class_need_not_hold_classes(label, values, shares):
    space = Space({"class": label, "x": Variable(kind="binary")})
    rows = space.samples(**{"class": values, "x": torch.tensor([0, 1, 1], dtype=torch.uint8)})
    player = Player("north", space, rows, find("model", "autoregressive").tiny(), seed=1)
    facts = player.facts()
    assert facts.shares == shares
    assert Facts.from_plain(facts.plain(), "north").shares == shares
    assert facts.classifies == (label.kind == "categorical")
