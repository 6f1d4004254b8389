"""Rules between columns: what they say, what breaks them, and what is drawn under them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from coplay import Player, Space, Variable
from coplay.core.errors import ConfigError
from coplay.core.rule_words import understood
from coplay.core.rules import Broken, Kept, Rules
from coplay.core.space import pick
from coplay.core.streams import stream
from coplay.engines.ray_process import PlayerSpec
from coplay.models.exponential_family import ExponentialFamily

REAL = Variable(kind="real")
SPACE = Space(
    {
        "start": REAL,
        "end": REAL,
        "a": REAL,
        "b": Variable(kind="real", optional=True),
        "total": REAL,
        "to": REAL,
        "capital-gain": REAL,
        "mean radius": REAL,
        "n": Variable(kind="count", optional=True),
        "y": Variable(kind="categorical", classes=2, names=("no", "yes")),
        "z": Variable(kind="categorical", classes=3, names=("yes", "perhaps", "no")),
        "ill": Variable(kind="binary"),
        "if": REAL,
        "picture": Variable(kind="real", shape=(2, 2)),
    }
)


def rows(**columns):
    """Rows of some columns, by the values that they are written with."""
    values = {}
    for name, column in columns.items():
        variable = SPACE[name.replace("_", " ")]
        if variable.names is not None:
            column = [variable.names.index(each) for each in column]
        values[name.replace("_", " ")] = torch.tensor(column).to(variable.dtypes[0])
    return SPACE.samples(**values)


def broken(rule, **columns):
    return Rules.of([rule], SPACE).broken(rows(**columns)).tolist()


class TestWhatARuleSays:
    @pytest.mark.parametrize(
        "sum_of",
        [
            "a + b * to",
            "(a + b) * to",
            "a - b - to",
            "a - (b - to)",
            "a / b / to",
            "-a * b + 2.5e1",
            "-(a - b) / (to + .5)",
            "a - -b",
            "2 * a - b * (to - (a + 1)) / 4",
        ],
    )
    def test_sums_are_those_of_arithmetic(self, sum_of):
        values = np.random.default_rng(0).uniform(1, 3, (3, 20))
        a, b, to = torch.as_tensor(values, dtype=torch.float32)
        expected = eval(sum_of, {}, {"a": a.double(), "b": b.double(), "to": to.double()})
        samples = SPACE.samples(a=a, b=b, to=to, total=expected.float())
        assert not Rules.of([f"total = {sum_of}"], SPACE).broken(samples).any()
        samples["total"] = (expected + 0.01).float()
        assert Rules.of([f"{sum_of} = total"], SPACE).broken(samples).all()

    def test_each_comparison_by_hand(self):
        columns = {"start": [1.0, 2.0, 3.0], "end": [2.0, 2.0, 2.0]}
        assert broken("start <= end", **columns) == [False, False, True]
        assert broken("start < end", **columns) == [False, True, True]
        assert broken("start >= end", **columns) == [True, False, False]
        assert broken("start > end", **columns) == [True, True, False]
        assert broken("start = end", **columns) == [True, False, True]
        assert broken("start == end", **columns) == [True, False, True]
        assert broken("start != end", **columns) == [False, True, False]

    def test_a_condition_says_where_it_holds(self):
        columns = {"a": [0.0, 0.0, 1.0, 1.0], "y": ["no", "yes", "no", "yes"]}
        assert broken("a > 0 if y = 'yes'", **columns) == [False, True, False, False]
        assert broken('a > 0 if y != "yes"', **columns) == [True, False, False, False]

    def test_and_binds_before_or(self):
        cells = list(itertools.product([0.0, 1.0], repeat=3))
        a, b, to = zip(*cells, strict=True)
        expected = []
        for x, y, z in cells:
            expected.append(bool(x == 1 or (y == 1 and z == 1)))
        rule = "total = 5 if a = 1 or b = 1 and to = 1"
        assert broken(rule, a=a, b=b, to=to, total=[0.0] * 8) == expected

    def test_a_missing_value_makes_it_say_nothing(self):
        columns = {"a": [1.0, 1.0], "b": [math.nan, 1.0], "total": [9.0, 9.0]}
        assert broken("a + b = total", **columns) == [False, True]
        assert broken("a > 5 if b > 0", a=[1.0, 1.0], b=[math.nan, 1.0]) == [False, True]
        assert broken("n > 5", n=[-1, 3]) == [False, True]
        (count,) = Rules.of(["a + b = total"], SPACE).counts(rows(**columns))
        assert count == Broken("a + b = total", rows=1, of=1)

    def test_rows_without_the_column_are_not_spoken_of(self):
        assert broken("start <= end", start=[9.0]) == [False]

    def test_categories_are_compared_by_their_names(self):
        words = ["no", "yes"]
        assert broken("y = z", y=words, z=["no", "no"]) == [False, True]
        assert broken("y != z", y=words, z=["no", "perhaps"]) == [True, False]
        assert broken("ill = 'yes'", ill=[0, 1]) == [True, False]
        assert broken("ill = 1", ill=[0, 1]) == [True, False]

    def test_equal_is_equal_up_to_the_rounding_of_32_bits_whatever_the_unit(self):
        for unit in (1e-6, 1.0, 1e9):
            a, b = 0.1 * unit, 0.2 * unit
            assert broken("a + b = total", a=[a], b=[b], total=[0.3 * unit]) == [False]
            assert broken("a + b = total", a=[a], b=[b], total=[0.3001 * unit]) == [True]

    def test_what_cannot_be_divided_breaks_it(self):
        assert broken("a / to <= 1", a=[1.0, 1.0], to=[0.0, 2.0]) == [True, False]


class TestNames:
    def test_they_may_have_blanks_and_hyphens_and_begin_like_others(self):
        assert understood("mean radius<=capital-gain", SPACE).then.names == [
            "mean radius",
            "capital-gain",
        ]
        assert understood("total >= to", SPACE).then.names == ["total", "to"]
        assert understood("to-a > 1", SPACE).then.names == ["to", "a"]

    def test_a_word_of_the_language_stands_in_backticks(self):
        columns = {"a": [1.0, 1.0], "if": [0.0, 1.0]}
        assert broken("a > 5 if `if` = 1", **columns) == [False, True]


class TestFaults:
    def test_all_are_told_at_once_with_their_place_and_a_way_out(self):
        rules = [
            "start <= end",
            "strat <= end",
            "y < 'yes'",
            "y + 1 = 2",
            "a > 0 if y = 'ja'",
            "a > 0 if y = yes",
            "a = 'x'",
            "picture > 1",
            "3 < 4",
            "y = 'yes' if a >",
        ]
        with pytest.raises(ConfigError) as error:
            Rules.of(rules, SPACE, "rules")
        starts = [problem.split(": ", 1) for problem in error.value.problems]
        assert [place for place, _ in starts] == [
            f"rules[{k}] {rule!r}" for k, rule in enumerate(rules) if k
        ]
        texts = [text for _, text in starts]
        assert texts[0].startswith("there is no column 'strat'; known, nearest first: start, ")
        assert texts[1:4] == [
            "'y' is a category and has no order: only = and != compare it",
            "'y' is a category, with which nothing can be computed; a rule can ask whether it is "
            "one of its levels: y = 'no'",
            "'y' has no level 'ja'; known, nearest first: no, yes",
        ]
        assert texts[4].startswith("there is no column 'yes'; a level of 'y' stands in quotes; ")
        assert texts[5].startswith("the text 'x' is compared with numbers; texts are what ")
        assert texts[6] == "'picture' is real 2×2, and a rule compares single values"
        assert texts[7] == "it names no column"
        assert texts[8] == "expected a column, a number or a text in quotes at its end"

    @pytest.mark.parametrize(
        ("rule", "text"),
        [
            ("", "it is empty; a rule is such as 'start <= end'"),
            ("a", "expected one of <=, <, >=, >, = and != at its end"),
            ("a < b < to", "a second '<' at character 7; a rule compares two sides, so write two"),
            ("a > 0 and b > 0", "'and' joins conditions after 'if'; write two rules instead"),
            ("a > 0 or b > 0", "'or' joins conditions after 'if', and a rule has one comparison"),
            ("(a > 0", "expected ')' at character 4, got '>'"),
            ("a > 'y", "the quote ' at character 5 is not closed"),
            ("a ≤ b", "'≤' at character 3 has no meaning in a rule"),
            ("a > 0 to", "expected 'if' or the rule's end at character 7, got 'to'"),
            ("(" * 30 + "a" + ")" * 30 + " > 1", "it has more than 20 parentheses or signs"),
            ("__import__('os') > 1", "there is no column '__import__'; known"),
        ],
    )
    def test_what_is_no_rule_is_refused(self, rule, text):
        with pytest.raises(ConfigError) as error:
            Rules.of([rule], SPACE)
        assert f": {text}" in error.value.problems[0]


class TestRepair:
    def test_a_sum_is_written_into_the_column_that_holds_it(self):
        rules = Rules.of(["a + b = total"], SPACE)
        samples = rows(a=[1.0, 2.0], b=[2.0, math.nan], total=[9.0, 9.0])
        repaired = rules.repaired(samples)
        assert repaired["total"].tolist() == [3.0, 9.0]
        assert samples["total"].tolist() == [9.0, 9.0], "what was given is unchanged"
        assert not rules.broken(repaired).any()

    def test_it_is_put_right_only_where_it_must_hold(self):
        rules = Rules.of(["to = a if y = 'yes'"], SPACE)
        repaired = rules.repaired(rows(to=[0.0, 0.0], a=[5.0, 5.0], y=["no", "yes"]))
        assert repaired["to"].tolist() == [0.0, 5.0]

    def test_one_sum_may_need_another(self):
        rules = Rules.of(["a + b = total", "total = to + start"], SPACE)
        # the second would be written into 'total', too: what the first says is broken then
        repaired = rules.repaired(rows(a=[1.0], b=[1.0], total=[0.0], to=[1.0], start=[5.0]))
        assert rules.broken(repaired).tolist() == [True]
        rules = Rules.of(["a + b = total", "end = total + start"], SPACE)
        repaired = rules.repaired(rows(a=[1.0], b=[1.0], total=[0.0], end=[0.0], start=[5.0]))
        assert (repaired["total"].item(), repaired["end"].item()) == (2, 7)

    def test_a_count_takes_whole_numbers_only_and_no_column_leaves_its_range(self):
        rules = Rules.of(["n = a"], SPACE)
        repaired = rules.repaired(rows(n=[0, 0, 0], a=[2.0, 2.5, -3.0]))
        assert repaired["n"].tolist() == [2, 2, 0]
        assert rules.broken(repaired).tolist() == [False, True, True]


class TestWhatIsDrawn:
    """x and y uniform on [0, 1] given x ≤ y: the densities are 2(1 − x) and 2y."""

    SPACE = Space({"x": REAL, "y": REAL})

    def uniform(self, seed):
        generator = stream(seed)

        def draw(n):
            x, y = torch.rand(2, n, generator=generator)
            return self.SPACE.samples(x=x, y=y)

        return draw

    def test_it_has_the_distribution_given_the_rule(self):
        rules = Rules.of(["x <= y"], self.SPACE)
        samples, kept = rules.kept(self.uniform(1), 20_000)
        assert len(samples) == 20_000
        assert (samples["x"] <= samples["y"]).all()
        for q in (0.1, 0.5, 0.9):
            below = (samples["x"] <= q).double().mean().item()
            assert below == pytest.approx(1 - (1 - q) ** 2, abs=0.012)
            assert (samples["y"] <= q).double().mean().item() == pytest.approx(q**2, abs=0.012)
        assert kept.breaking == 0
        assert kept.fine / kept.drawn == pytest.approx(0.5, abs=0.012)
        assert kept.fine == kept.accepted

    def test_without_rules_it_is_what_the_model_draws(self):
        samples, kept = Rules(self.SPACE).kept(self.uniform(1), 50)
        assert torch.equal(samples["x"], self.uniform(1)(50)["x"])
        assert kept == Kept(50, 50, 50, 50, 0)

    def test_a_sum_needs_no_rejection(self):
        rules = Rules.of(["y = 2 * x"], self.SPACE)
        samples, kept = rules.kept(self.uniform(2), 300)
        assert torch.allclose(samples["y"], 2 * samples["x"])
        assert torch.equal(samples["x"], self.uniform(2)(300)["x"])
        assert (kept.drawn, kept.fine, kept.accepted) == (300, 0, 300)

    def test_a_rule_that_holds_in_one_row_of_fifty_is_met(self):
        rules = Rules.of(["x > 0.9", "y > 0.8"], self.SPACE)
        samples, kept = rules.kept(self.uniform(3), 100)
        if kept.breaking:  # twenty times as many rows are drawn at most
            assert kept.drawn >= 2000
        assert kept.accepted / kept.drawn == pytest.approx(0.02, abs=0.012)
        good = (samples["x"] > 0.9) & (samples["y"] > 0.8)
        assert int(good.sum()) == 100 - kept.breaking

    def test_a_hopeless_rule_ends_and_says_so(self):
        samples, kept = Rules.of(["x > 2"], self.SPACE).kept(self.uniform(4), 100)
        assert len(samples) == 100
        assert kept.breaking == 100
        assert kept.drawn <= 25 * 100
        assert str(kept).endswith("; 100 of the 100 rows break a rule still")

    def test_nothing_is_asked_of_nothing(self):
        samples, kept = Rules.of(["x <= y"], self.SPACE).kept(self.uniform(5), 0)
        assert len(samples) == 0
        assert kept.numbers == {}


def player(rules=()):
    space = Space({"x": REAL, "y": REAL})
    data = space.samples(x=torch.randn(200, generator=stream(1)), y=torch.zeros(200))
    data["y"] = data["x"] + torch.randn(200, generator=stream(2))
    made = Player("north", space, data, ExponentialFamily(), seed=1)
    made.rules = Rules.of(rules, space)
    made.learn({}, {"own data": 1.0}, 1, 1)
    return made


def test_a_player_draws_by_the_rules_whoever_asks_and_repeats_its_bits():
    ruled, free = player(["x <= y"]), player()
    drawn = ruled.draw(500, 1, "south")
    assert (drawn["x"] <= drawn["y"]).all()
    assert torch.equal(ruled.draw(500, 1, "south")["x"], drawn["x"])
    first = free.draw(500, 1, "south")
    good = first["x"] <= first["y"]
    assert torch.equal(pick(first, good)["x"], drawn["x"][: int(good.sum())])
    assert ruled.kept_by_rules.numbers["rules_kept"] == pytest.approx(0.5, abs=0.15)


def test_a_player_in_another_process_has_its_rules():
    ruled = player(["x <= y"])
    assert PlayerSpec.of(ruled).build().rules == ruled.rules
