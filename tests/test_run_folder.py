"""A run's folder belongs to one run: it is claimed first, and what is damaged in it is named."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time

import pytest
import tomli_w

from coplay import Config, Federation, Result, load_player
from coplay.cli import main as cli
from coplay.core import storage
from coplay.core.errors import CheckpointError, ConfigError, CoplayError, RunFolderError
from coplay.data.sources.digits import Digits
from coplay.report.page import write

from .by_hand import cut

GAME = "sample_exchange"


def models(run):
    return {path.name: path.read_bytes() for path in run.glob("*/models/*")}


def contents(run):
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def flip(path, place=-1):
    """Flip a bit of a file."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


# ------------------------------------------------------------------------------ who plays in it


class Slow(Digits):
    """Digits that take a second to be read."""

    def load(self):
        time.sleep(1)
        return super().load()


SLOW = {"data": {"source": {"name": "tests.test_run_folder:Slow"}}}


def test_of_many_threads_that_start_in_one_folder_one_plays(small_config, tmp_path):
    outcomes = {}

    def start(seed):
        try:
            outcomes[seed] = Federation(small_config(seed=seed, **SLOW)).run(tmp_path / "race")
        except CoplayError as error:
            outcomes[seed] = str(error)

    threads = [threading.Thread(target=start, args=(seed,)) for seed in range(1, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [seed for seed, outcome in outcomes.items() if isinstance(outcome, Result)]
    assert Result.load(tmp_path / "race").record.seed == winner
    for seed, outcome in outcomes.items():
        if seed != winner:
            begun = "exists; expected a new or empty folder" in outcome
            assert begun or "is being played by another process, or by another" in outcome
            assert "name another" in outcome
    alone = Federation(small_config(seed=winner, **SLOW)).run(tmp_path / "alone")
    assert models(alone.folder) == models(tmp_path / "race")


def test_of_many_processes_that_start_in_one_folder_one_plays(small_config, tmp_path):
    processes = {}
    for seed in (1, 2, 3):
        config = small_config(seed=seed, **SLOW).to_dict()
        (tmp_path / f"{seed}.toml").write_text(tomli_w.dumps(config))
        processes[seed] = subprocess.Popen(
            [sys.executable, "-m", "coplay", "run", f"{seed}.toml", "--out", "race"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    errors = {seed: process.communicate(timeout=240)[1] for seed, process in processes.items()}
    codes = {seed: process.returncode for seed, process in processes.items()}
    assert sorted(codes.values()) == [0, 2, 2], errors
    (winner,) = [seed for seed, code in codes.items() if code == 0]
    assert Result.load(tmp_path / "race").record.seed == winner
    alone = Federation(small_config(seed=winner, **SLOW)).run(tmp_path / "alone")
    assert models(alone.folder) == models(tmp_path / "race")
    for seed, error in errors.items():
        if seed != winner:
            assert "is being played" in error or "exists; expected a new or empty" in error
            assert "Traceback" not in error


def test_a_start_that_fails_leaves_nothing_and_one_that_is_killed_can_be_repeated(
    small_config, tmp_path
):
    missing = {"data": {"source": {"name": "npz", "file": str(tmp_path / "gone.npz")}}}
    with pytest.raises(CoplayError, match=r"gone\.npz"):
        Federation(small_config(**missing)).run(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(CoplayError, match=r"gone\.npz"):
        Federation(small_config(**missing)).run(tmp_path / "empty")
    assert list((tmp_path / "empty").iterdir()) == []
    program = textwrap.dedent(
        """
        import os, pathlib, sys
        from coplay.core import storage
        with storage.locked(pathlib.Path(sys.argv[1])):
            os._exit(9)
        """
    )
    run = tmp_path / "killed"
    code = subprocess.run([sys.executable, "-c", program, str(run)], check=False).returncode
    assert code == 9
    assert [path.name for path in run.iterdir()] == ["lock"]
    assert Federation(small_config()).run(run).record.status == "finished"


def test_a_folder_of_somebody_else_is_not_touched(small_config, tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "to_my_aunt.txt").write_text("Dear aunt")
    with pytest.raises(RunFolderError, match="exists; expected a new or empty folder"):
        Federation(small_config()).run(tmp_path / "letters")
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["to_my_aunt.txt"]


def test_a_run_that_is_being_played_is_not_resumed(small_config, tmp_path):
    run = cut(small_config(), tmp_path / "run", 2)
    with storage.locked(run), pytest.raises(CheckpointError, match="being played"):
        Federation.resume(run)
    assert Federation.resume(run).record.status == "finished"


# ---------------------------------------------------------------------- whose file it is


def swapped(first, second):
    aside = first.with_name("aside")
    first.rename(aside)
    second.rename(first)
    aside.rename(second)


@pytest.mark.parametrize("notes", [False, True], ids=["models", "models and notes"])
def test_a_player_does_not_take_anothers_file_of_a_checkpoint(small_config, tmp_path, notes):
    run = cut(small_config(), tmp_path / "run", 2)
    folder = run / GAME / "checkpoints" / "round-000002" / "players"
    swapped(folder / "north.safetensors", folder / "south.safetensors")
    if notes:
        swapped(folder / "north.json", folder / "south.json")
    before = contents(run)
    with pytest.raises(
        CoplayError,
        match=r"north\.\w+ is damaged or was changed \(it is of player "
        r"'south', expected 'north'\)",
    ):
        Federation.resume(run)
    before.pop(run / "run.json")
    assert before.items() <= contents(run).items()


def test_a_player_does_not_take_its_file_of_another_round_or_game_or_run(small_config, tmp_path):
    config = small_config(compare=["isolated"])
    run = cut(config, tmp_path / "run", 2, game="isolated")
    other = cut(small_config(seed=4), tmp_path / "other", 2)
    folder = run / "isolated" / "checkpoints"
    place = folder / "round-000002" / "players"
    whole = {path: path.read_bytes() for path in place.iterdir()}

    def refused(source, words):
        for path in (place / "north.safetensors", place / "north.json"):
            path.write_bytes((source / path.name).read_bytes())
        with pytest.raises(CoplayError, match=words):
            Federation.resume(run)
        for path, content in whole.items():
            path.write_bytes(content)

    refused(folder / "round-000001" / "players", "it is of round 1, expected 2")
    players = other / GAME / "checkpoints" / "round-000002" / "players"
    refused(players, "it is of game 'sample_exchange', expected 'isolated'")
    classes = {"north": [0, 1, 2], "south": [5, 6, 7, 8, 9]}
    data = {"partition": {"name": "by_class", "classes": classes}}
    elsewhere = small_config(compare=["isolated"], data=data)
    again = cut(elsewhere, tmp_path / "again", 2, "isolated")
    players = again / "isolated" / "checkpoints" / "round-000002" / "players"
    refused(players, r"north\.safetensors is not the file that this checkpoint counts")
    shutil.copytree(again / "isolated", run / "isolated", dirs_exist_ok=True)
    with pytest.raises(CoplayError, match="it is of a run with another config"):
        Federation.resume(run)


def test_samples_are_not_drawn_from_anothers_model(small_config, tmp_path):
    run = Federation(small_config()).run(tmp_path / "run").folder
    folder = run / GAME / "models"
    swapped(folder / "north.safetensors", folder / "south.safetensors")
    with pytest.raises(CheckpointError, match=r"it is of player 'south', expected 'north'"):
        load_player(run, "north")
    with pytest.raises(CheckpointError, match=rf"is damaged.*'coplay run {run}/config.toml"):
        Federation.resume(run)


# ------------------------------------------------------------------------------- what is damaged


def test_a_damaged_or_deleted_model_is_named_with_what_to_do(small_config, tmp_path):
    run = Federation(small_config()).run(tmp_path / "run").folder
    path = run / GAME / "models" / "north.safetensors"
    whole = path.read_bytes()
    flip(path)
    with pytest.raises(CheckpointError, match=r"north\.safetensors is damaged or was changed"):
        load_player(run, "north")
    path.unlink()
    with pytest.raises(
        CheckpointError, match=r"north\.safetensors was deleted; restore it from a copy, or play"
    ):
        load_player(run, "north")
    path.write_bytes(whole)
    load_player(run, "north")


@pytest.mark.parametrize(
    "text", ["{}", "[]", "null", "", "7", '"text"', '{"format": 1}', '{"format": 1, "config": 3}']
)
@pytest.mark.parametrize("command", [["show"], ["report"], ["resume"], ["cite"]])
def test_a_run_record_of_another_form_is_named(small_config, tmp_path, capsys, text, command):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(text)
    assert cli.main([*command, str(tmp_path / "run")]) == 2
    assert "run.json" in capsys.readouterr().err


def test_another_format_is_told_and_not_guessed(small_config, tmp_path):
    run = Federation(small_config()).run(tmp_path / "run").folder
    values = json.loads((run / "run.json").read_text())
    storage.write_sealed(run / "run.json", values | {"format": 2})
    with pytest.raises(CheckpointError, match="is of format 2, this coplay reads format 1"):
        _ = Result.load(run).record


def test_rows_that_are_cut_off_doubled_or_in_another_order_are_noticed(small_config, tmp_path):
    run = Federation(small_config()).run(tmp_path / "run").folder
    path = run / GAME / "rows.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    for broken, words in (
        (lines[:2], "2 whole rows, the checkpoint counts 3"),
        ([*lines[:2], lines[2][:-9]], "2 whole rows, the checkpoint counts 3"),
        ([*lines[:2], lines[1], lines[2]], "row 3: it does not fit the rows before it"),
        ([lines[1], lines[0], lines[2]], "row 1: it does not fit"),
        (lines[1:], "row 1: it does not fit"),
        ([line.replace('"learning": 0', '"learning": 1') for line in lines], "row 1: it does not"),
    ):
        path.write_text("".join(broken))
        with pytest.raises(CheckpointError, match=words):
            _ = Result.load(run).main.rows
        with pytest.raises(CheckpointError, match=words):
            Federation.resume(run)


def test_half_a_row_in_what_counts_is_told_and_not_a_traceback(small_config, tmp_path):
    run = cut(small_config(), tmp_path / "run", 2)
    path = run / GAME / "rows.jsonl"
    path.write_text(path.read_text()[:-20])
    with pytest.raises(
        CheckpointError,
        match=r"rows\.jsonl is damaged.*1 whole rows, the checkpoin"
        r"t counts 2.*--previous",
    ):
        Federation.resume(run)
    expected = Federation(small_config()).run(tmp_path / "undisturbed")
    assert models(Federation.resume(run, previous=True).folder) == models(expected.folder)
    assert len(Result.load(run).main.rows) == 3


@pytest.mark.parametrize(
    "file", ["players/north.safetensors", "players/south.json", "state.safetensors"]
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_goes_on(small_config, tmp_path, file):
    run = cut(small_config(), tmp_path / "run", 2)
    expected = models(Federation(small_config()).run(tmp_path / "undisturbed").folder)
    checkpoints = run / GAME / "checkpoints"
    assert sorted(path.name[-1] for path in checkpoints.iterdir()) == ["1", "2"]
    flip(checkpoints / "round-000002" / file, -3)
    name = file.rpartition("/")[2]
    with pytest.raises(CoplayError, match=rf"{name} is damaged.*coplay resume {run} --previous"):
        Federation.resume(run)
    assert models(Federation.resume(run, previous=True).folder) == expected


def test_a_damaged_or_deleted_record_of_a_checkpoint_is_named(small_config, tmp_path, capsys):
    run = cut(small_config(), tmp_path / "run", 2)
    expected = models(Federation(small_config()).run(tmp_path / "undisturbed").folder)
    path = run / GAME / "checkpoint.json"
    whole = path.read_bytes()
    for content in (b"{}", b"[]", b"null", whole[:50], whole.replace(b'"round": 2', b'"round": 1')):
        path.write_bytes(content)
        for command in ("show", "report", "resume"):
            assert cli.main([command, str(run)]) == 2
            error = capsys.readouterr().err
            assert str(path) in error
            assert "--previous" in error
    path.unlink()
    with pytest.raises(CheckpointError, match=r"checkpoint\.json was deleted.*--previous"):
        Federation.resume(run)
    assert models(Federation.resume(run, previous=True).folder) == expected


def test_there_is_one_checkpoint_before_and_a_finished_run_needs_none(small_config, tmp_path):
    run = cut(small_config(), tmp_path / "run", 1)
    with pytest.raises(RunFolderError, match="has no checkpoint before the last one"):
        Federation.resume(run, previous=True)
    Federation.resume(run)
    with pytest.raises(RunFolderError, match="is finished, so --previous has nothing to change"):
        Federation.resume(run, previous=True)


def test_classifier_and_pictures_that_are_damaged_are_named(small_config, tmp_path, monkeypatch):
    monkeypatch.setattr("coplay.metrics.features._STEPS", (20, 20))
    measure = {"metrics": ["class_shares"], "samples": 100, "shown": 3}
    run = Federation(small_config(measure=measure)).run(tmp_path / "run").folder
    for name in ("classifier.safetensors", "real.safetensors"):
        flip(run / name, -2)
        with pytest.raises(CheckpointError, match=rf"{name} is damaged"):
            Federation.resume(run)
        flip(run / name, -2)
    flip(run / "real.safetensors", -2)
    with pytest.raises(CheckpointError, match=r"real\.safetensors is damaged"):
        write(Result.load(run))
    flip(run / "real.safetensors", -2)
    shown = run / GAME / "samples" / "round-000003.safetensors"
    flip(shown, -2)
    with pytest.raises(CheckpointError, match=r"round-000003\.safetensors is damaged"):
        write(Result.load(run))


# ------------------------------------------------------------- what is kept, and what may change


def test_a_finished_game_keeps_every_model_once(small_config, tmp_path):
    run = Federation(small_config(compare=["isolated"])).run(tmp_path / "run").folder
    names = [path.name for path in run.rglob("north.safetensors")]
    assert len(names) == 2, "one for each game"
    for game in (GAME, "isolated"):
        assert not (run / game / "checkpoints").exists()
        assert json.loads((run / game / "checkpoint.json").read_text())["finished"] is True
    before = contents(run)
    assert Federation.resume(run).record.status == "finished"
    assert contents(run) == before


def test_a_game_that_was_cut_off_at_its_end_loses_its_checkpoints(small_config, tmp_path):
    """It said that it is finished, and had not yet deleted what it needs no more."""
    run = Federation(small_config()).run(tmp_path / "run").folder
    record = storage.read_sealed(run / "run.json")
    storage.write_sealed(run / "run.json", {**record, "status": "running"})
    before = {path: text for path, text in contents(run).items() if "checkpoint" in str(path)}
    left = run / GAME / "checkpoints" / "round-000002" / "players" / "north.safetensors"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"")
    (run / GAME / "previous.json").write_text("{}")
    assert Federation.resume(run).record.status == "finished"
    assert not (run / GAME / "checkpoints").exists()
    assert not (run / GAME / "previous.json").exists()
    after = {path: text for path, text in contents(run).items() if "checkpoint" in str(path)}
    assert after == before


def test_settings_that_cannot_change_results_may_be_set_at_a_resume(small_config, tmp_path):
    game = {"name": GAME, "rounds": 6, "samples_per_round": 50}
    run = cut(small_config(game=game), tmp_path / "run", 2)
    expected = Federation(small_config(game=game)).run(tmp_path / "undisturbed")
    settings = ["checkpoint.every_rounds=3", "engine.keep_memory=false", "engine.groups=2"]
    result = Federation.resume(run, overrides=settings)
    assert models(run) == models(expected.folder)
    assert result.config.checkpoint.every_rounds == 3
    assert Config.from_file(run / "config.toml") == result.config
    assert "resumed with another checkpoint.every_rounds: was 1, is 3" in result.record.notes
    assert [row.measured for row in result.main.rows] == [
        row.measured for row in expected.main.rows
    ]


def test_another_engine_may_be_set_at_a_resume_where_groups_do_not_matter(small_config):
    from coplay.run.resume_settings import changed

    ray = ["engine.name=ray", "engine.processes=4", "engine.start_seconds=600"]
    after = changed(small_config(), ray).engine
    assert (type(after).__name__, after.processes, after.start_seconds) == ("Ray", 4, 600)
    gans = small_config(
        game={"name": "md_gan", "rounds": 2}, model="acgan", engine={"name": "local", "groups": 2}
    )
    assert changed(gans, ["engine.name=ray", "engine.processes=2"]).engine.processes == 2
    with pytest.raises(ConfigError, match=r"in 'md_gan' players of one process learn together"):
        changed(gans, ["engine.name=ray", "engine.processes=3"])


def test_settings_that_change_results_are_refused_by_name(small_config, tmp_path):
    run = cut(small_config(), tmp_path / "run", 2)
    before = contents(run)
    settings = ["seed=9", "game.rounds=9", "engine.threads=2", "measure.samples=500"]
    with pytest.raises(ConfigError) as caught:
        Federation.resume(run, overrides=settings)
    assert str(caught.value).startswith("4 problems in the config:\n")
    for words in (
        "--set seed: was 3, is 9; this would change results",
        "--set game.rounds: was 3, is 9; this would change",
        "--set engine.threads: was 1, is 2; sums of floats depend on the number of threads",
        "--set measure.samples: was 100, is 500; this would change results",
    ):
        assert words in str(caught.value)
    assert contents(run) == before


def test_a_comparison_that_cannot_be_written_does_not_advise_a_resume(
    small_config, tmp_path, capsys
):
    run = Federation(small_config()).run(tmp_path / "run").folder
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "out"
    assert cli.main(["compare", str(run), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert f"cannot write {out}" in error
    assert "resume" not in error
