"""The channel layer on Redis and a Kombu broker."""

from channelcelery.broker.publisher import KombuPublisher
from channelcelery.conf import LayerConfig
from channelcelery.layers.layer import ChannelLayer
from channelcelery.layers.redis_attempts import RedisAttemptStore
from channelcelery.layers.redis_delays import RedisDelayStore
from channelcelery.layers.redis_inbox import RedisInbox
from channelcelery.layers.redis_order import RedisOrderStore
from channelcelery.layers.redis_pieces import RedisInterfacePieces, RedisWorkerPieces
from channelcelery.layers.redis_store import RedisReplyStore

__all__ = ["RedisChannelLayer"]


class RedisChannelLayer(ChannelLayer):
    """A layer whose replies and groups live in Redis, and whose normal channels are queues of the broker.

    Args:
        config: its settings.
    """

    def __init__(self, config: LayerConfig) -> None:
        store = RedisReplyStore(config)
        super().__init__(
            config,
            store,
            KombuPublisher(config),
            RedisDelayStore(config),
            RedisOrderStore(config),
            RedisAttemptStore(config),
            RedisWorkerPieces(config),
            lambda node: RedisInbox(config, node, lambda: store.fingerprint),
            lambda node: RedisInterfacePieces(config, node),
        )
