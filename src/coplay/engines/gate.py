"""The gate for messages, at both ends and at every engine.

At the player, a request is checked whole before anything changes; at the coordinator, a reply is
checked against its request before a game sees it. What a message may hold is declared by its game
(:meth:`Game.expected_request`, :meth:`Game.expected_reply`) and, for what every player is asked,
in :mod:`coplay.games.every_game`. A fault is the loss of the party that made it, with the reason
in words; nothing of a bad message is used or counted.

A gate knows names, not persons: that a message comes from the party whose name it bears has to be
assured by what carries it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from coplay.core.errors import CoplayError, MessageError
from coplay.core.expected import ANYTHING, Checked, Expected, plain_faults
from coplay.core.history import Roster
from coplay.core.message import (
    COORDINATOR,
    Head,
    Message,
    PlayerDied,
    PlayerLate,
    PlayerLost,
    PlayerUnsaved,
    Request,
    action_of,
)
from coplay.core.plain import field_faults, shortened
from coplay.games import every_game
from coplay.games.base import Game
from coplay.games.party import Party
from coplay.player import REQUESTS, Player

_MOST_FAULTS = 5
_LONGEST_REASON = 5000
_LOSSES = (PlayerLost, PlayerLate, PlayerDied, PlayerUnsaved)


def refusal(
    game: Game, player: Player, message: object, checked: Checked | None = None
) -> PlayerLost | None:
    """Check a request before the player does anything; note it if it is accepted.

    Args:
        game: The rules.
        player: The player that is asked.
        message: What should be a request.
        checked: What was checked of the requests that are answered together with this one.

    Returns:
        The loss that answers a request that is refused, after which the player is as it was before;
        None if the request is accepted.
    """
    try:
        faults = _request_faults(game, player, message, {} if checked is None else checked)
    except Exception as error:  # whatever a stranger sent, it must not end the player
        faults = [_unreadable(error)]
    if not faults:
        assert isinstance(message, Message)
        player.history.note(message.request, message.round, plays(message))
        return None
    reason = f"refused, nothing has changed: {_listed(faults)}"
    return PlayerLost(player.name, _action(message), _round(message), reason)


def acquaint(roster: Roster, take_incomplete: object) -> None:
    """Note, at players elsewhere, which of all players learn from incomplete samples.

    It is said once, before the first round: what a player leaves out of its draws for the others
    depends on it, and must not change while they play.

    Args:
        roster: The players of the game.
        take_incomplete: What came: their names.

    Raises:
        MessageError: It is no list of different players of the game, or came before; nothing has
            changed then.
    """
    faults = []
    if roster.is_acquainted:
        faults.append("it was said before")
    if type(take_incomplete) not in (list, tuple):
        kind = type(take_incomplete).__name__
        faults.append(f"expected a list of players, got {kind}")
    else:
        faults += _name_faults(roster, take_incomplete)  # type: ignore[arg-type]
    if faults:
        what = "who takes incomplete samples"
        raise MessageError(f"{what}: refused, nothing has changed: {_listed(faults)}")
    roster.take_incomplete = frozenset(take_incomplete)  # type: ignore[call-overload]
    roster.is_acquainted = True


def _name_faults(roster: Roster, names: Sequence[object]) -> list[str]:
    """List what is wrong with names of players."""
    faults = []
    known: set[str] = set()
    for name in names:
        if type(name) is not str or name not in roster.places:
            listed = shortened(", ".join(roster.names))
            faults.append(f"expected players of {listed}, got {shortened(name)}")
        elif name in known:
            faults.append(f"{shortened(name)} is named twice")
        else:
            known.add(name)
    return faults


def _request_faults(game: Game, player: Player, message: object, checked: Checked) -> list[str]:
    """List what is wrong with what should be a request to this player."""
    if type(message) is not Message:
        return [f"expected a message, got {type(message).__name__}"]
    known = (*REQUESTS, *game.requests)
    kind = type(message.request)
    if kind not in known:
        names = ", ".join(sorted(action_of(each) for each in known))
        return [f"expected one of the requests {names}, got {_action(message)}"]
    faults = field_faults(message.request)
    if message.sender != COORDINATOR or type(message.sender) is not str:
        faults.append(f"expected a request of '{COORDINATOR}', got {shortened(message.sender)}")
    if message.receiver != player.name or type(message.receiver) is not str:
        faults.append(
            f"expected a request to '{player.name}', got one to {shortened(message.receiver)}"
        )
    if type(message.round) is not int:
        faults.append(f"expected a whole number as round, got {shortened(message.round)}")
    faults += plain_faults(message.numbers, message.payload)
    if faults:  # with these, what else it says cannot be read
        return faults
    late = player.history.fault(message.request, message.round, game.rounds, plays(message))
    if late:
        faults.append(late)
    expected = _expected_request(game, player, message)
    numbers, payload = message.numbers, message.payload
    return faults + expected.faults_in(numbers, payload, "received from", checked=checked)


def plays(message: Message) -> bool:
    """Whether a request is a move of the game, and not what every player is asked."""
    return type(message.request) not in REQUESTS


def lacking(game: Game, player: Player, message: Message) -> list[str]:
    """List what a game needs that a request has no more, after its site has left something out."""
    expected = _expected_request(game, player, message)
    needed = set(expected.needed)
    if expected.all_or_none and expected.parts is not None:
        needed |= set(expected.parts)
    return sorted(needed - set(message.payload))


def _expected_request(game: Game, player: Player, message: Message) -> Expected:
    if not plays(message):
        return every_game.expected_request(player, message)
    return game.expected_request(player, message)


def checked_reply(
    game: Game | None,
    player: Party | None,
    ask: Message,
    reply: object,
    handles: tuple[type, ...] = (),
) -> Message | PlayerLost:
    """Return a reply that answers its request, or the loss of the player that was asked.

    Args:
        game: The rules; None where they are not known.
        player: What is known of the player; None where nothing is.
        ask: The request.
        reply: What came.
        handles: The kinds of handle that the engine puts in the place of samples.
    """
    try:
        if isinstance(reply, PlayerLost):
            return _checked_loss(ask, reply)
        faults = _reply_faults(game, player, ask, reply, handles)
        if not faults:
            assert isinstance(reply, Message)
            # made anew, so that nothing of the sender's own classes is left in it
            return replace(ask.reply(dict(reply.numbers), dict(reply.payload)), head=reply.head)
    except Exception as error:  # whatever a player sent, it must not end the coordinator
        faults = [_unreadable(error)]
    return PlayerLost(ask.receiver, ask.action, ask.round, f"bad reply: {_listed(faults)}")


def _checked_loss(ask: Message, loss: PlayerLost) -> PlayerLost:
    """Return a loss as it is if it is that of the player asked."""
    words = (loss.player, loss.action, loss.reason)
    is_plain = type(loss) in _LOSSES and type(loss.round) is int
    is_plain = is_plain and all(type(word) is str for word in words)
    asked = (ask.receiver, ask.action, ask.round)
    if head_fault(loss.head):
        reason = f"bad reply: the end of its egress record: {head_fault(loss.head)}"
        return PlayerLost(ask.receiver, ask.action, ask.round, reason)
    if is_plain and (loss.player, loss.action, loss.round) == asked:
        if len(loss.reason) > _LONGEST_REASON:
            return replace(loss, reason=f"{loss.reason[:_LONGEST_REASON]}…")
        return loss
    got = f"{shortened(loss.player)} at {shortened(loss.action)} in round {shortened(loss.round)}"
    reason = f"bad reply: expected its own loss at '{ask.action}' in round {ask.round}, got {got}"
    return PlayerLost(ask.receiver, ask.action, ask.round, reason)


def _reply_faults(
    game: Game | None,
    player: Party | None,
    ask: Message,
    reply: object,
    handles: tuple[type, ...],
) -> list[str]:
    """List what is wrong with what should be a reply."""
    if type(reply) is not Message:
        return [f"expected a message, got {type(reply).__name__}"]
    faults = []
    for what, expected, got in (
        ("sender", ask.receiver, reply.sender),
        ("receiver", ask.sender, reply.receiver),
        ("round", ask.round, reply.round),
    ):
        if type(got) is not type(expected) or got != expected:
            faults.append(f"expected as {what} {shortened(expected)}, got {shortened(got)}")
    is_same = reply.request is ask.request
    if not is_same and type(reply.request) is type(ask.request):
        is_same = reply.request == ask.request
    if not is_same:
        faults.append(f"expected the answer to '{ask.action}', got that to {_action(reply)}")
    if head_fault(reply.head):
        faults.append(f"the end of its egress record: {head_fault(reply.head)}")
    plain = plain_faults(reply.numbers, reply.payload)
    if plain:
        return faults + plain
    expected_reply = _expected_reply(game, player, ask)
    return faults + expected_reply.faults_in(reply.numbers, reply.payload, "for", handles)


def head_fault(head: object) -> str:
    """Describe what is wrong with the end of a sender's record; empty if nothing is."""
    if head is None:
        return ""
    return head.fault if type(head) is Head else f"expected one, got {type(head).__name__}"


def _expected_reply(game: Game | None, player: Party | None, ask: Message) -> Expected:
    if player is None or game is None:
        return ANYTHING
    if not plays(ask):
        return every_game.expected_reply(player, ask)
    if type(ask.request) not in game.requests:
        return ANYTHING
    return game.expected_reply(player, ask)


def unknown_receivers(
    messages: Sequence[Message], players: Collection[str]
) -> dict[int, PlayerLost]:
    """Return the losses of messages to nobody, by position."""
    losses = {}
    for i, message in enumerate(messages):
        if message.receiver not in players:
            reason = f"there is no such player here; the players are {', '.join(players)}"
            losses[i] = PlayerLost(message.receiver, message.action, message.round, reason)
    return losses


def _action(message: object) -> str:
    """Return what a message asks, in words; it may be no message."""
    request = message.request if type(message) is Message else None
    return action_of(type(request)) if isinstance(request, Request) else type(request).__name__


def _round(message: object) -> int:
    is_plain = type(message) is Message and type(message.round) is int
    return message.round if is_plain else 0  # type: ignore[attr-defined]


def _unreadable(error: Exception) -> str:
    """Describe a message that cannot be read; the error's own words may hold anything."""
    if isinstance(error, CoplayError):
        return str(error)
    return f"it cannot be read ({type(error).__name__})"


def _listed(faults: Sequence[str]) -> str:
    listed = "; ".join(faults[:_MOST_FAULTS])
    more = len(faults) - _MOST_FAULTS
    return f"{listed}; and {more} more faults" if more > 0 else listed
