"""Parts that all benchmarks share: peak memory, and results with versions and machine."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coplay.core.processor import this_processor
from coplay.run.versions import versions

ROOT = Path(__file__).parents[1]


def peak_bytes() -> int:
    """Return the peak memory of this process since the last call."""
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
    Path("/proc/self/clear_refs").write_text("5")  # Linux's way to begin anew
    return peak


def save(name: str, results: Mapping[str, Any]) -> None:
    """Write results to ``benchmarks/results/NAME.json`` with the command, versions and machine."""
    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    machine = {
        "processor": this_processor().title,
        "cores": os.cpu_count(),
        "system": platform.platform(terse=True),
    }
    command = f"python benchmarks/{Path(sys.argv[0]).name}"
    content = {"command": command, "versions": versions(), "machine": machine, **results}
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(path.relative_to(ROOT))
