"""What a site measures of its samples, on its own held-out rows, and what it tells of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from coplay.core import storage
from coplay.core.components import find
from coplay.core.inside import file_name
from coplay.core.measures import MEASURES, OF_REAL_ROWS, PARTS, part_name
from coplay.core.number_log import drop_from
from coplay.core.space import Samples
from coplay.core.surroundings import own_settings
from coplay.core.telling import Telling
from coplay.metrics.base import Metric, Observed, Reference, Value, measured
from coplay.site.holdings import Holdings

FOLDER = "site"
"""Folder, in that of a game, of what players measured themselves; each file is its player's own."""

REPORTED = ".numbers.jsonl"
"""How the file ends, beside that of what was measured, of what a player's model reported."""


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
        home: The game's folder; None where nothing is written.
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
        metrics: Sequence[str],
        target: str,
        log_p: Mapping[str, float],
        round: int,
    ) -> dict[str, float]:
        """Measure, write everything down at the site, and return what leaves it.

        Args:
            samples: Samples of the site's model.
            metrics: Names of coplay's own metrics.
            target: The variable to be predicted; empty for the class.
            log_p: Log p of the held-out rows by the model, with its interval; empty without.
            round: Current round.
        """
        measurement = compared(self.holdings, samples, metrics, target)
        values = dict(measurement.values)
        if log_p:
            high = log_p["high"] if math.isfinite(log_p["high"]) else None
            meaning = MEASURES["log_p"]
            n_real = len(self.holdings.scored)
            values["log_p"] = Value(
                log_p["log_p"], meaning.unit, meaning.better, 0, n_real, log_p["low"], high
            )
        self._write(SiteMeasurement(values, measurement.unmeasured), round)
        return numbers_told(values, self.tell)

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
def compared(
    holdings: Holdings, samples: Samples, metrics: Sequence[str], target: str
) -> SiteMeasurement:
    """Compare samples with a site's held-out rows.

    Args:
        holdings: The site's rows.
        samples: What is compared.
        metrics: Names of coplay's own metrics.
        target: The variable to be predicted; empty for the class.
    """
    rows = holdings.scored
    space = holdings.space.only([name for name in holdings.space if name in rows.keys()])
    reference = Reference(space.restrict(rows), None, None, rows, space)
    observed = Observed(space.restrict(samples), reference, held=space.restrict(holdings.train))
    values: dict[str, Value] = {}
    unmeasured: dict[str, str] = {}
    for name in metrics:
        metric = find("metric", name)  # the gate lets none but coplay's own pass
        assert issubclass(metric, Metric)
        # the words of an error may quote a row, and stay here
        of_metric, reason = measured(metric().aimed(target or None), observed)
        values |= of_metric
        if reason:
            unmeasured[name] = reason
    return SiteMeasurement(values, unmeasured)


def numbers_told(values: Mapping[str, Value], tell: Telling) -> dict[str, float]:
    """Return the numbers that leave a site: those that it names, and only what travels.

    How many rows they were measured on is told as the number of rows is.

    Example:
        >>> value = Value(0.9, "", "higher", 100, 57, 0.8, 0.95)
        >>> numbers_told({"utility": value}, Telling())
        {}
        >>> numbers_told({"utility": value}, Telling(count="tens", numbers=("utility",)))
        {'utility': 0.9, 'utility low': 0.8, 'utility high': 0.95, 'utility n': 100.0,
         'utility n_real': 60.0}
    """
    numbers = {}
    for name, value in values.items():
        if name not in MEASURES or not tell.tells(name) or isinstance(value.value, list):
            continue
        if not math.isfinite(value.value):
            continue
        numbers[name] = float(value.value)
        n = tell.count_of(value.n) if name in OF_REAL_ROWS else value.n
        n_real = tell.count_of(value.n_real)
        for part, number in zip(PARTS, (value.low, value.high, n, n_real), strict=True):
            if number is not None:
                numbers[part_name(name, part)] = float(number)
    return numbers
