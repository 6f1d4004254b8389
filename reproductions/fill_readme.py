"""Write the figures of the READMEs from the JSON results, between markers; ``--check`` only compares.

python reproductions/fill_readme.py
"""

from __future__ import annotations

import json
import re
import sys
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
READMES = [ROOT / "README.md", *sorted((ROOT / "reproductions").glob("*/README.md"))]


def load(path: str) -> dict:
    return json.loads((ROOT / path).read_text())


def spread(values: dict, digits: int = 3) -> str:
    """Mean and standard deviation; of a single run there is none."""
    mean = f"{values['mean']:.{digits}f}"
    return (
        mean if len(values.get("values", (0, 0))) == 1 else f"{mean} ± {values['std']:.{digits}f}"
    )


def digits_four_sites() -> str:
    found = load("reproductions/digits_four_sites/results/digits_four_sites.json")
    lines = [
        "| player | model | FID: playing | isolated | pooled | total variation to the predicted class shares |",
        "|---|---|---|---|---|---|",
    ]
    for name, player in found["players"].items():
        fid = [
            f"{player['fid'][game]['mean']:.0f}"
            for game in ("sample_exchange", "isolated", "pooled")
        ]
        lines.append(
            f"| {name} | {player['model']} | {' | '.join(fid)} | {spread(player['distance_to_prediction'])} |"
        )
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
        lines.append(
            f"| {name} | {spread(player['distance_to_prediction'])} | {alone} | {mean:.2f} | {worst:.2f} |"
        )
    return "\n".join(lines)


def digits_two_sites() -> str:
    found = load("reproductions/digits_two_sites/results/digits_two_sites.json")
    lines = ["| own weight α | predicted | site with 0–4 | site with 5–9 |", "|---|---|---|---|"]
    for own in dict.fromkeys(cell["own_weight"] for cell in found["cells"]):
        low, high = (c for c in found["cells"] if c["own_weight"] == own)
        lines.append(
            f"| {own:g} | {low['predicted']:.3f} | {spread(low['corrected'])} | {spread(high['corrected'])} |"
        )
    samples = found["cells"][0]["samples"]
    seeds = ", ".join(map(str, found["cells"][0]["seeds"]))
    lines.append(
        f"\n{found['data']}; {samples} samples a player and seed, seeds {seeds}. `{found['command']}`."
    )
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


def points(difference: dict, digits: int, named: bool = True) -> str:
    """A difference of accuracies in percentage points; bare numbers if a table names them."""
    error = difference["standard_error"]
    around = "" if error is None else f" ± {100 * error:.{digits}f}{' (standard error)' * named}"
    return f"{100 * difference['mean']:+.{digits}f}{around}{' points' * named}"


def joint_classifier() -> str:
    found = load("reproductions/joint_classifier/results/joint_classifier.json")
    lines = [
        "| data | test accuracy, joint | classifier alone | points lost | seconds, joint |",
        "|---|---|---|---|---|",
    ]
    for name, d in found["data"].items():
        accuracy = [
            f"{100 * d[k]['mean']:.2f} ± {100 * d[k]['std']:.2f} %" for k in ("joint", "alone")
        ]
        lines.append(
            f"| {name} ({d['train']:,} / {d['test']:,}) | {' | '.join(accuracy)} | {spread(d['points_lost'], 2)} "
            f"| {d['seconds']['mean']:.0f} |"
        )
    first = next(iter(found["data"].values()))
    seeds = ", ".join(map(str, found["seeds"]))
    lines.append(
        f"\n{first['steps']:,} steps, seeds {seeds}; mean ± standard deviation. `{found['command']}`."
    )
    return "\n".join(lines)


def conv_two_sites() -> str:
    found = load("reproductions/conv_two_sites/results/conv_two_sites.json")
    lines = [
        "| site | predicted share of the other's digits | measured | raw | distance to prediction | FID |",
        "|---|---|---|---|---|---|",
    ]
    for name, p in found["players"].items():
        both = [
            spread(p[k])
            for k in ("other_sites_digits", "other_sites_digits_raw", "distance_to_prediction")
        ]
        lines.append(
            f"| {name} | {found['predicted']:.3f} | {' | '.join(both)} | {p['fid']['mean']:.0f} |"
        )
    seeds = ", ".join(map(str, found["seeds"]))
    lines.append(
        f"\n{found['data']}; {found['samples']:,} samples a player, seeds {seeds}; domain classifier right on "
        f"{found['classifier_accuracy']['mean']:.1%}; {found['seconds']['mean'] / 60:.0f} minutes a run. `{found['command']}`."
    )
    return "\n".join(lines)


def md_gan(part: str) -> str:
    path = f"reproductions/md_gan/results/{part}.json"
    if not (ROOT / path).exists():
        return "Not played yet."
    found = load(path)
    lines = [
        "| method | generator updates | seeds | accuracy, trained on synthetic | of the running mean | FID | domain score |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, m in found["methods"].items():
        accuracy = "trained_on_synthetic_accuracy"
        cells = [
            spread(m[accuracy]),
            spread(m[f"{accuracy}_of_running_mean"]),
            spread(m["fid"], 1),
            spread(m["domain_score"], 2),
        ]
        seeds = ", ".join(map(str, m["seeds"]))
        lines.append(f"| {name} | {m['iterations']:,} | {seeds} | {' | '.join(cells)} |")
    counts = found["samples"]
    lines.append(
        f"\n{found['data']}. Accuracy on all real test images of a classifier trained on "
        f"{counts['trained_on_synthetic_accuracy']:,} generated ones; FID and score on {counts['fid']:,}, drawn from the running "
        f"mean. Mean ± standard deviation over seeds. `{found['command']}`."
    )
    return "\n".join(lines)


def md_gan_crashes() -> str:
    """What the whole run gave, then the scores after each loss: the run is measured where a worker has just left."""
    path = "reproductions/md_gan/results/crashes.json"
    if not (ROOT / path).exists():
        return "Not played yet."
    (run,) = load(path)["methods"].values()
    calm = load("reproductions/md_gan/results/iid.json")["methods"]["md_gan"]
    calm = calm["fid_by_iteration"][calm["seeds"].index(run["seeds"][0])]
    lines = [
        "| iteration | workers left | FID | FID where nobody leaves, same seed | domain score | classes drawn |",
        "|---|---|---|---|---|---|",
    ]
    curves = [
        run[f"{quantity}_by_iteration"][0] for quantity in ("fid", "domain_score", "mode_cover")
    ]
    for gone, iteration in enumerate(curves[0], 1):
        fid, score, modes = (curve[iteration] for curve in curves)
        cells = (f"{fid:.1f}", f"{calm[iteration]:.1f}", f"{score:.2f}", f"{modes:.0f}")
        lines.append(f"| {int(iteration):,} | {len(run['lost']) - gone} | {' | '.join(cells)} |")
    return md_gan("crashes") + "\n\n" + "\n".join(lines)


def md_gan_costs() -> str:
    path = "benchmarks/results/md_gan.json"
    if not (ROOT / path).exists():
        return "Not measured yet."
    found = load(path)
    lines = [
        "| one iteration, N = 10 | coplay | straightforward loop | ratio |",
        "|---|---|---|---|",
    ]
    for name, c in found["iteration"].items():
        lines.append(
            f"| {name} | {1000 * c['coplay_seconds']:.0f} ms | {1000 * c['straightforward_seconds']:.0f} ms | {c['ratio']:.2f} |"
        )
    work = ", ".join(
        f"{k}: {v['worker, md_gan / fl_gan']:.3f}"
        for k, v in found["flops_per_generator_update"].items()
    )
    memory = found["peak_bytes"]
    shares = ", ".join(f"{v:.0%} ({k})" for k, v in found["share_of_gemm_rate"].items())
    lines += [
        "",
        f"- A worker's operations per generator update, MD-GAN over FL-GAN: {work}.",
        "- Peak memory, MD-GAN over FL-GAN: "
        + ", ".join(
            f"{role} {n} {memory[f'md_gan {role}, {n}'] / memory[f'fl_gan {role}, {n}']:.2f}"
            for role in ("worker", "server")
            for n in ("mlp", "cnn")
        )
        + ".",
        f"- Time over N = 10 … 200 grows as N^{found['over_workers']['exponent']:.2f}.",
        f"- Share of this machine's matrix-product rate: {shares}.",
        f"\n{found['threads']} threads, medians of {found['turns']} alternating turns. `{found['command']}`.",
    ]
    return "\n".join(lines)


def mnist_two_sites() -> str:
    path = "reproductions/mnist_two_sites/results/two_sites.json"
    if not (ROOT / path).exists():
        return "Not played yet."
    found, sites = load(path), ("low", "high")
    lines = [
        "| what travels | own weight α | seeds | share of the other's digits: predicted | site with 0–4 | site with 5–9 "
        "| FID to all digits | to own | to the other's |",
        "|---|---|---|---|---|---|---|---|---|",
    ]

    for cell in sorted(found["cells"].values(), key=lambda c: (c["form"], c.get("own_weight", 2))):
        shares = [spread(cell["class_shares"][site]) for site in sites]
        fid = [
            spread(cell["over_players"][f"fid_{digits}"], 0) for digits in ("all", "own", "other")
        ]
        own = f"{cell['own_weight']:g}" if "own_weight" in cell else "–"
        predicted = f"{cell['predicted']:.3f}" if "predicted" in cell else "–"
        seeds = ", ".join(map(str, cell["seeds"]))
        lines.append(
            f"| {cell['form']} | {own} | {seeds} | {predicted} | {' | '.join(shares)} | {' | '.join(fid)} |"
        )
    first, data = next(iter(found["cells"].values())), found["data"]
    floor = [
        spread(first["over_players"][f"floor_{digits}"], 0) for digits in ("all", "own", "other")
    ]
    lines.append(
        f"| real training digits | | {', '.join(map(str, first['seeds']))} | | | | {' | '.join(floor)} |"
    )
    lines.append(
        f"\n{data['name']}: {data['train']:,} digits dealt out, {data['test']:,} to measure against, of which own and other are "
        "half: columns of FID compare with their floor, not with each other. "
        f"{found['samples']:,} samples a player; FID is the mean over both players, of two pooled models "
        "the better; classifier right on "
        f"{first['classifier_accuracy']['mean']:.1%}. `{found['command']}`."
    )
    return "\n".join(lines)


def fashion_four_sites() -> str:
    path = "reproductions/fashion_mnist_four_sites/results/four_sites.json"
    if not (ROOT / path).exists():
        return "Not played yet."
    found = load(path)
    lines = [
        "| images per class and site | method | seeds | mean of four | tiny | small | middle | large |",
        "|---" * 8 + "|",
    ]
    cells = [
        (images, name, cell)
        for images, table in found["images_per_class"].items()
        for name, cell in table.items()
    ]
    for images, name, cell in cells + (
        [("all 60,000", "optimal", found["optimal"])] if "optimal" in found else []
    ):
        each = [spread(values) for values in cell["by_player"].values()]
        seeds = ", ".join(map(str, cell["seeds"]))
        lines.append(
            f"| {images} | {name} | {seeds} | {spread(cell['accuracy'])} | {' | '.join(each)} |"
        )
    lines.append("")
    lines += differences_table(found["paired_differences"])
    lines.append(
        f"\n{found['data']}. Mean ± standard deviation over seeds; differences ± their standard error, "
        f"paired by seed, and by player in the JSON. `{found['command']}`."
    )
    return "\n".join(lines)


def differences_table(by_images: dict) -> list[str]:
    """A row for each method that is compared, a column for each that it is compared with; in points."""
    names = [name.split(" - ") for table in by_images.values() for name in table]
    ones, others = (list(dict.fromkeys(column)) for column in zip(*names, strict=True))
    lines = [
        f"| images | points of … | over {' | over '.join(others)} |",
        "|---" * (len(others) + 2) + "|",
    ]
    for images, table in by_images.items():
        for one in ones:
            found = [table.get(f"{one} - {other}") for other in others]
            ends = [points(d, 2, named=False) if d else "" for d in found]
            timed = [points(d["at_equal_seconds"], 2, named=False) if d else "" for d in found]
            lines.append(f"| {images} | {one} | {' | '.join(ends)} |")
            lines.append(f"| | at equal seconds | {' | '.join(timed)} |")
    return lines


def fashion_reference() -> str:
    path = "reproductions/fashion_mnist_four_sites/results/reference.json"
    if not (ROOT / path).exists():
        return "Not played yet."
    found = load(path)
    best, reached, last = (
        found["paper_best"],
        found["coplay_reaches_it"],
        found["curves"]["paper"][-1],
    )
    soon = f"after {reached['seconds'] / 60:.1f} minutes" if reached else "never"
    return (
        f"In {last['seconds'] / 60:.0f} minutes of one core ({last['steps']:,} steps) it is at best at {best['accuracy']:.3f}, "
        f"mean of four players on the test images, after {best['seconds'] / 60:.1f} minutes. Ours is there {soon} of "
        f"another core, and ends at {found['curves']['coplay'][-1]['accuracy']:.3f}. Seed {found['seed']}. `{found['command']}`."
    )


def polymnist_variables() -> str:
    path = "reproductions/polymnist_variables/results/variables.json"
    if not (ROOT / path).exists():
        return "Not played yet."
    found = load(path)
    lines = [
        "| arm | seeds | accuracy from the image alone | segmentation, IoU | the other's pairs: FID | of the class they carry |",
        "|---" * 6 + "|",
    ]
    for arm, cell in found["arms"].items():
        others = (("iou", 3), ("shapes_fid", 1), ("shapes_right", 3))
        rest = " | ".join(
            spread(cell[key], digits) if key in cell else "–" for key, digits in others
        )
        lines.append(
            f"| {arm} | {', '.join(map(str, cell['seeds']))} | {spread(cell['accuracy'], 4)} | {rest} |"
        )
    lines.append("")
    for name, gain in found["gains_in_accuracy"].items():
        lines.append(f"- {name}, seeds {', '.join(map(str, gain['seeds']))}: {points(gain, 2)}.")
    if "part_of_the_gain_by_real_data" in found:
        part = found["part_of_the_gain_by_real_data"]
        low, high = part["interval"]
        lines.append(
            f"- Synthetic pairs bring {part['mean']:.0%} of the gain over *plain* that real ones do (95 % of a bootstrap over "
            f"seeds and images: {low:.0%} to {high:.0%}; seeds {', '.join(map(str, part['seeds']))})."
        )
    held = ", ".join(f"{n:,} for {name}" for name, n in found["data"]["sizes"].items())
    lines.append(
        f"\n{found['data']['name']}: {held}; {found['tested']:,} test images. `{found['command']}`."
    )
    return "\n".join(lines)


def experiments() -> str:
    """One line for each of the papers' experiments, for the front page."""
    lines = ["| experiment | published claim | measured here | all figures |", "|---|---|---|---|"]
    for name, line in (
        ("fashion_mnist_four_sites/results/four_sites", four_sites_line),
        ("mnist_two_sites/results/two_sites", two_sites_line),
        ("polymnist_variables/results/variables", variables_line),
        ("md_gan/results/iid", md_gan_line),
    ):
        path = f"reproductions/{name}.json"
        if (ROOT / path).exists():
            lines.append(f"| {' | '.join(line(load(path)))} | `{Path(path).parents[1]}` |")
    return "\n".join(lines)


def four_sites_line(found: dict) -> tuple[str, str, str]:
    each = []
    for images, cells in found["images_per_class"].items():
        means = {method: cell["accuracy"]["mean"] for method, cell in cells.items()}
        if "cooperative - symmetric" not in found["paired_differences"].get(images, {}):
            continue
        gain = points(found["paired_differences"][images]["cooperative - symmetric"], 2)
        others = {
            "cooperative with residuals": "with residuals (ours)",
            "distillation": "*distillation*",
        }
        told = [
            f"{words} {means[method]:.3f}" for method, words in others.items() if method in means
        ]
        line = f"{images} images per class: {means['cooperative']:.3f}, {gain} over *symmetric*"
        each.append(f"{line}; {', '.join(told)}" if told else line)
    return (
        "four unequal sites, Fashion-MNIST",
        "*cooperative* players classify best, with little data most",
        ". ".join(each),
    )


def two_sites_line(found: dict) -> tuple[str, str, str]:
    cells = [cell for cell in found["cells"].values() if "own_weight" in cell]
    off = max(
        abs(cell["class_shares"][site]["mean"] - cell["predicted"])
        for cell in cells
        for site in ("low", "high")
    )
    fid = [
        f"{cell['over_players']['fid_all']['mean']:.0f} by {cell['form']}"
        for cell in sorted(cells, key=lambda c: c["form"])
        if cell["own_weight"] == 0.1
    ]
    pooled = (
        f"{found['cells']['pooled']['over_players']['fid_all']['mean']:.0f} pooled"
        if "pooled" in found["cells"]
        else ""
    )
    claim = "with a small own weight both sites come near a model of all digits"
    measured = f"shares within {off:.3f} of theory; FID to all digits at α = 0.1: {', '.join(filter(None, [*fid, pooled]))}"
    return "two sites, disjoint MNIST digits", claim, measured


def variables_line(found: dict) -> tuple[str, str, str]:
    gains = found["gains_in_accuracy"]
    told = [
        f"{points(gains[name], 2)} ({name})"
        for name in ("synthetic - plain", "real - plain")
        if name in gains
    ]
    claim = "another's synthetic segmentations help who has none to classify images"
    return "different variables, PolyMNIST", claim, "; ".join(told)


def md_gan_line(found: dict) -> tuple[str, str, str]:
    wanted = ("md_gan", "fl_gan", "pooled")
    told = [
        f"{name} {spread(found['methods'][name]['trained_on_synthetic_accuracy'])}"
        for name in wanted
        if name in found["methods"]
    ]
    return (
        "MD-GAN, ten workers, Fashion-MNIST",
        "it scores better than FL-GAN",
        "accuracy trained on synthetic: " + ", ".join(told),
    )


def levers() -> str:
    found, times = (load(f"benchmarks/results/{name}.json") for name in ("levers", "step_time"))
    lines = ["| lever | measured | off | on |", "|---|---|---|---|"]
    for name, quantities in found["levers"].items():
        for key, row in quantities.items():
            lines.append(
                f"| {name} | {key.replace('_', ' ')} | {spread(row['off'], 2)} | {spread(row['on'], 2)} |"
            )
    lines.append(
        f"\n{found['data']}, {found['samples']:,} samples, {len(found['seeds'])} seeds. `{found['command']}`.\n"
    )
    variants = list(next(iter(times["models"].values())))
    lines += [f"| one step, 28×28 | {' | '.join(variants)} |", "|---" * (len(variants) + 1) + "|"]
    for name, rows in times["models"].items():
        cells = [
            f"{1000 * rows[v]['median_seconds']:.0f} ms, {rows[v]['ratio']:.2f} ×"
            if v in rows
            else "–"
            for v in variants
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines.append(
        f"\nMedians of {times['turns']} alternating turns, two threads, batch 100 where not said. `{times['command']}`."
    )
    return "\n".join(lines)


_PLAIN = (
    digits_four_sites, four_sites_verdict, digits_two_sites, benchmarks, joint_classifier, conv_two_sites, levers,
    md_gan_costs, md_gan_crashes, mnist_two_sites, fashion_four_sites, fashion_reference, polymnist_variables, experiments,
)  # fmt: skip
_SETS = ("iid", "two_classes", "paper_length", "batch_100", "workers", "mnist_10k", "cnn")
BLOCKS = {block.__name__: block for block in _PLAIN} | {
    f"md_gan_{part}": partial(md_gan, part) for part in _SETS
}


def filled(text: str) -> str:
    for name, block in BLOCKS.items():
        marker, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        if marker not in text:
            continue
        text = re.sub(rf"{marker}.*?{end}", marker, text, flags=re.S)
        text = text.replace(marker, f"{marker}\n{block()}\n{end}")
    return text


if __name__ == "__main__":
    for readme in READMES:
        now = readme.read_text()
        if "--check" not in sys.argv:
            readme.write_text(filled(now))
        elif filled(now) != now:
            sys.exit(
                f"{readme} is not what the results say; run: python reproductions/fill_readme.py"
            )
