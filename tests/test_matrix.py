"""Everything with everything: it plays, or it is refused with a reason before anybody learns.

The cells are kept in docs/combinations.json; ``python -m tests.matrix`` plays and writes them.
"""

import pytest
import torch

from coplay import Variable
from coplay.core.errors import ModelError
from coplay.models.exponential_family import ExponentialFamily

from . import matrix
from .matrix import Outcome, Search, Sources, factors, inside, kept, key, played
from .matrix_page import page
from .pairwise import covering, pairs_in, pairs_of

CELLS = {key(cell): (cell, outcome) for cell, outcome in kept()}
CELL = {
    "model": "exponential_family",
    "game": "isolated",
    "source": "idx",
    "sites": "site files",
    "learns": matrix.ALL,
}


@pytest.fixture(scope="module")
def sources():
    return Sources()


@pytest.mark.slow
@pytest.mark.parametrize("name", CELLS)
def test_it_plays_or_is_refused_before_anybody_learns(name, sources):
    cell, expected = CELLS[name]
    outcome = played(cell, sources)
    assert outcome.defects == ()
    assert outcome.reason == expected.reason


@pytest.mark.slow
def test_each_game_with_other_engines(sources):
    """Ray's processes are real; Flower's sites have folders of their own."""
    pytest.importorskip("ray")
    done = [
        {"engine": engine, **cell, "reason": outcome.reason, "defects": outcome.defects}
        for engine, cell, outcome in matrix.on_other_engines(kept(), sources)
    ]
    assert done == [each | {"defects": ()} for each in matrix.kept_engines()]


# ------------------------------------------------------------ the table has everything, and is new


def test_every_pair_of_what_there_is_was_played():
    held = set()
    for cell, _ in CELLS.values():
        held |= set(pairs_in(cell))
    assert held == set(pairs_of(factors())), "something is new: python -m tests.matrix"


def test_the_page_says_what_is_kept():
    assert page(factors(), kept(), matrix.kept_engines()) == matrix.PAGE.read_text()


def test_reasons_say_more_than_a_word_and_no_path_of_a_machine():
    for name, (_, outcome) in CELLS.items():
        if outcome.reason:
            assert len(outcome.reason.split()) > 8, name
        assert "/tmp" not in outcome.reason, name


def test_a_pair_that_plays_nowhere_was_tried_beside_what_plays():
    """Its reason is then its own: but for the pair, the cell has been shown to play."""
    proven = matrix.playing_pairs(CELLS.values())
    alone = 0
    missing = [pair for pair in pairs_of(factors()) if pair not in proven]
    for pair in missing:
        cells = [cell for cell, _ in CELLS.values() if pair in pairs_in(cell)]
        unproven = [[each for each in pairs_in(cell) if each not in proven] for cell in cells]
        alone += min(map(len, unproven)) == 1
    assert alone >= 0.6 * len(missing)


# ------------------------------------------------------------------------------ the test's tools


def test_a_covering_holds_every_pair_and_is_no_larger_than_twice_the_least():
    for sizes in ([2, 2, 2], [4, 3, 2, 2], [11, 9, 8, 11, 3]):
        values = {f"f{i}": [str(j) for j in range(n)] for i, n in enumerate(sizes)}
        cells = covering(values)
        held = set()
        for cell in cells:
            held |= set(pairs_in(cell))
        assert held == set(pairs_of(values))
        largest = sorted(sizes)[-2:]
        assert len(cells) <= 2 * largest[0] * largest[1]


def test_a_search_ends_with_each_pair_that_can_play():
    """Of rules that are known: a1 plays with b1 alone, and everything else plays."""

    def play(cell):
        fits = cell["a"] != "a1" or cell["b"] == "b1"
        return Outcome("" if fits else "a1 needs b1")

    values = {name: [f"{name}{i}" for i in (1, 2, 3)] for name in "abcd"}
    search = Search(play, values)
    search.all()
    assert search.unproven() == [(("a", "a1"), ("b", "b2")), (("a", "a1"), ("b", "b3"))]


def test_a_cell_that_plays_has_no_defect(sources):
    assert played(CELL, sources) == Outcome("")


def test_learning_before_a_refusal_is_a_defect(sources, monkeypatch):
    def learn(self, mixture, steps, generator):
        raise ModelError("expected other rows")

    monkeypatch.setattr(ExponentialFamily, "learn", learn)
    outcome = played(CELL, sources)
    assert "after players were asked to" in outcome.defects[0]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_a_defect(value, sources, monkeypatch):
    original = ExponentialFamily.learn

    def learn(self, mixture, steps, generator):
        return {**original(self, mixture, steps, generator), "loss": value}

    monkeypatch.setattr(ExponentialFamily, "learn", learn)
    pool = CELL | {"sites": "dealt iid"}
    assert played(pool, sources).defects


def test_an_error_of_another_kind_is_a_defect(sources, monkeypatch):
    monkeypatch.setattr("coplay.run.preparing.check_stopping", lambda game: 1 / 0)
    assert played(CELL, sources).defects == ("ZeroDivisionError: division by zero",)


def test_a_budget_that_was_spent_before_a_refusal_is_a_defect(sources, monkeypatch):
    cell = CELL | {"sites": matrix.PROMISE + "noisy_moments"}
    assert played(cell, sources) == Outcome("")

    def learn(self, mixture, steps, generator):
        raise ModelError("expected other rows")

    monkeypatch.setattr(ExponentialFamily, "learn", learn)
    assert "refused after a budget was spent" in played(cell, sources).defects


def test_what_lies_in_a_space_is_known_by_hand():
    number = Variable(kind="real", low=0, high=1)
    assert inside(number, torch.tensor([0.0, 1.0]))
    for odd in (1.5, -0.1, float("nan")):
        assert not inside(number, torch.tensor([0.5, odd]))
    assert not inside(Variable(kind="categorical", classes=2), torch.tensor([0, 2]))
    assert not inside(Variable(kind="binary"), torch.tensor([0, 2], dtype=torch.uint8))
    assert not inside(Variable(kind="count"), torch.tensor([-1]))


# --------------------------------------------------------------------- what the matrix brought up


def test_md_gan_plays_where_sites_tell_no_losses(sources):
    """The coordinator expected losses that a site with a file keeps to itself."""
    cell = CELL | {"model": "acgan", "game": "md_gan"}
    assert played(cell, sources) == Outcome("")


def test_fl_gan_without_an_average_is_noted_where_it_is_carried_along(sources):
    """A short trial of another game goes on, and says that this one will have nothing."""
    cell = CELL | {"model": "acgan", "game": "isolated"}
    notes = []

    def beside(values, given, folder):
        short = {"name": "fl_gan", "average_every_epochs": 9.0}
        result = matrix.play_here(values | {"compare": [short]}, given, folder)
        notes.extend(result.record.notes)
        return result

    assert played(cell, sources, beside) == Outcome("")
    assert any("compare: average_every_epochs of fl_gan" in note for note in notes)


def test_fl_gan_without_an_average_is_refused(sources):
    """It ended with a server that had learned nothing, and with no score and no reason."""
    cell = CELL | {"model": "acgan", "game": "fl_gan"}

    def rarely(values, given, folder):
        game = values["game"] | {"average_every_epochs": 1.0}
        return matrix.play_here(values | {"game": game}, given, folder)

    reason = played(cell, sources, rarely).reason
    assert "averages for the first time after 5 steps, and the game has 1 " in reason
    # what the message advises is enough
    advised = float(reason.split("average_every_epochs = ")[1].split()[0])

    def as_advised(values, given, folder):
        game = values["game"] | {"average_every_epochs": advised}
        return matrix.play_here(values | {"game": game}, given, folder)

    assert played(cell, sources, as_advised) == Outcome("")
