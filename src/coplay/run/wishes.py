"""What sites want to end with, as a table in a file or as options, and the weights for it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coplay.core.components import name_of, nearest
from coplay.core.errors import ConfigError, EquilibriumError
from coplay.games.base import MOST_IN_M
from coplay.games.sample_exchange import SampleExchange
from coplay.run.config import Config
from coplay.theory.design import common_mixture, design, target_faults
from coplay.theory.equilibrium import influence_matrix
from coplay.theory.keeping import own_weights_for

_KEYS = ("mixtures", "keep", "share", "common", "links", "least_own")


@dataclass(frozen=True)
class Wishes:
    """What sites want to end with; exactly one of the first three.

    Args:
        mixtures: Shares of all sites' data by site; a site that is left out of a row has none.
        keep: Shares of their own data by site; the proportions of the rest stay as they are.
        share: Share of its own that everybody has beside a common mixture.
        common: The common mixture; even by default.
        links: Whom each site may listen to; everybody where a site is left out.
        least_own: Least own weight.
    """

    mixtures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    keep: Mapping[str, float] = field(default_factory=dict)
    share: float | None = None
    common: Mapping[str, float] = field(default_factory=dict)
    links: Mapping[str, Sequence[str]] = field(default_factory=dict)
    least_own: float = 0.01

    @classmethod
    def from_file(cls, path: Path) -> Wishes:
        """Read a table of wishes.

        Raises:
            ConfigError: It cannot be read, or holds something else.
        """
        try:
            values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError([f"{path} does not exist (looked for from {Path.cwd()})"]) from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError([f"cannot read {path}: {error}"]) from None
        faults = [f"{path}: {key}: {_expected(key)}" for key in values if not _fits(key, values)]
        if not faults and not values:
            faults = [f"{path} is empty; {_expected('')}"]
        if faults:
            raise ConfigError(faults)
        return cls(**values)


@dataclass(frozen=True)
class Designed:
    """Weights for wishes, and what they reach.

    Args:
        names: The sites, in order.
        alpha: The weights, shape (N, N).
        wanted: The wanted mixtures, shape (N, N); entries that nobody wished for are those reached.
        reached: What sites end with, shape (N, N).
        optimality: How far from a place where no small change comes nearer; None where the wishes
            were solved for exactly or by own weights alone.
        starts: How many beginnings were tried.
    """

    names: Sequence[str]
    alpha: Tensor
    wanted: Tensor
    reached: Tensor
    optimality: float | None = None
    starts: int = 0

    @property
    def largest_miss(self) -> float:
        """The largest difference between a wanted and a reached share."""
        return (self.reached - self.wanted).abs().max().item()

    def json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "players": list(self.names),
            "alpha": self.alpha.tolist(),
            "wanted": self.wanted.tolist(),
            "reached": self.reached.tolist(),
            "largest_miss": self.largest_miss,
            "optimality": self.optimality,
            "starts": self.starts,
        }


def designed(config: Config, wishes: Wishes) -> Designed:
    """Return weights with which the sites of a config end with what they wish for.

    Args:
        config: The config; its present weights are those of sites that wish for nothing.
        wishes: What is wanted.

    Raises:
        ConfigError: The wishes are none, or the config's game has no weights; with all faults.
    """
    names = config.player_names
    faults = _faults(wishes, names)
    if not isinstance(config.game, SampleExchange):
        faults.append(
            "game: weights are designed for sample_exchange, and not for "
            f"{name_of('game', config.game)!r}"
        )
    if len(names) > MOST_IN_M:
        faults.append(
            f"players: a design takes dense matrices, which are made for up to {MOST_IN_M} "
            f"players, not for {len(names):,}"
        )
    if faults:
        raise ConfigError(faults)
    assert isinstance(config.game, SampleExchange)
    present = config.game.weights(names, config.seed)
    if wishes.keep:
        return _keeping(names, present, wishes)
    wanted = _wanted(names, present, wishes)
    problems = [_named(fault, names) for fault in target_faults(wanted, wishes.least_own)]
    if problems:
        raise ConfigError(problems)
    links = torch.ones(len(names), len(names), dtype=torch.bool)
    for site, others in wishes.links.items():
        links[names.index(site)] = torch.tensor([name in others for name in names])
    try:
        result = design(wanted, least_own=wishes.least_own, links=links, seed=config.seed)
    except EquilibriumError as error:
        raise ConfigError([str(error)]) from None
    optimality = None if result.exact else result.optimality
    return Designed(names, result.alpha, wanted, result.reached, optimality, result.starts)


def _keeping(names: Sequence[str], present: Tensor, wishes: Wishes) -> Designed:
    """Return the weights by which some sites keep shares of their own."""
    keeps = {names.index(site): share for site, share in wishes.keep.items()}
    alpha = own_weights_for(present, keeps, wishes.least_own)
    reached = influence_matrix(alpha)
    wanted = reached.clone()
    for place, share in keeps.items():
        wanted[place, place] = share
    return Designed(names, alpha, wanted, reached)


def _wanted(names: Sequence[str], present: Tensor, wishes: Wishes) -> Tensor:
    """Return the wanted mixtures; sites that wish for nothing end with what they would now."""
    if wishes.share is not None:
        mixture = torch.full((len(names),), 1 / len(names), dtype=torch.float64)
        if wishes.common:
            mixture = _row(names, wishes.common)
        return common_mixture(wishes.share, mixture)
    wanted = influence_matrix(present)
    for site, row in wishes.mixtures.items():
        wanted[names.index(site)] = _row(names, row)
    return wanted


def _row(names: Sequence[str], shares: Mapping[str, float]) -> Tensor:
    return torch.tensor([float(shares.get(name, 0)) for name in names], dtype=torch.float64)


def _faults(wishes: Wishes, names: Sequence[str]) -> list[str]:
    """List what is wrong with wishes, before anything is computed."""
    faults = []
    kinds = [bool(wishes.mixtures), bool(wishes.keep), wishes.share is not None]
    if sum(kinds) != 1:
        faults.append(
            "expected one kind of wish: mixtures of sites, or what sites keep of their own, or one "
            f"share of their own beside a common mixture; got {sum(kinds)} of the three"
        )
    places = [(f"mixtures.{site}", site) for site in wishes.mixtures]
    for site, row in wishes.mixtures.items():
        places += [(f"mixtures.{site}.{other}", other) for other in row]
    places += [(f"keep.{site}", site) for site in wishes.keep]
    places += [(f"common.{site}", site) for site in wishes.common]
    for site, others in wishes.links.items():
        places.append((f"links.{site}", site))
        places += [(f"links.{site}", other) for other in others]
    for place, site in places:
        if site not in names:
            known = nearest(site, names)
            faults.append(f"{place}: there is no site {site!r}; known, nearest first: {known}")
    if not 0 < wishes.least_own <= 1:
        faults.append(
            f"least_own: expected more than 0 and at most 1, got {wishes.least_own:g}; with own "
            "weight 0 a site's data reach nobody, itself included"
        )
    shares = [(f"keep.{site}", share) for site, share in wishes.keep.items()]
    if wishes.share is not None:
        shares.append(("share", wishes.share))
    for place, share in shares:
        if not 0 < share <= 1:
            faults.append(f"{place}: expected a share above 0 and at most 1, got {share:g}")
    total = sum(wishes.common.values())
    if wishes.common and not (abs(total - 1) <= 1e-6 and min(wishes.common.values()) >= 0):
        least = min(wishes.common.values())
        faults.append(
            f"common: expected shares that sum to 1, none below 0; got a sum of {total:.6g}, the "
            f"least {least:.6g}"
        )
    return [*faults, *_beside_the_point(wishes)]


def _beside_the_point(wishes: Wishes) -> list[str]:
    """List wishes that would change nothing, for they go with another kind of wish."""
    faults = []
    if wishes.common and wishes.share is None:
        faults.append("common: goes with share, the share that everybody keeps of its own")
    if wishes.links and wishes.keep:
        faults.append(
            "links: go with mixtures or share; to keep a share, a site changes its own weight "
            "alone, and listens to those that it has weights of in the config"
        )
    return faults


def _named(fault: str, names: Sequence[str]) -> str:
    """Put a site's name in the place of its position."""
    first, _, rest = fault.partition(" ")
    place, _, text = rest.partition(" ")
    return f"mixtures.{names[int(place)]} {text}" if first == "row" else fault


def _fits(key: str, values: Mapping[str, Any]) -> bool:
    """Whether a key of a table of wishes is one, with a value of the right kind."""
    value = values[key]
    if key in ("share", "least_own"):
        return _is_number(value)
    if key not in _KEYS or not isinstance(value, dict):
        return False
    if key in ("keep", "common"):
        return all(map(_is_number, value.values()))
    if key == "links":
        return all(_is_list_of_names(each) for each in value.values())
    return all(
        isinstance(row, dict) and all(map(_is_number, row.values())) for row in value.values()
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_list_of_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _expected(key: str) -> str:
    """Say what stands under a key."""
    expected = {
        "mixtures": "expected a table of shares for each site, such as north = { north = 0.5, "
        "south = 0.5 }",
        "keep": "expected a share for each site, such as north = 0.33",
        "common": "expected a share for each site, such as north = 0.5",
        "links": 'expected a list of sites for each site, such as north = ["south"]',
        "share": "expected a number",
        "least_own": "expected a number",
    }
    return expected.get(key, f"expected one of {', '.join(_KEYS)}")
