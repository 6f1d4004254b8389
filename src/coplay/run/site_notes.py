"""Where it stands what was read at sites with files of their own."""

from __future__ import annotations

from collections.abc import Mapping

from coplay.run.own_data import OwnData
from coplay.site.measuring import FOLDER


def notes_of_sites(own: Mapping[str, OwnData]) -> list[str]:
    """Say where it stands what was read at sites with files of their own."""
    names = [name for name, site in own.items() if site.has_site_file]
    if not names:
        return []
    return [
        f"what was read, left out or converted at {', '.join(names)} stands in each site's own "
        f"file, sites/NAME/GAME/{FOLDER}/NAME.txt"
    ]
