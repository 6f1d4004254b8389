"""One game of a run, from its last checkpoint to its last round.

Samples are measured, and rounds and checkpoints written, on the way.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from coplay.core import storage
from coplay.core.errors import CheckpointError, PartLostError, PlayerError
from coplay.core.message import (
    COORDINATOR,
    Message,
    Payload,
    PlayerDied,
    PlayerLate,
    PlayerLost,
    Request,
)
from coplay.core.requests import Restore, Save
from coplay.core.space import Samples, pick
from coplay.engines.base import Engine
from coplay.games.base import Game, Link, Row, State
from coplay.metrics.base import Value
from coplay.run.config import CheckpointSection
from coplay.run.measuring import Measuring
from coplay.run.progress import Progress
from coplay.run.record import RoundRecord, links_from_json
from coplay.run.result import by_player
from coplay.run.sites import Seats
from coplay.run.sparse_matrix import SparseMatrix


@dataclass(frozen=True)
class RunSettings:
    """The settings of a run that decide how each of its games is played, beside the game's own.

    Args:
        seed: The run's seed.
        engine: Where it runs; every game gets a fresh one of these settings.
        checkpoint: How often it is written down.
        predicted: Class shares by player that every game of the run is measured against; empty
            without theory.
    """

    seed: int
    engine: Engine
    checkpoint: CheckpointSection
    predicted: Mapping[str, list[float]]


class Match:
    """Plays one game of a run.

    Args:
        name: The game's name in the run.
        game: The rules.
        home: The game's folder.
        settings: What the run adds to them.
        seats: Everybody who takes part.
        measuring: What is measured, and against what.
    """

    def __init__(
        self,
        name: str,
        game: Game[State],
        home: Path,
        settings: RunSettings,
        seats: Seats,
        measuring: Measuring,
    ) -> None:
        self.name = name
        self.game = game
        self.home = home
        self.settings = settings
        self.seats = seats
        self.measuring = measuring
        self.predicted = settings.predicted
        self.engine: Engine = settings.engine.fresh()
        self.bookkeeping = 0.0  # seconds spent on rows and checkpoints

    def run(self, progress: Progress) -> None:
        """Play, measure and write down, round after round."""
        try:
            self.engine.start(self.seats.players, self.game)
            state, done = self._restore()
            written = 0.0
            for round in range(done + 1, self.game.rounds + 1):
                progress(self.name, round - 1, self.game.rounds)
                state, written = self._round(state, round, written)
            progress(self.name, self.game.rounds, self.game.rounds)
            self._export(state)
        finally:
            self.engine.close()

    def _round(self, state: State, round: int, written: float) -> tuple[State, float]:
        """Play one round, measure if it is time, and write it down.

        Returns:
            The state after the round, and the seconds that writing took.
        """
        began = time.perf_counter()
        before = self.predicted
        sent = self.engine.ledger.total("exchange")
        state, row = self.game.play(self.engine, state, round)
        played = time.perf_counter()
        exchanged = self.engine.ledger.total("exchange") - sent
        self._predict_again(state, row)
        measured = None
        if self._due(round, self.measuring.settings.every_rounds):
            state, more, measured = self._measure(state, round)
            row = row.merged(more)
        end = time.perf_counter()
        saving = self._due(round, self.settings.checkpoint.every_rounds)
        if saving:  # before the row is written, since a player may be lost while it saves
            state, more = self._save(state, round)
            row = row.merged(more)
        scored = measured is not None and self.measuring.reference is not None
        record_prediction = scored or self.predicted is not before
        players, spent = _without_seconds(row.players)
        seconds = spent | {
            "exchange": max(0.0, played - began - sum(spent.values())),
            "evaluation": end - played,
            "bookkeeping": written,
        }
        self._append(
            RoundRecord(
                round=round,
                players=players,
                own=row.own,
                measured=measured,
                predicted=self.predicted if record_prediction else None,
                bytes=exchanged,
                seconds=seconds,
                lost=row.lost,
                late=self._late(),
                frozen=row.frozen,
                joined=row.joined,
                left=row.left,
                influence=None if row.influence is None else SparseMatrix.if_small(row.influence),
            )
        )
        if saving:
            self._checkpoint(state, round)
        written = time.perf_counter() - end  # booked in the next round's row, and in the total
        self.bookkeeping += written
        return state, written

    def _due(self, round: int, every: int) -> bool:
        return round % every == 0 or round == self.game.rounds

    def _late(self) -> dict[str, PlayerLost]:
        """Return the players that were late since the last call, each with its first lateness."""
        late: dict[str, PlayerLost] = {}
        for loss in self.engine.take_late():
            late.setdefault(loss.player, loss)
        return late

    def _measure(
        self, state: State, round: int
    ) -> tuple[State, Row, dict[str, dict[str, Value]] | None]:
        """Draw fresh samples from everybody, store some to show, reduce them to values."""
        names = self.game.sampled_from(state)
        asks = self.measuring.evaluations(self.seats.players, names, round)
        answers, lost = self.game.alive(self.engine.ask(asks, purpose="evaluation"))
        # a player without data that has received nothing yet sends nothing
        received = {answer.sender: answer.samples() for answer in answers if answer.payload}
        drawn = {name: parts[COORDINATOR] for name, parts in received.items()}
        self._show(drawn, round)
        state, row = self.game.lose(state, lost)
        self._predict_again(state, row)
        if not self.measuring.anything:
            return state, row, None
        measured: dict[str, dict[str, Value]] = {}
        for name, parts in received.items():
            private = self.seats.learned_from.get(name)
            measured[name] = self.measuring.values(parts, self.predicted.get(name), private)
        for answer in answers:
            if answer.numbers:  # a player with log p reports that of the real test samples
                measured[answer.sender]["log_p"] = self.measuring.log_prob(answer.numbers)
        if self.measuring.settings.nash_gap_steps and round == self.game.rounds:
            state, more = self._measure_gains(state, drawn, measured, round)
            row = row.merged(more)
        return state, row, measured

    def _measure_gains(
        self,
        state: State,
        drawn: Mapping[str, Samples],
        measured: dict[str, dict[str, Value]],
        round: int,
    ) -> tuple[State, Row]:
        """Add each player's part of the Nash gap to what was measured (A3)."""
        alpha = self.game.mixture_weights(state)
        if alpha is None:
            return state, Row()
        asks = self.measuring.gains(alpha, state.players, drawn, round)
        answers, lost = self.game.alive(self.engine.ask(asks, purpose="evaluation"))
        for answer in answers:
            if answer.numbers:  # a player without log p has none
                gain = self.measuring.gain(answer.numbers)
                measured.setdefault(answer.sender, {})["nash_gap"] = gain
        state, row = self.game.lose(state, lost)
        self._predict_again(state, row)
        return state, row

    def _predict_again(self, state: State, row: Row) -> None:
        """Predict anew after a loss, which changes the weights and so the equilibrium."""
        if row.influence is None or not self.seats.shares:
            return
        sites = torch.stack([self.seats.shares[name] for name in state.players])
        shares = row.influence @ sites
        self.predicted = dict(zip(state.players, shares.tolist(), strict=True))

    # ------------------------------------------------------------------------- what is on disk

    def _show(self, drawn: Mapping[str, Samples], round: int) -> None:
        """Store some samples for the report's pictures."""
        first = slice(self.measuring.settings.shown)
        shown = {name: pick(samples, first) for name, samples in drawn.items()}
        file = self.home / "samples" / f"round-{round:06d}.safetensors"
        storage.save_tensors(file, by_player(shown))

    def _append(self, record: RoundRecord) -> None:
        path = self.home / "rows.jsonl"
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record.json()) + "\n")
        except OSError as error:
            raise CheckpointError(
                f"cannot write {path}: {error.strerror}; the last checkpoint is intact"
            ) from error

    def _save(self, state: State, round: int) -> tuple[State, Row]:
        """Ask all players to save.

        A player whose process died is handled by ``on_lost``; any other failure stops the run.
        """
        replies = self._ask(Save(), self._everybody(state), round)
        # a late player's process died and came back with its last checkpoint, which it has to save
        again = [reply.player for reply in replies if isinstance(reply, PlayerLate)]
        if again:
            replies += self._ask(Save(), again, round)
        lost = []
        for reply in replies:
            if isinstance(reply, PlayerLost) and not isinstance(reply, PlayerLate):
                lost.append(reply)
        for loss in lost:
            if not isinstance(loss, PlayerDied) or loss.player in self.game.seats:
                raise PlayerError(loss.player, loss.action, round, loss.reason)
        self.game.alive(replies)
        state, row = self.game.lose(state, lost)
        self._predict_again(state, row)
        return state, row

    def _checkpoint(self, state: State, round: int) -> None:
        """Save the coordinator's state, after everybody has saved its model; then it counts."""
        folder = storage.checkpoint_folder(self.home, round)
        in_flight: dict[str, Samples] = {}
        for link, payload in state.payload.items():
            with contextlib.suppress(PartLostError):  # its sender went down with its machine
                in_flight[_link_text(link)] = _copied(payload)
        storage.save_tensors(folder / "state.safetensors", by_player(in_flight))
        traffic = [asdict(link) for link in self.engine.ledger.links()]
        storage.commit_checkpoint(self.home, round, {"state": state.known(), "traffic": traffic})

    def _ask(
        self, request: Request, names: Sequence[str], round: int
    ) -> list[Message | PlayerLost]:
        asks = [Message(request, COORDINATOR, name, round) for name in names]
        return self.engine.ask(asks, "checkpoint")

    def _everybody(self, state: State) -> tuple[str, ...]:
        """Return the names of all that have a model: the living players and the game's seats."""
        return (*state.players, *self.game.seats)

    def _restore(self) -> tuple[State, int]:
        """Return state and round of the checkpoint that counts; the start if there is none."""
        record = storage.last_checkpoint(self.home)
        done = record["round"] if record else 0
        self._forget_after(done)
        storage.drop_other_checkpoints(self.home, done)
        if record is None:
            return self.game.start(self._starting_players(), self.settings.seed), 0
        if "state" not in record:
            raise CheckpointError(
                f"{self.home / 'checkpoint.json'} was written by an older coplay, whose runs "
                "cannot be resumed; what it measured can be read, and 'coplay run' starts anew"
            )
        file = storage.checkpoint_folder(self.home, done) / "state.safetensors"
        payload: dict[Link, Payload] = {}
        for text, tensors in storage.unnest(storage.load_tensors(file)).items():
            count = len(next(iter(tensors.values())))
            payload[_link_of(text)] = Samples(dict(tensors), batch_size=[count])
        state = self.game.state_class.from_known(record["state"], payload)
        for reply in self._ask(Restore(), self._everybody(state), done):
            # whatever the game does about losses, all begin where the others do
            if isinstance(reply, PlayerLost):
                raise PlayerError(reply.player, reply.action, done, reply.reason)
        self.engine.start_ledger(links_from_json(record["traffic"]))
        return state, done

    def _starting_players(self) -> list[str]:
        """Return the names of the players, without the game's own seats."""
        names = [player.name for player in self.seats.players]
        return [name for name in names if name not in self.game.seats]

    def _forget_after(self, round: int) -> None:
        """Drop the rows of rounds after the checkpoint, which will be written again."""
        path = self.home / "rows.jsonl"
        if not path.exists():
            return
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)[:round]
        storage.write_atomically(path, "".join(lines).encode())
        for line in lines:  # a prediction that a loss changed still holds
            predicted = RoundRecord.from_json(json.loads(line)).predicted
            if predicted is not None:
                self.predicted = predicted

    def _export(self, state: State) -> None:
        """Copy what the players learned to where a reader looks for it."""
        last = storage.checkpoint_folder(self.home, self.game.rounds) / "players"
        for name in self._everybody(state):
            file = f"{name}.safetensors"
            storage.write_atomically(self.home / "models" / file, (last / file).read_bytes())
        if self.bookkeeping:  # a run that was only resumed at its end keeps its earlier figure
            storage.write_json(self.home / "seconds.json", {"bookkeeping": self.bookkeeping})


def _link_text(link: Link) -> str:
    return ">".join(link)


def _link_of(text: str) -> Link:
    sender, _, receiver = text.partition(">")
    return sender, receiver


def _copied(payload: Payload) -> Samples:
    """Return a payload by value.

    It is a copy: one payload may go to several players, and no two tensors of a file may share
    memory.
    """
    return payload.clone() if isinstance(payload, Samples) else payload.fetch()


def _without_seconds(
    players: Mapping[str, Mapping[str, float]],
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Separate the players' reported numbers from the seconds that they booked.

    Returns:
        The numbers by player, and the seconds by kind, added up over the players.
    """
    spent = {"learning": 0.0, "sampling": 0.0}
    reported = {}
    for name, numbers in players.items():
        reported[name] = {
            key: value for key, value in numbers.items() if not key.startswith("seconds_")
        }
        for kind in spent:
            spent[kind] += numbers.get(f"seconds_{kind}", 0.0)
    return reported, spent
