"""What a run left on disk, read back: the one mean over players, the classifier, old folders."""

import json

import pytest
import torch

from coplay.core import storage
from coplay.metrics.base import Value
from coplay.report.headline import headline
from coplay.report.page import write as write_page
from coplay.run.config import Config
from coplay.run.federation import Federation
from coplay.run.play import Mean
from coplay.run.result import Result

from .by_hand import write_rows, write_run

PLAYERS = ["north", "south", "east"]
GAME = "sample_exchange"


def row(round, fids, **more):
    """A line of ``rows.jsonl`` that measured the FID of some players."""
    measured = {}
    for name, value in fids.items():
        measured[name] = {"fid": Value(value, "", "lower", 100, 497).json()}
    return {"round": round, "players": {}, "measured": measured, "seconds": {}, **more}


def lost(name):
    return {name: {"action": "turn", "reason": "out of memory"}}


@pytest.fixture
def written(tmp_path, small_config):
    """Writes the records of a run that was never played; returns its result."""

    def build(*rows, **sections):
        players = {name: {} for name in PLAYERS}
        config = small_config(**{"players": players, "data": {}, **sections}).to_dict()
        game = config["game"]["name"]
        space = {"x": {"kind": "real"}}
        record = {
            "status": "finished",
            "config": config,
            "versions": {},
            "data": {"name": "digits", "train": 9, "test": 9, "space": space, "counts": {}},
            "notes": [],
            "games": {game: {}},
        }
        folder = tmp_path / "run"
        write_run(folder, record)
        write_rows(folder / game, rows)
        return Result.load(folder)

    return build


# --------------------------------------------------------------------- the mean over players


def test_the_mean_is_over_all_players_with_the_quantity(written):
    result = written(row(1, {"north": 4.0, "south": 2.0, "east": 9.0}))
    assert result.mean(GAME, "fid") == Mean(5.0, 2.0, PLAYERS)


def test_a_player_without_the_quantity_is_not_among_them(written):
    result = written(row(1, {"north": 4.0, "east": 9.0}))
    assert result.mean(GAME, "fid") == Mean(6.5, 4.0, ["north", "east"])


def test_there_is_no_mean_over_survivors(written):
    first = row(1, {"north": 4.0, "south": 2.0, "east": 9.0})
    second = row(2, {"north": 4.0, "east": 9.0}, lost=lost("south"))
    result = written(first, second)
    assert result.mean(GAME, "fid") is None
    assert result.mean(GAME, "fid", 2) is None
    assert result.mean(GAME, "fid", 1) == Mean(5.0, 2.0, PLAYERS)


def test_a_loss_after_the_last_measurement_leaves_its_mean(written):
    first = row(1, {"north": 4.0, "south": 2.0, "east": 9.0})
    second = {"round": 2, "players": {}, "seconds": {}, "lost": lost("south")}
    assert written(first, second).mean(GAME, "fid") == Mean(5.0, 2.0, PLAYERS)


def test_what_was_not_measured_has_no_mean(written):
    result = written(row(1, {"north": 4.0}))
    assert result.mean(GAME, "kid") is None


def test_a_run_that_measured_nothing_has_no_mean(written):
    assert written().mean(GAME, "fid") is None


def test_a_lost_worker_leaves_the_mean_of_a_measured_server(written):
    game = {"name": "md_gan", "rounds": 1}
    result = written(row(1, {"server": 4.0}, lost=lost("south")), game=game, model="acgan")
    assert result.sampled_from == {"md_gan": ["server"]}
    assert result.mean("md_gan", "fid") == Mean(4.0, 4.0, ["server"])


# ------------------------------------------------------------------- the page's table of scores


def cells(result):
    """The cells of the page's table of scores, row by row, without the two columns of labels."""
    (table,) = headline(result).tables
    return [list(row[2:]) for row in table.rows]


def test_the_page_writes_intervals_and_says_what_they_are(written):
    line = row(1, {"north": 33.6, "south": 40.0, "east": 50.0})
    line["measured"]["north"]["fid"] |= {"low": 31.9, "high": 35.4}
    result = written(line)
    assert cells(result) == [[("33.6", "[31.9, 35.4]")], ["40.0"], ["50.0"], ["41.2"]]
    assert "In brackets: 95 % intervals." in headline(result).tables[0].caption


def test_the_page_says_of_how_many_a_mean_is(written):
    result = written(row(1, {"north": 4.0, "east": 9.0}))
    assert cells(result) == [["4.00"], ["–"], ["9.00"], [("6.50", "of 2")]]


def test_the_page_says_why_there_is_no_mean(written):
    result = written(row(1, {"north": 4.0, "east": 9.0}, lost=lost("south")))
    assert cells(result)[-1] == ["–"]
    sentences = [text for text in headline(result).text if "no means" in text]
    assert sentences == [
        "There are no means of sample exchange, which lost south (round 1): a mean over the "
        "survivors would compare unlike things."
    ]


# --------------------------------------------------------------------- what else a result tells


def test_parties_are_seats_then_players(written):
    result = written(row(1, {"server": 4.0}), game={"name": "md_gan", "rounds": 1}, model="acgan")
    assert result.parties == ["server", *PLAYERS]


def test_models_are_called_as_the_config_calls_them(written):
    own = {"model": "sklearn.mixture:GaussianMixture"}
    result = written(players={"north": {}, "south": own})
    assert result.model_name("north") == "exponential_family"
    assert result.model_name("south") == "GaussianMixture"


def test_half_a_line_of_a_killed_run_is_left_out(written):
    result = written(row(1, {"north": 4.0}))
    with (result.main.folder / "rows.jsonl").open("a") as file:
        file.write('{"round": 2, "play')
    assert [record.round for record in result.main.rows] == [1]


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A run of two quick players that was measured."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("played") / "run"
    config = {
        "players": {"north": {}, "south": {}},
        "model": "exponential_family",
        "game": {"name": GAME, "rounds": 1, "samples_per_round": 50},
        "measure": {"samples": 100, "shown": 4},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("coplay.metrics.features._STEPS", (100, 100))  # it need not judge well here
        Federation(Config.from_dict(config)).run(folder)
    yield Result.load(folder)
    torch.set_num_threads(threads)


def test_the_classifier_is_the_one_that_measured(played):
    classifier = played.classifier()
    state = storage.load_tensors(played.folder / "classifier.safetensors")
    assert classifier is not None
    assert classifier.accuracy == pytest.approx(played.record.classifier.accuracy)
    assert classifier.n_test == played.record.classifier.n_test
    loaded = classifier.state_dict()
    assert loaded.keys() == state.keys()
    for name, tensor in state.items():
        assert torch.equal(loaded[name], tensor), name


def test_a_run_without_scores_has_no_classifier(written):
    assert written().classifier() is None


def test_a_folder_of_an_older_run_is_read(played, tmp_path):
    """Older runs wrote the whole influence matrix, and no sizes, bytes or samples by round."""
    folder = tmp_path / "old"
    record = json.loads((played.folder / "run.json").read_text())
    matrix = played.record.games[GAME].influence
    record["games"][GAME]["influence"] = matrix.dense().tolist()
    del record["data"]["sizes"]
    del record["unmeasured"]
    write_run(folder, record)
    rows = []
    for line in (played.folder / GAME / "rows.jsonl").read_text().splitlines():
        values = json.loads(line)
        for key in ("bytes", "shown", "seal"):
            del values[key]
        rows.append(values)
    write_rows(folder / GAME, rows)

    old = Result.load(folder)
    assert old.record.games[GAME].influence == matrix
    assert old.sample_count("north") is None
    assert old.classes_of("north") == played.classes_of("north")
    assert [row.bytes for row in old.main.rows] == [None]
    assert old.main.last == played.main.last
    assert old.mean(GAME, "fid") == played.mean(GAME, "fid")
    text = write_page(old).read_text()
    assert "not recorded" in text
