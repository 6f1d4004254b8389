"""A player: private data, a model and random streams under one name. It never shows its data."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from tensordict import TensorDict
from torch import Tensor

from coplay.core import digests
from coplay.core.errors import FAILURES, ModelError, StateError
from coplay.core.facts import Facts
from coplay.core.history import History, Roster
from coplay.core.keeping import Keeping
from coplay.core.measures import Measurer
from coplay.core.message import Message, Request
from coplay.core.number_log import NumberLog
from coplay.core.player_files import PlayerState
from coplay.core.requests import (
    CLASSIFIED,
    SCORED,
    SERVED,
    Evaluate,
    Finish,
    Gain,
    Judge,
    Measure,
    Restore,
    Save,
)
from coplay.core.space import LABEL, Samples, Space, pick
from coplay.core.streams import derive, stream
from coplay.core.surroundings import SPEAKER, own_settings, settings_restored
from coplay.core.telling import EVERYTHING, Telling
from coplay.models.abilities import Classifies
from coplay.models.base import OWN, LocalModel, Mixture, Portion, reported
from coplay.models.describing import facts_of, tells_classes
from coplay.models.likelihood import gain, has_log_prob, log_prob
from coplay.models.mixing import check_missing, known_of, own_of, portions, required
from coplay.models.trial_checks import checked_state

REQUESTS: tuple[type[Request], ...] = (Evaluate, Measure, Judge, Gain, Save, Restore, Finish)
"""What every player answers, whatever the game."""


class Player(Keeping):
    """Private data and a model of the player's own choice under one name.

    Everything random a player does comes from a stream named by (seed, action, round, player,
    receiver), so a player can be rebuilt anywhere from its data, its seed and its model's state.

    Args:
        name: Unique in the game.
        space: The variables this player knows.
        data: Its private samples; checked against the space. They may lack variables, which are
            then learned from others, if the model learns from incomplete samples.
        model: The black box; it is set up here.
        seed: The run's seed.
        home: The folder of this player's own checkpoints, None for none.
        unobserved: Variables that it does not observe, whatever the data have; those that the data
            lack are added.
        tell: What it tells others of its real rows.
        schema: Digest of the variables that it takes as agreed; empty where none were.
        measurer: What measures samples on rows that the player holds out; None without such rows.
        log: Where it writes down for itself what its model reports; None for nowhere.

    Raises:
        SpaceError: The data do not lie in the space.
        ModelError: The model cannot live on the space.

    Example:
        >>> import torch
        >>> from coplay import Variable
        >>> from coplay.models.exponential_family import ExponentialFamily
        >>> space = Space({"x": Variable(kind="binary")})
        >>> data = space.samples(x=torch.tensor([0, 1, 1, 1], dtype=torch.uint8))
        >>> north = Player("north", space, data, ExponentialFamily(), seed=1)
        >>> _ = north.learn({}, {OWN: 1.0}, steps=1, round=1)
        >>> north.draw(3, round=1, receiver="south")["x"].shape
        torch.Size([3])
    """

    def __init__(
        self,
        name: str,
        space: Space,
        data: Samples,
        model: LocalModel,
        seed: int,
        home: Path | None = None,
        unobserved: Collection[str] = (),
        tell: Telling = EVERYTHING,
        schema: str = "",
        measurer: Measurer | None = None,
        log: NumberLog | None = None,
    ) -> None:
        self.measurer = measurer
        self.log = log or NumberLog(None, tell)
        self.name = name
        self.tell = tell
        self.schema = schema
        self.model = model
        self.seed = seed
        self.home = home
        self.own_space = space
        """The variables as its own rows have them: of some, values may be missing."""
        self._observed = required(space)
        self.space = self._observed.extended(model.latent_variables())
        """What this player's samples consist of: its variables, and latents sent with them."""
        origin = f"data of player '{name}'"
        self._data = space.check(data, origin, complete=not model.learns_incomplete)
        check_missing(model, space, data, name)
        self._parts = own_of(model, space, data)
        self.unobserved = tuple(v for v in space if v in unobserved or v not in data.keys())
        """Variables that others' samples have to supply; they are hidden when it classifies."""
        self.lesson = "learn"  # names the stream, where a player learns twice in a round
        self.learned_variables: set[str] = set()  # of these only unobserved ones matter
        self.learned = False
        """Whether the model has learned from anything; before, it does not draw."""
        self.pending: object = None
        """What the player's side of a game needs later in the round; not in a checkpoint."""
        self.kept: dict[str, Tensor] = {}
        """What the player's side of a game needs from round to round; part of a checkpoint."""
        self._had_state = False
        self.history = History()
        """What it was asked before."""
        self.roster: Roster | None = None
        """With whom it plays; None before an engine has it."""
        self.rows_since: Literal["", "same", "changed"] = ""
        """Whether its rows are those that a run began with; empty where nobody knows."""
        super().__init__()
        try:
            with own_settings():
                model.setup(self._observed, derive(seed, "setup", name))
        except FAILURES as error:  # a model is foreign code
            kind = "" if isinstance(error, ModelError) else f"{type(error).__name__}: "
            raise ModelError(f"player '{name}': {kind}{error}") from error

    def __repr__(self) -> str:
        return f"Player({self.name!r}, {self.count} private samples, {type(self.model).__name__})"

    @property
    def variables(self) -> Space:
        """The variables this player learns, without latents."""
        return self._observed

    @property
    def unlearned(self) -> list[str]:
        """Variables that were in nothing it has learned from; they are left out of its draws."""
        return [name for name in self.unobserved if name not in self.learned_variables]

    @property
    def private_data(self) -> Samples:
        """The private samples, for an engine that moves this player, and its side of a game."""
        return self._data

    @property
    def count(self) -> int:
        """The number of private samples."""
        return len(self._data)

    @property
    def told_count(self) -> int | None:
        """The number of private samples, as it tells it; None where it does not."""
        return self.tell.count_of(self.count)

    @property
    def title(self) -> str:
        """What its model is called in texts."""
        return self.model.title

    @property
    def learns_incomplete(self) -> bool:
        """Whether its model learns from samples that lack variables."""
        return self.model.learns_incomplete

    @property
    def measures(self) -> bool:
        """Whether it has rows that it holds out."""
        return self.measurer is not None

    @property
    def classifies(self) -> bool:
        """Whether it can tell classes of its own kind from inputs that it observes."""
        return tells_classes(self.model, self._observed, self.unobserved)

    def facts(self) -> Facts:
        """Return what it says of itself before the first round; no more than ``tell`` allows."""
        return facts_of(self, self._data, self.tell, self.schema)

    def own_batch(self, n: int, purpose: str, index: int) -> Samples:
        """Draw n private samples with replacement, for a game; they never leave the player.

        Args:
            n: Number of samples.
            purpose: Names the random stream, together with ``index``.
            index: A number such as that of the step.
        """
        generator = stream(self.seed, purpose, index, self.name)
        return pick(self._data, torch.randint(len(self._data), (n,), generator=generator))

    def learn(
        self, received: Mapping[str, Samples], weights: Mapping[str, float], steps: int, round: int
    ) -> dict[str, float]:
        """Take one turn of learning on the mixture of own and received samples (A1).

        Args:
            received: Sample sets by sender; each is checked, and variables unknown here are dropped
                (A5).
            weights: Mass by source, ``OWN`` for the private data; sources without samples or mass
                are left out and the rest re-normalised.
            steps: Local steps.
            round: Current round.

        Returns:
            The model's numbers; empty if there is nothing to learn from.

        Raises:
            SpaceError: A received sample does not lie in the space.
        """
        parts = self._mixture(received, weights)
        if not parts:
            return {}
        generator = stream(self.seed, self.lesson, round, self.name)
        speaker = SPEAKER.set(self.name)
        try:
            with self.timed("learning"):
                numbers = self.model.learn(Mixture(parts), steps, generator)
        finally:
            SPEAKER.reset(speaker)
        self.learned = True
        for part in parts if self.unobserved else ():
            self.learned_variables.update(str(name) for name in part.samples.keys())
        return reported(numbers)

    def gain(
        self,
        received: Mapping[str, Samples],
        weights: Mapping[str, float],
        steps: int,
        draws: int,
        round: int,
    ) -> dict[str, float]:
        """Estimate what this player would gain by playing on alone (A3).

        Args:
            received: Samples of the others by name.
            weights: As in :meth:`learn`.
            steps: Learning steps.
            draws: Encoder's draws per sample.
            round: Current round.

        Returns:
            Value, error and n; empty where log p of the samples cannot be computed.
        """
        parts = self._mixture(received, weights)
        if not parts or not self.learned or not has_log_prob(self.model):
            return {}
        if any(name not in part.samples.keys() for part in parts for name in self._observed):
            return {}  # log p of incomplete samples is a marginal's, which no model here can give
        twin, generator = self.model.fresh(), stream(self.seed, "gain", round, self.name)
        twin.setup(self._observed, derive(self.seed, "setup", self.name))
        estimate = gain(self.model, twin, Mixture(parts), steps, draws, generator)
        return {} if estimate is None else estimate.numbers()

    def _mixture(
        self, received: Mapping[str, Samples], weights: Mapping[str, float]
    ) -> tuple[Portion, ...]:
        """Return the sources that have samples and mass."""
        known = {s: known_of(each, self.space, self._observed) for s, each in received.items()}
        return portions(self.model, self.space, self._parts, known, weights, self._observed)

    def draw(self, n: int, round: int, receiver: str) -> Samples:
        """Draw n samples for a receiver that keep the rules between columns.

        Raises:
            SpaceError: The model returned something else than n samples of the space.
        """
        origin = f"samples of {self.model.title}"
        generator = stream(self.seed, "draw", round, self.name, receiver)

        def drawn(count: int) -> Samples:
            samples = self.model.sample(count, generator)
            checked = self.space.check(samples, origin, complete=True, rows=count, quote=False)
            # a copy without a graph: the model may draw into memory that it keeps
            return checked.detach().exclude(*self.unlearned).clone()

        return self.draw_by_rules(drawn, n)

    def unchecked_draw(self, n: int, round: int, receiver: str) -> Samples:
        """Return what the model draws for a receiver, which may be anything if it is foreign."""
        generator = stream(self.seed, "draw", round, self.name, receiver)
        return self.model.sample(n, generator)

    def classify(self, given: Samples) -> Samples:
        """Return the model's class for each sample, for a model that can classify.

        Variables that the player does not observe are hidden from it.
        """
        assert isinstance(self.model, Classifies)
        visible = self.variables.restrict(given).exclude(*self.unobserved)
        known = self.variables.check(visible, "samples to classify")
        classes = self.model.classify(known.clone()).argmax(1)  # others are measured on them, too
        return TensorDict({LABEL: classes}, batch_size=[len(classes)])

    def log_prob(self, given: Samples, draws: int, round: int) -> dict[str, float]:
        """Mean log p of samples in nats with its 95 % interval; empty for a model without log p."""
        space = self._observed
        known = space.check(space.restrict(given), "samples to judge", complete=True)
        generator = stream(self.seed, "log p", round, self.name)
        estimate = log_prob(self.model, known.clone(), draws, generator)
        return {} if estimate is None else estimate.numbers()

    @settings_restored()
    def serve(self, message: Message) -> Message | None:
        """Answer what every game needs (:data:`REQUESTS`); None for any other request."""
        match message.request:
            case Evaluate() as request:
                return self._evaluate(request, message)
            case Measure() as request:
                return message.reply(self._measure(request, message.round))
            case Judge() as request:
                if self.measurer is not None:
                    self.measurer.judge(self, request, message.samples().get(SERVED))
                return message.reply()
            case Gain() as request:
                weights = {OWN: request.own, **request.weights}
                received = message.samples()
                numbers = self.gain(received, weights, request.steps, request.draws, message.round)
                return message.reply(numbers)
            case Save() | Restore() | Finish() as request:
                self.keep(request, message.round)
                if isinstance(request, Restore):
                    self.history = History(done=message.round)
                return message.reply()
        return None

    def _evaluate(self, request: Evaluate, message: Message) -> Message:
        """Draw samples, and classify or score the real ones that are attached."""
        if not self.learned:
            return message.reply()
        drawn = self.draw(request.n, message.round, f"evaluation {message.round}")
        payload = {message.sender: drawn}
        given = message.samples()
        if CLASSIFIED in given and self.classifies:
            payload[CLASSIFIED] = self.classify(given[CLASSIFIED])
        numbers = self.kept_by_rules.numbers if self.rules else {}
        if SCORED in given:
            numbers |= self.log_prob(given[SCORED], request.draws, message.round)
        return message.reply(numbers, payload)

    def _measure(self, request: Measure, round: int) -> dict[str, float]:
        """Measure own samples on the rows that are held out; empty where there are none."""
        if self.measurer is None or not self.learned:
            return {}
        rows = self.measurer.holdings.scored
        log_p = {}
        if request.draws and has_log_prob(self.model) and not self.unobserved and len(rows):
            log_p = self.log_prob(rows, request.draws, round)
        samples = self.draw(request.n, round, f"measuring {round}")
        return self.measurer.measure(samples, request, log_p, round)

    @cached_property
    def data_digest(self) -> str:
        """Digest of the private data, for this player's own folder only."""
        return digests.of_samples(self.own_space, self._data)

    @property
    def state(self) -> PlayerState:
        """What it needs to go on."""
        learned = self.learned_variables.intersection(self.unobserved)
        return PlayerState(self._model_state(), self.learned, learned, self.kept)

    def _model_state(self) -> Mapping[str, Tensor]:
        try:
            state = checked_state(self.model.state_dict(), had_some=self._had_state)
        except FAILURES as error:  # a model is foreign code
            raise StateError(f"the model of player '{self.name}' has no state to save") from error
        self._had_state = bool(state)
        return state

    def load(self, path: Path, state: PlayerState) -> None:
        """Take over what was read from a file.

        Raises:
            ModelError: It does not fit the model.
        """
        try:
            self.model.load_state_dict(state.model)
        except (KeyError, ValueError, RuntimeError) as error:
            whose = f"the model of player '{self.name}'"
            raise ModelError(f"{path} does not fit {whose}: {error}") from error
        self._had_state = bool(state.model)
        self.learned = state.learned
        self.kept = state.kept
        self.learned_variables = set(state.variables)
