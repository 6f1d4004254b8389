"""Tables of ``benchmarks/results`` on the page of results."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from .experiment import HERE
from .image_tables import images
from .markdown import format_spread, listing, table
from .peer_tables import table_peers
from .privacy_tables import privacy_utility
from .spreads import spread

RESULTS = HERE.parent / "benchmarks" / "results"


def _load(name: str) -> Mapping[str, Any]:
    content: Mapping[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return content


def theory_and_cost() -> str:
    """Convergence against theory, large games, what a round costs, and how long importing takes."""
    theory = _load("theory")
    imports = _load("import_time")
    parts = _load("round_cost")["parts"]
    many = theory["many_players"]
    ratios = theory["contraction"]["ratio_to_spectral_radius"]
    shares = ", ".join(f"{name} {part['share']:.1%}" for name, part in parts.items())
    seconds = sum(part["seconds_per_round"] for part in parts.values())
    import_ratio = imports["statements"]["coplay, every public name"]["ratio"]
    lines = [
        f"- Late rounds contract at {min(ratios):.3f} to {max(ratios):.3f} of the spectral radius.",
        f"- The error of sampled play falls as n^{theory['fluctuation']['slope']:.2f} in the "
        "samples a round.",
        f"- Equilibrium of 100,000 players with 10 neighbours each: {many['seconds']:.1f} s, "
        f"residual {many['residual']:.0e}, {many['peak_process_gib']:.2f} GiB.",
        f"- A round of the demo takes {seconds:.2f} s: {shares}.",
        f"- Importing every public name takes {import_ratio:.2f} × `import torch, tensordict`.",
    ]
    return "\n".join(lines)


def levers() -> str:
    """What single settings change, and how long a step takes with others."""
    settings = _load("levers")
    rows = []
    for name, quantities in settings["levers"].items():
        for key, values in quantities.items():
            off = format_spread(values["off"], 2)
            on = format_spread(values["on"], 2)
            rows.append([name, key.replace("_", " "), off, on])
    text = table(["lever", "measured", "off", "on"], rows)
    return (
        f"{text}\n\n{settings['data']}, {settings['samples']:,} samples, "
        f"{len(settings['seeds'])} seeds. `{settings['command']}`.\n\n{step_times()}"
    )


def step_times() -> str:
    """Median time of one step, by model and variant."""
    times = _load("step_time")
    variants = list(next(iter(times["models"].values())))
    rows = []
    for name, by_variant in times["models"].items():
        row = [name]
        for variant in variants:
            cell = by_variant.get(variant)
            if cell is None:
                row.append("–")
            else:
                milliseconds = 1000 * cell["median_seconds"]
                row.append(f"{milliseconds:.0f} ms, {cell['ratio']:.2f} ×")
        rows.append(row)
    text = table(["one step, 28×28", *variants], rows)
    return (
        f"{text}\n\nMedians of {times['turns']} alternating turns, two threads, batch 100 where "
        f"not said. `{times['command']}`."
    )


def md_gan_costs() -> str:
    """Time, operations and memory of MD-GAN beside a straightforward loop and FL-GAN."""
    costs = _load("md_gan")
    rows = _iterations(costs) + _iterations(_load("md_gan_other_machine"))
    columns = [
        "one iteration, N = 10",
        "large products",
        "coplay",
        "straightforward loop",
        "ratio",
        "its operations at the rate of large products",
    ]
    text = table(columns, rows)
    of_workers = []
    for name, flops in costs["flops_per_generator_update"].items():
        of_workers.append(f"{name}: {flops['worker, md_gan / fl_gan']:.3f}")
    listed = ", ".join(of_workers)
    peak = costs["peak_bytes"]
    memory = []
    for role in ("worker", "server"):
        for network in ("mlp", "cnn"):
            of = f"{role}, {network}"
            ratio = peak[f"md_gan {of}"] / peak[f"fl_gan {of}"]
            memory.append(f"{role} {network} {ratio:.2f}")
    shares = [f"{share:.0%} ({name})" for name, share in costs["share_of_gemm_rate"].items()]
    lines = [
        text,
        "",
        f"- A worker's operations per generator update, MD-GAN over FL-GAN: {listed}.",
        f"- Peak memory, MD-GAN over FL-GAN: {', '.join(memory)}.",
        f"- Time over N = 10 … 200 grows as N^{costs['over_workers']['exponent']:.2f}.",
        f"- Share of this machine's matrix-product rate: {', '.join(shares)}.",
        "",
        f"{costs['threads']} threads, medians of {costs['turns']} alternating turns. "
        f"`{costs['command']}`.",
    ]
    return "\n".join(lines)


def _iterations(costs: Mapping[str, Any]) -> list[list[str]]:
    """Return a row for each network and batch that was timed on one machine."""
    rate = costs["gemm_flops_per_second"]
    rows = []
    for name, cell in costs["iteration"].items():
        work = costs["flops_per_generator_update"][name]
        operations = 10 * work["md_gan worker"] + work["md_gan server"]
        rows.append(
            [
                name,
                f"{rate / 1e9:.0f} GFLOP/s",
                f"{1000 * cell['coplay_seconds']:.0f} ms",
                f"{1000 * cell['straightforward_seconds']:.0f} ms",
                f"{cell['ratio']:.2f}",
                f"{1000 * operations / rate:.0f} ms",
            ]
        )
    return rows


def acgan_classes() -> str:
    """How soon the classes of an ACGAN hold, by setting and updates."""
    content = _load("acgan_classes")
    cells: dict[str, list[Mapping[str, Any]]] = {}
    for cell in content["cells"]:
        cells.setdefault(cell["variant"], []).append(cell)
    updates = sorted({cell["updates"] for cell in content["cells"]})
    rows = []
    for variant, of_variant in cells.items():
        row = [variant, listing(sorted({cell["seed"] for cell in of_variant}))]
        for after in updates:
            there = [cell["values"] for cell in of_variant if cell["updates"] == after]
            row.append(format_spread(spread([values["asked_class"] for values in there]), 2))
        last = [cell["values"] for cell in of_variant if cell["updates"] == updates[-1]]
        accuracies = [values["trained_on_synthetic_accuracy"] for values in last]
        row.append(format_spread(spread(accuracies), 2))
        row.append(format_spread(spread([values["fid"] for values in last]), 0))
        rows.append(row)
    asked = [f"drawn as asked, after {after:,}" for after in updates]
    text = table(["setting", "seeds", *asked, "accuracy, trained on drawn", "FID"], rows)
    about = content["about"]
    accuracy = about["classifier's accuracy"]
    return (
        f"{text}\n\nThe CNN pair alone on {about['learned from']:,} digits of MNIST, batches of "
        f"ten; {about['drawn']:,} images drawn; by a classifier right on "
        f"{accuracy:.1%}. `{about['command']}`."
    )


TABLES: Mapping[str, Callable[[], str]] = {
    "acgan_classes": acgan_classes,
    "benchmarks": theory_and_cost,
    "images": images,
    "levers": levers,
    "md_gan_costs": md_gan_costs,
    "privacy_utility": privacy_utility,
    "table_peers": table_peers,
}
