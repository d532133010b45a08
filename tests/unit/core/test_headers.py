"""Headers as messages carry them: pairs, or a dict as Channels 1.x's own tests wrote it."""

from typing import Any

import pytest

from channelcelery.core.headers import header_values


@pytest.mark.parametrize(
    ("headers", "values"),
    [
        ([], []),
        ([[b"cookie", b"a=1"], (b"host", b"h"), [b"cookie", b"b=2"]], [b"a=1", b"b=2"]),
        ([["Cookie", "ä=1"]], ["ä=1".encode("latin-1")]),
        ({b"cookie": b"a=1"}, [b"a=1"]),
        ({"cookie": "a=1", "host": "h"}, [b"a=1"]),
    ],
)
def test_given_headers_expect_all_values_in_order(headers: Any, values: list[bytes]) -> None:
    """Items 90 and 102."""
    assert header_values(headers, b"cookie") == values


@pytest.mark.parametrize(
    "headers", [5, None, b"cookie: a", "cookie", [b"cookie"], [[b"cookie"]], [[b"cookie", 5]], [["cookie", "🍪"]], [5]]
)
def test_given_something_else_expect_a_value_error(headers: Any) -> None:
    with pytest.raises(ValueError):
        header_values(headers, b"cookie")
