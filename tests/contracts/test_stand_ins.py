"""Every stand-in joins by existing."""

import pytest
import torch

from coplay import find, names
from coplay.core.errors import PrivacyError
from coplay.site import secret
from coplay.site.accounting import spent_epsilon
from coplay.site.budget import Budget
from coplay.site.private_data import StandInFolder
from coplay.site.stand_ins.own import Own

from ..test_private_steps import TABLE, rows_of

EXTRAS = {"dp_sgd": "opacus", "own": "sklearn"}


@pytest.mark.parametrize("name", names("stand_in"))
class TestStandIn:
    @pytest.fixture(autouse=True)
    def _extra(self, name):
        if name in EXTRAS:
            pytest.importorskip(EXTRAS[name])

    @pytest.fixture
    def stand_in(self, name):
        return find("stand_in", name).tiny()

    def made(self, stand_in):
        return stand_in.make(rows_of(TABLE, 300), stand_in.charges(1, "rdp"))

    def test_it_takes_these_variables_and_draws_of_it_are_complete_samples_of_them(self, stand_in):
        stand_in.check(TABLE)
        drawn = self.made(stand_in).draw(123, torch.Generator().manual_seed(1))
        TABLE.check(drawn, "draws", complete=True, rows=123)

    def test_the_same_seed_gives_the_same_draws(self, stand_in):
        made = self.made(stand_in)
        one, two = (made.draw(40, torch.Generator().manual_seed(5)) for _ in range(2))
        assert all(torch.equal(one[key], two[key]) for key in TABLE)

    def test_it_spends_what_it_says_and_no_more(self, stand_in, tmp_path):
        budget = Budget(tmp_path, stand_in.epsilon, stand_in.delta, "rdp")
        StandInFolder(tmp_path, budget).samples(stand_in, rows_of(TABLE, 300), "settings")
        assert budget.charges() == list(stand_in.charges(1, "rdp"))
        spent = spent_epsilon(budget.charges(), stand_in.delta, "rdp")
        assert 0.9 * stand_in.epsilon < spent <= stand_in.epsilon * (1 + 1e-9)
        assert budget.spent().epsilon == pytest.approx(spent)

    def test_but_for_its_noisy_sums_rows_decide_nothing(self, stand_in, monkeypatch):
        """With these sums cut off all rows give the same draws; of an own one that is not known.

        The type of draws is the same in any case, whatever that of rows is.
        """
        monkeypatch.setattr(secret, "noisy", lambda sums, *_: torch.zeros_like(sums.double()))
        rows = rows_of(TABLE, 300)
        others = rows_of(TABLE, 211, seed=1)
        others.samples["x"] = others.samples["x"].double() + 1e-9
        draws = []
        for each in (rows, others):
            made = stand_in.make(each, stand_in.charges(1, "rdp"))
            draws.append(made.draw(50, torch.Generator().manual_seed(2)))
        one, two = draws
        assert all(one[key].dtype == two[key].dtype for key in TABLE)
        alike = all(torch.equal(one[key], two[key]) for key in TABLE)
        assert alike != isinstance(stand_in, Own)

    def test_one_that_was_interrupted_has_spent_its_epsilon(self, stand_in, tmp_path, monkeypatch):
        def interrupted(*_):
            raise KeyboardInterrupt

        budget = Budget(tmp_path, stand_in.epsilon, stand_in.delta, "rdp")
        folder = StandInFolder(tmp_path, budget)
        monkeypatch.setattr(type(stand_in), "make", interrupted)
        with pytest.raises(KeyboardInterrupt):
            folder.samples(stand_in, rows_of(TABLE, 50), "settings")
        monkeypatch.undo()
        with pytest.raises(PrivacyError, match="the privacy budget is spent"):
            folder.samples(stand_in, rows_of(TABLE, 50), "settings")
        assert not folder.is_made
