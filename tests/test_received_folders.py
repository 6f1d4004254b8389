"""What came from somebody else runs no code, writes nothing outside, and is shown as it is."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import coplay
from coplay import Config, CoplayError, Federation, Result, Space, Variable, load_player
from coplay.cli.main import main
from coplay.comparison.arms import Comparison
from coplay.comparison.page import write as write_comparison
from coplay.core import storage
from coplay.core.errors import OutputError, RunFolderError, TrustError, shareable
from coplay.core.inside import file_name, file_names, refuse_links
from coplay.core.text import cell, json_text, visible
from coplay.models.base import OWN
from coplay.report import charts, figures
from coplay.report.page import write as write_report
from coplay.report.stacked_bars import stacked
from coplay.run.checkpoint import Checkpoint
from coplay.run.foreign import code_in
from coplay.site.egress import FILE as EGRESS
from coplay.site.egress import Egress, Line

from .by_hand import two_sites
from .forked import command_line

EVIL = "\x1b]8;;http://evil\x07click\x1b]8;;\x07\x1b]52;c;aGk=\x07\x9b31m\u202e\u200b"
TITLE = "MNIST [/data/mnist] [site a vs b] :smile: [/x] $\\frac{1$ <script>alert(1)</script>"
SHOWN = "MNIST [/data/mnist] [site a vs b] :smile: [/x] $\\frac{1$"

CONFIG = two_sites("received", rounds=2, shown=4)


MIXTURE = {
    "data": {"variables": ["image"]},
    "model": {"name": "sklearn.mixture:GaussianMixture", "covariance_type": "spherical"},
    "game": {"name": "sample_exchange", "rounds": 1, "samples_per_round": 20},
    "measure": {"metrics": [], "samples": 100},
}


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A finished run, to be copied."""
    folder = tmp_path_factory.mktemp("played") / "received"
    Federation(Config.from_toml(CONFIG)).run(folder)
    return folder


@pytest.fixture
def received(played, tmp_path):
    """A copy of the run in a place of its own, beside something that must not change."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "mine.txt").write_text("mine")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("outside")
    return Path(shutil.copytree(played, home / "received"))


def listing(folder, without=None):
    """Every file and folder below a folder with the digest of its content."""
    entries = {}
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder).as_posix()
        if without is not None and place.startswith(without):
            continue
        digest = "folder"
        if path.is_symlink():
            digest = f"link to {os.readlink(path)}"
        elif path.is_file():
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        entries[place] = digest
    return entries


def change(run, edit):
    """Edit the config of a run where it stands: in run.json and in config.toml."""
    record = json.loads((run / "run.json").read_text())
    edit(record["config"])
    storage.write_sealed(run / "run.json", record)
    config = Config.from_dict(record["config"], trust=False)
    (run / "config.toml").write_text(config.to_toml())


def in_new_process(*arguments, cwd, script=False):
    """Run the command line in a process of its own: as ``python -m coplay``, or as its script."""
    command = [Path(sys.executable).with_name("coplay")]
    return subprocess.run(
        [*(command if script else [sys.executable, "-m", "coplay"]), *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


# -------------------------------------------------------------------------------- code of others


def plant(run):
    """Name code in every place of the config that can, and lay it wherever it might be looked for.

    Returns:
        The file that the code writes when it is run.
    """
    mark = run.parents[1] / "outside" / "mark"
    code = (
        f"open({str(mark)!r}, 'a').write(__name__ + chr(10))\n"
        "class M:\n"
        "    def fit(self, rows): pass\n"
        "    def sample(self, n): pass\n"
    )
    for folder in (run, run.parent):
        for name in ("payload", "pydantic", "rich", "torch", "numpy", "sklearn", "typing"):
            (folder / f"{name}.py").write_text(code)
        (folder / "matplotlibrc").write_text("backend: module://payload\ntext.usetex: True\n")
    (run / "__init__.py").write_text(code)

    def edit(config):
        config["model"] = {"name": "estimator", "estimator": "payload:M"}
        config["players"]["north"]["model"] = {"name": "payload:M", "size": 3}
        config["players"]["south"]["model"] = {"name": "acgan", "generator": "payload:M"}
        config["data"]["partition"] = {"name": "received.payload:M"}
        config["data"]["source"] = {"name": "payload:M", "file": "x"}
        config["measure"]["metrics"] = [
            {"name": "inception", "network": "payload:M"},
            {"name": "received.payload:M"},
        ]
        config["compare"] = ["isolated", {"name": "payload:M"}, "received.payload:M"]
        config["engine"] = {"name": "payload:M"}

    change(run, edit)
    home = run / "sites" / "north" / "sample_exchange"
    home.mkdir(parents=True)
    Egress(home / EGRESS).write(Line("reply", to=EVIL, request="payload:M", text=EVIL))
    return mark


COMMANDS = {
    "list": (["list", "engines"], 0),
    "show": (["show", "received"], 0),
    "report": (["report", "received"], 0),
    "cite": (["cite", "received"], 0),
    "cite config": (["cite", "received/config.toml"], 0),
    "compare": (["compare", "received", "--out", "received/comparison"], 0),
    "sample": (["sample", "received", "--player", "north", "--out", "received/s.csv"], 2),
    "sample nets": (["sample", "received", "--player", "south", "--out", "received/s.csv"], 2),
    "resume": (["resume", "received"], 2),
    "release": (["release", "received", "--player", "north", "--out", "received/out"], 2),
    "release nets": (["release", "received", "--player", "south", "--out", "received/out"], 2),
    "audit": (["audit", "received", "--player", "north"], 2),
    "egress show": (["egress", "show", "received", "--all"], 0),
    "egress page": (["egress", "show", "received", "--page"], 0),
    "egress verify": (["egress", "verify", "received"], 0),
}


ALL_IN_ONE = """
import contextlib, io, json, os, runpy, sys
sys.path[0] = os.getcwd()  # as -m has it, for the first command and so for all
ends = {}
for name, arguments in json.loads(sys.argv[1]).items():
    sys.argv = ["coplay", *arguments]
    error = io.StringIO()
    with contextlib.redirect_stderr(error):
        try:
            runpy.run_module("coplay", run_name="__main__", alter_sys=True)
        except SystemExit as end:
            ends[name] = [end.code, error.getvalue()]
sys.__stdout__.write(chr(10) + json.dumps(ends))
"""
"""A program that runs many commands, since each process would load torch anew."""


def check_refused(code, error):
    assert "Traceback" not in error
    if code:
        assert "payload:M" in error
        assert "--trust" in error


def test_no_command_runs_code_of_a_received_run(received, tmp_path_factory):
    mark = plant(received)
    before = listing(received.parents[1], without="home/received")
    program = tmp_path_factory.mktemp("elsewhere") / "program.py"
    program.write_text(ALL_IN_ONE)
    asked = json.dumps({name: arguments for name, (arguments, _) in COMMANDS.items()})
    done = subprocess.run(
        [sys.executable, program, asked],
        cwd=received.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ends = json.loads(done.stdout.splitlines()[-1])
    assert {name: code for name, (code, _) in ends.items()} == {
        name: code for name, (_, code) in COMMANDS.items()
    }
    assert not mark.exists()
    assert listing(received.parents[1], without="home/received") == before
    for code, error in ends.values():
        check_refused(code, error)


@pytest.mark.parametrize(
    ("name", "script"), [("show", False), ("list", True), ("show", True), ("resume", True)]
)
def test_a_command_by_itself_runs_no_code_of_a_received_run(received, name, script):
    mark = plant(received)
    before = listing(received.parents[1], without="home/received")
    arguments, code = COMMANDS[name]
    done = in_new_process(*arguments, cwd=received.parent, script=script)
    assert done.returncode == code, done.stderr
    check_refused(code, done.stderr)
    assert not mark.exists()
    assert listing(received.parents[1], without="home/received") == before


LINES = {
    "no line": "",
    "no text": "\xff\xfe",
    "no object": "[1, 2]",
    "deep": "[" * 100_000,
    "another type": '{"what": 3, "round": "two", "parts": 7, "numbers": []}',
    "a large number": '{"what": "reply", "round": 1e999, "bytes": NaN}',
    "a long number": '{"number": ' + "9" * 5000 + "}",
    "odd letters": '{"what": "\\u001b]52;c;aGk=\\u0007", "to": "\\ud800"}',
}


@pytest.mark.parametrize("kind", LINES)
@pytest.mark.parametrize("file", ["egress.jsonl", "ingress.jsonl", "heads.json"])
def test_a_received_record_of_what_left_gives_a_message_whatever_is_in_it(
    received, capsys, kind, file
):
    home = received / "sites" / "north" / "sample_exchange"
    home.mkdir(parents=True)
    record = Egress(home / EGRESS)
    record.write(Line("reply", to=EVIL, request="turn", text=EVIL))
    head = record.write(Line("loss", to="coordinator", text=EVIL))
    broken = received / "sample_exchange" / file if file == "heads.json" else home / file
    text = LINES[kind].encode("latin-1") + b"\n"
    if file == "egress.jsonl":
        text = (home / EGRESS).read_bytes() + text
    broken.write_bytes(text)
    before = listing(received)
    for command in (["show"], ["show", "--all"], ["show", "--page"], ["verify"]):
        code = main(["egress", command[0], str(received), *command[1:]])
        shown = capsys.readouterr()
        assert code in (0, 2)
        assert "Traceback" not in shown.err
        assert not set(shown.out + shown.err) & set("\x1b\x07\x9b\u202e\u200b")
        if command == ["verify"] and file == "egress.jsonl":
            assert (code, "line 3" in shown.err) == (2, True)
    assert main(["egress", "verify", str(home), "--end", f"{head.lines}:{head.digest}"]) in (0, 2)
    assert listing(received) == before


def test_a_config_that_was_only_read_is_not_played(tmp_path):
    config = {"model": {"name": "acgan", "generator": "payload:M"}, "game": "md_gan"}
    read = Config.from_dict(config, trust=False)
    with pytest.raises(TrustError, match="model: payload:M"):
        Federation(read).run(tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_processes_of_ray_import_nothing_from_the_current_folder(tmp_path):
    pytest.importorskip("ray")
    for name in ("torch", "pydantic", "tensordict"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w')")
    (tmp_path / "ray.toml").write_text(f'engine = "ray"\n{CONFIG}')
    done = in_new_process("run", "ray.toml", "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "mark").exists()


def test_a_received_model_does_not_replace_what_an_estimator_does(tmp_path):
    Federation(Config.from_dict({**MIXTURE, "players": 2})).run(tmp_path / "run")
    home = tmp_path / "run" / "sample_exchange"
    file = home / "models" / "player0.safetensors"
    good = storage.load_tensors(file)
    checkpoint = Checkpoint.last(home)
    for name in ("sample", "__class__"):
        evil = torch.tensor(list(b'"x"'), dtype=torch.uint8)
        digest = storage.save_tensors(file, {**good, f"model/plain/{name}": evil})
        checkpoint = replace(checkpoint, models={**checkpoint.models, "player0": digest})
        storage.write_sealed(home / "checkpoint.json", checkpoint.json())
        with pytest.raises(CoplayError, match="is no attribute"):
            load_player(tmp_path / "run", "player0")


def test_a_received_game_is_read_from_its_record(received, capsys):
    def edit(config):
        config["game"]["name"] = "payload:sample_exchange"

    change(received, edit)
    assert main(["show", str(received)]) == 0
    assert main(["report", str(received)]) == 0
    assert main(["resume", str(received)]) == 2
    assert "game: payload:sample_exchange" in capsys.readouterr().err
    assert Result.load(received).sampled_from == {"sample_exchange": ["north", "south"]}


def test_trust_is_what_lets_classes_in_and_the_runs_folder_comes_last(received):
    code = "import numpy\nclass M:\n    def fit(self, rows): self.rows = rows\n"
    code += "    def sample(self, n): return self.rows[numpy.arange(n) % len(self.rows)]\n"
    (received / "payload.py").write_text(code)

    def edit(config):
        config["players"]["north"]["model"] = {"name": "payload:M"}

    change(received, edit)
    forget_play(received)
    assert command_line("resume", "received", cwd=received.parent).returncode == 2
    done = command_line("resume", "received", "--trust", cwd=received.parent)
    assert done.returncode == 0, done.stderr
    with pytest.raises(TrustError, match="payload:M"):
        Result.load(received).model("north")
    with pytest.raises(TrustError, match="payload:M"):
        load_player(received, "north")
    draw = ["sample", "received", "--player", "north", "--out", "received/s.csv"]
    assert command_line(*draw, cwd=received.parent).returncode == 2
    assert command_line(*draw, "--trust", cwd=received.parent).returncode == 0
    (received / "payload.py").rename(received.parent / "payload.py")
    shutil.rmtree(received / "__pycache__", ignore_errors=True)
    assert command_line(*draw, "--trust", cwd=received.parent).returncode == 2
    assert command_line(*draw, "--trust", "--code", ".", cwd=received.parent).returncode == 0
    assert command_line(*draw, "--code", ".", cwd=received.parent).returncode == 2
    # another player's model is coplay's, and needs no trust
    assert load_player(received, "south").name == "south"


@pytest.mark.parametrize(
    ("section", "needs_trust"),
    [
        ({"name": "sklearn.mixture:GaussianMixture", "n_components": 2}, False),
        ({"name": "sklearn.mixture:BayesianGaussianMixture"}, False),
        ({"name": "sklearn.neighbors:KernelDensity", "bandwidth": 0.2}, False),
        ({"name": "sklearn.preprocessing:FunctionTransformer"}, True),
        ({"name": "sklearn.pipeline:Pipeline", "memory": "cache"}, True),
        ({"name": "os:system"}, True),
        ({"name": "subprocess:Popen", "args": "true"}, True),
        ({"name": "estimator", "estimator": "subprocess:Popen"}, True),
        ({"name": "estimator", "estimator": "sklearn.mixture:GaussianMixture"}, False),
        ({"name": "acgan", "discriminator": "builtins:exec"}, True),
        ({"name": "coplay.models.estimator:Estimator", "estimator": "os:system"}, True),
        ({"name": "exponential_family"}, False),
    ],
)
def test_only_known_estimators_need_no_trust(section, needs_trust):
    config = Config.from_dict({"model": section}, trust=False)
    assert bool(code_in(config)) == needs_trust
    assert Config.from_dict(config.to_dict(), trust=False).to_dict() == config.to_dict()


# -------------------------------------------------------------------------- writing outside of it


def as_link(place, outside):
    place.symlink_to(outside / "file")


def as_folder_link(place, outside):
    place.symlink_to(outside, target_is_directory=True)


def as_dangling_link(place, outside):
    place.symlink_to(outside / "new")


def as_hard_link(place, outside):
    os.link(outside / "file", place)


def as_pipe(place, outside):
    os.mkfifo(place)


@pytest.mark.parametrize(
    ("place", "lay"),
    [
        ("report.html.partial", as_link),
        ("report.html.partial", as_hard_link),
        ("report.json.partial", as_dangling_link),
        ("report.html", as_link),
        ("figures", as_folder_link),
        ("lock", as_link),
        ("lock", as_hard_link),
        ("lock", as_pipe),
        ("summary.json.partial", as_link),
        ("real.safetensors.partial", as_link),
        ("classifier.safetensors.partial", as_link),
        ("sample_exchange/rows.jsonl", as_hard_link),
        ("sample_exchange/errors.txt", as_link),
        ("sample_exchange/checkpoints", as_folder_link),
        ("sample_exchange/models", as_folder_link),
        ("sample_exchange/samples", as_folder_link),
        ("isolated", as_folder_link),
    ],
)
def test_links_in_a_folder_are_refused_by_name(received, capsys, place, lay):
    path = received / place
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    lay(path, received.parents[1] / "outside")
    before = listing(received.parents[1], without="home/received")
    inside = listing(received) if lay is not as_pipe else None
    for command in ("report", "resume"):
        assert main([command, str(received)]) == 2
        error = capsys.readouterr().err
        assert place in error
        assert "expected plain files and folders" in error
    assert listing(received.parents[1], without="home/received") == before
    if inside is not None:
        assert listing(received) == inside


@pytest.mark.parametrize("place", ["comparison.csv.partial", "comparison.html", "figures"])
def test_links_in_the_folder_of_a_comparison_are_refused_by_name(received, capsys, place):
    out = received.parent / "comparison"
    out.mkdir()
    (out / place).symlink_to(received.parents[1] / "outside")
    (out / "beside").symlink_to(received)
    before = listing(received.parents[1])
    assert main(["compare", str(received), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert f"  - {place} is a link to " in error
    assert "beside" not in error
    assert listing(received.parents[1]) == before


@pytest.mark.parametrize("place", ["run.json", "sample_exchange/rows.jsonl", "pipe"])
def test_no_command_waits_for_a_pipe(received, place):
    (received / place).unlink(missing_ok=True)
    os.mkfifo(received / place)
    for command in ("show", "resume"):
        done = command_line(command, "received", cwd=received.parent)
        assert done.returncode == 2
        assert f"{place}, which is no file but a pipe" in done.stderr


def test_a_run_does_not_begin_in_a_folder_with_links(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "out" / "lock").symlink_to(tmp_path / "mine")
    with pytest.raises(RunFolderError, match="lock is a link"):
        Federation(Config.from_toml(CONFIG)).run(tmp_path / "out")
    assert (tmp_path / "mine").read_text() == "mine"


def test_names_do_not_lead_out_of_the_folder(tmp_path):
    rng = np.random.default_rng(0)
    name = "/../../../../outside/x"
    images = {f"train/{name}": rng.integers(0, 256, (40, 6, 6), np.uint8)}
    images["train/class"] = np.arange(40) % 2
    np.savez(tmp_path / "t.npz", **images)
    config = {
        "players": 2,
        "data": {"source": {"name": "npz", "file": str(tmp_path / "t.npz")}},
        "game": {"name": "sample_exchange", "rounds": 1, "samples_per_round": 20},
        "model": "exponential_family",
        "measure": {"metrics": [], "samples": 100},
    }
    run = tmp_path / "a" / "run"
    result = Federation(Config.from_dict(config)).run(run)
    write_report(result)
    write_comparison(Comparison.load([run]), tmp_path / "a" / "side by side", "one")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "t.npz"]
    expected = f"{file_name(f'samples-{name}')}.png"
    assert expected in {path.name for path in (run / "figures").iterdir()}


def test_names_of_a_record_do_not_lead_out_of_the_folder(received, monkeypatch, capsys):
    record = json.loads((received / "run.json").read_text())
    record["config"]["name"] = "../../outside/file"
    storage.write_sealed(received / "run.json", record)
    monkeypatch.chdir(received.parent)
    before = listing(received.parents[1] / "outside")
    main(["compare", "received"])
    assert listing(received.parents[1] / "outside") == before
    record["games"]["../../outside"] = record["games"].pop("sample_exchange")
    storage.write_sealed(received / "run.json", record)
    for command in ("show", "report"):
        assert main([command, "received"]) == 2
        assert "is no name of a game" in capsys.readouterr().err


def test_a_files_name_is_harmless_short_and_no_other_texts():
    texts = ["image", "a/b", "a-b", "a b", "..", ".", "", "nul", "NUL.txt", "x.", "~", "a" * 300]
    texts += ["a" * 301, "ä" * 300, "größe", "gro\u0308ße", "\ud800", "\x00", "-x", "a\\b", "c:d"]
    names = [file_name(text) for text in texts]
    assert len({name.casefold() for name in names}) == len(texts)
    for text, name in zip(texts, names, strict=True):
        assert len(f"{name}.safetensors.partial".encode()) <= 255
        assert not set(name) & set('/\\:*?"<>|\x00')
        assert not name.endswith(".")
        assert name not in ("", ".", "..")
        assert file_name(name) != name or name == text
    assert len({name.casefold() for name in file_names(["north", "North", "NORTH"]).values()}) == 3


def test_long_names_of_players_play_and_case_alone_does_not_tell_them_apart(tmp_path):
    long = "n" * 240
    text = CONFIG.replace("north", long)
    result = Federation(Config.from_toml(text)).run(tmp_path / "run")
    assert result.record.status == "finished"
    assert load_player(tmp_path / "run", long).draw(3, 0, "test").batch_size == (3,)
    assert Federation.resume(tmp_path / "run").record.status == "finished"
    with pytest.raises(Exception, match=r"players.North: differs from 'north' only in case"):
        Config.from_dict({"players": {"north": {}, "North": {}}})


# ------------------------------------------------------------------------- files of the reader's


def table(path, low):
    np.savez(path, x_train=np.random.default_rng(0).normal(low, 1, (40, 3)).astype(np.float32))


def forget_play(run):
    """Let a run be as it was before its first checkpoint."""
    shutil.rmtree(run / "sample_exchange")
    record = storage.read_sealed(run / "run.json")
    storage.write_sealed(run / "run.json", {**record, "status": "running"})


def with_file(path, rounds=2):
    """A config that learns from a file."""
    return {
        "players": 2,
        "data": {"source": {"name": "npz", "file": str(path)}},
        "game": {"name": "sample_exchange", "rounds": rounds, "samples_per_round": 20},
        "model": {"name": "sklearn.mixture:GaussianMixture"},
        "measure": {"metrics": [], "samples": 100},
        "checkpoint": {"every_rounds": 1},
    }


def test_a_received_run_reads_no_file_of_the_readers(tmp_path, monkeypatch, capsys):
    table(tmp_path / "t.npz", 0)
    table(tmp_path / "private.npz", 777)
    Federation(Config.from_dict(with_file(tmp_path / "t.npz"))).run(tmp_path / "run")

    def edit(config):
        config["data"]["source"]["file"] = str(tmp_path / "private.npz")

    change(tmp_path / "run", edit)
    for begun in (True, False):
        if not begun:
            forget_play(tmp_path / "run")
        before = listing(tmp_path)
        assert main(["resume", str(tmp_path / "run")]) == 2
        error = capsys.readouterr().err
        assert f"data.source.file: {tmp_path / 'private.npz'}" in error
        assert "--trust" in error
        assert listing(tmp_path) == before
    assert main(["resume", str(tmp_path / "run"), "--trust"]) == 0
    assert storage.load_tensors(tmp_path / "run" / "real.safetensors")["x"].min() > 700


def test_a_relative_path_is_another_file_in_another_folder(tmp_path, monkeypatch, capsys):
    for name, low in (("sender", 0), ("reader", 777)):
        (tmp_path / name).mkdir()
        table(tmp_path / name / "t.npz", low)
    monkeypatch.chdir(tmp_path / "sender")
    Federation(Config.from_dict(with_file("t.npz"))).run(tmp_path / "run")
    assert main(["resume", str(tmp_path / "run")]) == 0, "it is one's own, and needs no ceremony"
    monkeypatch.chdir(tmp_path / "reader")
    assert main(["resume", str(tmp_path / "run")]) == 2
    assert "data.source.file: t.npz" in capsys.readouterr().err


def test_ones_own_run_finds_its_classes_again_and_nobody_can_say_where_else(tmp_path, capsys):
    code = "class M:\n    def fit(self, rows): self.rows = rows\n"
    code += "    def sample(self, n): return self.rows[[0] * n]\n"
    for folder in ("project", "elsewhere"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"beside_{folder}.py").write_text(code)
    text = CONFIG.replace('"exponential_family"', '"beside_project:M"')
    (tmp_path / "project" / "own.toml").write_text(text)
    run = tmp_path / "run"
    assert main(["run", str(tmp_path / "project" / "own.toml"), "--out", str(run)]) == 0
    for command in (["resume"], ["sample", "--player", "north", "--out", str(tmp_path / "s.npz")]):
        assert command_line(*command, run, cwd=tmp_path).returncode == 2
        done = command_line(*command, run, "--trust", cwd=tmp_path)
        assert done.returncode == 0, done.stderr

    def edit(config):
        config["model"]["name"] = "beside_elsewhere:M"

    change(run, edit)
    written = json.loads((run / "seal").read_text())
    (run / "seal").write_text(json.dumps({**written, "home": str(tmp_path / "elsewhere")}))
    done = command_line("resume", run, "--trust", cwd=tmp_path)
    assert done.returncode == 2
    assert "No module named 'beside_elsewhere'" in done.stderr
    for content in ("", "[]", "null", '{"home": 3, "mark": 4}', '{"mark": "ä"}', "\x00"):
        (run / "seal").write_text(content)
        done = main(["resume", str(run)])
        assert done == 2
        assert "beside_elsewhere" in capsys.readouterr().err


def test_without_a_key_of_this_machine_a_run_did_not_begin_here(tmp_path, monkeypatch, capsys):
    table(tmp_path / "t.npz", 0)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "one"))
    Federation(Config.from_dict(with_file(tmp_path / "t.npz"))).run(tmp_path / "run")
    assert main(["resume", str(tmp_path / "run")]) == 0
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "two"))
    assert main(["resume", str(tmp_path / "run")]) == 2
    assert "did not begin here" in capsys.readouterr().err


# ------------------------------------------------------------------------------- texts of others


def controls(text):
    """Characters that a terminal would obey or not show."""
    return [c for c in text if c in "\x1b\x07\x9b\u202e\u200b"]


def test_a_title_appears_exactly_so_everywhere(tmp_path, capsys):
    config = Config.from_dict({**Config.from_toml(CONFIG).to_dict(), "title": TITLE + EVIL})
    (tmp_path / "evil.toml").write_text(config.to_toml())
    run = str(tmp_path / "run")
    for command in (
        ["run", str(tmp_path / "evil.toml"), "--out", run],
        ["show", run],
        ["resume", run],
        ["compare", run, "--out", str(tmp_path / "c")],
    ):
        assert main(command) == 0
        printed = capsys.readouterr()
        if command[0] != "compare":
            assert SHOWN in printed.out
        assert controls(printed.out + printed.err) == []
    for page in (tmp_path / "run" / "report.html", tmp_path / "c" / "comparison.html"):
        text = page.read_text()
        assert SHOWN in text
        assert "<script>" not in text
        assert controls(text) == []
    for file in ("run/report.json", "c/comparison.json", "c/comparison.csv"):
        assert controls((tmp_path / file).read_text()) == [], file
    assert json.loads((tmp_path / "run" / "report.json").read_text())["title"] == TITLE + EVIL


def test_names_and_errors_of_a_record_are_shown_and_not_obeyed(received, capsys):
    record = json.loads((received / "run.json").read_text())
    record["reason"] = f"[/x] {EVIL} \ud800"
    record["status"] = "failed"
    record["notes"] = [f"[bold] {EVIL}"]
    record["versions"]["coplay"] = EVIL
    record["data"]["name"] = f"[red]{EVIL}"
    storage.write_sealed(received / "run.json", record)
    for command in ("show", "report"):
        assert main([command, str(received)]) == 0
        printed = capsys.readouterr()
        assert controls(printed.out + printed.err) == []
    page = (received / "report.html").read_text()
    assert controls(page) == []
    assert "[/x] \\x1b]8;;http://evil\\x07click" in page


@pytest.mark.parametrize(
    "name", ["$\\frac{1$", "$x", "a_b^c", "\\undefined", "$$", "%", EVIL, "\ud800", "\x00"]
)
def test_no_picture_takes_a_name_for_mathematics(name):
    lines = {name: [charts.Line(name, "sample_exchange", [1, 2], [0.1, 0.2])]}
    chart = charts.curves(lines, {name: name}, [name], ["sample_exchange"])
    assert chart.drawings
    assert chart.file
    bands = {name: [charts.Band(name, [1, 2], [0.1, 0.2], [None, None])]}
    assert charts.bands(bands, {name: name}, {name: (0, 0)}, name).file
    assert stacked({name: {name: 1.0}}, name)
    labels = {"row_label": name, "column_label": name, "write": str}
    assert figures.heat_map([[1.0]], [name], [name], **labels)
    image = np.zeros((4, 4, 3))
    assert figures.mosaics({(name, name): image}, [name], [name], 1)
    assert figures.strip({name: image}, 1)


def test_a_matplotlibrc_of_the_current_folder_changes_no_picture(tmp_path):
    code = (
        "import hashlib; from coplay.report import figures\n"
        "labels = {'row_label': 'r', 'column_label': 'c', 'write': str}\n"
        "png = figures.heat_map([[1.0]], ['a'], ['b'], **labels)\n"
        "print(hashlib.sha256(png).hexdigest())"
    )
    digests = set()
    for style in ("", "font.size: 30\ntext.usetex: True\n"):
        (tmp_path / "matplotlibrc").write_text(style)
        words = [sys.executable, "-c", code]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
        digests.add(done.stdout)
    assert len(digests) == 1


def test_each_target_has_its_escape():
    assert visible(EVIL).isprintable()
    assert visible("größe 年齢 α ± 😀\nnext") == "größe 年齢 α ± 😀\nnext"
    assert visible("a\nb", lines=False) == "a\\nb"
    for formula in ("=1+1", "+1", "-1", "@SUM(A1)", " =1", "|cmd", "%0a"):
        assert cell(formula).startswith("'")
    assert cell("north") == "north"
    value = {"a": EVIL + "\ud800\U000e0041"}
    text = json_text(json.dumps(value, ensure_ascii=False))
    assert json.loads(text) == value
    assert controls(text) == []


# ---------------------------------------------------------------------- texts with private records

RECORD = "record of patient 4711"


def test_the_words_of_a_players_model_stay_with_it(tmp_path, capsys):
    (tmp_path / "leaky.py").write_text(
        "import coplay, torch\n"
        f"RECORD = {RECORD!r}\n"
        "class Model:\n"
        "    def __init__(self, fault): self.fault = fault\n"
        "    def fit(self, rows):\n"
        "        if self.fault == 'own': raise coplay.CoplayError(RECORD)\n"
        "        raise {'value': ValueError, 'key': KeyError}[self.fault](RECORD)\n"
        "    def sample(self, n): pass\n"
    )
    for fault, kind in (("value", "ValueError"), ("key", "KeyError"), ("own", "CoplayError")):
        text = CONFIG.replace(
            "[players.north]",
            f'[players.north.model]\nname = "leaky:Model"\nfault = "{fault}"',
        )
        (tmp_path / "leaky.toml").write_text(text.replace("rounds = 2", "rounds = 1"))
        run = tmp_path / fault
        assert main(["run", str(tmp_path / "leaky.toml"), "--out", str(run)]) == 2
        error = capsys.readouterr().err
        assert f"player 'north' failed at 'turn' in round 1: {kind}" in error
        assert "errors.txt" in error
        assert RECORD not in error
        assert main(["report", str(run)]) == 0
        holders = [path.name for path in run.rglob("*") if path.is_file()]
        holders = [name for name in holders if RECORD in _text(run, name)]
        assert holders == ["errors.txt"]


def _text(run, name):
    (path,) = [path for path in run.rglob(name) if path.is_file()][:1]
    return path.read_bytes().decode("utf-8", "replace")


def test_an_error_about_what_a_model_drew_quotes_no_value():
    space = Space({"age": Variable(kind="real", low=0, high=100)})
    drawn = space.samples(age=torch.tensor([4711.0]))
    for quote, words in ((True, "got 4711 in row 0"), (False, "got another one in row 0")):
        with pytest.raises(CoplayError) as caught:
            space.check(drawn, "samples", quote=quote)
        assert str(caught.value).endswith(words)

    class Leaks(coplay.LocalModel):
        def setup(self, space, seed):
            pass

        def learn(self, mixture, steps, generator):
            return {"loss": RECORD}

        def sample(self, n, generator):
            return drawn

        def state_dict(self):
            return {}

        def load_state_dict(self, state):
            pass

    data = space.samples(age=torch.tensor([1.0]))
    player = coplay.Player("north", space, data, Leaks(), seed=1)
    with pytest.raises(CoplayError, match="got another one in row 0"):
        player.draw(1, 1, "south")
    with pytest.raises(CoplayError, match="loss as str, expected a number"):
        player.learn({}, {OWN: 1.0}, 1, 1)


def test_only_coplays_own_words_may_be_told():
    assert shareable(ValueError(RECORD)) == ""
    assert shareable(TrustError("coplay's own")) == "coplay's own"
    with pytest.raises(TrustError) as caught:
        raise TrustError(RECORD)  # from a frame that is not coplay's
    assert shareable(caught.value) == ""
    error = TrustError(f"because: {RECORD}")
    error.__cause__ = ValueError(RECORD)
    assert shareable(error) == ""
    error.__cause__ = OSError(28, "No space left on device")
    assert shareable(error) != ""


# ----------------------------------------------------------------------- what cannot be written


@pytest.fixture
def unwritable(tmp_path):
    """Places that cannot be written, whoever asks."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "folder.png").mkdir()
    return tmp_path


@pytest.mark.parametrize("ending", ["csv", "npz", "png"])
def test_samples_that_cannot_be_written_are_one_sentence(received, unwritable, capsys, ending):
    before = listing(unwritable)
    places = [f"folder.{ending}", f"file/inside.{ending}", f"{'n' * 300}.{ending}"]
    for place in places:
        out = unwritable / place
        command = ["sample", str(received), "--player", "north", "--out", str(out)]
        assert main(command) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"coplay: cannot write {out}: ")
        assert error.count("\n") == 1
        assert "resume" not in error
    assert listing(unwritable) == before


def test_pages_that_cannot_be_written_are_one_sentence(received, unwritable, capsys):
    before = listing(unwritable, without="home/received")
    inside = str(unwritable / "file" / "inside")
    assert main(["compare", str(received), "--out", inside]) == 2
    error = capsys.readouterr().err
    assert error.startswith("coplay: cannot write ")
    assert error.count("\n") == 1
    assert "resume" not in error
    (unwritable / "own.toml").write_text(CONFIG)
    before["own.toml"] = listing(unwritable)["own.toml"]
    for command in (["run"], ["compare"]):
        assert main([*command, str(unwritable / "own.toml"), "--out", inside]) == 2
        error = capsys.readouterr().err
        assert "cannot write into" in error
        assert "Traceback" not in error
    long = str(unwritable / ("n" * 300))
    for command in (["run", str(unwritable / "own.toml")], ["compare", str(received)]):
        assert main([*command, "--out", long]) == 2
        assert "File name too long" in capsys.readouterr().err
    pytest.importorskip("tensorboard")
    assert main(["report", str(received), "--tensorboard", inside]) == 2
    assert capsys.readouterr().err.startswith("coplay: cannot write ")
    shutil.rmtree(received / "figures", ignore_errors=True)
    (received / "figures").write_text("a file")
    assert main(["report", str(received)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("coplay: cannot write ")
    assert "'coplay report " in error
    assert "resume" not in error
    assert listing(unwritable, without="home/received") == before


def test_a_full_disk_leaves_no_half_file(received, tmp_path):
    code = (
        "import resource, sys\n"
        "from coplay.cli.main import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    for out in ("s.csv", "s.npz"):
        words = ["sample", str(received), "--player", "north", "-n", "500", "--out", out]
        done = subprocess.run(
            [sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith(f"coplay: cannot write {out}: ")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "outside"]


def test_links_are_refused_where_a_file_is_written_beside_them(tmp_path):
    from coplay.core.inside import write_output

    (tmp_path / "mine").write_text("mine")
    (tmp_path / "s.csv.partial").symlink_to(tmp_path / "mine")
    with pytest.raises(OutputError, match=r"s.csv.partial is a link"):
        write_output(tmp_path / "s.csv", b"text", "remove it")
    assert (tmp_path / "mine").read_text() == "mine"
    refuse_links(tmp_path / "nothing")
