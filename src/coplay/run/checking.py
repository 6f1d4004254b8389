"""Everything that can be said of a federation before anything trains."""

from __future__ import annotations

from collections.abc import Mapping

import scipy.sparse as sp

from coplay.core.facts import Facts
from coplay.core.space import Space
from coplay.core.text import in_units
from coplay.data.words import counted, quoted, some
from coplay.run.config import Config
from coplay.run.open_pairs import unseen_pairs
from coplay.run.preparing import Prepared, PreparedGame
from coplay.run.site_file import SiteFile

_LISTED = 12


def lines_of(config: Config, prepared: Prepared) -> list[str]:
    """Return what a federation is, who holds and learns what, and what its rounds cost.

    Args:
        config: The federation, without faults.
        prepared: The same, with data read and players asked.
    """
    facts = prepared.facts
    lines = [f"{config.title}: {counted(len(facts), 'player')}: {some(facts, _LISTED)}"]
    lines += _of_variables(config, prepared)
    for name, each in list(facts.items())[:_LISTED]:
        lines += _of_player(name, each, config.site_files.get(name))
    if len(facts) > _LISTED:
        lines.append(f"and {len(facts) - _LISTED:,} more players")
    for game in prepared.games:
        lines += _of_game(config, game, facts)
    lines += [f"note: {each.promise_words}" for each in facts.values() if each.promise]
    lines += [f"note: {note}" for note in prepared.notes]
    return lines


def _of_variables(config: Config, prepared: Prepared) -> list[str]:
    """Say what was agreed, what was read off data, and what nobody sees together."""
    lines = []
    if prepared.agreed is not None:
        lines.append(f"variables: {some(prepared.agreed, _LISTED)}")
    read_off = [name for name, section in config.variables.items() if section.from_data]
    if read_off:
        lines.append(
            "from_data: the range or the categories of "
            f"{some([quoted(name) for name in read_off], _LISTED)} were read off somebody's data"
        )
    apart = unseen_pairs(prepared.facts.values())
    if apart:
        listed = some([f"{quoted(one)} with {quoted(other)}" for one, other in apart], 6)
        lines.append(f"nobody sees together: {listed}; how they go together is left to the models")
    return lines


def _of_player(name: str, facts: Facts, file: SiteFile | None) -> list[str]:
    """Say what a player is, lacks and tells."""
    rows = "rows not told" if facts.count is None else counted(facts.count, "row")
    if facts.promise == "stand_in":
        draws = "draws" if facts.count is None else counted(facts.count, "draw")
        rows = f"{draws} of a stand-in"
    parts = [f"{name}: {facts.model}, {rows}"]
    if facts.unobserved:
        parts.append(f"lacks {some([quoted(each) for each in facts.unobserved], _LISTED)}")
    if file is not None:
        tells = some(facts.tells, _LISTED) if facts.tells else "nothing"
        if facts.promise:
            tells = "nothing, since it made a promise of privacy"
        parts.append(f"tells of its rows: {tells}")
        if file.hold:
            parts.append("holds its messages back until approved")
    return ["; ".join(parts)]


def _of_game(config: Config, prepared: PreparedGame, facts: Mapping[str, Facts]) -> list[str]:
    """Say who listens to whom, and what a round costs."""
    game = prepared.game
    names = config.player_names
    parties = [each for each in prepared.seats.parties if each.name in facts]
    alpha = game.lessons(parties, config.seed)
    lines = [f"{prepared.name}: {counted(game.rounds, 'round')} of {game.local_steps} steps"]
    samples = getattr(game, "samples_per_round", 0)
    if alpha is None or not samples or alpha.nnz == len(names):
        return lines
    for i, name in enumerate(names[:_LISTED]):
        row = alpha.getrow(i)
        parts = []
        for j, weight in zip(row.indices.tolist(), row.data.tolist(), strict=True):
            if j != i and weight:
                parts.append(f"{names[j]} {weight:.0%} ({samples * weight:,.0f} samples)")
        own = alpha[i, i]
        lines.append(
            f"  {name} learns from its own rows {own:.0%}, {some(parts, _LISTED) or 'nobody'}"
        )
    spaces = [each.space for each in facts.values()]
    most = max(sample_bytes(space) for space in spaces)
    each_link = max((samples * weight for weight in _foreign(alpha)), default=0.0)
    lines.append(
        f"  a link carries up to {in_units(each_link * most)} a round, all links "
        f"{in_units(sum(samples * weight for weight in _foreign(alpha)) * most)}"
    )
    influence = prepared.influence
    if influence is not None and len(names) <= _LISTED:
        for i, name in enumerate(names):
            shares = [f"{names[j]} {influence[i, j]:.0%}" for j in range(len(names))]
            lines.append(f"  at the equilibrium {name}'s model is a mixture of {', '.join(shares)}")
    return lines


def _foreign(alpha: sp.csr_matrix) -> list[float]:
    links = alpha.tocoo()
    foreign: list[float] = links.data[links.row != links.col].tolist()
    return foreign


def sample_bytes(space: Space) -> int:
    """Return the bytes of one sample, without framing.

    Example:
        >>> from coplay.core.variable import Variable
        >>> sample_bytes(Space({"x": Variable(kind="real"), "y": Variable(kind="binary")}))
        5
    """
    total = 0
    for name in space:
        variable = space[name]
        total += variable.size * variable.dtypes[0].itemsize
    return total
