"""The four tables, and how their rows and columns are dealt out to sites."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer

_TEST_SHARE = 0.25
_EDUCATION = {
    "school": ("HS-grad", "12th", "11th", "10th", "9th", "7th-8th", "5th-6th", "1st-4th"),
    "college": ("Some-college", "Assoc-voc", "Assoc-acdm"),
    "bachelors": ("Bachelors",),
    "higher": ("Masters", "Prof-school", "Doctorate"),
}
"""Levels of ``education`` at each site of Adult; preschool, of 16 rows, is nowhere."""


@dataclass(frozen=True)
class Grid:
    """A table of texts.

    Args:
        header: Names of its columns.
        rows: Its rows; a missing cell is empty.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def without(self, columns: Sequence[str]) -> Grid:
        """Return the table without some columns."""
        kept = [place for place, name in enumerate(self.header) if name not in columns]
        rows = [[row[place] for place in kept] for row in self.rows]
        return Grid([self.header[place] for place in kept], rows)

    def write(self, path: Path) -> Path:
        """Write it as CSV."""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self.header)
            writer.writerows(self.rows)
        return path

    @classmethod
    def read(cls, path: Path) -> Grid:
        """Read a CSV."""
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        return cls(header, rows)


@dataclass(frozen=True)
class Case:
    """A table and its sites.

    Args:
        name: What it is called.
        target: The column to be predicted.
        table: Reads it from the folder of tables.
        lacks: Columns that each site's file lacks; its keys are the sites.
        by: The column that decides at which site a row is; empty for chance.
        levels: Values of that column by site.
        steps: Learning steps of a player in each round.
    """

    name: str
    target: str
    table: Callable[[Path], Grid]
    lacks: Mapping[str, Sequence[str]]
    by: str = ""
    levels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    steps: int = 60

    def dealt(self, folder: Path, seed: int) -> tuple[dict[str, Grid], Grid]:
        """Return the table of each site, and rows that no site has, chosen by a seed."""
        whole = self.table(folder)
        order = np.random.default_rng(seed).permutation(len(whole.rows)).tolist()
        tested = round(_TEST_SHARE * len(order))
        test = [whole.rows[place] for place in order[:tested]]
        rest = [whole.rows[place] for place in order[tested:]]
        sites = {}
        for number, (site, lacking) in enumerate(self.lacks.items()):
            if self.by:
                place = whole.header.index(self.by)
                rows = [row for row in rest if row[place] in self.levels[site]]
            else:
                rows = rest[number :: len(self.lacks)]
            sites[site] = Grid(whole.header, rows).without(lacking)
        return sites, Grid(whole.header, test)


def _breast_cancer(folder: Path) -> Grid:
    """Six measurements of 569 tumours of scikit-learn's table; the folder is not needed."""
    table = load_breast_cancer()
    names = [str(name) for name in table.feature_names]
    words = [str(word) for word in table.target_names]
    columns = ["mean radius", "mean texture", "mean smoothness", "mean concavity"]
    columns += ["mean symmetry", "mean fractal dimension"]
    rows = []
    for values, target in zip(table.data, table.target, strict=True):
        numbers = [f"{values[names.index(name)]:g}" for name in columns]
        rows.append([*numbers, words[target]])
    return Grid([*columns, "diagnosis"], rows)


def _heart(folder: Path) -> Grid:
    return Grid.read(folder / "heart_disease.csv")


def _lung(folder: Path) -> Grid:
    # the institution is a number of a list that is not published
    return Grid.read(folder / "lung_cancer.csv").without(["inst"])


def _adult(folder: Path) -> Grid:
    # the number of years says the same as the level, by which the sites differ
    return Grid.read(folder / "adult_control.csv").without(["education_num"])


CASES = {
    "breast cancer": Case(
        "breast cancer",
        "diagnosis",
        _breast_cancer,
        {
            "north": ["mean fractal dimension"],
            "south": ["mean symmetry"],
            "east": ["mean concavity"],
        },
    ),
    "heart disease": Case(
        "heart disease",
        "target",
        _heart,
        {
            "north": ["ca", "thal"],
            "south": ["slope", "restecg", "oldpeak"],
            "east": ["chol", "trestbps", "fbs"],
        },
    ),
    "lung cancer": Case("lung cancer", "status", _lung, {"north": [], "south": [], "east": []}),
    "adult": Case(
        "adult",
        "income",
        _adult,
        {site: [] for site in _EDUCATION},
        by="education",
        levels=_EDUCATION,
        steps=100,
    ),
}
