"""The architecture, checked: import directions, the public surface, documented components."""

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import coplay
from coplay import find, names
from coplay.core.components import FOLDERS, Component

from .slow_share import share_of

ROOT = Path(coplay.__file__).parent

# Each folder of the package, and each file of its root, may import the ones named beside it
# and nothing else of coplay.
ALLOWED = {
    "core": set(),
    "theory": {"core"},
    "data": {"core"},
    "metrics": {"core"},
    "nets": {"core"},
    "models": {"core", "nets"},
    "player": {"core", "models"},
    "games": {"core", "theory", "nets", "models", "player"},
    "engines": {"core", "games", "player"},
    "site": {"core", "theory", "data", "metrics", "models", "player"},
    "run": {
        "core",
        "theory",
        "data",
        "metrics",
        "nets",
        "models",
        "player",
        "site",
        "games",
        "engines",
    },
    "report": {"core", "theory", "metrics", "site", "run"},
    "comparison": {"core", "metrics", "run", "report"},
    "deploy": {"core", "data", "games", "run"},
    "cli": {"core", "metrics", "site", "run", "report", "comparison", "deploy"},
    "__init__": {
        "core",
        "theory",
        "data",
        "metrics",
        "models",
        "player",
        "games",
        "engines",
        "run",
    },
    "__main__": {"cli"},
}


def test_every_folder_has_a_row_and_the_root_has_three_files():
    parts = {
        path.stem
        for path in ROOT.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert parts == set(ALLOWED)
    assert {path.name for path in ROOT.glob("*.py")} == {"__init__.py", "__main__.py", "player.py"}


def imports(path):
    """Parts of coplay that a file imports, also inside functions."""
    folders = set()
    for node in ast.walk(ast.parse(path.read_text())):
        modules = []
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = (
                [f"{node.module}.{alias.name}" for alias in node.names]
                if node.module == "coplay"
                else [node.module]
            )
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        folders |= {module.split(".")[1] for module in modules if module.startswith("coplay.")}
    return folders


@pytest.mark.parametrize("part", ALLOWED)
def test_imports_follow_the_arrow(part):
    files = (
        [ROOT / f"{part}.py"]
        if (ROOT / f"{part}.py").exists()
        else sorted((ROOT / part).rglob("*.py"))
    )
    assert files
    for path in files:
        foreign = imports(path) - ALLOWED[part] - {part}
        assert not foreign, f"{path.relative_to(ROOT)} imports {', '.join(sorted(foreign))}"


def test_the_public_surface_is_what_init_says_and_fits_a_screen():
    assert sorted(coplay.__all__) == sorted(coplay._HOME)
    assert len(coplay.__all__) <= 40
    for name in coplay.__all__:
        assert getattr(coplay, name) is not None
    with pytest.raises(AttributeError, match="public names"):
        coplay.no_such_name  # noqa: B018


@pytest.mark.parametrize("name", coplay.__all__)
def test_every_public_name_is_documented(name):
    value = getattr(coplay, name)
    if name == "Samples":  # tensordict's own class
        return
    assert inspect.getdoc(value), name


@pytest.mark.parametrize(
    "name", [n for n in coplay.__all__ if inspect.isfunction(getattr(coplay, n))]
)
def test_every_parameter_of_a_public_function_is_documented(name):
    function = getattr(coplay, name)
    documentation = inspect.getdoc(function)
    for parameter in inspect.signature(function).parameters:
        if name in ("spectral_radius",):  # one obvious argument
            continue
        assert f"{parameter}:" in documentation, f"{name}: {parameter}"


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in FOLDERS for name in names(kind)]
)
def test_components_document_their_settings_and_have_a_tiny_instance(kind, name):
    cls = find(kind, name)
    assert issubclass(cls, Component)
    documentation = "\n".join(
        inspect.getdoc(c) or "" for c in cls.__mro__ if c.__module__.startswith("coplay.")
    )
    for field in cls.model_fields:
        assert f"{field}:" in documentation, f"{kind} {name}: setting '{field}' is not documented"
    assert isinstance(cls.tiny(), cls)
    instance = cls.tiny()
    assert instance.fresh() == instance


def test_every_citation_key_has_an_entry():
    from coplay.cli.citations import ENTRIES

    for kind in FOLDERS:
        for name in names(kind):
            assert set(find(kind, name).citation) <= set(ENTRIES)


def test_every_module_imports_and_says_what_it_is():
    for module in pkgutil.walk_packages([str(ROOT)], "coplay."):
        assert importlib.import_module(module.name).__doc__, module.name


def test_no_function_is_longer_than_a_screen():
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                length = (node.end_lineno or 0) - node.lineno
                assert length <= 80, f"{path.name}: {node.name} has {length} lines"


def test_each_file_of_slow_tests_has_one_in_the_share_and_others_change_nothing():
    """A share of CI: about a tenth by a hash of each id and the seed, the same on every machine."""
    tests = [f"tests/test_a.py::test[{i}]" for i in range(1000)] + ["tests/test_b.py::test"]
    share = share_of(tests, 0.1, 3)
    assert 70 <= len(share) <= 130
    assert "tests/test_b.py::test" in share
    assert share_of([*tests, "tests/test_a.py::new"], 0.1, 3) - {"tests/test_a.py::new"} == share
    assert share_of(tests, 0.1, 4) != share
    assert len(share_of(tests, 0.0, 3)) == 2
    assert share_of(tests, 1.0, 3) == set(tests)
