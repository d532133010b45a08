"""Running jobs of encoded messages in the test's own process."""

from typing import Any

from channelcelery.core.envelope import encode_content, encode_item
from channelcelery.core.outcome import Outcome
from channelcelery.worker import claims
from channelcelery.worker.runner import run_job

REPLY = "websocket.send!node.token"
#: A deadline in the year 2286.
NEVER = 10_000_000_000_000


def encoded(content: dict[str, Any], deadline: int = NEVER) -> bytes:
    """Return an item."""
    return encode_item(encode_content(content, 1_000_000), deadline)


def job(*items: dict[str, Any] | bytes, channel: str = "chat") -> Outcome:
    """Run a job of these contents, or of these bytes."""
    packed = tuple(item if isinstance(item, bytes) else encoded(item) for item in items)
    outcome = run_job("default", channel, packed, (0, claims.new_sequence()))
    assert outcome is not None
    return outcome


def counted(outcome: Outcome) -> tuple[int, int, dict[str, int]]:
    """Return how many ran and failed, and what was dropped."""
    return outcome.ran, outcome.failed, outcome.dropped
