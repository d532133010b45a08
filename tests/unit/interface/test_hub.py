"""The hub: order, groups, fan-out, and sockets that misbehave."""

import logging
from collections.abc import Mapping
from typing import Any

import pytest

from channelcelery.core.inbox import GroupEntry, JoinEntry, LeaveEntry, RepliesEntry
from channelcelery.core.membership import Changes
from channelcelery.core.websocket import State
from channelcelery.interface import hub as hub_module
from channelcelery.interface.events import Plan
from channelcelery.interface.faults import Faults
from channelcelery.interface.hub import Hub


class FakeSocket:
    """Keeps what the hub does with it."""

    def __init__(self, token: str, state: State = State.OPEN, error: Exception | None = None) -> None:
        self.token, self.path, self.state, self.error = token, f"/{token}", state, error
        self.done: list[Any] = []

    def _do(self, *what: Any) -> None:
        if self.error is not None:
            raise self.error
        self.done.append(what[0] if len(what) == 1 else what)

    def deliver(self, reply: Mapping[str, Any]) -> None:
        self._do(dict(reply))

    def execute(self, plan: Plan) -> None:
        self._do(plan)

    def close(self, code: int, *, quietly: bool = False) -> None:
        self._do("close", code, quietly)

    def lose(self) -> None:
        self._do("lose")

    def sweep(self) -> None:
        self._do("sweep")

    def end(self) -> None:
        self._do("end")


class Harness:
    def __init__(self, *tokens: str) -> None:
        self.faults = Faults()
        self.changed = 0
        self.hub = Hub(self.faults, self._count)
        self.sockets = [FakeSocket(token) for token in tokens]
        for socket in self.sockets:
            self.hub.add(socket)

    def _count(self) -> None:
        self.changed += 1

    def apply(self, *entries: Any) -> int:
        """Apply entries and return in how many places that paused."""
        return sum(len(list(self.hub.apply(entry))) for entry in entries)


def plans(socket: FakeSocket) -> list[list[Any]]:
    return [list(plan.events) for plan in socket.done]


def test_replies_reach_their_sockets_in_order() -> None:
    it = Harness("a", "b")
    it.apply(RepliesEntry((("a", {"text": "1"}), ("b", {"text": "2"}), ("a", {"text": "3"}))))
    assert [socket.done for socket in it.sockets] == [[{"text": "1"}, {"text": "3"}], [{"text": "2"}]]
    assert (it.hub.replies, it.hub.group_sends) == (3, 0)


def test_a_reply_to_a_socket_that_is_gone_is_dropped_and_counted() -> None:
    """Item 63."""
    it = Harness("a")
    it.apply(RepliesEntry((("x", {"text": "1"}), ("a", {"text": "2"}))))
    assert it.sockets[0].done == [{"text": "2"}]
    assert it.faults.dropped["socket_gone"] == 1


def test_a_group_send_reaches_who_is_in_it_at_that_point_of_the_stream() -> None:
    it = Harness("a", "b")
    a, b = it.sockets
    it.apply(
        GroupEntry("g", {"text": "0"}),
        JoinEntry("g", "a"),
        GroupEntry("g", {"text": "1"}),
        JoinEntry("g", "b"),
        JoinEntry("g", "b"),
        GroupEntry("g", {"text": "2"}),
        LeaveEntry("g", "a"),
        LeaveEntry("g", "a"),
        GroupEntry("g", {"text": "3"}),
        GroupEntry("other", {"text": "4"}),
    )
    sent = [[[event["text"] for event in events] for events in plans(socket)] for socket in (a, b)]
    assert sent == [[["1"], ["2"]], [["2"], ["3"]]]
    # counted as they came, whoever is in the group
    assert (it.hub.replies, it.hub.group_sends) == (0, 5)


def test_a_response_for_a_group_reaches_the_requests_in_it_and_no_socket() -> None:
    """Item 97: and what is for sockets reaches the requests too, which judge for themselves."""
    it = Harness("a", "http.b")
    socket, request = it.sockets
    request.state = State.CONNECTING
    it.apply(JoinEntry("g", "a"), JoinEntry("g", "http.b"), JoinEntry("polls", "http.b"))
    it.apply(GroupEntry("g", {"status": 200, "content": b"news"}))
    assert (socket.done, request.done) == ([], [{"status": 200, "content": b"news"}])
    assert it.faults.dropped == {"bad_reply": 1}
    it.apply(GroupEntry("polls", {"status": 204}), GroupEntry("g", {"text": "hello"}))
    assert len(plans(socket)) == 1
    assert request.done[1:] == [{"status": 204}, {"text": "hello"}]
    assert it.faults.dropped == {"bad_reply": 1}


def test_a_group_send_is_decided_and_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Harness(*(f"s{n}" for n in range(300)))
    decisions: list[Any] = []
    decide = hub_module.decide
    monkeypatch.setattr(hub_module, "decide", lambda *values: decisions.append(values) or decide(*values))
    it.apply(*(JoinEntry("g", socket.token) for socket in it.sockets), GroupEntry("g", {"text": "x"}))
    assert len(decisions) == 1
    first, *others = (socket.done[0].events[0] for socket in it.sockets)
    assert all(event is first for event in others), "one event is shared by all"


def test_members_that_are_not_open_decide_for_themselves() -> None:
    """Item 129: a group's message may accept a socket; and a closed one takes nothing."""
    it = Harness("a", "b", "c")
    it.sockets[1].state, it.sockets[2].state = State.CONNECTING, State.CLOSED
    it.apply(*(JoinEntry("g", token) for token in "abc"), GroupEntry("g", {"text": "x"}))
    assert plans(it.sockets[0]) == [[{"type": "websocket.send", "text": "x"}]]
    assert [socket.done for socket in it.sockets[1:]] == [[{"text": "x"}]] * 2


def test_a_bad_group_send_is_reported_once_and_reaches_nobody(caplog: pytest.LogCaptureFixture) -> None:
    it = Harness("a", "b")
    it.apply(JoinEntry("g", "a"), JoinEntry("g", "b"), GroupEntry("g", {"id": 7, "content": "secret"}))
    assert [socket.done for socket in it.sockets] == [[], []]
    assert it.faults.dropped == {"bad_reply": 1}
    assert "unknown keys 'content', 'id'" in caplog.text
    assert "secret" not in caplog.text


def test_a_join_for_a_socket_that_closed_makes_the_hub_leave() -> None:
    it = Harness("a")
    it.hub.changes.take()
    before = it.changed
    it.apply(JoinEntry("g", "x"), GroupEntry("g", {"text": "1"}))
    assert it.hub.changes.take() == Changes({}, set(), {("g", "x")})
    assert it.changed == before + 1
    assert it.hub.groups() == {}


def test_what_it_holds_is_counted_by_kind() -> None:
    it = Harness("a", "http.b", "http.c", "d", "e")
    it.apply(JoinEntry("g", "a"), JoinEntry("g", "http.b"), JoinEntry("h", "a"))
    assert it.hub.counts() == {"websocket": 3, "http": 2}
    assert it.hub.group_count == 2
    it.hub.remove("a")
    assert it.hub.counts() == {"websocket": 2, "http": 2}
    assert it.hub.group_count == 1


def test_a_socket_that_goes_leaves_its_groups() -> None:
    """Item 57."""
    it = Harness("a", "b")
    it.apply(JoinEntry("g", "a"), JoinEntry("h", "a"), JoinEntry("h", "b"))
    it.hub.changes.take()
    it.hub.remove("a")
    it.hub.remove("a")
    assert it.hub.changes.take() == Changes({}, {"a"}, {("g", "a"), ("h", "a")})
    assert (it.hub.channels(), it.hub.groups(), len(it.hub)) == ({"b": "/b"}, {"h": ("b",)}, 1)


@pytest.mark.parametrize("error", [RuntimeError("boom"), ValueError(), KeyError("x"), OSError()])
def test_a_socket_that_raises_ends_nobody_else(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    it = Harness("a", "b", "c")
    it.sockets[1].error = error
    it.apply(
        *(JoinEntry("g", token) for token in "abc"),
        GroupEntry("g", {"text": "x"}),
        RepliesEntry(tuple((token, {"text": "y"}) for token in "abc")),
    )
    assert len(it.sockets[0].done) == len(it.sockets[2].done) == 2
    assert it.faults.dropped["socket_error"] == 2
    assert [record.levelno for record in caplog.records] == [logging.WARNING], "two in one burst are one line"


def test_a_large_fan_out_pauses_between_slices() -> None:
    it = Harness(*(f"s{n}" for n in range(1000)))
    it.apply(*(JoinEntry("g", socket.token) for socket in it.sockets))
    assert it.apply(GroupEntry("g", {"text": "x"})) == 3
    assert all(len(socket.done) == 1 for socket in it.sockets)


def test_sockets_that_go_while_a_fan_out_pauses_are_passed_over() -> None:
    it = Harness(*(f"s{n}" for n in range(600)))
    it.apply(*(JoinEntry("g", socket.token) for socket in it.sockets))
    steps = it.hub.apply(GroupEntry("g", {"text": "x"}))
    next(steps)
    undone = [socket for socket in it.sockets if not socket.done]
    for socket in undone:
        socket.state = State.CLOSED
        it.hub.remove(socket.token)
    list(steps)
    assert len(undone) == 600 - 256
    assert not any(socket.done for socket in undone)


def test_requests_that_go_while_a_fan_out_pauses_are_passed_over() -> None:
    """Item 97: given requests that still wait for an answer when others of their group have theirs."""
    it = Harness(*(f"http.{n}" for n in range(300)))
    for request in it.sockets:
        request.state = State.CONNECTING
    it.apply(*(JoinEntry("g", request.token) for request in it.sockets))
    steps = it.hub.apply(GroupEntry("g", {"status": 200}))
    next(steps)
    undone = [request for request in it.sockets if not request.done]
    for request in undone:
        it.hub.remove(request.token)
    list(steps)
    assert len(undone) == 300 - 256
    assert not any(request.done for request in undone)


def test_abandon_closes_all_and_forgets_them() -> None:
    """Given one socket that Redis knows of and one that it does not, Expect the first to close quietly only."""
    it = Harness("known")
    it.apply(JoinEntry("g", "known"))
    it.hub.changes.take()
    unknown = FakeSocket("unknown")
    it.hub.add(unknown)
    it.hub.abandon(1012)
    assert it.sockets[0].done == [("close", 1012, True)]
    assert unknown.done == [("close", 1012, False)]
    assert (it.hub.channels(), it.hub.groups()) == ({}, {})
    assert not it.hub.changes
    it.hub.remove("known")
    assert not it.hub.changes, "it is not the new name's to report"


def test_close_sweep_and_end_reach_every_socket_whichever_raises() -> None:
    it = Harness("a", "bad", "b")
    it.sockets[1].error = RuntimeError("boom")
    it.hub.close_all(1012)
    it.hub.sweep()
    it.hub.end_all()
    assert [socket.done for socket in it.sockets[::2]] == [[("close", 1012, False), "sweep", "end"]] * 2
    it.hub.abandon(1012)
    assert len(it.hub) == 0
    assert it.faults.dropped == {"socket_error": 4}


def test_given_a_join_expect_the_socket_s_own_token_held() -> None:
    """Another text of the same letters would take memory for each membership, and be compared at each delivery."""
    it = Harness("token")
    for _ in it.hub.apply(JoinEntry("g", "".join(["tok", "en"]))):
        pass
    [member] = it.hub.groups()["g"]
    assert member is it.sockets[0].token
