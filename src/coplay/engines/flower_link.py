"""The coordinator's end of the wire: the nodes of sites, what is on its way, what is late."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime

from coplay.core.errors import EngineError, MessageError
from coplay.core.plain import shortened
from coplay.engines.flower_carrier import Carrier, Fault, Parcel
from coplay.engines.flower_codec import MOST_BYTES, Envelope, Kind, checked_body

POLL_SECONDS = 0.05
"""How often answers are looked for."""

_LOOK_SECONDS = 2.0
"""How often it is looked which sites are there, while somebody is waited for."""

_MEETING_SECONDS = 600.0
"""How long a node may take to say who it is: it starts a process, on a machine that may be busy."""


@dataclass
class Presence:
    """What is known of one site: a line of the file of which sites are there.

    Args:
        node: Its node; None before it has joined.
        since: When it joined, as UTC.
        answered: When it answered last.
        missing_since: Since when it is out of reach; empty while it is there.
        reason: Why it is missing or was late last.
    """

    node: int | None = None
    since: str = ""
    answered: str = ""
    missing_since: str = ""
    reason: str = ""


@dataclass
class Asked:
    """A message on its way.

    Args:
        ask: Its envelope.
        body: Its bytes.
        id: What its answer is called by; empty before it has left.
    """

    ask: Envelope
    body: bytes
    id: str = ""


@dataclass(frozen=True)
class _Who:
    """A node that was asked who it is, with what, and until when its answer is waited for."""

    ask: Envelope
    node: int
    until: float


Answer = tuple[Envelope, bytes]


@dataclass
class Link:
    """Asks sites by name, over a carrier that knows nodes.

    Args:
        carrier: What moves bytes.
        federation: Digest of what was agreed.
        run: What tells the run from others.
        known: The node of each site, where somebody knows it from the sites' keys; a site that
            answers from another is refused. Without it nodes are asked who they are.
        noted: Called with what is known of all sites whenever that changes.
        sites: What is known of each site.
        strangers: Nodes that are no site of the federation, and why.
        sitting: What tells this start of an engine from others.
        opened: When it began, in nanoseconds.
        most_bytes: Most bytes of an answer.
    """

    carrier: Carrier
    federation: str
    run: str
    known: Mapping[str, int] = field(default_factory=dict)
    noted: Callable[[Mapping[str, Mapping[str, object]]], None] = lambda sites: None
    sites: dict[str, Presence] = field(default_factory=dict)
    strangers: dict[int, str] = field(default_factory=dict)
    sitting: str = ""
    opened: int = 0
    most_bytes: int = MOST_BYTES
    _numbers: dict[str, int] = field(default_factory=dict)
    _asked_who: dict[str, _Who] = field(default_factory=dict)

    def begin(self, sites: Sequence[str]) -> None:
        """Begin a sitting: nothing that was sent before is answered any more.

        Args:
            sites: The names of all sites.
        """
        self.sitting = secrets.token_hex(16)
        self.opened = max(time.time_ns(), self.opened + 1)
        self._numbers = {}
        for name in sites:
            self.sites.setdefault(name, Presence(self.known.get(name)))

    def envelope(
        self,
        site: str,
        kind: Kind,
        game: str,
        plays: bool = False,
        threads: int = 1,
        takers: Sequence[str] = (),
    ) -> Envelope:
        """Return the envelope of the next message to a site.

        Args:
            site: The site.
            kind: What is asked.
            game: The game's name in the run.
            plays: Whether the game begins, or the player only says what it is.
            threads: Threads that the player uses.
            takers: The players that learn from incomplete samples.
        """
        number = self._numbers.get(site, 0) + 1
        self._numbers[site] = number
        return Envelope(
            kind,
            self.federation,
            site,
            self.run,
            self.sitting,
            number,
            game=game,
            plays=plays,
            opened=self.opened,
            threads=threads,
            takers=tuple(takers),
        )

    def is_away(self, site: str) -> bool:
        """Whether a site was missed before and is not back."""
        each = self.sites[site]
        if not each.missing_since:
            return False
        self._meet()
        return self.sites[site].node not in self.carrier.nodes()

    def exchange(
        self, asks: Mapping[str, tuple[Envelope, bytes]], seconds: float, again: bool = False
    ) -> dict[str, Answer | Fault]:
        """Ask sites, and return what each answered in time.

        Args:
            asks: Envelope and bytes by site.
            seconds: How long answers are waited for.
            again: Whether a message that got lost with its node is sent anew when that is back.
        """
        end = time.monotonic() + seconds
        waiting = {site: Asked(*ask) for site, ask in asks.items()}
        answers: dict[str, Answer | Fault] = {}
        looked = -_LOOK_SECONDS
        while waiting:
            now = time.monotonic()
            unsent = [site for site, each in waiting.items() if not each.id]
            if unsent and now - looked > _LOOK_SECONDS:
                looked = now
                self._send(waiting, unsent, end - now)
            for site, got in self._pulled(waiting).items():
                if isinstance(got, Fault) and got.is_away and again:
                    waiting[site].id = ""
                    self._missed(site, got.reason)
                    continue
                answers[site] = got
                del waiting[site]
                self._note(site, got)
            if not waiting:
                break
            if now > end:
                for site, each in waiting.items():
                    reason = f"no answer within {seconds:g} s"
                    if not each.id:
                        reason = f"it is out of reach, and was not back within {seconds:g} s"
                    answers[site] = Fault(reason, is_away=True)
                    self._missed(site, reason)
                break
            time.sleep(POLL_SECONDS)
        return answers

    def _send(self, waiting: Mapping[str, Asked], sites: Sequence[str], seconds: float) -> None:
        """Send what waits for its site to be there."""
        self._meet()
        self._meet()  # a carrier may have the answers at once
        there = set(self.carrier.nodes())
        parcels = {}
        for site in sites:
            node = self.sites[site].node
            if node is not None and node in there:
                asked = waiting[site]
                parcels[site] = Parcel(node, asked.ask.plain(), asked.body)
        if not parcels:
            return
        sent = self.carrier.push(list(parcels.values()), max(seconds, 1.0) + 60.0)
        for site, each in zip(parcels, sent, strict=True):
            if isinstance(each, str):
                waiting[site].id = each
            else:
                self._missed(site, each.reason)

    def _pulled(self, waiting: Mapping[str, Asked]) -> dict[str, Answer | Fault]:
        """Return what has come, by the site that was asked."""
        by_id = {each.id: site for site, each in waiting.items() if each.id}
        if not by_id:
            return {}
        got: dict[str, Answer | Fault] = {}
        for id, parcel in self.carrier.pull(list(by_id)).items():
            site = by_id.get(id)
            if site is None:
                continue
            if isinstance(parcel, Fault):
                got[site] = parcel
            else:
                got[site] = self._opened(waiting[site].ask, site, parcel)
        return got

    def _opened(self, ask: Envelope, site: str, parcel: Parcel) -> Answer | Fault:
        """Return what a parcel holds, or what is wrong with it."""
        origin = f"the answer of player '{site}'"
        if parcel.node != self.sites[site].node:
            return Fault(f"bad reply: it came from node {shortened(parcel.node)}")
        try:
            answer = Envelope.from_plain(parcel.values, origin)
            body = checked_body(parcel.body, origin, self.most_bytes)
        except MessageError as error:
            return Fault(f"bad reply: {error}")
        if answer.kind == "refused" and not answer.sitting:
            return Fault(f"its site could not read the message: {answer.reason}")
        faults = ask.answer_faults(answer)
        if faults:
            return Fault(f"bad reply: {'; '.join(faults)}")
        return answer, body

    def _meet(self) -> None:
        """Ask nodes that nobody knows who they are, where their keys do not say it.

        Nothing is waited for: what a node says is taken up when this is called again.
        """
        if self.known:
            return
        if self._asked_who:
            for id, parcel in self.carrier.pull(list(self._asked_who)).items():
                asked = self._asked_who.pop(id, None)
                if asked is not None:
                    self._met(asked, parcel)
        now = time.monotonic()
        for id, asked in list(self._asked_who.items()):
            if now > asked.until:
                del self._asked_who[id]
        there = self.carrier.nodes()
        known = {each.node for each in self.sites.values()}
        known |= {asked.node for asked in self._asked_who.values()}
        strangers = [node for node in there if node not in known and node not in self.strangers]
        lacking = [name for name, each in self.sites.items() if each.node not in there]
        if not strangers or not lacking:
            return
        ask = Envelope("who", self.federation, "", self.run, self.sitting, 1, opened=self.opened)
        parcels = [Parcel(node, ask.plain(), b"") for node in strangers]
        sent = self.carrier.push(parcels, _MEETING_SECONDS)
        for result, node in zip(sent, strangers, strict=True):
            if isinstance(result, str):
                self._asked_who[result] = _Who(ask, node, now + _MEETING_SECONDS)

    def _met(self, asked: _Who, parcel: Parcel | Fault) -> None:
        """Note which site a node is."""
        ask, node = asked.ask, asked.node
        if isinstance(parcel, Fault):
            if not parcel.is_away:
                self.strangers[node] = parcel.reason
            return
        reason = ""
        try:
            answer = Envelope.from_plain(parcel.values, f"node {node}")
            faults = ask.answer_faults(answer)
            reason = answer.reason or "; ".join(faults)
            name = answer.site
        except MessageError as error:
            reason, name = str(error), ""
        each = self.sites.get(name)
        if reason or each is None:
            self.strangers[node] = reason or f"it calls itself {shortened(name)}"
        elif each.node in self.carrier.nodes():
            self.strangers[node] = f"it calls itself '{name}', which is another node already"
        else:
            back = each.node is not None
            self.sites[name] = replace(each, node=node, since="" if back else _now())
            self._changed()

    def _note(self, site: str, got: Answer | Fault) -> None:
        if isinstance(got, Fault):
            self._missed(site, got.reason, got.is_away)
            return
        before = self.sites[site]
        self.sites[site] = Presence(before.node, before.since or _now(), _now())
        self._changed()

    def _missed(self, site: str, reason: str, is_away: bool = True) -> None:
        each = self.sites[site]
        since = each.missing_since or (_now() if is_away else "")
        self.sites[site] = replace(each, missing_since=since, reason=reason)
        self._changed()

    def _changed(self) -> None:
        self.noted({name: asdict(each) for name, each in self.sites.items()})

    def why_missing(self) -> str:
        """Say who of the sites has not joined, and what nodes that are none of them are."""
        missing = [name for name, each in self.sites.items() if each.node is None]
        others = [f"node {node}: {reason}" for node, reason in self.strangers.items()]
        parts = [f"not joined: {', '.join(missing)}"] if missing else []
        return "; ".join(parts + others)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


_current: list[Link] = []


def connect(link: Link) -> None:
    """Let engines of this process use a link; the app that plays a federation calls it."""
    _current[:] = [link]


def disconnect() -> None:
    """Forget the link."""
    _current.clear()


def current() -> Link:
    """Return the link.

    Raises:
        EngineError: There is none: nobody began a run over Flower here.
    """
    if not _current:
        raise EngineError(
            "engine 'flower' plays between organisations, and is begun by 'coplay serve "
            "FEDERATION'; on this machine alone the same federation plays with engine 'local'"
        )
    return _current[0]
