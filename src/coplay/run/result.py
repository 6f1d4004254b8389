"""Everything a run left on disk.

RUN/config.toml                 the whole config, defaults included
RUN/run.json                    status, config, versions, data summary, notes
RUN/classifier.safetensors      the domain classifier that measured
RUN/real.safetensors            some real test samples, to look at beside generated ones
RUN/GAME/rows.jsonl             one record per round: numbers, measurements, seconds
RUN/GAME/samples/*.safetensors  samples shown, per measured round
RUN/GAME/models/*.safetensors   what the players learned, once the game is finished
RUN/GAME/checkpoint.json        names the checkpoint that counts, in RUN/GAME/checkpoints, with
                                digests of its files and rows; traffic per purpose and link
RUN/GAME/previous.json          names the one before
RUN/GAME/heads.json             the last line that each site with a file named of what left it
RUN/private/data.json           digests of the data; not to be passed on
RUN/GAME/errors.txt             tracebacks of players that failed; they may show private values
RUN/sites/NAME                  all of the files of a player with data of its own, its models too
RUN/summary.json, report.html, figures/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from coplay.core import remedies, storage
from coplay.core.components import name_of
from coplay.core.errors import ConfigError, RunFolderError
from coplay.core.inside import refuse_pipes, stays_inside
from coplay.core.nesting import nest
from coplay.core.space import LABEL, Samples, tensors
from coplay.core.streams import derive
from coplay.core.surroundings import own_settings
from coplay.games.base import Game
from coplay.metrics.features import DomainClassifier
from coplay.models.estimator import Estimator
from coplay.run.config import Config
from coplay.run.differences import differences
from coplay.run.foreign import unread_class
from coplay.run.in_session import InSession
from coplay.run.play import Mean, Play
from coplay.run.record import RUN, RunRecord, read_record
from coplay.run.round_record import measured_to_json

if TYPE_CHECKING:
    from coplay.run.given_draws import DrawRecord

CLASSIFIER = "classifier.safetensors"
"""File of a run's domain classifier."""

REAL = "real.safetensors"
"""File of some real test samples."""


@dataclass(frozen=True)
class Result(InSession):
    """A run on disk, finished or not.

    Args:
        folder: The run's folder.
        trust: Whether classes outside coplay that the config names are imported. Reading takes
            none of them; models of such classes do.
        draws: How samples under conditions came about that :meth:`sample` has drawn, in order.

    Example:
        >>> import coplay
        >>> from coplay.core.temporary import temporary_folder
        >>> config = coplay.Config.from_dict({
        ...     "players": 2, "model": "exponential_family",
        ...     "game": {"name": "sample_exchange", "rounds": 2},
        ...     "measure": {"metrics": ["class_shares"], "samples": 100}})
        >>> folder = temporary_folder("example") / "run"
        >>> _ = coplay.Federation(config).run(folder)
        >>> result = Result.load(folder)
        >>> result.plays["sample_exchange"].last["player0"]["distance_to_prediction"].n
        100
    """

    folder: Path
    trust: bool = False
    draws: list[DrawRecord] = field(default_factory=list, init=False, repr=False, compare=False)

    @classmethod
    def load(cls, folder: str | Path, trust: bool = False) -> Result:
        """Open a run.

        Args:
            folder: The run's folder.
            trust: Whether classes outside coplay are imported, for a run whose origin you know.

        Raises:
            RunFolderError: There is no run, or the folder holds pipes.
        """
        folder = Path(folder)
        if not (folder / RUN).exists():
            fault = "has no run.json" if folder.exists() else "does not exist"
            remedy = "'coplay run CONFIG' makes one"
            raise RunFolderError(f"{folder} is no run of coplay: it {fault}; {remedy}")
        refuse_pipes(folder)
        return cls(folder, trust)

    @cached_property
    def record(self) -> RunRecord:
        """Contents of ``run.json``.

        Raises:
            CheckpointError: It is damaged, or of another format.
        """
        return read_record(self.folder)

    @cached_property
    def config(self) -> Config:
        """The config the run was started with.

        Raises:
            ConfigError: It is an old one that is no longer valid.
        """
        return Config.from_dict(self.record.config, self.trust)

    def check_config(self) -> None:
        """Refuse a config file that was changed after the start.

        Raises:
            RunFolderError: It shows each difference.
        """
        path = self.folder / "config.toml"
        if not path.exists():
            return  # killed before it was written; run.json has it
        try:
            now = Config.from_file(path, trust=self.trust).to_dict()
        except ConfigError as error:
            remedy = f"undo the change, or remove it: {self.folder / RUN} has the config"
            raise storage.damaged(path, error, remedy) from error
        changed = list(differences(self.config.to_dict(), now))
        if changed:
            lines = "\n".join(f"  - {line}" for line in changed)
            raise RunFolderError(
                f"{path} was changed since the run began:\n{lines}\n"
                "a run goes on only as it began: undo the change, "
                "or start a new run with 'coplay run'"
            )

    # ---------------------------------------------------------------------------------- games

    @cached_property
    def plays(self) -> dict[str, Play]:
        """The games of the run by name, the main one first.

        Raises:
            RunFolderError: The record calls a game so that it would lie in another folder.
        """
        for name in self.record.games:
            if not stays_inside(name):
                raise RunFolderError(f"{self.folder}: {name!r} is no name of a game")
        return {name: Play(name, self.folder / name) for name in self.record.games}

    @property
    def main(self) -> Play:
        """The main game."""
        return next(iter(self.plays.values()))

    def section(self, play: str) -> dict[str, Any]:
        """Return a game's section of the config as recorded.

        Settings that a game carried along leaves out are those of the main game.
        """
        main = dict(self.record.config.get("game", {}))
        if play == self.main.name:
            return main
        section: dict[str, Any] = {}
        for key in ("rounds", "minutes", "until_steady", "local_steps", "on_lost"):
            if key in main:
                section[key] = main[key]
        for entry in self.record.config.get("compare", ()):
            own = {"name": entry} if isinstance(entry, str) else dict(entry)
            if str(own.get("name")).rpartition(":")[2] == play:
                section |= own
        return section

    def planned_rounds(self, play: str) -> int:
        """Number of rounds that the config plans for a game of the run."""
        return int(self.section(play).get("rounds", 0))

    def game(self, play: str) -> Game:
        """The rules of a game of the run.

        Raises:
            ConfigError: The config is an old one that is no longer valid, or the game's class is
                outside coplay and was not imported.
        """
        games = {}
        for game in (self.config.game, *self.config.carried):
            name = unread_class(game) or name_of("game", game)
            games[name.rpartition(":")[2]] = game
        if play not in games:
            raise ConfigError([f"{self.folder} has a game {play!r} that its config does not name"])
        if unread_class(games[play]):
            fault = f"{play!r} is a class outside coplay and was not imported"
            raise ConfigError([f"{fault}; it is with --trust (in Python: trust=True)"])
        return games[play]

    # -------------------------------------------------------------------------------- parties

    @property
    def players(self) -> list[str]:
        """Names of the players, in order.

        They are read from the record, so also where settings of components have changed since.
        """
        sections = self.record.config.get("players")
        if isinstance(sections, Mapping):
            return list(sections)
        return list(self.record.data.counts) or self.config.player_names

    @cached_property
    def seats(self) -> list[str]:
        """Names of the parties that are not players, such as a server."""
        names: dict[str, None] = {}
        for name, play in self.plays.items():
            try:
                names |= dict.fromkeys(self.game(name).seats)
            except ConfigError:  # of an old run, the rows name them
                names |= dict.fromkeys(self._seats_in_rows(play))
        return list(names)

    def _seats_in_rows(self, play: Play) -> list[str]:
        """Return the parties of a game's rows that are no players."""
        parties: dict[str, None] = {}
        for row in play.rows:
            parties |= dict.fromkeys([*(row.measured or {}), *row.players])
        return [name for name in parties if name not in self.players]

    @property
    def parties(self) -> list[str]:
        """Names of all that may have been measured: the seats, then the players."""
        return [*self.seats, *self.players]

    @cached_property
    def sampled_from(self) -> dict[str, list[str]]:
        """Names of the parties whose samples a game measures, by game: its players or its seats."""
        return {name: self._sampled_from(name) for name in self.plays}

    def _sampled_from(self, play: str) -> list[str]:
        try:
            game = self.game(play)
        except ConfigError:
            measured: dict[str, None] = {}
            for values in self.plays[play].measurements.values():
                measured |= dict.fromkeys(values)
            only_seats = bool(measured) and set(measured).isdisjoint(self.players)
            return list(measured) if only_seats else self.players
        state = game.state_class(tuple(game.players_of(self.players)))
        return list(game.sampled_from(state))

    def model_name(self, player: str) -> str:
        """The name of a player's model, or of a seat's, as the config or the site file gives it."""
        if player in self.record.models:
            return self.record.models[player]
        config = self.record.config
        players = config.get("players")
        own = players.get(player, {}).get("model") if isinstance(players, Mapping) else None
        section = own or config.get("model")
        if section:
            return str(section.get("name")).rpartition(":")[2]
        model = self.config.player_model(player)
        if isinstance(model, Estimator):
            return model.estimator.rpartition(":")[2]
        return (unread_class(model) or name_of("model", model)).rpartition(":")[2]

    def sample_count(self, player: str) -> int | None:
        """Number of a player's private samples; None where the run did not record it."""
        return self.record.data.sizes.get(player)

    def classes_of(self, player: str) -> list[int] | None:
        """Numbers of the classes of which a player holds samples; None without classes."""
        counts = self.record.data.counts.get(player)
        if counts is None:
            return None
        return [label for label, count in enumerate(counts) if count]

    # --------------------------------------------------------------------------- measurements

    def mean(self, play: str, quantity: str, round: int | None = None) -> Mean | None:
        """Return the mean of a quantity over the parties that a game measures.

        Tables, curves and comparisons all follow this one rule.

        The mean is over all parties for which the quantity was measured: a player whose model has
        no log p, say, is left out of the mean of log p. Once a player that the game measures is
        lost there is no mean: one over the survivors would compare unlike things.

        Args:
            play: The game's name.
            quantity: Name of a quantity that is one number.
            round: A measured round; the last one by default.

        Returns:
            None where the quantity was not measured, or where a player that the game measures was
            lost in that round or before.

        Raises:
            KeyError: The run has no such game, or measured nothing after that round.

        Example:
            ``Result.load("runs/digits").mean("sample_exchange", "fid").value``
        """
        return self.plays[play].mean(quantity, self.sampled_from[play], round)

    @own_settings(threads=1)
    def classifier(self) -> DomainClassifier | None:
        """The domain classifier that measured; None in a run without one."""
        digest = self.record.files.get(CLASSIFIER)
        space = self.record.data.space
        if digest is None or LABEL not in space:
            return None
        inputs = space.only([name for name in space if name != LABEL])
        seed = derive(self.record.seed, "classifier")
        classifier = DomainClassifier(inputs, space[LABEL].classes or 0, seed)
        path = self.folder / CLASSIFIER
        remedy = remedies.classifier(self.folder)
        classifier.load_state_dict(storage.load_tensors(path, digest, remedy))
        return classifier

    def real_samples(self) -> dict[str, Tensor]:
        """Some real test samples by variable; empty if the run has none."""
        digest = self.record.files.get(REAL)
        if digest is None:
            return {}
        path = self.folder / REAL
        return storage.load_tensors(path, digest, remedies.play_again(self.folder))

    def predicted(self, play: str) -> Mapping[str, list[float]]:
        """Return the class shares that the last measurement was compared with, by player.

        Where none were recorded they are those that theory predicts; empty without theory.
        """
        for row in reversed(self.plays[play].rows):
            if row.predicted is not None:
                return row.predicted
        return self.record.games[play].predicted

    def summary(self) -> dict[str, Any]:
        """The last measurement of every game, with what was predicted, as plain values."""
        classifier = self.record.classifier
        games = {}
        for name, play in self.plays.items():
            games[name] = {
                "rounds": len(play.rows),
                "measured": measured_to_json(play.last),
                "predicted": dict(self.predicted(name)),
            }
        return {
            "status": self.record.status,
            "seed": self.record.seed,
            "classifier": asdict(classifier) if classifier else None,
            "games": games,
        }


def by_player(samples: Mapping[str, Samples]) -> dict[str, Tensor]:
    """Flatten sample sets by player to named tensors, for a file."""
    return nest({player: tensors(s) for player, s in samples.items()})
