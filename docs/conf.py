"""The site: the pages of this folder, and the reference from docstrings (``make docs``)."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import coplay

HERE = Path(__file__).parent
ROOT = HERE.parent
PROJECT = ("ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
"""Pages of the repository's root that are pages of the site as well."""

project = "coplay"
author = "The coplay developers"
project_copyright = "The coplay developers, Apache-2.0"
version = release = coplay.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_site"]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True, "show-inheritance": False}
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = "coplay"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False


def copy_project(*_: Any) -> None:
    """Copy the pages of the root to where Sphinx sees them; the copies are never committed."""
    folder = HERE / "_project"
    folder.mkdir(exist_ok=True)
    for name in PROJECT:
        shutil.copy(ROOT / name, folder / name)


def as_page_of_the_site(app: Any, page: str, source: list[str]) -> None:
    """Turn what the platform of the repository understands into what Sphinx does."""
    text = re.sub(r'<a id="([\w-]+)"></a>', r"(\1)=", source[0])
    for name in PROJECT:
        text = text.replace(f"](../{name}", f"](_project/{name}")
    if page.startswith("_project/"):
        text = text.replace("](docs/", "](../")
    source[0] = text


def with_plain_types(app: Any, *_: Any) -> None:
    """Leave out of the types of settings how these are validated."""
    for types in app.env.current_document.autodoc_annotations.values():
        for name, text in types.items():
            types[name] = plain_type(text)


def plain_type(text: str) -> str:
    """Return ``X`` for ``Annotated[X, …]``; any other text as it is.

    Example:
        >>> plain_type("~typing.Annotated[dict[str, int], BeforeValidator(f)]")
        'dict[str, int]'
    """
    head, annotated, rest = text.partition("Annotated[")
    if not annotated or not re.fullmatch(r"~?[\w.]*", head):
        return text
    depth = 0
    for place, character in enumerate(rest):
        depth += (character in "[(") - (character in ")]")
        if character == "," and depth == 0:
            return plain_type(rest[:place])  # one may stand in another
    return text


def setup(app: Any) -> None:
    """Connect what is above to Sphinx."""
    app.connect("builder-inited", copy_project)
    app.connect("source-read", as_page_of_the_site)
    # before autodoc writes types into descriptions
    app.connect("object-description-transform", with_plain_types, priority=400)
