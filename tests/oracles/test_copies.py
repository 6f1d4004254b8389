"""Copies of training rows among samples are counted, and honest coincidences are not blamed."""

import pytest
import torch

from coplay import Variable
from coplay.core.space import LABEL, Space, join, pick
from coplay.core.streams import stream
from coplay.metrics.copies import Copies, Matches, TrainingRows

NUMBERS = Space({"x": Variable(kind="real", shape=(3,)), "income": Variable(kind="real")})
NONE = Matches(0, 0)


def numbers(seed, n):
    x = torch.randn(n, 3, generator=stream(seed, "x"))
    income = 4e4 + 5e3 * torch.randn(n, generator=stream(seed, "income"))
    return NUMBERS.samples(x=x, income=income)


def bits(seed, n, size):
    space = Space({"b": Variable(kind="binary", shape=(size,))})
    drawn = torch.rand(n, size, generator=stream(seed)) < 0.5
    return space, space.samples(b=drawn.to(torch.uint8))


def test_equal_rows_are_counted_and_warned_of():
    held, real = numbers(1, 500), numbers(2, 200)
    samples = join([pick(held, slice(40)), numbers(3, 360)])
    copies = TrainingRows(held, real, NUMBERS).copies_among(samples)
    assert copies.equal == Matches(40, 400)
    assert copies.equal_real == Matches(0, 200)
    assert copies.repeated == Matches(0, 500)
    assert copies.warning == (
        "40 of 400 samples are copies of its training rows (held-out rows: 0 of 200)"
    )


def test_fresh_samples_are_no_copies():
    copies = TrainingRows(numbers(1, 500), numbers(2, 200), NUMBERS).copies_among(numbers(3, 400))
    assert copies.equal.hits == 0
    assert copies.warning == ""


def test_rows_that_differ_by_little_are_all_but_copies():
    held, real = numbers(1, 500), numbers(2, 200)
    near = pick(held, slice(300)).clone()
    near["income"] = near["income"] + 20.0 * torch.randn(300, generator=stream(4))
    copies = TrainingRows(held, real, NUMBERS).copies_among(near)
    assert copies.equal.hits == 0
    assert copies.near == Matches(300, 300)
    assert "300 of 300 samples are all but copies" in copies.warning


def test_a_type_of_64_bits_and_a_negative_zero_hide_no_copy():
    space = Space({"x": Variable(kind="real")})
    held = space.samples(x=torch.tensor([0.1, 0.0, 3.0, 4.0], dtype=torch.float64))
    samples = space.samples(x=torch.tensor([0.1, -0.0, 5.0]))
    copies = TrainingRows(held, held[:0], space).copies_among(samples)
    assert copies.equal == Matches(2, 3)


def test_a_class_beside_a_row_hides_no_copy():
    space = Space({"x": Variable(kind="real"), LABEL: Variable(kind="categorical", classes=2)})
    held = space.samples(x=torch.arange(9.0), **{LABEL: torch.zeros(9, dtype=torch.long)})
    samples = space.samples(x=torch.arange(9.0), **{LABEL: torch.ones(9, dtype=torch.long)})
    training = TrainingRows(held, held[:0], space)
    assert training.copies_among(samples).equal == Matches(9, 9)
    assert training.copies_among(space.only([LABEL]).restrict(samples)) is None


def test_a_few_bits_coincide_honestly_and_many_do_not():
    space, held = bits(1, 400, 4)
    training = TrainingRows(held, bits(2, 200, 4)[1], space)
    honest = training.copies_among(bits(3, 400, 4)[1])
    assert honest.equal.hits > 350
    assert honest.warning == ""
    space, held = bits(1, 400, 40)
    training = TrainingRows(held, bits(2, 200, 40)[1], space)
    assert training.copies_among(bits(3, 400, 40)[1]).warning == ""
    copied = training.copies_among(join([pick(held, slice(100)), bits(3, 300, 40)[1]]))
    assert copied.equal == Matches(100, 400)
    assert copied.warning


def test_whole_numbers_that_repeat_are_no_copies():
    space = Space({"age": Variable(kind="real")})

    def ages(seed, n):
        return space.samples(age=torch.randint(18, 90, (n,), generator=stream(seed)).float())

    copies = TrainingRows(ages(1, 500), ages(2, 30), space).copies_among(ages(3, 400))
    assert copies.equal.hits > 350
    assert copies.warning == ""


def test_rows_that_occur_twice_in_the_data_do_not_hide_a_copier():
    once = numbers(1, 200)
    held = join([once, once])
    copies = TrainingRows(held, numbers(2, 200), NUMBERS).copies_among(pick(once, slice(100)))
    assert copies.repeated == Matches(400, 400)
    assert copies.warning


def test_without_held_out_rows_the_training_rows_say_how_often_rows_coincide():
    space, held = bits(1, 400, 4)
    copies = TrainingRows(held, held[:0], space).copies_among(bits(3, 400, 4)[1])
    assert copies.equal_real == Matches(0, 0)
    assert copies.warning == ""
    real = numbers(1, 300)
    copied = TrainingRows(real, real[:0], NUMBERS).copies_among(pick(real, slice(9)))
    assert "9 of 9 samples are copies" in copied.warning


@pytest.mark.parametrize(("hits", "warns"), [(0, False), (2, False), (3, True)])
def test_single_copies_of_rows_that_never_coincide_are_warned_of(hits, warns):
    equal = Matches(hits, 2000)
    copies = Copies(equal, Matches(0, 50), Matches(0, 500), NONE, NONE, discrete=False)
    assert bool(copies.warning) == warns
