"""Which metrics a run has where its config names none: those for images, or those for tables."""

from __future__ import annotations

from coplay.core.components import find
from coplay.core.space import Space
from coplay.metrics.base import Metric
from coplay.run.sections import MeasureSection

PRESETS = {
    "images": ("class_shares", "domain_score", "fid"),
    "table": ("fidelity", "utility", "memorisation"),
    "table with classes": ("class_shares", "fidelity", "utility", "memorisation"),
    "none": (),
}
"""Names of the metrics of each preset."""


def preset_of(space: Space, has_classes: bool) -> str:
    """Return the preset for variables.

    Args:
        space: All variables.
        has_classes: Whether the coordinator has real samples with classes, so that there is a
            domain classifier.

    Example:
        >>> from coplay.core.variable import Variable
        >>> preset_of(Space({"age": Variable(kind="real")}), has_classes=False)
        'table'
    """
    is_image = any(space[name].is_image for name in space)
    # numbers of shape () side by side are a table, also where a domain classifier could judge them
    is_table = all(not space[name].shape for name in space)
    if is_table and has_classes:
        return "table with classes"
    return "images" if is_image or has_classes else "table"


def chosen_metrics(measure: MeasureSection, space: Space, has_classes: bool) -> tuple[Metric, ...]:
    """Return the metrics of a run: those it names, or those of its preset.

    Args:
        measure: What the config says of measuring.
        space: All variables.
        has_classes: As in :func:`preset_of`.
    """
    if measure.metrics is not None:
        return tuple(metric.aimed(measure.target) for metric in measure.metrics)
    preset = measure.preset or preset_of(space, has_classes)
    metrics = []
    for name in PRESETS[preset]:
        kind = find("metric", name)
        assert issubclass(kind, Metric)
        metrics.append(kind().aimed(measure.target))
    return tuple(metrics)
