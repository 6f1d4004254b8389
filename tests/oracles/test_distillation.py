"""Distillation against its formulas and against isolated learning.

Also what *discriminative* means, and the bytes added up.
"""

import pytest
import torch
from torch.nn import functional as F

from coplay import Federation, Player, Space, Variable
from coplay.core.errors import ConfigError, ModelError, PlayerError
from coplay.core.streams import stream
from coplay.games.distillation import Distillation, targets
from coplay.games.isolated import Isolated
from coplay.models.base import OWN, Mixture, Portion
from coplay.models.conv_hvae import ConvHvae
from coplay.models.joint_classifier import JointClassifier

from .small_gans import Played, Watched, count, flat

CLASSES, SEED = 3, 5
SPACE = Space(
    {
        "image": Variable(kind="real", shape=(6, 6), low=0, high=1),
        "class": Variable(kind="categorical", classes=CLASSES),
    }
)
SIZES = {"small": 2, "middle": 3, "large": 5}
"""Channels of the classifiers, which differ from player to player as in the paper."""


def model(channels=2, **settings):
    sizes = {
        "latents": (2, 3),
        "channels": 2,
        "hidden": 4 + channels,
        "classifier_channels": channels,
        "batch": 6,
    }
    return JointClassifier(**{**sizes, "learning_rate": 0.02, "generated": 0, **settings})


def images(n, *words, space=SPACE):
    """Noise whose row c is white in class c, which makes classes unmistakable."""
    c = torch.arange(n) % CLASSES
    x = 0.3 * torch.rand(n, *space["image"].shape, generator=stream(SEED, "images", *words))
    x[torch.arange(n), c] = 1
    return space.samples(**{"image": x, "class": c})


class Table(Played):
    """Players with 9, 12, … samples around one game."""

    def __init__(self, game, names=tuple(SIZES), data=images, **settings):
        self.game, self.round, self.engine = game, 0, Watched()
        held = [(name, data(9 + 3 * i, name)) for i, name in enumerate(names)]
        self.players = {
            name: Player(name, SPACE, d, model(SIZES[name], **settings), SEED) for name, d in held
        }
        self.engine.watch()
        game.check(list(self.players.values()))
        self.engine.start(list(self.players.values()), game)
        self.state = game.start(names, SEED)

    def learned(self, name):
        return self.players[name].model.state_dict()

    def senders(self):
        """Return, by receiver, the players whose classifiers the last round's requests carried."""
        return {
            ask.receiver: set(ask.payload)
            for _, ask, _ in self.engine._log
            if ask.round == self.round
        }


def says(player, c):
    """Make a player's classifier answer c whatever it sees, and give what it would send."""
    last = player.model._net.classifier[1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(F.one_hot(torch.tensor(c), CLASSES))
    player.model._mean = [p.detach().clone() for p in player.model._net.parameters()]
    return player.model.export_classifier()


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


# --------------------------------------------------------------------------------------- the labels


def test_each_image_is_labelled_by_its_truth_and_by_every_other_classifier_with_equal_mass():
    t = Table(Distillation())
    small, middle, large = t.players.values()
    actual = targets(small, {"middle": says(middle, 1), "large": says(large, 2)})
    truth = torch.arange(9) % CLASSES
    expected = (F.one_hot(truth, CLASSES) + torch.tensor([0, 1, 1])).float() / 3
    assert torch.equal(actual, expected)
    alone = targets(small, {})
    assert torch.equal(alone, F.one_hot(truth, CLASSES).float())


def test_labels_are_the_likeliest_classes_by_the_senders_own_classifier():
    """Targets come from the running mean that the sender itself classifies by.

    They agree to the bit, whatever the sizes.
    """
    t = Table(Distillation(local_steps=5))
    t.play()
    x = t.players["small"].private_data
    for sender, receiver in (("large", "small"), ("small", "large")):
        sent = t.players[sender].model.export_classifier()
        own = t.players[sender].model.classify(x)
        assert torch.equal(t.players[receiver].model.classify_by(sent, x, sender), own)
    votes = [
        x["class"],
        *(t.players[name].model.classify(x).argmax(1) for name in ("middle", "large")),
    ]
    actual = targets(
        t.players["small"],
        {name: t.players[name].model.export_classifier() for name in ("middle", "large")},
    )
    assert torch.equal(actual, torch.stack([F.one_hot(v, CLASSES).float() for v in votes]).mean(0))


@pytest.mark.parametrize("sent", ["strided", "reference"])
@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_classifiers_of_either_stack_travel(sent, layout):
    space = Space({"image": Variable(kind="binary", shape=(16, 16)), "class": SPACE["class"]})
    sender, receiver = model(4, convolutions=sent, layout=layout), model(2)
    for seed, m in enumerate((sender, receiver)):
        m.setup(space, seed)
    x = images(5, space=space)
    x["image"] = x["image"].round().to(torch.uint8)
    part = sender.export_classifier()
    assert all(tensor.is_contiguous() for tensor in part.values())
    assert torch.allclose(receiver.classify_by(part, x, "sender"), sender.classify(x), atol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_one_lesson_of_the_mean_is_one_lesson_of_n_copies(smoothing):
    """Loss and gradient, against the batch of the paper: the images once for each label."""
    m = model(smoothing=smoothing)
    m.setup(SPACE, 1)
    x = m._pixels(images(6))
    votes = torch.randint(CLASSES, (4, 6), generator=stream(2))
    labels = F.one_hot(votes, CLASSES).float()
    parameters = list(m._net.classifier.parameters())
    mean, copies = m._wrong(x, labels.mean(0)), m._wrong(x.repeat(4, 1, 1, 1), labels.flatten(0, 1))
    assert mean.item() == pytest.approx(copies.item(), rel=1e-6)
    for one, other in zip(
        *(torch.autograd.grad(loss, parameters) for loss in (mean, copies)), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-6)


# ------------------------------------------------------------------------ against isolated learning


def test_one_player_alone_is_isolated_to_the_bit():
    one, other = (
        Table(game, ["middle"]) for game in (Distillation(local_steps=4), Isolated(local_steps=4))
    )
    for row, expected in zip(one.play(3), other.play(3), strict=True):
        row.players["middle"].pop("seconds_learning")
        expected.players["middle"].pop("seconds_learning")
        assert row == expected
    assert same(one.learned("middle"), other.learned("middle"))


def test_perfect_classifiers_of_the_others_change_nothing():
    """The classifiers add the true labels once more."""
    one, other = (Table(game) for game in (Distillation(local_steps=4), Isolated(local_steps=4)))
    perfect = model(7, learning_rate=0.05)
    perfect.setup(SPACE, 9)
    teacher = images(60)
    perfect.learn(Mixture((Portion(OWN, teacher, 1.0),)), 150, stream(9))
    for player in one.players.values():
        assert torch.equal(
            perfect.classify(player.private_data).argmax(1), player.private_data["class"]
        )
        player.model.__dict__["export_classifier"] = perfect.export_classifier
    one.play(3)
    other.play(3)
    assert all(same(one.learned(name), other.learned(name)) for name in SIZES)


@pytest.mark.parametrize("generated", [0.0, 0.5])
def test_foreign_labels_teach_the_classifier_and_nobody_else(generated):
    """Both agree to the bit.

    Foreign labels do not teach the decoder, even if its images teach the classifier too.
    """
    settings = {"generated": generated, "generated_after": 2}
    one, other = (
        Table(g, **settings) for g in (Distillation(local_steps=3), Isolated(local_steps=3))
    )
    one.play(3)
    other.play(3)
    for name in SIZES:
        mine, alone = one.players[name].model._net, other.players[name].model._net
        for side in ("decoder", "encoder"):
            assert torch.equal(
                flat(getattr(mine, side).parameters()), flat(getattr(alone, side).parameters())
            )
        assert not torch.equal(
            flat(mine.classifier.parameters()), flat(alone.classifier.parameters())
        )


def test_what_a_good_classifier_knows_passes_to_a_player_whose_own_labels_are_noise():
    def data(n, name):
        samples = images(10 * n, name)
        if name == "small":
            samples["class"] = torch.randint(
                CLASSES, (len(samples),), generator=stream(SEED, "noise")
            )
        return samples

    test = images(99, "test")
    right = {}
    for game, names in (
        (Distillation(rounds=9, local_steps=20), SIZES),
        (Isolated(local_steps=20), ["small"]),
    ):
        t = Table(game, tuple(names), data, batch=30, learning_rate=0.05, average=0.9)
        t.play(3)
        predicted = t.players["small"].model.classify(test).argmax(1)
        right[type(game)] = (predicted == test["class"]).double().mean().item()
    assert right[Distillation] > 0.9 > 0.7 > right[Isolated]


# ------------------------------------------------------------------------- what *discriminative* is


@pytest.mark.parametrize(("generated", "touched"), [(0.0, False), (0.5, True)])
def test_without_generated_images_the_classifier_does_not_know_of_the_generator(generated, touched):
    """p(c|x) and p(x|c) learn apart.

    Whatever decoder and encoder begin with, the classifier's weights agree to the bit.
    """
    weights = []
    for seed in (1, 2):
        m = model(generated=generated, generated_after=0)
        m.setup(SPACE, 1)
        with torch.no_grad():
            for side in ("decoder", "encoder"):
                for p in getattr(m._net, side).parameters():
                    p.add_(0.3 * torch.randn(p.shape, generator=stream(seed, side)))
        m.learn(Mixture((Portion(OWN, images(20), 1.0),)), 10, stream(3))
        weights.append(flat(m._net.classifier.parameters()))
    assert torch.equal(*weights) != touched


# ------------------------------------------------------------------------ what travels between whom


def test_a_classifier_travels_each_way_a_round_and_nothing_else():
    t = Table(Distillation(rounds=4, local_steps=1))
    t.play(4)
    classifiers = {name: player.model._net.classifier for name, player in t.players.items()}
    assert len({count(net) for net in classifiers.values()}) == 3
    rows = {
        (link.sender, link.receiver): (link.bytes, link.samples) for link in t.engine.ledger.links()
    }
    links = [(a, b) for a in SIZES for b in SIZES if a != b]
    assert rows == {(a, b): (3 * 4 * count(classifiers[a]), 3) for a, b in links}
    for _, ask, reply in t.engine._log:
        assert all(
            set(part.keys()) == set(classifiers["small"].state_dict())
            for part in ask.payload.values()
        )
        assert set(reply.payload) == (set(SIZES) - {reply.sender} if reply.round < 4 else set())


def test_in_own_rounds_no_classifier_is_sent():
    t = Table(Distillation(rounds=9, local_steps=1, own_rounds=3))
    for others in (0, 0, 0, 2, 2):
        t.play()
        assert {len(senders) for senders in t.senders().values()} == {others}


def test_late_and_lost_players_are_missing_in_the_next_mean():
    t = Table(Distillation(rounds=9, local_steps=1, on_lost="continue"))
    t.play()
    t.engine._slow = ("middle", "turn")
    t.play()
    t.engine._slow = ("", "")
    t.play()
    assert t.senders() == {"small": {"large"}, "middle": {"small", "large"}, "large": {"small"}}
    t.play()
    assert t.senders() == {name: set(SIZES) - {name} for name in SIZES}
    with torch.no_grad():
        t.players["middle"].model._net.classifier[1].bias.fill_(float("nan"))
    (row,) = t.play()
    assert set(row.lost) == {"middle"}
    t.play()
    assert t.senders() == {"small": {"large"}, "large": {"small"}}


def test_a_run_of_three_unlike_players_ends_the_same_if_cut_while_classifiers_are_on_their_way(
    tmp_path, small_config
):
    sizes = {"name": "joint_classifier", "latents": [2, 3], "channels": 2, "batch": 6}
    models = {
        name: {**sizes, "hidden": 4 + n, "classifier_channels": n} for name, n in SIZES.items()
    }
    config = small_config(
        players={name: {"model": model} for name, model in models.items()},
        data={"variables": ["image", "class"]},
        game={"name": "distillation", "rounds": 3, "local_steps": 1},
    )

    def cut(what, done, of):
        if done == 2:
            raise KeyboardInterrupt

    Federation(config).run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        Federation(config).run(tmp_path / "cut", cut)
    Federation.resume(tmp_path / "cut")
    for name in SIZES:
        whole, cut_off = (
            tmp_path / run / "distillation/models" / f"{name}.safetensors"
            for run in ("whole", "cut")
        )
        assert whole.read_bytes() == cut_off.read_bytes()


# ------------------------------------------------------------------------------------------- faults


def test_players_without_a_classifier_or_with_other_images_are_named():
    wide = Space(
        {"image": Variable(kind="real", shape=(6, 8), low=0, high=1), "class": SPACE["class"]}
    )
    sites = {"north": (SPACE, model()), "south": (SPACE, ConvHvae.tiny()), "west": (wide, model())}
    players = [
        Player(name, space, images(6, space=space), m, SEED) for name, (space, m) in sites.items()
    ]
    with pytest.raises(ConfigError) as caught:
        Distillation().check(players)
    south, west = caught.value.problems
    assert "player 'south' has ConvHvae on image, class" in south
    assert "joint_classifier" in south
    assert "player 'west'" in west
    assert "6×8" in west


def test_the_diverged_player_is_named_and_not_the_receiver():
    t = Table(Distillation(rounds=9, local_steps=1))
    t.play()
    with torch.no_grad():
        t.players["small"].model._mean[-1][0] = float("inf")
    with pytest.raises(
        PlayerError, match=r"player 'small' failed at 'turn' in round 2: classifier, .*diverged"
    ):
        t.play()


@pytest.mark.parametrize("fault", ["missing", "shape"])
def test_what_is_no_classifier_is_refused_by_the_senders_name(fault):
    m = model()
    m.setup(SPACE, 1)
    part = m.export_classifier()
    part = part.exclude("1.bias") if fault == "missing" else part.set("1.bias", torch.zeros(1, 7))
    with pytest.raises(
        ModelError,
        match=r"(?s)what came from player 'south' is no classifier of these images: .*1\.bias",
    ):
        m.classify_by(part, images(3), "player 'south'")
