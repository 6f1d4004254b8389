"""One config over settings and seeds: each combination is a run of its own, played only once."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coplay.comparison.labels import short_keys, value_text
from coplay.comparison.place import refuse_other_contents
from coplay.core.errors import ConfigError, CoplayError, RunFolderError
from coplay.core.inside import make_folder
from coplay.run.config import Config
from coplay.run.federation import Federation
from coplay.run.progress import Progress
from coplay.run.result import CLASSIFIER, Result
from coplay.run.resume_settings import result_changes

_LONGEST_NAME = 80  # characters of a folder's name

OpenProgress = Callable[[], AbstractContextManager[Progress]]
"""Opens a receiver of a run's progress, for the duration of the run."""

Faults = dict[str, list[str]]
"""The combinations that have a fault, by its text."""


@dataclass(frozen=True)
class Sweep:
    """Runs to be played, by the name of their folder.

    Args:
        configs: The config of each run.

    Example:
        >>> from coplay.core.temporary import temporary_folder
        >>> path = temporary_folder("example") / "two.toml"
        >>> _ = path.write_text('game = "sample_exchange"')
        >>> for name in Sweep.of(path, ["game.own_weight=0.1,0.3"], "1,2").configs:
        ...     print(name)
        own_weight=0.1_seed=1
        own_weight=0.1_seed=2
        own_weight=0.3_seed=1
        own_weight=0.3_seed=2
    """

    configs: Mapping[str, Config]

    @classmethod
    def of(
        cls,
        path: Path,
        vary: Sequence[str] = (),
        seeds: str = "",
        games: str | None = None,
    ) -> Sweep:
        """Build the config of every combination of values.

        Args:
            path: A TOML file.
            vary: ``key.path=value,value`` each. Values are TOML; commas within brackets or quotes
                do not separate them.
            seeds: Whole numbers separated by commas; without them, the config's own seed.
            games: Names of games to carry along, separated by commas, in place of the config's
                own. Settings that the config has for one of them stay.

        Raises:
            ConfigError: With all faults of all combinations.
        """
        axes = _axes(vary, seeds)
        names = short_keys(list(axes))
        fixed = []
        if games is not None:
            fixed.append(f"compare={_games(path, games)}")
        configs: dict[str, Config] = {}
        faults: Faults = {}
        combinations = list(itertools.product(*axes.values()))
        for values in combinations:
            overrides = [f"{key}={value}" for key, value in zip(axes, values, strict=True)]
            chosen = {names[key]: value for key, value in zip(axes, values, strict=True)}
            try:
                config = Config.from_file(path, [*fixed, *overrides])
            except ConfigError as error:
                _add_faults(faults, error, _folder_name(chosen))
                continue
            # Every folder's name has the seed, also where the seed is not varied.
            chosen.setdefault("seed", str(config.seed))
            configs[_folder_name(chosen)] = config
        _raise(faults, len(combinations))
        return cls(configs)

    def play(
        self,
        folder: Path,
        progress: OpenProgress | None = None,
        say: Callable[[str], None] = print,
    ) -> list[Result]:
        """Play what is not finished, resume what was interrupted, read the rest.

        A run that fails does not stop the others.

        Args:
            folder: The folder of all runs; each has one of its own in it.
            progress: Opens a receiver of a run's progress, such as
                :class:`coplay.cli.progress.ProgressReport`.
            say: Called with a sentence when a run begins, and when one fails.

        Returns:
            All runs that have begun, failed ones included, in order.

        Raises:
            ConfigError: A combination that has not been played cannot be played: with all faults
                of all such combinations.
            RunFolderError: A folder holds a run of another config, or the folder of all runs holds
                other things.
        """
        refuse_other_contents(folder)
        places = {name: folder / name for name in self.configs}
        left = [name for name, place in places.items() if not self._is_finished(name, place)]
        self._check(left)
        for name in left:
            if places[name].is_symlink():
                raise RunFolderError(f"{places[name]} is a link, and runs are written where it is")
        if left:
            make_folder(folder, "name another folder with --out")
        # Runs with the same data and seed have the same classifier; it is trained in one of them.
        classifiers: dict[str, Path] = {}
        for name, config in self.configs.items():
            if name not in left:
                classifiers[_classifier_key(config)] = places[name] / CLASSIFIER
        for number, name in enumerate(left, start=1):
            place = places[name]
            key = _classifier_key(self.configs[name])
            has_begun = (place / "run.json").exists()
            action = "going on with" if has_begun else "playing"
            say(f"{action} {place} ({number} of {len(left)})")
            try:
                self._play_one(name, place, classifiers.get(key), progress)
                classifiers[key] = place / CLASSIFIER
            except Exception as error:  # the run has recorded it; the others go on
                say(f"{place} failed: {error or type(error).__name__}")
        return [Result.load(place) for place in places.values() if (place / "run.json").exists()]

    def _check(self, names: Sequence[str]) -> None:
        """Prepare some combinations, as playing them does first, to see all faults in advance.

        Raises:
            ConfigError: With all faults of all of them.
        """
        faults: Faults = {}
        for name in names:
            try:
                Federation(self.configs[name]).prepare()
            except CoplayError as error:
                _add_faults(faults, error, name)
        _raise(faults, len(names))

    def _play_one(
        self,
        name: str,
        place: Path,
        classifier: Path | None,
        progress: OpenProgress | None,
    ) -> None:
        """Play one run, or resume it if it has begun.

        Args:
            name: The run's name.
            place: The run's folder.
            classifier: The file of a domain classifier trained by another run; it may be missing.
            progress: Opens a receiver of the run's progress.
        """
        with progress() if progress else nullcontext() as report:
            if (place / "run.json").exists():
                # it has the config that the user named (see _is_finished), so it is trusted alike
                Federation.resume(place, report, trust=True)
                return
            if classifier is not None and not classifier.exists():
                classifier = None
            Federation(self.configs[name]).run(place, report, classifier)

    def _is_finished(self, name: str, place: Path) -> bool:
        """Whether a run is on disk and finished.

        Raises:
            RunFolderError: The folder holds a run of another config.
        """
        if not (place / "run.json").exists():
            return False
        result = Result.load(place)
        changed = result_changes(result.config, self.configs[name])
        if changed:
            lines = "\n".join(f"  - {line}" for line in changed)
            remedy = "name another folder with --out, or remove it"
            raise RunFolderError(f"{place} holds a run of another config:\n{lines}\n{remedy}")
        return bool(result.record.status == "finished")


def _classifier_key(config: Config) -> str:
    """Return what decides a run's domain classifier: the seed and the source of the data."""
    return repr((config.seed, config.data.source))


# -------------------------------------------------------------------------------------- axes


def _axes(vary: Sequence[str], seeds: str) -> dict[str, list[str]]:
    """Return the values by key, as written.

    Raises:
        ConfigError: With all faults.
    """
    axes: dict[str, list[str]] = {}
    problems = []
    for text in vary:
        key, equals, values = text.partition("=")
        key = key.strip()
        parts = split(values)
        if not equals or not key or not all(parts):
            problems.append(f"--vary {text}: expected key.path=value,value")
        elif key in axes:
            problems.append(f"--vary {text}: {key} is varied already; give all its values at once")
        elif key == "compare":
            problems.append(f"--vary {text}: name the games to carry along with --games")
        else:
            axes[key] = list(dict.fromkeys(parts))
    numbers = [part.strip() for part in seeds.split(",")] if seeds else []
    if numbers and "seed" in axes:
        problems.append("--seeds: the seed is varied already")
    elif not all(re.fullmatch(r"\d+", number) for number in numbers):
        problems.append(f"--seeds {seeds}: expected whole numbers with commas between")
    elif numbers:
        axes["seed"] = list(dict.fromkeys(str(int(number)) for number in numbers))
    if problems:
        raise ConfigError(problems)
    return axes


def _games(path: Path, games: str) -> str:
    """Write the games to carry along as a TOML array, with their settings from a file."""
    own: dict[str, Any] = {}
    # A faulty file is reported when it is read as a config.
    with contextlib.suppress(OSError, ValueError):
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("compare", [])
        for entry in entries:
            if isinstance(entry, Mapping) and "name" in entry:
                own[entry["name"]] = entry
    names = [game.strip() for game in games.split(",")]
    return _inline([own.get(name, name) for name in names if name])


def _inline(value: Any) -> str:
    """Write a value as TOML on one line.

    Example:
        >>> _inline(["isolated", {"name": "pooled", "once": True}])
        '["isolated", {"name" = "pooled", "once" = true}]'
    """
    if isinstance(value, Mapping):
        pairs = [f"{json.dumps(key)} = {_inline(inner)}" for key, inner in value.items()]
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    return json.dumps(value)


def split(text: str) -> list[str]:
    """Split a text at the commas that stand outside brackets and quotes.

    Args:
        text: Values as TOML, separated by commas.

    Example:
        >>> split('0.1, [1, 2], { name = "a,b" }')
        ['0.1', '[1, 2]', '{ name = "a,b" }']
    """
    parts = [""]
    depth = 0
    quote = ""
    for character in text:
        if quote:
            if character == quote:
                quote = ""
        elif character in "\"'":
            quote = character
        elif character in "[{(":
            depth += 1
        elif character in "]})":
            depth -= 1
        if character == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


# ------------------------------------------------------------------------- names and faults


def _folder_name(chosen: Mapping[str, str]) -> str:
    """Return a folder's name made of the chosen values, by short key.

    It ends in a fingerprint if it is too long, or if a folder's name cannot say it exactly.
    """
    texts = {key: value_text(_value(raw)) for key, raw in chosen.items()}
    whole = "_".join(f"{key}={text}" for key, text in texts.items())
    name = re.sub(r"[^A-Za-z0-9.,=+_-]+", "-", whole)[:_LONGEST_NAME]
    is_exact = all(texts[key] == raw.strip("\"'") for key, raw in chosen.items())
    if name == whole and is_exact:
        return name
    as_written = "_".join(f"{key}={raw}" for key, raw in chosen.items())
    return f"{name}-{hashlib.sha256(as_written.encode()).hexdigest()[:6]}"


def _value(raw: str) -> Any:
    """Read a value as TOML; what is no TOML is a text."""
    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        return raw


def _add_faults(faults: Faults, error: CoplayError, name: str) -> None:
    """Note the faults of a combination."""
    problems = error.problems if isinstance(error, ConfigError) else [str(error)]
    for problem in problems:
        faults.setdefault(problem, []).append(name)


def _raise(faults: Mapping[str, Sequence[str]], combinations: int) -> None:
    """Raise all faults, each with the combinations that have it, unless all of them do."""
    problems = []
    for problem, names in faults.items():
        where = "" if len(names) == combinations else f" (in {', '.join(names)})"
        problems.append(f"{problem}{where}")
    if problems:
        raise ConfigError(problems)
