"""What looks at a site's answers as they leave: its audits in play."""

from __future__ import annotations

from pathlib import Path

from coplay.core.watching import Watching
from coplay.run.site_file import Auditing
from coplay.site.audits.in_play import Auditor, audits_path
from coplay.site.holdings import Holdings
from coplay.site.measuring import FOLDER


def watching(name: str, auditing: Auditing, held: Holdings, home: Path | None) -> Watching | None:
    """Return what looks at a site's answers; None where the site does not ask for it.

    Args:
        name: The site.
        auditing: What its site file says.
        held: Its rows.
        home: The site's folder in the game; None where nothing is written.
    """
    if home is None or not auditing.every_rounds:
        return None
    return Auditor(held, auditing.every_rounds, audits_path(home / FOLDER, name))
