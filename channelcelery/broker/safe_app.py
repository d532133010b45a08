"""`make_safe(app)`: the safe transport for the connections of one Celery app, and of no other."""

from typing import Any

from celery import Celery
from celery.app.amqp import AMQP
from kombu import Connection
from kombu.connection import ConnectionPool, PooledConnection
from kombu.transport.redis import SentinelTransport, Transport
from kombu.utils.imports import symbol_by_name

from channelcelery.broker.safe_redis import SafeSentinelTransport, SafeTransport

__all__ = ["SafeConnection", "is_safe", "make_safe"]

_SAFE: dict[Any, Any] = {Transport: SafeTransport, SentinelTransport: SafeSentinelTransport}


class SafeConnection(Connection):
    """Kombu's connection, with the safe transport wherever its URL, or one of those it falls back to, means Redis."""

    # Kombu's own
    _connection: Any = None

    def get_transport_cls(self) -> Any:
        """Return the transport."""
        found: Any = super().get_transport_cls()
        return _SAFE.get(found, found)

    def collect(self, socket_timeout: float | None = None) -> None:
        """Drop the connection, since it broke: nothing that its channels took is put back while consumers may run.

        Each channel has connections to Redis of its own and knows only of those; Celery drops all when any breaks.
        """
        if isinstance(self._connection, SafeTransport):
            for amqp_channel in tuple(self._connection.channels):
                amqp_channel.break_off()
        super().collect(socket_timeout)

    def Pool(self, limit: int | None = None, **kwargs: Any) -> Any:
        """Return a pool of such connections; senders take theirs from one."""
        return _SafePool(self, limit, **kwargs)

    def __eqhash__(self) -> Any:
        # Kombu shares pools between connections that are equal, and another app's may be Kombu's own
        return ("safe", super().__eqhash__())


class _SafePooledConnection(SafeConnection, PooledConnection):
    pass


class _SafePool(ConnectionPool):
    def new(self) -> Any:
        connection: Any = self.connection
        pooled: Any = _SafePooledConnection
        return pooled(self, **dict(connection._info(resolve=False)))


class _SafeAMQP(AMQP):
    Connection = SafeConnection


def make_safe(app: Celery) -> Celery:
    """Let an app use the safe transport on `redis://`, `rediss://` and `sentinel://`; other brokers stay as they are.

    Call it before the app connects. Twice is as good as once.

    Args:
        app: a Celery app.

    Returns:
        The app.
    """
    named: Any = app.amqp_cls
    chosen: Any = symbol_by_name(named)
    if not issubclass(chosen, _SafeAMQP):
        safe: Any = _SafeAMQP if chosen is AMQP else type("SafeAMQP", (_SafeAMQP, chosen), {})
        app.amqp_cls = safe
    if "amqp" in vars(app):
        app.amqp.Connection = SafeConnection
    return app


def is_safe(app: Celery) -> bool:
    """Tell whether an app's broker loses nothing that a worker has taken: Redis by the safe transport, or RabbitMQ."""
    transport: Any = app.connection_for_read().get_transport_cls()
    return not issubclass(transport, Transport) or issubclass(transport, SafeTransport)
