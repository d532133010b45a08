"""How interface processes are, as operators see it: one suite over memory and Redis."""

import asyncio
from typing import Any

from channelcelery.layers.base import NodeStatus
from tests.contract.reply_backends import Backend, channel, close_all, group_send, open_all, read, reply
from tests.contract.test_replies import backend, make

__all__ = ["backend", "make"]


def shown(status: NodeStatus) -> tuple[Any, ...]:
    return status.node, status.alive, status.connections, status.groups, status.entries


def test_given_no_interface_process_expect_none(backend: Backend) -> None:
    assert backend.store.status() == []
    assert [shown(each) for each in backend.store.status("gone")] == [("gone", False, 0, 0, 0)]


def test_given_connections_groups_and_messages_expect_them_counted(backend: Backend) -> None:
    async def scenario() -> None:
        inboxes = [backend.inbox(name) for name in ("a", "b")]
        await open_all(*inboxes)
        await inboxes[0].record({"t": "/", "u": "/"}, (), ())
        for name in ("x", "y"):
            backend.store.group_add(name, channel("a"))
        backend.store.deliver([reply("a"), group_send("x")])
        await asyncio.sleep(0.05)
        first, second = sorted(backend.store.status(), key=lambda each: each.node)
        # two joins, a reply and a group send
        assert (shown(first), shown(second)) == (("a", True, 2, 2, 4), ("b", True, 0, 0, 0))
        assert first.bytes > 20
        assert second.bytes == second.lag == 0
        assert 0.02 < first.lag < 5 or backend.store.__class__.__name__ == "MemoryReplyStore"
        assert [shown(each) for each in backend.store.status("a")] == [shown(first)]
        await close_all(inboxes)
        assert backend.store.status() == []

    asyncio.run(scenario())


def test_given_an_inbox_that_was_read_expect_nothing_waiting(backend: Backend) -> None:
    async def scenario() -> None:
        inbox = backend.inbox("a")
        await open_all(inbox)
        backend.store.deliver([reply("a")])
        await read(inbox, 1)
        deadline = asyncio.get_running_loop().time() + 5
        while backend.store.status("a")[0].entries and asyncio.get_running_loop().time() < deadline:
            await inbox.read()  # which takes what was read out of the inbox, a moment later
        [status] = backend.store.status("a")
        assert (status.entries, status.bytes, status.lag) == (0, 0, 0.0)
        await close_all([inbox])

    asyncio.run(scenario())


def test_given_a_node_without_a_sign_of_life_expect_it_dead_until_it_is_cleared(backend: Backend) -> None:
    async def scenario() -> None:
        inbox = backend.inbox("a")
        await open_all(inbox)
        await inbox.record({"t": "/"}, (), ())
        backend.kill("a")
        assert [shown(each) for each in backend.store.status()] == [("a", False, 1, 0, 0)]
        backend.store.reap()
        assert backend.store.status() == []
        await close_all([inbox])

    asyncio.run(scenario())
