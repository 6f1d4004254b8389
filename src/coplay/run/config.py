"""The config: a frozen tree that a TOML file becomes, and that becomes the same TOML file again.

Every component is its own section; ``name`` chooses the class. All faults are reported at once.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import tomli_w
from pydantic import (
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from coplay.core.components import READING, Section, find, full_name, may_import, name_of, nearest
from coplay.core.errors import ConfigError
from coplay.core.message import COORDINATOR
from coplay.games.base import Game
from coplay.models.base import LocalModel
from coplay.run.deployment import DeploySection
from coplay.run.fields import EngineField, GameField, ModelField, RulesField, problems_of
from coplay.run.foreign import unread, unread_class
from coplay.run.schema import VariableSection
from coplay.run.sections import (
    CheckpointSection,
    DataSection,
    MeasureSection,
    PlayerSection,
    ReferenceSection,
)
from coplay.run.site_file import SiteFile, read_sites, refuse_site_file

# Player names become file names and parts of links.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def _named(players: Any) -> Any:
    """Replace a number of players by as many names whose alphabetical order is their order."""
    if isinstance(players, bool) or not isinstance(players, int):
        return players
    width = len(str(max(players - 1, 0)))
    return {f"player{i:0{width}}": {} for i in range(players)}


class Config(Section):
    r"""Everything that decides a run.

    Args:
        title: One line for the report.
        name: Short name; the run's folder is called after it.
        seed: Decides everything random.
        variables: The agreed variables by name; a simulation may leave them out.
        rules: Rules between columns, such as ``"start <= end"``, that what is drawn keeps.
        data: Source and partition, for players without data of their own.
        model: The model of every player that names none.
        players: Players by name, or just how many.
        game: What is played.
        compare: Further games carried along on the same data and models, by name, such as
            ``"isolated"`` and ``"pooled"``, or as sections with a name. Rounds, steps, the handling
            of losses and, where both have them, weights, links, samples and rounds of own learning
            are the main game's unless a section sets its own.
        engine: Where it runs.
        measure: What is measured.
        reference: Real rows of the coordinator's own, where players have theirs.
        checkpoint: How often it is written down.
        deploy: Where sites in organisations of their own reach the coordinator.

    Example:
        >>> text = 'players = 2\n[game]\nname = "sample_exchange"\nown_weight = 0.5'
        >>> config = Config.from_toml(text)
        >>> config.player_names, config.game.own_weight
        (['player0', 'player1'], 0.5)
        >>> Config.from_toml(config.to_toml()) == config
        True
        >>> Config.from_toml('seed = "x"\n[game]\nname = "sample_exchang"')
        Traceback (most recent call last):
        coplay.core.errors.ConfigError: 2 problems in the config:
          - seed: input should be a valid integer, unable to parse string as an integer, got 'x'
          - game: unknown game 'sample_exchang'; known, nearest first: sample_exchange, ...
    """

    title: str = "a cooperative game"
    name: str = "run"
    seed: int = Field(default=1, ge=0)
    variables: dict[str, VariableSection] = Field(default_factory=dict)
    rules: RulesField = ()
    data: DataSection = Field(default_factory=DataSection)
    model: ModelField = Field(
        default_factory=lambda: find("model", "symmetric_hvae")(), validate_default=True
    )
    players: Annotated[dict[str, PlayerSection], BeforeValidator(_named)] = Field(
        default=2, validate_default=True
    )
    game: GameField = Field(
        default_factory=lambda: find("game", "sample_exchange")(), validate_default=True
    )
    compare: tuple[str | dict[str, Any], ...] = ()
    engine: EngineField = Field(
        default_factory=lambda: find("engine", "local")(), validate_default=True
    )
    measure: MeasureSection = Field(default_factory=MeasureSection)
    reference: ReferenceSection | None = None
    checkpoint: CheckpointSection = Field(default_factory=CheckpointSection)
    deploy: DeploySection | None = None

    _imports: bool = PrivateAttr(default=True)  # whether classes outside coplay were imported
    _site_files: dict[str, SiteFile] | None = PrivateAttr(default=None)
    _file: Path | None = PrivateAttr(default=None)  # that it was read from, in full

    def __eq__(self, other: object) -> bool:
        """Compare what the configs say, however they were read."""
        return isinstance(other, Config) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(self.to_toml())

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> Self:
        self._imports = may_import(info)
        problems = [] if self.players else ["players: expected at least one"]
        games = [self.game]
        faults = []
        for entry in self.compare:
            try:
                games.append(self._carried(entry))
                if _name(games[-1]) == _name(self.game):
                    faults.append(f"compare: {name_of('game', self.game)!r} is the game itself")
            except ValidationError as error:
                for fault in error.errors():
                    place = ".".join(map(str, fault["loc"]))
                    faults.append(f"compare.{place}: {fault['msg']}")
            except ValueError as error:
                faults.append(f"compare: {error}")
        taken = {seat for game in games for seat in game.seats}
        # the first name that is alike but for its case
        first: dict[str, str] = {}
        for name in (*taken, *self.players):
            first.setdefault(name.casefold(), name)
        alike = {name: first[name.casefold()] for name in self.players}
        for name in self.players:
            if not _NAME.fullmatch(name) or name == COORDINATOR:
                problems.append(
                    f"players.{name}: expected a name of letters, digits, '_', '.' and '-' "
                    f"other than '{COORDINATOR}'"
                )
            elif name in alike and alike[name] != name:
                problems.append(
                    f"players.{name}: differs from {alike[name]!r} only in case, and on some "
                    "systems the files of both would be one; call one of them otherwise"
                )
            elif name in taken:
                problems.append(
                    f"players.{name}: the game has a seat of this name; call the player otherwise"
                )
        for name, player in self.players.items():
            problems += [f"players.{name}.{fault}" for fault in player.faults()]
        by_site = [name for name, player in self.players.items() if player.site]
        if by_site and not self.variables:
            problems.append(
                f"variables: expected the agreed variables, since {', '.join(by_site)} is read "
                "from a site file, and each site must know what its columns are to be; 'coplay "
                "init --from FILES' writes them"
            )
        if not _NAME.fullmatch(self.name):
            problems.append(f"name: expected letters, digits, '_', '.' and '-', got {self.name!r}")
        problems += faults
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _carried(self, entry: str | Mapping[str, Any]) -> Game:
        section = {"name": entry} if isinstance(entry, str) else dict(entry)
        name = section.pop("name", None)
        if not isinstance(name, str):
            raise ValueError(f"expected a game's name, or a section with one, got {entry!r}")
        name = full_name("game", name)
        if ":" in name and not self._imports:
            game = unread("game", name, self.game.shared_with(None, section) | section)
            assert isinstance(game, Game)
            return game
        cls = find("game", name)
        if not issubclass(cls, Game):
            raise ValueError(f"{name!r} is no game")
        return cls.model_validate(self.game.shared_with(cls, section) | section)

    @property
    def imported(self) -> bool:
        """Whether classes outside coplay that it names were imported when it was read."""
        return self._imports

    @property
    def file(self) -> Path | None:
        """The file that it was read from, beside which classes of the user's may lie."""
        return self._file

    @property
    def carried(self) -> list[Game]:
        """Games that are carried along."""
        return [self._carried(entry) for entry in self.compare]

    @property
    def player_names(self) -> list[str]:
        """Names of the players, in order."""
        return list(self.players)

    def player_model(self, name: str) -> LocalModel:
        """A new model for a player, not yet set up.

        Raises:
            ConfigError: Its site file cannot be read.
        """
        own = self.players[name].model
        if name in self.site_files:
            own = self.site_files[name].model
        return (own or self.model).fresh()

    @property
    def site_files(self) -> dict[str, SiteFile]:
        """What the site files of players say, by player; each is read once.

        Raises:
            ConfigError: One cannot be read, or is not that of the player; with all faults.
        """
        if self._site_files is None:
            paths = {name: player.site for name, player in self.players.items() if player.site}
            self._site_files = read_sites(paths, self.name, self._imports)
        return self._site_files

    @property
    def site_folders(self) -> list[Path]:
        """The folders of the site files, where classes of the user's may lie."""
        folders = [Path(player.site).parent for player in self.players.values() if player.site]
        return list(dict.fromkeys(folders))

    @property
    def pool_players(self) -> list[str]:
        """Names of the players without data of their own, which are dealt some of the source."""
        if self.engine.sites_elsewhere:
            return []
        return [name for name, player in self.players.items() if not player.has_own_data]

    def with_sites(self, paths: Mapping[str, Path]) -> Config:
        """Return the config with a site file for some players.

        Args:
            paths: Paths of the files by player.

        Raises:
            ConfigError: There is no player of a name.
        """
        unknown = [name for name in paths if name not in self.players]
        if unknown and "players" in self.model_fields_set:
            raise ConfigError(
                f"--site {name}: no player is called so; known, nearest first: "
                f"{nearest(name, self.players)}"
                for name in unknown
            )
        players = self.players if "players" in self.model_fields_set else {}
        sections = dict(players)
        for name, path in paths.items():
            sections[name] = PlayerSection(site=str(path.resolve()))
        # what was not set stays so: nobody asked for the source that a config has by default
        values = self.model_dump(mode="json", exclude_none=True, exclude_unset=True)
        values["players"] = {name: section.to_values() for name, section in sections.items()}
        config = Config.from_dict(values, self._imports)
        config._file = self._file
        return config

    def _at(self, home: Path) -> Config:
        """Return the config with the paths of players' own data taken from a folder."""
        players = {name: player.at(home) for name, player in self.players.items()}
        return self if players == self.players else self.model_copy(update={"players": players})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], trust: bool = True) -> Config:
        """Build a config from nested dictionaries.

        Args:
            values: Sections by name.
            trust: Whether classes outside coplay are imported. Without, each stays a name with
                settings, and the config can be looked at but not played.

        Raises:
            ConfigError: With all faults.
        """
        try:
            return cls.model_validate(dict(values), context=None if trust else READING)
        except ValidationError as error:
            raise ConfigError(problems_of(error)) from None

    @classmethod
    def from_toml(
        cls,
        text: str,
        overrides: Sequence[str] = (),
        origin: str = "config",
        trust: bool = True,
    ) -> Config:
        """Build a config from TOML and ``key.path=value`` overrides.

        Args:
            text: The TOML.
            overrides: One ``key.path=value`` each.
            origin: Where the text comes from, for errors.
            trust: As in :meth:`from_dict`.

        Raises:
            ConfigError: With all faults.
        """
        if str(text).strip().endswith(".toml"):
            raise ConfigError([f"expected TOML, got a path: Config.from_file({str(text)!r})"])
        try:
            values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError([f"{origin} is no valid TOML: {error}"]) from None
        refuse_site_file(values, origin)
        return cls.from_values(values, overrides, trust)

    @classmethod
    def from_values(
        cls, values: dict[str, Any], overrides: Sequence[str], trust: bool = True
    ) -> Config:
        """Build a config from nested dictionaries, which ``key.path=value`` overrides change.

        Args:
            values: Sections by name.
            overrides: One ``key.path=value`` each.
            trust: As in :meth:`from_dict`, which says what is raised.
        """
        for override in overrides:
            _override(values, override)
        return cls.from_dict(values, trust)

    @classmethod
    def from_file(
        cls, path: str | Path, overrides: Sequence[str] = (), trust: bool = True
    ) -> Config:
        """Read a TOML file; the run is named after it unless it says otherwise."""
        try:
            text = (path := Path(path)).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise ConfigError([f"{path} does not exist (looked for from {Path.cwd()})"]) from None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError([f"cannot read {path}: {error}"]) from None
        config = cls.from_toml(text, overrides, str(path), trust)._at(path.resolve().parent)
        config._file = path.resolve()
        if "name" in config.model_fields_set or not _NAME.fullmatch(path.stem):
            return config
        return config.model_copy(update={"name": path.stem})

    def to_dict(self) -> dict[str, Any]:
        """Nested dictionaries of plain values, defaults included.

        The source of a pool is left out where nobody is dealt any of it.
        """
        values = self.model_dump(mode="json", exclude_none=True)
        if not self.pool_players and "data" not in self.model_fields_set:
            del values["data"]
        return values

    def to_toml(self) -> str:
        """The config as TOML, defaults included."""
        return tomli_w.dumps(self.to_dict())


def _name(game: Game) -> str:
    """Return a game's name in a config, also where its class was not imported."""
    return unread_class(game) or name_of("game", game)


def _override(values: dict[str, Any], text: str) -> None:
    """Apply one ``a.b=c``; a value that is not valid TOML is taken as a string."""
    path, equals, raw = text.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise ConfigError([f"--set {text}: expected key.path=value"])
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        value = raw.strip()
    section = values
    for key in keys[:-1]:
        inner = section.setdefault(key, {})
        if isinstance(inner, str):  # a component given by name only
            inner = {"name": inner}
            section[key] = inner
        if not isinstance(inner, dict):
            raise ConfigError([f"--set {text}: {key} is a value, not a section"])
        section = inner
    section[keys[-1]] = value
