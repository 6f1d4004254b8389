"""A site's own page, written at the site, where no coordinator's records are."""

from __future__ import annotations

from pathlib import Path

from coplay.core.components import name_of
from coplay.core.space import Space
from coplay.report.site_page import write_pages
from coplay.run.config import Config
from coplay.run.foreign import unread_class
from coplay.run.record import DataRecord, GameRecord, RunRecord
from coplay.run.result import Result
from coplay.run.schema import agreed_space
from coplay.run.site_folders import site_folder
from coplay.run.versions import versions
from coplay.site.judging import VERDICT


def write_page_at(home: Path, agreed: Config, site: str) -> Path | None:
    """Write a site's page into its own folder, from what the site has.

    Args:
        home: The site's private folder, in which ``sites/NAME`` is as in a run's folder.
        agreed: The federation, as the site has agreed to it, with the site's own file.
        site: Its name.

    Returns:
        The page; None while there is nothing to show.
    """
    result = Result(home)
    # what the coordinator would have written down, as far as the site knows it
    vars(result).update(record=_record(home, agreed, site), config=agreed)
    pages = write_pages(result)
    return pages[0] if pages else None


def _record(home: Path, agreed: Config, site: str) -> RunRecord:
    over = (site_folder(home, site) / VERDICT).exists()
    games = {}
    for game in (agreed.game, *agreed.carried):
        name = unread_class(game) or name_of("game", game)
        games[name.rpartition(":")[2]] = GameRecord()
    space: Space = agreed_space(agreed.variables)
    data = DataRecord(agreed.name, None, None, space, {site: list(space)}, {}, {})
    return RunRecord(
        status="finished" if over else "running",
        config={"title": agreed.title, "name": agreed.name, "players": {site: {}}},
        versions=versions(),
        data=data,
        notes=[],
        unmeasured="",
        games=games,
    )
