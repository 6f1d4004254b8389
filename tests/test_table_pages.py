"""Pages of tables draw columns and their pairs, and speak of no scores of images."""

from __future__ import annotations

import json
import math
import stat

import numpy as np
import pytest
import torch

from coplay import Config, Federation, Space, Variable
from coplay.core.streams import stream
from coplay.metrics.base import share_value
from coplay.metrics.columns import TableColumn
from coplay.metrics.memorisation import leak
from coplay.metrics.table_view import REAL, TableView, association
from coplay.report import page
from coplay.report.site_page import views_of
from coplay.report.table_charts import pictures
from coplay.run.presets import preset_of

SPACE = Space(
    {
        "age": Variable(kind="real", optional=True),
        "visits": Variable(kind="count"),
        "town": Variable(kind="categorical", classes=3, names=("Bonn", "Jena", "Ulm")),
    }
)


def rows(n, key, shift=0.0):
    generator = stream(3, key)
    age = 50 + shift + 10 * torch.randn(n, generator=generator)
    age[: n // 4] = math.nan
    town = torch.randint(3, (n,), generator=generator)
    return SPACE.samples(age=age, visits=town + 1, town=town)


class TestTheView:
    def test_shares_are_counts_by_bin_and_level(self):
        real, drawn = rows(400, "r"), rows(200, "d", shift=500.0)
        view = TableView.of(SPACE, {REAL: real, "samples": drawn})
        age, visits, town = view.columns
        present = real["age"][~real["age"].isnan()].numpy()
        counts = np.histogram(np.clip(present, age.edges[0], age.edges[-1]), age.edges)[0]
        assert np.allclose(age.shares[REAL], counts / 300)
        assert age.missing == {REAL: 0.25, "samples": 0.25}
        assert age.shares["samples"][-1] == 1, "what lies beyond the real range is in the last bin"
        expected = (real["town"].bincount(minlength=3) / 400).tolist()
        assert town.shares[REAL] == pytest.approx(expected)
        assert town.levels == ("Bonn", "Jena", "Ulm")
        # whole numbers have a bin of their own
        assert visits.edges == (-0.5, 0.5, 1.5, 2.5, 3.5, 4.5)
        assert visits.shares[REAL] == pytest.approx([0, *expected, 0])
        for column in view.columns:
            for shares in column.shares.values():
                assert sum(shares) == pytest.approx(1)

    def test_it_reads_what_it_wrote(self):
        view = TableView.of(SPACE, {REAL: rows(50, "r"), "samples": rows(9, "d")})
        assert TableView.from_json(view.json()) == view

    def test_rare_categories_share_a_bar(self):
        space = Space({"code": Variable(kind="categorical", classes=40)})
        codes = torch.arange(40).repeat_interleave(torch.arange(40, 0, -1))
        (column,) = TableView.of(space, {REAL: space.samples(code=codes)}).columns
        assert column.levels == (*map(str, range(11)), "29 others")
        assert column.shares[REAL][-1] == pytest.approx(sum(range(1, 30)) / 820)

    def test_a_table_that_lacks_a_column_has_no_shares_of_it(self):
        view = TableView.of(SPACE, {REAL: rows(9, "r").exclude("town"), "samples": rows(9, "d")})
        town = view.columns[-1]
        assert town.shares.keys() == {"samples"}
        assert view.associations[REAL][2] == (None, None, None)


class TestAssociation:
    def test_two_numbers_have_their_correlation(self):
        x = np.arange(50.0)
        y = -x + np.sin(x)
        expected = np.corrcoef(x, y)[0, 1]
        assert association(TableColumn("x", x, 0), TableColumn("y", y, 0)) == pytest.approx(
            expected
        )

    def test_a_number_and_a_category_have_the_share_that_the_category_explains(self):
        groups = np.repeat([0.0, 1.0, 2.0], 20)
        x = groups**2 + np.tile([-0.5, 0.5], 30)
        between = np.var(groups**2)
        expected = math.sqrt(between / (between + 0.25))
        column, category = TableColumn("x", x, 0), TableColumn("g", groups, 3)
        assert association(column, category) == pytest.approx(expected)
        assert association(category, column) == pytest.approx(expected)

    def test_two_categories_have_cramers_v(self):
        # χ²/n of [[30, 10], [10, 30]] / 80 is (0.5)²
        x = np.repeat([0.0, 0.0, 1.0, 1.0], [30, 10, 10, 30])
        y = np.repeat([0.0, 1.0, 0.0, 1.0], [30, 10, 10, 30])
        columns = TableColumn("x", x, 2), TableColumn("y", y, 2)
        assert association(*columns) == pytest.approx(0.5)

    def test_what_does_not_vary_has_none(self):
        x = TableColumn("x", np.ones(4), 0)
        assert association(x, TableColumn("y", np.arange(4.0), 0)) is None


def test_each_table_has_a_picture_of_columns_and_one_of_pairs():
    view = TableView.of(SPACE, {REAL: rows(50, "r"), "north": rows(60, "d")})
    columns, pairs = pictures(view, "columns", "Isolated", 2)
    assert (columns.name, pairs.name) == ("columns", "columns-pairs")
    assert "The first 2 of 3 columns are drawn." in columns.caption
    assert "real, held out: 50, north: 60" in columns.caption
    for panel, column in zip(columns.chart.panels, view.columns[:2], strict=True):
        assert panel.title.startswith(column.name)
        drawn = {bars.name: bars.heights for bars in panel.bars}
        assert drawn == column.shares
    assert pairs.png.startswith(b"\x89PNG")


def test_a_leak_needs_more_than_chance():
    few = share_value(3, 20, "", "lower", 20, 20)
    assert leak({"copies_share": few}) == ""
    assert leak({"copies_share": share_value(900, 1000, "", "lower", 1000, 400)}) == (
        "0.90 of the samples repeat a training row, where 0.05 of real rows do"
    )


def test_scalars_side_by_side_are_a_table_even_with_classes():
    real = Variable(kind="real")
    assert preset_of(Space({"x": real}), has_classes=True) == "table with classes"
    assert preset_of(Space({"x": Variable(kind="real", shape=(2,))}), has_classes=True) == "images"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    generator = np.random.default_rng(0)
    texts = {}
    for name in ("north", "south"):
        age = generator.normal(50, 10, 120)
        ill = generator.random(120) < 1 / (1 + np.exp(-(age - 50) / 5))
        words = np.where(ill, "yes", "no")
        lines = ["age,later,ill"]
        for a, b, c in zip(age, generator.normal(9, 2, 120), words, strict=True):
            lines.append(f"{a:.2f},{a + b:.2f},{c}")
        texts[name] = "\n".join(lines)
        (folder / f"{name}.csv").write_text(texts[name])
    values = {
        "variables": {
            "age": {"kind": "real"},
            "later": {"kind": "real"},
            "ill": {"kind": "categorical", "categories": ["no", "yes"]},
        },
        "players": {
            name: {"data": {"source": {"name": "table", "file": str(folder / f"{name}.csv")}}}
            for name in texts
        },
        "model": {"name": "conditionals", "hidden": 8},
        "game": {"name": "sample_exchange", "rounds": 2, "local_steps": 5, "own_rounds": 1},
        "measure": {"target": "ill", "samples": 200, "every_rounds": 1},
    }
    result = Federation(Config.from_dict(values)).run(folder / "run")
    page.write(result)
    return result


def test_a_page_of_a_table_draws_its_columns_and_speaks_of_no_image_scores(run):
    text = (run.folder / "report.html").read_text()
    words = text.split("base64,")[0] + "".join(
        part.partition('"')[2] for part in text.split("base64,")[1:]
    )
    assert "Column by column" in words
    assert "how two columns go together" in words
    for score in ("FID", "domain score", "domain_score"):
        assert score not in words
    assert (run.folder / "figures" / "columns-sample_exchange.svg").exists()


def test_a_site_writes_down_its_own_columns_for_itself_alone(run):
    for name in ("north", "south"):
        view = views_of(run, name)["sample_exchange"]
        assert view.rows[REAL] > 0
        assert {column.name for column in view.columns} == {"age", "later", "ill"}
    files = list((run.folder / "sites").rglob("*.columns.json"))
    assert len(files) == 2
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert json.loads(file.read_text())["rows"]["samples"] == 200


def test_a_table_with_classes_that_is_dealt_out_is_scored_as_a_table(tmp_path):
    generator = np.random.default_rng(1)
    lines = ["age,dose,class"]
    for k in range(300):
        ill = k % 2
        lines.append(f"{generator.normal(40 + 20 * ill, 5):.2f},{generator.normal():.2f},c{ill}")
    (tmp_path / "pool.csv").write_text("\n".join(lines))
    values = {
        "data": {
            "source": {
                "name": "table",
                "file": str(tmp_path / "pool.csv"),
                "label_column": "class",
            },
            "variables": ["age", "dose", "class"],
        },
        "model": {"name": "conditionals", "hidden": 8},
        "game": {"name": "sample_exchange", "rounds": 1, "local_steps": 20},
        "measure": {"samples": 200},
    }
    result = Federation(Config.from_dict(values)).run(tmp_path / "run")
    page.write(result)
    scores = set(result.main.last["player0"])
    assert {"column_fidelity", "utility_boosted", "partial_copies_share", "class_shares"} <= scores
    assert not scores & {"fid", "domain_score"}
    drawn = result.main.samples(1)["player0"]
    assert len(drawn["age"]) == 200, "more than images, whose grids hold forty"
    for part in (tmp_path / "run" / "report.html").read_text().split("base64,"):
        assert "FID" not in part.partition('"')[2]
    assert (tmp_path / "run" / "figures" / "columns-sample_exchange-pairs.png").exists()
