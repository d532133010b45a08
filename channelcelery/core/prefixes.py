"""Which of many patterns can match a text at all: told by what each begins with, so that few of them are tried."""

import re
from collections.abc import Iterable
from operator import itemgetter
from typing import Generic, TypeVar

__all__ = ["PrefixIndex", "literal_prefix"]

Value = TypeVar("Value")

_SPECIAL = re.compile(r"[.^$*+?{}\[\]\\|()]")
#: After a character these say that it may be missing.
_OPTIONAL = frozenset("*?{")


def literal_prefix(pattern: re.Pattern[str]) -> str:
    """Return what every text begins with that a pattern matches at its start; "" where a look does not tell.

    Args:
        pattern: a compiled regular expression.
    """
    text = pattern.pattern.removeprefix("^")
    if pattern.flags & (re.IGNORECASE | re.VERBOSE) or "|" in text:
        return ""
    special = _SPECIAL.search(text)
    if special is None:
        return text
    end = special.start() - (special.group() in _OPTIONAL)
    return text[: max(end, 0)]


class PrefixIndex(Generic[Value]):
    """Values in order, each for texts with its prefix.

    Args:
        pairs: prefix and value.
    """

    def __init__(self, pairs: Iterable[tuple[str, Value]]) -> None:
        self._buckets: dict[str, list[tuple[int, Value]]] = {}
        for number, (prefix, value) in enumerate(pairs):
            self._buckets.setdefault(prefix, []).append((number, value))
        self._lengths = sorted({len(prefix) for prefix in self._buckets})
        #: all of them, where none has a prefix and so no text need be looked at
        self.any_text = [value for _, value in self._buckets.get("", ())] if self._lengths in ([], [0]) else None

    def candidates(self, text: str) -> list[Value]:
        """Return the values whose prefix a text begins with, in order."""
        found: list[tuple[int, Value]] = []
        for length in self._lengths:
            if (bucket := self._buckets.get(text[:length])) is not None and len(text) >= length:
                found += bucket
        found.sort(key=itemgetter(0))
        return [value for _, value in found]
