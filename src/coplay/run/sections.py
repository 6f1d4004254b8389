"""The sections of a config: data, players, what is measured, how often it is written down."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from coplay.core.components import Section, find
from coplay.data.sources.base import path_from
from coplay.run.fields import MetricField, ModelField, PartitionField, SourceField
from coplay.run.site_file import SiteData


class DataSection(Section):
    """What there is to learn from.

    Args:
        source: Where data come from.
        partition: How they are dealt out to the players.
        variables: The variables that players learn; by default all of the source but the class.
        among: Names among which the source is dealt out, where some of them do not play: a site
            that left has its share still. By default the players'.
    """

    source: SourceField = Field(
        default_factory=lambda: find("source", "digits")(), validate_default=True
    )
    partition: PartitionField = Field(
        default_factory=lambda: find("partition", "iid")(), validate_default=True
    )
    variables: tuple[str, ...] | None = Field(default=None, min_length=1)
    among: tuple[str, ...] | None = Field(default=None, min_length=1)


class PlayerSection(Section):
    """One player.

    Args:
        model: The player's model; without one, the config's ``model``.
        variables: The variables this player learns (A5); without them, those of ``data.variables``.
        unobserved: Those of its variables that its own data lack: it learns them from what others
            send, which takes a model that learns from incomplete samples.
        data: Data of its own; without them it is dealt some of ``data.source``.
        site: Path of its site file, which says the same and more, from the config's folder on; for
            simulations only.
    """

    data: SiteData | None = None
    site: str | None = None
    model: ModelField | None = None
    variables: tuple[str, ...] | None = Field(default=None, min_length=1)
    unobserved: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _of_a_site_file(cls, values: Any) -> Any:
        """Refuse what each site says in its own file, with the place where it belongs."""
        if isinstance(values, Mapping):
            for name in ("privacy", "tell", "accepts", "audit", "hold"):
                if name in values:
                    raise ValueError(
                        f"{name} is for the site's own file to say, which is named by "
                        f'site = "PATH"; put [{name}] there, since a promise or a border is its own'
                    )
        return values

    @property
    def has_own_data(self) -> bool:
        """Whether it is dealt nothing of the pool."""
        return self.data is not None or self.site is not None

    def faults(self) -> list[str]:
        """Say which settings contradict each other, each beginning with its name."""
        if self.site is None:
            return []
        mine = {
            "data": self.data,
            "model": self.model,
            "variables": self.variables,
            "unobserved": self.unobserved,
        }
        return [
            f"{setting}: the site file {self.site} says that; leave it out here, or leave out site"
            for setting, value in mine.items()
            if value
        ]

    def at(self, home: Path) -> PlayerSection:
        """Return the player with its relative paths taken from a folder."""
        changed: dict[str, object] = {}
        if self.data is not None:
            changed["data"] = self.data.at(home)
        if self.site is not None:
            changed["site"] = path_from(home, self.site)
        return self.model_copy(update=changed) if changed else self

    def to_values(self) -> dict[str, Any]:
        """The section as plain values."""
        return self.model_dump(mode="json", exclude_none=True)


class MeasureSection(Section):
    """What is measured, on how many samples, how often.

    Args:
        preset: Metrics for images or for tables, or none; without it the variables decide.
        metrics: Metrics by name, in the place of the preset's; without them, those for images where
            a variable is an image or the coordinator has classes, else those for tables.
        target: The variable that a model trained on samples is to predict; without it the class,
            if there is one.
        every_rounds: Measure after so many rounds, and always after the last.
        samples: Samples per player and measurement.
        shown: Samples per player that are stored for the report's pictures; without it 40, and of a
            table up to 500, so that its columns can be drawn.
        nash_gap_steps: After the last round, learning steps by which each player's part of the Nash
            gap (A3) is estimated, in a game that has one; 0 leaves it out. It costs as many steps
            as it says.
        log_prob: Whether players that have log p are asked for that of the real test split, exactly
            or by importance weighting.
        log_prob_draws: Encoder's draws per sample where log p takes importance weighting.
    """

    preset: Literal["images", "table", "none"] | None = None
    metrics: tuple[MetricField, ...] | None = None
    target: str | None = None
    every_rounds: int = Field(default=5, ge=1)
    samples: int = Field(default=2000, ge=100)
    shown: int | None = Field(default=None, ge=1)
    nash_gap_steps: int = Field(default=0, ge=0)
    log_prob: bool = False
    log_prob_draws: int = Field(default=32, ge=2)


class ReferenceSection(Section):
    """Real rows that the coordinator may have, to measure samples of all players against.

    Args:
        source: Where they come from; its test split is measured against, and the domain classifier
            is trained on the other one.
    """

    source: SourceField


class CheckpointSection(Section):
    """How often a run is written down.

    Args:
        every_rounds: Rounds between two checkpoints; the last round always has one.
    """

    every_rounds: int = Field(default=5, ge=1)
