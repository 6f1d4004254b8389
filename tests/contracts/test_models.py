"""Every model in models/ joins by existing; so does a user's."""

import inspect
from pathlib import Path
from typing import Protocol

import pytest
import torch

from coplay import Space, Variable, find, names
from coplay.core import storage
from coplay.core.errors import ModelError
from coplay.core.streams import stream
from coplay.models import abilities
from coplay.models.base import OWN, LocalModel, Mixture, Portion

from ..oracles.small_gans import NORMED

SPACES = {
    "binary": Space({"image": Variable(kind="binary", shape=(2, 3))}),
    "categorical": Space({"letter": Variable(kind="categorical", shape=(2,), classes=3)}),
    "count": Space({"visits": Variable(kind="count", shape=(3,))}),
    "real": Space({"lab": Variable(kind="real", shape=(4,), low=-5, high=5)}),
    "grey": Space({"picture": Variable(kind="real", shape=(5, 6), low=0, high=1)}),
    "colour": Space({"picture": Variable(kind="real", shape=(3, 5, 6), low=0, high=1)}),
    "labelled": Space(
        {
            "image": Variable(kind="binary", shape=(5, 6)),
            "class": Variable(kind="categorical", classes=3),
        }
    ),
}


def refusal(name, kind):
    """Why a model cannot live on a space; None if it can."""
    try:
        find("model", name).tiny().setup(SPACES[kind], 5)
    except ModelError as error:
        return str(error)
    return None


CASES = [(name, kind) for name in names("model") for kind in SPACES if refusal(name, kind) is None]


def a_space(name):
    """The richest space that a model lives on."""
    return SPACES[next(kind for kind in ("labelled", "binary", "real") if (name, kind) in CASES)]


def some_samples(space, n, seed):
    g = stream(seed, "test data")
    values = {}
    for name in space:
        v = space[name]
        if v.kind == "real":
            values[name] = torch.randn(n, *v.shape, generator=g).clamp(*v.range)
        else:
            high = {"binary": 2, "categorical": v.classes, "count": 5}[v.kind]
            values[name] = torch.randint(high, (n, *v.shape), generator=g).to(v.dtypes[0])
    return space.samples(**values)


def mixture(space):
    return Mixture(
        (
            Portion(OWN, some_samples(space, 30, 1), 0.4),
            Portion("peer", some_samples(space, 20, 2), 0.6),
        )
    )


def ready(name, space, seed=5) -> LocalModel:
    model = find("model", name).tiny()
    model.setup(space, seed)
    return model


def same(a, b):
    assert set(a.keys()) == set(b.keys())
    for key in a.keys():
        assert torch.equal(torch.as_tensor(a[key]), torch.as_tensor(b[key])), key


@pytest.mark.parametrize(("name", "kind"), CASES)
class TestModel:
    def test_samples_lie_in_the_space(self, name, kind):
        space = SPACES[kind]
        model = ready(name, space)
        numbers = model.learn(mixture(space), 3, stream(1))
        assert all(isinstance(v, float) for v in numbers.values())
        for n in (1, 17):
            space.check(model.sample(n, stream(2)), name, complete=True, rows=n)

    def test_same_seed_same_state_and_samples(self, name, kind):
        space = SPACES[kind]
        one, two = ready(name, space), ready(name, space)
        for model in (one, two):
            model.learn(mixture(space), 3, stream(1))
        same(one.state_dict(), two.state_dict())
        same(one.sample(9, stream(4)), two.sample(9, stream(4)))

    def test_other_generator_other_samples(self, name, kind):
        model = ready(name, SPACES[kind])
        model.learn(mixture(SPACES[kind]), 3, stream(1))
        a, b = model.sample(50, stream(4)), model.sample(50, stream(5))
        assert any(not torch.equal(a[key], b[key]) for key in a.keys())

    def test_restored_model_goes_on_exactly(self, name, kind, tmp_path):
        space = SPACES[kind]
        undisturbed = ready(name, space)
        undisturbed.learn(mixture(space), 3, stream(1))
        storage.save_tensors(tmp_path / "state.safetensors", undisturbed.state_dict())
        restored = ready(name, space, seed=99)
        restored.load_state_dict(storage.load_tensors(tmp_path / "state.safetensors"))
        same(undisturbed.sample(9, stream(4)), restored.sample(9, stream(4)))
        for model in (undisturbed, restored):
            model.learn(mixture(space), 3, stream(2))
        same(undisturbed.state_dict(), restored.state_dict())

    def test_sources_are_learned_in_proportion_to_their_weights(self, name, kind):
        """Each source has a single value.

        What is drawn must have the sources' weights, not their sizes.
        """
        if kind != "binary":
            pytest.skip("one kind of variable is enough")
        if name == "acgan":
            pytest.skip("a GAN may settle on one of two values; its classes are tested below")
        space = SPACES[kind]
        model = find("model", name).tiny()
        settings = {
            "latents": (2, 2),
            "hidden": 16,
            "batch": 200,
            "learning_rate": 1e-2,
            "decay_steps": 400,
        }
        if "latents" in type(model).model_fields:
            model = find("model", name)(**settings)
        elif name == "estimator":
            model = find("model", name)(
                estimator="sklearn.neighbors:KernelDensity", arguments={"bandwidth": 1e-3}
            )
        model.setup(space, 5)
        rows = {OWN: (0, 40), "a": (0, 10), "b": (1, 200)}  # all pixels of a source have one value
        weights = {OWN: 0.2, "a": 0.1, "b": 0.7}
        parts = [
            Portion(
                source,
                space.samples(image=torch.full((n, 2, 3), value, dtype=torch.uint8)),
                weights[source],
            )
            for source, (value, n) in rows.items()
        ]
        model.learn(Mixture(tuple(parts)), 400, stream(1))
        drawn = model.sample(4000, stream(2))["image"].float().mean().item()
        assert drawn == pytest.approx(0.7, abs=0.05)

    def test_drawing_changes_nothing(self, name, kind):
        model = ready(name, SPACES[kind])
        model.learn(mixture(SPACES[kind]), 3, stream(1))
        before = {key: value.clone() for key, value in model.state_dict().items()}
        model.sample(9, stream(4))
        same(before, model.state_dict())

    def test_learning_leaves_its_input_alone(self, name, kind):
        given = mixture(SPACES[kind])
        before = [part.samples.clone() for part in given.parts]
        ready(name, SPACES[kind]).learn(given, 2, stream(1))
        for old, part in zip(before, given.parts, strict=True):
            same(old, part.samples)

    def test_log_prob_is_normalised_where_the_space_can_be_enumerated(self, name, kind):
        model = ready(name, SPACES[kind])
        if kind != "binary" or not hasattr(model, "log_prob"):
            pytest.skip("no log_prob, or too many points")
        model.learn(mixture(SPACES[kind]), 3, stream(1))
        codes = torch.arange(64)[:, None] >> torch.arange(6) & 1
        points = SPACES[kind].samples(image=codes.reshape(64, 2, 3).to(torch.uint8))
        assert model.log_prob(points).exp().sum().item() == pytest.approx(1, abs=1e-9)

    def test_fresh_instances_share_nothing(self, name, kind):
        template = find("model", name).tiny()
        one, two = template.fresh(), template.fresh()
        for model in (one, two):
            model.setup(SPACES[kind], 5)
        before = {key: value.clone() for key, value in two.state_dict().items()}
        one.learn(mixture(SPACES[kind]), 3, stream(1))
        same(before, two.state_dict())


@pytest.mark.parametrize("name", names("model"))
def test_a_model_lives_somewhere_and_refuses_the_rest_by_variable(name):
    refused = {kind: refusal(name, kind) for kind in SPACES if (name, kind) not in CASES}
    assert len(refused) < len(SPACES)
    for kind, words in refused.items():
        assert any(variable in words for variable in SPACES[kind])


ABILITIES = {
    abilities.HasLogProb: "log_prob",
    abilities.HasLogWeights: "log_weights",
    abilities.Classifies: "classify",
    abilities.Completes: "complete",
    abilities.DrawsByClass: "sample_given",
    abilities.CompletesWithin: "complete_within",
    abilities.BestResponds: "best_response",
    abilities.StopsEarly: "go_on",
}


@pytest.mark.parametrize("name", names("model"))
def test_a_model_has_an_ability_by_its_method_and_takes_what_the_ability_says(name):
    model = find("model", name).tiny()
    for ability, method in ABILITIES.items():
        assert isinstance(model, ability) == hasattr(model, method)
        if isinstance(model, ability):
            expected = inspect.signature(getattr(ability, method)).parameters
            assert list(inspect.signature(getattr(type(model), method)).parameters) == list(
                expected
            )


def test_every_ability_is_documented_where_models_are():
    text = (Path(__file__).parents[2] / "docs" / "extending.md").read_text()
    protocols = [
        cls
        for cls in vars(abilities).values()
        if getattr(cls, "_is_protocol", False) and cls is not Protocol
    ]
    assert set(protocols) == set(ABILITIES)
    for ability, method in ABILITIES.items():
        assert f"`{ability.__name__}`" in text
        assert method in inspect.getdoc(LocalModel)


@pytest.mark.parametrize("name", [n for n in names("model") if find("model", n).learns_incomplete])
def test_a_model_that_learns_from_incomplete_samples_does(name):
    space = SPACES["labelled"]
    full = some_samples(space, 30, 1)
    for missing in space:
        model = ready(name, space)
        part = Portion("peer", full.select(*(v for v in space if v != missing)), 0.5)
        model.learn(Mixture((Portion(OWN, full, 0.5), part)), 3, stream(1))
        space.check(model.sample(5, stream(2)), name, complete=True, rows=5)


NEURAL = [n for n in names("model") if "patience" in find("model", n).model_fields]


def drawn_from(model):
    """Copies of the parameters that samples are drawn from."""
    with model.averaged():
        return [p.detach().clone() for p in model._net.parameters()]


@pytest.mark.parametrize("name", NEURAL)
def test_early_stopping_goes_back_to_the_best_and_is_restored(name, tmp_path):
    from coplay.core import storage

    space = a_space(name)
    tiny = find("model", name).tiny().model_dump()
    settings = tiny | {"validation": 0.3, "patience": 2, "learning_rate": 0.5, "average": 0.0}

    def fresh(seed):
        model = find("model", name)(**settings)
        model.setup(space, seed)
        return model

    model = fresh(5)
    losses = []
    states = []
    for turn in range(60):  # a rate of 0.5 makes it worse sooner or later
        resumed = fresh(99)  # as if the run had been killed before every turn
        storage.save_tensors(tmp_path / "state.safetensors", model.state_dict())
        resumed.load_state_dict(storage.load_tensors(tmp_path / "state.safetensors"))
        before = model.state_dict()
        numbers = [m.learn(mixture(space), 2, stream(1, "turn", turn)) for m in (model, resumed)]
        assert numbers[0] == numbers[1]
        same(model.state_dict(), resumed.state_dict())
        if model.stopped and numbers[0].get("stopped"):
            same(before, model.state_dict())
            break
        losses.append(numbers[0]["validation_loss"])
        # without a running mean, what is drawn from
        states.append([p.detach().clone() for p in model._net.parameters()])
    assert numbers[0]["stopped"] == 1.0
    assert numbers[0]["validation_loss"] == min(losses)
    assert min(losses) not in losses[-2:], "patience is two turns"
    best = states[losses.index(min(losses))]
    assert all(torch.equal(a, b) for a, b in zip(drawn_from(model), best, strict=True))
    same(model.sample(9, stream(4)), resumed.sample(9, stream(4)))
    alone = Mixture((Portion(OWN, mixture(space).parts[0].samples, 1.0),))
    assert "stopped" not in model.learn(alone, 2, stream(8)), "with other sources it begins anew"


@pytest.mark.parametrize("name", NEURAL)
def test_early_stopping_judges_by_all_sources(name):
    """Validation uses the whole mixture.

    Own samples alone would undo the exchange: what is learned from others makes them less probable.
    """
    space = a_space(name)
    model = find("model", name)(**(find("model", name).tiny().model_dump() | {"validation": 0.5}))
    model.setup(space, 5)
    given = mixture(space)
    teach, judge = model._set_aside(given)
    assert [part.name for part in judge.parts] == [OWN, "peer"]
    assert [part.weight for part in judge.parts] == [part.weight for part in given.parts]
    for whole, a, b in zip(given.parts, teach.parts, judge.parts, strict=True):
        rows = [tuple(row) for row in space.flatten(whole.samples).tolist()]
        assert sorted(rows) == sorted(
            tuple(r) for p in (a, b) for r in space.flatten(p.whole()).tolist()
        )
    again = model._set_aside(given)[1]
    for a, b in zip(judge.parts, again.parts, strict=True):
        same(a.samples, b.samples)


@pytest.mark.parametrize("name", NEURAL)
def test_samples_come_from_the_running_mean_of_parameters(name):
    space = a_space(name)
    model = find("model", name)(**(find("model", name).tiny().model_dump() | {"average": 0.5}))
    model.setup(space, 5)
    trace = []
    expected = [p.detach().clone().double() for p in model._net.parameters()]
    for turn in range(4):
        model.learn(mixture(space), 1, stream(1, "turn", turn))
        trace.append([p.detach().clone().double() for p in model._net.parameters()])
        keep = min(0.5, (turn + 1) / (turn + 11))
        expected = [keep * e + (1 - keep) * p for e, p in zip(expected, trace[-1], strict=True)]
    with model.averaged():
        assert all(
            torch.allclose(p.double(), e, atol=1e-6)
            for p, e in zip(model._net.parameters(), expected, strict=True)
        )
    assert all(
        torch.equal(p.double(), e) for p, e in zip(model._net.parameters(), trace[-1], strict=True)
    )


LATENT = [n for n in names("model") if "send_latents" in find("model", n).model_fields]


@pytest.mark.parametrize("name", LATENT)
def test_latents_travel_are_learned_from_and_may_be_ignored(name):
    """The decoder takes the sender's latents as they are; a player of another kind drops them."""
    from coplay import Player

    space = a_space(name)
    tiny = find("model", name).tiny().model_dump() | {"send_latents": True}

    def player(model):
        return Player("north", space, some_samples(space, 30, 1), model, seed=3)

    sender, receiver = (player(find("model", name)(**tiny)) for _ in range(2))
    sender.learn({}, {OWN: 1.0}, 3, 1)
    drawn = sender.draw(20, 1, "south")
    assert set(drawn.keys()) == {*space, "z0", "z1"}
    listener = player(find("model", name)(**(tiny | {"send_latents": False})))
    other = player(find("model", "estimator").tiny())
    for one in (receiver, listener, other):
        one.learn({"south": drawn}, {OWN: 0.5, "south": 0.5}, 3, 2)
    opposite = drawn.clone()
    opposite["z0"] = 1 - opposite["z0"]
    again = player(find("model", name)(**tiny))
    again.learn({"south": opposite}, {OWN: 0.5, "south": 0.5}, 3, 2)
    assert any(
        not torch.equal(a, b) for a, b in zip(receiver.model._mean, again.model._mean, strict=True)
    )
    deaf = player(find("model", name)(**(tiny | {"send_latents": False})))
    deaf.learn({"south": opposite}, {OWN: 0.5, "south": 0.5}, 3, 2)
    assert all(
        torch.equal(a, b) for a, b in zip(listener.model._mean, deaf.model._mean, strict=True)
    )


def test_carried_latents_stand_at_their_rows():
    from coplay.nets.bits import with_sent_latents

    space = SPACES["binary"]
    zeros = [torch.zeros(5, 2), torch.zeros(5, 3)]
    with_latents = some_samples(space, 2, 1)
    with_latents["z0"], with_latents["z1"] = (torch.ones(2, k, dtype=torch.uint8) for k in (2, 3))
    for parts, rows in (
        ([some_samples(space, 3, 1), with_latents], [3, 4]),
        ([with_latents, some_samples(space, 3, 1)], [0, 1]),
    ):
        for z in with_sent_latents(parts, *zeros):
            assert z.any(1).nonzero()[:, 0].tolist() == rows
    assert not any(z.any() for z in zeros), "what the encoder drew stays as it was"


def test_latents_of_other_sizes_are_dropped():
    from coplay import Player

    tiny = find("model", "symmetric_hvae").tiny().model_dump() | {"send_latents": True}
    players = [
        Player(
            "one",
            SPACES["binary"],
            some_samples(SPACES["binary"], 30, 1),
            find("model", "symmetric_hvae")(**s),
            3,
        )
        for s in (tiny, tiny | {"latents": (2, 5)})
    ]
    players[0].learn({}, {OWN: 1.0}, 1, 1)
    players[1].learn({"other": players[0].draw(10, 1, "x")}, {OWN: 0.5, "other": 0.5}, 2, 2)


@pytest.mark.parametrize(("missing", "expected"), [("image", 0.3), ("class", 0.3)])
def test_incomplete_samples_count_as_much_as_their_mass(missing, expected):
    """A source that lacks the image, or the class, teaches with its mass.

    It has the only 2s, or the only black images.
    """
    space = SPACES["labelled"]
    settings = {
        "latents": (2, 2),
        "channels": 4,
        "hidden": 16,
        "batch": 100,
        "learning_rate": 1e-2,
        "decay_steps": 300,
    }
    model = find("model", "joint_classifier")(
        **settings, classifier_channels=4, generated_after=150
    )
    model.setup(space, 5)
    white = {
        "image": torch.zeros(40, 5, 6, dtype=torch.uint8),
        "class": torch.zeros(40, dtype=torch.long),
    }
    other = {"image": torch.ones(10, 5, 6, dtype=torch.uint8), "class": torch.full((10,), 2)}
    rest = {name: value for name, value in other.items() if name != missing}
    parts = (
        Portion(OWN, space.samples(**white), 1 - expected),
        Portion("other", space.samples(**rest), expected),
    )
    model.learn(Mixture(parts), 300, stream(1))
    drawn = model.sample(4000, stream(2))
    share = (
        (drawn["class"] == 2).double().mean()
        if missing == "image"
        else drawn["image"].double().mean()
    )
    assert share.item() == pytest.approx(expected, abs=0.06)


def test_a_joint_model_learns_to_classify():
    space = SPACES["labelled"]
    model = find("model", "joint_classifier")(
        latents=(2, 2), channels=4, hidden=16, batch=60, learning_rate=1e-2
    )
    model.setup(space, 5)
    classes = torch.arange(60) % 3
    images = torch.zeros(60, 5, 6, dtype=torch.uint8)
    images[torch.arange(60), classes] = 1  # row c of the picture is black
    samples = space.samples(**{"image": images, "class": classes})
    model.learn(Mixture((Portion(OWN, samples, 1.0),)), 100, stream(1))
    assert (model.classify(samples).argmax(1) == classes).float().mean() > 0.95
    completed = model.complete(samples.select("image"), stream(2))["class"]
    assert (completed == classes).float().mean() > 0.8


def test_the_layout_in_memory_does_not_change_what_is_learned():
    space = SPACES["labelled"]
    cls = find("model", "joint_classifier")
    models = [
        cls(**cls.tiny().model_dump() | {"layout": layout})
        for layout in ("channels_first", "channels_last")
    ]
    for model in models:
        model.setup(space, 5)
        model.learn(mixture(space), 3, stream(1))
    one, two = (model.state_dict() for model in models)
    for key in one:
        if key.startswith("net/"):
            assert torch.allclose(one[key], two[key], atol=2e-3), key


@pytest.mark.parametrize("name", [n for n in NEURAL if "layout" in find("model", n).model_fields])
def test_a_model_whose_weights_lie_otherwise_is_restored_exactly(name, tmp_path):
    """Adam's fused step walks through memory, and a file has lost how its moments lay there."""
    space = a_space(name)
    settings = find("model", name).tiny().model_dump() | {"layout": "channels_last", "channels": 4}
    models = [find("model", name)(**settings) for _ in range(2)]
    for seed, model in enumerate(models):
        model.setup(space, seed)
    models[0].learn(mixture(space), 3, stream(1))
    storage.save_tensors(tmp_path / "state.safetensors", models[0].state_dict())
    models[1].load_state_dict(storage.load_tensors(tmp_path / "state.safetensors"))
    for model in models:
        model.learn(mixture(space), 3, stream(2))
    same(models[0].state_dict(), models[1].state_dict())


def test_a_gan_of_convolutions_is_restored_exactly(tmp_path):
    """The paper's CNN pair; and what it sends lies as a message's reader expects it."""
    space = Space({"image": Variable(kind="real", shape=(28, 28), low=0, high=1)})
    given = Mixture(
        (Portion(OWN, space.samples(image=torch.rand(20, 28, 28, generator=stream(1))), 1.0),)
    )
    models = [find("model", "acgan")(network="cnn", latent=4, batch=4) for _ in range(2)]
    for seed, model in enumerate(models):
        model.setup(space, seed)
    models[0].learn(given, 2, stream(1))
    storage.save_tensors(tmp_path / "state.safetensors", models[0].state_dict())
    models[1].load_state_dict(storage.load_tensors(tmp_path / "state.safetensors"))
    for model in models:
        model.learn(given, 2, stream(2))
    same(models[0].state_dict(), models[1].state_dict())
    part = models[0].export(["generator", "discriminator"], moments=True)
    assert all(part[key][0].is_contiguous() for key in part.keys() if ":" in str(key))


def test_a_gan_is_shown_sources_in_proportion_to_their_weights():
    """Sources of a single class each, which the GAN draws as often as it saw it."""
    space = SPACES["labelled"]
    model = find("model", "acgan")(latent=4, batch=10)
    model.setup(space, 5)
    images = some_samples(space, 200, 1)["image"]
    parts = [
        Portion(
            source, space.samples(**{"image": images[:n], "class": torch.full((n,), c)}), weight
        )
        for source, c, n, weight in ((OWN, 0, 40, 0.2), ("a", 1, 10, 0.1), ("b", 2, 200, 0.7))
    ]
    model.learn(Mixture(tuple(parts)), 20, stream(1))
    shares = torch.bincount(model.sample(20_000, stream(2))["class"]) / 20_000
    assert torch.allclose(shares, torch.tensor([0.2, 0.1, 0.7]), atol=0.015)


def test_a_gan_whose_networks_have_buffers_changes_them_in_learning_only(tmp_path):
    """Drawing, even a single sample, and feedback do not change batch normalisation.

    A restored model goes on exactly.
    """
    from coplay.core import storage

    space = SPACES["labelled"]

    def fresh(seed):
        model = find("model", "acgan")(latent=4, batch=4, **NORMED)
        model.setup(space, seed)
        return model

    model, restored = fresh(5), fresh(99)
    model.learn(mixture(space), 3, stream(1))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert any("running_mean" in key and value.any() for key, value in before.items())
    model.sample(1, stream(4))
    model.feedback(torch.rand(4, 5, 6, generator=stream(3)), torch.zeros(4, dtype=torch.int64))
    same(before, model.state_dict())
    storage.save_tensors(tmp_path / "state.safetensors", model.state_dict())
    restored.load_state_dict(storage.load_tensors(tmp_path / "state.safetensors"))
    same(model.sample(9, stream(4)), restored.sample(9, stream(4)))
    for one in (model, restored):
        one.learn(mixture(space), 2, stream(2))
    same(model.state_dict(), restored.state_dict())
