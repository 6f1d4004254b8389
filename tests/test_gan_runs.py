"""Runs whose main game measures a server: every view of them, of one run that is played once."""

import csv
import json
import re
import shutil
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_images

from coplay.cli import main as cli
from coplay.cli.citations import cite
from coplay.cli.run_table import LABELS, fitted, table
from coplay.comparison.arms import Comparison
from coplay.comparison.caveats import Caveat, caveats
from coplay.comparison.page import write as write_comparison
from coplay.comparison.sweep import Sweep
from coplay.core.errors import RunFolderError
from coplay.report.page import write
from coplay.report.tensorboard import write_events
from coplay.run.config import Config
from coplay.run.federation import Federation
from coplay.run.result import Result
from coplay.run.sampling import load_player

from .by_hand import write_checkpoint, write_rows, write_run

SOURCE = """
import torch
from sklearn.datasets import load_sample_images
from coplay import Dataset, Source, Space, Variable

class Bars(Source):
    \"\"\"Bright bars at one of three heights, their height being the class.\"\"\"

    def load(self):
        image = Variable(kind="real", shape=(4, 4), low=0, high=1)
        space = Space({"image": image, "class": Variable(kind="categorical", classes=3)})
        draw = torch.Generator().manual_seed(1)
        classes = torch.arange(150) % 3
        images = 0.2 * torch.rand(150, 4, 4, generator=draw)
        images[torch.arange(150), classes] += 0.7
        part = lambda rows: space.samples(**{"image": images[rows], "class": classes[rows]})
        return Dataset("bars", space, part(slice(0, 120)), part(slice(120, 150)))
"""
CONFIG = {
    "title": "Bars",
    "players": 3,
    "data": {"source": "bars:Bars", "variables": ["image", "class"]},
    "model": {"name": "acgan", "batch": 4, "latent": 3},
    "game": {"name": "md_gan", "rounds": 2, "local_steps": 3, "swap_every_epochs": 0.2},
    "compare": [
        {"name": "fl_gan", "average_every_epochs": 0.2},
        {"name": "pooled", "once": True, "rounds": 4},
        "isolated",
    ],
    "measure": {
        "every_rounds": 1,
        "samples": 100,
        "shown": 9,
        "metrics": ["class_shares", "domain_score", "fid", "kid"],
    },
    "checkpoint": {"every_rounds": 1},
}
EACH = {
    "md_gan": ["server"],
    "fl_gan": ["server"],
    "pooled": ["player0"],
    "isolated": ["player0", "player1", "player2"],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a fixture of the module comes before conftest's
    home = tmp_path_factory.mktemp("gans")
    (home / "bars.py").write_text(textwrap.dedent(SOURCE))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(home)
        patch.setattr("coplay.metrics.features._STEPS", (100, 100))  # it need not judge well here
        yield Federation(Config.from_dict(CONFIG)).run(home / "run")
    torch.set_num_threads(threads)


def test_a_result_names_the_players_that_each_game_measures(run):
    assert run.sampled_from == EACH
    assert run.seats == ["server"]
    assert {game: list(play.last) for game, play in run.plays.items()} == EACH
    assert run.section("pooled") == {
        "name": "pooled",
        "rounds": 4,
        "local_steps": 3,
        "on_lost": "stop",
        "until_steady": False,
        "once": True,
    }


def test_the_table_has_a_line_for_each_measured_player_and_all_scores_that_fit(run, capsys):
    shown = table(run)
    assert [row[3] for row in shown.rows] == ["md_gan", "fl_gan", "pooled", *["isolated"] * 4]
    assert [row[0] for row in shown.rows] == [
        "server",
        "",
        "player0",
        "",
        "player1",
        "player2",
        "mean of 3 (best)",
    ]
    assert list(shown.header) == [*LABELS, "FID ↓", "domain score ↑", "KID ↓"]
    fid = [run.plays["isolated"].last[name]["fid"].value for name in EACH["isolated"]]
    mean, best = (
        float(x.replace(",", ""))
        for x in re.fullmatch(r"([\d,.]+) \(([\d,.]+)\)", shown.rows[-1][4]).groups()
    )
    assert mean == pytest.approx(sum(fid) / 3, abs=0.06)
    assert best == pytest.approx(min(fid), abs=0.06)
    assert (fitted(shown, 200)[1], fitted(shown, 20)[1]) == ([], list(shown.header[4:]))
    left = [len(fitted(shown, width)[1]) for width in range(20, 200)]
    assert left == sorted(left, reverse=True)
    assert set(left) == {3, 2, 1, 0}
    assert cli.main(["show", str(run.folder)]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "MD-GAN sent generated samples" in output
    assert output.count("the paper's formulas, to the byte") == 2


def test_a_run_that_measures_only_the_server_has_one_line(run, tmp_path, monkeypatch, capsys):
    values = CONFIG | {"compare": [], "measure": {"metrics": [], "samples": 100}}
    result = Federation(Config.from_dict(values)).run(tmp_path / "run")
    assert [row[0] for row in table(result).rows] == ["server"]
    assert cli.main(["show", str(result.folder)]) == 0
    output = capsys.readouterr().out
    assert (
        "3 players, 40 own samples each; those without a line are not measured themselves" in output
    )
    assert "nothing was scored: measure.metrics is empty" in output
    assert "3 players<small>acgan, not measured</small>" in write(result).read_text()


def test_the_page_shows_the_servers_samples_and_curves_of_every_game(run):
    text = write(run).read_text()
    data = json.loads((run.folder / "report.json").read_text())
    assert "and a server played MD-GAN for 2 of 2 rounds" in text
    assert "4 of 4 (pooled)" in text
    assert data["headline"]["seats"] == ["server"]
    lines = data["curves"]["measured"]["fid"]
    assert [(line["game"], line["player"]) for line in lines] == [
        (g, name) for g, names in EACH.items() for name in names
    ]
    assert "Beneath: a model of each game carried along." in text
    assert [column["players"] for column in data["samples"]["columns"]] == [
        EACH["md_gan"],
        *EACH.values(),
    ]
    assert data["shares"]["players"]["server"]["n"] == 100
    assert "Class shares</h2>" in text
    formulas = data["formulas"]["games"]
    assert formulas["md_gan"]["left_bytes"] == [0, 0, 0]
    assert formulas["fl_gan"]["left_bytes"] == [0, 0]
    assert data["formulas"]["break_even_batch"]["worker"] > 10


def test_traffic_is_listed_by_purpose_and_kind_of_link(run):
    text = re.search(r'<section id="traffic">(.*?)</section>', write(run).read_text(), re.S).group(
        1
    )
    for part, kind in (
        ("generated", "server → players"),
        ("feedback", "players → server"),
        ("swap", "players → players"),
    ):
        assert f"… {part}<small>{kind}</small>" in text
    traffic = run.plays["md_gan"].traffic
    total = sum(link.bytes for link in traffic if link.purpose.startswith("exchange/"))
    assert total == sum(row.bytes for row in run.plays["md_gan"].rows)
    assert f"<td>{total / 1024**2:.2f} MiB</td>" in text


def test_a_comparison_sets_the_server_beside_means_over_players(run, tmp_path):
    comparison = Comparison.load([run.folder])
    arms = {arm.game: arm for arm in comparison.arms}
    assert [arm.label for arm in comparison.arms] == ["MD-GAN", "FL-GAN", "pooled", "isolated"]
    assert arms["md_gan"].score("fid").mean == run.main.last["server"]["fid"].value
    costs = arms["md_gan"].costs
    parts = [costs[f"bytes_exchange/{part}"].mean for part in ("generated", "feedback", "swap")]
    assert costs["bytes_exchange"].mean == sum(parts) > 0
    assert arms["md_gan"].curves["fid"].bytes[-1] == sum(parts)
    assert (arms["pooled"].costs["steps"].mean, arms["isolated"].costs["steps"].mean) == (12, 6)
    notes = caveats(comparison)
    assert [note for note in notes if "single model" in note.text] == [
        Caveat(
            "scores of a single model (MD-GAN: server; FL-GAN: server; pooled: player0); "
            "the others are means over players"
        )
    ]
    assert not any("different players" in note.text for note in notes)
    assert "named above" in write_comparison(comparison, tmp_path / "out", "Bars").read_text()


def test_settings_of_a_game_carried_along_tell_arms_apart(run, tmp_path):
    def other(name, **changes):
        folder = tmp_path / name
        folder.mkdir()
        contents = run.record.json() | {"config": run.record.config | changes}
        write_run(folder, contents | {"games": {"md_gan": {}, "fl_gan": {}}})
        return folder

    same = other("same", seed=2, compare=[{"name": "fl_gan", "average_every_epochs": 0.2}])
    assert Comparison.load([run.folder, same]).differences == {}
    rarer = other("rarer", compare=[{"name": "fl_gan", "average_every_epochs": 4}])
    assert list(Comparison.load([run.folder, rarer]).differences) == [
        "compare.fl_gan.average_every_epochs"
    ]


def test_games_named_for_a_sweep_keep_the_settings_that_the_file_has(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(
        'game = "md_gan"\nmodel = "acgan"\n'
        'compare = ["isolated", { name = "pooled", once = true }]\n'
    )
    (config,) = Sweep.of(path, games="fl_gan,pooled").configs.values()
    assert config.compare == ("fl_gan", {"name": "pooled", "once": True})


@pytest.mark.parametrize("game", [None, "fl_gan"])
def test_samples_of_the_server_as_table_and_arrays(run, tmp_path, game):
    more = ["--game", game] if game else []
    for kind in ("npz", "csv", "png"):
        file = tmp_path / f"drawn.{kind}"
        assert (
            cli.main(
                [
                    "sample",
                    str(run.folder),
                    "--player",
                    "server",
                    *more,
                    "-n",
                    "5",
                    "--out",
                    str(file),
                ]
            )
            == 0
        )
    arrays = np.load(tmp_path / "drawn.npz")
    rows = list(csv.DictReader((tmp_path / "drawn.csv").read_text().splitlines()))
    assert len(rows) == 5
    assert [int(row["class"]) for row in rows] == arrays["class"].tolist()
    assert [float(row["image.1.2"]) for row in rows] == pytest.approx(
        arrays["image"][:, 1, 2].tolist()
    )
    assert (tmp_path / "drawn.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("player", "game", "why"),
    [
        ("player1", None, "only judges in 'md_gan' and has no generator; sample from server"),
        ("player1", "pooled", "it has in md_gan, fl_gan, isolated, see --game"),
        ("server", "isolated", "it has in md_gan, fl_gan, see --game"),
        ("sever", None, "nearest first: server"),
    ],
)
def test_without_samples_the_error_names_the_players_that_have_some(run, player, game, why):
    with pytest.raises(RunFolderError, match=re.escape(why)):
        load_player(run.folder, player, game)


def test_a_worker_of_fl_gan_has_a_generator(run):
    assert load_player(run.folder, "player1", "fl_gan").draw(3, 0, "test").batch_size == (3,)


def test_events_have_the_server_and_what_a_round_counted(run, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = write_events(run, tmp_path / "events")
    events = accumulator.EventAccumulator(str(folder / "md_gan"))
    events.Reload()
    assert [e.value for e in events.Scalars("score/fid/server")] == pytest.approx(
        [row.measured["server"]["fid"].value for row in run.main.rows], rel=1e-6
    )
    assert [e.value for e in events.Scalars("round/swaps")] == [
        row.own["swaps"] for row in run.main.rows
    ]
    assert events.Images("samples/image/server")


def test_games_carried_along_are_cited(run):
    citations = cite(run.config)
    for key in ("hardy2019mdgan", "mcmahan2017communication", "odena2017acgan"):
        assert f"{{{key}," in citations


def test_an_old_record_is_read_by_its_rows(run, tmp_path):
    contents = json.loads((run.folder / "run.json").read_text())
    contents["config"]["game"]["gone"] = 1
    folder = tmp_path / "old"
    shutil.copytree(run.main.folder, folder / "md_gan")
    write_run(folder, contents | {"games": {"md_gan": {}}, "files": {}})
    old = Result.load(folder)
    assert (old.sampled_from, old.seats) == ({"md_gan": ["server"]}, ["server"])
    assert "and a server played" in write(old).read_text()


def test_late_players_are_named_and_leave_the_formulas_a_bound(run, tmp_path):
    folder = tmp_path / "late"
    shutil.copytree(run.folder, folder)
    rows = [
        json.loads(line) for line in (folder / "md_gan" / "rows.jsonl").read_text().splitlines()
    ]
    for row in rows:
        del row["seal"]
    rows[0]["late"] = {"player1": {"action": "feedback", "reason": "no answer within 1 s"}}
    rows[1]["joined"] = ["player2"]
    traffic = run.main.traffic
    chain = write_rows(folder / "md_gan", rows)
    write_checkpoint(folder / "md_gan", len(rows), traffic, chain)
    result = Result.load(folder)
    text = write(result).read_text()
    assert "too late, and left out" in text
    assert "joined late" in text
    assert "lost or late" in text
    assert not json.loads((folder / "report.json").read_text())["formulas"]["games"]["md_gan"][
        "exact"
    ]


def test_configs_that_documents_show_are_valid(tmp_path, monkeypatch):
    root = Path(__file__).parents[1]
    Federation(Config.from_file(root / "configs" / "md_gan.toml")).prepare()
    page = (root / "docs" / "md_gan.md").read_text()
    (shown,) = re.findall(r"```toml\n(.*?)```", page, re.S)
    Federation(Config.from_toml(shown)).prepare()
    programs = re.findall(
        r"```python\n(.*?)```", (root / "docs" / "extending.md").read_text(), re.S
    )
    (networks,) = (text for text in programs if "def discriminator" in text)
    (tmp_path / "my_nets.py").write_text(networks)
    monkeypatch.syspath_prepend(tmp_path)
    own = ['model.generator="my_nets:generator"', 'model.discriminator="my_nets:discriminator"']
    Federation(Config.from_toml(shown, own)).prepare()


def test_the_cnn_pair_plays_on_real_colour_pictures_of_cifar10s_form(tmp_path):
    """The config for CIFAR-10 runs on 32×32 crops of photographs.

    They lie in a local data set with CIFAR-10's columns.
    """
    datasets = pytest.importorskip("datasets")
    photographs = load_sample_images().images
    draw = torch.Generator().manual_seed(1)
    corners = torch.randint(390, (60, 2), generator=draw).tolist()
    rows = {
        "img": [photographs[i % 2][y : y + 32, x : x + 32] for i, (y, x) in enumerate(corners)],
        "label": [i % 2 for i in range(60)],
    }
    features = datasets.Features(
        {"img": datasets.Image(), "label": datasets.ClassLabel(names=["china", "flower"])}
    )
    whole = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict(
        {"train": whole.select(range(40)), "test": whole.select(range(40, 60))}
    ).save_to_disk(tmp_path / "cifar")
    settings = [
        f"data.source.dataset={tmp_path / 'cifar'}",
        "players=2",
        "model.batch=3",
        "game.rounds=1",
        "game.local_steps=2",
        "measure.samples=100",
        'compare=[{name="fl_gan",rounds=1,local_steps=1,average_every_epochs=0.1}]',
    ]
    path = Path(__file__).parents[1] / "reproductions/md_gan/cifar10.toml"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("coplay.metrics.features._STEPS", (20, 20))  # it need not judge well here
        result = Federation(Config.from_file(path, settings)).run(tmp_path / "run")
    assert str(result.config.data.source.load().space["image"]) == "real 3×32×32 in [0, 1]"
    for game in ("md_gan", "fl_gan"):
        drawn = load_player(tmp_path / "run", "server", game).draw(4, 0, "test")
        assert drawn["image"].shape == (4, 3, 32, 32)
        assert result.plays[game].rows[-1].measured["server"]["fid"].value > 0
