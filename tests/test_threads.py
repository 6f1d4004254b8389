"""Runs in one process: threads, what is set for all of torch, and forks."""

import asyncio
import hashlib
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from coplay import Config, Federation, Result, Space, Variable, find, load_player
from coplay.core.streams import isolated_seed, own_draws
from coplay.core.surroundings import TorchSettings, own_settings
from coplay.models.acgan import Acgan
from coplay.run.turns import playing_alone

GAN = {"name": "acgan", "latent": 3, "batch": 5}
CLASSES = {"north": [0, 1, 2, 3, 4], "south": [5, 6, 7, 8, 9]}


def config(seed=1, model=None, players=None, **sections):
    """Two players learn grey digits for two rounds."""
    return Config.from_dict(
        {
            "seed": seed,
            "model": model or GAN,
            "players": players or {"north": {}, "south": {}},
            "data": {
                "source": {"name": "digits", "grey": True},
                "partition": {"name": "by_class", "classes": CLASSES},
            },
            "game": {
                "name": "sample_exchange",
                "rounds": 2,
                "local_steps": 4,
                "samples_per_round": 40,
            },
            "measure": {"metrics": [], "samples": 100},
            **sections,
        }
    )


def digest(result):
    """A digest of all models of a run."""
    files = sorted((result.main.folder / "models").iterdir())
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


@pytest.fixture
def played(tmp_path):
    """Play a config in a folder of its own and return the digest of its models."""
    folders = map(str, range(1000))

    def play(one, report=None):
        return digest(Federation(one).run(tmp_path / next(folders), report))

    return play


def test_threads_of_one_process_get_the_models_of_one_after_the_other(played):
    seeds = [1, 2, 3, 1]
    expected = [played(config(seed)) for seed in seeds]
    assert len(set(expected)) == 3
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda seed: played(config(seed)), seeds)) == expected

    async def all_at_once():
        return await asyncio.gather(
            *(asyncio.to_thread(played, config(seed)) for seed in seeds[:3])
        )

    assert asyncio.run(all_at_once()) == expected[:3]


def test_a_failed_run_lets_the_next_one_play(played, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with ThreadPoolExecutor(1) as pool:
        failed = pool.submit(Federation(config()).run, tmp_path / "taken")
        assert failed.exception() is not None
    assert played(config()) == played(config())


def test_a_progress_report_may_play_a_run_itself(played):
    inner = []

    def report(what, done, of):
        if not inner:
            inner.append("playing")
            inner[0] = played(config(2))

    outer = played(config(1), report)
    assert [outer, *inner] == [played(config(1)), played(config(2))]


def test_who_waits_for_another_run_is_told():
    engine = config().engine
    reported = []
    with playing_alone(engine, None):
        waiting = threading.Thread(
            target=lambda: playing_alone(
                engine, lambda what, done, of: reported.append(what)
            ).__enter__(),
            daemon=True,
        )
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()
        assert reported == ["another run's end"]
    waiting.join(5)
    assert not waiting.is_alive()


def test_a_model_is_loaded_and_sampled_while_a_run_plays(played, tmp_path):
    expected = played(config(2))
    folder = tmp_path / "first"
    Federation(config(1)).run(folder)
    drawn = load_player(folder, "north").draw(20, 0, "test")["image"]
    stop = threading.Event()
    wrong = []

    def sample():
        while not stop.is_set():
            again = load_player(folder, "north").draw(20, 0, "test")["image"]
            model = Result.load(folder).model("north")
            model.setup(load_player(folder, "north").space, 3)
            if not torch.equal(again, drawn):
                wrong.append(again)

    other = threading.Thread(target=sample)
    other.start()
    try:
        assert [played(config(2)) for _ in range(3)] == [expected] * 3
    finally:
        stop.set()
        other.join()
    assert not wrong


def drawing():
    """One of each thing that torch draws when networks are built."""
    layers = [nn.Linear(3, 4), nn.Conv2d(1, 2, 3), nn.Embedding(3, 2), nn.GRU(2, 3)]
    drawn = [p for layer in layers for p in layer.parameters()]
    drawn += [torch.rand(3), torch.randn(2), torch.randperm(7), torch.randint(2, 9, (4,))]
    drawn += [torch.rand_like(torch.ones(3)), torch.normal(0.0, 1.0, (3,))]
    drawn += [nn.init.orthogonal_(torch.empty(3, 3)), nn.init.trunc_normal_(torch.empty(5))]
    return [*drawn, nn.functional.dropout(torch.ones(9)), torch.multinomial(torch.ones(4), 2)]


def test_own_draws_are_those_of_the_seed_and_leave_the_common_generator_alone():
    with isolated_seed(7):
        expected = drawing()
    before = torch.random.get_rng_state()
    with own_draws(7):
        drawn = drawing()
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(one, other) for one, other in zip(drawn, expected, strict=True))


@pytest.mark.parametrize("name", ["acgan", "conv_hvae", "joint_classifier", "conditionals"])
def test_networks_are_built_alike_while_another_thread_draws(name):
    """It draws in the middle of a set-up, which is where a waiting thread would be let in."""
    space = Space(
        {
            "image": Variable(kind="real", shape=(8, 8), low=0, high=1),
            "class": Variable(kind="categorical", classes=2),
        }
    )

    def state(wrap):
        model = find("model", name).tiny()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(nn.Module, "register_parameter", wrap(nn.Module.register_parameter))
            model.setup(space, 3)
            return {key: value.clone() for key, value in model.state_dict().items()}

    def disturbed(register):
        def registering(self, *given):
            other = threading.Thread(target=torch.rand, args=(5,))
            other.start()
            other.join()
            register(self, *given)

        return registering

    alone = state(lambda register: register)
    beside = state(disturbed)
    assert alone.keys() == beside.keys()
    assert alone
    assert all(torch.equal(alone[key], beside[key]) for key in alone)


# ------------------------------------------------------------------------------ settings of torch


def under_other_seeds(play):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        before = np.random.get_state()
        np.random.seed(5)
        try:
            return play()
        finally:
            np.random.set_state(before)


def under_float64(play):
    torch.set_default_dtype(torch.float64)
    try:
        return play()
    finally:
        assert torch.get_default_dtype() == torch.float64
        torch.set_default_dtype(torch.float32)


def under_no_grad(play):
    with torch.no_grad():
        digest = play()
        assert not torch.is_grad_enabled()
        return digest


def under_inference_mode(play):
    with torch.inference_mode():
        return play()


def under_autocast(play):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        digest = play()
        assert torch.is_autocast_enabled("cpu")
        return digest


def under_meta(play):
    with torch.device("meta"):
        return play()


def under_three_threads(play):
    torch.set_num_threads(3)
    digest = play()
    assert torch.get_num_threads() == 3
    return digest


def under_bfloat16_products(play):
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        return play()
    finally:
        torch.set_float32_matmul_precision(before)


SURROUNDINGS = [
    under_other_seeds,
    under_float64,
    under_no_grad,
    under_inference_mode,
    under_autocast,
    under_meta,
    under_three_threads,
    under_bfloat16_products,
]


@pytest.mark.parametrize("around", SURROUNDINGS, ids=lambda around: around.__name__)
def test_a_run_does_not_depend_on_what_was_set_before(around, played):
    assert around(lambda: played(config())) == played(config())


@pytest.mark.slow
def test_measurements_do_not_depend_on_what_was_set_before(tmp_path):
    metrics = {"measure": {"metrics": ["class_shares", "fid"], "samples": 100}}
    plain = Federation(config(**metrics)).run(tmp_path / "plain")

    def measured():
        return Federation(config(**metrics)).run(tmp_path / "other").main.last

    again = under_float64(lambda: under_no_grad(lambda: under_autocast(measured)))
    assert again == plain.main.last


class Meddler(Acgan):
    """A model that sets for all of torch what it likes."""

    def learn(self, mixture, steps, generator):
        numbers = super().learn(mixture, steps, generator)
        meddle()
        return numbers

    def state_dict(self):
        state = super().state_dict()
        meddle()
        return state


def meddle():
    torch.manual_seed(7)
    torch.set_num_threads(2)
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.use_deterministic_algorithms(True)


def test_what_a_model_or_a_report_sets_is_not_set_for_others(played):
    meddler = GAN | {"name": f"{__name__}:Meddler"}
    before = TorchSettings.now()
    with torch.random.fork_rng(devices=[]):
        alone = played(config(players={"north": {}, "south": {"model": GAN}}))
        meddled = played(
            config(players={"north": {"model": meddler}, "south": {"model": GAN}}),
            lambda what, done, of: meddle(),
        )
    assert meddled == alone
    assert TorchSettings.now() == before


def test_settings_are_put_back_after_an_error():
    before = TorchSettings.now()

    @own_settings(threads=2)
    def fails():
        torch.set_default_dtype(torch.float64)
        raise LookupError

    with pytest.raises(LookupError):
        fails()
    assert TorchSettings.now() == before
    with torch.no_grad(), own_settings():
        assert TorchSettings.now() == replace(before, gradients=True)


# ------------------------------------------------------------------------------------------ forks

FORK = """
import multiprocessing, sys, torch
from coplay import Config, Federation
def play(folder, threads):
    engine = {"name": "local", "threads": threads}
    config = {"players": 2, "model": {"name": "acgan", "batch": 64}, "engine": engine,
              "data": {"source": {"name": "digits", "grey": True}},
              "game": {"name": "sample_exchange", "rounds": 1, "local_steps": 3},
              "measure": {"metrics": []}}
    Federation(Config.from_dict(config)).run(folder)
def child(folder, threads):
    try:
        play(folder, threads)
    except Exception as error:
        print(type(error).__name__, error)
if __name__ == "__main__":
    torch.set_num_threads(2)
    first, then = int(sys.argv[2]), int(sys.argv[3])
    play(sys.argv[1] + "/parent", first)
    torch.randn(2000, 2000) @ torch.randn(2000, 2000)
    torch.randn(3000, 3000).exp().sum()
    process = multiprocessing.get_context(sys.argv[4]).Process(
        target=child, args=(sys.argv[1] + "/child", then)
    )
    process.start()
    process.join(100)
    print("alive" if process.is_alive() else f"ended with {process.exitcode}")
    process.kill()
"""


def forked(tmp_path, parent, child, way="fork"):
    """What a child of so many threads says that is forked after a run of the parent."""
    script = tmp_path / "forks.py"
    script.write_text(textwrap.dedent(FORK), encoding="utf-8")
    command = [sys.executable, "-W", "ignore", script, tmp_path, str(parent), str(child), way]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


forks = pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")


@forks
@pytest.mark.parametrize("parent", [1, 2])
def test_a_forked_process_plays_with_one_thread(parent, tmp_path):
    assert forked(tmp_path, parent, 1) == ["ended with 0"]
    assert Result.load(tmp_path / "child").record.status == "finished"


@forks
def test_a_forked_process_refuses_threads_that_it_would_wait_for(tmp_path):
    refusal, end = forked(tmp_path, 2, 2)
    assert refusal.startswith(
        "EngineError engine.threads = 2: this process was forked from one whose"
    )
    assert 'multiprocessing.get_context("spawn")' in refusal
    assert end == "ended with 0"


def test_a_spawned_process_may_have_threads(tmp_path):
    assert forked(tmp_path, 2, 2, "spawn") == ["ended with 0"]
