"""Messages as hypothesis draws them: everything that item 22 lets travel, at any depth."""

from typing import Any

from hypothesis import strategies as st

TEXT = st.text() | st.sampled_from(["", "\x00", "a\x00b", "😀", "é", "\ud7ff\ue000", "\U0010ffff"])
BYTES = st.binary() | st.sampled_from([b"", b"\x00", b"\xff\xfe", b"\xc3\x28"])
INTEGERS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, -1, 2**63 - 1, -(2**63)])
LEAVES = st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False) | TEXT | BYTES
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
CONTENTS: st.SearchStrategy[dict[str, Any]] = st.dictionaries(TEXT, VALUES, max_size=5)


def nested(depth: int) -> list[Any]:
    """Return a list in a list in a list …, `depth` of them."""
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value
