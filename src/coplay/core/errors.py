"""Every error a user can cause, one class each.

The command line turns each of them into one message and exit code 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType

FAILURES = (Exception, SystemExit)
"""What a failure of foreign code may be: also ``sys.exit`` ends no more than that code."""


class CoplayError(Exception):
    """Base of all errors that coplay raises on purpose.

    The message says what was expected, what was given instead, where, and what to do.

    Example:
        >>> import coplay
        >>> try:
        ...     coplay.Config.from_toml("seed = 'x'")
        ... except coplay.CoplayError as error:
        ...     print(error)
        1 problem in the config:
          - seed: input should be a valid integer, unable to parse string as an integer, got 'x'
    """


def shareable(error: BaseException) -> str:
    """Return what may be told to others of an error at a player; empty if its text may not.

    A text may quote private data unless coplay wrote it itself: the error is coplay's own, was
    raised with no foreign code on the way, and passes no foreign error's words on. The words of the
    system, such as "No space left on device", quote no data.

    Args:
        error: An error that was caught.

    Example:
        >>> shareable(ValueError("record 17 is wrong"))
        ''
    """
    if not isinstance(error, CoplayError) or not _is_own(type(error).__module__):
        return ""
    if not all(_is_own(frame.f_globals.get("__name__", "")) for frame in _frames(error)):
        return ""
    cause = error.__cause__
    about_machines = isinstance(cause, OSError) or isinstance(error, EngineError)
    if cause is None or about_machines:
        return str(error)
    return str(error) if shareable(cause) else ""


def withheld(player: str, error: BaseException, home: Path | None) -> str:
    """Say of what kind an error at a player is, and where its words are.

    Args:
        player: The player's name.
        error: An error whose text may not be told.
        home: The player's folder in the game; None where nothing is written.

    Example:
        >>> withheld("north", ValueError("record 17 is wrong"), Path("run/sites/north/isolated"))
        "player 'north': ValueError, whose text stays with the player
        (sites/north/isolated/errors.txt)"
    """
    where = "" if home is None else f" ({errors_of(home)})"
    return f"player '{player}': {type(error).__name__}, whose text stays with the player{where}"


def errors_of(home: Path) -> str:
    """Name the file of a player's errors; where its folder lies is nobody else's business."""
    return "/".join([*home.parts[-3:], "errors.txt"])


# whose code may stand on the way; but for coplay's they only call, and the words are not theirs
_OWN = ("coplay", "torch", "tensordict", "contextlib", "functools")


def _is_own(module: object) -> bool:
    return str(module).partition(".")[0] in _OWN


def _frames(error: BaseException) -> Iterator[FrameType]:
    """Yield the frames from where an error was caught to where it was raised."""
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


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


class ComponentError(CoplayError, ValueError):
    """A component that nobody has under that name, or a class that cannot be imported.

    It is a ``ValueError`` too, so that a config reports it with its other faults.
    """


class DataError(CoplayError):
    """Data that cannot be read, or that a partition cannot deal out."""


class SpaceError(CoplayError):
    """Samples that do not lie in the space they claim to lie in."""


class EquilibriumError(CoplayError):
    """Weights without a unique equilibrium, or an iteration that did not converge."""


class ModelError(CoplayError):
    """A model that cannot be built, restored, or learn from what it was given."""


class StateError(ModelError):
    """A model whose state cannot be saved."""


class SiteError(CoplayError):
    """An error at a site, without words that may quote its rows; these stay at the site."""


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


class TrustError(CoplayError):
    """What came from somebody else would run code or read files, and nobody allowed it."""


class OutputError(CoplayError):
    """A page, a picture or another file that was asked for cannot be written."""


class CheckpointError(CoplayError):
    """A checkpoint that cannot be written or read."""


class EgressError(CoplayError):
    """A record of what left a site that is damaged, rolled back, or cannot be written."""


class WriteError(CheckpointError):
    """A file that the system refuses to write: the disk is full, or permission is missing."""


class PrivacyError(CoplayError):
    """A promise of privacy that cannot be kept: a budget is spent, or a setting rules it out.

    Its words depend on settings and on the budget alone, never on rows, and may be told.
    """


def unsaid(name: str, error: BaseException, home: Path | None) -> str:
    """Return what may be told of an error at a site that made a promise: not even its kind.

    Args:
        name: The player.
        error: The error; words of a :class:`PrivacyError` or :class:`EgressError` depend on no row.
        home: The player's folder; None for one that writes nothing.
    """
    if isinstance(error, PrivacyError | EgressError) and shareable(error):
        return str(error)
    where = "" if home is None else f" ({errors_of(home)})"
    return f"player '{name}': an error, all of which stays with the player{where}"
