"""Residuals of own images (R) against a decoder whose means are known."""

import pytest
import torch

from coplay import Mixture, Space, Variable
from coplay.core.errors import ModelError
from coplay.core.streams import stream
from coplay.models.base import OWN, Portion
from coplay.models.joint_classifier import JointClassifier

CLASSES = 3
SIDE = 6
MEAN = 0.25
SPACE = Space(
    {
        "image": Variable(kind="real", shape=(SIDE, SIDE), low=0, high=1),
        "class": Variable(kind="categorical", classes=CLASSES),
    }
)


class Watched(JointClassifier):
    """Keeps the images that its classifier was taught."""

    _taught: list

    def _wrong(self, x, c):
        self._taught.append(x.detach().clone())
        return super()._wrong(x, c)


def model(**settings):
    """A model whose decoder draws one grey, whatever the latents and the class, until it learns."""
    sizes = {
        "latents": (2, 3),
        "channels": 2,
        "hidden": 8,
        "classifier_channels": 2,
        "batch": 12,
        "generated_after": 0,
    }
    made = Watched(**{**sizes, "residuals": True, **settings})
    made.setup(SPACE, 5)
    made._taught = []
    with torch.no_grad():
        last = list(made._net.decoder.x_deep.parameters())
        for parameter in last:
            parameter.zero_()
        last[-1].fill_(MEAN)
    return made


def images(classes, *words):
    c = torch.as_tensor(classes)
    return SPACE.samples(
        **{"image": torch.rand(len(c), SIDE, SIDE, generator=stream(1, *words)), "class": c}
    )


def differences(one, two):
    """The largest difference of a pixel between every image of one set and every one of another."""
    return (one.flatten(1)[:, None] - two.flatten(1)).abs().amax(2)


def test_a_drawn_image_gets_the_residual_of_an_own_one_of_its_class():
    own, drawn = images([2, 0, 1], "own"), images([0, 0, 1, 2, 1], "drawn")
    x = drawn["image"][:, None]
    c = drawn["class"]
    learner = model()
    given = learner._with_residuals(x, c, learner._by_class(own), stream(3))
    of_class = own["image"][torch.tensor([1, 2, 0])][c][:, None]
    assert torch.allclose(given, (x + of_class - MEAN).clamp(0, 1), atol=1e-6)


def test_own_images_of_a_class_are_equally_probable_and_a_class_without_any_stays_as_drawn():
    own = images([0, 2, 0, 2, 2, 2, 0], "own")
    n = 6000
    x = torch.full((n, 1, SIDE, SIDE), MEAN)
    c = torch.arange(n) % CLASSES
    learner = model()
    given = learner._with_residuals(x, c, learner._by_class(own), stream(3))
    assert torch.equal(given[c == 1], x[c == 1])
    for k, count in ((0, 3), (2, 4)):
        distance = differences(given[c == k], own["image"][own["class"] == k])
        assert distance.min(1).values.max() < 1e-6, "each is one of the own images"
        frequencies = distance.argmin(1).bincount(minlength=count) / (n / CLASSES)
        assert torch.allclose(frequencies, torch.full((count,), 1 / count), atol=0.04)


@pytest.mark.parametrize("sources", [(OWN, "other"), ("other",)])
def test_residuals_are_for_received_and_drawn_images(sources):
    """Own images teach as they are, received and drawn ones with residuals.

    Without own images, none have residuals.
    """
    data = {OWN: images([0, 1, 2], "own"), "other": images([0, 1, 2, 0], "other")}
    mixture = Mixture(tuple(Portion(name, data[name], 1 / len(sources)) for name in sources))
    learner = model()
    learner._step = 1
    for _ in learner.losses(mixture, stream(4)):
        pass
    lessons, drawn = learner._taught
    untouched = {
        name: int((differences(lessons, data[name]["image"]).min(1).values < 1e-6).sum())
        for name in data
    }
    if OWN not in sources:
        assert untouched == {OWN: 0, "other": 12}
        return
    own, other = data[OWN], data["other"]
    sums = [
        x + y - MEAN
        for x, k in zip(*other.values(), strict=True)
        for y, of in zip(*own.values(), strict=True)
        if k == of
    ]
    assert untouched == {OWN: 6, "other": 0}
    assert differences(lessons[6:], torch.stack(sums).clamp(0, 1)).min(1).values.max() < 1e-6
    # the own decoder's grey and a residual is the own image
    assert differences(drawn, own["image"]).min(1).values.max() < 1e-6


def test_only_the_classifier_learns_from_residuals():
    learner = model()
    learner._step = 1
    for side, loss in learner.losses(
        Mixture((Portion(OWN, images([0, 1, 2], "own"), 1.0),)), stream(4)
    ):
        parameters = list(learner._net.decoder.x_deep.parameters()) + list(
            learner._net.encoder.parameters()
        )
        reached = torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True)
        assert any(g is not None for g in reached) == (side != "classifier")


def test_a_young_model_has_no_residuals_yet():
    data = images([0, 1, 2], "own")
    young, without = model(generated_after=50), model(generated_after=50, residuals=False)
    for learner in (young, without):
        learner.learn(
            Mixture((Portion(OWN, data, 0.5), Portion("other", images([1, 1], "other"), 0.5))),
            40,
            stream(2),
        )
    for key, value in young.state_dict().items():
        assert torch.equal(value, without.state_dict()[key]), key


def test_binary_pixels_have_no_residuals():
    space = Space({"image": Variable(kind="binary", shape=(6, 6)), "class": SPACE["class"]})
    with pytest.raises(
        ModelError, match=r"residuals need real pixels, and 'image' is binary.*residuals = false"
    ):
        JointClassifier(residuals=True).setup(space, 1)
