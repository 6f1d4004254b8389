"""Whole numbers that differ in every row: names of rows are left out, amounts stay."""

from __future__ import annotations

import numpy as np
import pytest

from coplay.data.sources.table import Table
from coplay.data.tables.whole_numbers import are_names_of_rows
from coplay.run.founding import from_tables

SQUARES = np.arange(40) ** 2


@pytest.mark.parametrize(
    ("name", "numbers", "expected"),
    [
        ("case", range(1, 41), True),
        ("x", range(2001, 2081, 2), True),
        ("record_no", 7 * SQUARES, True),
        ("customerKey", 7 * SQUARES + 3, True),
        ("x", range(1, 11), False),  # ten rows show nothing
        ("x", [*range(1, 40), 39], False),
        ("year", range(1981, 2021), False),
        ("age", range(20, 60), False),
        ("number_of_visits", range(40), False),
        ("no of rooms", 7 * SQUARES, False),
        ("totalIncome", 100_003 + 7 * SQUARES, False),
        ("x", 100_003 + 7 * SQUARES, False),  # long numbers in few rows may be prices
        ("x", 100_003 + 7 * np.arange(60) ** 2, True),
        ("x", 100_000 + 70 * np.arange(60) ** 2, False),
        ("file id", 100_000 + 70 * np.arange(60) ** 2, True),
    ],
)
def test_names_of_rows_are_told_from_amounts(name, numbers, expected):
    assert are_names_of_rows(name, np.array(numbers, dtype=float)) is expected


def table(path, name, numbers):
    lines = [f"{number},{i % 7}.{i % 10}" for i, number in enumerate(numbers)]
    path.write_text("\n".join([f"{name},dose", *lines]) + "\n")
    return path


def test_the_line_says_how_an_amount_stays(tmp_path):
    path = table(tmp_path / "t.csv", "asked", range(1, 41))
    data = Table(file=str(path)).load()
    assert list(data.space) == ["dose"]
    (note,) = [note for note in data.notes if "'asked'" in note]
    assert note == (
        "not read: column 'asked' is an identifier: it holds another whole number in each of 40 "
        "rows; numbers = ['asked'] reads them as amounts"
    )
    kept = Table(file=str(path), numbers=("asked",)).load()
    assert sorted([*kept.train["asked"].tolist(), *kept.test["asked"].tolist()]) == [*range(1, 41)]


def test_a_new_federation_goes_by_the_same_rule_and_says_how_an_amount_stays(tmp_path):
    for site in "ab":
        table(tmp_path / f"{site}.csv", "asked", range(1, 41))
    files = [tmp_path / "a.csv", tmp_path / "b.csv"]
    founding = from_tables(files, tmp_path, None, None)
    assert not any("asked" in text for text in founding.texts.values())
    assert (
        "a: left out: column 'asked' holds another whole number in every row, as names of rows "
        'do; if they are amounts, agree on it as [variables.asked] with kind = "real", and take '
        "it out of lacks in the site file"
    ) in founding.lines
    for site in "ab":
        table(tmp_path / f"{site}.csv", "age", range(20, 60))
    (federation, *_) = from_tables(files, tmp_path, None, None).texts.values()
    assert "[variables.age]" in federation
