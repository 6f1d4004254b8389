"""Games in which first-hand samples travel: of models that learned nothing drawn by others.

The equilibrium says what every player ends with: p_i = Σ_j M_ij π_j (A3). It can be reached without
play: every player j draws from a model of its own data alone, and player i learns from its own data
with mass M_ii and from j's samples with mass M_ij. A model's faults enter once and do not come
back, as they do where players learn from models that learned from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic

import scipy.sparse as sp
from typing_extensions import TypeVar  # the standard library's has defaults from Python 3.13 on

from coplay.core.components import name_of
from coplay.core.errors import ConfigError
from coplay.core.expected import Expected
from coplay.core.message import COORDINATOR, Message, Payload, PlayerLate, Request
from coplay.core.same import Same
from coplay.games import first_hand_expected
from coplay.games.base import MOST_IN_M, Asker, Row, State
from coplay.games.draws import ByLink
from coplay.games.first_hand_expected import Turn
from coplay.games.mixtures import Learner, Ways, ways_among
from coplay.games.party import Party
from coplay.games.weighted import WeightedGame, WeightedState
from coplay.models.base import OWN
from coplay.player import Player

_LISTED = 3  # pairs of players that an error names


Carriers = dict[tuple[str, str], str]
"""Who passes on a set of samples, by the one it goes to and the one that drew it."""


@dataclass(frozen=True)
class FirstHandState(WeightedState):
    """What the coordinator remembers between two rounds.

    A set in flight is named by the player that drew it and by the one it goes to next.

    Args:
        owing: Players that were asked to draw, and of which nothing came.
        carried_by: Who passes on each set in flight that does not come from the one that drew it.
        carried_to: To whom each of these goes.
        carried_of: Who drew each of these.
    """

    owing: Sequence[str] = ()
    carried_by: Sequence[str] = ()
    carried_to: Sequence[str] = ()
    carried_of: Sequence[str] = ()

    @property
    def carriers(self) -> Carriers:
        """Who passes on what is in flight."""
        links = zip(self.carried_to, self.carried_of, strict=True)
        return dict(zip(links, self.carried_by, strict=True))


F = TypeVar("F", bound=FirstHandState, default=Any)


class FirstHand(WeightedGame[F], Generic[F]):
    """A game in which players send draws of models of their own data, and keep what they receive.

    Args:
        samples_per_round: n; player i receives n·M_ij samples from j, rounded up, each time fresh
            ones are drawn. Their mass is M_ij, whatever their number.
        fresh_every_rounds: Draw fresh samples every so many rounds; in between, players have the
            old ones and nothing travels.
        own_rounds: Rounds at the start in which every player learns from its own data alone.
        relay: Whether samples of players without a link travel through others, one link a round,
            under the name of the player that drew them; without, such players are refused.
    """

    requests: ClassVar[tuple[type[Request], ...]] = (Turn,)
    state_class: ClassVar[type[State]] = FirstHandState

    relay: bool = False

    def check(self, players: Sequence[Party]) -> None:
        """Refuse players that would need a link they have not, or samples that nobody draws."""
        parties = {player.name: player for player in players}
        if len(parties) > MOST_IN_M:
            raise ConfigError(
                [
                    f"game: everybody learns from everybody, which is at most {MOST_IN_M} players, "
                    f"got {len(parties)}; sample_exchange needs links of neighbours alone"
                ]
            )
        state = self.start(list(parties), players[0].seed)
        ways = self.ways(parties, state)
        faults = [] if self.relay else self._faults_of_links(ways)
        for name in parties:
            faults += self.faults_of(parties[name], ways, parties)
        if faults:
            raise ConfigError(faults)

    def _faults_of_links(self, ways: Ways) -> list[str]:
        """Name the pairs that learn from each other and have no link."""
        detours = ways.detours()
        if not detours:
            return []
        pairs = []
        for receiver, origin in detours[:_LISTED]:
            share = ways.mixes[receiver].most(origin)
            pairs.append(f"'{receiver}' from '{origin}' (a share of {share:.3f})")
        rest = len(detours) - _LISTED
        more = f" and {rest} more" if rest > 0 else ""
        return [
            f"game.relay: by (A2) {', '.join(pairs)}{more} are to learn without a link; relay = "
            "true lets samples travel through others under the name of the player that drew them; "
            "or give every such pair a weight"
        ]

    def faults_of(self, player: Party, ways: Ways, parties: Mapping[str, Party]) -> list[str]:
        """List why a player cannot learn from what it would receive."""
        if player.learns_incomplete:
            return []
        lacking = _lacking(player, ways, parties)
        if not lacking:
            return []
        return [
            f"player '{player.name}': {player.title} needs every variable, and players draw those "
            f"of their own data alone: {', '.join(lacking)}; choose a model that learns from "
            "incomplete samples, give all the same variables, or play sample_exchange, in which "
            "players fill what their data lack"
        ]

    def faults_of_mixing(
        self, player: Party, ways: Ways, parties: Mapping[str, Party]
    ) -> list[str]:
        """List why draws of others cannot stand beside a player's own."""
        faults = []
        name = player.name
        if player.unobserved:
            faults.append(
                f"player '{name}': its data lack {', '.join(player.unobserved)}, and nobody draws "
                "them together with the rest of it; direct_exchange and sample_exchange fill what "
                "data lack"
            )
        lacking = _lacking(player, ways, parties)
        if lacking:
            faults.append(
                f"player '{name}': draws of others are put beside its own as they are, and some "
                f"lack variables: {', '.join(lacking)}; give all the same variables, or choose "
                "direct_exchange or sample_exchange"
            )
        if len(player.space) > len(player.variables):
            faults.append(
                f"player '{name}': {player.title} sends latents, and nobody learns from them here; "
                "leave send_latents out"
            )
        return faults

    def ways(self, parties: Mapping[str, Party], state: F) -> Ways:
        """Return the mixtures of the living, and the ways of their samples."""
        learners = tuple(Learner.of(parties[name]) for name in state.players)
        return ways_among(Same(self.sparse_weights(state)), learners)

    def lessons(self, players: Sequence[Party], seed: int) -> sp.csr_matrix:
        """Return the row of M that each learns by, by the largest share over variables."""
        parties = {player.name: player for player in players}
        places = {name: place for place, name in enumerate(parties)}
        ways = self.ways(parties, self.start(list(parties), seed))
        shares = sp.lil_matrix((len(parties), len(parties)))
        for name, mix in ways.mixes.items():
            for source in mix.masses:
                place = places[name if source == OWN else source]
                shares[places[name], place] = mix.most(source)
        return shares.tocsr()

    def remarks(self, players: Sequence[Party]) -> list[str]:
        """Say where rounds are too few for samples to arrive."""
        left = self.rounds - self.own_rounds
        if left <= 0:
            return [
                f"{name_of('game', self)}: nobody learns from anybody, since all of its rounds "
                f"({self.rounds}) are own_rounds ({self.own_rounds}) on own data alone"
            ]
        parties = {player.name: player for player in players}
        ways = self.ways(parties, self.start(list(parties), players[0].seed))
        far = [name for name in ways.parents if ways.longest(name) > left]
        if not far:
            return []
        most = max(map(ways.longest, far))
        listed = ", ".join(f"'{name}'" for name in far[:_LISTED])
        more = f" and {len(far) - _LISTED} more" if len(far) > _LISTED else ""
        return [
            f"{name_of('game', self)}: samples take one link a round, and those of {listed}{more} "
            f"do not reach everybody in the {left} that follow own_rounds; it takes {most}"
        ]

    def makes_up_in(self, round: int) -> bool:
        """Whether players are asked to draw that did not when everybody was."""
        return False

    def may_make_up(self, player: Player, round: int) -> bool:
        """Whether a player draws, if it is asked to, although it is not everybody's round to."""
        return False

    def play(self, engine: Asker, state: F, round: int) -> tuple[F, Row]:
        """Play one round: every player learns, then draws first-hand samples for others."""
        ways = self.ways(engine.parties, state)
        draws = self._draws(ways, state, round)
        inboxes = _inboxes(ways, state)
        carriers = state.carriers
        asks = []
        for name in state.players:
            received = inboxes.get(name, {})
            through = {each: carriers[name, each] for each in received if (name, each) in carriers}
            request = Turn.of(ways.mixes[name], draws.get(name, {}), through)
            asks.append(Message(request, COORDINATOR, name, round, payload=received))
        replies = engine.ask(asks)
        answers, lost = self.alive(replies)
        late = [reply.player for reply in replies if isinstance(reply, PlayerLate)]
        payload, carriers = _in_flight(ways, carriers, inboxes, answers, late)
        drawn = {answer.sender for answer in answers if answer.payload}
        owing = [name for name in (*state.owing, *draws) if name not in drawn]
        state = replace(
            state,
            payload=payload,
            owing=tuple(dict.fromkeys(owing)),
            carried_by=tuple(carriers.values()),
            carried_to=tuple(to for to, _ in carriers),
            carried_of=tuple(origin for _, origin in carriers),
        )
        state, row = self.lose(state, lost)
        return state, Row.of(answers).merged(row)

    def _draws(self, ways: Ways, state: F, round: int) -> Mapping[str, Mapping[str, int]]:
        """Return how many samples each player is to draw in a round, by receiver."""
        if self.draws_in(round):
            return ways.draws(self.samples_per_round)
        if not self.makes_up_in(round) or not state.owing:
            return {}
        draws = ways.draws(self.samples_per_round)
        return {name: draws[name] for name in state.owing if name in draws}

    def expected_request(self, player: Player, message: Message) -> Expected:
        """Samples come along of players that it learns from; it draws for those that weigh it."""
        return first_hand_expected.request(self, player, message)

    def expected_reply(self, player: Party, ask: Message) -> Expected:
        """All that was to be drawn comes back or, before the player has learned, nothing."""
        return first_hand_expected.reply(player, ask)


def _inboxes(ways: Ways, state: FirstHandState) -> dict[str, dict[str, Payload]]:
    """Return what came for each player, by who drew it, as far as the player still learns from it.

    Once somebody was lost, samples may be on a way that is no more.
    """
    # in player order, whatever the order of arrival: random draws depend on the order
    inboxes = ByLink.of(state.payload).by_receiver(state.players)
    kept = {}
    for name, received in inboxes.items():
        mix = ways.mixes.get(name)
        if mix is not None:
            kept[name] = {each: part for each, part in received.items() if each in mix.masses}
    return kept


def _in_flight(
    ways: Ways,
    before: Carriers,
    inboxes: Mapping[str, Mapping[str, Payload]],
    answers: Sequence[Message],
    late: Sequence[str],
) -> tuple[ByLink, Carriers]:
    """Return what travels next, fresh samples and those that are passed on, and who passes them on.

    What came for a player that was late waits for it, until fresh samples take its place.
    """
    by_origin: dict[str, dict[str, Payload]] = {}
    carriers: Carriers = {}
    for name in late:
        for origin, part in inboxes.get(name, {}).items():
            by_origin.setdefault(origin, {})[name] = part
            if (name, origin) in before:
                carriers[name, origin] = before[name, origin]
    for answer in answers:
        for origin, part in inboxes.get(answer.sender, {}).items():
            for child in ways.children(origin, answer.sender):
                by_origin.setdefault(origin, {})[child] = part
                carriers[child, origin] = answer.sender
    for answer in answers:
        by_origin.setdefault(answer.sender, {}).update(answer.payload)
    return ByLink({origin: parts for origin, parts in by_origin.items() if parts}), carriers


def _lacking(player: Party, ways: Ways, parties: Mapping[str, Party]) -> list[str]:
    """List the others a player is to learn from whose samples lack variables, and which."""
    lacking = []
    for origin in ways.mixes[player.name].others:
        missing = missing_in(parties[origin], player)
        if missing:
            lacking.append(f"'{origin}' (no {', '.join(missing)})")
    return lacking


def missing_in(sender: Party, receiver: Party) -> list[str]:
    """Return the variables of a receiver that are not in the data of a sender."""
    observed = set(sender.variables) - set(sender.unobserved)
    return [name for name in receiver.variables if name not in observed]


def has_own(turn: Turn) -> bool:
    """Whether a player's own data have mass in its mixture."""
    return OWN in turn.mix.masses
