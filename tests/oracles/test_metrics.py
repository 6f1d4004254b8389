"""Metrics on closed forms."""

import itertools
import json
import warnings
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from coplay import Variable
from coplay.core.errors import ModelError
from coplay.core.space import Space, pick
from coplay.core.streams import stream
from coplay.metrics import memorisation
from coplay.metrics.base import Observed, Reference, Value, share_value, wilson
from coplay.metrics.class_accuracy import ClassAccuracy
from coplay.metrics.class_shares import corrected, total_variation
from coplay.metrics.domain_score import score_sums
from coplay.metrics.features import DomainClassifier
from coplay.metrics.fid import Moments, frechet_distance
from coplay.metrics.inception import Inception, as_bytes
from coplay.metrics.kid import Kid, squared_mmd
from coplay.metrics.memorisation import Memorisation, nearest_distances
from coplay.metrics.mode_cover import ModeCover
from coplay.metrics.precision_recall import PrecisionRecall, inside
from coplay.metrics.rows import even_order, row_keys
from coplay.metrics.train_on_synthetic import TrainOnSynthetic, balanced


def test_fid_of_gaussians_with_equal_covariance_is_the_squared_distance_of_means():
    x = torch.randn(3000, 5, generator=stream(1), dtype=torch.float64)
    shift = torch.tensor([1.0, -2.0, 0.0, 0.5, 3.0], dtype=torch.float64)
    distance = frechet_distance(Moments.of(x), Moments.of(x + shift))
    assert distance == pytest.approx(shift.square().sum().item(), rel=1e-6)


def test_fid_of_scaled_features_is_the_squared_difference_of_deviations():
    x = torch.randn(4000, 3, generator=stream(1), dtype=torch.float64)
    x -= x.mean(0)
    sigma = torch.cov(x.T)
    distance = frechet_distance(Moments.of(x), Moments.of(2 * x))  # tr(Σ + 4Σ − 2·2Σ) = tr Σ
    assert distance == pytest.approx(sigma.trace().item(), rel=1e-6)


class Mean(torch.nn.Module):
    """Features that can be followed by hand.

    They are the mean of each channel's bytes, and twice that of the first.
    """

    def forward(self, images):
        means = images.double().mean([2, 3])
        return torch.cat([means, 2 * means[:, :1]], 1)


def features_by(network, low=-1.0, shape=(4, 4), shift=0.5):
    """Return the score by a user's network of real images moved by ``shift``."""
    space = Space({"image": Variable(kind="real", shape=shape, low=low, high=3.0)})
    real = space.samples(image=low + 0.5 * torch.rand(300, *shape, generator=stream(1)))
    reference = Reference(real, DomainClassifier(space, 2, seed=1))
    moved = space.samples(image=real["image"] + shift)
    metric = Inception(network=str(network))
    assert metric.applies(Observed(moved, reference))
    first_part = metric.observe(Observed(pick(moved, slice(100)), reference))
    return first_part.merge(
        metric.observe(Observed(pick(moved, slice(100, 300)), reference))
    ).result()["inception_fid"]


@pytest.mark.parametrize("form", ["a name", "a TorchScript file", "a .pt2 file"])
@pytest.mark.parametrize("shape", [(4, 4), (1, 4, 4), (3, 4, 4)])
def test_a_network_of_ones_own_sees_bytes_in_three_channels(form, shape, tmp_path):
    """Moving by 0.5 of a range of 4 moves each mean by 32 of 256 bytes.

    The score is the squared distance of means.
    """
    network = f"{__name__}:Mean"
    if form == "a TorchScript file":
        network = tmp_path / "mean.pt"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.jit.script(Mean()).save(str(network))
    elif form == "a .pt2 file":
        network = tmp_path / "mean.pt2"
        some = torch.zeros(5, 3, 4, 4, dtype=torch.uint8)
        dynamic = torch.export.export(Mean(), (some,), dynamic_shapes=({0: torch.export.Dim("n")},))
        torch.export.save(dynamic, network)
    score = features_by(network, shape=shape)
    # bytes are whole numbers
    assert score.value == pytest.approx((3 + 4) * (0.5 * 255 / 4) ** 2, rel=2e-3)
    assert (score.n, score.n_real) == (300, 300)


def test_bytes_are_whole_numbers_of_the_range_and_grey_is_three_times_the_same():
    pixels = as_bytes(
        torch.tensor([[[0, 1]]], dtype=torch.uint8), Variable(kind="binary", shape=(1, 2))
    )
    assert pixels.shape == (1, 3, 1, 2)
    assert pixels.dtype == torch.uint8
    assert pixels[0].tolist() == [[[0, 255]]] * 3


def test_what_is_no_network_of_features_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"there is no file nowhere\.pt; expected TorchScript"):
        Inception(network="nowhere.pt")
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"no network")
    with pytest.raises(
        ModelError, match=r"cannot load .*broken\.pt: .*; expected TorchScript or \.pt2"
    ):
        features_by(broken)
    with pytest.raises(
        ModelError, match=r"Identity gave \(100, 3, 4, 4\) .*expected features of shape \(100, F\)"
    ):
        features_by("torch.nn:Identity")


def test_domain_score_of_extremes():
    constant = torch.tensor([[0.2, 0.8]]).repeat(10, 1)
    assert score_sums(constant).result()["domain_score"].value == pytest.approx(1)
    assert score_sums(torch.eye(7)).result()["domain_score"].value == pytest.approx(7)
    assert score_sums(torch.eye(4)[[0, 0, 1, 1]]).result()["domain_score"].value == pytest.approx(2)


def test_correction_inverts_the_confusion():
    confusion = torch.tensor(
        [[0.9, 0.1, 0.0], [0.05, 0.9, 0.05], [0.0, 0.2, 0.8]], dtype=torch.float64
    )
    truth = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
    assert torch.allclose(corrected(confusion.T @ truth, confusion), truth, atol=1e-9)


def test_correction_never_leaves_the_simplex():
    confusion = torch.tensor([[0.9, 0.1], [0.1, 0.9]], dtype=torch.float64)
    shares = corrected(torch.tensor([1.0, 0.0]), confusion)
    assert torch.allclose(shares, torch.tensor([1.0, 0.0], dtype=torch.float64), atol=1e-6)


def test_total_variation():
    assert total_variation(
        torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.0, 0.5, 0.5])
    ) == pytest.approx(0.5)


# ------------------------------------------------------ what metrics see, without a trained network


class FirstNumberClassifier:
    """A stand-in for a domain classifier.

    The features are x itself, and the class is exactly x's first number.
    """

    def __init__(self, size, classes=4):
        self.space, self.classes, self.n_test = (
            Space({"x": Variable(kind="real", shape=(size,))}),
            classes,
            100,
        )
        self.confusion = torch.eye(classes, dtype=torch.float64)

    def features(self, samples):
        return samples["x"]

    def classify(self, features):
        return F.one_hot(features[:, 0].long(), self.classes).double()


def observed(fake, real, labels=None, held=None, classes=4):
    classifier = FirstNumberClassifier(fake.shape[1], classes)
    held = None if held is None else classifier.space.samples(x=held)
    return Observed(
        classifier.space.samples(x=fake),
        Reference(classifier.space.samples(x=real), classifier, labels),
        held=held,
    )


def values(metric, of):
    assert metric.applies(of)
    return metric.observe(of).result()


def normal(*shape, seed=1):
    return torch.randn(*shape, generator=stream(seed), dtype=torch.float64)


# ---------------------------------------------------------------------------------------- intervals


@pytest.mark.parametrize(
    (
        "hits",
        "n",
        "low",
        "high",
    ),  # R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilsons_interval_is_that_of_the_literature(hits, n, low, high):
    assert wilson(hits, n) == pytest.approx((low, high), abs=5e-5)
    assert wilson(n - hits, n) == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_wilsons_interval_ends_exactly_at_none_and_at_all():
    for n in range(1, 300):
        assert wilson(0, n)[0] == 0.0
        assert wilson(n, n)[1] == 1.0


def test_a_value_without_interval_reads_as_before():
    assert json.loads(json.dumps(Value(1.0, "u", "lower", 3, 4).json())) == {
        **{"value": 1.0, "unit": "u", "better": "lower", "n": 3, "n_real": 4},
        **{"low": None, "high": None},
    }
    assert share_value(1, 4, "u", "higher", 5, 6).value == 0.25


# --------------------------------------------------------------------------------- order of samples


def test_the_order_of_rows_depends_on_the_rows_only_and_spreads_copies():
    samples = FirstNumberClassifier(2).space.samples(
        x=torch.cat([normal(50, 2), normal(1, 2, seed=2).repeat(150, 1)])
    )
    shuffled = pick(samples, torch.randperm(200, generator=stream(3)))
    a, b = (pick(s, even_order(row_keys(s, ["x"])))["x"] for s in (samples, shuffled))
    assert torch.equal(a, b)
    copies = (a == samples["x"][-1]).all(1)
    for first in (40, 80, 120):
        # the 50 others are spread at random: sd < 3
        assert abs(int(copies[:first].sum()) - 0.75 * first) < 9
    assert sorted(even_order(row_keys(samples, ["x"])).tolist()) == list(range(200))


@pytest.mark.parametrize("metric", [Kid(most=40), PrecisionRecall()])
def test_a_choice_of_samples_does_not_depend_on_their_order(metric):
    fake, real = normal(150, 2), normal(45, 2, seed=2)
    whole = metric.observe(observed(fake, real)).result()
    backwards = metric.observe(observed(fake.flip(0), real.flip(0))).result()
    merged = (
        metric.observe(observed(fake[100:], real))
        .merge(metric.observe(observed(fake[:100], real)))
        .result()
    )
    for name, value in whole.items():
        assert value.n < 150
        assert backwards[name].value == pytest.approx(value.value, rel=1e-12)
        assert merged[name].value == pytest.approx(value.value, rel=1e-12)


# ---------------------------------------------------------------------------------------------- KID


def mmd_by_loops(x, y):
    def mean(pairs):
        kernels = [(float(a @ b) / len(a) + 1) ** 3 for a, b in pairs]
        return sum(kernels) / len(kernels)

    return (
        mean(itertools.permutations(x, 2))
        + mean(itertools.permutations(y, 2))
        - 2 * mean(itertools.product(x, y))
    )


def test_kid_and_its_error_are_those_of_plain_loops():
    x = normal(20, 3)
    y = 1.5 * normal(12, 3, seed=2) + 0.3
    estimate, error = squared_mmd(x, y)
    assert estimate == pytest.approx(mmd_by_loops(x, y), abs=1e-10)
    variance = 0.0
    for left in (
        [mmd_by_loops(torch.cat([x[:i], x[i + 1 :]]), y) for i in range(20)],
        [mmd_by_loops(x, torch.cat([y[:j], y[j + 1 :]])) for j in range(12)],
    ):
        estimates = torch.tensor(left, dtype=torch.float64)
        variance += (
            (len(left) - 1) / len(left) * (estimates - estimates.mean()).square().sum().item()
        )
    assert error == pytest.approx(variance**0.5, rel=1e-9)


def kids(shift, n, times):
    """Compare N(0, 1) with N(shift, 1).

    Return the deviations of the estimates from the truth, their standard errors, and whether each
    interval covers the truth.
    """
    # E k(X, Y) = Σ_j C(3, j) E X^j E Y^j, hence MMD² = Σ_j C(3, j) (E X^j − E Y^j)²
    # with the normal moments
    truth = 3 * shift**2 + 3 * shift**4 + (shift**3 + 3 * shift) ** 2
    results = [values(Kid(), observed(x, y + shift))["kid"] for x, y in normal(times, 2, n, 1)]
    value, low, high = torch.tensor(
        [[v.value, v.low, v.high] for v in results], dtype=torch.float64
    ).T
    return value - truth, (high - low) / (2 * 1.959964), (low <= truth) & (truth <= high)


def test_kid_of_one_distribution_is_zero_on_average():
    deviations, errors, holds = kids(0.0, n=100, times=400)
    assert abs(deviations.mean()) < 3 * deviations.std() / 20
    # without a difference all that varies is of second order, which the jackknife counts twice
    assert errors.square().mean().sqrt() / deviations.std() == pytest.approx(2**0.5, rel=0.12)
    assert holds.double().mean() > 0.95


def test_kid_of_shifted_gaussians_is_the_closed_form_on_average():
    deviations, errors, holds = kids(0.5, n=400, times=300)
    assert abs(deviations.mean()) < 3 * deviations.std() / 300**0.5
    assert errors.square().mean().sqrt() / deviations.std() == pytest.approx(1, rel=0.12)
    # a little below 0.95, for sixth moments of so few samples are skew
    assert holds.double().mean() > 0.9


def test_kid_of_many_shifted_gaussians_is_near_the_closed_form():
    deviations, _, holds = kids(0.5, n=2000, times=3)
    assert abs(deviations.mean()) < 0.3 * 3.578125
    assert holds.all()


def test_kids_interval_holds_the_truth_among_as_many_features_as_it_is_used_on():
    mixing = normal(20, 64, seed=2)
    hidden = (normal(200, 2, 100, 20) @ mixing).relu()
    results = [squared_mmd(x, y) for x, y in hidden]
    assert sum(abs(estimate) < 1.96 * error for estimate, error in results) > 0.95 * 200


def test_kid_compares_so_many_at_most():
    kid = values(Kid(most=30), observed(normal(80, 2), normal(60, 2, seed=2)))["kid"]
    assert (kid.n, kid.n_real) == (30, 30)


# ----------------------------------------------------------------------------- precision and recall


def inside_by_loops(points, others, neighbours):
    count = 0
    for point in points:
        for i, other in enumerate(others):
            radius = sorted(float((other - o).norm()) for j, o in enumerate(others) if j != i)[
                neighbours - 1
            ]
            if float((point - other).norm()) <= radius:
                count += 1
                break
    return count


@pytest.mark.parametrize("neighbours", [1, 3])
def test_precision_and_recall_are_those_of_plain_loops(neighbours):
    fake = normal(40, 5)
    real = 1.3 * normal(40, 5, seed=2) + 0.5
    result = values(PrecisionRecall(neighbours=neighbours), observed(fake, real))
    precise, recalled = (
        inside_by_loops(fake, real, neighbours),
        inside_by_loops(real, fake, neighbours),
    )
    assert result["precision"].value == precise / 40
    assert result["recall"].value == recalled / 40
    assert 0 < recalled != precise < 40
    assert (result["recall"].low, result["recall"].high) == wilson(recalled, 40)


def test_precision_and_recall_works_through_its_parts(monkeypatch):
    fake, real = normal(40, 5), normal(40, 5, seed=2)
    whole = inside(fake, real, 2)
    monkeypatch.setattr("coplay.metrics.precision_recall._CHUNK", 7)
    assert inside(fake, real, 2) == whole == inside_by_loops(fake, real, 2)


def test_precision_and_recall_of_equal_and_of_far_sets():
    x = normal(60, 3)
    equal, far = (
        values(PrecisionRecall(), observed(x, x)),
        values(PrecisionRecall(), observed(x, x + 100)),
    )
    assert [equal["precision"].value, equal["recall"].value] == [1, 1]
    assert [far["precision"].value, far["recall"].value] == [0, 0]


def test_copies_of_one_point_lie_where_it_lies_whatever_the_rounding():
    x = (1e3 + normal(1, 3)).repeat(20, 1).float()
    assert inside(x * (1 + 1e-7), x, 3) == 20
    assert inside(x + 5.0, x, 3) == 0


def test_half_the_modes_have_full_precision_and_half_the_recall():
    modes = 50.0 * torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=torch.float64)
    real = modes[torch.arange(400) % 4] + normal(400, 2)
    fake = modes[torch.arange(400) % 2] + normal(400, 2, seed=2)
    result = values(PrecisionRecall(), observed(fake, real))
    assert result["precision"].value > 0.93
    assert 0.45 < result["recall"].value <= 0.5


def test_equally_many_samples_are_compared():
    for n, n_real in ((50, 200), (200, 50)):
        for value in values(PrecisionRecall(), observed(normal(n, 2), normal(n_real, 2))).values():
            assert (value.n, value.n_real) == (50, 50)


# --------------------------------------------------------------------------------------- mode cover


def of_classes(*counts):
    return torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))


def cover(counts, real=(10, 10, 10, 10), confusion=None, **settings):
    labels = of_classes(*real)
    observation = observed(
        of_classes(*counts).unsqueeze(1).double(), labels.unsqueeze(1).double(), labels
    )
    if confusion is not None:
        observation.reference.classifier.confusion = confusion
    return values(ModeCover(**settings), observation)["mode_cover"]


def test_mode_cover_counts_classes_with_enough_of_their_real_share():
    assert cover((60, 35, 5, 0)).value == 3  # 0.05 is 0.2 of 0.25
    assert cover((60, 36, 4, 0)).value == 2
    assert cover((60, 36, 4, 0), least=0.1).value == 3
    assert cover((25, 25, 25, 25), least=1.0).value == 4
    assert cover((85, 5, 5, 5), real=(10, 10, 10, 70)).value == 3  # 0.05 is less than 0.2 of 0.7


def test_mode_cover_counts_real_classes_only():
    covered = cover((40, 0, 30, 30), real=(10, 10, 10, 0))
    assert (covered.value, covered.unit, covered.n, covered.n_real) == (
        2,
        "classes out of 3",
        100,
        30,
    )


def test_mode_cover_is_corrected_for_confusions():
    confusion = torch.eye(4, dtype=torch.float64)
    confusion[0] = torch.tensor([0.9, 0.0, 0.0, 0.1])
    assert cover((90, 0, 0, 10)).value == 2
    assert cover((90, 0, 0, 10), confusion=confusion).value == 1


# ------------------------------------------------------------------------------------- memorisation


def test_distances_to_the_nearest_are_those_of_all_pairs(monkeypatch):
    monkeypatch.setattr(memorisation, "_QUERIES", 7)
    monkeypatch.setattr(memorisation, "_HELD", 5)
    space = Space(
        {"a": Variable(kind="real", shape=(2, 2)), "b": Variable(kind="binary", shape=(3,))}
    )

    def draw(n, seed):
        return space.samples(
            a=1e4 + normal(n, 2, 2, seed=seed), b=(normal(n, 3, seed=seed + 1) > 0).byte()
        )

    few, many = draw(30, 1), draw(43, 3)
    flat = [space.flatten(samples, torch.float64) for samples in (few, many)]
    pairs = (flat[0][:, None] - flat[1][None]).square().sum(2).sqrt()
    assert torch.allclose(nearest_distances(space, few, many), pairs.min(1).values, rtol=1e-3)
    assert nearest_distances(space, pick(many, slice(20, 40)), many).max() == 0


def test_copies_are_distinguished_from_fresh_samples():
    held, real, fresh = normal(600, 8), normal(1000, 8, seed=2), normal(1000, 8, seed=3)
    copies = values(Memorisation(), observed(held[:300], real, held=held))
    assert copies["nearest_training_ratio"].value == 0
    assert (copies["copies_share"].value, copies["copies_share"].high) == (1, 1)
    new = values(Memorisation(), observed(fresh, real, held=held))
    assert new["nearest_training_ratio"].value == pytest.approx(1, abs=0.03)
    assert new["copies_share"].value == pytest.approx(0.05, abs=0.025)
    mixed = values(Memorisation(), observed(torch.cat([held[:600], fresh[:400]]), real, held=held))
    assert mixed["copies_share"].value == pytest.approx(0.6 + 0.4 * 0.05, abs=0.02)
    assert (mixed["copies_share"].low, mixed["copies_share"].high) == wilson(
        round(1000 * mixed["copies_share"].value), 1000
    )
    far = values(Memorisation(), observed(3 * fresh, real, held=held))
    assert far["nearest_training_ratio"].value > 1.5
    assert far["copies_share"].value < 0.02


def test_the_ratio_is_that_of_the_medians():
    # median 11, 5 % quantile 2
    held = torch.zeros(1, 1)
    real = torch.arange(1.0, 22.0).unsqueeze(1)
    result = values(
        Memorisation(), observed(torch.tensor([[1.0], [2.0], [5.5], [30.0]]), real, held=held)
    )
    assert result["nearest_training_ratio"].value == pytest.approx((2 + 5.5) / 2 / 11)
    assert result["copies_share"].value == 0.25  # strictly nearer than 2
    assert result["copies_share"].n_real == 21


def test_where_real_samples_are_copies_nobody_is_accused():
    held = torch.tensor([[0.0], [1.0]])
    result = values(Memorisation(), observed(held, held.repeat(50, 1), held=held))
    assert result.keys() == {"copies_share"}
    assert result["copies_share"].value == 0


def test_at_most_so_many_real_samples_are_compared():
    result = values(
        Memorisation(most=70),
        observed(normal(90, 2), normal(100, 2, seed=2), held=normal(50, 2, seed=3)),
    )
    assert {(v.n, v.n_real) for v in result.values()} == {(90, 70)}


# ------------------------------------------------------------------------------- train on synthetic


CORNERS = 4.0 * torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
SPACE = Space({"x": Variable(kind="real", shape=(2,))})


def cornered(n, seed, noise=1.0):
    labels = torch.arange(n) % 4
    return SPACE.samples(
        x=CORNERS[labels] + noise * normal(n, 2, seed=seed).float(), **{"class": labels}
    )


@pytest.fixture(scope="module")
def corners():
    train, test = cornered(800, 1), cornered(400, 2)
    classifier = DomainClassifier(SPACE, 4, seed=1)
    classifier.fit(
        SPACE.restrict(train), train["class"], SPACE.restrict(test), test["class"], steps=200
    )
    return Reference(SPACE.restrict(test), classifier, test["class"])


def taught(generated, reference, **settings):
    metric = TrainOnSynthetic(**{"steps": 200} | settings)
    return values(metric, Observed(generated, reference))["trained_on_synthetic_accuracy"]


def test_real_data_as_synthetic_data_teaches_as_real_data_does(corners):
    accuracy = taught(cornered(800, 3), corners)
    assert accuracy.value > 0.93
    assert (accuracy.low, accuracy.high) == wilson(round(accuracy.value * 400), 400)
    assert (accuracy.n, accuracy.n_real) == (800, 400)
    assert "with their class" in accuracy.unit


def test_classes_that_say_nothing_teach_chance_and_wrong_ones_teach_wrong(corners):
    samples = cornered(800, 3)
    accuracies = []
    for seed in range(8):
        labels = samples["class"][torch.randperm(800, generator=stream(seed))]
        accuracies.append(taught(samples.clone().set("class", labels), corners).value)
    assert 0.1 < sum(accuracies) / 8 < 0.4
    assert taught(samples.clone().set("class", (samples["class"] + 1) % 4), corners).value < 0.07


def test_a_class_that_is_not_generated_is_not_recognised(corners):
    samples = cornered(800, 3)
    accuracy = taught(pick(samples, samples["class"] != 2), corners).value
    assert 0.68 < accuracy <= 0.75


def test_the_classifier_is_taught_equally_many_of_each_class_in_so_many_steps(corners, monkeypatch):
    calls = []
    fit = DomainClassifier.fit

    def listening(self, train, labels, *arguments, steps):
        calls.append((train["x"], labels.bincount().tolist(), steps))
        fit(self, train, labels, *arguments, steps=steps)

    monkeypatch.setattr(DomainClassifier, "fit", listening)
    samples = cornered(800, 3)
    rare = torch.cat(
        [(samples["class"] != 2).nonzero()[:, 0], (samples["class"] == 2).nonzero()[:6, 0]]
    )
    assert taught(pick(samples, rare), corners, samples=400, steps=90).value > 0.8
    ((inputs, counts, steps),) = calls
    assert (counts, steps) == ([100, 100, 100, 100], 90)
    assert len(inputs[:100].unique(dim=0)) == 100
    assert len(inputs[200:300].unique(dim=0)) == 6
    taught(cornered(80, 3), corners, steps=5)  # as many as there are
    assert calls[1][1:] == ([20, 20, 20, 20], 5)


def test_samples_without_class_get_that_of_the_domain_classifier(corners):
    accuracy = taught(SPACE.restrict(cornered(800, 3)), corners)
    assert accuracy.value > 0.93
    assert "domain classifier" in accuracy.unit


def test_training_does_not_depend_on_the_order_of_samples(corners):
    # every sample matters
    metric = TrainOnSynthetic(samples=100, steps=20)
    samples = cornered(401, 3, noise=6.0)
    whole = metric.observe(Observed(samples, corners))
    parts = [
        metric.observe(Observed(pick(samples, part), corners))
        for part in (slice(250, 401), slice(250))
    ]
    assert whole.result() == parts[0].merge(parts[1]).result()
    assert whole.result() != parts[0].result()
    state = torch.random.get_rng_state()
    whole.result()
    assert torch.equal(state, torch.random.get_rng_state())


def test_balancing_takes_the_first_of_many_and_repeats_few():
    labels = torch.tensor([3, 0, 3, 3, 0, 3, 3, 3])
    assert balanced(labels, 7).tolist() == [1, 4, 1, 0, 2, 3]
    counts = labels[balanced(labels, 1000)].bincount().tolist()
    assert counts == [500, 0, 0, 500]
    assert balanced(labels, 1).tolist() == [1, 0]


def test_the_domain_classifier_takes_so_many_steps():
    reports = []
    train = cornered(80, 1)
    classifier = DomainClassifier(SPACE, 4, seed=1)
    inputs = SPACE.restrict(train)
    labels = train["class"]
    classifier.fit(
        inputs, labels, inputs, labels, lambda done, of: reports.append((done, of)), steps=7
    )
    assert reports == [(0, 7), (7, 7)]


# ------------------------------------------ classes of the players' own, and metrics that apply


def test_class_accuracy_counts_right_classes_of_players_without_inputs():
    labels = torch.tensor([0, 1, 2, 3, 0])
    reference = observed(normal(3, 2), normal(5, 2), labels).reference
    only_classes = Space({"class": Variable(kind="categorical", classes=4)}).samples(
        **{"class": labels}
    )
    observation = Observed(only_classes, reference, classified=torch.tensor([0, 1, 2, 0, 1]))
    accuracy = values(ClassAccuracy(), observation)["class_accuracy"]
    assert accuracy.value == 0.6
    assert (accuracy.low, accuracy.high) == wilson(3, 5)
    assert (accuracy.n, accuracy.n_real) == (0, 5)
    stat = ClassAccuracy().observe(observation)
    assert stat.merge(stat).result() == stat.result()


def test_metrics_apply_where_there_is_what_they_need():
    everything = replace(
        observed(normal(9, 2), normal(9, 2), torch.arange(9) % 4, held=normal(9, 2)),
        classified=torch.arange(9) % 4,
    )
    every = {
        Kid(),
        PrecisionRecall(),
        ModeCover(),
        Memorisation(),
        TrainOnSynthetic(),
        ClassAccuracy(),
    }

    def missing(**changes):
        return {
            type(metric) for metric in every if not metric.applies(replace(everything, **changes))
        }

    unlabelled = replace(everything.reference, labels=None)
    only_classes = Space({"class": Variable(kind="categorical", classes=4)}).samples(
        **{"class": torch.arange(4)}
    )
    assert missing() == set()
    assert (
        missing(held=None)
        == missing(held=only_classes)
        == missing(held=everything.held[:0])
        == {Memorisation}
    )
    assert (
        missing(classified=None)
        == {ClassAccuracy}
        == {type(m) for m in every if m.wants_classified}
    )
    assert missing(reference=unlabelled) == {ClassAccuracy, ModeCover, TrainOnSynthetic}
    assert missing(samples=only_classes) == {type(metric) for metric in every} - {ClassAccuracy}
    assert missing(samples=pick(everything.samples, slice(3))) == {PrecisionRecall}
    assert missing(samples=pick(everything.samples, slice(2))) == {PrecisionRecall, Kid}


def test_class_shares_of_a_player_without_images_are_those_it_draws():
    from tensordict import TensorDict

    from coplay import Space, Variable
    from coplay.metrics.base import Observed, Reference
    from coplay.metrics.class_shares import ClassShares
    from coplay.metrics.features import DomainClassifier

    space = Space({"image": Variable(kind="real", shape=(3,))})
    reference = Reference(
        space.samples(image=torch.zeros(4, 3)), DomainClassifier(space, 3, seed=1)
    )
    drawn = TensorDict({"class": torch.tensor([0, 0, 0, 2])}, batch_size=[4])
    result = (
        ClassShares().observe(Observed(drawn, reference, torch.tensor([0.5, 0.25, 0.25]))).result()
    )
    assert result["class_shares"].value == pytest.approx([0.75, 0.0, 0.25])
    assert result["distance_to_prediction"].value == pytest.approx(0.25)
