"""Direct play: everybody learns its equilibrium's mixture from samples of own models (X).

A player has two instances of its model. One learns from the player's own data alone, and draws what
the others receive. The other begins as its copy and learns the mixture that the equilibrium of
:mod:`coplay.games.sample_exchange` predicts, p_i = Σ_j M_ij π_j (A3): from own data with mass M_ii,
and from samples of j's first model with mass M_ij. It is the second that is measured, and that the
player has in the end.

Differs from play: what a model gets wrong is passed on once and never comes back; everybody has to
receive from everybody that a path of weights leads to; and others see what each site's own data
look like, undiluted, as its model has them. Variables that a site's data lack come from those that
observe them, by the matrix M of that variable (:mod:`coplay.theory.by_variable`).

References:
    M is that of Game-theoretic distributed learning of generative models for heterogeneous data
    collections (D. Schlesinger, B. Flach, 2025), arXiv:2511.01740, who play the game and do not
    take this way.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import ClassVar, Self

import torch
from pydantic import Field, model_validator

from coplay.core.measures import FLOPS
from coplay.core.message import Message, Payload
from coplay.games.beside import Beside, learn_mixture, second_model, standing_in
from coplay.games.draws import draws_for
from coplay.games.first_hand import FirstHand, FirstHandState, has_own
from coplay.games.first_hand_expected import Turn
from coplay.models.base import OWN
from coplay.player import Player

_DREW = "drew in round"  # of what lies beside a model


class DirectExchange(FirstHand[FirstHandState]):
    """Players learn the mixture of their equilibrium from samples of models of own data.

    A round's ``local_steps`` are those of both models together, so that direct play takes as many
    as other games of the same settings. Weights are those of ``sample_exchange``.

    Args:
        own_share: The part of the local steps that the model of own data takes, in [0, 1), rounded
            to whole steps; the other model takes the rest. In the ``own_rounds`` there is one
            model, which takes all. With ``one_shot``, the part of the rounds that are
            ``own_rounds``, unless these are given.
        one_shot: Whether samples are drawn once, after the ``own_rounds``, and the model of own
            data learns no more; otherwise it goes on, and draws fresh ones. A player that was not
            there draws as soon as it is.

    Example:
        >>> game = DirectExchange(own_weight=0.3, one_shot=True, rounds=10)
        >>> game.own_rounds, [round for round in range(1, 11) if game.draws_in(round)]
        (5, [5])
    """

    citation: ClassVar[tuple[str, ...]] = ("schlesinger2025game",)

    own_share: float = Field(default=0.5, ge=0, lt=1)
    one_shot: bool = False

    @model_validator(mode="after")
    def _rounds_of_one_shot(self) -> Self:
        if self.one_shot and "own_rounds" not in self.model_fields_set:
            half = max(1, round(self.own_share * self.rounds))
            # not by assignment: that would make it a setting that somebody gave
            self.__dict__["own_rounds"] = min(half, max(1, self.rounds - 1))
        return self

    def draws_in(self, round: int) -> bool:
        """Whether first-hand samples are drawn at the end of a round."""
        if self.one_shot:
            return round == self.own_rounds < self.rounds
        return super().draws_in(round)

    def makes_up_in(self, round: int) -> bool:
        """Whether players draw in this round that could not when everybody did, once."""
        return self.one_shot and self.own_rounds < round < self.rounds

    def may_make_up(self, player: Player, round: int) -> bool:
        """Whether a player draws outside of the one round, since it has drawn nothing yet."""
        return self.makes_up_in(round) and _DREW not in Beside.of(player).more

    def serve(self, player: Player, message: Message) -> Message:
        """Learn by both models, and draw from that of own data what the others will use."""
        turn = message.request
        assert isinstance(turn, Turn)
        round = message.round
        beside = Beside.of(player)
        beside.receive(player, message.samples())
        has_data = bool(has_own(turn) and player.count)
        # a player that missed its rounds of own learning has them now
        if round <= self.own_rounds or (has_data and not player.learned):
            return self._learn_alone(player, turn, message)
        costs = 0.0
        steps = self.local_steps
        drawn: dict[str, Payload] = {}
        if has_data:
            own = beside.model
            if own is None:
                own = beside.model = second_model(player, player.model.state_dict())
            own_steps = 0 if self.one_shot else min(int(self.own_share * steps + 0.5), steps - 1)
            steps -= own_steps
            with standing_in(player, own):
                if own_steps:
                    numbers = player.learn({}, {OWN: 1.0}, own_steps, round)
                    costs = numbers.get(FLOPS, 0.0)
                drawn = self._draw(player, beside, turn, round)
        numbers = learn_mixture(player, turn, beside.samples, steps, round)
        if costs and FLOPS in numbers:
            numbers[FLOPS] += costs
        beside.keep(player)
        return message.reply(numbers, drawn)

    def _learn_alone(self, player: Player, turn: Turn, message: Message) -> Message:
        """Learn from own data by the one model that there is yet.

        In a run that began with the models of another one, there are two: the player's own has
        learned from others, and rests.
        """
        beside = Beside.of(player)
        weight = 1.0 if has_own(turn) else 0.0
        drawn: dict[str, Payload] = {}
        alone = nullcontext() if beside.model is None else standing_in(player, beside.model)
        with alone:
            numbers = player.learn({}, {OWN: weight}, self.local_steps, message.round)
            if player.learned:
                drawn = self._draw(player, beside, turn, message.round)
        beside.keep(player)
        return message.reply(numbers, drawn)

    def _draw(self, player: Player, beside: Beside, turn: Turn, round: int) -> dict[str, Payload]:
        """Draw what others will use, and note it where samples are drawn once."""
        drawn = draws_for(player, turn.draw, round)
        if drawn and self.one_shot:
            beside.more = {_DREW: torch.tensor(round)}
        return drawn

    @classmethod
    def tiny(cls) -> Self:
        """Return a game of two rounds of one step."""
        return cls(rounds=2, local_steps=1, samples_per_round=20)
