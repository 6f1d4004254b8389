"""Every metric in metrics/ joins by existing."""

import pytest
import torch

from coplay import find, names
from coplay.core.space import Space, Variable, pick
from coplay.core.streams import stream
from coplay.data.sources.digits import Digits
from coplay.metrics.base import Observed, Reference
from coplay.metrics.features import DomainClassifier

METRICS = names("metric")
# Metrics of the player itself, which no generated sample enters.
OF_THE_PLAYER = {"class_accuracy"}
OF_TABLES = {"fidelity", "utility"}
# Values that take another setting, or rows of another kind.
OPTIONAL = {
    "memorisation": {"partial_copies_share"},
    "utility": {"utility_boosted", "utility_of_real_boosted"},
}


@pytest.fixture(scope="module")
def observe():
    """Everything that a metric can be given, for some of 500 samples with their classes."""
    data = Digits().load()
    space = data.space.only(["image"])
    classifier = DomainClassifier(space, 10, seed=1)
    classifier.fit(
        space.restrict(pick(data.train, slice(300))),
        data.train["class"][:300],
        space.restrict(data.test),
        data.test["class"],
        steps=300,
    )
    reference = Reference(space.restrict(data.test), classifier, data.test["class"])
    samples, held = pick(data.train, slice(500)), pick(data.train, slice(400, 1000))
    guessed = torch.randint(10, (len(data.test),), generator=stream(1))

    def observed(metric, index):
        some = Observed(pick(samples, index), reference, torch.full((10,), 0.1), guessed, held)
        if not metric.applies(some):
            pytest.skip("the metric needs what digits do not have")
        return metric.observe(some)

    return observed


@pytest.fixture(scope="module")
def observed_table():
    """Samples of a table, with real rows of it that are learned from and that are not."""
    space = Space(
        {
            "age": Variable(kind="real"),
            "dose": Variable(kind="real"),
            "ill": Variable(kind="categorical", classes=2),
        }
    )

    def rows(n, key):
        generator = stream(key)
        age = torch.randn(n, generator=generator)
        ill = (age + torch.randn(n, generator=generator) > 0).long()
        return space.samples(age=age, dose=torch.randn(n, generator=generator), ill=ill)

    reference = Reference(rows(200, 1), None, rows=rows(200, 1), variables=space)
    return Observed(rows(200, 2), reference, held=rows(200, 3))


def flat(stat):
    values = {}
    for name, value in stat.result().items():
        for part in ("value", "low", "high"):
            if getattr(value, part) is not None:
                values[name, part] = torch.as_tensor(getattr(value, part), dtype=torch.float64)
    return values


def close(a, b):
    return a.keys() == b.keys() and all(
        torch.allclose(a[key], b[key], rtol=1e-5, atol=1e-7) for key in a
    )


@pytest.mark.parametrize("name", METRICS)
class TestMetric:
    def test_merging_equals_observing_together(self, name, observe):
        metric = find("metric", name).tiny()
        a, b, both = (observe(metric, slice(*ends)) for ends in ((0, 300), (300, 500), (0, 500)))
        before = flat(a)
        assert close(flat(a.merge(b)), flat(both))
        after = flat(a)
        assert all(torch.equal(before[key], after[key]) for key in before), (
            "merging changed an operand"
        )

    def test_every_value_states_unit_counts_and_a_sensible_interval(self, name, observe):
        for value in observe(find("metric", name).tiny(), slice(0, 200)).result().values():
            assert value.unit
            assert value.n == (0 if name in OF_THE_PLAYER else 200)
            assert value.better in ("higher", "lower", None)
            assert (value.low is None) == (value.high is None)
            if value.low is not None:
                assert value.low <= value.value <= value.high

    def test_every_value_has_a_meaning_in_words(self, name, observe, observed_table):
        """Of images or of a table; columns have the name of their statistic instead."""
        metric = find("metric", name).tiny().aimed("ill")
        if name in OF_TABLES:
            values = metric.observe(observed_table).result()
        else:
            values = observe(metric, slice(0, 200)).result()
        scores = {quantity for quantity, value in values.items() if not value.of}
        assert scores
        assert scores <= set(metric.meanings) <= scores | OPTIONAL.get(name, set())
        for words in metric.meanings.values():
            assert len(words) > 30, "a sentence part, not a word"
            assert words.startswith(("how ", "the "))
            assert not words.endswith(".")

    def test_order_of_samples_does_not_matter(self, name, observe):
        metric = find("metric", name).tiny()
        assert close(
            flat(observe(metric, slice(0, 200))), flat(observe(metric, torch.arange(199, -1, -1)))
        )
