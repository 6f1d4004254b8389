"""What pages say in words: meanings, first paragraphs, interruptions, and what is not there."""

import dataclasses
import json

import pytest

from coplay.comparison.arms import Comparison
from coplay.comparison.caveats import caveats
from coplay.comparison.in_short import paragraph
from coplay.core.errors import CheckpointError
from coplay.core.measures import MEASURES
from coplay.core.rules import RATES
from coplay.metrics.base import Value
from coplay.report.brought import LEADING, paragraph_of_site
from coplay.report.interruptions import section
from coplay.report.meanings import meanings, term
from coplay.report.page import arranged
from coplay.report.parts import PageSection, Table, value_cell
from coplay.report.words import aligned, whole
from coplay.run.federation import Federation
from coplay.run.interruption import Interruption
from coplay.run.record import RunRecord
from coplay.run.result import Result

from .test_page_numbers import GAME, fids, row, two_seeds, written

assert written  # a fixture

# ------------------------------------------------------------------------------ meanings


def test_whatever_a_run_measures_has_a_meaning():
    known = meanings()
    assert set(MEASURES) <= set(known)
    assert set(RATES) | {"nash_gap"} | set(LEADING) <= set(known)


def test_a_term_has_unit_direction_and_all_counts():
    values = [Value(1.0, "feet", "lower", 10, 5), Value(2.0, "feet", "lower", 20, 5)]
    shown = term("fid", values, " *")
    assert shown.name == "FID ↓ *"
    assert shown.meaning == meanings()["fid"]
    assert shown.detail == (
        "Lower is better. Unit: feet, n = 10 to 20 generated samples against n_real = 5."
    )
    unknown = term("mine", [Value(1.0, "feet", None, 0)])
    assert (unknown.name, unknown.meaning, unknown.detail) == ("mine", "", "Unit: feet.")
    table = Table(["a", shown.name], [["x", "1"]], terms=[shown])
    assert table.hover(shown.name) == shown.meaning[0].upper() + shown.meaning[1:]
    assert table.hover("a") == ""


def test_width_in_letters_is_that_of_the_longest_words():
    table = Table(["name", "two words"], [["a", ("12.5", "[11.0, 14.0]")], ["longest", "3"]])
    assert table.letters == len("longest") + len("[11.0,") + 2 * 1.5
    assert Table(["x" * 70], [["y" * 90]]).letters == 18 + 1.5, "what is longer breaks"


def test_an_interval_stands_in_the_line_beneath():
    write = aligned([33.6])
    assert value_cell(Value(33.6, "", "lower", 1, low=31.9, high=35.4), write) == (
        "33.6",
        "[31.9, 35.4]",
    )
    assert value_cell(Value(33.6, "", "lower", 1), write) == "33.6"
    assert value_cell(None, write) == "–"


# ------------------------------------------------------------------------ first paragraphs


def test_a_comparison_begins_with_its_best_and_its_worst_arm(written):
    comparison = two_seeds(written)
    text = paragraph(comparison, caveats(comparison))
    arm = comparison.arms[0]
    spread = arm.score("fid")
    assert f"{spread.mean:.2f} ± {spread.std:.2f} over 2 seeds" in text
    assert "The FID is how far samples lie from real rows" in text
    assert "± is one standard deviation over seeds" in text


@pytest.mark.parametrize(("better", "best"), [("lower", "low"), ("higher", "high")])
def test_the_best_arm_is_the_best_in_the_direction_of_the_score(written, better, best):
    games = {"sample_exchange": "high", "isolated": "low"}
    rows = {}
    for game, size in games.items():
        amount = {"high": 9.0, "low": 2.0}[size]
        rows[game] = [row(1, {"north": {"domain_score": Value(amount, "u", better, 9, 9)}})]
    comparison = Comparison.load([written(rows).folder])
    text = paragraph(comparison, ())
    names = {size: game.replace("_", " ") for game, size in games.items()}
    lowest, highest = ("lowest", "highest") if better == "lower" else ("highest", "lowest")
    other = "high" if best == "low" else "low"
    assert text.startswith(f"Of 2 arms, {names[best]} has the {lowest} domain score, ")
    assert f"and {names[other]} the {highest}, " in text
    assert "Each arm has one seed" in text


def test_a_site_reads_its_own_numbers_first():
    def score(number):
        return Value(number, "accuracy", "higher", 9, 9)

    last = {
        "sample_exchange": {"utility": score(0.75), "utility_of_real": score(0.9)},
        "isolated": {"utility": score(0.5), "copies_share": score(0.1)},
    }
    assert paragraph_of_site(last).startswith(
        "Your utility is 0.750 after sample exchange and 0.500 after learning alone. "
        "A model that learned from your real rows has 0.900. The utility is how well "
    )
    assert paragraph_of_site({"isolated": {"copies_share": score(0.1)}}) == ""
    assert paragraph_of_site({}) == ""


# --------------------------------------------------------------------- what is not there


def test_what_has_no_data_is_listed_with_its_reason_before_the_end():
    sections = [
        PageSection("a", "A", ["text"]),
        PageSection("b", "B", ["No data.", "None at all."], is_empty=True),
        PageSection("provenance", "End", ["text"]),
    ]
    shown = arranged(sections)
    assert [each.id for each in shown] == ["a", "absent", "provenance"]
    assert shown[1].tables[0].rows == [["B", "No data. None at all."]]
    assert [each.id for each in arranged(sections[:2])] == ["a", "absent"]
    assert [each.id for each in arranged(sections[::2])] == ["a", "provenance"]


def test_a_note_is_a_whole_sentence():
    assert whole("each seed has its own") == "Each seed has its own."
    assert whole("What is it?") == "What is it?"


# ----------------------------------------------------------------------------- interruptions


def test_a_run_that_was_stopped_and_resumed_says_how_and_from_where(small_config, tmp_path):
    config = small_config(
        game={"name": GAME, "rounds": 5, "samples_per_round": 50}, checkpoint={"every_rounds": 2}
    )

    def stop(error, at):
        def report(what, done, of):
            if (what, done) == (GAME, at):
                raise error

        return report

    with pytest.raises(KeyboardInterrupt):
        Federation(config).run(tmp_path / "run", stop(KeyboardInterrupt(), 1))
    assert section(Result.load(tmp_path / "run")) is None
    with pytest.raises(CheckpointError, match="disk"):
        Federation.resume(tmp_path / "run", stop(CheckpointError("disk full."), 3))
    result = Federation.resume(tmp_path / "run")
    assert result.record.status == "finished"
    first, second = result.record.interruptions
    assert (first.status, first.rounds, first.back) == ("stopped", {GAME: 0}, False)
    assert (second.status, second.rounds) == ("failed", {GAME: 2})
    shown = section(result)
    texts = [cells[1] for cells in shown.tables[0].rows]
    assert texts[0] == "It was stopped by hand. It began anew, since there was no checkpoint."
    assert texts[1].startswith("It failed: ")
    assert texts[1].endswith("disk full. It went on after round 2 of sample exchange.")
    assert len(Federation.resume(tmp_path / "run").record.interruptions) == 2, (
        "a finished run rests"
    )


def test_going_back_by_a_checkpoint_is_said(small_config, tmp_path):
    config = small_config(game={"name": GAME, "rounds": 4, "samples_per_round": 50})

    def stop(what, done, of):
        if (what, done) == (GAME, 3):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Federation(config).run(tmp_path / "run", stop)
    before = Result.load(tmp_path / "run").main.counted_rounds
    result = Federation.resume(tmp_path / "run", previous=True)
    (latest,) = result.record.interruptions
    assert (latest.rounds, latest.back) == ({GAME: before - 1}, True)
    assert latest.sentence({}).endswith("by the checkpoint before the last one.")


def test_interruptions_come_back_from_json_and_older_records_have_none(written):
    record = written({GAME: [row(1, fids(north=1.0))]}).record
    assert record.interruptions == ()
    assert "interruptions" not in record.json()
    each = Interruption("running", "", {GAME: 4, "isolated": 2})
    again = RunRecord.from_json(
        json.loads(json.dumps(dataclasses.replace(record, interruptions=(each,)).json()))
    )
    assert again.interruptions == (each,)
    assert each.sentence({GAME: "sample exchange"}) == (
        "It ended without a word, as when its process is killed or the power fails. "
        "It went on after round 4 of sample exchange and round 2 of isolated."
    )
