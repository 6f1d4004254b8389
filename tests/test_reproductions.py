"""Kept results are those of their settings; the runner plays what is not kept, once."""

import importlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMES = sorted(path.parent.name for path in ROOT.glob("reproductions/*/experiment.py"))

TINY = """
[data]
source = { name = "digits" }
partition = { name = "by_class", classes = { low = [0, 1, 2, 3, 4], high = [5, 6, 7, 8, 9] } }
[players.low]
model = { name = "sklearn.neighbors:KernelDensity", bandwidth = 0.2 }
[players.high]
model = { name = "sklearn.neighbors:KernelDensity", bandwidth = 0.2 }
[game]
name = "sample_exchange"
own_weight = 0.5
rounds = 2
samples_per_round = 20
[measure]
metrics = []
"""


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch, tmp_path):
    """Experiments are imported from the repository; runs and charts go to a folder of the test."""
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def runner(monkeypatch):
    module = importlib.import_module("reproductions.runner")
    monkeypatch.setattr(module, "keep_freed_memory", lambda: None)  # not for the tests that follow
    return module


def experiment_module():
    return importlib.import_module("reproductions.experiment")


@pytest.mark.parametrize("name", NAMES)
def test_figures_follow_from_the_kept_runs_and_these_from_the_settings(
    name, runner, tmp_path, monkeypatch
):
    module = experiment_module()
    experiment = module.load(name)
    here = json.loads(experiment.results.read_text())
    shutil.copytree(experiment.results.parent, tmp_path / name / "results")
    monkeypatch.setattr(module, "HERE", tmp_path)
    checked = set()
    compare = runner.check

    def check(experiment, cell, figures):
        checked.add((cell.arm, str(cell.seed)))
        compare(experiment, cell, figures)

    monkeypatch.setattr(runner, "check", check)
    kept = {(arm, seed) for arm, by_seed in here["runs"].items() for seed in by_seed}
    cells = [module.Cell(arm, int(seed), str(tmp_path)) for arm, seed in sorted(kept)]
    assert cells, "the figures have no runs beside them"
    assert {arm for arm, _ in kept} <= set(experiment.arms)
    runner.run(experiment, cells, play=True)  # everything is kept, so it is compared and not played
    assert checked == kept
    assert experiment.results == tmp_path / name / "results" / f"{name}.json"
    now = json.loads(experiment.results.read_text())
    for where in ("versions", "machine"):
        here.pop(where)
        now.pop(where)
    assert same_numbers(now, here), f"{name} is not what its runs say; run it with --collect"
    assert not (tmp_path / "runs").exists()


def same_numbers(one, other):
    """Whether two records are alike but for the last digits: Python 3.12 sums floats exactly."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_numbers(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same_numbers, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one == pytest.approx(other, rel=1e-12, abs=1e-15, nan_ok=True)
    return one == other


def test_a_kept_run_of_other_settings_is_refused(runner):
    module = experiment_module()
    experiment = module.load("mnist_two_sites")
    cells = runner.select(experiment, ["pooled"], [1], "FOLDER", ["game.rounds=41"])
    kept = runner.Kept(experiment.results)
    with pytest.raises(SystemExit, match=r"pooled, seed 1 is of another config; remove it from"):
        runner.not_kept(experiment, cells, kept)


def test_pictures_are_those_that_a_page_shows():
    page = (ROOT / "docs" / "results.md").read_text()
    shown = {(ROOT / "docs" / path).resolve() for path in re.findall(r"\]\((\S+\.png)\)", page)}
    kept = [*ROOT.glob("reproductions/**/*.png"), *ROOT.glob("benchmarks/results/*.png")]
    assert shown == {path.resolve() for path in kept}
    module = experiment_module()
    for name in NAMES:
        experiment = module.load(name)
        for picture in experiment.pictures:
            assert (experiment.results.parent / picture).resolve() in shown


def test_commands_of_the_page_select_runs(runner):
    page = (ROOT / "docs" / "results.md").read_text()
    commands = re.findall(r"python -m reproductions ([a-z]\w*)([^`\n#]*)", page)
    assert {name for name, _ in commands} == {*NAMES, "page"}
    module = experiment_module()
    command_line = importlib.import_module("reproductions.__main__").parser()
    for name, options in commands:
        if name == "page":
            continue
        given = command_line.parse_args([name, *shlex.split(options)])
        chosen = runner.select(module.load(name), given.arms, given.seeds, given.folder, given.set)
        assert chosen, (name, options)


def test_runs_are_selected_by_name_group_and_pattern(runner):
    experiment = experiment_module().load("md_gan")
    cells = runner.select(experiment, None, None, "FOLDER")
    assert {cell.arm.partition("/")[0] for cell in cells} == {"iid", "two_classes", "crashes"}
    # Of groups with one seed the first counts, and arms go seed by seed.
    assert [cell.seed for cell in cells if cell.arm.startswith("crashes")] == [1]
    assert [cell.seed for cell in cells if cell.arm == "iid/md_gan"] == [1, 2, 3]
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells)
    patterns = ["two_classes/*swap", "iid/md_gan, k = 1", "workers"]
    named = runner.select(experiment, patterns, [7], "FOLDER")
    assert [cell.place for cell in named] == [
        "iid-md_gan_k1-7",
        "two_classes-md_gan_no_swap-7",
        "workers-md_gan_N1-7",
        "workers-md_gan_N25-7",
        "workers-md_gan_N50-7",
    ]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("md_gan", {"patterns": ["iud"]}, "'iud': there is no such arm; there are: iid/md_gan; "),
        ("md_gan", {"patterns": ["iid"]}, "--folder: expected a folder with four IDX files of Fa"),
        ("md_gan", {"patterns": ["iid", "mnist_10k"], "folder": "x"}, "played by themselves"),
        ("joint_classifier", {"folder": "x"}, "'mnist-10k' needs four IDX files of MNIST; "),
        (
            "joint_classifier",
            {"patterns": ["mnist-10k"], "folder": "x", "changes": ["seed=1"]},
            "--set: the runs of joint_classifier have no config",
        ),
    ],
)
def test_what_cannot_be_played_is_refused(name, arguments, message, runner):
    with pytest.raises(SystemExit, match=re.escape(message)):
        runner.select(experiment_module().load(name), **arguments)


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """An experiment of two arms that plays in a second, and the runs whose figures it took."""
    module = experiment_module()
    monkeypatch.setattr(module, "HERE", tmp_path)
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    measured = []

    class Tiny(module.ConfigExperiment):
        def figures(self, result):
            measured.append(result.folder.name)
            (result.folder / "drawn.txt").write_text("drawn")
            own = result.config.game.own_weight
            return {"own": own, "bytes": sum(row.bytes for row in result.main.rows)}

        def collect(self, runs):
            return {arm: [run["own"] for run in by_seed.values()] for arm, by_seed in runs.items()}

    experiment = Tiny(
        name="tiny",
        config=path,
        arms={"half": {}, "all": {"game.own_weight": 1.0}},
        seeds=(2, 3),
        pictures={"shown.txt": "half-2/drawn.txt"},
    )
    return experiment, measured


def test_runs_are_played_once_and_kept_in_one_file(tiny, runner):
    tiny, measured = tiny
    runner.run(tiny, runner.select(tiny), play=False)
    assert not tiny.results.exists()
    runner.run(tiny, runner.select(tiny, ["half"]), play=True)
    runner.run(tiny, runner.select(tiny), play=True)
    # Arm by arm within a seed; what was kept is not measured again.
    assert measured == ["half-2", "half-3", "all-2", "all-3"]
    content = json.loads(tiny.results.read_text())
    assert list(content) == ["command", "versions", "machine", "summary", "runs"]
    assert content["command"] == "python -m reproductions tiny"
    assert content["summary"] == {"all": [1.0, 1.0], "half": [0.5, 0.5]}
    assert list(content["runs"]) == ["all", "half"]
    assert content["runs"]["all"]["2"]["bytes"] == 0 < content["runs"]["half"]["3"]["bytes"]
    assert "folder" not in content["runs"]["half"]["2"]["config"]["data"]["source"]
    assert (tiny.results.parent / "shown.txt").read_text() == "drawn"
    assert (tiny.runs / "half-2" / "report.html").exists()
    runner.run(tiny, runner.select(tiny), play=False)
    assert json.loads(tiny.results.read_text()) == content
    assert len(measured) == 4


def test_what_was_played_but_not_kept_is_collected(tiny, runner):
    tiny, _ = tiny
    runner.run(tiny, runner.select(tiny, ["half"], [2]), play=True)
    tiny.results.unlink()
    runner.run(tiny, runner.select(tiny), play=False)
    assert json.loads(tiny.results.read_text())["summary"] == {"half": [0.5]}


def test_the_command_line_says_what_there_is():
    done = subprocess.run(
        [sys.executable, "-m", "reproductions", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = " ".join(done.stdout.split())
    for name in NAMES:
        assert f"{name} {experiment_module().question(name)}" in shown


@pytest.fixture
def ring():
    return importlib.import_module("reproductions.ring.experiment")


def test_the_shares_of_a_ring_are_those_of_its_balance(ring):
    """By m_i = α π_i + (1 − α)(m_{i−1} + m_{i+1}) / 2 own digits have α and half of the near."""
    shares = ring.predicted_shares()
    own = 1 - shares["near"] - shares["far"]
    assert own == pytest.approx(ring.OWN_WEIGHT + (1 - ring.OWN_WEIGHT) * shares["near"] / 2)


def test_near_and_far_digits_of_a_ring_are_all_that_a_site_lacks(ring):
    for site, own in ring.CLASSES.items():
        near = ring.near_digits(site)
        far = ring.far_digits(site)
        assert sorted([*own, *near, *far]) == list(range(10))
    assert sorted(ring.near_digits("d")) == [4, 5, 8]
