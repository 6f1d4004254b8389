"""Write the tables of ``docs/results.md`` from the kept results, between markers.

The sentences of the page are written by hand; the tables are not:

python -m reproductions page            # writes them
python -m reproductions page --check    # only compares
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial

from .benchmark_tables import TABLES as BENCHMARKS
from .experiment import HERE, Experiment, load, names
from .image_tables import draw_images
from .kept import Kept
from .markdown import table

PAGE = HERE.parent / "docs" / "results.md"
MARKER = re.compile(r"<!-- (\w+) -->\n.*?<!-- end of \1 -->", re.DOTALL)
PAPERS = (
    "fashion_mnist_four_sites",
    "mnist_two_sites",
    "polymnist_variables",
    "md_gan",
)
"""Experiments of the papers, in the order of the first table."""


def main(check: bool) -> None:
    """Write the page, or compare it with what the results say.

    Raises:
        SystemExit: The page is another.
    """
    text = PAGE.read_text(encoding="utf-8")
    now = filled(text, tables())
    if not check:
        PAGE.write_text(now, encoding="utf-8")
        draw_images()
        print(PAGE)
    elif now != text:
        raise SystemExit(f"{PAGE} is not what the results say; run: python -m reproductions page")


def tables() -> dict[str, Callable[[], str]]:
    """Return what makes each table, by the name in its markers."""
    makers: dict[str, Callable[[], str]] = {**BENCHMARKS, "experiments": headlines}
    for name in names():
        experiment = load(name)
        for table_name, maker in experiment.tables.items():
            makers[table_name] = partial(_make, experiment, maker)
    return makers


def _make(experiment: Experiment, maker: Callable[[Mapping[str, object]], str]) -> str:
    """Return a table of an experiment; until something is played there is none."""
    if not experiment.results.exists():
        return "Not played yet."
    return maker(Kept(experiment.results).summary())


def headlines() -> str:
    """Return one line for each of the papers' experiments, with a link to its section."""
    rows = []
    for name in PAPERS:
        experiment = load(name)
        if experiment.headline and experiment.results.exists():
            cells = experiment.headline(Kept(experiment.results).summary())
            rows.append([*cells, f"[below](#{name})"])
    return table(["experiment", "published claim", "measured here", "all figures"], rows)


def filled(text: str, makers: Mapping[str, Callable[[], str]]) -> str:
    r"""Return a text with its tables made anew.

    Args:
        text: With ``<!-- NAME -->`` and ``<!-- end of NAME -->`` around each table.
        makers: What makes each table.

    Raises:
        SystemExit: The text names a table that nothing makes.

    Example:
        >>> filled("<!-- a -->\nold\n<!-- end of a -->", {"a": lambda: "new"})
        '<!-- a -->\nnew\n<!-- end of a -->'
    """

    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in makers:
            raise SystemExit(f"no table is called {name!r}; there are: {', '.join(sorted(makers))}")
        return f"<!-- {name} -->\n{makers[name]()}\n<!-- end of {name} -->"

    return MARKER.sub(replace, text)
