"""Which of the slow tests CI runs: a seeded share of them, and at least one of each file."""

import hashlib
from collections.abc import Iterable


def position(test: str, seed: int) -> float:
    """Return a number in [0, 1) that depends on the id of a test and on the seed alone."""
    digest = hashlib.sha256(f"{seed}/{test}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def share_of(tests: Iterable[str], share: float, seed: int) -> set[str]:
    """Return the ids of the tests that run.

    Each test is chosen by itself, so a new test changes nothing about the others. In a file where
    none is chosen, the one with the smallest position runs.

    Args:
        tests: Their ids, as pytest writes them (``tests/test_x.py::test_y[3]``).
        share: In [0, 1].
        seed: Another seed chooses another share.
    """
    by_file: dict[str, list[tuple[float, str]]] = {}
    for test in tests:
        file = test.partition("::")[0]
        by_file.setdefault(file, []).append((position(test, seed), test))
    chosen = set()
    for of_file in by_file.values():
        chosen.add(min(of_file)[1])
        chosen |= {test for place, test in of_file if place < share}
    return chosen
