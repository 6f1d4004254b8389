"""What is said where something else lies in the place of a file or a folder."""

import pytest

from coplay import Config, Federation, Result
from coplay.cli.main import main
from coplay.comparison.place import refuse_other_contents
from coplay.core import remedies, storage
from coplay.core.errors import CheckpointError, OutputError, RunFolderError, TrustError, WriteError
from coplay.core.inside import make_folder, write_output
from coplay.run.origin import SEAL, refuse_untrusted

from .by_hand import two_sites


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    file = tmp_path / "notes"
    file.write_text("mine")
    inside = file / "a" / "b.json"
    expected = f"cannot write {inside}: {file} is a file, expected a folder; "
    with pytest.raises(OutputError) as error:
        write_output(inside, b"", "name another")
    assert str(error.value) == expected + "name another"
    with pytest.raises(OutputError) as error:
        make_folder(file / "a", "name another")
    assert f"{file} is a file, expected a folder; name another" in str(error.value)
    with pytest.raises(WriteError) as error:
        storage.write_atomically(inside, b"")
    assert str(error.value).startswith(expected)
    with pytest.raises(WriteError) as error, storage.locked(file):
        pass
    assert f"{file} is a file, expected a folder; move it away" in str(error.value)
    assert file.read_text() == "mine"


def test_a_folder_in_the_place_of_a_file_is_named_with_what_to_do(tmp_path):
    place = tmp_path / "x.json"
    place.mkdir()
    for read in (storage.read_json, lambda path: storage.read_bytes(path, "")):
        with pytest.raises(CheckpointError) as error:
            read(place)
        expected = (
            f"{place} is a folder, expected a file; remove it, then restore the file from a copy"
        )
        assert str(error.value) == expected
    with pytest.raises(WriteError, match="there is a folder of this name, expected a file"):
        storage.write_atomically(place, b"")
    (tmp_path / "run" / "lock").mkdir(parents=True)
    with (
        pytest.raises(WriteError, match="lock is a folder, expected a file; move it away"),
        storage.locked(tmp_path / "run"),
    ):
        pass


def test_a_comparison_goes_into_no_folder_with_other_things(tmp_path, capsys):
    config = Config.from_toml(two_sites("small", rounds=1))
    run = Federation(config).run(tmp_path / "run").folder
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("mine")
    (mine / "z").mkdir()
    assert main(["compare", str(run), "--out", str(mine)]) == 2
    error = capsys.readouterr().err
    assert f"{mine} holds thesis.tex and 1 more, and is no earlier comparison" in error
    assert "--out" in error
    assert sorted(path.name for path in mine.iterdir()) == ["thesis.tex", "z"]
    fresh = tmp_path / "fresh"
    for _ in range(2):
        assert main(["compare", str(run), "--out", str(fresh)]) == 0
    refuse_other_contents(tmp_path / "new")
    (tmp_path / "sweep" / "seed=1").mkdir(parents=True)
    refuse_other_contents(tmp_path / "sweep")
    with pytest.raises(RunFolderError, match="is a run; name another folder"):
        refuse_other_contents(run)


def test_a_damaged_seal_is_told_as_damage(tmp_path):
    rows = tmp_path / "t.csv"
    rows.write_text("x\n" + "\n".join(str(i / 2) for i in range(40)) + "\n")
    config = Config.from_dict(
        {
            "players": 2,
            "model": "exponential_family",
            "data": {"source": {"name": "table", "file": str(rows)}},
            "game": {"name": "isolated", "rounds": 1},
            "measure": {"metrics": []},
        }
    )
    run = Federation(config).run(tmp_path / "run").folder
    path = run / SEAL
    refuse_untrusted(Result.load(run))
    written = path.read_text()
    path.write_text(written.replace('"mark": "', '"mark": "0'))
    with pytest.raises(TrustError, match="has a damaged seal") as error:
        refuse_untrusted(Result.load(run))
    assert str(path) in str(error.value)
    path.unlink()
    with pytest.raises(TrustError, match="did not begin here"):
        refuse_untrusted(Result.load(run))


def test_who_plays_a_received_run_again_is_told_that_it_runs_code(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text('model = "exponential_family"\n')
    assert "runs the code" not in remedies.play_again(tmp_path)
    config.write_text('[model]\nname = "payload:Model"\n')
    assert "runs the code that its config names" in remedies.play_again(tmp_path)
