"""The filters of routes and includes (items 66, 67, 73; defects 11 and 18 of Channels 1.1.8)."""

import re
from typing import Any

import pytest

from channelcelery.core.filters import compile_filters, match_filters, named_groups
from tests.shown import shown


def groups(filters: dict[str, Any], values: dict[str, Any]) -> dict[str, Any] | None:
    matches = match_filters(compile_filters("a route", filters), values)
    return None if matches is None else named_groups(matches)


class TestMatching:
    @pytest.mark.parametrize(
        ("pattern", "value", "expected"),
        [
            ("/chat", "/chat/room", {}),
            ("^/chat", "/chat/room", {}),
            ("chat", "/chat", None),
            ("/chat$", "/chat/room", None),
            (r"^/(?P<room>\w+)/$", "/lobby/", {"room": "lobby"}),
            (b"^/(?P<room>[a-z]+)", b"/lobby", {"room": "lobby"}),
            (b"/a", "/a", {}),
            ("/a", b"/a", {}),
            (re.compile("/A", re.IGNORECASE), "/a", {}),
            (re.compile(b"/A", re.IGNORECASE), "/a", {}),
            ("(?P<a>x)?y", "y", {"a": None}),
            ("", "", {}),
        ],
    )
    def test_given_a_pattern_expect_it_at_the_start(self, pattern: Any, value: Any, expected: Any) -> None:
        """Items 66, 67 and 73."""
        assert groups({"path": pattern}, {"path": value}) == expected

    @pytest.mark.parametrize("value", [0, 5, 1.5, True, None, [], ["a"], {}, "é".encode(), b"\xff"], ids=shown)
    def test_given_a_value_that_is_no_text_expect_no_match(self, value: object) -> None:
        """Item 73, and defect 18."""
        assert groups({"order": ""}, {"order": value}) is None

    def test_given_a_missing_key_expect_no_match(self) -> None:
        """Item 66."""
        assert groups({"path": ""}, {}) is None

    def test_given_several_filters_expect_all_to_match(self) -> None:
        """Items 66 and 67."""
        filters = {"path": "/(?P<room>.)", "method": "(?P<verb>GET|PUT)"}
        assert groups(filters, {"path": "/a", "method": "GET"}) == {"room": "a", "verb": "GET"}
        assert groups(filters, {"path": "/a", "method": "POST"}) is None
        assert groups(filters, {"path": "a", "method": "GET"}) is None

    def test_given_one_name_twice_expect_the_later_filter(self) -> None:
        assert groups({"a": "(?P<x>.)", "b": "(?P<x>.)"}, {"a": "1", "b": "2"}) == {"x": "2"}


class TestBadFilters:
    @pytest.mark.parametrize("pattern", ["/(\\w+)/", "(?P<a>x)(y)", b"(x)", re.compile("(x)")], ids=shown)
    def test_given_positional_groups_expect_filter_and_route_named(self, pattern: Any) -> None:
        """Item 67."""
        with pytest.raises(ValueError, match=r"filter path=.* on a route contains positional groups"):
            compile_filters("a route", {"path": pattern})

    @pytest.mark.parametrize(
        "pattern", ["(", "[", "*", "(?P<a>x)(?P<a>y)", "(?P<1>x)", b"\xff", "a{99999999999}", "(?:" * 5_000], ids=len
    )
    def test_given_no_regular_expression_expect_filter_and_route_named(self, pattern: Any) -> None:
        with pytest.raises(ValueError, match=r"(?s)filter path=.* on a route is no regular expression"):
            compile_filters("a route", {"path": pattern})

    @pytest.mark.parametrize("pattern", [None, 0, True, ["a"], object(), print], ids=shown)
    def test_given_no_text_expect_filter_and_route_named(self, pattern: Any) -> None:
        with pytest.raises(TypeError, match=r"filter path=.* on a route: write a regular expression as text"):
            compile_filters("a route", {"path": pattern})
