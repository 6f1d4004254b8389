"""Importance-weighted log p against the exact value, and the gain of playing on.

The model is small enough to enumerate.
"""

import itertools

import pytest
import torch

from coplay import Space, Variable
from coplay.core.streams import stream
from coplay.models.base import OWN, Mixture, Portion
from coplay.models.conv_hvae import ConvHvae
from coplay.models.exponential_family import ExponentialFamily
from coplay.models.likelihood import from_weights, gain, log_prob
from coplay.models.symmetric_hvae import SymmetricHvae

BITS = Space({"image": Variable(kind="binary", shape=(3, 3))})
LABELLED = Space(
    {
        "image": Variable(kind="binary", shape=(3, 3)),
        "class": Variable(kind="categorical", classes=2),
    }
)
GREY = Space({"image": Variable(kind="real", shape=(3, 3))})


def codes(n):
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=n)))


def learned(model, space, seed=1):
    g = stream(seed, "data")
    values = {"image": (torch.rand(40, 3, 3, generator=g) < 0.3).to(space["image"].dtypes[0])}
    if "class" in space:
        values["class"] = values["image"][:, 0, 0].long()
    samples = space.samples(**values)
    model.setup(space, 5)
    model.learn(Mixture((Portion(OWN, samples, 1.0),)), 150, stream(2))
    return model, samples


def exact(model, samples):
    """log Σ_z p(x, z) over all codes, in the variables' own units."""
    standard = model._scaling.standard(samples)
    volume = model._scaling.log_volume()
    n0, n1 = model.latents
    z = codes(n0 + n1)
    log_probs = []
    with model.averaged(), torch.no_grad():
        for k in range(len(samples)):
            one = standard[k : k + 1]
            if isinstance(model, ConvHvae):
                x, c = (
                    None if t is None else t.expand(len(z), *t.shape[1:])
                    for t in model._tensors(one)
                )
                joint = model._net.log_joint(z[:, :n0], z[:, n0:], x, c)
            else:
                joint = model._net.log_joint(
                    z[:, :n0], z[:, n0:], model._space.flatten(one).expand(len(z), -1)
                )
            log_probs.append(torch.logsumexp(joint.double(), 0) - volume)
    return torch.stack(log_probs)


CASES = {
    "perceptrons": (lambda: SymmetricHvae(latents=(3, 4), hidden=16, batch=50), BITS),
    "convolutions": (lambda: ConvHvae(latents=(3, 4), channels=2, hidden=16, batch=50), BITS),
    "class": (lambda: ConvHvae(latents=(3, 4), channels=2, hidden=16, batch=50), LABELLED),
    "real pixels": (lambda: ConvHvae(latents=(3, 4), channels=2, hidden=16, batch=50), GREY),
}


@pytest.mark.parametrize("case", CASES)
class TestAgainstEnumeration:
    def test_estimate_agrees_and_its_interval_covers(self, case):
        make, space = CASES[case]
        model, samples = learned(make(), space)
        truth = exact(model, samples)
        covered = 0
        z_scores = []
        for repeat in range(20):
            estimate = log_prob(model, samples, 100, stream(repeat, "draws"))
            middle, low, high = estimate.mean
            covered += low <= truth.mean().item() <= high
            z_scores.append(
                ((estimate.value - truth) / estimate.error.clamp_min(1e-9)).mean().item()
            )
            assert middle == pytest.approx(truth.mean().item(), abs=0.1)
        assert covered >= 16, "a 95 % interval should cover in about 19 of 20"
        assert abs(sum(z_scores) / len(z_scores)) < 0.5, "biased"

    def test_drawing_for_it_changes_nothing(self, case):
        make, space = CASES[case]
        model, samples = learned(make(), space)
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        log_prob(model, samples, 3, stream(1))
        assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_probabilities_of_all_images_sum_to_one():
    model, _ = learned(SymmetricHvae(latents=(3, 4), hidden=16, batch=50), BITS)
    everything = BITS.samples(image=codes(9).reshape(-1, 3, 3).to(torch.uint8))
    assert exact(model, everything).exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_a_perfect_encoder_has_no_error():
    estimate = from_weights(torch.full((5, 3), -7.0))
    assert torch.allclose(estimate.value, torch.full((3,), -7.0, dtype=torch.float64))
    assert not estimate.error.any()


def test_correction_takes_back_the_bias_of_the_logarithm():
    """Log-normal weights: E w = 1, so log p = 0; the plain estimate lies below by about v/2."""
    g = stream(1)
    lw = torch.randn(50, 20_000, generator=g, dtype=torch.float64) * 0.8 - 0.32
    plain = (torch.logsumexp(lw, 0) - torch.tensor(50.0).log()).mean().item()
    better = from_weights(lw).value.mean().item()
    assert plain < -0.006
    assert abs(better) < 0.3 * abs(plain)


def test_gain_is_zero_at_a_best_response_and_what_is_missing_before_it():
    space = Space({"x": Variable(kind="binary", shape=(2,))})
    g = stream(3)
    peer = space.samples(x=(torch.rand(200_000, 2, generator=g) < 0.8).to(torch.uint8))
    own = space.samples(x=torch.tensor([[0, 0], [0, 0], [1, 0], [0, 1]], dtype=torch.uint8))
    mixture = Mixture((Portion(OWN, own, 0.5), Portion("peer", peer, 0.5)))
    moments = 0.5 * torch.tensor([0.25, 0.25], dtype=torch.float64) + 0.5 * 0.8
    for at, expected in ((moments, 0.0), (torch.tensor([0.5, 0.5], dtype=torch.float64), None)):
        model, twin = ExponentialFamily(), ExponentialFamily()
        for m in (model, twin):
            m.setup(space, 1)
        model.best_response(at)
        estimate = gain(model, twin, mixture, 1, 2, stream(4))
        kl = (
            (moments * (moments / at).log() + (1 - moments) * ((1 - moments) / (1 - at)).log())
            .sum()
            .item()
        )
        assert estimate.value == pytest.approx(
            kl if expected is None else 0.0, abs=max(4 * estimate.error, 1e-4)
        )
        assert torch.equal(model.moments, at), "the player itself does not move"


def test_no_log_p_no_gain():
    from coplay.models.estimator import Estimator

    model = Estimator.tiny()
    model.setup(BITS, 1)
    assert gain(model, model, Mixture(()), 1, 2, stream(1)) is None


def test_few_draws_under_a_poor_encoder_give_a_bound_and_no_upper_limit():
    """If one draw dominates, neither a correction nor an interval is given.

    The correction saturates at a half.
    """
    g = stream(2)
    lw = torch.randn(32, 500, generator=g, dtype=torch.float64) * 12
    estimate = from_weights(lw)
    assert estimate.is_bound
    assert estimate.mean[2] == float("inf")
    assert estimate.value.mean().item() < 72, "E w = exp(72) for log-normal weights of deviation 12"
    assert torch.allclose(
        estimate.value, torch.logsumexp(lw, 0) - torch.tensor(32.0).double().log()
    )


@pytest.mark.parametrize("case", ["convolutions", "class"])
def test_convolutional_probabilities_sum_to_one_and_draws_follow_them(case):
    make, space = CASES[case]
    model, _ = learned(make(), space)
    images = codes(9).reshape(-1, 3, 3).to(torch.uint8)
    classes = [0, 1] if "class" in space else [None]
    total, dark = 0.0, 0.0
    for c in classes:
        values = (
            {"image": images} if c is None else {"image": images, "class": torch.full((512,), c)}
        )
        p = exact(model, space.samples(**values)).exp()
        total += p.sum().item()
        dark += (p * images.double().flatten(1).mean(1)).sum().item()
    assert total == pytest.approx(1, abs=1e-4)
    drawn = model.sample(40_000, stream(9))
    assert drawn["image"].double().mean().item() == pytest.approx(dark, abs=0.01)


def test_gaussian_pixels_have_the_density_that_torch_gives_them():
    model, samples = learned(CASES["real pixels"][0](), GREY)
    with model.averaged(), torch.no_grad():
        x, c = model._tensors(samples)
        z0, z1 = model._net.encode(x, c, stream(1))
        d = model._net.decoder
        pixels = (
            torch.distributions.Normal(d.x_mean(z0, z1, c), d.log_deviation.exp())
            .log_prob(x)
            .flatten(1)
            .sum(1)
        )
        with_pixels = model._net.log_joint(z0, z1, x, c)
        other = model._net.log_joint(z0, z1, x + 1, c)
        others = (
            torch.distributions.Normal(d.x_mean(z0, z1, c), d.log_deviation.exp())
            .log_prob(x + 1)
            .flatten(1)
            .sum(1)
        )
        prior = (
            torch.distributions.Bernoulli(
                logits=d.z0_logits(c, len(x)) + z0 @ d.z0_chain.tril(-1).T
            )
            .log_prob(z0)
            .sum(1)
        )
        given = torch.distributions.Bernoulli(
            logits=d.z1_logits(z0, c) + z1 @ d.z1_chain.tril(-1).T
        )
    assert torch.allclose(with_pixels - other, pixels - others, rtol=1e-4, atol=1e-3)
    assert torch.allclose(
        with_pixels, pixels + prior + given.log_prob(z1).sum(1), rtol=1e-4, atol=1e-3
    )


@pytest.mark.parametrize("kind", ["binary", "real"])
def test_draws_without_noise_are_the_mean_given_the_latents_rounded_where_pixels_are_binary(kind):
    limits = {"low": -50.0, "high": 50.0} if kind == "real" else {}
    space = Space({"image": Variable(kind=kind, shape=(8, 8), **limits)})
    drawn = {}
    for draw in ("sample", "mean"):
        model = ConvHvae(latents=(1, 1), channels=2, hidden=4, draw=draw, send_latents=True)
        model.setup(space, seed=1)
        drawn[draw] = model.sample(8000, torch.Generator().manual_seed(2))
    for z0, z1 in itertools.product((0, 1), repeat=2):
        chosen = {
            draw: rows["image"][(rows["z0"][:, 0] == z0) & (rows["z1"][:, 0] == z1)].double()
            for draw, rows in drawn.items()
        }
        mean = chosen["sample"].mean(0)
        exact = chosen["mean"]
        error = 5 * chosen["sample"].std(0) / len(chosen["sample"]) ** 0.5
        assert (exact == exact[:1]).all(), "latents decide the image"
        if kind == "real":
            assert ((exact[0] - mean).abs() < error).all()
        else:
            sure = (mean - 0.5).abs() > error
            assert sure.any()
            assert torch.equal(exact[0][sure], mean[sure].round())
