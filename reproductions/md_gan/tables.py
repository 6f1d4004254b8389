"""Tables of MD-GAN beside its baselines."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..experiment import Summary
from ..markdown import format_spread, listing, table

NOT_PLAYED = "Not played yet."
ACCURACY = "trained_on_synthetic_accuracy"


def methods_table(group: str, summary: Summary) -> str:
    """Scores of every method of a group."""
    if group not in summary:
        return NOT_PLAYED
    part = summary[group]
    rows = []
    for name, method in part["methods"].items():
        rows.append(
            [
                name,
                f"{method['iterations']:,}",
                listing(method["seeds"]),
                format_spread(method[ACCURACY]),
                format_spread(method[f"{ACCURACY}_of_running_mean"]),
                format_spread(method["fid"], 1),
                format_spread(method["domain_score"], 2),
            ]
        )
    columns = [
        "method",
        "generator updates",
        "seeds",
        "accuracy, trained on synthetic",
        "of the running mean",
        "FID",
        "domain score",
    ]
    counts = part["samples"]
    return (
        f"{table(columns, rows)}\n\n{part['data']}. Accuracy on all real test images of a "
        f"classifier trained on {counts[ACCURACY]:,} generated ones; FID and score on "
        f"{counts['fid']:,}, drawn from the running mean. Mean ± standard deviation over seeds. "
        f"`{part['command']}`."
    )


def losses_table(summary: Summary) -> str:
    """What the run with losses gave, then its scores after each loss.

    It is measured where a worker has just left, beside the run of the same seed without losses.
    """
    if "crashes" not in summary:
        return NOT_PLAYED
    (run,) = summary["crashes"]["methods"].values()
    without = summary["iid"]["methods"]["md_gan"]
    same_seed = without["seeds"].index(run["seeds"][0])
    fid_without = without["fid_by_iteration"][same_seed]
    fid = run["fid_by_iteration"][0]
    score = run["domain_score_by_iteration"][0]
    modes = run["mode_cover_by_iteration"][0]
    rows = []
    for gone, iteration in enumerate(fid, 1):
        rows.append(
            [
                f"{int(iteration):,}",
                str(len(run["lost"]) - gone),
                f"{fid[iteration]:.1f}",
                f"{fid_without[iteration]:.1f}",
                f"{score[iteration]:.2f}",
                f"{modes[iteration]:.0f}",
            ]
        )
    columns = [
        "iteration",
        "workers left",
        "FID",
        "FID where nobody leaves, same seed",
        "domain score",
        "classes drawn",
    ]
    return f"{methods_table('crashes', summary)}\n\n{table(columns, rows)}"


def headline(summary: Summary) -> tuple[str, str, str]:
    """Return the main comparison in one line."""
    accuracies = []
    methods = summary["iid"]["methods"]
    for method in ("md_gan", "fl_gan", "pooled"):
        if method in methods:
            accuracies.append(f"{method} {format_spread(methods[method][ACCURACY])}")
    return (
        "MD-GAN, ten workers, Fashion-MNIST",
        "it scores better than FL-GAN",
        f"accuracy trained on synthetic: {', '.join(accuracies)}",
    )


_PLAIN = (
    "iid",
    "two_classes",
    "paper_length",
    "batch_100",
    "workers",
    "mnist_10k",
    "mnist_10k_shift",
    "cnn_10k",
    "cnn",
)
TABLES: dict[str, Callable[[Summary], str]] = {
    **{f"md_gan_{group}": partial(methods_table, group) for group in _PLAIN},
    "md_gan_crashes": losses_table,
}
