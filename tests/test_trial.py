"""Own models are tried before play, and what is wrong with them is said in the first seconds."""

import hashlib
import os
import time

import numpy as np
import pytest
import torch
from tensordict import TensorDict
from torch import nn

from coplay import Config, Federation, LocalModel, Space, Variable, flat_state, load_flat_state
from coplay.core.errors import ModelError
from coplay.core.streams import isolated_seed, stream
from coplay.games.isolated import Isolated
from coplay.models import trial
from coplay.models.base import OWN, Mixture, Portion
from coplay.models.trial import is_tried, made_up, try_out

SPACE = Space(
    {
        "age": Variable(kind="real", low=0, high=120),
        "visits": Variable(kind="count", shape=(2,)),
        "site": Variable(kind="categorical", classes=4),
        "signs": Variable(kind="binary", shape=(3,)),
    }
)


class Net(LocalModel):
    """A sound model: a network with tied weights, Adam and a schedule."""

    rate: float = 0.01

    def setup(self, space, seed):
        self._space = space
        size = sum(space[name].size for name in space)
        with isolated_seed(seed):
            self._net = nn.Sequential(nn.Linear(size, size), nn.Tanh(), nn.Linear(size, size))
        self._net[2].weight = self._net[0].weight
        self._adam = torch.optim.Adam(self._net.parameters(), lr=self.rate)
        self._schedule = torch.optim.lr_scheduler.ExponentialLR(self._adam, 0.9)

    def learn(self, mixture, steps, generator):
        for _ in range(steps):
            rows = self._space.flatten(mixture.batch(16, generator))
            loss = (self._net(rows) - rows).square().mean()
            self._adam.zero_grad()
            loss.backward()
            self._adam.step()
            self._schedule.step()
        return {"loss": loss.item()}

    def rows(self, n, generator):
        size = self._net[0].in_features
        with torch.no_grad():
            return self._net(torch.randn(n, size, generator=generator))

    def sample(self, n, generator):
        return self._space.unflatten(self.rows(n, generator))

    def state_dict(self):
        return flat_state(self._net, self._adam)

    def load_state_dict(self, state):
        load_flat_state(state, self._net, self._adam)


# ----------------------------------------------------------------------------------- faulty states


class TiedWeights(Net):
    def state_dict(self):
        return self._net.state_dict()


class Nested(Net):
    def state_dict(self):
        return {"net": self._net.state_dict(), "adam": self._adam.state_dict()}


class Numpy(Net):
    def state_dict(self):
        return {"net.bias": self._net[0].bias.detach().numpy()}


class Scalar(Net):
    def state_dict(self):
        return {"steps": 3}


class NumberedKeys(Net):
    def state_dict(self):
        return {0: torch.zeros(1)}


class ListOfTensors(Net):
    def state_dict(self):
        return list(self._net.parameters())


class SparseState(Net):
    def state_dict(self):
        return {"w": torch.eye(2).to_sparse()}


class BadName(Net):
    def state_dict(self):
        return super().state_dict() | {"\ud800": torch.zeros(1)}


class OverlappingViews(Net):
    def state_dict(self):
        both = torch.zeros(4)
        return super().state_dict() | {"first": both[:3], "second": both[1:]}


class Forgetful(Net):
    def state_dict(self):
        return {"bias": self._net[0].bias.detach().clone()}

    def load_state_dict(self, state):
        with torch.no_grad():
            self._net[0].bias.copy_(state["bias"])


class WithoutMoments(Net):
    def state_dict(self):
        return flat_state(self._net)

    def load_state_dict(self, state):
        load_flat_state(state, self._net)


class CannotLoad(Net):
    def load_state_dict(self, state):
        self._net.load_state_dict(state)


# ------------------------------------------------------------------------------------ faulty steps


class NoReturn(Net):
    def learn(self, mixture, steps, generator):
        super().learn(mixture, steps, generator)


class ReturnsLoss(Net):
    def learn(self, mixture, steps, generator):
        return super().learn(mixture, steps, generator)["loss"]


class ReturnsTensors(Net):
    def learn(self, mixture, steps, generator):
        super().learn(mixture, steps, generator)
        return {"losses": torch.zeros(2)}


class Diverges(Net):
    def learn(self, mixture, steps, generator):
        return super().learn(mixture, steps, generator) | {"loss": float("nan")}


class Raises(Net):
    def learn(self, mixture, steps, generator):
        return {"loss": self.lost}


class Writes(Net):
    def learn(self, mixture, steps, generator):
        mixture.parts[0].samples["age"].div_(120)
        return super().learn(mixture, steps, generator)


class TooMany(Net):
    def sample(self, n, generator):
        return super().sample(n + 1, generator)


class Objects(Net):
    def sample(self, n, generator):
        drawn = super().sample(n, generator)
        names = np.array(["north"] * n, dtype=object)
        return TensorDict({**dict(drawn.items()), "site": names}, batch_size=[n])


class Graph(Net):
    def rows(self, n, generator):
        return self._net(torch.randn(n, self._net[0].in_features, generator=generator))


class WrongType(Net):
    def sample(self, n, generator):
        drawn = super().sample(n, generator)
        drawn["visits"] = drawn["visits"].float()
        return drawn


class MissingVariable(Net):
    def sample(self, n, generator):
        return super().sample(n, generator).exclude("age")


class Tensors(Net):
    def sample(self, n, generator):
        return self.rows(n, generator)


# ------------------------------------------------------------------------------- faulty randomness


class Unseeded(Net):
    def setup(self, space, seed):
        super().setup(space, seed)
        for p in self._net.parameters():
            nn.init.normal_(p)


class GlobalNumpy(Net):
    def learn(self, mixture, steps, generator):
        numbers = super().learn(mixture, steps, generator)
        with torch.no_grad():
            self._net[0].bias.add_(float(np.random.rand()))
        return numbers


class GlobalDraw(Net):
    def rows(self, n, generator):
        return super().rows(n, generator) + torch.rand(n, 1)


class Clock(Net):
    def rows(self, n, generator):
        noise = int.from_bytes(os.urandom(4), "big") + time.time_ns()
        return super().rows(n, generator) + noise % 1000 / 1000


FAULTS = {
    TiedWeights: ["state_dict: '0.weight' and '2.weight' share memory", "coplay.flat_state("],
    Nested: [
        "state_dict: 'net' is an OrderedDict, expected a tensor: a state is flat",
        "state_dict: 'adam' is a dict",
        "coplay.flat_state(module, optimizer)",
    ],
    Numpy: ["state_dict: 'net.bias' is a ndarray, expected a tensor", "torch.as_tensor(bias)"],
    Scalar: ["state_dict: 'steps' is an int, expected a tensor", "torch.as_tensor(steps)"],
    NumberedKeys: ["state_dict has the name 0, expected a text"],
    ListOfTensors: ["state_dict returned a list, expected tensors by name"],
    SparseState: ["state_dict: 'w' is a Tensor, expected a tensor that is dense"],
    BadName: ["state_dict cannot be stored:", "surrogates"],
    OverlappingViews: ["state_dict: 'first' and 'second' share memory"],
    Forgetful: ["load_state_dict does not bring back what state_dict returned"],
    WithoutMoments: ["after load_state_dict the model learns on in another way"],
    CannotLoad: ["load_state_dict failed: RuntimeError", "test_trial.py, line"],
    NoReturn: ['learn returned None, expected named numbers such as {"loss": 0.5}'],
    ReturnsLoss: ["learn returned a float, expected named numbers"],
    ReturnsTensors: ["learn reported losses as Tensor, expected a number"],
    Diverges: ["learn reported loss = nan"],
    Raises: ["learn failed: AttributeError", "test_trial.py, line", 'return {"loss": self.lost}'],
    Writes: ["learn changed 'age' of the samples that it was given", "clone()"],
    TooMany: ["sample(7): expected 7 samples, got 8"],
    Objects: ["sample(7) returned", "as 'site', expected a tensor of type int64 and shape (7,)"],
    Graph: ["sample(7) returned 'age' with a graph", "torch.no_grad()"],
    WrongType: ["sample(7): variable 'visits'", "expected type int64, got torch.float32"],
    MissingVariable: ["sample(7): variable 'age'", "is missing"],
    Tensors: ["sample(7): expected a TensorDict with one batch axis, got Tensor of shape (7, 7)"],
    Unseeded: ["setup draws from a global generator", "isolated_seed(seed)"],
    GlobalNumpy: ["learn draws from a global generator", "the generator that it is given"],
    GlobalDraw: ["sample draws from a global generator", "the generator that it is given"],
    Clock: ["sample gives something else when it is called again with the same seed"],
}


@pytest.mark.parametrize("cls", FAULTS, ids=lambda cls: cls.__name__)
def test_a_fault_is_named_with_its_method_and_what_to_do(cls):
    with pytest.raises(ModelError) as error:
        try_out(cls(), SPACE, "player 'north'")
    text = str(error.value)
    assert text.startswith(f"player 'north': {cls.__name__} was tried on made-up samples before")
    assert text.endswith("A class that cannot learn from made-up samples says tried = False")
    for part in FAULTS[cls]:
        assert part in text


def test_all_faults_of_a_turn_are_named_at_once():
    class Several(NoReturn, Numpy, TooMany):
        pass

    with pytest.raises(ModelError) as error:
        try_out(Several(), SPACE, "player 'north'")
    assert str(error.value).count("\n  - ") == 3


# ----------------------------------------------------------------------------------- sound models


class KeepsTheMixture(Net):
    """It remembers what it was given, and views of one tensor that do not overlap."""

    def learn(self, mixture, steps, generator):
        self._given = mixture
        return super().learn(mixture, steps, generator)

    def state_dict(self):
        both = torch.arange(6.0).reshape(2, 3)
        more = {"a/b.c d": both[0], "π": both[1], "column": both[:, 1], "": torch.zeros(0)}
        return super().state_dict() | more

    def __deepcopy__(self, memo):
        raise TypeError("this model cannot be copied")


@pytest.mark.parametrize("cls", [Net, KeepsTheMixture])
def test_a_sound_model_passes_and_nothing_is_changed(cls):
    model = cls()
    before = torch.random.get_rng_state()
    assert try_out(model, SPACE, "player 'north'") is None
    assert torch.equal(before, torch.random.get_rng_state())
    assert not hasattr(model, "_net")


class NeedsRealValues(Net):
    tried = False

    def learn(self, mixture, steps, generator):
        if mixture.parts[0].samples["age"].max() < 1000:
            raise ValueError("implausible")
        return {}


class Tiny:
    """An estimator that needs more rows than are made up."""

    def fit(self, rows):
        assert len(rows) > 1000

    def sample(self, n):
        return np.zeros((n, 7))


def test_what_is_not_tried():
    estimator = find_model("coplay.models.estimator:Estimator", estimator=f"{__name__}:Tiny")
    mixture = find_model("sklearn.mixture:GaussianMixture")
    assert [is_tried(m) for m in (Net(), NeedsRealValues(), estimator, mixture)] == [
        True,
        False,
        True,
        False,
    ]
    assert try_out(estimator, SPACE, "player 'north'") is None


def find_model(name, **settings):
    return Config.from_dict({"players": 2, "model": {"name": name, **settings}}).model


def test_made_up_samples_lie_in_their_space():
    space = Space(
        {
            "half": Variable(kind="real", low=1e6),
            "other": Variable(kind="real", high=-3),
            "free": Variable(kind="real", shape=(2, 2)),
            "narrow": Variable(kind="real", low=0.1, high=0.3),
            "huge": Variable(kind="real", low=-3e38, high=3e38),
            **{name: SPACE[name] for name in SPACE},
        }
    )
    samples = space.check(made_up(space, 500, stream(1)), "made up", complete=True)
    assert set(samples["site"].tolist()) == {0, 1, 2, 3}
    assert samples["half"].unique().numel() > 1


# ----------------------------------------------------------------------------- where it is played


def config(cls, **settings):
    return Config.from_dict(
        {
            "players": {"north": {"model": {"name": f"{__name__}:{cls.__name__}", **settings}}}
            | {"south": {"model": "exponential_family"}},
            "game": {"name": "sample_exchange", "rounds": 2, "samples_per_round": 30},
            "measure": {"metrics": []},
        }
    )


def test_a_run_says_so_before_anything_is_written(tmp_path):
    with pytest.raises(ModelError, match="player 'north': TiedWeights was tried"):
        Federation(config(TiedWeights)).run(tmp_path / "run")
    assert not (tmp_path / "run" / "run.json").exists()
    with pytest.raises(ModelError, match="player 'north': TiedWeights was tried"):
        Federation(config(TiedWeights)).prepare()


class OwnGenerator(Net):
    """It draws from a generator that is in no state."""

    def setup(self, space, seed):
        super().setup(space, seed)
        self._own = torch.Generator().manual_seed(seed)

    def sample(self, n, generator):
        return super().sample(n, self._own)


def test_a_generator_outside_the_state_is_told():
    with pytest.raises(ModelError, match="sample gives something else when it is called again"):
        Federation(config(OwnGenerator)).prepare()


class Alone(Net):
    """It learns from nobody else."""

    def learn(self, mixture, steps, generator):
        (_,) = mixture.parts
        return super().learn(mixture, steps, generator)


class BatchesOfItsOwn(Net):
    """It leaves out what does not fill a batch."""

    def learn(self, mixture, steps, generator):
        samples, _ = mixture.weighted()
        count = len(samples) // 128
        return {"batches": 1 / count} | super().learn(mixture, steps, generator)


def test_a_model_is_tried_on_what_its_games_send():
    isolated = config(Alone).model_copy(update={"game": Isolated(rounds=2)})
    assert Federation(isolated).prepare().notes == []
    assert Federation(config(BatchesOfItsOwn)).prepare().notes == []
    with pytest.raises(ModelError, match="learn failed: ValueError: too many values to unpack"):
        Federation(config(Alone)).prepare()


class Untried(Net):
    tried = False


def test_a_trial_changes_no_bit_of_a_run(tmp_path):
    digests = set()
    for cls in (Net, Untried):
        result = Federation(config(cls)).run(tmp_path / cls.__name__)
        files = sorted((result.main.folder / "models").iterdir())
        digests.add(hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest())
    assert len(digests) == 1


def test_a_slow_trial_is_in_the_notes(monkeypatch):
    monkeypatch.setattr(trial, "_SLOW_SECONDS", 0.0)
    (note,) = Federation(config(Net)).prepare().notes
    assert note.startswith("Net was tried before play, which took ")


# ------------------------------------------------------------------------------------- flat states


def trained(net, make, steps=3):
    optimizer = make(net)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    for _ in range(steps):
        step(net, optimizer)
        schedule.step()
    return optimizer


def step(net, optimizer):
    optimizer.zero_grad()
    net(torch.linspace(-1, 1, 12).reshape(4, 3)).square().sum().backward()
    optimizer.step()


class TiedNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3))
        self.body[2].weight = self.body[0].weight
        self.scale = nn.Parameter(torch.ones(3, 2).t())

    def forward(self, x):
        return self.body(x) * self.scale.sum(0)


OPTIMIZERS = [
    lambda net: torch.optim.Adam(net.parameters(), lr=0.1, fused=True),
    lambda net: torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9),
    lambda net: torch.optim.SGD(net.parameters(), lr=1e-3),
    lambda net: torch.optim.AdamW(
        [{"params": [net.scale], "lr": 0.3}, {"params": list(net.body.parameters())}], amsgrad=True
    ),
    lambda net: torch.optim.Rprop(net.parameters()),
    lambda net: torch.optim.NAdam(net.parameters()),
]


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_a_flat_state_brings_back_module_and_optimizer(make):
    with isolated_seed(1):
        net, twin = TiedNet(), TiedNet()
    optimizer = trained(net, make)
    twins = make(twin)
    torch.optim.lr_scheduler.ExponentialLR(twins, 0.5)
    state = flat_state(net, optimizer, "mine/")
    assert all(name.startswith("mine/") for name in state)
    assert "mine/module/body.2.weight" not in state
    load_flat_state({name: t.clone() for name, t in state.items()}, twin, twins, "mine/")
    again = flat_state(twin, twins, "mine/")
    assert state.keys() == again.keys()
    assert all(torch.equal(state[name], again[name]) for name in state)
    for _ in range(3):
        step(net, optimizer)
        step(twin, twins)
    pairs = zip(net.state_dict().values(), twin.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert twin.body[2].weight is twin.body[0].weight


def test_what_no_flat_state_can_be_made_of():
    with isolated_seed(1):
        net, other = TiedNet(), nn.Linear(1, 2)
    with pytest.raises(ModelError, match=r"a parameter of shape \(2, 1\) that is not in TiedNet"):
        flat_state(net, torch.optim.SGD(other.parameters()))
    with pytest.raises(ModelError, match="has no 'module/scale'"):
        load_flat_state(flat_state(other), net)
    with pytest.raises(ModelError, match=r"has shape \(1,\), expected \(2, 1\)"):
        load_flat_state({"module/weight": torch.zeros(1)}, other)


def test_a_mixture_of_one_source_is_no_special_case():
    model = Net()
    model.setup(SPACE, 1)
    part = Portion(OWN, made_up(SPACE, 5, stream(1)), 1.0)
    assert model.learn(Mixture((part,)), 1, stream(1))["loss"] > 0
