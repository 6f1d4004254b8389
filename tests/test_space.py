"""What counts as an image, and the one image and the class of a space."""

import pytest
import torch

from coplay import Space, Variable
from coplay.core.errors import ModelError, SpaceError
from coplay.models.acgan import Acgan
from coplay.models.conv_hvae import ConvHvae

GREY = Variable(kind="real", shape=(8, 8), low=0, high=1)
DIGIT = Variable(kind="categorical", classes=10)


@pytest.mark.parametrize("kind", ["binary", "count", "real"])
@pytest.mark.parametrize(
    ("shape", "channels"),
    [
        ((), 0),
        ((9,), 0),
        ((4, 5), 1),
        ((1, 1), 1),
        ((1, 4, 5), 1),
        ((3, 4, 5), 3),
        ((2, 4, 5), 0),
        ((4, 4, 5), 0),
        ((1, 3, 4, 5), 0),
    ],
)
def test_an_image_is_planar_in_one_or_three_channels(kind, shape, channels):
    v = Variable(kind=kind, shape=shape)
    assert v.channels == channels
    assert v.is_image == (channels > 0)


def test_a_map_of_classes_is_no_image():
    v = Variable(kind="categorical", shape=(4, 5), classes=3)
    assert not v.is_image
    assert v.channels == 0


def test_the_one_image_is_found_whatever_its_name_and_place():
    assert Space({"scan": GREY}).image_and_class() == ("scan", None)
    assert Space({"scan": GREY, "digit": DIGIT}).image_and_class() == ("scan", "digit")
    assert Space({"digit": DIGIT, "scan": GREY}).image_and_class() == ("scan", "digit")


@pytest.mark.parametrize(
    "variables",
    [
        {"digit": DIGIT},
        {"scan": GREY, "mask": Variable(kind="binary", shape=(8, 8))},
        {"scan": GREY, "digit": DIGIT, "writer": DIGIT},
        {"scan": GREY, "age": Variable(kind="real")},
        {"scan": GREY, "word": Variable(kind="categorical", shape=(2,), classes=3)},
        {"scan": Variable(kind="real", shape=(2, 8, 8))},
        {"scan": Variable(kind="real", shape=(64,)), "digit": DIGIT},
    ],
)
def test_anything_else_is_refused_by_name(variables):
    with pytest.raises(SpaceError, match="one image and at most one class") as error:
        Space(variables).image_and_class()
    for name, v in variables.items():
        assert f"'{name}' ({v})" in str(error.value)


def test_a_row_of_numbers_is_an_image_only_to_those_that_ask_for_any_shape():
    space = Space({"digit": DIGIT, "lab": Variable(kind="real", shape=(4,), low=0, high=1)})
    assert space.image_and_class(any_shape=True) == ("lab", "digit")
    with pytest.raises(SpaceError, match="at most one class"):
        space.extended({"writer": DIGIT}).image_and_class(any_shape=True)
    with pytest.raises(SpaceError, match="one image"):
        Space({"digit": DIGIT}).image_and_class(any_shape=True)
    Acgan.tiny().setup(space, seed=1)
    with pytest.raises(ModelError, match="ConvHvae: expected one image"):
        ConvHvae.tiny().setup(space, seed=1)


def test_an_image_of_counts_is_refused_by_kind():
    space = Space({"photons": Variable(kind="count", shape=(8, 8))})
    for model in (Acgan.tiny(), ConvHvae.tiny()):
        with pytest.raises(ModelError, match=r"binary or real.*'photons' is count"):
            model.setup(space, seed=1)


def test_a_variable_may_be_called_as_a_parameter_of_a_method_is():
    space = Space({"self": Variable(kind="count"), "values": Variable(kind="count")})
    samples = space.samples(self=torch.tensor([1]), values=torch.tensor([2]))
    assert space.check(samples, "a table", complete=True)["self"].tolist() == [1]
