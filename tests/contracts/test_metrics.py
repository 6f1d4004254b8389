"""Every metric in metrics/ joins by existing."""

import pytest
import torch

from coplay import find, names
from coplay.data.sources.digits import Digits
from coplay.metrics.base import Observed, Reference
from coplay.metrics.features import DomainClassifier
from coplay.space import join, pick

METRICS = names("metric")


@pytest.fixture(scope="module")
def reference():
    data = Digits().load()
    space = data.space.only(["image"])
    classifier = DomainClassifier(space, 10, seed=1)
    classifier.fit(
        space.restrict(pick(data.train, slice(300))),
        data.train["class"][:300],
        space.restrict(data.test),
        data.test["class"],
    )
    return Reference(space.restrict(data.test), classifier), space.restrict(data.train)


def flat(stat):
    return {name: torch.as_tensor(value.value, dtype=torch.float64) for name, value in stat.result().items()}


@pytest.mark.parametrize("name", METRICS)
class TestMetric:
    def test_merging_equals_observing_together(self, name, reference):
        ref, samples = reference
        metric = find("metric", name).tiny()
        predicted = torch.full((10,), 0.1)
        a, b = pick(samples, slice(0, 300)), pick(samples, slice(300, 500))
        stats = [metric.observe(Observed(s, ref, predicted)) for s in (a, b, join([a, b]))]
        before = flat(stats[0])
        merged, together = flat(stats[0].merge(stats[1])), flat(stats[2])
        assert merged.keys() == together.keys()
        for key in merged:
            assert torch.allclose(merged[key], together[key], rtol=1e-5, atol=1e-7), key
        after = flat(stats[0])
        assert all(torch.equal(before[key], after[key]) for key in before), "merging changed an operand"

    def test_every_value_states_unit_and_counts(self, name, reference):
        ref, samples = reference
        for value in find("metric", name).tiny().observe(Observed(pick(samples, slice(0, 200)), ref)).result().values():
            assert value.unit
            assert value.n == 200
            assert value.better in ("higher", "lower", None)

    def test_order_of_samples_does_not_matter(self, name, reference):
        ref, samples = reference
        metric = find("metric", name).tiny()
        some = pick(samples, slice(0, 200))
        a = flat(metric.observe(Observed(some, ref)))
        b = flat(metric.observe(Observed(pick(some, torch.arange(199, -1, -1)), ref)))
        assert all(torch.allclose(a[key], b[key], rtol=1e-5, atol=1e-7) for key in a)
