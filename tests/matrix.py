"""All of coplay at once: what the registries hold, in pairs, each played for one tiny round.

``python -m tests.matrix`` plays every cell (minutes), and writes ``docs/combinations.json`` and
the page made of it. A cell plays, or it is refused with a reason before anybody learns; anything
else is a defect of the library, and ends the command.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import tomli_w
import torch

from coplay import Config, Engine, Federation, find, names
from coplay.core.components import name_of
from coplay.core.errors import CoplayError
from coplay.metrics import features
from coplay.run.schema import VariableSection
from coplay.run.tidy import scores

from .flower_loop import Loop, laid_out
from .flower_loop import played as played_over
from .matrix_page import deciding, page
from .pairwise import covering, pairs_in, pairs_of

HERE = Path(__file__).parent
KEPT = HERE.parent / "docs" / "combinations.json"
PAGE = KEPT.with_suffix(".md")
ATTEMPTS = 6
"""Cells that are tried, one value away from such that play, for a pair that does not play yet."""
PLAYERS = ("a", "b")
OWN_DATA = "data of their own"
SITE_FILES = "site files"
ONE_LACKS = "site files, one lacks a variable"
PROMISE = "site files, promise: "
BY_STEPS = "learning by DP-SGD"
ALL = "all variables"
NO_CLASS = "all but the class"
FIRST = "the first one and the class"
SLOW = ("digits", "poly_mnist")
"""Sources of more values than the others, which a choice between equals takes last."""
ROUNDS = {"rounds": 1, "local_steps": 1}


@dataclass(frozen=True)
class Outcome:
    """What became of a cell.

    Args:
        reason: Why it was refused; empty if it played.
        defects: What is wrong with the library; of a right one there are none.
    """

    reason: str
    defects: tuple[str, ...] = ()


def factors():
    """The values by factor, from the registries."""
    pools = [dealt(each) for each in names("partition")]
    promises = [PROMISE + each for each in (*names("stand_in"), BY_STEPS)]
    return {
        "model": names("model"),
        "game": names("game"),
        "source": sorted(names("source"), key=lambda name: (name in SLOW, name)),
        "sites": [SITE_FILES, OWN_DATA, *pools, ONE_LACKS, *promises],
        "learns": [ALL, NO_CLASS, FIRST],
    }


def dealt(partition):
    """What the sites of a pool are called that a partition deals out."""
    return f"dealt {partition}"


# ------------------------------------------------------------------------- a cell as a config


def section(kind, component):
    """Return a component as a section of a config."""
    values = component.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    return {"name": name_of(kind, component), **values}


def game_section(name):
    """Return the smallest game: one round of one step, after which all comes that ever does."""
    cls = find("game", name)
    often = {key: 1e-9 for key in cls.model_fields if key.endswith("_every_epochs")}
    return section("game", cls.tiny()) | ROUNDS | often


def partition_section(name):
    """Return a partition that both players and any source with two classes can have."""
    settings = {"by_class": {"classes": {"a": [0], "b": [1]}}}
    return {
        "name": name,
        **settings.get(name, section("partition", find("partition", name).tiny())),
    }


def privacy_section(promise):
    """Return what a site promises."""
    if promise == BY_STEPS:
        learning = {"steps": 1, "rate": 0.2}
        return {"epsilon": 20.0, "delta": 1e-4, "learning": learning}
    return {"stand_in": section("stand_in", find("stand_in", promise).tiny())}


class Sources:
    """The tiny sources, each made and loaded once."""

    def __init__(self):
        self._made = {}

    def __getitem__(self, name):
        if name not in self._made:
            source = find("source", name).tiny()
            self._made[name] = source, source.load()
        return self._made[name]


def base_config(cell):
    """Return the sections of a config that do not depend on where data are."""
    return {
        "name": "matrix",
        "model": section("model", find("model", cell["model"]).tiny()),
        "game": game_section(cell["game"]),
        "measure": {"samples": 100, "shown": 20},
        "engine": {"name": "local", "games_at_once": 1},
    }


def config_of(cell, sources, folder):
    """Return a cell as the sections of a config, and the data in memory that it takes.

    Args:
        cell: A value by factor.
        sources: The tiny sources.
        folder: Where site files go.
    """
    source, data = sources[cell["source"]]
    learned = learned_by(cell, data.space)
    values = base_config(cell)
    here = section("source", source)
    given = {}
    if cell["sites"].startswith("dealt "):
        partition = partition_section(cell["sites"].removeprefix("dealt "))
        values["data"] = {"source": here, "partition": partition, "variables": learned}
        values["players"] = {name: {} for name in PLAYERS}
    elif cell["sites"] == OWN_DATA:
        own = {"data": {"source": here}, "variables": learned}
        values["players"] = {name: dict(own) for name in PLAYERS}
        if cell["source"] == "memory":
            given = {name: data for name in PLAYERS}
    else:
        values["variables"] = agreed(data.space.only(learned))
        values["players"] = {}
        for name in PLAYERS:
            path = folder / f"{name}.toml"
            path.write_text(tomli_w.dumps(site_file(cell, name, here, learned)))
            values["players"][name] = {"site": str(path)}
    return values, given


def learned_by(cell, space):
    """Return the names of the variables that players learn."""
    if cell["learns"] == FIRST:
        return [next(iter(space)), "class"]
    return [name for name in space if cell["learns"] == ALL or name != "class"]


def agreed(space):
    """Return the agreed variables of a space as sections; a promise needs ranges."""
    sections = {}
    for name in space:
        ends = {}
        if space[name].kind == "real" and not math.isfinite(space[name].low):
            ends = {"low": 0.0, "high": 10.0}
        plain = VariableSection.of(space[name]).model_dump(mode="json", exclude_none=True)
        sections[name] = plain | ends
    return sections


def site_file(cell, name, source, learned):
    """Return what a site's file says."""
    values = {
        "federation": "matrix",
        "name": name,
        "data": {"source": source},
        "tell": {"count": "exact", "shares": True},
    }
    if cell["sites"] == ONE_LACKS and name == PLAYERS[-1]:
        others = [each for each in learned if each != "class"]
        values["data"]["lacks"] = [others[-1] if len(others) > 1 else learned[-1]]
    if cell["sites"].startswith(PROMISE) and name == PLAYERS[0]:
        values["privacy"] = privacy_section(cell["sites"].removeprefix(PROMISE))
    return values


# --------------------------------------------------------------------------- playing a cell


@contextmanager
def asked():
    """List what players are asked once a game has begun: the first of it is to learn."""
    requests = []
    original = Engine.ask

    def ask(self, messages, *arguments, **settings):
        requests.extend(message.action for message in messages)
        return original(self, messages, *arguments, **settings)

    Engine.ask = ask
    try:
        yield requests
    finally:
        Engine.ask = original


@contextmanager
def few_steps():
    """Train the domain classifier for a moment: scores are to be there, not to be good."""
    before = features._STEPS
    features._STEPS = (10, 10)
    try:
        yield
    finally:
        features._STEPS = before


def played(cell, sources, play=None):
    """Play a cell and return what became of it.

    Args:
        cell: A value by factor.
        sources: The tiny sources.
        play: Plays sections of a config with data in memory into a folder; by default as
            everybody does.
    """
    with tempfile.TemporaryDirectory(prefix="matrix-") as place, asked() as requests:
        folder = Path(place)
        try:
            values, given = config_of(cell, sources, folder)
            with warnings.catch_warnings(), few_steps():
                warnings.simplefilter("error", RuntimeWarning)
                result = (play or play_here)(values, given, folder / "run")
            return Outcome("", tuple(faults(result)))
        except CoplayError as error:
            reason = " ".join(str(error).replace(place, "FOLDER").split())
            defects = []
            if requests:
                defects.append(f"refused after players were asked to {', '.join(requests)}")
            if list(folder.rglob("budget.jsonl")):
                defects.append("refused after a budget was spent")
            return Outcome(anonymous(reason, sources), tuple(defects))
        except Exception as error:
            return Outcome("", (f"{type(error).__name__}: {error}",))


def play_here(values, given, folder):
    return Federation(Config.from_dict(values), given).run(folder)


def anonymous(reason, sources):
    """Return a reason without the names of temporary folders."""
    for source, _ in sources._made.values():
        for text in sorted(map(str, source.model_dump(mode="json").values()), key=len)[::-1]:
            if text.startswith(tempfile.gettempdir()):
                reason = reason.replace(text, "FILE")
    return reason


def faults(result):
    """Say what is wrong with a run that claims to have played."""
    lines = []
    if result.record.status != "finished":
        lines.append(f"its status is {result.record.status}")
    for row in result.main.rows:
        for player, numbers in row.players.items():
            odd = {key: value for key, value in numbers.items() if not math.isfinite(value)}
            lines += [f"{player} reports {odd}"] if odd else []
        lines += [f"{name} was lost: {loss.reason}" for name, loss in row.lost.items()]
    measured = scores(result)
    lines += [] if measured else ["no score, and no reason"]
    for row in measured:
        value = row["value"]
        if value is None and not row["reason"]:
            lines.append(f"{row['metric']} of {row['player']} is missing without a reason")
        for key in ("value", "low", "high"):
            if row[key] is not None and not math.isfinite(row[key]):
                lines.append(f"{row['metric']} of {row['player']}: {key} is {row[key]}")
    for name in result.sampled_from[result.main.name]:
        lines += outside(result, name)
    return lines


def outside(result, player):
    """Say which draws of a party do not lie within its space; checked here by hand."""
    shown = result.main.samples(1).get(player, {})
    lines = [] if shown else [f"no draws of {player} were kept"]
    space = result.record.data.space
    for name, values in shown.items():
        if name in space and not inside(space[name], values):
            lines.append(f"{name} drawn by {player} lies outside of {space[name]}")
    if result.config.engine.sites_elsewhere:  # the models lie at sites
        return lines
    drawn = result.sample(player, 7)
    columns = drawn if isinstance(drawn, dict) else {"frame": drawn}
    lines += [f"{key}: {len(each)} draws of 7" for key, each in columns.items() if len(each) != 7]
    return lines


def inside(variable, values):
    """Whether values are those that a variable can have."""
    if variable.kind == "categorical":
        return bool(((values >= 0) & (values < variable.classes)).all())
    if variable.kind == "binary":
        return bool(((values == 0) | (values == 1)).all())
    whole = variable.kind != "count" or bool((values == values.round()).all())
    low, high = variable.range
    return whole and bool((torch.isfinite(values) & (values >= low) & (values <= high)).all())


# ------------------------------------------------------------------------------- all of them


def key(cell):
    """Return what a cell is called."""
    return " + ".join(cell.values())


@dataclass
class Search:
    """Plays a covering, and then looks for a cell in which each pair of values plays.

    Args:
        play: Returns the outcome of a cell.
        values: The values by factor.
    """

    play: Callable[[dict[str, str]], Outcome]
    values: dict[str, list[str]]

    def __post_init__(self):
        self.done = {}

    def all(self):
        """Return cells with their outcomes, in the order in which they were played."""
        for cell in covering(self.values):
            self.once(cell)
        missing = None
        while missing != (missing := self.unproven()):
            for pair in missing:
                for cell in self.attempts(pair):
                    if self.once(cell).reason == "":
                        break
        return pruned(list(self.done.values()), self.values)

    def once(self, cell):
        if key(cell) not in self.done:
            self.done[key(cell)] = cell, self.play(cell)
        return self.done[key(cell)][1]

    def unproven(self):
        """Return the pairs that no cell that plays has."""
        proven = playing_pairs(self.done.values())
        return [pair for pair in pairs_of(self.values) if pair not in proven]

    def attempts(self, pair):
        """Return cells with a pair, one value away from some that play; none if the pair plays.

        Those come first in which the fewest other pairs are unproven: there the pair decides.
        """
        unproven = set(self.unproven())
        if pair not in unproven:
            return []
        (one, x), (other, y) = pair
        candidates = {}
        for cell, outcome in self.done.values():
            if outcome.reason or (cell[one] != x and cell[other] != y):
                continue
            changed = cell | {one: x, other: y}
            count = sum(each in unproven for each in pairs_in(changed))
            candidates.setdefault(key(changed), (count, changed))
        ranked = sorted(candidates.values(), key=lambda each: each[0])
        return [cell for _, cell in ranked[:ATTEMPTS]]


# ------------------------------------------------------------------------------ other engines


def on_other_engines(cells, sources, play=None):
    """Play each game once with each engine but the local one.

    Args:
        cells: Cells with their outcomes; each game is played as in the first that fits.
        sources: The tiny sources.
        play: As :func:`played`, for an engine's name and a cell; by default that.

    Yields:
        The engine's name, the cell, and the outcome.
    """
    from .cluster import shared_cluster  # where Ray is not installed, the rest is played

    with shared_cluster():
        for engine in names("engine"):
            if engine == "local":
                continue
            for game in names("game"):
                cell = cell_for(engine, game, cells)
                yield engine, cell, (play or played_on)(engine, cell, sources)


def cell_for(engine, game, cells):
    """Return a cell of a game, one that plays if there is one; Flower has sites with files."""
    of_game = [
        (cell, outcome)
        for cell, outcome in cells
        if cell["game"] == game and (engine != "flower" or cell["sites"] == SITE_FILES)
    ]
    playing = [cell for cell, outcome in of_game if not outcome.reason]
    return playing[0] if playing else of_game[0][0]


def played_on(engine, cell, sources):
    """Play a cell with an engine."""
    return played(cell, sources, {"ray": play_on_ray, "flower": play_on_flower}[engine])


def play_on_ray(values, given, folder):
    """Play with processes of their own."""
    engine = {"name": "ray", "processes": 2}
    return play_here(values | {"engine": engine}, given, folder)


def play_on_flower(values, given, folder):
    """Play with sites that have folders of their own, over a carrier without Flower."""
    sites = {name: section["site"] for name, section in values["players"].items()}
    agreed = values | {"players": {name: {} for name in sites}}
    del agreed["engine"]
    federation, places = laid_out(folder / "deployed", agreed)
    for name, home in places.items():
        shutil.copy(sites[name], home / "site.toml")
    return played_over(Loop(places), federation, folder / "run")


def pruned(cells, values):
    """Leave out cells without which the rest says the same of every pair.

    Args:
        cells: Cells with their outcomes.
        values: The values by factor.
    """
    needed = {key(cell) for cell in covering(values)}
    done = {key(cell): (cell, outcome) for cell, outcome in cells}
    proven = playing_pairs(done[name] for name in needed)
    for pair in pairs_of(values):
        if pair not in proven:
            cell, outcome = deciding(pair, cells)
            needed.add(key(cell))
            proven |= playing_pairs([(cell, outcome)])
    return [done[name] for name in done if name in needed]


def playing_pairs(done):
    """The pairs of values that played together."""
    pairs = set()
    for cell, outcome in done:
        if not outcome.reason:
            pairs |= set(pairs_in(cell))
    return pairs


def kept():
    """Return the cells that are kept, with their outcomes."""
    cells = []
    for values in json.loads(KEPT.read_text())["cells"]:
        cell = {factor: values[factor] for factor in factors()}
        cells.append((cell, Outcome(values["reason"])))
    return cells


def kept_engines():
    """Return what is kept of other engines."""
    return json.loads(KEPT.read_text())["engines"]


def main():
    """Play all cells, and write them and the page."""
    sources = Sources()

    def play(cell):
        outcome = played(cell, sources)
        print(f"{key(cell)}: {outcome.reason or 'plays'} {' '.join(outcome.defects)}", flush=True)
        return outcome

    cells = Search(play, factors()).all()
    for cell, outcome in cells:
        for defect in outcome.defects:
            print(f"DEFECT {key(cell)}: {defect}")
    defects = sum(len(outcome.defects) for _, outcome in cells)
    if defects:
        sys.exit(f"{defects} defects of {len(cells)} cells")
    engines = []
    for engine, cell, outcome in on_other_engines(cells, sources):
        print(f"{engine}, {key(cell)}: {outcome.reason or 'plays'} {' '.join(outcome.defects)}")
        if outcome.defects:
            sys.exit(f"DEFECT with {engine}")
        engines.append({"engine": engine, **cell, "reason": outcome.reason})
    values = [cell | {"reason": outcome.reason} for cell, outcome in cells]
    content = {"command": "python -m tests.matrix", "cells": values, "engines": engines}
    KEPT.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(page(factors(), cells, engines))
    print(f"{len(cells)} cells; {KEPT}, {PAGE}")


if __name__ == "__main__":
    main()
