"""Every game in games/ joins by existing."""

import json

import pytest
import torch

from coplay import Federation, Player, Space, Variable, find, names
from coplay.core.errors import ConfigError, PlayerError
from coplay.core.message import COORDINATOR, PlayerLate, request_from_plain, request_to_plain
from coplay.engines.local import Local
from coplay.models.acgan import Acgan
from coplay.models.base import LocalModel
from coplay.models.joint_classifier import JointClassifier

GAMES = names("game")
SPACE = Space(
    {
        "image": Variable(kind="real", shape=(4, 4), low=0, high=1),
        "class": Variable(kind="categorical", classes=3),
    }
)
GENERATED = 0.75
SECRETS = (0.123, 0.357, 0.579)
"""Every pixel of a player's private images."""


class Constant(LocalModel):
    """Generates one image whatever it learned: all that may ever leave its player."""

    _broken = False

    def setup(self, space, seed):
        pass

    def learn(self, mixture, steps, generator):
        if self._broken:
            raise ValueError("lost my mind")
        return {"loss": 0.0}

    def sample(self, n, generator):
        return SPACE.samples(
            **{"image": torch.full((n, 4, 4), GENERATED), "class": torch.ones(n, dtype=torch.int64)}
        )

    def state_dict(self):
        return {"nothing": torch.zeros(1)}

    def load_state_dict(self, state):
        pass


class Completing(Constant):
    """For games that need draws given one of the variables."""

    def complete(self, partial, generator):
        drawn = self.sample(len(partial), generator)
        return drawn.update({name: partial[name] for name in partial.keys()})


class Gan(Acgan):
    """A model for games that need networks.

    It fails where it reads a batch, however it is asked to learn.
    """

    latent: int = 4
    batch: int = 4

    _broken = False

    def pixels(self, samples):
        if self._broken:
            raise ValueError("lost my mind")
        return super().pixels(samples)


class Classifier(JointClassifier):
    """For games that need p(c|x); breaks where it reads images."""

    latents: tuple[int, int] = (3, 4)
    channels: int = 2
    hidden: int = 8
    batch: int = 4
    classifier_channels: int = 2

    _broken = False

    def _pixels(self, samples):
        if self._broken:
            raise ValueError("lost my mind")
        return super()._pixels(samples)


class Recording(Local):
    """A local engine that records all messages; the answers of player ``_slow`` are late."""

    _slow = ""

    def deliver(self, messages, purpose):
        replies = super().deliver(messages, purpose)
        for place, ask in enumerate(messages):
            if ask.receiver == self._slow:
                replies[place] = PlayerLate(ask.receiver, ask.action, ask.round, "too slow")
        return replies

    def ask(self, messages, purpose="exchange"):
        replies = super().ask(messages, purpose)
        self._log = [*getattr(self, "_log", []), *messages, *replies]
        return replies


def players(game, model):
    data = [
        SPACE.samples(**{"image": torch.full((5, 4, 4), secret), "class": torch.arange(5) % 3})
        for secret in SECRETS
    ]
    names = [f"p{i}" for i in range(len(data))]
    sites = zip([*names, *game.seats], [*data, *(SPACE.empty() for _ in game.seats)], strict=True)
    return [Player(name, SPACE, held, model(), seed=1) for name, held in sites]


def model_for(game):
    """The blackest box that the game can be played with."""
    for model in (Constant, Completing, Gan, Classifier):
        try:
            game.check(players(game, model))
        except ConfigError:
            continue
        return model
    raise AssertionError(f"{game} takes no model known here")


def seated(game):
    seats = players(game, model_for(game))
    engine = Recording()
    engine.start(seats, game)
    return (
        engine,
        game.start([p.name for p in seats if p.name not in game.seats], 1),
        {p.name: p for p in seats},
    )


@pytest.mark.parametrize("name", GAMES)
class TestGame:
    def test_rows_are_plain_and_name_every_player(self, name):
        game = find("game", name).tiny()
        engine, state, _ = seated(game)
        for round in (1, 2):
            state, row = game.play(engine, state, round)
            assert set(row.players) - set(game.seats) == {"p0", "p1", "p2"}
            json.dumps([row.players, row.own])
        engine.close()

    def test_nothing_private_leaves(self, name):
        """Nothing that travels holds a number of an image, as it is or scaled for a network.

        That holds for samples, slopes and weights.
        """
        game = find("game", name).tiny()
        engine, state, _ = seated(game)
        for round in (1, 2, 3):
            state, _ = game.play(engine, state, round)
        engine.close()
        secrets = torch.cat([torch.tensor(SECRETS), torch.tensor(SECRETS) * 2 - 1])
        for message in engine._log:
            for samples in message.samples().values():
                for key, values in samples.items():
                    if values.is_floating_point():
                        assert not torch.isin(values, secrets).any(), (
                            f"{key} of {message.action} holds private numbers"
                        )
            if message.receiver == "coordinator":
                reported = {key for key in message.numbers if not key.startswith("seconds_")}
                losses = {key for key in reported if key.endswith("loss")}
                assert reported - losses <= {"flops", "samples", "batch", "stacked"}, (
                    "a number leaves that nobody asked for"
                )

    def test_requests_and_state_survive_a_carrier_of_plain_values(self, name):
        """Both can be sent as JSON between organisations and be stored in a checkpoint."""
        game = find("game", name).tiny()
        engine, state, _ = seated(game)
        for round in (1, 2):
            state, _ = game.play(engine, state, round)
            again = game.state_class.from_known(
                json.loads(json.dumps(state.known())), state.payload
            )
            assert again == state
        engine.close()
        asked = [message for message in engine._log if message.sender == COORDINATOR]
        assert {type(message.request) for message in asked} <= set(game.requests)
        for message in asked:
            plain = json.loads(json.dumps(request_to_plain(message.request)))
            assert request_from_plain(plain, game.requests, "a message") == message.request

    def test_prediction_is_row_stochastic(self, name):
        influence = find("game", name).tiny().predict(["a", "b", "c"])
        if influence is not None:
            assert torch.allclose(influence.sum(1), torch.ones(3, dtype=torch.float64))
            assert (influence >= 0).all()

    def test_a_failing_player_stops_the_game_by_name(self, name):
        game = find("game", name).tiny()
        engine, state, by_name = seated(game)
        for round in (1, 2):
            state, _ = game.play(engine, state, round)
        by_name["p1"].model._broken = True
        words = r"player 'p1' failed at '(turn|learn|feedback)' in round 3: ValueError, whose text"
        with pytest.raises(PlayerError, match=words):
            game.play(engine, state, 3)
        engine.close()

    def test_or_the_game_goes_on_without_it(self, name):
        game = find("game", name).model_validate(
            find("game", name).tiny().model_dump() | {"on_lost": "continue"}
        )
        engine, state, by_name = seated(game)
        for round in (1, 2, 3, 4):
            by_name["p1"].model._broken = round > 2
            state, row = game.play(engine, state, round)
            assert set(row.lost) == ({"p1"} if round == 3 else set())
        assert state.players == ("p0", "p2")
        assert set(row.players) - set(game.seats) == {"p0", "p2"}
        engine.close()

    @pytest.mark.parametrize("on_lost", ["stop", "continue"])
    def test_a_late_player_is_left_out_of_its_round_and_stays(self, name, on_lost):
        """Also where every step ends in what otherwise happens every few epochs."""
        cls = find("game", name)
        often = {key: 1e-9 for key in cls.model_fields if key.endswith("_every_epochs")}
        game = cls.model_validate(cls.tiny().model_dump() | {"on_lost": on_lost, **often})
        engine, state, _ = seated(game)
        for round in (1, 2, 3):
            engine._slow = "p1" if round == 2 else ""
            state, row = game.play(engine, state, round)
            assert not row.lost
            assert state.players == ("p0", "p1", "p2")
            assert set(row.players) - set(game.seats) == (
                {"p0", "p2"} if round == 2 else {"p0", "p1", "p2"}
            )
        engine.close()

    def test_a_seat_that_is_late_ends_the_game_by_name(self, name):
        game = find("game", name).model_validate(
            find("game", name).tiny().model_dump() | {"on_lost": "continue"}
        )
        for seat in game.seats:
            engine, state, _ = seated(game)
            state, _ = game.play(engine, state, 1)
            engine._slow = seat
            with pytest.raises(
                PlayerError, match=f"player '{seat}' failed at .* in round 2: too slow"
            ):
                game.play(engine, state, 2)
            engine.close()

    @pytest.mark.parametrize("rounds", [2, 3])
    def test_resumed_game_ends_as_the_undisturbed_one(self, name, rounds, tmp_path, small_config):
        """A round has two steps, and events every few epochs come after steps 3 and 6.

        The run is cut between two events, and right after one.
        """
        cls = find("game", name)
        sizes = {"latents": [3, 4], "hidden": 8, "batch": 8}
        model = {"name": "symmetric_hvae", **sizes}
        data = small_config().to_dict()["data"]
        if model_for(cls.tiny()) is Completing:
            model = {"name": "conditionals", "channels": 2, "hidden": 8, "batch": 8}
            data |= {"variables": ["image", "class"]}
        if model_for(cls.tiny()) is Gan:
            model = {"name": "acgan", "latent": 4, "batch": 8, "discriminator_steps": 2}
        if model_for(cls.tiny()) is Classifier:
            model, data = (
                {"name": "joint_classifier", **sizes},
                data | {"variables": ["image", "class"]},
            )
        samples = len(small_config().data.source.load().train) / 2
        epochs = {key: 3 * 8 / samples for key in cls.model_fields if key.endswith("_every_epochs")}
        config = small_config(
            game={"name": name, "rounds": 4, "local_steps": 2, **epochs}, model=model, data=data
        )
        Federation(config).run(tmp_path / "undisturbed")

        class Cut(Exception):
            pass

        def cut(what, done, of):
            if what == name and done == rounds:  # after that round's checkpoint
                raise Cut

        with pytest.raises(Cut):
            Federation(config).run(tmp_path / "cut", cut)
        Federation.resume(tmp_path / "cut")
        assert left(tmp_path / "undisturbed" / name) == left(tmp_path / "cut" / name)
        rows = left(tmp_path / "cut" / name)["rows"]
        assert len(rows) == 4
        if epochs:
            happened = [row.get("swaps", row.get("averages")) for row in rows]
            assert happened == [0, 1, 1, 0]


def left(folder):
    """Return what a game left behind, without the times it took."""
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    for row in rows:
        del row["seconds"], row["seal"]  # a seal holds the times, too
    return {
        "rows": rows,
        "checkpoint": json.loads((folder / "checkpoint.json").read_text()),
        "models": {path.name: path.read_bytes() for path in (folder / "models").iterdir()},
    }
