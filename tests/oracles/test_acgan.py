"""The GAN at a single site, and several discriminators as one, against formulas and plain torch."""

import copy

import pytest
import torch
from torch import nn

from coplay import Space, Variable
from coplay.core.streams import isolated_seed, stream
from coplay.games.md_gan_stack import Stack
from coplay.models.acgan import Acgan
from coplay.models.base import OWN, Mixture, Portion
from coplay.nets.gan_pairs import (
    MinibatchDiscrimination,
    cnn_discriminator,
    mlp_discriminator,
    mlp_generator,
    of_batches,
)
from coplay.nets.plain_layers import stackable

from .small_gans import (
    CLASSES,
    LABELLED,
    NORMED,
    PLAIN,
    acgan,
    apart,
    centred,
    count,
    discriminator_loss,
    flat,
    generator_loss,
    images,
)


def ready(space=LABELLED, seed=3, double=False, **settings):
    model = acgan(**settings)
    model.setup(space, seed)
    if double:
        for half in ("generator", "discriminator"):
            model.half(half).double()
    return model


def test_the_mlp_pair_has_the_papers_numbers_of_parameters():
    with torch.device("meta"):
        generator = mlp_generator(100, 10, (28, 28), "scale")
        discriminator = mlp_discriminator(10, (28, 28))
    assert count(generator.body) == 716_560
    assert count(generator) == 716_560 + 10 * 100  # a vector per class
    assert count(discriminator) == 670_219


def test_the_cnn_pairs_have_the_papers_shapes():
    for shape, start, widths in (((28, 28), 6272, [32, 1]), ((3, 32, 32), 6144, [192, 96, 3])):
        model = Acgan(network="cnn", latent=7, batch=2)
        space = {
            "image": Variable(kind="real", shape=shape, low=0, high=1),
            "class": LABELLED["class"],
        }
        model.setup(Space(space), 1)
        layers = [layer for layer in model.half("generator").modules() if hasattr(layer, "weight")]
        assert [layer.out_channels for layer in layers if hasattr(layer, "out_channels")] == widths
        assert start in [getattr(layer, "out_features", None) for layer in layers]
        convolutions = [
            m for m in model.half("discriminator").modules() if isinstance(m, nn.Conv2d)
        ]
        assert [m.out_channels for m in convolutions] == [16, 32, 64, 128, 256, 512]
        drawn, _ = model.generate(2, stream(1))
        assert drawn.shape == (2, *shape)
        assert model.discriminate(drawn).shape == (2, 1 + CLASSES)
        assert not stackable(model.half("discriminator"))


def test_real_and_generated_batches_do_not_see_each_other():
    """Batches share a pass through layers that treat samples one by one.

    A layer that looks at a whole batch gets one batch at a time.
    """
    space = Space(
        {"image": Variable(kind="real", shape=(28, 28), low=0, high=1), "class": LABELLED["class"]}
    )
    x, y = (torch.rand(3, 28, 28, generator=stream(i), dtype=torch.float64) for i in (1, 2))
    for settings in ({"network": "cnn"}, {"network": "mlp"}):
        model = Acgan(batch=3, **settings)
        model.setup(space, 1)
        net = model.half("discriminator").double()
        for logits, batch in zip(model.discriminate_both(x, y).chunk(2), (x, y), strict=True):
            assert torch.allclose(logits, net(2 * batch - 1), rtol=0, atol=1e-10)
    model = ready(double=True, **NORMED)
    (real, fake), twin = (
        [images(LABELLED, 4, i)["image"].double() for i in (1, 2)],
        copy.deepcopy(model),
    )
    for logits, batch in zip(
        model.discriminate_both(real, fake).chunk(2), (real, fake), strict=True
    ):
        assert torch.equal(logits, twin.discriminate(batch))
    buffers = [dict(m.half("discriminator").named_buffers()) for m in (model, twin)]
    assert all(torch.equal(buffers[0][name], buffers[1][name]) for name in buffers[0])


def test_batches_of_unequal_sizes_do_not_see_each_other():
    with isolated_seed(1):
        net = cnn_discriminator(CLASSES, (28, 28)).double()
    samples = torch.rand(6, 28, 28, generator=stream(1), dtype=torch.float64)
    logits = of_batches(net, samples, [2, 4])
    expected = torch.cat([net(samples[:2]), net(samples[2:])])
    assert torch.allclose(logits, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("space", [LABELLED, PLAIN], ids=["labelled", "plain"])
@pytest.mark.parametrize(
    "networks",
    [{}, {"generator": None, "class_input": "shift"}, NORMED],
    ids=["by sample", "shifted", "by batch"],
)
def test_batches_of_one_pass_are_those_of_several(space, networks):
    model, twin = ready(space, **networks), ready(space, **networks)
    words = [stream(1, j) for j in range(3)], [stream(1, j) for j in range(3)]
    together = model.generate_batches(4, words[0])
    expected = [twin.generate(4, g) for g in words[1]]
    for (made, classes), (one, asked) in zip(together, expected, strict=True):
        assert torch.allclose(made, one, rtol=0, atol=1e-6)
        assert classes is None if asked is None else torch.equal(classes, asked)
    # nobody was shown the third batch
    slopes = [torch.rand(4, 4, 4, generator=stream(2, j)) for j in range(2)]
    for m, batches in ((model, together), (twin, expected)):
        m.follow([made for made, _ in batches[:2]], slopes)
    # Adam's first step is as long for a gradient of 1e-7 as for one of 1, so rounding shows
    assert apart(*(flat(m.half("generator").parameters()) for m in (model, twin))) < 1e-5


class OwnDiscriminator(nn.Sequential):
    """A chain with a constructor of its own, which a slice of it would call."""

    def __init__(self, classes, shape):
        super().__init__(nn.Flatten(), nn.Linear(shape[0] * shape[1], 1 + classes))


class OwnGenerator(nn.Sequential):
    """Another, and with a forward of its own."""

    def __init__(self, latent, classes, shape):
        super().__init__(nn.Linear(latent, shape[0] * shape[1]), nn.Tanh(), nn.Unflatten(-1, shape))

    def forward(self, noise, classes):
        return super().forward(noise)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_networks_of_a_class_of_ones_own_and_images_of_either_precision(dtype):
    given = images(LABELLED, 8, "own")
    given["image"] = given["image"].to(dtype)
    mixture = Mixture((Portion(OWN, given, 1.0),))
    for settings in (
        {},
        {h: f"{__name__}:Own{h.capitalize()}" for h in ("generator", "discriminator")},
    ):
        model = ready(**settings)
        assert not settings or not stackable(model.half("discriminator"))
        assert model.learn(mixture, 2, stream(1))["generator_loss"] > 0
        assert len(model.generate_batches(4, [stream(1), stream(2)])) == 2


def test_a_saturated_generator_ends_at_the_limits_of_the_range():
    """Values at the limits stay in the range.

    With another order of arithmetic a rounding error would leave every sixth range, and the gate
    would refuse it.
    """
    for low, high in torch.randn(200, 2, generator=stream(1)).sort(1).values.tolist():
        space = Space({"image": Variable(kind="real", shape=(1, 2), low=low, high=high)})
        model = Acgan(latent=2, batch=2)
        model.setup(space, 1)
        with torch.no_grad():
            model.half("generator").body[4].bias.copy_(torch.tensor([50.0, -50.0]))
        made, _ = model.generate(2, stream(1))
        assert made[0, 0].tolist() == [high, low]
        model.wire.check(space.samples(image=made.detach()), "a test")


def test_a_class_enters_as_noise_times_its_vector():
    net = ready().half("generator")
    noise = torch.randn(5, 3, generator=stream(1))
    classes = torch.tensor([2, 0, 1, 1, 2])
    expected = net.body(
        torch.stack([z * net.by_class.weight[c] for z, c in zip(noise, classes, strict=True)])
    )
    assert torch.allclose(net(noise, classes), expected)


def test_minibatch_discrimination_by_hand():
    with isolated_seed(1):
        layer = MinibatchDiscrimination(3, kernels=2, size=4).double()
    x = torch.randn(5, 3, dtype=torch.float64, generator=stream(1))
    outputs = layer(x)
    m = (x @ layer.project.weight.T).reshape(5, 2, 4)
    for i in range(5):
        for kernel in range(2):
            near = sum(
                torch.exp(-(m[i, kernel] - m[j, kernel]).abs().sum()) for j in range(5) if j != i
            )
            assert outputs[i, 3 + kernel].item() == pytest.approx(near.item())
    assert torch.equal(outputs[:, :3], x)


@pytest.mark.parametrize("class_term", [True, False])
@pytest.mark.parametrize("loss", ["non_saturating", "saturating"])
def test_losses_are_the_formulas(loss, class_term):
    model = ready(loss=loss, class_term=class_term)
    logits = 3 * torch.randn(2, 6, 1 + CLASSES, dtype=torch.float64, generator=stream(1))
    classes = torch.arange(12).reshape(2, 6) % CLASSES
    losses = model.losses.generator(logits, classes)
    for i in range(2):
        expected = generator_loss(logits[i], classes[i], loss, class_term)
        assert torch.allclose(losses[i], expected, rtol=1e-12)
    sigma = torch.sigmoid(logits[..., 0])
    adversarial = -torch.log(sigma) if loss == "non_saturating" else torch.log(1 - sigma)
    assert torch.allclose(model.losses.generator(logits, None), adversarial, rtol=1e-12)
    both = model.losses.discriminator(torch.cat([logits, logits.flip(1)], 1), classes, classes)
    for i in range(2):
        expected = discriminator_loss(
            logits[i], classes[i], logits[i].flip(0), classes[i], class_term
        )
        assert both[i].item() == pytest.approx(expected.item(), rel=1e-12)


def test_losses_hold_where_the_formulas_overflow():
    logits = torch.tensor([[200.0, 0, 0, 0], [-200.0, 0, 0, 0]])
    assert ready(class_term=False).losses.generator(logits, None).tolist() == [0.0, 200.0]
    assert ready(class_term=False, loss="saturating").losses.generator(logits, None).tolist() == [
        -200.0,
        0.0,
    ]


@pytest.mark.parametrize("class_term", [True, False])
@pytest.mark.parametrize("loss", ["non_saturating", "saturating"])
def test_feedback_is_the_derivative_of_the_sum_by_every_entry(loss, class_term):
    """Central differences of Σ B̃; the mean's derivative would be smaller by the batch size."""
    model = ready(double=True, loss=loss, class_term=class_term)
    batch = images(LABELLED, 3, "feedback")
    x = batch["image"].double()
    classes = batch["class"]
    feedback, mean = model.feedback(x, classes)

    def total(x):
        with torch.no_grad():
            return model.losses.generator(model.discriminate(x), classes).sum().item()

    assert mean == pytest.approx(total(x) / 3)
    expected = torch.zeros_like(x)
    for i in range(x.numel()):
        step = torch.zeros(x.numel(), dtype=torch.float64)
        step[i] = 1e-5
        step = step.reshape(x.shape)
        expected.view(-1)[i] = (total(x + step) - total(x - step)) / 2e-5
    assert apart(feedback, expected) < 1e-7
    assert all(p.requires_grad and p.grad is None for p in model.half("discriminator").parameters())


@pytest.mark.parametrize("space", [LABELLED, PLAIN], ids=["labelled", "plain"])
@pytest.mark.parametrize("steps", [1, 2])
def test_learning_is_the_gan_written_by_hand(space, steps):
    """A pass makes L discriminator steps and then a generator step.

    Each has fresh noise and real samples. Classes are drawn as often as they occur in the data.
    """
    model = ready(space, discriminator_steps=steps, average=0)
    g_net, d_net = (
        copy.deepcopy(model.half(half)).double() for half in ("generator", "discriminator")
    )
    g_adam, d_adam = (
        torch.optim.Adam(net.parameters(), lr=0.01, betas=(0.5, 0.999)) for net in (g_net, d_net)
    )
    own = images(space, 9, "own")
    part = Mixture((Portion(OWN, own, 1.0),))
    model.learn(part, 3, stream(5))
    g = stream(5)
    class_counts = torch.zeros(CLASSES, dtype=torch.float64)

    def draw():
        c = (
            torch.multinomial(class_counts, 4, replacement=True, generator=g)
            if space is LABELLED
            else None
        )
        return torch.randn(4, 3, generator=g).double(), c

    for _ in range(3):
        for _ in range(steps):
            batch = part.batch(4, g)
            c = batch["class"] if space is LABELLED else None
            if c is not None:
                class_counts += torch.bincount(c, minlength=CLASSES)
            noise, asked = draw()
            real, fake = (
                d_net(centred(batch["image"].double())),
                d_net(g_net(noise, asked).detach()),
            )
            d_adam.zero_grad()
            discriminator_loss(real, c, fake, asked).backward()
            d_adam.step()
        noise, asked = draw()
        g_adam.zero_grad()
        generator_loss(d_net(g_net(noise, asked)), asked).mean().backward()
        g_adam.step()
    assert apart(flat(model.half("generator").parameters()), flat(g_net.parameters())) < 1e-5
    assert apart(flat(model.half("discriminator").parameters()), flat(d_net.parameters())) < 1e-5


def test_samples_come_from_the_running_mean_of_the_generator():
    model, last = ready(average=0.5), ready(average=0)
    part = Mixture((Portion(OWN, images(LABELLED, 9, "own"), 1.0),))
    expected = flat(model.half("generator").parameters()).double()
    for turn in range(4):
        for one in (model, last):
            one.learn(part, 1, stream(5, turn))
        keep = min(0.5, (turn + 1) / (turn + 11))
        expected = (
            keep * expected + (1 - keep) * flat(model.half("generator").parameters()).double()
        )
    assert torch.equal(
        flat(model.half("generator").parameters()), flat(last.half("generator").parameters())
    )
    drawn = model.sample(5, stream(1))["image"]
    nn.utils.vector_to_parameters(expected.float(), last.half("generator").parameters())
    assert torch.allclose(drawn, last.sample(5, stream(1))["image"], atol=1e-5)


def test_bits_are_drawn_with_the_generators_probabilities():
    model = Acgan(latent=3, batch=4, average=0)
    model.setup(Space({"image": Variable(kind="binary", shape=(2, 2))}), 1)
    with torch.no_grad():
        for p in model.half("generator").parameters():
            p.zero_()
        model.half("generator").body[4].bias.copy_(torch.atanh(torch.tensor([-0.8, 0.0, 0.4, 0.9])))
    drawn = model.sample(20_000, stream(1))["image"].double().flatten(1).mean(0)
    assert torch.allclose(
        drawn, torch.tensor([0.1, 0.5, 0.7, 0.95], dtype=torch.float64), atol=0.015
    )


# ---------------------------------------------------------------------------------------- the stack


def some_batches(space, n, word, b=4):
    sets = [images(space, b, word, i) for i in range(n)]
    x = torch.stack([s["image"] for s in sets]).double()
    return x, torch.stack([s["class"] for s in sets]) if "class" in space else None


@pytest.mark.parametrize("space", [LABELLED, PLAIN], ids=["labelled", "plain"])
def test_stacked_steps_and_feedback_are_those_of_each_alone(space):
    """In float64 and with unequal numbers of Adam's steps before, as after a late join."""
    alone, together = ([ready(space, seed, double=True) for seed in range(3)] for _ in range(2))
    (real, rc), (fake, fc) = some_batches(space, 3, "real"), some_batches(space, 3, "fake")
    rows = list(
        zip(
            real,
            [None] * 3 if rc is None else rc,
            fake,
            [None] * 3 if fc is None else fc,
            strict=True,
        )
    )
    for models in (alone, together):
        models[0].learn_to_judge(*rows[0])
    stack = Stack.of(together)
    for _ in range(3):
        expected = [model.learn_to_judge(*row) for model, row in zip(alone, rows, strict=True)]
        losses = stack.learn_to_judge(torch.cat([real, fake], 1), rc, fc)
        assert losses.tolist() == pytest.approx(expected, rel=1e-12)
    slopes, means = stack.feedback(fake, fc)
    for i, (one, other) in enumerate(zip(alone, together, strict=True)):
        slope, mean = one.feedback(rows[i][2], rows[i][3])
        assert apart(slopes[i], slope) < 1e-12
        assert means[i].item() == pytest.approx(mean, rel=1e-12)
        a = one.state_dict()
        b = other.state_dict()
        assert a.keys() == b.keys()
        assert all(torch.allclose(a[key], b[key], rtol=1e-12, atol=1e-14) for key in a)


def consistent(stack):
    """Whether every parameter of every model lies where the stack says."""
    return all(
        p.data_ptr() == stack.parameters[name][i].data_ptr()
        and torch.equal(p, stack.parameters[name][i])
        for i, net in enumerate(stack.nets)
        for name, p in net.named_parameters()
    )


def test_whatever_changes_a_stacked_model_changes_the_stack():
    models = [ready(seed=seed) for seed in range(3)]
    (real, rc), (fake, fc) = some_batches(LABELLED, 3, "real"), some_batches(LABELLED, 3, "fake")
    real, fake = real.float(), fake.float()
    both = torch.cat([real, fake], 1)
    stack = Stack.of(models)
    stack.learn_to_judge(both, rc, fc)
    assert Stack.of(models) is stack
    assert consistent(stack)
    state = models[0].state_dict()
    part = models[1].export(["discriminator"], moments=True)
    before = {key: value.clone() for key, value in state.items()}
    sent = part.clone()
    stack.learn_to_judge(both, rc, fc)
    assert all(torch.equal(state[key], before[key]) for key in state), (
        "what was saved or sent is a copy"
    )
    models[0].load_state_dict(state)
    models[2].take(part, "a test", "travel")
    models[1].learn_to_judge(real[1], rc[1], fake[1], fc[1])  # a step alone, in between
    assert consistent(stack)
    assert torch.equal(stack.parameters["1.weight"][0], state["discriminator/1.weight"])
    assert torch.equal(stack.parameters["1.weight"][2], part["discriminator:1.weight"][0])

    fewer = Stack.of(models[:2])  # one was lost
    assert fewer is not stack
    assert consistent(fewer)
    again = Stack.of(models)
    assert again is not stack
    assert consistent(again)
    again.learn_to_judge(both, rc, fc)
    assert all(torch.equal(state[key], before[key]) for key in state), "what was taken is a copy"
    assert all(torch.equal(part[key], sent[key]) for key in sent.keys())


def test_chains_of_other_layers_are_not_stacked():
    with torch.device("meta"):
        linear, bare = nn.Linear(4, 2), nn.Linear(4, 2, bias=False)
    assert stackable(nn.Sequential(nn.Flatten(-2), linear, nn.Tanh()))
    swallowing = nn.Flatten()  # would take the axis of the workers for one of the image
    for layers in (
        [bare],
        [swallowing, linear],
        [linear, nn.BatchNorm1d(2)],
        [linear, nn.Softmax(1)],
    ):
        assert not stackable(nn.Sequential(*layers))


# ------------------------------------------------------------------------------------- what travels


def test_what_is_not_finite_or_does_not_fit_does_not_travel():
    from coplay.core.errors import ModelError

    sender, receiver = ready(seed=1), ready(seed=2)
    part = sender.export(["discriminator"])
    before = flat(receiver.half("discriminator").parameters())
    bad = part.clone()
    bad["discriminator:1.weight"][0, 0, 0] = float("nan")
    wide = part.clone()
    wide["discriminator:1.weight"] = torch.zeros(1, 7, 17)
    for wrong, words in (
        (bad, "not finite"),
        (wide, r"\(7, 17\) of torch.float32, expected \(7, 16\)"),
    ):
        with pytest.raises(ModelError, match=f"discriminator:1.weight from player 'x'.*{words}"):
            receiver.take(wrong, "player 'x'")
        assert torch.equal(flat(receiver.half("discriminator").parameters()), before), (
            "half of it was taken"
        )
    with torch.no_grad():
        next(sender.half("discriminator").parameters())[0, 0] = float("inf")
    with pytest.raises(ModelError, match=r"discriminator:1\.weight has values that are not finite"):
        sender.export(["discriminator"])
