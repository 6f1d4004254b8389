"""What all benchmarks share: where results go, and what they were measured on."""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coplay.result import versions

ROOT = Path(__file__).parents[1]


def peak_bytes() -> int:
    """The most memory this process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def save(name: str, results: Mapping[str, Any]) -> None:
    """Write results to ``benchmarks/results/NAME.json`` with the command, versions and machine."""
    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    machine = {"cores": os.cpu_count(), "system": platform.platform(terse=True)}
    command = f"python benchmarks/{Path(sys.argv[0]).name}"
    content = {"command": command, "versions": versions(), "machine": machine, **results}
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(path.relative_to(ROOT))
