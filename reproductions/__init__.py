"""The papers' experiments, at a scale for two cores; ``python -m reproductions --help``."""
