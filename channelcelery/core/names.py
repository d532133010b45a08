"""The names of channels and groups: their rules, and what a reply channel's name says (items 17 to 21)."""

import re
from dataclasses import dataclass

from channelcelery.exceptions import InvalidName

__all__ = [
    "HTTP_PREFIX",
    "MAX_LENGTH",
    "ReplyAddress",
    "body_address",
    "check_channel_name",
    "check_group_name",
    "check_normal_channel_name",
    "is_body_channel",
    "is_http_token",
    "is_reply_channel",
    "reply_address",
]

MAX_LENGTH = 99
#: What the token of an HTTP request begins with; those of sockets hold no dot.
HTTP_PREFIX = "http."
_RULE = f"ASCII letters, digits, '-', '_' and '.', 1 to {MAX_LENGTH} characters"
_GROUP = re.compile(r"[A-Za-z0-9._-]{1,99}")
_CHANNEL = re.compile(r"[A-Za-z0-9._-]+(?:[?!][A-Za-z0-9._-]+)?")


@dataclass(frozen=True, slots=True)
class ReplyAddress:
    """Where a reply channel leads: to one connection of one interface process.

    Args:
        node: the interface process.
        token: the connection within it; unguessable, and never shown to a browser.
    """

    node: str
    token: str

    @property
    def is_http(self) -> bool:
        """Whether the connection is an HTTP request and not a socket."""
        return is_http_token(self.token)

    def channel(self) -> str:
        """Return the reply channel's name (items 95 and 114)."""
        return f"{'http.response' if self.is_http else 'websocket.send'}!{self.node}.{self.token}"

    def body_channel(self) -> str:
        """Return the name of the channel that a request's body comes by (item 91)."""
        return f"http.request.body?{self.node}.{self.token}"


def is_http_token(token: str) -> bool:
    """Tell whether a connection is an HTTP request and not a socket."""
    return token.startswith(HTTP_PREFIX)


def _as_text(kind: str, name: object) -> str:
    if isinstance(name, bytes):
        try:
            return name.decode("ascii")
        except UnicodeDecodeError:
            raise InvalidName(kind, name, f"bytes must be ASCII; the rule is {_RULE}") from None
    if not isinstance(name, str):
        raise InvalidName(kind, name, f"it must be text; the rule is {_RULE}")
    return name


def check_channel_name(name: object) -> str:
    """Return a channel's name as text if it follows the rules (items 17, 18, 20, 21).

    Args:
        name: text, or ASCII bytes.

    Raises:
        InvalidName: it breaks a rule.
    """
    text = _as_text("channel", name)
    if len(text) > MAX_LENGTH or not _CHANNEL.fullmatch(text):
        raise InvalidName("channel", name, f"{_RULE}, and at most one '?' or '!' between two parts of these")
    return text


def check_normal_channel_name(name: object) -> str:
    """Return the name of a channel that workers may read, as text (items 10 and 17).

    Args:
        name: text, or ASCII bytes.

    Raises:
        InvalidName: it breaks a rule, or it is a reply channel's.
    """
    text = check_channel_name(name)
    if is_reply_channel(text):
        raise InvalidName("normal channel", name, "only one process reads a name with '?' or '!', and it is no worker")
    return text


def check_group_name(name: object) -> str:
    """Return a group's name as text if it follows the rules (items 19 to 21).

    Args:
        name: text, or ASCII bytes.

    Raises:
        InvalidName: it breaks a rule.
    """
    text = _as_text("group", name)
    if not _GROUP.fullmatch(text):
        raise InvalidName("group", name, f"{_RULE}; '?' and '!' are for channels")
    return text


def is_reply_channel(name: str) -> bool:
    """Tell whether a checked name belongs to one interface process (item 10)."""
    return "!" in name or "?" in name


def reply_address(name: str) -> ReplyAddress:
    """Return where a reply channel leads.

    Args:
        name: a checked channel name with a '!'.

    Raises:
        InvalidName: no interface process can have made this name.
    """
    _, separator, local = name.partition("!")
    node, dot, token = local.partition(".")
    if not (separator and dot and node and token):
        raise InvalidName("reply channel", name, "an interface process makes names such as websocket.send!node.token")
    return ReplyAddress(node, token)


def is_body_channel(name: str) -> bool:
    """Tell whether a checked name is of a channel that one process reads alone, as a request's body is (item 91)."""
    return "?" in name


def body_address(name: str) -> ReplyAddress:
    """Return the connection whose body comes by a channel; one that was made up leads to a place of its own.

    Args:
        name: a checked channel name with a '?'.
    """
    local = name.partition("?")[2]
    node, dot, token = local.partition(".")
    return ReplyAddress(node, token) if dot and node and token else ReplyAddress(local, local)
