"""What players measure on their own held-out rows: how they are asked, and what they tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from coplay.core.components import name_of
from coplay.core.facts import Facts
from coplay.core.measures import MEASURES, OF_METRIC, part_name
from coplay.core.message import COORDINATOR, Message
from coplay.core.requests import Measure
from coplay.core.space import LABEL
from coplay.metrics.base import Metric, Value
from coplay.metrics.utility import NO_TARGET, Utility
from coplay.run.sections import MeasureSection


def of_players(metrics: Sequence[Metric]) -> list[str]:
    """Return the names of the metrics that players can measure themselves."""
    names = [name_of("metric", metric) for metric in metrics]
    return [name for name in names if name in OF_METRIC]


def target_of(metrics: Sequence[Metric]) -> str | None:
    """Return the variable that a metric of a run predicts; None where none does, or is named."""
    targets = [metric.target for metric in metrics if isinstance(metric, Utility)]
    return targets[0] if targets else None


def settings_for_players(metrics: Sequence[Metric]) -> dict[str, str]:
    """Return the settings of those metrics that differ from the usual ones, by name, as JSON.

    The target is not among them: it is asked for beside them, since not every player has it.

    Example:
        >>> from coplay.metrics.fidelity import Fidelity
        >>> settings_for_players([Fidelity(replicates=50), Utility(target="age")])
        {'fidelity': '{"replicates":50}'}
    """
    settings = {}
    for metric in metrics:
        name = name_of("metric", metric)
        text = metric.model_dump_json(exclude_defaults=True, exclude={"target"})
        if name in OF_METRIC and text != "{}":
            settings[name] = text
    return settings


def asks(
    settings: MeasureSection,
    metrics: Sequence[Metric],
    target: str | None,
    facts: Mapping[str, Facts],
    names: Sequence[str],
    round: int,
) -> list[Message]:
    """Ask those that hold rows out to measure their samples on them.

    Args:
        settings: What the run measures.
        metrics: The metrics of the run; those that players can measure are asked for.
        target: The variable to be predicted; None for none.
        facts: What everybody in the game says of itself.
        names: Whose samples are measured.
        round: Current round.
    """
    draws = settings.log_prob_draws if settings.log_prob else 0
    asked = tuple(of_players(metrics))
    if not asked and not draws:
        return []
    of_metrics = settings_for_players(metrics)
    messages = []
    for name in names:
        player = facts.get(name)
        if player is None or not player.measures:
            continue
        known = target if target is not None and target in player.learned else ""
        request = Measure(settings.samples, asked, known, draws, of_metrics)
        messages.append(Message(request, COORDINATOR, name, round))
    return messages


def told(numbers: Mapping[str, float]) -> dict[str, Value]:
    """Return the values that a player told.

    Example:
        >>> told({"utility": 0.9, "utility low": 0.8, "utility high": 0.95})["utility"].low
        0.8
        >>> told({"utility low": 0.8})
        {}
    """
    values = {}
    for name, meaning in MEASURES.items():
        if name not in numbers:
            continue
        values[name] = Value(
            numbers[name],
            meaning.unit,
            meaning.better,
            int(numbers.get(part_name(name, "n"), 0)),
            int(numbers.get(part_name(name, "n_real"), 0)),
            numbers.get(part_name(name, "low")),
            numbers.get(part_name(name, "high")),
        )
    return values


def not_told(
    metrics: Sequence[str], values: Mapping[str, Value], player: Facts, target: str | None = None
) -> dict[str, str]:
    """Say why nothing is known of a metric that a player was asked for, by its name.

    Args:
        metrics: What it was asked for.
        values: What it told.
        player: What it says of itself.
        target: The variable to be predicted in this run; None for none.
    """
    reasons = {}
    for metric in metrics:
        quantities = OF_METRIC[metric]
        if any(name in values for name in quantities):
            continue
        if player.promise:
            reasons[metric] = (
                "its promise of privacy keeps what is measured on its rows at home, on the site's "
                "own page"
            )
        elif "all" in player.tells or set(quantities) & set(player.tells):
            reasons[metric] = _why_not(metric, player, target)
        else:
            reasons[metric] = (
                "it is measured at the player and stays there: its site file names what it tells "
                "([tell] numbers)"
            )
    return reasons


def _why_not(metric: str, player: Facts, target: str | None) -> str:
    """Say why a metric was not measured, as far as one knows without the player's rows."""
    if metric == "utility" and target is None and LABEL not in player.learned:
        return NO_TARGET
    if metric == "utility" and (target or LABEL) in player.unobserved:
        return f"it has no column of the target {target or LABEL!r}"
    return "it could not be measured at the player, whose own file says why"
