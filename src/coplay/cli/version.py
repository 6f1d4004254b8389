"""``coplay --version``: the version, and what multiplies matrices on this machine."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from coplay.core.errors import ConfigError


class ShowVersion(argparse.Action):
    """Print the version and end; torch is loaded only then."""

    def __init__(self, option_strings: Sequence[str], dest: str, **others: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **others)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print and end the program."""
        from coplay.core.processor import matrix_products

        try:
            products = matrix_products()
        except ConfigError as error:
            parser.exit(2, f"coplay: {error}\n")
        print(f"coplay {metadata.version('coplay')}")
        print(f"matrix products: {products}")
        parser.exit()
