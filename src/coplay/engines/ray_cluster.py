"""Ray's own quirks, each with its reason, as of Ray 2.59 and 2.60."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from coplay.core.errors import EngineError

NAMESPACE = "coplay"
"""Marks a connection as one that coplay made."""

KNOCK_SECONDS = 5.0
"""How long a process, or a port, has to show that it is there."""

_REACH_SECONDS = 20.0
# what payloads in flight may take on a local cluster before they go to disk
_STORE_BYTES = 256 * 2**20
# what a local cluster sends with a call; by way of the store it takes three times as long
_IN_CALL_BYTES = 2**20


def import_ray() -> Any:
    """Return the module, silenced, if it is installed.

    Raises:
        EngineError: It is not.
    """
    # Ray would report its use to its makers; it reads this when it is imported
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise EngineError(
            "the engine 'ray' needs Ray, which is not installed: pip install 'coplay[ray]'"
        ) from error
    return ray


def connect(ray: Any, address: str | None) -> bool:
    """Join a cluster, or start one that listens on this machine only.

    Args:
        ray: The module.
        address: ``"host:port"`` of a cluster to which this machine belongs; None starts a local
            one.

    Returns:
        Whether anything was done: this process may be a member already.

    Raises:
        EngineError: The cluster cannot be reached, or a local one does not start.
    """
    if ray.is_initialized():
        return False
    common = {"namespace": NAMESPACE, "log_to_driver": False, "logging_level": "error"}
    common["job_config"] = _without_current_folder()
    try:
        with own_sigterm():
            if address:
                local = listens_only_here(ray, address)
                with loopback(ray) if local else contextlib.nullcontext():
                    check_reachable(address)
                    ray.init(address, **common)
            else:
                with loopback(ray):
                    # without CPUs, since coplay counts processes itself and needs no idle ones
                    ray.init(
                        "local",
                        num_cpus=0,
                        include_dashboard=False,
                        object_store_memory=_STORE_BYTES,
                        _system_config={"max_direct_call_object_size": _IN_CALL_BYTES},
                        **common,
                    )
                quiet_agents_on_exit(ray)
    except Exception as error:
        where = f"the cluster at {address}" if address else "a local cluster"
        raise EngineError(f"cannot reach {where}: {reason_of(error)}") from error
    with contextlib.suppress(AttributeError):
        # a process that died is reported in the row, not on standard output
        ray._private.worker._worker_logs_enabled = False
    return True


def _without_current_folder() -> Any:
    """Return a job's config with which Ray does not put the current folder on the path.

    Its processes would import a ``torch.py`` that lies there. What this process may import from is
    handed on as PYTHONPATH.
    """
    job_config = importlib.import_module("ray.job_config").JobConfig()
    # Ray asks this just before it adds the folder of the script and the current one
    job_config._runtime_env_has_working_dir = lambda: True
    return job_config


@contextlib.contextmanager
def loopback(ray: Any) -> Iterator[None]:
    """Let what is started inside the block listen on this machine only.

    Ray has a switch for it, under a strange name.
    """
    name = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
    constants = ray._private.ray_constants
    before = os.environ.get(name)
    allowed = constants.ENABLE_RAY_CLUSTER
    os.environ[name] = "0"  # for the processes that are started
    constants.ENABLE_RAY_CLUSTER = False  # for this process, which has read it already
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = allowed
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def quiet_agents_on_exit(ray: Any) -> None:
    """Keep Ray's agents from outliving a process that is killed.

    Its cluster dies with it, all but the agents, which try for a minute to report to a dead head.
    They do not if the node's log says that it ended on purpose, so the log says so from the
    beginning.
    """
    with contextlib.suppress(AttributeError, OSError):
        log = Path(ray._private.worker._global_node.get_logs_dir_path()) / "raylet.out"
        line = "coplay: without its coordinator this node ends as if Raylet received SIGTERM\n"
        with log.open("a") as file:
            file.write(line)


@contextlib.contextmanager
def own_sigterm() -> Iterator[None]:
    """Keep our handler of SIGTERM, which ``ray.init`` replaces; without one, Ray's stays."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if callable(before) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def parse_address(address: str) -> tuple[str, int] | None:
    """Return host and port of ``"host:port"``; None for another text."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        return None
    return host.strip("[]"), int(port)


def _check_address(address: str | None) -> str | None:
    if address is not None and parse_address(address) is None:
        raise ValueError(
            f"expected 'host:port' of a cluster to which this machine belongs, got {address!r}"
        )
    return address


Address = Annotated[str | None, AfterValidator(_check_address)]
"""Where a cluster is; None for one on this machine."""


def listens_only_here(ray: Any, address: str) -> bool:
    """Whether a cluster listens on this machine only.

    This is not plain from the address: for Ray, "localhost" is the machine's name outside.
    """
    host, port = parse_address(address) or ("", 0)
    if host not in ("localhost", "127.0.0.1", "::1"):
        return False
    try:
        socket.create_connection((ray.util.get_node_ip_address(), port), KNOCK_SECONDS).close()
    except OSError:
        return True
    return False


def check_reachable(address: str) -> None:
    """Check that a cluster answers, in a process that can be killed: Ray would try for minutes.

    Raises:
        EngineError: No cluster answers.
    """
    try:
        socket.create_connection(parse_address(address) or ("", 0), KNOCK_SECONDS).close()
    except OSError as error:
        raise EngineError(f"nobody listens there ({error})") from error
    script = "import sys, ray; ray._raylet.GcsClient(address=sys.argv[1])"
    probe = [sys.executable, "-c", script, address]
    try:
        subprocess.run(probe, capture_output=True, check=True, timeout=_REACH_SECONDS)
    except subprocess.SubprocessError as error:
        raise EngineError(
            "the process that listens there does not answer as the head of a Ray cluster; give the "
            "port of 'ray start --head --port', and the same RAY_AUTH_MODE and TLS settings as "
            "there"
        ) from error


def not_started(
    processes: int,
    need: tuple[int, float],
    seconds: float,
    free: Mapping[str, float],
    *,
    local: bool = False,
) -> str:
    """Return the error of processes that did not start in time.

    Args:
        processes: How many were to start.
        need: CPUs and GPUs that each reserves.
        seconds: How long they had.
        free: What is free of the cluster.
        local: Whether the cluster is coplay's own, whose processes reserve no CPUs.

    Example:
        >>> print(not_started(2, (1, 0), 60, {"CPU": 1.0}))
        2 processes with 1 CPUs each did not start within 60 s; 1 CPUs of the cluster are free now.
        Take fewer processes, or set engine.start_seconds higher
    """
    cpus, gpus = need
    needs = f"{cpus} CPUs"
    if gpus:
        needs += f" and {gpus:g} GPUs"
    left = f"{free.get('CPU', 0):g} CPUs"
    if gpus:
        left += f" and {free.get('GPU', 0):g} GPUs"
    left += " of the cluster are free now"
    if local:
        left = f"this machine has {os.cpu_count()} CPUs, which others may be using"
        if gpus:
            left += f", and {free.get('GPU', 0):g} GPUs that are free"
    return (
        f"{processes} processes with {needs} each did not start within {seconds:g} s; {left}. Take "
        "fewer processes, or set engine.start_seconds higher"
    )


def reason_of(error: Exception) -> str:
    """Return the line of a Ray error that says what happened: the first, or a traceback's last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    if len(lines) > 1 and ("creation task" in lines[0] or "ray::" in lines[0]):
        return lines[-1].removeprefix("coplay.core.errors.")
    return lines[0] if isinstance(error, EngineError) else f"{type(error).__name__}: {lines[0]}"
