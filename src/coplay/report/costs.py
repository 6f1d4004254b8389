"""What a run cost and what went wrong: traffic per link, time, losses of players; and everything that decides it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coplay.core import storage
from coplay.report import charts, figures
from coplay.report.headline import late, lost, parties
from coplay.report.parts import SHOWN_PLAYERS, Cell, PageSection, Picture, Table
from coplay.report.words import number, ranges, words
from coplay.run.record import SparseMatrix
from coplay.run.result import Play, Result

_KIB, _MIB = 1024, 1024**2


def in_units(count: float) -> str:
    """Bytes in the unit that suits them."""
    for size, unit in ((1024**3, "GiB"), (_MIB, "MiB"), (_KIB, "KiB")):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count:.0f} B"


def traffic(result: Result) -> PageSection:
    """Payload per link of the main game, and totals per game and purpose."""
    title = "Traffic"
    entries = {name: play.traffic for name, play in result.plays.items()}
    rounds = {name: counted_rounds(play) for name, play in result.plays.items()}
    if not any(entries.values()):
        return PageSection(
            "traffic", title, ["No traffic is on record: no checkpoint was written, or nothing travelled."]
        )
    links = [entry for entry in entries[result.main.name] if _root(entry["purpose"]) == "exchange"]
    text = [] if links else [f"No samples travelled between players in {words(result.main.name)}."]
    rows = [row for name in entries for row in _totals(name, entries[name], rounds[name], result.seats)]
    parted = any("/" in entry["purpose"] for found in entries.values() for entry in found)
    totals = Table(
        ["game and purpose", "payload", "rows" if parted else "samples", "payload per round"],
        rows,
        f"Payload is the numbers of the {'rows' if parted else 'samples'} without any framing, from logical sender to logical "
        "receiver, up to the last checkpoint. "
        + ("A row is a sample, its feedback, or the parameters of a model. " if parted else "")
        + "Evaluation is measuring, not play, and is counted apart.",
    )
    pictures = [_links(links, parties(result))] if links else []
    return PageSection("traffic", title, text, [totals], pictures, data={"links": entries, "rounds_counted": rounds})


def _root(purpose: str) -> str:
    """``exchange`` of ``exchange/feedback``."""
    return str(purpose).partition("/")[0]


def counted_rounds(play: Play) -> int:
    """Rounds up to the last checkpoint, as far as the ledger on disk goes."""
    record = storage.last_checkpoint(play.folder)
    return int(record["round"]) if record else 0


def _totals(game: str, entries: Sequence[dict[str, Any]], rounds: int, seats: Sequence[str]) -> list[list[Cell]]:
    """A line per purpose, then one per part of it and kind of link."""
    rows: list[list[Cell]] = []
    for root in dict.fromkeys(["exchange", *(_root(entry["purpose"]) for entry in entries)]):
        chosen = [entry for entry in entries if _root(entry["purpose"]) == root]
        rows.append(_total(f"{words(game)}, {root}", chosen, rounds if root == "exchange" else 0))
        kinds = dict.fromkeys((entry["purpose"], _kind(entry, seats)) for entry in chosen if "/" in entry["purpose"])
        for purpose, kind in kinds:
            part = [entry for entry in chosen if (entry["purpose"], _kind(entry, seats)) == (purpose, kind)]
            rows.append(_total((f"… {purpose.partition('/')[2]}", kind), part, rounds))
    return rows


def _total(name: Cell, entries: Sequence[dict[str, Any]], rounds: int) -> list[Cell]:
    count = sum(entry["bytes"] for entry in entries)
    each = in_units(count / rounds) if rounds else "–"
    return [name, in_units(count), number(sum(entry["samples"] for entry in entries)), each]


def _kind(entry: dict[str, Any], seats: Sequence[str]) -> str:
    """Between whom: seats by name, players as what they are."""
    return " → ".join(entry[end] if entry[end] in seats else "players" for end in ("sender", "receiver"))


def _links(links: Sequence[dict[str, Any]], names: Sequence[str]) -> Picture:
    used = dict.fromkeys(party for link in links for party in (link["sender"], link["receiver"]))
    parties = [*(name for name in names if name in used), *(name for name in used if name not in names)]
    shown = parties[:SHOWN_PLAYERS]
    matrix: dict[tuple[str, str], float] = {}
    for link in links:
        key = link["sender"], link["receiver"]
        matrix[key] = matrix.get(key, 0.0) + link["bytes"]
    size, unit = (_MIB, "MiB") if max(matrix.values()) >= _MIB else (_KIB, "KiB")
    png = figures.heat_map(
        [[matrix.get((s, r), 0.0) / size for r in shown] for s in shown],
        shown,
        shown,
        row_label="sender",
        column_label=f"receiver ({unit})",
        write=lambda v: (f"{v:.2f}" if v < 10 else f"{v:,.0f}") if v else "–",
    )
    more = f" The first {len(shown)} of {len(parties):,} parties are shown." if len(shown) < len(parties) else ""
    caption = f"Payload exchanged per link over all counted rounds, in {unit}.{more}"
    return Picture("traffic", png, "Heat map of payload per sender and receiver", caption)


def time(result: Result) -> PageSection:
    """Where the time went, per game."""
    title = "Time"
    spent = {name: _seconds(play) for name, play in result.plays.items() if play.rows}
    if not spent:
        return PageSection("time", title, ["No round was finished, so no time was booked."])
    parts = list(dict.fromkeys(part for bar in spent.values() for part in bar))
    rows = [
        [words(name), number(len(result.plays[name].rows)), *(f"{bar.get(part, 0.0):,.2f}" for part in parts),
         f"{sum(bar.values()):,.2f}"]
        for name, bar in spent.items()
    ]  # fmt: skip
    table = Table(["seconds", "rounds", *parts, "total"], rows, "Seconds over all finished rounds.")
    caption = (
        "Shares of the time booked. Learning and sampling are added up over the players, so with players side by side "
        "their sum can exceed the clock; bookkeeping is writing rows and checkpoints."
    )
    figure = Picture("time", charts.stacked(spent, "s"), "Stacked shares of time per game", caption)
    return PageSection("time", title, tables=[table], pictures=[figure], data={"seconds": spent})


def _seconds(play: Play) -> dict[str, float]:
    total: dict[str, float] = {}
    for row in play.rows:
        for part, seconds in row.get("seconds", {}).items():
            total[part] = total.get(part, 0.0) + seconds
    return total


def losses(result: Result) -> PageSection:
    """Who was lost, who was frozen since, who joined late, and what the theory says of the rest."""
    title, rows, data, tables = "Losses of players", [], {}, []
    for name, play in result.plays.items():
        gone = lost(play)
        frozen = {who: row["round"] for row in reversed(play.rows) for who in row.get("frozen", [])}
        joined = {who: row["round"] for row in play.rows for who in row.get("joined", [])}
        missed: dict[str, list[int]] = {}
        for when, who, _ in late(play):
            missed.setdefault(who, []).append(when)
        if not gone and not frozen and not joined and not missed:
            continue
        data[name] = {"lost": gone, "frozen": frozen, "joined": joined, "late": missed}
        rows += [
            [who, words(name), str(why["round"]), f"lost at '{why['action']}': {why['reason']}"]
            for who, why in gone.items()
        ]
        rows += [
            [who, words(name), str(round), "frozen: no data and no peer is left to it"] for who, round in frozen.items()
        ]
        rows += [[who, words(name), str(round), "joined late"] for who, round in joined.items()]
        rows += [
            [who, words(name), ranges(rounds), "too late, and left out until the next exchange"]
            for who, rounds in missed.items()
        ]
        tables += _influence_after(play)
    if not rows:
        return PageSection("losses", title, ["No player was lost in a round that was finished."])
    first = Table(["player", "game", "round", "what happened"], rows, numeric=False)
    return PageSection("losses", title, tables=[first, *tables], data=data)


def _influence_after(play: Play) -> list[Table]:
    """The influence matrix among those left after the last loss, if the game told it."""
    told = [row for row in play.rows if "influence" in row]
    if not told:
        return []
    row = told[-1]
    left = list(row["players"])[:SHOWN_PLAYERS]
    body: list[list[Cell]] = [
        [name, *(f"{v:.3f}" for v in shares[: len(left)])]
        for name, shares in zip(left, SparseMatrix.from_json(row["influence"]).corner(len(left)), strict=False)
    ]
    caption = (
        f"The influence matrix among those left after round {row['round']} of {words(play.name)}. From then on measured "
        "shares are compared with what it predicts; the matrix further up is that of the game as it began."
    )
    return [Table(["model of \\ data of", *left], body, caption)]


def provenance(result: Result) -> PageSection:
    """Seed, versions and machine."""
    seed = result.record["config"]["seed"]
    rows: list[list[Cell]] = [["seed", str(seed)], ["run folder", result.folder.name]]
    rows += [[name, value] for name, value in result.record["versions"].items()]
    data = {"seed": seed, "versions": result.record["versions"], "config": result.record["config"]}
    text = ["The same config and versions on the same kind of machine give the same run."]
    return PageSection(
        "provenance", "Seed, versions, config", text, [Table(["what", "value"], rows, numeric=False)], data=data
    )
