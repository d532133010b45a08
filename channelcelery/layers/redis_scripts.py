"""Running Lua scripts on a Redis from threads, with little beside what a script itself takes."""

import hashlib
import os
from collections import deque
from functools import cache
from typing import Any

import redis
from redis.exceptions import NoScriptError

from channelcelery.layers.redis_clients import reaching_redis, script

__all__ = ["Scripts"]

#: Connections that are kept for the next scripts: further ones go back to the client's pool, which others need, too.
_KEPT = 8


class Scripts:
    """Runs scripts on one Redis; safe to share between threads, and usable again after a fork.

    A client of redis-py spends more on a call's surroundings (pool, retries, metrics, options) than on the call. So a
    few connections of its pool are kept here and used as they are.

    Args:
        client: whose connections these are; it is closed by who made it.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._pool: Any = client.connection_pool
        self._forget()

    def _forget(self) -> None:
        self._kept: deque[Any] = deque()
        self._pid = os.getpid()  # last: other threads look at it meanwhile

    def run(self, name: str, *arguments: Any) -> Any:
        """Run a script and return its answer, undecoded.

        Args:
            name: its file's name without the suffix.
            arguments: its ARGV; it has no KEYS.

        Raises:
            LayerUnavailable: Redis did not answer. The script may have run, so it is not sent again.
        """
        with reaching_redis():
            connection = self._connection()
            try:
                answer = _run(connection, name, arguments)
            except redis.ResponseError:  # an answer as good as others
                self._pool.release(connection)
                raise
            except BaseException:  # such as a time limit: an answer that still comes would pass for the next script's
                connection.disconnect()
                self._pool.release(connection)
                raise
            self._keep(connection)
            return answer

    def _connection(self) -> Any:
        if self._pid != os.getpid():  # the parent's connections
            self._forget()
        try:
            connection = self._kept.pop()
        except IndexError:
            return self._pool.get_connection()
        if _is_closed(connection):
            connection.disconnect()
        return connection

    def _keep(self, connection: Any) -> None:
        if len(self._kept) < _KEPT:
            self._kept.append(connection)
        else:
            self._pool.release(connection)


def _is_closed(connection: Any) -> bool:
    """Tell whether Redis has closed a connection meanwhile, so that a script sent on it would be lost."""
    try:
        return bool(connection.can_read())
    except (redis.RedisError, OSError):
        return True


def _run(connection: Any, name: str, arguments: tuple[Any, ...]) -> Any:
    try:
        # which connects where it is not
        connection.send_command("EVALSHA", _digest(name), 0, *arguments)
        return connection.read_response()
    except NoScriptError:
        connection.send_command("EVAL", script(name), 0, *arguments)
        return connection.read_response()


@cache
def _digest(name: str) -> str:
    return hashlib.sha1(script(name).encode(), usedforsecurity=False).hexdigest()
