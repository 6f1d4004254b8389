"""The sites' app of benchmarks/flower_transport.py: coplay's, and an echo beside it.

Flower imports this anew for every message, so nothing else is imported.
"""

from typing import Any

from flwr.app import Message

from coplay.run.flower_apps import client


def echoed(message: Any, context: Any) -> Any:
    """Send a message's content back."""
    return Message(message.content, reply_to=message)


client.train()(echoed)
