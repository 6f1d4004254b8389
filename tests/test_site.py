"""The site builds without a warning; what its pages show runs, or at least parses."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

import coplay
from coplay.cli.main import parser

from .test_documents import python

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "SECURITY.md", *DOCS.glob("*.md")])
RUNS = ("your_table.md", "your_model.md", "extending.md")
"""Pages whose programs stand on their own."""


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.S)


def commands(page):
    """Every command of coplay on a page, without its comment."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["coplay"]:
                end = words.index(">") if ">" in words else len(words)
                yield words[1:end]


def test_the_site_builds_without_a_warning(tmp_path):
    done = python("-m", "sphinx", "-q", "-W", "--keep-going", DOCS, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    pages = {page.stem for page in DOCS.glob("*.md")}
    assert pages <= {page.stem for page in tmp_path.glob("*.html")}
    reference = (tmp_path / "reference.html").read_text()
    for name in coplay.__all__:
        assert f'id="coplay.{name}"' in reference, name


def test_every_public_name_has_an_example():
    for name in coplay.__all__:
        if name != "Samples":  # the class of another library; the reference has an example
            assert ">>> " in (getattr(coplay, name).__doc__ or ""), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_pages_are_understood(page):
    for words in commands(page):
        try:
            parser().parse_args(words)
        except SystemExit as end:
            raise AssertionError(f"{page.name}: coplay {' '.join(words)}") from end


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_on_pages_are_toml(page):
    for block in blocks(page, "toml"):
        # one page shows several sources in a row
        keys = [line.partition("=")[0].strip() for line in block.splitlines() if "=" in line]
        if keys.count("source") < 2:
            tomllib.loads(block)


@pytest.mark.parametrize("name", RUNS)
def test_programs_on_pages_run(name, tmp_path):
    program = "\n".join(blocks(DOCS / name, "python"))
    (tmp_path / "program.py").write_text(program)
    done = python("program.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
