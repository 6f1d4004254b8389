"""Write docs/components.md from the folders; ``--check`` only says whether it is current."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from coplay.core.components import FOLDERS, find, names

PAGE = Path(__file__).parent / "components.md"


def table(kind: str) -> str:
    """One table of all components of a kind."""
    lines = [f"## {kind.capitalize()}s", "", "| name | what it is | settings |", "|---|---|---|"]
    for name in names(kind):
        cls = find(kind, name)
        what = (inspect.getdoc(cls) or "").split("\n")[0].replace("|", "\\|")
        settings = ", ".join(f"`{field}`" for field in cls.model_fields)
        lines.append(f"| `{name}` | {what} | {settings} |")
    return "\n".join(lines)


def page() -> str:
    """The whole page."""
    head = "# Components\n\nWritten by `make docs` from the folders; `coplay list KIND` shows defaults, `help(class)` the rest."
    return "\n\n".join([head, *(table(kind) for kind in FOLDERS)]) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(
            0
            if PAGE.exists() and PAGE.read_text() == page()
            else f"{PAGE} is out of date; run: make docs"
        )
    PAGE.write_text(page())
    print(PAGE)
