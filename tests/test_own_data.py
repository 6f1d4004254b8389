"""Players with data of their own in one simulation: by config, by site files, beside a pool."""

import hashlib
import json
import pickle
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tomli_w
import torch
from PIL import Image

from coplay import Config, Federation, Result, Space, Variable, load_player
from coplay.cli import main as cli
from coplay.core.errors import ConfigError, CoplayError, RunFolderError
from coplay.core.facts import PROTOCOL, Facts, schema_digest, variables_to_text
from coplay.core.streams import stream
from coplay.data.sources.base import Dataset
from coplay.models.mixing import required
from coplay.run.own_data import SiteRecipe, facts_of_sites, own_data
from coplay.run.reach import check_same_variables

GAME = {
    "name": "sample_exchange",
    "rounds": 3,
    "local_steps": 2,
    "samples_per_round": 40,
    "own_weight": 0.5,
}
MEASURE = {"metrics": [], "samples": 100, "shown": 5}
VARIABLES = {
    "age": {"kind": "real", "low": 0, "high": 120, "unit": "years"},
    "dose": {"kind": "real"},
    "grade": {"kind": "real"},
    "tumour": {"kind": "categorical", "categories": ["benign", "malignant"]},
}


def rows(n, *columns, seed=0):
    """Lines of a table: ages of 30 and 60 by class, and what depends on them."""
    generator = np.random.default_rng(seed)
    values = {}
    malignant = generator.random(n) < 0.5
    values["age"] = 30 + 30 * malignant + generator.normal(size=n).round(2)
    values["dose"] = (values["age"] / 10).round(3)
    values["grade"] = (values["age"] / 20).round(3)
    values["tumour"] = np.where(malignant, "malignant", "benign")
    values["patient"] = np.array([f"p{i}" for i in range(n)])
    lines = [",".join(columns)]
    for i in range(n):
        lines.append(",".join(str(values[name.lower()][i]) for name in columns))
    return "\n".join(lines) + "\n"


@pytest.fixture
def hospitals(tmp_path):
    """Two tables with other columns, and a config that names them."""
    (tmp_path / "north.csv").write_text(rows(60, "age", "dose", "tumour"))
    (tmp_path / "south.csv").write_text(rows(50, "age", "grade", "tumour", seed=1))

    def build(**sections):
        values = {
            "name": "hospitals",
            "seed": 3,
            "model": {"name": "conditionals", "hidden": 8, "sample_sweeps": 3},
            "players": {name: {"data": data_of(tmp_path, name)} for name in ("north", "south")},
            "game": GAME,
            "measure": MEASURE,
        }
        return Config.from_dict(values | sections)

    return build


def data_of(folder, name, **settings):
    return {"source": {"name": "table", "file": str(folder / f"{name}.csv")}, **settings}


def with_files(folder, federation="hospitals", variables=VARIABLES, **changes):
    """Write a federation file and a site file in a folder of its own for each site."""
    values = {
        "name": "hospitals",
        "seed": 3,
        "variables": variables,
        "model": {"name": "conditionals", "hidden": 8, "sample_sweeps": 3},
        "players": {"north": {}, "south": {}},
        "game": GAME,
        "measure": MEASURE,
    }
    (folder / "federation.toml").write_text(tomli_w.dumps(values | changes))
    for name, lacks in (("north", ["grade"]), ("south", ["dose"])):
        (folder / name).mkdir(exist_ok=True)
        site = {
            "federation": federation,
            "name": name,
            "data": {"source": {"name": "table", "file": f"../{name}.csv"}, "lacks": lacks},
        }
        write_site(folder / name / "site.toml", site)
    return folder / "federation.toml"


def write_site(path, values):
    path.write_text(tomli_w.dumps(values))


def site_options(folder):
    return [f"--site={name}={folder / name / 'site.toml'}" for name in ("north", "south")]


def fault(call, *args, **kwargs):
    with pytest.raises(CoplayError) as error:
        call(*args, **kwargs)
    return str(error.value)


def checked(config):
    return fault(Federation(config).prepare)


def files_of(run):
    """Digests of the models that a run left, by file."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(run.rglob("models/*.safetensors"))
    }


# ------------------------------------------------------------------------------------- it plays


def test_players_with_tables_of_their_own_learn_from_each_other(hospitals, tmp_path):
    result = Federation(hospitals()).run(tmp_path / "run")
    record = result.record.data
    assert result.record.status == "finished"
    assert list(record.space) == ["age", "dose", "tumour", "grade"]
    assert record.unobserved == {"north": ["grade"], "south": ["dose"]}
    assert record.sizes == {"north": 48, "south": 40}
    assert (record.train, record.test, record.name) == (None, None, "data of their own")
    drawn = load_player(tmp_path / "run", "south").draw(20, 0, "test")
    assert set(drawn.keys()) == {"age", "dose", "grade", "tumour"}
    alone = result.plays["sample_exchange"].rows[0].bytes
    assert alone == 0
    assert result.main.rows[1].bytes == 2 * 20 * (4 + 4 + 8)
    notes = "\n".join(record.notes)
    assert f"north: 60 rows read from {tmp_path / 'north.csv'}" in notes
    assert "north: 48 rows to learn from, 12 held out: 6 to score on" in notes
    assert "south: it lacks 'dose'" in notes


def test_site_files_say_the_same_and_paths_are_taken_from_their_own_folder(
    hospitals, tmp_path, monkeypatch
):
    inline = hospitals(variables=VARIABLES).model_dump(exclude_unset=True, mode="json")
    inline["players"]["north"]["data"]["lacks"] = ["grade"]
    inline["players"]["south"]["data"]["lacks"] = ["dose"]
    Federation(Config.from_dict(inline)).run(tmp_path / "inline")
    federation = with_files(tmp_path)
    monkeypatch.chdir("/")
    out = str(tmp_path / "by-option")
    assert cli.main(["run", str(federation), "--out", out, *site_options(tmp_path)]) == 0
    players = {name: {"site": f"{name}/site.toml"} for name in ("north", "south")}
    with_files(tmp_path, players=players)
    assert cli.main(["run", str(federation), "--out", str(tmp_path / "by-key")]) == 0
    models = files_of(tmp_path / "inline")
    assert len(models) == 2
    assert files_of(tmp_path / "by-option") == files_of(tmp_path / "by-key") == models


def test_what_a_site_does_not_tell_is_not_on_record(hospitals, tmp_path):
    hospitals()
    federation = with_files(tmp_path)
    out = tmp_path / "run"
    assert cli.main(["run", str(federation), "--out", str(out), *site_options(tmp_path)]) == 0
    record = Result.load(out).record.data
    assert not record.sizes
    assert not record.counts
    assert not record.notes
    assert "48" not in json.dumps(record.json())
    page = (out / "report.html").read_text()
    assert "not told" in page
    file = out / "sites" / "north" / "sample_exchange" / "site" / "north.txt"
    assert "48 rows to learn from, 12 held out: 6 to score on" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert (out / "sites" / "north").stat().st_mode & 0o777 == 0o700
    model = out / "sites" / "north" / "sample_exchange" / "models" / "north.safetensors"
    assert model.stat().st_mode & 0o777 == 0o600
    assert not (out / "sample_exchange" / "models").exists()
    assert not [path for path in out.rglob("*north*") if "sites" not in path.parts]


def test_paths_of_data_in_a_config_are_taken_from_its_folder(hospitals, tmp_path, monkeypatch):
    values = hospitals().model_dump(exclude_unset=True, mode="json")
    for name in ("north", "south"):
        values["players"][name]["data"]["source"]["file"] = f"{name}.csv"
    (tmp_path / "here.toml").write_text(tomli_w.dumps(values))
    monkeypatch.chdir("/")
    config = Config.from_file(tmp_path / "here.toml")
    assert config.players["north"].data.source.file == str(tmp_path / "north.csv")
    assert Federation(config).prepare().facts["north"].count == 48


def test_a_player_with_data_of_its_own_plays_with_players_of_a_pool(hospitals, tmp_path):
    (tmp_path / "pool.csv").write_text(rows(100, "age", "dose", "tumour", seed=2))
    config = hospitals(
        data={"source": {"name": "table", "file": str(tmp_path / "pool.csv")}},
        players={
            "west": {},
            "east": {},
            "south": {"data": data_of(tmp_path, "south")},
        },
    )
    result = Federation(config).run(tmp_path / "run")
    record = result.record.data
    assert record.sizes == {"west": 40, "east": 40, "south": 40}
    assert record.train == 80
    assert set(record.learned["west"]) == {"age", "dose", "tumour"}
    assert set(record.learned["south"]) == {"age", "dose", "tumour", "grade"}
    assert result.record.status == "finished"


def test_categories_of_a_pool_get_the_numbers_of_the_agreement(hospitals, tmp_path):
    (tmp_path / "pool.csv").write_text(rows(100, "age", "tumour", seed=2))
    turned = {"kind": "categorical", "categories": ["malignant", "benign"]}
    config = hospitals(
        variables={"age": VARIABLES["age"], "tumour": turned},
        data={"source": {"name": "table", "file": str(tmp_path / "pool.csv")}},
        players={"west": {}, "south": {"data": data_of(tmp_path, "south")}},
    )
    prepared = Federation(config).prepare()
    for samples in (prepared.data.train, prepared.own["south"].load().train):
        assert torch.equal(samples["age"] > 45, samples["tumour"] == 0)


def test_categories_keep_their_names_where_each_site_has_others(tmp_path):
    (tmp_path / "north.csv").write_text("t,x\n" + "benign,1.5\nmalignant,2.5\n" * 10)
    (tmp_path / "south.csv").write_text("t,x\n" + "in situ,1.5\nmalignant,2.5\n" * 10)
    config = Config.from_dict(
        {
            "model": {"name": "conditionals", "hidden": 8, "sample_sweeps": 3},
            "players": {name: {"data": data_of(tmp_path, name)} for name in ("north", "south")},
            "game": GAME,
            "measure": MEASURE,
        }
    )
    prepared = Federation(config).prepare()
    assert prepared.agreed["t"].class_names == ("benign", "in situ", "malignant")
    for name, first in (("north", 0), ("south", 1)):
        train = prepared.own[name].load().train
        assert torch.equal(train["t"], torch.where(train["x"] == 1.5, first, 2))
    Federation(config).run(tmp_path / "run")
    out = str(tmp_path / "s.csv")
    command = ["sample", str(tmp_path / "run"), "--player", "south", "-n", "50", "--out", out]
    assert cli.main(command) == 0
    cells = {line.split(",")[0] for line in Path(out).read_text().splitlines()[1:]}
    assert cells <= {"benign", "in situ", "malignant"}
    assert len(cells) > 1


def test_data_in_memory_are_given_by_player(hospitals, tmp_path):
    space = Space({"age": Variable(kind="real"), "dose": Variable(kind="real")})
    generator = stream(1)

    def made(n):
        age = torch.randn(n, generator=generator)
        return space.samples(age=age, dose=2 * age)

    given = {"north": Dataset("frame", space, made(20), made(5), shares_rows=True)}
    config = hospitals()
    result = Federation(config, given).run(tmp_path / "run")
    assert result.record.data.sizes == {"north": 20, "south": 40}
    assert set(result.record.data.space) == {"age", "dose", "grade", "tumour"}


def test_variables_that_each_site_lacks_come_to_all(tmp_path):
    """Each of three sites lacks another variable: waiting until one knows all would never end."""
    columns = {"a": ("age", "dose"), "b": ("dose", "grade"), "c": ("grade", "age")}
    for name, names in columns.items():
        (tmp_path / f"{name}.csv").write_text(rows(40, *names))
    config = Config.from_dict(
        {
            "model": {"name": "conditionals", "hidden": 8, "sample_sweeps": 3},
            "players": {name: {"data": data_of(tmp_path, name)} for name in columns},
            "game": GAME,
            "measure": MEASURE,
        }
    )
    Federation(config).run(tmp_path / "run")
    for name in columns:
        assert load_player(tmp_path / "run", name).unlearned == []


def test_with_ray_data_are_read_by_the_process_that_plays_them(hospitals, tmp_path, monkeypatch):
    pytest.importorskip("ray")
    inline = hospitals(variables=VARIABLES).model_dump(exclude_unset=True, mode="json")
    for name, lacking in (("north", "grade"), ("south", "dose")):
        inline["players"][name]["data"]["lacks"] = [lacking]
    Federation(Config.from_dict(inline)).run(tmp_path / "local")
    read = []
    monkeypatch.setattr(
        "coplay.run.own_data.load_site", lambda *args, **kwargs: read.append(args) or 1 / 0
    )
    ray = Config.from_dict({**inline, "engine": {"name": "ray", "processes": 2}})
    result = Federation(ray).run(tmp_path / "ray")
    assert not read, "the coordinator's process read a site's data"
    assert files_of(tmp_path / "ray") == files_of(tmp_path / "local")
    assert not result.record.data.notes
    assert not result.record.data.counts
    assert result.record.data.sizes == {"north": 48, "south": 40}


def test_with_ray_a_fault_of_a_site_is_named(hospitals, tmp_path):
    pytest.importorskip("ray")
    config = hospitals(
        variables=VARIABLES,
        engine={"name": "ray", "processes": 2},
        players={
            "north": {"data": data_of(tmp_path, "north", lacks=["grade"])},
            "south": {"data": data_of(tmp_path, "souht", lacks=["dose"])},
        },
    )
    assert f"site 'south': the file {tmp_path / 'souht.csv'} does not exist" in checked(config)


def test_what_is_wrong_with_rows_of_a_site_file_is_said_at_the_site_only(hospitals, tmp_path):
    hospitals()
    table = tmp_path / "north.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0], "177.75,3.1,benign", *lines[1:]]) + "\n")
    files = {name: tmp_path / name / "site.toml" for name in ("north", "south")}
    config = Config.from_file(with_files(tmp_path)).with_sites(files)
    recipe = SiteRecipe(own_data(config, None, {})["north"], 3, tmp_path / "north" / "game")
    there = fault(pickle.loads(pickle.dumps(recipe)).build)
    assert there == (
        "site 'north': its rows cannot be read as agreed; what is wrong may quote them and stays "
        f"at the site: {tmp_path.name}/north/game/errors.txt"
    )
    note = tmp_path / "north" / "game" / "errors.txt"
    assert "north.csv, line 2, column 'age': expected a value in [0, 120], got 177.75" in (
        note.read_text()
    )
    assert note.stat().st_mode & 0o777 == 0o600


# --------------------------------------------------------------------------------- other sources


def style(folder, name, dark, n=12):
    """Write images of two classes, each place with a ground and strokes of its own."""
    generator = np.random.default_rng(dark)
    for label in ("bar", "ring"):
        (folder / name / label).mkdir(parents=True)
        for i in range(n):
            image = np.full((8, 8), dark, np.uint8)
            stroke = 255 - dark
            if label == "bar":
                image[:, 3:5] = stroke
            else:
                image[1:7, 1:7] = stroke
                image[3:5, 3:5] = dark
            noise = generator.integers(0, 20, (8, 8))
            image = np.clip(image.astype(int) + noise - 10, 0, 255).astype(np.uint8)
            Image.fromarray(image).save(folder / name / label / f"{i}.png")


def images(folder, name, **settings):
    return {"data": {"source": {"name": "image_folder", "folder": str(folder / name)}, **settings}}


def joint(**settings):
    return {"name": "joint_classifier", "latents": [2, 2], "channels": 2, "hidden": 4, **settings}


def played(tmp_path, players, model, **sections):
    values = {"model": model, "players": players, "game": GAME, "measure": MEASURE}
    result = Federation(Config.from_dict(values | sections)).run(tmp_path / "run")
    assert result.record.status == "finished"
    return result


def test_two_folders_of_images_with_a_style_each_play(tmp_path):
    style(tmp_path, "light", 20)
    style(tmp_path, "dark", 230)
    players = {name: images(tmp_path, name) for name in ("light", "dark")}
    result = played(tmp_path, players, joint(batch=8))
    assert result.record.data.space["class"].class_names == ("bar", "ring")
    shown = result.main.samples(3)
    assert shown["light"]["image"].shape == (5, 8, 8)
    assert result.record.data.counts.keys() == {"light", "dark"}
    assert sum(result.record.data.counts["light"]) == 19


def test_two_folders_of_images_without_classes_play_with_a_model_of_images(tmp_path):
    for name, dark in (("light", 20), ("dark", 230)):
        style(tmp_path, name, dark)
        for label in ("bar", "ring"):
            for file in (tmp_path / name / label).iterdir():
                file.rename(tmp_path / name / f"{label}{file.name}")
            (tmp_path / name / label).rmdir()
    players = {name: images(tmp_path, name) for name in ("light", "dark")}
    result = played(tmp_path, players, {"name": "symmetric_hvae", "hidden": 8, "batch": 8})
    assert list(result.record.data.space) == ["image"]


def test_two_npz_files_one_of_them_without_classes_play(tmp_path):
    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 256, (30, 6, 6), np.uint8)
    np.savez(tmp_path / "north.npz", x_train=pictures, y_train=np.arange(30) % 3)
    np.savez(tmp_path / "south.npz", x_train=255 - pictures)
    players = {}
    for name in ("north", "south"):
        file = str(tmp_path / f"{name}.npz")
        players[name] = {"data": {"source": {"name": "npz", "file": file}}}
    result = played(tmp_path, players, joint(batch=8))
    assert result.record.data.unobserved == {"north": [], "south": ["class"]}
    drawn = load_player(tmp_path / "run", "south").draw(30, 0, "test")
    assert set(drawn.keys()) == {"image", "class"}


def test_a_site_with_images_plays_beside_one_with_a_table(tmp_path):
    style(tmp_path, "scans", 20)
    table = "class,age\n" + "bar,31\nring,62\nbar,33\n" * 8
    (tmp_path / "table.csv").write_text(table)
    source = {"name": "table", "file": str(tmp_path / "table.csv"), "label_column": "class"}
    players = {"scans": images(tmp_path, "scans"), "table": {"data": {"source": source}}}
    model = {"name": "conditionals", "hidden": 8, "channels": 2, "image_latents": 2}
    result = played(tmp_path, players, model | {"sweeps": 1, "sample_sweeps": 2, "batch": 8})
    assert result.record.data.unobserved == {"scans": ["age"], "table": ["image"]}
    for name in players:
        drawn = load_player(tmp_path / "run", name).draw(4, 0, "test")
        assert set(drawn.keys()) == {"image", "age", "class"}


def test_the_hospitals_that_come_with_coplay_play(tmp_path):
    path = Path(__file__).parents[1] / "configs" / "hospitals" / "federation.toml"
    short = ["game.rounds=3", "game.local_steps=3", "game.samples_per_round=60", "compare=[]"]
    config = Config.from_file(path, [*short, "measure.samples=100"])
    Federation(config).run(tmp_path / "run")
    for name in ("north", "south", "east"):
        drawn = load_player(tmp_path / "run", name).draw(3, 0, "test")
        assert len(list(drawn.keys())) == 7


def test_the_files_of_the_hospitals_are_those_that_their_script_writes(tmp_path):
    import runpy

    folder = Path(__file__).parents[1] / "configs" / "hospitals"
    script = runpy.run_path(str(folder / "make.py"))
    script["main"](tmp_path)
    for name in ("north", "south", "east"):
        assert (tmp_path / f"{name}.csv").read_bytes() == (folder / f"{name}.csv").read_bytes()


@pytest.mark.parametrize("game", ["md_gan", "fl_gan", "distillation", "isolated"])
def test_every_game_but_pooled_plays_with_data_of_their_own(tmp_path, game):
    style(tmp_path, "light", 20)
    style(tmp_path, "dark", 230)
    players = {name: images(tmp_path, name) for name in ("light", "dark")}
    model = {"name": "acgan", "network": "mlp", "latent": 2, "batch": 4}
    if game == "distillation":
        model = joint(batch=8)
    section = {"name": game, "rounds": 2, "local_steps": 3}
    result = played(
        tmp_path, players, model, game=section, compare=["isolated"][game == "isolated" :]
    )
    names = result.sampled_from[game]
    assert load_player(tmp_path / "run", names[0]).draw(3, 0, "test")["image"].shape == (3, 8, 8)


def test_players_of_a_pool_and_others_are_scored_where_a_pool_has_classes(tmp_path, monkeypatch):
    monkeypatch.setattr("coplay.metrics.features._STEPS", (20, 20))  # it need not judge well here
    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 256, (30, 8, 8), np.uint8)
    np.savez(tmp_path / "south.npz", x_train=pictures, y_train=np.arange(30) % 10)
    source = {"name": "npz", "file": str(tmp_path / "south.npz")}
    players = {"north": {}, "south": {"data": {"source": source}}}
    measure = {**MEASURE, "metrics": ["class_shares", "domain_score"]}
    model = {"name": "exponential_family"}
    data = {"source": "digits", "variables": ["image"]}
    result = played(tmp_path, players, model, data=data, measure=measure)
    assert result.record.classifier is not None
    for name in players:
        assert "domain_score" in result.main.last[name]
    assert result.predicted("sample_exchange") == {}, "south does not tell of classes"


def test_class_shares_are_predicted_where_all_players_tell_theirs(hospitals, tmp_path):
    """South has 30 of a and 10 of b, north 10 and 30; each learns half from the other."""
    for name, cells in (("north", "abbb"), ("south", "aaab")):
        rows = [f"{cell},{i / 2}" for i, cell in enumerate(cells * 10)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["class,x", *rows]) + "\n")
    sources = {}
    for name in ("north", "south"):
        data = data_of(tmp_path, name)
        data["source"]["label_column"] = "class"
        sources[name] = {"data": data}
    prepared = Federation(hospitals(players=sources)).prepare()
    held = {name: own.load().train["class"] for name, own in prepared.own.items()}
    share = {name: (labels == 0).double().mean().item() for name, labels in held.items()}
    predicted = prepared.games[0].predicted
    ours, theirs = share["north"], share["south"]
    # of (A2) with two players and own weight w = 1/2: M = 2/3 of one's own, 1/3 of the other's
    assert predicted["north"][0] == pytest.approx(2 / 3 * ours + 1 / 3 * theirs)
    assert predicted["south"][0] == pytest.approx(2 / 3 * theirs + 1 / 3 * ours)


# ------------------------------------------------------------------------------------- a resume


class Stop(KeyboardInterrupt):
    """A user who loses patience."""


def stopped(config, folder, after=2):
    def progress(what, done, of):
        if what == "sample_exchange" and done == after:
            raise Stop

    with pytest.raises(Stop):
        Federation(config).run(folder, progress)


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(hospitals, tmp_path):
    config = hospitals(checkpoint={"every_rounds": 1})
    Federation(config).run(tmp_path / "whole")
    stopped(config, tmp_path / "cut")
    result = Federation.resume(tmp_path / "cut", trust=True)
    assert result.record.status == "finished"
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")


def test_a_run_goes_on_only_with_the_data_that_it_began_with(hospitals, tmp_path):
    config = hospitals(checkpoint={"every_rounds": 1})
    stopped(config, tmp_path / "run")
    (tmp_path / "south.csv").write_text(rows(50, "age", "grade", "tumour", seed=9))
    text = fault(Federation.resume, tmp_path / "run", trust=True)
    assert text.startswith(f"the data of player 'south' changed since {tmp_path / 'run'} began")


def test_a_run_goes_on_only_with_the_site_files_that_it_began_with(hospitals, tmp_path):
    hospitals()
    path = with_files(tmp_path, checkpoint={"every_rounds": 1})
    config = Config.from_file(path).with_sites(
        {name: tmp_path / name / "site.toml" for name in ("north", "south")}
    )
    stopped(config, tmp_path / "run")
    site = tmp_path / "south" / "site.toml"
    before = site.read_text()
    site.write_text(before + "\n[model]\nname = 'conditionals'\nhidden = 9\n")
    with pytest.raises(RunFolderError, match="the site file of 'south' changed since"):
        Federation.resume(tmp_path / "run", trust=True)
    site.write_text(before)
    assert Federation.resume(tmp_path / "run", trust=True).record.status == "finished"


def test_somebody_elses_run_folder_reads_no_site_file(hospitals, tmp_path):
    hospitals()
    path = with_files(tmp_path, checkpoint={"every_rounds": 1})
    config = Config.from_file(path).with_sites(
        {name: tmp_path / name / "site.toml" for name in ("north", "south")}
    )
    stopped(config, tmp_path / "run")
    (tmp_path / "run" / "seal").unlink()
    text = fault(Federation.resume, tmp_path / "run")
    assert f"players.north.site: {tmp_path / 'north' / 'site.toml'}" in text


def test_a_new_run_begins_with_the_models_of_another(hospitals, tmp_path):
    Federation(hospitals()).run(tmp_path / "first")
    (tmp_path / "south.csv").write_text(rows(50, "age", "grade", "tumour", seed=9))
    result = Federation(hospitals()).run(tmp_path / "second", start_from=tmp_path / "first")
    assert result.record.started_from.data == "changed"
    assert result.record.status == "finished"


# ------------------------------------------------------------------------------------ the errors


def test_a_player_without_data_is_named(hospitals, tmp_path):
    config = hospitals(
        players={"north": {"data": data_of(tmp_path, "north")}, "south": {}, "east": {}}
    )
    text = checked(config)
    assert "players: no data for 'south', 'east'; give each a [players.NAME.data]" in text


def test_a_federation_whose_sites_are_not_named_does_not_play_with_other_data(tmp_path):
    text = checked(Config.from_file(with_files(tmp_path)))
    assert "players: no data for 'north', 'south'; give each" in text
    assert "--site NAME=PATH" in text


def test_site_files_need_the_agreed_variables(hospitals, tmp_path):
    path = with_files(tmp_path, variables={}, players={"north": {"site": "north/site.toml"}})
    text = fault(Config.from_file, path)
    assert (
        "variables: expected the agreed variables, since north is read from a site file, and each "
        "site must know what its columns are to be; 'coplay init --from FILES' writes them"
    ) in text


def sites_of(tmp_path, **paths):
    config = Config.from_file(with_files(tmp_path))
    return config.with_sites({name: tmp_path / path for name, path in paths.items()})


def test_a_site_file_that_is_not_there_is_named_with_its_site(hospitals, tmp_path):
    hospitals()
    config = sites_of(tmp_path, north="north/site.toml", south="sout/site.toml")
    text = checked(config)
    assert f"players.south.site: the site file {tmp_path / 'sout/site.toml'} does not exist" in text


def test_a_table_that_is_not_there_is_named_with_its_site(hospitals, tmp_path):
    hospitals()
    config = sites_of(tmp_path, north="north/site.toml", south="south/site.toml")
    (tmp_path / "south.csv").unlink()
    text = checked(config)
    assert text.startswith("site 'south': the file ")
    assert "south.csv does not exist" in text
    assert "north" not in text.replace(str(tmp_path), "")


def test_a_site_file_of_another_federation_is_refused(hospitals, tmp_path):
    hospitals()
    path = with_files(tmp_path, federation="banks")
    config = Config.from_file(path).with_sites({"north": tmp_path / "north/site.toml"})
    file = tmp_path / "north/site.toml"
    assert (
        f"players.north.site: {file} belongs to the federation 'banks', and this one is called "
        "'hospitals'"
    ) in fault(lambda: config.site_files)


def test_two_sites_of_one_name_are_refused(hospitals, tmp_path):
    hospitals()
    config = sites_of(tmp_path, north="north/site.toml", south="north/site.toml")
    file = tmp_path / "north/site.toml"
    assert (
        f"players.south.site: {file} and {file} are both of the site 'north'; every site has a "
        "name of its own"
    ) in checked(config)


def test_the_file_of_another_site_is_refused(hospitals, tmp_path):
    hospitals()
    with_files(tmp_path, players={"west": {}, "south": {}})
    config = Config.from_file(tmp_path / "federation.toml")
    config = config.with_sites({"west": tmp_path / "north/site.toml"})
    file = tmp_path / "north/site.toml"
    assert (f"players.west.site: {file} is the file of the site 'north', not of 'west'") in fault(
        lambda: config.site_files
    )


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--site=nort=a.toml", "--site nort: no player is called so; known, nearest first: north"),
        ("--site=north", "--site north: expected NAME=PATH, such as north=a/site.toml"),
    ],
)
def test_an_option_for_no_site_is_refused(tmp_path, option, words, capsys):
    path = with_files(tmp_path)
    assert cli.main(["run", str(path), option, "--out", str(tmp_path / "run")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_site_that_is_named_twice_is_refused(tmp_path, capsys):
    path = with_files(tmp_path)
    options = ["--site=north=a.toml", "--site=north=b.toml"]
    assert cli.main(["run", str(path), *options]) == 2
    assert "--site north=b.toml: the site 'north' has a.toml already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (
            ["1.5", "2.5", "3.5"] * 5,
            "'x' is real scalar at 'south' and categorical of 2 scalar at 'north'",
        ),
        (["yes", "no"] * 8, "'x' is binary scalar at 'south' and categorical of 2 scalar at"),
    ],
)
def test_variables_of_one_name_and_two_kinds_are_refused_with_both_sites(tmp_path, cells, words):
    (tmp_path / "north.csv").write_text("x,y\n" + "a,1\nb,2\n" * 8)
    (tmp_path / "south.csv").write_text("x,y\n" + "".join(f"{cell},1\n" for cell in cells))
    players = {name: {"data": data_of(tmp_path, name)} for name in ("north", "south")}
    text = checked(Config.from_dict({"players": players, "game": GAME}))
    assert text.startswith("sites have different variables of one name: ")
    assert words in text


def test_shapes_and_units_that_differ_are_refused_with_both_sites(hospitals):
    spaces = {
        "north": Space({"x": Variable(kind="real", shape=(3,))}),
        "south": Space({"x": Variable(kind="real", shape=(4,))}),
    }
    assert "'x' is real 4 at 'south' and real 3 at 'north'" in given_of(hospitals, spaces)
    spaces = {
        "north": Space({"x": Variable(kind="real", unit="mm")}),
        "south": Space({"x": Variable(kind="real", unit="cm")}),
    }
    words = "'x' is real scalar cm at 'south' and real scalar mm at 'north'"
    assert words in given_of(hospitals, spaces)


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        (
            Variable(kind="categorical", classes=2, names=("benign", "malignant")),
            Variable(kind="categorical", classes=2, names=("benign", "malignent")),
            "'x' is categorical of 2 scalar ('benign', 'malignent') at 'south' and categorical of "
            "2 scalar ('benign', 'malignant') at 'north'",
        ),
        (
            Variable(kind="real", low=0, high=1),
            Variable(kind="real", low=0, high=100),
            "'x' is real scalar in [0, 100] at 'south' and real scalar in [0, 1] at 'north'",
        ),
        (
            Variable(kind="count"),
            Variable(kind="count", shape=(2,)),
            "'x' is count 2 at 'south' and count scalar at 'north'",
        ),
    ],
)
def test_players_that_agreed_on_other_variables_are_named(one, other, words):
    facts = {}
    for name, variable in (("north", one), ("south", other)):
        facts[name] = Facts(name, "0.1.0", PROTOCOL, "", variables_to_text({"x": variable}))
    assert fault(check_same_variables, facts) == (
        f"players agreed on different variables: {words}. Give all the same [variables]"
    )
    facts["south"] = Facts("south", "0.1.0", PROTOCOL, "", facts["north"].learned)
    check_same_variables(facts)


def test_what_players_take_as_agreed_is_compared_with_the_coordinators():
    """The sentence says which variable differs and where, not that two digests do."""
    dose = Variable(kind="real", low=0, high=9)
    grade = Variable(kind="real", optional=True)
    agreed = Space({"dose": dose, "grade": grade})
    digest = schema_digest(agreed)

    def facts(name, schema, **variables):
        return Facts(name, "0.1.0", PROTOCOL, schema, variables_to_text(variables))

    north = facts("north", digest, dose=dose, grade=required(agreed)["grade"])
    silent = facts("silent", "", dose=dose)
    check_same_variables({"north": north, "silent": silent}, agreed)
    wider = facts("east", "f00", dose=Variable(kind="real", low=0, high=90))
    more = facts("west", "f00", dose=dose, age=dose)
    other = facts("south", "f00", dose=dose)
    text = fault(
        lambda each: check_same_variables(each, agreed),
        {"north": north, "east": wider, "west": more, "south": other, "silent": silent},
    )
    assert text == (
        "players agreed on different variables: 'dose' is real scalar in [0, 90] at 'east' and "
        "real scalar in [0, 9] at the coordinator; 'age' is learned at 'west', and was not agreed "
        "on; what 'south' learns is as agreed, but its [variables] are others than the "
        "coordinator's: in those that it does not learn, in their order, or in which may be "
        "missing in some rows. Give all the same [variables]"
    )


def given_of(hospitals, spaces):
    given = {}
    for name, space in spaces.items():
        data = space.samples(x=torch.zeros(5, *space["x"].shape))
        given[name] = Dataset(name, space, data, data)
    return fault(Federation(hospitals(), given).prepare)


def test_a_site_that_does_not_fit_the_agreement_is_named_with_all_others(hospitals, tmp_path):
    hospitals()
    config = sites_of(tmp_path, north="north/site.toml", south="south/site.toml")
    (tmp_path / "north.csv").write_text("age,dose,tumour\n" + "31,1,benign\n" * 9 + "31,1,bening\n")
    (tmp_path / "south.csv").write_text(
        "age,grade,tumour\n" + "31,1,benign\n" * 9 + "131,1,benign\n"
    )
    text = checked(config)
    north, south = text.split("\nsite 'south'")
    assert re.fullmatch(
        r"site 'north': \S+/north.csv, line 11, column 'tumour': expected one of 'benign', "
        r"'malignant', got 'bening'; the nearest is 'benign'\nmend .*",
        north,
    )
    assert "south.csv, line 11, column 'age': expected a value in [0, 120], got 131" in south


def test_a_variable_that_nobody_has_is_refused(hospitals, tmp_path):
    hospitals()
    more = {**VARIABLES, "weight": {"kind": "real"}}
    path = with_files(tmp_path, variables=more)
    for name in ("north", "south"):
        site = tmp_path / name / "site.toml"
        site.write_text(site.read_text().replace("lacks = [", 'lacks = [\n    "weight",'))
    config = Config.from_file(path).with_sites(
        {name: tmp_path / name / "site.toml" for name in ("north", "south")}
    )
    assert checked(config) == (
        "'weight' was agreed, and nobody has data of it: expected some of north, south to have it. "
        "Leave it out of [variables], or name its column in the data of a site"
    )


def test_sites_with_no_variable_in_common_are_refused(hospitals, tmp_path):
    config = hospitals(
        model={"name": "exponential_family"},
        players={
            "north": {"data": data_of(tmp_path, "north"), "variables": ["dose"]},
            "south": {"data": data_of(tmp_path, "south"), "variables": ["grade"]},
        },
    )
    assert checked(config) == (
        "player 'north' listens to 'south' and has no variable in common with it"
    )


def test_a_model_that_needs_every_variable_is_refused_at_a_site_that_lacks_one(hospitals):
    text = checked(hospitals(model={"name": "symmetric_hvae"}))
    assert text.startswith("site 'north' lacks 'grade', and ")
    assert "needs every variable; choose a model that learns from incomplete samples" in text


def test_too_few_rows_are_refused(hospitals, tmp_path):
    config = hospitals()
    (tmp_path / "north.csv").write_text("age,dose,tumour\n1,2,benign\n3,4,malignant\n")
    assert "site 'north': 2 rows are too few to hold any out" in checked(config)


def test_pooled_is_refused_by_name(hospitals):
    text = checked(hospitals(compare=["isolated", "pooled"]))
    assert (
        "'pooled' learns from the data of all players in one place, and 'north', 'south' have data "
        "of their own, which cannot be pooled; leave it out"
    ) in text


def test_a_site_file_beside_the_same_settings_is_refused():
    with pytest.raises(ConfigError, match=r"players.north.model: the site file a.toml says that"):
        Config.from_dict({"players": {"north": {"site": "a.toml", "model": "conditionals"}}})


def test_a_federation_may_name_no_code_for_its_sites_but_their_own_files_may(
    hospitals, tmp_path, monkeypatch
):
    hospitals()
    (tmp_path / "north" / "site.toml").parent.mkdir()
    (tmp_path / "north" / "ours_of_north.py").write_text(
        "from coplay.models.exponential_family import ExponentialFamily\n\n\n"
        "class Ours(ExponentialFamily):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "north"))
    path = with_files(tmp_path, model={"name": "ours_of_north:Ours"})
    files = {name: tmp_path / name / "site.toml" for name in ("north", "south")}
    text = checked(Config.from_file(path).with_sites(files))
    assert "model: ours_of_north:Ours is code from outside coplay, and 'north', 'south'" in text
    path = with_files(tmp_path, model={"name": "exponential_family"})
    north = tmp_path / "north" / "site.toml"
    north.write_text(north.read_text() + '\n[model]\nname = "ours_of_north:Ours"\n')
    config = Config.from_file(path).with_sites(files)
    result = Federation(config).run(tmp_path / "run")
    assert result.model_name("north") == "Ours"
    assert result.model_name("south") == "exponential_family"


def test_a_site_that_agreed_on_other_variables_is_named_before_play(hospitals):
    config = hospitals()
    sites = own_data(config, None, {})
    assert list(facts_of_sites(config, sites)) == ["north", "south"]
    space = sites["south"].agreement.space
    wider = Space({**{name: space[name] for name in space}, "weight": Variable(kind="real")})
    agreement = replace(sites["south"].agreement, space=wider, learns=["age", "tumour"])
    sites["south"] = replace(sites["south"], agreement=agreement, _held=None)
    facts = facts_of_sites(config, sites)
    text = fault(check_same_variables, facts, sites["north"].agreement.space)
    assert "what 'south' learns is as agreed, but its [variables] are others than the" in text
