"""Colours of pages and pictures."""

INK = "#1b1f24"
MUTED = "#5b6570"
PALE = "#e9edf1"
HELD = "#c9d1d9"
"""Of what a site holds, behind what its model draws."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Okabe and Ito's palette without yellow, which fades on white.

Also the colour-blind can tell its colours apart. What comes after the sixth has the same colours
with hollow markers.
"""
