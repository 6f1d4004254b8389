"""What was not measured says why, and no metric ends a run."""

import json

import numpy as np
import pytest
import torch

from coplay import Config, Federation, Space, Value, Variable
from coplay.cli.run_table import notes
from coplay.comparison.arms import Comparison
from coplay.comparison.caveats import caveats
from coplay.core.streams import stream
from coplay.metrics import features
from coplay.metrics.base import Metric, Stat
from coplay.metrics.copies import Copies, Matches
from coplay.report.headline import headline
from coplay.run.caution import Caution, classifier_warning
from coplay.run.range_notes import range_notes
from coplay.run.result import Result
from coplay.run.round_record import RoundRecord
from coplay.run.warnings import warnings_of

EVERY = ["class_shares", "domain_score", "fid", "kid", "precision_recall", "mode_cover"]
EVERY += ["memorisation", "train_on_synthetic", "class_accuracy"]


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr(features, "_STEPS", (60, 60))


def played(folder, arrays, metrics, model="exponential_family", **changes):
    """A run of one round of two players on arrays."""
    file = folder / "t.npz"
    np.savez(file, **arrays)
    config = {
        "players": 2,
        "model": model,
        "data": {"source": {"name": "npz", "file": str(file)}},
        "game": {"name": "sample_exchange", "rounds": 1},
        "measure": {"metrics": metrics, "samples": 100},
    }
    return Federation(Config.from_dict(config | changes)).run(folder / "run")


def table(n, seed=1, shape=(2,)):
    y = np.arange(n) % 2
    noise = np.random.default_rng(seed).normal(size=(n, *shape)).astype("float32")
    x = noise + 4 * y.reshape(-1, *[1] * len(shape))
    if len(shape) > 1:  # pictures have grey values
        x = (0.3 + 0.1 * x).clip(0, 1)
    return {"x_train": x.astype("float32"), "y_train": y}


@pytest.mark.parametrize("n", [6, 8, 12])
def test_a_handful_of_rows_is_measured_as_far_as_it_goes(n, tmp_path):
    """Six rows, of which one is held out: fid failed after the rounds, and for good."""
    result = played(tmp_path, table(n), EVERY)
    assert result.record.status == "finished"
    held_out = result.record.data.test
    assert any("fid is not measured" in note for note in result.record.notes) == (held_out < 2)
    reasons = {}
    for caution in result.main.last_cautions.values():
        reasons |= caution.unmeasured
    assert ("fid" in reasons) == (held_out < 2)
    assert ("kid" in reasons) == (held_out < 3)
    if n == 6:
        assert reasons["fid"] == "it needs 2 real test samples or more, and there is 1"
    assert reasons["class_accuracy"] == "the model does not classify"
    measured = set().union(*(values for values in result.main.last.values()))
    assert {"domain_score", "class_shares"} <= measured
    assert any("test samples" in text for text in warnings_of(result))


class Broken(Metric):
    """Fails, or gives what is no number, in a way that its setting names."""

    way: str = "raises"

    def observe(self, observed):
        if self.way == "raises":
            raise ZeroDivisionError("no\nluck")
        return Broken.Infinite()

    class Infinite(Stat):
        """One number and one that is none."""

        def merge(self, other):
            return self

        def result(self):
            return {
                "good": Value(1.0, "units", None, 1),
                "bad": Value(float("nan"), "units", None, 1),
            }


@pytest.mark.parametrize(
    ("way", "reason"),
    [("raises", "ZeroDivisionError: no"), ("nan", "the value of bad is not finite")],
)
def test_a_metric_that_fails_is_left_out_with_its_reason(way, reason, tmp_path):
    metric = {"name": f"{__name__}:Broken", "way": way}
    result = played(tmp_path, table(60), [metric, "domain_score"])
    assert result.record.status == "finished"
    caution = result.main.last_cautions["player0"]
    assert caution.unmeasured == {"Broken": reason}
    assert "domain_score" in result.main.last["player0"]
    assert "bad" not in result.main.last["player0"]
    assert ("good" in result.main.last["player0"]) == (way == "nan")
    assert any(f"Broken of player0, player1 is not measured: {reason}" in n for n in notes(result))


@pytest.mark.parametrize("shape", [(1,), (1, 64), (1, 1), (1, 28), (3, 3), (2, 7)])
def test_tables_of_one_column_signals_and_tiny_pictures_are_measured(shape, tmp_path):
    result = played(tmp_path, table(200, shape=shape), ["fid", "memorisation", "class_shares"])
    assert result.record.classifier.accuracy > 0.9
    assert not result.record.classifier.warning
    for values in result.main.last.values():
        assert {"fid", "copies_share", "class_shares"} <= set(values)


def test_a_run_whose_model_copies_says_so_beside_its_scores(tmp_path):
    arrays = table(300)
    density = {"name": "sklearn.neighbors:KernelDensity", "bandwidth": 1e-6}
    result = played(tmp_path, arrays, ["domain_score"], model=density)
    (first, *_) = warnings_of(result)
    assert "samples are all but copies of its training rows (held-out rows:" in first
    assert first in notes(result)
    assert any("copies of its training rows" in text for text in headline(result).points)
    comparison = Comparison.load([result.folder])
    assert any("copies of its training rows" in c.text for c in caveats(comparison))
    row = json.loads((result.main.folder / "rows.jsonl").read_text().splitlines()[-1])
    assert "copies of" in row["cautions"]["player0"]["copies"]["warning"]


def test_a_classifier_near_chance_is_told_everywhere(tmp_path):
    arrays = table(400)
    arrays["y_train"] = np.random.default_rng(3).integers(0, 2, 400)
    result = played(tmp_path, arrays, ["domain_score"])
    warning = Result.load(result.folder).record.classifier.warning
    assert "near chance" in warning
    assert warning in notes(result)
    assert any("near chance" in text for text in headline(result).points)
    assert any("near chance" in c.text for c in caveats(Comparison.load([result.folder])))


@pytest.mark.parametrize(
    ("accuracy", "n", "largest", "says"),
    [
        (0.975, 400, 0.5, ""),
        (0.488, 400, 0.5, "near chance"),
        (0.53, 400, 0.5, "near chance"),
        (0.56, 400, 0.5, ""),
        (0.95, 400, 0.94, "near chance"),
        (0.1, 400, 0.1, "near chance"),
        (1.0, 5, 0.4, "too few real test samples"),
        (1.0, 40, 0.5, ""),
        (1.0, 400, 1.0, "of one class"),
    ],
)
def test_a_classifier_is_a_judge_only_well_above_the_largest_class(accuracy, n, largest, says):
    warning = classifier_warning(accuracy, n, largest)
    assert says in warning
    assert bool(warning) == bool(says)


def test_cautions_come_back_from_their_json():
    none = Matches(0, 0)
    copies = Copies(Matches(588, 2000), Matches(3, 497), none, none, none, discrete=True)
    cautions = {"north": Caution({"fid": "broke"}, copies), "south": Caution({"kid": "few"})}
    record = RoundRecord(round=3, cautions=cautions)
    assert RoundRecord.from_json(json.loads(json.dumps(record.json()))) == record
    assert copies.warning == (
        "588 of 2,000 samples are copies of its training rows (held-out rows: 3 of 497)"
    )


@pytest.mark.parametrize(("high", "warns"), [(1e5, False), (1e9, True)])
def test_a_range_that_tells_a_gan_nothing_is_noted(high, warns):
    income = Variable(kind="real", shape=(1,), low=0, high=high)
    space = Space({"x": income})
    train = space.samples(x=4e4 + 5e3 * torch.randn(300, 1, generator=stream(1)))
    gan = Config.from_dict({"players": 2, "model": "acgan", "game": {"name": "md_gan"}})
    notes_of_gan = range_notes(gan, space, train)
    assert bool(notes_of_gan) == warns
    if warns:
        assert "'x' has the range [0, 1e+09]" in notes_of_gan[0]
    other = Config.from_dict({"players": 2, "model": "conditionals"})
    assert range_notes(other, space, train) == []
