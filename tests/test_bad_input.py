"""Bad input gets one clear message and exit code 2, and nothing is lost."""

import gzip
import math
import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from coplay import (
    Config,
    CoplayError,
    Dataset,
    Federation,
    LocalModel,
    Player,
    Result,
    Source,
    Space,
    Variable,
)
from coplay.cli.main import main
from coplay.core import checkpoints
from coplay.core.streams import derive
from coplay.data.sources.idx import Idx, write_idx
from coplay.models.acgan import Acgan
from coplay.models.base import OWN
from coplay.models.conv_hvae import ConvHvae

from .by_hand import two_sites

CONFIG = two_sites("bad", rounds=3)


class Broken(LocalModel):
    """Learns well; from its third turn on it returns what ``fault`` says."""

    fault: str = "nan"

    def setup(self, space, seed):
        self._turns, self._space = 0, space

    def learn(self, mixture, steps, generator):
        self._turns += 1
        if self.fault == "raise" and self._turns > 2:
            raise RuntimeError("out of luck")
        return {}

    def sample(self, n, generator):
        good = self._space.unflatten(torch.rand(n, 64, generator=generator))
        if self._turns <= 2:
            return good
        if self.fault == "shape":
            return self._space.samples(image=torch.zeros(n, 3, 3, dtype=torch.uint8))
        if self.fault == "count":
            return good[: n - 1]
        if self.fault == "type":
            return {"image": [0] * n}
        image = good["image"].float()
        image[0] = float("nan")
        return self._space.samples(image=image)

    def state_dict(self):
        return {"turns": torch.tensor(self._turns)}

    def load_state_dict(self, state):
        self._turns = int(state["turns"])


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run the command line on the config with overrides; returns exit code and error text."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.toml").write_text(CONFIG)

    def call(*overrides, out="out"):
        arguments = ["run", "bad.toml", "--out", out]
        for override in overrides:
            arguments += ["--set", override]
        code = main(arguments)
        return code, capsys.readouterr().err

    return call


def refused(code, error, expected, tmp_path):
    """The command named all expected faults, and left no file."""
    assert code == 2
    for words in expected:
        assert words in error, error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists(), "a run that cannot begin leaves nothing behind"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["game.roundz=3"], ["game.roundz: unknown key", "nearest first: rounds"]),
        (
            ['game.name="sample_exchang"'],
            ["unknown game 'sample_exchang'", "nearest first: sample_exchange"],
        ),
        (['model.name="kde"'], ["unknown model 'kde'"]),
        (["game.alpha=[[0.5,0.6],[0.5,0.5]]"], ["row of 'north' sums to 1.1, expected 1"]),
        (
            ["game.alpha=[[0,1],[1,0]]"],
            ["'north', 'south'", "own weight > 0", "no unique equilibrium"],
        ),
        (
            ["game.alpha=[[0.2,0.8,0],[0,0.5,0.5]]"],
            ["expected 2 rows of 2 weights", "got 2 rows of 3"],
        ),
        (
            ["data.partition.classes={north=[0,1],south=[]}"],
            ["no private data for 'south'", "own weight 0"],
        ),
        (
            ["data.partition.classes={north=[0,1],west=[2]}"],
            ["no entry for player 'south'", "unknown player 'west'"],
        ),
        (["data.partition.classes={north=[0,1],south=[12]}"], ["the source has no class 12"]),
        (['data.source={name="idx",folder="nowhere"}'], ["the folder nowhere does not exist"]),
        (['data.source={name="idx",folder="."}'], ["no file train-images-idx3-ubyte"]),
        (
            ['data.source={name="digits",grey=true}', "players.north.model=symmetric_hvae"],
            ["'north'", "binary", "'image' (real"],
        ),
        (
            [f'data.source={{name="{__name__}:ColourSource"}}', "model=symmetric_hvae"],
            ["binary variables", "(real 3×6×6"],
        ),
        (
            ["model=joint_classifier"],
            ["'north'", "needs an image and its class", "the variables are image"],
        ),
        (["data.variables=[image,ward]"], ["data.variables"]),
        (['data.variables=["image","ward"]'], ["'north'", "no variable 'ward'", "image"]),
        (
            ['players.north.model={name="sklearn.mixture:GaussianMixture",n_komponents=3}'],
            ["'north'", "n_komponents"],
        ),
        (["measure.samples=5"], ["measure.samples", "greater than or equal to 100, got 5"]),
        (
            ['model.name="sklearn.mixture.GaussianMixture"'],
            ["unknown model", "'sklearn.mixture:GaussianMixture'"],
        ),
        (
            ['model.name="no_such_module:Model"'],
            ["No module named 'no_such_module'", "looked", "PYTHONPATH"],
        ),
        (
            ['model.name="sklearn.svm:SVC"'],
            ["has no method sample", "any class with fit and sample is a model"],
        ),
        (['model.name="base"'], ["unknown model 'base'"]),
        (['game.name="base"'], ["unknown game 'base'"]),
        ([f'model.name="{__name__}:NoLicence"'], ["'north'", "RuntimeError: no licence"]),
        (
            ['model.name="symmetric_hvae"', "model.latents=[0,4]"],
            ["model.latents.0", "greater than 0"],
        ),
        (
            ['data.partition={name="by_count",counts={north=[],south=3}}'],
            ["no private data for 'north'"],
        ),
        (['data.partition={name="dirichlet",concentration=inf}'], ["concentration", "finite"]),
        (['compare=["json:JSONDecoder"]'], ["is no game"]),
        (
            [f'data.source={{name="{__name__}:NanSource"}}'],
            ["data set sick, train split", "finite values, got 1 NaN", "row 2"],
        ),
        (["seed=-1", "measure.samples=5"], ["2 problems", "seed", "measure.samples"]),
    ],
)
def test_config_and_data_faults(run, tmp_path, overrides, expected):
    refused(*run(*overrides), expected, tmp_path)


def test_out_that_is_a_file_or_lies_in_one(run, tmp_path):
    (tmp_path / "file").write_text("mine")
    for out in ("file", "file/inside"):
        code, error = run(out=out)
        assert code == 2
        assert "file" in error
    assert (tmp_path / "file").read_text() == "mine"


def test_the_installed_command_finds_a_model_beside_it(tmp_path):
    (tmp_path / "bad.toml").write_text(CONFIG)
    (tmp_path / "mine.py").write_text(
        "import numpy as np\nclass Model:\n    def fit(self, rows): self.rows = rows\n"
        "    def sample(self, n): return self.rows[np.random.randint(len(self.rows), size=n)]\n"
    )
    command = Path(sys.executable).with_name("coplay")
    states = []
    for out in ("one", "two"):
        arguments = [command, "run", "bad.toml", "--out", out, "--set", 'model.name="mine:Model"']
        done = subprocess.run(
            arguments, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        states.append((tmp_path / out / "sample_exchange/models/north.safetensors").read_bytes())
    assert states[0] == states[1], "numpy's global generator was not seeded"


def test_unreadable_config(tmp_path, capsys):
    assert main(["run", str(tmp_path / "none.toml")]) == 2
    assert "none.toml" in capsys.readouterr().err


def test_one_class_site_is_allowed_and_noted(run, tmp_path):
    code, _ = run("data.partition.classes={north=[0,1],south=[2]}")
    assert code == 0
    assert Result.load(tmp_path / "out").record.notes == [
        "south holds a single class (2); allowed, but alone it can learn nothing else"
    ]


def test_empty_site_with_own_weight_zero_is_allowed(run, tmp_path):
    overrides = [
        "data.partition.classes={north=[0,1],south=[]}",
        "game.alpha=[[1,0],[1,0]]",
        'compare=["isolated"]',
    ]
    code, error = run(*overrides)
    assert code == 0, error
    plays = Result.load(tmp_path / "out").plays
    assert set(plays["sample_exchange"].rows[-1].players) == {"north", "south"}
    assert set(plays["isolated"].rows[-1].players) == {"north"}, (
        "a site without data cannot learn alone"
    )


def test_existing_folder_is_left_alone(run, tmp_path):
    assert run()[0] == 0
    before = (tmp_path / "out" / "run.json").read_bytes()
    code, error = run()
    assert code == 2
    assert "exists" in error
    assert "coplay resume out" in error
    assert (tmp_path / "out" / "run.json").read_bytes() == before


def test_without_out_a_second_run_gets_its_own_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.toml").write_text(CONFIG)
    assert main(["run", "bad.toml"]) == 0
    assert main(["run", "bad.toml"]) == 0
    assert (tmp_path / "runs" / "bad" / "report.html").exists()
    assert (tmp_path / "runs" / "bad-2" / "report.html").exists()


def test_resume_with_a_changed_config_shows_the_difference(run, tmp_path, capsys):
    assert run()[0] == 0
    path = tmp_path / "out" / "config.toml"
    path.write_text(path.read_text().replace("samples_per_round = 50", "samples_per_round = 60"))
    assert main(["resume", str(tmp_path / "out")]) == 2
    assert "game.samples_per_round: was 50, is 60" in capsys.readouterr().err


def test_resume_show_report_sample_of_no_run(tmp_path, capsys):
    for command in (
        ["resume"],
        ["show"],
        ["report"],
        ["sample", "--player", "a", "--out", "x.npz"],
    ):
        assert main([*command, str(tmp_path / "nothing")]) == 2
        assert "does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("nan", "expected type uint8, got torch.float32"),
        ("shape", "expected shape (n, 8, 8), got (35, 3, 3)"),
        ("count", "expected 35 samples, got 34"),
        ("type", "expected a TensorDict with one batch axis, got dict"),
        ("raise", "RuntimeError, whose text stays with the player"),
    ],
)
def test_a_bad_model_is_named_and_the_last_checkpoint_is_intact(run, tmp_path, fault, reason):
    model = f'players.south.model={{name="{__name__}:Broken",fault="{fault}"}}'
    code, error = run(model, "game.rounds=4")  # the last round draws for nobody
    assert code == 2
    assert "player 'south' failed at 'turn' in round 3" in error
    assert reason in error
    assert "sample_exchange up to round 2" in error
    assert checkpoints.last(tmp_path / "out" / "sample_exchange")["round"] == 2
    assert Result.load(tmp_path / "out").record.status == "failed"
    assert main(["report", str(tmp_path / "out")]) == 0


def test_or_the_game_goes_on_without_the_bad_model(run, tmp_path):
    model = f'players.south.model={{name="{__name__}:Broken"}}'
    code, error = run(model, 'game.on_lost="continue"', "game.rounds=5")
    assert code == 0, error
    rows = Result.load(tmp_path / "out").main.rows
    assert set(rows[2].lost) == {"south"}
    assert rows[2].influence.dense().tolist() == [[1.0]], "north is left with its own data"
    assert set(rows[4].players) == {"north"}


class NoLicence:
    """Cannot be constructed."""

    def __init__(self):
        raise RuntimeError("no licence")

    fit = sample = lambda *given: None


class ColourSource(Source):
    """Small colour images of four classes."""

    def load(self):
        variables = {
            "image": Variable(kind="real", shape=(3, 6, 6), low=0, high=1),
            "class": Variable(kind="categorical", classes=4),
        }
        space = Space(variables)
        samples = space.samples(
            **{"image": torch.full((40, 3, 6, 6), 0.5), "class": torch.arange(40) % 4}
        )
        return Dataset("colour", space, samples, samples)


class NanSource(Source):
    """Real values, one of them NaN."""

    def load(self):
        space = Space({"lab": Variable(kind="real", shape=(2,))})
        values = torch.full((9, 2), 0.5)
        values[2, 1] = float("nan")
        return Dataset(
            "sick", space, space.samples(lab=values), space.samples(lab=torch.zeros(3, 2))
        )


class NoFit:
    """Has neither fit nor sample."""


class NanSampler:
    """Generates NaN."""

    tried = False  # else its fault would show before play

    def fit(self, rows):
        return self

    def sample(self, n):
        return np.full((n, 64), np.nan)


def test_an_estimator_that_draws_nan(run):
    code, error = run(f'players.south.model.name="{__name__}:NanSampler"')
    assert code == 2
    assert "player 'south' failed at 'turn' in round 1" in error
    assert "NaN" in error


def test_a_class_that_is_no_model(run):
    code, error = run(f'players.south.model.name="{__name__}:NoFit"')
    assert code == 2
    assert "any class with fit and sample" in error


class TestIdxFolders:
    @pytest.fixture
    def folder(self, tmp_path):
        rng = np.random.default_rng(1)
        for prefix in ("train", "t10k"):
            write_idx(
                tmp_path / f"{prefix}-images-idx3-ubyte.gz",
                rng.integers(0, 256, (6, 4, 4), dtype=np.uint8),
            )
            write_idx(
                tmp_path / f"{prefix}-labels-idx1-ubyte", np.array([0, 1, 2, 0, 1, 2], np.uint8)
            )
        return tmp_path

    def load(self, folder):
        with pytest.raises(CoplayError) as caught:
            Idx(folder=str(folder)).load()
        return str(caught.value)

    def test_a_good_folder_loads(self, folder):
        data = Idx(folder=str(folder), grey=True).load()
        assert data.train["image"].shape == (6, 4, 4)
        assert data.classes == 3

    def test_halved_images_are_means_of_four_pixels(self, folder):
        whole, half = (
            Idx(folder=str(folder), grey=True, halved=halved).load().train["image"]
            for halved in (False, True)
        )
        assert half.shape == (6, 2, 2)
        assert torch.allclose(half[:, 1, 0], whole[:, 2:, :2].mean((1, 2)))
        bits = Idx(folder=str(folder), halved=True, threshold=0.5).load().train["image"]
        assert torch.equal(bits.bool(), half >= 0.5)

    def test_odd_images_cannot_be_halved(self, folder):
        for prefix in ("train", "t10k"):
            write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", np.zeros((6, 4, 5), np.uint8))
        with pytest.raises(CoplayError, match="halved needs even sides, the images are 4×5"):
            Idx(folder=str(folder), halved=True).load()

    def test_cut_off_gzip(self, folder):
        path = folder / "train-images-idx3-ubyte.gz"
        path.write_bytes(path.read_bytes()[:40])
        assert str(path) in self.load(folder)

    def test_missing_bytes(self, folder):
        path = folder / "train-images-idx3-ubyte.gz"
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-3]))
        assert "promises (6, 4, 4) bytes and holds 93" in self.load(folder)

    def test_not_idx(self, folder):
        (folder / "train-labels-idx1-ubyte").write_bytes(b"hello, world")
        assert "is no IDX file" in self.load(folder)

    def test_labels_of_another_length(self, folder):
        write_idx(folder / "train-labels-idx1-ubyte", np.zeros(5, np.uint8))
        assert "6 train images but 5 labels" in self.load(folder)

    def test_empty(self, folder):
        write_idx(folder / "train-images-idx3-ubyte.gz", np.zeros((0, 4, 4), np.uint8))
        write_idx(folder / "train-labels-idx1-ubyte", np.zeros(0, np.uint8))
        assert "holds nothing" in self.load(folder)


def test_nan_and_out_of_range_data_are_refused_with_their_rows():
    from coplay.core.errors import SpaceError

    space = Space({"lab": Variable(kind="real", shape=(2,), low=0, high=10)})
    values = torch.full((5, 2), 0.5)
    values[3, 1] = float("nan")
    with pytest.raises(
        SpaceError,
        match=r"site 'a': variable 'lab'.*finite values, got 1 NaN or infinite ones in row 3",
    ):
        space.check(space.samples(lab=values), "site 'a'")
    values[3, 1] = 11
    with pytest.raises(SpaceError, match=r"values in \[0, 10\], got 11 in row 3"):
        space.check(space.samples(lab=values), "site 'a'")


def test_disk_full_at_a_checkpoint_keeps_the_last_one(tmp_path):
    """The first large write fails as on a full disk.

    A real process gets a real limit on the size of its files.
    """
    (tmp_path / "bad.toml").write_text(CONFIG)

    def limit():
        # room for what a run writes before its first exchange, not for samples in flight
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    big = [
        "--set",
        "game.samples_per_round=4000",
        "--set",
        "game.fresh_every_rounds=1",
        "--set",
        "game.own_rounds=2",
    ]
    process = subprocess.run(
        [sys.executable, "-m", "coplay", "run", "bad.toml", "--out", "out", *big],
        cwd=tmp_path,
        preexec_fn=limit,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 2, process.stderr
    assert "cannot write" in process.stderr
    assert "coplay resume" in process.stderr
    assert "Traceback" not in process.stderr
    assert checkpoints.last(tmp_path / "out" / "sample_exchange")["round"] == 1
    result = Federation.resume(tmp_path / "out")  # there is room again
    assert result.record.status == "finished"
    fresh = Federation(Config.from_file(tmp_path / "out" / "config.toml")).run(
        tmp_path / "undisturbed"
    )
    for name in ("north", "south"):
        path = f"sample_exchange/models/{name}.safetensors"
        assert (result.folder / path).read_bytes() == (fresh.folder / path).read_bytes()


# ------------------------------------------------------------------------------- games between GANs

GAN = ['model={name="acgan",latent=4,batch=8}', 'game={name="md_gan",rounds=3,local_steps=2}']


def scaled(factor):
    def generator(latent, classes, shape):
        wide = tuple(factor * side for side in shape)
        net = torch.nn.Sequential(
            torch.nn.Linear(latent, math.prod(wide)), torch.nn.Unflatten(-1, wide)
        )
        net.forward = lambda noise, classes: torch.nn.Sequential.forward(net, noise)
        return net

    return generator


wide_generator = scaled(2)


def narrow_discriminator(classes, shape):
    """Has no logits for the classes."""
    return torch.nn.Sequential(torch.nn.Flatten(-len(shape)), torch.nn.Linear(math.prod(shape), 1))


def flat_discriminator(classes, shape):
    """Takes vectors and not images."""
    return torch.nn.Sequential(torch.nn.Linear(math.prod(shape), 1 + classes))


def forgetful_discriminator(classes, shape):
    net = flat_discriminator(classes, shape)
    return torch.nn.Sequential(torch.nn.Flatten(-len(shape)), torch.nn.Dropout(0.3), net)


def unstackable_discriminator(classes, shape):
    n = math.prod(shape)
    return torch.nn.Sequential(
        torch.nn.Flatten(-len(shape)), torch.nn.LayerNorm(n), torch.nn.Linear(n, 1 + classes)
    )


class Diverged(Acgan):
    """One player's discriminator breaks at the first batch."""

    def setup(self, space, seed):
        super().setup(space, seed)
        self._sick = seed == derive(1, "setup", "south")

    def pixels(self, samples):
        return super().pixels(samples) * (float("nan") if self._sick else 1)


class BoundlessSource(Source):
    """Real images without limits."""

    def load(self):
        space = Space(
            {
                "scan": Variable(kind="real", shape=(4, 4)),
                "class": Variable(kind="categorical", classes=4),
            }
        )
        samples = space.samples(**{"scan": torch.zeros(40, 4, 4), "class": torch.arange(40) % 4})
        return Dataset("boundless", space, samples, samples)


def network(half, function):
    return f'model={{name="acgan",latent=4,batch=8,{half}="{__name__}:{function}"}}'


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["game.batches=3"], ["game.batches: k is at most the number of workers, 2; got 3"]),
        (["game.batches=0"], ["game.batches", "got 0"]),
        (["game.batches=some"], ["game.batches", "'log'", "got 'some'"]),
        (["players=2000", "data.partition=iid"], ["no private data for", "'player1999'"]),
        (
            ["model.batch=255"],
            ["'south' holds 254 samples, fewer than a batch of 255", "set model.batch lower"],
        ),
        (["model.batch=0"], ["model.batch", "greater than or equal to 1, got 0"]),
        (
            [network("generator", "wide_generator")],
            ["'north'", "the generator gives (16, 16)", "of shape (8, 8)"],
        ),
        (
            [network("discriminator", "narrow_discriminator"), 'data.variables=["image","class"]'],
            [
                "'north'",
                "the discriminator gives (1,) logits",
                "1 for real or generated and 10 for the classes",
            ],
        ),
        (
            [network("discriminator", "flat_discriminator")],
            ["'north'", "networks do not fit an image of shape (8, 8)"],
        ),
        (
            [network("discriminator", "forgetful_discriminator")],
            ["'north'", "has dropout (1)", "would not repeat"],
        ),
        (
            [network("discriminator", "none_such")],
            ["'north'", "cannot import the network", "none_such"],
        ),
        (
            [network("generator", "network")],
            ["'north'", "do not fit an image of shape (8, 8)", "positional argument"],
        ),
        (
            [network("discriminator", "unstackable_discriminator"), "game.side_by_side=stacked"],
            ["game.side_by_side", "cannot be stacked", '"loop"'],
        ),
        (["model.network=cnn"], ["28×28 or 32×32, got 8×8", '"mlp"']),
        (["model.loss=hinge"], ["model.loss", "'non_saturating' or 'saturating', got 'hinge'"]),
        (
            ["players={server={},north={}}", "data.partition=iid"],
            ["players.server: the game has a seat of this name; call the player otherwise"],
        ),
        (
            [
                "players={server={},north={}}",
                "data.partition=iid",
                "game=isolated",
                'compare=["md_gan"]',
            ],
            ["players.server: the game has a seat of this name"],
        ),
        (
            ["model=symmetric_hvae"],
            ["'north'", "'south'", "the seat 'server'", 'set model = { name = "acgan" }'],
        ),
        (
            ["model=symmetric_hvae", "game=isolated", 'compare=["fl_gan"]'],
            ["'north'", "'south'", "the seat 'server'", 'set model = { name = "acgan" }'],
        ),
        (
            ['players.south.model={name="acgan",latent=5,batch=8}'],
            ["players.south.model", "settings of the config's model", "networks travel"],
        ),
        (
            ['players.south.variables=["image","class"]'],
            ["players.south.variables", "same variables"],
        ),
        (
            ["game.leaves={west=1}"],
            ["game.leaves: there is no player 'west'; the players are north, south"],
        ),
        (
            ["game.joins={west=1}", "game.leaves={east=1}"],
            [
                "2 problems",
                "game.joins: there is no player 'west'",
                "game.leaves: there is no player 'east'",
            ],
        ),
        (["game.leaves={south=0}"], ["game.leaves.south", "greater than 0, got 0"]),
        (
            ["game.joins={north=1,south=2}"],
            ["game.joins: somebody must be there from the beginning"],
        ),
        (
            ['game={name="fl_gan",average_every_epochs=0}'],
            ["game.average_every_epochs", "greater than 0, got 0"],
        ),
        (
            ['data.variables=["class"]'],
            ["'north'", "one image and at most one class", "'class' (categorical"],
        ),
        (
            [f'data.source={{name="{__name__}:BoundlessSource"}}'],
            ["'north'", "a finite range", "'scan' is real 4×4", "tanh"],
        ),
    ],
)
def test_faults_of_a_game_between_gans(run, tmp_path, overrides, expected):
    refused(*run(*GAN, *overrides), expected, tmp_path)


def test_two_players_of_one_name(tmp_path, capsys):
    (tmp_path / "twice.toml").write_text(CONFIG.replace("[players.south]", "[players.north]"))
    assert main(["run", str(tmp_path / "twice.toml")]) == 2
    error = capsys.readouterr().err
    assert "twice.toml is no valid TOML" in error
    assert "('players', 'north') twice" in error


@pytest.mark.parametrize("game", ["md_gan", "fl_gan"])
def test_networks_that_diverge_are_named_and_the_last_checkpoint_is_intact(run, tmp_path, game):
    code, error = run(*GAN, f'game={{name="{game}",rounds=3}}', "model.learning_rate=1e30")
    assert code == 2
    assert re.search(
        r"player 'north' failed at '(feedback|learn)' in round 1: .*diverged.*try", error
    )
    assert "Traceback" not in error
    assert Result.load(tmp_path / "out").record.status == "failed"


@pytest.mark.parametrize("game", ["md_gan", "fl_gan"])
def test_a_single_worker_that_diverges_is_named_or_left_out(run, tmp_path, game):
    model = f'model={{name="{__name__}:Diverged",latent=4,batch=8}}'
    section = f'game={{name="{game}",rounds=2,local_steps=2'
    section += ",average_every_epochs=0.1" if game == "fl_gan" else ""
    code, error = run(model, section + "}", out="stopped")
    assert code == 2
    assert re.search(r"player 'south' failed at '(feedback|learn)' in round 1: .*diverged", error)
    code, error = run(model, section + ',on_lost="continue"}')
    assert code == 0, error
    rows = Result.load(tmp_path / "out").main.rows
    assert set(rows[0].lost) == {"south"}
    assert set(rows[1].players) - {"server"} == {"north"}
    assert main(["report", str(tmp_path / "out")]) == 0


def test_a_run_whose_players_have_all_left_ends_well(run, tmp_path):
    code, error = run(*GAN, "game.rounds=4", "game.leave_evenly=true", "game.on_lost=stop")
    assert code == 0, error
    rows = Result.load(tmp_path / "out").main.rows
    assert [set(row.lost) for row in rows] == [set(), {"south"}, set(), {"north"}]
    assert main(["resume", str(tmp_path / "out")]) == 0


def test_conditionals_need_something_to_be_given(run, tmp_path):
    code, error = run("model=conditionals")
    refused(
        code,
        error,
        ["'north'", "'image' sees nothing", "name some in given, or declare a latent"],
        tmp_path,
    )
    code, error = run('model={name="conditionals",latents={z=4},given={ward=["z"]}}')
    refused(code, error, ["'north'", "given: 'ward' is neither a variable", "image, z"], tmp_path)


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        (Variable(kind="real", shape=(4, 4), low=0, high=1), r"shape \(n, 3, 3\), got \(5, 4, 4\)"),
        (Variable(kind="real", shape=(3, 3), low=0, high=255), r"in \[0, 1\].*got"),
        (Variable(kind="categorical", shape=(3, 3), classes=9), r"float.*got"),
    ],
    ids=["shape", "range", "kind"],
)
def test_a_variable_with_two_meanings_is_an_error_at_its_receiver(theirs, words):
    here, there = (
        Space({"scan": Variable(kind="real", shape=(3, 3), low=0, high=1)}),
        Space({"scan": theirs}),
    )
    full = (
        torch.full((5, *theirs.shape), 8, dtype=torch.uint8)
        if theirs.classes
        else torch.full((5, *theirs.shape), 200.0)
    )
    player = Player(
        "ward", here, here.samples(scan=torch.full((20, 3, 3), 0.5)), ConvHvae.tiny(), seed=1
    )
    with pytest.raises(
        CoplayError, match=rf"received from player 'lab': variable 'scan' .*{words}"
    ):
        player.learn({"lab": there.samples(scan=full)}, {OWN: 0.5, "lab": 0.5}, 1, 1)
    assert not player.learned, "nothing is learned of what is refused"
