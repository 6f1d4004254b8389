"""Sites of a federation on one machine, over a carrier without Flower: what both sides do is real.

Each message is answered by a site made anew, as Flower's processes do; only the wire is a call.
"""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import tomli_w
import torch

from coplay import Dataset, Federation, Source, Space, Variable
from coplay.engines.flower import Flower
from coplay.engines.flower_carrier import Fault, Parcel
from coplay.engines.flower_link import Link, connect, disconnect
from coplay.games.sample_exchange import SampleExchange
from coplay.run.checkpoint import run_id
from coplay.run.config import Config
from coplay.run.elsewhere import agreed_digest, elsewhere
from coplay.run.flower_config import config_of
from coplay.run.flower_site import FlowerSite
from coplay.run.own_data import SiteRecipe

HOSPITALS = Path(__file__).parents[1] / "configs" / "hospitals"


def deployed(folder, changes=None):
    """Lay a federation out as a deployment does: an agreed file, and a folder for each site.

    Args:
        folder: Where.
        changes: Sections to replace in the federation.
    """
    values = tomllib.loads((HOSPITALS / "federation.toml").read_text())
    players = values["players"]
    values["players"] = {name: {} for name in players}
    for name, section in (changes or {}).items():
        values[name] = section
    federation, places = laid_out(Path(folder), values)
    for name, home in places.items():
        shutil.copy(HOSPITALS / f"{name}.toml", home / "site.toml")
        shutil.copy(HOSPITALS / f"{name}.csv", home / f"{name}.csv")
    return federation, places


def laid_out(folder, values):
    """Write what was agreed at the coordinator and at each site; return its file, and the homes."""
    agreed = tomli_w.dumps(values)
    homes = {name: folder / name for name in ("coordinator", *values["players"])}
    for home in homes.values():
        home.mkdir(parents=True)
        (home / "federation.toml").write_text(agreed)
    return homes.pop("coordinator") / "federation.toml", homes


def settings_of(home):
    """Return the settings with which a node of Flower knows its site."""
    places = {"federation": "federation.toml", "site": "site.toml", "home": "private"}
    return {key: str(home / place) for key, place in places.items()}


def site_at(home):
    """Return a site, made anew."""
    return FlowerSite(home / "federation.toml", home / "site.toml", home / "private")


class Bits(Source):
    """Four rows of three equal bits.

    Args:
        value: The bit.
    """

    value: int = 0

    def load(self):
        space = Space({"x": Variable(kind="binary", shape=(3,))})
        rows = space.samples(x=torch.full((4, 3), self.value, dtype=torch.uint8))
        return Dataset("bits", space, rows, rows)


def deployed_bits(folder):
    """Lay out the federation of the engines' contract: sites a, b and c with a few bits each."""
    names = ("a", "b", "c")
    values = {
        "name": "bits",
        "variables": {"x": {"kind": "binary", "shape": [3]}},
        "players": {name: {} for name in names},
        "model": {"name": "exponential_family"},
        "game": {"name": "sample_exchange", **SampleExchange.tiny().model_dump(exclude_none=True)},
        "measure": {"preset": "none"},
    }
    federation, places = laid_out(Path(folder), values)
    for place, name in enumerate(names):
        source = {"name": "tests.flower_loop:Bits", "value": place % 2}
        site = {"federation": "bits", "name": name, "data": {"source": source}}
        site["model"] = {"name": "exponential_family"}
        (places[name] / "site.toml").write_text(tomli_w.dumps(site))
    return federation, places


def begun_engine(link, federation, folder):
    """Return an engine that has begun the game of a federation at all sites."""
    connect(link)
    config = config_of(Config.from_file(federation))
    recipes = []
    for own in elsewhere(config).values():
        recipes.append(SiteRecipe(own, config.seed, Path(folder)))
    engine = Flower.tiny()
    engine.start(recipes, config.game)
    return engine


class Loop:
    """A carrier that calls sites.

    Args:
        places: Folder by site.
    """

    def __init__(self, places):
        self.homes = dict(enumerate(places.values(), start=1))
        self.away = set()
        self.sent = []
        self.answers = {}

    def nodes(self):
        return [node for node in self.homes if node not in self.away]

    def push(self, parcels, ttl):
        ids = []
        for parcel in parcels:
            if parcel.node in self.away:
                ids.append(Fault("node is not there", is_away=True))
                continue
            self.sent.append(parcel)
            id = str(len(self.sent))
            values, body = self.answered(self.homes[parcel.node], parcel)
            self.answers[id] = Parcel(parcel.node, values, body)
            ids.append(id)
        return ids

    def answered(self, home, parcel):
        """Return the answer of the site at a home."""
        envelope, body = site_at(home).answer(parcel.values, parcel.body)
        return envelope.plain(), body

    def pull(self, ids):
        return {id: self.answers.pop(id) for id in ids if id in self.answers}


def linked(carrier, federation):
    """Return a link to sites over a carrier."""
    agreed = agreed_digest(Config.from_file(federation))
    return Link(carrier, agreed, run_id({"agreed": agreed}))


def played(carrier, federation, out, resume=False):
    """Play a federation over a carrier, as the coordinator's app does."""
    connect(linked(carrier, federation))
    try:
        if resume:
            return Federation.resume(out)
        return Federation(config_of(Config.from_file(federation))).run(out)
    finally:
        disconnect()


def deployed_images(folder, changes):
    """Lay out a federation of three sites with small images; each has all of the digits."""
    image = {"kind": "real", "shape": [8, 8], "low": 0, "high": 1}
    classes = {"kind": "categorical", "categories": [str(digit) for digit in range(10)]}
    names = ("north", "south", "east")
    values = {
        "name": "digits",
        "variables": {"image": image, "class": classes},
        "players": {name: {} for name in names},
        "measure": {"preset": "none"},
        **changes,
    }
    federation, places = laid_out(Path(folder), values)
    for name, home in places.items():
        source = {"name": "digits", "grey": True}
        site = {"federation": "digits", "name": name, "data": {"source": source}}
        site["tell"] = {"count": "tens"}
        (home / "site.toml").write_text(tomli_w.dumps(site))
    return federation, places
