"""Which patterns can match a text, told by what they begin with: no pattern that matches is ever left out."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from channelcelery.core.prefixes import PrefixIndex, literal_prefix

#: Pieces of regular expressions; what they make together may be none.
PIECES = [
    "a",
    "b",
    "/",
    "^",
    "$",
    ".",
    "*",
    "+",
    "?",
    "{0,1}",
    "[ab]",
    "(a)",
    "(?P<x>b)",
    "a|b",
    "(?:a|b)",
    r"\b",
    r"\.",
    "|",
]
patterns = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
texts = st.text("ab/.", max_size=6)


@pytest.mark.parametrize(
    ("source", "prefix"),
    [
        (r"^/chat/(?P<room>\w+)/$", "/chat/"),
        ("/chat/", "/chat/"),
        (r"^/chat\.v1/", "/chat"),
        ("^/chats?/", "/chat"),
        ("^/a*", "/"),
        ("^/a{2}", "/"),
        ("^/a+", "/a"),
        ("^/news|^/chat", ""),
        ("", ""),
    ],
)
def test_what_a_pattern_begins_with(source: str, prefix: str) -> None:

    assert literal_prefix(re.compile(source)) == prefix


@pytest.mark.parametrize("source", ["(?i)^/Chat/", "(?x) ^ / chat", "(?i:/chat)/"])
def test_if_letters_stand_for_others_expect_no_prefix(source: str) -> None:
    assert literal_prefix(re.compile(source)) == ""
    assert literal_prefix(re.compile("^/chat", re.IGNORECASE)) == ""


@example("ab?", "a")
@example("^a|b", "b")
@given(patterns, texts)
def test_whatever_a_pattern_matches_begins_with_its_prefix(source: str, text: str) -> None:
    try:
        pattern = re.compile(source)
    except re.error:
        return
    if pattern.match(text):
        assert text.startswith(literal_prefix(pattern))


@given(st.lists(st.text("ab", max_size=3), max_size=12), st.text("ab", max_size=5))
def test_candidates_are_those_with_the_prefix_in_their_order(prefixes: list[str], text: str) -> None:
    index = PrefixIndex((prefix, number) for number, prefix in enumerate(prefixes))
    assert index.candidates(text) == [number for number, prefix in enumerate(prefixes) if text.startswith(prefix)]
