"""The certificate of a run: which shares chance allows, how near play is to rest, the Nash gap."""

import re

import numpy as np
import pytest
import torch

from coplay import Config, Federation
from coplay.games.sample_exchange import SampleExchange
from coplay.metrics.base import Value
from coplay.metrics.class_shares import corrected
from coplay.report import share_bars
from coplay.report.chance import tables
from coplay.report.measured import shares
from coplay.report.share_bars import SharesPanel
from coplay.run.certificate import Certificate, certificate, corrected_variance
from coplay.run.shares_played import weights_played
from coplay.theory import bands
from coplay.theory.equilibrium import influence_matrix
from coplay.theory.weights import by_edges

FOUR = """\
players = 4
[data]
source = { name = "digits" }
variables = ["class"]
[data.partition]
name = "dirichlet"
concentration = 1.0
[model]
name = "exponential_family"
[game]
name = "sample_exchange"
own_weight = 0.3
rounds = 12
warmup_rounds = 2
local_steps = 1
samples_per_round = 400
[measure]
metrics = ["class_shares"]
every_rounds = 12
nash_gap_steps = 1
"""


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return Federation(Config.from_toml(FOUR)).run(tmp_path_factory.mktemp("band") / "run")


def test_the_band_is_of_the_draws_that_are_learned_from_and_of_those_that_are_counted(result):
    proof = certificate(result)
    assert isinstance(proof, Certificate)
    counts = torch.tensor(list(result.record.data.counts.values()), dtype=torch.float64)
    data = counts / counts.sum(1, keepdim=True)
    alpha = torch.full((4, 4), 0.7 / 3, dtype=torch.float64).fill_diagonal_(0.3)
    influence = influence_matrix(alpha)
    predicted = influence @ data
    variance = bands.share_deviations(alpha, data, 400).square()
    variance = variance + predicted * (1 - predicted) / 2000
    # 11 rounds with others, of which the first two of the warm-up admit a third and two thirds
    made_of = torch.eye(4, dtype=torch.float64)
    for admitted in [1 / 3, 2 / 3, *[1.0] * 9]:
        others = admitted * (alpha - torch.diag(alpha.diag()))
        own = torch.diag(1 - others.sum(1))
        made_of = others @ made_of + own
    assert proof.rounds == 11
    left = 0.5 * (made_of - influence).abs().sum(1).max().item()
    assert proof.left == pytest.approx(left, abs=1e-12)
    expected = 1.96 * variance.sqrt() + ((made_of - influence) @ data).abs()
    for i, name in enumerate(result.players):
        assert proof.widths[name] == pytest.approx(expected[i].tolist(), rel=1e-4)


def test_far_from_rest_the_band_has_what_is_left_of_the_way(tmp_path):
    """After one round with others, what models are made of is far from the equilibrium."""
    text = FOUR.replace("rounds = 12\nwarmup_rounds = 2", "rounds = 2")
    text = text.replace("every_rounds = 12\nnash_gap_steps = 1", "every_rounds = 2")
    result = Federation(Config.from_toml(text)).run(tmp_path / "run")
    counts = torch.tensor(list(result.record.data.counts.values()), dtype=torch.float64)
    data = counts / counts.sum(1, keepdim=True)
    alpha = torch.full((4, 4), 0.7 / 3, dtype=torch.float64).fill_diagonal_(0.3)
    influence = influence_matrix(alpha)
    predicted = influence @ data
    variance = bands.share_deviations(alpha, data, 400).square()
    variance = variance + predicted * (1 - predicted) / 2000
    left = ((alpha - influence) @ data).abs()  # that one round makes models of α's mixture
    assert left.max() > 0.02
    proof = certificate(result)
    for i, name in enumerate(result.players):
        expected = 1.96 * variance[i].sqrt() + left[i]
        assert proof.widths[name] == pytest.approx(expected.tolist(), rel=1e-4)


def test_shares_of_models_without_a_bias_are_inside_and_biased_ones_are_not(result):
    proof = certificate(result)
    predicted = result.predicted(result.main.name)
    inside = []
    for name in result.players:
        measured = result.main.last[name]["class_shares"].value
        inside += proof.inside(name, measured, predicted[name])
        moved = [share + 0.08 for share in measured]
        assert not any(proof.inside(name, moved, predicted[name]))
    assert sum(inside) >= 35, "of 40; 38 on average"


def test_the_band_is_drawn_around_the_prediction():
    panel = SharesPanel("north", [0.5, 0.5], None, [0.3, 0.05], None, width=[0.1, 0.2])
    bars = share_bars.share_bars([panel], "held", ["0", "1"]).panels[0].bars
    (banded,) = [each for each in bars if each.spread]
    assert banded.heights == [0.3, 0.05]
    assert banded.spread == [0.1, 0.2]


def test_the_page_says_so(result):
    section = shares(result)
    line = next(text for text in section.text if text.startswith("Certificate"))
    assert re.search(r"after 11 rounds with everybody's samples, at most \d\.\d\d%", line)
    assert "a bound" in line
    assert "a lower bound" in line
    assert "the Nash gap of 4 players is at least" in line
    assert section.data["certificate"]["rounds"] == 11
    (table,) = tables(result, certificate(result), result.players)
    assert [row[0] for row in table.rows] == result.players
    for row in table.rows:
        inside, of = map(int, row[1].split(" of "))
        assert of == 10
        assert (row[2] == "none") == (inside == 10)


def test_samples_that_are_used_again_teach_what_they_taught():
    game = SampleExchange(own_weight=0.5, rounds=9, own_rounds=2, fresh_every_rounds=3)
    alpha = by_edges(game.weights(["a", "b"]))
    # drawn after rounds 2, 5 and 8, so learned from anew in rounds 3, 6 and 9
    assert [len(weights_played(game, alpha, last)) for last in (2, 3, 5, 6, 9)] == [0, 1, 1, 2, 3]


def test_the_gap_is_the_sum_with_the_interval_of_a_sum():
    gap = Value(0.5, "nats", "lower", 10, low=0.1, high=0.9)
    proof = Certificate(3, 0.25, {"a": [0.01, 0.04]}, gap, 2)
    assert proof.sentence() == (
        "Certificate: after 3 rounds with everybody's samples, at most 25.00% of what a model is "
        "made of differs from the equilibrium (a bound, for models that learn all of a round); "
        "chance moves measured shares by up to ±0.040 (95 %); the Nash gap of 2 players is at "
        "least 0.5 nats (95 %: 0.1 to 0.9), a lower bound: what some steps of learning alone "
        "gained."
    )


def test_a_share_that_is_corrected_for_confusions_varies_as_simulated():
    rng = np.random.default_rng(1)
    share = np.array([0.6, 0.3, 0.1])
    confusion = np.array([[0.9, 0.08, 0.02], [0.1, 0.85, 0.05], [0.05, 0.15, 0.8]])
    tests, n = 150, 2000
    drawn = []
    for _ in range(3000):
        seen_as = np.array([rng.multinomial(tests, row) for row in confusion]) / tests
        raw = rng.multinomial(n, share @ confusion) / n
        drawn.append(corrected(torch.from_numpy(raw), torch.from_numpy(seen_as)).numpy())
    variance = corrected_variance(torch.tensor(share), torch.tensor(confusion), n, tests)
    assert np.std(drawn, axis=0) == pytest.approx(variance.sqrt().numpy(), rel=0.06)


@pytest.mark.parametrize(
    ("game", "reason"),
    [
        ('name = "isolated"', "its theory is of rounds of sample_exchange"),
        ('name = "sample_exchange"\noriginals = true', "not worked out for play with originals"),
    ],
)
def test_where_there_is_no_certificate_the_page_says_why(tmp_path, game, reason):
    text = f"{FOUR.split('[game]')[0]}[game]\n{game}\nrounds = 3\n[measure]\nmetrics = []\n"
    result = Federation(Config.from_toml(text)).run(tmp_path / "run")
    assert reason in certificate(result)
