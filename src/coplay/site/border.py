"""The border of a site with a file: every answer is written down, and every request is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from coplay.core.codec import facts_to_bytes, reply_to_bytes
from coplay.core.digests import of_bytes, of_samples
from coplay.core.errors import EgressError, MessageError
from coplay.core.expected import SECONDS
from coplay.core.facts import Facts
from coplay.core.measures import FLOPS
from coplay.core.message import COORDINATOR, Message, PlayerLost, bytes_of
from coplay.core.requests import Measure
from coplay.core.space import LABEL, Samples, Space
from coplay.site import egress
from coplay.site.egress import Egress, Line, Part
from coplay.site.ingress import Ingress, Policy

LONGEST_TEXT = 500
"""Characters of the words of a loss that the record keeps."""


class SiteBorder:
    """Where messages enter and leave one site in one game.

    Args:
        home: The site's folder in the game.
        space: The variables of the site's samples.
        policy: What the site accepts.
        record: The record of what left.
        of_model: What follows from the site's model: :data:`egress.OF_MODEL`, or
            :data:`egress.POST_PROCESSING` of a stand-in, or :data:`egress.CHARGED`.
    """

    def __init__(
        self,
        home: Path,
        space: Space,
        policy: Policy,
        record: Egress,
        of_model: str = egress.OF_MODEL,
    ) -> None:
        self.space = space
        self.record = record
        self.of_model = of_model
        self.ingress = Ingress(home, space, policy)

    def enters(self, message: Message) -> tuple[Message, Mapping[str, str]]:
        """Return a request without the portions that the site does not accept, and why."""
        return self.ingress.enters(message)

    def leaves(
        self, answer: Message | PlayerLost, receiver: str, plays: bool
    ) -> Message | PlayerLost:
        """Write down an answer before it leaves, and return it with the end of the record.

        Raises:
            EgressError: It cannot be written down, so it must not leave.
        """
        try:
            content = reply_to_bytes(answer)
        except MessageError as error:
            # the error may quote anything: a game of the user's may return anything
            raise EgressError("its answer cannot be written down, so it does not leave") from error
        if isinstance(answer, PlayerLost):
            line = _line_of_loss(answer, receiver)
        else:
            self.record.turns += plays
            line = self._line_of_reply(answer)
        head = self.record.write(replace(line, bytes=len(content), sha256=of_bytes(content)))
        return replace(answer, head=head)

    def facts(self, facts: Facts) -> None:
        """Write down what the site says of itself.

        Raises:
            EgressError: It cannot be written down.
        """
        content = facts_to_bytes(facts)
        numbers = {}
        if facts.count is not None:
            numbers["count"] = self._kind(egress.OF_ROWS)
        if facts.shares:
            numbers["shares"] = self._kind(egress.OF_ROWS)
        line = Line(
            what=egress.FACTS,
            to=COORDINATOR,
            request="describe",
            numbers=numbers,
            bytes=len(content),
            sha256=of_bytes(content),
        )
        self.record.write(line)

    def restored(self, round: int) -> None:
        """Go back, with the player, to the end of a round."""
        self.record.restored(round)
        self.ingress.restored(round)

    def _line_of_reply(self, reply: Message) -> Line:
        numbers = {}
        for name in reply.numbers:
            numbers[name] = self._kind(_kind_of(name, reply))
        parts = []
        for name, samples in reply.samples().items():
            part = Part(
                to=name,
                variables=[str(variable) for variable in samples.keys()],
                count=len(samples),
                bytes=bytes_of(samples),
                kind=self._kind(self._kind_of_part(samples)),
                sha256=of_samples(self.space, samples),
            )
            parts.append(part)
        return Line(
            what=egress.REPLY,
            round=reply.round,
            to=reply.receiver,
            request=reply.action,
            parts=parts,
            numbers=numbers,
        )

    def _kind_of_part(self, samples: Samples) -> str:
        """Return what a part of an answer is: samples of the site's variables, or other tensors."""
        names = [str(variable) for variable in samples.keys()]
        are_samples = all(name in self.space or name == LABEL for name in names)
        return egress.OF_MODEL if are_samples else egress.PARAMETERS

    def _kind(self, kind: str) -> str:
        """Return what a number is where the site has a budget, and where it has none.

        The rows that a site with a stand-in learns from are draws of it.
        """
        if kind in (egress.OF_MODEL, egress.PARAMETERS) and self.of_model != egress.OF_MODEL:
            return self.of_model
        if kind == egress.OF_ROWS and self.of_model == egress.POST_PROCESSING:
            return self.of_model
        return kind


def _line_of_loss(loss: PlayerLost, receiver: str) -> Line:
    return Line(
        what=egress.LOSS,
        round=loss.round,
        to=receiver,
        request=loss.action,
        text=loss.reason[:LONGEST_TEXT],
    )


def _kind_of(name: str, reply: Message) -> str:
    """Return what a number of an answer is."""
    if name == FLOPS or name.startswith(SECONDS):
        return egress.PUBLIC
    if isinstance(reply.request, Measure):
        return egress.MEASURED
    if reply.request.tells_of_rows:
        return egress.OF_ROWS
    return egress.OF_MODEL
