"""The node: Redis that is away, forgets, or takes the process for dead, with sockets open."""

import asyncio
import itertools
import logging
import threading
from dataclasses import replace
from typing import Any

import pytest

from channelcelery.core.inbox import GroupEntry, JoinEntry, RepliesEntry
from channelcelery.core.names import ReplyAddress
from channelcelery.exceptions import InvalidChannelLayerError, LayerUnavailable
from channelcelery.interface.node import Node
from channelcelery.layers.base import Orphan
from channelcelery.layers.inbox import Beat
from tests.unit.interface.fakes import FakeInbox, FakeServer, FakeTransport, World, accepted, closed, run, text, until


class FakeLayer:
    """What a node needs of a layer: inboxes, names, and the dead to be cleared."""

    def __init__(self, world: World) -> None:
        self.config, self.alias = world.config, "default"
        self.replies = self
        self.calls: list[tuple[Any, ...]] = []
        self.inboxes: list[FakeInbox] = []
        self.orphans: list[list[Orphan]] = []
        self.reap_error: Exception | None = None
        self.broker_error: Exception | None = None
        self.reaped_on: set[str] = set()
        self._names = (f"n{number}" for number in itertools.count(1))
        self.away = False

    def new_node(self) -> str:
        return next(self._names)

    def make_inbox(self, node: str) -> FakeInbox:
        inbox = FakeInbox(node, self.calls)
        inbox.away = self.away
        self.inboxes.append(inbox)
        return inbox

    def check_broker(self) -> None:
        if self.broker_error is not None:
            raise self.broker_error

    def reap(self) -> list[Orphan]:
        self.reaped_on.add(threading.current_thread().name)
        if self.reap_error is not None:
            raise self.reap_error
        return self.orphans.pop() if self.orphans else []

    def group_discard(self, group: str, channel: str) -> None:
        self.calls.append(("discard", group, channel))

    def called(self, name: str) -> list[tuple[Any, ...]]:
        return [call[1:] for call in self.calls if call[0] == name]


class Process:
    """A node with its hub, and sockets that are opened in it."""

    def __init__(self, **config: Any) -> None:
        self.world = World(**{"heartbeat": 0.02, **config})
        self.layer = FakeLayer(self.world)
        self.node = Node(self.layer, self.world.intake, self.world.faults)  # type: ignore[arg-type]
        self.world.hub = self.node.hub
        around = self.world.around
        self.world.around = replace(around, node=self.node, hub=self.node.hub, errands=self.node.errands)

    @property
    def inbox(self) -> FakeInbox:
        return self.layer.inboxes[-1]

    async def start(self) -> None:
        self.node.start()
        await until(lambda: self.node.ready)

    async def open(self) -> tuple[FakeServer, str, asyncio.Task[None]]:
        server = FakeServer()
        token, task = await self.world.open(server)
        return server, token, task


def test_replies_and_groups_arrive_in_order() -> None:
    async def main() -> None:
        it = Process()
        await it.start()
        server, token, _ = await it.open()
        it.inbox.push(
            RepliesEntry(((token, {"text": "1"}),)),
            JoinEntry("g", token),
            GroupEntry("g", {"text": "2"}),
            RepliesEntry(((token, {"text": "3"}),)),
        )
        await until(lambda: len(server.sent) == 4)
        assert server.sent == [accepted(), text("1"), text("2"), text("3")]
        await it.node.close()

    run(main)


def test_changes_are_gathered_into_one_record() -> None:
    async def main() -> None:
        it = Process()
        await it.start()
        sockets = [await it.open() for _ in range(5)]
        await until(lambda: it.layer.called("record"))
        await until(lambda: not it.node.hub.changes)
        opened = {t for _, recorded, _, _ in it.layer.called("record") for t in recorded}
        assert opened == {token for _, token, _ in sockets}
        assert len(it.layer.called("record")) < 5
        await it.node.close()

    run(main)


def test_redis_that_is_down_at_the_start_is_tried_until_it_is_up(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        it = Process()
        it.inbox.away = True
        it.node.start()
        await until(lambda: len(it.layer.called("open")) >= 3)
        assert not it.node.ready
        it.inbox.away = False
        await until(lambda: it.node.ready)
        await it.node.close()

    run(main)
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1


def test_a_node_can_be_opened_before_it_is_started() -> None:
    """Expect it to be ready from the first turn of the loop on, and to be opened once."""

    async def main() -> None:
        it = Process()
        await it.node.open()
        it.node.start()
        await until(lambda: it.node.ready)
        assert len(it.layer.called("open")) == 1
        await it.node.close()

    run(main)


def test_redis_that_is_down_is_no_error_then() -> None:
    async def main() -> None:
        it = Process()
        it.inbox.away = True
        await it.node.open()
        it.node.start()
        it.inbox.away = False
        await until(lambda: it.node.ready)
        await it.node.close()

    run(main)


def test_settings_that_cannot_work_are_an_error_then_and_said_later(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        it = Process()
        it.layer.broker_error = InvalidChannelLayerError("default", "CONFIG", "other brokers")
        with pytest.raises(InvalidChannelLayerError):
            await it.node.open()
        it.node.start()
        await until(lambda: it.world.faults.dropped["layer_invalid"] >= 2)
        assert not it.node.ready
        it.layer.broker_error = None
        await until(lambda: it.node.ready)
        await it.node.close()

    run(main)
    assert "other brokers" in caplog.text
    assert "Traceback" not in caplog.text


def test_redis_that_goes_away_is_asked_by_a_beat_before_it_is_read_again() -> None:
    async def main() -> None:
        it = Process(heartbeat=60, node_expiry=120)
        await it.start()
        server, token, _ = await it.open()
        it.inbox.away = True
        it.inbox.there.set()
        await until(lambda: not it.node.ready)
        assert server.sent == [accepted()], "sockets stay"
        it.layer.calls.clear()
        it.inbox.push(RepliesEntry(((token, {"text": "1"}),)))
        it.inbox.away = False
        await until(lambda: it.node.ready and len(server.sent) == 2)
        names = [call[0] for call in it.layer.calls]
        assert names.index("beat") < names.index("read")
        await it.node.close()

    run(main)


def test_changes_wait_for_redis_and_are_told_once_it_is_back() -> None:
    async def main() -> None:
        it = Process()
        await it.start()
        server, token, task = await it.open()
        await until(lambda: not it.node.hub.changes and not it.node._recorder)
        it.inbox.push(JoinEntry("g", token))
        await until(lambda: it.node.hub.groups())
        it.inbox.away = True
        it.layer.calls.clear()
        server.disconnect()
        await task
        await until(lambda: it.layer.called("record"))
        it.inbox.away = False
        await until(lambda: not it.node.hub.changes and not it.node._recorder)
        assert it.layer.called("record")[-1] == ("n1", {}, {token}, {("g", token)})
        await it.node.close()

    run(main)


def test_lost_data_is_written_again_with_the_sockets_open() -> None:
    async def main() -> None:
        it = Process()
        await it.start()
        server, token, task = await it.open()
        it.inbox.push(JoinEntry("g", token))
        await until(lambda: it.node.hub.groups())
        it.inbox.beats.append(Beat.LOST)
        await until(lambda: it.layer.called("rebuild"))
        assert it.layer.called("rebuild") == [("n1", {token: "/chat/"}, {"g": {token}})]
        await asyncio.sleep(0.05)
        assert len(it.layer.called("rebuild")) == 1
        assert not task.done()
        assert server.sent == [accepted()]
        await it.node.close()

    run(main)


def test_connections_are_told_that_data_was_lost_before_more_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a Redis that comes back empty, with an entry behind what is lost: expect no response with a hole in it."""
    told: list[str] = []
    monkeypatch.setattr("channelcelery.interface.session.Session.lose", lambda session: told.append("lost"))
    monkeypatch.setattr(
        "channelcelery.interface.session.Session.deliver", lambda session, reply: told.append(reply["text"])
    )

    async def main() -> None:
        it = Process()
        await it.start()
        server = FakeServer()
        it.world.connect(server)
        (token,) = await until(it.node.hub.channels)
        it.inbox.beats.append(Beat.LOST)
        it.inbox.away = True
        it.inbox.there.set()
        await until(lambda: not it.node.ready)
        it.inbox.push(RepliesEntry(((token, {"text": "after"}),)))
        it.inbox.away = False
        await until(lambda: "after" in told)
        assert told == ["lost", "after"]
        await it.node.close()

    run(main)


def test_what_a_rebuild_says_is_not_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("channelcelery.interface.node._GATHER", 60)

    async def main() -> None:
        it = Process()
        await it.start()
        _, token, _ = await it.open()
        assert it.node.hub.changes
        it.inbox.beats.append(Beat.LOST)
        await until(lambda: it.layer.called("rebuild"))
        assert it.layer.called("rebuild") == [("n1", {token: "/chat/"}, {})]
        assert not it.node.hub.changes
        await it.node.close()

    run(main)


def test_sockets_that_cannot_finish_closing_are_ended_now_and_then() -> None:
    async def main() -> None:
        it, transport = Process(), FakeTransport(buffered=1)
        await it.start()
        server = FakeServer(transport=transport)
        await it.world.open(server)
        transport.closing = True
        await until(lambda: transport.aborted)
        server.disconnect()
        await it.node.close()

    run(main)


def test_a_rebuild_that_fails_is_tried_again() -> None:
    async def main() -> None:
        it = Process()
        await it.start()
        await it.open()
        rebuild, failures = it.inbox.rebuild, iter([LayerUnavailable("x"), RuntimeError("y"), None])

        async def failing(*values: Any) -> None:
            if error := next(failures):
                raise error
            await rebuild(*values)

        it.inbox.rebuild = failing  # type: ignore[method-assign]
        it.inbox.beats.append(Beat.LOST)
        await until(lambda: it.layer.called("rebuild"))
        await it.node.close()

    run(main)


def test_a_node_taken_for_dead_closes_its_sockets_and_takes_a_new_name() -> None:
    """Given sockets that Redis knew of, Expect 1012, no disconnect of ours, and a new life."""

    async def main() -> None:
        it = Process()
        await it.start()
        server, token, task = await it.open()
        it.inbox.push(JoinEntry("g", token))
        await until(lambda: it.node.hub.groups() and not it.node.hub.changes and not it.node._recorder)
        old = it.inbox
        old.beats.append(Beat.DEAD)
        await task
        assert server.sent == [accepted(), closed(1012)]
        assert it.world.publisher.channels == ["connect"]
        await until(lambda: it.node.ready)
        assert it.node.name == "n2"
        assert it.layer.called("close") == [("n1",)]
        assert (it.node.hub.channels(), it.node.hub.groups()) == ({}, {})
        _, new_token, _ = await it.open()
        connect = it.world.publisher.contents("connect")[-1]
        assert connect["reply_channel"] == ReplyAddress("n2", new_token).channel()
        await until(lambda: it.layer.called("record")[-1][0] == "n2")
        assert it.layer.called("record")[-1][1:] == ({new_token: "/chat/"}, set(), set())
        await it.node.close()

    run(main)


def test_unexpected_errors_end_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        it = Process()
        await it.start()
        server, token, _ = await it.open()
        read = it.inbox.read
        errors = iter([RuntimeError("a"), KeyError("b")])

        async def raising() -> Any:
            for error in errors:
                raise error
            return await read()

        it.inbox.read = raising  # type: ignore[method-assign]
        await until(lambda: it.world.faults.dropped["layer_error"] == 2)
        it.inbox.push(RepliesEntry(((token, {"text": "1"}),)))
        await until(lambda: len(server.sent) == 2)
        await it.node.close()

    run(main)
    assert "Traceback" in caplog.text


def test_connections_of_dead_nodes_are_disconnected_without_an_order() -> None:
    """Items 94 and 116: sockets, and HTTP requests by a channel of their own."""

    async def main() -> None:
        it = Process()
        tokens = ["t0", "t1", "http.t2"]
        it.layer.orphans = [[Orphan(ReplyAddress("gone", token), f"/{token}") for token in tokens]]
        await it.start()
        await until(lambda: len(it.world.publisher.taken) == 3)
        assert it.world.publisher.taken == [
            ("disconnect", {"reply_channel": "websocket.send!gone.t0", "path": "/t0", "code": 1006}),
            ("disconnect", {"reply_channel": "websocket.send!gone.t1", "path": "/t1", "code": 1006}),
            ("http.disconnect", {"reply_channel": "http.response!gone.http.t2", "path": "/http.t2"}),
        ]
        assert threading.current_thread().name not in it.layer.reaped_on
        await it.node.close()

    run(main)


@pytest.mark.parametrize("error", [LayerUnavailable("x"), RuntimeError("y")])
def test_a_failure_to_clear_the_dead_is_survived_and_tried_again(error: Exception) -> None:
    async def main() -> None:
        it = Process()
        it.layer.reap_error = error
        await it.start()
        await until(lambda: it.layer.reaped_on)
        it.layer.reap_error = None
        it.layer.orphans = [[Orphan(ReplyAddress("gone", "t"), "/")]]
        await until(lambda: it.world.publisher.taken)
        await it.node.close()

    run(main)


def test_memberships_that_nobody_renewed_end_in_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Item 58: given one that is renewed all the time and one that is not, expect the second to be ended."""

    async def main() -> None:
        process = Process(group_expiry=1, connection_lifetime=60)
        await process.start()
        _, token, task = await process.open()
        process.inbox.push(JoinEntry("left", token))
        while not process.layer.called("discard"):
            process.inbox.push(JoinEntry("kept", token))
            await asyncio.sleep(0.01)
        channel = ReplyAddress("n1", token).channel()
        assert set(process.layer.called("discard")) == {("left", channel)}
        await process.node.close()
        await task

    run(main)


def test_close_closes_sockets_publishes_their_disconnects_and_removes_the_node() -> None:
    async def main() -> None:
        it = Process()
        await it.start()
        sockets = [await it.open() for _ in range(3)]
        await it.node.close()
        assert all(server.sent == [accepted(), closed(1012)] for server, _, _ in sockets)
        assert [content["code"] for content in it.world.publisher.contents("disconnect")] == [1012] * 3
        assert it.layer.called("close") == [("n1",)]
        assert not it.node.ready
        await until(lambda: len(asyncio.all_tasks()) == 1)

    run(main)


def test_close_does_not_wait_for_servers_that_do_not_report_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("channelcelery.interface.endings.LAST_WORDS", 0.05)

    async def main() -> None:
        it = Process()
        await it.start()
        server = FakeServer(reports_closes=False)
        _, task = await it.world.open(server)
        await it.node.close()
        async with asyncio.timeout(2):
            await task
        assert [content["code"] for content in it.world.publisher.contents("disconnect")] == [1012]

    run(main)


def test_close_while_redis_is_away_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("channelcelery.interface.endings.LAST_WORDS", 0.05)

    async def main() -> None:
        it = Process()
        it.inbox.away = True
        it.node.start()
        await until(lambda: it.layer.called("open"))
        await it.node.close()
        await until(lambda: len(asyncio.all_tasks()) == 1)

    run(main)


def test_a_large_batch_lets_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("channelcelery.interface.node._TURN", 0.0)

    async def main() -> None:
        it = Process()
        await it.start()
        server, token, _ = await it.open()
        turns = 0

        async def count() -> None:
            nonlocal turns
            while len(server.sent) < 101:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.ensure_future(count())
        it.inbox.push(*(RepliesEntry(((token, {"text": str(n)}),)) for n in range(100)))
        await counting
        assert turns > 50
        assert [event["text"] for event in server.sent[1:]] == [str(n) for n in range(100)]
        await it.node.close()

    run(main)


def test_what_ended_before_a_rebuild_is_still_told_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("channelcelery.interface.node._GATHER", 60)

    async def main() -> None:
        it = Process()
        await it.start()
        it.node.hub.changes.leave([("g", "gone")])
        it.inbox.beats.append(Beat.LOST)
        await until(lambda: it.layer.called("rebuild"))
        assert it.node.hub.changes.left == {("g", "gone")}
        await it.node.close()

    run(main)
