"""Which measured shares lie where chance alone may have put them, in words and as a table."""

from __future__ import annotations

from collections.abc import Sequence

from coplay.report.parts import Cell, Table
from coplay.report.words import shortened
from coplay.run.certificate import Certificate
from coplay.run.result import Result

_NAMED = 6  # classes outside that are named for a player


def sentences(proof: Certificate | str) -> list[str]:
    """Return the certificate in a line, or why there is none."""
    if isinstance(proof, str):
        return [f"There is no certificate: {proof}."]
    return [proof.sentence()]


def tables(result: Result, proof: Certificate | str, players: Sequence[str]) -> list[Table]:
    """Return a table of the shares of each player inside and outside the band; none without one.

    Args:
        result: The run.
        proof: Its certificate.
        players: The players that are shown.
    """
    if isinstance(proof, str) or not proof.widths:
        return []
    predicted = result.predicted(result.main.name)
    names = shortened(result.record.data.class_names)
    rows = []
    for player in players:
        if player not in proof.widths:
            continue
        value = result.main.last[player]["class_shares"].value
        assert isinstance(value, list)
        rows.append(_row(player, value, predicted[player], proof, names))
    caption = (
        "Inside: the measured share is where chance puts 95 of 100 shares of models without a "
        "bias; one in twenty is outside by chance. Chance is the draw of the samples that players "
        "learn from, the draw of those that are measured, and what is not known of the domain "
        "classifier's confusions on real samples; samples unlike real ones may be confused "
        "otherwise. In brackets: predicted ± chance."
    )
    header = ["player", "inside", "outside"]
    return [Table(header, rows, caption, numeric=False)]


def _row(
    player: str,
    measured: Sequence[float],
    predicted: Sequence[float],
    proof: Certificate,
    names: Sequence[str],
) -> list[Cell]:
    """Return the row of one player."""
    inside = proof.inside(player, measured, predicted)
    outside = []
    for label, is_inside in enumerate(inside):
        if not is_inside:
            width = proof.widths[player][label]
            near = f"({predicted[label]:.3f} ± {width:.3f})"
            outside.append(f"{names[label]}: {measured[label]:.3f} {near}")
    listed = ", ".join(outside[:_NAMED])
    if len(outside) > _NAMED:
        listed += f" and {len(outside) - _NAMED} more"
    return [player, f"{sum(inside)} of {len(inside)}", listed or "none"]
