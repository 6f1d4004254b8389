"""Models that fail only later, which no trial before play sees, and networks that are not new."""

import pytest
import torch
from torch import nn

from coplay import Config, Federation, LocalModel
from coplay.core.errors import ModelError, PlayerError
from coplay.models.acgan import Acgan

from .oracles.small_gans import PLAIN, discriminator, generator

HERE = "tests.test_unsaved"


class Later(LocalModel):
    """A model whose third turn and all after it go wrong, for one player."""

    fault: str = ""

    def setup(self, space, seed):
        self._space = space
        self._turns = torch.zeros((), dtype=torch.int64)

    def learn(self, mixture, steps, generator):
        self._turns += 1
        if self.fault == "silent" and self._turns > 2:
            return None
        return {"turns": float(self._turns)}

    def sample(self, n, generator):
        size = sum(self._space[name].size for name in self._space)
        rows = torch.rand(n, size, generator=generator)
        return self._space.unflatten(rows)

    def state_dict(self):
        state = {"turns": self._turns.clone()}
        if self._turns <= 2:
            return state
        if self.fault == "raises":
            raise RuntimeError("a private record")
        if self.fault == "nan":
            return state | {"w": torch.tensor([1.0, torch.nan])}
        return {} if self.fault == "empty" else state

    def load_state_dict(self, state):
        self._turns = state["turns"].clone()


def played(folder, fault, on_lost):
    config = Config.from_dict(
        {
            "players": {
                "north": {"model": "exponential_family"},
                "south": {"model": {"name": f"{HERE}:Later", "fault": fault}},
            },
            "game": {"name": "isolated", "rounds": 5, "on_lost": on_lost},
            "measure": {"metrics": []},
            "checkpoint": {"every_rounds": 1},
        }
    )
    return Federation(config).run(folder)


UNSAVED = {
    "raises": "RuntimeError, whose text stays with the player",
    "nan": "state_dict: 'w' has NaN: the model has diverged; try smaller steps",
    "empty": "state_dict returned no tensors, and some before; all it learned would go",
}


@pytest.mark.parametrize("fault", UNSAVED)
def test_a_state_that_cannot_be_saved_is_its_players_loss_alone(tmp_path, fault):
    result = played(tmp_path / "run", fault, "continue")
    assert result.record.status == "finished"
    lost = {}
    for row in result.main.rows:
        lost |= {name: (row.round, loss) for name, loss in row.lost.items()}
    assert set(lost) == {"south"}
    round, loss = lost["south"]
    assert round == 3
    assert UNSAVED[fault] in loss.reason
    assert "a private record" not in loss.reason


@pytest.mark.parametrize("fault", UNSAVED)
def test_a_state_that_cannot_be_saved_stops_a_game_that_stops(tmp_path, fault):
    with pytest.raises(PlayerError, match="player 'south' failed at 'save' in round 3") as error:
        played(tmp_path / "run", fault, "stop")
    assert UNSAVED[fault] in error.value.reason


def test_who_reports_nothing_later_is_told_what_learn_returns(tmp_path):
    expected = 'learn returned NoneType, expected a mapping of named numbers such as {"loss": 0.5}'
    with pytest.raises(PlayerError) as error:
        played(tmp_path / "run", "silent", "stop")
    assert expected in error.value.reason


# --------------------------------------------------------------------- networks of the user's own

_KEPT = {}


def one_for_all(classes, shape):
    """Give everybody the network that was made first."""
    return _KEPT.setdefault("whole", discriminator(classes, shape))


def one_first_layer(classes, shape):
    net = discriminator(classes, shape)
    net[1] = _KEPT.setdefault("layer", net[1])
    return net


def of_64_bits(classes, shape):
    return discriminator(classes, shape).double()


class Bits16(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, noise, classes=None):
        return self.net(noise, classes).bfloat16()


def halved(latent, classes, shape):
    return Bits16(generator(latent, classes, shape))


class Rounds(nn.Sequential):
    def forward(self, x):
        return super().forward(x.float())


def of_any_bits(classes, shape):
    return Rounds(discriminator(classes, shape))


@pytest.mark.parametrize(
    ("networks", "fault"),
    [
        ({"discriminator": "one_for_all"}, "the network is the same as before, so players would"),
        ({"discriminator": "one_first_layer"}, "'1.weight' is the same as before"),
        ({"discriminator": "of_64_bits"}, "the networks do not compute two images: "),
        (
            {"generator": "halved", "discriminator": "of_any_bits"},
            "the generator gives images of torch.bfloat16, expected torch.float32 or torch.float64",
        ),
    ],
)
def test_networks_that_cannot_be_played_with_are_told_at_set_up(networks, fault):
    _KEPT.clear()
    names = {half: f"{HERE}:{make}" for half, make in networks.items()}
    with pytest.raises(ModelError, match=fault):
        Acgan(latent=3, batch=4, **names).setup(PLAIN, 1)
