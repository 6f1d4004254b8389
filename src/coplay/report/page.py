"""The page: sections in order, written as HTML, as PNG files and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

import tomli_w
from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from coplay.core.inside import file_names, refuse_links, write_output
from coplay.core.text import json_text, visible
from coplay.report import (
    brought,
    columns,
    costs,
    damage,
    formulas,
    interruptions,
    measured,
    over_rounds,
    samples,
    together,
)
from coplay.report import headline as head
from coplay.report.parts import (
    Cell,
    ChartPicture,
    PageSection,
    Picture,
    Table,
    has_long_word,
    plain,
)
from coplay.run.result import Result

SECTIONS = (
    head.headline,
    interruptions.section,
    damage.section,
    measured.holdings,
    samples.section,
    measured.shares,
    measured.influence,
    over_rounds.section,
    columns.section,
    together.section,
    costs.traffic,
    formulas.section,
    costs.time,
    costs.losses,
    costs.provenance,
)
"""What a report consists of, top to bottom.

Each takes the result. What a section has no data for is listed at the end of the page, with the
reason. Costs by formulas are None for a run of games that have none, columns where none were
compared, pairs of columns where there is hardly one, and interruptions where there were none.
"""


def write(result: Result) -> Path:
    """Write a run's report.

    It is ``report.html``, self-contained, with its data in ``report.json`` and its pictures in
    ``figures``.

    It works on what is on disk, so also for a run that failed, was stopped or is still going on.

    Args:
        result: The run.

    Returns:
        Path of the HTML page.

    Raises:
        CheckpointError: A file of the run is damaged.
        OutputError: The folder cannot be written.
        RunFolderError: The folder holds links, through which something outside would be written.

    Example:
        ``write(Result.load("runs/digits"))``
    """
    folder = result.folder
    refuse_links(folder)
    built = [build(result) for build in SECTIONS]
    sections = [section for section in built if section is not None]
    title = result.record.title
    sentence = head.sentence(result)
    in_short = brought.paragraph(result)
    status = head.status(result)
    data: dict[str, Any] = {
        "title": title,
        "sentence": sentence,
        "in_short": in_short,
        "status": asdict(status),
    }
    for part in sections:
        data[part.id] = part.data
    remedy = f"give permission or make room, then 'coplay report {folder}' writes the page again"
    write_pictures(sections, folder, remedy)
    write_output(folder / "report.json", json_bytes(data), remedy)
    html = template().render(
        title=title,
        sentence=sentence,
        in_short=in_short,
        status=status,
        sections=arranged(sections),
        config=tomli_w.dumps(result.record.config),
        version=result.record.versions.get("coplay", ""),
    )
    page = folder / "report.html"
    write_output(page, html.encode(), remedy)
    return page


def arranged(sections: Sequence[PageSection]) -> list[PageSection]:
    """Return the sections that have something, and a list of the others with their reasons.

    The list is the last section, or the last but that of seed, versions and config.

    Args:
        sections: The sections of a page, in order.
    """
    shown = [section for section in sections if not section.is_empty]
    rows: list[list[Cell]] = []
    for section in sections:
        if section.is_empty:
            rows.append([section.title, " ".join(section.text)])
    if rows:
        table = Table(["what", "why it is not here"], rows, numeric=False)
        absent = PageSection("absent", "Not on this page", tables=[table])
        has_end = bool(shown) and shown[-1].id == "provenance"
        shown.insert(len(shown) - has_end, absent)
    return shown


def write_pictures(sections: Iterable[PageSection], folder: Path, remedy: str) -> None:
    """Write all pictures of a page into its folder ``figures``.

    Args:
        sections: The sections of the page.
        folder: The page's folder.
        remedy: What to do where a file cannot be written.
    """
    pictures: list[Picture | ChartPicture] = []
    for section in sections:
        pictures += section.pictures
    names = file_names(picture.name for picture in pictures)
    for picture in pictures:
        file = f"{names[picture.name]}.{picture.ending}"
        write_output(folder / "figures" / file, picture.content, remedy)


def json_bytes(data: Any) -> bytes:
    """Data of a page as JSON that people can read."""
    text = json.dumps(plain(data), indent=1, ensure_ascii=False)
    return f"{json_text(text)}\n".encode()


def template() -> Template:
    """The page's template, which a comparison shares."""
    text = resources.files("coplay.report").joinpath("template.html").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.tests.update(long=has_long_word)
    return environment.from_string(text)


def _shown(value: Any) -> Any:
    """Escape what would hide or reorder text on the page; HTML is escaped by the template."""
    is_plain_text = isinstance(value, str) and not isinstance(value, Markup)
    return visible(value) if is_plain_text else value
