"""The costs of a run, its losses of players, and what decides it.

Costs are traffic per link and time; what decides a run are seed, versions and config.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from coplay.core.message import LinkTraffic, PlayerLost
from coplay.core.text import in_units
from coplay.report import figures
from coplay.report.parts import SHOWN_PLAYERS, Cell, PageSection, Picture, Table
from coplay.report.stacked_bars import stacked
from coplay.report.words import number, ranges, words
from coplay.run.play import Play
from coplay.run.result import Result

_KIB = 1024
_MIB = 1024**2

_MOST_LISTED = 10_000  # links whose traffic the page's data list

# --------------------------------------------------------------------------------- traffic


def traffic(result: Result) -> PageSection:
    """Show the payload per link of the main game, and totals per game and purpose."""
    title = "Traffic"
    plays = result.plays
    if not any(play.traffic for play in plays.values()):
        text = "No traffic is on record: no checkpoint was written, or nothing travelled."
        return PageSection("traffic", title, [text], is_empty=True)
    notes = []
    pictures = []
    exchanged = [link for link in result.main.traffic if link.heading == "exchange"]
    if exchanged:
        pictures.append(_heat_map(exchanged, result.parties))
    else:
        notes.append(f"No samples travelled between players in {words(result.main.name)}.")
    links: dict[str, list[dict[str, Any]]] = {}
    reason: dict[str, str] = {}
    for name, play in plays.items():
        if len(play.traffic) <= _MOST_LISTED:
            links[name] = [asdict(link) for link in play.traffic]
        else:
            reason = {"reason": "too many links to list; the game's last checkpoint has them"}
    data = {
        "links": links,
        "rounds_counted": {name: play.counted_rounds for name, play in plays.items()},
        **reason,
    }
    tables = [_totals(plays.values(), result.seats)]
    return PageSection("traffic", title, notes, tables, pictures, data=data)


def _totals(plays: Iterable[Play], seats: Sequence[str]) -> Table:
    rows: list[list[Cell]] = []
    has_parts = False
    for play in plays:
        rows += _total_rows(play, seats)
        has_parts = has_parts or any("/" in link.purpose for link in play.traffic)
    unit = "samples"
    parts = ""
    if has_parts:
        unit = "rows"
        parts = "A row is a sample, its feedback, or the parameters of a model. "
    caption = (
        f"Payload is the numbers of the {unit} without any framing, from logical sender to logical "
        f"receiver, up to the last checkpoint. {parts}"
        "Evaluation is measuring, not play, and is counted apart."
    )
    return Table(["game and purpose", "payload", unit, "payload per round"], rows, caption)


def _total_rows(play: Play, seats: Sequence[str]) -> list[list[Cell]]:
    """Return a line per heading of the ledger, then one per part of it and kind of link."""
    rounds = play.counted_rounds
    by_heading: dict[str, list[LinkTraffic]] = {"exchange": []}
    for link in play.traffic:
        by_heading.setdefault(link.heading, []).append(link)
    rows = []
    for heading, links in by_heading.items():
        per_rounds = rounds if heading == "exchange" else 0  # nothing else happens every round
        rows.append(_total_row(f"{words(play.name)}, {heading}", links, per_rounds))
        by_kind: dict[tuple[str, str], list[LinkTraffic]] = {}
        for link in links:
            _, _, part = link.purpose.partition("/")
            if part:
                by_kind.setdefault((part, _kind(link, seats)), []).append(link)
        for (part, kind), some in by_kind.items():
            rows.append(_total_row((f"… {part}", kind), some, rounds))
    return rows


def _total_row(name: Cell, links: Sequence[LinkTraffic], rounds: int) -> list[Cell]:
    count = sum(link.bytes for link in links)
    samples = sum(link.samples for link in links)
    each = in_units(count / rounds) if rounds else "–"
    return [name, in_units(count), number(samples), each]


def _kind(link: LinkTraffic, seats: Sequence[str]) -> str:
    """Name the ends of a link: a seat by its own name, any player as one of the players."""
    sender = link.sender if link.sender in seats else "players"
    receiver = link.receiver if link.receiver in seats else "players"
    return f"{sender} → {receiver}"


def _heat_map(links: Sequence[LinkTraffic], names: Sequence[str]) -> Picture:
    """Draw the payload per sender and receiver; ``names`` gives the order."""
    payload: dict[tuple[str, str], float] = {}
    used: dict[str, None] = {}
    for link in links:
        used |= dict.fromkeys([link.sender, link.receiver])
        sent = payload.get((link.sender, link.receiver), 0.0)
        payload[link.sender, link.receiver] = sent + link.bytes
    parties = [name for name in names if name in used]
    parties += [name for name in used if name not in names]
    shown = parties[:SHOWN_PLAYERS]
    size = _KIB
    unit = "KiB"
    if max(payload.values()) >= _MIB:
        size = _MIB
        unit = "MiB"
    matrix = []
    for sender in shown:
        matrix.append([payload.get((sender, receiver), 0.0) / size for receiver in shown])
    png = figures.heat_map(
        matrix,
        shown,
        shown,
        row_label="sender",
        column_label=f"receiver ({unit})",
        write=_amount,
    )
    caption = f"Payload exchanged per link over all counted rounds, in {unit}."
    if len(shown) < len(parties):
        caption += f" The first {len(shown)} of {len(parties):,} parties are shown."
    return Picture("traffic", png, "Heat map of payload per sender and receiver", caption)


def _amount(value: float) -> str:
    """Write an amount in a cell of the heat map; a dash where nothing travelled."""
    if not value:
        return "–"
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"


# ------------------------------------------------------------------------------------ time


def time(result: Result) -> PageSection:
    """Show where the time went, per game."""
    title = "Time"
    plays = [play for play in result.plays.values() if play.rows]
    if not plays:
        text = ["No round was finished, so no time was booked."]
        return PageSection("time", title, text, is_empty=True)
    spent = {play.name: _seconds(play) for play in plays}
    kinds: dict[str, None] = {}
    for seconds in spent.values():
        kinds |= dict.fromkeys(seconds)
    rows = []
    for play in plays:
        seconds = spent[play.name]
        booked = [f"{seconds.get(kind, 0.0):,.2f}" for kind in kinds]
        total = f"{sum(seconds.values()):,.2f}"
        rows.append([words(play.name), number(len(play.rows)), *booked, total])
    header = ["seconds", "rounds", *kinds, "total"]
    table = Table(header, rows, "Seconds over all finished rounds.")
    caption = (
        "Shares of the time booked. Learning and sampling are added up over the players, so with "
        "players side by side their sum can exceed the clock; bookkeeping is writing rows and "
        "checkpoints."
    )
    png = stacked(spent, "s")
    picture = Picture("time", png, "Stacked shares of time per game", caption)
    data = {"seconds": spent}
    return PageSection("time", title, tables=[table], pictures=[picture], data=data)


def _seconds(play: Play) -> dict[str, float]:
    """Add up the seconds by kind, over all finished rounds."""
    total: dict[str, float] = {}
    for row in play.rows:
        for kind, seconds in row.seconds.items():
            total[kind] = total.get(kind, 0.0) + seconds
    return total


# ---------------------------------------------------------------------------------- losses


@dataclass(frozen=True)
class Absences:
    """Players that were missing from a game, and when.

    Args:
        lost: Players that were lost, by name.
        frozen: The first round in which a player had no data and no living source, by name.
        joined: The round in which a player joined late, by name.
        late: The rounds in which a player was too late, by name.
    """

    lost: Mapping[str, PlayerLost]
    frozen: Mapping[str, int]
    joined: Mapping[str, int]
    late: Mapping[str, list[int]]

    @classmethod
    def of(cls, play: Play) -> Absences:
        """Collect the absences of all finished rounds."""
        frozen: dict[str, int] = {}
        for row in reversed(play.rows):  # the first round stays
            frozen |= dict.fromkeys(row.frozen or (), row.round)
        joined: dict[str, int] = {}
        for row in play.rows:
            joined |= dict.fromkeys(row.joined, row.round)
        late: dict[str, list[int]] = {}
        for loss in play.late:
            late.setdefault(loss.player, []).append(loss.round)
        return cls(play.lost, frozen, joined, late)

    def __bool__(self) -> bool:
        return any((self.lost, self.frozen, self.joined, self.late))

    def table_rows(self, game: str) -> list[list[str]]:
        """Return a line per player that says what happened to it."""
        rows = []
        for name, loss in self.lost.items():
            what = f"lost at '{loss.action}': {loss.reason}"
            rows.append([name, words(game), str(loss.round), what])
        for name, round in self.frozen.items():
            what = "frozen: no data and no peer is left to it"
            rows.append([name, words(game), str(round), what])
        for name, round in self.joined.items():
            rows.append([name, words(game), str(round), "joined late"])
        for name, rounds in self.late.items():
            what = "too late, and left out until the next exchange"
            rows.append([name, words(game), ranges(rounds), what])
        return rows

    def json(self) -> dict[str, Any]:
        """The absences as plain values."""
        lost = {}
        for name, loss in self.lost.items():
            lost[name] = {"round": loss.round, "action": loss.action, "reason": loss.reason}
        return {
            "lost": lost,
            "frozen": dict(self.frozen),
            "joined": dict(self.joined),
            "late": dict(self.late),
        }


def losses(result: Result) -> PageSection:
    """List players lost, frozen, late or joined late; show the influence among the others."""
    title = "Losses of players"
    rows: list[list[str]] = []
    data = {}
    tables = []
    for name, play in result.plays.items():
        absences = Absences.of(play)
        if absences:
            data[name] = absences.json()
            rows += absences.table_rows(name)
            tables += _influence_after(play)
    if not rows:
        text = ["No player was lost in a round that was finished."]
        return PageSection("losses", title, text, is_empty=True)
    first = Table(["player", "game", "round", "what happened"], rows, numeric=False)
    return PageSection("losses", title, tables=[first, *tables], data=data)


def _influence_after(play: Play) -> list[Table]:
    """Return the influence matrix among the players left after the last loss, if any."""
    for row in reversed(play.rows):
        if row.influence is None:
            continue
        left = list(row.players)[:SHOWN_PLAYERS]
        body: list[list[Cell]] = []
        for name, shares in zip(left, row.influence.corner(len(left)), strict=False):
            body.append([name, *(f"{share:.3f}" for share in shares)])
        caption = (
            f"The influence matrix among those left after round {row.round} of "
            f"{words(play.name)}. From then on measured shares are compared with what it predicts; "
            "the matrix further up is that of the game as it began."
        )
        return [Table(["model of \\ data of", *left], body, caption)]
    return []


# ------------------------------------------------------------------------------ provenance


def provenance(result: Result) -> PageSection:
    """List seed, versions and machine."""
    record = result.record
    rows: list[list[Cell]] = [["seed", str(record.seed)], ["run folder", result.folder.name]]
    rows += [[name, version] for name, version in record.versions.items()]
    data = {
        "seed": record.seed,
        "versions": dict(record.versions),
        "config": dict(record.config),
    }
    text = "The same config and versions on the same kind of machine give the same run."
    table = Table(["what", "value"], rows, numeric=False)
    return PageSection("provenance", "Seed, versions, config", [text], [table], data=data)
