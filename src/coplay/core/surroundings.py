"""What is set for all of torch in a process, which the bits of a run must not depend on.

A run is computed under settings of its own. The caller's are put back afterwards, and a run's own
after foreign code (a model, a metric, a callback) that may have changed them.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace

import torch

from coplay.core.forks import ANCESTRY

# precisions in which oneDNN multiplies float32 as such
_FULL = ("none", "ieee")
_AUTOCAST_DEVICES = ("cpu", "cuda", "mps", "xpu")

SPEAKER: ContextVar[str] = ContextVar("speaker", default="")
"""The player whose model learns in this thread, for what the model has to say to people."""


@dataclass(frozen=True)
class TorchSettings:
    """Settings of torch on which results depend.

    Args:
        threads: Number of torch's threads.
        dtype: Of new floating-point tensors.
        gradients: Whether operations are recorded.
        deterministic: Whether only deterministic algorithms are allowed.
        warn_only: Whether others are only warned of.
        products: Precision of oneDNN's matrix products.
        convolutions: Precision of its convolutions.
        device: What ``torch.set_default_device`` was given; None where it was not called.
    """

    threads: int
    dtype: torch.dtype
    gradients: bool
    deterministic: bool
    warn_only: bool
    products: str
    convolutions: str
    device: str | None

    @classmethod
    def now(cls) -> TorchSettings:
        """Return the present settings."""
        return cls(
            torch.get_num_threads(),
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            _precision("matmul"),
            _precision("conv"),
            _default_device(),
        )

    def apply(self) -> None:
        """Make these the settings of torch."""
        present = TorchSettings.now()
        if present == self:
            return
        if present.threads != self.threads:
            torch.set_num_threads(self.threads)
        if present.device != self.device:
            torch.set_default_device(self.device)
        torch.set_default_dtype(self.dtype)
        torch.set_grad_enabled(self.gradients)
        torch.use_deterministic_algorithms(self.deterministic, warn_only=self.warn_only)
        for operation, precision in (("matmul", self.products), ("conv", self.convolutions)):
            if _precision(operation) != precision:
                getattr(torch.backends.mkldnn, operation).fp32_precision = precision


def _default_device() -> str | None:
    """Return what ``torch.set_default_device`` was given; a block of one device does not count."""
    context = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    return None if context is None else str(context.device)


def _precision(operation: str) -> str:
    """Return the precision of oneDNN's ``matmul`` or ``conv``; older torch knows only one."""
    backend = getattr(torch.backends.mkldnn, operation, None)
    return getattr(backend, "fp32_precision", "none")


@contextlib.contextmanager
def settings_restored() -> Iterator[None]:
    """Put torch's settings back after foreign code, which may change them for all others.

    Example:
        >>> before = torch.get_default_dtype()
        >>> with settings_restored():
        ...     torch.set_default_dtype(torch.float64)
        >>> torch.get_default_dtype() == before
        True
    """
    before = TorchSettings.now()
    try:
        yield
    finally:
        before.apply()


@contextlib.contextmanager
def own_settings(threads: int | None = None) -> Iterator[None]:
    """Let torch compute as coplay expects it inside the block, whatever the caller has set.

    That is in float32 with full precision, on the CPU, with gradients, without autocast.

    Args:
        threads: Number of torch's threads; None leaves it.

    Example:
        >>> with torch.no_grad(), own_settings():
        ...     torch.ones(1, requires_grad=True).mul(2).requires_grad
        True
    """
    present = TorchSettings.now()
    if threads is None:
        threads = 1 if ANCESTRY.lost_threads else present.threads
    wanted = replace(
        present,
        threads=threads,
        dtype=torch.float32,
        gradients=True,
        products=present.products if present.products in _FULL else "ieee",
        convolutions=present.convolutions if present.convolutions in _FULL else "ieee",
    )
    if wanted == present and _is_ordinary():  # this happens at every sample set that is drawn
        with settings_restored():
            yield
        return
    with contextlib.ExitStack() as stack:
        stack.enter_context(settings_restored())
        stack.enter_context(torch.inference_mode(False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for device in _AUTOCAST_DEVICES:
            if torch.is_autocast_enabled(device):
                torch.set_autocast_enabled(device, False)
                stack.callback(torch.set_autocast_enabled, device, True)
        wanted.apply()
        yield


def _is_ordinary() -> bool:
    """Whether torch computes on the CPU, without autocast, for later gradients."""
    autocast = any(torch.is_autocast_enabled(device) for device in _AUTOCAST_DEVICES)
    return (
        not autocast
        and not torch.is_inference_mode_enabled()
        and torch.get_default_device().type == "cpu"
    )


class Turns:
    """A lock for all threads of a process: whoever has a turn is alone.

    A thread that has it may take it again, and a forked process begins without it.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        if hasattr(os, "register_at_fork"):  # Windows does not fork
            os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._lock = threading.RLock()

    @contextlib.contextmanager
    def taken(self, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold the lock inside the block.

        Args:
            waiting: Called once if another thread has it.
        """
        lock = self._lock
        if not lock.acquire(blocking=False):
            if waiting is not None:
                waiting()
            lock.acquire()
        try:
            yield
        finally:
            lock.release()
