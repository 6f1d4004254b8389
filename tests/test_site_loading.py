"""The rows of a site become the agreed variables, or the error names file, column and row."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from coplay import Variable
from coplay.core.errors import DataError
from coplay.core.space import Space
from coplay.data.sources.digits import Digits
from coplay.data.sources.image_folder import ImageFolder
from coplay.data.sources.npz import Npz
from coplay.data.sources.table import Table
from coplay.site.agreement import Agreement
from coplay.site.loading import load_site

AGE = Variable(kind="real", low=0, high=120)
TUMOUR = Variable(kind="categorical", classes=2, names=("benign", "malignant"))


def text_of(rows, header="age,tumour"):
    return "\n".join([header, *rows]) + "\n"


def ages(n, tumours=("malignant", "benign")):
    return [f"{20 + i},{tumours[i % len(tumours)]}" for i in range(n)]


def loaded(source, space, learns=None, is_given=True, given=None, **settings):
    values = {
        "source": source,
        "test": None,
        "held_out": 0.2,
        "unit": None,
        "columns": {},
        "lacks": (),
        "outside": "refuse",
    } | settings
    data = SimpleNamespace(**values)
    return load_site(data, Agreement(Space(space), learns, is_given), "north", given=given)


def table(folder, text, name="a.csv", **settings):
    path = Path(folder) / name
    path.write_text(text)
    return Table(file=str(path), **settings)


def everything(held, variable):
    parts = [held.train[variable], held.scored[variable], held.chosen_on[variable]]
    return torch.cat(parts)


def message(call, *args, **kwargs):
    with pytest.raises(DataError) as error:
        call(*args, **kwargs)
    return str(error.value)


# ---------------------------------------------------------------------------------------- values


def test_categories_get_the_number_of_the_agreement_by_their_name(tmp_path):
    held = loaded(table(tmp_path, text_of(ages(10))), {"age": AGE, "tumour": TUMOUR})
    order = everything(held, "age").argsort()
    assert everything(held, "tumour")[order].tolist() == [1, 0] * 5
    assert held.space["tumour"].class_names == ("benign", "malignant")


def test_a_site_may_have_one_category_only(tmp_path):
    held = loaded(table(tmp_path, text_of(ages(10, ["malignant"]))), {"tumour": TUMOUR})
    assert set(everything(held, "tumour").tolist()) == {1}


def test_numbers_are_categories_where_that_was_agreed(tmp_path):
    grade = Variable(kind="categorical", classes=3, names=("1", "2", "3"))
    source = table(tmp_path, "grade,x\n" + "3,0.5\n1.0,1\n" * 5)
    held = loaded(source, {"grade": grade})
    assert sorted(everything(held, "grade").tolist()) == [0] * 5 + [2] * 5


@pytest.mark.parametrize("words", [("no", "yes"), ("false", "true"), ("0", "1"), ("n", "y")])
def test_yes_and_no_become_binary(tmp_path, words):
    rows = [f"{words[i % 2]},{i}" for i in range(10)]
    source = table(tmp_path, text_of(rows, "smoker,x"))
    held = loaded(source, {"smoker": Variable(kind="binary"), "x": Variable(kind="real")})
    order = everything(held, "x").argsort()
    assert everything(held, "smoker")[order].tolist() == [0, 1] * 5
    assert everything(held, "smoker").dtype == torch.uint8


@pytest.mark.parametrize("names", [("yes", "no"), ("true", "false")])
def test_bools_become_the_two_agreed_categories(tmp_path, names):
    file = tmp_path / "a.npz"
    np.savez(file, **{"train/smoker": np.array([True, False] * 5)})
    smoker = Variable(kind="categorical", classes=2, names=names)
    held = loaded(Npz(file=str(file)), {"smoker": smoker})
    assert sorted(everything(held, "smoker").tolist()) == [0] * 5 + [1] * 5
    file2 = tmp_path / "b.npz"
    np.savez(file2, **{"train/smoker": np.array([True] * 10)})
    assert set(everything(loaded(Npz(file=str(file2)), {"smoker": smoker}), "smoker").tolist()) == {
        0
    }


@pytest.mark.parametrize(
    ("agreed", "dtype"),
    [
        (Variable(kind="count"), torch.int64),
        (Variable(kind="real"), torch.float32),
        (Variable(kind="categorical", classes=10), torch.int64),
    ],
)
def test_whole_numbers_become_counts_reals_or_categories(tmp_path, agreed, dtype):
    file = tmp_path / "a.npz"
    np.savez(file, **{"train/visits": np.arange(10)})
    from_array = everything(loaded(Npz(file=str(file)), {"visits": agreed}), "visits")
    assert (from_array.dtype, sorted(from_array.tolist())) == (dtype, list(range(10)))
    rows = table(tmp_path, text_of(map(str, range(10)), "visits"))
    from_table = everything(loaded(rows, {"visits": agreed}), "visits")
    assert (from_table.dtype, sorted(from_table.tolist())) == (dtype, list(range(10)))


def test_the_end_of_a_range_is_inside_in_32_bits_too(tmp_path):
    share = Variable(kind="real", low=0, high=0.3)
    held = loaded(table(tmp_path, text_of(["0.3", "0.1", "0.2"] * 4, "share")), {"share": share})
    assert held.space.check(held.train, "here") is held.train


def test_numbers_in_a_class_that_was_agreed_to_be_real_are_numbers(tmp_path):
    source = table(tmp_path, text_of(ages(10)), label_column="tumour")
    held = loaded(source, {"diagnosis": TUMOUR}, columns={"diagnosis": "class"})
    assert list(held.train.keys()) == ["diagnosis"]
    held = loaded(source, {"tumour": TUMOUR})
    assert list(held.train.keys()) == ["tumour"]


def test_rare_categories_count_as_other_where_that_was_agreed(tmp_path):
    grade = Variable(kind="categorical", classes=3, names=("a", "b", "other"))
    source = table(tmp_path, text_of(["a", "b", "c", "d"] * 3, "grade"))
    held = loaded(source, {"grade": grade})
    assert sorted(everything(held, "grade").tolist()) == [0] * 3 + [1] * 3 + [2] * 6
    assert "'grade': 6 rows of categories that were not agreed are 'other'" in held.notes


# ----------------------------------------------------------------------------------- what is wrong


def test_a_category_that_was_not_agreed_is_named_with_its_line_and_the_nearest(tmp_path):
    source = table(tmp_path, text_of([*ages(5), "31,malignent", "32,malignent"]))
    text = message(loaded, source, {"age": AGE, "tumour": TUMOUR})
    file = tmp_path / "a.csv"
    assert text == (
        f"site 'north': {file}, line 7, column 'tumour': expected one of 'benign', 'malignant', "
        f"got 'malignent'; the nearest is 'malignant' (and 1 row more: {file}, line 8)\nmend the "
        'rows, or set outside = "drop" to leave them out, or "clip" to move numbers to the nearest '
        "end of the range"
    )


def test_a_value_outside_the_range_is_named_with_its_line(tmp_path):
    source = table(tmp_path, text_of([*ages(5), "130,benign"]))
    text = message(loaded, source, {"age": AGE, "tumour": TUMOUR})
    assert text.startswith(
        f"site 'north': {tmp_path / 'a.csv'}, line 7, column 'age': expected a value in [0, 120], "
        "got 130\nmend the rows"
    )


def test_all_columns_that_are_wrong_are_named_at_once(tmp_path):
    source = table(tmp_path, text_of([*ages(5), "130,malignent"]))
    text = message(loaded, source, {"age": AGE, "tumour": TUMOUR})
    assert "2 columns are not what was agreed:\n  - " in text
    assert "got 130" in text
    assert "got 'malignent'" in text


def test_rows_outside_are_dropped_and_counted(tmp_path):
    source = table(tmp_path, text_of([*ages(6), "130,benign", "-1,malignent"]))
    held = loaded(source, {"age": AGE, "tumour": TUMOUR}, outside="drop")
    assert sorted(everything(held, "age").tolist()) == [20, 21, 22, 23, 24, 25]
    assert (
        "2 rows of 8 dropped, with values that were not agreed: 'age' 2, 'tumour' 1" in held.notes
    )


def test_values_outside_are_clipped_and_counted(tmp_path):
    source = table(tmp_path, text_of([*ages(6), "130,benign", "-1,malignant"]))
    held = loaded(source, {"age": AGE, "tumour": TUMOUR}, outside="clip")
    assert sorted(everything(held, "age").tolist()) == [0, 20, 21, 22, 23, 24, 25, 120]
    assert "'age': 2 rows clipped to the agreed range" in held.notes


def test_a_category_cannot_be_clipped(tmp_path):
    source = table(tmp_path, text_of([*ages(5), "130,malignent"]))
    text = message(loaded, source, {"age": AGE, "tumour": TUMOUR}, outside="clip")
    assert "got 'malignent'" in text
    assert "got 130" not in text
    assert text.endswith("there is no nearest value to clip to")


def test_fractions_are_no_counts(tmp_path):
    source = table(tmp_path, text_of(["1", "2", "2.5", "3"], "visits"))
    text = message(loaded, source, {"visits": Variable(kind="count")})
    assert "line 4, column 'visits': expected a whole number from 0 on, got 2.5" in text


@pytest.mark.parametrize(
    ("agreed", "words"),
    [
        (Variable(kind="real"), "expected a number, since real scalar was agreed; got 'benign'"),
        (Variable(kind="binary"), "expected yes or no, since binary scalar was agreed; got "),
    ],
)
def test_texts_are_no_numbers(tmp_path, agreed, words):
    text = message(loaded, table(tmp_path, text_of(ages(6)[1:])), {"tumour": agreed})
    assert f"{tmp_path / 'a.csv'}, line 2, column 'tumour': {words}" in text


def test_another_shape_is_named(tmp_path):
    image = Variable(kind="binary", shape=(8, 8))
    text = message(loaded, Npz.tiny(), {"image": image})
    assert text == ("site 'north': noise, column 'image': expected binary 8×8, got binary 6×6")


def test_a_missing_cell_is_named(tmp_path):
    text = message(loaded, table(tmp_path, text_of([*ages(5), ",benign"])), {"age": AGE})
    assert f"{tmp_path / 'a.csv'}, line 7, column 'age': the cell is missing" in text


def test_a_file_that_is_not_there_is_named_with_the_site(tmp_path):
    text = message(loaded, Table(file=str(tmp_path / "b.csv")), {"age": AGE})
    assert text.startswith(f"site 'north': the file {tmp_path / 'b.csv'} does not exist")


# --------------------------------------------------------------------------------- which columns


def test_columns_are_renamed_and_others_left_out_with_a_note(tmp_path):
    source = table(tmp_path, text_of([f"{r},{i}" for i, r in enumerate(ages(6))], "alter,t,note"))
    columns = {"age": "alter", "tumour": "t"}
    held = loaded(source, {"age": AGE, "tumour": TUMOUR}, columns=columns)
    assert list(held.train.keys()) == ["age", "tumour"]
    assert "left out, since they are no agreed variables: 'note'" in held.notes


def test_what_a_site_lacks_is_not_read_though_a_column_is_called_so(tmp_path):
    held = loaded(table(tmp_path, text_of(ages(6))), {"age": AGE, "tumour": TUMOUR}, lacks=("age",))
    assert held.unobserved == ("age",)
    assert list(held.train.keys()) == ["tumour"]


def test_a_variable_without_a_column_must_be_said_to_lack(tmp_path):
    source = table(tmp_path, text_of(ages(6), "Age,tumour"))
    text = message(loaded, source, {"age": AGE, "tumour": TUMOUR})
    assert text == (
        "site 'north': no column for 'age'; if the site does not have it, set lacks = ['age']; if "
        "a column is called otherwise, such as 'Age', name it: columns = {'age' = 'Age'}"
    )
    held = loaded(source, {"age": AGE, "tumour": TUMOUR}, is_given=False)
    assert held.unobserved == ("age",)
    text = message(
        loaded, table(tmp_path, text_of(ages(6))), {"age": AGE, "tumour": TUMOUR, "x": AGE}
    )
    assert text == (
        "site 'north': no column for 'x'; if the site does not have it, set lacks = ['x']"
    )


def test_a_column_that_is_not_there_is_named(tmp_path):
    text = message(
        loaded,
        table(tmp_path, text_of(ages(6))),
        {"age": AGE, "tumour": TUMOUR},
        columns={"age": "alter"},
    )
    assert text == (
        "site 'north': columns: no column 'alter' for 'age' in a; known, nearest first: 'age', "
        "'tumour'"
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lacks": ("agee",)}, "lacks: 'agee' is no agreed variable; known, nearest first: 'age'"),
        ({"columns": {"agee": "x"}}, "columns: 'agee' is no agreed variable"),
        ({"lacks": ("age",), "columns": {"age": "x"}}, "lacks: 'age' has a column in columns too"),
        (
            {"columns": {"age": "x", "tumour": "x"}},
            "columns: 'x' is the column of age and of tumour",
        ),
        ({"unit": "age"}, "unit: 'age' names what rows belong to, so it can be no variable"),
    ],
)
def test_settings_that_contradict_the_agreement_are_named(tmp_path, settings, words):
    source = table(tmp_path, text_of(ages(6)))
    text = message(loaded, source, {"age": AGE, "tumour": TUMOUR}, **settings)
    assert text.startswith(f"site 'north': {words}")


def test_a_column_with_a_new_name_is_not_its_namesake(tmp_path):
    source = table(tmp_path, text_of([f"{i},{50 + i}" for i in range(10)], "a,b"))
    real = Variable(kind="real")
    held = loaded(source, {"a": real, "b": real}, columns={"a": "b", "b": "a"})
    assert everything(held, "a").min() == 50
    held = loaded(source, {"a": real, "b": real}, columns={"a": "b"}, lacks=("b",))
    assert everything(held, "a").min() == 50


def test_a_site_learns_some_of_the_agreed_variables(tmp_path):
    held = loaded(
        table(tmp_path, text_of(ages(6))), {"age": AGE, "tumour": TUMOUR}, learns=("tumour",)
    )
    assert list(held.space) == ["tumour"]


# ------------------------------------------------------------------------------------- held out


def test_rows_are_in_one_of_three_sets_and_the_same_ones_in_every_run(tmp_path):
    source = table(tmp_path, text_of(ages(100)))
    held = loaded(source, {"age": Variable(kind="real")}, held_out=0.3)
    assert [len(part) for part in (held.train, held.scored, held.chosen_on)] == [70, 15, 15]
    assert sorted(everything(held, "age").tolist()) == list(range(20, 120))
    again = loaded(source, {"age": Variable(kind="real")}, held_out=0.3)
    assert torch.equal(everything(again, "age"), everything(held, "age"))
    assert held.notes[-1] == (
        "70 rows to learn from, 30 held out: 15 to score on and 15 to choose a model by; the same "
        "rows in every run"
    )


def test_rows_of_one_unit_stay_together_and_the_unit_is_no_variable(tmp_path):
    rows = [f"{i % 7},p{i % 7}" for i in range(70)]
    source = table(tmp_path, text_of(rows, "x,patient"))
    held = loaded(source, {"x": Variable(kind="real")}, unit="patient", held_out=0.4)
    sides = [set(part["x"].tolist()) for part in (held.train, held.scored, held.chosen_on)]
    assert all(sides)
    assert sum(map(len, sides)) == 7
    assert list(held.train.keys()) == ["x"]
    assert len(set(held.units.tolist())) == len(sides[0])
    assert len(held.units) == len(held.train)
    for number in set(held.units.tolist()):
        assert len(set(held.train["x"][held.units == number].tolist())) == 1
    assert not any("p1" in note for note in held.notes)


def test_npz_has_units_in_an_array(tmp_path):
    file = tmp_path / "a.npz"
    patients = np.arange(40) % 8
    np.savez(file, **{"train/x": patients.astype(np.float32), "train/patient": patients})
    held = loaded(Npz(file=str(file)), {"x": Variable(kind="real")}, unit="patient")
    sides = [set(part["x"].tolist()) for part in (held.train, held.scored, held.chosen_on)]
    assert all(sides)
    assert sum(map(len, sides)) == 8
    text = message(loaded, Npz(file=str(file)), {"x": Variable(kind="real")}, unit="patent")
    assert f"{file}: unit = 'patent' is no array; it holds train/x, train/patient" in text


def test_an_npz_with_classes_has_units_beside_them(tmp_path):
    file = tmp_path / "a.npz"
    images = np.zeros((30, 4, 4), np.uint8)
    images[::2] = 255
    np.savez(file, x_train=images, y_train=np.arange(30) % 2, patient=np.arange(30) // 3)
    space = {
        "image": Variable(kind="binary", shape=(4, 4)),
        "class": Variable(kind="categorical", classes=2, names=("0", "1")),
    }
    held = loaded(Npz(file=str(file)), space, unit="patient", held_out=0.3)
    assert len(held.scored) % 3 == len(held.chosen_on) % 3 == 0
    assert sum(map(len, (held.train, held.scored, held.chosen_on))) == 30


def test_a_source_without_units_says_which_ones_have_them():
    text = message(loaded, Digits(), {"image": Variable(kind="binary", shape=(8, 8))}, unit="p")
    assert text == (
        "site 'north': unit = 'p': this source has nothing that names units; tables and .npz files "
        "do"
    )


def test_a_unit_that_is_no_column_or_has_an_empty_cell_is_named(tmp_path):
    source = table(tmp_path, text_of(["1,a", "2,", "3,b"] * 3, "x,patient"))
    text = message(loaded, source, {"x": Variable(kind="real")}, unit="patent")
    assert "unit: no column 'patent'; known, nearest first: patient, x" in text
    text = message(loaded, source, {"x": Variable(kind="real")}, unit="patient")
    assert f"{tmp_path / 'a.csv'}, line 3, column 'patient': the cell is empty" in text


def test_the_test_split_of_the_source_is_what_is_held_out(tmp_path):
    first = table(tmp_path, text_of(ages(6)))
    table(tmp_path, text_of(["70,benign", "71,benign", "72,benign", "73,benign"]), "b.csv")
    source = Table(file=first.file, test_file=str(tmp_path / "b.csv"))
    held = loaded(source, {"age": AGE, "tumour": TUMOUR})
    assert sorted(held.train["age"].tolist()) == [20, 21, 22, 23, 24, 25]
    assert len(held.scored) == len(held.chosen_on) == 2


def test_a_source_of_its_own_is_what_is_held_out(tmp_path):
    test = table(tmp_path, text_of(["70,benign", "71,benign", "72,benign"]), "b.csv")
    held = loaded(table(tmp_path, text_of(ages(6))), {"age": AGE, "tumour": TUMOUR}, test=test)
    assert sorted(held.train["age"].tolist()) == [20, 21, 22, 23, 24, 25]
    assert sorted([*held.scored["age"].tolist(), *held.chosen_on["age"].tolist()]) == [70, 71, 72]


def test_a_unit_on_both_sides_of_a_given_split_is_refused(tmp_path):
    source = table(tmp_path, text_of(["1,a", "2,b", "3,c"], "x,patient"))
    test = table(tmp_path, text_of(["4,c", "5,d", "6,e"], "x,patient"), "b.csv")
    text = message(loaded, source, {"x": Variable(kind="real")}, test=test, unit="patient")
    assert text.startswith(
        "site 'north': 1 unit of the rows to test on has other rows that are learned from; put all "
        "rows of a unit on one side"
    )


@pytest.mark.parametrize(
    ("rows", "settings", "words"),
    [
        (["1,a", "2,b"], {}, "2 rows are too few to hold any out: expected at least three"),
        (["1,a", "2,b"] * 9, {"unit": "patient"}, "18 rows of 2 units are too few to hold any out"),
    ],
)
def test_too_few_rows_to_hold_any_out_are_an_error(tmp_path, rows, settings, words):
    source = table(tmp_path, text_of(rows, "x,patient"))
    text = message(loaded, source, {"x": Variable(kind="real")}, **settings)
    assert text.startswith(f"site 'north': {words}")


def test_one_row_to_test_on_is_too_little(tmp_path):
    test = table(tmp_path, text_of(["4"], "x"), "b.csv", test_share=0.5)
    source = table(tmp_path, text_of(["1", "2", "3"], "x"))
    text = message(loaded, source, {"x": Variable(kind="real")}, test=test)
    assert "site 'north': " in text
    assert "at least 2 samples" in text


# -------------------------------------------------------------------------------------- sources


def test_a_folder_of_images_of_one_class_is_a_site(tmp_path):
    (tmp_path / "sick").mkdir()
    for i in range(8):
        Image.fromarray(np.full((4, 4), 30 * i, np.uint8)).save(tmp_path / "sick" / f"{i}.png")
    space = {
        "image": Variable(kind="real", shape=(4, 4), low=0, high=1),
        "class": Variable(kind="categorical", classes=2, names=("healthy", "sick")),
    }
    held = loaded(ImageFolder(folder=str(tmp_path), grey=True), space)
    assert set(everything(held, "class").tolist()) == {1}
    dark = {**space, "image": Variable(kind="real", shape=(4, 4), low=0, high=0.5)}
    text = message(loaded, ImageFolder(folder=str(tmp_path), grey=True), dark)
    assert f"{tmp_path}/sick/5.png, column 'image': expected a value in [0, 0.5], got 0.588" in text


def test_paths_are_taken_from_the_folder_of_the_site_file(tmp_path):
    table(tmp_path, text_of(ages(6)))
    data = SimpleNamespace(
        source=Table(file="a.csv"),
        test=None,
        held_out=0.4,
        unit=None,
        columns={},
        lacks=(),
        outside="refuse",
    )
    held = load_site(data, Agreement(Space({"age": AGE})), "north", tmp_path)
    assert len(held.train) == 4
    assert Table(file=("a.csv", "/b.csv")).at(Path("/x")).file == ("/x/a.csv", "/b.csv")
