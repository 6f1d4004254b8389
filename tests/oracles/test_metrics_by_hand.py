"""Metrics where counts, classes and sides are unlike, so that no mix-up of them cancels."""

import hashlib
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from coplay import Space, Variable
from coplay.core.space import LABEL
from coplay.core.streams import stream
from coplay.metrics import features as classifiers
from coplay.metrics.base import Observed, Reference, normal_interval, share_value, wilson
from coplay.metrics.class_shares import ClassShares, corrected
from coplay.metrics.domain_score import score_sums
from coplay.metrics.features import DomainClassifier
from coplay.metrics.fid import Fid, MomentPair, Moments, frechet_distance
from coplay.metrics.inception import Inception, as_bytes
from coplay.metrics.kid import Kid, squared_mmd
from coplay.metrics.memorisation import Memorisation, nearest_distances
from coplay.metrics.mode_cover import ModeCover
from coplay.metrics.precision_recall import PrecisionRecall, inside
from coplay.metrics.rows import even_order, row_keys
from coplay.metrics.train_on_synthetic import TrainOnSynthetic

X = Space({"x": Variable(kind="real", shape=(2,))})
CONFUSION = torch.tensor([[0.9, 0.1, 0.0], [0.3, 0.6, 0.1], [0.0, 0.2, 0.8]], dtype=torch.float64)


class Seen:
    """A classifier whose features are x and whose class is the first number of x."""

    def __init__(self, space=X, classes=3, confusion=CONFUSION):
        self.space = space
        self.classes = classes
        self.confusion = confusion
        self.n_test = 77
        self._seed = 5

    def features(self, samples):
        return samples["x"]

    def classify(self, features):
        return F.one_hot(features[:, 0].long(), self.classes).double()


def normal(*shape, seed=1):
    return torch.randn(*shape, generator=stream(seed), dtype=torch.float64)


def observed(fake, real, **more):
    return Observed(X.samples(x=fake), Reference(X.samples(x=real), Seen()), **more)


def of_classes(*counts):
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return torch.stack([labels.double(), labels.double()], 1)


# ----------------------------------------------------------------------------- values and intervals


def test_a_share_is_of_what_was_counted_whatever_the_number_of_samples():
    found = share_value(3, 8, "u", "lower", n=100, n_real=50)
    assert found.value == 3 / 8
    assert (found.low, found.high) == wilson(3, 8)
    assert (found.n, found.n_real, found.unit, found.better) == (100, 50, "u", "lower")


def test_a_normal_interval_is_as_wide_on_both_sides():
    low, high = normal_interval(2.0, 0.25)
    assert (low + high) / 2 == pytest.approx(2.0)
    assert high - low == pytest.approx(2 * 1.959964 * 0.25, rel=1e-6)


# ------------------------------------------------------------------------------------- class shares


def test_class_shares_undo_confusions_and_the_raw_ones_do_not():
    truth = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    raw = CONFUSION.T @ truth  # 0.54, 0.27, 0.19
    fake = of_classes(54, 27, 19)
    prediction = torch.tensor([0.2, 0.3, 0.5])
    found = ClassShares().observe(observed(fake, fake[:4], predicted=prediction)).result()
    assert found["class_shares_raw"].value == pytest.approx(raw.tolist(), abs=1e-12)
    assert found["class_shares"].value == pytest.approx(truth.tolist(), abs=1e-6)
    assert found["distance_to_prediction"].value == pytest.approx(0.3, abs=1e-6)
    for value in found.values():
        assert (value.n, value.n_real) == (100, 77)
    assert "distance_to_prediction" not in ClassShares().observe(observed(fake, fake)).result()


def test_corrected_shares_are_the_nearest_that_sum_to_one():
    """With (0, a, 1 − a) the squares are (0.3 a)² + (0.4 a − 0.65)² + (0.7 a − 0.65)²."""
    found = corrected(torch.tensor([0.0, 0.85, 0.15]), CONFUSION)
    a = 1.43 / 1.48
    assert found.tolist() == pytest.approx([0.0, a, 1 - a], abs=1e-5)
    assert found.sum().item() == pytest.approx(1, abs=1e-15)
    alone = torch.tensor([[0.4, 0.6], [0.3, 0.7]], dtype=torch.float64)
    assert corrected(torch.tensor([0.0, 1.0]), alone).tolist() == pytest.approx([0, 1], abs=1e-9)


def test_a_class_at_exactly_the_least_share_is_covered():
    """Thirds and tenths round: 0.1 · 3 / 10 is a little more than 3 / 100."""
    labels = torch.repeat_interleave(torch.arange(2), torch.tensor([7, 3]))
    reference = Reference(
        X.samples(x=labels[:, None].double().repeat(1, 2)),
        Seen(classes=2, confusion=torch.eye(2, dtype=torch.float64)),
        labels,
    )
    seen = Observed(X.samples(x=of_classes(97, 3)), reference)
    assert ModeCover(least=0.1).observe(seen).result()["mode_cover"].value == 2
    fewer = Observed(X.samples(x=of_classes(98, 2)), reference)
    assert ModeCover(least=0.1).observe(fewer).result()["mode_cover"].value == 1


def test_the_domain_score_of_uneven_classes_is_its_formula():
    p = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.3, 0.3, 0.4]], dtype=torch.float64)
    marginal = p.mean(0)
    divergence = (p * (p / marginal).log()).sum(1).mean().item()
    whole = score_sums(p)
    parts = score_sums(p[:1]).merge(score_sums(p[1:]))
    for stat in (whole, parts):
        value = stat.result()["domain_score"]
        assert value.value == pytest.approx(math.exp(divergence), rel=1e-12)
        assert value.n == 3


# -------------------------------------------------------------------------------------- FID and KID


def test_the_frechet_distance_of_correlated_features_of_unlike_numbers_is_the_matrix_formula():
    x = normal(60, 2) @ torch.tensor([[1.0, 0.5], [0.0, 2.0]], dtype=torch.float64) + 1.0
    y = normal(45, 2, seed=2) @ torch.tensor([[0.7, -0.9], [0.2, 1.0]], dtype=torch.float64)
    root = np.linalg.eigvals((torch.cov(x.T) @ torch.cov(y.T)).numpy())
    expected = (
        (x.mean(0) - y.mean(0)).square().sum().item()
        + (torch.cov(x.T) + torch.cov(y.T)).trace().item()
        - 2 * np.sqrt(root.real).sum()
    )
    assert frechet_distance(Moments.of(x), Moments.of(y)) == pytest.approx(expected, rel=1e-9)


def test_moments_are_plain_sums_and_add_up():
    x = normal(7, 3)
    found = Moments.of(x[:2]) + Moments.of(x[2:])
    assert torch.allclose(found.first, x.sum(0))
    assert torch.allclose(found.second, sum(torch.outer(row, row) for row in x))
    assert found.n == 7


def test_fid_counts_generated_and_real_samples_apart_and_merges_generated_ones_only():
    fake, real = 2 * normal(50, 2), normal(30, 2, seed=2) + 1
    whole = Fid().observe(observed(fake, real))
    assert isinstance(whole, MomentPair)
    assert (whole.fake.n, whole.real.n) == (50, 30)
    assert torch.allclose(whole.fake.first, fake.sum(0))
    merged = (
        Fid().observe(observed(fake[:20], real)).merge(Fid().observe(observed(fake[20:], real)))
    )
    for stat in (whole, merged):
        value = stat.result()["fid"]
        expected = frechet_distance(Moments.of(real), Moments.of(fake))
        assert (value.n, value.n_real) == (50, 30)
        assert value.value == pytest.approx(expected, rel=1e-9)
        assert value.better == "lower"


def test_kid_counts_generated_and_real_samples_apart():
    fake, real = normal(25, 2), 1.5 * normal(40, 2, seed=2)
    found = Kid(most=30).observe(observed(fake, real)).result()["kid"]
    assert (found.n, found.n_real) == (25, 30)
    chosen = even_order(row_keys(X.samples(x=real), ["x"]))[:30]
    estimate, error = squared_mmd(fake, real[chosen])
    assert found.value == pytest.approx(estimate, rel=1e-12)
    assert (found.low, found.high) == pytest.approx(normal_interval(estimate, error), rel=1e-9)


# --------------------------------------------------------------------------------- order and choice


def test_keys_are_the_digest_of_the_variables_bytes_in_the_order_asked_for():
    samples = Space({"b": Variable(kind="count"), "a": Variable(kind="count")}).samples(
        b=torch.tensor([1, 2]), a=torch.tensor([2, 1])
    )
    keys = row_keys(samples, ["b", "a"])
    first = np.array([1, 2], dtype=np.int64).tobytes()
    digest = hashlib.blake2b(first, digest_size=8).digest()
    assert keys[0].item() == int.from_bytes(digest, "little", signed=True)
    assert keys[0] != keys[1]
    assert row_keys(samples, ["a", "b"]).tolist() == keys.flip(0).tolist()


def test_precision_compares_the_first_in_even_order_on_both_sides():
    fake, real = normal(50, 2), normal(20, 2, seed=2) + 0.5
    found = PrecisionRecall(neighbours=2).observe(observed(fake, real)).result()
    chosen = fake[even_order(row_keys(X.samples(x=fake), ["x"]))[:20]]
    assert found["precision"].value == inside(chosen, real, 2) / 20
    assert found["recall"].value == inside(real, chosen, 2) / 20
    swapped = PrecisionRecall(neighbours=2).observe(observed(real, fake)).result()
    assert swapped["precision"].value == inside(real, chosen, 2) / 20
    assert (swapped["recall"].n, swapped["recall"].n_real) == (20, 20)


def test_real_samples_are_chosen_in_even_order_and_the_least_distances_are_of_them():
    held = normal(9, 2, seed=3)
    fake, real = normal(12, 2), 3 * normal(40, 2, seed=2)
    metric = Memorisation(most=15)
    seen = Observed(X.samples(x=fake), Reference(X.samples(x=real), Seen()), held=X.samples(x=held))
    chosen = real[even_order(row_keys(X.samples(x=real), ["x"]))[:15]]
    usual = torch.cdist(chosen, held).min(1).values
    generated = torch.cdist(fake, held).min(1).values
    found = metric.observe(seen).result()
    ratio = (generated.quantile(0.5) / usual.median()).item()
    assert found["nearest_training_ratio"].value == pytest.approx(ratio, rel=1e-9)
    share = (generated < usual.quantile(0.05)).double().mean().item()
    assert found["copies_share"].value == share


def test_the_threshold_of_a_copy_is_the_five_percent_quantile():
    """Real distances 0, 1, …, 100: the quantile is 5, and a sample at 5.5 is no copy."""
    held = torch.zeros(1, 2, dtype=torch.float64)
    real = torch.stack([torch.arange(101.0), torch.zeros(101)], 1).double()
    fake = torch.tensor([[4.9, 0.0], [5.5, 0.0], [5.0, 0.0]], dtype=torch.float64)
    seen = Observed(X.samples(x=fake), Reference(X.samples(x=real), Seen()), held=X.samples(x=held))
    found = Memorisation().observe(seen).result()
    assert found["copies_share"].value == pytest.approx(1 / 3)
    assert found["nearest_training_ratio"].value == pytest.approx(5.0 / 50)


def test_the_last_held_sample_is_a_neighbour_like_any_other():
    held = torch.tensor([[0.0, 0.0], [5.0, 5.0], [9.0, 9.0]], dtype=torch.float64)
    found = nearest_distances(X, X.samples(x=held + 0.25), X.samples(x=held))
    assert found.tolist() == pytest.approx([math.sqrt(0.125)] * 3)


# ----------------------------------------------------------------------------- train on synthetic


def labelled(n, seed):
    labels = torch.arange(n) % 3
    x = 4 * of_classes(1, 1, 1)[labels].float() + normal(n, 2, seed=seed).float()
    return X.samples(x=x, **{LABEL: labels})


def listening(monkeypatch):
    """Everything that classifiers are trained with from now on; they learn nothing."""
    calls = []

    def fit(self, train, labels, test, test_labels, report=None, steps=None):
        calls.append((self._seed, train["x"], labels, test["x"], test_labels, steps))
        self.accuracy = 0.5

    monkeypatch.setattr(DomainClassifier, "fit", fit)
    return calls


def test_a_student_sees_generated_samples_only_and_is_tested_on_real_ones(monkeypatch):
    calls = listening(monkeypatch)
    test, generated = labelled(50, 1), labelled(90, 2)
    reference = Reference(X.restrict(test), DomainClassifier(X, 3, seed=9), test[LABEL])
    metric = TrainOnSynthetic(samples=60, steps=7)
    found = metric.observe(Observed(generated, reference)).result()
    ((seed, train, labels, judged_by, truth, steps),) = calls
    assert seed == 0, "one seed for every run, whatever the domain classifier's"
    assert steps == 7
    assert torch.equal(judged_by, test["x"])
    assert torch.equal(truth, test[LABEL])
    rows = {tuple(row) for row in generated["x"].tolist()}
    assert len(train) == 60
    assert all(tuple(row) in rows for row in train.tolist())
    for row, label in zip(train, labels, strict=True):
        at = (generated["x"] == row).all(1).nonzero()[0, 0]
        assert generated[LABEL][at] == label
    value = found["trained_on_synthetic_accuracy"]
    assert (value.value, value.n, value.n_real) == (0.5, 90, 50)
    assert (value.low, value.high) == wilson(25, 50)


def test_classes_count_as_generated_only_where_all_came_with_theirs(monkeypatch):
    listening(monkeypatch)
    test, generated = labelled(50, 1), labelled(12, 2)
    reference = Reference(X.restrict(test), DomainClassifier(X, 3, seed=9), test[LABEL])
    own = TrainOnSynthetic().observe(Observed(generated, reference))
    other = TrainOnSynthetic().observe(Observed(X.restrict(generated), reference))
    for one, two in ((own, other), (other, own)):
        (value,) = one.merge(two).result().values()
        assert "domain classifier" in value.unit
    (value,) = own.merge(own).result().values()
    assert "with their class" in value.unit


# ---------------------------------------------------------------------------------------- Inception


def test_bytes_round_to_the_nearest_and_stay_in_their_range():
    v = Variable(kind="real", shape=(1, 6), low=1.0, high=3.0)
    values = 1.0 + 2.0 / 255 * torch.tensor([[[0.4, 0.6, 99.5001, 254.7, 300.0, -20.0]]])
    assert as_bytes(values, v)[0, 0, 0].tolist() == [0, 1, 100, 255, 255, 0]


def test_real_images_are_those_of_the_reference_at_hand():
    space = Space({"image": Variable(kind="real", shape=(2, 2), low=0, high=1)})
    classifier = DomainClassifier(space, 2, seed=1)
    metric = Inception(network="torch.nn:Flatten")
    dark = space.samples(image=torch.rand(120, 2, 2, generator=stream(1)) / 2)
    light = space.samples(image=0.5 + torch.rand(30, 2, 2, generator=stream(2)) / 2)
    for real, count in ((dark, 120), (light, 30)):
        value = metric.observe(Observed(dark, Reference(real, classifier))).result()[
            "inception_fid"
        ]
        assert (value.n, value.n_real) == (120, count)
    assert value.value > 1000
    expected = as_bytes(dark["image"], space["image"]).double().flatten(1)
    moments = metric.observe(Observed(dark, Reference(dark, classifier))).fake
    assert torch.allclose(moments.first, expected.sum(0))
    assert moments.n == 120


# ---------------------------------------------------------------------------- the domain classifier


class Fixed(nn.Module):
    """Logits that say the class x[0]: rows 0, 1, 2, and class 3 is said of no row."""

    def __init__(self):
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return 9.0 * F.one_hot(x[:, 0].long(), 4).float() + 0 * self.nothing


def fixed_classifier():
    classifier = DomainClassifier(X, 4, seed=1)
    classifier._body = nn.Identity()
    classifier._head = Fixed()
    return classifier


def test_confusion_has_a_row_for_each_true_class_and_accuracy_is_of_the_test_split():
    truth = torch.tensor([0, 0, 0, 0, 1, 1, 2])
    said = torch.tensor([0, 0, 0, 1, 1, 2, 2])
    classifier = fixed_classifier()
    x = torch.stack([said.float(), said.float()], 1)
    classifier.fit(X.samples(x=x[:2]), truth[:2], X.samples(x=x), truth, steps=2)
    expected = [[0.75, 0.25, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert classifier.confusion.tolist() == expected
    assert classifier.accuracy == pytest.approx(5 / 7)
    assert classifier.n_test == 7


def test_a_classifier_learns_pairs_from_the_whole_training_split(monkeypatch):
    seen = []
    truth = F.cross_entropy

    def recorded(logits, labels):
        seen.append((classifier._body[0](rows[-1]), labels))
        return truth(logits, labels)

    classifier = DomainClassifier(X, 3, seed=1)
    rows = []
    classifier._body.register_forward_pre_hook(lambda module, given: rows.append(given[0]))
    monkeypatch.setattr(classifiers.F, "cross_entropy", recorded)
    labels = torch.arange(40) % 3
    x = torch.stack([torch.arange(40.0), labels.float()], 1)
    classifier.fit(X.samples(x=x), labels, X.samples(x=x), labels, steps=5)
    assert len(seen) == 5
    for inputs, classes in seen:
        # standard units: -1.2, 0.0 and 1.2 are classes 0, 1 and 2
        assert torch.equal(inputs[:, 1].round().long() + 1, classes)
    assert len(torch.cat([inputs[:, 0] for inputs, _ in seen]).unique()) == 40
    assert torch.cat([inputs for inputs, _ in seen]).shape == (5 * 128, 2)


@pytest.mark.parametrize(("n", "steps"), [(10, 1200), (50_000, 1953), (400_000, 4000)])
def test_larger_sets_are_learned_in_more_steps_within_limits(n, steps, monkeypatch):
    told = []

    class Enough(Exception):
        pass

    def report(done, of):
        told.append(of)
        raise Enough

    classifier = DomainClassifier(X, 3, seed=1)
    some = X.samples(x=torch.zeros(n, 2))
    with pytest.raises(Enough):
        classifier.fit(some, torch.zeros(n, dtype=torch.long), some, torch.zeros(n), report)
    assert told == [steps]


def test_a_classifier_at_work_draws_nothing_and_comes_back_whole():
    train, test = labelled(60, 1), labelled(24, 2)
    one = DomainClassifier(X, 3, seed=1)
    one.fit(X.restrict(train), train[LABEL], X.restrict(test), test[LABEL], steps=5)
    other = DomainClassifier(X, 3, seed=2)
    assert torch.equal(other.features(X.restrict(test)), other.features(X.restrict(test)))
    other.load_state_dict(one.state_dict())
    assert other.n_test == 24
    assert other.accuracy == one.accuracy
    assert torch.equal(other.confusion, one.confusion)
    assert torch.equal(other.probabilities(X.restrict(test)), one.probabilities(X.restrict(test)))
    sums = one.probabilities(X.restrict(test)).sum(1)
    assert torch.allclose(sums, torch.ones(24))
