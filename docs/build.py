"""Write docs/components.md, and the table of docs/scores.md, from the components.

``--check`` only says whether both are current.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from coplay.core.components import FOLDERS, find, names
from coplay.run.measuring import MEANINGS

PAGE = Path(__file__).parent / "components.md"
SCORES = Path(__file__).parent / "scores.md"
START = "<!-- scores: written by make docs -->\n"
END = "<!-- end -->\n"

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


def scores() -> str:
    """Return the page of scores, with what the components say of their values in its table."""
    lines = ["| score | metric | what it is |", "|---|---|---|"]
    for name in names("metric"):
        for value, meaning in find("metric", name).meanings.items():
            lines.append(f"| `{value}` | `{name}` | {meaning} |")
    lines += [f"| `{value}` | | {meaning} |" for value, meaning in MEANINGS.items()]
    before, _, rest = SCORES.read_text().partition(START)
    _, _, after = rest.partition(END)
    table = "\n".join(lines)
    return f"{before}{START}{table}\n{END}{after}"


def is_current() -> bool:
    """Whether the pages on disk are what this script would write."""
    is_same = PAGE.exists() and PAGE.read_text() == page()
    return is_same and SCORES.read_text() == scores()


def main() -> None:
    """Write the page, or check it."""
    if "--check" in sys.argv:
        if not is_current():
            sys.exit(f"{PAGE} or {SCORES} is out of date; run: make docs")
        return
    PAGE.write_text(page())
    SCORES.write_text(scores())
    print(PAGE, SCORES)


if __name__ == "__main__":
    main()
