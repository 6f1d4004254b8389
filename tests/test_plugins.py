"""Components of installed packages: named by a word, loaded when named, trusted like a class."""

import json
import sys

import numpy as np
import pytest
import tomli_w

from coplay import Config, CoplayError, Federation, find
from coplay.cli.main import main
from coplay.core.components import FOLDERS, full_name
from coplay.core.errors import ComponentError, ConfigError, TrustError
from coplay.core.facts import Facts
from coplay.core.plugins import GROUPS, plugins
from coplay.games.party import Known
from coplay.models.acgan import Acgan
from coplay.run.foreign import code_in

from .test_facts import player

CODE = '''
import pathlib
import numpy as np
from pydantic import PrivateAttr
from coplay import Dataset, Game, Source, Space, Variable
from coplay.games.isolated import Isolated

pathlib.Path(__file__).with_name("imported").touch()


class Middle:
    """Draws the mean of what it was fitted on."""

    def __init__(self, shift=0.0):
        self.shift = shift

    def fit(self, rows):
        self.mean = np.asarray(rows).mean(0)

    def sample(self, n):
        return np.tile(self.mean + self.shift, (n, 1))


class Alone(Isolated):
    """A game like isolated."""


class Ramp(Source):
    """Numbers from 0 to 1.

    Args:
        n: How many.
    """

    n: int = 12

    def load(self):
        import torch

        space = Space({"x": Variable(kind="real", low=0, high=1)})
        rows = space.samples(x=torch.linspace(0, 1, self.n))
        return Dataset("ramp", space, rows[: self.n // 2], rows[self.n // 2 :])
'''
POINTS = """
[coplay.models]
ward_middle = ward_parts:Middle
acgan = ward_parts:Middle
[coplay.games]
ward_alone = ward_parts:Alone
[coplay.sources]
ward_ramp = ward_parts:Ramp [extra]
"""
PLUGGED = {
    "players": 2,
    "data": {"source": {"name": "ward_ramp", "n": 20}},
    "model": {"name": "ward_middle", "shift": 0.0},
    "game": {"name": "sample_exchange", "rounds": 2, "samples_per_round": 10},
    "compare": ["ward_alone"],
    "measure": {"preset": "none", "samples": 100},
}


def install(folder, package="ward-parts", points=POINTS, code=CODE):
    """Write a package as an installer leaves it: its module, and a folder with its metadata."""
    module = package.replace("-", "_")
    metadata = folder / f"{module}-1.2.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    (metadata / "entry_points.txt").write_text(points)
    if code:
        (folder / module).mkdir()
        (folder / module / "__init__.py").write_text(code)
    return folder


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package among the installed ones; returns the file that shows whether it was imported."""
    folder = install(tmp_path / "packages")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "ward_parts", raising=False)
    yield folder / "ward_parts" / "imported"
    sys.modules.pop("ward_parts", None)


def test_every_kind_has_a_group():
    assert set(GROUPS) == set(FOLDERS)
    assert len(set(GROUPS.values())) == len(GROUPS)


def test_what_a_package_declares_plays_like_its_class(installed, tmp_path):
    """A word stands for a class: the record names the class, and every bit is the same."""
    config = Config.from_dict(PLUGGED)
    spelled = json.loads(
        json.dumps(PLUGGED)
        .replace("ward_ramp", "ward_parts:Ramp")
        .replace("ward_middle", "ward_parts:Middle")
        .replace("ward_alone", "ward_parts:Alone")
    )
    assert Config.from_dict(spelled).to_dict() == config.to_dict() | {"compare": spelled["compare"]}
    assert config.to_dict()["model"] == {"name": "ward_parts:Middle", "shift": 0.0}
    result = Federation(config).run(tmp_path / "run")
    assert list(result.plays) == ["sample_exchange", "Alone"]
    drawn = {name: result.sample(name, 5, trust=True)["x"] for name in config.player_names}
    other = Federation(Config.from_dict(spelled)).run(tmp_path / "spelled")
    for name, values in drawn.items():
        assert np.array_equal(values, other.sample(name, 5, trust=True)["x"])


def test_nothing_is_imported_before_a_config_names_it(installed, capsys):
    for kind in FOLDERS:
        with pytest.raises(ComponentError):
            find(kind, "ward_middl")
    assert main(["list"]) == 0
    assert main(["list", "ward_middle"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "model ward_middle ward_parts:Middle of ward-parts 1.2; imported where a config" in shown
    Config.from_dict({"model": "exponential_family"})
    assert not installed.exists()
    assert find("model", "ward_middle").__name__ == "Middle"
    assert installed.exists()


def test_a_config_that_is_only_read_imports_none_of_it(installed, tmp_path):
    config = Config.from_dict(PLUGGED, trust=False)
    assert code_in(config) == [
        "data.source: ward_parts:Ramp",
        "model: ward_parts:Middle",
        "compare: ward_parts:Alone",
    ]
    with pytest.raises(TrustError, match="ward_parts:Middle"):
        Federation(config).run(tmp_path / "run")
    assert not installed.exists()


def test_a_run_folder_of_others_makes_no_plugin_run(installed, tmp_path):
    """What reads and what goes on imports nothing, though the package is installed here."""
    run = tmp_path / "run"
    Federation(Config.from_dict(PLUGGED)).run(run)
    record = run / "run.json"
    text = record.read_text().replace("ward_parts:Middle", "ward_middle")
    (installed.parent / "imported").unlink()
    sys.modules.pop("ward_parts")
    for command in (["show", str(run)], ["report", str(run)], ["cite", str(run)]):
        assert main(command) == 0
    assert main(["resume", str(run)]) == 2
    out = ["--out", str(tmp_path / "x.csv")]
    assert main(["sample", str(run), "--player", "player0", "-n", "3", *out]) == 2
    record.write_text(text)  # a word in its place is no way around
    for command in ("show", "report", "resume"):
        main([command, str(run)])
    assert not installed.exists()


def test_a_federation_may_name_no_plugin_for_its_sites(installed, tmp_path, capsys):
    agreed = {
        "name": "wards",
        "variables": {"x": {"kind": "real", "low": 0, "high": 1}},
        "players": {"north": {}, "south": {}},
        "model": "ward_middle",
    }
    site = {"federation": "wards", "name": "north"}
    site["data"] = {"source": {"name": "table", "file": "x.csv"}}
    (tmp_path / "x.csv").write_text("x\n" + "\n".join(f"0.{i:03}" for i in range(100, 160)) + "\n")
    (tmp_path / "federation.toml").write_text(tomli_w.dumps(agreed))
    (tmp_path / "site.toml").write_text(tomli_w.dumps(site))
    check = ["site", "check", str(tmp_path / "site.toml")]
    check += ["--federation", str(tmp_path / "federation.toml")]
    assert main(check) == 2
    assert "ward_parts:Middle is code from outside coplay" in capsys.readouterr().err
    assert not installed.exists()


def test_what_a_site_names_in_its_own_file_is_checked_with_its_code(installed, tmp_path):
    """It was refused as not imported, with the advice of an option that the command has not."""
    agreed = {
        "name": "wards",
        "variables": {"x": {"kind": "real", "low": 0, "high": 1}},
        "players": {"north": {}, "south": {}},
        "model": "gaussian_copula",
    }
    site = {"federation": "wards", "name": "north", "model": "ward_middle"}
    site["data"] = {"source": {"name": "table", "file": "x.csv"}}
    (tmp_path / "x.csv").write_text("x\n" + "\n".join(f"0.{i:03}" for i in range(100, 160)) + "\n")
    (tmp_path / "federation.toml").write_text(tomli_w.dumps(agreed))
    (tmp_path / "site.toml").write_text(tomli_w.dumps(site))
    check = ["site", "check", str(tmp_path / "site.toml")]
    assert main([*check, "--federation", str(tmp_path / "federation.toml")]) == 0
    assert installed.exists()


def test_a_stranger_cannot_name_a_plugin_as_its_model(installed):
    facts = player().facts()
    strange = Facts(**{**vars(facts), "network": json.dumps({"name": "ward_middle"})})
    with pytest.raises(CoplayError, match="expected a model of coplay, got 'ward_middle'"):
        Known(strange, 1).model  # noqa: B018
    assert not installed.exists()


def test_a_package_cannot_take_the_place_of_what_coplay_has(installed):
    assert find("model", "acgan") is Acgan
    assert full_name("model", "acgan") == "acgan"
    assert not installed.exists()


def test_two_packages_with_one_name_are_both_named(installed, tmp_path, monkeypatch):
    points = "[coplay.models]\nward_middle = other_parts:Middle\n"
    monkeypatch.syspath_prepend(str(install(tmp_path / "more", "other-parts", points)))
    with pytest.raises(ConfigError) as error:
        Config.from_dict({"model": "ward_middle"})
    for words in (
        "ward_parts:Middle (of ward-parts 1.2)",
        "other_parts:Middle (of other-parts 1.2)",
        "Name the class",
    ):
        assert words in str(error.value)
    assert not installed.exists()
    # the same class twice is no contradiction
    points = "[coplay.games]\nward_alone = ward_parts:Alone\n"
    monkeypatch.syspath_prepend(str(install(tmp_path / "third", "third-parts", points, code="")))
    assert len(plugins("game")) == 2
    assert find("game", "ward_alone").__name__ == "Alone"


def test_a_package_whose_class_is_missing_is_refused_with_the_class(tmp_path, monkeypatch):
    points = "[coplay.models]\ngone = gone_parts:Nothing\n"
    monkeypatch.syspath_prepend(str(install(tmp_path / "p", "gone-parts", points, code="")))
    with pytest.raises(ConfigError, match=r"model: cannot import the model 'gone_parts:Nothing'"):
        Config.from_dict({"model": "gone"})


def test_a_wrong_name_is_an_error_of_coplay():
    for kind, name in (("model", "acgn"), ("modl", "acgan"), ("model", "no_such:Thing")):
        with pytest.raises(CoplayError):
            find(kind, name)
        with pytest.raises(ValueError, match=r"known, nearest first|cannot import"):
            find(kind, name)


def test_a_config_of_coplays_own_names_asks_for_no_metadata(monkeypatch):
    """It costs time where many packages are installed, and none of them could change a thing."""

    def refuse(group):
        raise RuntimeError("metadata of packages were read")

    monkeypatch.setattr("coplay.core.plugins.entry_points", refuse)
    Config.from_dict({"model": "acgan", "game": "md_gan", "compare": ["fl_gan"]})
    with pytest.raises(RuntimeError, match="metadata"):
        Config.from_dict({"model": "ward_middle"})


def test_what_a_sites_own_file_says_is_refused_elsewhere_with_the_place():
    for section in ("privacy", "tell"):
        with pytest.raises(ConfigError, match=rf"players.a: {section} is for the site's own file"):
            Config.from_dict({"players": {"a": {section: {}}}})
