"""A federation of two sites with promises, for tests."""

import numpy as np
import tomli_w

from coplay import Config
from coplay.engines import local
from coplay.games.sample_exchange import SampleExchange

VARIABLES = {
    "age": {"kind": "real", "low": 0, "high": 120},
    "dose": {"kind": "real", "low": 0, "high": 10},
    "class": {"kind": "categorical", "categories": ["ill", "well"]},
}
MOMENTS = {"name": "noisy_moments", "epsilon": 1.0, "delta": 1e-4, "draws": 300}


def table(path, n=400, seed=0, patients=0):
    """Write a table of ages and doses that depend on a class."""
    rng = np.random.default_rng(seed)
    lines = ["patient,age,dose,class"]
    for i in range(n):
        ill = rng.random() < 0.5
        age = 40 + 20 * ill + 5 * rng.normal()
        dose = min(max(3 + 2 * ill + rng.normal(), 0), 10)
        patient = f"p{i % patients}" if patients else f"p{i}"
        lines.append(f"{patient},{age:.4f},{dose:.4f},{'ill' if ill else 'well'}")
    path.write_text("\n".join(lines) + "\n")


def federation(folder, privacy, variables=VARIABLES, sites=("north", "south"), site=None, **more):
    """Write the files of a federation in which the first site makes a promise."""
    for i, name in enumerate(sites):
        home = folder / name
        home.mkdir(exist_ok=True)
        if not (home / "rows.csv").exists():
            table(home / "rows.csv", seed=i)
        values = {
            "federation": "wards",
            "name": name,
            "data": {"source": {"name": "table", "file": "rows.csv"}, **(site or {})},
        }
        if not i:
            values["privacy"] = privacy
        (home / "site.toml").write_text(tomli_w.dumps(values))
    values = {
        "name": "wards",
        "seed": 3,
        "model": {"name": "exponential_family"},
        "variables": variables,
        "players": {name: {"site": str(folder / name / "site.toml")} for name in sites},
        "game": {
            "name": "sample_exchange",
            "rounds": 3,
            "local_steps": 2,
            "samples_per_round": 40,
            "own_weight": 0.5,
        },
        "measure": {"samples": 100, "shown": 5},
    }
    return Config.from_dict(values | more)


def replies_of(name, monkeypatch):
    """Return a list that fills with all replies of a player, as the local engine has them."""
    replies = []
    original = local.answer_all

    def noting(game, players, messages):
        answers = original(game, players, messages)
        replies.extend(
            reply for player, reply in zip(players, answers, strict=True) if player.name == name
        )
        return answers

    monkeypatch.setattr(local, "answer_all", noting)
    return replies


class Constant:
    """A stand-in of a site's own that looks at no row: everybody is 50, has 5 and is well."""

    def fit(self, rows):
        """Look at nothing."""

    def sample(self, n):
        """Return what does not depend on any row."""
        return np.tile([50.0, 5.0, 1.0], (n, 1))


class GameOfOthers(SampleExchange):
    """A game whose code is not coplay's, and could read whatever a player has."""
