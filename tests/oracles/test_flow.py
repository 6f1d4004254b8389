"""A normalizing flow against integrals, Bayes, and weights that are known."""

import math
import subprocess
import sys

import pytest
import torch

from coplay import Space, Variable
from coplay.core.errors import ModelError
from coplay.core.space import pick
from coplay.core.streams import stream
from coplay.models.base import OWN, Mixture, Portion
from coplay.models.flow import Flow

BIT = Variable(kind="binary")
THREE = Variable(kind="categorical", classes=3)
REAL = Variable(kind="real")
SPACE = Space({"class": THREE, "x": REAL, "bit": BIT, "y": REAL})


def mixture(*sources, weights=None):
    weights = weights or [1 / len(sources)] * len(sources)
    parts = zip([OWN, "a", "b"], sources, weights, strict=False)
    return Mixture(tuple(Portion(*part) for part in parts))


def rows(n=3000, seed=1, unit=1.0):
    """Of each class and bit another Gaussian, whose correlation is 0.8."""
    g = stream(seed, "rows")
    label = torch.randint(3, (n,), generator=g)
    bit = torch.randint(2, (n,), generator=g).to(torch.uint8)
    z = torch.randn(n, 2, generator=g, dtype=torch.float64)
    x = 3.0 * label + 0.5 * z[:, 0]
    y = 4.0 * bit + 0.8 * z[:, 0] + 0.6 * z[:, 1]
    return SPACE.samples(**{"class": label, "x": unit * x, "bit": bit, "y": y})


def learned(space, *sources, weights=None, steps=300, **settings):
    model = Flow(**{"hidden": 32, "transforms": 2, "learning_rate": 5e-3, **settings})
    model.setup(space, 1)
    model.learn(mixture(*sources, weights=weights), steps, stream(1))
    return model


@pytest.fixture(scope="module")
def taught():
    return learned(SPACE, rows(), steps=600)


def test_log_p_integrates_to_one_over_all_categories(taught):
    n = 300
    x = torch.linspace(-12, 18, n, dtype=torch.float64)
    y = torch.linspace(-12, 16, n, dtype=torch.float64)
    grid = torch.cartesian_prod(x, y)
    cell = ((x[1] - x[0]) * (y[1] - y[0])).item()
    total = 0.0
    for label in range(3):
        for bit in range(2):
            points = SPACE.samples(
                **{
                    "class": torch.full((len(grid),), label),
                    "x": grid[:, 0],
                    "bit": torch.full((len(grid),), bit, dtype=torch.uint8),
                    "y": grid[:, 1],
                }
            )
            total += taught.log_prob(points).exp().sum().item() * cell
    assert total == pytest.approx(1, abs=2e-3)


def test_log_p_comes_near_the_truth_and_is_in_own_units(taught):
    test = rows(seed=2)
    z = torch.stack([(test["x"] - 3 * test["class"]) / 0.5, test["y"] - 4.0 * test["bit"]], 1)
    truth = torch.distributions.MultivariateNormal(
        torch.zeros(2).double(), torch.tensor([[1, 0.8], [0.8, 1]]).double()
    )
    expected = truth.log_prob(z) - math.log(0.5) - math.log(6)
    assert taught.log_prob(test).mean().item() == pytest.approx(expected.mean().item(), abs=0.1)
    thousand = learned(SPACE, rows(unit=1000.0), steps=600)
    gap = taught.log_prob(test).mean() - thousand.log_prob(rows(seed=2, unit=1000.0)).mean()
    assert gap.item() == pytest.approx(math.log(1000), abs=0.01)


def test_draws_have_the_moments_of_each_class(taught):
    n = 6000
    given = SPACE.samples(**{"class": torch.full((n,), 2), "bit": torch.ones(n, dtype=torch.uint8)})
    drawn = taught.complete(given, stream(2))
    assert torch.equal(drawn["class"], given["class"])
    assert torch.equal(drawn["bit"], given["bit"])
    assert drawn["x"].mean().item() == pytest.approx(6, abs=0.1)
    assert drawn["x"].std().item() == pytest.approx(0.5, abs=0.05)
    assert drawn["y"].mean().item() == pytest.approx(4, abs=0.15)
    correlation = torch.corrcoef(torch.stack([drawn["x"], drawn["y"]]))[0, 1].item()
    assert correlation == pytest.approx(0.8, abs=0.05)


def test_classes_are_told_and_completed_by_bayes(taught):
    test = rows(seed=3, n=400)
    p = taught.classify(test)
    by_hand = []
    for label in range(3):
        guess = test.clone()
        guess["class"] = torch.full((len(test),), label)
        by_hand.append(taught.log_prob(guess))
    expected = torch.stack(by_hand, 1).softmax(1).float()
    assert torch.allclose(p, expected, atol=1e-6)
    assert (p.argmax(1) == test["class"]).double().mean() > 0.98
    completed = taught.complete(test.exclude("class"), stream(2))
    assert (completed["class"] == test["class"]).double().mean() > 0.95
    assert torch.equal(completed["x"], test["x"])
    # without real columns it is p(class | bit), by the masses alone
    masses = torch.zeros(2, 3)
    learned_from = rows()
    for bit in range(2):
        labels = learned_from["class"][learned_from["bit"] == bit]
        masses[bit] = labels.bincount(minlength=3) / len(labels)
    p = taught.classify(test.select("bit"))
    assert torch.allclose(p, masses[test["bit"].long()], atol=1e-6)


def test_sources_count_by_their_weights_and_not_by_their_rows():
    """The masses of classes are exact, and so are draws of reals to what was learned."""
    few = pick(rows(), rows()["class"] == 0)
    few = pick(few, slice(0, 40))
    many = pick(rows(), rows()["class"] == 1)
    few["x"] = few["x"] - 20
    space = SPACE.only(["class", "x"])
    model = learned(space, space.restrict(few), space.restrict(many), weights=[0.7, 0.3])
    assert model._combinations.rows.tolist() == [[0], [1]]
    assert model._combinations.masses.tolist() == pytest.approx([0.7, 0.3], abs=1e-12)
    drawn = model.sample(10_000, stream(2))
    assert (drawn["class"] == 1).double().mean().item() == pytest.approx(0.3, abs=0.015)
    unseen = space.samples(**{"class": torch.tensor([2]), "x": torch.zeros(1)})
    assert model.log_prob(unseen).item() == -math.inf
    # without the class, the flow itself has the two weights
    alone = space.only(["x"])
    model = learned(alone, alone.restrict(few), alone.restrict(many), weights=[0.7, 0.3], steps=600)
    assert (model.sample(10_000, stream(2))["x"] > -8).double().mean().item() == pytest.approx(
        0.3, abs=0.04
    )


def test_some_real_columns_given_are_refused(taught):
    with pytest.raises(ModelError, match=r"all real columns or none.*gaussian_copula"):
        taught.complete(rows(n=3).exclude("y"), stream(1))
    one = rows(n=3)
    one["y"][1] = math.nan
    with pytest.raises(ModelError, match="all real columns or none"):
        taught.complete(one, stream(1))


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"a": BIT}, r"needs real variables.*'a' \(binary scalar\)"),
        ({"x": REAL, "n": Variable(kind="count")}, r"'n' \(count scalar\).* for counts"),
        ({"scan": Variable(kind="real", shape=(8, 8))}, r"'scan' .* is an image"),
        ({"x": Variable(kind="real", shape=(300,))}, r"at most 200 of them; x have 300"),
    ],
)
def test_a_space_that_it_cannot_live_on_is_refused(variables, message):
    with pytest.raises(ModelError, match=message):
        Flow().setup(Space(variables), 1)


def test_without_zuko_the_error_says_what_to_install_and_others_are_listed():
    """In a process of its own, in which zuko cannot be imported."""
    code = """
import sys
sys.modules["zuko"] = None
from coplay import Space, Variable, find, names
from coplay.core.errors import ModelError
assert "flow" in names("model")
model = find("model", "flow")()
try:
    model.setup(Space({"x": Variable(kind="real")}), 1)
except ModelError as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("the model 'flow' needs the package zuko (")
    assert ran.stdout.endswith("); pip install 'coplay[flows]'\n")


def test_zuko_is_imported_only_when_a_flow_is_built():
    code = "import sys; from coplay import names; names('model'); print('zuko' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
