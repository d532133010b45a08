"""The task that sends to a channel: for a schedule of Celery beat, and for programs that know Celery only."""

from celery import shared_task

from channelcelery.channel import Channel
from channelcelery.conf import DEFAULT_CHANNEL_LAYER

__all__ = ["send_to_channel"]


@shared_task(name="channelcelery.send_to_channel", ignore_result=True)  # type: ignore[untyped-decorator,unused-ignore]
def send_to_channel(channel: str, content: dict[str, object], alias: str = DEFAULT_CHANNEL_LAYER) -> None:
    """Send a message to a channel, at once; `install(app)` makes every worker of the app know this task.

    Args:
        channel: the channel's name.
        content: the message.
        alias: the layer's alias in CHANNEL_LAYERS.

    Raises:
        InvalidName: the name breaks the rules.
        InvalidContent: it is no message.
        ChannelFull: the channel is at capacity.
        BrokerUnavailable: the broker did not take it.
    """
    Channel(channel, alias=alias).send(content)
