"""Caveats for readers of a comparison: what differs between arms, and which scores that touches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter
from typing import Any

from coplay.comparison.arms import Arm, Comparison
from coplay.comparison.measurements import Measurement, measurements
from coplay.core.message import PlayerLost
from coplay.report.words import listed, words
from coplay.run.record import DataRecord, space_to_json
from coplay.run.result import CLASSIFIER, Result
from coplay.run.warnings import classifier_warnings, copy_warnings

_NAMED_LOSSES = 6  # players lost in one run that a sentence names

# Settings of measuring whose differences another caveat reports, or that change no score.
_OTHER_MEASURING = (
    "measure.metrics",
    "measure.every_rounds",
    "measure.samples",
    "measure.shown",
)


@dataclass(frozen=True)
class Caveat:
    """One thing to know before comparing.

    Args:
        text: The caveat in a sentence.
        quantities: Names of the measured quantities that it concerns; empty if it concerns none
            more than another.
    """

    text: str
    quantities: Sequence[str] = ()


def caveats(comparison: Comparison) -> list[Caveat]:
    """Collect everything a reader must know before comparing.

    Args:
        comparison: The arms.

    Returns:
        What was left out comes first, then what differs between runs and between arms.

    Example:
        ``caveats(Comparison.load(["runs/a", "runs/b"]))[0].text``
    """
    checks: tuple[Callable[[Comparison], list[Caveat]], ...] = (
        _warnings,
        _unfinished_runs,
        _silent_runs,
        _lost_players,
        _different_rounds,
        _different_counts,
        _different_data,
        _different_measuring,
        _classifiers,
        _single_models,
        _different_players,
        _different_versions,
    )
    collected = [Caveat(text) for text in comparison.left_out]
    for check in checks:
        collected += check(comparison)
    return collected


def _warnings(comparison: Comparison) -> list[Caveat]:
    """Repeat what each run warns of: a domain classifier near chance, copies of training rows.

    A warning that several seeds of an arm share is given once, with its seeds.
    """
    collected = []
    for arm in comparison.arms:
        by_text: dict[str, list[int]] = {}
        for seed, run in arm.runs.items():
            for text in [*classifier_warnings(run), *copy_warnings(arm.plays[seed])]:
                by_text.setdefault(text, []).append(seed)
        for text, seeds in by_text.items():
            collected.append(Caveat(f"{arm.label}, {_seeds(seeds)}: {text}", list(arm.quantities)))
    return collected


def _unfinished_runs(comparison: Comparison) -> list[Caveat]:
    collected = []
    for folder, run in comparison.runs.items():
        if run.record.status == "finished":
            continue
        state = run.record.status
        if run.record.reason:
            state = f"{state}: {run.record.reason}"
        done = [f"{len(play.rows)} rounds of {words(name)}" for name, play in run.plays.items()]
        text = f"{folder} is not finished ({state}); it counts as far as it got: {', '.join(done)}"
        collected.append(Caveat(text))
    return collected


def _silent_runs(comparison: Comparison) -> list[Caveat]:
    """Name the runs in which nothing was measured."""
    collected = []
    for arm in comparison.arms:
        silent = [seed for seed, play in arm.plays.items() if not play.last]
        if silent:
            collected.append(Caveat(f"{arm.label}: nothing was measured with {_seeds(silent)}"))
    return collected


def _lost_players(comparison: Comparison) -> list[Caveat]:
    """Name the runs without a mean over players, since one that the game measures was lost."""
    collected = []
    for arm in comparison.arms:
        for seed, run in arm.runs.items():
            lost = _lost_and_measured(arm, seed, run)
            if lost:
                text = (
                    f"{arm.label}: the run with seed {seed} lost {_names_of(lost)}; a mean over "
                    "the other players would compare unlike things, so this run has none from then "
                    "on, and the arm's curves end before"
                )
                collected.append(Caveat(text, list(arm.quantities)))
    return collected


def _lost_and_measured(arm: Arm, seed: int, run: Result) -> list[PlayerLost]:
    """Return the losses, up to the last measured round, of players that the game measures."""
    play = arm.plays[seed]
    lost = play.lost_among(run.sampled_from[arm.game])
    return [loss for loss in play.lost.values() if loss in lost]  # in the order of the losses


def _names_of(lost: Sequence[PlayerLost]) -> str:
    """Name the players that were lost, each with its round."""
    names = [f"{loss.player} (round {loss.round})" for loss in lost[:_NAMED_LOSSES]]
    if len(lost) > len(names):
        names.append(f"{len(lost) - len(names):,} more")
    return listed(names)


def _different_rounds(comparison: Comparison) -> list[Caveat]:
    by_arm = {}
    for arm in comparison.arms:
        rounds = {play.last_round for play in arm.plays.values() if play.last_round is not None}
        if rounds:
            by_arm[arm.label] = sorted(rounds)
    if len({round for rounds in by_arm.values() for round in rounds}) < 2:
        return []
    each = "; ".join(f"{label}: {listed(map(str, rounds))}" for label, rounds in by_arm.items())
    text = f"last measured after different rounds ({each}), not comparable"
    return [Caveat(text, list(comparison.quantities))]


# ----------------------------------------------------------------------------- measurements


def _different_counts(comparison: Comparison) -> list[Caveat]:
    """Find different sample counts or units of one quantity, for a player or between arms."""
    by_quantity: dict[str, list[Measurement]] = {name: [] for name in comparison.quantities}
    for measurement in measurements(comparison):
        by_quantity[measurement.quantity].append(measurement)
    collected = []
    for quantity, own in by_quantity.items():
        for attribute, noun in (("n", " samples"), ("n_real", " real samples"), ("unit", "")):
            values = _differing_values(own, attrgetter(attribute))
            if values:
                text = f"{words(quantity)}: {_some_of(values)}{noun}, not comparable"
                collected.append(Caveat(text, [quantity]))
    return collected


def _differing_values(own: Sequence[Measurement], of: Callable[[Any], Any]) -> list[Any]:
    """Return an attribute's values, ascending; none if all arms and runs of a player agree."""
    by_player: dict[str, set[Any]] = {}
    by_arm: dict[str, set[Any]] = {}
    for measurement in own:
        attribute = of(measurement.value)
        by_player.setdefault(measurement.player, set()).add(attribute)
        by_arm.setdefault(measurement.arm, set()).add(attribute)
    first = next(iter(by_arm.values()))
    players_agree = all(len(values) == 1 for values in by_player.values())
    if players_agree and all(values == first for values in by_arm.values()):
        return []
    return sorted(set.union(*by_arm.values()))


def _some_of(values: Sequence[Any]) -> str:
    """Write up to three values, or the first and the last."""
    texts = [_text(value) for value in values]
    return listed(texts) if len(texts) < 4 else f"{texts[0]} to {texts[-1]}"


def _text(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _different_data(comparison: Comparison) -> list[Caveat]:
    """Find different sources or variables."""
    data = [run.record.data for run in comparison.runs.values()]
    prefixes = ("data.source.", "data.variables")
    keys = [key for key in comparison.differences if key.startswith(prefixes)]
    if len(set(map(_contents, data))) < 2 and not keys:
        return []
    names = list(dict.fromkeys(map(_name_of_data, data)))
    what = listed(names)
    if len(names) == 1:
        what = f"{what}, but {listed(keys) or 'variables'} differ"
    text = f"different data: {what}; no score is comparable between them"
    return [Caveat(text, list(comparison.quantities))]


def _contents(data: DataRecord) -> tuple[str, int | None, int | None, str]:
    """Return what tells data apart."""
    return data.name, data.train, data.test, json.dumps(space_to_json(data.space))


def _name_of_data(data: DataRecord) -> str:
    if not data.extent:
        return data.name
    return f"{data.name} ({data.train:,} training and {data.test:,} test samples)"


# -------------------------------------------------------------------------------- measuring


def _different_measuring(comparison: Comparison) -> list[Caveat]:
    """Find different settings of measuring."""
    keys = [key for key in comparison.differences if key.startswith("measure.")]
    keys = [key for key in keys if key not in _OTHER_MEASURING]
    if not keys:
        return []
    text = f"measured differently: {listed(keys)}; scores that this touches are not comparable"
    return [Caveat(text, list(comparison.quantities))]


def _classifiers(comparison: Comparison) -> list[Caveat]:
    """Find different domain classifiers, between arms or between seeds."""
    by_settings = _fingerprints(comparison)
    if not by_settings:
        return []
    everything = list(comparison.quantities)
    shared = sorted(set.intersection(*(set(by_seed) for by_seed in by_settings.values())))
    unlike = []
    for seed in shared:
        if len({by_seed[seed] for by_seed in by_settings.values()}) > 1:
            unlike.append(seed)
    if unlike:
        fault = "arms were measured with different domain classifiers; scores are not comparable"
        return [Caveat(f"{_seeds(unlike)}: {fault}", everything)]
    if any(len(by_seed) > len(shared) for by_seed in by_settings.values()):
        each = []
        for label, by_seed in by_settings.items():
            each.append(f"{label or 'all'}: {listed(map(str, by_seed))}")
        seeds = f"arms have different seeds ({'; '.join(each)})"
        return [Caveat(f"{seeds}, and each seed has a domain classifier of its own", everything)]
    if len(shared) > 1:
        return [Caveat(_accuracies(comparison))]
    return []


def _accuracies(comparison: Comparison) -> str:
    """Say how good the domain classifiers of several seeds are."""
    classifiers = [run.record.classifier for run in comparison.runs.values()]
    trained = [classifier for classifier in classifiers if classifier is not None]
    lowest = min(classifier.accuracy for classifier in trained)
    highest = max(classifier.accuracy for classifier in trained)
    return (
        "each seed has a domain classifier of its own, the same in all arms: right on "
        f"{lowest:.1%} to {highest:.1%} of {trained[0].n_test:,} real test samples"
    )


def _fingerprints(comparison: Comparison) -> dict[str, dict[int, str]]:
    """Return the fingerprints of all domain classifiers, by settings and seed."""
    by_settings: dict[str, dict[int, str]] = {}
    for arm in comparison.arms:
        for seed, run in arm.runs.items():
            fingerprint = _fingerprint(run)
            if fingerprint:
                by_settings.setdefault(arm.settings, {})[seed] = fingerprint
    return by_settings


def _fingerprint(run: Result) -> str:
    """Return what tells a run's domain classifier from another; empty if there is none."""
    if run.record.classifier is None:
        return ""
    path = run.folder / CLASSIFIER
    if not path.exists():
        return json.dumps(asdict(run.record.classifier))
    return hashlib.sha256(path.read_bytes()).hexdigest()


# --------------------------------------------------------------------------- measured parties


def _single_models(comparison: Comparison) -> list[Caveat]:
    """Say where a single model stands beside means over players.

    Both say how good a model is, so they are comparable.
    """
    by_arm = {}
    for arm in comparison.arms:
        owners = [_single_owner(run, arm.game) for run in arm.runs.values()]
        if all(owners):
            by_arm[arm.label] = listed(dict.fromkeys(filter(None, owners)))
    if not by_arm:
        return []
    each = "; ".join(f"{label}: {owners}" for label, owners in by_arm.items())
    text = f"scores of a single model ({each})"
    if len(by_arm) < len(comparison.arms):
        text += "; the others are means over players"
    return [Caveat(text)]


def _single_owner(run: Result, game: str) -> str | None:
    """Return the owner of the only model that a game of several players measures, if any."""
    measured = run.sampled_from[game]
    if len(measured) == 1 and len(run.players) > 1:
        return measured[0]
    return None


def _different_players(comparison: Comparison) -> list[Caveat]:
    """Find means over different players; quantities with the same ones share a caveat."""
    quantities: dict[str, list[str]] = {}
    for quantity in comparison.quantities:
        groups = _groups_averaged(comparison, quantity)
        if len(groups) > 1:
            each = "; ".join(f"{label}: {', '.join(names)}" for names, label in groups.items())
            quantities.setdefault(each, []).append(quantity)
    collected = []
    for each, concerned in quantities.items():
        names = listed(map(words, concerned))
        text = f"{names}: means over different players ({each}), not comparable"
        collected.append(Caveat(text, concerned))
    return collected


def _groups_averaged(comparison: Comparison, quantity: str) -> dict[tuple[str, ...], str]:
    """Return the groups of players that means are over, each with the first arm that does so."""
    groups: dict[tuple[str, ...], str] = {}
    for arm in comparison.arms:
        for seed, run in arm.runs.items():
            mean = arm.mean(seed, quantity)
            if mean is not None and _single_owner(run, arm.game) is None:
                groups.setdefault(tuple(sorted(mean.players)), arm.label)
    return groups


# ---------------------------------------------------------------------------------- versions


def _different_versions(comparison: Comparison) -> list[Caveat]:
    collected = []
    versions = [run.record.versions for run in comparison.runs.values()]
    for package in dict.fromkeys(package for record in versions for package in record):
        values = [str(record.get(package, "not recorded")) for record in versions]
        distinct = list(dict.fromkeys(values))
        if len(distinct) > 1:
            collected.append(Caveat(f"runs were made with different {package}: {listed(distinct)}"))
    return collected


def _seeds(seeds: Iterable[int]) -> str:
    """Write seeds as a sentence names them."""
    texts = [str(seed) for seed in seeds]
    noun = "seed" if len(texts) == 1 else "seeds"
    return f"{noun} {listed(texts)}"
