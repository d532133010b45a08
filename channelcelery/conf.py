"""CHANNEL_LAYERS, validated and frozen: the one place that reads the settings of the layers."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from channelcelery.core.config_values import (
    read_channel_capacity,
    read_connection_kwargs,
    read_hosts,
    read_http,
    read_keys,
    read_origins,
    read_prefix,
    read_reliable_channels,
    wrong,
)
from channelcelery.exceptions import InvalidChannelLayerError

__all__ = ["BACKENDS", "DEFAULT_CHANNEL_LAYER", "LayerConfig", "layer_config"]

DEFAULT_CHANNEL_LAYER = "default"

#: The dotted paths that BACKEND may hold; the strings of Channels 1.x are understood (section 0, item 7).
BACKENDS: Mapping[str, str] = {
    "channelcelery.layers.RedisChannelLayer": "redis",
    "channelcelery.layers.InMemoryChannelLayer": "memory",
    "asgi_redis.RedisChannelLayer": "redis",
    "asgi_redis.core.RedisChannelLayer": "redis",
    "asgiref.inmemory.ChannelLayer": "memory",
}

_MIB = 1024 * 1024


@dataclass(frozen=True)
class LayerConfig:
    """One entry of CHANNEL_LAYERS; each field below `routing` is a key of its CONFIG.

    Args:
        alias: the entry's key.
        kind: "redis" or "memory".
        routing: ROUTING as given, or None.
        hosts: URLs of the layer's Redis servers.
        connection_kwargs: more arguments for the clients of these servers, as redis-py has them (item 52).
        symmetric_encryption_keys: keys that encrypt what waits in queues and in Redis: the first closes, all open.
        prefix: what every queue and every Redis key begins with.
        expiry: seconds after which an unread message is dropped.
        group_expiry: seconds that a socket stays in a group after it was last added (item 58).
        capacity: messages that wait on a normal channel at most.
        channel_capacity: pairs of a compiled pattern and a capacity; the first that matches counts (item 52).
        reliable_channels: compiled patterns of reliable channels, for processes that send but have not the routing.
        outbox: what is sent to any reliable channel is written to the sender's database first, in its transaction.
        outbox_wait: seconds after which what was published from there, and has not ended, is published again.
        done_expiry: seconds that the marks of messages are kept whose effects happen once.
        delay_capacity: delayed messages that wait on one Redis at most.
        message_size: bytes of one encoded message.
        inbox_capacity: entries that wait for one interface process at most.
        inbox_bytes: bytes that wait for one interface process at most.
        http: "worker" has HTTP requests answered by workers; "inline" by Django's ASGI handler in the interface
            process, but for those that a route of the project's own matches; "off" answers 404.
        http_timeout: seconds for a worker to begin a response, and between two pieces of it (item 110).
        response_spool: bytes of one response that wait in the interface process for their client.
        body_size: bytes of the largest body of an HTTP request.
        body_timeout: seconds between two pieces of such a body.
        body_rate: bytes a second at which such a body comes at least, but for `body_timeout` seconds in all.
        implicit_accept: a connect consumer that returned and answered nothing accepts (section 0, item 1).
        allowed_origins: hosts that a browser's Origin may name, as in ALLOWED_HOSTS; None means ALLOWED_HOSTS.
        connect_timeout: seconds for a consumer to answer a handshake.
        connection_lifetime: seconds after which a socket is closed, whoever uses it (item 59).
        idle_timeout: seconds after which a socket is closed over which nothing went either way.
        ping_interval: seconds between pings of a socket.
        ping_timeout: seconds for a socket to answer a ping.
        frame_size: bytes of the largest message taken from a socket.
        frame_rate: messages a second that are taken from one socket.
        byte_rate: bytes a second that are taken from one socket.
        socket_groups: groups that one socket may be in.
        connections: connections that one interface process holds.
        address_connections: of these, from one address.
        connect_rate: new connections a second that one interface process takes.
        address_connect_rate: of these, from one address.
        header_count: headers of one request.
        header_size: bytes of a request line and headers.
        head_timeout: seconds for a client to send these.
        send_buffer: bytes that may wait for one socket.
        send_timeout: seconds that a socket may be blocked.
        time_limit: seconds for a consumer, after which its process is ended.
        stall_limit: seconds after which a worker ends that begins nothing although messages wait for it.
        order_stall: seconds that a lost message holds up the ordered ones of its connection at most.
        publish_buffer: messages of this process that may wait for the broker.
        publish_timeout: seconds for the broker to take a message.
        publish_wait: seconds that a socket's message waits for room while its channel does not move.
        drain_seconds: seconds over which an interface process that ends closes its sockets.
        heartbeat: seconds between an interface process's signs of life.
        node_expiry: seconds without one after which it counts as dead.
    """

    alias: str
    kind: str
    routing: Any = None
    hosts: tuple[str, ...] = ()
    connection_kwargs: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)
    symmetric_encryption_keys: tuple[bytes, ...] = field(default=(), repr=False)
    prefix: str = "cc:"
    expiry: float = 60.0
    group_expiry: float = 86_400.0
    capacity: int = 10_000
    channel_capacity: tuple[tuple[re.Pattern[str], int], ...] = ()
    reliable_channels: tuple[re.Pattern[str], ...] = ()
    outbox: bool = False
    outbox_wait: float = 300.0
    done_expiry: float = 7 * 86_400.0
    delay_capacity: int = 100_000
    message_size: int = 4 * _MIB
    inbox_capacity: int = 100_000
    inbox_bytes: int = 64 * _MIB
    http: str = "worker"
    http_timeout: float = 60.0
    response_spool: int = 64 * _MIB
    body_size: int = 100 * _MIB
    body_timeout: float = 30.0
    body_rate: float = 500.0
    implicit_accept: bool = True
    allowed_origins: tuple[str, ...] | None = None
    connect_timeout: float = 5.0
    connection_lifetime: float = 86_400.0
    idle_timeout: float = 86_400.0
    ping_interval: float = 20.0
    ping_timeout: float = 20.0
    frame_size: int = _MIB
    frame_rate: float = 1_000.0
    byte_rate: float = 4.0 * _MIB
    socket_groups: int = 1_000
    connections: int = 20_000
    address_connections: int = 1_000
    connect_rate: float = 1_000.0
    address_connect_rate: float = 100.0
    header_count: int = 128
    header_size: int = 64 * 1024
    head_timeout: float = 10.0
    send_buffer: int = _MIB
    send_timeout: float = 10.0
    time_limit: float = 60.0
    stall_limit: float = 180.0
    order_stall: float = 10.0
    publish_buffer: int = 10_000
    publish_timeout: float = 5.0
    publish_wait: float = 5.0
    drain_seconds: float = 5.0
    heartbeat: float = 1.0
    node_expiry: float = 10.0

    def capacity_of(self, channel: str) -> int:
        """Return the capacity of a normal channel (item 52)."""
        for pattern, capacity in self.channel_capacity:
            if pattern.match(channel):
                return capacity
        return self.capacity


_IN_ENTRY = {"BACKEND", "CONFIG", "ROUTING", "TEST_CONFIG"}
_NOT_IN_CONFIG = {"alias", "kind", "routing"}

#: More seconds, bytes or messages than this are a slip, and arithmetic with them would end beyond 64 bits.
_MOST = 10**12


def layer_config(alias: str, settings: Mapping[str, Any]) -> LayerConfig:
    """Validate one entry of CHANNEL_LAYERS.

    Args:
        alias: the entry's key.
        settings: its value, a dict with BACKEND and perhaps CONFIG and ROUTING.

    Raises:
        InvalidChannelLayerError: something is wrong; it names the alias, the key and the mend (item 44).
    """
    if not isinstance(settings, Mapping):
        raise InvalidChannelLayerError(alias, "the entry", "it must be a dict with BACKEND and CONFIG")
    if unknown := sorted(str(key) for key in settings.keys() - _IN_ENTRY):
        raise InvalidChannelLayerError(
            alias, repr(unknown[0]), "no such key; there are BACKEND, CONFIG, ROUTING and TEST_CONFIG"
        )
    backend = settings.get("BACKEND")
    if not isinstance(backend, str) or backend not in BACKENDS:
        raise InvalidChannelLayerError(alias, "BACKEND", _mend_of_backend(backend))
    kind = BACKENDS[backend]
    config = settings.get("CONFIG")
    config = {} if config is None else config
    if not isinstance(config, Mapping):
        raise InvalidChannelLayerError(alias, "CONFIG", "it must be a dict")
    known = {f.name for f in fields(LayerConfig)} - _NOT_IN_CONFIG
    if unknown := sorted(str(key) for key in config.keys() - known):
        raise InvalidChannelLayerError(
            alias, f"CONFIG[{unknown[0]!r}]", f"no such key; there are {', '.join(sorted(known))}"
        )
    values = {key: _READERS.get(key, _read_plain)(alias, key, value) for key, value in config.items()}
    if kind == "redis" and not values.get("hosts"):
        values["hosts"] = ("redis://127.0.0.1:6379/0",)
    if "group_expiry" in values:
        # as in 1.x, so that no socket outlives its groups unless it is meant to (item 59)
        values.setdefault("connection_lifetime", values["group_expiry"])
    result = LayerConfig(alias=alias, kind=kind, routing=settings.get("ROUTING"), **values)
    if result.node_expiry < 2 * result.heartbeat:
        raise InvalidChannelLayerError(alias, "CONFIG['node_expiry']", "it must be at least twice CONFIG['heartbeat']")
    return result


def _mend_of_backend(backend: Any) -> str:
    mend = f"{backend!r} is unknown; write 'channelcelery.layers.RedisChannelLayer'"
    if str(backend).startswith("asgi_rabbitmq."):
        # RabbitMQ may go on as what it was there, but not alone (section 0, item 7)
        return f"{mend}, with a Redis in CONFIG['hosts'], and name RabbitMQ as the broker: CELERY_BROKER_URL=amqp://…"
    return f"{mend} or 'channelcelery.layers.InMemoryChannelLayer'"


def _read_plain(alias: str, key: str, value: Any) -> Any:
    default = LayerConfig.__dataclass_fields__[key].default
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise wrong(alias, key, f"write True or False, not {value!r}")
        return value
    # so written that not-a-number is refused
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _MOST:
        raise wrong(alias, key, f"write a number above 0 and not above {_MOST:,}, not {value!r}")
    if isinstance(default, int) and not isinstance(value, int):
        raise wrong(alias, key, f"write a whole number, not {value!r}")
    return value


_READERS: Mapping[str, Callable[[str, str, Any], Any]] = {
    "hosts": read_hosts,
    "connection_kwargs": read_connection_kwargs,
    "symmetric_encryption_keys": read_keys,
    "prefix": read_prefix,
    "channel_capacity": read_channel_capacity,
    "reliable_channels": read_reliable_channels,
    "http": read_http,
    "allowed_origins": read_origins,
}
