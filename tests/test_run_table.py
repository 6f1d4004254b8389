"""The terminal's table of a run, read from written records.

It shows intervals, and means with the players that they are over.
"""

import re

import pytest

from coplay.cli import main as cli
from coplay.cli.run_table import LABELS, fitted, notes, table
from coplay.metrics.base import Value
from coplay.run.record import ClassifierRecord, DataRecord, GameRecord, RunRecord
from coplay.run.result import Result
from coplay.run.round_record import RoundRecord

from .by_hand import write_rows, write_run

NAMES = ("north", "south", "west")


@pytest.fixture
def run(tmp_path, small_config):
    """Write a run of three players with one measured round.

    Its values are given by player and quantity.
    """

    def write(measured, **losses):
        config = small_config(players={key: {} for key in NAMES}).to_dict()
        sizes = dict.fromkeys(NAMES, 10)
        counts = {name: [5, 5] for name in NAMES}
        space = small_config().data.source.load().space
        record = RunRecord(
            status="finished",
            config=config,
            versions={},
            data=DataRecord(
                "digits", 30, 10, space, {key: list(space) for key in NAMES}, sizes, counts
            ),
            notes=[],
            unmeasured="",
            games={"sample_exchange": GameRecord()},
            classifier=ClassifierRecord(0.9, 10),
        )
        row = RoundRecord(1, measured=measured)
        folder = tmp_path / "run"
        write_run(folder, record.json())
        write_rows(folder / "sample_exchange", [row.json() | losses])
        return Result.load(folder)

    return write


def fid(value):
    return Value(value, "distance", "lower", 100)


def kid(value):
    return Value(value, "distance", "lower", 100, low=value - 1, high=value + 1)


def test_a_value_has_its_interval_and_a_mean_has_none(run):
    measured = {
        name: {"fid": fid(10.0 * i), "kid": kid(20.0 * i)} for i, name in enumerate(NAMES, 1)
    }
    result = run(measured)
    shown = table(result)
    assert list(shown.header) == [*LABELS, "FID ↓", "KID ↓"]
    assert [row[4] for row in shown.rows] == ["10.0", "20.0", "30.0", "20.0 (10.0)"]
    assert [row[5] for row in shown.rows] == [
        "20.0 [19.0, 21.0]",
        "40.0 [39.0, 41.0]",
        "60.0 [59.0, 61.0]",
        "40.0 (20.0)",
    ]
    assert shown.rows[-1][0] == "mean of 3 (best)"
    assert "in square brackets: 95 % intervals" in notes(result)
    # the column with intervals is the first to go, whole
    width = 1 + sum(
        max(len(str(row[place])) for row in [shown.header, *shown.rows]) + 3 for place in range(5)
    )
    assert fitted(shown, width)[1] == ["KID ↓"]
    assert fitted(shown, width + 20)[1] == []


def test_a_mean_over_fewer_says_so(run):
    measured = {name: {"fid": fid(10.0 * i)} for i, name in enumerate(NAMES, 1)}
    measured["north"]["log_p"] = Value(-6.0, "nats", "higher", 100)
    measured["west"]["log_p"] = Value(-4.0, "nats", "higher", 100)
    rows = table(run(measured)).rows
    assert [row[5] for row in rows] == ["−6.00", "–", "−4.00", "−5.00 (−4.00) of 2"]
    assert rows[-1][4] == "20.0 (10.0)"


def test_there_is_no_mean_over_survivors(run, capsys):
    measured = {"north": {"fid": fid(10.0)}, "south": {"fid": fid(20.0)}}
    result = run(measured, lost={"west": {"action": "turn", "reason": "gone"}})
    rows = table(result).rows
    assert [row[4] for row in rows] == ["10.0", "20.0", "–", "–"]
    assert cli.main(["show", str(result.folder)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert (
        "no means of sample_exchange, since over survivors they would compare unlike things: "
        "lost west" in shown
    )


def test_numbers_are_folded_last(run, capsys, monkeypatch):
    measured = {
        name: {"kid": kid(20.0 * i), "domain_score": fid(2.0)} for i, name in enumerate(NAMES, 1)
    }
    result = run(measured)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    found = table(result)
    for width in range(60, 140):
        monkeypatch.setenv("COLUMNS", str(width))
        assert cli.main(["show", str(result.folder)]) == 0
        lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
        assert max(map(len, lines)) <= width
        shown, left = fitted(found, width)
        if len(shown.header) == len(LABELS):
            continue  # the labels alone may need more than there is
        text = "\n".join(lines)
        assert text.count("mean of 3 (best)") == 1
        assert ("60.0 [59.0, 61.0]" in text) == ("KID ↓" not in left)
