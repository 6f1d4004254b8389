"""Players in organisations of their own, over Flower: messages of seconds, and no trust."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import torch
from pydantic import Field, PrivateAttr

from coplay.core.codec import facts_from_bytes, reply_from_bytes, request_to_bytes
from coplay.core.components import name_of
from coplay.core.errors import EngineError, MessageError
from coplay.core.facts import Facts
from coplay.core.message import Message, PlayerLate, PlayerLost
from coplay.core.streams import single_pools
from coplay.engines.base import Engine, answer
from coplay.engines.flower_carrier import Fault
from coplay.engines.flower_codec import Envelope, Kind
from coplay.engines.flower_link import Answer, Link, current
from coplay.engines.recipes import Recipe
from coplay.games.base import Game
from coplay.games.party import Known
from coplay.player import Player

TOO_MANY = (
    "md_gan sends several messages a step, tens of thousands in all, and between organisations one "
    "takes about 5 s; play sample_exchange, fl_gan or distillation, or md_gan inside one "
    "organisation (engine 'local' or 'ray')"
)


class Flower(Engine):
    """Play with sites in organisations of their own, which Flower connects.

    The coordinator holds nothing of a site but what its messages say. A round costs 5 to 7 s of
    transport. ``coplay serve`` begins such a run; the local engine with one group for each player
    gives the same bits.

    Args:
        deadline: Seconds after which a site that has not answered is late: it misses the round and
            stays in the game.
        patience: Seconds that a site is waited for before a game begins and where all have to
            answer, such as for a checkpoint.
        threads: Threads that each player uses; sums of floats depend on it.

    Example:
        >>> Flower(deadline=60)
        Flower(deadline=60.0, patience=600.0, threads=1)
    """

    sites_elsewhere: ClassVar[bool] = True

    deadline: float = Field(default=300.0, gt=0)
    patience: float = Field(default=600.0, gt=0)
    threads: int = Field(default=1, ge=1, le=256)

    _link: Link | None = PrivateAttr(default=None)
    _here: dict[str, Player] = PrivateAttr(default_factory=dict)
    _facts: dict[str, Facts] = PrivateAttr(default_factory=dict)
    _title: str = PrivateAttr(default="")
    _threads_before: int | None = PrivateAttr(default=None)

    def start(self, players: Sequence[Player | Recipe], game: Game) -> None:
        """Let all sites begin; parties without data, such as a server, play here.

        Raises:
            EngineError: The game cannot be played between organisations, or a site is not there,
                or refuses.
        """
        self.close()
        self._title = name_of("game", game).rpartition(":")[2]
        if self._title == "md_gan":
            raise EngineError(TOO_MANY)
        self._here = {each.name: each for each in players if isinstance(each, Player)}
        away = [each for each in players if not isinstance(each, Player)]
        self._link = current()
        self._link.begin([each.name for each in away])
        self._facts = self._begun(self._link, away)
        known = {each.name: Known(self._facts[each.name], each.seed) for each in away}
        parties = [known.get(each.name) or self._here[each.name] for each in players]
        self.seat(parties, game)
        self._threads_before = torch.get_num_threads()
        torch.set_num_threads(self.threads)

    def _begun(self, link: Link, away: Sequence[Recipe]) -> dict[str, Facts]:
        """Let the sites make their players, and return what these say of themselves."""
        asks = {}
        for each in away:
            # a recipe without a folder is one that only says what it is
            plays = getattr(each, "home", None) is not None
            asks[each.name] = (self._envelope(link, "begin", each.name, plays), b"")
        facts = {}
        faults = []
        for name, got in link.exchange(asks, self.patience, again=True).items():
            try:
                if isinstance(got, Fault):
                    raise MessageError(f"site '{name}': {got.reason}")
                envelope, body = got
                if envelope.kind == "refused":
                    raise MessageError(f"site '{name}' refuses: {envelope.reason}")
                facts[name] = facts_from_bytes(body, name)
            except MessageError as error:
                faults.append(str(error))
        if faults:
            more = link.why_missing()
            raise EngineError("\n".join([*faults, *([more] if more else [])]))
        return facts

    def _envelope(self, link: Link, kind: Kind, site: str, plays: bool = True) -> Envelope:
        takers = self.takers if self._seated else []
        return link.envelope(site, kind, self._title, plays, self.threads, takers)

    def describe(self) -> dict[str, Facts]:
        """Return what each player says of itself."""
        return self._facts | {name: player.facts() for name, player in self._here.items()}

    def deliver(self, messages: Sequence[Message], purpose: str) -> list[Message | PlayerLost]:
        """Send all messages at once, and wait for the answers; those of parties here come first."""
        if self._game is None or self._link is None:
            raise RuntimeError("start the engine before asking players")
        answers: dict[str, Message | PlayerLost] = {}
        asked: dict[str, Message] = {}
        with single_pools(self.threads):
            for message in messages:
                player = self._here.get(message.receiver)
                if player is None:
                    asked[message.receiver] = message
                else:
                    answers[message.receiver] = answer(self._game, player, message)
        must_answer = purpose.partition("/")[0] == "checkpoint"
        seconds = self.patience if must_answer else self.deadline
        asks = {}
        for site, message in asked.items():
            if not must_answer and len(asked) > 1 and self._link.is_away(site):
                since = self._link.sites[site].missing_since
                answers[site] = _late(message, f"it is out of reach since {since}")
                continue
            asks[site] = (self._envelope(self._link, "ask", site), request_to_bytes(message))
        got = self._link.exchange(asks, seconds, again=must_answer)
        for site in asks:
            answers[site] = _read(asked[site], got[site])
        return [answers[message.receiver] for message in messages]

    def close(self) -> None:
        """Forget the game; the sites keep what is theirs."""
        super().close()
        self._link = None
        self._here = {}
        self._facts = {}
        if self._threads_before is not None:
            torch.set_num_threads(self._threads_before)
            self._threads_before = None

    def status(self) -> Mapping[str, object]:
        """Return what is known of each site."""
        return {} if self._link is None else dict(self._link.sites)

    @classmethod
    def tiny(cls) -> Self:
        """Return an engine that does not wait for long."""
        return cls(deadline=60, patience=120)


def _read(ask: Message, got: Answer | Fault) -> Message | PlayerLost:
    """Return what came as the answer to a message."""
    if isinstance(got, Fault):
        if got.is_away:
            return _late(ask, got.reason)
        return PlayerLost(ask.receiver, ask.action, ask.round, got.reason)
    envelope, body = got
    if envelope.kind == "refused":
        reason = f"its site refuses the message: {envelope.reason}"
        return PlayerLost(ask.receiver, ask.action, ask.round, reason)
    try:
        return reply_from_bytes(body, ask)
    except MessageError as error:
        return PlayerLost(ask.receiver, ask.action, ask.round, f"bad reply: {error}")


def _late(ask: Message, reason: str) -> PlayerLate:
    return PlayerLate(ask.receiver, ask.action, ask.round, reason)
