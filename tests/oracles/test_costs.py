"""Costs of MD-GAN and FL-GAN.

The paper's formulas agree with the ledgers of real runs to the byte.
"""

import json
import textwrap

import pytest

from coplay.core import storage
from coplay.report import formulas
from coplay.report.link_costs import costs_of
from coplay.run.config import Config
from coplay.run.federation import Federation
from coplay.run.result import Result
from coplay.theory import gan_costs as costs

B, D, LATENT, WORKERS, SAMPLES = 4, 64, 5, 3, 433  # 1,300 digits over three workers: 434, 433, 433
LAYERS_D, LAYERS_G = [(64, 512), (512, 512), (512, 11)], [(LATENT, 512), (512, 512), (512, 64)]
THETA = sum(i * o + o for i, o in LAYERS_D)
W = sum(i * o + o for i, o in LAYERS_G) + 2 * 10 * LATENT  # and two vectors per class


def play(
    folder,
    game="md_gan",
    iterations=6,
    variables=("image", "class"),
    model=None,
    compare=(),
    **settings,
):
    every = "average_every_epochs" if game == "fl_gan" else "swap_every_epochs"
    values = {
        "players": WORKERS,
        "data": {"source": {"name": "digits", "grey": True}, "variables": list(variables)},
        "model": {"name": "acgan", "batch": B, "latent": LATENT} | (model or {}),
        # m E / b = 433 · 0.02 / 4, rounded: 2 iterations
        "game": {"name": game, "rounds": 2, "local_steps": iterations // 2, every: 0.02} | settings,
        "compare": list(compare),
        "measure": {"metrics": [], "samples": 100},
        "checkpoint": {"every_rounds": 2},
    }
    return Federation(Config.from_dict(values)).run(folder)


def sent(result, purpose, game=None):
    play = result.plays[game or result.main.name]
    return sum(link.bytes for link in play.traffic if link.purpose == purpose)


def only(result):
    (costs,) = costs_of(result)
    return costs


def test_break_even_of_the_papers_perceptrons():
    assert [round(b) for b in costs.break_even_batch(costs.MLP_MNIST)] == [884, 1769]
    # at that batch both bring a worker the same, by the paper's Table III
    worker, server = costs.break_even_batch(costs.MLP_MNIST)
    assert 2 * worker * 784 == server * 784 == 716_560 + 670_219


@pytest.mark.parametrize(("batches", "sends"), [(1, 1), (2, 2), ("log", 2), (3, 2)])
def test_md_gan_sends_what_the_formulas_say(tmp_path, batches, sends):
    result = play(tmp_path / "run", batches=batches)
    assert sent(result, "exchange/generated") == WORKERS * 6 * sends * B * (4 * D + 8)
    assert sent(result, "exchange/feedback") == WORKERS * 6 * B * D * 4
    assert sent(result, "exchange/swap") == WORKERS * 3 * THETA * 4
    costs = only(result)
    assert [(link.link.times, link.times) for link in costs.links] == [(18, 18), (18, 18), (9, 9)]
    assert [link.left for link in costs.links] == [0, 0, 0]
    assert costs.links[0].classes == WORKERS * 6 * sends * B * 8
    assert (costs.setting.pair.generator, costs.setting.pair.discriminator) == (W, THETA)


def test_without_classes_nothing_goes_beside(tmp_path):
    result = play(tmp_path / "run", variables=["image"], swap_every_epochs=0)
    assert sent(result, "exchange/generated") == WORKERS * 6 * 2 * B * D * 4
    assert [(link.bytes, link.classes, link.left) for link in only(result).links][2] == (0, 0, 0)


def test_fl_gan_sends_the_pair_down_before_and_up_after_every_period(tmp_path):
    # 4 steps: one whole period of two
    result = play(tmp_path / "run", "fl_gan", iterations=6, average_every_epochs=0.04)
    down, up = only(result).links
    assert (down.bytes, up.bytes) == (2 * WORKERS * 4 * (THETA + W), WORKERS * 4 * (THETA + W))
    assert (down.left, up.left) == (0, 0)
    assert down.bytes + up.bytes == sent(result, "exchange/average")


def test_operations_are_those_of_the_networks_products(tmp_path):
    result = play(
        tmp_path / "run", batches=2, compare=[{"name": "fl_gan", "average_every_epochs": 0.02}]
    )
    md, fl = costs_of(result)
    d, g = (sum(i * o for i, o in layers) for layers in (LAYERS_D, LAYERS_G))
    # images ask for no gradient while a discriminator learns
    first = LAYERS_D[0][0] * LAYERS_D[0][1]
    # real and generated forwards and back, then feedback
    judge = 2 * (2 * B) * (3 * d - first) + 2 * B * 2 * d
    assert md.work["a worker"] == judge
    assert md.work["server"] == 2 * (2 * B) * 3 * g
    # generated once to judge, once to learn from
    assert fl.work["a worker"] == judge + 2 * B * g + 2 * B * 3 * g
    assert "server" not in fl.work


def test_workers_that_come_and_go_as_configured_are_counted(tmp_path):
    result = play(
        tmp_path / "run", iterations=8, leaves={"player0": 4}, joins={"player2": 6}, batches=2
    )
    # of iterations 1 to 8; a single one gets k = 1 and does not swap
    living = [2] * 3 + [1, 1] + [2] * 3
    costs = only(result)
    assert costs.exact
    assert [link.left for link in costs.links] == [0, 0, 0]
    assert costs.links[1].times == sum(living)
    assert costs.links[0].bytes == sum(n * min(n, 2) * B * (4 * D + 8) for n in living)
    # swaps after 2, 6 and 8, and the copy for the one that joins
    assert costs.links[2].times == 2 + 1 + 2 + 2


def test_workers_that_leave_one_by_one_are_counted(tmp_path):
    # before iterations 2, 4 and 6
    costs = only(play(tmp_path / "run", iterations=6, leave_evenly=True))
    assert costs.exact
    assert [link.times for link in costs.links] == [3 + 2 + 2 + 1 + 1, 3 + 2 + 2 + 1 + 1, 2]
    assert [link.left for link in costs.links] == [0, 0, 0]


def test_a_real_loss_leaves_the_formulas_a_bound(tmp_path, monkeypatch):
    from coplay.models.acgan import Acgan

    calls = iter(range(1000))
    feedback = Acgan.feedback
    monkeypatch.setattr(Acgan, "feedback", lambda *a: feedback(*a) if next(calls) != 7 else 1 / 0)
    result = play(tmp_path / "run", side_by_side="loop", on_lost="continue")
    costs = only(result)
    assert not costs.exact
    assert costs.links[1].left < 0
    assert any("only bound it" in line for line in formulas.sentences(result))


def test_a_run_without_sizes_of_networks_says_so(tmp_path):
    result = play(tmp_path / "run")
    assert formulas.section(result).tables
    path = tmp_path / "run" / "run.json"
    record = json.loads(path.read_text())
    del record["games"]["md_gan"]["network_sizes"]
    storage.write_sealed(path, record)
    old = Result.load(tmp_path / "run")
    section = formulas.section(old)
    assert section.text == [
        "MD-GAN cannot be compared with the paper's formulas: sizes of networks are not on record."
    ]
    assert (section.tables, costs_of(old), formulas.sentences(old)) == ((), [], [])


def test_what_travels_beside_parameters_is_counted_apart(tmp_path, monkeypatch):
    (tmp_path / "normed.py").write_text(
        textwrap.dedent(
            """
            from torch import nn

            def judge(classes, shape):
                body = nn.Sequential(nn.Flatten(-2), nn.Linear(64, 8), nn.BatchNorm1d(8))
                return body.append(nn.Linear(8, 1 + classes))
            """
        )
    )
    monkeypatch.syspath_prepend(tmp_path)
    model = {"discriminator": "normed:judge"}
    theta = 64 * 8 + 8 + 2 * 8 + 8 * 11 + 11
    tensors = 6
    buffers = (8 + 8) * 4 + 8
    costs = only(play(tmp_path / "keep", model=model)).links[2]
    assert (costs.link.bytes, costs.others, costs.left) == (9 * theta * 4, 9 * buffers, 0)
    costs = only(play(tmp_path / "travel", model=model, optimiser_on_swap="travel")).links[2]
    assert (costs.others, costs.left) == (9 * (buffers + 2 * theta * 4 + tensors * 4), 0)
    averaged = play(tmp_path / "averaged", "fl_gan", model=model)
    assert [link.left for link in only(averaged).links] == [0, 0]
    assert only(averaged).links[0].others > 0
    bare = play(tmp_path / "bare", "fl_gan", model=model, average_buffers=False)
    assert [(link.others, link.left) for link in only(bare).links] == [(0, 0), (0, 0)]
