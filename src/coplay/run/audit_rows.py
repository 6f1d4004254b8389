"""The rows by which a player of a finished run is audited, read again from where they lie."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from coplay.core.errors import RunFolderError
from coplay.core.space import LABEL, Samples, pick
from coplay.core.streams import stream
from coplay.data.partitions.iid import Iid
from coplay.data.sources.memory import Memory
from coplay.run.agreed_data import pool_as_agreed
from coplay.run.config import Config
from coplay.run.data_digest import DataDigest
from coplay.run.drawing import own_data_of
from coplay.run.origin import refuse_untrusted
from coplay.run.own_data import OwnData, own_data
from coplay.run.private_site import PrivateSite
from coplay.run.result import Result
from coplay.run.schema import agreed_space
from coplay.run.site_file import Auditing, SiteFile
from coplay.run.site_folders import rows_since, site_folder
from coplay.run.sites import deal
from coplay.site.agreement import Agreement
from coplay.site.audits.base import AuditRows, Side
from coplay.site.audits.rows import coins_of_split, rows_of


def audit_rows(result: Result, player: str, game: str) -> AuditRows:
    """Return a player's rows for its audit, as the run dealt or read them.

    Args:
        result: The run.
        player: The player's name.
        game: The game, which may pool the rows of all players.

    Raises:
        TrustError: The run names files, did not begin here, and is not trusted.
        RunFolderError: The rows are elsewhere, or are no longer those of the run.
        CoplayError: They cannot be read.
    """
    refuse_untrusted(result)
    if result.config.players[player].has_own_data:
        return _of_site(result, player)
    return _of_pool(result, player, game)


def _of_site(result: Result, player: str) -> AuditRows:
    """Return the rows of a player with data of its own."""
    section = result.config.players[player]
    data = own_data_of(result, player)
    if data is None:
        raise RunFolderError(
            f"the rows of {player!r} are at the site {player!r}, and its site file {section.site} "
            f"is not here; ask that site: 'coplay audit RUN --player {player}' there"
        )
    if isinstance(data.source, Memory):
        raise RunFolderError(
            f"the rows of {player!r} were in memory when the run was played, and are not on disk; "
            "give it a file, such as a CSV table, to have it audited afterwards"
        )
    held = _own(result, player).load()
    if rows_since(site_folder(result.folder, player), held, "real") == "changed":
        raise RunFolderError(
            f"the rows of {player!r} are no longer those that the run began with, so nobody knows "
            "which of them were learned from; put the file back as it was"
        )
    return rows_of(held)


def _own(result: Result, player: str) -> OwnData:
    """Return what a player with data of its own is built from, if possible from its file alone."""
    config = result.config
    if not config.variables:
        pool = config.data.source.load() if config.pool_players else None
        return own_data(config, pool, {})[player]
    section = config.players[player]
    data = own_data_of(result, player)
    assert data is not None, "its file is here"
    auditing = Auditing()
    privacy = None
    if section.site is not None:
        file = SiteFile.from_file(Path(section.site).expanduser(), trust=False)
        auditing = file.audit
        if file.privacy is not None:  # by which each unit has its own purpose
            privacy = PrivateSite.of(file.privacy, config.name, player)
    lacks = dict.fromkeys([*data.lacks, *section.unobserved])
    return OwnData(
        player,
        data.model_copy(update={"lacks": tuple(lacks)}),
        Agreement(agreed_space(config.variables), result.record.data.learned[player]),
        config.model,
        has_site_file=section.site is not None,
        privacy=privacy,
        audit=auditing,
    )


def _of_pool(result: Result, player: str, game: str) -> AuditRows:
    """Return the rows that a player was dealt, and others of the pool's test split."""
    config = result.config
    pool = config.data.source.load()
    if config.variables:
        pool = pool_as_agreed(agreed_space(config.variables), pool)
    before, now = DataDigest.read(result.folder), DataDigest.of(pool, {})
    if (before.train, before.test) != (now.train, now.test):
        raise RunFolderError(
            f"the rows of {pool.name} are no longer those that {result.folder} began with, so "
            "nobody knows which of them were learned from"
        )
    sites = deal(config, pool, agreed_space(config.variables) if config.variables else None)
    members = sites.data_in(result.game(game), config.pool_players)[player]
    space = sites.spaces[player]
    order = torch.randperm(len(pool.test), generator=stream(0, "reference of a pool"))
    half = len(order) // 2
    reference, others = (pick(pool.test, part) for part in (order[:half], order[half:]))
    own_classes = None
    if pool.classes and not _is_alike(config):
        positions = sites.dealt.split([len(sites.data[name]) for name in sites.data])
        own = dict(zip(sites.data, positions, strict=True))[player]
        if result.game(game).pools_data:
            own = sites.dealt
        own_classes = pool.train[LABEL][own]
    if own_classes is None:
        coins = coins_of_split(len(members), len(others)) if pool.shares_rows else None
        return AuditRows.of(
            space, Side(members), Side(space.restrict(others)), space.restrict(reference), coins
        )
    ours, theirs = alike(own_classes, others[LABEL])
    return AuditRows.of(
        space,
        Side(pick(members, ours)),
        Side(space.restrict(pick(others, theirs))),
        space.restrict(_of_classes(reference, own_classes)),
    )


def _is_alike(config: Config) -> bool:
    """Whether players are dealt rows whatever their classes are."""
    return isinstance(config.data.partition, Iid)


def _of_classes(rows: Samples, classes: Tensor) -> Samples:
    """Return the rows of classes that a player has."""
    return pick(rows, torch.isin(rows[LABEL], classes.unique()).nonzero().flatten())


def alike(members: Tensor, controls: Tensor) -> tuple[Tensor, Tensor]:
    """Return positions of members and controls with equal shares of classes.

    A partition by classes deals rows of one class at random; so members and controls differ in
    nothing but their membership once their classes have equal shares.

    Args:
        members: Their classes, shape (n,).
        controls: Their classes, shape (m,).

    Returns:
        Positions in both; members of classes without controls are left out.

    Example:
        >>> ours, theirs = alike(torch.tensor([0, 0, 0, 0, 1, 2]), torch.tensor([0, 0, 1, 1]))
        >>> ours.tolist(), theirs.tolist()
        ([0, 1, 2, 3, 4], [0, 1, 2])
    """
    size = int(torch.cat([members, controls, torch.zeros(1).long()]).max()) + 1
    ours, theirs = (torch.bincount(each, minlength=size) for each in (members, controls))
    both = (ours > 0) & (theirs > 0)
    ratio = (theirs[both].double() / ours[both]).min().clamp(max=1.0) if both.any() else 0.0
    first, second = [], []
    for number in both.nonzero().flatten().tolist():
        first.append((members == number).nonzero().flatten())
        wanted = max(1, round(float(ratio) * int(ours[number])))
        second.append((controls == number).nonzero().flatten()[:wanted])
    nothing = torch.zeros(0, dtype=torch.long)
    return torch.cat([nothing, *first]).sort().values, torch.cat([nothing, *second]).sort().values
