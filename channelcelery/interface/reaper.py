"""What nobody else ends: memberships that were not renewed, and the connections of interface processes that died."""

import asyncio
from collections.abc import Iterable

from channelcelery.core.names import ReplyAddress
from channelcelery.exceptions import LayerUnavailable
from channelcelery.interface.faults import Faults, logger
from channelcelery.interface.intake import Intake
from channelcelery.layers.layer import ChannelLayer

__all__ = ["Reaper"]


class Reaper:
    """Ends them in the background, one look at a time.

    Args:
        layer: whose they are.
        intake: takes the disconnects of dead nodes' connections.
        faults: where failures are counted.
    """

    def __init__(self, layer: ChannelLayer, intake: Intake, faults: Faults) -> None:
        self._layer = layer
        self._intake = intake
        self._faults = faults
        #: the look that is under way
        self.task: asyncio.Task[None] | None = None

    def begin(self, node: str, expired: list[tuple[str, str]]) -> None:
        """Look once, unless the last look is not over.

        Args:
            node: this process's name.
            expired: (group, token) memberships of its own that are to end.
        """
        if self.task is None:
            self.task = asyncio.get_running_loop().create_task(self._reap(node, expired))

    async def _reap(self, node: str, expired: list[tuple[str, str]]) -> None:
        try:
            # in a thread, and beside the heartbeat, since there may be very many
            await asyncio.to_thread(self._leave, node, expired)
            orphans = await asyncio.to_thread(self._layer.replies.reap)
        except LayerUnavailable:
            return  # the next beat says so
        except Exception:
            self._faults.note("reap_error", "dead interface processes could not be cleared", trace=True)
            return
        finally:
            self.task = None
        for orphan in orphans:
            self._intake.offer_late(orphan.channel, orphan.disconnect())
        if orphans:
            logger.warning("%d connections of interface processes that died are taken for ended", len(orphans))

    def _leave(self, node: str, memberships: Iterable[tuple[str, str]]) -> None:
        """End memberships in Redis; the hub learns it from its inbox, in order with what others do to them."""
        for group, token in memberships:
            self._layer.replies.group_discard(group, ReplyAddress(node, token).channel())
