"""Distillation: every player's classifier also learns from the other players' classifiers (A6).

They label its own images. Round t at player i, of N, after the first ``own_rounds``:

    learn          p(x|c) from the own data; p(c|x) from the own images x, with equal mass 1/N on
                   their true class and on argmax_c p_j(c|x) for each other player j, by the
                   classifier that j sent at the end of round t−1
    i → all j      the parameters of p_i(c|x)

It is a baseline for the cooperative game, and asks for more: **parameters travel**, of networks
that learned from private data, and the receiver must be able to run them. Images never leave their
player, so the classifiers go to the images.

References:
    Game-theoretic distributed learning of generative models for heterogeneous data collections
    (D. Schlesinger, B. Flach, 2025), arXiv:2511.01740, experiment IV-B.

Differs from the paper:
    The authors label every batch anew by the others' present classifiers; here classifiers travel
    once a round. Their p(x|c) learns from the foreign labels too; here p(c|x) alone does. The N
    labels of an image are averaged into one target: the same gradient as that of N copies of the
    image, at an Nth of the work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from coplay.core.contents import Form, Tensors
from coplay.core.errors import ConfigError, ModelError
from coplay.core.expected import Expected, Part
from coplay.core.message import COORDINATOR, Message, Request
from coplay.core.plain import shortened
from coplay.core.space import LABEL, Samples, tensors
from coplay.games.base import LEARNED, Asker, Game, Row, State
from coplay.games.party import Party, has_model
from coplay.models.base import OWN
from coplay.models.joint_classifier import JointClassifier
from coplay.player import Player


@dataclass(frozen=True)
class Turn(Request):
    """Label your own images by the attached classifiers, learn, and send your classifier.

    Args:
        receivers: Names of the players that it goes to.
    """

    receivers: Sequence[str]


class Distillation(Game[State]):
    """Players send each other their classifiers, by which each labels its own images once more.

    Every player needs ``joint_classifier`` on the same image and class, of whatever size: the sizes
    of a classifier are read off its parameters. With ``generated = 0`` there this is the paper's
    *distillation*; otherwise the classifier learns from the own p(x|c) as well. A player that is
    lost or late is missing in the next round's mean.

    Args:
        own_rounds: Rounds at the start in which every player learns from its own data alone. More
            than two untrained classifiers that all predict one class would outvote the truth for
            good.

    Example:
        >>> Distillation.tiny().start(["north", "south"], seed=1).players
        ('north', 'south')
    """

    citation: ClassVar[tuple[str, ...]] = ("schlesinger2025game",)
    requests: ClassVar[tuple[type[Request], ...]] = (Turn,)
    changes_draws: ClassVar[bool] = False  # what others send concerns p(c|x) alone

    own_rounds: int = Field(default=1, ge=1)

    def check(self, players: Sequence[Party]) -> None:
        """Refuse players without a classifier of the same images in the same classes."""
        faults = []
        first = players[0]
        for player in players:
            if not has_model(player, JointClassifier) or LABEL not in player.variables:
                variables = ", ".join(player.variables)
                faults.append(
                    f"player '{player.name}' has {player.title} on {variables}; distillation "
                    "needs classifiers that can travel: joint_classifier, on an image and its class"
                )
            elif player.unobserved:
                faults.append(
                    f"players.{player.name}.unobserved: in distillation everybody labels its own "
                    f"images, which takes both; its data lack {', '.join(player.unobserved)}"
                )
            elif joint_classifier(player).scales_by_data:
                faults.append(
                    f"player '{player.name}': in distillation classifiers travel, so all players "
                    f"need one scale of the image; its variables are {player.variables}. Give the "
                    "image a range, low and high"
                )
            elif player.variables != first.variables:
                faults.append(
                    f"player '{player.name}' learns {player.variables}, and '{first.name}' "
                    f"{first.variables}; in distillation all classify the same kind of image"
                )
        if faults:
            raise ConfigError(faults)

    def start(self, players: Sequence[str], seed: int) -> State:
        """Return a state in which no classifier has travelled yet."""
        return State(tuple(players))

    def play(self, engine: Asker, state: State, round: int) -> tuple[State, Row]:
        """Let every player learn, then send its classifier to all others."""
        sending = self.own_rounds <= round < self.rounds
        asks = []
        for name in state.players:
            others = [other for other in state.players if other != name]
            inbox = {}
            for other in others:
                if (other, name) in state.payload:
                    inbox[other] = state.payload[other, name]
            request = Turn(tuple(others) if sending else ())
            asks.append(Message(request, COORDINATOR, name, round, payload=inbox))
        answers, lost = self.alive(engine.ask(asks))
        payload = {}
        for answer in answers:
            for to, classifier in answer.payload.items():
                payload[answer.sender, to] = classifier
        state, row = self.lose(State(state.players, payload), lost)
        return state, Row.of(answers).merged(row)

    def serve(self, player: Player, message: Message) -> Message:
        """Label own images by the received classifiers, learn, and send the own classifier."""
        request, model = _turn(player, message)
        classifiers = message.samples()
        with player.timed("learning"):
            labels = targets(player, classifiers) if classifiers else None
        with nullcontext() if labels is None else model.taught(labels):
            numbers = player.learn({}, {OWN: 1.0}, self.local_steps, message.round)
        # each receiver gets its own copy: a checkpoint holds what is in flight link by link, and
        # nothing in it may share memory
        sent = {receiver: model.export_classifier() for receiver in request.receivers}
        return message.reply(numbers, sent)

    def expected_request(self, player: Player, message: Message) -> Expected:
        """Classifiers of others come along; the own one goes to others, each once."""
        request, model = _turn(player, message)
        part = Part.of(TravellingClassifier(model), 1)
        others = set(message.payload) | set(request.receivers)
        if player.roster is not None:
            others = set(player.roster.names)
        others -= {player.name}
        faults = []
        strange = [name for name in request.receivers if name not in others]
        if strange or len(set(request.receivers)) < len(request.receivers):
            names = ", ".join(shortened(name) for name in request.receivers[:5])
            faults.append(f"expected as receivers other players, each once, got {names}")
        return Expected(dict.fromkeys(others, part), faults=faults)

    def expected_reply(self, player: Party, ask: Message) -> Expected:
        """A classifier comes back for each of the receivers."""
        request, model = _turn(player, ask)
        part = Part.of(TravellingClassifier(model), 1)
        parts = dict.fromkeys(request.receivers, part)
        return Expected(parts, needed=parts, numbers=LEARNED)

    @classmethod
    def tiny(cls) -> Self:
        """Return a game of two rounds of one step."""
        return cls(rounds=2, local_steps=1)


def _turn(player: Party, message: Message) -> tuple[Turn, JointClassifier]:
    """Return what a player is asked, and its model."""
    request = message.request
    assert isinstance(request, Turn)
    return request, joint_classifier(player)


def joint_classifier(player: Party) -> JointClassifier:
    """Return the player's model."""
    model = player.model
    assert isinstance(model, JointClassifier)
    return model


@dataclass(frozen=True)
class TravellingClassifier:
    """What lies in a part: a classifier of a player's images in its classes, of whatever size."""

    model: JointClassifier

    def faults(self, samples: Samples) -> list[str]:
        """List what is wrong: the classifier cannot be built, or its numbers are no network's."""
        if not Tensors(self.model.classifier_forms()).faults(samples):
            return []  # most are of the player's own size, which is quickly seen
        try:
            self.model.check_classifier(samples, "there")
        except ModelError as error:
            return [str(error)]
        forms = {}
        for name, tensor in tensors(samples).items():
            forms[name] = Form(tuple(tensor.shape[1:]), torch.float32)
        return Tensors(forms).faults(samples)


def targets(player: Player, classifiers: Mapping[str, Samples]) -> Tensor:
    """Return the targets of a player's own images, shape (n, C).

    They are the mean of the true class and of the class by each classifier, one-hot.

    Args:
        player: The player with the images.
        classifiers: What the others exported, by name.
    """
    model = player.model
    assert isinstance(model, JointClassifier)
    data = player.private_data
    classes = player.variables[LABEL].classes or 0
    votes = [data[LABEL]]
    for name, part in classifiers.items():
        votes.append(model.classify_by(part, data, f"player '{name}'").argmax(1))
    return torch.stack([F.one_hot(vote, classes).float() for vote in votes]).mean(0)
