"""The warnings of a run, in sentences that stand beside its scores wherever they are shown."""

from __future__ import annotations

from collections.abc import Callable

from coplay.data.words import some
from coplay.run.play import Play
from coplay.run.result import Result

_NAMED = 6  # players that a sentence names


def warnings_of(result: Result, called: Callable[[str], str] = str) -> list[str]:
    """Return what a reader of the last scores must know, the worst first.

    Args:
        result: The run.
        called: What to call a game or a metric, by its name.

    Returns:
        Sentences without a capital and a full stop: a domain classifier near chance, copies of
        training rows among samples, and metrics that were not measured, each with its reason.

    Example:
        ``warnings_of(Result.load("runs/digits"))``
    """
    sentences = classifier_warnings(result)
    for play in result.plays.values():
        sentences += copy_warnings(play, called)
    for play in result.plays.values():
        sentences += _unmeasured(play, called)
    return sentences


def classifier_warnings(result: Result) -> list[str]:
    """Return the warning that the domain classifier is no judge, if there is one."""
    classifier = result.record.classifier
    return [classifier.warning] if classifier is not None and classifier.warning else []


def copy_warnings(play: Play, called: Callable[[str], str] = str) -> list[str]:
    """Return a sentence for each player whose last samples hold copies of its training rows."""
    sentences = []
    for player, caution in play.last_cautions.items():
        if caution.copies is not None and caution.copies.warning:
            sentences.append(f"{called(play.name)}, {player}: {caution.copies.warning}")
    if len(sentences) > _NAMED:
        more = len(sentences) - _NAMED
        sentences[_NAMED:] = [
            f"{called(play.name)}: copies among the samples of {more} more players"
        ]
    return sentences


def _unmeasured(play: Play, called: Callable[[str], str]) -> list[str]:
    """Return a sentence for each metric and reason, with the players it concerns."""
    players: dict[tuple[str, str], list[str]] = {}
    for player, caution in play.last_cautions.items():
        for metric, reason in caution.unmeasured.items():
            players.setdefault((metric, reason), []).append(player)
    sentences = []
    for (metric, reason), names in players.items():
        what = f"{called(play.name)}: {called(metric)} of {some(names, _NAMED)}"
        sentences.append(f"{what} is not measured: {reason}")
    return sentences
