"""One config over settings and seeds: every combination is a run of its own, played once and read ever after."""

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

from coplay.comparison.arms import short_keys, value_text
from coplay.core.errors import ConfigError, CoplayError, RunFolderError
from coplay.run.config import Config, differences
from coplay.run.federation import Federation
from coplay.run.progress import Progress
from coplay.run.result import CLASSIFIER, Result

_LONGEST = 80  # characters of a folder's name


@dataclass(frozen=True)
class Sweep:
    """Runs that are to be, by the name of their folder.

    Args:
        configs: What each of them plays.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "two.toml"
        >>> _ = path.write_text('game = "sample_exchange"')
        >>> list(Sweep.of(path, ["game.own_weight=0.1,0.3"], "1,2").configs)
        ['own_weight=0.1_seed=1', 'own_weight=0.1_seed=2', 'own_weight=0.3_seed=1', 'own_weight=0.3_seed=2']
    """

    configs: Mapping[str, Config]

    @classmethod
    def of(cls, path: Path, vary: Sequence[str] = (), seeds: str = "", games: str | None = None) -> Sweep:
        """Every combination of values.

        Args:
            path: A TOML file.
            vary: ``key.path=value,value`` each; values are TOML, commas within brackets or quotes do not part them.
            seeds: Whole numbers, parted by commas; without them, the config's own seed.
            games: Games to carry along, parted by commas, in place of the config's own; whatever settings it has for one of
                them stay.

        Raises:
            ConfigError: With all faults of all combinations.
        """
        axes = _axes(vary, seeds)
        fixed = [] if games is None else [f"compare={_games(path, games)}"]
        names = short_keys(list(axes))
        configs: dict[str, Config] = {}
        faults: dict[str, list[str]] = {}
        combinations = list(itertools.product(*axes.values()))
        for values in combinations:
            chosen = dict(zip(axes, values, strict=True))
            told = {names[key]: value for key, value in chosen.items()}
            try:
                config = Config.from_file(path, [*fixed, *(f"{key}={value}" for key, value in chosen.items())])
                configs[_folder_name(told if "seed" in told else told | {"seed": str(config.seed)})] = config
            except ConfigError as error:
                for problem in error.problems:
                    faults.setdefault(problem, []).append(_folder_name(told))
        _raise(faults, len(combinations))
        return cls(configs)

    def play(
        self,
        folder: Path,
        report: Callable[[], AbstractContextManager[Progress]] | None = None,
        say: Callable[[str], None] = print,
    ) -> list[Result]:
        """Play what is not finished, resume what was cut off, read the rest.

        A run that fails does not stop the others.

        Args:
            folder: Runs lie in it, one folder each.
            report: Opens what a run's progress is told to, such as :class:`coplay.cli.progress.ProgressReport`.
            say: Called with a sentence when a run begins, and when one fails.

        Returns:
            All runs that have begun, failed ones included, in order.

        Raises:
            ConfigError: A combination that is yet to be played cannot be: with all faults of all of them.
            RunFolderError: A folder holds a run of another config.
        """
        places = {name: folder / name for name in self.configs}
        left = [name for name, place in places.items() if not self._finished(name, place)]
        faults: dict[str, list[str]] = {}
        for name in left:
            try:
                Federation(self.configs[name]).prepare()
            except CoplayError as error:
                for problem in error.problems if isinstance(error, ConfigError) else [str(error)]:
                    faults.setdefault(problem, []).append(name)
        _raise(faults, len(left))
        trained = {_judge(self.configs[name]): places[name] / CLASSIFIER for name in self.configs if name not in left}
        for number, name in enumerate(left, 1):
            begun = (places[name] / "run.json").exists()
            say(f"{'going on with' if begun else 'playing'} {places[name]} ({number} of {len(left)})")
            try:
                with report() if report else nullcontext() as told:
                    if begun:
                        Federation.resume(places[name], told)
                    else:
                        known = trained.get(_judge(self.configs[name]))
                        Federation(self.configs[name]).run(
                            places[name], told, known if known and known.exists() else None
                        )
                trained[_judge(self.configs[name])] = places[name] / CLASSIFIER
            except Exception as error:  # whatever it is, the others go on; the run's own record has it
                say(f"{places[name]} failed: {error or type(error).__name__}")
        return [Result.load(place) for place in places.values() if (place / "run.json").exists()]

    def _finished(self, name: str, place: Path) -> bool:
        """Whether a run is on disk and finished.

        Raises:
            RunFolderError: It is one of another config.
        """
        if not (place / "run.json").exists():
            return False
        result = Result.load(place)
        changed = list(differences(result.config.to_dict(), self.configs[name].to_dict()))
        if changed:
            lines = "\n".join(f"  - {line}" for line in changed)
            raise RunFolderError(
                f"{place} holds a run of another config:\n{lines}\nname another folder with --out, or remove it"
            )
        return bool(result.record["status"] == "finished")


def _judge(config: Config) -> str:
    """What decides the domain classifier."""
    return repr((config.seed, config.to_dict()["data"]["source"]))


def _axes(vary: Sequence[str], seeds: str) -> dict[str, list[str]]:
    """Values by key, as written.

    Raises:
        ConfigError: With all faults.
    """
    axes: dict[str, list[str]] = {}
    problems = []
    for text in vary:
        key, equals, values = text.partition("=")
        key, parts = key.strip(), split(values)
        if not equals or not key or not all(parts):
            problems.append(f"--vary {text}: expected key.path=value,value")
        elif key in axes:
            problems.append(f"--vary {text}: {key} is varied already; give all its values at once")
        elif key == "compare":
            problems.append(f"--vary {text}: name the games to carry along with --games")
        else:
            axes[key] = list(dict.fromkeys(parts))
    given = [part.strip() for part in seeds.split(",")] if seeds else []
    if given and "seed" in axes:
        problems.append("--seeds: the seed is varied already")
    elif not all(re.fullmatch(r"\d+", part) for part in given):
        problems.append(f"--seeds {seeds}: expected whole numbers with commas between")
    elif given:
        axes["seed"] = list(dict.fromkeys(str(int(part)) for part in given))
    if problems:
        raise ConfigError(problems)
    return axes


def _games(path: Path, games: str) -> str:
    """Games to carry along as a TOML array, with the settings that a file has for them."""
    own: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):  # what is wrong with the file is told when it is read as a config
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("compare", [])
        own = {entry["name"]: entry for entry in entries if isinstance(entry, Mapping) and "name" in entry}
    return _inline([own.get(name, name) for name in (game.strip() for game in games.split(",")) if name])


def _inline(value: Any) -> str:
    """A value as TOML on one line.

    Example:
        >>> _inline(["isolated", {"name": "pooled", "once": True}])
        '["isolated", {"name" = "pooled", "once" = true}]'
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_inline(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    return json.dumps(value)


def split(text: str) -> list[str]:
    """Part a text at the commas that stand outside brackets and quotes.

    Example:
        >>> split('0.1, [1, 2], { name = "a,b" }')
        ['0.1', '[1, 2]', '{ name = "a,b" }']
    """
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        else:
            depth += (character in "[{(") - (character in "]})")
        if character == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _folder_name(chosen: Mapping[str, str]) -> str:
    """A name that says what was chosen; what a folder cannot say, or not briefly, ends in a fingerprint."""
    told = [f"{key}={value_text(_value(raw))}" for key, raw in chosen.items()]
    plain = "_".join(told)
    name = re.sub(r"[^A-Za-z0-9.,=+_-]+", "-", plain)[:_LONGEST]
    full = "_".join(f"{key}={raw}" for key, raw in chosen.items())
    exact = name == plain and all(value_text(_value(raw)) == raw.strip("\"'") for raw in chosen.values())
    return name if exact else f"{name}-{hashlib.sha256(full.encode()).hexdigest()[:6]}"


def _value(raw: str) -> Any:
    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        return raw


def _raise(faults: Mapping[str, Sequence[str]], combinations: int) -> None:
    """Raise what was found, each fault once with the combinations that have it, unless all do."""
    if faults:
        raise ConfigError(
            problem if len(names) == combinations else f"{problem} (in {', '.join(names)})"
            for problem, names in faults.items()
        )
