"""Do two convolutional VAEs on disjoint MNIST digits generate the other's digits as often as the theory says?

python reproductions/conv_two_sites/run.py --folder FOLDER     # IDX files of MNIST; writes results/conv_two_sites.json
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import sweep  # noqa: E402

from coplay.cli.sample_file import sample_file  # noqa: E402

SEEDS = (1, 2, 3)
CLASSES = {"low": range(5), "high": range(5, 10)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", required=True, help="four IDX files")
    parser.add_argument(
        "--seed", type=int, action="append", help="only this seed, nothing written; may be repeated"
    )
    given = parser.parse_args()
    folder = str(Path(given.folder).resolve())
    runs = {
        s: sweep.run(HERE / "two_sites.toml", {"data.source.folder": folder, "seed": s})
        for s in given.seed or SEEDS
    }
    own = next(iter(runs.values())).config.game.own_weight
    predicted, players = (1 - own) / (2 - own), {}
    for player, held in CLASSES.items():
        shares = {
            kind: [
                sum(s for c, s in enumerate(r.main.last[player][kind].value) if c not in held)
                for r in runs.values()
            ]
            for kind in ("class_shares", "class_shares_raw")
        }
        players[player] = {
            "other_sites_digits": sweep.spread(shares["class_shares"]),
            "other_sites_digits_raw": sweep.spread(shares["class_shares_raw"]),
            "distance_to_prediction": sweep.spread(
                [r.main.last[player]["distance_to_prediction"].value for r in runs.values()]
            ),
            "fid": sweep.spread([r.main.last[player]["fid"].value for r in runs.values()]),
        }
        print(
            f"{player}: predicted {predicted:.3f}, measured {', '.join(f'{s:.3f}' for s in shares['class_shares'])}"
        )
    if given.seed:
        return
    first = next(iter(runs.values()))
    (HERE / "results").mkdir(exist_ok=True)
    for player in CLASSES:
        sample_file(first.folder, player, None, 100, 0, HERE / "results" / f"{player}.png")
    sweep.save(
        HERE / "results" / "conv_two_sites.json",
        "python reproductions/conv_two_sites/run.py --folder FOLDER",
        {
            "data": "10,000 digits of MNIST: 8,000 dealt out, 2,000 to measure against",
            "seeds": list(runs),
            "samples": first.config.measure.samples,
            "own_weight": own,
            "predicted": predicted,
            "classifier_accuracy": sweep.spread(
                [r.record.classifier.accuracy for r in runs.values()]
            ),
            "seconds": sweep.spread([sweep.seconds(r) for r in runs.values()]),
            "players": players,
        },
    )


if __name__ == "__main__":
    main()
