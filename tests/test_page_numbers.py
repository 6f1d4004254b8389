"""Numbers on a run's page and in tables of comparisons, drawn ones included, against records
written by hand.
"""

import csv
import io
import math
import statistics

import numpy as np
import pytest
import torch

from coplay.comparison import curves as comparison_curves
from coplay.comparison import spread
from coplay.comparison.arms import Comparison
from coplay.comparison.caveats import caveats
from coplay.comparison.export import plain_values, table_of_values
from coplay.comparison.measurements import measurements
from coplay.comparison.spread import Spread
from coplay.comparison.tables import cost_tables, format_spread, score_table, unit_of
from coplay.core.message import LinkTraffic, PlayerLost
from coplay.core.space import Space, Variable
from coplay.core.streams import stream
from coplay.metrics.base import Value
from coplay.report import (
    charts,
    costs,
    figures,
    measured,
    over_rounds,
    samples,
    stacked_bars,
)
from coplay.report.axes import whole_ticks
from coplay.report.charts import Band, Line
from coplay.report.headline import headline, sentence, status
from coplay.report.link_costs import LinkCost, costs_of
from coplay.report.tensorboard import _scalars
from coplay.report.words import aligned, number, ranges
from coplay.run.result import Result
from coplay.run.round_record import RoundRecord
from coplay.run.sparse_matrix import SparseMatrix
from coplay.theory import gan_costs

from .by_hand import write_checkpoint, write_rows, write_run

PLAYERS = ["north", "south", "east"]
GAME = "sample_exchange"
COUNTS = {"north": [3, 1, 0], "south": [0, 4, 2], "east": [5, 0, 0]}
LEARNED = {"north": ["x"], "south": ["x"], "east": ["x"]}
KIB = 1024


def value(amount, better="lower", n=100, n_real=497, **ends):
    return Value(amount, "u", better, n, n_real, **ends)


def row(round, by_player=None, **more):
    """A record of a round in which some quantities were measured: by player, then by quantity."""
    return RoundRecord(round, measured=by_player, **more)


def fids(**amounts):
    return {name: {"fid": value(amount)} for name, amount in amounts.items()}


@pytest.fixture
def written(tmp_path, small_config):
    """Writes the records of a run that was never played; returns its result."""

    def build(
        rows, links=(), name="run", seed=3, record=None, seconds=None, checkpoint=None, **sections
    ):
        """``rows`` by game, the main one first."""
        others = list(rows)[1:]
        given = {
            "players": {name: {} for name in PLAYERS},
            "data": {},
            "compare": others,
            **sections,
        }
        config = small_config(seed=seed, **given).to_dict()
        data = {
            "name": "digits",
            "train": 40,
            "test": 9,
            "space": {"x": {"kind": "real"}},
            "learned": LEARNED,
            "sizes": {player: sum(counts) for player, counts in COUNTS.items()},
            "counts": COUNTS,
        }
        folder = tmp_path / name
        values = {
            "status": "finished",
            "config": config,
            "versions": {"python": "3"},
            "data": data,
            "notes": [],
            "games": {game: {} for game in rows},
            "classifier": {"accuracy": 0.875, "n_test": 1497},
            **(record or {}),
        }
        write_run(folder, values)
        for game, records in rows.items():
            chain = write_rows(folder / game, [each.json() for each in records])
            counted = len(records) if checkpoint is None else checkpoint
            write_checkpoint(folder / game, counted, links, chain)
        return Result.load(folder)

    return build


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are drawn, before they become pictures."""
    kept = []
    png = figures.png

    def keep(figure):
        kept.append(figure)
        return png(figure)

    for module in (figures, stacked_bars):
        monkeypatch.setattr(module, "png", keep)
    return kept


def lines_of(panel):
    """By kind of line, the points of the curves of a panel."""
    lines = []
    for curve in panel.curves:
        points = [list(point) for point in zip(curve.x, curve.y, strict=True)]
        lines.append((curve.look.dash, points))
    return lines


# -------------------------------------------------------------------------------- traffic and time

LINKS = (
    LinkTraffic("exchange", "north", "south", 3 * KIB, 10),
    LinkTraffic("exchange", "south", "north", 5 * KIB, 20),
    LinkTraffic("exchange/swap", "north", "east", 6 * KIB, 4),
    LinkTraffic("exchange/swap", "server", "east", 8 * KIB, 1),
    LinkTraffic("evaluation", "north", "coordinator", 100 * KIB, 7),
)


def test_totals_of_traffic_are_sums_by_purpose_part_and_kind_of_link(written):
    result = written({GAME: [row(i) for i in (1, 2, 3, 4)]}, LINKS)
    rows = costs._total_rows(result.main, ["server"])
    assert rows == [
        ["sample exchange, exchange", "22.00 KiB", "35", "5.50 KiB"],
        [("… swap", "players → players"), "6.00 KiB", "4", "1.50 KiB"],
        [("… swap", "server → players"), "8.00 KiB", "1", "2.00 KiB"],
        ["sample exchange, evaluation", "100.00 KiB", "7", "–"],
    ]


def test_the_heat_map_of_traffic_has_senders_as_rows(written, monkeypatch):
    shown = {}

    def heat_map(values, rows, columns, **more):
        shown.update(values=values, rows=rows, columns=columns, **more)
        return b""

    monkeypatch.setattr(figures, "heat_map", heat_map)
    more = LinkTraffic("exchange/swap", "south", "north", 2 * KIB, 1)
    costs.traffic(written({GAME: [row(1)]}, (*LINKS, more)))
    assert shown["rows"] == shown["columns"] == ["north", "south", "east", "server"]
    assert shown["values"] == [[0, 3, 6, 0], [7, 0, 0, 0], [0, 0, 0, 0], [0, 0, 8, 0]]
    assert "KiB" in shown["column_label"]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (1536, "1.50 KiB"),
        (5 * 1024**3, "5.00 GiB"),
        (0, "0 B"),
    ],
)
def test_bytes_are_written_in_the_unit_that_suits(count, text):
    assert costs.in_units(count) == text


def test_seconds_are_added_up_over_rounds_and_over_kinds(written, drawn):
    first = RoundRecord(1, seconds={"learning": 1.5, "exchange": 0.25})
    second = RoundRecord(2, seconds={"learning": 2.0, "sampling": 4.0})
    result = written(
        {GAME: [first, second], "isolated": [RoundRecord(1, seconds={"learning": 8.0})]}
    )
    section = costs.time(result)
    (table,) = section.tables
    assert list(table.header) == ["seconds", "rounds", "learning", "exchange", "sampling", "total"]
    assert table.rows == [
        ["sample exchange", "2", "3.50", "0.25", "4.00", "7.75"],
        ["isolated", "1", "8.00", "0.00", "0.00", "8.00"],
    ]
    (figure,) = drawn
    axes = figure.axes[0]
    widths = [bar.get_width() for bar in axes.patches]
    assert widths == pytest.approx([3.5 / 7.75, 0.25 / 7.75, 4 / 7.75, 1, 0, 0])
    lefts = [bar.get_x() for bar in axes.patches]
    assert lefts == pytest.approx([0, 3.5 / 7.75, 3.75 / 7.75, 0, 1, 1])
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["45%", "52%", "7.75 s", "100%", "8 s"]


def test_absences_say_the_first_round_of_being_frozen_and_every_round_of_being_late(written):
    def late(round):
        return {"east": PlayerLost("east", "turn", round, "slow")}

    lost = {"south": PlayerLost("south", "turn", 2, "gone")}
    rows = [
        row(1, late=late(1)),
        row(2, lost=lost, frozen=["north"], joined=("west",)),
        row(3, frozen=["north", "east"], late=late(3)),
        row(4, late=late(4)),
        row(5, late=late(5)),
    ]
    absences = costs.Absences.of(written({GAME: rows}).main)
    assert absences.frozen == {"north": 2, "east": 3}
    assert absences.joined == {"west": 2}
    assert absences.late == {"east": [1, 3, 4, 5]}
    table = absences.table_rows(GAME)
    assert ["south", "sample exchange", "2", "lost at 'turn': gone"] in table
    assert table[-1][2] == "1, 3–5"


def test_the_influence_after_a_loss_is_that_of_the_last_one_by_its_rows(written):
    first = SparseMatrix.of(torch.tensor([[0.5, 0.5], [0.5, 0.5]]))
    last = SparseMatrix.of(torch.tensor([[0.9, 0.1], [0.3, 0.7]]))
    reported = {"north": {}, "east": {}}
    rows = [row(1, influence=first), row(2, influence=last, players=reported), row(3)]
    (table,) = costs._influence_after(written({GAME: rows}).main)
    assert list(table.header) == ["model of \\ data of", "north", "east"]
    assert table.rows == [["north", "0.900", "0.100"], ["east", "0.300", "0.700"]]
    assert "after round 2" in table.caption


# ---------------------------------------------------------------------------- what was measured


def test_holdings_are_drawn_by_player_and_class(written, monkeypatch):
    shown = {}
    monkeypatch.setattr(
        figures, "heat_map", lambda v, r, c, **_: shown.update(v=v, r=r, c=c) or b""
    )
    section = measured.holdings(written({GAME: [row(1)]}))
    assert shown == {"v": list(COUNTS.values()), "r": PLAYERS, "c": ["0", "1", "2"]}
    assert "; 15 of 40 were dealt out" in section.pictures[0].caption


def shares_of(measured_shares, raw, distance, n):
    return {
        "class_shares": value(measured_shares, None, n=n),
        "class_shares_raw": value(raw, None, n=n),
        "distance_to_prediction": value(distance, n=n),
    }


def test_bars_are_measured_shares_on_those_of_the_own_data(written):
    by_player = {
        "south": shares_of([0.1, 0.6, 0.3], [0.2, 0.5, 0.3], 0.125, 300),
        "north": shares_of([0.7, 0.2, 0.1], [0.6, 0.3, 0.1], 0.25, 2000),
    }
    predicted = {"north": [0.5, 0.25, 0.25], "south": [0.0, 0.5, 0.5]}
    section = measured.shares(written({GAME: [row(4, by_player, predicted=predicted)]}))
    (picture,) = section.pictures
    north, south = picture.chart.panels
    assert north.title == "north: n = 2,000, d = 0.250"
    assert south.title == "south: n = 300, d = 0.125"
    assert north.places == south.places == ["0", "1", "2"]
    drawn = {bars.name: bars for bars in north.bars}
    own, corrected = "in the player's own data", "measured, confusion-corrected"
    assert [bars.name for bars in north.bars] == [own, corrected, "predicted", "measured, raw"]
    assert drawn[own].heights == [3 / 4, 1 / 4, 0]
    assert drawn[corrected].heights == [0.7, 0.2, 0.1]
    assert (drawn["predicted"].heights, drawn["predicted"].mark) == ([0.5, 0.25, 0.25], "line")
    assert (drawn["measured, raw"].heights, drawn["measured, raw"].mark) == (
        [0.6, 0.3, 0.1],
        "ring",
    )
    heights = [bars.heights for bars in south.bars]
    assert heights == [[0, 4 / 6, 2 / 6], [0.1, 0.6, 0.3], [0.0, 0.5, 0.5], [0.2, 0.5, 0.3]]
    assert "after round 4: n = 300 to 2,000 generated samples per player" in picture.caption
    assert "n_real = 497 test samples" in picture.caption


def test_lines_are_drawn_at_their_rounds_and_in_their_game(written):
    rows = [
        row(2, fids(north=4.0, south=9.0), players={"north": {"loss": 3.0, "flops": 9.0}}),
        row(3, players={"north": {"loss": 2.0}, "south": {"loss": 5.0}}),
        row(4, fids(north=3.0)),
    ]
    result = written({GAME: rows, "isolated": [row(4, fids(south=7.0))]})
    section = over_rounds.section(result)
    scores, learning = [picture.chart for picture in section.pictures]
    assert lines_of(scores.panels[0]) == [
        ("-", [[2, 4], [4, 3]]),
        ("-", [[2, 9]]),
        ("--", [[4, 7]]),
    ]
    assert lines_of(learning.panels[0]) == [("-", [[2, 3], [3, 2]]), ("-", [[3, 5]])]
    assert len(learning.panels) == 1, "operations are no curve"
    names = [curve.name for curve in scores.panels[0].curves]
    assert names == ["north, sample exchange", "south, sample exchange", "south, isolated"]
    assert [key.label for key in scores.keys] == ["north", "south", "sample exchange", "isolated"]
    assert scores.panels[0].meaning.startswith("How far samples lie from real rows")
    data = section.data["measured"]["fid"]
    assert data[0] == {"player": "north", "game": GAME, "rounds": [2, 4], "values": [4.0, 3.0]}


def test_bands_are_the_mean_of_players_and_one_deviation_about_it(written):
    result = written(
        {GAME: [row(2, fids(north=1.0, south=2.0, east=6.0)), row(4, fids(north=5.0, south=3.0))]}
    )
    band = over_rounds._band(result, GAME, "fid")
    assert band.x == [2, 4]
    assert band.mean == [3.0, 4.0]
    assert band.std == pytest.approx([math.sqrt(7), math.sqrt(2)])
    assert band.arm == "sample exchange: mean of 3 players"
    assert over_rounds._deviation([1.0]) is None
    assert over_rounds._deviation([1.0, math.inf]) is None


def test_where_there_are_many_players_games_beside_are_drawn_as_means(written):
    result = written(
        {
            GAME: [row(2, fids(north=1.0))],
            "isolated": [row(2, fids(north=4.0, south=6.0, east=5.0))],
        }
    )
    lines = {"fid": [Line("north", GAME, [2], [1.0]), Line("north", "isolated", [2], [4.0])]}
    assert over_rounds._with_means(result, lines) == {
        "fid": [Line("north", GAME, [2], [1.0]), Line("", "isolated", [2], [5.0])]
    }


def test_shares_are_compared_with_the_last_prediction_that_is_on_record(written):
    rows = [
        row(1, predicted={"north": [0.5, 0.5]}),
        row(2, predicted={"north": [0.25, 0.75]}),
        row(3),
    ]
    games = {
        GAME: {"predicted": {"north": [1.0, 0.0]}},
        "isolated": {"predicted": {"north": [0.0, 1.0]}},
    }
    result = written({GAME: rows, "isolated": [row(1)]}, record={"games": games})
    assert result.predicted(GAME) == {"north": [0.25, 0.75]}
    assert result.predicted("isolated") == {"north": [0.0, 1.0]}
    assert result.summary()["games"][GAME]["predicted"] == {"north": [0.25, 0.75]}


# ------------------------------------------------------------------------------ drawn curves


def test_bands_become_curves_with_their_spread_and_their_style():
    band = Band("a", [1, 2, 4], [3.0, 5.0, 4.0], [1.0, 0.5, None])
    level = Band("b", [1, 2], [9.0, 7.0], [None, 2.0], level=True)
    styles = {"a": (0, 0), "b": (7, 1)}
    chart = charts.bands({"fid": [band, level]}, {"fid": "FID"}, styles, "x")
    (panel,) = chart.panels
    assert lines_of(panel) == [("-", [[1, 3], [2, 5], [4, 4]]), ("--", [[1, 9], [2, 7]])]
    assert [curve.spread for curve in panel.curves] == [[1.0, 0.5, None], [None, 2.0]]
    assert [curve.level for curve in panel.curves] == [False, True]
    assert [curve.look.hollow for curve in panel.curves] == [False, True]
    assert (panel.y_log, panel.title) == (False, "FID")
    assert [(key.label, key.look.dash) for key in chart.keys] == [("a", "-"), ("b", "--")]


@pytest.mark.parametrize(
    ("means", "is_log"),
    [
        ([1.0, 30.0], False),
        ([1.0, 30.5], True),
        ([-1.0, 90.0], False),
        ([0.0, 90.0], False),
        ([math.nan], False),
    ],
)
def test_a_logarithmic_scale_is_for_positive_values_that_span_a_factor_of_thirty(means, is_log):
    assert (
        charts._spans_decades([Band("a", [0] * len(means), means, [None] * len(means))]) is is_log
    )


@pytest.mark.parametrize(
    ("rounds", "ticks"),
    [
        ([5, 10], [5, 10]),
        (range(1, 8), list(range(1, 8))),
        (range(1, 9), [2, 4, 6, 8]),
        (range(5, 101, 5), [10, 25, 40, 55, 70, 85, 100]),
    ],
)
def test_ticks_are_measured_rounds_and_always_the_last(rounds, ticks):
    assert whole_ticks(rounds) == ticks


def test_ingress_is_that_of_the_papers_table():
    """d = 6, |w| + |θ| = 90, N = 5, k ≥ 2.

    Server 4 b d N and 4 (|w|+|θ|) N, a worker 8 b d and 4 (|w|+|θ|).
    """
    (panel,) = charts.ingress(sample=6, both=90, workers=5, batch=7, shown=2).panels
    by_label = {curve.name: curve for curve in panel.curves}
    mib = 1024**2
    b = np.asarray(by_label["MD-GAN, server"].x)
    expected = {
        "MD-GAN, server": 4 * b * 6 * 5,
        "FL-GAN, server": np.full_like(b, 4 * 90 * 5),
        "MD-GAN, a worker": 2 * 4 * b * 6,
        "FL-GAN, a worker": np.full_like(b, 4 * 90),
    }
    for label, numbers in expected.items():
        assert np.allclose(np.asarray(by_label[label].y) * mib, numbers)
    (crossing,) = [curve for curve in panel.curves if not curve.look.dash]
    # a worker's, who gets two batches, at half of b = 90 / 6, where the server's is
    assert np.allclose(crossing.x, [7.5, 15])
    assert np.allclose(np.asarray(crossing.y) * mib, [4 * 90, 4 * 90 * 5])
    assert b[0] == 1
    assert b[-1] == pytest.approx(100)
    assert panel.marked == (7, "b = 7")
    assert (panel.x_log, panel.y_log) == (True, True)


def test_a_heat_map_shades_by_the_largest_entry_and_writes_it_all(drawn):
    figures.heat_map(
        [[0.0, 2.0, 1.0], [4.0, 0.0, 3.0]],
        ["a", "b"],
        ["x", "y", "z"],
        row_label="r",
        column_label="c",
        write=lambda v: f"{v:.0f}",
    )
    axes = drawn[0].axes[0]
    assert axes.images[0].get_array().tolist() == [[0, 0.5, 0.25], [1, 0, 0.75]]
    placed = {text.get_position(): text.get_text() for text in axes.texts}
    assert placed == {(0, 0): "0", (1, 0): "2", (2, 0): "1", (0, 1): "4", (1, 1): "0", (2, 1): "3"}


# ------------------------------------------------------------------------------------ pictures


def test_images_stand_row_by_row_between_lines_of_paper():
    images = np.arange(1.0, 5.0)[:, None, None] * np.ones((4, 2, 3))
    images[2, 0, 1] = 9.0
    grid = figures.mosaic(images, 3, 0.0, 5.0)
    assert grid.shape == (2 * 3 + 1, 3 * 4 + 1, 3)
    for place, (top, left) in enumerate([(1, 1), (1, 5), (1, 9), (4, 1)]):
        block = grid[top : top + 2, left : left + 3, 0]
        expected = np.clip(images[place] / 5, 0, 1)
        assert np.allclose(block, expected)
    assert np.allclose(grid[4:6, 5:8], 0.9), "a place without an image is paper"
    assert np.allclose(grid[0], 0.9)
    assert np.allclose(figures.mosaic(images, 3, 0.0, 5.0, dark_ink=True)[1, 1], 0.8)
    colours = np.zeros((1, 3, 1, 1))
    colours[0, :, 0, 0] = [1, 2, 3]
    assert figures.mosaic(colours, 1, 1.0, 3.0)[1, 1].tolist() == [0, 0.5, 1]


def test_images_are_sorted_by_their_classes_and_those_alike_stay_in_order():
    images = torch.arange(5.0)[:, None, None].expand(5, 1, 1)
    values = {"image": images, "class": torch.tensor([2, 0, 1, 0, 0])}
    assert samples.by_class(values, "image", 4)[:, 0, 0].tolist() == [1, 3, 2, 0]
    assert samples.by_class({"image": images}, "image", 3)[:, 0, 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("count", "chosen"), [(3, [0, 1, 2]), (4, [0, 1, 2, 3]), (7, [0, 2, 4, 6]), (11, [0, 3, 7, 10])]
)
def test_rounds_are_chosen_evenly_from_the_first_to_the_last(count, chosen):
    assert samples._evenly(list(range(count)), 4) == chosen


def test_every_row_has_real_samples_of_its_own_as_far_as_they_last():
    real = {"image": torch.arange(10.0)[:, None, None]}
    rows = [samples._real_images(real, "image", 4, place)[:, 0, 0].tolist() for place in range(3)]
    assert rows == [[0, 1, 2, 3], [4, 5, 6, 7], [1, 2, 3, 4]]


def test_a_table_lists_the_first_samples_of_each_player():
    drawn = {
        "north": {"x": torch.tensor([1.5, 2.0, 3.0, 4.0])},
        "south": {"x": torch.tensor([7.0])},
    }
    snapshot = samples._Snapshot(GAME, 6, drawn)
    space = Space({"x": Variable(kind="real")})
    table = samples._table(snapshot, ["x"], PLAYERS, space)
    assert table.rows == [["north 1", "1.5"], ["north 2", "2"], ["north 3", "3"], ["south 1", "7"]]
    assert samples._write(torch.arange(8.0)) == "0, 1, 2, 3, 4, 5, … (8 numbers)"


def test_a_grid_of_images_is_as_near_to_a_square_as_it_can_be():
    x = torch.rand(7, 4, 4, generator=stream(1))
    png = figures.image_grid(x)
    width, height = (int.from_bytes(png[i : i + 4], "big") for i in (16, 20))
    scale = 480 // 16
    assert (width, height) == (16 * scale, 16 * scale)  # 3 × 5 + 1 pixels each way


# ------------------------------------------------------------------------------------ headline


def test_the_head_of_the_page_has_everybodys_scores_and_their_mean(written):
    north = {"fid": value(12.5, low=11.0, high=14.0), "acc": value(0.5, "higher")}
    south = {"fid": value(8.0), "acc": value(0.75, "higher", n=200)}
    east = {"fid": value(3.5, n_real=500)}
    rows = [row(2, {"north": north, "south": south, "east": east}), row(3)]
    result = written({GAME: rows, "isolated": [row(3, fids(north=20.0, south=10.0, east=0.0))]})
    section = headline(result)
    (table,) = section.tables
    assert list(table.header)[2:] == ["sample exchange", "isolated", "sample exchange"]
    assert list(table.groups) == [("", 2), ("FID ↓", 2), ("acc ↑", 1)]
    body = [list(each)[1:] for each in table.rows]
    assert body[:3] == [
        [("4", "0, 1"), ("12.5", "[11.0, 14.0]"), "20.0", "0.500"],
        [("6", "1, 2"), "8.0", "10.0", "0.750"],
        [("5", "0"), "3.5", "0.0", "–"],
    ]
    assert body[3:] == [["", "8.0", "10.0", ("0.625", "of 2")]]
    assert (
        "Last measured after round 2 of 3 (sample exchange) and 3 of 3 (isolated)." in table.caption
    )
    fid, acc = table.terms
    assert (fid.name, acc.name) == ("FID ↓", "acc ↑")
    assert fid.detail == (
        "Lower is better. Unit: u, n = 100 generated samples against n_real = 497 to 500."
    )
    assert acc.detail.startswith("Higher is better. Unit: u, n = 100 to 200 generated samples")
    assert table.hover("FID ↓").startswith("How far samples lie from real rows")
    assert table.hover("acc ↑") == table.hover("isolated") == ""
    assert "recognises 87.5% of n = 1,497 real test samples" in section.text[0]
    assert section.data["measured_after_round"] == {GAME: 2, "isolated": 3}


def test_the_sentence_counts_players_rounds_and_samples(written):
    result = written({GAME: [row(1), row(2)], "isolated": [row(1)]})
    assert sentence(result) == (
        "3 players (exponential_family) played sample exchange for 2 of 3 rounds on digits "
        "(40 training samples, 9 test samples that no player holds); isolated was carried along."
    )
    assert status(result).word == "finished"


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (9999.4, "9,999"), (12345.6, "12,346"), (-0.00125, "−0.00125"), (0.123456, "0.1235"),
        (-math.inf, "−∞"), (1e12, "1,000,000,000,000"), (0, "0"),
    ],
)  # fmt: skip
def test_numbers_have_four_digits(amount, text):
    assert number(amount) == text


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        ([0.5, -0.25], ["0.500", "−0.250"]),
        ([1.0, 0.5], ["1.00", "0.50"]),
        ([-10.0, 0.5], ["−10.0", "0.5"]),
        ([9.999, None], ["10.00", "–"]), ([1234.5], ["1,234.5"]),
    ],
)  # fmt: skip
def test_a_column_has_the_decimals_that_its_largest_number_needs(column, texts):
    write = aligned(column)
    assert [write(amount) for amount in column] == texts


def test_counts_of_a_column_have_no_decimals():
    assert aligned([3.0, 2.0], whole=True)(2.0) == "2"
    assert aligned([2.5], whole=True)(2.5) == "2.50"
    assert aligned([1500.5], whole=True)(1500.5) == "1,500"
    assert ranges([1, 2, 4, 5, 6, 8]) == "1, 2, 4–6, 8"


# ------------------------------------------------------------------------------- costs of GANs


def test_what_neither_the_formula_nor_what_goes_along_explains_is_left():
    link = gan_costs.Link("exchange/swap", "workers", "workers", "|θ|", times=3, bytes=120)
    cost = LinkCost(link, 3, bytes=200, classes=30, others=11)
    assert cost.left == 200 - 120 - 30 - 11


def test_work_is_a_mean_over_turns_and_payload_goes_to_its_kind_of_link(written):
    """Six steps a round; the server's operations are per step, a worker's per step and worker."""
    flops = [
        {"server": {"flops": 600.0}, "north": {"flops": 60.0}, "south": {"flops": 120.0}},
        {"server": {"flops": 1200.0}, "north": {"flops": 240.0}, "east": {"loss": 1.0}},
    ]
    links = (
        LinkTraffic("exchange/generated", "server", "north", 500, 4),
        LinkTraffic("exchange/generated", "server", "south", 700, 8),
        LinkTraffic("exchange/feedback", "north", "server", 90, 4),
        LinkTraffic("exchange/swap", "north", "south", 44, 1),
    )
    space = {"x": {"kind": "real", "shape": [3, 4], "low": 0, "high": 1}}
    sizes = {
        "generator": {"parameters": 50, "tensors": 2, "buffer_bytes": 0},
        "discriminator": {"parameters": 11, "tensors": 3, "buffer_bytes": 5},
    }
    data = {
        "name": "digits", "train": 40, "test": 9, "space": space,
        "learned": LEARNED,
        "sizes": {"north": 4, "south": 6, "east": 5}, "counts": {},
    }  # fmt: skip
    result = written(
        {"md_gan": [row(1, players=flops[0]), row(2, players=flops[1])]},
        links,
        record={"data": data, "games": {"md_gan": {"network_sizes": sizes}}},
        game={
            "name": "md_gan",
            "rounds": 2,
            "local_steps": 6,
            "batches": 2,
            "swap_every_epochs": 2.0,
        },
        model={"name": "acgan", "batch": 3},
    )
    (found,) = costs_of(result)
    assert found.work == {"server": 1800 / 12, "a worker": 420 / 18}
    setting = found.setting
    assert (setting.workers, setting.batch, setting.batches) == (3, 3, 2)
    assert (setting.samples, setting.epochs, setting.iterations) == (5.0, 2.0, 12)
    assert (setting.pair.generator, setting.pair.discriminator, setting.pair.sample) == (50, 11, 12)
    by_purpose = {cost.link.purpose: cost for cost in found.links}
    generated = by_purpose["exchange/generated"]
    assert generated.bytes == 1200
    assert generated.times == 12 / 6  # each gets two batches of three
    feedback = by_purpose["exchange/feedback"]
    assert (feedback.bytes, feedback.times) == (90, pytest.approx(4 / 3))
    swap = by_purpose["exchange/swap"]
    # m E / b = 5 · 2 / 3, rounded to 3: four swaps of three
    assert (swap.link.times, swap.times, swap.bytes, swap.others) == (12, 1, 44, 5)


# -------------------------------------------------------------------------------- comparisons


def test_mean_and_deviation_over_seeds():
    spread_ = Spread({4: 1.0, 7: 2.0, 9: 6.0})
    assert spread_.mean == 3.0
    assert spread_.std == pytest.approx(math.sqrt((4 + 1 + 9) / 2))
    assert spread_.json() == {
        "mean": 3.0,
        "std": spread_.std,
        "seeds": 3,
        "values": {4: 1, 7: 2, 9: 6},
    }
    assert Spread({1: 5.0}).std is None
    assert math.isnan(Spread({1: 5.0, 2: math.inf}).std)
    assert format_spread(Spread({1: 2048.0, 2: 4096.0}), aligned([3.0]), 1024.0) == "3.00 ± 1.41"


def seconds(learning, sampling=0.0, exchange=0.0):
    return {
        "learning": learning,
        "sampling": sampling,
        "exchange": exchange,
        "evaluation": 100.0,
        "bookkeeping": 50.0,
    }


def two_seeds(written, **sections):
    first = [
        row(1, fids(north=9.0, south=5.0, east=1.0), bytes=KIB, seconds=seconds(1.0, 0.5, 0.25)),
        row(2, bytes=3 * KIB, seconds=seconds(2.0)),
        row(
            3,
            fids(north=4.0, south=2.0, east=0.0),
            bytes=2 * KIB,
            seconds=seconds(4.0),
            players={"north": {"flops": 7.0}, "south": {"flops": 2.0}},
        ),
    ]
    second = [
        row(1, fids(north=8.0, south=7.0, east=6.0), bytes=5 * KIB, seconds=seconds(3.0)),
        row(2, fids(north=1.0, south=1.0, east=1.0), bytes=0, seconds=seconds(1.0)),
        row(
            3,
            fids(north=6.0, south=4.0, east=2.0),
            bytes=KIB,
            seconds=seconds(2.0),
            players={"east": {"flops": 21.0}},
        ),
    ]
    links = (
        LinkTraffic("exchange", "north", "south", 6 * KIB, 5),
        LinkTraffic("evaluation", "north", "coordinator", 10, 5),
    )
    runs = [
        written({GAME: first}, links, "one", 1, **sections),
        written({GAME: second}, links, "two", 2, **sections),
    ]
    return Comparison.load([run.folder for run in runs])


def test_a_curve_is_the_mean_over_seeds_at_the_rounds_they_share(written):
    (arm,) = two_seeds(written).arms
    curve = arm.curves["fid"]
    assert curve.rounds == [1, 3]
    assert curve.mean == [6.0, 3.0]  # (5 + 7) / 2, (2 + 4) / 2
    assert curve.std == pytest.approx([math.sqrt(2)] * 2)
    assert curve.bytes == [3 * KIB, 6 * KIB]
    assert curve.seconds == [(1.75 + 3) / 2, (7.75 + 6) / 2], "evaluation is no play"


def test_costs_of_an_arm_are_sums_of_each_run(written):
    (arm,) = two_seeds(written).arms
    costs_ = {name: None if each is None else dict(each.values) for name, each in arm.costs.items()}
    assert costs_["bytes_exchange"] == {1: 6 * KIB, 2: 6 * KIB}
    assert costs_["bytes_evaluation"] == {1: 10, 2: 10}
    assert costs_["bytes_checkpoint"] == {1: 0, 2: 0}
    assert costs_["seconds_learning"] == {1: 7.0, 2: 6.0}
    assert costs_["seconds_sampling"] == {1: 0.5, 2: 0.0}
    assert costs_["seconds_evaluation"] == {1: 300.0, 2: 300.0}
    assert costs_["rounds"] == {1: 3, 2: 3}
    assert costs_["steps"] == {1: 6.0, 2: 6.0}  # two a round
    assert costs_["flops"] == {1: 9.0, 2: 21.0}


def test_tables_of_a_comparison_have_means_and_deviations_in_their_units(written):
    comparison = two_seeds(written)
    table = score_table(comparison, caveats(comparison))
    assert list(table.header) == ["arm", "seeds", "FID ↓"]
    assert table.rows == [("sample exchange", "2", "3.00 ± 1.41")]
    by_player = score_table(comparison, (), by_player=True)
    assert [each[2] for each in by_player.rows] == ["5.00 ± 1.41", "3.00 ± 1.41", "1.00 ± 1.41"]
    amounts, times = cost_tables(comparison)
    cells = dict(zip(amounts.header, amounts.rows[0], strict=True))
    assert cells["exchange (KiB)"] == "6.00"
    assert cells["evaluation (B)"] == "10"
    assert "checkpoint (B)" not in cells
    assert (cells["rounds"], cells["steps"]) == ("3", "6")
    assert cells["FLOPs"] == "15 ± 8"
    cells = dict(zip(times.header, times.rows[0], strict=True))
    assert cells["learning (s)"] == "6.50 ± 0.71"
    assert cells["evaluation (s)"] == "300.0"


def test_files_of_a_comparison_have_each_runs_last_values(written):
    comparison = two_seeds(written)
    lines = list(csv.DictReader(io.StringIO(table_of_values(comparison))))
    values = {(line["seed"], line["player"]): float(line["value"]) for line in lines}
    assert values == {
        ("1", "north"): 4.0, ("1", "south"): 2.0, ("1", "east"): 0.0,
        ("2", "north"): 6.0, ("2", "south"): 4.0, ("2", "east"): 2.0,
    }  # fmt: skip
    assert {(line["round"], line["n"], line["n_real"]) for line in lines} == {("3", "100", "497")}
    plain = plain_values(comparison, ())
    score = plain["arms"][0]["scores"]["fid"]
    assert (score["mean"], score["values"]) == (3.0, {1: 2.0, 2: 4.0})
    assert score["players"]["north"]["mean"] == statistics.fmean([4.0, 6.0])
    assert len(measurements(comparison)) == 6


def test_curves_of_a_comparison_are_drawn_over_rounds_payload_and_seconds(written):
    section = comparison_curves.section(two_seeds(written))
    rounds, payload, time = [picture.chart.panels[0] for picture in section.pictures]
    assert lines_of(rounds)[0] == ("-", [[1, 6], [3, 3]])
    assert lines_of(payload)[0] == ("-", [[3, 6], [6, 3]])
    assert "KiB" in payload.x_label
    assert lines_of(time)[0] == ("-", [[2.375, 6], [6.875, 3]])


def test_payload_that_was_not_counted_by_round_is_spread_over_rounds_of_exchange(written):
    """Of four rounds the first two were alone: 6 KiB in two."""
    rows = [row(i, fids(north=1.0)) for i in (1, 2, 3, 4)]
    game = {"name": GAME, "rounds": 4, "own_rounds": 2}
    links = (LinkTraffic("exchange", "north", "south", 6 * KIB, 5),)
    result = written({GAME: rows, "isolated": rows}, links, game=game)
    assert spread.bytes_by_round(result, result.main) == {1: 0, 2: 0, 3: 3 * KIB, 4: 6 * KIB}
    isolated = result.plays["isolated"]
    assert spread.bytes_by_round(result, isolated) == {i: 1.5 * KIB * i for i in (1, 2, 3, 4)}


def test_payload_of_a_purpose_has_its_parts_and_no_namesake(written):
    links = (
        LinkTraffic("exchange", "a", "b", 1, 1),
        LinkTraffic("exchange/part", "a", "b", 20, 1),
        LinkTraffic("exchanged", "a", "b", 300, 1),
        LinkTraffic("evaluation", "a", "b", 4000, 1),
    )
    play = written({GAME: [row(1)]}, links).main
    assert spread.payload_bytes(play, "exchange") == 21
    assert spread.payload_bytes(play, "exchange/part") == 20


@pytest.mark.parametrize(
    ("name", "largest", "unit"),
    [
        ("bytes_exchange", 1023.0, (1.0, "B")), ("bytes_exchange", 1024.0**2, (1024.0**2, "MiB")),
        ("bytes_exchange", 1024.0**3, (1024.0**3, "GiB")), ("flops", 9e8, (1.0, "")),
        ("flops", 1e12, (1e12, " (10¹²)")),
        ("seconds_learning", 9e9, (1.0, "s")),
        ("rounds", 9e9, (1.0, "")),
    ],
)  # fmt: skip
def test_units_of_costs(name, largest, unit):
    assert unit_of(name, largest) == unit


def test_accuracies_of_classifiers_are_told_from_the_lowest_to_the_highest(written):
    def run(seed, accuracy):
        record = {"classifier": {"accuracy": accuracy, "n_test": 1497}}
        return written({GAME: [row(1, fids(north=1.0))]}, (), f"run{seed}", seed, record=record)

    runs = [run(seed, accuracy) for seed, accuracy in ((1, 0.905), (2, 0.875), (3, 0.95))]
    texts = [each.text for each in caveats(Comparison.load([each.folder for each in runs]))]
    assert any("right on 87.5% to 95.0% of 1,497 real test samples" in text for text in texts)


def test_events_are_the_numbers_of_a_round():
    record = RoundRecord(
        3,
        players={"north": {"loss": 0.5}},
        own={"swaps": 2, "flag": True, "stacked": ["a"]},
        measured={"north": {"fid": value(4.0), "shares": value([0.5, 0.5], None)}},
        bytes=77,
        seconds={"learning": 1.25},
    )
    assert dict(_scalars(record)) == {
        "score/fid/north": 4.0,
        "learning/loss/north": 0.5,
        "round/swaps": 2.0,
        "round/bytes": 77.0,
        "seconds/learning": 1.25,
    }
