"""The filters of routes and includes: regular expressions on a message's values (Channels 1.x, items 66, 67 and 73)."""

import re
from collections.abc import Mapping
from typing import Any, Protocol

__all__ = ["Values", "as_text", "compile_filters", "match_filters", "named_groups"]


class Values(Protocol):
    """What filters look at: a `Message`, or a dict."""

    def __contains__(self, key: object, /) -> bool: ...

    def __getitem__(self, key: str, /) -> Any: ...


def compile_filters(owner: str, filters: Mapping[str, object]) -> dict[str, re.Pattern[str]]:
    """Compile filters when a route is made, so that a bad one is found before any message comes.

    Args:
        owner: the route in words, for the error.
        filters: key of the message -> regular expression: text, ASCII bytes, or compiled.

    Raises:
        TypeError: a filter is no regular expression.
        ValueError: it is a bad one, or has positional groups: kwargs need names (item 67).
    """
    compiled = {}
    for name, given in filters.items():
        try:
            pattern = _compile(given)
        except (re.error, ValueError, RecursionError, OverflowError) as error:
            raise ValueError(f"filter {name}={given!r} on {owner} is no regular expression: {error}") from error
        if pattern is None:
            raise TypeError(f"filter {name}={given!r} on {owner}: write a regular expression as text")
        if pattern.groups != len(pattern.groupindex):
            raise ValueError(
                f"filter {name}={pattern.pattern!r} on {owner} contains positional groups; only named groups are "
                "allowed: write (?P<name>…), or (?:…) for a group that is no argument"
            )
        compiled[name] = pattern
    return compiled


def _compile(given: object) -> re.Pattern[str] | None:
    source, flags = (given.pattern, given.flags) if isinstance(given, re.Pattern) else (given, 0)
    text = source.decode("ascii") if isinstance(source, bytes) else source
    return re.compile(text, flags) if isinstance(text, str) else None


def match_filters(filters: Mapping[str, re.Pattern[str]], values: Values) -> dict[str, re.Match[str]] | None:
    """Match each filter at the start of its value; None unless all match.

    A key that is missing is no match, and neither is a value that is not text (such as `order`) or ASCII bytes.

    Args:
        filters: what `compile_filters` returned.
        values: the message.
    """
    matches = {}
    for name, pattern in filters.items():
        text = as_text(values[name]) if name in values else None
        match = None if text is None else pattern.match(text)
        if match is None:
            return None
        matches[name] = match
    return matches


def as_text(value: object) -> str | None:
    """Return a value as the text that a filter looks at, or None where it is none."""
    if isinstance(value, bytes):
        # bytes.decode would raise on what a client can send
        return value.decode("ascii") if value.isascii() else None
    return value if isinstance(value, str) else None


def named_groups(matches: Mapping[str, re.Match[str]]) -> dict[str, Any]:
    """Return the named groups of all filters, as arguments for the consumer (item 67)."""
    kwargs: dict[str, Any] = {}
    for match in matches.values():
        kwargs |= match.groupdict()
    return kwargs
