"""Every source and every partition joins by existing."""

import pytest
import torch

from coplay import find, names
from coplay.core.streams import stream

# a source may need an extra to load what its tiny() wrote
EXTRAS = {"hugging_face": "datasets"}


@pytest.mark.parametrize("name", names("source"))
class TestSource:
    @pytest.fixture(autouse=True)
    def _extra(self, name):
        if name in EXTRAS:
            pytest.importorskip(EXTRAS[name])

    def test_loads_into_its_space_and_repeats(self, name):
        source = find("source", name).tiny()
        one, two = source.load(), source.load()
        for split in ("train", "test"):
            samples = getattr(one, split)
            assert len(samples)
            one.space.check(samples, name, complete=True)
            assert all(torch.equal(samples[key], getattr(two, split)[key]) for key in one.space)

    def test_training_and_test_samples_are_not_the_same(self, name):
        data = find("source", name).tiny().load()
        assert len(data.train) != len(data.test) or any(
            not torch.equal(data.train[key], data.test[key]) for key in data.inputs
        )


def test_a_small_concentration_makes_players_unlike_and_a_large_one_alike():
    labels = torch.arange(3000) % 10
    spread = {}
    for concentration in (0.05, 1000.0):
        hands = find("partition", "dirichlet")(concentration=concentration).deal(
            labels, 3000, ["a", "b", "c"], stream(1)
        )
        shares = torch.stack(
            [torch.bincount(labels[hand], minlength=10) / 300 for hand in hands.values()]
        )
        spread[concentration] = shares.std(0).mean().item()
    assert spread[0.05] > 0.4
    assert spread[1000.0] < 0.05


@pytest.mark.parametrize("name", names("partition"))
class TestPartition:
    LABELS = torch.arange(60) % 3

    def deal(self, name, seed=1):
        return find("partition", name).tiny().deal(self.LABELS, 60, ["a", "b"], stream(seed))

    def test_no_sample_goes_to_two_players(self, name):
        hands = self.deal(name)
        assert list(hands) == ["a", "b"]
        dealt = torch.cat(list(hands.values()))
        assert len(dealt) == len(dealt.unique()) > 0
        assert ((dealt >= 0) & (dealt < 60)).all()

    def test_same_seed_same_deal(self, name):
        one, two = self.deal(name), self.deal(name)
        assert all(torch.equal(one[player], two[player]) for player in one)

    def test_partition_deals_everything_it_can(self, name):
        dealt = sum(len(hand) for hand in self.deal(name).values())
        assert dealt == (12 if name == "by_count" else 60)

    def test_seed_decides_the_deal_or_the_deal_is_forced(self, name):
        deals = [self.deal(name, seed) for seed in range(5)]
        forced = name == "by_class"  # disjoint whole classes leave no choice
        assert forced or any(not torch.equal(deals[0]["a"], deal["a"]) for deal in deals[1:])
