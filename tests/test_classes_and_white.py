"""Classes are the labels that occur and keep their names; white is the value that is white."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from coplay import Config, Federation, Variable
from coplay.cli.main import main
from coplay.core.errors import DataError
from coplay.data.classes import class_column
from coplay.data.column import real_column
from coplay.data.partitions.by_class import ByClass
from coplay.data.partitions.by_count import ByCount
from coplay.data.pictures import image_column
from coplay.data.sources.hugging_face import HuggingFace
from coplay.data.sources.idx import Idx, write_idx
from coplay.data.sources.image_folder import ImageFolder
from coplay.data.sources.npz import Npz
from coplay.data.sources.table import Table
from coplay.run.record import space_from_json, space_to_json
from coplay.run.result import Result

GREY = np.random.default_rng(7).integers(0, 256, (12, 6, 6), np.uint8)


class TestLabels:
    @pytest.mark.parametrize(
        ("labels", "names", "numbers"),
        [
            ([2019, 2022, 2019], ("2019", "2022"), [0, 1, 0]),
            ([10115, 90210], ("10115", "90210"), [0, 1]),
            ([0, 1, 3], ("0", "1", "3"), [0, 1, 2]),
            ([1, -1, 1], ("-1", "1"), [1, 0, 1]),
            ([1.0, 2.0], ("1", "2"), [0, 1]),
            ([True, False], ("false", "true"), [1, 0]),
            (["b", "a"], ("a", "b"), [1, 0]),
            (["10", "9"], ("9", "10"), [1, 0]),
            (["1.0", "2.0", "10.0"], ("1", "2", "10"), [0, 1, 2]),
            (["01", "1", "02"], ("01", "1", "02"), [0, 1, 2]),
            (["item10", "item2"], ("item2", "item10"), [1, 0]),
            ([2, 0, 1], None, [2, 0, 1]),
            (["1", "0"], None, [1, 0]),
            (["1.0", "0.0"], None, [1, 0]),
        ],
    )
    def test_classes_are_the_labels_that_occur(self, labels, names, numbers):
        column = class_column(np.array(labels), np.array(labels), "x")
        assert column.variable.names == names
        assert column.variable.classes == len(set(labels))
        assert column.train.tolist() == numbers

    def test_what_was_made_of_labels_is_said(self):
        assert class_column(np.array([0, 1]), np.array([1, 0]), "x").notes == ()
        notes = class_column(np.array([0, 1]), np.array([1]), "x").notes
        assert notes == ("'class': there are only training samples of '0'",)
        notes = class_column(np.array([0, 1]), np.array([3]), "x").notes
        assert (
            "3 classes, numbered in the order of their names: 0 is '0', 1 is '1', 2 is '3'"
            in (notes[0])
        )
        assert notes[1] == "'class': there are only test samples of '3'"
        notes = class_column(np.array([-1, 0, 1]), np.array([1]), "x").notes
        assert "-1 is taken as a class; leave its samples out if it stands for no label" in notes[1]

    @pytest.mark.parametrize(
        ("labels", "words"),
        [
            (np.array([0.5, 1]), "float64 of shape (2,), such as 0.5"),
            (np.array([np.nan, 1]), "such as nan"),
            (np.array([7, 7]), "at least two classes, got only '7'"),
            (np.array([2**64 - 1, 1], np.uint64), "uint64"),
        ],
    )
    def test_faults(self, labels, words):
        with pytest.raises(DataError) as caught:
            class_column(labels, labels, "x")
        assert words in str(caught.value)

    def test_every_source_of_labels(self, tmp_path):
        years = np.array([2019, 2022] * 6)
        np.savez(tmp_path / "t.npz", x_train=GREY, y_train=years)
        write_years = "\n".join(["x,year", *(f"{i},{year}" for i, year in enumerate(years))])
        (tmp_path / "t.csv").write_text(write_years)
        for prefix in ("train", "t10k"):
            write_idx(tmp_path / f"{prefix}-images-idx3-ubyte", GREY)
            write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte", (years - 1900).astype(np.uint8))
        for i, year in enumerate(years):
            (tmp_path / "years" / str(year)).mkdir(parents=True, exist_ok=True)
            Image.fromarray(GREY[i]).save(tmp_path / "years" / str(year) / f"{i}.png")
        sources = {
            "npz": Npz(file=str(tmp_path / "t.npz")),
            "table": Table(file=str(tmp_path / "t.csv"), label_column="year"),
            "folder": ImageFolder(folder=str(tmp_path / "years")),
        }
        for source in sources.values():
            assert source.load().class_names == ("2019", "2022")
        assert Idx(folder=str(tmp_path)).load().class_names == ("119", "122")

    def test_hub_data_in_memory(self, tmp_path):
        datasets = pytest.importorskip("datasets")
        rows = datasets.Dataset.from_dict({"x": [20230601 + i for i in range(8)], "y": [5, 9] * 4})
        rows.save_to_disk(str(tmp_path / "mine"))
        data = HuggingFace(dataset=str(tmp_path / "mine"), label_column="y").load()
        assert data.class_names == ("5", "9")
        both = torch.cat([data.train["x"], data.test["x"]])
        assert sorted(both.tolist()) == [20230601 + i for i in range(8)]

    def test_a_fault_has_its_row_before_the_split(self, tmp_path):
        datasets = pytest.importorskip("datasets")
        values = [float(i) for i in range(40)]
        values[33] = None
        datasets.Dataset.from_dict({"x": values}).save_to_disk(str(tmp_path / "mine"))
        with pytest.raises(DataError, match=r"the first in row 33 \(from 0\)"):
            HuggingFace(dataset=str(tmp_path / "mine")).load()


def test_names_survive_the_record_and_are_left_out_without():
    space = space_from_json({"c": {"kind": "categorical", "classes": 2, "names": ["a", "b"]}})
    assert space["c"].names == ("a", "b")
    assert space_from_json(json.loads(json.dumps(space_to_json(space)))) == space
    plain = {"c": {"kind": "categorical", "classes": 2}}
    assert space_to_json(space_from_json(plain)) == plain
    for names in (("a",), ("a", "a")):
        with pytest.raises(ValueError, match="as many different texts"):
            Variable(kind="categorical", classes=2, names=names)


class TestPictureFolders:
    @pytest.fixture
    def twelve(self, tmp_path):
        """Folders 0 … 11, each with pictures of one grey value: 20 times the folder's number."""
        for number in range(12):
            (tmp_path / "set" / str(number)).mkdir(parents=True)
            for i in range(4):
                pixels = np.full((4, 4), 20 * number, np.uint8)
                Image.fromarray(pixels).save(tmp_path / "set" / str(number) / f"{i}.png")
        return str(tmp_path / "set")

    def test_folder_ten_is_class_ten(self, twelve):
        data = ImageFolder(folder=twelve, grey=True).load()
        assert data.classes == 12
        grey = (data.train["image"][:, 0, 0] * 255).round().long()
        assert torch.equal(grey, 20 * data.train["class"])

    def test_partitions_take_names_and_numbers(self):
        labels = torch.tensor([0, 1, 2, 0, 1, 2])
        years = ("2019", "2020", "2022")
        for wanted in ((2019, 2022), ("2019", "2022")):
            partition = ByClass(classes={"a": wanted, "b": (2020,)}).numbered(years)
            deal = partition.deal(labels, 6, ["a", "b"], torch.Generator())
            assert labels[deal["a"]].tolist() == [0, 2, 0, 2]
        with pytest.raises(DataError, match="has no class 0; it has 2019, 2020, 2022"):
            ByClass(classes={"a": (0,)}).numbered(years)
        pets = ("cat", "dog", "eel")
        partition = ByClass(classes={"a": ("eel", 0), "b": ("dog",)}).numbered(pets)
        deal = partition.deal(labels, 6, ["a", "b"], torch.Generator())
        assert labels[deal["a"]].tolist() == [0, 2, 0, 2]
        with pytest.raises(DataError, match="has no class 'cow'; it has cat, dog, eel"):
            ByClass(classes={"a": ("cow",)}).numbered(pets)
        counts = ByCount(counts={"a": {"eel": 2}, "b": 1}).numbered(pets)
        with pytest.raises(DataError, match="1 samples of class eel, but 0 are left"):
            counts.deal(labels, 6, ["a", "b"], torch.Generator())
        with pytest.raises(DataError, match="no training samples of class dog"):
            partition.deal(torch.tensor([0, 2]), 2, ["a", "b"], torch.Generator())

    def test_a_run_shows_names_everywhere(self, tmp_path, capsys):
        lines = ["dose,ok,town,pet"]
        for i in range(80):
            pet = ("cat", "dog")[i % 2]
            lines.append(f"{i % 7},{('no', 'yes')[i % 3 > 0]},{('Ulm', 'Bonn')[i % 2]},{pet}")
        (tmp_path / "t.csv").write_text("\n".join(lines))
        partition = {"name": "by_class", "classes": {"north": ["cat"], "south": ["cat", "dog"]}}
        config = Config.from_dict(
            {
                "players": {"north": {}, "south": {}},
                "model": "exponential_family",
                "data": {
                    "source": {
                        "name": "table",
                        "file": str(tmp_path / "t.csv"),
                        "label_column": "pet",
                    },
                    "variables": ["dose", "ok", "town", "class"],
                    "partition": partition,
                },
                "game": {"name": "sample_exchange", "rounds": 1},
                "measure": {"metrics": ["class_shares"], "samples": 100},
            }
        )
        run = tmp_path / "run"
        Federation(config).run(run)
        note = "north holds a single class (cat); allowed, but alone it can learn nothing else"
        record = Result.load(run).record
        assert record.notes == [note]
        assert record.data.class_names == ("cat", "dog")
        assert any("town': 2 classes" in text for text in record.data.notes)
        assert main(["report", str(run)]) == 0
        page = (run / "report.html").read_text()
        assert "cat, dog" in page
        assert note in page
        assert "yes is 1" in page
        capsys.readouterr()
        assert main(["show", str(run)]) == 0
        shown = capsys.readouterr().out
        assert "data: 80 rows read from" in shown
        for name in ("s.csv", "s.npz"):
            out = str(tmp_path / name)
            assert main(["sample", str(run), "--player", "south", "-n", "20", "--out", out]) == 0
        with (tmp_path / "s.csv").open() as stream:
            rows = list(csv.DictReader(stream))
        assert {row["pet"] for row in rows} == {"cat", "dog"}
        assert {row["town"] for row in rows} == {"Bonn", "Ulm"}
        arrays = np.load(tmp_path / "s.npz")
        assert arrays["class.names"].tolist() == ["cat", "dog"]
        named = arrays["class.names"][arrays["class"]].tolist()
        assert named == [row["pet"] for row in rows]


class TestWhite:
    def bright(self, images, **settings):
        column = image_column(images, images, None, "x", **settings)
        return column.train.max().item(), column.notes

    @pytest.mark.parametrize(
        ("values", "kind", "brightest", "words"),
        [
            ([0, 255], np.uint8, 1, None),
            ([0, 200], np.uint8, 200 / 255, None),
            ([0, 1], np.uint8, 1, "bytes of 0 and 1 only, so 1 is white"),
            ([0, 100], np.uint8, 100 / 255, "dark, since 255 is white and the largest value is"),
            ([0, 15], np.uint8, 15 / 255, "nearly black, since 255 is white and the largest"),
            ([0, 0], np.uint8, 0, "every pixel of every picture is 0"),
            ([250, 255], np.uint8, 1, "nearly white"),
            ([0, 65535], np.uint16, 1, None),
            ([0, 4000], np.uint16, 4000 / 4095, "taken as 12-bit values, so 4095 is white"),
            ([0, 1000], np.uint16, 1000 / 1023, "taken as 10-bit values"),
            ([0, 255], np.uint16, 1, "taken as 8-bit values"),
            ([0, 1], np.uint16, 1, "taken as 1-bit values"),
            ([0, 200], np.int64, 200 / 255, "taken as 8-bit values"),
            ([0, 1], np.float32, 1, None),
            ([0, 0.05], np.float64, 0.05, "nearly black, since 1 is white"),
        ],
    )
    def test_the_largest_value_decides_and_is_noted(self, values, kind, brightest, words):
        images = np.resize(np.array(values, kind), (2, 4, 4))
        value, notes = self.bright(images)
        assert value == pytest.approx(brightest)
        assert bool(notes) == (words is not None)
        assert words is None or words in notes[0]

    def test_a_single_hot_pixel_hides_nothing(self):
        images = np.full((20, 10, 10), 300, np.uint16)
        images[3, 4, 5] = 65535
        assert "1 of 4,000 pixels reach" not in self.bright(images)[1][0]
        assert "nearly black" in self.bright(images)[1][0]
        assert self.bright(images[:3], white=400) == (
            0.75,
            ("image: every pixel of every picture is 300; there is nothing to learn",),
        )

    def test_white_is_a_setting_and_bounds_the_values(self):
        images = np.array([[[0, 5000]]], np.uint16)
        assert self.bright(images, white=10000)[0] == 0.5
        with pytest.raises(DataError, match=r"values in \[0, 4095\], got 0 to 5000"):
            self.bright(images, white=4095)

    def test_a_threshold_that_leaves_nothing_is_noted(self):
        images = np.resize(np.array([0, 150], np.uint8), (2, 4, 4))
        notes = image_column(images, images, 0.6, "x").notes
        assert "nearly every pixel is 0 at threshold 0.6" in notes[0]

    def save(self, folder, values, kind, mode=None):
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(4):
            picture = Image.fromarray(np.roll(np.resize(np.array(values, kind), (4, 4)), i))
            if mode:
                picture = picture.convert(mode)
            picture.save(folder / f"{i}.png")
        return str(folder)

    def test_twelve_bits_in_files_of_sixteen(self, tmp_path):
        folder = self.save(tmp_path, [0, 1000, 4000, 4095], np.uint16)
        data = ImageFolder(folder=folder, grey=True).load()
        assert data.train["image"].max().item() == 1
        assert any("taken as 12-bit values" in note for note in data.notes)
        small = ImageFolder(folder=folder, grey=True, size=(2, 2)).load()
        assert any("whole numbers up to 4095" in note for note in small.notes)
        assert 0.4 < small.train["image"].mean().item() < 0.7

    def test_masks_of_zeros_and_ones(self, tmp_path):
        folder = self.save(tmp_path, [0, 1], np.uint8)
        data = ImageFolder(folder=folder).load()
        assert data.train["image"].float().mean().item() == 0.5
        assert any("1 is white" in note for note in data.notes)
        np.savez(tmp_path / "m.npz", x_train=np.resize(np.array([0, 1], np.uint8), (6, 4, 4)))
        assert Npz(file=str(tmp_path / "m.npz")).load().train["image"].float().mean() == 0.5
        for prefix in ("train", "t10k"):
            images = np.resize(np.array([0, 1], np.uint8), (6, 4, 4))
            write_idx(tmp_path / f"{prefix}-images-idx3-ubyte", images)
            write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte", np.arange(6, dtype=np.uint8) % 2)
        data = Idx(folder=str(tmp_path)).load()
        assert data.train["image"].float().mean() == 0.5
        assert any("1 is white" in note for note in data.notes)

    def test_one_bit_and_palettes_have_full_range(self, tmp_path):
        for mode in ("1", "P"):
            folder = self.save(tmp_path / mode, [0, 255], np.uint8, mode)
            data = ImageFolder(folder=folder, grey=True).load()
            assert data.train["image"].max().item() == 1

    def test_depths_are_not_mixed_and_what_is_dropped_is_counted(self, tmp_path):
        self.save(tmp_path / "a", [0, 4000], np.uint16)
        self.save(tmp_path / "b", [0, 255], np.uint8)
        with pytest.raises(DataError, match=r"a/0.png of 16 bits and b/0.png of 8 bits"):
            ImageFolder(folder=str(tmp_path)).load()
        folder = self.save(tmp_path / "c", [0, 255], np.uint8, "RGBA")
        (tmp_path / "c" / "notes.txt").write_text("x")
        notes = ImageFolder(folder=folder).load().notes
        assert "not read, since no pictures of a split: notes.txt" in notes
        assert any(
            note.startswith("4 of 4 pictures have colours and become grey") for note in notes
        )
        assert "transparency is dropped in 4 pictures" in notes

    def test_arrays_and_splits_that_are_not_read_are_named(self, tmp_path):
        np.savez(tmp_path / "t.npz", x_train=GREY, spare=np.arange(3))
        assert Npz(file=str(tmp_path / "t.npz")).load().notes == ("not read: the arrays spare",)


class TestBits:
    @pytest.mark.parametrize(
        ("values", "kind"),
        [
            ([20230601, 20230602], torch.float64),
            ([1234567890123.0, 1234567890124.0], torch.float64),
            ([1.7e9 + 0.25, 1.7e9 + 0.5], torch.float64),
            ([16777216.0, 3.0], torch.float32),
            ([0.1, 0.2, 1e6], torch.float32),
            ([0.1, 0.1], torch.float32),
        ],
    )
    def test_numbers_are_as_wide_as_they_need(self, values, kind):
        column = real_column(np.array(values), np.array(values), "x", "x")
        assert column.train.dtype == kind
        if kind == torch.float64:
            assert column.train.tolist() == values

    def test_what_64_bits_cannot_hold_is_refused(self):
        large = np.array([2**53 + 1])
        with pytest.raises(DataError, match="exact up to 2"):
            real_column(large, large, "x", "x")

    def test_arrays_of_a_file(self, tmp_path):
        np.savez(tmp_path / "t.npz", **{"train/date": np.arange(20230601.0, 20230631.0)})
        data = Npz(file=str(tmp_path / "t.npz")).load()
        both = torch.cat([data.train["date"], data.test["date"]])
        assert len(both.unique()) == 30
        np.savez(tmp_path / "t.npz", **{"train/n": np.array([2**63 + 1, 1], np.uint64)})
        with pytest.raises(DataError, match="at most 63 bits"):
            Npz(file=str(tmp_path / "t.npz")).load()
