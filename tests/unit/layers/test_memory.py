"""Who is woken by what in memory; the contract suite has the rest."""

from collections.abc import Callable

import pytest

from channelcelery.conf import LayerConfig
from channelcelery.core.sends import GroupSend, ReplySend
from channelcelery.layers.memory import MemoryReplyStore

MEMBER = "websocket.send!a.t"


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.deliver([ReplySend(MEMBER, "a", "t", b"\x80", False)]),
        lambda store: store.deliver([GroupSend("g", b"\x80")]),
        lambda store: store.group_add("h", MEMBER),
        lambda store: store.group_discard("h", MEMBER),
    ],
    ids=["reply", "group", "join", "leave"],
)
def test_a_reader_is_woken_once_by_what_is_for_it(change: Callable[[MemoryReplyStore], None]) -> None:
    """Given readers of two inboxes, both empty. Expect a change for the one to wake it and not the other, and once."""
    store = MemoryReplyStore(LayerConfig("default", "memory"))
    woken: list[str] = []
    for node in ("a", "b"):
        store.state.refresh(node, now=float("inf"))
    store.group_add("g", MEMBER)
    assert store.take("a", lambda: woken.append("too early"))
    for node in ("a", "b"):
        assert not store.take(node, lambda node=node: woken.append(node))  # type: ignore[misc]

    change(store)
    change(store)

    assert woken == ["a"]


def test_a_reader_that_stopped_is_not_woken() -> None:
    store = MemoryReplyStore(LayerConfig("default", "memory"))
    store.state.refresh("a", now=float("inf"))
    store.take("a", lambda: pytest.fail("woken"))
    store.stop_waiting("a")

    store.group_add("g", MEMBER)
