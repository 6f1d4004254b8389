"""The names of the numbers that a site may tell, and slips in those that its file has."""

from __future__ import annotations

from collections.abc import Sequence

from coplay.core.components import nearest
from coplay.core.errors import ModelError
from coplay.core.measures import MEASURES, OF_METRIC
from coplay.core.telling import Telling
from coplay.data.words import quoted, some

_EVERYTHING = "all"
_OF_GAIN = ("value", "error", "n")  # what a player reports of its part of the Nash gap
_COPIES = "copies/"  # the shares of copies in what each of the others sent


def unknown_names(tell: Telling, reported: Sequence[str]) -> list[str]:
    """Say of each name in ``[tell] numbers`` that is none of a number what is meant perhaps.

    Args:
        tell: What a site tells.
        reported: Names of the numbers that its model reports of learning.

    Example:
        >>> unknown_names(Telling(numbers=("utility", "all")), [])
        []
        >>> unknown_names(Telling(numbers=("fidelity",)), [])
        ["'fidelity' is the metric; name its numbers: 'column_fidelity', 'pair_fidelity'"]
    """
    known = [*MEASURES, *reported, _EVERYTHING, *_OF_GAIN]
    lines = []
    for name in tell.numbers:
        if name in known or name.startswith(_COPIES):
            continue
        if name in OF_METRIC:
            listed = ", ".join(map(quoted, OF_METRIC[name]))
            lines.append(f"{quoted(name)} is the metric; name its numbers: {listed}")
            continue
        close = nearest(name, [*MEASURES, *reported, _EVERYTHING]).split(", ")
        lines.append(
            f"{quoted(name)} is no number that is measured or reported here; known, nearest "
            f"first: {some(close, 6)}"
        )
    return lines


def check_told(site: str, tell: Telling, reported: Sequence[str] | None) -> None:
    """Refuse slips in what a site tells; a model that does not say may report anything.

    Args:
        site: The site, for the error.
        tell: What it tells.
        reported: Names of the numbers that its model reports; None where it does not say.

    Raises:
        ModelError: A name is none of a number.
    """
    faults = [] if reported is None else unknown_names(tell, reported)
    if faults:
        raise ModelError(f"site '{site}', [tell] numbers: {'; '.join(faults)}")


def names_that_may_be_told(reported: Sequence[str] | None) -> list[str]:
    """Say which names ``[tell] numbers`` may have.

    Args:
        reported: Names of the numbers that the site's model reports; None where it does not say.
    """
    lines = [f"measured on its held-out rows: {', '.join(MEASURES)}"]
    if reported is None:
        lines.append("its model does not say which numbers it reports of learning")
    else:
        lines.append(f"reported by its model of learning: {some(reported, 20) or 'none'}")
    return lines
