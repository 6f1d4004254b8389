"""Players with data of their own: what each is built from, in the process that plays it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coplay.core import storage
from coplay.core.components import name_of
from coplay.core.errors import FAILURES, CoplayError, DataError, ModelError, errors_of, unsaid
from coplay.core.facts import Facts, schema_digest
from coplay.core.inside import file_name
from coplay.core.space import Space
from coplay.core.telling import EVERYTHING, Telling
from coplay.data.sources.base import Dataset
from coplay.engines.base import Engine, told_error
from coplay.engines.local import Local
from coplay.games.base import Game
from coplay.models.base import LocalModel
from coplay.models.mixing import INCOMPLETE
from coplay.player import Player
from coplay.run.agreed_data import spaces_of
from coplay.run.approval import Approval, approval_of, check_approved_rows
from coplay.run.config import Config
from coplay.run.private_site import PrivateSite
from coplay.run.rules_of import rules_of_sites
from coplay.run.schema import agreed_space, inferred
from coplay.run.site_border import guard, words_recorded
from coplay.run.site_checks import check_private_sites, refuse_code
from coplay.run.site_file import Auditing, SiteData, data_of
from coplay.run.site_folders import (
    Beginning,
    Earlier,
    make_private,
    note_rows,
    rows_since,
    site_folder,
    site_home,
)
from coplay.run.watching import watching
from coplay.site.agreement import Agreement
from coplay.site.holdings import Holdings
from coplay.site.ingress import Policy
from coplay.site.loading import load_site
from coplay.site.measuring import FOLDER, SiteMeasurer, number_log
from coplay.site.told_names import check_told


@dataclass
class OwnData:
    """What a player with data of its own learns from and with, on its own machine.

    Args:
        name: The player.
        data: Where its data are, with paths that mean the same from everywhere.
        agreement: The agreed variables.
        model: Its model, not set up.
        tell: What it tells of its rows.
        given: The rows themselves, for data that are in memory; None for those of a source.
        has_site_file: Whether a site file says all this.
        accepts: What it accepts of what others send.
        approval: What was approved of a site that holds its messages back; None for others.
        privacy: What it promises; None for nothing.
        audit: How it audits what it sends.
    """

    name: str
    data: SiteData
    agreement: Agreement
    model: LocalModel
    tell: Telling = EVERYTHING
    given: Dataset | None = None
    has_site_file: bool = False
    accepts: Policy = field(default_factory=Policy)
    approval: Approval | None = None
    privacy: PrivateSite | None = None
    audit: Auditing = field(default_factory=Auditing)
    _held: Holdings | None = field(default=None, repr=False, compare=False)

    def __getstate__(self) -> dict[str, object]:
        """Leave the rows where they were read; data in memory have no other place."""
        return {**self.__dict__, "_held": None}

    @property
    def settings_digest(self) -> str:
        """Digest of what decides the rows and the model, as far as settings do."""
        parts = {
            "data": self.data.model_dump(mode="json"),
            "model": [name_of("model", self.model), self.model.model_dump(mode="json")],
            "learns": list(self.agreement.learned),
            "canaries": self.audit.canaries,
        }
        if self.privacy is not None:
            parts["privacy"] = self.privacy.settings.model_dump(mode="json", exclude={"folder"})
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def held(self) -> Holdings | None:
        """The rows if they were read in this process, else None."""
        return self._held

    def load(self) -> Holdings:
        """Read the rows, once in every process.

        Raises:
            DataError: They are not what was agreed; see :func:`coplay.site.loading.load_site`.
        """
        if self._held is None:
            steady = self.privacy is not None
            share = self.audit.canaries
            agreed = self.agreement
            held = load_site(self.data, agreed, self.name, None, self.given, steady, share)
            if self.privacy is not None:
                self.privacy.check_rows(held)
            self._held = held
        return self._held


@dataclass(frozen=True)
class SiteRecipe:
    """How a player with data of its own is built, wherever it is played.

    Args:
        own: What it is built from.
        seed: The run's seed.
        home: The site's own folder in the game; None where nothing is to be written.
        since: The site's own folder in a run whose rows these are compared with, if any.
        beginning: With which model it begins, if not with a new one.
        goes_on: Whether the game has begun, and what the player says of itself has left.
    """

    own: OwnData
    seed: int
    home: Path | None
    since: Path | None = None
    beginning: Beginning | None = None
    goes_on: bool = False

    @property
    def name(self) -> str:
        """The player's name."""
        return self.own.name

    def build(self) -> Player:
        """Read the player's data and build it.

        Raises:
            SiteError: It failed in a game; the words are in the site's own folder.
            DataError: The data are not what was agreed.
            ModelError: The model needs variables that the player lacks.
        """
        if self.home is None:
            return self._built(self._rows())
        make_private(self.home)
        with words_recorded(self.own, self.home):
            held = self._rows()
            try:
                self._note(held)
                player = self._built(held)
                self._begin(player)
                guard(player, self.own, self.home, self.goes_on)
            except FAILURES as error:  # a model is foreign code
                words = "" if self.own.privacy is None else unsaid(self.name, error, self.home)
                raise told_error(self.name, error, self.home, words) from None
        return player

    def _played_with(self, held: Holdings) -> Holdings:
        """Return what the player knows of its rows: under a promise, draws of a stand-in."""
        if self.own.privacy is None:
            return held
        rows = self.own.privacy.samples(held, writes=self.home is not None)
        return Holdings(held.space, rows, rows[:0], rows[:0])

    def _built(self, real: Holdings) -> Player:
        held = self._played_with(real)
        if self.home is not None:
            note_rows(self.home, self.name, held, real)
        model = self.own.model.fresh()
        if self.own.privacy is not None:
            model = self.own.privacy.model(model, real)
        if held.unobserved and not model.learns_incomplete:
            lacking = ", ".join(map(repr, held.unobserved))
            raise ModelError(
                f"site '{self.name}' lacks {lacking}, and {model.title} needs every variable; "
                f"choose a model that learns from incomplete samples ({INCOMPLETE}), or let it "
                "learn only what it has"
            )
        player = Player(
            self.name,
            held.space,
            held.train,
            model,
            self.seed,
            self.home,
            unobserved=held.unobserved,
            tell=self.own.tell,
            schema=schema_digest(self.own.agreement.space),
            measurer=SiteMeasurer(self.name, real, self._told_of_rows, self.home),
            log=number_log(self.name, self.home if self.own.has_site_file else None, self.own.tell),
        )
        if self.own.privacy is not None:
            player.promise = self.own.privacy.settings.kind
        if self.own.agreement.rules is not None:
            player.rules = self.own.agreement.rules.only(player.variables)
        privacy = None if self.own.privacy is None else self.own.privacy.settings
        player.watching = watching(self.own.name, self.own.audit, real, self.home, privacy)
        if self.since is not None:
            player.rows_since = rows_since(self.since, held)
        check_told(self.name, self.own.tell, player.model.reports())
        return player

    @property
    def _told_of_rows(self) -> Telling:
        """What is told of what is measured on rows that are held out."""
        return self.own.tell if self.own.privacy is None else Telling()

    def _begin(self, player: Player) -> None:
        """Let a player that has saved nothing yet take over the model that it begins with."""
        first = self.beginning
        if first is None or player.folder.is_begun:
            return
        first.give(player)

    def _rows(self) -> Holdings:
        """Read the rows; what is wrong with those of a site file is said in this process only."""
        try:
            held = self.own.load()
        except CoplayError as error:
            fault = f"site '{self.name}': its rows cannot be read as agreed"
            if self.home is not None:  # coplay's own words, too, may quote a cell
                where = (
                    f"what is wrong may quote them and stays at the site: {errors_of(self.home)}"
                )
                raise told_error(self.name, error, self.home, f"{fault}; {where}") from None
            if not self.own.has_site_file:
                raise
            # whoever waits for this process elsewhere is no reader of paths and cells
            raise DataError(
                f"{fault}; what is wrong may quote them and stays at the site, where 'coplay site "
                "check' says it"
            ) from None

        if self.home is not None:  # else nothing is played, and nothing leaves
            check_approved_rows(self.name, self.own.approval, held)
        return held

    def _note(self, held: Holdings) -> None:
        """Write down at the site what was read, left out, converted or dropped."""
        if self.home is None or not self.own.has_site_file:
            return  # of data that a config names, the record of the run says it
        path = self.home / FOLDER / f"{file_name(self.name)}.txt"
        text = "\n".join(held.notes) + "\n"
        storage.write_atomically(path, text.encode(), private=True)


def own_data(
    config: Config, pool: Dataset | None, given: Mapping[str, Dataset]
) -> dict[str, OwnData]:
    """Return what the players with data of their own are built from, by player.

    Args:
        config: The run's config.
        pool: The data that are dealt out to the others; None where there are none.
        given: Data that are in memory, by player.

    Raises:
        ConfigError: A site file cannot be read, or the federation names code for a site.
        DataError: Nobody wrote the variables down, and those of the data contradict each other.
    """
    owners = [name for name in config.player_names if config.players[name].has_own_data]
    if not owners:
        return {}
    refuse_code(config)
    check_private_sites(config)
    parts: dict[str, SiteData] = {}
    for name in owners:
        # a process that plays it elsewhere has another folder to take paths from
        parts[name] = data_of(config, name).at(Path.cwd())
    space = agreed_space(config.variables) if config.variables else None
    if space is None:
        space = inferred(spaces_of(parts, pool, given))
    rules = rules_of_sites(config, owners, space)
    sites = {}
    for name, data in parts.items():
        file = config.site_files.get(name)
        learns = config.players[name].variables if file is None else file.learns
        if learns is None and "data" in config.model_fields_set:
            learns = config.data.variables
        if file is not None:
            file.accepts.check(name, space)
        tell = EVERYTHING if file is None else file.tell
        privacy = None
        if file is not None and file.privacy is not None:
            tell, privacy = file.privacy.told(tell), PrivateSite.of(file.privacy, config.name, name)
        sites[name] = OwnData(
            name,
            data,
            Agreement(space, learns, bool(config.variables), rules[name]),
            config.player_model(name),
            tell,
            given.get(name),
            file is not None,
            Policy() if file is None else file.accepts,
            None if file is None else approval_of(config, name),
            privacy,
            Auditing() if file is None else file.audit,
        )
    return sites


def agreed_for(config: Config, own: Mapping[str, OwnData]) -> Space | None:
    """Return the agreed variables; None where nobody wrote any and all data are of one pool."""
    if config.variables:
        return agreed_space(config.variables)
    for each in own.values():
        return each.agreement.space
    return None


def facts_of_sites(
    config: Config, own: Mapping[str, OwnData], since: Path | None = None
) -> dict[str, Facts]:
    """Let the players with data of their own say what they are, where they are played.

    Args:
        config: The run's config.
        own: What they are built from.
        since: The folder of a run whose rows theirs are compared with; None for none.

    Raises:
        CoplayError: A site's data or its model is at fault.
    """
    if isinstance(config.engine, Local):  # the faults of all sites at once
        load_here(own)
    engine: Engine = config.engine.fresh()
    recipes = []
    for name in own:
        before = None if since is None else site_folder(since, name).absolute()
        recipes.append(SiteRecipe(own[name], config.seed, None, before))
    try:
        engine.start(recipes, config.game)
        facts = engine.describe()
    finally:
        engine.close()
    return facts


def recipes_of(
    config: Config,
    own: Mapping[str, OwnData],
    game: str,
    rules: Game[Any],
    folder: Path | None,
    begins_with: Earlier | None,
) -> dict[str, SiteRecipe]:
    """Return how the players with data of their own are built in one game of a run.

    Args:
        config: The run's config.
        own: What they are built from.
        game: The game's name in the run.
        rules: The game.
        folder: The run's folder; None where nothing is to be written.
        begins_with: The run with whose models they begin; None for new ones.
    """
    recipes = {}
    for name, site in own.items():
        # absolute, since the process that plays it may have another folder
        home = None if folder is None else site_home(folder, name, game).absolute()
        beginning = None
        if begins_with is not None:
            beginning = begins_with.beginning(name, game, rules, config.player_names)
        recipes[name] = SiteRecipe(site, config.seed, home, beginning=beginning)
    return recipes


def load_here(sites: Mapping[str, OwnData]) -> None:
    """Read the rows of all sites in this process.

    Raises:
        DataError: With the faults of all sites.
    """
    faults = []
    for own in sites.values():
        try:
            own.load()
        except CoplayError as error:
            faults.append(str(error))
    if faults:
        raise DataError("\n".join(faults))
