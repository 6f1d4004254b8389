"""The page of a comparison, its tables and files; it knows only what ``comparison.json`` says and the runs it names."""

from __future__ import annotations

import csv
import io
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from coplay.core import storage
from coplay.core.space import Variable
from coplay.report import charts, figures
from coplay.report.charts import Band
from coplay.report.page import template
from coplay.report.parts import Cell, Figure, Section, Table, aligned, first_players, listed, plain, words
from coplay.run.result import Result, space_from_json

_COLUMNS = 6  # arms whose samples stand side by side
_DRAWN = 12  # arms drawn in the curves
_FIRST = ("fid", "domain_score", "distance_to_prediction")
_ARROWS = {"higher": " ↑", "lower": " ↓"}
_BETTER = {"higher": "higher is better", "lower": "lower is better"}
_FIELDS = (
    "arm", "run", "seed", "status", "game", "player", "metric", "round", "value", "low", "high", "unit", "better", "n", "n_real"
)  # fmt: skip

Data = Mapping[str, Any]
"""What ``coplay.comparison.arms.Comparison.data`` gives."""


def write(data: Data, folder: Path, title: str, *, by_player: bool = False) -> Path:
    """Write ``comparison.html``, self-contained; ``comparison.json``; ``comparison.csv``; ``figures/*.png``.

    Args:
        data: What was found; see :data:`Data`.
        folder: Where to.
        title: Heading of the page.
        by_player: Whether the page has a table of scores per player too.

    Returns:
        Path of the HTML page.

    Raises:
        CheckpointError: A file of a run is damaged, or the folder cannot be written.

    Example:
        ``write(Comparison.load(["runs/a", "runs/b"]).data(), Path("comparisons/ab"), "a and b")``
    """
    sections = [_arms(data), _scores(data, by_player), _costs(data), _curves(data), _samples(data), _runs(data)]
    for figure in (figure for part in sections for figure in part.figures):
        storage.write_atomically(folder / "figures" / f"{figure.name}.png", figure.png)
    storage.write_json(folder / "comparison.json", plain({"title": title, **data}))
    storage.write_atomically(folder / "comparison.csv", table_of_values(data).encode())
    done = sum(run["status"] == "finished" for run in data["runs"])
    html = template().render(
        title=title,
        sentence=_sentence(data),
        status={
            "word": "finished" if done == len(data["runs"]) else "unfinished",
            "text": f"{done} of {len(data['runs'])} runs are finished.",
        },
        sections=sections,
        data_file="comparison.json",
        version=metadata.version("coplay"),
    )
    page = folder / "comparison.html"
    storage.write_atomically(page, html.encode())
    return page


def table_of_values(data: Data) -> str:
    """One line of CSV per run, game, player and quantity of the last measurement."""
    file = io.StringIO()
    writer = csv.DictWriter(file, _FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(data["values"])
    return file.getvalue()


def _sentence(data: Data) -> str:
    seeds = sorted({run["seed"] for run in data["runs"]})
    runs, arms = len(data["runs"]), len(data["arms"])
    keys = list(data["differences"])
    apart = listed(keys) if 0 < len(keys) <= 3 else f"{len(keys)} settings" if keys else ""
    return (
        f"{runs} run{'s' if runs > 1 else ''} with seed{'s' if len(seeds) > 1 else ''} {listed(map(str, seeds))}, in {arms} "
        f"arm{'s' if arms > 1 else ''}{f' that differ in {apart}' if apart else ''}."
    )


# -------------------------------------------------------------------------------------------------------- sections


def _arms(data: Data) -> Section:
    """What tells the arms apart."""
    text = ["Runs that differ only in their seed belong to one arm; every game of a run is an arm of its own."]
    tables = []
    if data["differences"]:
        settings = list(dict.fromkeys(arm["settings"] for arm in data["arms"]))
        rows: list[list[Cell]] = [
            [key, *(_setting(values.get(label)) for label in settings)] for key, values in data["differences"].items()
        ]
        caption = "Every value of the config that differs; what is not listed is the same in all runs."
        tables.append(Table(["key", *settings], rows, caption, numeric=False))
    else:
        text.append("No value of the config differs but the seed.")
    return Section(
        "arms", "What differs", text, tables, points=[note["text"] for note in data["notes"] if not note["metrics"]]
    )


def _setting(value: Any) -> str:
    said = "unset" if value is None else str(value)
    return said if len(said) <= 60 else said[:57] + "…"


def quantities(data: Data) -> list[str]:
    """Measured quantities, the usual ones first."""
    found = list(data["metrics"])
    return [q for q in _FIRST if q in found] + sorted(q for q in found if q not in _FIRST)


def score_table(data: Data, by_player: bool = False) -> Table:
    """Scores of every arm, or of every player in every arm: mean ± standard deviation over seeds.

    A star marks a column with a note that its numbers are not comparable.
    """
    chosen = quantities(data)
    marked = {q for note in data["notes"] for q in note["metrics"]}
    header = [f"{words(q)}{_ARROWS.get(data['metrics'][q]['better'], '')}{' *' if q in marked else ''}" for q in chosen]
    lines: list[tuple[str, str, dict[str, Any]]] = []
    for arm in data["arms"]:
        if not by_player:
            lines.append((arm["label"], str(len(arm["seeds"])), arm["scores"]))
            continue
        for player in dict.fromkeys(p for score in arm["scores"].values() for p in score["players"]):
            own = {q: s["players"][player] for q, s in arm["scores"].items() if player in s["players"]}
            lines.append((f"{arm['label']}: {player}", str(len(arm["seeds"])), own))
    write = {q: aligned([scores[q]["mean"] for _, _, scores in lines if q in scores]) for q in chosen}
    rows: list[list[Cell]] = [
        [label, seeds, *(_spread(scores.get(q), write[q], int(seeds)) for q in chosen)]
        for label, seeds, scores in lines
    ]
    units = [
        f"{words(q)}: {value['unit']}" + (f", {_BETTER[value['better']]}" if value["better"] else "")
        for q, value in ((q, data["metrics"][q]) for q in chosen)
    ]
    if "distance_to_prediction" in chosen:
        units.append("games carried along are measured against what the run's main game predicts, too")
    what = "Scores of single players" if by_player else "Means over all who are measured"
    caption = f"{what} after the last measured round: mean ± standard deviation over seeds. {'; '.join(units)}."
    return Table(["player" if by_player else "arm", "seeds", *header], rows, caption)


def _scores(data: Data, by_player: bool) -> Section:
    title = "Scores"
    if not data["metrics"]:
        return Section("scores", title, ["Nothing was measured."])
    tables = [score_table(data)] + ([score_table(data, by_player=True)] if by_player else [])
    notes = [f"* {note['text']}" for note in data["notes"] if note["metrics"]]
    return Section("scores", title, tables=tables, points=notes)


def cost_tables(data: Data) -> list[Table]:
    """What a run of every arm costs, as mean ± standard deviation over seeds: payload and amounts, and time."""
    names = list(dict.fromkeys(name for arm in data["arms"] for name in arm["costs"]))
    zero = [n for n in names if n.startswith("bytes_") and not any(s and s["mean"] for s in _costs_of(data, n))]
    timed = [name for name in names if name.startswith("seconds_")]
    parts = [name for name in names if "/" in name and name not in zero]
    counted = [
        name
        for name in names
        if name not in timed and "/" not in name and (name not in zero or name == "bytes_exchange")
    ]
    tables = [
        _cost_table(
            data,
            counted,
            "Per run: payload by purpose up to the last checkpoint (only exchange is play), rounds played, learning steps "
            "asked of each player, floating-point operations where models tell them.",
        ),
        _cost_table(
            data,
            timed,
            "Seconds per run by kind. Learning and sampling are added up over players; evaluation and bookkeeping are no play.",
        ),
    ]
    more = (
        [_cost_table(data, parts, "Payload by what it was for; n/a where a game sends nothing of the kind.")]
        if parts
        else []
    )
    return [tables[0], *more, tables[1]]


def _costs_of(data: Data, name: str) -> list[Any]:
    return [arm["costs"].get(name) for arm in data["arms"]]


def _cost_table(data: Data, names: Sequence[str], caption: str) -> Table:
    header, columns = ["arm"], []
    for name in names:
        spreads = _costs_of(data, name)
        of = name.partition("_")[2]
        factor, unit = _unit(name, max((spread["mean"] for spread in spreads if spread), default=0.0))
        means = [spread["mean"] / factor for spread in spreads if spread]
        write = aligned(means, whole=unit == "B" or not of)
        header.append(f"{words(of)} ({unit})" if of else f"{'FLOPs' if name == 'flops' else name}{unit}")
        columns.append([_spread(spread, write, 0, factor) if spread else "n/a" for spread in spreads])
    rows: list[list[Cell]] = [[arm["label"], *row] for arm, *row in zip(data["arms"], *columns, strict=True)]
    return Table(header, rows, caption)


def _costs(data: Data) -> Section:
    return Section("costs", "What it costs", tables=cost_tables(data))


def _curves(data: Data) -> Section:
    """Every quantity over rounds, over payload and over seconds of play."""
    title = "Over rounds, payload and time"
    arms = [arm for arm in data["arms"] if arm["curves"]][:_DRAWN]
    if not arms:
        return Section("curves", title, ["Nothing was measured."])
    drawn = [q for q in quantities(data) if any(q in arm["curves"] for arm in arms)]
    titles = {q: f"{words(q)}" + (f" ({_BETTER[b]})" if (b := data["metrics"][q]["better"]) else "") for q in drawn}
    styles = _styles(arms)
    most = max(arm["curves"][q]["bytes"][-1] for arm in arms for q in arm["curves"])
    size, unit = _unit("bytes_", most)
    more = (
        f" The first {_DRAWN} of {len(data['arms'])} arms are drawn." if len(data["arms"]) > len(arms) == _DRAWN else ""
    )
    common = (
        f"Means over players and seeds; bands are one standard deviation over seeds, where there are two or more.{more}"
    )
    level = " An arm in which nothing travels is a level line at its last value." if most else ""
    said = {
        "round": ("round", 1.0, f"Scores at the measured rounds. {common}"),
        "bytes": (
            f"payload exchanged per run ({unit})", size, f"The same over payload exchanged by all players.{level} The ledger "
            "counts what was exchanged up to each measured round.",
        ),
        "seconds": (
            "seconds of play", 1.0, "The same over seconds of learning, sampling and exchange, added up over players; "
            "evaluation and bookkeeping are left out.",
        ),
    }  # fmt: skip
    pictures = []
    for axis, (label, factor, caption) in said.items():
        if axis == "bytes" and not most:
            continue
        panels = {q: [_line(arm, q, axis, factor) for arm in arms if q in arm["curves"]] for q in drawn}
        png = charts.bands(panels, titles, styles, label, rounds=axis == "round")
        pictures.append(Figure(f"curves-{axis}", png, f"Scores of every arm over {label}", caption))
    return Section("curves", title, figures=pictures)


def _line(arm: Data, quantity: str, axis: str, factor: float) -> Band:
    curve = arm["curves"][quantity]
    sent = arm["costs"]["bytes_exchange"]
    level = axis == "bytes" and not (sent and sent["mean"])
    return Band(arm["label"], [x / factor for x in curve[axis]], curve["mean"], curve["std"], level)


def _styles(arms: Sequence[Data]) -> dict[str, tuple[int, int]]:
    """Colour by settings and dashes by game; colour by game where the settings are the same."""
    settings = list(dict.fromkeys(arm["settings"] for arm in arms))
    games = list(dict.fromkeys(arm["game"] for arm in arms))
    if len(settings) == 1:
        return {arm["label"]: (games.index(arm["game"]), min(games.index(arm["game"]), 2)) for arm in arms}
    return {arm["label"]: (settings.index(arm["settings"]), min(games.index(arm["game"]), 2)) for arm in arms}


def _samples(data: Data) -> Section:
    """The same players' samples after the last measured round, one column per arm; of one model each where a seat has it."""
    title = "What the players generate"
    arms = data["arms"][:_COLUMNS]
    common = set.intersection(*(set(arm["seeds"]) for arm in arms))
    runs = [Result.load(arm["folders"][arm["seeds"].index(min(common)) if common else 0]) for arm in arms]
    lone = any(set(run.measured[arm["game"]]) & set(run.seats) for arm, run in zip(arms, runs, strict=True))
    shown: dict[str, dict[str, Any]] = {}
    spaces: dict[str, Any] = {}
    rounds: dict[str, int] = {}
    for arm, run in zip(arms, runs, strict=True):
        files = sorted((run.folder / arm["game"] / "samples").glob("round-*.safetensors"))
        if files:
            round = int(files[-1].stem.removeprefix("round-"))
            there = run.plays[arm["game"]].samples(round)
            who = next((name for name in run.measured[arm["game"]] if name in there), None) if lone else None
            heading = textwrap.fill(arm["label"], 22, max_lines=2, placeholder="…") + (f":\n{who}" if who else "")
            heading = heading if heading not in shown else f"{len(shown) + 1}: {heading}"
            rounds[arm["label"]] = round
            shown[heading] = {"": there[who]} if who else there
            spaces[heading] = space_from_json(run.record["data"]["space"])
    names = [n for n in dict.fromkeys(n for space in spaces.values() for n in space) if _drawable(n, shown, spaces)]
    if not names:
        return Section("samples", title, ["No images are on disk: no round was measured, or the data are none."])
    players, notes = first_players(list(dict.fromkeys(player for there in shown.values() for player in there)))
    seed = f"seed {min(common)}" if common else "each arm's lowest seed"
    more = f" The first {_COLUMNS} of {len(data['arms'])} arms are shown." if len(data["arms"]) > _COLUMNS else ""
    alike = len(set(rounds.values())) == 1
    when = f"{max(rounds.values())}" if alike else listed(f"{round} ({label})" for label, round in rounds.items())
    pictures = []
    for name in names:
        present = {
            (player, heading): there[player][name].float().numpy()
            for heading, there in shown.items()
            for player in players
            if name in there.get(player, {})
        }
        variable = next(space[name] for space in spaces.values() if name in space)
        png, side, said = _grid(present, variable, players, list(shown))
        of = "of one model of each arm, named above" if lone else "of each player"
        rows = "one column per arm" if lone else "one row per player, one column per arm"
        caption = (
            f"{words(name)} ({variable}): the first {side * side} samples {of} after round {when}, with {seed}; {rows}.{more} "
            f"{said}"
        )
        pictures.append(
            Figure(f"samples-{name}", png, f"Grids of generated samples of {name} per player and arm", caption)
        )
    return Section("samples", title, notes, figures=pictures)


def _drawable(name: str, shown: Mapping[str, Any], spaces: Mapping[str, Any]) -> bool:
    drawn = any(name in values for there in shown.values() for values in there.values())
    return drawn and all(space[name].is_image for space in spaces.values() if name in space)


def _grid(
    present: Mapping[tuple[str, str], np.ndarray], variable: Variable, players: list[str], headings: list[str]
) -> tuple[bytes, int, str]:
    """The picture, images per side of a cell, and what black and white are."""
    widest = max(max(values.shape[-2:]) for values in present.values())
    side = max(1, min(5, 200 // widest, math.isqrt(min(len(values) for values in present.values()))))
    low, high = variable.range
    said = "Black is 1." if variable.kind == "binary" else f"Black is {low:g}, white {high:g}."
    if not (math.isfinite(low) and math.isfinite(high)):
        low, high = min(float(v.min()) for v in present.values()), max(float(v.max()) for v in present.values())
        said = f"The range is unbounded; over all pictures here black is {low:.3g} and white {high:.3g}."
    cells = {
        key: figures.mosaic(values[: side * side], side, low, high, dark_ink=variable.kind == "binary")
        for key, values in present.items()
    }
    return figures.mosaics(cells, players, headings, len(headings)), side, said


def _runs(data: Data) -> Section:
    """Every run that counts, and what it was made with."""
    rows: list[list[Cell]] = []
    for run in data["runs"]:
        right = f"{run['classifier']['accuracy']:.1%}" if run["classifier"] else "none"
        rounds = listed(f"{count} ({words(game)})" for game, count in run["rounds"].items())
        rows.append([run["folder"], str(run["seed"]), run["status"], rounds, run["data"], right])
    header = ["run", "seed", "status", "rounds", "data", "domain classifier right on"]
    versions: dict[str, dict[str, None]] = {}
    for run in data["runs"]:
        for name, version in run["versions"].items():
            versions.setdefault(name, {})[str(version)] = None
    made: list[list[Cell]] = [[name, listed(found)] for name, found in versions.items()]
    return Section(
        "runs",
        "Runs",
        tables=[Table(header, rows, numeric=False), Table(["made with", "version"], made, numeric=False)],
    )


# ---------------------------------------------------------------------------------------------------------- numbers


def _spread(spread: Data | None, write: Callable[[float | None], str], seeds: int, factor: float = 1.0) -> str:
    """Mean ± standard deviation; the number of seeds in brackets where it is not that of the row."""
    if spread is None:
        return "–"
    fewer = f" ({spread['seeds']} seed{'s' if spread['seeds'] > 1 else ''})" if 0 < spread["seeds"] < seeds else ""
    varied = spread["std"] is not None and (seeds or spread["std"] > 0)
    said = f" ± {write(spread['std'] / factor)}" if varied else ""
    return f"{write(spread['mean'] / factor)}{said}{fewer}"


def _unit(name: str, most: float) -> tuple[float, str]:
    """What a column of costs is divided by, and how its heading says so."""
    if name.startswith("bytes_"):
        steps = ((1024.0**3, "GiB"), (1024.0**2, "MiB"), (1024.0, "KiB"))
        return next(((size, unit) for size, unit in steps if most >= size), (1.0, "B"))
    if name == "flops":
        steps = ((1e15, " (10¹⁵)"), (1e12, " (10¹²)"), (1e9, " (10⁹)"))
        return next(((size, unit) for size, unit in steps if most >= size), (1.0, ""))
    return 1.0, "s" if name.startswith("seconds_") else ""
