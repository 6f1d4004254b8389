"""Write the figures of the READMEs from the JSON results, between markers; ``--check`` only compares.

python reproductions/fill_readme.py
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
READMES = [ROOT / "README.md", *sorted((ROOT / "reproductions").glob("*/README.md"))]


def load(path: str) -> dict:
    return json.loads((ROOT / path).read_text())


def spread(values: dict, digits: int = 3) -> str:
    return f"{values['mean']:.{digits}f} ± {values['std']:.{digits}f}"


def digits_four_sites() -> str:
    found = load("reproductions/digits_four_sites/results/digits_four_sites.json")
    lines = [
        "| player | model | FID: playing | isolated | pooled | total variation to the predicted class shares |",
        "|---|---|---|---|---|---|",
    ]
    for name, player in found["players"].items():
        fid = [f"{player['fid'][game]['mean']:.0f}" for game in ("sample_exchange", "isolated", "pooled")]
        lines.append(f"| {name} | {player['model']} | {' | '.join(fid)} | {spread(player['distance_to_prediction'])} |")
    accuracy = found["classifier_accuracy"]["mean"]
    lines.append(
        f"\nFID is on the features of a classifier that is right on {accuracy:.1%} of 497 real test digits, so it compares only "
        f"within this table. `{found['command']}`, seeds {', '.join(map(str, found['seeds']))}."
    )
    return "\n".join(lines)


def four_sites_verdict() -> str:
    found = load("reproductions/digits_four_sites/results/digits_four_sites.json")
    lines = [
        "| player | distance to prediction (bar 0.15) | isolated: share of its theoretical distance (bar 0.9) "
        "| scarcest unseen class, measured / predicted: mean of seeds (bar 0.5) | worst seed |",
        "|---|---|---|---|---|",
    ]
    for name, player in found["players"].items():
        ratios = player["unseen_class_measured_over_predicted"]
        mean, worst = (min(ratios[kind].values()) for kind in ("mean", "lowest_of_seeds"))
        alone = spread(player["isolated_share_of_theoretical_distance"], 2)
        lines.append(f"| {name} | {spread(player['distance_to_prediction'])} | {alone} | {mean:.2f} | {worst:.2f} |")
    return "\n".join(lines)


def digits_two_sites() -> str:
    found = load("reproductions/digits_two_sites/results/digits_two_sites.json")
    lines = ["| own weight α | predicted | site with 0–4 | site with 5–9 |", "|---|---|---|---|"]
    for own in dict.fromkeys(cell["own_weight"] for cell in found["cells"]):
        low, high = (c for c in found["cells"] if c["own_weight"] == own)
        lines.append(f"| {own:g} | {low['predicted']:.3f} | {spread(low['corrected'])} | {spread(high['corrected'])} |")
    samples = found["cells"][0]["samples"]
    seeds = ", ".join(map(str, found["cells"][0]["seeds"]))
    lines.append(f"\n{found['data']}; {samples} samples a player and seed, seeds {seeds}. `{found['command']}`.")
    return "\n".join(lines)


def benchmarks() -> str:
    theory, cost, imports = (
        load(f"benchmarks/results/{name}.json") for name in ("theory", "round_cost", "import_time")
    )
    many, parts = theory["many_players"], cost["parts"]
    ratios = theory["contraction"]["ratio_to_spectral_radius"]
    shares = ", ".join(f"{name} {part['share']:.1%}" for name, part in parts.items())
    load_ratio = imports["statements"]["coplay, every public name"]["ratio"]
    return "\n".join(
        [
            f"- Late rounds contract at {min(ratios):.3f} to {max(ratios):.3f} of the spectral radius.",
            f"- The error of sampled play falls as n^{theory['fluctuation']['slope']:.2f} in the samples a round.",
            f"- Equilibrium of 100,000 players with 10 neighbours each: {many['seconds']:.1f} s, "
            f"residual {many['residual']:.0e}, {many['peak_process_gib']:.2f} GiB.",
            f"- A round of the demo takes {sum(p['seconds_per_round'] for p in parts.values()):.2f} s: {shares}.",
            f"- Importing every public name takes {load_ratio:.2f} × `import torch, tensordict`.",
        ]
    )


def joint_classifier() -> str:
    found = load("reproductions/joint_classifier/results/joint_classifier.json")
    lines = [
        "| data | test accuracy, joint | classifier alone | points lost | seconds, joint |",
        "|---|---|---|---|---|",
    ]
    for name, d in found["data"].items():
        accuracy = [f"{100 * d[k]['mean']:.2f} ± {100 * d[k]['std']:.2f} %" for k in ("joint", "alone")]
        lines.append(
            f"| {name} ({d['train']:,} / {d['test']:,}) | {' | '.join(accuracy)} | {spread(d['points_lost'], 2)} "
            f"| {d['seconds']['mean']:.0f} |"
        )
    first = next(iter(found["data"].values()))
    seeds = ", ".join(map(str, found["seeds"]))
    lines.append(f"\n{first['steps']:,} steps, seeds {seeds}; mean ± standard deviation. `{found['command']}`.")
    return "\n".join(lines)


def conv_two_sites() -> str:
    found = load("reproductions/conv_two_sites/results/conv_two_sites.json")
    lines = [
        "| site | predicted share of the other's digits | measured | raw | distance to prediction | FID |",
        "|---|---|---|---|---|---|",
    ]
    for name, p in found["players"].items():
        both = [spread(p[k]) for k in ("other_sites_digits", "other_sites_digits_raw", "distance_to_prediction")]
        lines.append(f"| {name} | {found['predicted']:.3f} | {' | '.join(both)} | {p['fid']['mean']:.0f} |")
    seeds = ", ".join(map(str, found["seeds"]))
    lines.append(
        f"\n{found['data']}; {found['samples']:,} samples a player, seeds {seeds}; domain classifier right on "
        f"{found['classifier_accuracy']['mean']:.1%}; {found['seconds']['mean'] / 60:.0f} minutes a run. `{found['command']}`."
    )
    return "\n".join(lines)


def levers() -> str:
    found, times = (load(f"benchmarks/results/{name}.json") for name in ("levers", "step_time"))
    lines = ["| lever | measured | off | on |", "|---|---|---|---|"]
    for name, quantities in found["levers"].items():
        for key, row in quantities.items():
            lines.append(f"| {name} | {key.replace('_', ' ')} | {spread(row['off'], 2)} | {spread(row['on'], 2)} |")
    lines.append(
        f"\n{found['data']}, {found['samples']:,} samples, {len(found['seeds'])} seeds. `{found['command']}`.\n"
    )
    variants = list(next(iter(times["models"].values())))
    lines += [f"| one step, batch 100, 28×28 | {' | '.join(variants)} |", "|---" * (len(variants) + 1) + "|"]
    for name, rows in times["models"].items():
        cells = [f"{1000 * r['median_seconds']:.0f} ms, {r['ratio']:.2f} ×" for r in rows.values()]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    lines.append(f"\nMedians of {times['turns']} alternating turns, one thread. `{times['command']}`.")
    return "\n".join(lines)


BLOCKS = (
    digits_four_sites, four_sites_verdict, digits_two_sites, benchmarks, joint_classifier, conv_two_sites, levers,
)  # fmt: skip


def filled(text: str) -> str:
    for block in BLOCKS:
        if f"<!-- {block.__name__} -->" not in text:
            continue
        marker = f"<!-- {block.__name__} -->"
        end = f"<!-- end of {block.__name__} -->"
        text = re.sub(rf"{marker}.*?{end}", marker, text, flags=re.S)
        text = text.replace(marker, f"{marker}\n{block()}\n{end}")
    return text


if __name__ == "__main__":
    for readme in READMES:
        now = readme.read_text()
        if "--check" not in sys.argv:
            readme.write_text(filled(now))
        elif filled(now) != now:
            sys.exit(f"{readme} is not what the results say; run: python reproductions/fill_readme.py")
