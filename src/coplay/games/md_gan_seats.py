"""What server and workers of MD-GAN do when they are asked; steps 1 to 4 of Algorithm 1 as the seats take them (B2.1 to B2.4).

References:
    MD-GAN: Multi-Discriminator Generative Adversarial Networks for Distributed Datasets (C. Hardy, E. Le Merrer,
    B. Sericola, IPDPS 2019), arXiv:1811.03850.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from tensordict import TensorDict
from torch import Tensor

from coplay.core.errors import ModelError
from coplay.core.message import Message
from coplay.core.space import Samples, finite, join
from coplay.core.streams import stream
from coplay.games.gan_common import SERVER, chosen_way, gan
from coplay.games.md_gan_stack import Batch, Lesson, feedback_alone, feedback_together
from coplay.nets.training import FLOPS, counted
from coplay.player import Player

_FEEDBACK = "feedback"


def serve(player: Player, message: Message) -> Message:
    """Answer one request."""
    model = gan(player)
    begin = time.perf_counter()
    if message.action == "meet":
        return message.reply(_met([player], message)[0])
    if message.action == "give":
        moments = bool(message.numbers["moments"])
        return message.reply({}, {to: model.export(["discriminator"], moments=moments) for to in message.group("to")})
    if message.action == "take":
        for sender, part in message.samples().items():
            how: Any = ("keep", "travel", "reset")[int(message.numbers["moments"])]
            model.take(part, f"player '{sender}'", how)
        return message.reply()
    if message.action in ("generate", "update"):
        numbers = _update(player, message)
        payload = _batches(player, message) if message.action == "generate" else {}
        return message.reply(numbers | {"seconds_learning": time.perf_counter() - begin}, payload)
    if message.action != "feedback":
        raise ModelError(f"MD-GAN has no action {message.action!r}")
    found, numbers = feedback_alone(model, _lesson(player, message, {}))
    return _answer(player, message, found, numbers, begin)


def serve_together(players: Sequence[Player], messages: Sequence[Message]) -> list[Message | Exception] | None:
    """Feedback of workers that sit side by side: one product over all of them."""
    actions = {message.action for message in messages}
    if actions == {"meet"}:
        return [m.reply(n) for m, n in zip(messages, _met(players, messages[0]), strict=True)]
    if actions != {"feedback"} or not all(message.numbers["stacked"] for message in messages):
        return None
    begin = time.perf_counter()
    found: dict[int, Message | Exception] = {}
    lessons: dict[int, Lesson] = {}
    checked: dict[int, Batch] = {}
    for i, (player, message) in enumerate(zip(players, messages, strict=True)):
        try:
            lessons[i] = _lesson(player, message, checked)
        except Exception as error:
            found[i] = error
    if lessons:
        taught = feedback_together([gan(players[i]) for i in lessons], list(lessons.values()))
        for i, (slope, numbers) in zip(lessons, taught, strict=True):
            try:
                found[i] = _answer(players[i], messages[i], slope, numbers, begin, len(lessons))
            except Exception as error:
                found[i] = error
    return [found[i] for i in range(len(players))]


def _met(players: Sequence[Player], message: Message) -> list[dict[str, float]]:
    """Everybody's number of samples, and how steps are taken here."""
    model = gan(players[0])
    way = chosen_way(model, players[0].space, int(message.numbers["side_by_side"]), len(players))
    return [{"samples": float(player.count), "batch": float(model.batch), **way} for player in players]


def _lesson(player: Player, message: Message, checked: dict[int, Batch]) -> Lesson:
    """What one worker learns from in one iteration: its own real batch and what the server sent.

    What workers that sit together share is checked once: ``checked`` has it by identity.
    """
    model, part, b = gan(player), message.payload[SERVER], gan(player).batch
    if id(part) not in checked:
        sent = model.wire.check(message.samples()[SERVER], "batches of the server", complete=True)
        if len(sent) != b * min(2, int(message.numbers["batches"])):
            raise ModelError(
                f"the server sent {len(sent)} samples, expected {b} for feedback and as many to learn from"
            )
        checked[id(part)] = model.pixels(sent), model.labels(sent)
    images, classes = checked[id(part)]
    own = player.own_batch(b, "real", int(message.numbers["iteration"]))
    fake = (images[-b:], None if classes is None else classes[-b:])
    shown = (images[:b], None if classes is None else classes[:b])
    return Lesson((model.pixels(own), model.labels(own)), fake, shown)


def _answer(
    player: Player, message: Message, found: Tensor, numbers: dict[str, float], begin: float, among: int = 1
) -> Message:
    if not finite(found):
        raise ModelError(
            f"feedback at iteration {int(message.numbers['iteration'])} is not finite: the discriminator has diverged; "
            "try a smaller learning rate"
        )
    player.learned = True
    seconds = {"seconds_learning": (time.perf_counter() - begin) / among}
    return message.reply(numbers | seconds, {SERVER: feedback_part(found)})


def _batches(player: Player, message: Message) -> dict[str, Samples]:
    """X^(1) … X^(k), kept here with their graph, and for every worker X^(g) and, if there is another, X^(d)."""
    model, k, iteration = gan(player), int(message.numbers["batches"]), int(message.numbers["iteration"])
    with counted(model.flops, f"generate {k}") as flops:
        made = model.generate_batches(model.batch, [stream(player.seed, "noise", iteration, j) for j in range(k)])
    g, d = message.group("g"), message.group("d")
    player.pending = ([images for images, _ in made], {name: int(j) for name, j in g.items()}, flops[0])
    whole = [model.bundle(images.detach(), classes) for images, classes in made]
    if k == 1:
        return dict.fromkeys(g, whole[0])
    pairs = {(int(g[name]), int(d[name])) for name in g}
    joined = {pair: join([whole[pair[0]], whole[pair[1]]]) for pair in pairs}
    return {name: joined[int(g[name]), int(d[name])] for name in g}


def _update(player: Player, message: Message) -> dict[str, float]:
    """Δw by the mean of the living workers' feedback; nothing where none came."""
    if not message.payload:
        return {}
    model, came = gan(player), message.samples()
    images, shown, flops = player.pending
    player.pending = None
    slopes = slopes_by_batch(came, shown, images)
    with counted(model.flops, f"update {len(images)}") as more:
        seen = [(images[j], slope) for j, slope in enumerate(slopes) if slope is not None]
        model.follow([batch for batch, _ in seen], [slope for _, slope in seen])
    player.learned = True
    return {FLOPS: flops + more[0]}


def slopes_by_batch(
    came: Mapping[str, Samples], shown: Mapping[str, int], images: Sequence[Tensor]
) -> list[Tensor | None]:
    """Derivatives by each batch: 1/(N b) Σ_n F_n over the workers that were shown it (B2.4); N of those that answered.

    Raises:
        ModelError: A feedback has another shape than its batch, or is not finite; the worker is named.
    """
    total: list[Tensor | None] = [None] * len(images)
    for name, part in came.items():  # in player order
        slope, j = part[_FEEDBACK], shown[name]
        if slope.shape != images[j].shape or slope.dtype != images[j].dtype or not finite(slope):
            raise ModelError(
                f"feedback of player '{name}' is {tuple(slope.shape)} of {slope.dtype}, "
                f"expected finite {tuple(images[j].shape)}"
            )
        total[j] = slope if total[j] is None else total[j] + slope
    n = len(came)
    return [None if t is None else t / (n * len(t)) for t in total]


def feedback_part(found: Tensor) -> Samples:
    """Feedback as a part of a message: one number per entry of the batch."""
    return TensorDict({_FEEDBACK: found.cpu()}, batch_size=[len(found)])
