"""What a site measures of its samples, on its own held-out rows, and what it tells of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from coplay.core import storage
from coplay.core.components import find
from coplay.core.inside import file_name
from coplay.core.measures import COUNTED, MEASURES, OF_REAL_ROWS, PARTS, Judged, part_name
from coplay.core.number_log import NumberLog, drop_from
from coplay.core.requests import Judge, Measure
from coplay.core.space import Samples
from coplay.core.surroundings import own_settings
from coplay.core.telling import Telling
from coplay.metrics.base import Metric, Observed, Reference, Value, measured
from coplay.metrics.table_view import REAL, TableView
from coplay.site.holdings import Holdings
from coplay.site.judging import judge, write_privately

FOLDER = "site"
"""Folder, in that of a game, of what players measured themselves; each file is its player's own."""

REPORTED = ".numbers.jsonl"
"""How the file ends, beside that of what was measured, of what a player's model reported."""

COLUMNS = ".columns.json"
"""How the file ends of what the columns looked like when they were last measured."""

SAMPLES = "samples"
"""What samples are called beside the real rows in that file."""


def number_log(name: str, home: Path | None, tell: Telling) -> NumberLog:
    """Return where a site writes down what its model reports.

    Args:
        name: The site.
        home: The game's folder; None where nothing is written.
        tell: What it tells.
    """
    path = None if home is None else home / FOLDER / f"{file_name(name)}{REPORTED}"
    return NumberLog(path, tell)


@dataclass(frozen=True)
class SiteMeasurement:
    """What a site measured after one round.

    Args:
        values: Every value, told or not.
        unmeasured: Why a metric was not measured, by its name.
    """

    values: Mapping[str, Value]
    unmeasured: Mapping[str, str]


@dataclass(frozen=True)
class SiteMeasurer:
    """Measures one site's model on rows that it never learns from.

    Args:
        name: The site.
        holdings: Its rows.
        tell: What it tells.
        home: The site's folder in the game, inside the site's own; None where nothing is written.
    """

    name: str
    holdings: Holdings
    tell: Telling
    home: Path | None = None

    @property
    def path(self) -> Path | None:
        """The site's own file, one line a measured round."""
        if self.home is None:
            return None
        return self.home / FOLDER / f"{file_name(self.name)}.jsonl"

    def measure(
        self,
        samples: Samples,
        request: Measure,
        log_p: Mapping[str, float],
        round: int,
    ) -> dict[str, float]:
        """Measure, write everything down at the site, and return what leaves it.

        Args:
            samples: Samples of the site's model.
            request: Which of coplay's own metrics are asked for, with their settings.
            log_p: Log p of the held-out rows by the model, with its interval; empty without.
            round: Current round.
        """
        measurement = compared(self.holdings, samples, request)
        values = dict(measurement.values)
        if log_p:
            high = log_p["high"] if math.isfinite(log_p["high"]) else None
            meaning = MEASURES["log_p"]
            n_real = len(self.holdings.scored)
            values["log_p"] = Value(
                log_p["log_p"], meaning.unit, meaning.better, 0, n_real, log_p["low"], high
            )
        self._write(SiteMeasurement(values, measurement.unmeasured), round)
        self._look(samples)
        return numbers_told(values, self.tell)

    def judge(self, player: Judged, request: Judge, served: Samples | None) -> None:
        """Decide at the site which model is best for it, and write that down there."""
        if self.home is not None:
            judge(self.holdings, player, request, served, self.home.parent)

    def _look(self, samples: Samples) -> None:
        """Write down for the site's own page what its columns and those of samples look like."""
        if self.path is None:
            return
        view = TableView.of(self.holdings.space, {REAL: self.holdings.scored, SAMPLES: samples})
        write_privately(self.path.with_name(f"{file_name(self.name)}{COLUMNS}"), view.json())

    def _write(self, measurement: SiteMeasurement, round: int) -> None:
        if self.path is None:
            return
        line = {
            "round": round,
            "values": {name: value.json() for name, value in measurement.values.items()},
            "unmeasured": dict(measurement.unmeasured),
            "told": sorted(name for name in measurement.values if self.tell.tells(name)),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        drop_from(self.path, round)
        storage.append_privately(self.path, json.dumps(line, ensure_ascii=False) + "\n")


@own_settings(threads=1)
def compared(holdings: Holdings, samples: Samples, request: Measure) -> SiteMeasurement:
    """Compare samples with a site's held-out rows.

    Args:
        holdings: The site's rows.
        samples: What is compared.
        request: Which of coplay's own metrics are asked for, with their settings.
    """
    rows = holdings.scored
    space = holdings.space.only([name for name in holdings.space if name in rows.keys()])
    reference = Reference(space.restrict(rows), None, None, rows, space)
    observed = Observed(space.restrict(samples), reference, held=space.restrict(holdings.train))
    values: dict[str, Value] = {}
    unmeasured: dict[str, str] = {}
    for name in request.metrics:
        kind = find("metric", name)  # the gate lets none but coplay's own pass
        assert issubclass(kind, Metric)
        metric = kind.model_validate_json(request.settings.get(name, "{}"))
        # the words of an error may quote a row, and stay here
        of_metric, reason = measured(metric.aimed(request.target or None), observed)
        values |= of_metric
        if reason:
            unmeasured[name] = reason
    return SiteMeasurement(values, unmeasured)


def numbers_told(values: Mapping[str, Value], tell: Telling) -> dict[str, float]:
    """Return the numbers that leave a site: those that it names, and only what travels.

    How many rows they were measured on is told as the number of rows is, and scores are rounded so
    that it does not follow from them (:meth:`coplay.core.telling.Telling.step_of`); intervals are
    rounded outwards.

    Example:
        >>> value = Value(7 / 12, "", "higher", 100, 57, 0.32, 0.81)
        >>> numbers_told({"utility": value}, Telling())
        {}
        >>> numbers_told({"utility": value}, Telling(count="tens", numbers=("utility",)))
        {'utility': 0.6, 'utility low': 0.3, 'utility high': 0.85, 'utility n': 100.0,
         'utility n_real': 60.0}
    """
    numbers = {}
    for name, value in values.items():
        if name not in MEASURES or not tell.tells(name) or isinstance(value.value, list):
            continue
        if not math.isfinite(value.value):
            continue
        step = tell.step_of(value.n_real) if name in COUNTED else 0.0
        numbers[name] = _rounded(value.value, step, round)
        low = None if value.low is None else _rounded(value.low, step, math.floor)
        high = None if value.high is None else _rounded(value.high, step, math.ceil)
        n = tell.count_of(value.n) if name in OF_REAL_ROWS else value.n
        n_real = tell.count_of(value.n_real)
        for part, number in zip(PARTS, (low, high, n, n_real), strict=True):
            if number is not None:
                numbers[part_name(name, part)] = float(number)
    return numbers


def _rounded(number: float, step: float, towards: Callable[[float], int]) -> float:
    """Return a number at a multiple of a step; as it is without a step."""
    if not step or not math.isfinite(number):
        return float(number)
    steps = round(number / step, 6)  # so that 0.3 / 0.05 is 6 and is not moved to a neighbour
    return round(towards(steps) * step, 6)
