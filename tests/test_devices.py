"""Models on another device give, to rounding, what they give on the CPU.

What leaves a model lies on the CPU. The device is emulated (``emulated_device.py``). torch takes
note of devices before its first backward pass, so everything runs in a process of its own: this
file, run as a script.
"""

import json
import math
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from coplay import Federation, Space, Variable, find, load_player, names
from coplay.core import storage
from coplay.core.errors import ModelError
from coplay.core.streams import stream
from coplay.games.fl_gan import FlGan
from coplay.games.md_gan import MdGan
from coplay.models.base import Mixture, Portion
from coplay.nets import devices
from coplay.report.page import write
from coplay.run.config import Config
from coplay.run.result import Result

ROOT = Path(__file__).parents[1]
MODELS = [name for name in names("model") if "device" in find("model", name).model_fields]
GAMES = {
    "md_gan, loop": (MdGan, {"side_by_side": "loop", "optimiser_on_swap": "travel"}),
    "md_gan, stacked": (MdGan, {"side_by_side": "stacked"}),
    "md_gan, measured": (MdGan, {"side_by_side": "measured"}),
    "fl_gan": (FlGan, {"average_every_epochs": 0.5}),
}
SPACES = {
    "grey": Space({"image": Variable(kind="real", shape=(5, 6), low=0, high=1)}),
    "labelled": Space(
        {
            "image": Variable(kind="binary", shape=(5, 6)),
            "class": Variable(kind="categorical", classes=3),
        }
    ),
    "bits": Space({"image": Variable(kind="binary", shape=(2, 3))}),
    "masked": Space(
        {
            "image": Variable(kind="real", shape=(8, 8), low=0, high=1),
            "mask": Variable(kind="binary", shape=(8, 8)),
            "class": Variable(kind="categorical", classes=3),
            "age": Variable(kind="real"),
        }
    ),
}
ALMOST = 1e-5


def lives_on(name, kind):
    try:
        find("model", name).tiny().setup(SPACES[kind], 5)
    except ModelError:
        return False
    return True


CASES = [f"{name} on {kind}" for name in MODELS for kind in SPACES if lives_on(name, kind)] + list(
    GAMES
)


@pytest.fixture(scope="module")
def differences(tmp_path_factory):
    """Return a function that gives all results of the process in which a case is played.

    They are, by case, the distance from the CPU in every quantity, or the error. There are two
    processes, so that no test waits long for its own.
    """
    folder = tmp_path_factory.mktemp("devices")

    def results(half):
        path = folder / f"{half}.json"
        if not path.exists():
            words = [sys.executable, "-m", "tests.test_devices", half, str(path)]
            subprocess.run(words, check=True, cwd=ROOT)
        return json.loads(path.read_text())

    return results


def half_of(case):
    """Return the process in which a case is played; both take about as long."""
    return "first" if case in GAMES or case.startswith("conditionals") else "second"


@pytest.mark.parametrize("case", CASES)
def test_a_device_gives_what_the_cpu_gives(differences, case):
    result = differences(half_of(case))[case]
    assert isinstance(result, dict), result
    assert result
    assert {what: by for what, by in result.items() if by > ALMOST} == {}


def test_mixing_devices_is_an_error_there(differences):
    """Else the emulation would let everything pass."""
    refused = differences("first")["refused"]
    assert all(refused.values()), refused


def test_auto_is_the_device_that_is_there(differences):
    assert differences("first")["auto"] == "emulated:0"


@pytest.mark.parametrize("device", ["gpu", "cuda", "cuda:7", "meta"])
def test_a_device_that_is_not_there_is_named(device):
    if device.startswith("cuda") and torch.cuda.is_available():
        pytest.skip("there is one")
    model = find("model", "conv_hvae")(device=device)
    with pytest.raises(
        ModelError, match=f'device "{device}" is not there: expected "auto", "cpu" or'
    ):
        model.setup(SPACES["grey"], 1)


def test_a_run_from_a_machine_with_a_gpu_can_be_looked_at_without_one(tmp_path):
    short = ["compare=[]", "game.rounds=1", "game.local_steps=2", "measure.metrics=[]", "players=2"]
    result = Federation(Config.from_file(ROOT / "configs" / "md_gan.toml", short)).run(
        tmp_path / "run"
    )
    drawn = load_player(result.folder, "server").draw(9, 0, "a test")
    path = result.folder / "run.json"
    elsewhere = re.sub(r'("device": )"cpu"', r'\1"cuda:7"', path.read_text())
    storage.write_sealed(path, json.loads(elsewhere))
    elsewhere = Result.load(result.folder)
    assert elsewhere.config.model.device == "cuda:7"
    again = load_player(result.folder, "server").draw(9, 0, "a test")
    assert all(torch.equal(drawn[name], again[name]) for name in drawn.keys())
    assert "Costs against the paper" in write(elsewhere).read_text()


# ----------------------------------------------------------------------------- in the other process


def compare(half):
    from .emulated_device import NAME, emulated_device

    with emulated_device():
        result = {"auto": str(devices.resolve("auto")), "refused": refused(NAME)}
    for case in CASES:
        if half_of(case) != half:
            continue
        try:
            plain = played(case, "cpu")
            with emulated_device():
                there = played(case, NAME)
            assert plain.keys() == there.keys()
            result[case] = {what: distance(plain[what], there[what]) for what in plain}
        except Exception as error:
            result[case] = f"{type(error).__name__}: {error}"
    return result


def refused(name):
    there = torch.ones(2, 2).to(name)
    here = torch.ones(2, 2)
    tries = {
        "sum": lambda: there + here,
        "product": lambda: here @ there,
        "side by side": lambda: torch.cat([there, here]),
        "rows by indices": lambda: here[torch.ones(1, dtype=torch.int64).to(name)],
        "put": lambda: there.index_put_((torch.ones(1, dtype=torch.int64),), here[0]),
        "draw": lambda: torch.rand(2, device=name, generator=torch.Generator()),
        "choice": lambda: torch.multinomial(there, 1, generator=torch.Generator()),
    }
    return {what: raises(attempt) for what, attempt in tries.items()}


def raises(attempt):
    try:
        attempt()
    except RuntimeError:
        return True
    return False


def distance(one, two):
    assert one.device.type == two.device.type == "cpu", "what leaves a model must lie on the CPU"
    assert one.dtype == two.dtype
    if not one.numel():
        return 0.0
    size = one.double().abs().clamp_min(1)
    return ((one.double() - two.double()).abs() / size).max().item()


def played(case, device):
    """Everything that a model or a game gives, by name."""
    if case in GAMES:
        return played_game(case, device)
    from .contracts.test_models import mixture, some_samples

    name, kind = case.split(" on ")
    space = SPACES[kind]
    more = {"validation": 0.2, "patience": 3} if name != "acgan" else {}
    given = mixture(space)
    if name == "conditionals":
        more |= {"latents": {"z": 2}}
    if case == "conditionals on labelled":
        more |= {"uniform": ["class"], "networks": {"image": "perceptron"}}
        more |= {"matched": {"image": ["class"]}, "starts": {"image": ["class"]}}
        full, other = given.parts
        given = Mixture(
            (full, *(Portion(name, other.samples.select(name), 0.3) for name in ("class", "image")))
        )
    model = type(find("model", name).tiny())(
        **{**find("model", name).tiny().model_dump(), **more, "device": device}
    )
    model.setup(space, 5)
    model.learn(given, 2, stream(1))
    state = {what: tensor.clone() for what, tensor in model.state_dict().items()}
    again = model.fresh()
    again.setup(space, 6)
    again.load_state_dict(state)
    numbers = again.learn(given, 2, stream(2))
    gives = {f"state/{what}": tensor for what, tensor in state.items()}
    gives |= {f"later/{what}": tensor for what, tensor in again.state_dict().items()}
    gives |= {f"drawn/{what}": tensor for what, tensor in again.sample(9, stream(3)).items()}
    gives |= {f"number/{what}": torch.tensor(value) for what, value in numbers.items()}
    samples = some_samples(space, 6, 4)
    if hasattr(again, "log_weights"):
        gives["log weights"] = again.log_weights(samples, 3, stream(4))
    if "class" in space and hasattr(again, "classify"):
        gives["classes"] = again.classify(samples)
        gives["classes, less given"] = again.classify(samples.select("image"))
    if hasattr(again, "complete"):
        completed = again.complete(samples.select("image"), stream(5))
        gives |= {f"completed/{what}": tensor for what, tensor in completed.items()}
    if hasattr(again, "export_classifier"):
        travels = again.export_classifier()
        gives |= {f"travels/{what}": tensor for what, tensor in travels.items()}
        gives["by another's"] = again.classify_by(travels, samples, "a test")
    if hasattr(again, "sample_given") and "class" in space:
        gives["given"] = again.sample_given(torch.tensor([0, 2]), 2, stream(6))["image"]
    return gives


def played_game(case, device):
    from .oracles.small_gans import Table, acgan

    game, settings = GAMES[case]
    more = {"swap_every_epochs": 0.5} if game is MdGan else {}
    table = Table(
        game(local_steps=4, rounds=10, **settings, **more), acgan(device=device), [12, 12, 12]
    )
    table.play()
    table.play()
    state = table.server.model.state_dict()
    workers = [(name, player.model.state_dict()) for name, player in table.workers.items()]
    gives = {f"server/{what}": tensor for what, tensor in state.items()}
    gives |= {f"{name}/{what}": tensor for name, its in workers for what, tensor in its.items()}
    gives |= {
        f"drawn/{what}": tensor for what, tensor in table.server.model.sample(5, stream(1)).items()
    }
    assert not any(math.isnan(value.double().sum().item()) for value in gives.values())
    if settings.get("side_by_side") == "measured":
        # a trial by the clock chooses how steps are taken, and operations are counted by the choice
        gives = {what: tensor for what, tensor in gives.items() if "flops" not in what}
    return gives


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    Path(sys.argv[2]).write_text(json.dumps(compare(sys.argv[1]), indent=1))
