"""PolyMNIST has digits inverted into photographs, made here or published.

Every fault is named, and players may have unlike variables.
"""

import importlib.util

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from coplay import Config, Federation
from coplay.core.errors import DataError
from coplay.data.sources.idx import Idx, write_idx
from coplay.data.sources.poly_mnist import _BUNDLED, PolyMnist

RNG = np.random.default_rng(11)
SIZES = ((28, 28), (40, 31), (29, 60))


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def digits(tmp_path):
    """A folder of noise digits of 28×28, half of whose pixels are off."""
    folder = tmp_path / "digits"
    folder.mkdir()
    for prefix, n in (("train", 60), ("t10k", 30)):
        pixels = RNG.integers(0, 256, (n, 28, 28), np.uint8)
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", pixels)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", (np.arange(n) % 10).astype(np.uint8))
    return folder


@pytest.fixture
def photographs(tmp_path):
    """Return noise, so that a crop has one place in one photograph only."""
    files = [tmp_path / f"{name}.png" for name in ("moor", "lake", "wood")]
    for file, size in zip(files, SIZES, strict=True):
        save(file, RNG.integers(0, 256, (*size, 3), np.uint8))
    return tuple(map(str, files))


def planes(file):
    return torch.from_numpy(np.asarray(Image.open(file)).copy()).permute(2, 0, 1)


def places_of(pictures, crop):
    """Return (style, top, left) of every place of a crop of shape (3, side, side), in bytes."""
    places = []
    for style, picture in enumerate(pictures):
        side = len(crop[0])
        windows = picture.unfold(1, side, 1).unfold(2, side, 1)  # (3, top, left, side, side)
        same = (windows == crop[:, None, None]).all(-1).all(-1).all(0)
        places += [(style, *place) for place in same.nonzero().tolist()]
    return places


class TestMade:
    def test_a_crop_of_the_styles_photograph_is_inverted_inside_the_digit_only(
        self, digits, photographs
    ):
        data = PolyMnist(folder=str(digits), backgrounds=photographs).load()
        given = Idx(folder=str(digits), threshold=0.4375).load()
        corners = []
        for split in ("train", "test"):
            samples = getattr(data, split)
            assert torch.equal(samples["segmentation"], getattr(given, split)["image"])
            assert torch.equal(samples["class"], getattr(given, split)["class"])
            inside = samples["segmentation"][:, None].bool()
            crops = (
                (torch.where(inside, 1 - samples["image"], samples["image"]) * 255).round().byte()
            )
            for crop, style in zip(crops, samples["style"].tolist(), strict=True):
                ((where, top, left),) = places_of(map(planes, photographs), crop)
                assert where == style
                corners.append((where, top, left))
        assert {corner for corner in corners if corner[0] == 0} == {(0, 0, 0)}, (
            "as large as a digit: one place"
        )
        tops, lefts = ({corner[axis] for corner in corners} for axis in (1, 2))
        assert max(tops) > 8 > 1 > min(tops), "anywhere in 40 − 27 rows"
        assert max(lefts) > 25 > 3 > min(lefts), "and in 60 − 27 columns"
        assert data.name == "digits on moor, lake, wood"

    def test_halved_both_digits_and_photographs_have_half_their_sides(self, digits, photographs):
        data = PolyMnist(folder=str(digits), backgrounds=photographs, halved=True).load()
        given = Idx(folder=str(digits), threshold=0.4375, halved=True).load()
        small = []
        for picture in map(planes, photographs):
            height, width = (side // 2 for side in picture.shape[1:])
            blocks = picture[:, : 2 * height, : 2 * width].double().reshape(3, height, 2, width, 2)
            small.append(blocks.mean((2, 4)).round().byte())
        assert torch.equal(data.test["segmentation"], given.test["image"])
        inside = data.test["segmentation"][:, None].bool()
        crops = (
            (torch.where(inside, 1 - data.test["image"], data.test["image"]) * 255).round().byte()
        )
        for crop, style in zip(crops, data.test["style"].tolist(), strict=True):
            ((where, _, _),) = places_of(small, crop)
            assert where == style

    def test_variables(self, digits, photographs):
        space = PolyMnist(folder=str(digits), backgrounds=photographs).load().space
        assert {name: str(space[name]) for name in space} == {
            "image": "real 3×28×28 in [0, 1]",
            "style": "categorical of 3 scalar",
            "class": "categorical of 10 scalar",
            "segmentation": "binary 28×28",
        }

    def test_a_digit_is_the_same_picture_in_every_run_and_whatever_the_limit(
        self, digits, photographs
    ):
        source = PolyMnist(folder=str(digits), backgrounds=photographs)
        one = source.load()
        two = source.load()
        few = source.model_copy(update={"limit": 7}).load()
        for split in ("train", "test"):
            for name in one.space:
                assert torch.equal(getattr(one, split)[name], getattr(two, split)[name])
                assert torch.equal(getattr(one, split)[name][:7], getattr(few, split)[name])
        assert (len(few.train), len(few.test)) == (7, 7)
        assert not torch.equal(one.train["style"][:30], one.test["style"]), (
            "every split has a stream of its own"
        )

    def test_styles_are_even(self, tmp_path, photographs):
        """χ² of 3,000 draws from three styles."""
        for prefix in ("train", "t10k"):
            write_idx(tmp_path / f"{prefix}-images-idx3-ubyte", np.zeros((3000, 4, 4), np.uint8))
            write_idx(
                tmp_path / f"{prefix}-labels-idx1-ubyte", (np.arange(3000) % 10).astype(np.uint8)
            )
        data = PolyMnist(folder=str(tmp_path), backgrounds=photographs).load()
        counts = torch.bincount(data.train["style"], minlength=3).double()
        assert ((counts - 1000).square() / 1000).sum() < 10
        assert ((data.train["image"] * 255 - 128).mean().abs() < 5).item()

    def test_five_photographs_come_with_scikit_image(self, digits):
        pytest.importorskip("skimage")
        data = PolyMnist(folder=str(digits), limit=40).load()
        assert data.space["style"].classes == 5
        assert data.name == f"digits on {', '.join(_BUNDLED)}"
        assert len(data.train["style"].unique()) == 5

    def test_without_the_package_the_message_says_what_to_install(self, digits, monkeypatch):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(
            DataError, match=r"scikit-image.*pip install 'coplay\[data\]'.*backgrounds"
        ):
            PolyMnist(folder=str(digits)).load()


class TestPublished:
    @pytest.fixture
    def folder(self, tmp_path):
        """Picture INDEX.CLASS of style k has a single colour.

        The colour encodes all three, and the split.
        """
        for s, split in enumerate(("train", "test")):
            for k in range(3):
                for index in range(12 - 2 * s):
                    for digit in range(3 if index < 10 else 2):  # classes of unlike sizes
                        pixels = np.full((28, 28, 3), (10 * k + s, index, digit), np.uint8)
                        save(tmp_path / split / f"m{k}" / f"{index}.{digit}.png", pixels)
        (tmp_path / "train" / "m0" / "readme.txt").write_text("no picture")
        return tmp_path

    def test_one_picture_of_each_name_with_its_style_and_class_and_no_segmentation(self, folder):
        data = PolyMnist(folder=str(folder)).load()
        assert list(data.space) == ["image", "style", "class"]
        for s, (samples, n) in enumerate(((data.train, 34), (data.test, 30))):
            assert len(samples) == n
            colour = (samples["image"] * 255).round().long()[:, :, 0, 0]
            assert torch.equal(colour[:, 0], 10 * samples["style"] + s)
            assert torch.equal(colour[:, 2], samples["class"])
            assert len({tuple(row) for row in colour[:, 1:].tolist()}) == n
            assert len(samples["style"].unique()) == 3
        few = PolyMnist(folder=str(folder), limit=6).load()
        assert few.train["class"].tolist() == [0, 1, 2, 0, 1, 2]
        assert torch.equal(few.train["image"], data.train["image"][:6])

    def test_faults_of_the_folder(self, folder):
        def fails(words, **settings):
            with pytest.raises(DataError, match=words):
                PolyMnist(folder=str(folder), **settings).load()

        fails("has its own photographs", backgrounds=("a.png", "b.png"))
        (folder / "train" / "m2" / "3.1.png").unlink()
        fails("same names in m0 and m2; 3.1.png is in one only")
        (folder / "train" / "m2").rename(folder / "train" / "m3")
        fails("expected the folders m0, m1, …, got m0, m1, m3")
        (folder / "train" / "m3").rename(folder / "m3")
        (folder / "test").rename(folder / "valid")
        fails("the folder .*/test/m0 does not exist")
        (folder / "test" / "m0").mkdir(parents=True)
        fails("expected pictures called INDEX.CLASS.png, such as 0.7.png, got none")


class TestFaults:
    def test_missing_places(self, tmp_path, digits, photographs):
        with pytest.raises(DataError, match="the folder no/such does not exist"):
            PolyMnist(folder="no/such", backgrounds=photographs).load()
        with pytest.raises(DataError, match="no file train-images-idx3-ubyte"):
            PolyMnist(folder=str(tmp_path), backgrounds=photographs).load()
        with pytest.raises(DataError, match=r"the file no/such\.png does not exist"):
            PolyMnist(folder=str(digits), backgrounds=(photographs[0], "no/such.png")).load()

    def test_photographs(self, tmp_path, digits, photographs):
        save(tmp_path / "flat.png", np.zeros((27, 90, 3), np.uint8))
        with pytest.raises(
            DataError, match=r"flat\.png: expected a photograph of 28×28 or more, .* got 27×90"
        ):
            PolyMnist(
                folder=str(digits), backgrounds=(photographs[0], str(tmp_path / "flat.png"))
            ).load()
        (tmp_path / "text.png").write_text("no picture")
        with pytest.raises(DataError, match=r"cannot read 1 of 1 pictures: .*text\.png"):
            PolyMnist(
                folder=str(digits), backgrounds=(photographs[0], str(tmp_path / "text.png"))
            ).load()

    @pytest.mark.parametrize("count", [0, 1])
    def test_one_photograph_makes_no_styles(self, count):
        with pytest.raises(ValidationError, match=f"at least 2 items.*{count}"):
            PolyMnist(folder="x", backgrounds=("a.png",) * count)


def test_one_player_sees_pictures_with_their_style_and_one_the_digits_shape(tmp_path):
    """A6: data on (c, d, x) here, on (c, s) there; what they have in common is the class."""
    source = PolyMnist.tiny()
    config = Config.from_dict(
        {
            "data": {"source": {"name": "poly_mnist", **source.model_dump(exclude_none=True)}},
            "model": "exponential_family",
            "players": {
                "pictures": {"variables": ["class", "style", "image"]},
                "shapes": {"variables": ["class", "segmentation"]},
            },
            "game": {"name": "sample_exchange", "rounds": 2, "samples_per_round": 60},
            "measure": {"samples": 100, "every_rounds": 2},
        }
    )
    assert Config.from_toml(config.to_toml()) == config
    result = Federation(config).run(tmp_path / "run")
    assert result.record.data.learned == {
        "pictures": ["class", "style", "image"],
        "shapes": ["class", "segmentation"],
    }
    links = {(link.purpose, link.sender, link.receiver): link for link in result.main.traffic}
    classes = links["exchange", "shapes", "pictures"]
    assert classes.bytes == classes.samples * (8 + 8 * 8), "a class and a segmentation each"
