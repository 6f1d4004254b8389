"""A site's side of the Flower engine: each message is answered by a process that begins anew.

What a player needs lies on the site's own disk (:mod:`coplay.run.site_session`). Nothing here knows
Flower: it turns an envelope and bytes into an envelope and bytes, and never raises.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from coplay.core import storage
from coplay.core.codec import facts_to_bytes, reply_to_bytes, request_from_bytes
from coplay.core.digests import of_bytes
from coplay.core.errors import FAILURES, CoplayError, MessageError, SiteError, unsaid
from coplay.core.history import Roster
from coplay.core.plain import shortened
from coplay.core.streams import single_pools
from coplay.core.surroundings import own_settings
from coplay.core.text import visible
from coplay.engines.base import answer, told_error
from coplay.engines.flower_codec import ANSWERS, MOST_BYTES, Envelope, checked_body
from coplay.engines.gate import acquaint, checked_reply, plays
from coplay.games.base import Game
from coplay.player import REQUESTS, Player
from coplay.run.approval import check_accepted, check_held
from coplay.run.config import Config
from coplay.run.elsewhere import agreed_digest
from coplay.run.own_data import OwnData, SiteRecipe, own_data
from coplay.run.preparing import game_names
from coplay.run.site_border import record_facts, record_refusal
from coplay.run.site_file import SiteFile
from coplay.run.site_folders import make_private, site_folder, site_home
from coplay.run.site_session import (
    Answered,
    answered_before,
    forget_session,
    keep_session,
    last_number,
    take_session,
)

SITTING = "sitting.json"
"""File, in a site's folder, of the coordinator's sitting that it answers in."""

_WAIT_SECONDS = 3600.0  # for the process that answers the message before


@dataclass(frozen=True)
class Sitting:
    """The coordinator's sitting that a site answers in.

    Args:
        run: The run.
        sitting: Its mark.
        opened: When it began.
        number: Place of the last message that was answered.
        game: The game that is played; empty before one is.
        threads: Threads that the player uses.
        takers: Who learns from incomplete samples; None before it was said.
    """

    run: str
    sitting: str
    opened: int
    number: int
    game: str = ""
    threads: int = 1
    takers: list[str] | None = None


@dataclass
class FlowerSite:
    """One site, as messages see it.

    Args:
        federation: The site's own copy of what was agreed.
        site: Its site file.
        home: Folder of everything that it keeps, for its owner alone.
        most_bytes: Most bytes of a message.
    """

    federation: Path
    site: Path
    home: Path
    most_bytes: int = MOST_BYTES

    @cached_property
    def name(self) -> str:
        """The site's name, as its own file says it."""
        return SiteFile.from_file(self.site, trust=False).name

    @cached_property
    def config(self) -> Config:
        """The federation, with this site's own file.

        Raises:
            ConfigError: A file cannot be read, or asks for more than the site accepts.
        """
        agreed = Config.from_file(self.federation)
        return agreed.with_sites({self.name: self.site})

    @cached_property
    def agreed(self) -> str:
        """Digest of what was agreed."""
        return agreed_digest(Config.from_file(self.federation))

    def answer(self, values: object, body: object) -> tuple[Envelope, bytes]:
        """Answer one message, whatever it is.

        Args:
            values: What should be an envelope, as plain values.
            body: What should be the bytes inside.
        """
        try:
            self.name  # noqa: B018  what follows needs it
        except CoplayError as error:
            print(visible(str(error)), file=sys.stderr)  # the site's log: it may name folders
            reason = "this site's own file cannot be read; its owner finds why in the site's log"
            return Envelope("refused", "", "", "", "", 1, reason=reason), b""
        ask = None
        try:
            ask = Envelope.from_plain(values, "a message")
            content = self.checked(ask, body)
            return self._answer(ask, content)
        except CoplayError as error:
            return self._refused(ask, error)
        except FAILURES as error:  # a model is foreign code
            return self._refused(ask, self._told(error))

    def _told(self, error: BaseException) -> CoplayError:
        """Return what others may know of an error; where a promise was made, not even its kind."""
        words = ""
        with contextlib.suppress(CoplayError):  # a site that cannot be read has read no rows
            if self._own.privacy is not None:
                words = unsaid(self.name, error, self._errors)
        return told_error(self.name, error, self._errors, words)

    def checked(self, ask: Envelope, body: object) -> bytes:
        """Return the bytes of a request that is meant for this site.

        Args:
            ask: Its envelope.
            body: What should be its bytes.

        Raises:
            MessageError: It is none, or too large, or meant for others.
        """
        if ask.kind not in ANSWERS:
            raise MessageError(f"a message: expected a request, got {shortened(ask.kind)}")
        self._check_place(ask)
        return checked_body(body, "a message", self.most_bytes)

    @property
    def _errors(self) -> Path:
        """Where the words of errors stay that belong to no game."""
        folder = site_folder(self.home, self.name)
        storage.make_folder(folder)
        folder.chmod(0o700)
        return folder

    def _refused(self, ask: Envelope | None, error: BaseException) -> tuple[Envelope, bytes]:
        """Return the refusal of a message; its words are written down before they leave."""
        reason = str(error)
        if not isinstance(error, MessageError | SiteError):
            # the words of others may quote rows or name places
            reason = str(self._told(error))
        try:
            self._record_refusal(reason)
        except CoplayError:
            reason = "what it would say cannot be written down, so it says nothing"
        if ask is None:
            return Envelope("refused", "", self.name, "", "", 1, reason=reason), b""
        return ask.answered("refused", self.name, reason), b""

    def _record_refusal(self, reason: str) -> None:
        """Write a refusal into the record of the game that is played, if one is."""
        sitting = self._sitting()
        if sitting is None or not sitting.game:
            return
        home = site_home(self.home, self.name, sitting.game).absolute()
        if home.exists():
            record_refusal(self._own, home, reason)

    # ------------------------------------------------------------------------------ one message

    def _answer(self, ask: Envelope, body: bytes) -> tuple[Envelope, bytes]:
        """Answer an envelope that is well formed.

        Raises:
            CoplayError: It is refused.
        """
        if ask.kind == "who":
            return ask.answered("name", self.name), b""
        folder = site_folder(self.home, self.name).absolute()
        storage.make_folder(folder)
        folder.chmod(0o700)
        with FileLock(folder / "lock", timeout=_WAIT_SECONDS, mode=0o600):
            before = self._sitting()
            if ask.kind == "begin":
                self._check_begin(ask, before)
                return self._begun(ask)
            if before is None:
                raise MessageError("no game has begun here; the coordinator has to begin one")
            return self._asked(ask, body, before)

    def _check_place(self, ask: Envelope) -> None:
        """Refuse a message that is not meant for this site in this federation.

        Raises:
            MessageError: It is not.
        """
        if ask.site != self.name and (ask.site or ask.kind != "who"):
            raise MessageError(
                f"it is for the site {shortened(ask.site)}, and this is '{self.name}'"
            )
        if ask.federation != self.agreed:
            raise MessageError(
                "it is of another federation, or what was agreed is not the same here: compare "
                "this site's federation.toml with the coordinator's"
            )

    def _check_begin(self, ask: Envelope, before: Sitting | None) -> None:
        """Refuse a beginning that came before the last, or is of another run.

        Raises:
            MessageError: It is.
        """
        if before is None:
            return
        if before.run != ask.run:
            raise MessageError(
                "this site's folder has another run; move it away, or name another [connection] "
                "home"
            )
        if before.sitting == ask.sitting:
            # its answer may be lost with the node that had it; nothing was asked since
            title = ask.game if ask.plays else ""
            is_same = (ask.number, title) == (before.number, before.game) and before.takers is None
            if ask.number <= before.number and not is_same:
                raise MessageError(_replayed(ask, before.number))
        elif ask.opened <= before.opened:
            raise MessageError("it is of an earlier sitting of the coordinator: replayed")

    def _sitting(self) -> Sitting | None:
        path = site_folder(self.home, self.name) / SITTING
        if not path.exists():
            return None
        values = storage.read_sealed(path)
        known = {name: values[name] for name in Sitting.__dataclass_fields__}
        return Sitting(**known)

    def _keep_sitting(self, sitting: Sitting) -> None:
        path = site_folder(self.home, self.name) / SITTING
        storage.write_sealed(path, sitting.__dict__, private=True)

    @cached_property
    def _own(self) -> OwnData:
        return own_data(self.config, None, {})[self.name]

    def _rules(self, game: str) -> Game[Any]:
        """Return a game by its name in the run.

        Raises:
            MessageError: The federation plays no such game.
        """
        config = self.config
        games = dict(zip(game_names(config), (config.game, *config.carried), strict=True))
        if game not in games:
            listed = ", ".join(games)
            raise MessageError(f"expected one of the games {listed}, got {shortened(game)}")
        return games[game]

    def _recipe(self, home: Path | None, goes_on: bool) -> SiteRecipe:
        since = None if home is not None else site_folder(self.home, self.name).absolute()
        return SiteRecipe(self._own, self.config.seed, home, since, goes_on=goes_on)

    # ------------------------------------------------------------------------------- beginnings

    @own_settings(threads=1)
    def _begun(self, ask: Envelope) -> tuple[Envelope, bytes]:
        """Make the player of a game, or one that only says what it is."""
        check_accepted(self.config)
        check_held(self.config)
        game = self._rules(ask.game)
        home = site_home(self.home, self.name, ask.game).absolute()
        sitting = Sitting(ask.run, ask.sitting, ask.opened, ask.number, threads=ask.threads)
        if ask.plays:
            forget_session(home)
            player = self._recipe(home, goes_on=False).build()
            facts = player.facts()
            player.roster = Roster(game.players_of(self.config.player_names))
            game.equip(player)  # a game may set the model up on more variables: its state has them
            keep_session(player, home, ask.sitting, ask.number)
            sitting = replace(sitting, game=ask.game)
        else:
            player = self._recipe(None, goes_on=False).build()
            facts = player.facts()
            make_private(home)
            record_facts(player, self._own, home)
        self._keep_sitting(sitting)
        return ask.answered("facts", self.name), facts_to_bytes(facts)

    # ------------------------------------------------------------------------------ and the rest

    def _asked(self, ask: Envelope, body: bytes, before: Sitting) -> tuple[Envelope, bytes]:
        """Let the player answer what it is asked."""
        game = self._rules(ask.game)
        home = site_home(self.home, self.name, ask.game).absolute()
        again = answered_before(home, ask.sitting, ask.number, body)
        if again is not None and ask.sitting == before.sitting:
            return ask.answered("answer", self.name), again
        check_ask(ask, before, max(before.number, last_number(home)))
        message = request_from_bytes(body, (*REQUESTS, *game.requests), "a request")
        torch.set_num_threads(before.threads)
        with single_pools(before.threads):
            player = self._player(game, home, before.sitting, ask)
            answered = answer(game, player, message)
            reply = checked_reply(game, player, message, answered)
        content = reply_to_bytes(reply)
        kept = Answered(of_bytes(body), None if plays(message) else content)
        keep_session(player, home, before.sitting, ask.number, kept)
        if before.takers is None:
            self._keep_sitting(replace(before, takers=list(ask.takers)))
        return ask.answered("answer", self.name), content

    def _player(self, game: Game[Any], home: Path, sitting: str, ask: Envelope) -> Player:
        """Return the player as it was after the message before."""
        with own_settings(threads=1):
            player = self._recipe(home, goes_on=True).build()
        player.roster = Roster(game.players_of(self.config.player_names))
        acquaint(player.roster, list(ask.takers))
        game.equip(player)
        take_session(player, home, sitting, (*REQUESTS, *game.requests))
        return player


def check_ask(ask: Envelope, before: Sitting, last: int) -> None:
    """Refuse a message that does not follow the last one.

    Args:
        ask: Its envelope.
        before: The sitting that the site answers in.
        last: Place of the last message that was answered.

    Raises:
        MessageError: It does not.
    """
    if ask.sitting != before.sitting or ask.run != before.run:
        raise MessageError("it is of another sitting of the coordinator than the last begun")
    if ask.game != before.game or not before.game:
        raise MessageError(
            f"it is of the game {shortened(ask.game)}, and the one that has begun is "
            f"{shortened(before.game)}"
        )
    if before.takers is not None and list(ask.takers) != before.takers:
        raise MessageError("who takes incomplete samples was said before, and otherwise")
    if ask.number <= last:
        raise MessageError(_replayed(ask, last))


def _replayed(ask: Envelope, last: int) -> str:
    return f"message {ask.number} came after message {last}: replayed, or out of order"


def site_of(settings: Mapping[str, object]) -> FlowerSite:
    """Return the site that a node's settings name.

    Args:
        settings: Absolute paths ``federation``, ``site`` and ``home``.

    Raises:
        MessageError: One is missing.
    """
    paths = []
    for name in ("federation", "site", "home"):
        value = settings.get(name)
        if not isinstance(value, str) or not value:
            raise MessageError(
                f"this node was started without {name} in its node-config; 'coplay site join "
                "site.toml' starts it"
            )
        paths.append(Path(value))
    federation, site, home = paths
    return FlowerSite(federation, site, home)
