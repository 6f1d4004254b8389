"""A coordinator's app that sends a hundred changed messages to one site, and an honest one."""

import json
import random
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from flwr.serverapp import ServerApp

from coplay.core.errors import MessageError
from coplay.engines.flower_carrier import Fault, Parcel
from coplay.engines.flower_link import Link
from coplay.run.checkpoint import run_id
from coplay.run.config import Config
from coplay.run.elsewhere import agreed_digest
from coplay.run.flower_apps import to_records
from coplay.run.flower_play import GridCarrier

from .test_flower import ask_of, turn
from .test_flower_mutations import Table, mutated

__all__ = ["server"]

HARMLESS = ("ask", "begin", "who")


def play(grid, context):
    agreed = agreed_digest(Config.from_file(context.run_config["federation"]))
    link = Link(GridCarrier(grid), agreed, run_id({"agreed": agreed}))
    link.begin(["north", "south", "east"])
    names = list(link.sites)
    begins = {}
    for name in names:
        begins[name] = (link.envelope(name, "begin", "sample_exchange", plays=True), b"")
    got = link.exchange(begins, 120)
    assert all(kind.kind == "facts" for kind, _ in got.values()), got
    results = {"before": honest(link, 1), "reasons": changed(link), "after": honest(link, 2)}
    Path(context.run_config["out"]).write_text(json.dumps(results))


def honest(link, round):
    got = link.exchange({"north": (ask_of(link), turn(round))}, 120)["north"]
    return got.reason if isinstance(got, Fault) else got[0].kind


def changed(link):
    """Send a hundred messages none of which may be taken, and return what was said of each."""
    rng = random.Random(7)
    table = Table(Path(tempfile.mkdtemp()))
    node = link.sites["north"].node
    parcels = []
    while len(parcels) < 100:
        ask = replace(ask_of(link), takers=())
        values, body = mutated(ask.plain(), table.body, rng)
        if type(body) is bytes and can_travel(values, body) and is_bad(table, values, body):
            parcels.append(Parcel(node, values, body))
    reasons = []
    for place in range(0, 100, 10):
        ids = link.carrier.push(parcels[place : place + 10], 600)
        waiting = {id for id in ids if isinstance(id, str)}
        reasons += [id.reason for id in ids if isinstance(id, Fault)]
        end = time.monotonic() + 300
        while waiting and time.monotonic() < end:
            for id, parcel in link.carrier.pull(sorted(waiting)).items():
                waiting.discard(id)
                reasons.append(reason_of(parcel))
            time.sleep(0.05)
    return reasons


def can_travel(values, body):
    try:
        to_records(values, body)
    except (TypeError, ValueError):
        return False
    return all(type(value) is not int or abs(value) < 1 << 63 for value in values.values())


def is_bad(table, values, body):
    """Whether a message is refused before a player sees it, as the decoder's own test has it."""
    table.envelope = replace(table.envelope, takers=())
    table.sitting = replace(table.sitting, takers=[], sitting=values.get("sitting"), number=0)
    try:
        return not hasattr(table.enters(values, body), "payload")
    except (MessageError, AttributeError):
        return True


def reason_of(parcel):
    if isinstance(parcel, Fault):
        return parcel.reason
    reason = str(parcel.values.get("reason") or "")
    return reason or parcel.body[:2000].decode(errors="replace")


server = ServerApp()
server.main()(play)
