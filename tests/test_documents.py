"""Examples and the README's program run, tables are current, results name their command."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import coplay
from coplay.cli.citations import ENTRIES

ROOT = Path(__file__).parents[1]


def python(*arguments, cwd=ROOT):
    return ran([sys.executable, *map(str, arguments)], cwd)


def ran(command, cwd, environment=None):
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


# half a minute each, and like the others but for what they show
LONG = {"own_flow_network.py", "own_player.py", "own_model.py"}
EXAMPLES = [
    pytest.param(path, id=path.name, marks=pytest.mark.slow if path.name in LONG else ())
    for path in sorted((ROOT / "examples").glob("*.py"))
]


@pytest.mark.parametrize("path", EXAMPLES)
def test_examples_run(path, tmp_path):
    done = python(path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_readmes_program_runs(tmp_path):
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    (tmp_path / "program.py").write_text(program)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    done = python("program.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    scores = re.findall(r"^(\w+): column fidelity (0\.\d\d) ", done.stdout, re.M)
    assert [site for site, _ in scores] == ["north", "south"]
    assert all(float(score) > 0.5 for _, score in scores)


@pytest.mark.slow
def test_the_readmes_commands_for_ones_own_files_run(tmp_path):
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    (commands,) = [block for block in blocks if "coplay init" in block]
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    bin = Path(sys.executable).parent
    environment = {**os.environ, "HOME": str(tmp_path), "PATH": f"{bin}:{os.environ['PATH']}"}
    done = ran(["bash", "-e", "-c", commands], tmp_path, environment)
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "first" / "synthetic.csv").read_text().splitlines()
    assert len(lines) == 1001
    assert "diagnosis" in lines[0]


def test_the_command_line_is_also_a_module(tmp_path):
    done = python("-m", "coplay", "run", "nothing.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert "nothing.toml does not exist" in done.stderr


def test_the_component_table_is_current():
    done = python("docs/build.py", "--check")
    assert done.returncode == 0, done.stderr


def test_the_tables_of_the_page_of_results_are_those_of_the_results():
    done = python("-m", "reproductions", "page", "--check")
    assert done.returncode == 0, done.stderr


def test_commands_and_files_that_documents_name_exist():
    documents = [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("reproductions/**/*.md"),
    ]
    for document in documents:
        for name in re.findall(
            r"`((?:configs|docs|reproductions|benchmarks|examples|tests|src)/[\w./-]+)`",
            document.read_text(),
        ):
            assert (ROOT / name).exists(), f"{document.name} names {name}"


def commands_in(content):
    """Every command that a file of results names, at any depth."""
    if not isinstance(content, dict):
        return []
    commands = [content["command"]] if "command" in content else []
    for value in content.values():
        commands += commands_in(value)
    return commands


def file_of(command):
    """The file that a command runs: a script, or the module of an experiment."""
    words = command.split()
    if words[1:3] == ["-m", "reproductions"]:
        return ROOT / "reproductions" / words[3] / "experiment.py"
    return ROOT / words[1]


@pytest.mark.parametrize("path", sorted(ROOT.glob("*/**/results/*.json")), ids=lambda p: p.name)
def test_results_name_command_versions_and_machine(path):
    content = json.loads(path.read_text())
    assert {"command", "versions", "machine"} <= set(content)
    for command in commands_in(content):
        assert file_of(command).exists(), command


def test_a_release_has_one_version_everywhere():
    """In the package, the project, the citation, and as the newest heading of the changelog."""
    (project,) = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.M)
    (cited,) = re.findall(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.M)
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    newest = next(heading for heading in headings if heading != "Unreleased")
    assert coplay.__version__ == project == cited == newest


def test_the_citation_names_the_papers_that_are_implemented():
    text = (ROOT / "CITATION.cff").read_text()
    for key in ("schlesinger2025game", "hardy2019mdgan", "flach2024symmetric"):
        (number,) = re.findall(r"\b\d{4}\.\d{5}\b", ENTRIES[key])
        assert number in text


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda p: p.name
)
def test_forms_of_issues_have_what_their_platform_needs(path):
    yaml = pytest.importorskip("yaml")
    form = yaml.safe_load(path.read_text())
    if path.name == "config.yml":
        assert form["blank_issues_enabled"]
        return
    assert set(form) <= {"name", "description", "labels", "body"}
    ids = [item["id"] for item in form["body"] if item["type"] != "markdown"]
    assert len(ids) == len(set(ids)) > 0
    for item in form["body"]:
        assert item["type"] in ("markdown", "textarea", "checkboxes")
        assert "value" in item["attributes"] or "label" in item["attributes"]
