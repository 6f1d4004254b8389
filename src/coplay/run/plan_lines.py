"""A plan in lines, each with what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from coplay.core.text import in_units
from coplay.data.words import counted, quoted, some
from coplay.games.sample_exchange import SampleExchange
from coplay.run.config import Config
from coplay.run.open_pairs import OpenPair
from coplay.run.plan import Plan, PlayerPlan, VariablePlan
from coplay.run.planning import plan_of
from coplay.run.preparing import Prepared

_LISTED = 12
_NARROW = 0.1  # width of bounds that leave little open


@dataclass(frozen=True)
class Line:
    """One thing that theory says.

    Args:
        says: The thing.
        do: What to do about it.
    """

    says: str
    do: str

    def __str__(self) -> str:
        """Write both on one line."""
        return f"{self.says} -> {self.do}"


def lines_of_plan(plan: Plan, *, short: bool = False) -> list[Line]:
    """Return what a plan says, and what to do about each line.

    Args:
        plan: The plan.
        short: Without what ``coplay check`` says of links and variables anyway, and without a line
            for each player.
    """
    lines = [_existence(plan), _rounds(plan), *_band(plan), _echo(plan)]
    if not short:
        lines += [*_noise(plan), *_privacy(plan), *_traffic(plan)]
    lines += _unheard(plan)
    if not short:
        lines += [_variables(each) for each in plan.by_variable[:_LISTED]]
        lines += [
            *_apart(plan),
            *_open(plan),
            *[_player(each, plan) for each in plan.players[:_LISTED]],
        ]
        if len(plan.players) > _LISTED:
            hidden = counted(len(plan.players) - _LISTED, "more player")
            lines.append(Line(f"{hidden} are not listed", "--json has the numbers of all"))
    lines += [Line(f"left out: {left.reason}", left.do) for left in plan.left_out]
    return lines


def planned(config: Config, prepared: Prepared) -> list[str]:
    """Return the short lines of a config's plan; none for a game without weights."""
    if not isinstance(config.game, SampleExchange):
        return []
    lines = lines_of_plan(plan_of(config, prepared), short=True)
    return [*map(str, lines), "'coplay plan' says more of this"]


def plan_json(plan: Plan) -> dict[str, Any]:
    """Return a plan as plain JSON values, with its lines."""
    lines = [{"says": line.says, "do": line.do} for line in lines_of_plan(plan)]
    return {**asdict(plan), "lines": lines}


def _existence(plan: Plan) -> Line:
    return Line(
        "equilibrium: there is one and only one, since a path of weights leads from each of "
        f"{counted(plan.count, 'player')} to own data",
        "nothing: what models end with depends on the weights and the data, not on how they start",
    )


def _rounds(plan: Plan) -> Line:
    if plan.rounds_needed is None:
        return Line(
            "rounds to 1 %: more than 100,000, since hardly anybody weighs own data",
            "raise own weights",
        )
    at_most = "" if plan.exact else "at most "
    wanted = plan.rounds_needed + plan.before
    says = (
        f"rounds to 1 %: {at_most}{plan.rounds_needed:,} with everybody's samples, after "
        f"{plan.before} alone or of warm-up; the game plays {plan.rounds:,}"
    )
    if plan.rounds >= wanted:
        return Line(says, "enough; where models learn slowly, they need more than theory says")
    return Line(says, f"set game.rounds = {wanted}, or raise own weights, which need fewer")


def _band(plan: Plan) -> list[Line]:
    widths = [each.band for each in plan.players if each.band is not None]
    if not widths:
        return []
    of_what = "a class" if plan.shares_known else "any class (at most)"
    says = (
        f"band: with {plan.samples:,} samples a round, chance moves a player's share of {of_what} "
        f"by up to ±{max(widths):.3f} (95 %) around its prediction"
    )
    do = "take smaller differences for chance; four times game.samples_per_round halve the band"
    return [Line(says, do)]


def _echo(plan: Plan) -> Line:
    worst = max(plan.players, key=lambda each: each.echo_of_all)
    alone = [each.echo for each in plan.players if each.echo is not None]
    says = (
        f"echo: a fault that all models add in every round is {worst.echo_of_all:.3g} times as "
        f"large at rest ('{worst.name}')"
    )
    if alone:
        says += f", one that a single model adds up to {max(alone):.3g} times in that model"
    if plan.originals:
        return Line(says, "originals = true keeps a model's own faults from coming back to it")
    if worst.echo_of_all > 3:
        return Line(says, "raise own weights, or set game.originals = true, unless models are good")
    return Line(says, "nothing: weak models do little harm; lower own weights would echo more")


def _noise(plan: Plan) -> list[Line]:
    once = [each.noise_once for each in plan.players if each.noise_once is not None]
    anew = [each.noise_anew for each in plan.players if each.noise_anew is not None]
    if not once or not anew:
        return []
    says = (
        "noise: of noise that every site puts on its data, up to "
        f"{max(once):.0%} of the standard deviation stays in a model if it is drawn once, "
        f"{max(anew):.0%} if it is drawn anew in every round"
    )
    do = "multiply by the noise of your privacy budget; noise drawn anew spends it in every round"
    return [Line(says, do)]


def _privacy(plan: Plan) -> list[Line]:
    """Say what error a privacy budget costs."""
    if not plan.privacy:
        return []
    once = [f"±{_error(max(cost.once))} at ε = {cost.epsilon:g}" for cost in plan.privacy]
    anew = [f"±{_error(max(cost.anew))}" for cost in plan.privacy]
    first = plan.privacy[0]
    worst = max(zip(first.once, plan.players, strict=True), key=lambda each: each[0])[1]
    says = (
        f"privacy: if every site hid single rows by noise on its shares (δ = {first.delta:g}), "
        f"drawn once, that would move a share in a model by up to {', '.join(once)} (95 %, "
        f"'{worst.name}'); drawn anew in {counted(first.rounds, 'round')} that share ε: "
        f"{', '.join(anew)}"
    )
    do = (
        "coplay adds none: a site that must promise ε gives a noisy stand-in for its rows, at the "
        "least ε whose error you can bear; twice the rows halve it"
    )
    return [Line(says, do)]


def _error(half: float) -> str:
    """Write half of a band of shares; beyond 1 nothing is left of them."""
    return "1 (all)" if half >= 1 else f"{half:.2g}"


def _traffic(plan: Plan) -> list[Line]:
    if plan.traffic is None:
        return []
    a_round = in_units(plan.traffic.all_links)
    in_all = in_units(plan.traffic.all_links * plan.rounds)
    says = (
        f"traffic: up to {in_units(plan.traffic.largest_link)} a round on a link, {a_round} on "
        f"all, about {in_all} in {plan.rounds:,} rounds"
    )
    do = "if that is too much: fewer game.samples_per_round, or game.fresh_every_rounds = 2"
    return [Line(says, do)]


def _unheard(plan: Plan) -> list[Line]:
    if not plan.unheard or plan.count == 1:
        return []
    names = some(map(quoted, plan.unheard), _LISTED)
    says = f"heard by nobody: {names}; what these know reaches no other model"
    return [Line(says, "give them weight in somebody's row of game.alpha, if others shall gain")]


def _variables(each: VariablePlan) -> Line:
    """Say whose data a kind of variable is learned from; the range is over the players."""
    shares = []
    for place, name in enumerate(each.players[:_LISTED]):
        column = [row[place] for row in each.influence]
        if name in each.observed_by:
            shares.append(f"{name} {min(column):.0%} to {max(column):.0%}")
    says = f"{some(map(quoted, each.variables), 6)}: models are mixed of {some(shares, 6)}"
    if len(each.observed_by) == 1:
        return Line(says, f"only {each.observed_by[0]} has this: if it leaves, nobody learns it")
    return Line(says, "'coplay design' sets weights for all variables at once")


def _apart(plan: Plan) -> list[Line]:
    bounded = {pair.variables for pair in plan.open if pair.of}
    rest = [pair for pair in plan.apart if pair not in bounded]
    if not rest:
        return []
    listed = some([f"{quoted(one)} with {quoted(other)}" for one, other in rest], 6)
    reasons = some(dict.fromkeys(pair.why for pair in plan.open if pair.why), 6)
    says = (
        f"nobody observes together: {listed}; how these go together is an assumption of the models"
    )
    if reasons:
        says += f", and nothing bounds it here ({reasons})"
    return [Line(says, "do not read their joint off samples, or find one site that observes both")]


def _open(plan: Plan) -> list[Line]:
    """Say between what it lies how pairs go together that nobody observes together."""
    bounded = [pair for pair in plan.open if pair.of]
    lines = [_bounded(pair) for pair in bounded[:_LISTED]]
    if len(bounded) > _LISTED:
        hidden = counted(len(bounded) - _LISTED, "more pair")
        lines.append(
            Line(f"nobody observes together: {hidden} with bounds", "--json has all of them")
        )
    return lines


def _bounded(pair: OpenPair) -> Line:
    """Say what rows leave open of one pair."""
    one, other = pair.variables
    assert pair.low is not None
    assert pair.high is not None
    what = "their correlation"
    if pair.categories:
        first, second = pair.categories
        what = f"the probability of {quoted(one)} = {first} with {quoted(other)} = {second}"
    says = (
        f"nobody observes together: {quoted(one)} with {quoted(other)}; {what} may lie anywhere "
        f"from {pair.low:.2f} to {pair.high:.2f}"
    )
    if pair.given:
        says += f", by what both have in common with {some(map(quoted, pair.given), 3)}"
    if pair.high - pair.low < _NARROW:
        return Line(says, "little is open: take what samples say of it within these bounds")
    return Line(says, "do not read their joint off samples; find one site that observes both")


def _player(each: PlayerPlan, plan: Plan) -> Line:
    parts = [f"own weight {each.own_weight:.3g}"]
    optional: Sequence[tuple[str, float | None, Callable[[float], str]]] = (
        ("keeps {} of its own data", each.keeps, lambda value: f"{value:.1%}"),
        ("contributes {} to all models", each.contribution, lambda value: f"{value:.1%}"),
        ("echo {}", each.echo, lambda value: f"{value:.3g}"),
        ("band ±{}", each.band, lambda value: f"{value:.3f}"),
    )
    for text, value, written in optional:
        if value is not None:
            parts.append(text.format(written(value)))
    parts.append(f"hears {each.hears:,}, heard by {each.heard_by:,}")
    return Line(f"{each.name}: {', '.join(parts)}", _for_player(each, plan))


def _for_player(each: PlayerPlan, plan: Plan) -> str:
    """Say what to do about a player."""
    if not each.own_weight:
        return "its data reach nobody; give it own weight unless it has none"
    if not each.hears:
        return "it learns from its own data alone; give it weights of others if it shall gain"
    if each.contribution is not None and each.contribution * plan.count < 0.5:
        return "its data count little; others must weigh it more if they matter"
    return "to keep another share of its own, 'coplay design'"
