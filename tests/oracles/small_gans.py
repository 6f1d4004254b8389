"""The oracles of GANs share tiny networks, images with a class, and a table of players."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from coplay import Player, Space, Variable
from coplay.core.message import PlayerLate
from coplay.core.streams import stream
from coplay.engines.local import Local
from coplay.models.acgan import Acgan
from coplay.nets.gan_pairs import Conditioned, Shaped

LOW, HIGH = -2.0, 6.0  # no range in which a forgotten factor would be 1
CLASSES = 3
IMAGE = Variable(kind="real", shape=(4, 4), low=LOW, high=HIGH)
LABELLED = Space({"image": IMAGE, "class": Variable(kind="categorical", classes=CLASSES)})
PLAIN = Space({"image": IMAGE})
SEED = 7


def generator(latent, classes, shape):
    body = [
        nn.Linear(latent, 6),
        nn.Tanh(),
        nn.Linear(6, math.prod(shape)),
        nn.Tanh(),
        Shaped(shape),
    ]
    return Conditioned(latent, classes, nn.Sequential(*body), "scale")


def discriminator(classes, shape):
    body = [
        nn.Linear(math.prod(shape), 7),
        nn.LeakyReLU(0.2),
        nn.Linear(7, 5),
        nn.Tanh(),
        nn.Linear(5, 1 + classes),
    ]
    return nn.Sequential(nn.Flatten(-len(shape)), *body)


def normed_generator(latent, classes, shape):
    body = [
        nn.Linear(latent, 8),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.Linear(8, math.prod(shape)),
        nn.Tanh(),
        Shaped(shape),
    ]
    return Conditioned(latent, classes, nn.Sequential(*body), "scale")


def normed_discriminator(classes, shape):
    body = [nn.Linear(math.prod(shape), 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1 + classes)]
    return nn.Sequential(nn.Flatten(-len(shape)), *body)


class Doubled(nn.Module):
    """A generator that computes in float64 from the noise on."""

    def __init__(self, net):
        super().__init__()
        self.net = net.double()

    def forward(self, noise, classes):
        return self.net(noise.double(), classes)


def doubled_generator(latent, classes, shape):
    return Doubled(generator(latent, classes, shape))


def doubled_discriminator(classes, shape):
    return discriminator(classes, shape).double()


DOUBLED = {half: f"{__name__}:doubled_{half}" for half in ("generator", "discriminator")}
"""Networks that compute in float64."""

NORMED = {half: f"{__name__}:normed_{half}" for half in ("generator", "discriminator")}
"""Networks with buffers, as settings of an Acgan."""


def acgan(**settings):
    own = {"generator": f"{__name__}:generator", "discriminator": f"{__name__}:discriminator"}
    return Acgan(**{"latent": 3, "batch": 4, "learning_rate": 0.01, **own, **settings})


def images(space, n, *words):
    """n random images of a space, and their classes if it has any."""
    g = stream(SEED, "test images", *words)
    values = {"image": LOW + (HIGH - LOW) * torch.rand(n, 4, 4, generator=g)}
    if "class" in space:
        values["class"] = torch.randint(CLASSES, (n,), generator=g)
    return space.samples(**values)


class Watched(Local):
    """A local engine that calls ``before`` and ``after`` around what it delivers, and keeps it all.

    What the player ``_slow[0]`` answers to the action ``_slow[1]`` comes too late.
    """

    _slow = ("", "")

    def deliver(self, messages, purpose):
        replies = super().deliver(messages, purpose)
        for place, ask in enumerate(messages):
            if (ask.receiver, ask.action) == self._slow:
                replies[place] = PlayerLate(ask.receiver, ask.action, ask.round, "too slow")
        return replies

    def watch(self, before=None, after=None):
        self._before, self._after, self._log = before, after, []

    def ask(self, messages, purpose="exchange"):
        if self._before:
            self._before(messages, purpose)
        replies = super().ask(messages, purpose)
        self._log += [(purpose, ask, reply) for ask, reply in zip(messages, replies, strict=True)]
        if self._after:
            self._after(messages, purpose)
        return replies


class Played:
    """A game, an engine, a state and the last round: all that play needs to go on."""

    def play(self, rounds=1):
        rows = []
        for _ in range(rounds):
            self.round += 1
            self.state, row = self.game.play(self.engine, self.state, self.round)
            rows.append(row)
        return rows


class Table(Played):
    """Workers w0 … with ``sizes`` samples and the game's server, ready to play."""

    def __init__(self, game, model, sizes, space=LABELLED):
        self.game, self.round = game, 0
        names = [f"w{i}" for i in range(len(sizes))]
        self.data = {name: images(space, n, name) for name, n in zip(names, sizes, strict=True)}
        self.workers = {
            name: Player(name, space, d, model.fresh(), SEED) for name, d in self.data.items()
        }
        self.server = Player("server", space, space.empty(), model.fresh(), SEED)
        self.players = [*self.workers.values(), self.server]
        game.check(self.players)
        self.engine = Watched()
        self.engine.watch()
        self.engine.start(self.players, game)
        self.state = game.start(names, SEED)

    def net(self, name, half="discriminator"):
        player = self.server if name == "server" else self.workers[name]
        return player.model.half(half)

    def values(self, name, half="discriminator"):
        return flat(self.net(name, half).parameters())

    def ledger(self):
        """Return bytes by purpose and link."""
        return {
            (link.purpose, link.sender, link.receiver): link.bytes
            for link in self.engine.ledger.links()
        }


def flat(parameters):
    """All numbers of some tensors side by side, copied."""
    return torch.cat([p.detach().clone().flatten() for p in parameters])


def count(net):
    return sum(p.numel() for p in net.parameters())


def centred(x):
    return 2 * (x - LOW) / (HIGH - LOW) - 1


def asked(iteration, j, model, space):
    """Return the noise and the classes of the server's batch j in one iteration.

    Classes are drawn evenly, and then the noise.
    """
    g = stream(SEED, "noise", iteration, j)
    classes = None
    if "class" in space:
        even = torch.ones(CLASSES, dtype=torch.float64)
        classes = torch.multinomial(even, model.batch, replacement=True, generator=g)
    return torch.randn(model.batch, model.latent, generator=g).double(), classes


def generator_loss(logits, classes, loss="non_saturating", class_term=True):
    """B̃ per sample, by the formulas of the paper."""
    real = torch.sigmoid(logits[:, 0])
    term = -torch.log(real) if loss == "non_saturating" else torch.log(1 - real)
    return term + wrong_class(logits, classes, class_term)


def discriminator_loss(real, real_classes, fake, fake_classes, class_term=True):
    """Mean over both batches, by the formulas."""
    total = (
        -torch.log(torch.sigmoid(real[:, 0])).mean()
        - torch.log(1 - torch.sigmoid(fake[:, 0])).mean()
    )
    parts = ((real, real_classes), (fake, fake_classes))
    return total + sum(wrong_class(logits, c, class_term).mean() for logits, c in parts)


def wrong_class(logits, classes, class_term=True):
    if classes is None or not class_term:
        return torch.zeros(len(logits), dtype=logits.dtype)
    return F.cross_entropy(logits[:, 1:], classes, reduction="none")


def apart(actual, expected):
    """Distance relative to the size of what is expected."""
    actual, expected = actual.double(), expected.double()
    return ((actual - expected).norm() / expected.norm()).item()
