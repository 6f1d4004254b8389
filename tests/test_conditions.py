"""Conditions as people write them, and what is wrong with them."""

import numpy as np
import pytest

from coplay import Space, Variable
from coplay.core.errors import CoplayError
from coplay.run.given import Asked

SPACE = Space(
    {
        "age": Variable(kind="real", low=0, high=120),
        "visits": Variable(kind="count"),
        "sex": Variable(kind="categorical", classes=2, names=("female", "male")),
        "stage": Variable(kind="categorical", classes=3, names=("1", "2", "4")),
        "odd": Variable(kind="categorical", classes=2, names=("a|b", "1..2")),
        "ok": Variable(kind="binary"),
        "image": Variable(kind="binary", shape=(2, 2)),
        "a=b": Variable(kind="count"),
    }
)
ASKED = Asked("north", SPACE, ("dose",), {"weight": ["south"]}, {"diagnosis": "sex"})


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ("sex=mal", "given sex=mal: no level 'mal'; known, nearest first: 'male', 'female'"),
        ("sex=Male", "given sex=Male: no level 'Male'; known, nearest first: male"),
        ("aeg=3", "given aeg=3: player 'north' has no variable 'aeg'; known, nearest first: age"),
        ("weight=3", "player 'north' has no variable 'weight'; south has it; known"),
        ("dose=3", "given dose=3: player 'north' has learned nothing of 'dose'"),
        ("age=400", "expected a value in the agreed range [0, 120], got 400"),
        ("age=100..130", "expected limits in the agreed range [0, 120]"),
        ("age=130..140", "it lies outside the agreed range [0, 120]"),
        ("age=60..40", "no number lies in it, since 60 is more than 40"),
        ("age=..", "expected a limit, as in 40..60, 40.. or ..60"),
        ("age=", "given age=: expected a value"),
        ("age", "given age: expected NAME=VALUE, NAME=LOW..HIGH or NAME=ONE|OTHER"),
        ("age=nan", "expected a number such as 40 or 0.5, got 'nan'"),
        ("age=4,5", "expected a number such as 40 or 0.5, got '4,5'"),
        ("age=4|5", "a set of values of a real number has no chance of its own; give a range"),
        ("visits=1.5", "expected a whole number from 0 on, got '1.5'"),
        ("visits=1.2..1.8", "no whole number lies in it"),
        ("sex=1..2", "its levels 'female', 'male' have no order; list some with | between them"),
        ("stage=5..9", "no level lies in it; the levels are 1, 2, 4"),
        ("ok=maybe", "expected yes or no, true or false, 1 or 0; got 'maybe'"),
        ("ok=0..1", "yes and no have no range; give one of them"),
        ("image=1", "'image' is binary 2×2; a condition takes a variable of one number"),
    ],
)
def test_a_wrong_condition_says_what_was_expected(given, fault):
    with pytest.raises(CoplayError) as raised:
        ASKED.conditions([given])
    assert fault in str(raised.value)


def test_all_faults_are_told_at_once_and_a_column_takes_one_condition():
    with pytest.raises(CoplayError) as raised:
        ASKED.conditions(["age=1..2", "sex=x", "diagnosis=male", "sex=female", "age=3", "b"])
    lines = str(raised.value).splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("given b: expected NAME=VALUE")
    assert lines[1].startswith("given sex=x: no level 'x'")
    assert lines[2:] == [
        "given diagnosis=male and sex=female: expected one condition on 'sex'",
        "given age=1..2 and age=3: expected one condition on 'age'",
    ]


@pytest.mark.parametrize(
    ("given", "name", "values", "ends"),
    [
        ("sex = male", "sex", (1,), None),
        ("diagnosis=female", "sex", (0,), None),
        ("stage=2.0", "stage", (1,), None),
        ("stage=2..9", "stage", (1, 2), None),
        ("stage=4|1", "stage", (2, 0), None),
        ("odd=a|b", "odd", (0,), None),
        ("odd=1..2", "odd", (1,), None),
        ("ok=False", "ok", (0,), None),
        ("a=b=3", "a=b", (3,), None),
        ("visits=2|3", "visits", (2, 3), None),
        ("age=-0..1e1", "age", None, (0, 10)),
        ("age=..60", "age", None, (-np.inf, 60)),
    ],
)
def test_a_condition_is_read(given, name, values, ends):
    (condition,) = ASKED.conditions([given]).values()
    assert condition.name == name
    assert condition.subset.values == values
    if ends is not None:
        assert (condition.subset.low, condition.subset.high) == ends
