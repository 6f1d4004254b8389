"""All tests share small real data and one thread, and none uses the network."""

import os

import pytest
import torch

from coplay import Config, Space, Variable
from coplay.core.temporary import temporary_folder

from .slow_share import share_of

os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # else Ray writes a token into the home folder
os.environ["XDG_STATE_HOME"] = str(temporary_folder("state"))  # for the key of seals
os.environ.setdefault("COPLAY_GAMES_AT_ONCE", "1")  # tests have workers side by side as it is

collect_ignore = ["flower_contract.py", "flower_mutant.py"]  # apps, which run at nodes of Flower


def pytest_addoption(parser):
    group = parser.getgroup("slow tests", "they run with -m slow")
    group.addoption("--slow-share", type=float, default=1.0, help="in [0, 1], and one of each file")
    group.addoption("--slow-seed", type=int, default=0, help="which share")


def pytest_collection_modifyitems(config, items):
    """Leave out the slow tests that are not of the share."""
    slow = [item.nodeid for item in items if item.get_closest_marker("slow")]
    chosen = share_of(slow, config.getoption("--slow-share"), config.getoption("--slow-seed"))
    left_out = set(slow) - chosen
    if left_out:
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in left_out])
        items[:] = [item for item in items if item.nodeid not in left_out]


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _global_generator_untouched():
    """No code of coplay may move torch's global generator: seeds come from the config alone."""
    before = torch.random.get_rng_state()
    yield
    assert torch.equal(before, torch.random.get_rng_state()), "torch's global generator was used"


@pytest.fixture
def bits():
    """A space of six bits."""
    return Space({"image": Variable(kind="binary", shape=(2, 3))})


@pytest.fixture
def small_config():
    """Build a config of two quick players on real digits.

    Keyword arguments replace whole sections.
    """

    def build(**sections):
        values = {
            "name": "small",
            "seed": 3,
            "model": {"name": "exponential_family"},
            "players": {"north": {}, "south": {}},
            "data": {
                "partition": {
                    "name": "by_class",
                    "classes": {"north": [0, 1, 2, 3, 4], "south": [5, 6, 7, 8, 9]},
                }
            },
            "game": {
                "name": "sample_exchange",
                "rounds": 3,
                "local_steps": 2,
                "samples_per_round": 50,
            },
            "measure": {"metrics": [], "samples": 100, "shown": 4},
            "checkpoint": {"every_rounds": 1},
        }
        return Config.from_dict(values | sections)

    return build
