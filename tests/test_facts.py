"""What a player says of itself: no more than its site allows, and read with every type checked."""

from __future__ import annotations

import itertools
import json
import math

import pytest
import torch

from coplay import Player, Space, Variable, find
from coplay.core.errors import MessageError
from coplay.core.facts import PROTOCOL, Facts, schema_digest
from coplay.core.telling import EVERYTHING, Telling
from coplay.engines.local import Local
from coplay.games.party import Known, has_model
from coplay.models.acgan import Acgan

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
        ({"protocol": PROTOCOL + 1}, f"speaks protocol {PROTOCOL + 1}, this one {PROTOCOL}"),
        ({"count": -3}, "expected a number of rows from 0, got -3"),
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


def test_a_category_of_few_rows_is_not_left_over_by_subtraction():
    tell = Telling(count="exact", shares=True, small_cell=10)
    for counts in itertools.product([0, 1, 9, 10, 11, 40, 200], repeat=4):
        shares = tell.shares_of(counts)
        withheld = [place for place, share in enumerate(shares) if math.isnan(share)]
        small = [place for place, count in enumerate(counts) if count < 10]
        assert not shares or set(small) <= set(withheld)
        for place, share in enumerate(shares):
            assert place in withheld or share == counts[place] / sum(counts)
        # what is left over is that of two or more, and it may all be of any of them
        hidden = sum(counts[place] for place in withheld)
        assert not shares or not small or (len(withheld) >= 2 and hidden >= 10)


def test_what_a_count_is_rounded_to():
    assert [Telling(count="tens").count_of(n) for n in (4, 5, 6, 284)] == [0, 0, 10, 280]
    assert Telling(count="exact").count_of(284) == 284


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
