"""Tables of one's own: every cell counts, every fault has its line, nothing goes without a word."""

import gzip
import importlib
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from coplay import Config
from coplay.core.errors import ConfigError, DataError
from coplay.data.sources.hugging_face import HuggingFace
from coplay.data.sources.npz import Npz
from coplay.data.sources.table import Table

PEOPLE = [f"{20 + i},{i / 4}" for i in range(12)]


def write(path, lines, end="\n", encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((end.join(lines) + end).encode(encoding))
    return str(path)


def load(path, lines, **settings):
    return Table(file=write(path, lines), **settings).load()


def values(data, name):
    return sorted(torch.cat([data.train[name], data.test[name]]).tolist())


def fault(file, **settings):
    with pytest.raises(DataError) as caught:
        Table(file=str(file), **settings).load()
    return str(caught.value)


class TestPaths:
    @pytest.mark.parametrize("source", ["table", "hugging_face"])
    @pytest.mark.parametrize(
        ("wanted", "other"),
        [("site [1]/t.csv", "site 1/t.csv"), ("a*/t.csv", "ab/t.csv"), ("t[12].csv", "t1.csv")],
    )
    def test_a_path_is_no_pattern(self, tmp_path, source, wanted, other):
        write(tmp_path / wanted, ["age", *map(str, range(20, 30))])
        write(tmp_path / other, ["age", *map(str, range(900, 910))])
        place = str(tmp_path / wanted)
        made = Table(file=place) if source == "table" else HuggingFace(dataset=place)
        assert values(made.load(), "age") == list(range(20, 30))

    def test_folders_with_brackets(self, tmp_path):
        pytest.importorskip("datasets")
        for name, first in (("site [1]", 20), ("site 1", 900)):
            for split in ("train", "test"):
                write(tmp_path / name / f"{split}.csv", ["age", *map(str, range(first, first + 9))])
        data = HuggingFace(dataset=str(tmp_path / "site [1]")).load()
        assert max(values(data, "age")) == 28

    def test_parquet_with_brackets(self, tmp_path):
        arrow = pytest.importorskip("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
        for name, first in (("t[1].parquet", 20), ("t1.parquet", 900)):
            column = arrow.table({"age": list(range(first, first + 9))})
            with (tmp_path / name).open("wb") as stream:
                parquet.write_table(column, stream)
        assert max(values(Table(file=str(tmp_path / "t[1].parquet")).load(), "age")) == 28

    def test_npz_and_pictures(self, tmp_path):
        for name, first in (("t[1].npz", 20), ("t1.npz", 900)):
            with (tmp_path / name).open("wb") as stream:
                np.savez(stream, x_train=np.arange(first, first + 9.0))
        assert max(values(Npz(file=str(tmp_path / "t[1].npz")).load(), "x")) == 28

    def test_missing_files_and_folders(self, tmp_path):
        assert "the file no/such.csv does not exist" in fault("no/such.csv")
        assert "is a folder; set file to a table in it" in fault(tmp_path)
        assert "set separator" in fault(write(tmp_path / "t.dat", ["a", "1"]))


class TestTypes:
    def test_every_column_is_read_or_named_with_its_reason(self, tmp_path):
        lines = ["born,name,smokes,ok,town,dose,note"]
        for i in range(12):
            lines.append(
                f"2001-02-{i + 1:02d},Name {i},{('yes', 'No')[i % 2]},{('TRUE', 'false')[i % 2]},"
                f"{('Ulm', 'Bonn')[i % 2]},{i / 2},"
            )
        data = load(tmp_path / "t.csv", lines)
        assert str(data.space) == (
            "Space(born: real scalar days since 1970-01-01, smokes: binary scalar, "
            "ok: binary scalar, town: categorical of 2 scalar, dose: real scalar)"
        )
        assert data.space["town"].names == ("Bonn", "Ulm")
        assert sum(values(data, "smokes")) == 6
        assert data.notes == (
            f"12 rows read from {tmp_path / 't.csv'}: date 'born'; binary 'smokes', 'ok'; "
            "categorical 'town'; real 'dose'",
            "not read: column 'name' is an identifier: it holds another text in each of 12 rows; "
            "categories = ['name'] reads them as classes",
            "not read: column 'note' is empty",
            "'smokes': yes is 1, no is 0",
            "'ok': true is 1, false is 0",
            "'town': 2 classes, numbered in the order of their names: 0 is 'Bonn', 1 is 'Ulm'",
        )

    def test_bad_cells_of_all_columns_are_told_at_once(self, tmp_path):
        lines = ["dose,count,age", *(f'{i / 2},"{i + 1},000",{i}' for i in range(60))]
        lines[51] = 'n/k,"51,000",50'
        lines[2] = '0.5,"2,000",1 kg'
        message = fault(write(tmp_path / "t.csv", lines))
        assert f"{tmp_path}/t.csv, line 52, column 'dose': expected a number, got 'n/k'" in message
        assert "missing_marks = ['n/k']" in message
        assert "line 3, column 'age': expected a number, got '1 kg'; mend it" in message
        lines[2] = '0.5,"2,000",1'
        data = load(
            tmp_path / "t.csv",
            lines,
            thousands=",",
            missing_marks=("n/k",),
            missing="drop rows",
        )
        assert values(data, "count") == [1000.0 * (i + 1) for i in range(60) if i != 50]
        assert "1 row of 60 dropped, since cells are missing: 'dose' 1" in data.notes

    def test_a_line_is_that_of_the_file(self, tmp_path):
        """Blank lines and cells over several lines move rows, the split shuffles them."""
        lines = ["note,age", '"two\nlines",1', "", "", *(f"x,{i}" for i in range(30)), "x,o1"]
        assert "line 36, column 'age': expected a number, got 'o1'" in fault(
            write(tmp_path / "t.csv", lines)
        )
        write(tmp_path / "test.csv", ["note,age", "x,1", "x,1 kg"])
        write(tmp_path / "t.csv", lines[:-1])
        message = fault(tmp_path / "t.csv", test_file=str(tmp_path / "test.csv"))
        assert "test.csv, line 3, column 'age': expected a number, got '1 kg'" in message

    @pytest.mark.parametrize(
        ("cells", "settings", "expected"),
        [
            (["1.234,5", "2,25", "3"], {"decimal": ",", "thousands": "."}, [2.25, 3, 1234.5]),
            (["1 000", "2 000,5", "7"], {"decimal": ",", "thousands": " "}, [7, 1000, 2000.5]),
            (["+1e3", "-.5", "2."], {}, [-0.5, 2, 1000]),
            ([" 1", "2 ", "\t3"], {}, [1, 2, 3]),
        ],
    )
    def test_numbers(self, tmp_path, cells, settings, expected):
        lines = ["x;y", *(f"{cell};1" for cell in cells)]
        data = load(tmp_path / "t.csv", lines, separator=";", **settings)
        assert values(data, "x") == expected

    def test_a_mark_in_most_cells_is_told_too(self, tmp_path):
        lines = ["x,y", *(f"{i if i % 3 else 'n/k'},1" for i in range(40)), *["n/k,1"] * 60]
        message = fault(write(tmp_path / "t.csv", lines))
        assert "line 2, column 'x': expected a number, got 'n/k'" in message
        assert "(74 cells of 100 are none: 'n/k')" in message

    @pytest.mark.parametrize("cell", ["1_000", "inf", "1e999", "0x10", "12,34,5", "٣"])
    def test_what_python_takes_for_a_number_is_none(self, tmp_path, cell):
        lines = ["x;y", "1;1", "2;1", f"{cell};1", "4;1"]
        message = fault(write(tmp_path / "t.csv", lines), separator=";")
        assert f"line 4, column 'x': expected a number, got '{cell}'" in message

    def test_whole_numbers_keep_all_their_digits(self, tmp_path):
        dates = [20230601 + i % 29 for i in range(30)]
        numbers = [1234567890123 + i % 29 for i in range(30)]
        lines = ["date,number,x", *(f"{a},{b},1.5" for a, b in zip(dates, numbers, strict=True))]
        data = load(tmp_path / "t.csv", lines)
        assert values(data, "date") == sorted(dates)
        assert values(data, "number") == sorted(numbers)
        assert data.train["x"].dtype == torch.float32
        assert "'date': kept with 64 bits, since 32 would change its numbers" in data.notes
        lines.append("1,9007199254740993,1")
        assert "line 32, column 'number': '9007199254740993' has more digits" in fault(
            write(tmp_path / "t.csv", lines)
        )

    def test_codes_are_categories_where_it_is_set(self, tmp_path):
        lines = ["code,zip,x", *(f"{i % 3}.0,0{i % 2}067,{i}" for i in range(12))]
        data = load(tmp_path / "t.csv", lines, categories=("code", "zip"))
        assert data.space["code"].classes == 3
        assert data.space["code"].names is None
        assert data.space["zip"].names == ("00067", "01067")

    def test_zeros_before_numbers_are_said(self, tmp_path):
        data = load(tmp_path / "t.csv", ["zip,x", "01067,0", "10115,0.5", "20095,1"])
        note = "'zip': zeros before its numbers are left out; categories = ['zip'] reads them as"
        assert [text for text in data.notes if "zeros before" in text] == [f"{note} texts"]

    def test_columns_without_and_unknown_names(self, tmp_path):
        file = write(tmp_path / "t.csv", ["a,b,c", "1,2,x", "3,4,y"])
        assert list(Table(file=file, columns=("b",)).load().space) == ["b"]
        data = Table(file=file, without=("c", "a")).load()
        assert list(data.space) == ["b"]
        assert "left out by the settings columns and without: 'a', 'c'" in data.notes
        assert "without: no column 'd'; known, nearest first: " in fault(file, without=("d",))
        assert "label_column: no column 'k'" in fault(file, label_column="k")
        write(tmp_path / "t.csv", ["class,b", "1,2", "3,4"])
        assert "set label_column = 'class'" in fault(file)
        assert list(Table(file=file, label_column="class").load().space) == ["b", "class"]


class TestMissing:
    LINES = ("ward,age,dose", "a,1,2", "b,,3", "NA,4,5", "a,6,", "b,7,8")
    """NA stands for a missing value unless a setting says otherwise."""

    def test_missing_cells_are_refused_with_lines_and_counts(self, tmp_path):
        file = write(tmp_path / "t.csv", self.LINES)
        message = fault(file, missing="refuse", missing_marks=())
        assert "line 3, column 'age': the cell is missing; 1 of 5 are" in message
        assert "line 5, column 'dose': the cell is missing; 1 of 5 are" in message
        assert 'set missing = "drop rows" to leave out 2 rows of 5' in message

    def test_na_is_missing_unless_marks_say_otherwise(self, tmp_path):
        settings = {"label_column": "ward", "missing": "drop rows"}
        data = load(tmp_path / "t.csv", self.LINES, **settings)
        assert data.class_names == ("a", "b")
        assert any(note.startswith("'NA' counts as missing in 'ward'") for note in data.notes)
        data = load(tmp_path / "t.csv", self.LINES, **settings, missing_marks=())
        assert data.class_names == ("NA", "a", "b")
        note = "'ward': 'NA' counts as a category; missing_marks = ['NA'] changes that"
        assert note in data.notes
        data = load(
            tmp_path / "t.csv",
            self.LINES,
            label_column="ward",
            missing="drop rows",
            missing_marks=("NA",),
        )
        assert data.class_names == ("a", "b")
        assert len(data.train) + len(data.test) == 2

    def test_a_number_may_be_a_mark(self, tmp_path):
        lines = ["age", *map(str, [1, 2, -9, 4, 5])]
        data = load(tmp_path / "t.csv", lines, missing_marks=("-9",), missing="drop rows")
        assert values(data, "age") == [1, 2, 4, 5]

    def test_rows_that_are_left_must_be_enough(self, tmp_path):
        file = write(tmp_path / "t.csv", ["a,b", "1,", ",2"])
        assert "every row has a missing cell" in fault(file, missing="drop rows")

    def test_the_public_table_with_missing_values(self):
        path = Path("/work/shared/data/tables/lung_cancer.csv")
        if not path.exists():
            pytest.skip("the table is not on this machine")
        assert "leave out 61 rows of 228" in fault(path)


class TestLines:
    @pytest.mark.parametrize(
        ("lines", "words"),
        [
            (["a,b", "1,2", "3", "4,5,6"], ["1 in line 3, 3 in line 4 (2 lines in all)"]),
            (
                ["a,b", "1,2", '3,"4', "5,6"],
                ["line 3, column 'b': a cell that opens with", "never closed"],
            ),
            (["a,b", '"1"2,3'], ["line 2: a quote", 'set quote = ""']),
            (["a,a,b", "1,2,3"], ["columns 1, 2 are all called 'a'"]),
            (["a,,b", "1,2,3"], ["column 2 has no name"]),
            (["", "", ""], ["an empty file"]),
            (["a,b"], ["expected rows, got none"]),
            (["a,b", "1,\0002"], ["line 2: a NUL character"]),
            (["sep=;", "a;b", "1;2"], ["Excel's 'sep=;'", "remove it"]),
        ],
    )
    def test_faults(self, tmp_path, lines, words):
        message = fault(write(tmp_path / "t.csv", lines))
        for word in ("t.csv", *words):
            assert word in message

    def test_latin_1_is_named_with_its_line_and_setting(self, tmp_path):
        file = write(tmp_path / "t.csv", ["town,x", "Ulm,1", "Köln,2", "Ulm,3"], encoding="latin-1")
        message = fault(file, encoding="utf-8")
        assert "t.csv, line 3, column 'town': byte 0xf6 is no utf-8 character" in message
        assert "set encoding to the file's own, such as 'latin-1'" in message
        data = Table(file=file, encoding="latin-1").load()
        assert data.space["town"].names == ("Köln", "Ulm")
        found = Table(file=file).load()
        assert found.space["town"].names == ("Köln", "Ulm")
        assert any("read as cp1252, since it is no UTF-8 (line 3)" in note for note in found.notes)

    def test_encodings(self, tmp_path):
        lines = ["town,x", "Köln,1", "Ulm,2", "Ulm,3"]
        file = write(tmp_path / "t.csv", lines, encoding="utf-16")
        assert "set encoding = 'utf-16'" in fault(file, encoding="utf-8")
        assert Table(file=file).load().space["town"].names == ("Köln", "Ulm")
        assert Table(file=file, encoding="utf-16").load().space["town"].names == ("Köln", "Ulm")
        file = write(tmp_path / "t.csv", lines, encoding="utf-8-sig")
        assert list(Table(file=file).load().space) == ["town", "x"]
        data = Table(file=file, encoding="latin-1").load()
        assert any("valid UTF-8 too" in note for note in data.notes)
        with pytest.raises(ValueError, match="unknown encoding 'klingon'"):
            Table(file=file, encoding="klingon")

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_line_ends(self, tmp_path, end):
        file = write(tmp_path / "t.csv", ["a,b", "1,2", "3,4", "", "x,6", "7,8"], end)
        assert "line 5, column 'a': expected a number, got 'x'" in fault(file)

    def test_what_is_mended_is_counted(self, tmp_path):
        lines = ["a, town ,", "1, Ulm,", "", "2,Ulm ,", "3,Bonn,", '4,"Ulm",']
        data = load(tmp_path / "t.csv", lines)
        assert list(data.space) == ["a", "town"]
        assert values(data, "a") == [1, 2, 3, 4]
        assert "1 blank line left out" in data.notes
        assert "spaces around cells are left out: 'town' (1)" in data.notes
        data = load(tmp_path / "t.csv", ["a,b", "1,2,", "3,4", "5,6,"])
        assert "2 rows end with a separator, which is left out" in data.notes
        data = load(tmp_path / "t.csv", ["a,b", '1,"x\ny"', '2,"x\ny"', '3,"z"'])
        assert any("2 rows go on over several lines" in note for note in data.notes)

    def test_row_numbers_without_a_name(self, tmp_path):
        lines = [",age", *(f"{i},{20 + i}" for i in range(5))]
        data = load(tmp_path / "t.csv", lines)
        assert list(data.space) == ["age"]
        assert "not read: column 1 has no name and numbers the rows" in data.notes
        lines[3] = "7,22"
        assert "column 1 has no name; name it" in fault(write(tmp_path / "t.csv", lines))

    def test_names_quotes_separators_and_numbered_columns(self, tmp_path):
        data = load(tmp_path / "t.csv", ["5.1,x", "4.9,y", "4.8,x"], names=("length", "kind"))
        assert values(data, "length") == pytest.approx([4.8, 4.9, 5.1])
        data = load(tmp_path / "t.csv", ["0,1", "5,6", "7,8"])
        assert list(data.space) == ["0", "1"]
        data = load(tmp_path / "t.csv", ["size,x", '5",1', '5",2', '6",3'], quote="")
        assert data.space["size"].names == ('5"', '6"')
        data = Table(file=write(tmp_path / "t.tsv", ["a\tb", "1\t2", "3\t4"])).load()
        assert list(data.space) == ["a", "b"]

    def test_a_quote_after_a_space_is_one(self, tmp_path):
        data = load(tmp_path / "t.csv", ["a, b", '1, "x,y"', '2, "z"', '3, "z"'])
        assert data.space["b"].names == ("x,y", "z")

    def test_gzip_several_files_and_a_test_file(self, tmp_path):
        parts = []
        for k in range(3):
            parts.append(str(tmp_path / f"{k}.csv.gz"))
            text = "\n".join(["a,b", *(f"{10 * k + i},{i % 2}" for i in range(4))])
            Path(parts[-1]).write_bytes(gzip.compress(text.encode()))
        data = Table(file=tuple(parts[:2]), test_file=parts[2], label_column="b").load()
        assert data.train["a"].tolist() == [0, 1, 2, 3, 10, 11, 12, 13]
        assert data.test["a"].tolist() == [20, 21, 22, 23]
        assert data.name == "0"
        small = Table(file=tuple(parts[:2]), test_file=parts[2], limit=5).load()
        assert small.train["a"].tolist() == [0, 1, 2, 3, 10]
        assert small.test["a"].tolist() == [20, 21, 22, 23]
        other = write(tmp_path / "other.csv", ["a,c", "1,2"])
        assert "it lacks 'b', and it has 'c' beside them" in fault(parts[0], test_file=other)
        (tmp_path / "bad.csv.gz").write_bytes(b"no gzip")
        assert "cannot read" in fault(tmp_path / "bad.csv.gz")

    def test_decimal_and_thousands_must_differ(self):
        source = {"name": "table", "file": "t", "thousands": ".", "decimal": "."}
        with pytest.raises(ConfigError, match="two marks"):
            Config.from_dict({"data": {"source": source}})


class TestOtherForms:
    def test_json_lines(self, tmp_path):
        rows = [
            {"age": 20230601 + i, "ok": i % 2 == 0, "town": "ab"[i % 2], "tags": [i]}
            for i in range(8)
        ]
        file = write(tmp_path / "t.jsonl", [*map(json.dumps, rows), ""])
        data = Table(file=file, label_column="town").load()
        assert values(data, "age") == [20230601 + i for i in range(8)]
        assert sum(values(data, "ok")) == 4
        assert "not read: column 'tags' holds lists or objects" in data.notes
        for line, words in (
            ("{", "line 1: no JSON object"),
            ("[1]", "one JSON object a line, got a list"),
            ("3", "line 1: expected a JSON object, got '3'"),
            ('{"a": 1, "a": 2}', "a key stands in it twice"),
            ('{"a": 1}\n{"b": 2}', "line 2, column 'a': the cell is missing"),
        ):
            assert words in fault(write(tmp_path / "t.jsonl", [line]))

    def test_parquet(self, tmp_path):
        arrow = pytest.importorskip("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
        table = arrow.table(
            {
                "number": arrow.array([1234567890123 + i for i in range(8)]),
                "x": arrow.array([0.1 * i for i in range(8)]),
                "narrow": arrow.array([0.1 * i for i in range(8)], arrow.float32()),
                "ok": [i % 2 == 0 for i in range(8)],
                "town": arrow.array(["Ulm", "Bonn"] * 4).dictionary_encode(),
                "born": arrow.array([i for i in range(8)], arrow.date32()),
                "tags": [[i] for i in range(8)],
            }
        )
        file = tmp_path / "t.parquet"
        parquet.write_table(table, str(file))
        data = Table(file=str(file)).load()
        assert values(data, "number") == [1234567890123 + i for i in range(8)]
        assert values(data, "x") == [np.float32(0.1 * i) for i in range(8)]
        assert values(data, "narrow") == [np.float32(0.1 * i) for i in range(8)]
        assert data.space["ok"].kind == "binary"
        assert data.space["town"].names == ("Bonn", "Ulm")
        assert values(data, "born") == list(range(8))
        assert data.space["born"].unit == "days since 1970-01-01"
        assert any("'tags' has the type list" in note for note in data.notes)
        holed = arrow.table({"x": [1.0, None, float("nan"), 4.0], "y": [1, 2, 3, 4]})
        parquet.write_table(holed, str(file))
        assert "row 2, column 'x': the cell is missing; 2 of 4 are" in fault(file)


class TestPrivacy:
    @pytest.mark.parametrize("form", ["csv", "folder", "pictures", "saved"])
    def test_nothing_local_is_copied_to_a_cache(self, tmp_path, monkeypatch, form):
        datasets = pytest.importorskip("datasets")
        cache = tmp_path / "cache"
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(cache))
        temporary = tmp_path / "temporary"
        temporary.mkdir()
        monkeypatch.setenv("TMPDIR", str(temporary))
        place = tmp_path / "mine"
        if form == "pictures":
            rows = datasets.Dataset.from_dict({"image": [np.eye(4, dtype=np.uint8)] * 6})
            rows = rows.cast_column("image", datasets.Image())
            place.mkdir()
            rows.to_parquet(str(place / "train.parquet"))
        elif form == "saved":
            datasets.Dataset.from_dict({"age": [float(i) for i in range(12)]}).save_to_disk(
                str(place)
            )
        else:
            write(place / "train.csv", ["age,dose", *PEOPLE])
            place = place / "train.csv" if form == "csv" else place
        home = Path.home() / ".cache" / "huggingface"
        before = _files(home)
        own = _files(tmp_path)
        began = time.time()
        data = HuggingFace(dataset=str(place)).load()
        assert len(data.train) + len(data.test) == (6 if form == "pictures" else 12)
        assert _files(tmp_path) == own
        assert _files(cache) == _files(temporary) == set()
        new = {file for file in _files(home) - before if os.path.getmtime(file) >= began}
        assert new == set()

    def test_texts_of_persons_do_not_enter_the_record(self, tmp_path):
        lines = ["name,age", *(f"Person {i},{i}" for i in range(12))]
        data = load(tmp_path / "t.csv", lines)
        assert "Person" not in " ".join(data.notes)

    def test_a_cache_that_cannot_be_written_is_named(self, tmp_path, monkeypatch):
        pytest.importorskip("datasets")
        (tmp_path / "file").write_text("no folder")
        source = HuggingFace(dataset="no-such/data-set", cache=str(tmp_path / "file"))
        with pytest.raises(DataError, match=r"the cache folder .*/file cannot be written"):
            source.load()
        constants = importlib.import_module("huggingface_hub.constants")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file"))
        source = HuggingFace(dataset="no-such/data-set", cache=str(tmp_path / "cache"))
        with pytest.raises(DataError, match=r"/file cannot be written .* HF_HOME"):
            source.load()

    def test_faults_of_local_tables_name_the_source_with_the_settings(self, tmp_path):
        file = write(tmp_path / "t.csv", ["a,b", "1,2", "3,4,5"])
        with pytest.raises(DataError, match="or set separator") as caught:
            HuggingFace(dataset=file).load()
        assert f'name = "table", file = "{file}"' in str(caught.value)


def _files(folder):
    return {str(path) for path in folder.rglob("*") if path.is_file()}


def test_messages_cut_what_strangers_wrote(tmp_path):
    name = "x" * 5000
    lines = [f"{name},b", "1,1", "2,1", f"{'y' * 5000},1"]
    assert len(fault(write(tmp_path / "t.csv", lines))) < 700 + len(str(tmp_path))


class TestAttacked:
    """What somebody met who tried to break the reader."""

    def test_files_after_the_limit_are_named(self, tmp_path):
        rows = "".join(f"{i},{i % 3}.5,{'ab'[i % 2]}\n" for i in range(20))
        for name in ("one.csv", "two.csv"):
            (tmp_path / name).write_text("x,y,c\n" + rows)
        files = (tmp_path / "one.csv", tmp_path / "two.csv")
        notes = " ".join(Table(file=tuple(map(str, files)), limit=20).load().notes)
        assert f"limit = 20: nothing is read of {files[1]}" in notes

    def test_the_end_of_the_last_line_is_no_blank_line(self, tmp_path):
        lines = [f'{{"x": {i}, "c": "{"ab"[i % 2]}"}}' for i in range(12)]
        for more, blank in (("\n", False), ("\n\n", True)):
            (tmp_path / "t.jsonl").write_text("\n".join(lines) + more)
            notes = " ".join(Table(file=str(tmp_path / "t.jsonl")).load().notes)
            assert ("blank line" in notes) == blank

    def test_keys_that_differ_by_spaces_are_one_key_twice(self, tmp_path):
        (tmp_path / "t.jsonl").write_text('{"a": 1, " a": 100, "b": 0}\n' * 9)
        with pytest.raises(DataError, match=r"line 1: .*a key stands in it twice"):
            Table(file=str(tmp_path / "t.jsonl")).load()

    def test_a_long_cell_is_told_by_its_length(self, tmp_path):
        (tmp_path / "t.csv").write_text("x,s\n1,ab\n2," + "q" * 200_000 + "\n3,cd\n")
        with pytest.raises(DataError, match="line 3: a cell of more than 131,072 characters"):
            Table(file=str(tmp_path / "t.csv")).load()

    def test_local_tables_of_other_splits_and_configs_are_named(self, tmp_path):
        rows = "".join(f"{i},{i % 3}.5,{'ab'[i % 2]}\n" for i in range(20))
        for name in ("train", "test", "validation"):
            (tmp_path / f"{name}.csv").write_text("x,y,c\n" + rows)
        notes = " ".join(HuggingFace(dataset=str(tmp_path)).load().notes)
        assert f"nothing is read of {tmp_path / 'validation.csv'}" in notes
        (tmp_path / "en").mkdir()
        with pytest.raises(DataError, match="config = 'fr' is no folder in it; there are: en"):
            HuggingFace(dataset=str(tmp_path), config="fr").load()
