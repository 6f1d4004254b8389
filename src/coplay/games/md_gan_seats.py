"""The players' side of MD-GAN: what server and workers are asked, and how they answer.

These are steps 1 to 4 of Algorithm 1 (B2.1 to B2.4).

References:
    MD-GAN: Multi-Discriminator Generative Adversarial Networks for Distributed Datasets (C. Hardy,
    E. Le Merrer, B. Sericola, IPDPS 2019), arXiv:1811.03850.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from tensordict import TensorDict
from torch import Tensor

from coplay.core.errors import FAILURES, ModelError
from coplay.core.message import Message, Request
from coplay.core.space import Samples, finite, join
from coplay.core.streams import stream
from coplay.games.gan_common import SERVER, Introduce, SideBySide, gan, introduction
from coplay.games.md_gan_stack import (
    Batch,
    Lesson,
    feedback_alone,
    feedback_together,
    stack_key,
)
from coplay.games.md_gan_threads import at_once, feedback_at_once, feedback_in_turn
from coplay.nets.training import FLOPS, counted
from coplay.player import Player

OptimizerOnSwap = Literal["keep", "travel", "reset"]
"""What becomes of Adam's state of a discriminator that moves."""


class InIteration(Request):
    """A request that is made anew in every iteration; its subclasses say in which."""

    iteration: int

    @property
    def order(self) -> int:
        """The iteration."""
        return self.iteration


@dataclass(frozen=True)
class Send(InIteration):
    """To a worker: send your discriminator to another.

    Args:
        receiver: Name of the worker that it goes to.
        iteration: From 1, over all rounds.
        joining: Whether the receiver joins with a copy of it; otherwise they swap.
    """

    repeats: ClassVar[bool] = True  # several workers may join with a copy of one discriminator
    receiver: str
    iteration: int
    joining: bool


@dataclass(frozen=True)
class Load(InIteration):
    """To a worker: go on with the attached discriminator.

    Args:
        iteration: From 1, over all rounds.
        joining: Whether the worker joins with it; otherwise it swapped its own for it.
    """

    repeats: ClassVar[bool] = True  # a worker that joined may swap in the same iteration
    iteration: int
    joining: bool


@dataclass(frozen=True)
class Generate(InIteration):
    """To the server: update by the attached feedback, then generate batches (B2.1).

    Args:
        iteration: From 1, over all rounds.
        batches: k, the number of batches.
        feedback_batch: Number of the batch X^(g), from 0, that each worker gives feedback on.
        learning_batch: Number of the batch X^(d), from 0, that each worker learns from.
    """

    iteration: int
    batches: int
    feedback_batch: Mapping[str, int]
    learning_batch: Mapping[str, int]


@dataclass(frozen=True)
class Update(InIteration):
    """To the server: update by the attached feedback (B2.4).

    Args:
        iteration: The one that the feedback belongs to, from 1, over all rounds.
    """

    iteration: int


@dataclass(frozen=True)
class Feedback(InIteration):
    """To a worker: learn from the attached batches (B2.2), and return feedback (B2.3).

    Args:
        iteration: From 1, over all rounds.
        batches: k, the number of batches generated; with k = 1, X^(g) and X^(d) are the same.
        stacked: Whether workers side by side take this step as one product over all of them.
    """

    iteration: int
    batches: int
    stacked: bool


REQUESTS: tuple[type[Request], ...] = (Introduce, Send, Load, Generate, Update, Feedback)
"""The requests that server and workers answer."""


@dataclass(frozen=True)
class GeneratedBatches:
    """What the server remembers between generating and updating.

    Args:
        images: X^(1) … X^(k) with their graph.
        feedback_batch: Number of the batch that each worker was to return feedback on.
        flops: Operations it took to generate them.
    """

    images: Sequence[Tensor]
    feedback_batch: Mapping[str, int]
    flops: float


FEEDBACK = "feedback"
"""Name of the tensor in which feedback travels."""


def serve(
    player: Player, message: Message, side_by_side: SideBySide, optimizer_on_swap: OptimizerOnSwap
) -> Message:
    """Answer one request."""
    model = gan(player)
    match message.request:
        case Introduce():
            return message.reply(introduction(player, side_by_side, 1).numbers())
        case Send(receiver):
            moments = optimizer_on_swap == "travel"
            return message.reply(
                payload={receiver: model.export(["discriminator"], moments=moments)}
            )
        case Load():
            for sender, discriminator in message.samples().items():
                model.take(discriminator, f"player '{sender}'", optimizer_on_swap)
            return message.reply()
        case Generate() as request:
            with player.timed("learning"):
                numbers = _update(player, message)
                payload = _batches(player, request)
            return message.reply(numbers, payload)
        case Update():
            with player.timed("learning"):
                numbers = _update(player, message)
            return message.reply(numbers)
        case Feedback() as request:
            with player.timed("learning"):
                batches = _training_batches(player, request, message, {})
                feedback, numbers = feedback_alone(model, batches)
            return _answer(player, request, message, feedback, numbers)
    raise ModelError(f"MD-GAN has no action {message.action!r}")


def serve_together(
    players: Sequence[Player], messages: Sequence[Message], side_by_side: SideBySide
) -> list[Message | BaseException] | None:
    """Answer for workers that sit side by side.

    Introductions take one trial, and feedback one product over all of them, or one thread each.
    """
    requests = [message.request for message in messages]
    if all(isinstance(request, Introduce) for request in requests):
        return _introduced(players, messages, side_by_side)
    feedbacks = [request for request in requests if isinstance(request, Feedback)]
    if len(feedbacks) < len(requests):
        return None
    alone = [gan(player) for player, of in zip(players, feedbacks, strict=True) if not of.stacked]
    threaded = side_by_side == "by_network" and at_once(alone)
    if not threaded and len(alone) == len(players):
        return None
    return _feedback_together(players, messages, feedbacks, threaded)


def _introduced(
    players: Sequence[Player], messages: Sequence[Message], side_by_side: SideBySide
) -> list[Message | BaseException]:
    """Introduce all players; one trial decides how those that can be stacked take their steps."""
    models = [gan(player) for player in players]
    able = [stack_key(model) is not None for model in models]
    first = able.index(True) if any(able) else 0
    decided = introduction(players[first], side_by_side, len(players))
    answers: list[Message | BaseException] = []
    for i, (player, message) in enumerate(zip(players, messages, strict=True)):
        stacked = decided.stacked and able[i]
        samples = player.told_count or 0
        each = replace(decided, samples=samples, batch=models[i].batch, stacked=stacked)
        answers.append(message.reply(each.numbers()))
    return answers


def _feedback_together(
    players: Sequence[Player],
    messages: Sequence[Message],
    requests: Sequence[Feedback],
    threaded: bool,
) -> list[Message | BaseException]:
    """Answer for workers side by side; those that are not stacked are threaded, or in a loop."""
    began = time.perf_counter()
    answers: dict[int, Message | BaseException] = {}
    lessons: dict[int, Lesson] = {}
    converted: dict[int, Batch] = {}
    for i, (player, request, message) in enumerate(zip(players, requests, messages, strict=True)):
        try:
            lessons[i] = _training_batches(player, request, message, converted)
        except FAILURES as error:
            answers[i] = error
    results: dict[int, tuple[Tensor, dict[str, float]]] = {}
    apart = feedback_at_once if threaded else feedback_in_turn
    for stacked, step in ((True, feedback_together), (False, apart)):
        places = [i for i in lessons if requests[i].stacked == stacked]
        if not places:
            continue
        models = [gan(players[i]) for i in places]
        for i, result in zip(places, step(models, [lessons[i] for i in places]), strict=True):
            if isinstance(result, BaseException):
                answers[i] = result
            else:
                results[i] = result
    each = (time.perf_counter() - began) / max(1, len(lessons))
    for i, (feedback, numbers) in results.items():
        players[i].book_seconds("learning", each)
        try:
            answers[i] = _answer(players[i], requests[i], messages[i], feedback, numbers)
        except FAILURES as error:
            answers[i] = error
    return [answers[i] for i in range(len(players))]


def _training_batches(
    player: Player, request: Feedback, message: Message, converted: dict[int, Batch]
) -> Lesson:
    """Collect what one worker learns from in one iteration: a real batch, and the server's.

    Args:
        player: The worker.
        request: What it is asked.
        message: With what the server sent.
        converted: Batches that workers of one process share, by identity, so that each is converted
            once.
    """
    model = gan(player)
    payload = message.payload[SERVER]
    b = model.batch
    if id(payload) not in converted:
        sent = message.samples()[SERVER]  # its values were checked at the gate
        if len(sent) != b * min(2, request.batches):
            raise ModelError(
                f"the server sent {len(sent)} samples, expected {b} for feedback and as many to "
                "learn from"
            )
        converted[id(payload)] = model.pixels(sent), model.labels(sent)
    images, classes = converted[id(payload)]
    own = player.own_batch(b, "real", request.iteration)
    for_learning = (images[-b:], None if classes is None else classes[-b:])
    for_feedback = (images[:b], None if classes is None else classes[:b])
    return Lesson((model.pixels(own), model.labels(own)), for_learning, for_feedback)


def _answer(
    player: Player,
    request: Feedback,
    message: Message,
    feedback: Tensor,
    numbers: Mapping[str, float],
) -> Message:
    if not finite(feedback):
        raise ModelError(
            f"feedback at iteration {request.iteration} is not finite: the discriminator has "
            "diverged; try a smaller learning rate"
        )
    player.learned = True
    return message.reply(numbers, {SERVER: feedback_part(feedback)})


def _batches(player: Player, request: Generate) -> dict[str, Samples]:
    """Generate X^(1) … X^(k), and return for every worker X^(g) and, if it is another, X^(d).

    The server remembers the batches with their graph until its next update.
    """
    model = gan(player)
    streams = [stream(player.seed, "noise", request.iteration, j) for j in range(request.batches)]
    with counted(model.flops, f"generate {request.batches}") as flops:
        generated = model.generate_batches(model.batch, streams)
    images = [batch for batch, _ in generated]
    player.pending = GeneratedBatches(images, request.feedback_batch, flops[0])
    whole = [model.bundle(batch.detach(), classes) for batch, classes in generated]
    if request.batches == 1:
        return dict.fromkeys(request.feedback_batch, whole[0])
    # workers with the same two batches get the same object, so that it is checked, and sent, once
    pairs: dict[tuple[int, int], Samples] = {}
    payload = {}
    for name, g in request.feedback_batch.items():
        d = request.learning_batch[name]
        if (g, d) not in pairs:
            pairs[g, d] = join([whole[g], whole[d]])
        payload[name] = pairs[g, d]
    return payload


def _update(player: Player, message: Message) -> dict[str, float]:
    """Update by the mean of the living workers' feedback, and return numbers; none without any."""
    if not message.payload:
        return {}
    model = gan(player)
    pending = player.pending
    player.pending = None
    assert isinstance(pending, GeneratedBatches)
    gradients = gradients_by_batch(message.samples(), pending.feedback_batch, pending.images)
    batches = []
    gradients_of_batches = []
    for images, gradient in zip(pending.images, gradients, strict=True):
        if gradient is not None:
            batches.append(images)
            gradients_of_batches.append(gradient)
    with counted(model.flops, f"update {len(pending.images)}") as flops:
        model.follow(batches, gradients_of_batches)
    player.learned = True
    return {FLOPS: pending.flops + flops[0]}


def gradients_by_batch(
    feedback: Mapping[str, Samples], feedback_batch: Mapping[str, int], images: Sequence[Tensor]
) -> list[Tensor | None]:
    """Gradient by each batch: 1/(N b) Σ_n F_n over the workers with feedback on it (B2.4).

    N is the number of all workers that answered.

    Args:
        feedback: F_n by worker, in player order.
        feedback_batch: Number of the batch that each worker was shown.
        images: The batches.

    Returns:
        One gradient per batch, of its shape; None for a batch without feedback.
    """
    total: list[Tensor | None] = [None] * len(images)
    for name, payload in feedback.items():
        gradient = payload[FEEDBACK]  # its shape and values were checked at the gate
        j = feedback_batch[name]
        before = total[j]
        total[j] = gradient if before is None else before + gradient
    means: list[Tensor | None] = []
    for sum_of_batch in total:
        if sum_of_batch is None:
            means.append(None)
        else:
            means.append(sum_of_batch / (len(feedback) * len(sum_of_batch)))
    return means


def feedback_part(feedback: Tensor) -> Samples:
    """Return feedback as the payload of a message: one number per entry of the batch."""
    return TensorDict({FEEDBACK: feedback.cpu()}, batch_size=[len(feedback)])
