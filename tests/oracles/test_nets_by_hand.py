"""What networks are made of, layer by layer against formulas, on images that are not square."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from coplay import Space, Variable
from coplay.core.errors import ModelError
from coplay.core.space import Samples
from coplay.core.streams import isolated_seed, stream
from coplay.nets import parameters
from coplay.nets.bits import bound, draw_latents, log_bits
from coplay.nets.canvas import ImageDecoder, UNet
from coplay.nets.chains import Chains, correlation, nothing_known
from coplay.nets.conditional import Conditional, Vae, build_conditional, chain_start
from coplay.nets.convolutions import Convolutions, towards_image
from coplay.nets.critic import Comparison, Critic
from coplay.nets.gan_builder import PairBuilder
from coplay.nets.gan_halves import Halves
from coplay.nets.gan_losses import GanLosses
from coplay.nets.gan_pairs import Conditioned, cnn_discriminator, mlp_discriminator, mlp_generator
from coplay.nets.gibbs import Gibbs
from coplay.nets.laws import Bits, Classes, Gaussian
from coplay.nets.pixels import PixelRange
from coplay.nets.training import adam_state_like, follow_mean, frozen
from coplay.nets.variables import (
    InputEncoder,
    Sizes,
    as_channels,
    as_vectors,
    centre_and_half_width,
    goes_through_convolutions,
)
from tests.oracles import small_gans

SIZES = Sizes(channels=2, hidden=5, image_latents=3)
BIT = Variable(kind="binary")
LIMITED = Variable(kind="real", shape=(2,), low=-1.0, high=5.0)


@pytest.fixture(autouse=True)
def _start():
    """Layers start from torch's global generator, which is given back."""
    with isolated_seed(1):
        yield


def normal(*shape, seed=1):
    return torch.randn(*shape, generator=stream(seed))


# ------------------------------------------------------------------------------------------- losses


@pytest.mark.parametrize("class_term", [True, False])
@pytest.mark.parametrize("saturating", [True, False])
def test_losses_of_a_gan_term_by_term(saturating, class_term):
    logits = normal(6, 4)
    real_classes, fake_classes = torch.tensor([0, 2, 1]), torch.tensor([2, 2, 0])
    losses = GanLosses(saturating=saturating, class_term=class_term)
    expected = 0.0
    for row, (real, c) in enumerate(zip([1, 1, 1, 0, 0, 0], [0, 2, 1, 2, 2, 0], strict=True)):
        p = torch.sigmoid(logits[row, 0])
        expected += (-torch.log(p) if real else -torch.log(1 - p)) / 3
        if class_term:
            expected += -torch.log(logits[row, 1:].softmax(0)[c]) / 3
    found = losses.discriminator(logits, real_classes, fake_classes)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    p = torch.sigmoid(logits[:3, 0])
    each = torch.log(1 - p) if saturating else -torch.log(p)
    if class_term:
        each = each - logits[:3, 1:].log_softmax(1)[torch.arange(3), fake_classes]
    assert torch.allclose(losses.generator(logits[:3], fake_classes), each, atol=1e-5)
    stacked = torch.stack([logits, logits.flip(0)])
    several = losses.discriminator(
        stacked,
        torch.stack([real_classes, fake_classes.flip(0)]),
        torch.stack([fake_classes, real_classes.flip(0)]),
    )
    assert several.shape == (2,)
    assert several[0].item() == pytest.approx(expected.item(), rel=1e-5)


def test_pixels_go_there_and_back():
    pixels = PixelRange(-3.0, 1.0)
    images = torch.tensor([-3.0, -1.0, 0.0, 1.0])
    assert pixels.centred(images).tolist() == [-1.0, 0.0, 0.5, 1.0]
    assert pixels.restored(torch.tensor([-1.0, 0.0, 0.5, 1.0])).tolist() == [-3.0, -1.0, 0.0, 1.0]


# ------------------------------------------------------------------------------------ bits and laws


def test_chained_bits_are_drawn_with_the_probability_of_those_before():
    logits, chain = torch.tensor([0.4, -0.6, 0.2]), normal(3, 3, seed=2) * 2
    drawn = draw_latents(logits.expand(40_000, 3), chain, stream(1))
    for code in itertools.product((0.0, 1.0), repeat=3):
        z = torch.tensor([code])
        p = log_bits(logits + z @ chain.tril(-1).T, z).exp().item()
        share = (drawn == z).all(1).double().mean().item()
        assert share == pytest.approx(p, abs=0.012)


def test_the_bound_is_the_logarithm_of_a_mean():
    weights = torch.tensor([[0.2, 1.0], [0.5, 4.0], [2.0, 1.0]], dtype=torch.float64)
    assert torch.allclose(bound(weights.log()).exp(), weights.mean(0))
    assert bound(weights[:1].log()).exp().tolist() == pytest.approx([0.2, 1.0])


def test_a_limited_number_has_its_density_in_its_own_units():
    law = Gaussian(LIMITED)
    with torch.no_grad():
        law.slow_deviation.copy_(torch.tensor([-0.5, 0.3]) / law.speed)
    outputs = torch.tensor([[0.2, -0.4], [0.0, 0.9]])
    values = torch.tensor([[1.0, 4.0], [-0.5, 2.0]])
    mean = 2.0 + 3.0 * outputs
    deviation = 3.0 * torch.tensor([-0.5, 0.3]).exp()
    expected = torch.distributions.Normal(mean, deviation).log_prob(values).sum(1)
    assert torch.allclose(law.log_prob(outputs, values), expected, atol=1e-5)
    assert torch.allclose(law.likeliest(outputs), mean)
    wide = law.draw(torch.tensor([[9.0, -9.0]]), stream(1))
    assert wide.tolist() == [[5.0, -1.0]]
    drawn = law.draw(torch.zeros(20_000, 2), stream(1))
    free = 2.0 + deviation * normal(20_000, 2)
    assert torch.allclose(drawn, free.clamp(-1.0, 5.0), atol=1e-5)


def test_pixels_share_a_deviation_and_other_numbers_have_their_own():
    assert Gaussian(Variable(kind="real", shape=(4, 5))).log_deviation.shape == ()
    assert Gaussian(Variable(kind="real", shape=(3, 5))).log_deviation.shape == (15,)
    assert Gaussian(Variable(kind="real", shape=(7,))).log_deviation.shape == (7,)


def test_classes_of_several_numbers_are_independent():
    law = Classes(Variable(kind="categorical", shape=(2,), classes=3))
    logits = normal(4, 6)
    values = torch.tensor([[0, 2], [1, 1], [2, 0], [0, 0]])
    expected = sum(
        logits[:, 3 * k : 3 * k + 3].log_softmax(1)[torch.arange(4), values[:, k]] for k in (0, 1)
    )
    assert torch.allclose(law.log_prob(logits, values), expected, atol=1e-6)
    assert torch.equal(law.likeliest(logits), logits.reshape(4, 2, 3).argmax(2))
    drawn = law.draw(logits[:1].expand(20_000, 6), stream(1))
    for k in (0, 1):
        shares = drawn[:, k].bincount(minlength=3) / 20_000
        expected = logits[0, 3 * k : 3 * k + 3].softmax(0)
        assert torch.allclose(shares, expected, atol=0.015)


def test_the_likelier_bit_is_one_from_a_half_on():
    law = Bits(Variable(kind="binary", shape=(2, 2)))
    assert law.likeliest(torch.tensor([[0.1, -0.1, 3.0, -3.0]])).tolist() == [[[1, 0], [1, 0]]]


# ---------------------------------------------------------------------------------------- variables


def test_numbers_as_networks_take_them():
    assert centre_and_half_width(LIMITED) == (2.0, 3.0)
    assert centre_and_half_width(Variable(kind="real", low=0.0)) == (0.0, 1.0)
    assert as_vectors(LIMITED, torch.tensor([[-1.0, 5.0], [2.0, 3.5]])).tolist() == [
        [-1, 1],
        [0, 0.5],
    ]
    pair = Variable(kind="categorical", shape=(2,), classes=3)
    assert as_vectors(pair, torch.tensor([[2, 0]])).tolist() == [[0, 0, 1, 1, 0, 0]]


@pytest.mark.parametrize(("shape", "through"), [((4, 4), True), ((3, 9), False), ((9, 3), False)])
def test_an_image_is_as_large_as_its_smaller_side(shape, through):
    assert goes_through_convolutions(Variable(kind="binary", shape=shape)) == through
    assert not goes_through_convolutions(Variable(kind="count", shape=shape))


def test_inputs_stand_side_by_side_images_of_one_size_together():
    mask, image = Variable(kind="binary", shape=(5, 4)), Variable(kind="real", shape=(3, 5, 4))
    given = {"m": mask, "c": Variable(kind="categorical", classes=3), "x": image, "r": LIMITED}
    encoder = InputEncoder(given, SIZES)
    values = {
        "m": (normal(2, 5, 4) > 0).byte(),
        "c": torch.tensor([2, 0]),
        "x": normal(2, 3, 5, 4, seed=2),
        "r": torch.tensor([[-1.0, 5.0], [2.0, 2.0]]),
    }
    found = encoder(values)
    channels = torch.cat([values["m"][:, None].float(), values["x"]], 1)
    assert torch.equal(as_channels({"m": mask, "x": image}, values), channels)
    plain = torch.tensor([[0, 0, 1, -1, 1], [1, 0, 0, 0, 0.0]])
    assert encoder.size == 5 + 5
    assert torch.equal(found[:, :5], plain)
    assert torch.allclose(found[:, 5:], encoder.convolutions[0](channels))


# ------------------------------------------------------------------------------ images from vectors


def test_a_u_net_is_its_levels_with_bridges_and_zeros_below_and_to_the_right():
    image = Variable(kind="real", shape=(5, 7))
    net = UNet((5, 7), {"x": image}, vector=3, sizes=SIZES, outputs=2)
    vector, x = normal(2, 3), normal(2, 5, 7, seed=2)
    padded = torch.zeros(2, 1, 8, 8)
    padded[:, 0, :5, :7] = x
    full = F.silu(net.falling[0](padded))
    half = F.silu(net.falling[1](full))
    quarter = F.silu(net.falling[2](half))
    assert [level.shape[-1] for level in (full, half, quarter)] == [8, 4, 2]
    y = F.silu(net.deep(F.silu(net.lowest(vector) + quarter)))
    y = F.silu(net.to_half(y))
    y = F.silu(net.at_half(torch.cat([y, half], 1)))
    y = F.silu(net.to_full(y))
    y = F.silu(net.at_full(torch.cat([y, full], 1)))
    expected = net.out(y)[:, :, :5, :7].flatten(1)
    assert torch.allclose(net(vector, {"x": x}), expected, atol=1e-6)


def test_a_decoder_begins_deaf_to_given_images_and_to_them_alone():
    target, mask = Variable(kind="real", shape=(4, 6)), Variable(kind="binary", shape=(4, 6))
    decoder = ImageDecoder(target, {"m": mask}, vector=3, sizes=SIZES)
    weight = decoder.upon.weight
    assert not weight[:, 2:].any()
    assert weight[:, :2].any(dim=(0, 2, 3)).all()
    vector = normal(2, 3)
    black, white = (decoder(vector, {"m": torch.full((2, 4, 6), k)}) for k in (0, 1))
    assert torch.equal(black, white)
    with torch.no_grad():
        weight[:, 2:] = 1.0
    assert not torch.equal(black, decoder(vector, {"m": torch.ones(2, 4, 6)}))


def test_strided_convolutions_layer_by_layer():
    net = Convolutions((5, 7), channels=2, hidden=3, kind="strided")
    x = normal(2, 1, 5, 7)
    y = F.silu(F.conv2d(x, net[0].weight, net[0].bias, stride=2, padding=2))
    y = F.silu(F.conv2d(y, net[2].weight, net[2].bias, stride=2, padding=2))
    assert y.shape == (2, 4, 2, 2)
    expected = F.silu(F.linear(y.flatten(1), net[5].weight, net[5].bias))
    assert torch.allclose(net(x), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [("reference", (1, 17, 22)), ("reference", (3, 20, 17)), ("strided", (1, 5, 9))],
)
def test_the_way_back_to_an_image_has_its_sides(kind, shape):
    there = Convolutions(shape, channels=1, hidden=4, kind=kind)
    back = towards_image(shape, given=2, channels=1, hidden=4, kind=kind)
    assert there(normal(2, *shape)).shape == (2, 4)
    drawn = back(normal(2, 2))
    if kind == "reference":
        assert drawn.shape == (2, *shape)
    assert drawn.shape[-2] >= shape[-2]
    assert drawn.shape[-1] >= shape[-1]


# ------------------------------------------------------------------------------------------ critics


def test_a_critic_descends_its_formula_and_the_penalty_is_that_of_differences():
    critic = Critic("v", Variable(kind="binary", shape=(3,)), {"t": BIT}, SIZES)
    with torch.no_grad():
        critic.says[0].weight *= 6
        critic.says[2].weight *= 10  # steep, so that the penalty counts
    observed = torch.tensor([[1.0, 0, 1], [0, 0, 1]])
    drawn = torch.tensor([[0.0, 1, 1], [1, 1, 1], [0, 0, 0]])
    of_observed, of_drawn = {"t": torch.tensor([1, 0])}, {"t": torch.tensor([0, 1, 1])}
    found = critic.loss((observed, of_observed), (drawn, of_drawn), stream(4))
    noise = torch.randn(2, 3, generator=stream(4))
    score, beside = critic(observed, of_observed), critic(observed + 0.05 * noise, of_observed)
    expected = (
        -torch.sigmoid(score).log().mean()
        - (1 - torch.sigmoid(critic(drawn, of_drawn))).log().mean()
        + 0.5 * ((beside - score).square() / 0.05**2).mean()
    )
    assert ((beside - score) / 0.05).square().mean() > 1
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)
    other = critic.generator_loss(drawn, of_drawn).item()
    logits = critic(drawn, of_drawn).double()
    assert other == pytest.approx(-torch.sigmoid(logits).log().mean().item(), rel=1e-4)


def test_the_critics_step_moves_nothing_that_draws():
    critic = Critic("v", Variable(kind="binary", shape=(3,)), {"t": BIT}, SIZES)
    drawn = torch.zeros(2, 3, requires_grad=True)
    of = {"t": torch.tensor([1, 0])}
    comparison = Comparison(critic, torch.ones(2, 3), of, drawn, of)
    comparison.critic_loss(stream(1)).backward()
    assert drawn.grad is None
    comparison.generator_loss().backward()
    assert drawn.grad.any()


# ----------------------------------------------------------------------------------- Gibbs sampling


class Told(Conditional):
    """Draws what it is told, one value after the other, and notes what it was given."""

    def __init__(self, *values):
        super().__init__()
        self.values = list(values)
        self.given = []

    def log_prob(self, values, given, generator):
        return torch.zeros(len(values))

    def draw(self, given, generator):
        self.given.append({name: column.clone() for name, column in given.items()})
        n = len(next(iter(given.values())))
        return torch.full((n,), self.values.pop(0), dtype=torch.uint8)


def gibbs(a, b):
    return Gibbs({"a": BIT, "b": BIT}, {"a": ["b"], "b": ["a"]}, [a, b])


def test_the_variable_drawn_last_of_a_row_is_only_one():
    a, b = Told(*[1] * 5), Told(*[0] * 5)
    net = gibbs(a, b)
    values = {"a": torch.tensor([0, 0, 1, 1]).byte(), "b": torch.tensor([1, 1, 1, 1]).byte()}
    missing = {
        "a": torch.tensor([True, True, False, False]),
        "b": torch.tensor([True, False, True, False]),
    }
    last = net.sweep(values, missing, 5, stream(1))
    assert (len(a.given), len(b.given)) == (5, 5)
    assert not (last["a"] & last["b"]).any()
    assert (last["a"] | last["b"]).tolist() == [True, True, True, False]
    assert (last["a"][1].item(), last["b"][2].item()) == (True, True)
    assert values["a"].tolist() == [1, 1, 1, 1]
    assert values["b"].tolist() == [0, 1, 0, 1]


def test_one_more_draw_leaves_what_it_goes_on_from():
    net = gibbs(Told(1), Told(1))
    values = {"a": torch.zeros(3).byte(), "b": torch.zeros(3).byte()}
    rows = torch.tensor([True, False, True])
    changed = net.one_more_draw(["b"], values, rows, stream(1))
    assert changed["b"].tolist() == [1, 0, 1]
    assert not values["b"].any()
    assert not changed["a"].any()


def test_chains_start_from_observed_values_in_random_order():
    net = gibbs(Told(), Told())
    a = Samples({"a": torch.tensor([0, 1]).byte().repeat(500)}, batch_size=[1000])
    b = Samples({"b": torch.zeros(1000).byte()}, batch_size=[1000])
    values, missing = net.begin([a, b], stream(1))
    assert missing["a"].tolist() == [False] * 1000 + [True] * 1000
    starts = values["a"][1000:]
    assert starts.float().mean().item() == pytest.approx(0.5, abs=0.06)
    assert not torch.equal(starts, a["a"])
    together = (starts[1:] == starts[:-1]).float().mean().item()
    assert together == pytest.approx(0.5, abs=0.06), "in order, neighbours would always differ"


def test_correlations_are_those_of_components_around_their_own_means():
    v = Variable(kind="real", shape=(2,))
    one = normal(50, 2) + torch.tensor([0.0, 100.0])
    two = 0.5 * one + normal(50, 2, seed=2) - torch.tensor([0.0, 300.0])
    a, b = one.double() - one.double().mean(0), two.double() - two.double().mean(0)
    expected = (a * b).sum() / (a.norm() * b.norm())
    assert correlation(v, one, two) == pytest.approx(expected.item(), rel=1e-6)
    letters = Variable(kind="categorical", classes=3)
    c = torch.tensor([0, 1, 2, 2])
    renamed = torch.tensor([2, 0, 1, 1])  # as numbers they would nearly be opposite
    x, y = F.one_hot(c, 3).double(), F.one_hot(renamed, 3).double()
    x, y = x - x.mean(0), y - y.mean(0)
    expected = (x * y).sum() / (x.norm() * y.norm())
    assert correlation(letters, c, renamed) == pytest.approx(expected.item())


class Steps(nn.Module):
    """Stands for a net: counts sweeps; a forgets at once, b never moves."""

    def __init__(self):
        super().__init__()
        self.variables = {"a": Variable(kind="real"), "b": Variable(kind="real")}
        self.sweeps = []

    def begin(self, parts, generator):
        n = len(parts[0])
        values = {
            "a": torch.randn(n, generator=generator),
            "b": torch.randn(n, generator=generator),
        }
        return values, {name: torch.ones(n, dtype=torch.bool) for name in values}

    def sweep(self, values, missing, sweeps, generator):
        self.sweeps.append(sweeps)
        values["a"] = torch.randn(len(values["a"]), generator=generator)


def test_the_slowest_variable_is_what_is_told_of_a_chain():
    net = Steps()
    chains = Chains(net, Space(net.variables), {})
    assert chains.autocorrelation(200, 10, stream(1)) == pytest.approx(1.0)
    assert net.sweeps == [5, 5]
    assert len(nothing_known(7)) == 7


def test_class_probabilities_are_the_running_mean_with_factor_nine_tenths():
    """Sweeps that give 1, 0, 0 weigh 0.1 · 0.81, 0.1 · 0.9 and 0.1, divided by their sum."""
    label, space = Variable(kind="categorical", classes=2), {"x": BIT}
    variables = {"class": label, **space}
    classifier = build_conditional("class", variables, ["x"], None, SIZES)
    net = Gibbs(variables, {"class": ["x"], "x": ["class"]}, [classifier, Told(1, 0, 0)])
    with torch.no_grad():
        on, off = (classifier.probabilities({"x": torch.tensor([k])})[0, 0] for k in (1, 0))
        chains = Chains(net, Space(variables), {})
        found = chains.class_probabilities("class", nothing_known(1), 3, stream(1))
    weights = torch.tensor([0.081, 0.09, 0.1])
    expected = (weights * torch.stack([on, off, off])).sum() / weights.sum()
    assert found[0, 0].item() == pytest.approx(expected.item(), abs=1e-6)
    assert abs(on - off) > 1e-3
    assert found.sum().item() == pytest.approx(1.0)


def test_chains_begin_over_the_whole_range():
    generator = stream(1)
    three = chain_start(Variable(kind="categorical", classes=3), 600, generator)
    assert three.bincount(minlength=3).min() > 150
    assert chain_start(BIT, 600, generator).float().mean().item() == pytest.approx(0.5, abs=0.1)
    limited = chain_start(LIMITED, 600, generator)
    assert limited.shape == (600, 2)
    assert limited.min().item() == pytest.approx(-1.0, abs=0.1)
    assert limited.max().item() == pytest.approx(5.0, abs=0.1)
    assert limited.mean().item() == pytest.approx(2.0, abs=0.2)
    free = chain_start(Variable(kind="real"), 2000, generator)
    assert free.std().item() == pytest.approx(1.0, abs=0.1)


def test_the_lower_bound_is_the_reconstruction_less_the_divergence_from_the_prior():
    image, c = Variable(kind="real", shape=(4, 5)), Variable(kind="categorical", classes=3)
    vae = Vae("x", image, {"c": c}, SIZES, "sample")
    x, given = normal(6, 4, 5), {"c": torch.arange(6) % 3}
    with torch.no_grad():
        vae.encoder[2].bias += torch.tensor([1.0, -1, 0.5, 0.7, -0.9, 9.0])
        found = vae.objective(x, given, stream(3))
        inputs = F.one_hot(given["c"], 3).float()
        mean, log_s = vae.encoder(vae.encoder_seen({**given, "x": x})).chunk(2, 1)
        prior_mean, prior_log_s = vae.prior(inputs).chunk(2, 1)
        assert (log_s[:, 2] > 2).all(), "one deviation is to be cut off"
        log_s, prior_log_s = log_s.clamp(-4, 2), prior_log_s.clamp(-4, 2)
        u = mean + log_s.exp() * torch.randn(6, 3, generator=stream(3))
        pixels = vae.law.log_prob(vae.decoder(torch.cat([u, inputs], 1), given), x)
        ratio = (2 * (log_s - prior_log_s)).exp()
        apart = (mean - prior_mean).square() / (2 * prior_log_s).exp()
        divergence = 0.5 * (ratio + apart - 1) - (log_s - prior_log_s)
    assert torch.allclose(found, pixels - divergence.sum(1), rtol=1e-4, atol=1e-3)


# -------------------------------------------------------------------------------- parts of training


def test_the_running_mean_begins_as_a_mean_and_ends_at_its_decay():
    net = nn.Linear(1, 1, bias=False)
    mean, expected = [torch.zeros(1, 1)], 0.0
    for step in range(1, 8):
        nn.init.constant_(net.weight, float(step))
        follow_mean(mean, net, 0.3, step)
        keep = min(0.3, step / (step + 10))
        expected = keep * expected + (1 - keep) * step
        assert mean[0].item() == pytest.approx(expected, rel=1e-5)


def test_what_is_frozen_is_as_it_was_afterwards():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    net[0].bias.requires_grad_(False)
    with frozen(net):
        assert not any(p.requires_grad for p in net.parameters())
        net(torch.tensor([[3.0, 1.0], [5.0, -2.0]]))
        assert net[1].running_mean.any()
    assert not net[1].running_mean.any()
    assert net[1].num_batches_tracked == 0
    assert [p.requires_grad for p in net.parameters()] == [True, False, True, True]


def test_restored_moments_are_copies():
    p = nn.Parameter(torch.zeros(2, 3))
    values = {
        "exp_avg": torch.ones(2, 3),
        "exp_avg_sq": torch.ones(2, 3),
        "step": torch.tensor(4.0),
    }
    state = adam_state_like(p, values)
    for tensor in values.values():
        tensor.fill_(9.0)
    assert state["step"].item() == 4.0
    assert state["exp_avg"].unique().tolist() == [1.0]


def test_averages_are_weighted_and_whole_numbers_rounded():
    parts = [
        parameters.export({"w": torch.tensor([a, 10.0]), "n": torch.tensor(n)})
        for a, n in ((1.0, 3), (2.0, 4), (6.0, 8))
    ]
    weights = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
    found = parameters.average_of(parts, weights)
    assert found["w"][0].tolist() == pytest.approx([0.5 + 0.4 + 1.8, 10.0])
    assert found["n"].tolist() == [5]  # 4.7
    assert found["n"].dtype == torch.int64


@pytest.mark.parametrize(
    "wrong",
    [
        {"w": torch.tensor([1.0, math.nan])},
        {"w": torch.tensor([1.0, 2.0], dtype=torch.float64)},
        {"w": torch.tensor([1.0])},
        {"other": torch.tensor([1.0, 2.0])},
    ],
)
def test_what_does_not_fit_changes_nothing(wrong):
    own = {"v": torch.zeros(1), "w": torch.zeros(2)}
    with pytest.raises(ModelError, match="from the south"):
        parameters.load({"v": torch.ones(1), **wrong}, own, "the south")
    assert not own["v"].any()
    assert not own["w"].any()


def test_numbered_tensors_are_copies_in_order():
    state = {f"mean/{i:03d}": torch.tensor(float(i)) for i in (2, 0, 1)}
    found = parameters.numbered("mean/", state, torch.device("cpu"))
    assert [tensor.item() for tensor in found] == [0.0, 1.0, 2.0]
    state["mean/001"].fill_(7.0)
    assert found[1].item() == 1.0


# ---------------------------------------------------------------------------------- halves of a GAN


def halves(seed=1, average=0.9, networks=small_gans.NORMED):
    builder = PairBuilder(network="mlp", latent=3, classes=2, shape=(4, 4), **networks)
    return Halves(
        builder, seed, torch.device("cpu"), learning_rate=0.02, momentum=0.3, average=average
    )


def stepped(one):
    """Take a step of both halves, each gradient of ones."""
    for half in ("generator", "discriminator"):
        for p in one[half].parameters():
            p.grad = torch.ones_like(p)
        one.optimiser(half).step()
    return one


def test_adam_has_the_settings_of_the_model():
    for half in ("generator", "discriminator"):
        (group,) = halves().optimiser(half).param_groups
        assert (group["lr"], group["betas"]) == (0.02, (0.3, 0.999))


def same_ends(latent_or_classes, *rest):
    """Either half as the same two layers, so that equal seeds would start them alike."""
    shape = rest[-1]
    if len(rest) == 1:
        return nn.Sequential(nn.Flatten(-2), nn.Linear(16, 1 + latent_or_classes))
    return Conditioned(
        latent_or_classes, 0, nn.Sequential(nn.Linear(16, 1), nn.Unflatten(1, shape))
    )


def test_the_halves_do_not_start_from_the_same_numbers():
    net = f"{__name__}:same_ends"
    builder = PairBuilder(
        network="mlp", generator=net, discriminator=net, latent=16, classes=0, shape=(1, 1)
    )
    one = Halves(builder, 1, torch.device("cpu"), learning_rate=1.0, momentum=0.0, average=0.0)
    left = next(iter(one["generator"].parameters()))
    right = next(iter(one["discriminator"].parameters()))
    assert left.shape == right.shape
    assert not torch.equal(left, right)


@pytest.mark.parametrize("moments", ["keep", "travel", "reset"])
def test_what_becomes_of_adams_state_when_parameters_come(moments):
    one, other = stepped(halves(1)), stepped(stepped(halves(2)))
    part = other.export(["generator", "discriminator"], buffers=True, moments=True)
    one.load(part, "the other", moments)
    steps = {"keep": 1.0, "travel": 2.0}
    for half in ("generator", "discriminator"):
        for p, q in zip(one[half].parameters(), other[half].parameters(), strict=True):
            assert torch.equal(p, q)
            state = one.optimiser(half).state
            if moments == "reset":
                assert p not in state
            else:
                assert state[p]["step"].item() == steps[moments]


def test_samples_are_drawn_from_what_came_and_the_generator_learns_on():
    one, other = stepped(halves(1)), stepped(halves(2))
    one.load(other.export(["generator"], buffers=True, moments=False), "the other", "keep")
    with one.averaged():
        assert not one["generator"].training
        for p, q in zip(
            one["generator"].parameters(), other["generator"].parameters(), strict=True
        ):
            assert torch.equal(p, q)
    assert one["generator"].training


def test_sizes_count_every_byte_of_buffers():
    builder = PairBuilder(network="mlp", latent=3, classes=2, shape=(4, 4), **small_gans.NORMED)
    size = builder.size("discriminator")
    # a mean and a variance of 8 features in 4 bytes each, and a counter of 8 bytes
    assert size.buffer_bytes == 8 * 4 * 2 + 8
    assert size.parameters == (16 * 8 + 8) + 2 * 8 + (8 * 3 + 3)
    assert size.tensors == 6


def test_perceptrons_of_a_pair_layer_by_layer():
    net = mlp_discriminator(3, (2, 4))
    x = normal(5, 2, 4)
    y = F.leaky_relu(F.linear(x.flatten(1), net[1].weight, net[1].bias), 0.2)
    y = F.leaky_relu(F.linear(y, net[3].weight, net[3].bias), 0.2)
    assert torch.allclose(net(x), F.linear(y, net[5].weight, net[5].bias), atol=1e-5)
    drawn = mlp_generator(3, 50, (2, 4), "scale")
    weight = drawn.by_class.weight
    assert weight.mean().item() == pytest.approx(1.0, abs=0.2)
    assert weight.std().item() == pytest.approx(0.5, abs=0.15)


def test_a_class_scales_the_noise_and_may_shift_it():
    """z ↦ z ⊙ e_c, or z ⊙ e_c + s_c: only the second has a mean, s_c, that depends on the class."""
    with isolated_seed(4):
        scaled = mlp_generator(3, 50, (2, 4), "scale")
    with isolated_seed(4):
        shifted = mlp_generator(3, 50, (2, 4), "shift")
    noise, classes = normal(6, 3), torch.tensor([0, 3, 3, 49, 1, 0])
    factor = scaled.by_class.weight[classes]
    assert torch.equal(scaled(noise, classes), scaled.body(noise * factor))
    assert torch.equal(shifted.by_class.weight[classes], factor)
    both = noise * factor + shifted.shift.weight[classes]
    assert torch.equal(shifted(noise, classes), shifted.body(both))
    assert torch.equal(shifted.body(noise), scaled.body(noise))
    assert shifted.shift.weight.mean().item() == pytest.approx(0.0, abs=0.3)
    assert shifted.shift.weight.std().item() == pytest.approx(1.0, abs=0.25)
    assert mlp_generator(3, 0, (2, 4), "shift").shift is None


def test_the_convolutions_of_a_pair_halve_every_other_time():
    net = cnn_discriminator(10, (3, 32, 32))
    layers = [layer for layer in net if isinstance(layer, nn.Conv2d)]
    assert [layer.stride[0] for layer in layers] == [2, 1, 2, 1, 2, 1]
    assert [layer.out_channels for layer in layers] == [16, 32, 64, 128, 256, 512]
    assert net[-1].in_features == 512 * 4 * 4 + 50
