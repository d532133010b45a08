"""Handing on ordered messages that waited: back into their channel, for whichever worker reads it."""

import logging
import time
from collections import Counter
from collections.abc import Iterable

from channelcelery.core.bursts import Bursts
from channelcelery.core.ordering import Parked
from channelcelery.layers.layer import ChannelLayer
from channelcelery.worker.flush import put_back

__all__ = ["hand_on", "sweep_orders"]

logger = logging.getLogger("django.channels.worker")

_bursts = Bursts()
#: Connections of one Redis that one look lets go on.
_AT_ONCE = 500


def hand_on(layer: ChannelLayer, parked: Iterable[Parked]) -> Counter[str]:
    """Put messages into their channels; never raises, since those that are lost are handed on once more later.

    Returns:
        Counts of the messages that the broker did not take, by reason.
    """
    by_channel: dict[str, list[bytes]] = {}
    for each in parked:
        by_channel.setdefault(each.channel, []).append(each.item)
    lost: Counter[str] = Counter()
    for channel, items in by_channel.items():
        lost += put_back(layer, channel, items)
    return lost


def sweep_orders(layer: ChannelLayer) -> int:
    """Let connections go on whose messages wait for one that was lost, or for a consumer that was killed.

    Returns:
        How many messages are not waited for any more.

    Raises:
        LayerUnavailable: Redis did not answer.
    """
    swept = layer.order.sweep(_AT_ONCE)
    hand_on(layer, swept.handed)
    given_up = swept.unfinished + swept.missing
    if given_up and (silent := _bursts.hit("order_stall", time.monotonic())) is not None:
        logger.warning(
            "connections go on without %d messages that did not come and %d that did not end in time "
            "(%d times before, unlogged): were processes killed, or is CONFIG['order_stall'] too short?",
            swept.missing,
            swept.unfinished,
            silent,
        )
    return given_up
