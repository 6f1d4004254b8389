"""Every error a user can cause, one class each.

The command line turns each of them into one message and exit code 2.
"""

from __future__ import annotations

from collections.abc import Iterable


class CoplayError(Exception):
    """Base of all errors that coplay raises on purpose.

    The message says what was expected, what was given instead, where, and what to do.
    """


class ConfigError(CoplayError):
    """One or more faults of a config, reported together.

    Args:
        problems: One sentence each, beginning with the place, such as ``game.rounds: …``.

    Example:
        >>> print(ConfigError(["seed: expected an integer, got 'x'"]))
        1 problem in the config:
          - seed: expected an integer, got 'x'
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        noun = "problem" if len(self.problems) == 1 else "problems"
        lines = [f"{len(self.problems)} {noun} in the config:"]
        for problem in self.problems:
            lines.append(f"  - {problem}")
        super().__init__("\n".join(lines))


class DataError(CoplayError):
    """Data that cannot be read, or that a partition cannot deal out."""


class SpaceError(CoplayError):
    """Samples that do not lie in the space they claim to lie in."""


class EquilibriumError(CoplayError):
    """Weights without a unique equilibrium, or an iteration that did not converge."""


class ModelError(CoplayError):
    """A model that cannot be built, restored, or learn from what it was given."""


class PlayerError(CoplayError):
    """A player failed during a game.

    Args:
        player: Name of the player.
        action: What it was asked to do.
        round: The round it was asked in.
        reason: What went wrong, in words.
    """

    def __init__(self, player: str, action: str, round: int, reason: str) -> None:
        self.player = player
        self.action = action
        self.round = round
        self.reason = reason
        super().__init__(f"player '{player}' failed at '{action}' in round {round}: {reason}")


class MessageError(CoplayError):
    """A message whose values do not fit the kind of request it claims to be."""


class EngineError(CoplayError):
    """Players cannot be started: a cluster is out of reach, or a package is missing."""


class PartLostError(EngineError):
    """A payload that travels by reference was lost with the machine that stored it."""


class RunFolderError(CoplayError):
    """A run folder that exists already, is missing, or is no run."""


class CheckpointError(CoplayError):
    """A checkpoint that cannot be written or read."""


class WriteError(CheckpointError):
    """A file that the system refuses to write: the disk is full, or permission is missing."""
