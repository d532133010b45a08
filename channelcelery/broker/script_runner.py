"""Running Lua scripts on a Redis from threads, with little beside what a script itself takes."""

import hashlib
import os
from collections import deque
from collections.abc import Sequence
from typing import Any

import redis
from redis.exceptions import NoScriptError

__all__ = ["Script", "ScriptRunner"]

#: Connections that are kept for the next scripts: further ones go back to the client's pool, which others need, too.
_KEPT = 8


class Script:
    """A script's text, and the digest by which Redis knows it once it has run."""

    __slots__ = ("sha", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class ScriptRunner:
    """Runs scripts on one Redis; safe to share between threads, and usable again after a fork.

    A client of redis-py spends more on a call's surroundings (pool, retries, metrics, options) than on the call. So a
    few connections of its pool are kept here and used as they are.

    Args:
        pool: whose connections these are; it is closed by who made it.
    """

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._forget()

    def _forget(self) -> None:
        self._kept: deque[Any] = deque()
        self._pid = os.getpid()  # last: other threads look at it meanwhile

    def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Run a script and return its answer, undecoded.

        Args:
            script: it.
            keys: its KEYS.
            arguments: its ARGV.

        Raises:
            redis.ResponseError: it failed.
            redis.RedisError, OSError: Redis did not answer. The script may have run, so it is not sent again.
        """
        connection = self._connection()
        try:
            answer = _run(connection, script, keys, arguments)
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


def _run(connection: Any, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
    try:
        # which connects where it is not
        connection.send_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
        return connection.read_response()
    except NoScriptError:
        connection.send_command("EVAL", script.text, len(keys), *keys, *arguments)
        return connection.read_response()
