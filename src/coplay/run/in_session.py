"""What a session of Python asks of a run: scores as frames, samples, models, the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from coplay.run.given import MOST_DRAWS

if TYPE_CHECKING:
    from torch import nn

    from coplay.models.base import LocalModel
    from coplay.run.result import Result
    from coplay.site.verdict import Verdict


class InSession:
    """The part of a result that people use in a session, which needs none of it to read a run."""

    @property
    def _run(self) -> Result:
        return cast("Result", self)

    def model(self, player: str, game: str | None = None, trust: bool = False) -> LocalModel:
        """Return a player's model with what it learned.

        It is on the CPU if its device is not available on this machine.

        Args:
            player: The player's name, or that of a seat such as a server.
            game: Name of the game; the main one by default.
            trust: Whether a class outside coplay may be imported for it.

        Raises:
            TrustError: The model takes code from outside coplay, and ``trust`` is not given.
            RunFolderError: There is no such player, game or model, or the model is at a site of
                another party.
        """
        from coplay.run import drawing

        return drawing.loaded(self._run, player, game, trust).model

    def network(self, player: str, game: str | None = None, trust: bool = False) -> nn.Module:
        """Return the torch module of a player's model, with what it learned.

        Args:
            player: As in :meth:`model`.
            game: As in :meth:`model`.
            trust: As in :meth:`model`.

        Raises:
            ModelError: The model has none, or more than one.
            RunFolderError: As in :meth:`model`.
        """
        from coplay.run import drawing

        return drawing.network(self.model(player, game, trust), player)

    def sample(
        self,
        player: str,
        n: int,
        seed: int = 0,
        game: str | None = None,
        trust: bool = False,
        *,
        given: Mapping[str, Any] | Sequence[str] = (),
        most: int = MOST_DRAWS,
    ) -> Any:
        """Draw samples of a player's model, in the form in which its data were given.

        Columns that it learned from others alone follow its own. Under conditions, all samples
        fulfil them: the model is given what it can be given, the rest is kept by rejection.
        ``draws`` then has one more :class:`DrawRecord`, with the share of draws that was accepted.

        Args:
            player: As in :meth:`model`.
            n: Number of samples, at least 1.
            seed: Seed of the draw.
            game: As in :meth:`model`.
            trust: As in :meth:`model`.
            given: Conditions by variable: a value, a pair ``(low, high)`` of which None is no
                limit, or a list of values; or texts such as ``"age=40..60"``.
            most: Rows that are drawn for the conditions at most.

        Returns:
            A frame of the library in which data were given in memory, with their columns, order,
            categories and types; arrays by name, or a pair (X, y), where these were given. Arrays
            by name for data that came from anywhere else.

        Raises:
            CoplayError: ``n`` is not positive, or conditions are wrong, impossible or too rare; it
                names all that are.
            RunFolderError: As in :meth:`model`.

        Example:
            ``Result.load("runs/sample_exchange").sample("north", 1000, given={"age": (40, 60)})``
        """
        from coplay.run import drawing

        return drawing.sample(self._run, player, n, seed, game, trust, given, most)

    def scores(self) -> Any:
        """The last measurement of all games: a row per game, player and metric.

        The columns are arm (the run's name), seed, game, player, round, metric, value, low, high,
        n and reason: why there is no value, where there is none.

        Returns:
            A frame of pandas if that is installed, else of polars, else of pyarrow, else a list of
            dictionaries.

        Example:
            ``Result.load("runs/digits").scores().query("metric == 'fid'")``
        """
        from coplay.run import tidy

        return tidy.frame(tidy.scores(self._run))

    def curves(self) -> Any:
        """Every measurement of all games, with the columns and in the form of :meth:`scores`."""
        from coplay.run import tidy

        return tidy.frame(tidy.curves(self._run))

    def best(self, player: str) -> Verdict:
        """Return which of the models that were played is best for a player with data of its own.

        It is chosen on rows that this player kept for that alone.

        Args:
            player: The player's name.

        Raises:
            RunFolderError: There is no such player, or it kept no rows, as in a simulation from one
                pool, or they are at the site of another party.
        """
        from coplay.run import judging

        return judging.best(self._run, player)

    def _repr_html_(self) -> str:
        """The scores as a table, with pictures where there are images, for notebooks."""
        from coplay.run import in_notebook

        return in_notebook.html(self._run)
