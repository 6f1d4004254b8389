"""Where a run was interrupted, and from where it was resumed."""

from __future__ import annotations

from dataclasses import asdict

from coplay.report.parts import PageSection, Table
from coplay.report.words import words
from coplay.run.result import Result


def section(result: Result) -> PageSection | None:
    """Return a line per interruption; None for a run that was never resumed."""
    interruptions = result.record.interruptions
    if not interruptions:
        return None
    game_words = {game: words(game) for game in result.record.games}
    rows = []
    for number, each in enumerate(interruptions, start=1):
        rows.append([str(number), each.sentence(game_words)])
    text = (
        "Rounds after a checkpoint that were under way were played again. A run that is resumed "
        "ends with the same models as one without interruption."
    )
    table = Table(["no.", "what happened"], rows, numeric=False)
    data = [asdict(each) for each in interruptions]
    return PageSection("interruptions", "Interrupted and resumed", [text], [table], data=data)
