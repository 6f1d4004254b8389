"""Cells that hold every pair of values of some factors: a small covering, by a greedy choice."""

from itertools import combinations


def pairs_of(factors):
    """Every pair of values of two different factors, in order.

    Args:
        factors: The values by factor.

    Example:
        >>> pairs_of({"a": ["1"], "b": ["2", "3"]})
        [(('a', '1'), ('b', '2')), (('a', '1'), ('b', '3'))]
    """
    pairs = []
    for one, other in combinations(factors, 2):
        pairs += [((one, x), (other, y)) for x in factors[one] for y in factors[other]]
    return pairs


def pairs_in(cell):
    """The pairs of values that a cell holds.

    Example:
        >>> pairs_in({"a": "1", "b": "2"})
        [(('a', '1'), ('b', '2'))]
    """
    return list(combinations(cell.items(), 2))


def covering(factors):
    """Cells of which at least one holds each pair; the same factors always give the same cells.

    A cell begins with the first pair that no cell holds yet. Each other factor in turn gets the
    value that adds the most such pairs, the first one of several.

    Example:
        >>> cells = covering({"a": ["1", "2"], "b": ["1", "2"], "c": ["1", "2"]})
        >>> len(cells)  # of eight
        4
    """
    missing = dict.fromkeys(pairs_of(factors))
    cells = []
    while missing:
        chosen = dict(next(iter(missing)))
        for factor in factors:
            if factor in chosen:
                continue
            gains = [
                _new_pairs(factors, chosen, factor, value, missing) for value in factors[factor]
            ]
            chosen[factor] = factors[factor][gains.index(max(gains))]
        cell = {factor: chosen[factor] for factor in factors}
        cells.append(cell)
        for pair in pairs_in(cell):
            missing.pop(pair, None)
    return cells


def _new_pairs(factors, chosen, factor, value, missing):
    """Count the missing pairs that a value of a factor adds to what was chosen."""
    both = chosen | {factor: value}
    ordered = {name: both[name] for name in factors if name in both}
    return sum((factor, value) in pair and pair in missing for pair in pairs_in(ordered))
