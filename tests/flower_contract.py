"""A coordinator's app that lets the engines' contract run over real nodes of Flower."""

import inspect
import json
import traceback
from pathlib import Path

from flwr.serverapp import ServerApp

from coplay.engines.flower_link import Link
from coplay.run.checkpoint import run_id
from coplay.run.config import Config
from coplay.run.elsewhere import agreed_digest
from coplay.run.flower_play import GridCarrier

from .contracts import test_engines
from .flower_loop import begun_engine

__all__ = ["server"]


def play(grid, context):
    federation = Path(str(context.run_config["federation"]))
    agreed = agreed_digest(Config.from_file(federation))
    link = Link(GridCarrier(grid), agreed, run_id({"agreed": agreed}))
    results = {}
    for name, test in vars(test_engines).items():
        if not name.startswith("test_") or list(inspect.signature(test).parameters) != ["engine"]:
            continue
        engine = begun_engine(link, federation, federation.parent)
        try:
            test(engine)
            results[name] = "passed"
        except AssertionError:
            results[name] = traceback.format_exc()
        engine.close()
    Path(str(context.run_config["out"])).write_text(json.dumps(results))


server = ServerApp()
server.main()(play)
