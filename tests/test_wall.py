"""The wall: players answer messages from a process of their own, and nothing else passes."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from coplay import Config, Federation, Message, Space, Variable, find, names
from coplay.core.codec import reply_from_bytes
from coplay.core.message import COORDINATOR, PlayerDied, PlayerLost
from coplay.core.requests import Evaluate, Measure, Save
from coplay.core.telling import EVERYTHING
from coplay.engines.local import Local
from coplay.run.known_heads import read_heads
from coplay.site.egress import Record

from . import wall

GAMES = [name for name in names("game") if not find("game", name).pools_data]
IMAGES = Space(
    {
        "image": Variable(kind="real", shape=(4, 4), low=0, high=1),
        "class": Variable(kind="categorical", classes=3),
    }
)
PLAYERS = ["p0", "p1", "p2"]
GAN = {"name": "acgan", "latent": 4, "batch": 4}
CLASSIFIER = {
    "name": "joint_classifier",
    "latents": [3, 4],
    "channels": 2,
    "hidden": 8,
    "batch": 4,
    "classifier_channels": 2,
}
COPYING = {"name": "tests.wall:Copies"}
"""A model that stores rows and sends them."""

LEARNING_MORE = {
    "mixture": {"name": "sklearn.mixture:GaussianMixture", "n_components": 3},
    "gan": GAN,
    "vae": CLASSIFIER,
    "conditionals": {"name": "conditionals", "hidden": 8, "batch": 32},
}
"""Models for exchanging samples that store no rows, with what they learn in 30 steps a round."""

MODELS = {
    "md_gan": GAN,
    "fl_gan": GAN,
    "distillation": CLASSIFIER,
    "sourced_exchange": LEARNING_MORE["conditionals"],
}


def rows_of(space, n, seed):
    """Random rows of a space; numbers are continuous, so that no two rows agree by chance."""
    generator = torch.Generator().manual_seed(seed)
    values = {}
    for name in space:
        variable = space[name]
        if variable.classes:
            values[name] = torch.randint(variable.classes, (n,), generator=generator)
        else:
            values[name] = torch.rand((n, *variable.shape), generator=generator)
    return space.samples(**values)


def settings_of(name, samples):
    game = find("game", name).tiny()
    settings = {"name": name, **game.model_dump(mode="json", exclude_none=True)}
    if "samples_per_round" in settings:
        settings |= {"samples_per_round": samples, "local_steps": samples // 30 or 1}
    return settings


def founded(folder, game, model=None, n=6, seed=0):
    """Write three sites for a game, with rows of the seeds from ``seed`` on."""
    chosen = model or MODELS.get(game, {"name": "exponential_family"})
    terms = wall.terms_of(settings_of(game, max(20, n)), chosen, IMAGES, PLAYERS)
    rows = [rows_of(IMAGES, n, seed + place) for place in range(len(PLAYERS))]
    return wall.founded(folder, terms, rows, EVERYTHING.model_dump(mode="json"))


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    """Three sites for every game, all behind one wall."""
    of_game = {name: founded(tmp_path_factory.mktemp(name), name) for name in GAMES}
    with wall.opened([site for three in of_game.values() for site in three]):
        yield of_game


def played(sites, rounds=2):
    """Play behind the wall; return the digest of what was left, and the engine, closed."""
    terms = sites[0].terms
    engine = wall.Wall()
    rows, state = wall.play(terms, engine, [*terms.elsewhere(), *terms.seats()], rounds)
    engine.close()
    return wall.digest_of(rows, state), engine


def played_here(sites, data=None):
    """Play the same in this process, one player after the other; return the digest.

    Args:
        sites: The sites.
        data: Other sites whose rows are used.
    """
    terms = sites[0].terms
    players = [site.build() for site in data or sites] + terms.seats()
    engine = Local(groups=len(players))
    rows, state = wall.play(terms, engine, players)
    engine.close()
    return wall.digest_of(rows, state)


@pytest.mark.parametrize("name", GAMES)
def test_every_game_plays_by_messages_alone_and_leaves_the_same_bits(name, sites):
    digest, _ = played(sites[name])
    assert digest == played_here(sites[name])


@pytest.mark.parametrize("name", GAMES)
def test_the_bits_depend_on_the_rows_behind_the_wall(name, sites, tmp_path):
    """Else the test above would notice nothing."""
    others = founded(tmp_path, name, seed=50)
    assert played_here(sites[name], others) != played_here(sites[name])
    shutil.rmtree(wall.terms_file(others[0]).parent)


def test_a_player_saves_in_its_own_folder(sites):
    three = sites["isolated"]
    terms = three[0].terms
    engine = wall.Wall()
    wall.play(terms, engine, terms.elsewhere())
    replies = engine.ask([Message(Save(), COORDINATOR, name, 2) for name in PLAYERS])
    engine.close()
    assert all(type(reply) is Message and not reply.payload for reply in replies)
    for site in three:
        assert list(Path(site.folder).rglob("*p?.safetensors")), site.name


def test_what_a_site_cannot_read_is_answered_by_a_refusal_and_play_goes_on(sites):
    terms = sites["isolated"][0].terms
    engine = wall.Wall()
    wall.play(terms, engine, terms.elsewhere())
    answer = engine._exchange("p0", wall.ASK + b"CPLY and so on")
    ask = Message(Evaluate(4, 1), COORDINATOR, "p0", 2)
    refused = reply_from_bytes(answer, ask)
    assert type(refused) is PlayerLost
    assert "refused: a request" in refused.reason
    (reply,) = engine.ask([ask], "evaluation")
    assert len(reply.payload[COORDINATOR]) == 4
    engine.close()


def test_a_site_whose_process_dies_is_lost_by_name(tmp_path):
    sites = founded(tmp_path, "isolated")
    terms = sites[0].terms
    engine = wall.Wall()
    with wall.opened(sites) as process:
        wall.play(terms, engine, terms.elsewhere())
        process.kill()
        process.wait()
        (lost,) = engine.ask([Message(Evaluate(4, 1), COORDINATOR, "p1", 2)], "evaluation")
    engine.close()
    assert type(lost) is PlayerDied
    assert (lost.player, lost.action, lost.round) == ("p1", "evaluate", 2)


def test_the_coordinator_has_no_way_to_make_a_player():
    with pytest.raises(AssertionError, match="tried to make player 'p0'"):
        Local().start([wall.Elsewhere("p0", 1, "nowhere")], find("game", "isolated").tiny())


# ------------------------------------------------------------------------------ planted rows

ROWS = 1000


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Three sites for each game, with one planted row among a thousand each; and some that copy.

    The planted row is unlike any other: all others are uniform, and its pixels step up evenly.
    """
    of_game = {name: founded(tmp_path_factory.mktemp(name), name, n=ROWS) for name in GAMES}
    for name, model in (LEARNING_MORE | {"copies": COPYING}).items():
        of_game[name] = founded(tmp_path_factory.mktemp(name), "sample_exchange", model, ROWS)
    for sites in of_game.values():
        for place, site in enumerate(sites):
            path = Path(site.folder) / "rows.safetensors"
            rows = load_file(path)
            rows["image"][ROWS // 2] = planted_row(place)
            save_file(rows, path)
    with wall.opened([site for three in of_game.values() for site in three]):
        yield of_game


def planted_row(place):
    return torch.linspace(0.011, 0.987, 16).view(4, 4) - 0.001 * place


def images_sent(engine):
    """Everything of an image's shape that left a site, as float32 (n, 16)."""
    rows = [torch.zeros(0, 16)]
    for ask, reply in engine._log:
        if ask.receiver not in PLAYERS:
            continue
        for samples in reply.samples().values():
            for values in samples.values():
                if values.is_floating_point() and values[0].numel() == 16:
                    rows.append(values.reshape(-1, 16).float())
    return torch.cat(rows)


def met(real, sent):
    """Distance of each real row to the nearest that was sent."""
    return torch.cdist(real.flatten(1), sent, compute_mode="donot_use_mm_for_euclid_dist").amin(1)


def shares_of_nearest(sent):
    """Of the tenth of all real rows that were met most closely, how many were trained on.

    As many rows of the same law were held out, at every site.
    """
    trained = torch.cat([rows_of(IMAGES, ROWS, seed)["image"] for seed in range(3)])
    held_out = torch.cat([rows_of(IMAGES, ROWS, seed)["image"] for seed in range(100, 103)])
    distances = torch.cat([met(trained, sent), met(held_out, sent)])
    nearest = distances.argsort()[: len(distances) // 10]
    return int((nearest < len(trained)).sum()), len(nearest)


def bits_sent(engine):
    """Number of rows that left a site with every bit, planted or not, as it is or as a network's.

    Searched for in the bytes themselves, whatever the tensors that hold them are.
    """
    everything = b"".join(engine._bytes)
    count = 0
    for place in range(len(PLAYERS)):
        rows = rows_of(IMAGES, ROWS, place)["image"][:20]
        rows = torch.cat([rows, planted_row(place)[None]])
        for row in torch.cat([rows, rows * 2 - 1, rows.flip(0)]):
            count += row.numpy().tobytes() in everything
            count += row.double().numpy().tobytes() in everything
    return count


@pytest.mark.parametrize("name", [*GAMES, *LEARNING_MORE])
def test_planted_rows_never_leave_and_trained_rows_are_met_no_more_than_others(name, planted):
    _, engine = played(planted[name])
    assert bits_sent(engine) == 0
    sent = images_sent(engine)
    if name == "isolated":
        assert not len(sent)
        return
    if len(sent):
        closest = met(torch.stack([planted_row(place) for place in range(3)]), sent)
        assert closest.min() > 0.1
        trained, of = shares_of_nearest(sent)
        assert trained / of < 0.5 + 3 * math.sqrt(0.25 / of)


def test_a_model_that_copies_rows_is_noticed_by_both(planted):
    _, engine = played(planted["copies"])
    assert bits_sent(engine) > 0
    trained, of = shares_of_nearest(images_sent(engine))
    assert trained / of > 0.9


# ------------------------------------------------------------------ files that a coordinator opens


def opened_files(terms, folder, *more):
    """Play as a coordinator under strace; return its output, and the files that it named."""
    trace = folder / "trace.txt"
    command = ["strace", "-f", "-q", "-s", "4096", "-e", "trace=file", "-o", str(trace)]
    play = [sys.executable, "-m", "tests.wall", "play", str(terms), *map(str, more)]
    done = subprocess.run([*command, *play], cwd=wall.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), trace.read_text()


@pytest.fixture
def hospitals(tmp_path):
    """The shipped hospitals, in a folder of their own and with few steps."""
    return wall.federated(tmp_path / "homes", short_hospitals(tmp_path / "hospitals"))


def short_hospitals(folder):
    """Write the shipped hospitals with few steps; return the path of their federation."""
    shutil.copytree(wall.ROOT / "configs" / "hospitals", folder)
    for path in folder.glob("*.toml"):  # sites that tell nothing at all
        if path.name != "federation.toml":
            path.write_text(path.read_text().split("# Of what is computed")[0])
    federation = folder / "federation.toml"
    text = re.sub(r"(?m)^(rounds|local_steps) = .*$", r"\1 = 2", federation.read_text())
    federation.write_text(text.replace("own_rounds = 2", "own_rounds = 1"))
    for name in ("north", "south", "east"):  # sites that tell nothing at all
        file = folder / f"{name}.toml"
        file.write_text(file.read_text().partition("\n[tell]")[0])
    return federation


def test_hospitals_play_by_messages_alone_and_say_no_more_than_their_site_files(hospitals):
    with wall.opened(hospitals):
        digest, engine = played(hospitals)
    assert digest == played_here(hospitals)
    agreed = set(hospitals[0].terms.variables)
    assert any(reply.payload for _, reply in engine._log), "nothing was exchanged"
    for ask, reply in engine._log:
        assert ask.receiver == reply.sender
        for samples in reply.samples().values():
            assert set(samples.keys()) <= agreed
    facts = engine._bytes[: len(hospitals)]
    for data in facts:
        assert b"count" not in data
        assert b'"shares": []' in data
    # the unit's column, and the names that a site has for its own columns
    for secret in (b"patient", b"befund", b".csv"):
        assert not [data for data in engine._bytes if secret in data]


def test_what_hospitals_measure_of_themselves_stays_behind_the_wall(hospitals):
    """Their site files name no number: neither losses nor scores are in any byte that left."""
    terms = hospitals[0].terms
    engine = wall.Wall()
    with wall.opened(hospitals):
        rows, _ = wall.play(terms, engine, terms.elsewhere())
        request = Measure(200, ("fidelity", "utility", "memorisation"), "diagnosis")
        replies = engine.ask(
            [Message(request, COORDINATOR, n, 2) for n in terms.players], "evaluation"
        )
    engine.close()
    for row in rows:
        for numbers in row.players.values():
            assert {name for name in numbers if not name.startswith("seconds_")} <= {"flops"}
    assert all(reply.numbers == {} and not reply.payload for reply in replies)
    everything = b"".join(engine._bytes)
    assert b"loss" not in everything
    for site in hospitals:
        (line,) = (Path(site.folder) / "site" / f"{site.name}.jsonl").read_text().splitlines()
        values = json.loads(line)["values"]
        assert {"column_fidelity", "utility", "utility_of_real", "copies_share"} <= set(values)
        for value in values.values():
            digits = repr(value["value"])
            assert len(digits) < 8 or digits.encode() not in everything
            assert struct.pack("<d", value["value"]) not in everything or len(digits) < 8


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_the_coordinator_of_hospitals_opens_no_file_of_theirs(hospitals, tmp_path):
    with wall.opened(hospitals):
        digest, trace = opened_files(wall.terms_file(hospitals[0]), tmp_path)
    assert digest == played_here(hospitals)
    assert str(wall.terms_file(hospitals[0])) in trace
    for site in hospitals:
        for file in (f"{site.name}.csv", f"{site.name}.toml", Path(site.folder).name):
            assert file not in trace


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("name", ["sample_exchange", "md_gan"])
def test_the_coordinators_process_never_opens_a_file_of_a_site(name, tmp_path):
    sites = founded(tmp_path / "sites", name)
    expected = played_here(sites)
    with wall.opened(sites):
        terms = wall.terms_file(sites[0])
        digest, trace = opened_files(terms, tmp_path)
        assert digest == expected
        assert str(terms) in trace, "nothing was traced"
        for site in sites:
            assert Path(site.folder).name not in trace
        # and a coordinator that does is noticed
        rows = Path(sites[1].folder) / "rows.safetensors"
        _, trace = opened_files(terms, tmp_path, rows)
        assert str(rows) in trace


# ------------------------------------------------------------------------------------- a whole run


@pytest.fixture
def apart(tmp_path):
    """The hospitals, each at home, and a coordinator that has their files but none of the tables.

    Returns the sites, and what a coordinator of a whole run is given.
    """
    sites = wall.federated(tmp_path / "homes", short_hospitals(tmp_path / "there"), whole=True)
    federation = short_hospitals(tmp_path / "here")
    for table in federation.parent.glob("*.csv"):
        table.unlink()
    sockets = federation.with_name("sockets.json")
    sockets.write_text(json.dumps({site.name: site.socket for site in sites}))
    return sites, [str(federation), str(sockets), str(tmp_path / "run")]


def coordinated(given, *before):
    """Let a process of its own coordinate a whole run; return what it prints."""
    command = [*before, sys.executable, "-m", "tests.wall", "run", *given]
    done = subprocess.run(command, cwd=wall.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def files_below(folder, *names):
    """Digests of files by their path in a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for name in names
        for path in sorted(folder.rglob(name))
    }


def test_a_whole_run_needs_nothing_of_the_sites_but_their_messages(apart, tmp_path):
    """Measured, stopped, resumed and reported by a process that has no table to read."""
    sites, given = apart
    with wall.opened(sites):
        seen = coordinated(given)
    assert seen["status"] == "finished"
    run = Path(given[-1])
    # the same bits as where one process has everything
    values = Config.from_file(Path(sites[0].federation)).to_dict()
    values |= {"engine": {"name": "local", "groups": 3}, "checkpoint": {"every_rounds": 1}}
    whole = Federation(Config.from_dict(values)).run(tmp_path / "whole")
    for game, rows in wall.rows_of(whole).items():
        assert len(rows) == len(seen["rows"][game]) == 2
        for here, there in zip(rows, seen["rows"][game], strict=True):
            assert here == there
    for site in sites:
        expected = files_below(tmp_path / "whole" / "sites" / site.name, "*.safetensors")
        assert files_below(site.run / "sites" / site.name, "*.safetensors") == expected
        assert len(expected) == 4, "a model and what it was judged by, for each game"
        own = site.run / "sites" / site.name
        assert own.stat().st_mode & 0o777 == 0o700
        assert len(list(own.rglob(f"site/{site.name}.jsonl"))) == 2, "it measured itself"
        assert not list(own.rglob("checkpoints"))
        # what left is written down there, and the coordinator has the end of it from the messages
        for game in ("sample_exchange", "isolated"):
            left = Record.read(own / game / "egress.jsonl")
            assert left.fault == ""
            assert read_heads(run / game)[site.name] == left.head
        for path in own.rglob("*"):
            assert path.is_dir() or path.stat().st_mode & 0o777 == 0o600, path
    # and the coordinator has nothing of any site
    assert not (run / "sites").exists()
    assert not list(run.rglob("models"))
    assert not list(run.rglob("errors.txt"))
    for path in run.rglob("checkpoint.json"):
        record = json.loads(path.read_text())
        assert record["models"] == {}
        assert record["at_sites"] == ["north", "south", "east"]
    for name in ("north", "south", "east"):
        model, best, sample = seen["faults"][name]
        assert model == sample
        assert model.startswith(f"the model of '{name}' is at the site '{name}': ")
        assert f"the rows that '{name}' kept to choose a model by are at the site" in best


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_the_coordinator_of_a_whole_run_opens_no_file_of_a_site(apart, tmp_path):
    sites, given = apart
    trace = tmp_path / "trace.txt"
    strace = ["strace", "-f", "-q", "-s", "4096", "-e", "trace=file", "-o", str(trace)]
    with wall.opened(sites):
        seen = coordinated(given, *strace)
    assert seen["status"] == "finished"
    lines = trace.read_text().splitlines()
    for file in (given[0], f"{given[-1]}/report.html", f"{given[-1]}/isolated/checkpoint.json"):
        assert any(file in line for line in lines), "nothing was traced"
    for site in sites:
        for file in (f"{site.name}.csv", Path(site.folder).name, f"{site.name}.safetensors"):
            assert not [line for line in lines if file in line and "ENOENT" not in line]
    opened = [line for line in lines if "open" in line.partition("(")[0] and "ENOENT" not in line]
    of_run = [line for line in opened if given[-1] in line]
    assert of_run
    assert not [line for line in of_run if "/sites/" in line or "/models/" in line]
