"""Judges compare drawn values of a missing variable with observed ones (M).

Tested are the best judge, its penalty, and a model with two readings.
"""

import math
import warnings

import pytest
import torch

from coplay import Mixture, Space, Variable
from coplay.core.errors import ModelError
from coplay.core.streams import isolated_seed, stream
from coplay.models.base import OWN, Portion
from coplay.models.conditionals import Conditionals
from coplay.nets import critic as judging
from coplay.nets.bits import straight_through_bits
from coplay.nets.critic import Critic
from coplay.nets.variables import Sizes

from ..contracts.test_models import SPACES
from .test_conditionals import taken_again

BIT, CLASS = Variable(kind="binary"), Variable(kind="categorical", classes=2)
FOUR = Variable(kind="binary", shape=(4,))
READINGS = Space(
    {"class": Variable(kind="categorical", classes=4), "s": CLASS, "v": FOUR, "x": FOUR}
)


def test_the_best_judge_is_the_log_ratio_of_observed_to_drawn(monkeypatch):
    """Without penalty the best judge is the log ratio of the shares, by class.

    Shares of ones are 0.8 and 0.5 observed, 0.3 and 0.9 drawn; so the judge's inputs matter too.
    """
    monkeypatch.setattr(judging, "_PENALTY", 0.0)
    inputs = {"c": torch.arange(2).repeat_interleave(10)}
    observed = torch.tensor([1] * 8 + [0] * 2 + [1] * 5 + [0] * 5)
    drawn = torch.tensor([1] * 3 + [0] * 7 + [1] * 9 + [0] * 1)
    with isolated_seed(1):
        judge = Critic("v", BIT, {"c": CLASS}, Sizes(channels=1, hidden=16, image_latents=1))
    optimiser = torch.optim.Adam(judge.parameters(), lr=0.02)
    for _ in range(600):
        optimiser.zero_grad()
        judge.loss((observed, inputs), (drawn, inputs), stream(1)).backward()
        optimiser.step()
    logits = judge(torch.tensor([1.0, 0.0, 1.0, 0.0]), {"c": torch.tensor([0, 0, 1, 1])})
    assert logits.tolist() == pytest.approx(
        [math.log(r) for r in (8 / 3, 2 / 7, 5 / 9, 5)], abs=0.02
    )


class Linear(Critic):
    """T = w · v."""

    def forward(self, values, inputs):
        return values.float() @ torch.tensor([0.6, -0.8, 2.0])


def test_the_penalty_is_the_mean_square_of_the_gradient():
    with isolated_seed(1):
        judge = Linear(
            "v",
            Variable(kind="binary", shape=(3,)),
            {},
            Sizes(channels=1, hidden=4, image_latents=1),
        )
    nothing = torch.zeros(100_000, 3)
    loss = judge.loss((nothing, {}), (nothing, {}), stream(1))
    assert loss.item() - 2 * math.log(2) == pytest.approx((0.6**2 + 0.8**2 + 2.0**2) / 2, rel=0.02)


def test_gradients_through_bits_are_those_of_the_mean_where_the_judge_is_linear():
    logits = torch.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    weights = torch.tensor([0.6, -0.8, 2.0])
    (passed,) = torch.autograd.grad(
        (straight_through_bits(logits, stream(1)) * weights).sum(), logits
    )
    (exact,) = torch.autograd.grad((logits.sigmoid() * weights).sum(), logits)
    assert torch.equal(passed, exact)
    many = straight_through_bits(logits.detach().expand(50_000, 3), stream(1))
    assert set(many.unique().tolist()) == {0.0, 1.0}
    assert many.mean(0).tolist() == pytest.approx(logits.sigmoid().tolist(), abs=0.01)


def scenes(n, *words):
    """One of four bits is set, by class; x is that, or its negative where s = 1."""
    g = stream(1, *words)
    which, s = torch.randint(4, (n,), generator=g), torch.randint(2, (n,), generator=g)
    v = torch.nn.functional.one_hot(which, 4)
    return READINGS.samples(**{"class": which, "s": s, "v": v.byte(), "x": (v ^ s[:, None]).byte()})


def readings(matched):
    """Return how often v is completed rightly where x is its negative, and the judge's loss.

    The model begins with v = x. The shares are those before and after learning.
    """
    sees = {"class": ["v"], "v": ["x", "s"], "x": ["v", "s"], "s": ["x"]}
    settings = {
        "hidden": 32,
        "batch": 200,
        "sweeps": 2,
        "sample_sweeps": 2,
        "learning_rate": 0.02,
        "average": 0.9,
    }
    model = Conditionals(given=sees, uniform=["s"], matched=matched, **settings)
    model.setup(READINGS, 1)
    begun = scenes(2000, "begun")
    # what is certain has no gradient
    begun["v"] = begun["x"] ^ (torch.rand(2000, 4, generator=stream(5)) < 0.05)
    model.learn(Mixture((Portion("begun", begun, 1.0),)), 300, stream(2))
    test = scenes(1000, "test")
    parts = []
    for name, columns in ((OWN, ("class", "s", "x")), ("south", ("class", "v"))):
        parts.append(Portion(name, scenes(2000, name).select(*columns), 0.5))
    shares = []
    for steps in (0, 400):
        numbers = model.learn(Mixture(tuple(parts)), steps, stream(3))
        completed = model.complete(test.select("s", "x"), stream(4))["v"]
        shares.append((completed == test["v"]).all(1)[test["s"] == 1].double().mean().item())
    return *shares, numbers.get("judge(v)_loss")


@pytest.mark.filterwarnings("ignore:conditionals. Gibbs")  # v and x determine each other
def test_of_two_readings_that_confirm_themselves_the_one_that_fits_what_others_observe_wins():
    before, after, _ = readings({})
    assert before < 0.02
    assert after < 0.1, "likelihoods leave it there"
    before, after, loss = readings({"v": ["class"]})
    assert before < 0.02
    assert after > 0.95
    assert loss == pytest.approx(2 * math.log(2), abs=0.02), (
        "then nothing tells drawn from observed"
    )


def test_only_rows_are_compared_that_have_all_inputs_of_the_judge():
    space = SPACES["labelled"]
    model = Conditionals(**PERCEPTRON)
    model.setup(space, 1)
    lacking = {
        "image": torch.tensor([0, 0, 1, 1]).bool(),
        "class": torch.tensor([0, 1, 0, 1]).bool(),
    }
    observed, drawn = model._compared("image", lacking)
    assert (observed.tolist(), drawn.tolist()) == (
        [True, False, False, False],
        [False, False, True, False],
    )
    assert model._compared("class", lacking) is None, "not matched"
    assert model._compared("image", {**lacking, "image": torch.zeros(4).bool()}) is None, (
        "nothing to compare"
    )


PERCEPTRON = {
    **Conditionals.tiny().model_dump(),
    "networks": {"image": "perceptron"},
    "matched": {"image": ["class"]},
}


def test_a_judge_without_rows_that_have_its_inputs_warns():
    model = Conditionals(hidden=4, matched={"v": ["class"]}, given={"v": ["x", "class"]})
    model.setup(READINGS, 1)
    four = torch.zeros(8, 4, dtype=torch.uint8)
    pictures = Portion(
        OWN, READINGS.samples(**{"class": torch.zeros(8, dtype=torch.int64), "x": four}), 0.5
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.learn(Mixture((pictures,)), 1, stream(1))  # no other player has sent samples yet
    with pytest.warns(
        UserWarning,
        match="nothing is matched. The judge of 'v' compares rows that have class beside it",
    ):
        model.learn(
            Mixture((pictures, Portion("other", READINGS.samples(v=four), 0.5))), 1, stream(1)
        )


def test_a_killed_turn_with_a_judge_is_taken_again_exactly(tmp_path):
    assert taken_again(tmp_path, PERCEPTRON)["judge(image)_loss"] > 0


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"matched": {"ward": []}}, ["matched", "binary", "got 'ward'", "image: binary 5×6"]),
        ({"matched": {"class": []}}, ["matched", "binary", "got 'class'"]),
        ({"matched": {"image": []}}, ["matched", "perceptron or a unet", "got 'image'"]),
        (
            {**PERCEPTRON, "matched": {"image": ["ward"]}},
            ["judge of 'image' cannot be told 'ward'", "image: binary"],
        ),
        (
            {**PERCEPTRON, "matched": {"image": ["image"]}},
            ["judge of 'image' cannot be told 'image'"],
        ),
    ],
)
def test_judges_that_do_not_fit_are_refused_before_anything_is_learned(settings, expected):
    with pytest.raises(ModelError) as refusal:
        Conditionals(**settings).setup(SPACES["labelled"], 1)
    for words in expected:
        assert words in str(refusal.value)
