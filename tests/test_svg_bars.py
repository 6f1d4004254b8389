"""Bars as SVG, read back from the drawing: heights, widths, bands, bins, hovers, and words."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from coplay.metrics.table_view import REAL, ColumnView
from coplay.report.chart import Chart
from coplay.report.chart_parts import BarPanel, Bars, Key, Look
from coplay.report.share_bars import SharesPanel, share_bars
from coplay.report.table_charts import column_panels

from .test_svg_charts import HOSTILE, drawn, read_at, ticks_of

BLUE, RED, GREY = "#0072B2", "#D55E00", "#c9d1d9"
NAMES = ("a", "b", "c")


def numbers_of(path):
    return [float(text) for text in re.findall(r"-?\d+\.?\d*", path)]


def boxes_of(svg, colour):
    """What is filled in a colour: (left, low, high, right, opacity), in pixels."""
    boxes = []
    for path in svg.iter("path"):
        if path.get("fill") == colour:
            left, low, high, right, again = numbers_of(path.get("d"))
            assert low == again
            boxes.append((left, low, high, right, float(path.get("fill-opacity", 1))))
    return boxes


def strokes_of(svg, colour):
    """Level lines in a colour: (left, height, right), in pixels."""
    strokes = []
    for path in svg.iter("path"):
        if path.get("stroke") == colour:
            for line in path.get("d").split("M")[1:]:
                strokes.append(tuple(numbers_of(line)))
    return strokes


def hovers_of(svg):
    """What is shown over each place, from left to right."""
    return [path[0].text for path in svg.iter("path") if path.get("class") == "spot"]


def middles_of(svg):
    """Where the names of places stand, by name."""
    texts = [text for text in svg.iter("text") if text.get("text-anchor") == "middle"]
    return {text.text: float(text.get("x")) for text in texts}


# ---------------------------------------------------------------------------------- places


def test_bars_lines_and_rings_have_the_heights_that_the_axis_says():
    heights = [0.5, 0.125, 0.0]
    bars = [
        Bars("held", [0.25, 0.75, 0.0], GREY, width=0.9),
        Bars("measured", heights, BLUE, width=0.6),
        Bars("predicted", heights, RED, "line", 0.8, 0.0, [0.25, 0.25, 0.0], "by chance"),
        Bars("raw", heights, "#1b1f24", "ring"),
    ]
    svg = drawn(BarPanel("north", "class", NAMES, bars))
    _, up = ticks_of(svg)
    middle = middles_of(svg)
    assert min(read for read, _ in up) == 0

    def read(pixels):
        return read_at(up, pixels)

    for colour, expected, width in ((GREY, [0.25, 0.75, 0.0], 0.9), (BLUE, heights, 0.6)):
        boxes = boxes_of(svg, colour)
        assert [read(box[2]) for box in boxes] == pytest.approx(expected, abs=0.01)
        assert [read(box[1]) for box in boxes] == pytest.approx([0, 0, 0], abs=0.01)
        room = middle["b"] - middle["a"]
        for name, (left, _, _, right, _) in zip(NAMES, boxes, strict=True):
            assert (left + right) / 2 == pytest.approx(middle[name], abs=0.2)
            assert right - left == pytest.approx(width * room, abs=0.2)
    strokes = strokes_of(svg, RED)
    assert [read(height) for _, height, _ in strokes] == pytest.approx(heights, abs=0.01)
    # a band is as wide as its line, and nothing is drawn where chance moves nothing
    bands = boxes_of(svg, RED)
    assert [read(box[1]) for box in bands] == pytest.approx([0.25, 0.0], abs=0.01)
    assert [read(box[2]) for box in bands] == pytest.approx([0.75, 0.375], abs=0.01)
    assert [(box[0], box[3]) for box in bands] == [(line[0], line[2]) for line in strokes[:2]]
    assert {box[4] for box in bands} == {0.25}
    assert min(box[2] for box in bands) >= 21, "beneath the title"
    rings = [c for c in svg.iter("circle") if c.get("fill") == "#fff"]
    assert [read(float(c.get("cy"))) for c in rings] == pytest.approx(heights, abs=0.01)
    assert [float(c.get("cx")) for c in rings] == pytest.approx(list(middle.values())[:3], abs=0.2)


def test_lines_over_bins_are_joined_and_begin_and_end_at_nothing():
    edges = (-1.0, 0.0, 0.5, 3.0)
    heights = [0.25, 0.5, 0.125]
    bars = [Bars("real", heights, GREY), Bars("drawn", heights, BLUE, "line")]
    svg = drawn(BarPanel("age", "bin", ("−1 to 0", "0 to 0.5", "0.5 to 3"), bars, edges))
    across, up = ticks_of(svg)
    boxes = boxes_of(svg, GREY)
    for (left, _, high, right, _), height, ends in zip(
        boxes, heights, pairwise(edges), strict=True
    ):
        assert (read_at(across, left), read_at(across, right)) == pytest.approx(ends, abs=0.02)
        assert read_at(up, high) == pytest.approx(height, abs=0.01)
    ((first, bottom, *steps),) = strokes_of(svg, BLUE)
    assert read_at(across, first) == pytest.approx(-1, abs=0.02)
    assert read_at(up, bottom) == pytest.approx(0, abs=0.01)
    assert steps[-1] == bottom
    assert [read_at(up, at) for at in steps[0:-1:2]] == pytest.approx(heights, abs=0.01)
    assert [read_at(across, at) for at in steps[1:-1:2]] == pytest.approx(edges[1:], abs=0.02)


def test_what_is_no_number_is_not_drawn_and_what_is_negative_hangs_below():
    heights = [float("nan"), -0.5, 1.0]
    bars = [Bars("x", heights, BLUE), Bars("y", heights, RED, "line")]
    svg = drawn(BarPanel("t", "class", NAMES, bars))
    _, up = ticks_of(svg)
    ends = [[read_at(up, box[1]), read_at(up, box[2])] for box in boxes_of(svg, BLUE)]
    assert ends == [pytest.approx([0, -0.5], abs=0.02), pytest.approx([0, 1], abs=0.02)]
    assert len(strokes_of(svg, RED)) == 2
    assert min(value for value, _ in up) < 0
    _, _, _, height = map(float, svg.get("viewBox").split())
    assert max(box[2] for box in boxes_of(svg, BLUE)) < height - 38, "above names and label"
    assert hovers_of(svg) == ["class a", "class b\nx: −0.5\ny: −0.5", "class c\nx: 1\ny: 1"]


def test_a_band_above_all_marks_is_on_the_axis():
    bars = Bars("x", [0.1, 0.1, 0.1], BLUE, "line", 0.8, 0.0, [0.9, 0.0, 0.0], "by chance")
    svg = drawn(BarPanel("t", "class", NAMES, [bars]))
    ((_, _, top, _, _),) = boxes_of(svg, BLUE)
    assert top > 21, "beneath the title"
    assert max(value for value, _ in ticks_of(svg)[1]) == 1.0


def test_a_panel_of_nothing_but_zeros_has_an_axis():
    svg = drawn(BarPanel("t", "class", NAMES, [Bars("x", [0.0, 0.0, 0.0], BLUE)]))
    assert len(boxes_of(svg, BLUE)) == 3


@pytest.mark.parametrize("count", [2, 24, 300])
@pytest.mark.parametrize("name", ["k{}", "a category whose name is long, number {}"])
def test_names_stand_inside_the_drawing_and_are_not_too_many(count, name):
    places = [name.format(k) for k in range(count)]
    panel = BarPanel("t", "level", places, [Bars("x", [1 / count] * count, BLUE)], named=False)
    svg = drawn(panel)
    _, _, width, height = map(float, svg.get("viewBox").split())
    names = [t for t in svg.iter("text") if t.text[0] in "ka"]
    assert 2 <= len(names) <= 24
    assert len(hovers_of(svg)) == count
    for text in names:
        x, y = float(text.get("x")), float(text.get("y"))
        length = 6.1 * len(text.text)
        if text.get("transform"):
            assert x - 0.77 * length >= 0
            assert y + 0.64 * length <= height
        else:
            assert x - length / 2 >= 0
            assert x + length / 2 <= width
            assert y <= height


# ------------------------------------------------------------------------- words, on hover and off


def test_hover_and_the_words_beside_say_every_number():
    bars = [Bars("measured", [0.1, 0.9], BLUE), Bars("predicted", [0.2, 0.8], RED, "line")]
    bars[1] = Bars("predicted", [0.2, 0.8], RED, "line", 0.8, 0.0, [0.3, 0.1], "95 % by chance")
    svg = drawn(BarPanel("north", "class", ("cat", "dog"), bars))
    assert hovers_of(svg) == [
        "class cat\nmeasured: 0.1\npredicted: 0.2; 95 % by chance: 0 to 0.5",
        "class dog\nmeasured: 0.9\npredicted: 0.8; 95 % by chance: 0.7 to 0.9",
    ]
    assert svg.get("aria-label") == (
        "Shares of north by class: measured (cat: 0.1, dog: 0.9); predicted (cat: 0.2, dog: 0.8)."
    )
    many = BarPanel("t", "class", [str(k) for k in range(20)], [Bars("x", [0.05] * 20, BLUE)])
    assert drawn(many).get("aria-label").endswith("11: 0.05) and 8 more places.")


def test_names_of_bars_are_escaped_and_what_reorders_text_is_written_out():
    bars = [Bars(HOSTILE, [0.5], BLUE, "line", 0.8, 0.0, [0.1], HOSTILE)]
    chart = Chart([BarPanel(HOSTILE, HOSTILE, [HOSTILE], bars)], [Key(HOSTILE, Look(BLUE))])
    for text in (*chart.drawings, chart.file.decode()):
        assert "<script" not in text
        assert "\u202e" not in text
        ElementTree.fromstring(text)


# ------------------------------------------------------------------------------ shares and columns


def test_the_legend_names_what_is_drawn_and_nothing_else():
    plain = share_bars([SharesPanel("t", [0.25, 0.75], None, None, None)], "held", ["0", "1"])
    assert [label for _, label in plain.legend] == ["measured, confusion-corrected"]
    (bars,) = plain.panels[0].bars
    assert (bars.heights, bars.mark) == ([0.25, 0.75], "bar")
    whole = SharesPanel("u", [0.5, 0.5], [0.4, 0.6], [0.3, 0.7], [1.0, 0.0], [0.1, 0.1])
    both = share_bars([plain_panel(), whole], "held", ["0", "1"])
    assert sorted(label for _, label in both.legend) == [
        "95 % by chance",
        "held",
        "measured, confusion-corrected",
        "measured, raw",
        "predicted",
    ]
    looks = {label: drawing for drawing, label in both.legend}
    filled = [label for label, drawing in looks.items() if 'fill="#' in drawing.split("<path")[-1]]
    assert sorted(filled)[:2] == ["95 % by chance", "held"]
    assert 'fill-opacity="0.25"' in looks["95 % by chance"]
    assert "stroke-width" in looks["predicted"]
    assert "stroke-width" not in looks["measured, confusion-corrected"]
    # what lies behind comes first: own data, what is measured, what is predicted, what is raw
    assert [bars.heights[0] for bars in both.panels[1].bars] == [1.0, 0.5, 0.3, 0.4]


def test_four_panels_of_a_file_are_two_and_two():
    chart = share_bars([plain_panel()] * 4, "held", ["0", "1"])
    places = re.findall(r"translate\((\S+) (\S+)\)", chart.file.decode())[-4:]
    assert len({x for x, _ in places}) == len({y for _, y in places}) == 2


def plain_panel():
    return SharesPanel("t", [0.25, 0.75], None, None, None)


def test_columns_of_several_tables_stand_before_the_real_ones_and_beside_each_other():
    shares = {"north": (0.25, 0.75), "south": (0.5, 0.5), REAL: (0.1, 0.9)}
    missing = {"north": 0.0, "south": 0.25, REAL: 0.0}
    category = ColumnView("sex", (), ("f", "m"), shares, missing)
    number = ColumnView("age", (20.0, 40.0, 60.0), (), shares, missing)
    chart = column_panels([category, number], list(shares))
    of_category, of_number = chart.panels
    assert of_category.title == "sex (25 % missing)"
    assert [bars.name for bars in of_category.bars] == [REAL, "north", "south"]
    north, south = of_category.bars[1:]
    assert north.shift + north.width / 2 == pytest.approx(south.shift - south.width / 2)
    assert north.shift == pytest.approx(-south.shift)
    tree = ElementTree.fromstring(chart.drawings[0])
    (left_of_north, _, end), (left_of_south, _, _) = (
        strokes_of(tree, bars.colour)[0] for bars in (north, south)
    )
    assert left_of_north < end == pytest.approx(left_of_south, abs=0.1)
    assert [bars.heights for bars in of_number.bars] == [(0.1, 0.9), (0.25, 0.75), (0.5, 0.5)]
    assert of_number.places == ["20 to 40", "40 to 60"]
    assert len({bars.colour for bars in of_category.bars}) == 3
    assert [label for _, label in chart.legend] == ["north", "south", REAL]
