"""The rectified flow against closed forms: velocities of Gaussians, shares, and its networks."""

import math

import numpy as np
import pytest
import torch
from tensordict import TensorDict
from torch import nn

from coplay import Space, Variable
from coplay.core.errors import ModelError
from coplay.core.streams import isolated_seed, stream
from coplay.models.base import OWN, Mixture, Portion
from coplay.models.rectified_flow import RectifiedFlow
from coplay.nets.clusters import Clusters
from coplay.nets.conditions import Conditions
from coplay.nets.flow_unet import FlowUNet, _gathered, _spread

IMAGE = Variable(kind="real", shape=(4, 4), low=-100, high=100)
PLAIN = Space({"image": IMAGE})
LABELLED = Space({"image": IMAGE, "class": Variable(kind="categorical", classes=3)})
UNLIMITED = Space({"image": Variable(kind="real", shape=(4, 4))})


class OfGaussian(nn.Module):
    """The velocity E[x − ε | x_t] of data from N(mean, deviation²), pixel by pixel."""

    def __init__(self, mean, deviation):
        super().__init__()
        self.mean, self.deviation = mean, deviation

    def forward(self, x, t, levels):
        t = t[:, None, None, None]
        variance = t**2 * self.deviation**2 + (1 - t) ** 2
        slope = (t * self.deviation**2 - (1 - t)) / variance
        return self.mean + slope * (x - t * self.mean)


class Still(nn.Module):
    """The velocity 0; it notes the conditions that it was given."""

    levels = None

    def forward(self, x, t, levels):
        self.levels = levels
        return 0 * x


def ready(space, **settings):
    model = RectifiedFlow.tiny().model_copy(update=settings)
    model.setup(space, 1)
    return model


def part(name, weight, space, **values):
    return Portion(name, space.samples(**values), weight)


def images(n, level=0.0, noise=0.1, seed=1):
    return level + noise * torch.randn(n, 4, 4, generator=stream(seed, "images"))


@pytest.mark.parametrize("solver", ["adams", "euler", "heun"])
def test_the_flow_of_a_gaussian_ends_in_it(solver):
    """Steps along the exact velocity keep Gaussians; the error falls with the solver's order."""
    errors = []
    for steps in (20, 40, 80):
        model = ready(UNLIMITED, solver=solver, steps=steps)
        model._net.flow = OfGaussian(1.5, 0.5)
        x = model._solved(torch.zeros(400, 0, dtype=torch.int64), stream(3))
        # the exact flow map is affine: x = mean + deviation · noise
        noise = torch.randn(400, 1, 4, 4, generator=stream(3)).reshape(400, 4, 4)
        errors.append((x - (1.5 + 0.5 * noise)).abs().max().item())
    order = {"adams": 4.0, "euler": 2.0, "heun": 4.0}[solver]
    assert errors[0] / errors[1] == pytest.approx(order, rel=0.25)
    assert errors[1] / errors[2] == pytest.approx(order, rel=0.15)


@pytest.mark.parametrize(("solver", "last"), [("adams", 5 / 6), ("euler", 5 / 6), ("heun", 1.0)])
def test_six_steps_are_six_evaluations(solver, last):
    model = ready(UNLIMITED, solver=solver, steps=6)
    times = []

    class Counted(OfGaussian):
        def forward(self, x, t, levels):
            times.append(t[0].item())
            return super().forward(x, t, levels)

    model._net.flow = Counted(1.5, 0.5)
    model._solved(torch.zeros(2, 0, dtype=torch.int64), stream(3))
    assert len(times) == 6
    assert times[0] == 0.0
    assert max(times) == pytest.approx(last)


def test_the_loss_at_the_exact_velocity_is_the_variance_that_is_left():
    """Var(x − ε | x_t) = s² / (t² s² + (1 − t)²), averaged over logit-normal times."""
    mean, s = 0.7, 0.6
    model = ready(UNLIMITED)
    model._net.flow = OfGaussian(mean, s)
    x = mean + s * torch.randn(40_000, 1, 4, 4, generator=stream(5))
    loss = model._error(x, torch.zeros(40_000, 0, dtype=torch.int64), stream(6)).mean().item()
    z = np.linspace(-8, 8, 20_001)
    t = 1 / (1 + np.exp(-z))
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    left = s**2 / (t**2 * s**2 + (1 - t) ** 2)
    assert loss == pytest.approx(np.trapezoid(left * density, z), rel=0.01)


def test_a_learned_flow_draws_what_it_learned():
    model = ready(PLAIN, clusters=0, learning_rate=5e-3, channels=8, average=0.9)
    rows = 20 + 30 * torch.randn(500, 1, 1, generator=stream(1)).expand(-1, 4, 4)
    rows = rows.clamp(-100, 100)
    mixture = Mixture((part(OWN, 1.0, PLAIN, image=rows.contiguous()),))
    model.learn(mixture, 2000, stream(2))
    drawn = model.sample(2000, stream(3))["image"]
    assert drawn.mean().item() == pytest.approx(20, abs=4)
    # straight steps, six of them, draw a ninth less
    assert drawn.mean((1, 2)).std().item() == pytest.approx(
        rows.mean((1, 2)).std().item(), rel=0.06
    )
    assert (drawn - drawn.mean((1, 2), keepdim=True)).std().item() < 6, "its pixels are equal"


def test_shares_of_classes_are_the_sources_weights():
    model = ready(LABELLED)
    one = part(OWN, 0.3, LABELLED, image=images(7), **{"class": torch.zeros(7, dtype=torch.int64)})
    twos = torch.tensor([2, 2, 2, 1])
    other = part("peer", 0.7, LABELLED, image=images(4), **{"class": twos})
    model.learn(Mixture((one, other)), 1, stream(1))
    expected = [0.3, 0.7 / 4, 0.7 * 3 / 4]
    assert model._conditions.shares[:, 0].tolist() == pytest.approx(expected)
    drawn = model.sample(20_000, stream(2))["class"].bincount(minlength=3) / 20_000
    errors = [math.sqrt(p * (1 - p) / 20_000) for p in expected]
    for share, p, error in zip(drawn.tolist(), expected, errors, strict=True):
        assert share == pytest.approx(p, abs=4 * error)


def test_images_without_a_class_count_under_the_classes_that_the_classifier_draws():
    """Dark images are of class 0 and bright ones of class 2; a peer sends 3 in 4 bright ones."""
    model = ready(LABELLED, learning_rate=1e-2, average=0.5)
    dark, bright = images(60, -50), images(60, 50, seed=2)
    classes = torch.tensor([0] * 60 + [2] * 60)
    own = part(OWN, 0.5, LABELLED, image=torch.cat([dark, bright]), **{"class": classes})
    unlabelled = torch.cat([images(20, -50, seed=3), images(60, 50, seed=4)])
    peer = part("peer", 0.5, PLAIN, image=unlabelled)
    # what has no class comes first, and is counted when the classes of the rest are known
    model.learn(Mixture((peer, own)), 150, stream(1))
    assert model._conditions.shares[:, 0].tolist() == pytest.approx([0.375, 0, 0.625], abs=0.01)
    told_apart = model.classify(PLAIN.samples(image=torch.cat([dark[:5], bright[:5]]))).argmax(1)
    assert told_apart.tolist() == [0] * 5 + [2] * 5
    given = PLAIN.samples(image=bright[:5])
    completed = model.complete(given, stream(2))
    assert torch.equal(completed["image"], given["image"])
    assert (completed["class"] == 2).all()
    drawn = model.complete(LABELLED.samples(**{"class": torch.tensor([0, 2, 0])}), stream(3))
    assert (drawn["image"].mean((1, 2)) > 0).tolist() == [False, True, False]


def test_classes_without_images_count_and_move_no_weight_of_the_flow():
    model = ready(LABELLED)
    before = {k: v.clone() for k, v in model.state_dict().items() if k.startswith("net/")}
    alone = Space({"class": LABELLED["class"]})
    mixture = Mixture((part("peer", 1.0, alone, **{"class": torch.tensor([1, 1, 2, 1])}),))
    assert model.learn(mixture, 3, stream(1)) == {"flops": 0.0}
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert model._conditions.shares[:, 0].tolist() == [0, 0.75, 0.25]


def test_sources_without_images_have_their_share_of_the_loss():
    """At velocity 0 and images of 0, the loss of an image is E ε² = 1; of no image it is 0."""
    model = ready(LABELLED, batch=2000)
    model._net.flow = Still()
    none = torch.zeros(8, dtype=torch.int64)
    own = part(OWN, 0.25, LABELLED, image=torch.zeros(8, 4, 4), **{"class": none})
    alone = Space({"class": LABELLED["class"]})
    mixture = Mixture((own, part("peer", 0.75, alone, **{"class": none})))
    losses = dict(model.losses(mixture, stream(1)))
    assert losses["flow"].item() == pytest.approx(0.25, rel=0.05)
    assert losses["classifier"].item() == pytest.approx(0.25 * math.log(3), rel=0.6)


def test_one_in_ten_images_is_learned_from_without_its_categories():
    model = ready(LABELLED, batch=5000)
    model._net.flow = Still()
    ones = torch.ones(8, dtype=torch.int64)
    mixture = Mixture((part(OWN, 1.0, LABELLED, image=images(8), **{"class": ones}),))
    next(model.losses(mixture, stream(1)))
    counts = model._net.flow.levels[:, 0].bincount(minlength=4) / 5000
    assert counts.tolist() == pytest.approx([0, 0.9, 0, 0.1], abs=0.02)


def test_classes_that_were_learned_stay_where_images_alone_come_later():
    model = ready(LABELLED)
    twos = torch.full((8,), 2)
    model.learn(
        Mixture((part(OWN, 1.0, LABELLED, image=images(8), **{"class": twos}),)), 1, stream(1)
    )
    model.learn(Mixture((part("peer", 1.0, PLAIN, image=images(8)),)), 1, stream(2))
    assert (model.sample(50, stream(3))["class"] == 2).all()


def test_a_source_weighs_in_the_clusters_whatever_its_number_of_images():
    model = ready(PLAIN, clusters=1)
    dark, bright = images(60, -50), images(240, 50, seed=2)
    mixture = Mixture((part(OWN, 0.5, PLAIN, image=dark), part("b", 0.5, PLAIN, image=bright)))
    model.learn(mixture, 1, stream(1))
    assert model._clusters.centroids.mean().item() == pytest.approx(0, abs=0.01)


def test_a_category_that_is_known_stays_where_another_one_is_completed():
    """The classifier prefers combinations with class 0; what is given agrees with none of them."""
    of = Conditions({"class": 3, "sex": 2})
    logits = torch.tensor([[50.0, 50, 0, 0, 0, 9]]).repeat(40, 1)
    known = torch.tensor([[2, 2]]).repeat(40, 1)
    assert of.completed(known, logits, stream(1)).tolist() == [[2, 1]] * 40


def test_a_class_is_told_by_its_place_among_the_categories():
    """p(class | image, sex) sums over the combinations that agree; the class is the second one."""
    space = Space({"image": IMAGE, "sex": Variable(kind="categorical", classes=2)})
    space = Space({**{n: space[n] for n in space}, "class": LABELLED["class"]})
    model = ready(space, average=0.0)
    for p in model._net.classifier.parameters():
        nn.init.zeros_(p)
    joint = torch.tensor([0.1, 0.2, 0.3, 0.1, 0.1, 0.2])  # of sex and class, sex by sex
    model._net.classifier[-1].bias.data = joint.log()
    told = model.classify(space.samples(image=images(1)))
    assert told[0].tolist() == pytest.approx([0.2, 0.3, 0.5])
    given = space.samples(image=images(1), sex=torch.tensor([1]))
    assert model.classify(given)[0].tolist() == pytest.approx([0.25, 0.25, 0.5])


def test_before_any_class_has_come_images_are_learned_and_classes_drawn_evenly():
    model = ready(LABELLED)
    model.learn(Mixture((part(OWN, 1.0, PLAIN, image=images(30)),)), 2, stream(1))
    counts = model.sample(3000, stream(2))["class"].bincount(minlength=3)
    assert counts.min().item() > 850


def test_given_a_source_only_what_was_learned_of_it_is_drawn():
    space = Space(
        {**{n: LABELLED[n] for n in LABELLED}, "source": Variable(kind="categorical", classes=2)}
    )
    model = ready(space)
    parts = []
    for source, (classes, weight) in enumerate([([0, 0, 1, 0], 0.4), ([2, 1], 0.6)]):
        labels = torch.tensor(classes)
        column = torch.full((len(classes),), source)
        values = {"class": labels, "source": column}
        parts.append(part(f"p{source}", weight, space, image=images(len(classes)), **values))
    model.learn(Mixture(tuple(parts)), 2, stream(1))
    own = TensorDict({"source": torch.zeros(4000, dtype=torch.int64)}, [4000])
    drawn = model.complete(own, stream(2))
    assert (drawn["source"] == 0).all()
    shares = drawn["class"].bincount(minlength=3) / 4000
    assert shares.tolist() == pytest.approx([0.75, 0.25, 0], abs=0.03)
    assert shares[2] == 0


def test_clusters_take_the_place_of_a_class_and_are_drawn_in_their_frequencies():
    """Two kinds of image at 0.3 and 0.7; a flow without clusters would draw some in between."""
    model = ready(PLAIN, learning_rate=1e-2, channels=8, average=0.9)
    dark, bright = images(100, -50), images(300, 50, seed=2)
    mixture = Mixture((part(OWN, 0.3, PLAIN, image=dark), part("b", 0.7, PLAIN, image=bright)))
    model.learn(mixture, 300, stream(1))
    shares = sorted(model._conditions.shares[0].tolist())
    assert shares == pytest.approx([0, 0.3, 0.7])
    drawn = model.sample(2000, stream(2))
    assert list(drawn.keys()) == ["image"], "clusters are never sent"
    means = drawn["image"].mean((1, 2))
    assert (means > 0).double().mean().item() == pytest.approx(0.7, abs=0.04)
    assert ((means.abs() - 50).abs() < 15).double().mean().item() > 0.98


def test_clusters_keep_their_numbers_when_they_are_fitted_anew():
    clusters = Clusters(3)
    rows = torch.tensor([[0.0], [10.0], [20.0]]).repeat(60, 1)
    clusters.fit(rows, torch.ones(180))
    before = clusters.of(rows[:3]).tolist()
    assert sorted(before) == [0, 1, 2]
    clusters.fit(rows.flip(0) + 0.5, torch.ones(180))
    assert clusters.of(rows[:3]).tolist() == before


def test_few_rows_make_few_clusters():
    """With a cluster a row, a flow would repeat the rows."""
    clusters = Clusters(40)
    clusters.fit(torch.randn(120, 3, generator=stream(1)), torch.ones(120))
    assert len(clusters.centroids) == 2


def test_clusters_weigh_rows():
    clusters = Clusters(1)
    clusters.fit(torch.tensor([[0.0], [1.0]]), torch.tensor([1.0, 3.0]))
    assert clusters.centroids.item() == pytest.approx(0.75)


def test_clusters_are_fitted_where_sources_change_and_not_otherwise():
    model = ready(PLAIN)
    own = Mixture((part(OWN, 1.0, PLAIN, image=images(200)),))
    model.learn(own, 1, stream(1))
    first = model._clusters.centroids
    model.learn(own, 1, stream(2))
    assert model._clusters.centroids is first
    both = (part(OWN, 0.5, PLAIN, image=images(200)), part("b", 0.5, PLAIN, image=images(200, 60)))
    model.learn(Mixture(both), 1, stream(3))
    assert model._clusters.centroids is not first


def test_a_model_taken_up_again_keeps_its_clusters_as_it_would_have():
    """Weights such as 0.3 are not whole in float32: what was saved must compare as equal."""

    def mixture(seed):
        parts = (part(OWN, 0.3, PLAIN, image=images(150, -50, seed=seed)),)
        return Mixture((*parts, part("b", 0.7, PLAIN, image=images(150, 50, seed=seed + 1))))

    model = ready(PLAIN)
    model.learn(mixture(1), 1, stream(1))
    again = ready(PLAIN)
    again.load_state_dict(model.state_dict())
    for each in (model, again):
        each.learn(mixture(5), 2, stream(2))
    state = again.state_dict()
    for name, values in model.state_dict().items():
        assert torch.equal(values, state[name]), name


def scrambled(*settings):
    """A U-Net whose last layers are not 0, as they are at the start."""
    with isolated_seed(1):
        net = FlowUNet(*settings)
    for i, p in enumerate(net.parameters()):
        nn.init.normal_(p, std=0.2, generator=stream(9, "weights", i))
    return net


@pytest.mark.parametrize("shape", [(1, 5, 7), (3, 9, 8), (1, 28, 28), (1, 1, 40), (2, 33, 3)])
def test_the_network_keeps_shapes_and_treats_each_sample_by_itself(shape):
    net = scrambled(shape, (3,), 8)
    x = torch.randn(4, *shape, generator=stream(1))
    t = torch.rand(4, generator=stream(2))
    c = torch.tensor([[0], [1], [2], [3]])
    both = net(x, t, c)
    assert both.shape == x.shape
    alone = torch.cat([net(x[i : i + 1], t[i : i + 1], c[i : i + 1]) for i in range(4)])
    assert torch.allclose(both, alone, atol=1e-4, rtol=1e-4)
    moved = net(x, t, c.roll(1))
    assert not torch.allclose(both, moved, atol=1e-3), "a condition has an effect"


def test_gradients_per_sample_sum_to_that_of_the_batch():
    """No layer mixes samples, so differential privacy can clip each sample's gradient."""
    net = scrambled((1, 6, 6), (2,), 4)
    weights = {name: p.detach() for name, p in net.named_parameters()}
    x = torch.randn(3, 1, 6, 6, generator=stream(1))
    t = torch.rand(3, generator=stream(2))
    c = torch.tensor([[0], [1], [2]])

    def loss(p, x, t, c):
        return torch.func.functional_call(net, p, (x[None], t[None], c[None])).square().sum()

    each = torch.func.vmap(torch.func.grad(loss), (None, 0, 0, 0))(weights, x, t, c)
    net(x, t, c).square().sum().backward()
    for name, p in net.named_parameters():
        assert torch.allclose(each[name].sum(0), p.grad, rtol=1e-3, atol=1e-3 * p.grad.abs().max())


def test_patches_are_gathered_and_spread_again():
    x = torch.arange(2 * 3 * 4 * 6.0).reshape(2, 3, 4, 6)
    gathered = _gathered(x, (2, 3))
    assert gathered.shape == (2, 18, 2, 2)
    assert gathered[0, :6, 0, 1].tolist() == x[0, 0, :2, 3:].flatten().tolist()
    assert torch.equal(_spread(gathered, (2, 3)), x)


def test_pixels_are_centred_and_bits_are_minus_one_and_one():
    bits = Space({"image": Variable(kind="binary", shape=(2, 2))})
    model = ready(bits)
    given = bits.samples(image=torch.tensor([[[0, 1], [1, 0]]], dtype=torch.uint8))
    x = model._pixels(given)
    assert x.flatten().tolist() == [-1, 1, 1, -1]
    assert torch.equal(model._values_of(x, bits["image"]), given["image"])
    grey = Space({"image": Variable(kind="real", shape=(2, 2), low=0, high=1)})
    model = ready(grey)
    given = grey.samples(image=torch.tensor([[[0.0, 1.0], [0.25, 0.75]]]))
    x = model._pixels(given)
    assert x.flatten().tolist() == [-1, 1, -0.5, 0.5]
    assert torch.equal(model._values_of(x, grey["image"]), given["image"])


def test_a_signal_has_one_axis():
    space = Space({"signal": Variable(kind="real", shape=(50,), low=-1, high=1)})
    model = ready(space)
    wave = torch.sin(torch.linspace(0, 6, 50)).repeat(20, 1)
    model.learn(Mixture((part(OWN, 1.0, space, signal=wave),)), 2, stream(1))
    space.check(model.sample(3, stream(2)), "flow", complete=True, rows=3)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"a": IMAGE, "b": IMAGE}, "'a' (real 4×4 in [-1, 1]), 'b' (real 4×4 in [-1, 1])"),
        ({"age": Variable(kind="real")}, "one image or signal"),
        ({"photons": Variable(kind="count", shape=(4, 4))}, "real values or bits"),
        ({"class": Variable(kind="categorical", classes=3)}, "one image or signal"),
    ],
)
def test_what_it_cannot_live_on_is_refused_by_name(variables, words):
    with pytest.raises(ModelError) as error:
        ready(Space(variables))
    assert words in str(error.value)


def test_too_many_combinations_of_categories_are_refused():
    with pytest.raises(ModelError, match=r"'a' \(80 levels\), 'b' \(90 levels\) have 7,200"):
        Conditions({"a": 80, "b": 90})


def test_a_class_is_told_only_where_there_is_one():
    with pytest.raises(ModelError, match="can only tell a category called 'class'"):
        ready(PLAIN).classify(PLAIN.samples(image=images(2)))


class Own(nn.Module):
    """A network of the user's own."""

    def __init__(self, shape, conditions):
        super().__init__()
        self.by_class = nn.Embedding(conditions[0] + 1, shape[0])

    def forward(self, x, t, levels):
        return x * t[:, None, None, None] + self.by_class(levels[:, 0])[:, :, None, None]


class Wrong(Own):
    """One that gives another shape."""

    def forward(self, x, t, levels):
        return super().forward(x, t, levels)[:, :, :2]


class Forgetful(Own):
    """One with dropout, of a rate that a network may also set to 0."""

    rate = 0.5

    def __init__(self, shape, conditions):
        super().__init__(shape, conditions)
        self.drop = nn.Dropout(self.rate)


class Idle(Forgetful):
    """One whose layer of dropout draws nothing, as in networks of other libraries."""

    rate = 0.0


MADE = []


def once(shape, conditions):
    """A factory that gives one network to all players."""
    if not MADE:
        MADE.append(Own(shape, conditions))
    return MADE[0]


def test_a_network_that_does_not_repeat_or_is_shared_is_refused():
    with pytest.raises(ModelError, match=r"Forgetful has dropout \(drop\), which draws from torch"):
        ready(LABELLED, network=f"{__name__}:Forgetful")
    with pytest.raises(ModelError, match="once is not new each time it is made"):
        ready(LABELLED, network=f"{__name__}:once")
    assert isinstance(ready(LABELLED, network=f"{__name__}:Idle")._net.flow, Idle)


def test_a_network_of_ones_own_takes_the_place_of_the_u_net():
    model = ready(LABELLED, network=f"{__name__}:Own")
    assert next(type(m).__name__ for m in model._net.children()) == "Own"
    labels = torch.tensor([0, 1, 2, 1])
    own = part(OWN, 1.0, LABELLED, image=images(4), **{"class": labels})
    numbers = model.learn(Mixture((own,)), 3, stream(1))
    assert numbers["flow_loss"] > 0
    with pytest.raises(ModelError, match=r"gives \(1, 2, 4\) for an image of shape \(1, 4, 4\)"):
        ready(LABELLED, network=f"{__name__}:Wrong")
    with pytest.raises(ModelError, match="cannot be built"):
        ready(LABELLED, network="math:nothing_there")
