"""The page of the matrix: which values play together, and why others do not."""

from itertools import combinations

from .pairwise import pairs_in

HEAD = """\
# What plays with what

Written by `python -m tests.matrix`, which plays all that coplay has in pairs: {cells} small
federations of two sites, one round each, on rows of a few numbers. {playing} of them played, and
the others were refused with a reason before anybody learned. A ✓ says that the two play in some
federation. A number leads to the reason of one in which, if possible, nothing else stood in the
way. The cells with their outcomes are in `docs/combinations.json`, and `tests/test_matrix.py` plays
them again.

What sites are: *dealt* by a partition out of one pool; with *data of their own* in the config; with
*site files*, all with the same variables, or *one lacks a variable*; or with files of which one
makes a *promise* of privacy. Sources have {rows} rows or fewer, but for digits."""

ENGINES = """\
## Engines

The tables above are of the engine `local`. Each game once with the others, on data that it plays
with there:"""

TITLES = {
    "model": "Models",
    "game": "Games",
    "source": "Sources",
    "sites": "Sites",
    "learns": "Variables that are learned",
}


class Reasons:
    """Reasons with numbers, in the order in which they come."""

    def __init__(self):
        self._numbers = {}

    def number(self, reason):
        return self._numbers.setdefault(first_of(reason), len(self._numbers) + 1)

    def lines(self):
        return [f"{number}. {reason}" for reason, number in self._numbers.items()]


def first_of(reason):
    """Return the first of several problems as text for a page, without the name of a player.

    Example:
        >>> first_of("2 problems in the config: - player 'a' has X - player 'b' has X")
        "player 'a' has X"
    """
    text = reason
    if " in the config: - " in text:
        text = text.split(" in the config: - ")[1].split(" - player")[0].split(" - the seat")[0]
    text = text.split(" site 'b': ")[0]
    for sign in ("\\", "<", "|", "*", "_", "["):
        text = text.replace(sign, f"\\{sign}")
    return text


def deciding(pair, cells):
    """Return the cell that speaks for a pair: one that plays, or the one with fewest obstacles.

    Obstacles are pairs of its that play in no cell.
    """
    proven = set()
    for cell, outcome in cells:
        if not outcome.reason:
            proven |= set(pairs_in(cell))
    best = None
    for cell, outcome in cells:
        if pair not in pairs_in(cell):
            continue
        if not outcome.reason:
            return cell, outcome
        count = sum(each not in proven for each in pairs_in(cell))
        if best is None or count < best[0]:
            best = count, cell, outcome
    return best[1:]


def plays(pair, cells):
    """Whether a pair plays in some cell."""
    return any(not outcome.reason and pair in pairs_in(cell) for cell, outcome in cells)


def table(one, other, factors, cells, reasons):
    """Return the table of two factors."""
    title = f"## {TITLES[one]} and {TITLES[other].lower()}"
    head = f"| | {' | '.join(factors[other])} |"
    lines = [title, "", head, "|---" * (len(factors[other]) + 1) + "|"]
    if all(plays(((one, x), (other, y)), cells) for x in factors[one] for y in factors[other]):
        return f"{title}\n\nEach plays with each."
    for x in factors[one]:
        marks = []
        for y in factors[other]:
            _, outcome = deciding(((one, x), (other, y)), cells)
            marks.append(str(reasons.number(outcome.reason)) if outcome.reason else "✓")
        lines.append(f"| `{x}` | {' | '.join(marks)} |")
    return "\n".join(lines)


def engine_table(engines, reasons):
    """Return the table of games and other engines."""
    names = list(dict.fromkeys(each["engine"] for each in engines))
    games = list(dict.fromkeys(each["game"] for each in engines))
    marks = {}
    for each in engines:
        reason = each["reason"]
        marks[each["game"], each["engine"]] = str(reasons.number(reason)) if reason else "✓"
    lines = [f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for game in games:
        lines.append(f"| `{game}` | {' | '.join(marks[game, name] for name in names)} |")
    return "\n".join(lines)


def page(factors, cells, engines):
    """Return the whole page.

    Args:
        factors: The values by factor.
        cells: Cells with their outcomes.
        engines: What each game did with other engines, as plain values.
    """
    reasons = Reasons()
    playing = sum(not outcome.reason for _, outcome in cells)
    parts = [HEAD.format(cells=len(cells), playing=playing, rows=24)]
    for one, other in combinations(factors, 2):
        parts.append(table(one, other, factors, cells, reasons))
    parts += [ENGINES, engine_table(engines, reasons), "## Reasons", "\n".join(reasons.lines())]
    return "\n\n".join(parts) + "\n"
