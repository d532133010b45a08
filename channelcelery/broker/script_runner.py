"""Running Lua scripts on a Redis from threads, with little beside what a script itself takes."""

import hashlib
import os
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import redis
from redis.exceptions import NoScriptError

__all__ = ["Script", "ScriptRunner"]

#: Seconds after which a kept connection goes through its pool, which may have something to do with it: to authenticate
#: it anew, or to send it elsewhere.
_KEPT_SECONDS = 30.0


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
        keep: how many are kept for the next scripts; further ones go back to the pool, which others need, too.
    """

    def __init__(self, pool: Any, keep: int) -> None:
        self._pool = pool
        self._most = keep
        self._forget()

    def _forget(self) -> None:
        # each with the time at which it left the pool
        self._kept: deque[tuple[Any, float]] = deque()
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
        connection, since = self._connection()
        try:
            answer = _run(connection, script, keys, arguments)
        except redis.ResponseError:  # an answer as good as others
            self._pool.release(connection)
            raise
        except BaseException:  # such as a time limit: an answer that still comes would pass for the next script's
            connection.disconnect()
            self._pool.release(connection)
            raise
        self._keep(connection, since)
        return answer

    def _connection(self) -> tuple[Any, float]:
        if self._pid != os.getpid():  # the parent's connections
            self._forget()
        if self._kept:
            with suppress(IndexError):  # another thread has the last one
                connection, since = self._kept.pop()
                if _is_usable(connection):
                    return connection, since
                # not by itself: where Sentinel is asked, only the pool learns that the master is another one
                connection.disconnect()
                self._pool.release(connection)
        return self._pool.get_connection(), time.monotonic()

    def _keep(self, connection: Any, since: float) -> None:
        if len(self._kept) < self._most and time.monotonic() - since < _KEPT_SECONDS:
            self._kept.append((connection, since))
        else:
            self._pool.release(connection)


def _is_usable(connection: Any) -> bool:
    """Tell whether Redis has left a connection open meanwhile, since a script sent on another would be lost."""
    try:
        # which connects where that is not
        return not connection.can_read()
    except (redis.RedisError, OSError):
        return False


def _run(connection: Any, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
    try:
        connection.send_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
        return connection.read_response()
    except NoScriptError:
        connection.send_command("EVAL", script.text, len(keys), *keys, *arguments)
        return connection.read_response()
