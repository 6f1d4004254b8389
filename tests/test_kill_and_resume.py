"""Real processes, a real kill -9, identical bytes; and two runs that agree."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from coplay import Config, Federation

CONFIG = """
name = "killed"
seed = 5
compare = ["isolated"]
[data.partition]
name = "by_class"
classes = { deep = [0, 1, 2, 3, 4], mix = [3, 4, 5, 6], near = [7, 8, 9] }
[players.deep]
model = { name = "symmetric_hvae", hidden = 32, batch = 50, decay_steps = 100 }
[players.mix.model]
name = "sklearn.mixture:GaussianMixture"
n_components = 5
covariance_type = "diag"
reg_covar = 0.01
[players.near]
model = { name = "sklearn.neighbors:KernelDensity", bandwidth = 0.2 }
[game]
name = "sample_exchange"
rounds = 24
local_steps = 25
samples_per_round = 300
originals = true
[measure]
metrics = []
samples = 100
every_rounds = 6
[checkpoint]
every_rounds = 3
"""


def coplay(*arguments, cwd, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "coplay", *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def finish(process):
    out, error = process.communicate(timeout=240)
    assert process.returncode == 0, error
    return out


def learned(run):
    """Return what a run learned and showed, as bytes.

    That is models, samples, traffic and state, but not the times.
    """
    files = sorted(
        [
            *run.glob("*/models/*.safetensors"),
            *run.glob("*/samples/*.safetensors"),
            *run.glob("*/checkpoint.json"),
        ]
    )
    assert files
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")],
)
def test_after_sigterm_and_ctrl_c_a_message_says_how_to_go_on(tmp_path, number, code, word):
    (tmp_path / "killed.toml").write_text(CONFIG)
    out = f"run-{word}"
    process = coplay(
        "run",
        "killed.toml",
        "--out",
        out,
        "--set",
        "game.originals=false",
        cwd=tmp_path,
        start_new_session=True,
        # a shell that runs the tests in the background may let its children ignore Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while (
        not (tmp_path / out / "sample_exchange" / "checkpoint.json").exists()
        and time.monotonic() < deadline
    ):
        time.sleep(0.02)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == code, error
    assert f"coplay: {word}" in error
    assert f"'coplay resume {out}' goes on from there" in error
    assert "Traceback" not in error
    assert json.loads((tmp_path / out / "run.json").read_text())["status"] == "stopped"
    assert (tmp_path / out / "report.html").exists()


def test_a_model_beside_the_config_is_imported(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "beside_it.py").write_text(
        "import numpy as np\n"
        "class Rows:\n"
        "    def fit(self, rows): self.rows = rows\n"
        "    def sample(self, n): return self.rows[np.random.randint(len(self.rows), size=n)]\n"
    )
    (tmp_path / "there" / "own.toml").write_text(
        'players = 2\nmodel = "beside_it:Rows"\n'
        '[game]\nname = "sample_exchange"\nrounds = 2\n[measure]\nmetrics = []\n'
    )
    finish(coplay("run", "there/own.toml", "--out", "run", cwd=tmp_path))


def test_killed_after_its_first_checkpoint_and_resumed(tmp_path):
    """The quick one of the kills: a short run, killed once. The slow ones are killed anywhere."""
    (tmp_path / "killed.toml").write_text(CONFIG)
    short = [
        "compare=[]",
        "game.originals=false",
        "game.rounds=12",
        "game.local_steps=5",
        "game.samples_per_round=100",
        "measure.every_rounds=12",
        "checkpoint.every_rounds=1",
    ]
    config = Config.from_file(tmp_path / "killed.toml", short)
    undisturbed = Federation(config).run(tmp_path / "undisturbed").folder
    settings = [word for setting in short for word in ("--set", setting)]
    run = tmp_path / "run"
    process = coplay("run", "killed.toml", "--out", "run", *settings, cwd=tmp_path)
    deadline = time.monotonic() + 120
    while (
        not (run / "sample_exchange" / "checkpoint.json").exists() and time.monotonic() < deadline
    ):
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it ended before it was killed"
    finish(coplay("resume", "run", cwd=tmp_path))
    assert learned(run) == learned(undisturbed)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "killed.toml").write_text(CONFIG)
    finish(coplay("run", "killed.toml", "--out", "run", cwd=folder))
    return folder / "run"


@pytest.mark.slow
def test_same_config_and_seed_give_identical_files(undisturbed, tmp_path):
    (tmp_path / "killed.toml").write_text(CONFIG)
    finish(coplay("run", "killed.toml", "--out", "again", cwd=tmp_path))
    assert learned(tmp_path / "again") == learned(undisturbed)


@pytest.mark.slow
def test_another_seed_gives_other_files(undisturbed, tmp_path):
    (tmp_path / "killed.toml").write_text(CONFIG)
    finish(
        coplay(
            "run",
            "killed.toml",
            "--out",
            "other",
            "--set",
            "seed=6",
            "--set",
            "game.rounds=6",
            cwd=tmp_path,
        )
    )
    name = "sample_exchange/samples/round-000006.safetensors"
    assert learned(tmp_path / "other")[name] != learned(undisturbed)[name]


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(3))
def test_killed_at_a_random_moment_and_resumed(undisturbed, tmp_path, attempt):
    (tmp_path / "killed.toml").write_text(CONFIG)
    moment = random.Random(time.time_ns())
    process = coplay("run", "killed.toml", "--out", "run", cwd=tmp_path, start_new_session=True)
    run = tmp_path / "run"
    kills = 0
    while kills < 2 and process.poll() is None:
        started = time.monotonic()
        while (
            not (run / "sample_exchange" / "rows.jsonl").exists()
            and time.monotonic() - started < 60
        ):
            time.sleep(0.02)
        time.sleep(moment.uniform(0, 1.5))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        kills += 1
        process = coplay("resume", "run", cwd=tmp_path, start_new_session=True)
    finish(process)
    assert kills
    assert learned(run) == learned(undisturbed)
    for game in ("sample_exchange", "isolated"):
        rounds = [
            line.split(",")[0] for line in (run / game / "rows.jsonl").read_text().splitlines()
        ]
        assert rounds == [f'{{"round": {i}' for i in range(1, 25)], "rows are missing or doubled"


@pytest.mark.slow
def test_resuming_a_finished_run_changes_nothing(undisturbed):
    before = learned(undisturbed)
    out = finish(coplay("resume", "run", cwd=undisturbed.parent))
    assert learned(undisturbed) == before
    assert "report" in out
