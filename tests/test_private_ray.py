"""Private sites in processes of their own."""

import pytest
import torch

from coplay import Federation

from .private_sites import MOMENTS, federation
from .test_private_runs import LONG, charged, models
from .test_private_sites import SMALL, ledger
from .test_ray import cluster  # noqa: F401


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("privacy", [{"stand_in": MOMENTS}, LONG], ids=["stand_in", "learning"])
def test_on_ray_a_promise_costs_the_same_and_nothing_more_leaves(tmp_path, privacy):
    pytest.importorskip("opacus")
    engine = {"name": "ray", "processes": 2}
    config = federation(tmp_path, privacy, model=SMALL, engine=engine)
    result = Federation(config).run(tmp_path / "ray")
    assert result.record.status == "finished"
    if privacy is LONG:
        assert charged(tmp_path) == 2 * config.game.rounds
    paid = ledger(tmp_path).read_bytes()
    numbers = [row.players["north"] for row in result.main.rows if "north" in row.players]
    assert not any("seconds" in name for each in numbers for name in each)
    if privacy is not LONG:
        here = Federation(federation(tmp_path, privacy, model=SMALL)).run(tmp_path / "here")
        assert ledger(tmp_path).read_bytes() == paid, "the stand-in of the other run"
        one, two = models(result.folder), models(here.folder)
        assert all(torch.equal(one[name], two[name]) for name in one)
