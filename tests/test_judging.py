"""Verdicts are made at the players, over messages, whatever the engine and the game."""

import json
import stat
from typing import ClassVar

import pytest
import torch

from coplay import Config, Federation, Result, Space, Variable
from coplay.core.errors import RunFolderError
from coplay.core.message import COORDINATOR, Message
from coplay.core.requests import SERVED, Judge
from coplay.core.storage import write_sealed
from coplay.data.sources.base import Dataset
from coplay.engines.base import answer
from coplay.games.isolated import Isolated
from coplay.models.base import OWN
from coplay.models.exponential_family import ExponentialFamily
from coplay.player import Player
from coplay.site.holdings import Holdings
from coplay.site.measuring import SiteMeasurer

SPACE = Space({"x": Variable(kind="real"), "y": Variable(kind="real")})
IMAGES = Space(
    {
        "image": Variable(kind="real", shape=(8, 8), low=0, high=1),
        "class": Variable(kind="categorical", classes=2),
    }
)


def rows(n, seed, mean=0.0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, generator=generator) + mean
    return SPACE.samples(x=x, y=x + torch.randn(n, generator=generator))


def images(n, seed):
    generator = torch.Generator().manual_seed(seed)
    classes = torch.arange(n) % 2
    grey = torch.rand(n, 8, 8, generator=generator) / 2 + classes.view(-1, 1, 1) / 2
    return IMAGES.samples(**{"image": grey, "class": classes})


def dataset(name, space, drawn):
    return Dataset(name, space, drawn, drawn)


def player(home):
    holdings = Holdings(SPACE, rows(60, 1), rows(20, 2), rows(30, 3))
    measurer = SiteMeasurer("north", holdings, None, home)
    made = Player("north", SPACE, rows(60, 1), ExponentialFamily(), 1, measurer=measurer)
    made.learn({}, {OWN: 1.0}, 1, 1)
    return made


def asked(made, game, served=None, games=("isolated", "game"), **more):
    payload = {} if served is None else {SERVED: served}
    request = Judge(200, game, games, **more)
    ask = Message(request, COORDINATOR, "north", 1, payload=payload)
    made.history.__init__()
    return answer(Isolated(rounds=2), made, ask)


def verdict_in(home):
    return json.loads((home.parent / "verdict.json").read_text())


def test_samples_for_everybody_are_judged_in_place_of_own_ones(tmp_path):
    home = tmp_path / "north" / "game"
    made = player(home)
    asked(made, "isolated")
    assert verdict_in(home)["measure"] == "log p in nats per row"
    reply = asked(made, "game", rows(200, 4, mean=3.0))
    assert (reply.numbers, dict(reply.payload)) == ({}, {}), "nothing of a verdict leaves"
    judged = verdict_in(home)
    assert judged["measure"].startswith("mean similarity"), "samples alone have no log p"
    assert (judged["best"], judged["compared_with"], judged["n"]) == ("isolated", "game", 30)
    assert judged["low"] > 0, "samples whose mean is 3 deviations away are worse beyond chance"
    for file in (home.parent / "verdict.json", *(home.parent / "judged").iterdir()):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.parent.stat().st_mode) == 0o700


def test_games_are_judged_on_as_many_samples_of_each(tmp_path):
    """Ten samples of the true law give other similarities than 200 of it."""
    few = tmp_path / "few" / "game"
    cut = tmp_path / "cut" / "game"
    other = rows(200, 5)
    for home, first in ((few, other[:10]), (cut, other)):
        made = player(home)
        asked(made, "isolated", first)
        asked(made, "game", rows(200, 6)[:10])
    assert verdict_in(few) == verdict_in(cut)


def test_a_game_that_changes_no_draws_is_named_and_not_compared(tmp_path):
    home = tmp_path / "north" / "game"
    made = player(home)
    asked(made, "isolated")
    asked(made, "game", changes_draws=False)
    judged = verdict_in(home)
    assert list(judged["values"]) == ["isolated"]
    assert judged["notes"] == [
        "'game' changes nothing in what draws your samples, and is not compared"
    ]


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"games": ("other",)}, "game: expected one of the run, got 'game'"),
        ({"target": "z"}, "target: expected a variable, got 'z'"),
        (
            {"served": SPACE.samples(x=torch.ones(3), y=torch.ones(3)).set("x", torch.ones(3, 2))},
            "x",
        ),
    ],
)
def test_a_request_to_judge_is_checked(tmp_path, more, fault):
    reply = asked(player(tmp_path / "north" / "game"), "game", **more)
    assert fault in reply.reason
    assert not list(tmp_path.iterdir())


def config(game, compare, model, **more):
    values = {
        "players": {name: {"data": {"source": {"name": "memory"}}} for name in ("north", "south")},
        "model": model,
        "game": game,
        "compare": compare,
        "measure": {"metrics": [], "samples": 100},
    }
    return Config.from_dict(values | more)


def test_the_generator_of_md_gan_is_judged_at_each_site(tmp_path):
    game = {"name": "md_gan", "rounds": 2, "local_steps": 2}
    model = {"name": "acgan", "batch": 8}
    given = {
        name: dataset(name, IMAGES, images(60, i)) for i, name in enumerate(("north", "south"))
    }
    result = Federation(config(game, ["isolated"], model), given).run(tmp_path / "run")
    for name in ("north", "south"):
        assert set(result.best(name).values) == {"md_gan", "isolated"}


def test_distillation_says_that_it_changes_no_draws(tmp_path):
    game = {"name": "distillation", "rounds": 2, "local_steps": 2}
    model = {"name": "joint_classifier", "batch": 8, "channels": 2, "hidden": 8}
    given = {
        name: dataset(name, IMAGES, images(60, i)) for i, name in enumerate(("north", "south"))
    }
    result = Federation(config(game, ["isolated"], model), given).run(tmp_path / "run")
    verdict = result.best("north")
    assert set(verdict.values) == {"isolated"}
    assert str(verdict).endswith(
        ". 'distillation' changes nothing in what draws your samples, and is not compared."
    )


def test_verdicts_of_other_processes_and_of_an_unfinished_run(tmp_path):
    game = {"name": "sample_exchange", "rounds": 2, "samples_per_round": 50}
    given = {name: dataset(name, SPACE, rows(90, i)) for i, name in enumerate(("north", "south"))}
    here = Federation(config(game, ["isolated"], "exponential_family"), given)
    local = here.run(tmp_path / "local")
    engine = {"name": "ray", "processes": 2}
    there = config(game, ["isolated"], "exponential_family", engine=engine)
    ray = Federation(there, given).run(tmp_path / "ray")
    for name in ("north", "south"):
        assert ray.best(name) == local.best(name)
        assert set(ray.best(name).values) == {"sample_exchange", "isolated"}
    path = tmp_path / "local" / "run.json"
    record = json.loads(path.read_text())
    record.pop("digest")
    write_sealed(path, {**record, "status": "running"})
    with pytest.raises(RunFolderError, match="is running; the best model is chosen once"):
        Result.load(tmp_path / "local").best("north")


class FailsInPlay(ExponentialFamily):
    """A model that fails once samples of others come."""

    tried: ClassVar[bool] = False

    def learn(self, mixture, steps, generator):
        if len(mixture.parts) > 1:
            raise ValueError("no more")
        return super().learn(mixture, steps, generator)


def test_a_verdict_names_the_games_in_which_the_site_was_lost(tmp_path):
    game = {"name": "sample_exchange", "rounds": 2, "on_lost": "continue"}
    given = {
        name: dataset(name, SPACE, rows(60, i)) for i, name in enumerate(("north", "south", "west"))
    }
    here = {name: {"data": {"source": {"name": "memory"}}} for name in given}
    fails = {"name": f"{__name__}:FailsInPlay"}
    players = here | {"north": here["north"] | {"model": fails}}
    whole = config(game, ["isolated"], {"name": "exponential_family"}, players=players)
    result = Federation(whole, given).run(tmp_path / "run")
    assert set(result.best("north").values) == {"isolated"}
    notes = ["'sample_exchange' is not compared: the site was lost in it"]
    assert result.best("north").notes == notes
    assert result.best("south").notes == []
