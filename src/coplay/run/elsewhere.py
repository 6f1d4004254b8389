"""Players in organisations of their own, as far as the coordinator of a run has anything of them.

It has their names and what was agreed; neither paths nor rows nor models.
"""

from __future__ import annotations

from collections.abc import Mapping

from coplay.core.components import name_of
from coplay.core.digests import of_values
from coplay.core.errors import ConfigError, EngineError
from coplay.core.telling import EVERYTHING
from coplay.engines.flower import TOO_MANY
from coplay.run.config import Config
from coplay.run.own_data import OwnData
from coplay.run.schema import agreed_space
from coplay.run.site_file import Auditing
from coplay.site.agreement import Agreement
from coplay.site.holdings import Holdings
from coplay.site.ingress import Policy

_AGREED = ("name", "seed", "variables", "rules", "model", "game", "compare", "measure")


class Elsewhere(OwnData):
    """A player whose data, model and settings are at its own site.

    Args:
        name: The player.
        agreement: The agreed variables.
    """

    def __init__(self, name: str, agreement: Agreement) -> None:
        self.name = name
        self.agreement = agreement
        self.tell = EVERYTHING  # what it tells, it decides itself
        self.given = None
        self.has_site_file = True
        self.accepts = Policy()
        self.approval = None
        self.privacy = None
        self.audit = Auditing()
        self._held = None

    @property
    def settings_digest(self) -> str:
        """Nothing, since its settings are its own affair."""
        return ""

    def load(self) -> Holdings:
        """Refuse, since its rows are elsewhere.

        Raises:
            EngineError: Always.
        """
        raise EngineError(f"the rows of '{self.name}' are at its own site")


def elsewhere(config: Config) -> Mapping[str, OwnData]:
    """Return the players of a run between organisations; none of any other run.

    Args:
        config: The run's config.

    Raises:
        ConfigError: It cannot be played between organisations; with all faults.
    """
    if not config.engine.sites_elsewhere:
        return {}
    faults = []
    if not config.variables:
        faults.append(
            "variables: expected the agreed variables, since each site must know what its columns "
            "are to be; 'coplay init --from FILES' writes them"
        )
    if any(name_of("game", game) == "md_gan" for game in (config.game, *config.carried)):
        faults.append(f"game: {TOO_MANY}")
    for name, section in config.players.items():
        if section.has_own_data:
            faults.append(
                f"players.{name}: where its data are is said at the site only; leave out site and "
                "data"
            )
    if faults:
        raise ConfigError(faults)
    space = agreed_space(config.variables)
    agreement = Agreement(space, None, True, None)
    return {name: Elsewhere(name, agreement) for name in config.player_names}


def agreed_digest(config: Config) -> str:
    """Return the digest of what all parties have agreed on, as each reads its own copy.

    What a party alone decides is not in it: where data and keys are, engine and checkpoints.

    Args:
        config: The federation.
    """
    values = config.model_dump(mode="json", exclude_none=True)
    agreed: dict[str, object] = {key: values.get(key) for key in _AGREED}
    players = []
    for name, section in config.players.items():
        players.append([name, section.to_values().get("variables")])
    agreed["players"] = players
    if "data" in config.model_fields_set:
        agreed["learned"] = config.data.variables
    return of_values(agreed)
