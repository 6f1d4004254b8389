"""Tables as people have them: packed, marked, misread and cut, each read right or named."""

import gzip

import numpy as np
import pytest
import torch

from coplay.core.errors import DataError
from coplay.data.sources.hugging_face import HuggingFace
from coplay.data.sources.image_folder import ImageFolder
from coplay.data.sources.table import Table

AGES = [f"{20 + i},{i % 2}" for i in range(12)]


def write(path, lines, encoding="utf-8"):
    path.write_bytes(("\n".join(lines) + "\n").encode(encoding))
    return str(path)


def load(path, lines, encoding="utf-8", **settings):
    return Table(file=write(path, lines, encoding), **settings).load()


def values(data, name):
    return sorted(torch.cat([data.train[name], data.test[name]]).tolist())


def fault(source):
    with pytest.raises(DataError) as caught:
        source.load()
    return str(caught.value)


class TestBytes:
    def test_gzip_is_known_by_its_bytes_and_not_by_its_name(self, tmp_path):
        path = tmp_path / "t.csv"
        path.write_bytes(gzip.compress("\n".join(["age,b", *AGES]).encode()))
        assert values(Table(file=str(path)).load(), "age") == list(range(20, 32))

    @pytest.mark.parametrize("name", ["u8", "UTF_8", "utf-8-sig", "U8"])
    def test_a_mark_before_utf_8_is_no_part_of_a_name(self, tmp_path, name):
        data = load(tmp_path / "t.csv", ["\ufeffage,b", *AGES], encoding="utf-8")
        named = load(tmp_path / "t.csv", ["\ufeffage,b", *AGES], encoding="utf-8")
        source = Table(file=str(tmp_path / "t.csv"), encoding=name).load()
        assert list(data.space) == list(named.space) == list(source.space) == ["age", "b"]

    @pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be", "UTF-16LE", "utf-32-le"])
    def test_a_mark_before_utf_16_is_no_part_of_a_name(self, tmp_path, name):
        write(tmp_path / "t.csv", ["\ufeffage,b", *AGES], name)
        assert list(Table(file=str(tmp_path / "t.csv"), encoding=name).load().space) == ["age", "b"]

    def test_the_encoding_that_is_likely_is_named(self, tmp_path):
        lines = ["age,city", *(f"{20 + i},{('“Ulm”', 'Bonn')[i % 2]}" for i in range(12))]
        write(tmp_path / "t.csv", lines, "cp1252")
        data = Table(file=str(tmp_path / "t.csv"), encoding="latin-1").load()
        assert any("line 2: 0x93 is a control character" in note for note in data.notes)
        assert any("set encoding = 'cp1252'" in note for note in data.notes)
        right = Table(file=str(tmp_path / "t.csv"), encoding="cp1252").load()
        assert not any("control character" in note for note in right.notes)

    def test_endings_may_have_capitals(self, tmp_path):
        assert values(load(tmp_path / "T.CSV", ["age,b", *AGES]), "age") == list(range(20, 32))
        folder = HuggingFace(dataset=str(tmp_path)).load()
        assert values(folder, "age") == list(range(20, 32))


class TestSeparators:
    @pytest.mark.parametrize(
        ("lines", "words"),
        [
            (["age b", "20 1", "21 0"], "spaces divide every line into 2 cells"),
            (["age  b", "20   1", "21 0"], "they are of several lengths"),
            (["age:b", "20:1", "21:0"], "':' divides every line into 2 cells"),
        ],
    )
    def test_unusual_ones_are_named(self, tmp_path, lines, words):
        assert words in fault(Table(file=write(tmp_path / "t.csv", lines)))

    def test_they_can_be_set(self, tmp_path):
        lines = ["age b", *(line.replace(",", " ") for line in AGES)]
        data = load(tmp_path / "t.csv", lines, separator=" ")
        assert values(data, "age") == list(range(20, 32))

    def test_a_name_with_spaces_is_one_column(self, tmp_path):
        data = load(tmp_path / "t.csv", ["body weight", *map(str, range(50, 62))])
        assert values(data, "body weight") == list(range(50, 62))

    def test_names_that_are_numbers_are_noted(self, tmp_path):
        data = load(tmp_path / "t.csv", ["1,7", *AGES])
        assert any("line 1 ('1', '7') is taken for the names" in note for note in data.notes)


class TestNumbers:
    def test_marks_are_compared_as_numbers(self, tmp_path):
        lines = ["age,b", *AGES, "-9999.0,1", "-9999,0"]
        data = load(tmp_path / "t.csv", lines, missing_marks=["-9999"], missing="drop rows")
        assert values(data, "age") == list(range(20, 32))
        assert not any("stands in no cell" in note for note in data.notes)

    def test_marks_that_stand_nowhere_are_noted(self, tmp_path):
        data = load(tmp_path / "t.csv", ["age,b", *AGES], missing_marks=["n/k", "-1"])
        assert "missing_marks: 'n/k', '-1' stands in no cell" in data.notes

    def test_points_before_three_digits_are_noted(self, tmp_path):
        lines = ["pay,b", *(f"{1 + i}.{i:03},{i % 2}" for i in range(12))]
        data = load(tmp_path / "t.csv", lines)
        assert any("1.000 is read as 1" in note for note in data.notes)
        marked = load(tmp_path / "t.csv", lines, thousands=".", decimal=",")
        assert values(marked, "pay") == [1001.0 * i + 1000 for i in range(12)]
        other = load(tmp_path / "t.csv", ["pay,b", "1.25,0", *lines[1:]])
        assert not any("1.000 is read as 1" in note for note in other.notes)


class TestClasses:
    def test_1_and_1_0_are_one_class_and_01_is_named(self, tmp_path):
        labels = ["01", "1", "1.0", "2"] * 3
        lines = ["age,c", *(f"{20 + i},{label}" for i, label in enumerate(labels))]
        data = load(tmp_path / "t.csv", lines, label_column="c")
        assert data.space["class"].class_names == ("01", "1", "2")
        counts = torch.cat([data.train["class"], data.test["class"]]).bincount()
        assert counts.tolist() == [3, 6, 3]
        assert any("'01', '1' are classes of their own" in note for note in data.notes)

    def test_zeros_of_postcodes_stay(self, tmp_path):
        lines = ["age,c", *(f"{20 + i},{('01067', '89073')[i % 2]}" for i in range(12))]
        data = load(tmp_path / "t.csv", lines, label_column="c")
        assert data.space["class"].class_names == ("01067", "89073")

    def test_thousands_are_those_of_the_settings(self, tmp_path):
        labels = ["1,000", "1000", "2000"]
        lines = ["age;c", *(f"{20 + i};{labels[i % 3]}" for i in range(12))]
        data = load(tmp_path / "t.csv", lines, label_column="c", thousands=",", separator=";")
        assert data.space["class"].class_names == ("1000", "2000")

    def test_fractions_are_no_classes_whatever_their_marks(self, tmp_path):
        lines = ["age;c", *(f"{20 + i};{i % 2},5" for i in range(12))]
        path = write(tmp_path / "t.csv", lines)
        words = fault(Table(file=path, label_column="c", decimal=",", separator=";"))
        assert "expected whole numbers or texts in label_column 'c'" in words

    def test_classes_without_test_samples_are_noted(self, tmp_path):
        train = write(tmp_path / "train.csv", ["age,c", *(f"{i},{'ab'[i % 2]}" for i in range(8))])
        test = write(tmp_path / "test.csv", ["age,c", "3,a", "4,a"])
        data = Table(file=train, test_file=test, label_column="c").load()
        assert any("there are only training samples of 'b'" in note for note in data.notes)

    def test_a_list_as_a_label_is_no_missing_one(self, tmp_path):
        path = tmp_path / "t.jsonl"
        path.write_text("\n".join(f'{{"age": {i}, "c": [{i}]}}' for i in range(9)))
        words = fault(Table(file=str(path), label_column="c"))
        assert "label_column cannot be read: column 'c' holds lists or objects" in words
        assert "missing" not in words


class TestFiles:
    def test_files_beyond_the_limit_have_the_same_columns(self, tmp_path):
        first = write(tmp_path / "a.csv", ["age,b", *AGES])
        other = write(tmp_path / "b.csv", ["age,weight", *AGES])
        assert "it lacks 'b', and it has 'weight' beside them" in fault(
            Table(file=(first, other), limit=5)
        )

    def test_durations_are_noted_with_their_unit(self, tmp_path):
        arrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        spans = arrow.array([60 * i for i in range(12)], arrow.duration("s"))
        parquet.write_table(arrow.table({"stay": spans}), tmp_path / "t.parquet")
        data = Table(file=str(tmp_path / "t.parquet")).load()
        assert values(data, "stay") == [60.0 * i for i in range(12)]
        assert "column 'stay' holds durations, read as numbers of seconds" in data.notes

    @pytest.mark.parametrize(
        "settings", [{"size": (8, 8)}, {"grey": True}, {"colour": True}, {"white": 4095}]
    )
    def test_settings_of_pictures_are_refused_for_tables(self, tmp_path, settings):
        path = write(tmp_path / "t.csv", ["age,b", *AGES])
        (name,) = settings
        assert f"{name} are settings of pictures" in fault(HuggingFace(dataset=path, **settings))

    def test_a_cache_that_is_not_used_is_noted(self, tmp_path):
        path = write(tmp_path / "t.csv", ["age,b", *AGES])
        data = HuggingFace(dataset=path, cache=str(tmp_path / "c")).load()
        assert "cache is not used, since nothing of local files is copied" in data.notes[0]

    def test_a_broken_link_is_named(self, tmp_path):
        image = pytest.importorskip("PIL.Image")
        for i in range(6):
            image.fromarray(np.full((4, 4), 40 * i, np.uint8)).save(tmp_path / f"{i}.png")
        (tmp_path / "lost.png").symlink_to(tmp_path / "nowhere.png")
        words = fault(ImageFolder(folder=str(tmp_path)))
        assert "1 picture cannot be read, since the link leads nowhere: lost.png" in words

    def test_masks_of_ones_beside_brighter_ones_are_noted(self, tmp_path):
        image = pytest.importorskip("PIL.Image")
        for i in range(12):
            bright = 1 if i % 3 == 0 else 255
            image.fromarray(np.eye(4, dtype=np.uint8) * bright).save(tmp_path / f"{i:02}.png")
        notes = ImageFolder(folder=str(tmp_path)).load().notes
        assert any("4 of 12 pictures hold only 0 and 1 beside others" in note for note in notes)
