"""Runs side by side: which arms they form, what was measured in each over the seeds, what it cost, what to beware of.

Runs that differ only in their seed (and in title, name and the games carried along) belong together; each game of theirs
is an arm. Everything here reads what is on disk, so old and unfinished runs take part.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from coplay.comparison import labels
from coplay.core import storage
from coplay.core.errors import RunFolderError
from coplay.report.parts import listed, words
from coplay.run.result import Play, Result

SECONDS = ("learning", "sampling", "exchange", "evaluation", "bookkeeping")
"""Kinds of time that a run books; the first three are play."""


@dataclass(frozen=True)
class Spread:
    """One number per seed.

    Args:
        values: By seed.

    Example:
        >>> found = Spread({1: 2.0, 2: 4.0})
        >>> found.mean, round(found.std, 4), Spread({1: 2.0}).std
        (3.0, 1.4142, None)
    """

    values: Mapping[int, float]

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return math.fsum(self.values.values()) / len(self.values)

    @property
    def std(self) -> float | None:
        """The standard deviation over seeds, with n − 1; None for a single seed, NaN where a value is not finite."""
        if len(self.values) < 2:
            return None
        finite = all(map(math.isfinite, self.values.values()))
        return statistics.stdev(self.values.values()) if finite else math.nan

    def json(self) -> dict[str, Any]:
        """For the record."""
        return {"mean": self.mean, "std": self.std, "seeds": len(self.values), "values": dict(self.values)}


@dataclass(frozen=True)
class Arm:
    """One game under one config, over the seeds.

    Args:
        label: What tells it apart from the other arms.
        settings: The part of the label that comes from the config; empty if all configs agree.
        game: The game's name.
        runs: One per seed, by seed.
    """

    label: str
    settings: str
    game: str
    runs: Mapping[int, Result]

    @cached_property
    def plays(self) -> dict[int, Play]:
        """The game's record by seed."""
        return {seed: run.plays[self.game] for seed, run in self.runs.items()}

    @cached_property
    def quantities(self) -> dict[str, dict[str, Any]]:
        """Measured quantities that are one number, each with a value of it as an example."""
        found: dict[str, dict[str, Any]] = {}
        for play in self.plays.values():
            for values in play.last.values():
                found |= {q: v for q, v in values.items() if q not in found and not isinstance(v["value"], list)}
        return found

    def score(self, quantity: str) -> Spread | None:
        """The mean over players after the last measured round, over seeds; None if nobody measured it."""
        means = {seed: mean_over_players(play.last, quantity) for seed, play in self.plays.items()}
        known = {seed: mean for seed, mean in means.items() if mean is not None}
        return Spread(known) if known else None

    def player_score(self, player: str, quantity: str) -> Spread | None:
        """The same of one player."""
        known = {
            seed: float(play.last[player][quantity]["value"])
            for seed, play in self.plays.items()
            if quantity in play.last.get(player, {})
        }
        return Spread(known) if known else None

    @property
    def players(self) -> list[str]:
        """Everybody who was measured."""
        return list(dict.fromkeys(player for play in self.plays.values() for player in play.last))

    def costs(self) -> dict[str, Spread | None]:
        """What a run of this game cost: payload in bytes by purpose and its parts, seconds by kind, rounds, steps, FLOPs."""
        purposes = dict.fromkeys(["exchange", "evaluation", "checkpoint"])
        told = dict.fromkeys(str(entry["purpose"]) for play in self.plays.values() for entry in play.traffic)
        purposes |= dict.fromkeys(purpose.partition("/")[0] for purpose in told) | told
        kinds = dict.fromkeys(SECONDS)
        kinds |= dict.fromkeys(kind for play in self.plays.values() for row in play.rows for kind in _seconds(row))
        found = {f"bytes_{purpose}": self._spread(partial(_bytes, purpose=purpose)) for purpose in purposes}
        found |= {f"seconds_{kind}": self._spread(partial(_booked, kind=kind)) for kind in kinds}
        found["rounds"] = self._spread(lambda play: len(play.rows))
        steps = {seed: run.section(self.game).get("local_steps") for seed, run in self.runs.items()}
        taken = {s: float(each * len(self.plays[s].rows)) for s, each in steps.items() if each is not None}
        found["steps"] = Spread(taken) if len(taken) == len(steps) else None
        found["flops"] = self._spread(_flops)
        return found

    def _spread(self, of: Callable[[Play], float | None]) -> Spread | None:
        """One number per run; None where a run does not tell."""
        values = {seed: of(play) for seed, play in self.plays.items()}
        known = {seed: float(value) for seed, value in values.items() if value is not None}
        return Spread(known) if len(known) == len(values) else None

    def curve(self, quantity: str) -> dict[str, list[Any]] | None:
        """The mean over players at the rounds that all measured seeds measured, over rounds, bytes and seconds.

        Returns:
            Lists of one length: ``round``; ``bytes`` exchanged and ``seconds`` of play up to its end, as means over
            seeds; ``mean`` and ``std`` (None for a single seed). None if nothing was measured.
        """
        by_seed = {}
        for seed, play in self.plays.items():
            means = {round: mean_over_players(m, quantity) for round, m in play.measurements.items()}
            known = {round: mean for round, mean in means.items() if mean is not None}
            if known:
                by_seed[seed] = known
        rounds = sorted(set.intersection(*(set(known) for known in by_seed.values()))) if by_seed else []
        if not rounds:
            return None
        spreads = [Spread({seed: known[round] for seed, known in by_seed.items()}) for round in rounds]
        bytes_by = [_bytes_by_round(self.runs[seed], self.plays[seed]) for seed in by_seed]
        seconds_by = [_play_seconds_by_round(self.plays[seed]) for seed in by_seed]
        return {
            "round": rounds,
            "bytes": [statistics.fmean(by[round] for by in bytes_by) for round in rounds],
            "seconds": [statistics.fmean(by[round] for by in seconds_by) for round in rounds],
            "mean": [spread.mean for spread in spreads],
            "std": [spread.std for spread in spreads],
        }

    def json(self, quantities: Iterable[str]) -> dict[str, Any]:
        """For the record, per-seed values included."""
        scores = {}
        for q in quantities:
            spread = self.score(q)
            if spread is not None:
                each = {player: self.player_score(player, q) for player in self.players}
                scores[q] = spread.json() | {"players": {name: s.json() for name, s in each.items() if s is not None}}
        return {
            "label": self.label,
            "settings": self.settings,
            "game": self.game,
            "seeds": list(self.runs),
            "folders": [str(run.folder) for run in self.runs.values()],
            "scores": scores,
            "costs": {name: spread.json() if spread else None for name, spread in self.costs().items()},
            "curves": {q: curve for q in quantities if (curve := self.curve(q)) is not None},
        }


@dataclass(frozen=True)
class Comparison:
    """Arms side by side.

    Args:
        arms: In the order of the runs that were given, a run's main game before those it carried along.
        differences: By dotted key of the config, its value by settings; keys that are the same everywhere are left out.
        left_out: What was given and does not count, in sentences.

    Example:
        ``Comparison.load(["runs/a", "runs/b"]).arms[0].score("fid").mean``
    """

    arms: Sequence[Arm]
    differences: Mapping[str, Mapping[str, Any]]
    left_out: Sequence[str] = ()

    @classmethod
    def load(cls, folders: Iterable[str | Path]) -> Comparison:
        """Read runs and sort them into arms.

        Args:
            folders: Of runs; one that is given twice counts once.

        Raises:
            RunFolderError: One of them is no run, or there is none.
        """
        runs = [Result.load(folder) for folder in {Path(f).resolve(): Path(f) for f in folders}.values()]
        if not runs:
            raise RunFolderError("nothing to compare: expected the folder of at least one run")
        flats = labels.settings_of(runs)
        groups: dict[str, list[int]] = {}
        for place, values in enumerate(flats):
            groups.setdefault(json.dumps(values, sort_keys=True), []).append(place)
        configs = [flats[places[0]] for places in groups.values()]
        settings = labels.labels(configs)
        several = any(len(run.plays) > 1 for run in runs)
        named = "game.name" in labels.differing_keys(configs)
        arms, left_out = [], []
        for label, places in zip(settings, groups.values(), strict=True):
            by_seed, doubled = _by_seed([runs[place] for place in places])
            left_out += [f"{label}: {text}" if label else text for text in doubled]
            for game in dict.fromkeys(game for run in by_seed.values() for game in run.plays):
                playing = {seed: run for seed, run in by_seed.items() if game in run.plays}
                said = named and all(run.main.name == game for run in playing.values())  # by the settings
                parts = [label, *([words(game)] if not label or (several and not said) else [])]
                arms.append(Arm(", ".join(part for part in parts if part), label, game, playing))
        differences = {
            key: {label: values.get(key) for label, values in zip(settings, configs, strict=True)}
            for key in labels.differing_keys(configs)
        }
        return cls(arms, differences, left_out)

    @cached_property
    def quantities(self) -> dict[str, dict[str, Any]]:
        """Every quantity of any arm, each with a value of it as an example."""
        found: dict[str, dict[str, Any]] = {}
        for arm in self.arms:
            found |= {q: v for q, v in arm.quantities.items() if q not in found}
        return found

    @cached_property
    def runs(self) -> dict[str, Result]:
        """All runs that count, by folder."""
        return {str(run.folder): run for arm in self.arms for run in arm.runs.values()}

    def values(self) -> list[dict[str, Any]]:
        """One record per run, game, player and quantity of the last measurement."""
        return [
            {
                "arm": arm.label,
                "run": str(run.folder),
                "seed": seed,
                "status": run.record["status"],
                "game": arm.game,
                "player": player,
                "metric": quantity,
                "round": max(arm.plays[seed].measurements),
                **{key: value.get(key) for key in ("value", "low", "high", "unit", "better", "n", "n_real")},
            }
            for arm in self.arms
            for seed, run in arm.runs.items()
            for player, measured in arm.plays[seed].last.items()
            for quantity, value in measured.items()
            if not isinstance(value["value"], list)
        ]

    def notes(self) -> list[dict[str, Any]]:
        """What a reader must know before comparing: sentences, each with the quantities it concerns."""
        found = [{"text": text, "metrics": []} for text in self.left_out]
        for build in (_unfinished, _rounds, _counts, _data, _reference, _measured, _players, _versions):
            found += [{"text": text, "metrics": metrics} for text, metrics in build(self)]
        return found

    def data(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return {
            "differences": {key: dict(values) for key, values in self.differences.items()},
            "notes": self.notes(),
            "metrics": {q: {"unit": v["unit"], "better": v["better"]} for q, v in self.quantities.items()},
            "runs": [
                {
                    "folder": folder,
                    "title": run.record["config"]["title"],
                    "seed": run.record["config"]["seed"],
                    "status": run.record["status"],
                    "rounds": {game: len(play.rows) for game, play in run.plays.items()},
                    "data": run.record["data"]["name"],
                    "classifier": run.record.get("classifier"),
                    "versions": run.record["versions"],
                }
                for folder, run in self.runs.items()
            ],
            "arms": [arm.json(self.quantities) for arm in self.arms],
            "values": self.values(),
        }


# ------------------------------------------------------------------------------------------------ numbers of a run


def mean_over_players(measured: Mapping[str, Mapping[str, Any]], quantity: str) -> float | None:
    """The mean over those, players or seats, of whom a quantity was measured; None if nobody.

    Example:
        >>> mean_over_players({"a": {"fid": {"value": 2.0}}, "b": {"fid": {"value": 4.0}}}, "fid")
        3.0
    """
    values = [v[quantity]["value"] for v in measured.values() if quantity in v]
    return math.fsum(values) / len(values) if values else None


def _seconds(row: Mapping[str, Any]) -> dict[str, float]:
    return dict(row.get("seconds", {}))


def _bytes(play: Play, purpose: str) -> float:
    """Payload of a purpose and of its parts, ``purpose/part``."""
    return sum(e["bytes"] for e in play.traffic if e["purpose"] == purpose or e["purpose"].startswith(purpose + "/"))


def _booked(play: Play, kind: str) -> float:
    return math.fsum(_seconds(row).get(kind, 0.0) for row in play.rows)


def _flops(play: Play) -> float | None:
    """FLOPs of all players, if the rows tell."""
    told = [numbers["flops"] for row in play.rows for numbers in row.get("players", {}).values() if "flops" in numbers]
    return math.fsum(told) if told else None


def _play_seconds_by_round(play: Play) -> dict[int, float]:
    """Seconds of learning, sampling and exchange up to the end of each round."""
    spent = (math.fsum(_seconds(row).get(kind, 0.0) for kind in SECONDS[:3]) for row in play.rows)
    return dict(zip((row["round"] for row in play.rows), itertools.accumulate(spent), strict=True))


def _bytes_by_round(run: Result, play: Play) -> dict[int, float]:
    """Payload exchanged up to the end of each round.

    Rows say it; for a run older than that, the ledger's sum is spread evenly over the rounds in which players listen.
    """
    if play.rows and all("bytes" in row for row in play.rows):
        sums = itertools.accumulate(row["bytes"] for row in play.rows)
        return {row["round"]: float(total) for row, total in zip(play.rows, sums, strict=True)}
    game = run.record["config"]["game"]
    alone = int(game.get("own_rounds", 0)) if play.name == run.main.name else 0
    record = storage.last_checkpoint(play.folder)
    done = int(record["round"]) if record else 0
    alone = alone if alone < done else 0
    each = _bytes(play, "exchange") / max(1, done - alone)
    return {row["round"]: each * max(0, row["round"] - alone) for row in play.rows}


# ------------------------------------------------------------------------------------------------------- seeds


def _by_seed(runs: Sequence[Result]) -> tuple[dict[int, Result], list[str]]:
    """One run per seed, the one that came furthest, and what is said of the others."""
    found: dict[int, Result] = {}
    doubled = []
    for run in sorted(
        runs, key=lambda r: (r.record["status"] != "finished", -sum(len(p.rows) for p in r.plays.values()))
    ):
        seed = int(run.record["config"]["seed"])
        if seed in found:
            doubled.append(
                f"seed {seed} was run twice; {run.folder} is left out beside {found[seed].folder}, so that no seed counts "
                "more than another"
            )
        else:
            found[seed] = run
    return dict(sorted(found.items())), doubled


# ---------------------------------------------------------------------------------------------------------- notes

Notes = list[tuple[str, list[str]]]


def _unfinished(comparison: Comparison) -> Notes:
    found: Notes = []
    for folder, run in comparison.runs.items():
        if run.record["status"] != "finished":
            done = ", ".join(f"{len(play.rows)} rounds of {words(name)}" for name, play in run.plays.items())
            why = f": {run.record['reason']}" if "reason" in run.record else ""
            found.append(
                (f"{folder} is not finished ({run.record['status']}{why}); it counts as far as it got: {done}", [])
            )
    for arm in comparison.arms:
        silent = [str(seed) for seed, play in arm.plays.items() if not play.last]
        if silent:
            who = f"seed{'s' if len(silent) > 1 else ''} {listed(silent)}"
            found.append((f"{arm.label}: nothing was measured with {who}", []))
    return found


def _rounds(comparison: Comparison) -> Notes:
    rounds = {max(p.measurements) for arm in comparison.arms for p in arm.plays.values() if p.measurements}
    if len(rounds) < 2:
        return []
    each = {arm.label: {max(p.measurements) for p in arm.plays.values() if p.measurements} for arm in comparison.arms}
    told = "; ".join(f"{label}: {listed(map(str, sorted(found)))}" for label, found in each.items() if found)
    return [(f"last measured after different rounds ({told}), not comparable", list(comparison.quantities))]


def _counts(comparison: Comparison) -> Notes:
    """Different sample counts or units of one quantity, for one player or between arms."""
    found: Notes = []
    records = comparison.values()
    for q in comparison.quantities:
        own = [record for record in records if record["metric"] == q]
        for key, what in (("n", "samples"), ("n_real", "real samples"), ("unit", "")):
            by_player: dict[str, set[Any]] = {}
            by_arm: dict[str, set[Any]] = {}
            for record in own:
                by_player.setdefault(record["player"], set()).add(record[key])
                by_arm.setdefault(record["arm"], set()).add(record[key])
            alike = all(len(values) == 1 for values in by_player.values())
            if not alike or any(values != next(iter(by_arm.values())) for values in by_arm.values()):
                values = sorted({record[key] for record in own})
                shown = [f"{value:,}" if isinstance(value, int) else str(value) for value in values]
                told = listed(shown) if len(shown) < 4 else f"{shown[0]} to {shown[-1]}"
                found.append((f"{words(q)}: {told} {what}".rstrip() + ", not comparable", [q]))
    return found


def _data(comparison: Comparison) -> Notes:
    """Different sources or variables."""
    keys = ("name", "train", "test", "space")
    different = {json.dumps([run.record["data"].get(key) for key in keys]) for run in comparison.runs.values()}
    sources = [key for key in comparison.differences if key.startswith(("data.source.", "data.variables"))]
    if len(different) < 2 and not sources:
        return []
    names = [
        f"{data['name']} ({data['train']:,} training and {data['test']:,} test samples)"
        for data in (run.record["data"] for run in comparison.runs.values())
    ]
    told = (
        listed(dict.fromkeys(names))
        if len(set(names)) > 1
        else f"{names[0]}, but {listed(sources) or 'variables'} differ"
    )
    return [(f"different data: {told}; no score is comparable between them", list(comparison.quantities))]


def _reference(comparison: Comparison) -> Notes:
    """Different domain classifiers, or different settings of measuring."""
    found: Notes = []
    everything = list(comparison.quantities)
    counted = (
        "measure.metrics",
        "measure.every_rounds",
        "measure.samples",
        "measure.shown",
    )  # told elsewhere, or no matter
    settings = [key for key in comparison.differences if key.startswith("measure.") and key not in counted]
    if settings:
        found.append(
            (f"measured differently: {listed(settings)}; scores that this touches are not comparable", everything)
        )
    by_settings: dict[str, dict[int, str]] = {}
    for arm in comparison.arms:
        told = {seed: _fingerprint(run) for seed, run in arm.runs.items()}
        by_settings.setdefault(arm.settings, {}).update({seed: mark for seed, mark in told.items() if mark})
    prints = {label: by_seed for label, by_seed in by_settings.items() if by_seed}
    if not prints:
        return found
    shared = sorted(set.intersection(*(set(by_seed) for by_seed in prints.values())))
    unlike = [seed for seed in shared if len({by_seed[seed] for by_seed in prints.values()}) > 1]
    if unlike:
        seeds = f"seed{'s' if len(unlike) > 1 else ''} {listed(map(str, unlike))}"
        text = f"{seeds}: arms were measured with different domain classifiers; scores are not comparable"
        found.append((text, everything))
    elif any(len(by_seed) > len(shared) for by_seed in prints.values()):
        told_seeds = "; ".join(f"{label or 'all'}: {listed(map(str, by_seed))}" for label, by_seed in prints.items())
        text = f"arms have different seeds ({told_seeds}), and each seed has a domain classifier of its own"
        found.append((text, everything))
    elif len(shared) > 1:
        classifiers = [run.record["classifier"] for run in comparison.runs.values() if run.record.get("classifier")]
        right = [classifier["accuracy"] for classifier in classifiers]
        text = (
            f"each seed has a domain classifier of its own, the same in all arms: right on {min(right):.1%} to "
            f"{max(right):.1%} of {classifiers[0]['n_test']:,} real test samples"
        )
        found.append((text, []))
    return found


def _fingerprint(run: Result) -> str:
    """What tells a run's domain classifier from another; empty if it has none."""
    if not run.record.get("classifier"):
        return ""
    path = run.folder / "classifier.safetensors"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else json.dumps(run.record["classifier"])


def _single(run: Result, game: str) -> str | None:
    """Whose model a game measures, if it measures but one where there are several players: a server's, say."""
    who = run.measured[game]
    return who[0] if len(who) == 1 and len(run.players) > 1 else None


def _measured(comparison: Comparison) -> Notes:
    """Single models beside means over players; both say how good a model is, so their scores compare."""
    single = {
        arm.label: listed(dict.fromkeys(who for run in arm.runs.values() if (who := _single(run, arm.game))))
        for arm in comparison.arms
        if all(_single(run, arm.game) for run in arm.runs.values())
    }
    if not single:
        return []
    told = "; ".join(f"{label}: {who}" for label, who in single.items())
    rest = "; the others are means over players" if len(single) < len(comparison.arms) else ""
    return [(f"scores of a single model ({told}){rest}", [])]


def _players(comparison: Comparison) -> Notes:
    """Means over different players."""
    found: dict[str, list[str]] = {}
    for q in comparison.quantities:
        groups: dict[tuple[str, ...], str] = {}
        for arm in comparison.arms:
            for seed, play in arm.plays.items():
                who = tuple(sorted(player for player, values in play.last.items() if q in values))
                if who and not _single(arm.runs[seed], arm.game):
                    groups.setdefault(who, arm.label)
        if len(groups) > 1:
            told = "; ".join(f"{label}: {', '.join(who)}" for who, label in groups.items())
            found.setdefault(told, []).append(q)
    return [
        (f"{listed(map(words, metrics))}: means over different players ({told}), not comparable", metrics)
        for told, metrics in found.items()
    ]


def _versions(comparison: Comparison) -> Notes:
    found: Notes = []
    records = [run.record["versions"] for run in comparison.runs.values()]
    for key in dict.fromkeys(key for record in records for key in record):
        values = dict.fromkeys(str(record.get(key, "not recorded")) for record in records)
        if len(values) > 1:
            found.append((f"runs were made with different {key}: {listed(values)}", []))
    return found
