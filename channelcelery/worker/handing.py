"""Handing on ordered messages whose turn has come: to this worker where it may run them, else through the broker."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable

from channelcelery.core.bursts import Bursts
from channelcelery.core.envelope import mark_copy
from channelcelery.core.ordering import Parked
from channelcelery.layers.layer import ChannelLayer
from channelcelery.worker.flush import put_back

__all__ = ["Take", "hand_on", "sweep_orders"]

logger = logging.getLogger("django.channels.worker")

#: Takes a message (channel, encoded item) in front of what waits at the broker; false where it may not be run here.
Take = Callable[[str, bytes], bool]

_bursts = Bursts()
#: Connections of one Redis that one look lets go on.
_AT_ONCE = 500


def hand_on(layer: ChannelLayer, parked: Iterable[Parked], take: Take) -> Counter[str]:
    """Hand copies of messages on; never raises: they stay parked until a copy comes, or another message of theirs.

    Args:
        layer: the layer that they came by.
        parked: the messages.
        take: takes those that may run here: behind what waits in a long queue they would come too late.

    Returns:
        Counts of the messages that the broker did not take, by reason.
    """
    lost: Counter[str] = Counter()
    for each in parked:
        copy = mark_copy(each.item)
        if not take(each.channel, copy):
            lost += put_back(layer, each.channel, [copy])
    return lost


def sweep_orders(layer: ChannelLayer, take: Take) -> int:
    """Let connections go on whose messages wait for one that was lost, or for a consumer that was killed.

    Args:
        layer: the layer that they came by.
        take: takes those that may run here.

    Returns:
        How many messages are not waited for any more.

    Raises:
        LayerUnavailable: Redis did not answer.
    """
    swept = layer.order.sweep(_AT_ONCE)
    hand_on(layer, swept.handed, take)
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
