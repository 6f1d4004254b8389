"""The figures in the repository are those of the runs kept beside them, and of the settings that stand there."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXPERIMENTS = {
    "fashion_mnist_four_sites": [],
    "md_gan": [
        "--sets",
        "iid",
        "two_classes",
        "crashes",
        "paper_length",
        "batch_100",
        "workers",
        "mnist_10k",
        "cnn",
    ],
    "mnist_two_sites": ["--seeds", *map(str, range(1, 13))],
    "polymnist_variables": [],
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_figures_follow_from_the_kept_runs_and_these_from_the_settings(name, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    shutil.copytree(ROOT / "reproductions", tmp_path / "reproductions")
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    monkeypatch.setattr(sys, "path", list(sys.path))
    experiment = tmp_path / "reproductions" / name
    spec = importlib.util.spec_from_file_location("experiment", experiment / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sweep, checked = module.sweep, set()
    compare = sweep.once

    def once(kept, *others):
        if kept.exists():  # it is then compared with what would be played, and not played
            checked.add(kept.name)
            compare(kept, *others)

    monkeypatch.setattr(sweep, "once", once)
    monkeypatch.setattr(module, "keep_freed_memory", lambda: None)  # not for the tests that follow
    monkeypatch.setattr(sys, "argv", ["run.py", "--folder", str(tmp_path), *EXPERIMENTS[name]])
    try:
        module.main()
    finally:
        for helper in ("sweep", "figures"):
            sys.modules.pop(helper, None)
    assert checked, "the figures have no runs beside them"
    assert checked == {path.name for path in (experiment / "results" / "runs").glob("*.json")}
    for path in (ROOT / "reproductions" / name / "results").glob("*.json"):
        here, now = (
            json.loads(file.read_text()) for file in (path, experiment / "results" / path.name)
        )
        for where in ("versions", "machine"):
            here.pop(where), now.pop(where)
        assert now == here, f"{path.name} is not what its runs say; run run.py --collect"
