"""A site's own process answers as a new one would, and a message is answered without it, too."""

import contextlib
import os
import signal
import stat
import subprocess
import sys
import time

import pytest

from coplay.deploy import own_process as own_process_module
from coplay.deploy.own_process import own_process
from coplay.run.flower_process import asked

from .flower_loop import Loop, deployed, deployed_bits, linked, played, settings_of, site_at
from .test_flower import SHORT, locally, model_of, record_of, rows_of


@contextlib.contextmanager
def running(folder):
    """Start a process for a site, and wait until it listens."""
    with own_process(folder) as process:
        process.look()
        wait_for(process.place.exists, process)
        yield process


def wait_for(what, process):
    end = time.monotonic() + 180
    while not what():
        assert time.monotonic() < end, process.log.read_text()
        time.sleep(0.05)


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    with running(tmp_path_factory.mktemp("process")) as process:
        yield process


def who(home):
    """Return a message that asks a site who it is."""
    link = linked(Loop({"a": home}), home / "federation.toml")
    link.begin(["a"])
    return link.envelope("", "who", "").plain()


class ByProcess(Loop):
    """A carrier whose sites answer by the forks of one process."""

    place = ""
    answered_by_forks = 0

    def answered(self, home, parcel):
        answer = asked(self.place, settings_of(home), parcel.values, parcel.body)
        assert answer is not None
        self.answered_by_forks += 1
        return answer


def test_forks_play_with_the_local_engines_bits(tmp_path, process):
    federation, places = deployed(tmp_path, SHORT)
    loop = ByProcess(places)
    loop.place = str(process.place)
    assert played(loop, federation, tmp_path / "run").record.status == "finished"
    locally(federation, places, tmp_path / "local")
    assert loop.answered_by_forks >= 9
    assert rows_of(tmp_path / "run", "sample_exchange") == rows_of(
        tmp_path / "local", "sample_exchange"
    )
    for name, home in places.items():
        here = model_of(home / "private", name, "sample_exchange")
        assert here == model_of(tmp_path / "local", name, "sample_exchange")
        assert record_of(home, name).fault == ""


def test_a_refusal_of_a_fork_is_the_sites_own(tmp_path, process):
    _, places = deployed_bits(tmp_path)
    home = places["a"]
    wrong = {**who(home), "number": -1}
    log = process.log.read_text()
    by_fork = asked(str(process.place), settings_of(home), wrong, b"x")
    here = site_at(home).answer(wrong, b"x")
    assert by_fork == (here[0].plain(), here[1])
    assert "number" in by_fork[0]["reason"]
    time.sleep(0.2)
    assert process.log.read_text() == log  # a refusal is no failure of the fork


def test_the_site_is_read_anew_for_every_message(tmp_path, process):
    _, places = deployed_bits(tmp_path)
    home = places["a"]
    question = who(home)
    first = asked(str(process.place), settings_of(home), question, b"")
    assert (first[0]["kind"], first[0]["site"]) == ("name", "a")
    text = (home / "site.toml").read_text()
    (home / "site.toml").write_text(text.replace('name = "a"', 'name = "b"'))
    assert asked(str(process.place), settings_of(home), question, b"")[0]["site"] == "b"


def test_nobody_else_may_open_the_socket(process):
    assert stat.S_IMODE(process.place.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(process.place.stat().st_mode) & 0o077 == 0
    assert stat.S_IMODE(process.log.stat().st_mode) == 0o600


def test_without_a_process_there_is_no_answer(tmp_path):
    assert asked("", {}, {}, b"") is None
    assert asked(str(tmp_path / "nothing"), {}, {}, b"") is None


def test_values_that_no_envelope_has_are_left_to_others(process):
    assert asked(str(process.place), {}, {"number": b"1"}, b"") is None


def test_a_fork_that_dies_leaves_the_message_unanswered_and_the_process_alive(tmp_path, process):
    _, places = deployed_bits(tmp_path)
    home = places["a"]
    # settings that no node has: the fork ends with an error
    assert asked(str(process.place), {"federation": 1}, who(home), b"") is None
    assert "MessageError" in process.log.read_text()
    assert asked(str(process.place), settings_of(home), who(home), b"")[0]["kind"] == "name"


def test_it_is_started_again_after_a_kill_and_not_at_once(tmp_path, monkeypatch):
    _, places = deployed_bits(tmp_path)
    home = places["a"]
    question = who(home)
    with running(tmp_path) as process:
        pid = process._child.process.pid
        os.kill(pid, signal.SIGKILL)
        process._child.process.wait()
        assert asked(str(process.place), settings_of(home), question, b"") is None
        monkeypatch.setattr(own_process_module, "AGAIN_SECONDS", 1e9)
        process.look()
        assert process._child.process.pid == pid
        monkeypatch.setattr(own_process_module, "AGAIN_SECONDS", 0.0)
        process.look()
        assert process._child.process.pid != pid
        assert (tmp_path / "process.before.log").exists()

        def answers():
            return asked(str(process.place), settings_of(home), question, b"") is not None

        wait_for(answers, process)


def test_its_folder_goes_with_it(tmp_path):
    with own_process(tmp_path) as process:
        folder = process.place.parent
        assert folder.exists()
    assert not folder.exists()


def test_what_flower_loads_for_a_message_is_light():
    """Torch takes seconds, and Flower begins a new Python for every message."""
    code = "import sys, coplay.run.flower_apps; print([*{'torch', 'numpy'} & {*sys.modules}])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout == "[]\n"
