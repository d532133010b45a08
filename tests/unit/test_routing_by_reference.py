"""The router agrees with the plainest matcher there is: every route tried in order, includes one inside the other."""

import re
from dataclasses import dataclass
from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st

from channelcelery.message import Message
from channelcelery.routing import Router, include, route
from tests.fakes import make_message

CHANNELS = ["websocket.connect", "websocket.receive", "chat"]


@dataclass(frozen=True)
class ARoute:
    consumer: int
    channels: tuple[str, ...]
    filters: dict[str, str]


@dataclass(frozen=True)
class AnInclude:
    inside: tuple["Entry", ...]
    prefixes: dict[str, str]


@dataclass(frozen=True)
class AnOwnRoute:
    """A route object of the project's own; it answers when the path, as it sees it, has a certain length."""

    consumer: int
    channels: tuple[str, ...]
    length: int

    def match(self, message: Message) -> Any:
        if len(str(message.content.get("path"))) % 4 == self.length:
            return CONSUMERS[self.consumer], {"x": "own", "path": message.get("path")}
        return None

    def channel_names(self) -> tuple[str, ...]:
        return self.channels


Entry = ARoute | AnInclude | AnOwnRoute
CONSUMERS = [lambda message, number=number, **kwargs: number for number in range(5)]


def reference(entries: tuple[Entry, ...], channel: str, content: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
    for entry in entries:
        if isinstance(entry, AnInclude):
            entered = matched(entry.prefixes, content)
            if entered is not None:
                kwargs, rest = entered
                found = reference(entry.inside, channel, {**content, **rest})
                if found is not None:
                    return found[0], {**kwargs, **found[1]}
        elif channel not in entry.channels:
            continue
        elif isinstance(entry, AnOwnRoute):
            if len(str(content.get("path"))) % 4 == entry.length:
                return entry.consumer, {"x": "own", "path": content.get("path")}
        else:
            entered = matched(entry.filters, content)
            if entered is not None:
                return entry.consumer, entered[0]
    return None


def matched(filters: dict[str, str], content: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]] | None:
    kwargs: dict[str, Any] = {}
    rest: dict[str, str] = {}
    for key, pattern in filters.items():
        value = content.get(key)
        if isinstance(value, bytes):
            value = value.decode("ascii", errors="replace") if max(value, default=0) < 128 else None
        if not isinstance(value, str):
            return None
        found = re.match(pattern, value)
        if found is None:
            return None
        kwargs.update(found.groupdict())
        rest[key] = value[len(found.group()) :]
    return kwargs, rest


PATTERNS = st.sampled_from(["", "^/", "/a", "^/(?P<x>.)", "(?P<y>/?)", "[ab]*$", "(?P<x>z)?a?", "(?P<x>[ab/]+?)/", "$"])
FILTERS = st.dictionaries(st.sampled_from(["path", "method", "order"]), PATTERNS, max_size=2)
SOME_CHANNELS = st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=3).map(tuple)
NUMBERS = st.integers(0, len(CONSUMERS) - 1)
ENTRIES = st.deferred(
    lambda: st.lists(
        st.builds(ARoute, NUMBERS, SOME_CHANNELS, FILTERS)
        | st.builds(AnInclude, ENTRIES, FILTERS)
        | st.builds(AnOwnRoute, NUMBERS, SOME_CHANNELS, st.integers(0, 3)),
        max_size=4,
    ).map(tuple)
)
PATHS = st.text("/ab", max_size=6)
VALUES = PATHS | PATHS.map(str.encode) | st.sampled_from([5, None, b"\xff", "é"])
MESSAGES = st.fixed_dictionaries(
    {}, optional={"path": PATHS, "method": VALUES, "order": VALUES}
) | st.fixed_dictionaries({"path": VALUES})


def build(entries: tuple[Entry, ...]) -> list[Any]:
    built: list[Any] = []
    for entry in entries:
        if isinstance(entry, AnInclude):
            built.append(include(build(entry.inside), **entry.prefixes))
        elif isinstance(entry, ARoute):
            built.append(route(list(entry.channels), CONSUMERS[entry.consumer], **entry.filters))
        else:
            built.append(entry)
    return built


@given(ENTRIES, ENTRIES, st.lists(MESSAGES, min_size=1, max_size=5))
def test_given_any_routing_and_message_expect_the_reference_s_answer(
    entries: tuple[Entry, ...], added: tuple[Entry, ...], messages: list[dict[str, Any]]
) -> None:
    router = Router(build(entries))
    for late in build(added):
        router.add_route(late)
    for content in messages:
        for channel in CHANNELS:
            expected = reference(entries + added, channel, content)
            message = make_message(channel, **content)
            found = router.match(message)
            assert (found and (CONSUMERS.index(found[0]), found[1])) == expected
            assert message.content == content
            event("matched" if expected else "not matched")


@given(ENTRIES)
def test_given_any_routing_expect_the_channels_of_its_routes(entries: tuple[Entry, ...]) -> None:
    def names(entry: Entry) -> set[str]:
        if isinstance(entry, AnInclude):
            return set().union(*map(names, entry.inside))
        return set(entry.channels)

    assert Router(build(entries)).channels == set().union(*map(names, entries))
