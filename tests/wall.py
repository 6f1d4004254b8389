"""Players behind a wall: in a process that was started outside and answers messages only.

A site's process is ``python -m tests.wall serve SITE.json …``: it reads rows from its own folder,
builds its player, and answers bytes at a socket. The coordinator's side, :class:`Wall`, is an
engine that knows names and sockets. ``python -m tests.wall play TERMS.json`` is a coordinator of
one game, ``python -m tests.wall run FEDERATION SOCKETS.json OUT`` one of a whole run.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import selectors
import socket
import struct
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from pydantic import Field, PrivateAttr
from safetensors.torch import load_file, save_file
from tensordict import TensorDict

from coplay import Federation, Player, Result, Space, find
from coplay.cli.main import main
from coplay.core.codec import (
    facts_from_bytes,
    facts_to_bytes,
    reply_from_bytes,
    reply_to_bytes,
    request_from_bytes,
    request_to_bytes,
)
from coplay.core.components import name_of
from coplay.core.errors import FAILURES, EngineError, MessageError, RunFolderError
from coplay.core.facts import variables_from_text, variables_to_text
from coplay.core.history import Roster
from coplay.core.message import PlayerDied, PlayerLost
from coplay.core.streams import single_pools
from coplay.core.telling import Telling
from coplay.engines.base import Engine, answer, told_error
from coplay.engines.gate import acquaint, checked_reply
from coplay.games.party import Known
from coplay.models.estimator import Estimator
from coplay.player import REQUESTS
from coplay.run.config import Config
from coplay.run.own_data import SiteRecipe, own_data
from coplay.run.preparing import game_names
from coplay.run.schema import agreed_space
from coplay.run.site_folders import site_folder, site_home

ROOT = Path(__file__).parents[1]
LENGTH = struct.Struct("<Q")
BEGIN = b"B"
DESCRIBE = b"D"
ACQUAINT = b"a"
ASK = b"M"
SECONDS = 120


@dataclass(frozen=True)
class Terms:
    """What all parties agreed on; each has a copy."""

    game: dict
    model: dict
    variables: dict
    players: list[str]
    sockets: list[str]
    seed: int = 1

    @property
    def rules(self):
        return component("game", self.game)

    @property
    def space(self):
        return Space(variables_from_text(self.variables))

    def seats(self):
        """Return the parties without data, which are played at the coordinator."""
        model = component("model", self.model)
        space = self.space
        seats = self.rules.seats
        return [Player(name, space, space.empty(), model.fresh(), self.seed) for name in seats]

    def elsewhere(self):
        """Return what the coordinator has of the players."""
        pairs = zip(self.players, self.sockets, strict=True)
        return [Elsewhere(name, self.seed, place) for name, place in pairs]


@dataclass(frozen=True)
class Site:
    """What one site has: the terms, its name, and a folder with its rows.

    With ``federation``, the path of a federation's file, its site file says what it has; with
    ``whole``, its player is built anew for each game that a coordinator begins.
    """

    terms: Terms
    name: str
    folder: str
    tell: dict
    federation: str = ""
    whole: bool = False

    @property
    def run(self):
        """Its own folder of a run."""
        return Path(self.folder) / "run"

    @property
    def socket(self):
        return self.terms.sockets[self.terms.players.index(self.name)]

    def build(self):
        """Read the rows and make the player."""
        if self.federation:
            config = Config.from_file(Path(self.federation))
            own = own_data(config, None, {})[self.name]
            player = SiteRecipe(own, config.seed, Path(self.folder)).build()
            player.roster = Roster(self.terms.players)
            return player
        rows = load_file(Path(self.folder) / "rows.safetensors")
        count = len(next(iter(rows.values())))
        space = self.terms.space
        player = Player(
            self.name,
            space,
            TensorDict({name: rows[name] for name in space}, [count]),
            component("model", self.terms.model),
            self.terms.seed,
            Path(self.folder),
            tell=Telling(**self.tell),
        )
        player.roster = Roster(self.terms.players)
        return player

    def begun(self, game, plays):
        """Make the player of a game, or one that only says what it is; return both."""
        config = Config.from_file(Path(self.federation))
        own = own_data(config, None, {})[self.name]
        rules = dict(zip(game_names(config), (config.game, *config.carried), strict=True))[game]
        since = site_folder(self.run, self.name)
        home = site_home(self.run, self.name, game) if plays else None
        player = SiteRecipe(own, config.seed, home, None if plays else since).build()
        player.roster = Roster(self.terms.players)
        return rules, player


class Seat:
    """A connection of a coordinator to a site, with the player that answers there."""

    def __init__(self, site):
        self.site = site
        self.game = site.terms.rules
        self.player = None if site.whole else site.build()

    def begin(self, game, plays):
        """Make a player anew; return what went wrong, empty if nothing did."""
        try:
            self.game, self.player = self.site.begun(game, plays)
        except FAILURES as error:
            return str(told_error(self.site.name, error, None))
        return ""


@dataclass(frozen=True)
class Elsewhere:
    """All that the coordinator has of a player: no recipe of it can be cooked here."""

    name: str
    seed: int
    socket: str

    def build(self):
        raise AssertionError(f"the coordinator tried to make player '{self.name}'")


class Copies:
    """A model as no site should have it: it keeps the rows and sends them."""

    def fit(self, rows):
        self.rows = rows

    def sample(self, n):
        return self.rows[torch.arange(n).numpy() % len(self.rows)]


def component(kind, settings):
    """Return a component from its name and settings."""
    rest = {key: value for key, value in settings.items() if key != "name"}
    if ":" in settings["name"]:
        return Estimator(estimator=settings["name"], arguments=rest)
    return find(kind, settings["name"]).model_validate(rest)


# ------------------------------------------------------------------------------- the site's side


def read_site(path):
    values = json.loads(Path(path).read_text())
    return Site(**values | {"terms": Terms(**values["terms"])})


def serve(paths):
    """Answer for these sites until the process is ended; each connection begins anew."""
    torch.set_num_threads(1)
    ready = selectors.DefaultSelector()
    for path in paths:
        site = read_site(path)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(site.socket)
        listener.listen()
        ready.register(listener, selectors.EVENT_READ, site)
    while True:
        for key, _ in ready.select():
            if isinstance(key.data, Site):
                connection, _ = key.fileobj.accept()
                ready.register(connection, selectors.EVENT_READ, Seat(key.data))
                continue
            try:
                put(key.fileobj, answered(key.data, get(key.fileobj)))
            except OSError:  # the coordinator has gone
                ready.unregister(key.fileobj)
                key.fileobj.close()


def answered(seat, data):
    """Answer the bytes of one frame."""
    if data[:1] == BEGIN:
        return seat.begin(**json.loads(data[1:])).encode()
    site, player, game = seat.site, seat.player, seat.game
    if data[:1] == DESCRIBE:
        return facts_to_bytes(player.facts())
    if data[:1] == ACQUAINT:
        acquaint(player.roster, json.loads(data[1:]))
        return b""
    try:
        ask = request_from_bytes(data[1:], (*REQUESTS, *game.requests), "a request")
    except MessageError as error:
        return reply_to_bytes(PlayerLost(site.name, "", 0, f"refused: {error}"))
    with single_pools(1):
        return reply_to_bytes(checked_reply(game, player, ask, answer(game, player, ask)))


def put(connection, data):
    connection.sendall(LENGTH.pack(len(data)) + data)


def get(connection):
    (length,) = LENGTH.unpack(_exactly(connection, LENGTH.size))
    return _exactly(connection, length)


def _exactly(connection, length):
    parts = bytearray()
    while len(parts) < length:
        part = connection.recv(min(1 << 20, length - len(parts)))
        if not part:
            raise OSError("the other side has gone")
        parts += part
    return bytes(parts)


# ------------------------------------------------------------------------ the coordinator's side


class Wall(Engine):
    """Asks players elsewhere by bytes; those without data, such as a server, are played here.

    In a whole run players are recipes, of which no more than the names is looked at.
    """

    sockets: dict[str, str] = Field(default_factory=dict)

    _connections: dict = PrivateAttr(default_factory=dict)
    _here: dict = PrivateAttr(default_factory=dict)
    _bytes: list = PrivateAttr(default_factory=list)
    _log: list = PrivateAttr(default_factory=list)

    def start(self, players, game):
        self._connections = {}
        self._here = {each.name: each for each in players if isinstance(each, Player)}
        away = [each for each in players if each.name not in self._here]
        for each in away:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(SECONDS)
            connection.connect(self.sockets.get(each.name) or each.socket)
            self._connections[each.name] = connection
            if each.name in self.sockets:
                begin = {"game": name_of("game", game), "plays": each.home is not None}
                fault = self._exchange(each.name, BEGIN + json.dumps(begin).encode()).decode()
                if fault:
                    raise EngineError(fault)
        facts = self.describe()
        known = {each.name: Known(facts[each.name], each.seed) for each in away}
        self.seat([known.get(each.name, each) for each in players], game)
        for name in self._connections:
            self._exchange(name, ACQUAINT + json.dumps(self.takers).encode())

    def describe(self):
        facts = {name: player.facts() for name, player in self._here.items()}
        for name in self._connections:
            facts[name] = facts_from_bytes(self._exchange(name, DESCRIBE), name)
        return facts

    def deliver(self, messages, purpose):
        return [self._answer(message) for message in messages]

    def _answer(self, ask):
        here = self._here.get(ask.receiver)
        if here is not None:
            with single_pools(1):
                reply = answer(self._game, here, ask)
        else:
            reply = self._asked(ask)
        self._log.append((ask, reply))
        return reply

    def _asked(self, ask):
        try:
            return reply_from_bytes(self._exchange(ask.receiver, ASK + request_to_bytes(ask)), ask)
        except OSError as error:
            return PlayerDied(ask.receiver, ask.action, ask.round, f"its process died ({error})")
        except MessageError as error:
            return PlayerLost(ask.receiver, ask.action, ask.round, f"bad reply: {error}")

    def _exchange(self, name, data):
        put(self._connections[name], data)
        reply = get(self._connections[name])
        self._bytes.append(reply)
        return reply

    def close(self):
        super().close()
        for connection in self._connections.values():
            connection.close()
        self._connections = {}
        self._here = {}

    @classmethod
    def tiny(cls):
        return cls()


def play(terms, engine, players, rounds=2):
    """Play some rounds as a run does, and return the rows and the last state."""
    game = terms.rules
    torch.set_num_threads(1)
    engine.start(players, game)
    names = [party.name for party in engine._seated.values()]
    game.check(list(engine._seated.values()))
    state = game.start([name for name in names if name not in game.seats], terms.seed)
    rows = []
    for round in range(1, rounds + 1):
        state, row = game.play(engine, state, round)
        rows.append(row)
    return rows, state


def digest_of(rows, state):
    """Return a digest of what a game left: its rows without times, and all that is in flight."""
    seen = hashlib.sha256()
    for row in rows:
        for name, numbers in sorted(row.players.items()):
            kept = {key: value for key, value in numbers.items() if "seconds" not in key}
            seen.update(json.dumps([name, kept], sort_keys=True).encode())
        seen.update(json.dumps([row.own, row.lost], sort_keys=True, default=asdict).encode())
    seen.update(json.dumps(state.known(), sort_keys=True).encode())
    for link in sorted(state.payload):
        part = state.payload[link]
        samples = part if isinstance(part, TensorDict) else part.fetch()
        for name, values in samples.items():
            seen.update(f"{link} {name} {tuple(values.shape)}".encode())
            seen.update(values.contiguous().numpy().tobytes())
    return seen.hexdigest()


def coordinate(path, peek=None):
    """Play as a coordinator of its own; ``peek`` is a file that it has no business with."""
    terms = Terms(**json.loads(Path(path).read_text()))
    if peek is not None:
        Path(peek).read_bytes()
    engine = Wall()
    rows, state = play(terms, engine, [*terms.elsewhere(), *terms.seats()])
    engine.close()
    print(digest_of(rows, state))


class Stop(KeyboardInterrupt):
    """A user who loses patience."""


def run(federation, sockets, out):
    """Coordinate a whole run: stop it, go on, report, and print what a reader finds in it."""
    values = tomllib.loads(Path(federation).read_text())
    engine = {"name": "tests.wall:Wall", "sockets": json.loads(Path(sockets).read_text())}
    for section in values["players"].values():
        section["site"] = str(Path(federation).parent / section["site"])
    config = Config.from_dict({**values, "engine": engine, "checkpoint": {"every_rounds": 1}})

    def impatient(what, done, of):
        if what == "sample_exchange" and done == 1:
            raise Stop

    with contextlib.suppress(Stop):
        Federation(config).run(out, impatient)
    assert Result.load(out).record.status == "stopped"
    result = Federation.resume(out, trust=True)
    assert main(["report", str(out)]) == 0
    faults = {}
    for name in result.players:
        for what in (result.model, result.best, lambda name: result.sample(name, 3)):
            try:
                what(name)
            except RunFolderError as error:
                faults.setdefault(name, []).append(str(error))
    print(json.dumps({"rows": rows_of(result), "faults": faults, "status": result.record.status}))


def rows_of(result):
    """Return the rows of all games of a run, without times."""
    rows = {}
    for name, play in result.plays.items():
        lines = (play.folder / "rows.jsonl").read_text().splitlines()
        rows[name] = [without_times(json.loads(line)) for line in lines]
    return rows


def without_times(row):
    kept = {key: value for key, value in row.items() if key not in ("seconds", "seal")}
    return {key: value for key, value in kept.items() if "seconds" not in key}


# ------------------------------------------------------------------------ for tests of both sides


def federated(folder, federation, whole=False):
    """Return the sites of a federation's file; only sockets and terms lie elsewhere."""
    config = Config.from_file(federation)
    terms = terms_of(
        {"name": name_of("game", config.game), **plain(config.game)},
        {"name": name_of("model", config.model), **plain(config.model)},
        agreed_space(config.variables),
        config.player_names,
    )
    sites = []
    terms = replace(terms, sockets=_sockets(len(terms.players)), seed=config.seed)
    for name in terms.players:
        home = Path(folder) / f"private-{name}"
        home.mkdir(parents=True)
        site = Site(terms, name, str(home), {}, str(federation), whole)
        (home / "site.json").write_text(json.dumps(asdict(site)))
        sites.append(site)
    terms_file(sites[0]).write_text(json.dumps(asdict(terms)))
    return sites


def plain(component):
    return component.model_dump(mode="json", exclude_none=True)


def _sockets(count):
    meeting = tempfile.mkdtemp(prefix="wall-", dir="/tmp")  # a socket's path must be short
    return [f"{meeting}/{place}" for place in range(count)]


def founded(folder, terms, rows, tell):
    """Write the folder of each site and return the sites; sockets lie elsewhere.

    Args:
        folder: Where the sites' folders go.
        terms: All but the sockets.
        rows: Rows of each player, in order.
        tell: What each tells of them.
    """
    terms = replace(terms, sockets=_sockets(len(rows)))
    sites = []
    for name, held in zip(terms.players, rows, strict=True):
        home = Path(folder) / f"private-{name}"
        home.mkdir(parents=True)
        save_file(
            {key: values.contiguous() for key, values in held.items()}, home / "rows.safetensors"
        )
        site = Site(terms, name, str(home), tell)
        (home / "site.json").write_text(json.dumps(asdict(site)))
        sites.append(site)
    terms_file(sites[0]).write_text(json.dumps(asdict(terms)))
    return sites


def terms_file(site):
    """Return the path of what the coordinator is given."""
    return Path(site.socket).parent / "terms.json"


@contextlib.contextmanager
def opened(sites):
    """Start one process for these sites, and end it."""
    paths = [f"{site.folder}/site.json" for site in sites]
    process = subprocess.Popen([sys.executable, "-m", "tests.wall", "serve", *paths], cwd=ROOT)
    try:
        end = time.monotonic() + SECONDS
        while not all(Path(site.socket).exists() for site in sites):
            assert process.poll() is None, "the sites' process ended before it began"
            assert time.monotonic() < end, "the sites' process did not start"
            time.sleep(0.05)
        time.sleep(0.05)  # between binding and listening
        yield process
    finally:
        process.kill()
        process.wait()


def terms_of(game, model, space, players):
    """Return terms without sockets."""
    return Terms(game, model, variables_to_text(space), players, [])


if __name__ == "__main__":
    act = {"serve": lambda *paths: serve(paths), "play": coordinate, "run": run}[sys.argv[1]]
    act(*sys.argv[2:])
