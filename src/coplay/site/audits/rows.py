"""The rows of a site as an audit needs them: members, controls, reference rows and coins."""

from __future__ import annotations

import torch
from torch import Tensor

from coplay.core.streams import stream
from coplay.site.audits.base import AuditRows, Coins, Side
from coplay.site.holdings import Holdings

_SURE = 5.0  # deviations of a number of heads for which there are units enough


def rows_of(holdings: Holdings) -> AuditRows:
    """Return the rows of a site for its audits.

    Controls are the rows that samples are scored on, which nothing was learned from and nothing was
    chosen by, and those that coins left out. The rows that a model is chosen by would not do, since
    the one that is chosen may be nearer to them; they are reference rows.

    Args:
        holdings: The site's rows.
    """
    members = Side(holdings.train, holdings.units)
    controls = Side(holdings.scored, holdings.scored_units)
    before = controls.count
    if holdings.left_out is not None:
        controls = controls.and_also(Side(holdings.left_out, holdings.left_units))
    coins = None
    if holdings.by_coin is not None:
        heads = holdings.by_coin.nonzero().flatten()
        if members.units is not None:
            heads = members.units[heads].unique()
        coins = Coins(heads, torch.arange(before, controls.count), replaced=False)
    elif holdings.is_random:
        coins = coins_of_split(members.count, controls.count)
    return AuditRows.of(holdings.space, members, controls, holdings.chosen_on, coins)


def coins_of_split(members: int, controls: int) -> Coins | None:
    """Return units that were left in or out as if by fair coins, from a split at random.

    Of M units that are drawn at random before the split, with a number K of heads as M fair coins
    give it, K are members: given M, that is what M coins do. The others who were learned from make
    up for those who were not, so that a coin decides about one unit or another in its place.

    Args:
        members: Number of units that were learned from.
        controls: Number of those that were held out at random.

    Returns:
        None where there are too few units, which hardly ever is chance.

    Example:
        >>> coins = coins_of_split(800, 100)
        >>> coins.count, abs(len(coins.members) - coins.count / 2) < 35
        (129, True)
    """
    fewer = min(members, controls)
    # M / 2 and some deviations, each of half a root of M, must not be more than there are
    count = int(2 * fewer - _SURE * (2 * fewer) ** 0.5)
    if count < 1:
        return None
    generator = stream(0, "heads of a split", members, controls)
    heads = int(torch.rand(count, generator=generator).lt(0.5).sum())
    if heads > members or count - heads > controls:
        return None
    return Coins(
        _some(members, heads, "members"), _some(controls, count - heads, "controls"), replaced=True
    )


def _some(total: int, count: int, purpose: str) -> Tensor:
    return torch.randperm(total, generator=stream(0, "coins of a split", purpose))[:count]
