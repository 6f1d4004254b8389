"""What enters and leaves a player with a border, on the player's side of an engine."""

from __future__ import annotations

import traceback

from coplay.core.errors import FAILURES, EgressError
from coplay.core.message import COORDINATOR, Message, PlayerLost
from coplay.core.text import visible
from coplay.engines.gate import checked_reply, lacking, plays
from coplay.games.base import Game
from coplay.player import Player


def admitted(game: Game, player: Player, message: Message) -> Message | PlayerLost:
    """Leave out of a request what the player's site does not accept.

    Args:
        game: The rules.
        player: The player that is asked.
        message: A request that the gate has accepted.

    Returns:
        The request with the portions that are accepted; a loss where the game cannot be played
        without those that are not.
    """
    if player.border is None or not message.payload:
        return message
    try:
        entered, dropped = player.border.enters(message)
    except FAILURES as error:
        _note(player, message, error)
        return _lost(player, message, "what it received cannot be written down, so it takes none")
    if dropped and lacking(game, player, entered):
        reasons = "; ".join(f"{sender}: {reason}" for sender, reason in dropped.items())
        return _lost(player, message, f"its site does not accept what the game needs ({reasons})")
    return entered


def recorded(
    game: Game, player: Player, message: object, answer: Message | PlayerLost
) -> Message | PlayerLost:
    """Write an answer down at the player's site before it leaves.

    Args:
        game: The rules.
        player: The player that answers.
        message: What it was asked, which may be no message.
        answer: Its answer.

    Returns:
        The answer as it leaves; a loss without words of the player's where it cannot be written
        down.
    """
    if player.border is None:
        return answer
    is_move = False
    receiver = COORDINATOR
    if type(message) is Message:
        is_move = plays(message)
        if not isinstance(answer, PlayerLost):
            receiver = message.sender
            # as it will pass the gate, so that what is written down is what leaves
            answer = checked_reply(game, player, message, answer)
    try:
        return player.border.leaves(answer, receiver, is_move)
    except FAILURES as error:
        words = "what leaves it cannot be written down, so nothing does"
        if isinstance(error, EgressError):
            words = str(error)
        if type(message) is not Message:
            return PlayerLost(player.name, "", 0, words)
        _note(player, message, error)
        return _lost(player, message, words)


def _note(player: Player, message: Message, error: BaseException) -> None:
    where = f"{message.action}, round {message.round}"
    player.note_error(where, visible("".join(traceback.format_exception(error))))


def _lost(player: Player, message: Message, reason: str) -> PlayerLost:
    return PlayerLost(player.name, message.action, message.round, reason)
