"""Sources of one's own files: what was written is what is loaded, and every fault is named."""

import builtins
import importlib

import numpy as np
import pytest
import torch
from PIL import Image

from coplay import Config, find
from coplay.core.errors import DataError
from coplay.data.sources.base import held_out, labelled_images
from coplay.data.sources.hugging_face import HuggingFace
from coplay.data.sources.image_folder import ImageFolder
from coplay.data.sources.npz import Npz

RNG = np.random.default_rng(5)
BYTES = RNG.integers(0, 256, (10, 4, 3), np.uint8)
COLOURS = RNG.integers(0, 256, (10, 4, 5, 3), np.uint8)
TABLE = "height,width,kind,ok,note\n" + "".join(
    f"{i},{i / 4},{'ab'[i % 2]},{i > 3},n{i}\n" for i in range(10)
)


def fails(source, *words, error=DataError):
    """Loading must fail with all these words in its message."""
    with pytest.raises(error) as caught:
        source.load()
    for word in words:
        assert word in str(caught.value), str(caught.value)


def grey(pixels):
    return torch.from_numpy(pixels).float() / 255


class TestHeldOut:
    def test_disjoint_complete_and_the_same_at_every_call(self):
        train, test = held_out(50, 0.2, "x")
        assert len(test) == 10
        assert sorted([*train.tolist(), *test.tolist()]) == list(range(50))
        again = held_out(50, 0.2, "y")
        assert torch.equal(train, again[0])
        assert torch.equal(test, again[1])

    @pytest.mark.parametrize("share", [0.001, 0.999])
    def test_both_sides_get_a_sample(self, share):
        assert all(len(part) for part in held_out(3, share, "x"))

    def test_one_sample_cannot_be_split(self):
        with pytest.raises(
            DataError, match=r"pets: expected a test split, or at least 2 samples .* got 1"
        ):
            held_out(1, 0.5, "pets")


def test_bytes_and_floats_become_the_same_bits_at_every_threshold():
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16)
    for threshold in (1e-6, 0.25, 0.4375, 0.5, 128 / 255, 1.0):
        data = labelled_images("x", (pixels, None), (pixels.float() / 255, None), threshold)
        assert torch.equal(data.train["image"], data.test["image"])
        assert torch.equal(data.test["image"], (pixels.float() / 255 >= threshold).to(torch.uint8))


class TestNpz:
    def write(self, path, /, **arrays):
        np.savez(path / "mine.npz", **arrays)
        return str(path / "mine.npz")

    def test_the_form_of_keras(self, tmp_path):
        labels = np.arange(10) % 3
        file = self.write(
            tmp_path, x_train=BYTES, y_train=labels, x_test=BYTES[:4], y_test=labels[:4, None]
        )
        data = Npz(file=file, grey=True).load()
        assert data.name == "mine"
        assert torch.equal(data.train["image"], grey(BYTES))
        assert torch.equal(data.test["image"], grey(BYTES[:4]))
        assert data.train["class"].tolist() == labels.tolist()
        assert data.test["class"].tolist() == labels[:4].tolist()
        bits = Npz(file=file, threshold=0.25).load()
        assert str(bits.space["image"]) == "binary 4×3"
        assert torch.equal(bits.train["image"], (grey(BYTES) >= 0.25).to(torch.uint8))

    def test_names_of_ones_own_and_no_test_arrays(self, tmp_path):
        file = self.write(
            tmp_path, pictures=BYTES, kinds=np.array(list("abcab" * 2)), other=np.zeros(3)
        )
        source = Npz(file=file, x_train="pictures", y_train="kinds", grey=True, test_share=0.3)
        data = source.load()
        train, test = held_out(10, 0.3, "")
        assert torch.equal(data.train["image"], grey(BYTES)[train])
        assert torch.equal(data.test["image"], grey(BYTES)[test])
        assert data.test["class"].tolist() == ["abc".index(("abcab" * 2)[i]) for i in test.tolist()]

    def test_a_table_of_ones_own_variables(self, tmp_path):
        arrays = {
            "x": RNG.normal(size=(10, 3)),
            "age": RNG.normal(size=10).astype(np.float32),
            "visits": np.arange(10, dtype=np.uint16),
            "ok": np.arange(10) > 4,
            "town": np.array(["ulm", "bonn"] * 5),
            "class": np.arange(10) % 4,
            "scan": BYTES,
        }
        data = Npz(
            file=self.write(
                tmp_path,
                **{
                    f"{s}/{k}": v[: 10 if s == "train" else 6]
                    for k, v in arrays.items()
                    for s in ("train", "test")
                },
            )
        ).load()
        assert {name: str(data.space[name]) for name in data.space} == {
            "x": "real 3",
            "age": "real scalar",
            "visits": "count scalar",
            "ok": "binary scalar",
            "town": "categorical of 2 scalar",
            "class": "categorical of 4 scalar",
            "scan": "binary 4×3",
        }
        for name in ("x", "age", "visits", "ok", "class"):
            assert np.array_equal(
                data.train[name].numpy(), arrays[name].astype(data.train[name].numpy().dtype)
            )
            assert torch.equal(data.test[name], data.train[name][:6])
        assert data.train["town"].tolist() == [1, 0] * 5

    def test_a_table_without_test_arrays_is_split_row_by_row(self, tmp_path):
        data = Npz(
            file=self.write(tmp_path, **{"train/a": np.arange(10.0), "train/class": np.arange(10)})
        ).load()
        for part in (data.train, data.test):
            assert part["a"].tolist() == part["class"].tolist()
        assert sorted([*data.train["class"].tolist(), *data.test["class"].tolist()]) == list(
            range(10)
        )

    @pytest.mark.parametrize("arrays", [{"x_train": BYTES}, {"train/a": np.arange(10.0)}])
    def test_the_config_in_a_run_folder_loads_the_same(self, tmp_path, arrays):
        source = Npz(file=self.write(tmp_path, **arrays))
        again = Npz.model_validate(source.model_dump(mode="json", exclude_none=True))
        assert (again.load().train == source.load().train).all()

    @pytest.mark.parametrize("images", [COLOURS, COLOURS.transpose(0, 3, 1, 2), COLOURS / 255])
    def test_colours_are_kept_channels_first(self, tmp_path, images):
        data = Npz(file=self.write(tmp_path, x_train=images, x_test=images)).load()
        assert str(data.space["image"]) == "real 3×4×5 in [0, 1]"
        assert torch.allclose(data.train["image"], grey(COLOURS.transpose(0, 3, 1, 2)))
        assert list(data.space) == ["image"]

    @pytest.mark.parametrize(
        "images", [BYTES[..., None], BYTES.reshape(10, 1, 6, 2), (BYTES / 255).astype(np.float16)]
    )
    def test_one_channel_and_floats_are_grey(self, tmp_path, images):
        data = Npz(file=self.write(tmp_path, x_train=images), grey=True, test_share=0.1).load()
        train, _ = held_out(10, 0.1, "")
        assert torch.allclose(data.train["image"].reshape(-1, 4, 3), grey(BYTES)[train], atol=1e-3)

    def test_bools_are_bits(self, tmp_path):
        data = Npz(
            file=self.write(tmp_path, x_train=BYTES > 99, x_test=BYTES > 99), grey=True
        ).load()
        assert np.array_equal(data.train["image"].numpy(), BYTES > 99)
        assert data.space["image"].kind == "binary"

    @pytest.mark.parametrize(
        ("arrays", "words"),
        [
            ({"x": BYTES}, ["mine.npz: expected an array x_train, it holds x;", "train/NAME"]),
            (
                {"x_train": BYTES, "x_test": BYTES, "y_train": np.arange(10)},
                ["expected an array y_test"],
            ),
            (
                {"x_train": BYTES, "x_test": BYTES, "y_test": np.arange(10)},
                ["expected an array y_train"],
            ),
            (
                {"x_train": BYTES, "y_train": np.arange(10), "y_test": np.arange(9)},
                ["expected an array x_test"],
            ),
            (
                {"x_train": BYTES, "y_train": np.arange(9)},
                ["as many training samples", "10 of image, 9 of class"],
            ),
            (
                {"train/a": BYTES, "train/b": BYTES, "test/a": BYTES},
                ["expected train/b and test/b, or no test arrays"],
            ),
            (
                {"x_train": BYTES, "x_test": BYTES[:, 1:]},
                ["one type and shape", "(4, 3)", "(3, 3)"],
            ),
            ({"x_train": BYTES, "x_test": BYTES / 255}, ["one type and shape", "uint8", "float64"]),
            ({"x_train": BYTES * 1.0}, ["floats in [0, 1], got", "scale them"]),
            ({"x_train": np.where(BYTES > 250, np.nan, 0.5)}, ["floats in [0, 1], got nan"]),
            (
                {"x_train": BYTES.astype(int) - 300},
                ["whole numbers from 0 to 65535, got -", "set white"],
            ),
            ({"x_train": BYTES * 300.0}, ["floats in [0, 1], got 0 to", "set white"]),
            ({"x_train": COLOURS[..., :2]}, ["1 or 3 channels", ", 4, 5, 2)"]),
            ({"x_train": np.stack([COLOURS, COLOURS])}, ["expected images of shape"]),
            (
                {"x_train": np.array([{}, {}])},
                ["array x_train holds Python objects", "save it with a plain type"],
            ),
            ({"x_train": np.float32(3)}, ["array x_train to hold samples", "got ()"]),
            ({"x_train": BYTES[:0]}, ["array x_train to hold samples", "got (0, 4, 3)"]),
            ({"x_train": np.arange(-3, 3)}, ["whole numbers are counts, got -3"]),
            ({"x_train": np.ones(4, complex)}, ["expected floats", "complex128"]),
            ({"x_train": np.full((4, 2), "a")}, ["of one axis, texts", "(2,)"]),
            (
                {"x_train": BYTES, "y_train": np.eye(10)},
                ["expected one class a sample", "float64 of shape (8, 10)"],
            ),
            ({"x_train": BYTES, "y_train": np.full(10, 7)}, ["two classes, got only '7'"]),
            (
                {
                    "x_train": BYTES,
                    "y_train": np.arange(10),
                    "x_test": BYTES,
                    "y_test": np.full(10, "a"),
                },
                ["all whole numbers or all texts", "<U1"],
            ),
            ({"x_train": BYTES[:1]}, ["at least 2 samples", "got 1"]),
        ],
    )
    def test_faults(self, tmp_path, arrays, words):
        fails(Npz(file=self.write(tmp_path, **arrays)), "mine.npz", *words)

    def test_a_name_that_is_set_must_be_there(self, tmp_path):
        fails(
            Npz(file=self.write(tmp_path, x_train=BYTES), y_test="kinds"), "expected an array kinds"
        )

    def test_numbers_that_are_none_are_named_by_their_place_in_the_file(self, tmp_path):
        values = np.arange(20.0)
        values[[7, 11]] = np.nan, np.inf
        file = self.write(tmp_path, **{"train/a": values})
        fails(
            Npz(file=file),
            "mine.npz: array train/a",
            "2 NaN or infinite ones, the first in sample 7",
        )
        file = self.write(tmp_path, **{"train/a": np.array([1, 1e300])})
        fails(Npz(file=file), "variable 'a'", "±3.4e38", "got 1e+300")

    def test_no_file_and_files_of_other_forms(self, tmp_path):
        fails(Npz(file="no/such.npz"), "the file no/such.npz does not exist", "looked for from")
        fails(Npz(file=str(tmp_path)), "does not exist")
        np.save(tmp_path / "one.npy", BYTES)
        fails(Npz(file=str(tmp_path / "one.npy")), "one.npy holds a single array", "numpy.savez")
        for content in (b"", b"hello", b"PK\x03\x04 cut off"):
            (tmp_path / "bad.npz").write_bytes(content)
            fails(Npz(file=str(tmp_path / "bad.npz")), "bad.npz is no .npz file, or is damaged")
        content = bytearray((tmp_path / self.write(tmp_path, x_train=BYTES)).read_bytes())
        content[len(content) // 3] ^= 255
        (tmp_path / "bad.npz").write_bytes(content)
        fails(Npz(file=str(tmp_path / "bad.npz")), "bad.npz: cannot read array x_train", "damaged")


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


class TestImageFolder:
    def test_train_and_test_pixel_for_pixel(self, tmp_path):
        for i in range(10):
            save(tmp_path / ("train" if i < 6 else "test") / "ba"[i % 2] / f"{i}.png", BYTES[i])
        (tmp_path / "valid").mkdir()
        data = ImageFolder(folder=str(tmp_path), grey=True).load()
        assert data.name == tmp_path.name
        assert torch.equal(data.train["image"], grey(BYTES[[1, 3, 5, 0, 2, 4]]))
        assert torch.equal(data.test["image"], grey(BYTES[[7, 9, 6, 8]]))
        assert data.train["class"].tolist() == [0, 0, 0, 1, 1, 1]
        assert data.test["class"].tolist() == [0, 0, 1, 1]
        bits = ImageFolder(folder=str(tmp_path), threshold=0.25).load()
        assert torch.equal(bits.test["image"], (data.test["image"] >= 0.25).to(torch.uint8))

    def test_one_folder_is_split_and_classes_follow_the_pictures(self, tmp_path):
        for i in range(10):
            save(tmp_path / f"class{i % 3}" / f"{i}.bmp", np.full((2, 2), 20 * i + i % 3, np.uint8))
        source = ImageFolder(folder=str(tmp_path), grey=True, test_share=0.3)
        data = source.load()
        assert (len(data.train), len(data.test), data.classes) == (7, 3, 3)
        drawn = []
        for part in (data.train, data.test):
            values = (part["image"][:, 0, 0] * 255).round().long()
            assert torch.equal(values % 20, part["class"])
            drawn += values.tolist()
        assert len(set(drawn)) == 10
        assert torch.equal(source.load().test["image"], data.test["image"])

    def test_flat_files_have_no_class_and_others_are_left_alone(self, tmp_path):
        for i, ending in enumerate(
            ("png", "PNG", "bmp", "tif", "tiff", "webp", "gif", "jpg", "JPEG")
        ):
            save(tmp_path / f"{i}.{ending}", np.full((8, 8), 100, np.uint8))
        for name in (".hidden.png", "readme.txt"):
            (tmp_path / name).write_text("no picture")
        (tmp_path / ".cache").mkdir()
        data = ImageFolder(folder=str(tmp_path), grey=True).load()
        assert list(data.space) == ["image"]
        assert len(data.train) + len(data.test) == 9
        assert ((data.train["image"] * 255 - 100).abs() < 3).all()

    def test_colours(self, tmp_path):
        for i in range(10):
            save(tmp_path / f"{i}.png", COLOURS[i])
        data = ImageFolder(folder=str(tmp_path), colour=True).load()
        train, _ = held_out(10, 0.2, "")
        assert torch.equal(data.train["image"], grey(COLOURS.transpose(0, 3, 1, 2))[train])
        assert str(data.space["image"]) == "real 3×4×5 in [0, 1]"
        assert (
            str(ImageFolder(folder=str(tmp_path), grey=True).load().space["image"])
            == "real 4×5 in [0, 1]"
        )

    def test_sixteen_bits_keep_their_upper_eight(self, tmp_path):
        wide = np.array([[0, 256, 65535]], np.uint16)
        save(tmp_path / "a.png", wide)
        save(tmp_path / "b.png", wide)
        data = ImageFolder(folder=str(tmp_path), grey=True).load()
        assert (data.train["image"][0] * 255).round().tolist() == [[0, 1, 255]]

    def test_photographs_are_turned(self, tmp_path):
        for name in ("a", "b"):
            exif = Image.Exif()
            exif[0x0112] = 6
            Image.fromarray(np.zeros((2, 5), np.uint8)).save(tmp_path / f"{name}.png", exif=exif)
        assert ImageFolder(folder=str(tmp_path)).load().space["image"].shape == (5, 2)

    def test_mixed_sizes_are_an_error_unless_scaled(self, tmp_path):
        save(tmp_path / "a.png", np.zeros((4, 6), np.uint8))
        save(tmp_path / "b.png", np.full((5, 3), 255, np.uint8))
        fails(
            ImageFolder(folder=str(tmp_path)),
            "a.png of 4×6 and b.png of 5×3",
            "size = [height, width]",
        )
        data = ImageFolder(folder=str(tmp_path), size=(2, 3)).load()
        assert data.space["image"].shape == (2, 3)
        assert {int(data.train["image"].sum()), int(data.test["image"].sum())} == {0, 6}

    def test_broken_pictures_are_named_at_most_five(self, tmp_path):
        for i in range(9):
            save(tmp_path / "a" / f"{i}.png", BYTES[i])
        content = (tmp_path / "a" / "8.png").read_bytes()
        (tmp_path / "a" / "8.png").write_bytes(content[: len(content) // 2])
        fails(
            ImageFolder(folder=str(tmp_path)), "cannot read 1 of 9 pictures: a/8.png (the first: "
        )
        for i in range(7):
            (tmp_path / "a" / f"{i}.png").write_bytes(b"no picture")
        fails(
            ImageFolder(folder=str(tmp_path)),
            "8 of 9 pictures: a/0.png, a/1.png, a/2.png, a/3.png, a/4.png and 3 more",
            "UnidentifiedImageError",
            "repair or remove",
        )

    def test_floats_in_a_picture_are_kept_if_they_are_grey_values(self, tmp_path):
        values = np.array([[0, 0.25], [0.5, 1]], np.float32)
        for name in "ab":
            save(tmp_path / f"{name}.tif", values)
        data = ImageFolder(folder=str(tmp_path), grey=True).load()
        assert torch.equal(data.train["image"][0], torch.from_numpy(values))
        save(tmp_path / "b.tif", 40 * values)
        fails(ImageFolder(folder=str(tmp_path)), "floats in [0, 1], got 0 to 40", "set white")
        data = ImageFolder(folder=str(tmp_path), grey=True, white=40).load()
        assert max(part["image"].max().item() for part in (data.train, data.test)) == 1

    @pytest.mark.parametrize(
        ("files", "words"),
        [
            ([], ["or one sub-folder a class, got none"]),
            (["notes.txt"], ["got none"]),
            (["a/1.png", "2.png"], ["got both (2.png beside a/)"]),
            (["a/b/1.png"], ["the class a, got the folder b/", "one level"]),
            (["train/a/1.png"], ["both train/ and test/, got train/ only", "set folder to"]),
            (["train/a/1.png", "test/1.png"], ["in both train/ and test/ or in neither"]),
            (
                ["train/a/1.png", "test/a/1.png", "test/b/1.png"],
                ["test/ has a class b", "train/ has a"],
            ),
            (["train/a/b/1.png", "test/a/1.png"], ["the class a, got the folder b/"]),
            (
                ["a/1.png", "b/notes.txt"],
                ["/b: expected pictures", "got none", "remove this class"],
            ),
            (["1.png"], ["at least 2 samples", "got 1"]),
        ],
    )
    def test_faults_of_the_folder(self, tmp_path, files, words):
        for name in files:
            if name.endswith("png"):
                save(tmp_path / name, BYTES[0])
            else:
                (tmp_path / name).parent.mkdir(exist_ok=True)
                (tmp_path / name).write_text("text")
        fails(ImageFolder(folder=str(tmp_path)), str(tmp_path), *words)

    def test_no_folder(self):
        fails(ImageFolder(folder="no/such"), "the folder no/such does not exist", "looked for from")


@pytest.fixture
def datasets():
    return pytest.importorskip("datasets")


@pytest.fixture
def offline(datasets, monkeypatch):
    """The hub's client with the network turned off."""
    constants = importlib.import_module("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True, raising=False)


class TestHuggingFace:
    @pytest.fixture
    def pictures(self, datasets):
        """Ten pictures with two columns of classes."""

        def build(pixels=BYTES, **columns):
            columns = {
                "image": [Image.fromarray(p) for p in pixels],
                "label": [i % 3 for i in range(10)],
            } | columns
            features = {
                "image": datasets.Image(),
                "label": datasets.ClassLabel(names=["c", "b", "a"]),
            }
            return datasets.Dataset.from_dict(
                columns,
                datasets.Features(
                    features | {k: datasets.Value("int64") for k in columns if k not in features}
                ),
            )

        return build

    def source(self, tmp_path, dataset, **settings):
        return HuggingFace(dataset=str(dataset), cache=str(tmp_path / "cache"), **settings)

    @pytest.mark.parametrize("form", ["save_to_disk", "parquet"])
    def test_pictures_pixel_for_pixel(self, tmp_path, datasets, pictures, form):
        rows = pictures()
        place = tmp_path / "mine"
        splits = datasets.DatasetDict({"train": rows, "test": rows.select(range(4))})
        if form == "parquet":
            place.mkdir()
            for name, part in splits.items():
                part.to_parquet(str(place / f"{name}.parquet"))
        else:
            splits.save_to_disk(str(place))
        data = self.source(tmp_path, place, grey=True).load()
        assert data.name == "mine"
        assert torch.equal(data.train["image"], grey(BYTES))
        assert torch.equal(data.test["image"], grey(BYTES[:4]))
        assert data.train["class"].tolist() == [i % 3 for i in range(10)]
        assert data.classes == 3
        small = self.source(tmp_path, place, limit=3, size=(2, 2)).load()
        assert (len(small.train), len(small.test), str(small.space["image"])) == (
            3,
            3,
            "binary 2×2",
        )
        assert small.classes == 3

    def test_colours_and_a_share_held_out(self, tmp_path, pictures):
        pictures(COLOURS).save_to_disk(str(tmp_path / "mine"))
        data = self.source(tmp_path, tmp_path / "mine", colour=True).load()
        train, test = held_out(10, 0.2, "")
        expected = grey(COLOURS.transpose(0, 3, 1, 2))
        assert torch.equal(data.train["image"], expected[train])
        assert torch.equal(data.test["image"], expected[test])
        assert data.test["class"].tolist() == [i % 3 for i in test.tolist()]

    def test_a_folder_of_pictures_is_what_image_folder_reads(self, tmp_path):
        for i in range(10):
            save(
                tmp_path / "mine" / ("train" if i < 6 else "test") / "ba"[i % 2] / f"{i}.png",
                BYTES[i],
            )
        pytest.importorskip("datasets")
        one = self.source(tmp_path, tmp_path / "mine", grey=True).load()
        two = ImageFolder(folder=str(tmp_path / "mine"), grey=True).load()
        assert one.space == two.space
        for split in ("train", "test"):
            for name in one.space:
                assert torch.equal(getattr(one, split)[name], getattr(two, split)[name])

    @pytest.mark.parametrize(
        "form", ["mine.csv", "mine.parquet", "folder of csv", "folder of parquet"]
    )
    def test_tables(self, tmp_path, datasets, form):
        text = tmp_path / "mine.csv"
        text.write_text(TABLE)
        place = text if form == "mine.csv" else tmp_path / form
        if form.startswith("folder"):
            place.mkdir()
        if form == "folder of csv":
            (place / "train.csv").write_text(TABLE)
            (place / "test.csv").write_text(TABLE)
        elif "parquet" in form:
            rows = datasets.Dataset.from_csv(str(text), cache_dir=str(tmp_path / "cache"))
            for file in (
                (place / "train.parquet", place / "validation.parquet")
                if place.is_dir()
                else (place,)
            ):
                rows.to_parquet(str(file))
        data = self.source(tmp_path, place, label_column="kind").load()
        assert {name: str(data.space[name]) for name in data.space} == {
            "height": "real scalar",
            "width": "real scalar",
            "ok": "binary scalar",
            "class": "categorical of 2 scalar",
        }
        train, test = held_out(10, 0.2, "") if form.startswith("mine") else (torch.arange(10),) * 2
        for part, rows in ((data.train, train), (data.test, test)):
            assert torch.equal(part["height"], rows.float())
            assert torch.equal(part["width"], rows.float() / 4)
            assert torch.equal(part["ok"], (rows > 3).to(torch.uint8))
            assert torch.equal(part["class"], rows % 2)

    def test_splits_and_columns_by_name(self, tmp_path, datasets, pictures):
        rows = pictures(fine=[i % 5 for i in range(10)])
        splits = {"learn": rows.select(range(6)), "probe": rows.select(range(6, 10))}
        datasets.DatasetDict(splits).save_to_disk(str(tmp_path / "mine"))
        data = self.source(
            tmp_path,
            tmp_path / "mine",
            train="learn",
            test="probe",
            label_column="fine",
            image_column="image",
        ).load()
        assert data.train["class"].tolist() == [0, 1, 2, 3, 4, 0]
        assert data.test["class"].tolist() == [1, 2, 3, 4]

    def test_a_column_stored_without_decoding(self, tmp_path, datasets, pictures):
        rows = pictures().cast_column("image", datasets.Image(decode=False))
        rows.save_to_disk(str(tmp_path / "mine"))
        data = self.source(tmp_path, tmp_path / "mine", grey=True, test_share=0.1).load()
        assert torch.equal(data.train["image"], grey(BYTES)[held_out(10, 0.1, "")[0]])

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"train": "learn"}, ["no split 'learn'; it has train, test"]),
            ({"test": "probe"}, ["no split 'probe'; it has train, test"]),
            ({"test": "train"}, ["train and test are both 'train'"]),
            (
                {"image_column": "label"},
                ["image_column is 'label'", "image (Image), label (ClassLabel)"],
            ),
            ({"image_column": "scan"}, ["image_column is 'scan'"]),
            (
                {"label_column": "kind"},
                ["label_column is 'kind'", "image (Image), label (ClassLabel)"],
            ),
            ({"label_column": "image"}, ["expected one class a sample"]),
            ({"revision": "main"}, ["local and has no revisions"]),
        ],
    )
    def test_faults_of_the_settings(self, tmp_path, datasets, pictures, settings, words):
        datasets.DatasetDict({"train": pictures(), "test": pictures()}).save_to_disk(
            str(tmp_path / "mine")
        )
        fails(self.source(tmp_path, tmp_path / "mine", **settings), "mine", *words)

    @pytest.mark.parametrize(
        ("columns", "features", "words"),
        [
            (
                {"a": ["x", "y"]},
                {},
                ["a column of pictures or numeric columns; the columns are a (string)"],
            ),
            ({"a": [1, 2], "class": [0, 1]}, {}, ["set label_column = 'class'"]),
            (
                {"a": [1.0, None]},
                {},
                ["column a of the", "1 of 1 values are empty, the first in row 1 (from 0)"],
            ),
            (
                {"a": [1, 2], "b": [0, 1], "c": [0, 1]},
                {"b": "label", "c": "label"},
                ["(b, c)", "set label_column"],
            ),
            (
                {"a": [None, None], "b": [None, None]},
                {"a": "image", "b": "image"},
                ["(a, b)", "set image_column"],
            ),
            (
                {"a": [None, None]},
                {"a": "image"},
                ["row 1 of the split train", "no picture in this row"],
            ),
            ({"a": [1, 2], "b": [-1, -1]}, {"b": "label"}, ["numbered from 0 to 1, got -1"]),
            ({"a": [1]}, {}, ["at least 2 samples", "got 1"]),
        ],
    )
    def test_faults_of_the_data(self, tmp_path, datasets, columns, features, words):
        rows = datasets.Dataset.from_dict(columns)
        types = {"label": lambda: datasets.ClassLabel(names=["no", "yes"]), "image": datasets.Image}
        for name, kind in features.items():
            rows = rows.cast_column(name, types[kind]())
        rows.save_to_disk(str(tmp_path / "mine"))
        fails(self.source(tmp_path, tmp_path / "mine"), "mine", *words)

    def test_an_empty_split(self, tmp_path, datasets, monkeypatch):
        rows = datasets.Dataset.from_dict({"a": [1, 2]})
        splits = datasets.DatasetDict({"train": rows, "test": rows.select([])})
        monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: splits)
        fails(
            self.source(tmp_path, "mine/mine"),
            "samples in the splits train and test, got an empty one",
        )

    def test_classes_must_not_be_fractions(self, tmp_path, datasets):
        datasets.Dataset.from_dict({"a": [1, 2], "b": [0.5, 1.5]}).save_to_disk(
            str(tmp_path / "mine")
        )
        fails(
            self.source(tmp_path, tmp_path / "mine", label_column="b"),
            "column b",
            "got float64 of shape (1,)",
        )

    @pytest.mark.parametrize(
        ("other", "words"),
        [
            ({"b": [1, 2], "l": [0, 1]}, ["column a: the test split lacks it; it has b"]),
            (
                {"a": ["x", "y"], "l": [0, 1]},
                ["column a: expected numbers in the test split too, got a (string)"],
            ),
            ({"a": [1, 2]}, ["the test split lacks the column l"]),
            ({"a": [1, 2], "l": [1, 0], "names": ["yes", "no"]}, ["other names in the test split"]),
        ],
    )
    def test_splits_must_agree(self, tmp_path, datasets, other, words):
        def build(columns, names):
            rows = datasets.Dataset.from_dict(columns)
            return (
                rows.cast_column("l", datasets.ClassLabel(names=names)) if "l" in columns else rows
            )

        names = other.pop("names", ["no", "yes"])
        splits = {
            "train": build({"a": [1, 2], "l": [0, 1]}, ["no", "yes"]),
            "test": build(other, names),
        }
        for name, part in splits.items():
            part.save_to_disk(str(tmp_path / "mine" / name))
        (tmp_path / "mine" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
        fails(self.source(tmp_path, tmp_path / "mine"), "mine", *words)

    def test_mixed_sizes_name_the_rows(self, tmp_path, datasets):
        pixels = [Image.fromarray(p) for p in (BYTES[0], BYTES[1][1:])]
        rows = datasets.Dataset.from_dict(
            {"image": pixels}, datasets.Features({"image": datasets.Image()})
        )
        datasets.DatasetDict({"train": rows, "test": rows}).save_to_disk(str(tmp_path / "mine"))
        fails(
            self.source(tmp_path, tmp_path / "mine"),
            "row 0 of the split train of 4×3 and row 1 of the split train of",
            "3×3",
            "size =",
        )

    @pytest.mark.usefixtures("offline")
    @pytest.mark.parametrize("name", ["no-such/data-set", "nosuchdataset"])
    def test_an_unknown_name_says_what_was_tried(self, tmp_path, monkeypatch, name):
        monkeypatch.chdir(tmp_path)
        fails(
            self.source(tmp_path, name, config="large", revision="v1"),
            f"{name!r}: looked for the local path {tmp_path / name}, which does not exist",
            "hub with config 'large' and revision 'v1'",
            "ConnectionError",
            "whether this machine is online",
            "save_to_disk",
        )

    @pytest.mark.usefixtures("offline")
    def test_a_format_is_no_data_set_even_where_files_lie_about(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "train.csv").write_text(TABLE)
        fails(self.source(tmp_path, "csv"), "csv is a format, not a data set")

    @pytest.mark.parametrize("name", ["./mine", "~/no/such", "/no/such", "a/b/c", "mine.csv"])
    def test_a_path_that_is_missing_is_not_looked_for_elsewhere(self, name):
        fails(HuggingFace(dataset=name), "the file or folder", "does not exist")

    def test_local_places_that_hold_nothing_to_read(self, tmp_path, datasets):
        (tmp_path / "mine.txt").write_text("text")
        fails(
            self.source(tmp_path, tmp_path / "mine.txt"),
            "mine.txt: expected a folder or a file that ends in .csv",
        )
        (tmp_path / "empty").mkdir()
        fails(
            self.source(tmp_path, tmp_path / "empty"), f"from {tmp_path / 'empty'}", "save_to_disk"
        )
        (tmp_path / "bad.parquet").write_bytes(b"no parquet")
        fails(
            self.source(tmp_path, tmp_path / "bad.parquet"),
            f"{tmp_path / 'bad.parquet'} is no Parquet file",
        )

    def test_without_the_package_the_message_says_what_to_install(self, tmp_path, monkeypatch):
        def absent(name, *rest):
            if name == "datasets":
                raise ModuleNotFoundError("No module named 'datasets'")
            return imported(name, *rest)

        imported = importlib.import_module
        monkeypatch.setattr(importlib, "import_module", absent)
        fails(
            HuggingFace(dataset="no-such/data-set"),
            "needs the package datasets",
            "pip install 'coplay[data]'",
        )


@pytest.mark.parametrize("name", ["npz", "image_folder", "hugging_face", "table"])
def test_a_source_survives_the_config_and_needs_no_extra_to_be_named(name, monkeypatch):
    def watched(module, *rest, **more):
        assert module.split(".")[0] != "datasets"
        return imported(module, *rest, **more)

    imported = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", watched)
    source = find("source", name).tiny()
    values = {
        "name": "small",
        "players": {"a": {}},
        "model": "exponential_family",
        "game": "sample_exchange",
    }
    values["data"] = {"source": {"name": name, **source.model_dump(exclude_none=True)}}
    config = Config.from_dict(values)
    assert config.data.source == source
    assert Config.from_toml(config.to_toml()).data.source == source
