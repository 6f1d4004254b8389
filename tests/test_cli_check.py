"""``coplay check`` on a config with a class of the user's: nothing runs of it, unless told."""

import pytest

from coplay.cli.main import main

CONFIG = """
model = {{ name = "{module}:Model" }}
players = 2

[game]
name = "sample_exchange"
rounds = 1
"""

MODEL = """
from pathlib import Path

Path("imported").touch()


class Model:
    def fit(self, x):
        return self

    def sample(self, n):
        {sample}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(capsys, *given, code=0):
    """Check, expect an exit status, and return what was said."""
    assert main(["check", *map(str, given)]) == code
    said = capsys.readouterr()
    return said.out + said.err


def written(folder, module, sample):
    folder.mkdir(exist_ok=True)
    (folder / f"{module}.py").write_text(MODEL.format(sample=sample))
    (folder / "config.toml").write_text(CONFIG.format(module=module))
    return folder / "config.toml"


def test_nothing_of_a_config_runs_unless_told(folder, capsys):
    config = written(folder / "theirs", "checked_unread", "return None")
    said = check(capsys, config, code=2)
    assert "checked_unread:Model" in said
    assert "--trust" in said
    assert not (folder / "imported").exists()
    said = check(capsys, config, "--code", "elsewhere", code=2)
    assert "--code: goes with --trust" in said


def test_told_to_it_tries_the_class(folder, capsys):
    """It lies beside the config, or in a folder that is named."""
    config = written(folder / "theirs", "checked_short", "return None")
    said = check(capsys, config, "--trust", code=2)
    assert (folder / "imported").exists()
    assert "checked_short:Model" in said
    assert "sample" in said
    other = written(folder / "other", "checked_apart", "return None")
    (folder / "code").mkdir()
    (folder / "other" / "checked_apart.py").rename(folder / "code" / "checked_apart.py")
    said = check(capsys, other, "--trust", code=2)
    assert "sample" not in said.replace("sample_exchange", "")
    assert "checked_apart" in said
    said = check(capsys, other, "--trust", "--code", folder / "code", code=2)
    assert "checked_apart:Model" in said
    assert "sample" in said
