"""Connections to a layer's Redis: how clients are made, which scripts they run, and how errors leave them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

import redis
import redis.asyncio
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from channelcelery.conf import LayerConfig
from channelcelery.exceptions import InvalidChannelLayerError, LayerUnavailable

__all__ = ["async_client", "reaching_redis", "reader_connection", "refuse_cluster", "script", "sync_client"]

#: Connections of one process at most; threads beyond that wait for one, a call takes well below a millisecond.
_CONNECTIONS = 64
#: Seconds after which an idle connection is checked before it is used.
_HEALTH_CHECK = 30


@cache
def script(name: str) -> str:
    """Return the text of a Lua script.

    Args:
        name: its file's name without the suffix.
    """
    return files("channelcelery.layers").joinpath("scripts", f"{name}.lua").read_text("utf-8")


@contextmanager
def reaching_redis() -> Iterator[None]:
    """Turn every error of Redis and of its client into `LayerUnavailable`."""
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise LayerUnavailable(error) from error


def _options(config: LayerConfig, url: str) -> dict[str, Any]:
    # none of our calls may be repeated blindly: one that timed out may have been carried out
    options: dict[str, Any] = {
        "socket_timeout": config.publish_timeout,
        "socket_connect_timeout": config.publish_timeout,
        "health_check_interval": _HEALTH_CHECK,
    }
    if urlsplit(url).scheme != "unix":
        options["socket_keepalive"] = True
    return options | dict(config.connection_kwargs)


#: What a URL's query may not change: we read raw answers of RESP 2.
_FIXED: Mapping[str, Any] = {"protocol": 2, "decode_responses": False}


def sync_client(config: LayerConfig, url: str) -> redis.Redis:
    """Make a client for threads; it connects when first used, and anew after a fork.

    Args:
        config: the layer's settings.
        url: one of its hosts.
    """
    pool = redis.BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS,
        timeout=config.publish_timeout,
        retry=Retry(NoBackoff(), 0),
        **_options(config, url),
        **_FIXED,
    )
    pool.connection_kwargs.update(_FIXED)
    return redis.Redis.from_pool(pool)


def async_client(config: LayerConfig, url: str) -> redis.asyncio.Redis:
    """Make a client for an event loop; it connects when first used."""
    return redis.asyncio.Redis.from_pool(_async_pool(config, url))


def _async_pool(config: LayerConfig, url: str, **options: Any) -> redis.asyncio.BlockingConnectionPool:
    options = _options(config, url) | {"retry": AsyncRetry(NoBackoff(), 0)} | options | dict(_FIXED)
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url, max_connections=_CONNECTIONS, timeout=config.publish_timeout, **options
    )
    pool.connection_kwargs.update(_FIXED)
    return pool


def reader_connection(config: LayerConfig, url: str) -> AbstractConnection:
    """Make a connection for blocking reads, each of which brings its own time limit."""
    pool = _async_pool(config, url, health_check_interval=0)
    pool.connection_kwargs["socket_timeout"] = None
    return pool.connection_class(**pool.connection_kwargs)


def refuse_cluster(config: LayerConfig, info: Mapping[str, Any]) -> None:
    """Refuse a Redis that runs in cluster mode.

    Args:
        config: the layer's settings.
        info: what INFO says of the cluster.

    Raises:
        InvalidChannelLayerError: it does.
    """
    if info.get("cluster_enabled"):
        raise InvalidChannelLayerError(
            config.alias,
            "CONFIG['hosts']",
            "a Redis Cluster cannot hold this layer: a group's send is one script over the inboxes of all interface "
            "processes, whose keys lie in different slots. Write one or several Redis servers that are not clustered; "
            "the layer spreads interface processes over them",
        )
