"""Estimators that are fitted on frames, in the forms of CTGAN, of SDV and of TabularARGN."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_breast_cancer

import coplay
from coplay import Space, Variable
from coplay.core import storage
from coplay.core.errors import ModelError
from coplay.core.streams import stream
from coplay.models.base import OWN, Mixture, Portion
from coplay.models.estimator import Estimator

SPACE = Space(
    {
        "diagnosis": Variable(kind="categorical", classes=3, names=("benign", "unclear", "bad")),
        "age": Variable(kind="real", low=0, high=120),
        "visits": Variable(kind="count"),
        "smokes": Variable(kind="binary"),
        "dose": Variable(kind="real", shape=(2,)),
    }
)
COLUMNS = ["diagnosis", "age", "visits", "smokes", "dose[0]", "dose[1]"]


class Bootstrap:
    """Draws rows of the frame that it was fitted on, by numpy's global generator."""

    def __init__(self, fault=""):
        self.fault = fault

    def fit(self, data: pd.DataFrame):
        self.frame = data

    def sample(self, num_rows):
        drawn = self.frame.sample(num_rows, replace=True).reset_index(drop=True)
        return damaged(drawn, self.fault)


class LikeCTGAN:
    """No annotations; it has to be told which columns are discrete."""

    def __init__(self, epochs=1):
        self.epochs = epochs

    def fit(self, train_data, discrete_columns=(), epochs=None):
        assert list(discrete_columns) == ["diagnosis", "smokes"]
        texts = [c for c in train_data if not pd.api.types.is_numeric_dtype(train_data[c])]
        assert texts == ["diagnosis"]
        self.frame = train_data

    def sample(self, n, condition_column=None, condition_value=None):
        # columns in another order, and one more
        return self.frame.sample(n, replace=True).assign(more=1)[["more", *COLUMNS[::-1]]]


class LikeARGN:
    """The number of rows has a name of its own, and levels come as a pandas category."""

    fits_frames = True

    def fit(self, X, y=None):
        self.frame = X
        return self

    def sample(self, *, n_samples=None, seed_data=None):
        drawn = self.frame.sample(n_samples, replace=True)
        kinds = {"diagnosis": "category", "visits": float}
        return drawn.astype({name: kind for name, kind in kinds.items() if name in drawn})


class OnArrays:
    """Says that it wants arrays, whatever its names are."""

    fits_frames = False

    def fit(self, data):
        assert isinstance(data, np.ndarray)
        self.rows = data

    def sample(self, num_rows):
        return self.rows[np.random.randint(len(self.rows), size=num_rows)]


def damaged(frame, fault):
    if fault == "column":
        return frame.drop(columns=["age", "dose[1]"])
    if fault == "level":
        frame.loc[1:2, "diagnosis"] = "worse"
    if fault in ("level", "missing"):
        frame.loc[3, "age"] = np.nan
    if fault == "far":
        frame["age"] = 1000.0
        frame["visits"] = 2.6
    return frame


def some_rows(n=40, seed=1):
    g = stream(seed, "rows")
    label = torch.randint(3, (n,), generator=g)
    return SPACE.samples(
        diagnosis=label,
        age=20.0 * label.double() + torch.rand(n, generator=g, dtype=torch.float64),
        visits=label + 2**40,
        smokes=(label == 2).to(torch.uint8),
        dose=torch.stack([label.double(), 5 - label.double()], 1),
    )


def ready(cls, **arguments):
    model = Estimator(estimator=f"{__name__}:{cls.__name__}", arguments=arguments)
    model.setup(SPACE, 1)
    return model


def mixture():
    parts = (Portion(OWN, some_rows(), 0.4), Portion("peer", some_rows(seed=2), 0.6))
    return Mixture(parts)


def as_texts(samples):
    rows = []
    for i in range(len(samples)):
        rows.append(str([samples[name][i].tolist() for name in SPACE]))
    return rows


@pytest.mark.parametrize("cls", [Bootstrap, LikeCTGAN, LikeARGN, OnArrays])
def test_what_is_drawn_are_rows_that_were_learned_from_to_the_last_digit(cls):
    model = ready(cls)
    model.learn(mixture(), 1, stream(1))
    drawn = model.sample(200, stream(2))
    SPACE.check(drawn, "drawn", complete=True, rows=200)
    known = as_texts(some_rows()) + as_texts(some_rows(seed=2))
    assert set(as_texts(drawn)) <= set(known)
    assert len(set(as_texts(drawn))) > 30


@pytest.mark.parametrize("cls", [Bootstrap, LikeCTGAN, LikeARGN])
def test_a_frame_has_columns_by_name_and_categories_by_their_levels(cls):
    model = ready(cls)
    model.learn(Mixture((Portion(OWN, some_rows(), 1.0),)), 1, stream(1))
    frame = model._model.frame
    assert list(frame.columns) == COLUMNS
    rows = some_rows()
    names = SPACE["diagnosis"].class_names
    assert frame["diagnosis"].tolist() == [names[k] for k in rows["diagnosis"].tolist()]
    assert frame["visits"].tolist() == rows["visits"].tolist()
    assert frame["visits"].dtype == np.int64
    assert frame["smokes"].tolist() == rows["smokes"].tolist()
    assert frame["age"].tolist() == rows["age"].tolist()
    assert frame["dose[1]"].tolist() == rows["dose"][:, 1].tolist()


@pytest.mark.parametrize("cls", [Bootstrap, LikeCTGAN, LikeARGN])
def test_a_restored_estimator_draws_the_same(cls, tmp_path):
    model, restored = ready(cls), ready(cls)
    model.learn(mixture(), 1, stream(1))
    storage.save_tensors(tmp_path / "state.safetensors", model.state_dict())
    restored.load_state_dict(storage.load_tensors(tmp_path / "state.safetensors"))
    one, two = model.sample(30, stream(3)), restored.sample(30, stream(3))
    assert as_texts(one) == as_texts(two)
    assert as_texts(one) != as_texts(model.sample(30, stream(4)))


def test_what_a_frame_lacks_is_named():
    model = ready(Bootstrap, fault="column")
    model.learn(mixture(), 1, stream(1))
    with pytest.raises(ModelError) as raised:
        model.sample(5, stream(1))
    assert str(raised.value) == (
        f"{__name__}:Bootstrap drew a frame without age, dose[1]; it has diagnosis, visits, "
        "smokes, dose[0]"
    )


def test_all_faults_of_a_frame_are_named_with_column_and_row():
    model = ready(Bootstrap, fault="level")
    model.learn(mixture(), 1, stream(1))
    with pytest.raises(ModelError) as raised:
        model.sample(5, stream(1))
    assert str(raised.value) == (
        f"{__name__}:Bootstrap drew 'worse' in column 'diagnosis' in 2 rows, first 1, expected one "
        "of benign, unclear, bad; nan in column 'age' in row 3, expected a finite number"
    )


def test_numbers_are_moved_to_the_nearest_allowed_ones():
    model = ready(Bootstrap, fault="far")
    model.learn(mixture(), 1, stream(1))
    drawn = model.sample(5, stream(1))
    assert drawn["age"].tolist() == [120.0] * 5
    assert drawn["visits"].tolist() == [3] * 5


def test_levels_that_are_numbers_are_known_by_these():
    space = Space({"grade": Variable(kind="categorical", classes=3)})
    model = Estimator(estimator=f"{__name__}:Numbers")
    model.setup(space, 1)
    rows = space.samples(grade=torch.tensor([0, 2, 2]))
    model.learn(Mixture((Portion(OWN, rows, 1.0),)), 1, stream(1))
    assert model._model.frame["grade"].tolist() == ["0", "2", "2"]
    assert sorted(model.sample(3, stream(1))["grade"].tolist()) == [0, 2, 2]


class Numbers(LikeARGN):
    """Makes floats of levels that look like numbers."""

    def sample(self, n):
        return self.frame.astype(float)


@pytest.mark.parametrize(
    "model", [f"{__name__}:Bootstrap", f"{__name__}:LikeARGN", "gaussian_copula", "flow"]
)
def test_frames_in_memory_are_played_from_end_to_end(model, tmp_path):
    data = load_breast_cancer(as_frame=True).frame
    data["diagnosis"] = data.pop("target").map({0: "malignant", 1: "benign"})
    data = data[["mean radius", "mean texture", "diagnosis"]]
    result = coplay.play(
        {"north": data[:300], "south": data[300:]},
        target="diagnosis",
        rounds=2,
        model=model,
        compare=[],
        folder=tmp_path / "run",
    )
    assert result.record.status == "finished"
    drawn = result.sample("north", 300, trust=True)
    assert set(drawn.columns) == set(data.columns)
    means = drawn.groupby("diagnosis")["mean radius"].mean()
    if model != "flow":  # it has taken few steps
        assert means["malignant"] - means["benign"] > 2
    benign = (drawn["diagnosis"] == "benign").mean()
    assert benign == pytest.approx(0.63, abs=0.12)
