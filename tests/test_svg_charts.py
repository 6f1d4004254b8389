"""Curves as SVG, read back from the drawing: places, hovers, bands, gaps, and words beside them."""

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coplay.report.axes import linear_ticks, log_ticks, room, thinned
from coplay.report.chart import Chart
from coplay.report.chart_parts import Curve, Key, Look, Panel
from coplay.report.charts import Band, Line, bands, curves

BLUE = Look("#0072B2")
RED = Look("#D55E00", "--", hollow=True)
NUMBERS = st.floats(-1e9, 1e9, allow_nan=False).map(lambda x: float(f"{x:.6g}"))


def drawn(panel, keys=()):
    """The drawing of a panel that stands alone, as an element tree."""
    (drawing,) = Chart([panel], keys).drawings
    return ElementTree.fromstring(drawing)


def number_of(text):
    try:
        return float(text.replace(",", "").replace("−", "-"))
    except ValueError:
        return None


def ticks_of(svg):
    """Places of the numbers on each axis: (number, pixels), across and up."""
    across, up = [], []
    for text in svg.iter("text"):
        value = number_of(text.text or "")
        if value is not None:
            if text.get("text-anchor") == "middle":
                across.append((value, float(text.get("x"))))
            elif text.get("text-anchor") == "end":
                up.append((value, float(text.get("y")) - 4))
    return across, up


def read_at(ticks, pixels, is_log=False):
    """The number at a place of an axis, by its first and its last number alone."""
    (low, start), (high, end) = ticks[0], ticks[-1]
    share = (pixels - start) / (end - start)
    if is_log:
        return low * (high / low) ** share
    return low + share * (high - low)


def spots_of(svg):
    """Places that show a text on hover: (x, y, text)."""
    spots = []
    for spot in svg.iter("circle"):
        if spot.get("class") == "spot":
            spots.append((float(spot.get("cx")), float(spot.get("cy")), spot[0].text))
    return spots


def paths_of(svg, look):
    """The points of each line in a colour."""
    paths = []
    for path in svg.iter("path"):
        if path.get("stroke") == look.colour:
            paths.append(path.get("d"))
    return paths


# ---------------------------------------------------------------------------------- places


@pytest.mark.parametrize("is_log", [False, True], ids=["linear", "logarithmic"])
def test_points_stand_where_the_numbers_of_the_axes_say(is_log):
    x = [1, 2, 5, 9]
    y = [2.5, 40.0, 7.0, 111.0]
    svg = drawn(Panel("FID", "round", [Curve("north", x, y, BLUE)], y_log=is_log))
    across, up = ticks_of(svg)
    assert len(across) >= 2
    assert len(up) >= 3
    spots = spots_of(svg)
    assert len(spots) == len(x)
    for (left, top, text), at, value in zip(spots, x, y, strict=True):
        assert read_at(across, left) == pytest.approx(at, abs=0.02)
        assert read_at(up, top, is_log) == pytest.approx(
            value, rel=0.01, abs=0.0 if is_log else 0.1
        )
        assert text == f"north\nround {at}: {value:g}"
    (path,) = paths_of(svg, BLUE)
    corners = [tuple(map(float, pair.split())) for pair in path[1:].split("L")]
    assert corners == [(left, top) for left, top, _ in spots]
    for value, top in up:
        assert read_at(up, top, is_log) == pytest.approx(value, rel=0.01, abs=0.05)


def test_everything_lies_inside_the_drawing():
    curve = Curve("a", [0, 10], [-3.0, 5.0], BLUE, [1.0, 2.0])
    level = Curve("b", [1], [9.0], RED, [0.5], level=True)
    svg = drawn(Panel("a title", "x", [curve, level], marked=(12, "b = 12")))
    _, _, width, height = map(float, svg.get("viewBox").split())
    for path in svg.iter("path"):
        numbers = [float(text) for text in re.findall(r"-?\d+\.?\d*", path.get("d"))]
        assert min(numbers) >= 0
        assert max(numbers) <= max(width, height)
    across, up = ticks_of(svg)
    assert [top for _, top in up] == sorted((top for _, top in up), reverse=True)
    assert 0 < up[-1][1] < up[0][1] < height
    assert 0 < across[0][1] < across[-1][1] < width


def test_a_band_reaches_one_deviation_to_each_side():
    curve = Curve("a", [1, 2, 4], [3.0, 5.0, 4.0], BLUE, [1.0, 0.5, None])
    svg = drawn(Panel("FID", "round", [curve]))
    across, up = ticks_of(svg)
    (band,) = [path for path in svg.iter("path") if path.get("fill-opacity") == ".15"]
    edge = {}
    for pair in band.get("d")[1:-1].split("L"):
        left, top = map(float, pair.split())
        edge.setdefault(round(read_at(across, left)), []).append(read_at(up, top))
    assert {at: sorted(ends) for at, ends in edge.items()} == {
        1: pytest.approx([2, 4], abs=0.02),
        2: pytest.approx([4.5, 5.5], abs=0.02),
        4: pytest.approx([4, 4], abs=0.02),
    }
    texts = [text for _, _, text in spots_of(svg)]
    assert texts == ["a\nround 1: 3 ± 1", "a\nround 2: 5 ± 0.5", "a\nround 4: 4"]


def test_a_level_line_stands_at_the_last_value_across_the_panel():
    level = Curve("b", [1, 2], [9.0, 7.0], RED, [None, 2.0], level=True)
    svg = drawn(Panel("FID", "KiB", [Curve("a", [0, 3], [1.0, 2.0], BLUE), level]))
    across, up = ticks_of(svg)
    (path,) = paths_of(svg, RED)
    left, top, right = map(float, re.fullmatch(r"M(\S+) (\S+)H(\S+)", path).groups())
    assert read_at(up, top) == pytest.approx(7, abs=0.03)
    assert left < across[0][1] < across[-1][1] < right
    (band,) = [path for path in svg.iter("path") if path.get("fill-opacity") == ".1"]
    ends = [float(text) for text in re.findall(r"[MV](?:\S+ )?(\d+\.?\d*)", band.get("d"))]
    assert sorted(read_at(up, end) for end in ends) == pytest.approx([5, 9], abs=0.03)
    (text,) = [path[0].text for path in svg.iter("path") if len(path)]
    assert text == "b\n7 ± 2"


def test_a_value_that_is_no_number_leaves_a_gap():
    curve = Curve("a", [1, 2, 3, 4, 5, 6], [1.0, 2.0, math.nan, 3.0, math.inf, 4.0], BLUE)
    svg = drawn(Panel("loss", "round", [curve]))
    (path,) = paths_of(svg, BLUE)
    assert path.count("M") == 3
    assert [text.split(": ")[1] for _, _, text in spots_of(svg)] == ["1", "2", "3", "4"]
    assert "nan" not in ElementTree.tostring(svg).decode().lower()


def test_curves_that_are_one_have_one_spot_with_both_values():
    curves = [Curve("a", [1, 2], [3.0, 5.0], BLUE), Curve("b", [1, 2], [3.0, 4.0], RED)]
    svg = drawn(Panel("FID", "round", curves))
    assert [text for _, _, text in spots_of(svg)] == [
        "a\nround 1: 3\nb\nround 1: 3",
        "a\nround 2: 5",
        "b\nround 2: 4",
    ]
    colours = [path.get("stroke") for path in svg.iter("path")]
    assert colours.index(BLUE.colour) < colours.index(RED.colour), (
        "dashes above, or they are hidden"
    )


def test_without_any_number_there_is_an_empty_panel_that_says_so():
    svg = drawn(Panel("loss", "round", [Curve("a", [1, 2], [math.nan, math.inf], BLUE)]))
    assert svg.get("aria-label") == "Curves of loss over round: no value is a finite number."
    assert not spots_of(svg)


# ------------------------------------------------------------------------- long curves, size


def test_long_curves_keep_their_extremes_and_some_hovers_with_the_last():
    y = [math.sin(k / 50) for k in range(5000)]
    y[1234], y[3210] = 9.0, -9.0
    svg = drawn(Panel("loss", "round", [Curve("a", range(5000), y, BLUE)]))
    (path,) = paths_of(svg, BLUE)
    _, up = ticks_of(svg)
    heights = [read_at(up, float(pair.split()[1])) for pair in path[1:].split("L")]
    assert max(heights) == pytest.approx(9, abs=0.1)
    assert min(heights) == pytest.approx(-9, abs=0.1)
    assert len(heights) <= 240
    texts = [text for _, _, text in spots_of(svg)]
    assert texts[0].startswith("a\nround 0: ")
    assert texts[-1].startswith("a\nround 4,999: ")
    assert 100 < len(texts) <= 480
    assert len(list(svg.iter("circle"))) == len(texts), "a long line has no points that are drawn"


def test_a_chart_of_many_long_curves_stays_small():
    """Twelve panels of twelve players over 3,000 rounds: as a picture of PNG it took as much."""
    panels = {}
    for quantity in range(12):
        panels[f"q{quantity}"] = [
            Line(
                f"p{player}",
                "g",
                range(3000),
                [(k * 7919 * (player + 1)) % 101 for k in range(3000)],
            )
            for player in range(12)
        ]
    chart = curves(panels, {name: name for name in panels}, [f"p{k}" for k in range(12)], ["g"])
    assert sum(map(len, chart.drawings)) < 600_000
    drawn_points = [text.count('r="2.8"') for text in chart.drawings]
    assert drawn_points == [0] * 12


@given(st.lists(NUMBERS, min_size=1, max_size=200), st.integers(4, 40))
def test_thinning_keeps_ends_extremes_and_order(y, most):
    x = list(range(len(y)))
    points = thinned(x, y, most)
    assert len(points) <= max(most, 1) or len(points) == len(y) <= most
    assert points[0] == (0, y[0])
    assert points[-1] == (x[-1], y[-1])
    assert [at for at, _ in points] == sorted({at for at, _ in points})
    assert all(y[at] == value for at, value in points)
    assert min(value for _, value in points) == min(y)
    assert max(value for _, value in points) == max(y)


# ------------------------------------------------------------------------------------- axes


@given(NUMBERS, NUMBERS)
def test_round_numbers_stand_inside_at_equal_steps(one, other):
    low, high = room([one, other])
    ticks = linear_ticks(low, high, 5)
    assert 2 <= len(ticks) <= 5
    slack = 1e-6 * (high - low)
    assert low - slack <= ticks[0] <= ticks[-1] <= high + slack
    steps = [after - before for before, after in pairwise(ticks)]
    assert max(steps) - min(steps) <= slack
    assert low <= min(one, other) <= max(one, other) <= high


@given(st.floats(1e-6, 1e6), st.floats(30, 1e9))
def test_numbers_of_a_logarithmic_axis_are_few_and_inside(low, factor):
    ticks = log_ticks(low, low * factor)
    assert 2 <= len(ticks) <= 6
    assert all(low <= tick <= low * factor for tick in ticks)
    assert ticks == sorted(set(ticks))


# ----------------------------------------------------------------------- words and the file

HOSTILE = '<script>alert("x")</script> & \u202e co'


def test_names_are_escaped_and_what_reorders_text_is_written_out():
    panel = Panel(HOSTILE, HOSTILE, [Curve(HOSTILE, [1], [2.0], BLUE)], meaning=HOSTILE)
    chart = Chart([panel], [Key(HOSTILE, BLUE), Key("b", RED)])
    (drawing,) = chart.drawings
    for text in (drawing, chart.file.decode()):
        assert "<script" not in text
        assert "\u202e" not in text
        ElementTree.fromstring(text)


def test_the_words_beside_a_panel_have_first_and_last_values_and_name_twelve_curves():
    many = [Curve(f"p{k}", [1, 2], [float(k), k + 0.5], BLUE) for k in range(14)]
    svg = drawn(Panel("FID (lower is better)", "round", many))
    label = svg.get("aria-label")
    assert label.startswith(
        "Curves of FID (lower is better) over round: p0: 0 at 1, 0.5 at 2; p1: "
    )
    assert "p11: 11 at 1, 11.5 at 2; and 2 more." in label
    assert svg.get("role") == "img"


def test_the_file_holds_all_panels_beneath_the_legend():
    chart = bands(
        {
            "fid": [Band("a", [1, 2], [3.0, 90.5], [None, None])],
            "kid": [Band("b", [1], [2.0], [1.0])],
        },
        {"fid": "FID", "kid": "KID"},
        {"a": (0, 0), "b": (1, 1)},
        "round",
        rounds=True,
    )
    tree = ElementTree.fromstring(chart.file)
    assert tree.tag == "{http://www.w3.org/2000/svg}svg"
    texts = [text.text for text in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[:2] == ["a", "b"]
    assert {"FID, log scale", "KID", "round"} <= set(texts)
    assert chart.file == chart.file
    assert [label for _, label in chart.legend] == ["a", "b"]


def test_players_and_games_look_unlike_each_other():
    games = ["one", "two", "three", "four", "five"]
    players = [f"p{k}" for k in range(12)]
    lines = [Line(player, game, [1], [1.0]) for game in games for player in players]
    (panel,) = curves({"q": lines}, {"q": "q"}, players, games).panels
    looks = {(curve.look.colour, curve.look.dash, curve.look.hollow) for curve in panel.curves}
    assert len(looks) == len(lines)
