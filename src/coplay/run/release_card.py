"""The card of samples that are handed on: what they were learned from, what is promised, what not.

Nothing is on it that was not told before: counts are those in the record of the run, as players
told them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from coplay.core.components import name_of
from coplay.player import Player
from coplay.run.audit_lines import audit_lines
from coplay.run.egress_records import spent_of
from coplay.run.result import Result
from coplay.run.site_folders import site_folder

NOT_FOR = (
    "to single out, recognise or contact a person",
    "to conclude anything about one person, such as whether its row was among those learned from",
    "to decide about a person without a check on real rows",
    "as a stand-in for real rows where rare values or extremes matter",
    "as the only evidence for a finding: a model repeats its own errors in every sample",
)
"""What samples must not be used for."""

AUDITS_STAY = (
    "The audits stay at the site: they are computed from real rows, and no budget was charged for "
    "telling them."
)
"""Instead of audits, where a budget is kept."""


@dataclass(frozen=True)
class Card:
    """What whoever gets samples has to know.

    Args:
        run: The title of the run.
        player: Whose model drew them.
        model: What the model is.
        game: The game that it was learned in.
        rounds: How many rounds it has.
        samples: Number of samples.
        seed: Seed of the draw.
        learned_from: What it was learned from, in sentences.
        epsilon: The ε that was spent, and None where none is promised.
        delta: The δ at which it is.
        unit: Of what ε is: for adding or taking away one of these.
        audits: What the audits say, in sentences.
        not_for: What samples must not be used for.
        coplay: The version.
    """

    run: str
    player: str
    model: str
    game: str
    rounds: int
    samples: int
    seed: int
    learned_from: Sequence[str]
    epsilon: float | None
    delta: float | None
    unit: str
    audits: Sequence[str]
    not_for: Sequence[str] = NOT_FOR
    coplay: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def promise(self) -> str:
        """What is promised of privacy, in a sentence."""
        if self.epsilon is None:
            return (
                "None promised: a model that learned from rows may repeat what is in them, and so "
                "may its samples."
            )
        at = "" if self.delta is None else f" at δ = {self.delta:g}"
        return (
            f"ε = {self.epsilon:g}{at} for adding or taking away one {self.unit}, over everything "
            "that left the site until then."
        )

    def markdown(self) -> str:
        """The card as a page."""
        audits = [f"- {line}" for line in self.audits]
        lines = [
            f"# {self.samples:,} samples of {self.player}",
            "",
            f"A model drew them: {self.model}, of the run “{self.run}”. They are no rows of "
            "anybody.",
            "",
            "## What the model was learned from",
            "",
            *(f"- {line}" for line in self.learned_from),
            "",
            "## Privacy",
            "",
            self.promise,
            "",
            "## Audits",
            "",
            *(audits or ["None was made."]),
            "",
            "## What the samples must not be used for",
            "",
            *(f"- {line}" for line in self.not_for),
            "",
            "## Variables",
            "",
            *(f"- {name}: {text}" for name, text in self.variables.items()),
            "",
            f"coplay {self.coplay}, seed of the draw {self.seed}; digests.json has the SHA-256 of "
            "every file.",
        ]
        return "\n".join(lines) + "\n"

    def json(self) -> dict[str, Any]:
        """The card as plain values."""
        values: dict[str, Any] = {}
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            values[name] = list(value) if isinstance(value, tuple | list) else value
        return values | {"variables": dict(self.variables), "promise": self.promise}


def card_of(result: Result, player: Player, game: str, samples: int, seed: int) -> Card:
    """Make the card of samples of a player.

    Args:
        result: The run.
        player: The player, with the model that drew them.
        game: The game.
        samples: How many.
        seed: Seed of the draw.
    """
    name = player.name
    epsilon = spent_of(result.folder, name)
    audits = audit_lines(site_folder(result.folder, name))
    if epsilon is not None or _delta(result, name) is not None:
        audits = [AUDITS_STAY]
    variables = {variable: str(player.variables[variable]) for variable in player.variables}
    return Card(
        run=result.record.title,
        player=name,
        model=player.title,
        game=game,
        rounds=len(result.plays[game].rows),
        samples=samples,
        seed=seed,
        learned_from=_learned_from(result, name, game),
        epsilon=epsilon,
        delta=_delta(result, name),
        unit=_unit(result, name),
        audits=audits,
        coplay=result.record.versions.get("coplay", ""),
        variables=variables,
    )


def _learned_from(result: Result, name: str, game: str) -> list[str]:
    """Say what a model was learned from, in words and the counts that were told."""
    rules = result.game(game)
    players = list(rules.players_of(result.config.player_names))
    lines = []
    if name in players:
        lines.append(_rows_of(result, name))
    others = [other for other in players if other != name]
    if not others:
        return lines
    listed = ", ".join(others)
    if name_of("game", rules) == "isolated":
        return lines
    lines.append(
        f"what the models of {listed} sent in the game {game}, over {len(result.plays[game].rows)} "
        "rounds; these learned from rows of their own"
    )
    lines += [_rows_of(result, other) for other in others]
    return lines


def _rows_of(result: Result, name: str) -> str:
    """Say how many rows a player has, as it told it."""
    file = result.config.site_files.get(name)
    if file is not None and file.privacy is not None and file.privacy.stand_in is not None:
        return f"{name}: draws of a differentially private stand-in of its rows"
    count = result.sample_count(name)
    rows = "rows whose number is not told" if count is None else f"{count:,} rows (as told)"
    data = result.record.data.name
    return f"{name}: {rows}, of {data}" if data else f"{name}: {rows}"


def _delta(result: Result, name: str) -> float | None:
    """Return the δ of a site's promise; None where its site file is not here, or has none."""
    file = result.config.site_files.get(name)
    return None if file is None or file.privacy is None else file.privacy.at_delta


def _unit(result: Result, name: str) -> str:
    """Return what a row of a player belongs to, as its site file names it; else a row."""
    file = result.config.site_files.get(name)
    return "row" if file is None or file.data.unit is None else "unit of rows, such as a patient"
