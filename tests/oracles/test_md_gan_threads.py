"""Workers that step at the same time, one thread each, learn what they learn in turn."""

import pytest
import torch

from coplay import Player, Space, Variable
from coplay.core.streams import stream
from coplay.engines.local import Local
from coplay.games.md_gan import MdGan
from coplay.games.md_gan_stack import Lesson
from coplay.games.md_gan_threads import at_once, feedback_at_once, feedback_in_turn
from coplay.models.acgan import Acgan

from .small_gans import apart, flat

SPACE = Space(
    {
        "image": Variable(kind="real", shape=(28, 28), low=0, high=1),
        "class": Variable(kind="categorical", classes=3),
    }
)
MODEL = {"network": "cnn", "latent": 4, "batch": 4, "learning_rate": 1e-3}


class OwnLoss(Acgan):
    """A step of its own, which nobody may take in its stead or in a thread."""

    def feedback(self, images, classes):
        gradient, loss = super().feedback(images, classes)
        return 2 * gradient, loss


@pytest.fixture(autouse=True)
def threads():
    """Torch has the threads that it had before, whatever a test leaves."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def ready(model=Acgan, count=3, **settings):
    """Models with networks that differ, at the start."""
    models = [model(**MODEL, **settings) for _ in range(count)]
    for seed, each in enumerate(models):
        each.setup(SPACE, seed)
    return models


def lesson(step, k):
    """What one of them receives in one step."""
    g = stream(1, step, k)
    batches = []
    for _ in range(3):
        batches.append((torch.rand(4, 28, 28, generator=g), torch.randint(3, (4,), generator=g)))
    return Lesson(*batches)


def taught(models, way, threads, steps=2):
    """Let them take steps in one of two ways; return all feedback and what they are then."""
    torch.set_num_threads(threads)
    answers = []
    for step in range(steps):
        answers += way(models, [lesson(step, k) for k in range(len(models))])
        assert torch.get_num_threads() == threads
    return answers, [flat(model.half("discriminator").parameters()) for model in models]


def test_in_threads_they_learn_bit_for_bit_what_they_learn_in_turn_on_one_thread():
    answers, nets = taught(ready(), feedback_at_once, 2)
    expected, of_turn = taught(ready(), feedback_in_turn, 1)
    for (feedback, numbers), (right, of_right) in zip(answers, expected, strict=True):
        assert torch.equal(feedback, right)
        assert numbers == of_right
    assert all(map(torch.equal, nets, of_turn))
    start = [flat(model.half("discriminator").parameters()) for model in ready()]
    assert not any(map(torch.equal, nets, start))


def test_the_error_of_one_is_its_own():
    models = ready()

    def tear(*args):
        raise ValueError("torn")

    models[1].half("discriminator").register_forward_hook(tear)
    answers, nets = taught(models, feedback_at_once, 2)
    expected, of_turn = taught(ready(), feedback_in_turn, 1)
    assert [str(answer) for answer in answers[1::3]] == ["torn", "torn"]
    for place in (0, 2, 3, 5):
        assert torch.equal(answers[place][0], expected[place][0])
    assert torch.equal(nets[0], of_turn[0])
    assert torch.equal(nets[2], of_turn[2])


def test_only_coplays_own_networks_on_a_cpu_go_at_once():
    torch.set_num_threads(2)
    plain = ready(count=2)
    assert at_once(plain)
    assert not at_once(plain[:1])
    own = "tests.oracles.small_gans:discriminator"
    assert not at_once([*plain, *ready(count=1, discriminator=own)])
    assert not at_once([*plain, *ready(OwnLoss, count=1)])
    torch.set_num_threads(1)
    assert not at_once(plain)


def test_workers_of_one_process_go_at_once(monkeypatch):
    """What they learn is that of a loop, to rounding: the server's part is on several threads."""
    went = []

    def noted(models, lessons):
        went.append(len(models))
        return feedback_at_once(models, lessons)

    monkeypatch.setattr("coplay.games.md_gan_seats.feedback_at_once", noted)
    nets = {}
    for way, threads in (("by_network", 2), ("loop", 1)):
        players = []
        for k in range(3):
            classes = torch.arange(8) % 3
            images = torch.rand(8, 28, 28, generator=stream(k))
            data = SPACE.samples(**{"image": images, "class": classes})
            players.append(Player(f"w{k}", SPACE, data, Acgan(**MODEL), 7))
        players.append(Player("server", SPACE, SPACE.empty(), Acgan(**MODEL), 7))
        engine = Local(threads=threads)
        game = MdGan(side_by_side=way, local_steps=2)
        engine.start(players, game)
        game.play(engine, game.start(["w0", "w1", "w2"], 7), 1)
        engine.close()
        halves = ["discriminator"] * 3 + ["generator"]
        each = zip(players, halves, strict=True)
        nets[way] = [flat(player.model.half(half).parameters()) for player, half in each]
    assert went == [3, 3]
    assert max(map(apart, nets["by_network"], nets["loop"])) < 1e-6
