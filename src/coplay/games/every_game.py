"""What messages may hold that every player is asked, whatever the game."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from pydantic import ValidationError

from coplay.core.components import Component, find, names
from coplay.core.contents import LARGEST_COUNT, Form, InSpace, Tensors
from coplay.core.expected import ANY_PART, Expected, Limits, Numbers, Part
from coplay.core.measures import MEASURES, OF_METRIC, PARTS, part_name
from coplay.core.message import Message, count_of
from coplay.core.plain import shortened
from coplay.core.requests import (
    CLASSIFIED,
    SCORED,
    SERVED,
    Evaluate,
    Gain,
    Judge,
    Measure,
    Restore,
    Save,
)
from coplay.core.rules import RATES, ROWS_DRAWN
from coplay.core.space import LABEL
from coplay.games.base import received_samples
from coplay.games.party import Party
from coplay.models.abilities import Classifies
from coplay.models.base import OWN
from coplay.player import Player

MOST_SAMPLES = 1_000_000
"""Largest number of samples that a player draws to be measured, or takes to be classified."""

MOST_STEPS = 1_000_000
"""Largest number of steps that a player takes to estimate its gain."""

MOST_DRAWS = 100_000
"""Largest number of encoder's draws per sample."""

_MARK = re.compile("[0-9a-f]{1,64}")  # of a checkpoint
_ROUNDING = 1e-6  # of weights that were re-normalised, and of means
# infinities and NaN are values of log p
_LOG_P = dict.fromkeys(("log_p", "low", "high"), Limits(special=True))


def _limits_of_measures() -> dict[str, Limits]:
    """Return what each number may be that a player tells of its own measurements."""
    most = Limits()
    limits = {}
    for name, meaning in MEASURES.items():
        low = max(most.low, meaning.low - _ROUNDING)
        value = Limits(low, min(most.high, meaning.high + _ROUNDING))
        limits[name] = value
        for part in PARTS:
            is_count = part in ("n", "n_real")
            limits[part_name(name, part)] = Limits(0, LARGEST_COUNT) if is_count else value
    return limits


_MEASURED = _limits_of_measures()
_RULES = {**dict.fromkeys(RATES, Limits(0, 1)), ROWS_DRAWN: Limits(0, LARGEST_COUNT)}
_GAIN = {"value": Limits(special=True), "error": Limits(special=True), "n": Limits(low=0)}


def expected_request(player: Player, message: Message) -> Expected:
    """Say what a request may hold that every player is asked."""
    match message.request:
        case Evaluate(n, draws):
            limits = [("n", n, MOST_SAMPLES), ("draws", draws, MOST_DRAWS)]
            parts = {SCORED: ANY_PART}
            if isinstance(player.model, Classifies):
                parts[CLASSIFIED] = ANY_PART
            faults = _count_faults(limits) + _real_faults(player, message)
            return Expected(parts, faults=faults)
        case Measure(n, metrics, target, draws, settings):
            faults = _count_faults([("n", n, MOST_SAMPLES), ("draws", draws + 1, MOST_DRAWS)])
            strange = [name for name in metrics if name not in names("metric")]
            if strange:
                faults.append(f"metrics: expected coplay's own, got {shortened(strange[0])}")
            if target and target not in player.variables:
                faults.append(f"target: expected a variable, got {shortened(target)}")
            return Expected(faults=faults + _settings_faults(settings, metrics))
        case Judge(n, game, games, target):
            faults = _count_faults([("n", n, MOST_SAMPLES)])
            if game not in games:
                faults.append(f"game: expected one of the run, got {shortened(game)}")
            if target and target not in player.variables:
                faults.append(f"target: expected a variable, got {shortened(target)}")
            part = Part(InSpace(player.variables, [], others=True), 1, MOST_SAMPLES)
            return Expected({SERVED: part}, faults=faults)
        case Gain(steps, draws, own, weights):
            faults = _count_faults([("steps", steps, MOST_STEPS), ("draws", draws, MOST_DRAWS)])
            for name, weight in ({OWN: own} | dict(weights)).items():
                if not 0 <= weight <= 1 + _ROUNDING:
                    faults.append(f"weight of {shortened(name)}: expected 0 to 1, got {weight:g}")
            known = player.roster.places if player.roster else set(weights)
            part = Part(received_samples(player), 1, MOST_SAMPLES)
            others = {name for name in weights if name in known and name != player.name}
            strange = [name for name in weights if name not in others]
            if strange:
                faults.append(f"weights: expected other players, got {shortened(strange[0])}")
            return Expected(dict.fromkeys(others, part), faults=faults)
        case Save(mark, kept):
            faults = _mark_faults(player, mark)
            if any(not 0 <= each < message.round for each in kept) or (kept and not mark):
                faults.append(f"kept: expected earlier rounds, and a mark, got {len(kept)} rounds")
            return Expected(faults=faults)
        case Restore(mark):
            return Expected(faults=_mark_faults(player, mark))
    return Expected()


def _mark_faults(player: Player, mark: str) -> list[str]:
    """List what is wrong with the mark of a checkpoint; only who keeps its own files has marks."""
    if mark and not player.schema:
        return [f"mark: expected none for files that the coordinator keeps, got {shortened(mark)}"]
    if mark and not _MARK.fullmatch(mark):
        return [f"mark: expected hexadecimal digits, got {shortened(mark)}"]
    return []


def _count_faults(counts: list[tuple[str, int, int]]) -> list[str]:
    faults = []
    for name, count, most in counts:
        if not 1 <= count <= most:
            faults.append(f"{name}: expected 1 to {most}, got {count}")
    return faults


def _settings_faults(settings: Mapping[str, str], metrics: Sequence[str]) -> list[str]:
    """List what is wrong with the settings of metrics that a player is to measure."""
    faults = []
    for name, text in settings.items():
        if name not in metrics or name not in OF_METRIC:
            listed = ", ".join(each for each in metrics if each in OF_METRIC) or "none"
            faults.append(f"settings: expected those of {listed}, got those of {shortened(name)}")
            continue
        kind = find("metric", name)
        assert issubclass(kind, Component)
        try:
            kind.model_validate_json(text)
        except ValidationError:
            faults.append(f"settings of {name}: expected valid ones, got {shortened(text)}")
    return faults


def _real_faults(player: Player, message: Message) -> list[str]:
    """List what is wrong with the real samples of an evaluation."""
    faults = []
    for name in (CLASSIFIED, SCORED):
        samples = message.payload.get(name)
        if samples is None:
            continue
        visible = player.variables
        needed = list(visible) if name == SCORED else []
        part = Part(InSpace(visible, needed, others=True), 1, MOST_SAMPLES)
        faults += [f"samples to be {name}: {fault}" for fault in part.faults(samples)]
    return faults


def expected_reply(player: Party, ask: Message) -> Expected:
    """Say what a reply may hold to what every player is asked."""
    match ask.request:
        case Evaluate(n):
            needed = [name for name in player.space if name not in player.unobserved]
            parts = {ask.sender: Part.of(InSpace(player.space, needed), n)}
            if player.classifies and CLASSIFIED in ask.payload:
                classes = player.variables[LABEL].classes or 0
                form = Form((), torch.int64, 0, classes - 1 if classes else LARGEST_COUNT)
                count = count_of(ask.payload[CLASSIFIED])
                parts[CLASSIFIED] = Part.of(Tensors({LABEL: form}), count)
            log_p = _LOG_P if SCORED in ask.payload else {}
            numbers = Numbers(log_p, all_or_none=True, beside=_RULES)
            return Expected(parts, all_or_none=True, numbers=numbers, numbers_alone=False)
        case Measure():
            return Expected(numbers=Numbers(_MEASURED))
        case Gain():
            return Expected(numbers=Numbers(_GAIN, all_or_none=True))
    return Expected()
