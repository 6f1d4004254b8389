"""``coplay design``: the weights with which sites end with what they want."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coplay.cli.folders import path_given
from coplay.cli.options import add_settings
from coplay.cli.terminal import say
from coplay.core.errors import ConfigError

if TYPE_CHECKING:
    from coplay.run.config import Config
    from coplay.run.wishes import Designed, Wishes

_LISTED = 12
_EXACT = 1e-6
_OPTIMAL = 1e-6  # size of the projected step at a minimum


def add_design(commands: Any) -> None:
    """Add the command."""
    design = commands.add_parser(
        "design", help="find the weights with which sites end with the mixtures they want"
    )
    add_settings(design)
    design.add_argument(
        "--keep",
        action="append",
        default=[],
        metavar="NAME=SHARE",
        help="what a site's model shall consist of its own data: --keep clinic=0.333; without a "
        "name everybody's",
    )
    design.add_argument(
        "--share",
        type=_share,
        metavar="SHARE",
        help="everybody keeps this share of its own, the rest is one common mixture",
    )
    design.add_argument(
        "--common",
        action="append",
        default=[],
        metavar="NAME=SHARE",
        help="with --share: a site's share in the common mixture; even by default",
    )
    design.add_argument(
        "--target",
        type=path_given,
        metavar="FILE",
        help="a TOML table [mixtures] with a row for each site, and [links] if not all may listen",
    )
    design.add_argument(
        "--least-own",
        type=_share,
        metavar="SHARE",
        help="least weight of a site's own data; by default 0.01",
    )
    design.add_argument("--json", action="store_true", help="print all numbers as JSON")
    where = design.add_mutually_exclusive_group()
    where.add_argument(
        "--write",
        action="store_true",
        help="write the weights into the config, which keeps all else",
    )
    where.add_argument(
        "--out", type=path_given, metavar="FILE", help="write the config with the weights here"
    )
    design.set_defaults(command=_design)


def _design(given: argparse.Namespace) -> None:
    from coplay.cli.site_option import config_with_sites
    from coplay.run.wishes import designed

    config = config_with_sites(given.config, given.set, given.site, trust=False)
    result = designed(config, _wishes(given, config))
    target = given.config if given.write else given.out
    if target is not None:
        _write(given.config, target, result)
    if given.json:
        say(json.dumps(result.json(), ensure_ascii=False, indent=1))
        return
    for line in _lines(result):
        say(line)
    if target is None:
        _say_what_to_paste(result)
        return
    say(f"written: {target}")
    say(f"next: coplay plan {target}, then coplay run {target}")


def _wishes(given: argparse.Namespace, config: Config) -> Wishes:
    """Return what the options and the file ask for.

    Raises:
        ConfigError: They are none; with all faults.
    """
    from coplay.run.wishes import Wishes

    if given.target is not None:
        if given.keep or given.share is not None or given.common or given.least_own is not None:
            raise ConfigError(["--target has all wishes: leave out the other options for wishes"])
        return Wishes.from_file(given.target)
    faults: list[str] = []
    keep: dict[str, float] = {}
    for text in given.keep:
        if "=" not in text:
            keep |= _shares("--keep", [f"{name}={text}" for name in config.player_names], faults)
    keep |= _shares("--keep", [text for text in given.keep if "=" in text], faults)
    common = _shares("--common", given.common, faults)
    if common and given.share is None:
        faults.append("--common: goes with --share, the share that everybody keeps of its own")
    if not faults and not keep and given.share is None:
        faults.append(
            "nothing is wished for: expected --keep NAME=SHARE, or --share SHARE, or --target FILE"
        )
    if faults:
        raise ConfigError(faults)
    least = 0.01 if given.least_own is None else given.least_own
    return Wishes(keep=keep, share=given.share, common=common, least_own=least)


def _shares(option: str, texts: list[str], faults: list[str]) -> dict[str, float]:
    """Read ``NAME=SHARE``; a share may be a fraction such as 1/3, or a percentage."""
    shares = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        if name in shares:
            faults.append(f"{option} {text}: there is another share for {name!r}; give one")
        try:
            shares[name] = _number(value)
        except (ValueError, ZeroDivisionError):
            faults.append(f"{option} {text}: expected NAME=SHARE, such as north=0.33 or north=1/3")
    return shares


def _number(text: str) -> float:
    """Read a number, a fraction such as 1/3, or a percentage.

    Raises:
        ValueError: It is none of these.
        ZeroDivisionError: It is a fraction of 0.
    """
    if text.endswith("%"):
        return float(text[:-1]) / 100
    top, slash, bottom = text.partition("/")
    return float(top) / float(bottom) if slash else float(text)


def _share(text: str) -> float:
    try:
        return _number(text)
    except (ValueError, ZeroDivisionError):
        message = f"expected a share such as 0.33, 1/3 or 33%, got {text!r}"
        raise argparse.ArgumentTypeError(message) from None


def _lines(result: Designed) -> list[str]:
    """Say what is reached, and how far that is from what was wanted."""
    lines = []
    names = result.names
    for i, name in enumerate(names[:_LISTED]):
        mixture = [f"{other} {result.reached[i, j]:.1%}" for j, other in enumerate(names[:_LISTED])]
        lines.append(
            f"{name} ends with: {', '.join(mixture)} (own weight {result.alpha[i, i]:.4g})"
        )
    if len(names) > _LISTED:
        lines.append(f"and {len(names) - _LISTED:,} more sites; --json has all numbers")
    if result.largest_miss <= _EXACT:
        lines.append("this is what was wanted")
        return lines
    wanted = (result.reached - result.wanted).abs()
    row, column = divmod(int(wanted.argmax()), len(names))
    lines.append(
        f"no weights reach what was wanted: the largest difference is {result.largest_miss:.3f}, "
        f"{names[column]}'s share at {names[row]}, {result.reached[row, column]:.3f} in place of "
        f"{result.wanted[row, column]:.3f}"
    )
    if result.optimality is not None:
        lines.append(
            f"these are the nearest weights of {result.starts} descents, which ended with a "
            f"projected step of {result.optimality:.1e}"
        )
    if result.optimality is not None and result.optimality > _OPTIMAL:
        lines.append("that is no minimum yet: other weights may come nearer")
    lines.append("nearer: a smaller --least-own, more links, or larger shares of sites' own data")
    return lines


def _say_what_to_paste(result: Designed) -> None:
    from coplay.run.rewriting import alpha_lines

    say("under [game], in the place of own_weight and topology (--write does it):")
    for line in alpha_lines(result.alpha, result.names):
        say(line)


def _write(source: Path, target: Path, result: Designed) -> None:
    """Write a config with other weights.

    Raises:
        ConfigError: Its game is not written as a section of its own.
    """
    from coplay.core import storage
    from coplay.run.rewriting import with_alpha

    before = source.read_bytes().decode()  # read as text, ends of lines would change
    text = with_alpha(before, result.alpha, result.names)
    if text is None:
        raise ConfigError(
            [
                f"{source}: the weights go under [game], and there is no such section, or its "
                "weights are written in another way; leave out --write and paste the lines"
            ]
        )
    storage.write_atomically(target, text.encode())
