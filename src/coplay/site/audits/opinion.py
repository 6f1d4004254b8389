"""What the three attacks of the European opinion on anonymisation have in common.

Singling out, linkability and inference are the risks by which the Article 29 Working Party judges
anonymisation. Each is tried on rows that were learned from and on control rows: what succeeds on
controls follows from the population, and only what succeeds more often on members tells of them.

References:
    Opinion 05/2014 on Anonymisation Techniques (Article 29 Data Protection Working Party, WP216).
    A Unified Framework for Quantifying Privacy Risk in Synthetic Data (M. Giomi, F. Boenisch,
    C. Wehmeyer, B. Tasnádi, PoPETs 2023), arXiv:2211.10459, for measuring each against control
    rows; the attacks and the code are our own.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from coplay.core.space import Samples
from coplay.site.audits.base import AuditRows, Figure
from coplay.site.audits.distances import Distances
from coplay.site.audits.intervals import LEVEL, risk_interval, risk_of

RISK = "risk"


@dataclass(frozen=True)
class Attacked:
    """One row of each unit, with the samples that an attacker has.

    Args:
        members: Rows that may have been learned from.
        controls: Rows that were not.
        reference: Rows that say what standard units are, and how near rows usually are.
        samples: The samples.
        distances: How rows are compared.
    """

    members: Samples
    controls: Samples
    reference: Samples
    samples: Samples
    distances: Distances

    @classmethod
    def of(cls, rows: AuditRows, samples: Samples) -> Attacked:
        """Return one row of each unit of both kinds."""
        return cls(
            rows.members.one_each("members").rows,
            rows.controls.one_each("controls").rows,
            rows.reference,
            samples,
            Distances(rows.space, rows.reference),
        )


def figure(
    attack: str, members: Tensor, controls: Tensor, meaning: str, of: str = "", tries: int = 1
) -> Figure | None:
    """Return the risk of an attack; None where it succeeds on every control.

    Args:
        attack: Its name.
        members: On which members it succeeded, shape (n,).
        controls: On which controls it did, shape (m,).
        meaning: What its risk can and cannot show.
        of: The column that it is about.
        tries: Of how many risks this is the largest; the interval is as much wider (Bonferroni).
    """
    ours = (int(members.sum()), len(members))
    theirs = (int(controls.sum()), len(controls))
    risk = risk_of(ours, theirs)
    if risk is None:
        return None
    low, high = risk_interval(ours, theirs, 1 - (1 - LEVEL) / tries)
    n, m = len(members), len(controls)
    return Figure(attack, RISK, risk, low, high, 0.0, n, m, meaning, of, ours[0], theirs[0])
