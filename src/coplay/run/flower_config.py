"""The config of a run between organisations, and the nodes of its sites."""

from __future__ import annotations

import json
from pathlib import Path

from coplay.core.errors import ConfigError
from coplay.engines.flower import Flower
from coplay.run.config import Config

SEEN = "sites_seen.json"
"""File, in the run's folder, of which sites are there, and which are missing since when."""


def config_of(agreed: Config) -> Config:
    """Return the config of a run between organisations: what was agreed, with this engine.

    Args:
        agreed: The federation.
    """
    engine = agreed.engine if isinstance(agreed.engine, Flower) else Flower()
    values = agreed.model_dump(mode="json", exclude_none=True, exclude_unset=True)
    values["engine"] = {"name": "flower", **engine.model_dump(mode="json")}
    values["name"] = agreed.name
    values["players"] = {name: each.to_values() for name, each in agreed.players.items()}
    return Config.from_dict(values)


def nodes_of(path: str) -> dict[str, int]:
    """Return the node of each site; none where nobody wrote them down.

    Args:
        path: A file with the nodes by site, as JSON; empty for none.

    Raises:
        ConfigError: It is no such file.
    """
    if not path:
        return {}
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        return {str(name): int(node) for name, node in values.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigError([f"nodes: cannot read {path}: {error}"]) from None
