"""Does play beat the theory's own shortcut, samples of own models mixed by the influence matrix?

Two sites with disjoint 8×8 digits; all games have the same steps, data, seeds and classifier.

python -m reproductions direct                  # everything
python -m reproductions direct --arms "*/0.1"   # one own weight only
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from coplay.core.components import name_of
from coplay.run.result import Result

from ..experiment import HERE, ConfigExperiment, Figures, Runs, Summary, of_run
from ..markdown import difference, listing, table
from ..spreads import other_share, paired, seconds_playing, spread

OWN_WEIGHTS = (0.1, 0.3)
CLASSES = {"low": range(5), "high": range(5, 10)}
FORMS = {
    "sample_exchange": "play",
    "originals": "play with originals",
    "direct_exchange": "direct play",
    "one_shot": "direct play, one exchange",
    "ensemble": "ensemble",
    "isolated": "isolated",
    "pooled": "pooled",
}
"""What the games are called in the table, in its order."""

AGAINST = ("sample_exchange", "originals", "pooled")
"""The games that others are compared with, seed by seed."""


def _arms() -> dict[str, dict[str, Any]]:
    """Return an arm with all games that go together, and one for each that has other settings."""
    arms: dict[str, dict[str, Any]] = {}
    for own in OWN_WEIGHTS:
        weight = {"game.own_weight": own}
        alone: dict[str, Any] = {"compare": []}
        arms[f"games/{own:g}"] = weight
        arms[f"originals/{own:g}"] = {**weight, **alone, "game.originals": True}
        arms[f"one shot/{own:g}"] = {**weight, **alone, "game.name": "direct_exchange"}
        # half of the rounds for own data, as when it is carried along
        arms[f"one shot/{own:g}"] |= {"game.one_shot": True, "game.own_rounds": 10}
    return arms


def _form(result: Result, play: str) -> str:
    """Return the key of :data:`FORMS` of one game of a run."""
    game = result.game(play)
    if getattr(game, "originals", False):
        return "originals"
    if getattr(game, "one_shot", False):
        return "one_shot"
    return name_of("game", game)


def games_table(summary: Summary) -> str:
    """Fréchet distances by game and own weight, with paired differences."""
    columns = ["own weight α", "game", "FID, mean of both sites", "share of the other's digits"]
    columns += ["seconds a player", *(f"against {FORMS[other]}" for other in AGAINST)]
    rows = []
    for cell in summary["cells"]:
        row = [f"{cell['own_weight']:g}", FORMS[cell["form"]]]
        row += [_plus_minus(cell["fid"]["mean"], cell["fid"]["std"])]
        row += [f"{cell['share']['mean']:.3f}", f"{cell['seconds']['mean']:.0f}"]
        for other in AGAINST:
            row.append(difference(cell["against"].get(other)))
        rows.append(row)
    first = summary["cells"][0]
    return (
        f"{table(columns, rows)}\n\n8×8 digits of scikit-learn, {first['samples']:,} samples a "
        f"player, seeds {listing(first['seeds'])}; FID with its standard deviation over seeds, "
        "differences seed by seed with their standard errors. The share that theory predicts is "
        f"(1 − α)/(2 − α). `{EXPERIMENT.command}`."
    )


def _plus_minus(mean: float, deviation: float) -> str:
    return f"{mean:.1f} ± {deviation:.1f}"


class Direct(ConfigExperiment):
    """Play, with and without originals, against direct play and an ensemble."""

    def figures(self, result: Result) -> Figures:
        """Return each game's distances, shares and seconds."""
        assert result.record.classifier is not None
        games = {}
        for name, play in result.plays.items():
            players = {}
            for player, own_classes in CLASSES.items():
                measured = play.last[player]
                players[player] = {
                    "fid": measured["fid"].value,
                    "share": other_share(measured, "class_shares", own_classes),
                }
            seconds = seconds_playing(play.rows) / len(CLASSES)
            games[_form(result, name)] = {"players": players, "seconds": seconds}
        return {**of_run(result), "games": games}

    def collect(self, runs: Runs) -> Summary:
        """Return a cell for each own weight and game, over the seeds that all its runs have."""
        cells = []
        for own in OWN_WEIGHTS:
            by_form = _by_form(runs, f"/{own:g}")
            for form in FORMS:
                if form in by_form:
                    cells.append(_cell(own, form, by_form))
        return {"cells": cells}


ByForm = dict[str, dict[int, Any]]
"""Figures of a game by its form and seed."""


def _by_form(runs: Runs, ending: str) -> ByForm:
    by_form: ByForm = {}
    for arm, by_seed in runs.items():
        if not arm.endswith(ending):
            continue
        for seed, figures in by_seed.items():
            for form, game in figures["games"].items():
                by_form.setdefault(form, {})[seed] = {**game, "samples": figures["samples"]}
    return by_form


def _cell(own: float, form: str, by_form: ByForm) -> dict[str, Any]:
    games = by_form[form]
    seeds = sorted(games)
    against = {}
    for other in AGAINST:
        common = [seed for seed in seeds if seed in by_form.get(other, {})]
        if other != form and common:
            of_other = by_form[other]
            against[other] = paired(
                [_mean(games[seed], "fid") for seed in common],
                [_mean(of_other[seed], "fid") for seed in common],
            )
    return {
        "own_weight": own,
        "form": form,
        "seeds": seeds,
        "samples": games[seeds[0]]["samples"],
        "fid": spread([_mean(games[seed], "fid") for seed in seeds]),
        "share": spread([_mean(games[seed], "share") for seed in seeds]),
        "seconds": spread([games[seed]["seconds"] for seed in seeds]),
        "against": against,
    }


def _mean(game: Mapping[str, Any], quantity: str) -> float:
    """Return the mean of a quantity over both sites."""
    return statistics.fmean(player[quantity] for player in game["players"].values())


EXPERIMENT = Direct(
    name="direct",
    config=HERE / "direct" / "two_sites.toml",
    arms=_arms(),
    seeds=(4, 5, 6, 7, 8),  # the setting was chosen on others
    tables={"direct": games_table},
)
