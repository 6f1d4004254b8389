"""Comparisons: arms and numbers of written records, sweeps of real runs, and their files."""

import csv
import json
import math
import re
import statistics
from dataclasses import replace

import pytest
import torch

from coplay.cli import main as cli
from coplay.cli.tables import print_comparison
from coplay.comparison.arms import Comparison
from coplay.comparison.caveats import caveats
from coplay.comparison.page import write
from coplay.comparison.sweep import Sweep
from coplay.comparison.tables import cost_tables, score_table
from coplay.core.errors import ConfigError, CoplayError, RunFolderError
from coplay.core.message import LinkTraffic
from coplay.metrics.base import Value
from coplay.report.tensorboard import write_events
from coplay.run.config import Config
from coplay.run.federation import Federation
from coplay.run.play import Play
from coplay.run.result import Result

from .by_hand import write_checkpoint, write_rows, write_run

MEASURED = ("fid", "lower"), ("domain_score", "higher")
SMALL = """
title = "Small"
players = 2
model = "exponential_family"
[game]
name = "sample_exchange"
rounds = 3
samples_per_round = 50
[measure]
metrics = []
samples = 100
every_rounds = 1
shown = 9
[checkpoint]
every_rounds = 1
"""


def values_of(value, n):
    """Return what one player's values look like in a row: ``value`` and the numbers after it."""
    values = {}
    for i, (quantity, better) in enumerate(MEASURED):
        values[quantity] = {
            "value": value + i,
            "unit": "u",
            "better": better,
            "n": n,
            "n_real": 497,
            "low": value - 1,
        }
    return values


@pytest.fixture
def record(tmp_path, small_config):
    """Writes the record of a run that was never played; returns its folder."""

    def build(
        name,
        scores,
        *,
        seed=1,
        n=100,
        games=("sample_exchange",),
        status="finished",
        changes=None,
        **sections,
    ):
        config = small_config(seed=seed, compare=list(games[1:]), **sections).to_dict()
        folder = tmp_path / name
        test = {
            "name": "digits",
            "train": 1300,
            "test": 497,
            "space": {"x": {"kind": "real"}},
            "counts": {},
        }
        classifier = {"accuracy": 0.9 + seed / 100, "n_test": 497}
        versions = {"python": "3.11", "machine": "x86_64", "coplay": "0.1.0"}
        contents = {
            "status": status,
            "config": config,
            "versions": versions,
            "data": test,
            "notes": [],
            "classifier": classifier,
        }
        contents |= {"games": {game: {} for game in games}} | (changes or {})
        for game in games:
            rows = []
            for round, by_player in enumerate(scores, 1):
                measured = {player: values_of(value, n) for player, value in by_player.items()}
                seconds = {
                    "learning": 2.0,
                    "sampling": 1.0,
                    "exchange": 0.5,
                    "evaluation": 9.0,
                    "bookkeeping": 0.1,
                }
                rows.append(
                    {"round": round, "players": {}, "measured": measured, "seconds": seconds}
                )
            chain = write_rows(folder / game, rows)
            traffic = [
                LinkTraffic("exchange", "north", "south", 2048, 5),
                LinkTraffic("evaluation", "north", "south", 512, 5),
            ]
            write_checkpoint(folder / game, len(rows), traffic, chain)
        write_run(folder, contents)
        return folder

    return build


def game(**settings):
    return {
        "name": "sample_exchange",
        "rounds": 3,
        "local_steps": 2,
        "samples_per_round": 50,
        **settings,
    }


def texts(comparison):
    return [note.text for note in caveats(comparison)]


def test_runs_that_differ_in_the_seed_are_one_arm_and_its_numbers_are_right(record):
    scores = {1: (10.0, 20.0), 2: (12.0, 24.0), 3: (16.0, 20.0)}
    folders = [
        record(f"s{seed}", [{"north": 99.0, "south": 99.0}, {"north": a, "south": b}], seed=seed)
        for seed, (a, b) in scores.items()
    ]
    (arm,) = Comparison.load([*folders, folders[0]]).arms
    means = [15.0, 18.0, 18.0]
    assert arm.label == "sample exchange"
    assert dict(arm.score("fid").values) == dict(zip((1, 2, 3), means, strict=True))
    assert arm.score("fid").mean == 17.0
    assert arm.score("fid").std == pytest.approx(math.sqrt(3.0))  # ((-2)² + 1² + 1²) / 2
    assert arm.score("domain_score").mean == 18.0
    assert arm.player_score("south", "fid").mean == pytest.approx(64 / 3)
    costs = arm.costs
    assert costs["bytes_exchange"].mean == 2048
    assert costs["bytes_evaluation"].mean == 512
    assert costs["bytes_checkpoint"].mean == 0
    assert costs["seconds_learning"].mean == 4.0
    assert costs["rounds"].mean == 2
    assert costs["steps"].mean == 4
    assert costs["flops"] is None
    curve = arm.curves["fid"]
    assert curve.rounds == [1, 2]
    assert curve.mean == [99.0, 17.0]
    assert curve.std == [0.0, pytest.approx(math.sqrt(3.0))]
    assert curve.bytes == [0.0, 2048.0]  # in the first round everybody is alone
    assert curve.seconds == [3.5, 7.0]


def test_arms_are_labelled_by_what_differs(record):
    last = [{"north": 1.0, "south": 3.0}]
    folders = [
        record(
            f"{weight}-{seed}",
            last,
            seed=seed,
            game=game(own_weight=weight),
            games=("sample_exchange", "isolated"),
        )
        for weight in (0.1, 0.3)
        for seed in (1, 2)
    ]
    comparison = Comparison.load(folders)
    assert [arm.label for arm in comparison.arms] == [
        "own_weight=0.1, sample exchange",
        "own_weight=0.1, isolated",
        "own_weight=0.3, sample exchange",
        "own_weight=0.3, isolated",
    ]
    assert comparison.differences == {
        "game.own_weight": {"own_weight=0.1": 0.1, "own_weight=0.3": 0.3}
    }
    assert all(list(arm.runs) == [1, 2] for arm in comparison.arms)


def test_a_component_is_called_by_its_kind_and_implies_its_defaults(record):
    last = [{"north": 1.0, "south": 3.0}]
    plain = record("plain", last)
    other = record(
        "other", last, game={"name": "isolated", "rounds": 3, "local_steps": 2}, games=("isolated",)
    )
    third = record(
        "third", last, model={"name": "sklearn.neighbors:KernelDensity", "bandwidth": 0.2}
    )
    assert [arm.label for arm in Comparison.load([plain, other]).arms] == [
        "game=sample_exchange",
        "game=isolated",
    ]
    assert [arm.label for arm in Comparison.load([plain, third]).arms] == [
        "model=exponential_family",
        "model=KernelDensity",
    ]


def test_labels_that_would_be_too_long_are_letters(record):
    last = [{"north": 1.0, "south": 3.0}]
    matrices = [[[0.5, 0.5], [0.25, 0.75]], [[0.5, 0.5], [0.125, 0.875]]]
    folders = [
        record(f"m{i}", last, game={"name": "sample_exchange", "alpha": alpha})
        for i, alpha in enumerate(matrices)
    ]
    assert [arm.label for arm in Comparison.load(folders).arms] == [
        "alpha=[[0.5,0.5],[0.25,0.75]]",
        "alpha=[[0.5,0.5],[0.125,0.875]]",
    ]
    wide = record(
        "wide",
        last,
        title="x",
        data={"partition": {"name": "by_count", "counts": {"north": [40] * 10, "south": 9}}},
    )
    assert [arm.label for arm in Comparison.load([folders[0], wide]).arms] == ["A", "B"]


def test_different_sample_counts_are_noted_beside_the_numbers(record):
    few = record(
        "few", [{"north": 1.0, "south": 3.0}], measure={"metrics": [], "samples": 2000}, n=2000
    )
    many = record(
        "many", [{"north": 1.0, "south": 3.0}], measure={"metrics": [], "samples": 5000}, n=5000
    )
    comparison = Comparison.load([few, many])
    assert "FID: 2,000 and 5,000 samples, not comparable" in texts(comparison)
    assert {"fid", "domain_score"} == {q for note in caveats(comparison) for q in note.quantities}
    assert "FID ↓ *" in score_table(comparison, caveats(comparison)).header
    assert [arm.label for arm in comparison.arms] == ["samples=2000", "samples=5000"]


def test_different_data_references_players_and_versions_are_noted(record):
    last = [{"north": 1.0, "south": 3.0}]
    here = record("here", last)
    other = {
        "name": "faces",
        "train": 10,
        "test": 5,
        "space": {"x": {"kind": "real"}},
        "counts": {},
    }
    there = record("there", last, game=game(own_weight=0.5), changes={"data": other})
    assert any(
        "different data: digits" in text and "faces" in text
        for text in texts(Comparison.load([here, there]))
    )
    odd = {"accuracy": 0.5, "n_test": 497}
    third = record("third", last, game=game(own_weight=0.5), changes={"classifier": odd})
    assert any(
        "seed 1: arms were measured with different domain" in t
        for t in texts(Comparison.load([here, third]))
    )
    second = record("second", last, seed=2, game=game(own_weight=0.5))
    assert any(
        "arms have different seeds" in text for text in texts(Comparison.load([here, second]))
    )
    alone = record("alone", [{"north": 1.0}], game=game(own_weight=0.5))
    assert any(
        "means over different players" in text for text in texts(Comparison.load([here, alone]))
    )
    newer = record(
        "newer",
        last,
        seed=2,
        changes={"versions": {"python": "3.12", "machine": "x86_64", "coplay": "0.1.0"}},
    )
    assert "runs were made with different python: 3.11 and 3.12" in texts(
        Comparison.load([here, newer])
    )


def test_an_unfinished_run_counts_with_a_note_and_a_doubled_seed_does_not_count_twice(record):
    whole = record("whole", [{"north": 1.0}, {"north": 3.0}])
    cut = record(
        "cut", [{"north": 7.0}], seed=2, status="stopped", changes={"reason": "interrupted"}
    )
    again = record("again", [{"north": 5.0}], status="running")
    comparison = Comparison.load([again, cut, whole])
    (arm,) = comparison.arms
    assert dict(arm.score("fid").values) == {1: 3.0, 2: 7.0}
    notes = " | ".join(texts(comparison))
    assert (
        "cut is not finished (stopped: interrupted); it counts as far as it got: 1 rounds" in notes
    )
    assert "seed 1 was run twice" in notes
    assert "last measured after different rounds (sample exchange: 1 and 2)" in notes


def rewrite_rows(folder, change):
    """Change the rows of a record's main game in place."""
    home = folder / "sample_exchange"
    rows = [json.loads(line) for line in (home / "rows.jsonl").read_text().splitlines()]
    for row in rows:
        del row["seal"]
        change(row)
    write_checkpoint(home, len(rows), Play(home.name, home).traffic, write_rows(home, rows))


def test_a_run_that_lost_a_player_has_no_mean_and_a_caveat_says_so(record, tmp_path):
    both = {"north": 2.0, "south": 4.0}
    whole = record("whole", [both, both, both])
    cut = record("cut", [both, {"north": 10.0}, {"north": 20.0}], seed=2)

    def lose(row):
        if row["round"] == 2:
            row["lost"] = {"south": {"action": "turn", "reason": "it failed"}}

    rewrite_rows(cut, lose)
    comparison = Comparison.load([whole, cut])
    (arm,) = comparison.arms
    assert dict(arm.score("fid").values) == {1: 3.0}  # 20.0 is north's alone
    assert dict(arm.player_score("north", "fid").values) == {1: 2.0, 2: 20.0}
    assert dict(arm.player_score("south", "fid").values) == {1: 4.0}
    assert arm.curves["fid"].rounds == [1]
    (caveat,) = (each for each in caveats(comparison) if "lost" in each.text)
    assert caveat.text.startswith(
        "sample exchange: the run with seed 2 lost south (round 2); a mean over"
    )
    assert caveat.quantities == ["fid", "domain_score"]
    assert not any("different players" in text for text in texts(comparison))
    assert score_table(comparison, caveats(comparison)).rows == [
        ("sample exchange", "2", "3.00 (1 seed)", "4.00 (1 seed)")
    ]

    alone = Comparison.load([cut])
    assert alone.arms[0].score("fid") is None
    assert score_table(alone, caveats(alone)).rows == [("sample exchange", "1", "–", "–")]
    page = write(alone, tmp_path / "out", "Lost").read_text()
    assert "lost south (round 2)" in page
    score = json.loads((tmp_path / "out" / "comparison.json").read_text())["arms"][0]["scores"][
        "fid"
    ]
    assert score["mean"] is None
    assert score["players"]["north"]["values"] == {"2": 20.0}


def test_a_player_lost_after_the_last_measurement_takes_no_mean_away(record):
    both = {"north": 2.0, "south": 4.0}
    folder = record("late", [both, both, both])

    def lose(row):
        if row["round"] == 3:
            del row["measured"]
            row["lost"] = {"south": {"action": "turn", "reason": "it failed"}}

    rewrite_rows(folder, lose)
    comparison = Comparison.load([folder])
    assert comparison.arms[0].score("fid").mean == 3.0
    assert not any("lost" in text for text in texts(comparison))


def test_a_single_value_has_its_interval_and_a_mean_has_none(record):
    def bound(row):
        for values in row["measured"].values():
            for value in values.values():
                value["high"] = value["value"] + 2

    two = [record(f"two{seed}", [{"north": 10.0, "south": 30.0}], seed=seed) for seed in (1, 2)]
    one = record("one", [{"north": 33.6}])
    for folder in (*two, one):
        rewrite_rows(folder, bound)

    alone = Comparison.load([one])
    assert score_table(alone, ()).rows[0][2] == "33.6 [32.6, 35.6]"
    assert "95 % interval" in score_table(alone, ()).caption
    assert alone.arms[0].single_value("fid").high == 35.6
    seed = Comparison.load(two[:1])
    assert score_table(seed, ()).rows[0][2] == "20.0"  # a mean over two players
    assert "interval" not in score_table(seed, ()).caption
    by_player = score_table(seed, (), by_player=True)
    assert [row[2] for row in by_player.rows] == ["10.0 [9.0, 12.0]", "30.0 [29.0, 32.0]"]
    seeds = Comparison.load(two)
    assert score_table(seeds, (), by_player=True).rows[0][2] == "10.0 ± 0.0"
    assert seeds.arms[0].single_value("fid") is None
    assert seeds.arms[0].single_value("fid", "north") is None


def test_a_run_that_measured_nothing_is_compared_by_its_costs(record, tmp_path):
    comparison = Comparison.load([record("empty", [])])
    assert comparison.arms[0].score("fid") is None
    page = write(comparison, tmp_path / "out", "Nothing")
    assert "Nothing was measured." in page.read_text()
    assert cost_tables(comparison)[0].rows[0][0] == "sample exchange"


def test_a_run_from_before_a_setting_existed_is_of_the_same_arm(record):
    old, new = record("old", []), record("new", [], seed=2)
    contents = json.loads((old / "run.json").read_text())
    del contents["config"]["game"]["fresh_every_rounds"]
    write_run(old, contents)
    assert len(Comparison.load([old, new]).arms) == 1
    contents["config"]["model"] = {"name": "my_models:Gone"}
    write_run(old, contents)
    assert [arm.settings for arm in Comparison.load([old, new]).arms] != ["", ""]


def test_unknown_folders_are_named(tmp_path, record):
    with pytest.raises(RunFolderError, match="nowhere is no run of coplay"):
        Comparison.load([record("here", []), tmp_path / "nowhere"])
    with pytest.raises(RunFolderError, match="at least one run"):
        Comparison.load([])


def test_files_say_the_same_as_the_records(record, tmp_path):
    folders = [record(f"s{s}", [{"north": 10.0 * s, "south": 20.0 * s}], seed=s) for s in (1, 2)]
    page = write(
        Comparison.load(folders), tmp_path / "out", 'A <script>alert("x")</script>', by_player=True
    )
    rows = list(csv.DictReader((tmp_path / "out" / "comparison.csv").read_text().splitlines()))
    assert len(rows) == 2 * 1 * 2 * 2  # runs, games, players, metrics
    first = rows[0]
    assert (first["arm"], first["seed"], first["game"], first["player"]) == (
        "sample exchange",
        "1",
        "sample_exchange",
        "north",
    )
    assert (first["metric"], first["value"], first["low"], first["high"], first["n"]) == (
        "fid",
        "10.0",
        "9.0",
        "",
        "100",
    )
    data = json.loads((tmp_path / "out" / "comparison.json").read_text())
    score = data["arms"][0]["scores"]["fid"]
    assert score["values"] == {"1": 15.0, "2": 30.0}
    assert score["mean"] == 22.5
    assert score["std"] == pytest.approx(statistics.stdev([15.0, 30.0]))
    assert score["players"]["south"]["values"] == {"1": 20.0, "2": 40.0}
    assert data["values"][0]["low"] == 9.0
    text = page.read_text()
    assert "22.5 ± 10.6" in text
    assert "sample exchange: south" in text
    assert "<script" not in text
    assert {p.name for p in (tmp_path / "out" / "figures").iterdir()} == {
        "curves-round.svg",
        "curves-bytes.svg",
        "curves-seconds.svg",
    }


# ------------------------------------------------------------------------------------------- sweeps


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def test_a_sweep_is_played_once_resumed_where_it_was_cut_off_and_compared(
    small, tmp_path, capsys, monkeypatch
):
    out = tmp_path / "out"
    vary = [
        "--vary",
        "game.own_weight=0.2,0.4",
        "--seeds",
        "1,2",
        "--games",
        "isolated",
        "--out",
        str(out),
    ]
    names = [f"own_weight={weight}_seed={seed}" for weight in (0.2, 0.4) for seed in (1, 2)]
    first = Sweep.of(small, ["game.own_weight=0.2"], "1", "isolated")
    calls = []

    def cut(what, done, of):
        calls.append((what, done))
        if len(calls) > 2:
            raise KeyboardInterrupt

    class Cut:
        __enter__ = staticmethod(lambda: cut)
        __exit__ = staticmethod(lambda *why: None)

    with pytest.raises(KeyboardInterrupt):
        first.play(out, Cut, lambda text: None)
    assert Result.load(out / names[0]).record.status == "stopped"

    assert cli.main(["compare", str(small), *vary]) == 0
    output = capsys.readouterr()
    assert f"going on with {out / names[0]} (1 of 4)" in output.err
    assert f"playing {out / names[3]} (4 of 4)" in output.err
    assert "own_weight=0.4, isolated" in output.out
    assert all(Result.load(out / name).record.status == "finished" for name in names)
    whole = Federation(
        Config.from_file(small, ["game.own_weight=0.2", "seed=1", 'compare=["isolated"]'])
    ).run(tmp_path / "one")
    models = "sample_exchange/models"
    for path in (out / names[0] / models).iterdir():
        assert path.read_bytes() == (whole.folder / models / path.name).read_bytes()

    before = {
        p: p.stat().st_mtime_ns for name in names for p in (out / name).rglob("*") if p.is_file()
    }
    assert cli.main(["compare", str(small), *vary]) == 0
    assert capsys.readouterr().err == ""
    assert {
        p: p.stat().st_mtime_ns for name in names for p in (out / name).rglob("*") if p.is_file()
    } == before

    page = (out / "comparison.html").read_text()
    text = re.sub(r'src="data:image/png;base64,[A-Za-z0-9+/=]+"', 'src="embedded"', page)
    assert not re.search(r"https?:|//|<script|<link|<iframe|@import|url\(", text)
    # nothing was scored; samples were shown
    assert text.count('<img src="embedded"') == text.count("src=") == 1
    assert (out / "figures" / "samples-image.png").exists()

    # as folders, and with another config in a folder's place
    monkeypatch.chdir(tmp_path)
    assert cli.main(["compare", *(str(out / name) for name in names)]) == 0
    assert "comparison: comparisons/small/comparison.html" in capsys.readouterr().out
    assert cli.main(["compare", str(out / names[0])]) == 0
    assert "comparison: comparisons/small-2/comparison.html" in capsys.readouterr().out
    assert cli.main(["compare", str(small), *vary[:-4], "--out", str(out)]) == 2
    assert "compare: was ['isolated'], is []" in capsys.readouterr().err


def test_all_faults_of_all_combinations_are_listed_before_anything_is_played(small, tmp_path):
    with pytest.raises(ConfigError) as error:
        Sweep.of(small, ["game.own_weight=0.2,2", "game.rounds=0,3"], "1")
    message = str(error.value)
    assert "game.own_weight" in message
    assert "in own_weight=2_rounds=0_seed=1, own_weight=2_rounds=3_seed=1" in message
    assert "game.rounds" in message
    # faults that only the data show
    sweep = Sweep.of(small, ['data.variables=["image"],["imge"],["other"]'], "1")
    with pytest.raises(ConfigError) as error:
        sweep.play(tmp_path / "out")
    assert "'imge'" in str(error.value)
    assert "'other'" in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("vary", "seeds", "why"),
    [
        (["game.rounds"], "", "expected key.path=value"),
        (["game.rounds=1,"], "", "expected key.path=value"),
        (["game.rounds=1", "game.rounds=2"], "", "varied already"),
        (["seed=1,2"], "3", "the seed is varied already"),
        ([], "1,x", "expected whole numbers"),
        (["compare=1"], "", "--games"),
    ],
)
def test_faulty_arguments_are_refused(small, vary, seeds, why):
    with pytest.raises(ConfigError, match=why):
        Sweep.of(small, vary, seeds)


def test_values_may_hold_commas_and_names_stay_apart(small):
    models = [f'{{ name = "sklearn.mixture:GaussianMixture", n_components = {n} }}' for n in (2, 3)]
    sweep = Sweep.of(small, [f"model={','.join(models)}"])
    assert [config.model.arguments["n_components"] for config in sweep.configs.values()] == [2, 3]
    assert len(sweep.configs) == 2
    assert all(re.fullmatch(r"[\w.,=+-]+", name) for name in sweep.configs)


def test_a_failing_run_does_not_stop_the_others(small, tmp_path, capsys):
    broken = 'model="exponential_family",{name="sklearn.mixture:GaussianMixture",n_components=5000}'
    assert cli.main(["compare", str(small), "--vary", broken, "--out", str(tmp_path / "out")]) == 2
    output = capsys.readouterr()
    assert "failed: player" in output.err
    assert "not finished: model=" in output.err
    assert "is not finished (failed" in output.out
    assert (tmp_path / "out" / "comparison.html").exists()


def test_tables_are_never_cut(record, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    folders = [record(f"s{s}", [{"north": 123456.5 * s, "south": 0.0}], seed=s) for s in (1, 3)]
    print_comparison(Comparison.load(folders), by_player=True)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert "123,456.5 ± 87,296.9" in "".join(lines)  # 61728.25 and 185184.75
    assert "246,913.0 ± 174,593.9" in "".join(lines)
    assert not any("…" in line for line in lines)
    assert max(map(len, lines)) <= 60


# -------------------------------------------------------------------------------------- TensorBoard


def test_events_say_the_same_as_the_rows(small, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    result = Federation(Config.from_file(small)).run(tmp_path / "run")
    rows = result.main.rows
    for place, row in enumerate(rows):
        fid = Value(2.5 * row.round, "", "lower", 100)
        shares = Value([0.5, 0.5], "", None, 100)
        rows[place] = replace(row, measured={"player0": {"fid": fid, "class_shares": shares}})
    folder = write_events(result, tmp_path / "events")
    events = accumulator.EventAccumulator(str(folder / "sample_exchange"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("score/fid/player0")] == [
        (1, 2.5),
        (2, 5.0),
        (3, 7.5),
    ]
    assert not any("class_shares" in tag for tag in events.Tags()["scalars"])
    for number in rows[0].players["player0"]:
        values = [e.value for e in events.Scalars(f"learning/{number}/player0")]
        assert values == pytest.approx([row.players["player0"][number] for row in rows], rel=1e-6)
    images = events.Images("samples/image/player1")
    assert [image.step for image in images] == [1, 2, 3]
    assert images[0].encoded_image_string.startswith(b"\x89PNG")
    times = [e.wall_time for e in events.Scalars("score/fid/player0")]
    spent = sum(sum(row.seconds.values()) for row in rows[1:])
    assert times[-1] - times[0] == pytest.approx(spent, abs=1e-3)
    with pytest.raises(RunFolderError, match="holds events already"):
        write_events(result, folder)


def test_without_tensorboard_the_extra_is_named(record, tmp_path, monkeypatch):
    import importlib

    def missing(name):
        raise ModuleNotFoundError(f"No module named '{name.partition('.')[0]}'")

    folder = record("run", [])
    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(CoplayError, match=re.escape("pip install 'coplay[tensorboard]'")):
        write_events(Result.load(folder), tmp_path / "events")


def test_the_page_draws_many_arms_without_touching_torch(record, tmp_path):
    before = torch.random.get_rng_state()
    weights = [0.1 * k for k in range(1, 10)]
    folders = [
        record(
            f"w{i}",
            [{"north": w, "south": 50 * w}, {"north": w / 2, "south": w}],
            game=game(own_weight=w),
        )
        for i, w in enumerate(weights)
    ]
    write(Comparison.load(folders), tmp_path / "out", "Many")
    assert torch.equal(before, torch.random.get_rng_state())
