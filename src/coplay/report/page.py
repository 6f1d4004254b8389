"""A run's page: its sections in order, written as HTML, as PNG files and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

import tomli_w
from jinja2 import Environment, StrictUndefined, Template

from coplay.core import storage
from coplay.report import costs, formulas, measured, samples
from coplay.report import headline as head
from coplay.report.parts import plain
from coplay.run.result import Result

SECTIONS = (
    head.headline,
    measured.holdings,
    samples.section,
    measured.shares,
    measured.influence,
    measured.curves,
    costs.traffic,
    formulas.section,
    costs.time,
    costs.losses,
    costs.provenance,
)
"""The parts of a report, top to bottom.

Each is built from the result, and says in a sentence what it has no data for. Costs by formulas are
None for a run of games that have none.
"""


def write(result: Result) -> Path:
    """Write a run's report.

    The files are ``report.html``, self-contained; ``report.json``, its data; ``figures/*.png``.

    The run may have failed, been stopped or still be going on: only what is on disk is read.

    Args:
        result: The run.

    Returns:
        Path of the HTML page.

    Raises:
        CheckpointError: A file of the run is damaged, or the folder cannot be written.

    Example:
        ``write(Result.load("runs/digits"))``
    """
    built = [build(result) for build in SECTIONS]
    sections = [section for section in built if section is not None]
    title = result.record.title
    sentence = head.sentence(result)
    status = head.status(result)
    data: dict[str, Any] = {"title": title, "sentence": sentence, "status": asdict(status)}
    for part in sections:
        data[part.id] = part.data
        for picture in part.pictures:
            storage.write_atomically(result.folder / "figures" / f"{picture.name}.png", picture.png)
    storage.write_json(result.folder / "report.json", plain(data))
    html = template().render(
        title=title,
        sentence=sentence,
        status=status,
        sections=sections,
        config=tomli_w.dumps(result.record.config),
        version=result.record.versions.get("coplay", ""),
    )
    page = result.folder / "report.html"
    storage.write_atomically(page, html.encode())
    return page


def template() -> Template:
    """Return the page's template, which a comparison shares."""
    text = resources.files("coplay.report").joinpath("template.html").read_text(encoding="utf-8")
    return Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(text)
