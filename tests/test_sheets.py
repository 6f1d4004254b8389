"""Sheets as people export them: what is beside numbers, above names and beneath rows is named."""

import pytest
import torch

from coplay.core.errors import DataError
from coplay.data.sources.table import Table

NAMES = "dose,town,age"
ROWS = [f"{10 + place / 8},{('Ulm', 'Bonn')[place % 2]},{20 + place}" for place in range(24)]
DOSES = [row.split(",")[0] for row in ROWS]


def sheet(tmp_path, lines, **settings):
    path = tmp_path / "t.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Table(file=str(path), **settings)


def with_doses(doses):
    lines = [NAMES]
    for dose, row in zip(doses, ROWS, strict=True):
        lines.append(f"{dose},{row.partition(',')[2]}")
    return lines


def fault(tmp_path, lines, **settings):
    with pytest.raises(DataError) as refused:
        sheet(tmp_path, lines, **settings).load()
    return str(refused.value).replace(f"{tmp_path}/", "")


def notes(tmp_path, lines, **settings):
    return "\n".join(sheet(tmp_path, lines, **settings).load().notes)


class TestBesideNumbers:
    @pytest.mark.parametrize(
        ("form", "signs"),
        [
            ("{}%", "'%'"),
            ("${}", "'$'"),
            ("{} €", "'€'"),
            ("{} mg", "'mg'"),
            ('"=""{}"""', "'=\"', '\"'"),
            ("−{}", "'−'"),
        ],
    )
    def test_a_column_of_them_is_named_with_its_first_line(self, tmp_path, form, signs):
        """They were left out, as a column of unlike texts."""
        text = fault(tmp_path, with_doses([form.format(dose) for dose in DOSES]))
        assert text.startswith("t.csv, line 2, column 'dose': expected a number, got ")
        assert f"({signs} beside numbers in 24 rows); take it out" in text

    def test_two_units_in_one_column_are_both_named(self, tmp_path):
        units = [f"{dose} {('mg', 'g')[place % 2]}" for place, dose in enumerate(DOSES)]
        assert "'mg', 'g' beside numbers in 24 rows" in fault(tmp_path, with_doses(units))

    def test_few_doses_are_categories_as_before(self, tmp_path):
        data = sheet(tmp_path, with_doses(["5 mg", "10 mg"] * 12)).load()
        assert data.space["dose"].class_names == ("5 mg", "10 mg")

    @pytest.mark.parametrize("form", ["Room {}", "0531-{}", "A{}"])
    def test_names_with_numbers_stay_names(self, tmp_path, form):
        read = sheet(tmp_path, with_doses([form.format(place) for place in range(24)])).load()
        assert "dose" not in read.space
        assert any("column 'dose' is an identifier" in note for note in read.notes)


class TestAroundRows:
    def test_a_title_above_the_names(self, tmp_path):
        text = fault(tmp_path, ["Report of 2024", NAMES, *ROWS])
        assert text == (
            "t.csv, line 1: 1 cell ('Report of 2024' first), and 3 in each line beneath, so that "
            "it seems to be a title; remove the lines above the names of the columns"
        )

    def test_names_again_in_other_capitals(self, tmp_path):
        text = fault(tmp_path, [NAMES, *ROWS[:5], NAMES.upper(), *ROWS[5:]])
        assert text.startswith("t.csv, line 7: the names of the columns stand here again")

    def test_a_row_of_totals(self, tmp_path):
        """With numbers in all other columns it was a row like others, of a town of its own."""
        assert fault(tmp_path, [NAMES, *ROWS, "273.0,Total,756"]) == (
            "t.csv, line 26, column 'town': 'Total' in the last row alone, which seems to sum up "
            "the others; remove the line"
        )

    def test_a_town_called_total_is_one(self, tmp_path):
        rows = [row.replace("Ulm", "Total") for row in ROWS]
        data = sheet(tmp_path, [NAMES, *rows[:-1]]).load()
        assert "Total" in data.space["town"].class_names

    def test_lines_of_separators_alone_are_blank(self, tmp_path):
        data = sheet(tmp_path, [NAMES, *ROWS, ",,", " , ,"], missing="keep").load()
        assert len(data.train) + len(data.test) == 24
        assert "2 lines of separators alone left out" in data.notes

    def test_names_that_differ_in_capitals(self, tmp_path):
        text = notes(tmp_path, ["age,town,Age", *ROWS])
        assert "columns 'age' and 'Age' differ in capitals alone, and are two" in text

    @pytest.mark.parametrize(
        ("start", "words"),
        [
            (b"PK\x03\x04" + bytes(range(256)), "a workbook or another archive (zip)"),
            (b"<!DOCTYPE html>\n<p>1</p>\n", "a web page"),
            (b'[{"dose": 1}]\n', "JSON; write a row a line"),
        ],
    )
    def test_other_forms_of_file(self, tmp_path, start, words):
        path = tmp_path / "t.csv"
        path.write_bytes(start)
        with pytest.raises(DataError, match="expected lines of cells, as in CSV, got") as refused:
            Table(file=str(path)).load()
        assert words in str(refused.value)


class TestDoubts:
    def test_nines_far_from_all_others(self, tmp_path):
        lines = with_doses(["-999", *DOSES[1:-1], "-999.0"])
        note = (
            "'dose': -999 in 2 rows is far from all others; missing_marks = ['-999'] if it stands "
            "for a missing value"
        )
        assert note in notes(tmp_path, lines)
        kept = sheet(tmp_path, lines, missing_marks=("-999",), missing="keep").load()
        assert torch.cat([kept.train["dose"], kept.test["dose"]]).isnan().sum() == 2

    def test_nines_among_others_are_numbers(self, tmp_path):
        assert "far from" not in notes(tmp_path, with_doses(["99", *DOSES[1:-1], "70.5"]))

    def test_dates_are_not_said_to_lose_zeros(self, tmp_path):
        days = [f"{1 + place:02}/07/2024" for place in range(24)]
        assert "zeros" not in notes(tmp_path, with_doses(days))

    def test_years_of_two_digits(self, tmp_path):
        days = [f"{1 + place:02}/07/{45 + place}" for place in range(24)]
        text = notes(tmp_path, with_doses(days))
        assert "'dose': years of two digits are taken for those from 1969 to 2068" in text

    def test_a_date_that_stands_for_none(self, tmp_path):
        days = [f"2024-07-{1 + place:02}" for place in range(23)]
        text = notes(tmp_path, with_doses([*days, "9999-12-31"]))
        assert "'dose': 1 date before 1800 or after 2200; if they stand for missing dates" in text

    def test_times_with_and_without_a_zone(self, tmp_path):
        times = []
        for place in range(24):
            times.append(f"2024-07-{1 + place:02}T10:00:00{('+02:00', '')[place % 2]}")
        text = notes(tmp_path, with_doses(times))
        assert "'dose': times without a zone are taken for UTC; all times are turned" in text

    def test_letters_in_two_forms_are_one_spelling(self, tmp_path):
        rows = [ROWS[0].replace("Ulm", "Köln"), ROWS[1].replace("Bonn", "Ko\u0308ln"), *ROWS[2:]]
        assert "'town': one category seems to be spelled 2 ways" in notes(tmp_path, [NAMES, *rows])

    def test_yes_and_no_in_several_words(self, tmp_path):
        answers = ["yes", "TRUE", "1", "no", "FALSE", "0"] * 4
        text = notes(tmp_path, with_doses(answers))
        assert "'dose': yes and no seem to be written in several ways ('yes', 'TRUE', '1'" in text

    def test_a_cross_or_nothing_is_said_to_be_that(self, tmp_path):
        assert "column 'dose' is 'x' in 12 rows and empty in 12" in notes(
            tmp_path, with_doses(["x", ""] * 12)
        )

    def test_errors_of_spreadsheets_among_categories(self, tmp_path):
        rows = [ROWS[0].replace("Ulm", "#DIV/0!"), *ROWS[1:]]
        text = notes(tmp_path, [NAMES, *rows])
        assert "'town': '#DIV/0!' counts as a category; missing_marks = ['#DIV/0!']" in text
