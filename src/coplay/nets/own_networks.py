"""Networks of the user's own: importing them by name, and refusing those that are of no use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from coplay.core.components import imported
from coplay.core.errors import ModelError


def imported_network(network: str) -> Callable[..., Any]:
    """Import a network by its name.

    Raises:
        ModelError: There is no such name.
    """
    try:
        make: Callable[..., Any] = imported(network, "network")
    except ValueError as error:
        raise ModelError(str(error)) from None
    return make


def check_network(net: object, title: str, *, idle_dropout: bool = False) -> None:
    """Refuse what is no network, or one whose runs would not repeat.

    Args:
        net: What the user's class made.
        title: What errors call it, such as ``the generator``.
        idle_dropout: Whether layers of dropout with rate 0, which draw nothing, are let through.

    Raises:
        ModelError: It is no ``torch.nn.Module``, or it has dropout.
    """
    if not isinstance(net, nn.Module):
        raise ModelError(f"{title} is no torch.nn.Module but {type(net).__name__}")
    for name, layer in net.named_modules():
        drops = isinstance(layer, nn.modules.dropout._DropoutNd)
        if drops and not (idle_dropout and layer.p == 0):
            raise ModelError(
                f"{title} has dropout ({name}), which draws from torch's global generator, "
                "so a run would not repeat; leave it out"
            )


def refuse_same(one: nn.Module, other: nn.Module, title: str) -> None:
    """Refuse a factory that gives what it gave before: players would share one network.

    Args:
        one: What the user's class made first.
        other: What it made when it was called again.
        title: What errors call it.

    Raises:
        ModelError: They share a module, a parameter or a buffer.
    """
    parts = {id(part) for part in (one, *one.parameters(), *one.buffers())}
    again = [("", other), *other.named_parameters(), *other.named_buffers()]
    for name, part in again:
        if id(part) in parts:
            what = f"{name!r}" if name else "the network"
            raise ModelError(
                f"{title} is not new each time it is made: {what} is the same as before, so "
                "players would train one another's; build all of it inside the function"
            )
