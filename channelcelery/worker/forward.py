"""Messages that were sent without guarantees to a reliable channel: by who did not know that it is one."""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from uuid import uuid4

from channelcelery.core.bursts import Bursts
from channelcelery.core.envelope import decode_item, encode_content
from channelcelery.core.sends import ReliableSend
from channelcelery.exceptions import BrokerUnavailable, InvalidContent, InvalidEnvelope
from channelcelery.layers.layer import ChannelLayer
from channelcelery.worker.flush import put_back

__all__ = ["forward"]

logger = logging.getLogger("django.channels.worker")

_bursts = Bursts()


def forward(layer: ChannelLayer, channel: str, items: Sequence[bytes]) -> Counter[str]:
    """Send messages on to the queue where their channel's consumers get them; never raises.

    Args:
        layer: the layer that they came by.
        channel: a reliable channel.
        items: encoded items.

    Returns:
        Counts of what was forwarded and of what was lost, by reason.
    """
    counts: Counter[str] = Counter()
    now = time.monotonic()
    if (silent := _bursts.hit("forward", now)) is not None:
        logger.warning(
            "messages for the reliable channel %s came without any guarantee, and are forwarded (%d times before, "
            "unlogged): name it in CONFIG['reliable_channels'] of the project that sends them",
            channel,
            silent,
        )
    for item in items:
        try:
            decoded = decode_item(item)
            content = encode_content(decoded.content, layer.config.message_size)
            full = layer.flush_sends([ReliableSend(channel, uuid4().hex, content, trace=decoded.trace)])
        except (InvalidContent, InvalidEnvelope):  # or above a limit that is this project's own
            counts["unreadable"] += 1
        except BrokerUnavailable:
            counts += put_back(layer, channel, [item])
        else:
            counts["channel_full" if full else "forwarded"] += 1
    if lost := counts["channel_full"] + counts["unreadable"]:
        logger.error("%d messages for the reliable channel %s were dropped: %s", lost, channel, dict(counts))
    return counts
