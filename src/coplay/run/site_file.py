"""The file of one site: where its data are, its model, what it tells and what it accepts."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, PositiveInt, ValidationError

from coplay.core.components import READING, Section
from coplay.core.errors import ConfigError
from coplay.core.telling import Telling
from coplay.run.deployment import ConnectionSection
from coplay.run.fields import ModelField, RulesField, SourceField, problems_of
from coplay.run.private_site import Privacy
from coplay.site.ingress import Policy

if TYPE_CHECKING:
    from coplay.run.config import Config


class SiteData(Section):
    """Where a site's data are, and which of its columns is which agreed variable.

    Args:
        source: Where its rows come from.
        test: A source of rows that are held out; without it the test split of ``source``, or a
            share of its rows.
        held_out: Share of the rows that are held out where there is no test split; of a large table
            40,000 rows at most, unless a promise of privacy is made. Half of them are scored on,
            the other half are kept to choose the best model for the site.
        unit: Column that names what a row belongs to, such as a patient. Rows of one unit stay on
            one side of every split; the column is no variable and never leaves the site.
        columns: Column by agreed variable, where it is not called like the variable.
        lacks: Agreed variables that the site does not have, though a column may be called so.
        outside: What becomes of rows with values outside the agreed range: they are refused, or
            their values moved to its end, or they are dropped; all of it is counted.
    """

    source: SourceField
    test: SourceField | None = None
    held_out: float = Field(default=0.2, gt=0, lt=1)
    unit: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    lacks: tuple[str, ...] = ()
    outside: Literal["refuse", "clip", "drop"] = "refuse"

    def at(self, home: Path) -> SiteData:
        """Return the section with relative paths taken from a folder."""
        test = None if self.test is None else self.test.at(home)
        return self.model_copy(update={"source": self.source.at(home), "test": test})


class Accepting(Policy):
    """What a site agrees to; a federation that asks for more is refused at the site.

    What it accepts of what others send is a :class:`~coplay.site.ingress.Policy`.

    Args:
        games: Names of the games that it plays; None for all.
        rounds: Most rounds; None for any number.
        samples: Most samples that it draws for one receiver in a round; None for any number.
    """

    games: tuple[str, ...] | None = None
    rounds: PositiveInt | None = None
    samples: PositiveInt | None = None


class Auditing(Section):
    """How a site audits what it sends; the numbers stay at the site.

    Args:
        every_rounds: After every so many rounds what was sent in the round is attacked, and after
            the last one; 0 for never.
        canaries: Share of the units to learn from for which a fair coin decides whether they are
            learned from, so that a lower bound on ε can be stated for one unit added or removed.
            Half of them are not learned from, in any run.
    """

    every_rounds: int = Field(default=0, ge=0)
    canaries: float = Field(default=0.0, ge=0, le=0.5)


class SiteFile(Section):
    """Everything that one site decides for itself.

    Args:
        federation: Name of the federation that it belongs to.
        name: Its name in the federation.
        data: Where its data are.
        model: Its model; without one, the federation's.
        learns: The agreed variables that its model learns; without them, those of the federation.
        tell: What it tells of its real rows.
        accepts: What it agrees to.
        audit: How it audits what it sends.
        hold: Whether its messages wait until ``coplay site approve``.
        privacy: What it promises for its rows; without, nothing.
        rules: Rules between columns, in the names of the agreed variables, beside those of the
            federation.
        connection: How it reaches the coordinator; None for a site that only plays in simulations.
    """

    federation: str
    name: str
    data: SiteData
    model: ModelField | None = None
    learns: tuple[str, ...] | None = Field(default=None, min_length=1)
    tell: Telling = Field(default_factory=Telling)
    accepts: Accepting = Field(default_factory=Accepting)
    audit: Auditing = Field(default_factory=Auditing)
    hold: bool = False
    rules: RulesField = ()
    privacy: Privacy | None = None
    connection: ConnectionSection | None = None

    @classmethod
    def from_file(cls, path: Path, trust: bool = True) -> SiteFile:
        """Read a site file; relative paths in it are taken from its own folder.

        Args:
            path: The file.
            trust: Whether classes outside coplay that it names are imported.

        Raises:
            ConfigError: With all faults, each with the file.
        """
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
            context = None if trust else READING
            file = cls.model_validate(values, context=context)
        except FileNotFoundError:
            raise ConfigError(
                [f"the site file {path} does not exist (looked for from {Path.cwd()})"]
            ) from None
        except tomllib.TOMLDecodeError as error:
            raise ConfigError([f"{path} is no valid TOML: {error}"]) from None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError([f"cannot read the site file {path}: {error}"]) from None
        except ValidationError as error:
            raise ConfigError([f"{path}: {fault}" for fault in problems_of(error)]) from None
        home = path.resolve().parent
        privacy = None if file.privacy is None else file.privacy.at(home)
        connection = None if file.connection is None else file.connection.at(home)
        changed = {"data": file.data.at(home), "privacy": privacy, "connection": connection}
        return file.model_copy(update=changed)


def refuse_site_file(values: Mapping[str, object], origin: str) -> None:
    """Refuse the file of a site where that of a federation belongs.

    Args:
        values: What the file says.
        origin: The file, for the error.

    Raises:
        ConfigError: It is the file of a site.
    """
    if "federation" in values:
        raise ConfigError(
            [
                f"{origin} is the file of one site; a simulation plays the file of its federation: "
                f"coplay run FEDERATION --site {values.get('name')}={origin}"
            ]
        )


def read_sites(
    paths: Mapping[str, str], federation: str, trust: bool = True
) -> dict[str, SiteFile]:
    """Read the site files of players.

    Args:
        paths: Path by player.
        federation: The federation's name.
        trust: Whether classes outside coplay that they name are imported.

    Raises:
        ConfigError: A file cannot be read, is that of another site or federation, or two are of
            one site; with all faults.
    """
    files: dict[str, SiteFile] = {}
    faults = []
    for name, path in paths.items():
        try:
            files[name] = SiteFile.from_file(Path(path).expanduser(), trust)
        except ConfigError as error:
            faults += [f"players.{name}.site: {fault}" for fault in error.problems]
            continue
        file = files[name]
        if file.federation != federation:
            faults.append(
                f"players.{name}.site: {path} belongs to the federation {file.federation!r}, and "
                f"this one is called {federation!r}"
            )
        if file.name == name:
            continue
        if file.name in paths:
            faults.append(
                f"players.{name}.site: {path} and {paths[file.name]} are both of the site "
                f"{file.name!r}; every site has a name of its own"
            )
        else:
            faults.append(
                f"players.{name}.site: {path} is the file of the site {file.name!r}, not of "
                f"{name!r}"
            )
    if faults:
        raise ConfigError(faults)
    return files


def data_of(config: Config, name: str) -> SiteData:
    """Return where a player's data are; what it does not observe is lacking."""
    if name in config.site_files:
        return config.site_files[name].data
    player = config.players[name]
    assert player.data is not None, "a player with data of its own has one of both"
    lacks = dict.fromkeys([*player.data.lacks, *player.unobserved])
    return player.data.model_copy(update={"lacks": tuple(lacks)})
