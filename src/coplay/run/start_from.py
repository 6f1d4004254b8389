"""A new run whose players begin with the models of another run, as after their data changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from coplay.core import remedies
from coplay.core.errors import CheckpointError, RunFolderError
from coplay.core.facts import Facts
from coplay.core.message import COORDINATOR, Message
from coplay.core.requests import Save
from coplay.engines.recipes import Recipe
from coplay.player import Player
from coplay.run.checkpoint import Checkpoint, run_id, save_in_flight
from coplay.run.config import Config
from coplay.run.data_digest import DataDigest
from coplay.run.record import DataRecord, Origin, RunRecord, read_record, space_to_json
from coplay.run.rows import Chain
from coplay.run.site_folders import mark_at_start

if TYPE_CHECKING:
    from coplay.run.preparing import PreparedGame


@dataclass(frozen=True)
class Beginning:
    """What the players of a new run begin with.

    Args:
        folder: The folder of the other run.
        record: Its record.
        last: Its last checkpoint, by game.
    """

    folder: Path
    record: RunRecord
    last: Mapping[str, Checkpoint]

    @classmethod
    def of(cls, folder: Path, games: Sequence[str]) -> Beginning:
        """Open a run to begin with its models.

        Args:
            folder: Its folder.
            games: Names of the new run's games.

        Raises:
            RunFolderError: It has no such game, or no checkpoint of it.
            CheckpointError: Its record is damaged.
        """
        if not (folder / "run.json").exists():
            raise RunFolderError(f"--start-from {folder}: there is no run of coplay")
        record = read_record(folder)
        missing = [name for name in games if name not in record.games]
        if missing:
            raise RunFolderError(
                f"--start-from {folder}: it has no game {', '.join(map(repr, missing))}; it has "
                f"{', '.join(record.games)}. Leave out the others, as with --set 'compare=[]'"
            )
        last = {}
        for name in games:
            checkpoint = Checkpoint.last(folder / name)
            if checkpoint is None:
                raise RunFolderError(
                    f"--start-from {folder}: its game '{name}' has no checkpoint to begin with; "
                    "play it first, or leave it out"
                )
            last[name] = checkpoint
        return cls(folder, record, last)

    def check(self, data: DataRecord, games: Sequence[PreparedGame]) -> None:
        """Refuse players that have no model in the other run, or learn other variables.

        Args:
            data: The new run's data.
            games: The games of the new run.

        Raises:
            RunFolderError: With all faults.
        """
        faults: dict[str, None] = {}
        before = list(self.record.config["players"])
        for each in games:
            names = [player.name for player in each.seats.players]
            for name in names:
                if name not in self.last[each.name].names:
                    faults[f"'{each.name}' has no model of player '{name}'"] = None
            if each.game.numbers_players and names != before:
                faults[
                    f"models of '{each.name}' know players by their places, which were "
                    f"{', '.join(before)} there and are {', '.join(names)} here"
                ] = None
        learned_from = self.record.data
        spaces = [space_to_json(learned_from.space), space_to_json(data.space)]
        for name, variables in data.learned.items():
            learned = learned_from.learned.get(name, variables)
            if list(learned) != list(variables):
                faults[f"player '{name}' learned {', '.join(learned)} there"] = None
            for variable in variables:
                old, new = (space.get(variable) for space in spaces)
                if old is not None and old != new:
                    faults[f"'{variable}' is {new} here, was {old} there"] = None
        if faults:
            raise RunFolderError(
                f"--start-from {self.folder}: {'; '.join(faults)}. Expected the same players, "
                "learning the same variables"
            )

    @property
    def rounds(self) -> dict[str, int]:
        """The rounds that its players have played, by game."""
        return {name: checkpoint.round for name, checkpoint in self.last.items()}

    def origin(self, config: Config, now: DataDigest, facts: Mapping[str, Facts]) -> Origin:
        """Return what the new run's record says of the other one.

        Args:
            config: The new run's config.
            now: Digests of the data now.
            facts: What the players say of themselves.
        """
        before = DataDigest.read(self.folder)
        same = before == now and _dealt(self.record.config) == _dealt(config.to_dict())
        own = [name for name in facts if name not in config.pool_players]
        same = same and all(facts[name].rows_since == "same" for name in own)
        data: Literal["same", "changed"] = "same" if same else "changed"
        digests = {name: checkpoint.rows for name, checkpoint in self.last.items()}
        return Origin(str(self.folder), self.record.title, self.rounds, digests, data)

    def check_same(self, origin: Origin) -> None:
        """Refuse a run that is no longer what a new run was about to begin with.

        Raises:
            CheckpointError: It was played on, or is another one.
        """
        if {name: checkpoint.rows for name, checkpoint in self.last.items()} != origin.checkpoints:
            raise CheckpointError(
                f"{self.folder} is not what it was when this run was to begin with its models; "
                "start again with 'coplay run CONFIG --start-from'"
            )

    def put_into(
        self, folder: Path, config: Config, players: Mapping[str, Sequence[Player | Recipe]]
    ) -> None:
        """Write the models as the checkpoint of round 0 of each game that has none.

        Args:
            folder: The new run's folder.
            config: The new run's config.
            players: The players of the new run, by game.

        Raises:
            CheckpointError: A model is missing or damaged.
            ModelError: A model does not fit.
        """
        games = (config.game, *config.carried)
        run = run_id(config.to_dict())
        for (name, seats), game in zip(players.items(), games, strict=True):
            if Checkpoint.last(folder / name) is not None:
                continue
            models = {}
            at_sites = []
            for player in seats:
                if not isinstance(player, Player):  # it takes over its model where it is played
                    at_sites.append(player.name)
                    continue
                game.ready(player, [each.name for each in seats])
                self._give(name, player)
                models[player.name] = str(player.checkpoint(0).note()["model"])
            names = [player.name for player in seats if player.name not in game.seats]
            Checkpoint(
                round=0,
                game=name,
                rows=Chain.begin(name).digest,
                models=models,
                state=game.start(names, config.seed).known(),
                payload=save_in_flight(folder / name, 0, {}),
                run=run,
                at_sites=at_sites,
                mark=mark_at_start(run, name) if at_sites else "",
            ).commit(folder / name)

    def _give(self, game: str, player: Player) -> None:
        """Let a player take over its model, and save it in its own folder."""
        last = self.last[game]
        file = last.file(self.folder / game, player.name)
        remedy = remedies.play_again(self.folder)
        player.load(file.path, file.read(last.models[player.name], remedy))
        player.serve(Message(Save(), COORDINATOR, player.name, 0))


def _dealt(config: Mapping[str, object]) -> object:
    """Return what decides who holds which of the data."""
    data = config.get("data", {"partition": None})
    assert isinstance(data, Mapping)
    players = config["players"]
    assert isinstance(players, Mapping)
    return config["seed"], data["partition"], list(players)
