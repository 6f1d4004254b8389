"""The file of one site: where its data are, its model, what it tells and what it accepts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from coplay.core.components import Section
from coplay.core.telling import Telling
from coplay.run.fields import ModelField, SourceField


class SiteData(Section):
    """Where a site's data are, and which of its columns is which agreed variable.

    Args:
        source: Where its rows come from.
        test: A source of rows that are held out; without it the test split of ``source``, or a
            share of its rows.
        held_out: Share of the rows that are held out where there is no test split. Half of them
            are scored on, the other half are kept to choose the best model for the site.
        unit: Column that names what a row belongs to, such as a patient. Rows of one unit stay on
            one side of every split; the column is no variable and never leaves the site.
        columns: Column by agreed variable, where it is not called like the variable.
        lacks: Agreed variables that the site does not have, though a column may be called so.
        outside: What becomes of rows with values outside the agreed range: they are refused, or
            their values moved to its end, or they are dropped; all of it is counted.
    """

    source: SourceField
    test: SourceField | None = None
    held_out: float = Field(default=0.2, gt=0, lt=1)
    unit: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    lacks: tuple[str, ...] = ()
    outside: Literal["refuse", "clip", "drop"] = "refuse"


class Accepting(Section):
    """What a site agrees to; a federation that asks for more is refused at the site.

    Args:
        games: Names of the games that it plays; None for all.
        rounds: Most rounds; None for any number.
        samples: Most samples that it draws for one receiver in a round; None for any number.
    """

    games: tuple[str, ...] | None = None
    rounds: PositiveInt | None = None
    samples: PositiveInt | None = None


class SiteFile(Section):
    """Everything that one site decides for itself.

    Args:
        federation: Name of the federation that it belongs to.
        name: Its name in the federation.
        data: Where its data are.
        model: Its model; without one, the federation's.
        learns: The agreed variables that its model learns; without them, those of the federation.
        tell: What it tells of its real rows.
        accepts: What it agrees to.
        hold: Whether its messages wait until ``coplay site approve``.
    """

    federation: str
    name: str
    data: SiteData
    model: ModelField | None = None
    learns: tuple[str, ...] | None = Field(default=None, min_length=1)
    tell: Telling = Field(default_factory=Telling)
    accepts: Accepting = Field(default_factory=Accepting)
    hold: bool = False
