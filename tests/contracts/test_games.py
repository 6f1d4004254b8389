"""Every game in games/ joins by existing."""

import json

import pytest
import torch

from coplay import Federation, Player, Space, Variable, find, names
from coplay.engines.local import Local
from coplay.errors import PlayerError
from coplay.models.base import LocalModel

GAMES = names("game")
SPACE = Space({"x": Variable(kind="real", shape=(2,))})


class Constant(LocalModel):
    """Generates 7 whatever it learned: all that may ever leave its player."""

    def setup(self, space, seed):
        pass

    def learn(self, mixture, steps, generator):
        return {"loss": 0.0}

    def sample(self, n, generator):
        return SPACE.samples(x=torch.full((n, 2), 7.0))

    def state_dict(self):
        return {"nothing": torch.zeros(1)}

    def load_state_dict(self, state):
        pass


class Failing(Constant):
    """Fails from its third turn on."""

    def learn(self, mixture, steps, generator):
        self._turns = getattr(self, "_turns", 0) + 1
        if self._turns > 2:
            raise ValueError("lost my mind")
        return {}


class Recording(Local):
    """A local engine that keeps all messages."""

    def ask(self, messages, purpose="exchange"):
        replies = super().ask(messages, purpose)
        self._log = [*getattr(self, "_log", []), *messages, *replies]
        return replies


def seated(game, models=(Constant, Constant, Constant)):
    data = [SPACE.samples(x=torch.full((5, 2), float(i))) for i in range(len(models))]
    players = [Player(f"p{i}", SPACE, d, m(), seed=1) for i, (d, m) in enumerate(zip(data, models, strict=True))]
    engine = Recording()
    engine.seat(players, game)
    return engine, game.start([p.name for p in players], 1)


@pytest.mark.parametrize("name", GAMES)
class TestGame:
    def test_rows_are_plain_and_name_every_player(self, name):
        game = find("game", name).tiny()
        engine, state = seated(game)
        for round in (1, 2):
            state, row = game.play(engine, state, round)
            assert set(row["players"]) == {"p0", "p1", "p2"}
            json.dumps(row)
        engine.close()

    def test_nothing_private_leaves(self, name):
        game = find("game", name).tiny()
        engine, state = seated(game)
        for round in (1, 2, 3):
            state, _ = game.play(engine, state, round)
        engine.close()
        for message in engine._log:
            for samples in message.samples().values():
                assert (samples["x"] == 7).all(), "a payload holds something that the model did not generate"
            if message.receiver == "coordinator":
                told = {key for key in message.numbers if not key.startswith("seconds_")}
                assert told <= {"loss"}, "a number leaves that the model did not report"

    def test_prediction_is_row_stochastic(self, name):
        influence = find("game", name).tiny().predict(["a", "b", "c"])
        if influence is not None:
            assert torch.allclose(influence.sum(1), torch.ones(3, dtype=torch.float64))
            assert (influence >= 0).all()

    def test_a_failing_player_stops_the_game_by_name(self, name):
        game = find("game", name).tiny()
        engine, state = seated(game, (Constant, Failing, Constant))
        for round in (1, 2):
            state, _ = game.play(engine, state, round)
        with pytest.raises(PlayerError, match=r"player 'p1' failed at 'turn' in round 3: ValueError: lost my mind"):
            game.play(engine, state, 3)
        engine.close()

    def test_or_the_game_goes_on_without_it(self, name):
        game = find("game", name).model_validate(find("game", name).tiny().model_dump() | {"on_lost": "continue"})
        engine, state = seated(game, (Constant, Failing, Constant))
        for round in (1, 2, 3, 4):
            state, row = game.play(engine, state, round)
            if round == 3:
                assert set(row["lost"]) == {"p1"}
        assert state.players == ("p0", "p2")
        assert set(row["players"]) == {"p0", "p2"}
        engine.close()

    def test_resumed_game_ends_as_the_undisturbed_one(self, name, tmp_path, small_config):
        game = {"name": name, "rounds": 4, "local_steps": 2}
        config = small_config(game=game, model={"name": "symmetric_hvae", "latents": [3, 4], "hidden": 8, "batch": 8})
        Federation(config).run(tmp_path / "undisturbed")

        class Cut(Exception):
            pass

        def cut(what, done, of):
            if what == name and done == 3:  # after the checkpoint of round 3
                raise Cut

        with pytest.raises(Cut):
            Federation(config).run(tmp_path / "cut", cut)
        Federation.resume(tmp_path / "cut")
        for player in ("north", "south"):
            path = f"{name}/models/{player}.safetensors"
            assert (tmp_path / "undisturbed" / path).read_bytes() == (tmp_path / "cut" / path).read_bytes()
        assert len((tmp_path / "cut" / name / "rows.jsonl").read_text().splitlines()) == 4
