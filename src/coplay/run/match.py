"""One game of a run, from its last checkpoint to its last round.

Samples are measured, and rounds and checkpoints written, on the way.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from coplay.core import checkpoints, storage
from coplay.core.errors import PlayerError
from coplay.core.message import (
    COORDINATOR,
    Message,
    PlayerDied,
    PlayerLate,
    PlayerLost,
    PlayerUnsaved,
    Request,
)
from coplay.core.player_files import PlayerFile
from coplay.core.requests import Finish, Restore, Save
from coplay.core.space import Samples, pick
from coplay.engines.base import Engine
from coplay.games.base import Game, Row, State
from coplay.metrics.base import Value
from coplay.run.checkpoint import Checkpoint, save_at_site, save_in_flight
from coplay.run.judging import Judging
from coplay.run.known_heads import keep_heads, read_heads
from coplay.run.links_on_disk import save_traffic
from coplay.run.measuring import Measuring
from coplay.run.progress import Progress
from coplay.run.result import by_player
from coplay.run.round_record import RoundRecord
from coplay.run.rows import Rows
from coplay.run.scoring import Scoring
from coplay.run.seconds import without_seconds
from coplay.run.sections import CheckpointSection
from coplay.run.sites import Seats
from coplay.run.sparse_matrix import SparseMatrix
from coplay.run.stopping import Stopping
from coplay.theory.equilibrium import equilibrium_moments


@dataclass(frozen=True)
class RunSettings:
    """The settings of a run that decide how each of its games is played, beside the game's own.

    Args:
        seed: The run's seed.
        engine: Where it runs; every game gets a fresh one of these settings.
        checkpoint: How often it is written down.
        predicted: Class shares by player that every game of the run is measured against; empty
            without theory.
        run: What tells the run from others (:func:`coplay.run.checkpoint.run_id`).
        judging: How players are asked for their verdicts.
    """

    seed: int
    engine: Engine
    checkpoint: CheckpointSection
    predicted: Mapping[str, list[float]]
    run: str = ""
    judging: Judging = field(default_factory=Judging)


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
        self.rows = Rows(home)
        self.stopping = Stopping(game)
        self._mark = ""  # of the checkpoint that is being written
        self._drawn: Mapping[str, Samples] = {}  # in the last measurement
        self.scoring = Scoring(game, seats, measuring, self.engine)

    def run(self, progress: Progress) -> None:
        """Play, measure and write down, round after round; a finished game is left alone."""
        last = Checkpoint.last(self.home)
        if last is not None and last.finished:
            last.check_models(self.home)
            Rows.read(self.home, last.counted).check_shown()
            last.clear(self.home)
            progress(self.name, last.round, last.round)
            return
        try:
            self.engine.start(self.seats.players, self.game)
            self.engine.start_heads(read_heads(self.home))
            state, done = self._restore()
            written = 0.0
            while done < self.game.rounds:
                progress(self.name, done, self.stopping.expected_rounds)
                done += 1
                self.game = self.stopping.begin(done)
                state, written = self._round(state, done, written)
            progress(self.name, self.game.rounds, self.game.rounds)
            judging = self.settings.judging
            judging.ask(self.engine, self.game, self.name, state, self.seats, self._drawn)
            self._export()
        finally:
            self.engine.close()
            keep_heads(self.home, self.engine.heads)

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
        self._drawn = {}
        self.scoring.cautions = {}
        shown = None
        if self._due(round, self.measuring.settings.every_rounds):
            state, more, measured, shown = self._measure(state, round)
            row = row.merged(more)
        end = time.perf_counter()
        keep_heads(self.home, self.engine.heads)
        saving = self._due(round, self.settings.checkpoint.every_rounds)
        if saving:  # before the row is written, since a player may be lost while it saves
            state, more = self._save(state, round)
            row = row.merged(more)
        scored = measured is not None and self.measuring.reference is not None
        record_prediction = scored or self.predicted is not before
        players, spent = without_seconds(row.players)
        seconds = spent | {
            "exchange": max(0.0, played - began - sum(spent.values())),
            "evaluation": end - played,
            "bookkeeping": written,
        }
        record = RoundRecord(
            round=round,
            players=players,
            own=row.own,
            measured=measured,
            shown=shown,
            predicted=self.predicted if record_prediction else None,
            bytes=exchanged,
            seconds=seconds,
            lost=row.lost,
            late=self._late(),
            frozen=row.frozen,
            joined=row.joined,
            left=row.left,
            influence=None if row.influence is None else SparseMatrix.if_small(row.influence),
            cautions=self.scoring.cautions,
        )
        self.rows.append(self.stopping.noted(record, self._drawn, self.seats.facts))
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
    ) -> tuple[State, Row, dict[str, dict[str, Value]] | None, str]:
        """Draw fresh samples from everybody, store some to show, reduce them to values.

        Returns:
            The state and row after losses, the values, and the digest of the samples' file.
        """
        names = self.game.sampled_from(state)
        asks = self.measuring.evaluations(self.seats.facts, names, round)
        answers, lost = self.game.alive(self.engine.ask(asks, purpose="evaluation"))
        # a player without data that has received nothing yet sends nothing
        received = {answer.sender: answer.samples() for answer in answers if answer.payload}
        drawn = {name: parts[COORDINATOR] for name, parts in received.items()}
        self._drawn = drawn
        shown = self._show(drawn, round)
        state, row = self.game.lose(state, lost)
        self._predict_again(state, row)
        scores = self.scoring.scores(received, self.predicted)
        if not self.measuring.anything:
            return state, row, None, shown
        measured = dict(scores)
        state, more = self._lose(state, self.scoring.ask_players(names, measured, round))
        row = row.merged(more)
        for answer in answers:
            if answer.sender in measured:
                measured[answer.sender] |= self.measuring.of_rules(answer.numbers)
            if "log_p" in answer.numbers:  # of the real test samples, by a player that has it
                measured[answer.sender]["log_p"] = self.measuring.log_prob(answer.numbers)
        alpha = self.game.sparse_weights(state)
        at_end = round == self.game.rounds
        if self.measuring.settings.nash_gap_steps and at_end and alpha is not None:
            lost = list(self.scoring.gains(alpha, state.players, drawn, measured, round))
            state, more = self._lose(state, lost)
            row = row.merged(more)
        return state, row, measured, shown

    def _lose(self, state: State, lost: Sequence[PlayerLost]) -> tuple[State, Row]:
        """Go on without some players, and predict anew."""
        state, row = self.game.lose(state, lost)
        self._predict_again(state, row)
        return state, row

    def _predict_again(self, state: State, row: Row) -> None:
        """Predict anew after a loss, which changes the weights and so the equilibrium."""
        moved = row.influence is not None or row.weights is not None
        if not moved or not self.seats.shares:
            return
        sites = torch.stack([self.seats.shares[name] for name in state.players])
        if row.influence is not None:
            shares = row.influence @ sites
        elif row.weights is not None:
            shares = equilibrium_moments(row.weights, sites)
        self.predicted = dict(zip(state.players, shares.tolist(), strict=True))

    # ------------------------------------------------------------------------- what is on disk

    def _show(self, drawn: Mapping[str, Samples], round: int) -> str:
        """Store some samples for the report's pictures, and return the file's digest."""
        first = slice(self.measuring.count_shown(drawn))
        shown = {name: pick(samples, first) for name, samples in drawn.items()}
        return storage.save_tensors(storage.shown_file(self.home, round), by_player(shown))

    def _save(self, state: State, round: int) -> tuple[State, Row]:
        """Ask all players to save.

        A player whose process died, or whose model has no state that can be saved, is handled by
        ``on_lost``; any other failure, such as a full disk, stops the run.
        """
        save = save_at_site(self.home, self.settings.run, round, self.rows.chain.digest)
        self._mark = save.mark
        replies = self._ask(Save(), self._everybody(state), round, save)
        # a late player's process died and came back with its last checkpoint, which it has to save
        again = [reply.player for reply in replies if isinstance(reply, PlayerLate)]
        if again:
            replies += self._ask(Save(), again, round, save)
        lost = []
        for reply in replies:
            if isinstance(reply, PlayerLost) and not isinstance(reply, PlayerLate):
                lost.append(reply)
        for loss in lost:
            is_its_own = isinstance(loss, PlayerDied | PlayerUnsaved)
            if not is_its_own or loss.player in self.game.seats:
                raise PlayerError(loss.player, loss.action, round, loss.reason)
        self.game.alive(replies)
        state, row = self.game.lose(state, lost)
        self._predict_again(state, row)
        return state, row

    def _checkpoint(self, state: State, round: int) -> None:
        """Save the coordinator's state, after everybody has saved its model; then it counts."""
        sent = save_in_flight(self.home, round, state.payload)
        models = {}
        at_sites = [name for name in state.players if name in self.seats.at_sites]
        for name in self._everybody(state):
            if name not in at_sites:
                models[name] = str(PlayerFile.at(self.home, round, name).note()["model"])
        folder = checkpoints.folder_of(self.home, round)
        traffic, traffic_file = save_traffic(folder, self.engine.ledger)
        self.rows.sync()
        Checkpoint(
            round=round,
            game=self.home.name,
            rows=self.rows.chain.digest,
            models=models,
            state=state.known(),
            traffic=traffic,
            traffic_file=traffic_file,
            payload=sent,
            run=self.settings.run,
            at_sites=at_sites,
            mark=self._mark if at_sites else "",
        ).commit(self.home)

    def _ask(
        self, request: Request, names: Sequence[str], round: int, at_sites: Request | None = None
    ) -> list[Message | PlayerLost]:
        """Ask some players; those that keep their files themselves may be asked something else."""
        asks = []
        for name in names:
            asked = request if at_sites is None or name not in self.seats.at_sites else at_sites
            asks.append(Message(asked, COORDINATOR, name, round))
        return self.engine.ask(asks, "checkpoint")

    def _everybody(self, state: State) -> tuple[str, ...]:
        """Return the names of all that have a model: the living players and the game's seats."""
        return (*state.players, *self.game.seats)

    def _restore(self) -> tuple[State, int]:
        """Return state and round of the checkpoint that counts; the start if there is none.

        Nothing on disk is changed before all of it is known to be right.
        """
        last = Checkpoint.last(self.home)
        if last is None:
            self._go_on_after(Rows.read(self.home, only_counted=True), [])
            return self.game.start(self._starting_players(), self.settings.seed), 0
        last.check_run(self.home, self.settings.run)
        rows = Rows.read(self.home, last.counted, only_counted=True)
        rows.check_shown()
        state = self.game.state_class.from_known(last.state, last.in_flight(self.home))
        last.check_notes(
            self.home, [name for name in self._everybody(state) if name not in self.seats.at_sites]
        )
        self._restore_players(state, last)
        self.engine.start_ledger(last.links(self.home))
        before = Checkpoint.previous(self.home)
        self._go_on_after(rows, [last.round] if before is None else [last.round, before.round])
        return state, last.round

    def _restore_players(self, state: State, last: Checkpoint) -> None:
        """Let all begin at one checkpoint, whatever the game does about losses.

        Raises:
            PlayerError: Somebody cannot, with the reasons of all.
        """
        restore = Restore(last.mark)
        round = last.round
        replies = self._ask(Restore(), self._everybody(state), round, restore)
        lost = [reply for reply in replies if isinstance(reply, PlayerLost)]
        if lost:
            first = lost[0]
            reasons = [first.reason]
            for loss in lost[1:]:
                reasons.append(f"player '{loss.player}': {loss.reason}")
            raise PlayerError(first.player, first.action, round, "; ".join(reasons))

    def _go_on_after(self, rows: Rows, rounds: Sequence[int]) -> None:
        """Drop what lies after the checkpoint and will be written again.

        Args:
            rows: The rows that stay.
            rounds: The checkpoints that stay.
        """
        self.rows = rows
        if rows.path.exists():
            rows.rewrite()
        checkpoints.drop_others(self.home, rounds)
        self.game = self.stopping.go_on_after(rows.records)
        for record in rows.records:  # a prediction that a loss changed still holds
            if record.predicted is not None:
                self.predicted = record.predicted

    def _starting_players(self) -> list[str]:
        """Return the names of the players, without the game's own seats."""
        return [name for name in self.seats.names if name not in self.game.seats]

    def _export(self) -> None:
        """Move what the players learned to where a reader looks for it."""
        last = Checkpoint.last(self.home)
        assert last is not None, "the last round has a checkpoint"
        last.export(self.home)
        for reply in self._ask(Finish(), last.at_sites, last.round):
            if isinstance(reply, PlayerLost):
                raise PlayerError(reply.player, reply.action, last.round, reply.reason)
        if self.bookkeeping:  # a run that was only resumed at its end keeps its earlier figure
            storage.write_sealed(self.home / "seconds.json", {"bookkeeping": self.bookkeeping})
        last.finish(self.home)
