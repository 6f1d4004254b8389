"""The versions of what decides a result, for the record."""

from __future__ import annotations

import platform
from importlib import metadata

from coplay.core.processor import matrix_products

_VERSIONED = ("coplay", "torch", "tensordict", "numpy", "scipy", "scikit-learn", "torchmetrics")


MATRIX_PRODUCTS = "matrix products"
"""Entry of the versions that names the library of large products and the processor."""


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide a result, and what multiplies matrices.

    Raises:
        ConfigError: The environment chooses an impossible library.
    """
    names = {"python": platform.python_version(), "machine": platform.machine()}
    for package in _VERSIONED:
        try:
            names[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            names[package] = "not installed as a package"
    return names | {MATRIX_PRODUCTS: matrix_products()}
