"""Write docs/components.md from the folders; ``--check`` only says whether it is current."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from coplay.core.components import FOLDERS, find, names

PAGE = Path(__file__).parent / "components.md"

HEAD = """\
# Components

Written by `make docs` from the folders; `coplay list KIND` shows defaults, \
`help(class)` the rest."""


def row(kind: str, name: str) -> str:
    """Return the line of one component: its name, what it is and its settings."""
    cls = find(kind, name)
    documentation = inspect.getdoc(cls) or ""
    # A bar would end the cell of the table.
    summary = documentation.split("\n")[0].replace("|", "\\|")
    settings = ", ".join(f"`{field}`" for field in cls.model_fields)
    return f"| `{name}` | {summary} | {settings} |"


def table(kind: str) -> str:
    """Return one table of all components of a kind."""
    head = [f"## {kind.capitalize()}s", "", "| name | what it is | settings |", "|---|---|---|"]
    rows = [row(kind, name) for name in names(kind)]
    return "\n".join(head + rows)


def page() -> str:
    """Return the whole page."""
    tables = [table(kind) for kind in FOLDERS]
    return "\n\n".join([HEAD, *tables]) + "\n"


def is_current() -> bool:
    """Whether the page on disk is what this script would write."""
    return PAGE.exists() and PAGE.read_text() == page()


def main() -> None:
    """Write the page, or check it."""
    if "--check" in sys.argv:
        if not is_current():
            sys.exit(f"{PAGE} is out of date; run: make docs")
        return
    PAGE.write_text(page())
    print(PAGE)


if __name__ == "__main__":
    main()
