"""What a run writes down of itself: every record comes back from its JSON as it was."""

import json

import pytest
import torch

from coplay import Value, Variable
from coplay.core.message import PlayerLost
from coplay.core.space import Space
from coplay.core.streams import stream
from coplay.games.sample_exchange import SampleExchange
from coplay.nets.sizes import NetworkSize
from coplay.run.record import ClassifierRecord, DataRecord, GameRecord, RunRecord
from coplay.run.round_record import RoundRecord
from coplay.run.sparse_matrix import SparseMatrix
from coplay.theory.equilibrium import influence_matrix


def even_weights(n, own):
    alpha = torch.full((n, n), (1 - own) / (n - 1), dtype=torch.float64)
    return alpha.fill_diagonal_(own)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_a_sparse_matrix_is_the_dense_one_to_twelve_decimals(n):
    dense = torch.rand(n, n, generator=stream(1), dtype=torch.float64)
    matrix = SparseMatrix.of(dense)
    assert torch.allclose(matrix.dense(), dense, rtol=0, atol=1e-12)
    for place in range(n):
        assert matrix.row(place) == matrix.dense()[place].tolist()
    assert matrix.corner(3) == matrix.dense()[:3, :3].tolist()
    assert SparseMatrix.from_json(json.loads(json.dumps(matrix.json()))) == matrix
    assert SparseMatrix.from_json(dense.tolist()) == matrix


def test_influence_of_many_players_takes_one_entry_each():
    matrix = SparseMatrix.of(influence_matrix(even_weights(200, 0.3)))
    assert len(matrix.values) == 200
    assert len(json.dumps(matrix.json())) < 10_000


def test_what_does_not_compress_is_left_to_the_weights():
    """A thousand players with ten neighbours each: M has a million entries, α eleven thousand."""
    game = SampleExchange(own_weight=0.3, topology="random_regular", neighbours=10)
    names = [f"p{i}" for i in range(1000)]
    influence = game.predict(names, 1)
    assert SparseMatrix.if_small(influence) is None
    record = GameRecord(SparseMatrix.of(game.weights(names, 1)), SparseMatrix.if_small(influence))
    again = GameRecord.from_json(json.loads(json.dumps(record.json())))
    assert len(again.weights.values) == 11_000
    corner = torch.tensor(again.influence_corner(12), dtype=torch.float64)
    assert torch.allclose(corner, influence[:12, :12], atol=1e-9)
    small = GameRecord(None, SparseMatrix.if_small(influence_matrix(even_weights(5, 0.3))))
    assert torch.allclose(
        torch.tensor(small.influence_corner(3), dtype=torch.float64),
        small.influence.dense()[:3, :3],
    )
    assert GameRecord().influence_corner(3) is None


def test_a_round_comes_back_from_its_json():
    record = RoundRecord(
        round=3,
        players={"north": {"loss": 0.5}},
        own={"swaps": 2, "stacked": ["north"]},
        measured={"north": {"fid": Value(1.0, "nats", "lower", 10, 20, 0.5, 1.5)}},
        predicted={"north": [0.25, 0.75]},
        bytes=7,
        seconds={"learning": 1.5},
        lost={"south": PlayerLost("south", "turn", 3, "broke")},
        late={"east": PlayerLost("east", "turn", 3, "slow")},
        frozen=[],
        joined=("west",),
        left={"south": 12},
        influence=SparseMatrix.of(torch.eye(2)),
    )
    again = RoundRecord.from_json(json.loads(json.dumps(record.json())))
    assert again == record
    bare = RoundRecord(round=1)
    assert RoundRecord.from_json(json.loads(json.dumps(bare.json()))) == bare


def test_a_run_comes_back_from_its_json():
    space = Space(
        {
            "x": Variable(kind="real", shape=(2,), low=0.0),
            "class": Variable(kind="categorical", classes=2),
        }
    )
    data = DataRecord("toy", 10, 5, space, {"north": ["x"]}, {"north": 10}, {"north": [4, 6]})
    games = {
        "md_gan": GameRecord(network_sizes={"generator": NetworkSize(5, 2, 8)}),
        "sample_exchange": GameRecord(
            SparseMatrix.of(torch.eye(1)), SparseMatrix.of(torch.eye(1)), {"north": [0.4, 0.6]}
        ),
    }
    record = RunRecord(
        "failed",
        {"seed": 4, "title": "t"},
        {"python": "3"},
        data,
        ["note"],
        "",
        games,
        ClassifierRecord(0.9, 5),
        "broke",
    )
    again = RunRecord.from_json(json.loads(json.dumps(record.json())))
    assert again == record
    assert (again.seed, again.title) == (4, "t")
