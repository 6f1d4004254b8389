"""Keep freed memory instead of returning it to the system.

A training step allocates and frees large temporaries. By default glibc maps each of them afresh and
gives it back, so that the kernel zeroes the same pages again and again; on convolutional models
that costs a CPU as much as the arithmetic.
"""

from __future__ import annotations

import ctypes
import platform

# glibc's parameters by number (malloc.h), and the largest threshold it accepts on 64-bit machines
_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3
_LARGEST = 32 * 1024 * 1024
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let this process keep what it frees, up to temporaries of 32 MiB.

    It changes the whole process, so only coplay's own command line calls it; see
    ``engine.keep_memory``.

    Returns:
        Whether the setting took effect; False on a C library other than glibc.

    Example:
        >>> keep_freed_memory() in (True, False)
        True
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    if not mallopt(_MMAP_THRESHOLD, _LARGEST):
        return False
    return bool(mallopt(_TRIM_THRESHOLD, _NEVER))


def give_back() -> bool:
    """Return to the system what was freed, as the texts of a large table are once they are numbers.

    Returns:
        Whether there was something to return; False on a C library other than glibc.

    Example:
        >>> give_back() in (True, False)
        True
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    return bool(ctypes.CDLL(None).malloc_trim(0))
