"""What a server's log may hold of a URL: session keys are taken out (Channels 1.x, item 139)."""

import logging
from urllib.parse import unquote_plus

__all__ = ["hide_session_keys", "without_session_key"]

#: The loggers on which uvicorn writes URLs.
_LOGGERS = ("uvicorn.access", "uvicorn.error")


def without_session_key(url: str) -> str:
    """Return a URL, or a path with its query, with `…` for the value of each `session_key`."""
    path, mark, query = url.partition("?")
    return path + mark + "&".join(map(_hidden, query.split("&")))


def _hidden(part: str) -> str:
    name, equals, _ = part.partition("=")
    # a server decodes names too: session%5Fkey is the same
    return f"{name}=…" if equals and unquote_plus(name) == "session_key" else part


class _Filter(logging.Filter):
    """Takes session keys out of the arguments of a record."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                without_session_key(value) if isinstance(value, str) and "?" in value else value
                for value in record.args
            )
        return True


_filter = _Filter()


def hide_session_keys() -> None:
    """Take session keys out of what uvicorn logs, in this process; doing so again changes nothing."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_filter)
