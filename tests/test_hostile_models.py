"""A model that misbehaves hurts its own player at most."""

import sys

import numpy as np
import pytest
import torch

from coplay import Config, Federation, Player, Space, Variable
from coplay.cli.main import main
from coplay.cli.sample_file import _as_npz
from coplay.core.contents import InSpace, sample_set_fault
from coplay.core.errors import RunFolderError
from coplay.core.expected import Limits
from coplay.core.message import COORDINATOR, Message, PlayerLost
from coplay.core.slices import MANY
from coplay.core.surroundings import settings_restored
from coplay.engines.base import answer
from coplay.engines.local import Local
from coplay.games.draws import draws_for
from coplay.games.fl_gan import FlGan
from coplay.games.fl_gan_requests import Learn
from coplay.games.md_gan import MdGan
from coplay.games.sample_exchange import SampleExchange
from coplay.games.sample_exchange_expected import Turn
from coplay.models.acgan import Acgan
from coplay.models.exponential_family import ExponentialFamily
from coplay.theory.equilibrium import influence_matrix

from .by_hand import cut, two_sites

BITS = Space({"x": Variable(kind="binary", shape=(3,))})


def bits(n):
    return BITS.samples(x=torch.ones((n, 3), dtype=torch.uint8))


class KeepsItsMemory(ExponentialFamily):
    """Draws into one buffer, which the next draw writes over."""

    _buffer = None

    def sample(self, n, generator):
        drawn = super().sample(n, generator)
        if self._buffer is None:
            type(self)._buffer = torch.empty((100, 3), dtype=torch.uint8)
        place = self._buffer[:n]
        place.copy_(drawn["x"])
        return BITS.samples(x=place)


class Quits(ExponentialFamily):
    def learn(self, mixture, steps, generator):
        sys.exit("a private record")


class PaintsOver(ExponentialFamily):
    """Writes into what it is asked about."""

    def classify(self, samples):
        n = len(samples)
        samples["x"].fill_(0)
        return torch.full((n, 2), 0.5)

    def log_prob(self, samples):
        values = super().log_prob(samples)
        samples["x"].fill_(0)
        return values


def player(model, space=BITS):
    made = Player("a", space, bits(4) if space == BITS else space.empty(), model, 1)
    made.learned = True
    return made


@pytest.mark.parametrize("receivers", [3, MANY + 1])
def test_a_model_may_draw_into_memory_that_it_keeps(receivers):
    counts = {f"p{i}": 2 + i % 3 for i in range(receivers)}
    kept = draws_for(player(KeepsItsMemory()), counts, 1)
    fresh = draws_for(player(ExponentialFamily()), counts, 1)
    for name in counts:
        expected = fresh[name] if receivers < MANY else fresh[name].fetch()
        assert torch.equal(kept[name]["x"], expected["x"])
    assert len({tuple(kept[name]["x"].flatten().tolist()) for name in counts}) > 1


def test_the_real_samples_are_those_of_all_whatever_a_model_does_with_them():
    space = Space(
        {**{name: BITS[name] for name in BITS}, "class": Variable(kind="categorical", classes=2)}
    )
    real = space.samples(
        x=torch.ones((5, 3), dtype=torch.uint8), **{"class": torch.zeros(5, dtype=torch.int64)}
    )
    player(PaintsOver(), space).classify(real)
    assert real["x"].all()
    player(PaintsOver()).log_prob(real, 1, 1)
    assert real["x"].all()


def test_a_model_that_quits_is_its_players_loss():
    ask = Message(Turn(1.0, {}), COORDINATOR, "a", 1)
    lost = answer(SampleExchange(), player(Quits()), ask)
    assert isinstance(lost, PlayerLost)
    assert "SystemExit" in lost.reason
    assert "private" not in lost.reason


def test_a_default_device_goes_with_the_model_that_set_it():
    with settings_restored():
        torch.set_default_device("meta")
    assert torch.empty(1).device.type == "cpu"
    assert torch._GLOBAL_DEVICE_CONTEXT.device_context is None


class Liar(float):
    """A number that is never too large and never too small."""

    def __ge__(self, other):
        return True

    def __le__(self, other):
        return True


def test_numbers_and_sample_sets_of_own_classes_are_refused():
    assert Limits(0, 9).fault(Liar("nan"))
    assert not Limits().fault(4.3e15)
    samples = bits(2)
    assert not sample_set_fault(samples)
    samples.items = lambda: bits(2).items()
    assert (
        sample_set_fault(samples) == "expected a plain TensorDict, got one with methods of its own"
    )


def test_nanoseconds_since_1970_are_numbers_like_others():
    space = Space({"stamp": Variable(kind="real")})
    stamps = space.samples(stamp=torch.tensor([1.7e18, 1.8e18], dtype=torch.float64))
    assert InSpace(space).faults(stamps) == []
    vast = space.samples(stamp=torch.tensor([1e30]))
    assert "from -1e+18 to 1e+18" in InSpace(space).faults(vast)[0]


def test_a_column_may_be_called_as_an_argument_of_numpy(tmp_path):
    space = Space({name: Variable(kind="real") for name in ("file", "allow_pickle", "args")})
    samples = space.samples(**{name: torch.arange(3.0) for name in space})
    (tmp_path / "s.npz").write_bytes(_as_npz(samples, space))
    read = np.load(tmp_path / "s.npz")
    assert sorted(read.files) == ["allow_pickle", "args", "file"]
    assert read["file"].tolist() == [0, 1, 2]


def test_a_player_that_a_run_does_not_have_is_named(tmp_path):
    config = {
        "players": 2,
        "model": "exponential_family",
        "game": {"name": "sample_exchange", "rounds": 1},
        "measure": {"metrics": []},
    }
    result = Federation(Config.from_dict(config)).run(tmp_path / "run")
    fault = "has no player 'plyaer0' in 'sample_exchange'; known, nearest first: player0"
    with pytest.raises(RunFolderError, match=fault):
        result.model("plyaer0")


def test_a_worker_of_a_stack_that_quits_ends_no_other():
    """Every answer of a process is given together, and each failure is one worker's."""

    class QuitsLater(Acgan):
        def feedback(self, *given, **more):
            sys.exit("a private record")

    space = Space({"image": Variable(kind="real", shape=(4, 4), low=0, high=1)})
    game = MdGan(rounds=2, local_steps=1, side_by_side="by_network", on_lost="continue")
    players = []
    for name in ("w0", "w1", "w2", "server"):
        kind = QuitsLater if name == "w1" else Acgan
        data = space.samples(image=torch.full((0 if name == "server" else 8, 4, 4), 0.5))
        players.append(Player(name, space, data, kind(latent=4, batch=4), 1))
    engine = Local()
    engine.start(players, game)
    state = game.start(["w0", "w1", "w2"], 1)
    state, row = game.play(engine, state, 1)
    assert list(row.lost) == ["w1"]
    assert "SystemExit" in row.lost["w1"].reason
    assert list(state.players) == ["w0", "w2"]


def test_steps_that_were_taken_are_not_taken_again():
    space = Space({"image": Variable(kind="real", shape=(4, 4), low=0, high=1)})
    worker = Player("a", space, space.samples(image=torch.full((8, 4, 4), 0.5)), Acgan(batch=4), 1)
    game = FlGan(rounds=2, local_steps=6)

    def ask(steps, first):
        return answer(game, worker, Message(Learn(steps, first), COORDINATOR, "a", 1))

    assert isinstance(ask(4, 1), Message)
    for steps, first in ((1, 2), (3, 4), (4, 1)):
        refused = ask(steps, first)
        assert isinstance(refused, PlayerLost), (steps, first)
        assert "this request" in refused.reason
    assert isinstance(ask(2, 5), Message)


def test_an_own_weight_that_vanishes_beside_one_is_all_the_data_of_its_group():
    alpha = torch.tensor([[1e-17, 1.0], [1.0, 0.0]], dtype=torch.float64)
    assert influence_matrix(alpha).tolist() == [[1.0, 0.0], [1.0, 0.0]]


@pytest.mark.parametrize(
    "option", ["run CONFIG --out", "compare RUN --out", "report RUN --tensorboard"]
)
@pytest.mark.parametrize("text", ["", "a\0b"])
def test_an_empty_path_is_no_path(option, text, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*option.split(), text])
    assert ended.value.code == 2
    assert f"expected a path, got {text!r}" in capsys.readouterr().err


def test_a_refusal_leaves_a_run_as_it_is(tmp_path, capsys):
    config = Config.from_toml(two_sites("small", rounds=2))
    run = cut(config, tmp_path / "run", 1)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert main(["resume", str(run), "--set", "seed=2"]) == 2
    assert "report so far" not in capsys.readouterr().err
    assert main(["compare", str(run), "--out", str(run)]) == 2
    assert f"{run} is a run; name another folder" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
