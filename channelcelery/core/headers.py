"""Reading the headers that a message carries, whoever wrote them: an interface process, a test, or a project."""

from collections.abc import Mapping, Sequence

__all__ = ["header_values"]


def header_values(headers: object, name: bytes) -> list[bytes]:
    """Return every value of a header, in order (Channels 1.x, items 90 and 102).

    Args:
        headers: pairs of a name and a value, or a dict of them as Channels 1.x's own tests write it; text counts as
            latin-1, the case of names does not count.
        name: the header's name in lower case.

    Raises:
        ValueError: that is no list of headers.
    """
    pairs = list(headers.items()) if isinstance(headers, Mapping) else headers
    if not isinstance(pairs, Sequence) or isinstance(pairs, str | bytes):
        raise ValueError("headers are a list of pairs of a name and a value")
    values = []
    for pair in pairs:
        if not isinstance(pair, Sequence) or isinstance(pair, str | bytes) or len(pair) != 2:
            raise ValueError("each header is a pair of a name and a value")
        if _as_bytes(pair[0]).lower() == name:
            values.append(_as_bytes(pair[1]))
    return values


def _as_bytes(part: object) -> bytes:
    if isinstance(part, bytes):
        return part
    if isinstance(part, str):
        # what latin-1 does not have raises UnicodeEncodeError, a ValueError
        return part.encode("latin-1")
    raise ValueError("a header's name and value are bytes")
