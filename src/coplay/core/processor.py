"""Which processor this is, and which library multiplies large matrices on it.

torch multiplies float32 matrices by MKL, whose maker's own processors get AVX-512 and others AVX2.
oneDNN, which torch has for convolutions, uses AVX-512 wherever it exists. Measured on both kinds
(`benchmarks/products.py`), oneDNN is mostly twice as fast on AMD's, and MKL 1.1 to 2.5 times as
fast on Intel's. The maker decides, since a rule gives the same bits every time, and a clock does
not.
"""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from coplay.core.errors import ConfigError

CHOICE = "COPLAY_PRODUCTS"
"""Environment variable that takes the choice: ``onednn``, ``torch``, or ``auto`` as without it."""

_CPU_INFO = Path("/proc/cpuinfo")
_FASTER_BY_ONEDNN = {"AuthenticAMD", "HygonGenuine"}  # if they have AVX-512


@dataclass(frozen=True)
class Processor:
    """A processor.

    Args:
        maker: As it names itself, such as ``GenuineIntel``; empty if unknown.
        model: As it names itself; empty if unknown.
        capability: The widest instructions that torch uses on it, such as ``AVX512``.
    """

    maker: str
    model: str
    capability: str

    @property
    def title(self) -> str:
        """Name for people.

        Example:
            >>> Processor("AuthenticAMD", "AMD EPYC", "AVX512").title
            'AMD EPYC, AVX-512'
        """
        model = self.model or self.maker or "unknown processor"
        wide = self.capability.replace("AVX512", "AVX-512")
        return model if wide in ("", "DEFAULT") else f"{model}, {wide}"

    @property
    def is_faster_by_onednn(self) -> bool:
        """Whether oneDNN multiplies large float32 matrices faster than torch's own library."""
        return self.capability == "AVX512" and self.maker in _FASTER_BY_ONEDNN


@lru_cache(maxsize=1)
def this_processor() -> Processor:
    """Return the processor that this process runs on."""
    capability = torch.backends.cpu.get_cpu_capability()
    try:
        text = _CPU_INFO.read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux: on Windows the text ends with the maker
        text = platform.processor()
        maker = next((name for name in ("GenuineIntel", "AuthenticAMD") if name in text), "")
        return Processor(maker, text, capability)
    return Processor(_entry(text, "vendor_id"), _entry(text, "model name"), capability)


def _entry(text: str, name: str) -> str:
    """Return an entry of the first core; empty if there is none."""
    match = re.search(rf"^{name}\s*:\s*(.*)$", text, re.MULTILINE)
    return match.group(1).strip() if match else ""


def onednn() -> Any:
    """Return torch's operation for a product by oneDNN; None in a torch without it."""
    if not torch.backends.mkldnn.is_available():
        return None
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def by_onednn_here(choice: str, processor: Processor) -> bool:
    """Whether oneDNN multiplies large float32 matrices.

    Args:
        choice: The value of :data:`CHOICE`; empty if it is not set.
        processor: Decides where nobody chose.

    Raises:
        ConfigError: The choice is unknown, or this torch has no oneDNN.

    Example:
        >>> by_onednn_here("", Processor("GenuineIntel", "Intel Xeon", "AVX512"))
        False
    """
    if choice not in ("", "auto", "onednn", "torch"):
        raise ConfigError([f"{CHOICE}={choice}: expected onednn, torch or auto"])
    has_onednn = onednn() is not None
    if choice == "onednn" and not has_onednn:
        raise ConfigError([f"{CHOICE}=onednn: this torch has no oneDNN; unset it, or say torch"])
    if choice in ("onednn", "torch"):
        return choice == "onednn"
    return has_onednn and processor.is_faster_by_onednn


@lru_cache(maxsize=1)
def uses_onednn() -> bool:
    """Whether large products go by oneDNN in this process; decided once.

    Raises:
        ConfigError: The environment's choice is impossible.
    """
    return by_onednn_here(os.environ.get(CHOICE, ""), this_processor())


def matrix_products() -> str:
    """Say which library multiplies large matrices, and on which processor.

    Raises:
        ConfigError: The environment's choice is impossible.
    """
    by_torch = "MKL" if torch.backends.mkl.is_available() else "torch's own"
    library = "oneDNN" if uses_onednn() else by_torch
    return f"{library} ({this_processor().title})"
