"""Play conditional on the source by hand: what is learned under whose name, and what is sent."""

import pytest
import torch

from coplay import Config, Federation, Player, Space, Variable
from coplay.core.errors import ConfigError, RunFolderError
from coplay.core.message import COORDINATOR, Message
from coplay.core.requests import Evaluate, Restore, Save
from coplay.core.space import SOURCE
from coplay.engines.local import Local
from coplay.games.by_source import GivenLabel, by_source
from coplay.games.sourced_exchange import SourcedExchange
from coplay.models.base import OWN, LocalModel, Mixture, Portion
from coplay.models.conditionals import Conditionals
from coplay.models.exponential_family import ExponentialFamily
from coplay.run.sampling import load_player
from coplay.theory.equilibrium import influence_matrix

ALPHA = ((0.5, 0.25, 0.25), (0.2, 0.6, 0.2), (0.7, 0.1, 0.2))
M = influence_matrix(torch.tensor(ALPHA, dtype=torch.float64))
ONE = Space({"x": Variable(kind="real")})
VALUES = {"a": 1.0, "b": 2.0, "c": 3.0}


class BySource(LocalModel):
    """Knows the mean of each source; refuses to draw without one."""

    _means = None
    _lessons = None

    def setup(self, space, seed):
        self._space = space
        classes = space[SOURCE].classes if SOURCE in space else None
        self._means = torch.full((classes or 1,), 77.0)
        self._lessons = []

    def learn(self, mixture, steps, generator):
        self._lessons.append(mixture)
        for part in mixture.parts:
            (place,) = part.samples[SOURCE].unique().tolist()
            self._means[place] = part.samples["x"].mean()
        return {"loss": 0.0}

    def sample(self, n, generator):
        raise AssertionError("nothing is drawn without a source")

    def complete(self, partial, generator):
        assert list(partial.keys()) == [SOURCE]
        sources = partial[SOURCE]
        return self._space.samples(x=self._means[sources], **{SOURCE: sources})

    def state_dict(self):
        return {"means": self._means}

    def load_state_dict(self, state):
        self._means = state["means"].clone()


def seated(game, model=BySource, space=ONE, home=None):
    players = []
    for name, value in VALUES.items():
        rows = space.samples(**{each: torch.full((6,), value) for each in space})
        players.append(Player(name, space, rows, model(), 1, home))
    game.check(players)
    engine = Local()
    engine.start(players, game)
    return engine, game.start(list(VALUES), 1), {player.name: player for player in players}


def played(game, engine, state, rounds):
    for round in rounds:
        state, _ = game.play(engine, state, round)
    return state


def test_each_portion_is_learned_under_its_source_with_the_mass_of_m():
    game = SourcedExchange(alpha=ALPHA, rounds=3, samples_per_round=50)
    engine, state, players = seated(game)
    played(game, engine, state, (1, 2, 3))
    for i, player in enumerate(players.values()):
        assert player.model._means.tolist() == list(VALUES.values())
        masses = [0.0] * 3
        for part in player.model._lessons[-1].parts:
            (place,) = part.samples[SOURCE].unique().tolist()
            masses[place] += part.weight
        assert masses == pytest.approx(M[i].tolist(), abs=1e-11)
        (first,) = player.model._lessons[0].parts
        assert first.samples[SOURCE].unique().tolist() == [i]


def test_only_the_own_source_is_sent_and_never_its_name():
    game = SourcedExchange(alpha=ALPHA, rounds=4, samples_per_round=50)
    engine, state, _ = seated(game)
    for round in (1, 2, 3):
        state, _ = game.play(engine, state, round)
        for (sender, _), part in state.payload.items():
            assert list(part.keys()) == ["x"]
            assert part["x"].unique().tolist() == [VALUES[sender]]


def test_what_is_measured_is_the_mixture_of_all_sources_by_m():
    game = SourcedExchange(alpha=ALPHA, rounds=2, samples_per_round=50)
    engine, state, _ = seated(game)
    played(game, engine, state, (1, 2))
    asks = [Message(Evaluate(1000, 1), COORDINATOR, name, 2) for name in VALUES]
    for i, answer in enumerate(engine.ask(asks, "evaluation")):
        drawn = answer.payload[COORDINATOR]
        assert list(drawn.keys()) == ["x"]
        for j, value in enumerate(VALUES.values()):
            assert abs((drawn["x"] == value).sum().item() - 1000 * M[i, j].item()) < 1


def test_before_samples_came_only_the_own_source_is_shown():
    game = SourcedExchange(alpha=ALPHA, rounds=3, samples_per_round=50)
    engine, state, _ = seated(game)
    played(game, engine, state, (1,))
    for name, value in VALUES.items():
        (answer,) = engine.ask([Message(Evaluate(200, 1), COORDINATOR, name, 1)], "evaluation")
        assert (answer.payload[COORDINATOR]["x"] == value).all()


def test_a_checkpoint_is_taken_up_on_the_space_with_the_source(tmp_path):
    game = SourcedExchange(alpha=ALPHA, rounds=3, samples_per_round=50)
    engine, state, _ = seated(game, home=tmp_path)
    state = played(game, engine, state, (1, 2))
    engine.ask([Message(Save(), COORDINATOR, name, 2) for name in VALUES])
    engine, _, players = seated(game, home=tmp_path)
    replies = engine.ask([Message(Restore(), COORDINATOR, name, 2) for name in VALUES])
    assert all(type(reply) is Message for reply in replies)
    for player in players.values():
        assert player.model._means.tolist() == list(VALUES.values())
    played(game, engine, state, (3,))
    assert players["a"].model._means.tolist() == list(VALUES.values())


def test_what_cannot_be_conditioned_is_refused_with_the_way_out():
    words = (
        "player 'a': ExponentialFamily cannot draw samples given whose data they come from; "
        "choose a model that can (of tables autoregressive, conditionals, flow or gaussian_copula, "
        "of images rectified_flow, conv_hvae, joint_classifier or acgan), or play direct_exchange"
    )
    with pytest.raises(ConfigError) as error:
        seated(SourcedExchange(), ExponentialFamily)
    assert words in str(error.value)
    assert "player 'c'" in str(error.value)

    class OneVariable(BySource):
        def setup(self, space, seed):
            if len(space) > 1:
                raise ValueError("one is enough")
            super().setup(space, seed)

    with pytest.raises(ConfigError, match=r"takes no further variable 'source' \(one is enough\)"):
        seated(SourcedExchange(), OneVariable)
    taken = Space({"source": Variable(kind="real")})
    with pytest.raises(ConfigError, match="a variable is called 'source'"):
        seated(SourcedExchange(), BySource, taken)


KINDS = Space({"x": Variable(kind="real"), "kind": Variable(kind="categorical", classes=3)})
SHARES = {"a": [0.5, 0.5, 0.0], "b": [0.0, 0.25, 0.75], "c": [0.25, 0.5, 0.25]}


class ByLabel(LocalModel):
    """Knows the mean of each level of its one class, and draws levels that it is given."""

    _means = None
    _asked = None

    def setup(self, space, seed):
        self._space = space
        names = [name for name in space if space[name].classes]
        if len(names) > 1:
            raise ValueError("one class is enough")
        self._class = names[0] if names else None
        self._means = torch.full((space[self._class].classes if names else 1,), 77.0)

    def learn(self, mixture, steps, generator):
        for part in mixture.parts:
            for level in part.samples[self._class].unique().tolist():
                of_level = part.samples[self._class] == level
                self._means[level] = part.samples["x"][of_level].mean()
        return {"loss": 0.0}

    def sample(self, n, generator):
        raise AssertionError("nothing is drawn without a level")

    def sample_given(self, classes, n, generator):
        assert len(classes) == n
        return self._space.samples(**{"x": self._means[classes], self._class: classes})

    def state_dict(self):
        return {"means": self._means}

    def load_state_dict(self, state):
        self._means = state["means"].clone()


def seated_by_label(game, home=None):
    """Players whose x is 10 · the player's number + the kind, of kinds in their own shares."""
    players = []
    for place, (name, shares) in enumerate(SHARES.items()):
        counts = (8 * torch.tensor(shares)).long()
        kind = torch.arange(3).repeat_interleave(counts)
        rows = KINDS.samples(x=10.0 * place + kind, kind=kind)
        players.append(Player(name, KINDS, rows, ByLabel(), 1, home))
    game.check(players)
    engine = Local()
    engine.start(players, game)
    return engine, game.start(list(SHARES), 1), {player.name: player for player in players}


def test_one_class_becomes_the_product_of_class_and_source(tmp_path):
    game = SourcedExchange(alpha=ALPHA, rounds=3, samples_per_round=400)
    engine, state, players = seated_by_label(game, tmp_path)
    for round in (1, 2):
        state, _ = game.play(engine, state, round)
        for (sender, _), part in state.payload.items():
            place = list(SHARES).index(sender)
            assert set(part.keys()) == {"x", "kind"}
            assert torch.equal(part["x"], 10.0 * place + part["kind"])  # its own source alone
    for player in players.values():
        means = player.model._means.reshape(3, 3)  # level c + C s
        for place, shares in enumerate(SHARES.values()):
            for kind, share in enumerate(shares):
                assert means[place, kind] == (10.0 * place + kind if share else 77.0)
    engine.ask([Message(Save(), COORDINATOR, name, 2) for name in SHARES])
    again, _, _ = seated_by_label(game, tmp_path)
    again.ask([Message(Restore(), COORDINATOR, name, 2) for name in SHARES])
    for engine_ in (engine, again):
        asks = [Message(Evaluate(4000, 1), COORDINATOR, name, 2) for name in SHARES]
        for i, answer in enumerate(engine_.ask(asks, "evaluation")):
            drawn = answer.payload[COORDINATOR]
            source = (drawn["x"] / 10).floor().long()
            assert torch.equal(drawn["x"] - 10 * source, drawn["kind"].float())
            joint = torch.bincount(3 * source + drawn["kind"], minlength=9) / 4000
            expected = M[i][:, None] * torch.tensor(list(SHARES.values()))
            assert joint.tolist() == pytest.approx(expected.flatten().tolist(), abs=0.035)


def test_classes_of_a_source_in_parts_count_by_the_mass_of_each_part():
    names = list(SHARES)
    model = ByLabel()
    model.setup(GivenLabel.space(KINDS, names), 1)
    seen = by_source(model, KINDS, names, "a", {"a": torch.ones(())})
    parts = []
    for kind, (count, mass) in enumerate([(30, 0.1), (10, 0.3)]):
        rows = KINDS.samples(x=torch.zeros(count), kind=torch.full((count,), kind))
        parts.append(Portion(f"b, {kind + 1} variables", rows, mass))
    own = KINDS.samples(x=torch.zeros(1), kind=torch.tensor([2]))
    parts.append(Portion(OWN, own, 0.6))
    seen.learn(Mixture(tuple(parts)), 1, torch.Generator())
    assert seen.class_shares("b").tolist() == pytest.approx([0.25, 0.75, 0.0])
    assert seen.class_shares("a").tolist() == [0.0, 0.0, 1.0]


def test_a_label_that_a_site_lacks_is_refused_before_play():
    rows = KINDS.samples(x=torch.zeros(4))

    class Incomplete(ByLabel):
        learns_incomplete = True

    lacks = Player("a", KINDS, rows, Incomplete(), 1)
    rows = KINDS.samples(x=torch.zeros(4), kind=torch.zeros(4, dtype=torch.int64))
    has = Player("b", KINDS, rows, Incomplete(), 1)
    words = "player 'a': Incomplete needs the class of every sample, and its data have none"
    with pytest.raises(ConfigError, match=words):
        SourcedExchange().check([lacks, has])


def test_a_label_that_some_rows_lack_is_refused_before_play():
    class Incomplete(ByLabel):
        learns_incomplete = True

    kind = Variable(kind="categorical", classes=3, optional=True)
    optional = Space({"x": KINDS["x"], "kind": kind})
    seats = []
    for name, labels in (("a", [0, 1, -1, 0]), ("b", [0, 1, 1, 0])):
        rows = optional.samples(x=torch.zeros(4), kind=torch.tensor(labels))
        seats.append(Player(name, optional, rows, Incomplete(), 1))
    words = "player 'a': Incomplete needs the class of every sample, and some of its rows lack it"
    with pytest.raises(ConfigError, match=words) as refused:
        SourcedExchange().check(seats)
    assert "player 'b'" not in str(refused.value)


@pytest.mark.parametrize("variables", [["image"], ["image", "class"]])
@pytest.mark.parametrize("model", ["conv_hvae", "acgan"])
def test_models_of_one_class_play_by_source(small_config, tmp_path, model, variables):
    small = {"conv_hvae": {"channels": 2, "hidden": 8, "latents": (3, 4)}, "acgan": {"latent": 4}}
    config = small_config(
        game={"name": "sourced_exchange", "rounds": 3, "local_steps": 2, "samples_per_round": 40},
        model={"name": model, "batch": 8, **small[model]},
        data=small_config().to_dict()["data"] | {"variables": variables},
        compare=[],
    )
    result = Federation(config).run(tmp_path / "run")
    for name in config.player_names:
        drawn = result.sample(name, 50)
        assert set(drawn) == set(variables)
        if "class" in variables:
            assert set(drawn["class"]) <= set("0123456789")


def test_a_real_model_learns_the_sources_apart_and_draws_their_mixture():
    space = Space({"x": Variable(kind="real"), "y": Variable(kind="real")})
    game = SourcedExchange(alpha=ALPHA, rounds=3, local_steps=300, samples_per_round=300)

    def model():
        return Conditionals(hidden=16, batch=64)

    players = []
    for place, name in enumerate(VALUES):
        generator = torch.Generator().manual_seed(place)
        noise = 0.1 * torch.randn(200, 2, generator=generator)
        rows = space.samples(x=10.0 * place + noise[:, 0], y=-5.0 * place + noise[:, 1])
        players.append(Player(name, space, rows, model(), 1))
    game.check(players)
    engine = Local()
    engine.start(players, game)
    played(game, engine, game.start(list(VALUES), 1), (1, 2, 3))
    (answer,) = engine.ask([Message(Evaluate(900, 1), COORDINATOR, "a", 3)], "evaluation")
    x = answer.payload[COORDINATOR]["x"]
    shares = [((x - 10 * place).abs() < 5).double().mean().item() for place in range(3)]
    assert shares == pytest.approx(M[0].tolist(), abs=0.06)


def test_a_finished_run_draws_the_mixture(small_config, tmp_path):
    data = small_config().to_dict()["data"] | {"variables": ["image", "class"]}
    config = small_config(
        game={"name": "sourced_exchange", "rounds": 2, "local_steps": 2, "samples_per_round": 40},
        model={"name": "conditionals", "channels": 2, "hidden": 8, "batch": 8},
        data=data,
        compare=[],
    )
    result = Federation(config).run(tmp_path / "run")
    one = config.player_names[0]
    assert set(result.sample(one, 7)) == {"image", "class"}
    masses = load_player(tmp_path / "run", one).model._masses
    m = influence_matrix(config.game.weights(config.player_names))
    assert list(masses.values()) == pytest.approx(m[0].tolist(), abs=1e-9)


def test_a_new_run_begins_with_the_models_of_another(small_config, tmp_path):
    """Their spaces have the source, which only the game gives them."""

    def config(seed, rate):
        flow = {"name": "rectified_flow", "channels": 4, "batch": 8, "clusters": 2}
        game = {"rounds": 2, "local_steps": 1, "samples_per_round": 20}
        return small_config(
            seed=seed,
            game={"name": "sourced_exchange", **game},
            model={**flow, "learning_rate": rate},
            compare=[],
        )

    first = Federation(config(3, 0.1)).run(tmp_path / "first")
    # another seed begins elsewhere, and so small a rate stays where it began
    second = Federation(config(4, 1e-30)).run(tmp_path / "second", start_from=first.folder)
    name = second.players[0]
    nets = [load_player(each.folder, name).model._model._net for each in (first, second)]
    for before, after in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.allclose(before, after, atol=1e-20)

    values = config(5, 0.1).to_dict()
    values["players"] = dict(reversed(values["players"].items()))
    with pytest.raises(
        RunFolderError, match="know players by their places, which were north, south"
    ):
        Federation(Config.from_dict(values)).run(tmp_path / "third", start_from=first.folder)
