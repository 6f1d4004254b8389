"""Do two convolutional VAEs on disjoint digits generate the other's as often as theory says?

python -m reproductions conv_two_sites --folder FOLDER     # IDX files of MNIST
"""

from __future__ import annotations

from coplay.cli.sample_file import sample_file
from coplay.run.result import Result

from ..experiment import HERE, ConfigExperiment, Figures, Runs, Summary, of_run
from ..markdown import format_spread, listing, table
from ..spreads import other_share, seconds_of_run, spread

CLASSES = {"low": range(5), "high": range(5, 10)}
QUANTITIES = ("other_sites_digits", "other_sites_digits_raw", "distance_to_prediction", "fid")


def sites_table(summary: Summary) -> str:
    """Measured shares of the other site's digits, by site."""
    rows = []
    for name, player in summary["players"].items():
        measured = [format_spread(player[quantity]) for quantity in QUANTITIES[:-1]]
        fid = f"{player['fid']['mean']:.0f}"
        rows.append([name, f"{summary['predicted']:.3f}", *measured, fid])
    columns = ["site", "predicted share of the other's digits", "measured", "raw"]
    text = table([*columns, "distance to prediction", "FID"], rows)
    return (
        f"{text}\n\n{summary['data']}; {summary['samples']:,} samples a player, "
        f"seeds {listing(summary['seeds'])}; domain classifier right on "
        f"{summary['classifier_accuracy']['mean']:.1%}; "
        f"{summary['seconds']['mean'] / 60:.0f} minutes a run. `{EXPERIMENT.command}`."
    )


class ConvTwoSites(ConfigExperiment):
    """Two sites, disjoint MNIST digits, convolutional VAEs."""

    def figures(self, result: Result) -> Figures:
        """Return each player's share of the classes that it does not hold; draw its samples."""
        assert result.record.classifier is not None
        players = {}
        for player, own_classes in CLASSES.items():
            measured = result.main.last[player]
            players[player] = {
                "other_sites_digits": other_share(measured, "class_shares", own_classes),
                "other_sites_digits_raw": other_share(measured, "class_shares_raw", own_classes),
                "distance_to_prediction": measured["distance_to_prediction"].value,
                "fid": measured["fid"].value,
            }
            picture = result.folder / f"{player}.png"
            sample_file(result.folder, player, None, 100, 0, picture)
        return {
            **of_run(result),
            "own_weight": result.config.game.own_weight,  # type: ignore[attr-defined]
            "classifier_accuracy": result.record.classifier.accuracy,
            "seconds": seconds_of_run(result),
            "players": players,
        }

    def collect(self, runs: Runs) -> Summary:
        """Return means over seeds."""
        by_seed = runs["two_sites"]
        each = list(by_seed.values())
        own = each[0]["own_weight"]
        players = {}
        for player in CLASSES:
            measured = {}
            for quantity in QUANTITIES:
                measured[quantity] = spread([run["players"][player][quantity] for run in each])
            players[player] = measured
        return {
            "data": "10,000 digits of MNIST: 8,000 dealt out, 2,000 to measure against",
            "seeds": list(by_seed),
            "samples": each[0]["samples"],
            "own_weight": own,
            "predicted": (1 - own) / (2 - own),
            "classifier_accuracy": spread([run["classifier_accuracy"] for run in each]),
            "seconds": spread([run["seconds"] for run in each]),
            "players": players,
        }


EXPERIMENT = ConvTwoSites(
    name="conv_two_sites",
    config=HERE / "conv_two_sites" / "two_sites.toml",
    arms={"two_sites": {}},
    data={"*": "four IDX files of MNIST"},
    pictures={f"{player}.png": f"two_sites-1/{player}.png" for player in CLASSES},
    tables={"conv_two_sites": sites_table},
)
