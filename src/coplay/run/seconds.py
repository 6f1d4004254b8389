"""The time that players book, apart from the numbers that their models report."""

from __future__ import annotations

from collections.abc import Mapping


def without_seconds(
    players: Mapping[str, Mapping[str, float]],
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Separate the players' reported numbers from the seconds that they booked.

    Returns:
        The numbers by player, and the seconds by kind, added up over the players.
    """
    spent = {"learning": 0.0, "sampling": 0.0}
    reported = {}
    for name, numbers in players.items():
        reported[name] = {
            key: value for key, value in numbers.items() if not key.startswith("seconds_")
        }
        for kind in spent:
            spent[kind] += numbers.get(f"seconds_{kind}", 0.0)
    return reported, spent
