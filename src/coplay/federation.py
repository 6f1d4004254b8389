"""A config brought to life; reads from top to bottom like the arrow.

config → data → players → game on an engine → measurements → result
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coplay import storage
from coplay.components import find, name_of
from coplay.config import Config
from coplay.data.sources.base import LABEL, Dataset
from coplay.engines.base import Engine
from coplay.errors import CheckpointError, DataError, PlayerError, RunFolderError
from coplay.games.base import Game, Row, State
from coplay.message import COORDINATOR, Ledger, Message, PlayerLost
from coplay.metrics.base import Observed, Reference
from coplay.metrics.features import DomainClassifier
from coplay.player import Player
from coplay.result import Result, by_player, space_to_json, versions
from coplay.space import Samples, Space, join, pick
from coplay.streams import derive, stream

Report = Callable[[str, int, int], None]
"""Progress: (what, how far, of how many)."""


@dataclass(frozen=True)
class Sites:
    """Who holds what, in a simulation.

    Args:
        space: The variables that players learn.
        data: Private samples by player.
        shares: Class shares by player, each of shape (C,); None without classes.
        counts: Number of samples per class, by player.
        notes: What a reader of the report should know.
    """

    space: Space
    data: dict[str, Samples]
    shares: Tensor | None
    counts: dict[str, list[int]]
    notes: tuple[str, ...]


# What a run that was killed before it was one may leave.
_UNBORN = {"lock", "run.json.partial"}


class Federation:
    """Plays the games that a config names and leaves a run folder.

    Args:
        config: What to play.

    Example:
        >>> import tempfile
        >>> config = Config.from_dict({
        ...     "players": 2, "model": "exponential_family", "game": {"name": "sample_exchange", "rounds": 2},
        ...     "measure": {"metrics": []}})
        >>> result = Federation(config).run(Path(tempfile.mkdtemp()) / "run")
        >>> [len(play.rows) for play in result.plays.values()]
        [2]
    """

    def __init__(self, config: Config) -> None:
        self.config = config

    # ------------------------------------------------------------------------------------------ the data flow

    def run(self, folder: str | Path, report: Report | None = None) -> Result:
        """Play from the start into a new folder.

        Raises:
            RunFolderError: The folder exists and holds something.
            CoplayError: Anything a config, data or a model can be at fault for; what was learned stays on disk.
        """
        folder = Path(folder)
        if folder.exists() and (not folder.is_dir() or any(path.name not in _UNBORN for path in folder.iterdir())):
            raise RunFolderError(
                f"{folder} exists; expected a new or empty folder. Go on with 'coplay resume {folder}', name another with "
                "--out, or remove it"
            )
        prepared = self.prepare()
        with storage.locked(folder):
            storage.write_json(folder / "run.json", self._record(*prepared))  # from here on it is a run
            return self._play_all(folder, *prepared, report or _silent)

    @classmethod
    def resume(cls, folder: str | Path, report: Report | None = None) -> Result:
        """Go on with a run that was stopped, killed or failed, from its last checkpoints.

        Raises:
            RunFolderError: There is no run, or its config was changed.
            CheckpointError: Another process is playing it.
        """
        folder = Path(folder)
        result = Result.load(folder)
        with storage.locked(folder):
            result.check_config()
            federation = cls(result.config)
            return federation._play_all(folder, *federation.prepare(), report or _silent)

    def prepare(self) -> tuple[Dataset, Sites, dict[str, Game]]:
        """Load and deal the data and check that the games can be played on them; nothing is written."""
        data = self.config.data.source.load()
        sites = self._deal(data)
        main = name_of("game", self.config.game).rpartition(":")[2]
        games = {main: self.config.game} | {name: self._carried(name) for name in self.config.compare}
        self.config.game.start(self.config.player_names, self.config.seed)
        needy = self.config.game.needs_data(self.config.player_names, self.config.seed)
        empty = [name for name in needy if not len(sites.data[name])]
        if empty:
            raise DataError(
                f"no private data for {', '.join(repr(name) for name in empty)}; the partition left this site empty. "
                "Give it samples; in sample_exchange, own weight 0 would let it learn from others only"
            )
        for name in self.config.player_names:  # a model that cannot live on the data says so before anything is written
            self._player(name, sites.space, sites.space.empty(), None)
        return data, sites, games

    def _deal(self, data: Dataset) -> Sites:
        names, labels = self.config.player_names, data.train[LABEL] if data.classes else None
        generator = stream(self.config.seed, "partition")
        deal = self.config.data.partition.deal(labels, len(data.train), names, generator)
        space = data.space.only(data.inputs)
        held = {name: space.restrict(pick(data.train, deal[name])) for name in names}
        if labels is None:
            return Sites(space, held, None, {}, ())
        counts = torch.stack([torch.bincount(labels[deal[name]], minlength=data.classes) for name in names])
        notes = [
            f"{name} holds a single class ({int(row.argmax())}); allowed, but alone it can learn nothing else"
            for name, row in zip(names, counts, strict=True)
            if (row > 0).sum() == 1
        ]
        shares = counts.double() / counts.sum(1, keepdim=True).clamp_min(1)
        return Sites(space, held, shares, dict(zip(names, counts.tolist(), strict=True)), tuple(notes))

    def _carried(self, name: str) -> Game:
        """A game carried along, with the main game's amount of learning."""
        main = self.config.game
        amount = {"rounds": main.rounds, "local_steps": main.local_steps, "on_lost": main.on_lost}
        return find("game", name).model_validate(amount)  # type: ignore[attr-defined]

    def prediction(self, game: Game, sites: Sites) -> dict[str, Any]:
        """The influence matrix and the class shares it predicts; empty where there is no theory."""
        names = self.config.player_names
        influence = game.predict(names, self.config.seed)
        if influence is None:
            return {}
        found: dict[str, Any] = {"influence": influence.tolist()}
        if sites.shares is not None:
            found["predicted"] = dict(zip(names, (influence @ sites.shares).tolist(), strict=True))
        return found

    def _record(self, data: Dataset, sites: Sites, games: Mapping[str, Game]) -> dict[str, Any]:
        """What ``run.json`` says from the beginning."""
        return {
            "status": "running",
            "config": self.config.to_dict(),
            "versions": versions(),
            "data": {
                "name": data.name,
                "train": len(data.train),
                "test": len(data.test),
                "space": space_to_json(data.space),
                "learned": list(sites.space),
                "sizes": {name: len(samples) for name, samples in sites.data.items()},
                "counts": sites.counts,
            },
            "notes": list(sites.notes),
            "games": {name: self.prediction(game, sites) for name, game in games.items()},
        }

    def _play_all(self, folder: Path, data: Dataset, sites: Sites, games: Mapping[str, Game], report: Report) -> Result:
        storage.write_atomically(folder / "config.toml", self.config.to_toml().encode())
        record = storage.read_json(folder / "run.json") | {"status": "running"}
        record.pop("reason", None)
        storage.write_json(folder / "run.json", record)
        status = {"status": "failed"}
        try:
            reference = self._reference(folder, data, report)
            if reference:
                classifier = reference.classifier
                record["classifier"] = {"accuracy": classifier.accuracy, "n_test": classifier.n_test}
                storage.write_json(folder / "run.json", record)
            for name, game in games.items():
                _Match(self, name, game, folder / name, sites, reference).run(report)
            status = {"status": "finished"}
        except KeyboardInterrupt:
            status = {"status": "stopped", "reason": "interrupted"}
            raise
        except Exception as error:
            status["reason"] = str(error) or type(error).__name__
            raise
        finally:
            with contextlib.suppress(CheckpointError):  # a full disk must not hide the error that is on its way
                storage.write_json(folder / "run.json", record | status)
                storage.write_json(folder / "summary.json", Result.load(folder).summary())
        return Result.load(folder)

    def _reference(self, folder: Path, data: Dataset, report: Report) -> Reference | None:
        """The domain classifier, trained once per run; None where the source has no classes or nothing is measured."""
        if not data.classes or not self.config.measure.metrics or not len(data.test):
            return None
        space = data.space.only(data.inputs)
        classifier = DomainClassifier(space, data.classes, derive(self.config.seed, "classifier"))
        path = folder / "classifier.safetensors"
        if path.exists():
            classifier.load_state_dict(storage.load_tensors(path))
        else:
            classifier.fit(
                space.restrict(data.train),
                data.train[LABEL],
                space.restrict(data.test),
                data.test[LABEL],
                lambda done, of: report("domain classifier", done, of),
            )
            storage.save_tensors(path, classifier.state_dict())
        return Reference(space.restrict(data.test), classifier)

    def _player(self, name: str, space: Space, data: Samples, home: Path | None) -> Player:
        return Player(name, space, data, self.config.player_model(name), self.config.seed, home)

    def seat(self, game: Game, sites: Sites, home: Path) -> list[Player]:
        """The players of one game, each with the data that the game gives it; who has none and needs some stays out."""
        union = join(list(sites.data.values())) if game.pools_data else None
        held = {name: own if union is None else union for name, own in sites.data.items()}
        needy = game.needs_data(list(held), self.config.seed)
        return [
            self._player(name, sites.space, data, home) for name, data in held.items() if len(data) or name not in needy
        ]


class _Match:
    """One game of a run: from its last checkpoint to its last round."""

    def __init__(
        self, federation: Federation, name: str, game: Game, home: Path, sites: Sites, reference: Reference | None
    ) -> None:
        self.config, self.name, self.game, self.home = federation.config, name, game, home
        self.reference = reference
        self.shares = {} if sites.shares is None else dict(zip(sites.data, sites.shares, strict=True))
        self.players = federation.seat(game, sites, home)
        # every game is measured against the main game's prediction: that is what carrying others along is for
        self.predicted = federation.prediction(self.config.game, sites).get("predicted", {})
        self.engine: Engine = self.config.engine.fresh()
        self.bookkeeping = 0.0  # seconds spent on rows and checkpoints

    def run(self, report: Report) -> None:
        """Play, measure and write down, round after round."""
        try:
            self.engine.seat(self.players, self.game)
            state, done = self._restore()
            written = 0.0
            for round in range(done + 1, self.game.rounds + 1):
                report(self.name, round - 1, self.game.rounds)
                begin = time.perf_counter()
                state, row = self.game.play(self.engine, state, round)
                played = time.perf_counter()
                self._predict_again(state, row)
                if round % self.config.measure.every_rounds == 0 or round == self.game.rounds:
                    state, measured = self._measure(state, round)
                    lost = {"lost": row["lost"] | measured["lost"]} if "lost" in row and "lost" in measured else {}
                    row = row | measured | lost
                end = time.perf_counter()
                seconds = _seconds(row, played - begin) | {"evaluation": end - played, "bookkeeping": written}
                self._append({"round": round, **row, "seconds": seconds})
                if round % self.config.checkpoint.every_rounds == 0 or round == self.game.rounds:
                    self._checkpoint(state, round)
                written = time.perf_counter() - end  # told in the next round's row, and in the total
                self.bookkeeping += written
            report(self.name, self.game.rounds, self.game.rounds)
            self._export(state)
        finally:
            self.engine.close()

    def _measure(self, state: State, round: int) -> tuple[State, Row]:
        """Draw fresh samples from everybody, keep some to show, reduce them to values."""
        asks = [
            Message("evaluate", COORDINATOR, name, round, {"n": self.config.measure.samples}) for name in state.players
        ]
        answers, lost = self.game.alive(self.engine.ask(asks, purpose="evaluation"))
        # a player that has heard nothing yet, and has no data, sends nothing
        drawn = {answer.sender: answer.samples()[COORDINATOR] for answer in answers if answer.payload}
        shown = {name: pick(samples, slice(self.config.measure.shown)) for name, samples in drawn.items()}
        storage.save_tensors(self.home / "samples" / f"round-{round:06d}.safetensors", by_player(shown))
        state, row = self.game.lose(state, lost)
        self._predict_again(state, row)
        if self.reference:
            row["measured"] = {name: self._values(name, samples) for name, samples in drawn.items()}
            row["predicted"] = self.predicted
        return state, row

    def _predict_again(self, state: State, row: Row) -> None:
        """After a loss, the weights are others and so is the equilibrium of those who are left."""
        if "influence" in row and self.shares:
            influence = torch.tensor(row["influence"], dtype=torch.float64)
            shares = influence @ torch.stack([self.shares[name] for name in state.players])
            self.predicted = row["predicted"] = dict(zip(state.players, shares.tolist(), strict=True))

    def _values(self, name: str, samples: Samples) -> dict[str, Any]:
        assert self.reference is not None
        predicted = torch.tensor(self.predicted[name]) if name in self.predicted else None
        observed = Observed(samples, self.reference, predicted)
        values: dict[str, Any] = {}
        for metric in self.config.measure.metrics:
            values |= {quantity: value.json() for quantity, value in metric.observe(observed).result().items()}
        return values

    # ----------------------------------------------------------------------------------------- what is on disk

    def _append(self, row: Row) -> None:
        path = self.home / "rows.jsonl"
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise CheckpointError(f"cannot write {path}: {error.strerror}; the last checkpoint is intact") from error

    def _checkpoint(self, state: State, round: int) -> None:
        """Everybody saves its model, then the coordinator its state; only then the new checkpoint counts."""
        folder = storage.checkpoint_folder(self.home, round)
        self._ask_all("save", state, round)
        in_flight = {link: part if isinstance(part, Samples) else part.fetch() for link, part in state.payload.items()}
        storage.save_tensors(folder / "state.safetensors", by_player(in_flight))
        record = {
            "players": list(state.players),
            "numbers": dict(state.numbers),
            "traffic": self.engine.ledger.rows(),
        }
        storage.commit_checkpoint(self.home, round, record)

    def _ask_all(self, action: str, state: State, round: int) -> None:
        """Save or restore everybody; whatever the game does about losses, a checkpoint is complete or does not count."""
        replies = self.engine.ask([Message(action, COORDINATOR, name, round) for name in state.players], "checkpoint")
        for reply in replies:
            if isinstance(reply, PlayerLost):
                raise PlayerError(reply.player, action, round, reply.reason)

    def _restore(self) -> tuple[State, int]:
        """State and round of the checkpoint that counts; the start if there is none."""
        record = storage.last_checkpoint(self.home)
        done = record["round"] if record else 0
        self._forget_after(done)
        storage.drop_other_checkpoints(self.home, done)
        if record is None:
            return self.game.start([player.name for player in self.players], self.config.seed), 0
        tensors = storage.unnest(storage.load_tensors(storage.checkpoint_folder(self.home, done) / "state.safetensors"))
        payload = {
            link: Samples(dict(values), batch_size=[len(next(iter(values.values())))])
            for link, values in tensors.items()
        }
        state = State(tuple(record["players"]), payload, record["numbers"])
        self._ask_all("restore", state, done)
        self.engine.start_ledger(Ledger.from_rows(record["traffic"]))
        return state, done

    def _forget_after(self, round: int) -> None:
        """Rows of rounds after the checkpoint will be written again."""
        path = self.home / "rows.jsonl"
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)[:round]
            storage.write_atomically(path, "".join(lines).encode())
            for line in lines:  # a prediction that a loss changed still holds
                self.predicted = json.loads(line).get("predicted", self.predicted)

    def _export(self, state: State) -> None:
        """What the players learned, where a reader looks for it."""
        last = storage.checkpoint_folder(self.home, self.game.rounds) / "players"
        for name in state.players:
            file = f"{name}.safetensors"
            storage.write_atomically(self.home / "models" / file, (last / file).read_bytes())
        if self.bookkeeping:  # a run that was only resumed at its end keeps what it had
            storage.write_json(self.home / "seconds.json", {"bookkeeping": self.bookkeeping})


def _seconds(row: Row, total: float) -> dict[str, float]:
    """Where the time of a round went: what the players spent on learning and sampling, and the rest."""
    players = row.get("players", {}).values()
    learning = sum(numbers.pop("seconds_learning", 0.0) for numbers in players)
    sampling = sum(numbers.pop("seconds_sampling", 0.0) for numbers in players)
    return {"learning": learning, "sampling": sampling, "exchange": max(0.0, total - learning - sampling)}


def _silent(what: str, done: int, of: int) -> None:
    """No progress."""
