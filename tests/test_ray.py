"""The Ray engine with real processes and real signals.

The oracle is the local engine in as many groups.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import tomli_w
import torch

import coplay.engines.ray as module
from coplay import Config, Federation, Message, Player, PlayerLost, Space, Variable
from coplay.core import storage
from coplay.core.errors import ConfigError, EngineError, PlayerError
from coplay.core.message import COORDINATOR
from coplay.engines import ray_cluster
from coplay.engines.ray import Ray
from coplay.engines.ray_cluster import loopback, not_started
from coplay.games.md_gan import MdGan
from coplay.games.sample_exchange import SampleExchange, Turn
from coplay.models.acgan import Acgan
from coplay.models.exponential_family import ExponentialFamily
from coplay.player import Evaluate, Restore

from .cluster import shared_cluster
from .oracles.small_gans import DOUBLED

ray = pytest.importorskip("ray")

EXCHANGE = {
    "name": "exchange",
    "seed": 5,
    "data": {
        "partition": {
            "name": "by_class",
            "classes": {"deep": [0, 1, 2, 3, 4], "mix": [3, 4, 5, 6], "near": [7, 8, 9]},
        }
    },
    "players": {
        "deep": {
            "model": {"name": "symmetric_hvae", "hidden": 16, "batch": 20, "send_latents": True}
        },
        "mix": {
            "model": {
                "name": "sklearn.mixture:GaussianMixture",
                "n_components": 4,
                "covariance_type": "diag",
                "reg_covar": 0.01,
            }
        },
        "near": {"model": {"name": "sklearn.neighbors:KernelDensity", "bandwidth": 0.2}},
    },
    "game": {
        "name": "sample_exchange",
        "rounds": 6,
        "local_steps": 4,
        "samples_per_round": 6000,
        "originals": True,
    },
    "measure": {
        "metrics": [],
        "samples": 2000,
        "every_rounds": 6,
        "log_prob": True,
        "log_prob_draws": 4,
        "nash_gap_steps": 2,
    },
    "checkpoint": {"every_rounds": 2},
}
"""A game that uses every request to a player.

Its parts are larger and smaller than 100 KiB, which travel differently, and latents travel too.
"""
GANS = {
    "name": "gans",
    "seed": 5,
    "players": 4,
    "data": {"source": {"name": "digits", "grey": True}, "variables": ["image", "class"]},
    "model": {"name": "acgan", "latent": 8, "batch": 10},
    "game": {"name": "md_gan", "rounds": 4, "local_steps": 4, "swap_every_epochs": 0.06},
    "measure": {"metrics": [], "samples": 100, "every_rounds": 4},
    "checkpoint": {"every_rounds": 2},
}


FINISH = Ray.finish


@pytest.fixture(scope="module")
def cluster():
    with shared_cluster():
        yield


def play(base, folder, engine, **game):
    sections = {"game": base["game"] | game, "engine": engine}
    return Federation(Config.from_dict(base | sections)).run(folder)


def rows(run):
    """The rounds of a run, without the time they took."""
    (path,) = run.glob("*/rows.jsonl")
    rounds = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rounds:
        del row["seconds"], row["seal"]  # a seal holds the times, too
        for numbers in row["players"].values():
            numbers.pop("seconds_learning", None)
    return rounds


def learned(run):
    """Everything a run learned, showed and counted, as bytes."""
    files = [
        path
        for what in ("*/models/*", "*/samples/*", "*/checkpoint.json")
        for path in run.glob(what)
    ]
    assert files
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    """Return a function that plays a run in one process, in two groups, once for all tests."""
    folder = tmp_path_factory.mktemp("oracle")

    def run_of(base):
        run = folder / base["name"]
        if not run.exists():
            play(base, run, {"name": "local", "groups": 2})
        return run

    return run_of


@pytest.fixture
def at(monkeypatch):
    """Do something just before the engine delivers the n-th request for an action in a round."""

    def register(action, round, act, nth=1):
        deliver = Ray.deliver
        requests = []

        def watched(self, messages, purpose):
            if (messages[0].action, messages[0].round) == (action, round):
                requests.append(messages)
                if len(requests) == nth:
                    act(self)
            return deliver(self, messages, purpose)

        monkeypatch.setattr(Ray, "deliver", watched)

    return register


def process_of(engine, player):
    return ray.get(engine._actors[engine._group_of[player]].ready.remote())


def killing(player, after=0.3):
    """SIGSTOP, so that the request reaches a process at work, and then SIGKILL."""

    def act(engine):
        number = process_of(engine, player)
        os.kill(number, signal.SIGSTOP)
        threading.Timer(after, os.kill, (number, signal.SIGKILL)).start()

    return act


# ---------------------------------------------------------- out of reach; before there is a cluster


def test_without_ray_the_error_names_the_line_to_install_it(tmp_path):
    (tmp_path / "exchange.toml").write_text(
        tomli_w.dumps(EXCHANGE | {"engine": {"name": "local", "threads": 1}})
    )
    code = (
        "import sys\n"
        "sys.modules['ray'] = None\n"
        "from coplay.cli.main import main\n"
        "sys.exit(main(['run', 'exchange.toml', '--out', 'run', '--set', 'engine.name=ray']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2, done.stderr
    assert "pip install 'coplay[ray]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_start_that_takes_too_long_names_the_setting_and_no_cpus_of_a_local_cluster():
    text = not_started(8, (2, 0), 600, {}, local=True)
    assert text == (
        "8 processes with 2 CPUs each did not start within 600 s; this machine has "
        f"{os.cpu_count()} CPUs, which others may be using. Take fewer processes, or set "
        "engine.start_seconds higher"
    )
    text = not_started(2, (1, 0.5), 60, {"CPU": 3.0})
    assert "with 1 CPUs and 0.5 GPUs each" in text
    assert "; 3 CPUs and 0 GPUs of the cluster are free now" in text
    text = not_started(2, (1, 0.5), 60, {"GPU": 1.0}, local=True)
    assert "may be using, and 1 GPUs that are free. Take" in text


def test_a_local_cluster_that_starts_too_slowly_is_not_called_full(bits):
    north = Player("north", bits, _ones(bits), ExponentialFamily(), 1)
    engine = Ray(processes=1, start_seconds=0.01)
    try:
        with pytest.raises(EngineError, match=r"within 0\.01 s; this machine has \d+ CPUs"):
            engine.start([north], SampleExchange.tiny())
    finally:
        engine.finish()


def _ones(space):
    return space.samples(image=torch.ones(4, 2, 3, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("engine", "note"),
    [
        ({"name": "ray", "processes": 8}, "engine.processes = 8, but there are 2 players and"),
        ({"name": "ray", "processes": 2}, None),
        ({"name": "local", "groups": 5}, "engine.groups = 5, but there are 2 players and seats"),
        ({"name": "local"}, None),
    ],
)
def test_more_processes_than_players_are_noted(engine, note, small_config):
    notes = Federation(small_config(engine=engine)).prepare().notes
    assert [each[: len(note or "")] for each in notes] == ([note] if note else [])


def test_an_address_where_nobody_listens_is_refused_at_once():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    begin = time.monotonic()
    with pytest.raises(
        EngineError, match=f"cannot reach the cluster at {address}: nobody listens there"
    ):
        Ray(address=address).start([], SampleExchange.tiny())
    assert time.monotonic() - begin < 10


def test_an_address_of_another_service_is_refused(monkeypatch):
    monkeypatch.setattr(ray_cluster, "_REACH_SECONDS", 4)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        begin = time.monotonic()
        with pytest.raises(EngineError, match="does not answer as the head of a Ray cluster"):
            Ray(address=f"127.0.0.1:{other.getsockname()[1]}").start([], SampleExchange.tiny())
        assert time.monotonic() - begin < 20


@pytest.mark.parametrize("address", ["auto", "ray://head:10001", "head", "head:"])
def test_an_address_is_a_host_and_a_port(address):
    with pytest.raises(ConfigError, match="expected 'host:port'"):
        Config.from_dict(EXCHANGE | {"engine": {"name": "ray", "address": address}})


# ---------------------------------------------------------------------------------------- agreement


@pytest.mark.parametrize(
    "base",
    [
        pytest.param(EXCHANGE, id="exchange"),
        pytest.param(GANS, id="gans", marks=pytest.mark.slow),
    ],
)
def test_models_samples_and_traffic_are_those_of_the_local_engine(cluster, oracle, tmp_path, base):
    play(base, tmp_path / "run", {"name": "ray", "processes": 2})
    expected = oracle(base)
    assert learned(tmp_path / "run") == learned(expected)
    assert rows(tmp_path / "run") == rows(expected)


# ------------------------------------------------------------------------------------------- losses


@pytest.mark.slow
def test_a_game_goes_on_without_those_whose_process_was_killed(cluster, tmp_path, at):
    """One in the middle of its turn, one while it saves."""
    at("turn", 3, killing("near"))
    at("save", 4, killing("mix"))
    result = play(EXCHANGE, tmp_path / "run", {"name": "ray", "processes": 3}, on_lost="continue")
    assert result.record.status == "finished"
    rounds = rows(tmp_path / "run")
    assert [row["round"] for row in rounds] == [1, 2, 3, 4, 5, 6]
    assert {row["round"]: list(row["lost"]) for row in rounds if "lost" in row} == {
        3: ["near"],
        4: ["mix"],
    }
    assert rounds[2]["lost"]["near"]["action"] == "turn"
    assert "its process died" in rounds[2]["lost"]["near"]["reason"]
    assert rounds[3]["lost"]["mix"]["action"] == "save"
    assert "influence" in rounds[2]
    assert set(rounds[2]["players"]) == {"deep", "mix"}, (
        "samples that the lost player sent are learned from"
    )
    assert set(rounds[4]["players"]) == {"deep"}
    assert [path.stem for path in (tmp_path / "run").glob("*/models/*")] == ["deep"]


@pytest.mark.slow
def test_md_gan_goes_on_without_the_workers_of_a_killed_process(cluster, tmp_path, at):
    at("feedback", 2, killing("player1"), nth=2)
    result = play(GANS, tmp_path / "run", {"name": "ray", "processes": 2}, on_lost="continue")
    assert result.record.status == "finished"
    rounds = rows(tmp_path / "run")
    assert {row["round"]: sorted(row["lost"]) for row in rounds if "lost" in row} == {2: GROUP}
    for loss in rounds[1]["lost"].values():
        assert loss["action"] == "feedback"
        assert "its process died" in loss["reason"]
    assert sorted(rounds[3]["players"]) == ["player3", "server"]


GROUP = ["player0", "player1", "player2"]
"""Players that share a process in GANS: five seats in two groups."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("base", "action", "round", "players"),
    [
        (EXCHANGE, "turn", 3, ["near"]),
        (EXCHANGE, "save", 4, ["near"]),
        (GANS, "feedback", 3, GROUP),
    ],
    ids=["exchange", "saving", "gans"],
)
def test_players_come_back_from_their_checkpoint(
    cluster, tmp_path, at, base, action, round, players
):
    at(action, round, killing(players[0]))
    result = play(base, tmp_path / "run", {"name": "ray", "processes": 2, "restart": True})
    assert result.record.status == "finished"
    rounds = rows(tmp_path / "run")
    assert not [row for row in rounds if "lost" in row]
    assert {row["round"]: sorted(row["late"]) for row in rounds if "late" in row} == {
        round: players
    }
    for late in rounds[round - 1]["late"].values():
        assert late["action"] == action
        assert "its process died" in late["reason"]
        assert "was started again from the checkpoint of round 2" in late["reason"]
    assert set(rounds[-1]["players"]) == set(rounds[0]["players"])


@pytest.mark.slow
def test_a_run_that_stops_names_player_round_and_reason_and_goes_on(cluster, oracle, tmp_path, at):
    at("turn", 3, killing("near"))
    with pytest.raises(
        PlayerError, match=r"player 'near' failed at 'turn' in round 3: its process died"
    ) as caught:
        play(EXCHANGE, tmp_path / "run", {"name": "ray", "processes": 2})
    assert (caught.value.player, caught.value.round) == ("near", 3)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "failed"
    Federation.resume(tmp_path / "run")
    assert learned(tmp_path / "run") == learned(oracle(EXCHANGE))


def test_a_failing_model_leaves_its_traceback_at_home(cluster, tmp_path, at):
    """A failure inside a player is reported like the local engine's; its process goes on."""
    players = [_bits(name, tmp_path / "home") for name in ("a", "b")]
    engine = Ray(processes=1)
    engine.start(players, SampleExchange.tiny())
    nowhere = Message(Restore(), COORDINATOR, "a", 1)
    lost, fine = engine.ask([nowhere, _turn("b", 1)])
    assert isinstance(lost, PlayerLost)
    assert isinstance(fine, Message)
    assert "was deleted" in lost.reason
    assert "Traceback" in (tmp_path / "home" / "errors.txt").read_text()
    engine.close()


def test_a_refusal_leaves_nothing_and_the_honest_message_is_answered(cluster, tmp_path):
    """A stranger cannot take a player out of play, nor fill its disk."""
    engine = Ray(processes=1)
    engine.start([_bits(name, tmp_path / "home") for name in ("a", "b")], SampleExchange.tiny())
    wrong = {"b": BITS.samples(x=torch.full((2, 3), 9, dtype=torch.uint8))}
    lost, fine = engine.ask([_turn("a", 1, wrong), _turn("b", 1)])
    assert isinstance(lost, PlayerLost)
    assert isinstance(fine, Message)
    assert lost.reason.startswith("refused, nothing has changed: ")
    assert "samples received from player 'b'" in lost.reason
    assert not (tmp_path / "home").exists()
    (honest,) = engine.ask([_turn("a", 1)])
    assert isinstance(honest, Message)
    engine.close()


# --------------------------------------------------------------------------------------- stragglers


BITS = Space({"x": Variable(kind="binary", shape=(3,))})


def _bits(name, home=None):
    return Player(
        name,
        BITS,
        BITS.samples(x=torch.ones(4, 3, dtype=torch.uint8)),
        ExponentialFamily(),
        1,
        home,
    )


def _turn(name, round, payload=None):
    return Message(Turn(1.0, {}), COORDINATOR, name, round, payload=payload or {})


@pytest.mark.parametrize("on_late", ["drop", "fail"])
def test_a_round_ends_at_the_deadline_and_late_answers_are_dropped(cluster, on_late):
    engine = Ray(processes=2, deadline=1, on_late=on_late)
    engine.start(
        [_bits("fast"), _bits("slow")],
        game := SampleExchange(rounds=9, local_steps=1, on_lost="continue"),
    )
    assert all(
        isinstance(reply, Message) for reply in engine.ask([_turn("fast", 1), _turn("slow", 1)])
    )
    number = process_of(engine, "slow")
    os.kill(number, signal.SIGSTOP)
    try:
        begin = time.monotonic()
        fast, slow = replies = engine.ask([_turn("fast", 2), _turn("slow", 2)])
        assert time.monotonic() - begin == pytest.approx(1, rel=0.1)
        assert isinstance(fast, Message)
        assert (slow.player, slow.action, slow.round, slow.reason) == (
            "slow",
            "turn",
            2,
            "no answer within 1 s",
        )
        late = engine.take_late()
        answers, lost = game.alive(replies)
        assert [answer.sender for answer in answers] == ["fast"]
        if on_late == "fail":
            assert (late, lost) == ([], [slow])
        else:
            assert (late, lost) == ([slow], [])
            begin = time.monotonic()
            fast, slow = engine.ask([_turn("fast", 3), _turn("slow", 3)])
            assert time.monotonic() - begin < 0.9, "the engine does not wait for a late player"
            assert slow.reason == "still busy with turn of round 2"
            begin = time.monotonic()
            (slow,) = engine.ask([_turn("slow", 4)])
            assert time.monotonic() - begin == pytest.approx(1, rel=0.1)
    finally:
        os.kill(number, signal.SIGCONT)
    if on_late == "drop":
        (back,) = engine.ask([_turn("slow", 5)])
        assert (back.sender, back.round) == ("slow", 5)
        replies = engine.ask([_turn("slow", 6), _turn("fast", 6)])
        assert [(reply.sender, reply.round) for reply in replies] == [("slow", 6), ("fast", 6)]
    engine.close()


def test_measuring_and_checkpoints_wait_for_everybody(cluster):
    engine = Ray(processes=1, deadline=0.2)
    engine.start([_bits("slow")], SampleExchange.tiny())
    engine.ask([_turn("slow", 1)])
    number = process_of(engine, "slow")
    os.kill(number, signal.SIGSTOP)
    threading.Timer(0.6, os.kill, (number, signal.SIGCONT)).start()
    (reply,) = engine.ask([Message(Evaluate(4, 2), COORDINATOR, "slow", 1)], purpose="evaluation")
    assert isinstance(reply, Message)
    assert len(reply.samples()[COORDINATOR]) == 4
    engine.close()


def test_a_process_rests_between_games_and_ends_with_the_run_even_stopped(cluster):
    numbers = []
    for _ in range(2):
        engine = Ray(processes=1)
        engine.start([_bits("slow")], SampleExchange.tiny())
        engine.ask([_turn("slow", 1)])
        numbers.append(process_of(engine, "slow"))
        engine.close()
    assert numbers[0] == numbers[1]
    engine.start([_bits("slow")], SampleExchange.tiny())
    assert process_of(engine, "slow") == numbers[0]
    os.kill(numbers[0], signal.SIGSTOP)
    engine.close()
    FINISH(engine)
    assert ray.is_initialized()
    assert _ends(numbers, 15)


# -------------------------------------------------------------------------------- nothing left over


def _family(root):
    """A process, its children and theirs, by number and time of start."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = _stat(entry)
            if fields:
                parents[int(entry)] = (int(fields[1]), fields[19])
    family = {}
    new = {root}
    while new:
        family |= {number: parents[number][1] for number in new if number in parents}
        new = {
            number
            for number, (parent, _) in parents.items()
            if parent in new and number not in family
        }
    return family


def _stat(number):
    """Return the fields of /proc/N/stat from the state on; None if it is gone or a zombie."""
    try:
        with open(f"/proc/{number}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields


def _ends(numbers, seconds):
    """Whether all are gone in time."""
    end = time.monotonic() + seconds
    while any(_stat(number) for number in numbers) and time.monotonic() < end:
        time.sleep(0.05)
    return not any(_stat(number) for number in numbers)


def _left(numbers):
    """Return the command lines of the processes that are still there."""
    return {
        n: Path(f"/proc/{n}/cmdline").read_text().replace("\0", " ").strip()
        for n in numbers
        if _stat(n)
    }


def _listening(numbers):
    """Addresses, as hexadecimal numbers, on which processes listen."""
    sockets = {}
    addresses = set()
    for table in ("tcp", "tcp6"):
        with open(f"/proc/net/{table}") as file:
            lines = [line.split() for line in file.readlines()[1:]]
        sockets |= {
            f"socket:[{line[9]}]": line[1].split(":")[0] for line in lines if line[3] == "0A"
        }
    for number in numbers:
        for descriptor in os.listdir(f"/proc/{number}/fd"):
            try:
                target = os.readlink(f"/proc/{number}/fd/{descriptor}")
            except OSError:
                continue
            if target in sockets:
                addresses.add(sockets[target])
    return addresses


LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


def _cli(*words, cwd, **options):
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("RAY_ENABLE")
    }
    return subprocess.Popen(
        [sys.executable, "-m", "coplay", *words],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **options,
    )


def _until(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
def test_nothing_is_left_of_a_run_that_is_killed_and_it_goes_on(cluster, tmp_path):
    """The run ends like an undisturbed one.

    The coordinator gets kill -9, then SIGTERM, then Ctrl-C at the terminal.
    """
    game = EXCHANGE["game"] | {"rounds": 100, "samples_per_round": 600}
    base = GANS | {
        "players": 2,
        "model": "exponential_family",
        "data": {"source": "digits"},
        "game": game,
    }
    base["engine"] = {"name": "local", "threads": 1}
    play(base, tmp_path / "oracle", {"name": "local", "groups": 2})
    (tmp_path / "exchange.toml").write_text(tomli_w.dumps(base))
    rows = tmp_path / "run" / "sample_exchange" / "rows.jsonl"
    words = ["run", "exchange.toml", "--out", "run"]
    words += ["--set", "engine.name=ray"]

    def played():
        return rows.read_text().count("\n") if rows.exists() else 0

    for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        process = _cli(*words, cwd=tmp_path)
        before = played()
        _until(lambda before=before: played() > before + 2, process)
        family = _family(process.pid)
        assert sum("ray::Group" in name for name in _left(family).values()) == 2
        if how == signal.SIGKILL:
            assert _listening(family) <= LOOPBACK
        # a terminal's Ctrl-C reaches the whole group
        (os.killpg if how == signal.SIGINT else os.kill)(process.pid, how)
        _, error = process.communicate(timeout=60)
        assert (
            process.returncode == {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[how]
        ), error
        assert "Traceback" not in error
        assert _ends(family, 30), _left(family)
        words = ["resume", "run"]
    Federation.resume(tmp_path / "run")
    assert learned(tmp_path / "run") == learned(tmp_path / "oracle")


# ------------------------------------------------------------------------- a cluster of three nodes


@pytest.fixture
def nodes():
    """Three raylets on this machine: the coordinator's, without players, and two more."""
    from ray.cluster_utils import Cluster

    if ray.is_initialized():  # the local cluster of the tests above, if this one does not run alone
        ray.shutdown()
    with loopback(ray):
        # to believe that a node is gone
        quick = {
            "health_check_period_ms": 500,
            "health_check_failure_threshold": 3,
        }
        head = {"num_cpus": 0, "object_store_memory": 2**27, "_system_config": quick}
        raylets = Cluster(initialize_head=True, head_node_args=head)
        raylets.workers = [
            raylets.add_node(num_cpus=1, object_store_memory=2**27) for _ in range(2)
        ]
        yield raylets
        FINISH(Ray())
        raylets.shutdown()


def _stored_here():
    """Bytes that ever entered the object store of the coordinator's node."""
    from ray._private.internal_api import node_stats

    (here,) = [
        node for node in ray.nodes() if node["NodeID"] == ray.get_runtime_context().get_node_id()
    ]
    return node_stats(
        here["NodeManagerAddress"], here["NodeManagerPort"]
    ).store_stats.cumulative_created_bytes


@pytest.mark.slow
def test_large_parts_go_from_node_to_node_past_the_coordinator(nodes, monkeypatch):
    through = []

    def counting(function, of):
        def counted(*given):
            result = function(*given)
            through.append(len(ray.cloudpickle.dumps(of(given, result))))
            return result

        return counted

    monkeypatch.setattr(module, "packed", counting(module.packed, lambda given, result: result))
    monkeypatch.setattr(
        module, "unpacked", counting(module.unpacked, lambda given, result: given[0])
    )

    def share(engine, act):
        """Bytes through the coordinator, and payload, while something happens."""
        through.clear()
        stored = _stored_here()
        sent = engine.ledger.total("exchange")
        act()
        return sum(through) + _stored_here() - stored, engine.ledger.total("exchange") - sent

    pixels = Space({"x": Variable(kind="binary", shape=(28, 28))})
    data = pixels.samples(x=torch.ones(4, 28, 28, dtype=torch.uint8))
    north = Player("north", pixels, data, ExponentialFamily(), 1)
    with pytest.raises(
        EngineError, match="1 processes with 3 CPUs each did not start within 1 s; 2 CPUs"
    ):
        Ray(address=nodes.address, threads=3, start_seconds=1).start([north], SampleExchange.tiny())
    with pytest.raises(
        EngineError, match=r"1 processes with 1 CPUs and 0\.5 GPUs each did not start .* and 0 GPUs"
    ):
        Ray(address=nodes.address, gpus=0.5, start_seconds=1).start([north], SampleExchange.tiny())
    game = SampleExchange(rounds=9, local_steps=1, samples_per_round=6000)
    engine = Ray(processes=2, address=nodes.address, restart=True)
    engine.start(
        [Player(name, pixels, data, ExponentialFamily(), 1) for name in ("north", "south")], game
    )
    states = [game.play(engine, game.start(["north", "south"], 1), 1)[0]]
    coordinators, payload = share(engine, lambda: states.append(game.play(engine, states[0], 2)[0]))
    assert payload >= 2 * 2**20
    assert coordinators <= 0.01 * payload
    _lose_a_node(nodes, engine, game, states[-1])
    engine.close()

    images = Space({"image": Variable(kind="real", shape=(28, 28), low=0, high=1)})
    gan = MdGan(local_steps=1, swap_every_epochs=0)
    names = ["north", "south", "server"]
    rooms = [
        images.samples(image=torch.rand(n, 28, 28, generator=torch.Generator().manual_seed(1)))
        for n in (20, 20, 0)
    ]
    engine = Ray(processes=2, address=nodes.address)
    players = [
        Player(name, images, room, Acgan(), 1) for name, room in zip(names, rooms, strict=True)
    ]
    engine.start(players, gan)
    state, _ = gan.play(engine, gan.start(names[:2], 1), 1)
    coordinators, payload = share(engine, lambda: gan._swap(engine, state, 1, 1))
    assert payload >= 2 * 2**20
    assert coordinators <= 0.01 * payload
    engine.close()


def _lose_a_node(nodes, engine, game, state):
    """A node dies with a process and with the samples in its store.

    The process is started on another node, and the game goes on.
    """
    nodes.add_node(num_cpus=1, object_store_memory=2**27)
    nodes.remove_node(nodes.workers[0], allow_graceful=False)
    begin = time.monotonic()
    state, row = game.play(engine, state, 3)
    (late,) = engine.take_late()
    assert late.player not in row.players
    assert "started again from its start" in late.reason
    assert time.monotonic() - begin < 60
    state, row = game.play(engine, state, 4)
    assert set(row.players) == {"north", "south"}


@pytest.mark.slow
def test_other_groupings_agree_to_rounding_in_float64(cluster, tmp_path):
    """Workers stacked in one process and in two agree after 50 iterations and ten swaps.

    They add the same numbers in another order.
    """
    base = GANS | {"model": GANS["model"] | DOUBLED}
    for name, engine in (("two", {"name": "ray", "processes": 2}), ("one", {"name": "local"})):
        play(base, tmp_path / name, engine, rounds=5, local_steps=10)
    assert all(row["swaps"] for row in rows(tmp_path / "one"))
    for path in (tmp_path / "one").glob("*/models/*"):
        one = without_flops(path)
        two = without_flops(tmp_path / "two" / path.relative_to(tmp_path / "one"))
        assert one.keys() == two.keys()
        assert any(v.dtype == torch.float64 for k, v in one.items() if "exp_avg" in k)
        assert all(torch.allclose(one[k].double(), two[k].double(), rtol=0, atol=1e-8) for k in one)


def without_flops(path):
    """Return a model's tensors, without operations, which are counted for a whole stack."""
    return {k: v for k, v in storage.load_tensors(path).items() if "flops" not in k}
