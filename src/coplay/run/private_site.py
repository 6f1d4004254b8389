"""``[privacy]`` of a site file: what a site promises for its rows, and how it keeps that."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from coplay.core.components import Section, name_of
from coplay.core.digests import of_values
from coplay.core.errors import DataError
from coplay.core.facts import Promise
from coplay.core.inside import file_name
from coplay.core.space import Samples
from coplay.core.telling import Telling
from coplay.models.base import LocalModel
from coplay.models.privately import PrivatelyLearning
from coplay.run.fields import StandInField
from coplay.site.accounting import Accountant
from coplay.site.budget import Budget
from coplay.site.holdings import Holdings
from coplay.site.private_data import StandInFolder, evenly
from coplay.site.private_model import Means, PrivateModel
from coplay.site.private_rows import PrivateRows
from coplay.site.private_steps import Steps, without_clusters

_STAND = 100  # samples that stand where the rows would, if nothing is made of them

FOLDER = "privacy"
"""Folder, beside a site file, of what sites have spent and of their stand-ins."""


class Privacy(Section):
    """What a site promises, for adding or removing one unit of its rows.

    Either a stand-in takes the place of the rows, once and for all, or the site's model learns from
    them by DP-SGD as long as the budget lasts.

    Args:
        stand_in: What is made of the rows before the first round. The site plays with draws of it,
            so that no round, game or sample spends any more.
        epsilon: The most ε that the site ever spends in the federation; by default that of the
            stand-in.
        delta: The δ at which it is counted; by default that of the stand-in.
        rows_per_unit: The most rows of one unit that are learned from, which a site with a ``unit``
            has to say.
        n_is_public: Whether the numbers of rows and units may be known to anybody. The promise then
            leaves them out.
        accountant: How steps on random batches are added up: ``prv`` or, looser, ``rdp``.
        learning: How the site's model learns by DP-SGD, where there is no stand-in.
        folder: Where the site keeps what it has spent, and the stand-in; by default ``privacy``
            beside its site file. It belongs to the data and into their backups.
    """

    stand_in: StandInField | None = None
    epsilon: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    delta: float | None = Field(default=None, gt=0, lt=1)
    rows_per_unit: int | None = Field(default=None, ge=1)
    n_is_public: bool = False
    accountant: Accountant = "prv"
    learning: Steps = Field(default_factory=Steps)
    folder: str = FOLDER

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.stand_in is None and (self.epsilon is None or self.delta is None):
            raise ValueError(
                "expected a stand_in, such as stand_in = {name = 'noisy_moments', epsilon = 1.0, "
                "delta = 1e-6}, or epsilon and delta for a model that learns by DP-SGD"
            )
        return self

    @property
    def kind(self) -> Promise:
        """How the promise is kept."""
        return "learning" if self.stand_in is None else "stand_in"

    @property
    def most(self) -> float:
        """The most ε that is ever spent."""
        if self.epsilon is not None:
            return self.epsilon
        assert self.stand_in is not None, "one of both is given"
        return self.stand_in.epsilon

    @property
    def at_delta(self) -> float:
        """The δ at which it is counted."""
        if self.delta is not None:
            return self.delta
        assert self.stand_in is not None, "one of both is given"
        return self.stand_in.delta

    def at(self, home: Path) -> Self:
        """Return the section with its folder taken from another folder."""
        return self.model_copy(update={"folder": str(home / self.folder)})

    def told(self, tell: Telling) -> Telling:
        """Return what the site tells: nothing that is computed from its rows.

        With a stand-in its numbers are of draws, but for those that are measured on rows held out,
        and these stay in any case. Shares would be asked for before there is a stand-in.
        """
        if self.stand_in is None:
            return Telling(count="exact" if self.n_is_public else "no")
        return tell.model_copy(update={"shares": False})


@dataclass(frozen=True)
class PrivateSite:
    """The promise of one site in one federation.

    Args:
        settings: Its ``[privacy]``.
        folder: The site's own folder for it.
    """

    settings: Privacy
    folder: Path

    @classmethod
    def of(cls, settings: Privacy, federation: str, name: str) -> Self:
        """Return the promise of a site; its folder is inside the section's."""
        return cls(settings, Path(settings.folder) / file_name(federation) / file_name(name))

    @property
    def has_stand_in(self) -> bool:
        """Whether its stand-in is made and paid for."""
        return StandInFolder(self.folder, self.budget).is_made

    @property
    def budget(self) -> Budget:
        """What it spends from, over all runs of the federation."""
        settings = self.settings
        return Budget(self.folder, settings.most, settings.at_delta, settings.accountant)

    def rows(self, held: Holdings) -> PrivateRows:
        """Return the rows that the promise is about."""
        return PrivateRows.of(held, self.settings.rows_per_unit, self.settings.n_is_public)

    def check_rows(self, held: Holdings) -> None:
        """Refuse a δ that means nothing for so few units.

        Raises:
            DataError: It is 1/n or more.
        """
        units = self.rows(held).count
        if self.settings.at_delta * units >= 1:
            raise DataError(
                f"[privacy] delta = {self.settings.at_delta:g}: expected less than 1 / {units:,}, "
                f"one over the number of units ({units:,}); with more, a mechanism that publishes "
                "one of them as it is would keep the promise"
            )

    def model(self, model: LocalModel, held: Holdings) -> LocalModel:
        """Return the model that the site plays with.

        Args:
            model: The site's model, new.
            held: Its rows.
        """
        if self.settings.stand_in is not None:
            return model
        assert isinstance(model, PrivatelyLearning), "the site file was checked"
        means = Means(self.rows(held), self.budget, self.settings.learning)
        return PrivateModel.of(without_clusters(model), means)

    def samples(self, held: Holdings, writes: bool) -> Samples:
        """Return what takes the place of a site's rows in the player.

        These are draws of a stand-in; without one, evenly drawn samples that say nothing of the
        rows, since these are only in the hands of the model.

        Args:
            held: The site's rows.
            writes: Whether the stand-in is made if there is none; else evenly drawn samples are
                returned, which say nothing of the rows.

        Raises:
            PrivacyError: The budget is spent, or another stand-in was made.
        """
        rows = self.rows(held)
        stand_in = self.settings.stand_in
        if stand_in is None:
            n = len(rows.samples) if self.settings.n_is_public else _STAND
            return evenly(rows.space, n)
        folder = StandInFolder(self.folder, self.budget)
        return folder.samples(stand_in, rows, self._digest(), writes)

    def _digest(self) -> str:
        """Digest of what decides the stand-in, but for the rows."""
        stand_in = self.settings.stand_in
        assert stand_in is not None, "asked of a site with one"
        settings = {
            "stand_in": [name_of("stand_in", stand_in), stand_in.model_dump(mode="json")],
            "rows_per_unit": self.settings.rows_per_unit,
            "n_is_public": self.settings.n_is_public,
        }
        return of_values(settings)
