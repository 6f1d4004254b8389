"""What looks at a site's answers as they leave: its audits in play."""

from __future__ import annotations

from pathlib import Path

from coplay.core.watching import Watching
from coplay.run.private_site import Privacy
from coplay.run.site_file import Auditing
from coplay.site.audits.in_play import Auditor, audits_path
from coplay.site.audits.one_run import Promise
from coplay.site.holdings import Holdings
from coplay.site.measuring import FOLDER


def watching(
    name: str, auditing: Auditing, held: Holdings, home: Path | None, privacy: Privacy | None
) -> Watching | None:
    """Return what looks at a site's answers; None where the site does not ask for it.

    Args:
        name: The site.
        auditing: What its site file says.
        held: Its rows.
        home: The site's folder in the game; None where nothing is written.
        privacy: What it promises; None for nothing.
    """
    if home is None or not auditing.every_rounds:
        return None
    path = audits_path(home / FOLDER, name)
    return Auditor(held, auditing.every_rounds, path, promise_of(privacy))


def promise_of(privacy: Privacy | None) -> Promise | None:
    """Return what a site promises, as audits compare with it.

    Args:
        privacy: ``[privacy]`` of its file; None for none.
    """
    return None if privacy is None else Promise(privacy.most, privacy.at_delta)
