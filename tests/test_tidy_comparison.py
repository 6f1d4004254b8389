"""A comparison's tidy tables, and its sentences on what is missing."""

import csv
import json

import pytest

from coplay import Config, Federation
from coplay.comparison import tidy_values
from coplay.comparison.arms import Comparison
from coplay.comparison.page import write
from coplay.run import tidy

from .test_measuring_at_players import TELL_ALL, federation, write_sites


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Two arms: a site that tells everything beside a silent one, and a run that measures less."""
    folder = tmp_path_factory.mktemp("wards")
    write_sites(folder, {"open": TELL_ALL, "silent": ""})
    values = federation(folder, ["open", "silent"], rounds=2).to_dict()
    values["measure"] = {"metrics": ["fidelity", "utility"], "samples": 200, "every_rounds": 1}
    fewer = {**values["measure"], "metrics": ["fidelity"]}
    for name, measure in (("more", values["measure"]), ("less", fewer)):
        Federation(Config.from_dict({**values, "measure": measure})).run(folder / name)
    comparison = Comparison.load([folder / "more", folder / "less"])
    write(comparison, folder / "out", "Wards")
    return comparison, folder / "out"


def read(path):
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.mark.parametrize("kind", ["scores", "curves"])
def test_tables_hold_what_python_returns(compared, kind):
    comparison, folder = compared
    lines = read(folder / f"{kind}.csv")
    expected = []
    for arm in comparison.arms:
        (run,) = arm.runs.values()
        expected += getattr(tidy, kind)(run, arm.label)
    assert list(lines[0]) == list(tidy.COLUMNS)
    assert len(lines) == len(expected) > 0
    for line, row in zip(lines, expected, strict=True):
        for column, value in row.items():
            assert line[column] == ("" if value is None else str(value))
    rounds = {line["round"] for line in lines if line["value"]}
    assert rounds == ({"2"} if kind == "scores" else {"1", "2"})


def test_a_missing_score_is_said_with_its_reason_on_the_page_and_in_the_file(compared):
    comparison, folder = compared
    stays = (
        "is not measured: it is measured at the player and stays there: its site file names what "
        "it tells ([tell] numbers)"
    )
    no_target = "is not measured: no target is named; set measure.target to the variable to be"
    more, less = (arm.label for arm in comparison.arms)
    sentences = tidy_values.missing(comparison)
    assert f"{more}: fidelity of silent {stays}" in sentences
    assert f"{less}: fidelity of silent {stays}" in sentences
    assert any(each.startswith(f"{more}: utility of open {no_target}") for each in sentences)
    page = (folder / "comparison.html").read_text()
    for sentence in sentences:
        assert sentence in page
    assert json.loads((folder / "comparison.json").read_text())["missing"] == sentences


def test_what_only_another_arm_has_was_not_asked_for(tmp_path):
    write_sites(tmp_path, {"a": TELL_ALL})
    values = federation(tmp_path, ["a"], rounds=1).to_dict()
    for name, metrics in (("two", ["fidelity", "utility"]), ("one", ["fidelity"])):
        measure = {"metrics": metrics, "samples": 200, "target": "smokes"}
        Federation(Config.from_dict({**values, "measure": measure})).run(tmp_path / name)
    comparison = Comparison.load([tmp_path / "two", tmp_path / "one"])
    (sentence,) = tidy_values.missing(comparison)
    assert sentence == (
        f"{comparison.arms[1].label}: utility is not measured: no run of this arm asked for it, "
        "or none has got to a round that is measured"
    )
