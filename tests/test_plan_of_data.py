"""What ``coplay plan`` says that takes rows: what privacy costs, and what nobody has together."""

import itertools
import json

import numpy as np
import pytest
import torch

from coplay import Config
from coplay.cli.main import main
from coplay.core.space import Space, Variable
from coplay.run import open_pairs as pairs
from coplay.run.planning import plan_of
from coplay.run.preparing import prepare
from coplay.run.privacy_cost import DELTA, privacy_costs
from coplay.theory.equilibrium import influence_matrix
from coplay.theory.noise import gaussian_noise

TWO = """\
[variables]
age = { kind = "real" }
dose = { kind = "real" }
lab = { kind = "real" }
sex = { kind = "categorical", categories = ["f", "m"] }
smoker = { kind = "categorical", categories = ["no", "yes"] }
ill = { kind = "categorical", categories = ["no", "some", "very"] }
[players.north.data]
source = { name = "table", file = "north.csv" }
test = { name = "table", file = "north.csv" }
lacks = ["lab", "ill"]
[players.south.data]
source = { name = "table", file = "south.csv" }
test = { name = "table", file = "south.csv" }
lacks = ["dose", "smoker"]
[model]
name = "conditionals"
[game]
name = "sample_exchange"
rounds = 5
alpha = [[0.6, 0.4], [0.3, 0.7]]
"""
NORTH = ("age", "dose", "sex", "smoker")
SOUTH = ("age", "lab", "sex", "ill")


def patients(n=200):
    rng = np.random.default_rng(0)
    male = rng.random(n) < 0.4
    age = rng.normal(50, 10, n)
    return {
        "age": age.round(4),
        "dose": (age / 10 + rng.normal(0, 0.5, n)).round(4),
        "lab": (age / 5 + rng.normal(0, 1, n)).round(4),
        "sex": np.where(male, "m", "f"),
        "smoker": np.where(rng.random(n) < np.where(male, 0.7, 0.1), "yes", "no"),
        "ill": np.where(male, rng.choice(["some", "very"], n), "no"),
    }


def write(path, columns, rows):
    lines = [",".join(map(str, row)) for row in zip(*(rows[name] for name in columns), strict=True)]
    path.write_text("\n".join([",".join(columns), *lines]) + "\n")


@pytest.fixture
def config(tmp_path):
    rows = patients()
    write(tmp_path / "north.csv", NORTH, rows)
    write(tmp_path / "south.csv", SOUTH, {name: values[:150] for name, values in rows.items()})
    path = tmp_path / "two.toml"
    path.write_text(TWO)
    return path


def run(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


class TestPrivacy:
    def test_it_is_noise_of_both_sites_mixed_by_m(self, config):
        parsed = Config.from_file(config)
        plan = plan_of(parsed, prepare(parsed))
        alpha = torch.tensor([[0.6, 0.4], [0.3, 0.7]], dtype=torch.float64)
        mixed = influence_matrix(alpha).numpy()
        # a row that is replaced moves two shares by one over the number of rows
        noise = np.sqrt(2) / np.array([200, 150])
        for cost in plan.privacy:
            scale = 1.959964 * gaussian_noise(cost.epsilon, 1e-5)
            assert cost.once == pytest.approx(scale * np.sqrt(mixed**2 @ noise**2), rel=1e-6)
        w = np.array([[0, 0.4], [0.3, 0]])
        added = np.diag((np.array([0.6, 0.7]) * noise) ** 2)
        covariance = np.zeros((2, 2))
        for _ in range(200):
            covariance = w @ covariance @ w.T + added
        # five rounds spend as much as one with noise that is √5 smaller
        expected = 1.959964 * gaussian_noise(1.0, 1e-5) * np.sqrt(5 * covariance.diagonal())
        assert plan.privacy[2].epsilon == 1
        assert plan.privacy[2].anew == pytest.approx(expected, rel=1e-6)
        assert plan.privacy[2].rounds == 5

    def test_less_privacy_costs_less_and_twice_the_rows_halve_it(self):
        alpha = torch.tensor([[0.6, 0.4], [0.3, 0.7]])
        costs = privacy_costs(alpha, [100, 300], 7)
        for dear, cheap in itertools.pairwise(costs):
            assert dear.epsilon < cheap.epsilon
            assert all(np.array(dear.once) > cheap.once)
        assert costs[0].delta == DELTA
        more = privacy_costs(alpha, [200, 600], 7)
        assert np.array(costs[1].once) / more[1].once == pytest.approx([2, 2])

    def test_the_line_names_budgets_errors_and_who_has_the_largest(self, config, capsys):
        text = run(capsys, "plan", config)
        line = next(line for line in text.splitlines() if line.startswith("privacy:"))
        costs = json.loads(run(capsys, "plan", config, "--json"))["privacy"]
        assert [cost["epsilon"] for cost in costs] == [0.1, 0.3, 1.0, 3.0, 10.0]
        worst = max(costs[2]["once"])
        assert f"±{worst:.2g} at ε = 1," in line
        assert "drawn anew in 5 rounds" in line
        assert "(95 %, 'south')" in line, "150 rows in place of 200, and most of them its own"
        assert " -> coplay adds none: a site that must promise ε" in line

    def test_a_budget_that_leaves_nothing_says_so(self, config, tmp_path, capsys):
        rows = {name: values[:30] for name, values in patients().items()}
        write(tmp_path / "north.csv", NORTH, rows)
        write(tmp_path / "south.csv", SOUTH, rows)
        assert "±1 (all) at ε = 0.1" in run(capsys, "plan", config)

    def test_sites_that_tell_no_number_of_rows(self, capsys):
        text = run(capsys, "plan", "configs/hospitals/federation.toml")
        assert "privacy:" not in text
        assert "the error that privacy costs: 'north', 'south', 'east' tell no number of" in text


class TestPairs:
    def test_numbers_have_an_interval_by_what_both_are_seen_with(self, config):
        parsed = Config.from_file(config)
        by_names = {pair.variables: pair for pair in plan_of(parsed, prepare(parsed)).open}
        pair = by_names["dose", "lab"]
        rows = patients()
        male = rows["sex"] == "m"
        age = np.concatenate([rows["age"], rows["age"][:150]])
        both = np.concatenate([male, male[:150]])
        middle = np.array([np.corrcoef(age, both)[0, 1]])
        among = np.array([[1, middle[0]], [middle[0], 1]])
        one = np.array([np.corrcoef(rows["dose"], each)[0, 1] for each in (rows["age"], male)])
        other = [np.corrcoef(rows["lab"][:150], x[:150])[0, 1] for x in (rows["age"], male)]
        solved = np.linalg.solve(among, np.stack([one, other], 1))
        centre = one @ solved[:, 1]
        width = np.sqrt((1 - one @ solved[:, 0]) * (1 - np.array(other) @ solved[:, 1]))
        assert pair.of == "correlation"
        assert list(pair.given) == ["age", "sex"]
        assert (pair.low, pair.high) == pytest.approx((centre - width, centre + width), abs=1e-5)
        truth = np.corrcoef(rows["dose"], rows["lab"])[0, 1]
        assert pair.low < truth < pair.high

    def test_categories_have_frechets_bounds_within_those_of_a_third(self, config):
        parsed = Config.from_file(config)
        by_names = {pair.variables: pair for pair in plan_of(parsed, prepare(parsed)).open}
        pair = by_names["ill", "smoker"]
        assert pair.of == "probability"
        assert list(pair.given) == ["sex"]
        rows = patients()
        sex = np.concatenate([rows["sex"], rows["sex"][:150]])
        low = high = 0.0
        for value in "fm":
            ill = (rows["ill"][:150] == pair.categories[0])[rows["sex"][:150] == value].mean()
            smoker = (rows["smoker"] == pair.categories[1])[rows["sex"] == value].mean()
            share = (sex == value).mean()
            low += share * max(0, ill + smoker - 1)
            high += share * min(ill, smoker)
        assert (pair.low, pair.high) == pytest.approx((low, high))
        # no other two categories are left more open
        assert pair.high - pair.low == pytest.approx(self.widest(rows, sex))

    @staticmethod
    def widest(rows, sex):
        widths = []
        for one, other in itertools.product(["no", "some", "very"], ["no", "yes"]):
            width = 0.0
            for value in "fm":
                p = (rows["ill"][:150] == one)[rows["sex"][:150] == value].mean()
                q = (rows["smoker"] == other)[rows["sex"] == value].mean()
                width += (sex == value).mean() * (min(p, q) - max(0, p + q - 1))
            widths.append(width)
        return max(widths)

    def test_a_number_and_three_categories_have_no_bound(self, config, capsys):
        text = run(capsys, "plan", config)
        assert "'dose' with 'ill'; how these go together is an assumption of the models" in text
        assert "nothing bounds it here (no bound is known for a number and more than two" in text
        assert "nobody observes together: 'dose' with 'lab'; their correlation may lie any" in text
        assert "nobody observes together: 'ill' with 'smoker'; the probability of 'ill' =" in text
        values = json.loads(run(capsys, "plan", config, "--json"))
        assert len(values["open"]) == len(values["apart"]) == 4

    def test_missing_values_count_for_nothing(self, config, tmp_path):
        rows = patients()
        parsed = Config.from_file(config)
        before = plan_of(parsed, prepare(parsed)).open
        more = {name: np.concatenate([values, values[:1]]) for name, values in rows.items()}
        more["dose"] = np.concatenate([rows["dose"].astype(str), [""]])
        more["smoker"] = np.concatenate([rows["smoker"], [""]])
        write(tmp_path / "north.csv", NORTH, more)
        text = TWO.replace('dose = { kind = "real"', 'dose = { kind = "real", optional = true')
        text = text.replace('"no", "yes"]', '"no", "yes"], optional = true')
        config.write_text(text)
        parsed = Config.from_file(config)
        after = plan_of(parsed, prepare(parsed)).open
        for one, other in zip(before, after, strict=True):
            assert one.variables == other.variables
            assert one.of == other.of
            if one.of:
                assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=0.01)

    def test_sites_with_files_of_their_own_are_not_read(self, tmp_path, capsys):
        rows = patients()
        write(tmp_path / "north.csv", NORTH, rows)
        write(tmp_path / "south.csv", SOUTH, rows)
        config = TWO
        for name in ("north", "south"):
            head, _, rest = config.partition(f"[players.{name}.data]\n")
            source, _, lacks, rest = rest.split("\n", 3)
            site = f'name = "{name}"\nfederation = "federation"\n[data]\n{source}\n{lacks}\n'
            (tmp_path / f"{name}.toml").write_text(site)
            config = f'{head}[players.{name}]\nsite = "{name}.toml"\n{rest}'
        path = tmp_path / "federation.toml"
        path.write_text(config)
        text = run(capsys, "plan", path)
        assert "nobody observes together: 'dose' with 'lab', " in text
        assert "nothing bounds it here (not all rows are here to be read)" in text
        assert "may lie anywhere" not in text

    def rows(self, **sites):
        space = Space({name: Variable(kind="real") for name in "abc"})
        result = {}
        for site, columns in sites.items():
            here = {}
            for name, values in columns.items():
                tensor = torch.tensor(values, dtype=torch.float64)
                here[name] = pairs.Column(tensor, tensor.isfinite())
            result[site] = pairs.Rows(space, here)
        return result

    def test_without_anything_in_common_all_is_open(self):
        rows = self.rows(one={"a": [1, 2, 3]}, other={"b": [3, 1, 2]})
        (pair,) = pairs.open_pairs([("a", "b")], rows, 2)
        assert (pair.low, pair.high, pair.given) == (-1, 1, [])

    def test_what_determines_one_leaves_nothing_open(self):
        """A third variable of correlation 1 goes with the other as the first does."""
        rows = self.rows(
            one={"a": [1.0, 2, 3], "c": [1.0, 2, 3]}, other={"b": [3.0, 1, 2], "c": [1.0, 2, 3]}
        )
        (pair,) = pairs.open_pairs([("a", "b")], rows, 2)
        assert (pair.low, pair.high) == pytest.approx((-0.5, -0.5), abs=1e-4)
        assert pair.given == ["c"]

    def test_two_columns_of_one_site_that_no_row_has_both_of_are_open(self, config, tmp_path):
        rows = patients()
        half = np.arange(200) % 2 == 0
        texts = {name: values.astype(str) for name, values in rows.items()}
        texts["dose"] = np.where(half, texts["dose"], "")
        texts["age"] = np.where(half, "", texts["age"])
        write(tmp_path / "north.csv", NORTH, texts)
        south = {name: values[:150] for name, values in rows.items()}
        write(tmp_path / "south.csv", SOUTH, south)
        text = TWO
        for name in ("dose", "age"):
            before = f'{name} = {{ kind = "real"'
            text = text.replace(before, f"{before}, optional = true")
        config.write_text(text)
        parsed = Config.from_file(config)
        named = [pair.variables for pair in plan_of(parsed, prepare(parsed)).open]
        assert {"age", "dose"} in map(set, named)
        assert {"age", "sex"} not in map(set, named)

    def test_rows_of_some_players_are_not_enough(self):
        rows = self.rows(one={"a": [1.0, 2, 3], "c": [1.0, 3, 2]}, other={"b": [3.0, 1, 2]})
        (pair,) = pairs.open_pairs([("a", "b")], rows, 3)
        assert (pair.of, pair.low) == ("", None)
        assert pair.why == "not all rows are here to be read"

    def test_a_column_that_does_not_vary_narrows_nothing(self):
        rows = self.rows(
            one={"a": [1.0, 2, 3], "c": [5.0, 5, 5]}, other={"b": [3.0, 1, 2], "c": [5.0, 5, 5]}
        )
        (pair,) = pairs.open_pairs([("a", "b")], rows, 2)
        assert (pair.low, pair.high) == (-1, 1)

    def test_many_pairs_are_bounded_up_to_a_number(self, monkeypatch):
        monkeypatch.setattr(pairs, "MOST_PAIRS", 1)
        rows = self.rows(one={"a": [1, 2, 3]}, other={"b": [3, 1, 2]}, third={"c": [1, 2, 3]})
        bounded = pairs.open_pairs([("a", "b"), ("a", "c"), ("b", "c")], rows, 3)
        assert [bool(pair.of) for pair in bounded] == [True, False, False]
        assert bounded[1].why == "bounds are worked out for 1 pairs at most"
