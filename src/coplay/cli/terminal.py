"""What commands say beside their tables; texts of others are shown, never obeyed."""

from __future__ import annotations

import sys

from coplay.core.text import visible


def say(text: object) -> None:
    """Print a result on standard output."""
    print(visible(str(text)))


def remark(text: object) -> None:
    """Print what is no result, such as progress or an error, on standard error."""
    print(visible(str(text)), file=sys.stderr, flush=True)
