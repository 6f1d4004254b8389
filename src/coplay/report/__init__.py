"""One self-contained HTML page per run; it knows only :class:`coplay.run.result.Result`."""

from coplay.report.page import write

__all__ = ["write"]
