"""Data, spaces and streams where splits, sides and names are unlike."""

import hashlib
import math
import random

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from coplay import Space, Variable
from coplay.core.errors import DataError, SpaceError
from coplay.core.space import finite, payload_bytes
from coplay.core.streams import (
    derive,
    isolated_seed,
    small_seed,
    stream,
    torch_threads,
    unbiased_counts,
)
from coplay.data.classes import class_column, named_column
from coplay.data.partitions.by_class import ByClass
from coplay.data.partitions.by_count import ByCount
from coplay.data.partitions.dirichlet import Dirichlet
from coplay.data.partitions.iid import Iid
from coplay.data.pictures import image_column, read_pictures
from coplay.data.sources.base import held_out
from coplay.data.sources.digits import Digits
from coplay.data.sources.idx import Idx, write_idx
from coplay.data.sources.image_folder import ImageFolder
from coplay.data.sources.npz import Npz
from coplay.data.sources.poly_mnist import PolyMnist

RNG = np.random.default_rng(3)


# --------------------------------------------------------------------------------------- partitions


def test_shared_classes_are_cut_at_random_in_the_order_of_the_players():
    labels = torch.arange(600) % 3
    classes = {"b": (0, 1), "a": (1, 2), "c": (1,)}
    deal = ByClass(classes=classes).deal(labels, 600, ["c", "b", "a"], stream(1))
    counts = {name: labels[hand].bincount(minlength=3).tolist() for name, hand in deal.items()}
    assert counts == {"c": [0, 67, 0], "b": [200, 67, 0], "a": [0, 66, 200]}
    own = deal["b"][labels[deal["b"]] == 1]
    assert own.max() > 500, "not the first of the class"
    assert torch.equal(own, own.sort().values)


def test_hands_of_so_many_are_random_and_no_sample_is_left_for_two():
    labels = torch.arange(300) % 3
    counts = {"a": (40, 5, 0), "b": (60, 0, 7)}
    deal = ByCount(counts=counts).deal(labels, 300, ["a", "b"], stream(1))
    for name, wanted in counts.items():
        assert labels[deal[name]].bincount(minlength=3).tolist() == list(wanted)
    assert not set(deal["a"].tolist()) & set(deal["b"].tolist())
    assert deal["a"].max() > 200, "not the first of the class"
    with pytest.raises(DataError, match="asks for 61 samples of class 0, but 60 are left"):
        ByCount(counts={"a": 40, "b": (61, 0, 0)}).deal(labels, 300, ["a", "b"], stream(1))


@pytest.mark.parametrize("concentration", [0.3, 4.0])
def test_shares_have_the_variance_of_a_symmetric_dirichlet_and_are_drawn_for_each_class(
    concentration,
):
    """Of N players a share has variance (N − 1) / (N² (N a + 1)), class by class."""
    labels = torch.arange(60_000) % 300
    names = ["a", "b", "c"]
    deal = Dirichlet(concentration=concentration).deal(labels, 60_000, names, stream(1))
    shares = torch.stack([labels[deal[n]].bincount(minlength=300) / 200 for n in names]).double()
    assert torch.allclose(shares.sum(0), torch.ones(300, dtype=torch.float64))
    assert shares.mean().item() == pytest.approx(1 / 3)
    expected = 2 / (9 * (3 * concentration + 1))
    assert shares.var().item() == pytest.approx(expected, rel=0.15)
    assert shares[0].unique().numel() > 50


def test_even_parts_are_random_and_complete():
    deal = Iid().deal(None, 100, ["a", "b", "c"], stream(1))
    assert [len(hand) for hand in deal.values()] == [34, 33, 33]
    assert sorted(torch.cat(list(deal.values())).tolist()) == list(range(100))
    assert deal["a"].max() > 80


# ------------------------------------------------------------------------------------------ sources


def test_every_digit_keeps_its_class_and_goes_to_one_split():
    raw = load_digits()
    data = Digits(grey=True).load()
    known = {}
    for image, label in zip(raw.images, raw.target, strict=True):
        known.setdefault((image / 16).astype(np.float32).tobytes(), []).append(int(label))
    seen = []
    for split in (data.train, data.test):
        for image, label in zip(split["image"], split["class"].tolist(), strict=True):
            key = image.numpy().tobytes()
            assert label in known[key]
            seen.append(key)
    assert sorted(seen) == sorted(key for key, labels in known.items() for _ in labels)
    assert (len(data.train), len(data.test)) == (1300, 497)
    bits = Digits(threshold=0.25).load()
    assert torch.equal(bits.test["image"], (data.test["image"] >= 0.25).byte())


def test_idx_files_are_read_as_written_and_halved_by_means(tmp_path):
    images = {"train": RNG.integers(0, 256, (7, 4, 6), np.uint8)}
    images["t10k"] = RNG.integers(0, 256, (3, 4, 6), np.uint8)
    labels = {
        "train": np.array([4, 0, 2, 1, 3, 0, 1], np.uint8),
        "t10k": np.array([1, 4, 2], np.uint8),
    }
    for prefix, pixels in images.items():
        write_idx(tmp_path / f"{prefix}-images-idx3-ubyte.gz", pixels)
        write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte", labels[prefix])
    data = Idx(folder=str(tmp_path), grey=True).load()
    half = Idx(folder=str(tmp_path), grey=True, halved=True).load()
    for prefix, split in (("train", "train"), ("t10k", "test")):
        grey = torch.from_numpy(images[prefix]).double() / 255
        found = getattr(data, split)
        assert torch.allclose(found["image"].double(), grey, atol=1e-6)
        assert found["class"].tolist() == labels[prefix].tolist()
        means = grey.reshape(-1, 2, 2, 3, 2).mean((2, 4))
        assert torch.allclose(getattr(half, split)["image"].double(), means, atol=1e-6)


@pytest.mark.parametrize("threshold", [1 / 255, 0.4, 128 / 255, 1.0])
def test_a_pixel_is_one_from_the_threshold_on(threshold):
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16)
    expected = [k / 255 >= threshold - 1e-9 for k in range(256)]
    floats = pixels.double() / 255
    for images in (pixels, floats):
        bits = image_column(images, images, threshold, "x").train
        assert bits.flatten().bool().tolist() == expected
    grey = image_column(pixels, pixels, None, "x").train
    assert grey.max().item() == 1.0
    assert grey.flatten()[51].item() == pytest.approx(0.2)


def test_classes_are_the_labels_of_both_splits():
    column = class_column(torch.tensor([0, 1]), torch.tensor([4, 2]), "x")
    assert column.variable.names == ("0", "1", "2", "4")
    assert (column.train.tolist(), column.test.tolist()) == ([0, 1], [3, 2])
    assert class_column(torch.tensor([0]), torch.tensor([0]), "x").variable.classes == 2
    names = list("abcdefg")
    assert named_column(torch.tensor([0]), torch.tensor([0]), names, "x").variable.classes == 7
    for train, test in (([0, -1], [0, 1]), ([0, 1], [0, -1])):
        with pytest.raises(DataError, match="got -1"):
            named_column(torch.tensor(train), torch.tensor(test), names, "x")


def test_texts_are_numbered_over_both_splits_in_their_order():
    column = class_column(np.array(["c", "a", "c"]), np.array(["b", "a"]), "x")
    assert (column.train.tolist(), column.test.tolist()) == ([2, 0, 2], [1, 0])


def test_what_is_held_out_is_not_trained_on_and_is_its_share():
    train, test = held_out(40, 0.3, "x")
    assert (len(train), len(test)) == (28, 12)
    assert not set(train.tolist()) & set(test.tolist())
    assert test.tolist() != list(range(12))
    assert [len(part) for part in held_out(3, 0.01, "x")] == [2, 1]
    assert [len(part) for part in held_out(3, 0.99, "x")] == [1, 2]


def opened(array):
    return lambda: Image.fromarray(array)


def test_pictures_have_height_first_and_keep_their_bits():
    deep = np.array([[0, 255, 256], [4096, 40_000, 65_535]], np.uint16)
    pictures = read_pictures([("deep", opened(deep))], None, False, "x")
    assert pictures.values[0].tolist() == deep.tolist()
    flat = np.zeros((6, 4), np.uint8)
    flat[:3] = 200
    scaled = read_pictures([("flat", opened(flat))], (2, 8), False, "x").values
    assert scaled.shape == (1, 2, 8)
    assert (scaled[0, 0] > scaled[0, 1]).all()
    colours = RNG.integers(0, 256, (2, 5, 3), np.uint8)
    pictures = read_pictures([("colours", opened(colours))], None, True, "x")
    assert pictures.values[0].tolist() == colours.transpose(2, 0, 1).tolist()


def test_arrays_without_a_test_split_part_with_what_is_held_out(tmp_path):
    colours = RNG.integers(0, 256, (10, 4, 5, 3), np.uint8)
    np.savez(tmp_path / "mine.npz", x_train=colours, y_train=np.arange(10))
    data = Npz(file=str(tmp_path / "mine.npz"), test_share=0.3).load()
    train, test = held_out(10, 0.3, "")
    assert data.train["class"].tolist() == train.tolist()
    assert data.test["class"].tolist() == test.tolist()
    for part, rows in ((data.train, train), (data.test, test)):
        expected = torch.from_numpy(colours).permute(0, 3, 1, 2)[rows].double() / 255
        assert torch.allclose(part["image"].double(), expected, atol=1e-6)


def test_a_folder_with_unlike_splits_keeps_every_picture_with_its_class(tmp_path):
    """Each picture's grey value says its split and class."""
    values = {("train", "x"): 10, ("train", "y"): 60, ("test", "x"): 110, ("test", "y"): 160}
    for (split, name), value in values.items():
        folder = tmp_path / split / name
        folder.mkdir(parents=True)
        for i in range({"train": 4, "test": 1}[split] + (name == "y")):
            Image.fromarray(np.full((3, 4), value + i, np.uint8)).save(folder / f"{i}.png")
    data = ImageFolder(folder=str(tmp_path), grey=True).load()
    first = {split: getattr(data, split)["image"][:, 0, 0] * 255 for split in ("train", "test")}
    assert first["train"].round().tolist() == [10, 11, 12, 13, 60, 61, 62, 63, 64]
    assert first["test"].round().tolist() == [110, 160, 161]
    assert data.train["class"].tolist() == [0] * 4 + [1] * 5
    assert data.test["class"].tolist() == [0, 1, 1]


def test_without_splits_classes_follow_their_pictures(tmp_path):
    for k, name in enumerate(("x", "y", "z")):
        (tmp_path / name).mkdir()
        for i in range(4 + k):
            Image.fromarray(np.full((3, 4), 80 * k + i, np.uint8)).save(
                tmp_path / name / f"{i}.png"
            )
    data = ImageFolder(folder=str(tmp_path), grey=True, test_share=0.4).load()
    for part in (data.train, data.test):
        values = (part["image"][:, 0, 0] * 255).round().long()
        assert (values // 80).tolist() == part["class"].tolist()
    assert len(data.test) == 6


def test_digits_in_photographs_as_large_as_they_are_high_and_wide(tmp_path):
    """The photograph's red counts rows and its green columns, so a crop says where it was cut."""
    n = 40
    for prefix, count in (("train", n), ("t10k", 7)):
        digits = np.zeros((count, 4, 6), np.uint8)
        digits[:, 1, 2] = 255
        write_idx(tmp_path / f"{prefix}-images-idx3-ubyte", digits)
        write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte", (np.arange(count) % 3).astype(np.uint8))
    files = []
    for k, (height, width) in enumerate(((5, 20), (9, 6))):
        picture = np.zeros((height, width, 3), np.uint8)
        picture[:, :, 0] = np.arange(height)[:, None]
        picture[:, :, 1] = np.arange(width)
        picture[:, :, 2] = 100 + k
        files.append(tmp_path / f"{k}.png")
        Image.fromarray(picture).save(files[-1])
    source = PolyMnist(folder=str(tmp_path), backgrounds=tuple(map(str, files)))
    data = source.load()
    bytes_ = (data.train["image"] * 255).round().long()
    corners = bytes_[:, :2, 0, 0]
    assert torch.equal(bytes_[:, 2, 0, 0] - 100, data.train["style"])
    assert torch.equal(bytes_[:, 0, 3, 5], corners[:, 0] + 3)
    assert torch.equal(bytes_[:, 1, 3, 5], corners[:, 1] + 5)
    assert torch.equal(255 - bytes_[:, 0, 1, 2], corners[:, 0] + 1)
    assert torch.equal(255 - bytes_[:, 1, 1, 2], corners[:, 1] + 2)
    for k, (tops, lefts) in enumerate(((1, 14), (5, 0))):
        of_style = corners[data.train["style"] == k]
        assert of_style.min() == 0
        assert of_style[:, 0].max() == tops
        assert of_style[:, 1].max() >= min(lefts, 10)
    few = source.model_copy(update={"limit": 5}).load()
    assert torch.equal(few.train["image"], data.train["image"][:5])
    assert few.train["style"].tolist() == data.train["style"][:5].tolist()
    assert data.train["style"][:7].tolist() != data.test["style"].tolist()


# ------------------------------------------------------------------------------------------- spaces


MIXED = Space(
    {
        "z": Variable(kind="binary", shape=(2, 2)),
        "a": Variable(kind="real", low=-1.0, high=2.0),
        "k": Variable(kind="categorical", classes=3),
        "n": Variable(kind="count"),
    }
)


def mixed():
    return MIXED.samples(
        z=torch.tensor([[[0, 1], [1, 0]], [[1, 1], [0, 0]]], dtype=torch.uint8),
        a=torch.tensor([0.5, -1.0]),
        k=torch.tensor([2, 0]),
        n=torch.tensor([7, 0]),
    )


def test_rows_of_a_space_go_there_and_back_in_its_own_order():
    rows = MIXED.flatten(mixed())
    assert rows.tolist() == [[0, 1, 1, 0, 0.5, 2, 7], [1, 1, 0, 0, -1.0, 0, 0]]
    back = MIXED.unflatten(rows)
    assert all(torch.equal(back[name], mixed()[name]) for name in MIXED)
    sizes = [Variable(kind="binary", shape=shape).size for shape in ((), (5,), (2, 3), (3, 4, 5))]
    assert sizes == [1, 5, 6, 60]


def test_what_is_not_allowed_becomes_the_nearest_that_is():
    rows = torch.tensor(
        [[0.6, -3.0, 1.7, 0.4, 9.0, 2.7, -0.8], [0.49, 0.51, 1, 0, -9.0, -2.0, 3.6]]
    )
    found = MIXED.unflatten(rows)
    assert found["z"].reshape(2, 4).tolist() == [[1, 0, 1, 0], [0, 1, 1, 0]]
    assert found["a"].tolist() == [2.0, -1.0]
    assert found["k"].tolist() == [2, 0]
    assert found["n"].tolist() == [0, 4]
    MIXED.check(found, "here", complete=True)
    with pytest.raises(SpaceError, match="expected 7 numbers"):
        MIXED.unflatten(torch.zeros(1, 8))


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("a", torch.tensor([0.0, math.nan]), "1 NaN or infinite ones in row 1"),
        ("a", torch.tensor([-math.inf, math.inf]), "2 NaN or infinite ones in 2 rows, first 0"),
        ("a", torch.tensor([0.0, 2.5]), r"values in \[-1, 2\], got 2.5 in row 1"),
        ("a", torch.tensor([-1.5, 2.0]), "got -1.5 in row 0"),
        ("k", torch.tensor([0, 3]), r"values in \[0, 2\], got 3 in row 1"),
        ("n", torch.tensor([-1, -2]), "got -1 in 2 rows, first 0"),
        ("a", torch.tensor([0, 1]), "type float32 or float64, got torch.int64"),
    ],
)
def test_a_single_fault_is_found_and_told_by_its_row(name, values, words):
    with pytest.raises(SpaceError, match=words):
        MIXED.check(mixed().set(name, values), "north")


def test_rows_are_counted_and_not_the_numbers_that_are_wrong_in_them():
    space = Space({"x": Variable(kind="binary", shape=(3,))})
    wrong = torch.tensor([[0, 1, 1], [2, 3, 1], [0, 0, 9]], dtype=torch.uint8)
    with pytest.raises(SpaceError, match="in 2 rows, first 1"):
        space.check(space.samples(x=wrong), "north")
    with pytest.raises(SpaceError, match="in row 1"):
        space.check(space.samples(x=wrong[:2]), "north")


def test_an_unlimited_number_must_be_finite_too():
    space = Space({"x": Variable(kind="real")})
    for value in (math.nan, math.inf, -math.inf):
        with pytest.raises(SpaceError, match="finite"):
            space.check(space.samples(x=torch.tensor([0.0, value])), "north")
        assert not finite(torch.tensor([0.0, value, 1.0]))


def test_samples_must_be_as_many_and_complete_as_asked():
    samples = mixed()
    assert MIXED.check(samples, "north", complete=True, rows=2) is samples
    for rows in (1, 3):
        with pytest.raises(SpaceError, match=f"expected {rows} samples, got 2"):
            MIXED.check(samples, "north", rows=rows)
    some = samples.exclude("k")
    assert MIXED.check(some, "north") is some
    with pytest.raises(SpaceError, match=r"variable 'k' .* is missing"):
        MIXED.check(some, "north", complete=True)
    with pytest.raises(SpaceError, match="expected variables among"):
        MIXED.only(["z", "a"]).check(samples, "north")


def test_spaces_keep_the_order_asked_for_and_differ_by_their_variables():
    assert list(MIXED.only(["n", "z"])) == ["n", "z"]
    other = Space({name: MIXED[name] for name in ("z", "a", "k")}).extended({"n": MIXED["z"]})
    assert list(other) == list(MIXED)
    assert other != MIXED
    assert Space({name: MIXED[name] for name in MIXED}) == MIXED
    with pytest.raises(SpaceError, match="variable 'k' already"):
        MIXED.extended({"k": MIXED["z"]})
    assert list(MIXED.only(["z", "k"]).restrict(mixed()).keys()) == ["z", "k"]


def test_a_payload_is_as_large_as_its_numbers():
    assert payload_bytes(mixed()) == 2 * (4 * 1 + 4 + 8 + 8)


# ------------------------------------------------------------------------------------------ streams


def test_a_stream_is_named_by_its_words_one_by_one():
    names = [(1, "a", "b"), (1, "ab"), (1, "a", "", "b"), (11, "a"), (1, "1a"), (1, "1", "a")]
    assert len({derive(*name) for name in names}) == len(names)
    digest = hashlib.blake2b(b"7\x1fdraw\x1f3\x1fsouth", digest_size=8).digest()
    assert derive(7, "draw", 3, "south") == int.from_bytes(digest, "big") >> 1
    assert stream(7, "draw").initial_seed() == derive(7, "draw")


def test_small_seeds_are_spread_over_31_bits():
    generator = stream(1)
    seeds = torch.tensor([small_seed(generator) for _ in range(400)]).double()
    assert len(seeds.unique()) == 400
    assert seeds.max() < 2**31
    assert seeds.mean().item() == pytest.approx(2**30, rel=0.15)


def drawn():
    return torch.rand(2).tolist(), np.random.rand(2).tolist(), random.random()


def test_a_seed_holds_for_all_three_generators_and_for_the_block_alone():
    with isolated_seed(5):
        outer = (np.random.get_state()[1].tolist(), random.getstate(), torch.get_rng_state())
        with isolated_seed(1):
            one = drawn()
        with isolated_seed(2):
            other = drawn()
        with isolated_seed(1):
            again = drawn()
        after = (np.random.get_state()[1].tolist(), random.getstate(), torch.get_rng_state())
    assert one == again
    assert all(a != b for a, b in zip(one, other, strict=True))
    assert outer[:2] == after[:2]
    assert torch.equal(outer[2], after[2])


def test_threads_come_back_also_after_a_failure():
    def failing():
        with torch_threads(1):
            assert torch.get_num_threads() == 1
            raise ValueError("within")

    torch.set_num_threads(2)
    with pytest.raises(ValueError, match="within"):
        failing()
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)


def test_rounding_is_by_an_offset_that_is_drawn():
    weights = torch.tensor([0.3, 0.7], dtype=torch.float64)
    for seed in range(30):
        offset = torch.rand((), generator=stream(seed), dtype=torch.float64).item()
        first = math.floor(0.3 + offset)
        assert unbiased_counts(weights, 1, stream(seed)) == [first, 1 - first]


def test_weights_whose_sum_is_rounded_lose_no_sample():
    thirds = torch.tensor([0.333333, 0.333333, 0.333333])
    for seed in range(100):
        assert sum(unbiased_counts(thirds, 3_000_000, stream(seed))) == 3_000_000
