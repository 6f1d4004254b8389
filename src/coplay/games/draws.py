"""What players draw for one another: for several receivers at once, and in flight by link."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor

from coplay.core.message import Payload
from coplay.core.slices import MANY, checked_as_one, slices_of
from coplay.core.space import Samples, tensors
from coplay.games.base import Link
from coplay.player import Player


class ByLink(Mapping[Link, Payload]):
    """Payload by sender and receiver, without a key of two names for each of many links.

    Args:
        by_sender: By sender, what it sends, by receiver.

    Example:
        >>> from coplay import Samples
        >>> payload = ByLink({"a": {"b": Samples(batch_size=[0])}})
        >>> list(payload), ("b", "a") in payload
        ([('a', 'b')], False)
    """

    def __init__(self, by_sender: Mapping[str, Mapping[str, Payload]]) -> None:
        self._by_sender = dict(by_sender)

    @classmethod
    def of(cls, payload: Mapping[Link, Payload]) -> ByLink:
        """Return any such mapping as one of this kind."""
        if isinstance(payload, cls):
            return payload
        by_sender: dict[str, dict[str, Payload]] = {}
        for (sender, receiver), part in payload.items():
            by_sender.setdefault(sender, {})[receiver] = part
        return cls(by_sender)

    def __getitem__(self, link: Link) -> Payload:
        sender, receiver = link
        try:
            return self._by_sender[sender][receiver]
        except KeyError:
            raise KeyError(link) from None

    def __iter__(self) -> Iterator[Link]:
        for sender, by_receiver in self._by_sender.items():
            for receiver in by_receiver:
                yield sender, receiver

    def __len__(self) -> int:
        return sum(map(len, self._by_sender.values()))

    def by_receiver(self, senders: Sequence[str]) -> dict[str, dict[str, Payload]]:
        """Return what is on its way to each receiver, by sender.

        Args:
            senders: The senders, in the order that every receiver shall have them in.
        """
        inboxes: dict[str, dict[str, Payload]] = {}
        for sender in senders:
            for receiver, part in self._by_sender.get(sender, {}).items():
                inboxes.setdefault(receiver, {})[sender] = part
        return inboxes


def draws_for(player: Player, counts: Mapping[str, int], round: int) -> dict[str, Payload]:
    """Draw samples for several receivers, to the same bits as :meth:`Player.draw` one by one.

    Many small sets are checked together, and travel as parts of one.

    Args:
        player: Draws.
        counts: Number of samples by receiver.
        round: Current round.

    Raises:
        SpaceError: The model returned something else than so many samples of the space.
    """
    if len(counts) >= MANY and not player.rules:
        numbers = list(counts.values())
        with player.timed("sampling"):
            drawn = [player.unchecked_draw(n, round, to) for to, n in counts.items()]
            whole = None
            if not _share_memory(drawn):
                whole = checked_as_one(player.space, drawn, numbers, complete=True)
        if whole is not None:
            sent = tensors(whole.detach().exclude(*player.unlearned))
            return dict(zip(counts, slices_of(sent, numbers), strict=True))
    # few; or each drawn by itself, since they are not alike, share memory, or one must be named
    return {to: player.draw(n, round, to) for to, n in counts.items()}


def _share_memory(drawn: Sequence[object]) -> bool:
    """Whether a tensor of one sample set lies in the memory of another's."""
    places: set[int] = set()
    count = 0
    for samples in drawn:
        if isinstance(samples, Samples):
            own = {x.untyped_storage()._cdata for x in samples.values() if isinstance(x, Tensor)}
            places |= own
            count += len(own)
    return len(places) < count
