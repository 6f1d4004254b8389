"""What spreadsheets get wrong, each told with file, column and row, and all at once."""

import numpy as np
import pytest
import torch

import coplay
from coplay import Config, Variable
from coplay.cli.main import main
from coplay.core.errors import DataError
from coplay.data.sources.table import Table
from coplay.run.preparing import prepare
from coplay.site.conforming import conformed

ROWS = [f"{20 + i % 30},{i / 4},{('f', 'm')[i % 2]}" for i in range(60)]


def write(path, lines, encoding="utf-8"):
    path.write_bytes(("\n".join(lines) + "\n").encode(encoding))
    return str(path)


def fault(path, lines, **settings):
    file = write(path, lines) if lines else str(path)
    with pytest.raises(DataError) as caught:
        Table(file=file, **settings).load()
    return str(caught.value)


def notes(path, lines, **settings):
    return Table(file=write(path, lines), **settings).load().notes


def test_mixed_types(tmp_path):
    rows = [*ROWS]
    rows[10] = "thirty,1,f"
    assert f"{tmp_path}/t.csv, line 12, column 'age': expected a number, got 'thirty'" in fault(
        tmp_path / "t.csv", ["age,dose,sex", *rows]
    )


def test_a_stray_header_in_the_middle(tmp_path):
    lines = ["age,dose,sex", *ROWS[:30], "age, dose ,sex", *ROWS[30:], "age,dose,sex"]
    assert fault(tmp_path / "t.csv", lines) == (
        f"{tmp_path}/t.csv, line 32: the names of the columns stand here again, column 'age' "
        "first (2 such lines, next 63); remove the line"
    )


def test_a_column_twice(tmp_path):
    assert f"{tmp_path}/t.csv: columns 1, 3 are all called 'age'" in fault(
        tmp_path / "t.csv", ["age,dose,age", *ROWS]
    )


def test_a_separator_that_is_not_the_files(tmp_path):
    lines = [line.replace(",", ";") for line in ["age,dose,sex", *ROWS]]
    message = fault(tmp_path / "t.csv", lines, separator=",")
    assert f"{tmp_path}/t.csv, line 1: expected cells with ',' between them" in message
    assert "';' divides every line into 3 cells: set separator = ';'" in message


def test_a_quote_that_is_never_closed(tmp_path):
    rows = [*ROWS]
    rows[5] = '25,1,"f'
    message = fault(tmp_path / "t.csv", ["age,dose,sex", *rows])
    assert f"{tmp_path}/t.csv, line 7, column 'sex': a cell that opens with" in message


def test_an_encoding_that_is_broken_in_one_cell(tmp_path):
    rows = [f"{line},Köln" for line in ROWS]
    content = "\n".join(["age,dose,sex,town", *rows]).encode()
    head, tail = content.split(b"K\xc3\xb6ln", 1)
    (tmp_path / "t.csv").write_bytes(head + b"K\xf6ln" + tail)
    message = fault(tmp_path / "t.csv", [])
    assert f"{tmp_path}/t.csv, line 2, column 'town': byte 0xf6 is no utf-8 character" in message
    assert "though others of the file are" in message


def test_a_category_that_is_spelled_two_ways(tmp_path):
    sexes = ["Male", "female", " Male", "male"]
    lines = ["age,sex", *(f"{i / 2},{sexes[i % 4]}" for i in range(40))]
    (note,) = [n for n in notes(tmp_path / "t.csv", lines) if "spelled" in n]
    assert note == (
        f"'sex': one category seems to be spelled 2 ways: {tmp_path}/t.csv, line 2, has 'Male' and "
        "line 5, has 'male'; they are categories of their own until they are written alike"
    )


def test_columns_without_values_and_with_one(tmp_path):
    lines = ["age,empty,one,text", *(f"{i / 2},NA,7,a" for i in range(40))]
    said = notes(tmp_path / "t.csv", lines)
    assert any(n.endswith("column 'empty' is empty") for n in said)
    assert any(n == "'one' is 7 in every row" for n in said)
    assert any(n.endswith("column 'text' is 'a' in every row") for n in said)


def test_a_target_of_one_level(tmp_path):
    lines = ["age,outcome", *(f"{i / 2},alive" for i in range(40))]
    assert fault(tmp_path / "t.csv", lines, label_column="outcome") == (
        f"{tmp_path}/t.csv, line 2, label_column 'outcome': expected at least two classes, got "
        "'alive' in every row; leave label_column out if there are none"
    )


def test_dates_in_two_orders(tmp_path):
    lines = ["age,seen", *(f"{i / 2},{1 + i % 12:02}/02/2024" for i in range(30))]
    lines[13] = "0.5,13/02/2024"
    lines[20] = "0.5,02/13/2024"
    message = fault(tmp_path / "t.csv", lines)
    assert message.startswith(
        f"{tmp_path}/t.csv, line 21, column 'seen': expected one order of day and month: "
        "'13/02/2024' has the day first, and here is the month first, got '02/13/2024'"
    )


def test_a_date_that_there_is_not(tmp_path):
    lines = ["age,seen", *(f"{i / 2},2024-02-{1 + i % 28:02}" for i in range(30)), "1,2024-02-30"]
    assert "line 32, column 'seen': expected a date that the calendar has, got '2024-02-30'" in (
        fault(tmp_path / "t.csv", lines)
    )


def test_all_faults_are_told_at_once(tmp_path):
    rows = [f"{line},01.02.2024" for line in ROWS]
    rows[3], rows[7] = "1,2,f", "old,1,f,01.02.2024"
    rows[9], rows[20] = "1,1,f,31.02.2024", "age,dose,sex,seen"
    message = fault(tmp_path / "t.csv", ["age,dose,sex,seen", *rows])
    assert message.startswith("4 faults:")
    for words in ("3 in line 5", "line 9, column 'age'", "line 11, column 'seen'", "line 22: the"):
        assert words in message


class TestUnits:
    """A site that measures in grams, or in degrees Fahrenheit."""

    def tables(self, folder, factor, shift):
        g = np.random.default_rng(0)
        files = []
        for site in ("north", "south", "east"):
            weight, fever = g.normal(75, 15, 90).round(1), g.normal(37.5, 1, 90).round(1)
            if site == "east":
                weight, fever = (weight * factor).round(1), (fever * shift[0] + shift[1]).round(1)
            rows = [f"{w},{f}" for w, f in zip(weight, fever, strict=True)]
            files.append(write(folder / f"{site}.csv", ["weight,fever", *rows]))
        return files

    def test_init_warns_and_tells_no_value(self, tmp_path, capsys, monkeypatch):
        monkeypatch.chdir(tmp_path)
        self.tables(tmp_path, 1000, (1.8, 32))
        main(["init", "--from", "north.csv", "south.csv", "east.csv", "--out", "f"])
        said = " ".join("".join(capsys.readouterr()).split())
        large = "'weight' at 'east' is about 1,000 times as large as at 'north', 'south'"
        assert large in said
        warm = "'fever' at 'east' lies where that at 'north', 'south' does in degrees Fahrenheit"
        assert warm in said

    def test_sites_alike_are_not_warned_of(self, tmp_path, capsys, monkeypatch):
        monkeypatch.chdir(tmp_path)
        self.tables(tmp_path, 1.3, (1, 0.5))
        main(["init", "--from", "north.csv", "south.csv", "east.csv", "--out", "f"])
        assert "one unit" not in "".join(capsys.readouterr())

    def test_check_warns_of_tables_that_a_config_names(self, tmp_path):
        players = {}
        for file in self.tables(tmp_path, 1000, (1, 0)):
            name = file.rpartition("/")[2].partition(".")[0]
            players[name] = {"data": {"source": {"name": "table", "file": file}}}
        config = Config.from_dict({"players": players, "model": {"name": "conditionals"}})
        warned = [note for note in prepare(config, None).notes if "one unit" in note]
        assert len(warned) == 1
        assert warned[0].startswith("'weight' at 'east' is about 1,000 times as large as at")


def test_frames_of_unlike_units_are_warned_of(tmp_path):
    g = np.random.default_rng(0)
    sites = {"a": {"dose": g.normal(5, 1, 60)}, "b": {"dose": g.normal(5000, 1000, 60)}}
    result = coplay.play(
        sites, model={"name": "exponential_family"}, rounds=1, compare=[], folder=tmp_path / "r"
    )
    assert any("'dose' at 'b' is about 1,000 times" in note for note in result.record.notes)


class TestWhatInitSays:
    """What two tables make a newcomer ask is answered when the federation is founded."""

    def said(self, folder, capsys, monkeypatch, north, south):
        monkeypatch.chdir(folder)
        write(folder / "north.csv", north)
        write(folder / "south.csv", south)
        assert main(["init", "--from", "north.csv", "south.csv", "--out", "f"]) == 0
        return capsys.readouterr().out

    def test_two_ways_to_write_yes_and_no_are_one_variable(self, tmp_path, capsys, monkeypatch):
        doses = [f"{i / 7:.2f}" for i in range(40)]
        words = [f"{dose},{'TRUE' if i % 3 else 'FALSE'}" for i, dose in enumerate(doses)]
        bits = [f"{dose},{i % 2}" for i, dose in enumerate(doses)]
        said = self.said(tmp_path, capsys, monkeypatch, ["dose,ill", *words], ["dose,ill", *bits])
        assert "'ill': no and yes are 'FALSE', 'TRUE' at north and '0', '1' at south: one" in said
        assert "all are categories" not in said
        assert 'kind = "binary"' in (tmp_path / "f" / "federation.toml").read_text()

    def test_words_that_both_have_are_no_question(self, tmp_path, capsys, monkeypatch):
        rows = [f"{i / 7:.2f},{'yes' if i % 3 else 'no'}" for i in range(40)]
        shouted = [row.upper() for row in rows]
        said = self.said(tmp_path, capsys, monkeypatch, ["dose,ill", *rows], ["dose,ill", *shouted])
        assert "no and yes are" not in said

    def test_dates_that_may_be_read_two_ways_are_said(self, tmp_path, capsys, monkeypatch):
        rows = [f"{1 + i % 12:02}/{1 + i % 11:02}/2024,{i / 7:.2f}" for i in range(40)]
        clear = [f"{1 + i % 12:02}/{13 + i % 11:02}/2024,{i / 7:.2f}" for i in range(40)]
        said = self.said(tmp_path, capsys, monkeypatch, ["at,dose", *rows], ["at,dose", *clear])
        guess = "'at': no date shows whether day or month comes first; read with the month first"
        assert f"north: {guess}" in said
        assert f"south: {guess}" not in said

    def test_a_line_of_units_is_named(self, tmp_path, capsys, monkeypatch):
        rows = [f"{i / 7:.2f},{i % 50},{'ab'[i % 2]}" for i in range(60)]
        names = "dose,pulse,arm"
        said = self.said(
            tmp_path, capsys, monkeypatch, [names, "mg,1/min,-", *rows], [names, *rows]
        )
        assert "north.csv, line 2: it holds no number in 2 columns that hold numbers" in said
        assert "south.csv, line 2: it holds no number" not in said

    def test_one_bad_cell_in_the_first_row_is_no_line_of_units(self, tmp_path, capsys, monkeypatch):
        rows = [f"{i / 7:.2f},{i % 50},{'ab'[i % 2]}" for i in range(60)]
        names = "dose,pulse,arm"
        said = self.said(tmp_path, capsys, monkeypatch, [names, "n/k,7,a", *rows], [names, *rows])
        assert "it holds no number" not in said

    def test_a_name_with_a_line_break_stays_on_its_line(self, tmp_path, capsys, monkeypatch):
        rows = [f"{i / 7:.2f},{'ab'[i % 2]}" for i in range(40)]
        table = ['"dose\nin mg",arm', *rows]
        said = self.said(tmp_path, capsys, monkeypatch, table, table)
        assert "2 variables for 2 sites: dose in mg, arm\n" in said
        assert "1 row goes on over several lines" in said

    def test_a_rare_word_for_both_sides_is_no_question(self, tmp_path, capsys, monkeypatch):
        rows = [f"{i / 7:.2f},{'yes' if i % 3 else 'no'}" for i in range(40)]
        few = ["1.5,yes", "2.5,yes", "3.5,yes"]
        said = self.said(tmp_path, capsys, monkeypatch, ["dose,ill", *rows], ["dose,ill", *few])
        assert "no and yes are" not in said


def test_a_rare_category_that_is_called_other_counts_as_other():
    agreed = Variable(kind="categorical", classes=3, names=("Black", "White", "other"))
    read = Variable(kind="categorical", classes=3, names=("Black", "Other", "white"))
    made = conformed(agreed, read, torch.tensor([0, 1, 2, 1]))
    assert made.values[[0, 1, 3]].tolist() == [0, 2, 2]
    # another spelling of one that is named stays a fault
    assert made.wrong.tolist() == [False, False, True, False]
