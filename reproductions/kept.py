"""The results of an experiment in one file: figures of every finished run, and their summary."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coplay.core import storage
from coplay.run.versions import versions

from .experiment import Figures, Runs, Summary, file_name


@dataclass(frozen=True)
class Kept:
    """A file of results: ``{"command", "versions", "machine", "summary", "runs"}``.

    ``runs`` holds what is kept of each run, by arm and seed, with the versions it was made with
    where they are known. The rest is made from them by ``--collect``.

    Args:
        path: The file; it need not exist.

    Example:
        >>> import tempfile
        >>> kept = Kept(Path(tempfile.mkdtemp()) / "results.json")
        >>> kept.add("plain", 2, {"accuracy": 0.5})
        >>> kept.add("plain", 1, {"accuracy": 0.25})
        >>> kept.runs()
        {'plain': {1: {'accuracy': 0.25}, 2: {'accuracy': 0.5}}}
    """

    path: Path

    def runs(self) -> Runs:
        """Figures by arm and seed: arms in the order of their files' names, seeds in theirs."""
        runs = self._content().get("runs", {})
        ordered: dict[str, dict[int, Figures]] = {}
        for arm in sorted(runs, key=_order):
            by_seed = {int(seed): figures for seed, figures in runs[arm].items()}
            ordered[arm] = dict(sorted(by_seed.items()))
        return ordered

    def summary(self) -> Summary:
        """Return what was made of the runs.

        Raises:
            CheckpointError: There is no such file.
        """
        summary: Summary = storage.read_json(self.path)["summary"]
        return summary

    def add(self, arm: str, seed: int, figures: Figures) -> None:
        """Keep the figures of one run.

        The file is read again just before it is written, so that two processes which play other
        arms or seeds may share it.
        """
        content = self._content()
        runs = content.setdefault("runs", {})
        runs.setdefault(arm, {})[str(seed)] = dict(figures)
        self._write(content)

    def save(self, command: str, summary: Summary) -> None:
        """Write the summary, with the command that makes it and what it was made with.

        Args:
            command: The command.
            summary: What was made of the runs.
        """
        content = self._content()
        content["command"] = command
        content["versions"] = versions()
        content["machine"] = {
            "cores": os.cpu_count(),
            "system": platform.platform(terse=True),
        }
        content["summary"] = dict(summary)
        self._write(content)

    def _content(self) -> dict[str, Any]:
        if not self.path.exists():
            return {}
        content: dict[str, Any] = storage.read_json(self.path)
        return content

    def _write(self, content: Mapping[str, Any]) -> None:
        first = ("command", "versions", "machine", "summary")
        ordered = {key: content[key] for key in first if key in content}
        runs = content["runs"]
        ordered["runs"] = {arm: runs[arm] for arm in sorted(runs, key=_order)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        storage.write_json(self.path, ordered)


def _order(arm: str) -> str:
    """Arms are ordered as files called ``ARM-SEED`` are."""
    return f"{file_name(arm)}-"
