"""Checks of a ``conditionals`` model's settings against the variables of its player."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Iterable, Mapping

from coplay.core.errors import ModelError
from coplay.core.space import Space, Variable
from coplay.models.base import Mixture
from coplay.nets.conditional import Conditional, Independent


def with_latents(
    space: Space, latents: Mapping[str, int], kinds: Collection[str]
) -> dict[str, Variable]:
    """Return all variables of a joint model: those of the space, then its latents.

    Args:
        space: The player's variables.
        latents: Sizes in bits by name.
        kinds: Kinds of variable that the model can live on.

    Raises:
        ModelError: A variable is of another kind, or a latent has a variable's name.
    """
    foreign = [f"'{name}' ({space[name]})" for name in space if space[name].kind not in kinds]
    if foreign:
        raise ModelError(
            f"conditionals needs {', '.join(kinds)} variables, got {', '.join(foreign)}"
        )
    for name in latents:
        if name in space:
            raise ModelError(
                f"latents: '{name}' is a variable of this player; give the latent another name"
            )
    variables = {name: space[name] for name in space}
    for name, bits in latents.items():
        variables[name] = Variable(kind="binary", shape=(bits,))
    return variables


def check_uniform(uniform: Iterable[str], space: Space) -> None:
    """Check that variables drawn uniformly exist and have a finite range.

    Raises:
        ModelError: One does not.
    """
    for name in uniform:
        if name not in space or not math.isfinite(sum(space[name].range)):
            expected = "expected variables of this player of finite range"
            raise ModelError(f"uniform: {expected}, got '{name}'; it has {space}")


def what_each_sees(
    variables: Collection[str],
    latents: Collection[str],
    given: Mapping[str, list[str]],
    networks: Collection[str],
) -> dict[str, list[str]]:
    """Return the names of the variables that each conditional is given, by target.

    Args:
        variables: Names of all variables, latents included.
        latents: Names of the latents.
        given: The setting: what a conditional is given; by default all other variables.
        networks: Names for which the settings name a network.

    Raises:
        ModelError: A name is unknown, a conditional is given itself or nothing, or a latent is
            given to none.
    """
    known = ", ".join(variables)
    for setting, targets in (("given", given), ("networks", networks)):
        for name in targets:
            if name not in variables:
                raise ModelError(
                    f"{setting}: '{name}' is neither a variable of this player nor a latent; "
                    f"the variables and latents are {known}"
                )
    sees = {}
    for name in variables:
        others = [g for g in variables if g != name]
        sees[name] = given.get(name, others)
    for name, inputs in sees.items():
        for g in inputs:
            if g not in variables or g == name:
                raise ModelError(
                    f"given: '{name}' cannot see '{g}'; the variables and latents are {known}"
                )
        if not inputs:
            raise ModelError(
                f"the conditional of '{name}' sees nothing, expected one variable or more; name "
                "some in given, or declare a latent, such as latents = { z = 8 }"
            )
    used = {g for inputs in sees.values() for g in inputs}
    for name in latents:
        if name not in used:
            raise ModelError(
                f"latents: nobody sees '{name}', so it explains nothing; "
                "add it to what others are given in the setting given"
            )
    return sees


def check_matched(
    matched: Mapping[str, list[str]], space: Space, networks: Mapping[str, Conditional]
) -> None:
    """Check that variables with a critic can have one, and that its context can be given to it.

    Raises:
        ModelError: One cannot.
    """
    for name, context in matched.items():
        binary = name in space and space[name].kind == "binary"
        if not binary or not isinstance(networks[name], Independent):
            raise ModelError(
                "matched: expected binary variables of this player that a perceptron or a unet "
                f"draws, got '{name}'; it has {space}"
            )
        for t in context:
            if t not in space or t == name:
                raise ModelError(
                    f"matched: the judge of '{name}' cannot be told '{t}'; this player has {space}"
                )


def check_starts(starts: Mapping[str, list[str]], variables: Collection[str]) -> None:
    """Check that chains can start as the settings say.

    Raises:
        ModelError: One cannot start so.
    """
    for name, inputs in starts.items():
        unknown = any(v not in variables for v in (name, *inputs))
        if unknown or name in inputs or not inputs:
            raise ModelError(
                f"starts: '{name}' cannot start by {', '.join(map(repr, inputs)) or 'nothing'}; "
                "expected one or more of the other variables and latents; all are "
                f"{', '.join(variables)}"
            )


def check_sources(mixture: Mixture, space: Space, matched: Mapping[str, list[str]]) -> None:
    """Check that every source has a variable of the space; warn if a critic has no rows.

    Raises:
        ModelError: A source has none of the variables.
    """
    for part in mixture.parts:
        if not any(name in part.samples.keys() for name in space):
            has = ", ".join(map(str, part.samples.keys())) or "none"
            raise ModelError(
                f"source '{part.name}' has the variables {has}, and none of {', '.join(space)}; "
                "give it weight 0, or a variable in common"
            )
    for name, context in matched.items():
        having = [set(part.samples.keys()) for part in mixture.parts if name in part.samples.keys()]
        if having and not any(names.issuperset(context) for names in having):
            warnings.warn(
                f"conditionals: nothing is matched. The judge of '{name}' compares rows that have "
                f"{' and '.join(context)} beside it, and no source that has '{name}' does; name "
                "others in matched, that some source has with it",
                stacklevel=3,  # the caller of the model's learn
            )


def observed(mixture: Mixture) -> set[str]:
    """Return the names of the variables that some source has."""
    return {str(name) for part in mixture.parts for name in part.samples.keys()}


def does_not_mix(player: str, sweeps: int) -> str:
    """Say what it means for scores that Gibbs sampling does not mix, and what to do.

    Args:
        player: Whose model it is; empty where nobody knows.
        sweeps: The setting ``sample_sweeps``.

    Example:
        >>> does_not_mix("north", 100)[:67]
        "conditionals of 'north': Gibbs sampling does not mix, so samples st"
    """
    whose = f" of '{player}'" if player else ""
    return (
        f"conditionals{whose}: Gibbs sampling does not mix, so samples still depend on where "
        "chains began, which is noise: the shares and relations in them are blurred, and fidelity "
        f"and utility are lower than what was learned. Raise sample_sweeps (now {sweeps}), learn "
        "fewer variables that determine each other, or say in starts where chains begin; "
        "'autocorrelation' in the numbers of each round says whether it got better (below 0.5). "
        "This is said once for each model"
    )
