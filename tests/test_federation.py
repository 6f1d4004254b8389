"""The data flow on real data.

Tested are what each player gets, what is compared with what, and how losses are reported.
"""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from coplay import Federation, LocalModel, Player, Result, load_player
from coplay.core import storage
from coplay.core.errors import CheckpointError, CoplayError, PlayerError
from coplay.core.space import Space, Variable
from coplay.core.streams import stream
from coplay.metrics.features import DomainClassifier
from coplay.models.base import OWN
from coplay.models.exponential_family import ExponentialFamily

from .by_hand import cut

MEASURED = {"metrics": ["class_shares"], "samples": 200, "shown": 4, "every_rounds": 2}


def moments(run, game, player):
    tensors = storage.load_tensors(run / game / "models" / f"{player}.safetensors")
    return tensors["model/moments"]


def test_isolated_and_pooled_learn_exactly_their_data(small_config, tmp_path):
    config = small_config(compare=["isolated", "pooled"])
    data = config.data.source.load()
    Federation(config).run(tmp_path / "run")
    images = data.train["image"].double().flatten(1)
    labels = data.train["class"]
    assert torch.allclose(
        moments(tmp_path / "run", "isolated", "north"), images[labels < 5].mean(0)
    )
    assert torch.allclose(
        moments(tmp_path / "run", "isolated", "south"), images[labels >= 5].mean(0)
    )
    for player in ("north", "south"):
        assert torch.allclose(moments(tmp_path / "run", "pooled", player), images.mean(0))


def test_predictions_are_m_times_the_dealt_shares(small_config, tmp_path):
    config = small_config(game={"name": "sample_exchange", "rounds": 1, "own_weight": 0.3})
    result = Federation(config).run(tmp_path / "run")
    counts = torch.tensor([result.record.data.counts[n] for n in ("north", "south")]).double()
    shares = counts / counts.sum(1, keepdim=True)
    m = torch.tensor([[0.3, 0.7 * 0.3], [0.7 * 0.3, 0.3]], dtype=torch.float64) / (1 - 0.7**2)
    assert torch.allclose(
        torch.tensor(list(result.predicted("sample_exchange").values())).double(), m @ shares
    )


def test_a_player_may_have_any_name_that_files_can(small_config, tmp_path):
    """A player's file must not meet the coordinator's."""
    names = {"state": [0, 1, 2, 3, 4], "checkpoint": [5, 6, 7, 8, 9]}
    partition = {"partition": {"name": "by_class", "classes": names}}
    Federation(small_config(players={n: {} for n in names}, data=partition)).run(tmp_path / "run")
    assert set(storage.load_tensors(tmp_path / "run/sample_exchange/models/state.safetensors")) == {
        "model/moments",
        "player/learned",
    }


def test_a_player_without_data_is_measured_once_it_has_received_samples(
    small_config, tmp_path, monkeypatch
):
    monkeypatch.setattr("coplay.metrics.features._STEPS", (20, 20))  # it need not judge well here
    gmm = {"name": "sklearn.mixture:GaussianMixture", "n_components": 2, "reg_covar": 0.1}
    config = small_config(
        model=gmm,
        data={"partition": {"name": "by_class", "classes": {"north": [0, 1], "south": []}}},
        game={"name": "sample_exchange", "rounds": 4, "alpha": [[1, 0], [1, 0]], "own_rounds": 2},
        measure=MEASURED | {"every_rounds": 1},
    )
    measured = Federation(config).run(tmp_path / "run").main.measurements
    assert [set(players) for players in measured.values()] == [
        {"north"},
        {"north"},
        {"north", "south"},
        {"north", "south"},
    ]


def test_a_diverged_model_is_an_error_and_not_a_picture(small_config, tmp_path):
    config = small_config(
        model={"name": "symmetric_hvae", "learning_rate": 1e30, "hidden": 8, "batch": 8}
    )
    with pytest.raises(
        PlayerError, match=r"player 'north' failed at 'turn' in round 1: learn reported .*diverged"
    ):
        Federation(config).run(tmp_path / "run")


def test_after_a_loss_shares_are_compared_with_the_new_prediction(
    small_config, tmp_path, monkeypatch
):
    monkeypatch.setattr("coplay.metrics.features._STEPS", (20, 20))  # it need not judge well here
    config = small_config(
        players={
            "north": {},
            "south": {"model": {"name": "tests.test_bad_input:Broken", "fault": "raise"}},
        },
        game={"name": "sample_exchange", "rounds": 4, "on_lost": "continue"},
        measure=MEASURED,
    )
    result = Federation(config).run(tmp_path / "run")
    first, last = (row.predicted for row in result.main.rows if row.measured is not None)
    assert set(first) == {"north", "south"}
    counts = torch.tensor(result.record.data.counts["north"]).double()
    assert torch.allclose(torch.tensor(last["north"]).double(), counts / counts.sum())
    assert result.predicted("sample_exchange") == last


def test_a_missing_checkpoint_file_stops_the_resume(small_config, tmp_path):
    config = small_config(game={"name": "sample_exchange", "rounds": 3, "on_lost": "continue"})
    run = cut(config, tmp_path / "run", 2)
    (run / "sample_exchange/checkpoints/round-000002/players/south.safetensors").unlink()
    with pytest.raises(
        CoplayError, match=r"player 'south' failed at 'restore' in round 2.*south.safetensors"
    ):
        Federation.resume(run)


def test_two_processes_cannot_play_in_one_folder(small_config, tmp_path):
    with (
        storage.locked(tmp_path),
        pytest.raises(CheckpointError, match="another process"),
        storage.locked(tmp_path),
    ):
        pass


def test_half_a_row_after_the_checkpoint_is_not_a_row(small_config, tmp_path):
    game = {"name": "sample_exchange", "rounds": 4, "samples_per_round": 50}
    run = cut(small_config(game=game, checkpoint={"every_rounds": 2}), tmp_path / "run", 3)
    path = run / "sample_exchange" / "rows.jsonl"
    text = path.read_text()
    assert len(Result.load(run).main.rows) == 3
    path.write_text(text[: text.rindex("}, ") + 1])  # ends in a brace, and is cut off all the same
    assert len(Result.load(run).main.rows) == 2


@pytest.mark.slow
class TestEveryWrite:
    """The process dies right before or right after its k-th write, for every k.

    The resumed run must end the same.
    """

    def learned(self, run):
        files = {
            str(p.relative_to(run)): p.read_bytes()
            for p in run.rglob("*")
            if p.suffix == ".safetensors"
        }
        files |= {str(p.relative_to(run)): p.read_bytes() for p in run.rglob("checkpoint.json")}
        return files, [replace(row, seconds={}) for row in Result.load(run).main.rows]

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_dies_at_a_write_and_resumes(self, small_config, tmp_path, monkeypatch, when):
        config = small_config(
            game={"name": "sample_exchange", "rounds": 3, "samples_per_round": 50}, measure=MEASURED
        )
        real = storage.write_atomically
        writes = []

        class Killed(BaseException):
            pass

        def counting(path, *given, **more):
            writes.append(path.name)
            real(path, *given, **more)

        monkeypatch.setattr(storage, "write_atomically", counting)
        Federation(config).run(tmp_path / "undisturbed")
        expected = self.learned(tmp_path / "undisturbed")
        total = len(writes)
        classifier = (tmp_path / "undisturbed" / "classifier.safetensors").read_bytes()
        for k in range(total):
            run = tmp_path / f"{when}{k}"
            count = 0

            def dying(path, *given, k=k, **more):
                nonlocal count
                count += 1
                if count == k + 1 and when == "before":
                    raise Killed
                real(path, *given, **more)
                if count == k + 1:
                    raise Killed

            # the classifier's training is the same every time; take it from the first run
            monkeypatch.setattr(
                DomainClassifier, "fit", lambda self, *_: self.load_state_dict(_load(classifier))
            )
            monkeypatch.setattr(storage, "write_atomically", dying)
            with pytest.raises(Killed):
                Federation(config).run(run)
            monkeypatch.setattr(storage, "write_atomically", real)
            if (run / "run.json").exists():
                Federation.resume(run)
            else:
                Federation(config).run(run)  # it never became a run
            assert self.learned(run) == expected, f"killed {when} write {k + 1}, of {writes[k]}"


def _load(content):
    from safetensors.torch import load

    return load(content)


def test_classifier_learns_from_training_samples_only_and_its_confusion_has_true_classes_as_rows():
    """Training data say class = bit; test data are wrong on purpose, in one class only."""
    space = Space({"x": Variable(kind="binary", shape=(4,))})
    bits = torch.arange(400) % 2
    x = bits[:, None].repeat(1, 4).to(torch.uint8)
    test_x = x.clone()
    test_x[1::4] = 0  # half of the test samples of class 1 look like class 0
    classifier = DomainClassifier(space, 2, seed=1)
    classifier.fit(space.samples(x=x), bits, space.samples(x=test_x), bits)
    assert classifier.accuracy == pytest.approx(0.75)
    assert torch.allclose(
        classifier.confusion, torch.tensor([[1.0, 0.0], [0.5, 0.5]], dtype=torch.float64)
    )


def test_the_number_of_cores_does_not_decide_what_a_mixture_learns(tmp_path):
    """scikit-learn has thread pools of its own; the config's threads hold for them, too."""
    program = """
import sys, pathlib
from coplay import Config, Federation
model = {"name": "sklearn.mixture:GaussianMixture", "n_components": 20, "reg_covar": 0.01}
config = Config.from_dict({
    "players": 1,
    "model": model | {"covariance_type": "diag"},
    "game": {"name": "isolated", "rounds": 1},
    "measure": {"metrics": []},
})
Federation(config).run(pathlib.Path(sys.argv[1]))
"""
    models = []
    for threads in ("1", "2"):
        environment = os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / threads)], env=environment, check=True
        )
        models.append((tmp_path / threads / "isolated/models/player0.safetensors").read_bytes())
    assert models[0] == models[1]


def test_players_may_learn_different_variables(small_config, tmp_path):
    """A5: one site has images and classes, the other classes only.

    The samples of each supply what the other lacks.
    """
    players = {"north": {"variables": ["image", "class"]}, "south": {"variables": ["class"]}}
    game = {"name": "sample_exchange", "rounds": 12, "own_weight": 0.4, "samples_per_round": 4000}
    result = Federation(small_config(players=players, game=game, compare=["pooled"])).run(
        tmp_path / "run"
    )
    assert result.record.data.learned == {"north": ["image", "class"], "south": ["class"]}
    drawn = {name: load_player(tmp_path / "run", name).draw(4000, 0, "test") for name in players}
    assert sorted(drawn["north"].keys()) == ["class", "image"]
    assert list(drawn["south"].keys()) == ["class"]
    predicted = result.predicted("sample_exchange")
    for name, samples in drawn.items():
        shares = torch.bincount(samples["class"], minlength=10) / 4000
        assert (shares - torch.tensor(predicted[name])).abs().sum() / 2 < 0.06, name


def test_a_variable_that_ones_own_data_lack_is_learned_from_others(small_config, tmp_path):
    """A5: y = 2x + noise; `blind` never observes y, and learns it from what `seeing` draws."""
    x = torch.randn(2000, generator=stream(1), dtype=torch.float64)
    y = 2 * x + 0.3 * torch.randn(2000, generator=stream(2), dtype=torch.float64)
    np.savez(
        tmp_path / "xy.npz", **{"train/x": x, "train/y": y, "test/x": x[:10], "test/y": y[:10]}
    )
    data = {"source": {"name": "npz", "file": str(tmp_path / "xy.npz")}, "partition": "iid"}
    players = {"blind": {"unobserved": ["y"]}, "seeing": {}}
    game = {"name": "sample_exchange", "rounds": 8, "samples_per_round": 4000}
    Federation(small_config(data=data, players=players, game=game, compare=["isolated"])).run(
        tmp_path / "run"
    )
    drawn = load_player(tmp_path / "run", "blind").draw(4000, 0, "test")
    slope = torch.cov(torch.stack([drawn["x"], drawn["y"]]))[0] / drawn["x"].var()
    assert slope[1].item() == pytest.approx(2, abs=0.1)
    alone = load_player(tmp_path / "run", "blind", game="isolated")
    assert alone.unlearned == ["y"]
    assert list(alone.draw(10, 0, "test").keys()) == ["x"], "y was in its data after all"


class Classifier(LocalModel):
    """Classify everything as class 1, and remember the variables that were given."""

    learns_incomplete = True

    def setup(self, space, seed):
        self._shown = []

    def learn(self, mixture, steps, generator):
        return {}

    def sample(self, n, generator):
        raise NotImplementedError

    def classify(self, samples):
        self._shown = list(samples.keys())
        return torch.tensor([[0.0, 1.0]]).repeat(len(samples), 1)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def test_a_player_classifies_by_what_its_own_data_have():
    bit = Variable(kind="binary")
    space = Space(
        {"image": bit, "segmentation": bit, "class": Variable(kind="categorical", classes=2)}
    )
    data = space.samples(
        **{"image": torch.ones(3, dtype=torch.uint8), "class": torch.tensor([0, 1, 1])}
    )
    player = Player("pictures", space, data, Classifier(), seed=1)
    test = space.only(["image", "segmentation"]).samples(
        image=torch.ones(5, dtype=torch.uint8), segmentation=torch.zeros(5, dtype=torch.uint8)
    )
    assert player.classify(test)["class"].tolist() == [1] * 5
    assert player.model._shown == ["image"]


def test_unobserved_variables_that_nobody_can_learn_are_refused(small_config, tmp_path):
    both = {"variables": ["image", "class"]}
    gmm = {"name": "sklearn.mixture:GaussianMixture", "n_components": 2, "reg_covar": 0.1}
    for players, words in (
        (
            {"north": both | {"unobserved": ["ward"]}, "south": both},
            r"'ward' is none of its variables; .* image, class",
        ),
        (
            {name: both | {"unobserved": ["class"]} for name in ("north", "south")},
            "'class' is observed by nobody",
        ),
        (
            {"north": both | {"unobserved": ["class"], "model": gmm}, "south": both},
            "needs every variable",
        ),
        (
            {"north": both | {"unobserved": ["image", "class"]}, "south": both},
            "lack all of its variables",
        ),
    ):
        with pytest.raises(CoplayError, match=r"players\.north\.unobserved: .*" + words):
            Federation(small_config(players=players)).run(tmp_path / "run")
    lonely = {"name": "sample_exchange", "alpha": [[1.0, 0.0], [0.5, 0.5]]}
    with pytest.raises(CoplayError, match="'class' is observed by nobody whom it listens to"):
        Federation(
            small_config(
                players={"north": both | {"unobserved": ["class"]}, "south": both}, game=lonely
            )
        ).prepare()
    joint = {"name": "joint_classifier", "latents": [2, 2], "channels": 1, "hidden": 4, "batch": 4}
    data = {"variables": ["image", "class"]}
    with pytest.raises(
        CoplayError, match=r"players\.north\.unobserved: in distillation .*lack class"
    ):
        Federation(
            small_config(
                players={"north": {"unobserved": ["class"]}, "south": {}},
                model=joint,
                data=data,
                game="distillation",
            )
        ).prepare()
    assert not (tmp_path / "run").exists()


def test_a_player_does_not_send_what_it_has_not_learned(small_config, tmp_path):
    """North has classes alone and receives images in round 3.

    Until then it sends nothing, and is measured by what it knows.
    """
    players = {
        "north": {"variables": ["image", "class"], "unobserved": ["image"]},
        "south": {"variables": ["image", "class"]},
    }
    joint = {"name": "joint_classifier", "latents": [2, 2], "channels": 1, "hidden": 4, "batch": 4}
    game = {
        "name": "sample_exchange",
        "rounds": 4,
        "own_rounds": 2,
        "local_steps": 2,
        "samples_per_round": 40,
        "own_weight": 0.5,
    }
    measure = {
        "metrics": ["class_accuracy", "class_shares"],
        "samples": 100,
        "every_rounds": 1,
        "shown": 2,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("coplay.metrics.features._STEPS", (20, 20))  # it need not judge well here
        config = small_config(players=players, model=joint, game=game, measure=measure)
        result = Federation(config).run(tmp_path / "run")
    shown = [
        storage.load_tensors(tmp_path / f"run/sample_exchange/samples/round-{r:06d}.safetensors")
        for r in (2, 3)
    ]
    assert [sorted(k for k in names if k.startswith("north")) for names in shown] == [
        ["north/class"],
        ["north/class", "north/image"],
    ]
    sent = [row.bytes for row in result.main.rows]
    assert sent[2] == 20 * (64 + 8), "what only south drew in round 2 arrives in round 3"
    assert sent[3] == 2 * 20 * (64 + 8)
    for row in result.main.rows:
        assert "class_accuracy" not in row.measured["north"], "it never sees an image to classify"
        assert "class_accuracy" in row.measured["south"]
    assert load_player(tmp_path / "run", "north").unlearned == []


def test_test_samples_are_sent_to_be_classified_only_where_that_is_judged(
    small_config, tmp_path, monkeypatch
):
    monkeypatch.setattr("coplay.metrics.features._STEPS", (20, 20))  # it need not judge well here
    joint = {"name": "joint_classifier", "latents": [2, 2], "channels": 1, "hidden": 4, "batch": 4}
    data = {"variables": ["image", "class"]}
    sent = {}
    for metrics in (["class_shares"], ["class_shares", "class_accuracy"]):
        measure = {"metrics": metrics, "samples": 100, "every_rounds": 1}
        config = small_config(model=joint, data=data, measure=measure)
        result = Federation(config).run(tmp_path / metrics[-1])
        to_players = [
            link.bytes
            for link in result.main.traffic
            if link.purpose == "evaluation" and link.receiver != "coordinator"
        ]
        sent[metrics[-1]] = sum(to_players)
    assert sent["class_shares"] == 0
    assert sent["class_accuracy"] > 0


def test_unknown_or_unlearnable_variables_are_refused(small_config, tmp_path):
    with pytest.raises(CoplayError, match=r"player 'north'.*no variable 'imago'.*image"):
        Federation(small_config(players={"north": {"variables": ["imago"]}, "south": {}})).run(
            tmp_path / "run"
        )
    gmm = {"name": "sklearn.mixture:GaussianMixture", "n_components": 2, "reg_covar": 0.1}
    players = {
        "north": {"variables": ["image", "class"], "model": gmm},
        "south": {"variables": ["class"]},
    }
    with pytest.raises(
        CoplayError,
        match=r"every variable, and 'image' is missing in the samples of player 'south'",
    ):
        Federation(small_config(players=players)).run(tmp_path / "other")
    players = {"north": {"variables": ["image"]}, "south": {"variables": ["class"]}}
    with pytest.raises(
        CoplayError, match=r"'north' listens to 'south' and has no variable in common"
    ):
        Federation(small_config(players=players)).run(tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_nash_gap_is_nothing_at_the_equilibrium_and_left_out_without_log_p(small_config, tmp_path):
    gmm = {"name": "sklearn.neighbors:KernelDensity", "bandwidth": 0.2}
    players = {"north": {}, "south": {}, "mute": {"model": gmm}}
    classes = {"north": [0, 1, 2, 3], "south": [4, 5, 6], "mute": [7, 8, 9]}
    game = {"name": "sample_exchange", "rounds": 8, "own_weight": 0.5, "samples_per_round": 5000}
    measure = {"metrics": [], "samples": 5000, "nash_gap_steps": 3}
    config = small_config(
        players=players,
        game=game,
        measure=measure,
        data={"partition": {"name": "by_class", "classes": classes}},
    )
    gaps = Federation(config).run(tmp_path / "run").main.last
    assert "nash_gap" not in gaps["mute"]
    for name in ("north", "south"):
        gap = gaps[name]["nash_gap"]
        assert gap.low <= gap.value <= gap.high
        assert abs(gap.value) < 0.05, "best responses to samples leave sampling noise only"
    early = small_config(
        players=players,
        game=game | {"rounds": 2, "own_rounds": 2},
        measure=measure,
        data={"partition": {"name": "by_class", "classes": classes}},
    )
    before = Federation(early).run(tmp_path / "early").main.last
    assert before["north"]["nash_gap"].low > 0.5, (
        "a player without samples of others would gain by them"
    )


def test_log_p_of_real_samples_is_measured_where_a_model_has_it(small_config, tmp_path):
    gmm = {"name": "sklearn.neighbors:KernelDensity", "bandwidth": 0.2}
    hvae = {"name": "symmetric_hvae", "latents": [2, 3], "hidden": 8}
    players = {"north": {"model": hvae}, "south": {"model": gmm}}
    game = {"name": "sample_exchange", "rounds": 2, "local_steps": 20, "samples_per_round": 50}
    # no classifier is needed for it
    measure = {
        "metrics": [],
        "samples": 200,
        "log_prob": True,
        "log_prob_draws": 50,
    }
    last = (
        Federation(small_config(players=players, game=game, measure=measure))
        .run(tmp_path / "run")
        .main.last
    )
    log_p = last["north"]["log_p"]
    assert log_p.low < log_p.value < (log_p.high or 0.0) <= 0
    assert log_p.n_real == 497
    assert -64 * 2 < log_p.value < -10, "64 pixels, less than two nats each"
    assert "log_p" not in last["south"]


def test_a_player_may_be_called_own():
    """Its samples are not taken for the private data of a player that receives them.

    The moments are the weighted mean.
    """
    space = Space({"x": Variable(kind="binary")})
    ones = space.samples(x=torch.ones(8, dtype=torch.uint8))
    north = Player(
        "north",
        space,
        space.samples(x=torch.zeros(4, dtype=torch.uint8)),
        ExponentialFamily(),
        seed=1,
    )
    north.learn({"own": ones}, {OWN: 0.75, "own": 0.25}, 1, 1)
    assert north.model.moments.tolist() == pytest.approx([0.25])


def test_the_forbidden_name_is_gone_and_a_seed_may_be_large(small_config, tmp_path):
    config = small_config(
        seed=2**70,
        players={"own": {}, "south": {}},
        data={"partition": {"name": "by_class", "classes": {"own": [0, 1, 2], "south": [3, 4]}}},
    )
    result = Federation(config).run(tmp_path / "run")
    assert result.record.seed == 2**70
    assert set(result.main.rows[-1].players) == {"own", "south"}
    assert Federation.resume(tmp_path / "run").record.status == "finished"
