"""Flipped bits, truncations and swaps over all files of a run: none is used without a word."""

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coplay import Config, Federation, Result
from coplay.cli import main as cli
from coplay.report.page import write
from coplay.run.checkpoint import Checkpoint

from .by_hand import cut

PIECES = 20
DAMAGES = 25

GAMES = ("sample_exchange", "isolated")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return the folders of a finished and of an interrupted run of the same config."""
    folder = tmp_path_factory.mktemp("whole")
    config = Config.from_dict(
        {
            "seed": 3,
            "model": "exponential_family",
            "players": {"north": {}, "south": {}},
            "data": {
                "partition": {
                    "name": "by_class",
                    "classes": {"north": [0, 1, 2, 3], "south": [4, 5, 6, 7, 8, 9]},
                }
            },
            "game": {"name": "sample_exchange", "rounds": 5, "samples_per_round": 50},
            "compare": ["isolated"],
            "measure": {"metrics": ["class_shares"], "samples": 100, "shown": 4, "every_rounds": 1},
            "checkpoint": {"every_rounds": 2},
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("coplay.metrics.features._STEPS", (20, 20))  # it need not judge well here
        finished = Federation(config).run(folder / "finished" / "run").folder
        assert cli.main(["report", str(finished)]) == 0
        interrupted = cut(config, folder / "interrupted" / "run", 5 - 1, "isolated")
        again = cut(config, folder / "early" / "run", 3)
    return {"finished": finished, "interrupted": interrupted, "early": again}


def damage(run, chance):
    """Damage one file of a run; return what was done and the names of the files."""
    files = sorted(path for path in run.rglob("*") if path.is_file() and path.stat().st_size)
    path = chance.choice([path for path in files if "figures" not in path.parts])
    content = path.read_bytes()
    kind = chance.choice(["flip", "truncation", "swap"])
    if kind == "flip":
        place = chance.randrange(8 * len(content))
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        return f"bit {place} of {path}", [path]
    if kind == "truncation":
        length = chance.randrange(len(content))
        path.write_bytes(content[:length])
        return f"{path} cut to {length} bytes", [path]
    other = chance.choice([file for file in files if file != path])
    path.write_bytes(other.read_bytes())
    other.write_bytes(content)
    return f"{path} and {other} swapped", [path, other]


def shown(run, capsys):
    """Return what ``coplay show`` prints, or its error."""
    return cli.main(["show", str(run)]), capsys.readouterr()


def tables(whole, folder, capsys):
    """Return what ``coplay show`` may print of a run.

    A row that no checkpoint counts, and that is cut off as a kill may leave it, is no row.
    """
    run = folder / "counted" / "run"
    shutil.copytree(whole, run)
    for game in GAMES:
        rows = run / game / "rows.jsonl"
        last = Checkpoint.last(run / game)
        if rows.exists() and last is not None:
            rows.write_bytes(b"".join(rows.read_bytes().splitlines(keepends=True)[: last.round]))
    outcomes = [shown(run, capsys), shown(whole, capsys)]
    assert [code for code, _ in outcomes] == [0, 0]
    return [text.out for _, text in outcomes]


def drawn(run, out, game, capsys):
    """Return what ``coplay sample`` draws, or its error."""
    words = ["sample", str(run), "--player", "north", "--game", game, "-n", "20"]
    code = cli.main([*words, "--out", str(out)])
    text = capsys.readouterr()
    if code:
        return code, text
    with np.load(out) as arrays:
        return 0, {name: array.tolist() for name, array in arrays.items()}


def left(run):
    files = {}
    for what in ("*/models/*", "*/samples/*", "*/checkpoint.json", "*.safetensors"):
        files |= {path.relative_to(run): path.read_bytes() for path in run.glob(what)}
    result = Result.load(run)
    rows = {}
    for name, play in result.plays.items():
        rows[name] = [replace(row, seconds={}) for row in play.rows]
    return files, rows, result.record.data, result.record.classifier


def is_told(code, text, paths):
    """Whether a command ended with an error that names one of the damaged files."""
    named = any(path.name in text.err for path in paths)
    return code == 2 and named and "Traceback" not in text.err


@pytest.mark.slow
@pytest.mark.parametrize("piece", range(PIECES))
def test_no_damage_is_used_without_a_word(runs, tmp_path, capsys, piece):
    kind = ("finished", "interrupted", "early")[piece % 3]
    whole = runs[kind]
    right = tables(whole, tmp_path, capsys)
    samples = {game: drawn(whole, tmp_path / "x.npz", game, capsys) for game in GAMES}
    end = left(runs["finished"])
    noticed = 0
    for number in range(DAMAGES):
        chance = random.Random(piece * DAMAGES + number)
        run = tmp_path / str(number) / "run"
        shutil.copytree(whole, run)
        what, paths = damage(run, chance)
        code, text = shown(run, capsys)
        told = is_told(code, text, paths)
        assert told or (code == 0 and text.out in right), (what, "show", text)
        for game in GAMES:
            outcome = drawn(run, tmp_path / "y.npz", game, capsys)
            if outcome[0] and samples[game][0]:
                continue  # there is no model to draw from
            is_right = outcome == samples[game]
            assert is_right or is_told(*outcome, paths), (what, game, outcome)
            told = told or not is_right
        if number % 3 == 0:
            code = cli.main(["report", str(run)])
            text = capsys.readouterr()
            assert code == 0 or is_told(code, text, paths), (what, "report", text)
            told = told or bool(code)
            if code == 0 and kind == "finished":
                report = json.loads((run / "report.json").read_text())
                named = str(report.pop("damage", ""))
                expected = json.loads((whole / "report.json").read_text())
                expected.pop("damage", None)
                # seconds that are left out because their file is damaged are named there
                if "seconds.json" in named:
                    report.pop("time")
                    expected.pop("time")
                # and so is what chance allows, which takes the classifier's confusions
                if "classifier.safetensors" in named:
                    proof = report["shares"].pop("certificate")
                    expected["shares"].pop("certificate")
                    assert proof is None or "is damaged" in proof["not_known"]
                assert report == expected, (what, "report")
                told = told or any(path.name in named for path in paths)
        code = cli.main(["resume", str(run)])
        text = capsys.readouterr()
        told = told or is_told(code, text, paths)
        assert code == 0 or is_told(code, text, paths), (what, "resume", text)
        if code == 0:
            assert left(run) == end, (what, "resume")
        noticed += told
        shutil.rmtree(run.parent)
    assert noticed > DAMAGES // 3


# ------------------------------------------------------------------------- what a report says of it


@pytest.mark.parametrize(
    "file", ["seconds.json", "summary.json", "classifier.safetensors", "model", "deleted model"]
)
def test_a_report_names_a_damaged_file_and_shows_the_rest(file, runs, tmp_path):
    run = Path(shutil.copytree(runs["finished"], tmp_path / "run"))
    assert "Damaged files" not in write(Result.load(run)).read_text(encoding="utf-8")
    path = run / file
    if file == "seconds.json":
        path = run / "isolated" / file
    elif "model" in file:
        path = next((run / "isolated" / "models").iterdir())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    if file == "deleted model":
        path.unlink()
    page = write(Result.load(run)).read_text(encoding="utf-8")
    assert "Damaged files" in page
    assert path.name in page[page.index("Damaged files") :]
    assert "Seed, versions, config" in page
