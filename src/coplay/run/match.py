"""One game of a run: from its last checkpoint to its last round, with what is measured and written on the way."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coplay.core import storage
from coplay.core.errors import CheckpointError, PartLostError, PlayerError
from coplay.core.message import COORDINATOR, Ledger, Message, PlayerDied, PlayerLate, PlayerLost
from coplay.core.space import Samples, pick
from coplay.data.sources.base import LABEL
from coplay.engines.base import Engine
from coplay.games.base import Game, Row, State, merged
from coplay.metrics.base import Observed, Reference, Value
from coplay.player import CLASSIFIED, JUDGED, Player
from coplay.run.config import Config
from coplay.run.result import by_player

Report = Callable[[str, int, int], None]
"""Progress: (what, how far, of how many)."""


class Match:
    """Plays one game of a run.

    Args:
        config: The run's config.
        name: The game's name in the run.
        game: The rules.
        home: The game's folder.
        players: Who plays.
        held: What each player was given, for metrics that compare with it; it never enters play.
        shares: Class shares of each player's site, shape (C,); empty without classes.
        predicted: Class shares by player that every game of the run is measured against; empty without theory.
        reference: What samples are measured against; None for nothing.
        real: Real test samples with all variables, for log p.
    """

    def __init__(
        self,
        config: Config,
        name: str,
        game: Game,
        home: Path,
        players: Sequence[Player],
        held: dict[str, Samples],
        shares: dict[str, Tensor],
        predicted: dict[str, list[float]],
        reference: Reference | None,
        real: Samples,
    ) -> None:
        self.config, self.name, self.game, self.home = config, name, game, home
        self.players, self.held, self.shares = players, held, shares
        self.predicted, self.reference, self.real = predicted, reference, real
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
                begin, sent = time.perf_counter(), self.engine.ledger.total("exchange")
                state, row = self.game.play(self.engine, state, round)
                played = time.perf_counter()
                row = row | {"bytes": self.engine.ledger.total("exchange") - sent}
                self._predict_again(state, row)
                if self._due(round, self.config.measure.every_rounds):
                    state, measured = self._measure(state, round)
                    row = merged(row, measured)
                end = time.perf_counter()
                saving = self._due(round, self.config.checkpoint.every_rounds)
                if saving:  # before the row is written, since somebody may be lost with it
                    state, told = self._save(state, round)
                    row = merged(row, told)
                late = self.engine.take_late()
                if late:  # what is told of each is why it was late first
                    row["late"] = {r.player: {"action": r.action, "reason": r.reason} for r in reversed(late)}
                seconds = _seconds(row, played - begin) | {"evaluation": end - played, "bookkeeping": written}
                self._append({"round": round, **row, "seconds": seconds})
                if saving:
                    self._checkpoint(state, round)
                written = time.perf_counter() - end  # told in the next round's row, and in the total
                self.bookkeeping += written
            report(self.name, self.game.rounds, self.game.rounds)
            self._export(state)
        finally:
            self.engine.close()

    def _due(self, round: int, every: int) -> bool:
        return round % every == 0 or round == self.game.rounds

    def _measure(self, state: State, round: int) -> tuple[State, Row]:
        """Draw fresh samples from everybody, keep some to show, reduce them to values."""
        numbers = {"n": self.config.measure.samples, "draws": self.config.measure.log_prob_draws}
        names = self.game.measured(state)
        asks = [Message("evaluate", COORDINATOR, name, round, numbers, self._real(name)) for name in names]
        answers, lost = self.game.alive(self.engine.ask(asks, purpose="evaluation"))
        # a player that has heard nothing yet, and has no data, sends nothing
        received = {answer.sender: answer.samples() for answer in answers if answer.payload}
        drawn = {name: parts[COORDINATOR] for name, parts in received.items()}
        shown = {name: pick(samples, slice(self.config.measure.shown)) for name, samples in drawn.items()}
        storage.save_tensors(self.home / "samples" / f"round-{round:06d}.safetensors", by_player(shown))
        state, row = self.game.lose(state, lost)
        self._predict_again(state, row)
        if self.reference or self.config.measure.nash_gap_steps or self.config.measure.log_prob:
            row["measured"] = {name: {} for name in received}
        if self.reference:
            row["measured"] = {name: self._values(name, parts) for name, parts in received.items()}
            row["predicted"] = self.predicted
        for answer in answers:
            if answer.numbers:  # who has log p tells that of the real test samples
                row["measured"][answer.sender]["log_p"] = self._log_prob(answer.numbers).json()
        if self.config.measure.nash_gap_steps and round == self.game.rounds:
            gains, more = self._gains(state, drawn, round)
            for name, value in gains.items():
                row["measured"].setdefault(name, {})["nash_gap"] = value.json()
            if more:
                state, told = self.game.lose(state, more)
                self._predict_again(state, told)
                row = merged(row, told)
        return state, row

    def _gains(self, state: State, drawn: dict[str, Samples], round: int) -> tuple[dict[str, Value], list[PlayerLost]]:
        """Each player's part of the Nash gap, against a frozen batch of everybody's samples (A3)."""
        alpha = self.game.mixture_weights(state)
        if alpha is None:
            return {}, []
        measure, asks = self.config.measure, []
        for i, name in enumerate(state.players):
            weights = {other: alpha[i, j].item() for j, other in enumerate(state.players) if j != i and alpha[i, j]}
            numbers: dict[str, float] = {"steps": measure.nash_gap_steps, "draws": measure.log_prob_draws}
            numbers |= {"weight/own": alpha[i, i].item()} | {f"weight/{other}": w for other, w in weights.items()}
            heard = {other: drawn[other] for other in weights if other in drawn}
            asks.append(Message("gain", COORDINATOR, name, round, numbers, heard))
        answers, lost = self.game.alive(self.engine.ask(asks, purpose="evaluation"))
        unit, found = f"nats per sample in {measure.nash_gap_steps} steps, 0 at the equilibrium", {}
        for answer in answers:
            if answer.numbers:  # a player without log p has none
                value, half = answer.numbers["value"], 1.96 * answer.numbers["error"]
                found[answer.sender] = Value(
                    value, unit, "lower", int(answer.numbers["n"]), low=value - half, high=value + half
                )
        return found, lost

    def _predict_again(self, state: State, row: Row) -> None:
        """After a loss, the weights are others and so is the equilibrium of those who are left."""
        if "influence" in row and self.shares:
            influence = torch.tensor(row["influence"], dtype=torch.float64)
            shares = influence @ torch.stack([self.shares[name] for name in state.players])
            self.predicted = row["predicted"] = dict(zip(state.players, shares.tolist(), strict=True))

    def _real(self, name: str) -> dict[str, Samples]:
        """Real test samples: for a player that can classify, if that is judged, and for one that is asked for their log p."""
        wanted = any(metric.wants_classified for metric in self.config.measure.metrics)
        able = wanted and hasattr(self._model(name), "classify")
        found = {CLASSIFIED: self.reference.test} if self.reference and able else {}
        return found | ({JUDGED: self.real} if self.config.measure.log_prob and len(self.real) else {})

    def _model(self, name: str) -> object:
        """The settings of a player's model, or of a seat's."""
        return next((player.model for player in self.players if player.name == name), None)

    def _log_prob(self, told: Mapping[str, float]) -> Value:
        unit, high = "nats per real test sample", told["high"]
        if not math.isfinite(high):
            unit += f", a lower bound: {self.config.measure.log_prob_draws} draws are too few for an interval"
        return Value(
            told["log_p"], unit, "higher", 0, len(self.real), told["low"], high if math.isfinite(high) else None
        )

    def _values(self, name: str, parts: dict[str, Samples]) -> dict[str, Any]:
        assert self.reference is not None
        observed = Observed(
            parts[COORDINATOR],
            self.reference,
            torch.tensor(self.predicted[name]) if name in self.predicted else None,
            parts[CLASSIFIED][LABEL] if CLASSIFIED in parts else None,
            self.held.get(name),
        )
        values: dict[str, Any] = {}
        for metric in self.config.measure.metrics:
            if not metric.applies(observed):
                continue
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

    def _save(self, state: State, round: int) -> tuple[State, Row]:
        """Everybody saves its model; whose process died is lost by the game's rule, and any other failure stops the run."""
        replies = self._ask("save", self._everybody(state), round)
        again = [reply.player for reply in replies if isinstance(reply, PlayerLate)]
        if again:  # its process died and came back with its last checkpoint: that is what it has to save
            replies += self._ask("save", again, round)
        lost = [reply for reply in replies if isinstance(reply, PlayerLost) and not isinstance(reply, PlayerLate)]
        for loss in lost:
            if not isinstance(loss, PlayerDied) or loss.player in self.game.seats:
                raise PlayerError(loss.player, loss.action, round, loss.reason)
        self.game.alive(replies)
        state, row = self.game.lose(state, lost)
        self._predict_again(state, row)
        return state, row

    def _checkpoint(self, state: State, round: int) -> None:
        """Everybody has saved its model, now the coordinator its state; only then the new checkpoint counts."""
        folder, in_flight = storage.checkpoint_folder(self.home, round), {}
        for link, part in state.payload.items():
            with contextlib.suppress(PartLostError):  # who sent it went down with its machine
                in_flight[link] = (
                    part.clone() if isinstance(part, Samples) else part.fetch()
                )  # one part may go to several
        storage.save_tensors(folder / "state.safetensors", by_player(in_flight))
        record = {
            "players": list(state.players),
            "numbers": dict(state.numbers),
            "traffic": self.engine.ledger.rows(),
        }
        storage.commit_checkpoint(self.home, round, record)

    def _ask(self, action: str, names: Sequence[str], round: int) -> list[Message | PlayerLost]:
        return self.engine.ask([Message(action, COORDINATOR, name, round) for name in names], "checkpoint")

    def _everybody(self, state: State) -> tuple[str, ...]:
        """Who has a state: the living players and the game's own seats."""
        return (*state.players, *self.game.seats)

    def _restore(self) -> tuple[State, int]:
        """State and round of the checkpoint that counts; the start if there is none."""
        record = storage.last_checkpoint(self.home)
        done = record["round"] if record else 0
        self._forget_after(done)
        storage.drop_other_checkpoints(self.home, done)
        if record is None:
            return self.game.start(self._started(), self.config.seed), 0
        tensors = storage.unnest(storage.load_tensors(storage.checkpoint_folder(self.home, done) / "state.safetensors"))
        payload = {
            link: Samples(dict(values), batch_size=[len(next(iter(values.values())))])
            for link, values in tensors.items()
        }
        state = State(tuple(record["players"]), payload, record["numbers"])
        for reply in self._ask("restore", self._everybody(state), done):
            if isinstance(reply, PlayerLost):  # whatever the game does about losses, all begin where the others do
                raise PlayerError(reply.player, reply.action, done, reply.reason)
        self.engine.start_ledger(Ledger.from_rows(record["traffic"]))
        return state, done

    def _started(self) -> list[str]:
        """The players, without the game's own seats."""
        return [player.name for player in self.players if player.name not in self.game.seats]

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
        for name in self._everybody(state):
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
