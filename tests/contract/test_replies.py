"""Replies and groups: one suite over memory and Redis."""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from channelcelery.core.inbox import GroupEntry, RepliesEntry
from channelcelery.core.names import ReplyAddress
from channelcelery.layers.base import Delivered, Orphan
from channelcelery.layers.inbox import Beat, Inbox
from tests.contract.reply_backends import (
    Backend,
    MemoryBackend,
    RedisBackend,
    channel,
    close_all,
    config_of,
    flat,
    group_send,
    open_all,
    read,
    read_all,
    reply,
    until,
)

Make = Callable[..., Backend]


@pytest.fixture(params=["memory", "redis"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes a backend; arguments are keys of CONFIG."""
    made: list[Backend] = []

    def backend(**values: Any) -> Backend:
        if request.param == "redis":
            values["hosts"] = [request.getfixturevalue("redis_url")]
            made.append(RedisBackend(config_of("redis", **values)))
        else:
            made.append(MemoryBackend(config_of("memory", **values)))
        return made[-1]

    yield backend
    for one in made:
        one.close()


@pytest.fixture
def backend(make: Make) -> Backend:
    """A backend with default settings."""
    return make()


@asynccontextmanager
async def nodes(backend: Backend, *names: str) -> AsyncIterator[list[Inbox]]:
    """Interface processes for the length of a block."""
    inboxes = [backend.inbox(name) for name in names]
    await open_all(*inboxes)
    try:
        yield inboxes
    finally:
        await close_all(inboxes)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 60))


class TestOrder:
    def test_replies_joins_leaves_and_group_sends_keep_their_order(self, backend: Backend) -> None:
        """Item 61."""

        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                store = backend.store
                store.deliver([reply("a", "1"), reply("a", "2", token="u")])
                store.group_add("g", channel("a"))
                store.deliver([reply("a", "3"), group_send("g", "4"), reply("a", "5")])
                store.group_discard("g", channel("a"))
                store.deliver([reply("a", "6")])

                assert await read_all(inbox, store) == [
                    ("reply", "t", "1"),
                    ("reply", "u", "2"),
                    ("join", "g", "t"),
                    ("reply", "t", "3"),
                    ("group", "g", "4"),
                    ("reply", "t", "5"),
                    ("leave", "g", "t"),
                    ("reply", "t", "6"),
                ]

        run(scenario())

    def test_replies_of_one_flush_share_an_entry(self, backend: Backend) -> None:
        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                backend.store.deliver([reply("a", str(number)) for number in range(64)])

                [entry] = await read(inbox, 1)
                assert isinstance(entry, RepliesEntry)
                assert [content["text"] for _, content in entry.replies] == [str(number) for number in range(64)]

        run(scenario())

    def test_threads_keep_their_own_order(self, backend: Backend) -> None:
        """Given four threads that send to one node. Expect each one's messages in its order, and none lost."""

        def send(token: str) -> None:
            for number in range(100):
                backend.store.deliver([reply("a", number, token=token)])

        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                await asyncio.gather(*(asyncio.to_thread(send, token) for token in "1234"))

                seen = await read_all(inbox, backend.store)
                for token in "1234":
                    assert [number for _, t, number in seen if t == token] == list(range(100))

        run(scenario())

    def test_a_waiting_reader_is_woken_by_another_thread(self, backend: Backend) -> None:
        """Given a reader that waits, the inbox empty. If another thread sends, expect the reader to have it."""

        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                reading = asyncio.create_task(read(inbox, 1))
                await asyncio.sleep(0.1)
                thread = threading.Thread(target=backend.store.deliver, args=([reply("a", "hi")],))
                thread.start()

                assert flat(await reading) == [("reply", "t", "hi")]
                thread.join()

        run(scenario())

    def test_an_empty_inbox_gives_nothing_after_a_while(self, backend: Backend) -> None:
        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                assert not await inbox.read()

        run(scenario())


class TestContent:
    def test_bytes_and_text_survive_at_every_depth(self, backend: Backend) -> None:
        """Item 22."""
        content = {
            "bytes": b"\x00\xff",
            "text": "\0é🙂",
            "deep": [{"b": b"\xfe", "t": "ü", "n": None}, [1, -1.5, True]],
        }

        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                backend.store.group_add("g", channel("a"))
                backend.store.deliver([reply("a", content), group_send("g", content)])

                _, replied, sent = await read(inbox, 3)
                assert isinstance(replied, RepliesEntry)
                assert isinstance(sent, GroupEntry)
                assert replied.replies == (("t", content),)
                assert sent.content == content

        run(scenario())

    def test_what_cannot_be_read_is_skipped_counted_and_logged_once(
        self, backend: Backend, caplog: pytest.LogCaptureFixture
    ) -> None:
        garbage = [
            {b"r": b"\xc1"},
            {b"r": b"\x92\xa1t\x01"},
            {b"g": b"g"},
            {b"g": b"\xff", b"b": b"\x80"},
            {b"j": b"g"},
            {b"": b""},
            {b"unknown": b"\xff" * 1000},
        ]

        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                backend.store.deliver([reply("a", "before")])
                for fields in garbage:
                    backend.put_raw("a", fields)
                backend.store.deliver([reply("a", "after")])

                assert await read_all(inbox, backend.store) == [("reply", "t", "before"), ("reply", "t", "after")]
                assert getattr(inbox, "skipped", None) == len(garbage)

        with caplog.at_level(logging.WARNING, "django.channels"):
            run(scenario())
        assert sum("unreadable" in record.getMessage() for record in caplog.records) == 1


class TestGroups:
    def test_a_member_gets_what_is_sent_after_it_was_added(self, backend: Backend) -> None:
        """Item 31."""

        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                store = backend.store
                store.deliver([group_send("g", "before")])
                store.group_add("g", channel("a"))
                store.deliver([group_send("g", "while")])
                store.group_discard("g", channel("a"))
                store.deliver([group_send("g", "after")])

                assert await read_all(inbox, store) == [
                    ("join", "g", "t"),
                    ("group", "g", "while"),
                    ("leave", "g", "t"),
                ]
                assert store.group_channels("g") == []

        run(scenario())

    def test_adding_twice_changes_nothing(self, backend: Backend) -> None:
        """Item 29."""

        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                store = backend.store
                store.group_add("g", channel("a"))
                store.group_add("g", channel("a"))
                store.deliver([group_send("g")])
                assert store.group_channels("g") == [channel("a")]
                store.group_discard("g", channel("a"))
                store.deliver([group_send("g")])

                assert store.group_channels("g") == []
                seen = Counter(kind for kind, *_ in await read_all(inbox, store))
                assert seen["group"] == 1

        run(scenario())

    def test_discarding_who_is_no_member_changes_nothing(self, backend: Backend) -> None:
        """Item 29."""

        async def scenario() -> None:
            async with nodes(backend, "a"):
                store = backend.store
                store.group_add("g", channel("a", "t"))
                store.group_discard("g", channel("a", "u"))
                store.group_discard("h", channel("a", "t"))
                store.group_discard("g", "jobs")

                assert store.group_channels("g") == [channel("a", "t")]

        run(scenario())

    def test_a_send_costs_one_entry_for_each_node_with_members(self, backend: Backend) -> None:
        """Given 50 members on one node, one on another, none on a third. Expect one entry, one and none."""

        async def scenario() -> None:
            async with nodes(backend, "a", "b", "c") as inboxes:
                store = backend.store
                for number in range(50):
                    store.group_add("g", channel("a", f"t{number}"))
                store.group_add("g", channel("b"))
                assert store.deliver([group_send("g", "hi")]) == Delivered()

                for inbox, expected in zip(inboxes, (1, 1, 0), strict=True):
                    seen = await read_all(inbox, store)
                    assert seen.count(("group", "g", "hi")) == expected
                assert len(store.group_channels("g")) == 51

        run(scenario())

    def test_a_node_hears_of_a_group_until_its_last_member_left(self, backend: Backend) -> None:
        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                store = backend.store
                for token in "tu":
                    store.group_add("g", channel("a", token))
                store.group_discard("g", channel("a", "t"))
                store.deliver([group_send("g", "1")])
                await inbox.record({}, (), [("g", "u")])
                store.deliver([group_send("g", "2")])

                assert [text for kind, _, text in await read_all(inbox, store) if kind == "group"] == ["1"]
                assert store.group_channels("g") == []

        run(scenario())

    def test_normal_channels_are_returned_to_be_published(self, backend: Backend) -> None:
        """Item 32."""

        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                store, send = backend.store, group_send("g", "hi")
                store.group_add("g", "jobs")
                store.group_add("g", "audit")
                store.group_add("g", "audit")
                store.group_add("g", channel("a"))

                assert set(store.deliver([send]).forward) == {("jobs", send.content), ("audit", send.content)}
                assert set(store.group_channels("g")) == {"jobs", "audit", channel("a")}
                store.group_discard("g", "jobs")
                assert store.deliver([send]).forward == (("audit", send.content),)
                store.group_discard("g", "audit")
                assert store.deliver([send]) == Delivered()
                assert [kind for kind, *_ in await read_all(inbox, store)] == ["join", "group", "group", "group"]

        run(scenario())

    def test_an_unknown_group_costs_nothing(self, backend: Backend) -> None:
        assert backend.store.deliver([group_send("nobody")]) == Delivered()
        assert backend.store.deliver([]) == Delivered()
        assert not backend.remains()


class TestFull:
    @pytest.mark.parametrize("bound", [{"inbox_capacity": 3}, {"inbox_bytes": 3000}])
    def test_a_full_inbox_drops_and_tells(self, make: Make, bound: dict[str, int]) -> None:
        """Given an inbox at its bound. Expect replies and group sends to be dropped, counted, and replies named."""
        # items 31, 54 and 55
        backend = make(**bound)

        async def scenario() -> None:
            async with nodes(backend, "a", "b") as [inbox, other]:
                store, text = backend.store, "x" * 900
                for node in "ab":
                    store.group_add("g", channel(node))
                assert store.deliver([reply("a", text), group_send("h"), reply("a", text, token="u")]) == Delivered()
                assert len(await read(other, 1)) == 1

                for _ in range(2):
                    store.deliver([reply("a", text)])
                done = store.deliver(
                    [reply("a", text), reply("a", text, token="u"), group_send("g", text), reply("a", text)]
                )

                assert done == Delivered((channel("a"), channel("a", "u")), {"inbox_full": 4})
                # the other node is none the worse
                assert flat(await read(other, 1)) == [("group", "g", text)]
                # nor is this one once it has read
                await read_all(inbox, store)
                await until(lambda: _takes(store, inbox))

        run(scenario())

    def test_accept_close_joins_and_leaves_pass(self, make: Make) -> None:
        backend = make(inbox_capacity=1)

        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                store = backend.store
                store.deliver([reply("a", "fills it")])
                close = reply("a", "close", control=True)
                done = store.deliver([reply("a", "dropped", token="u"), close, group_send("g"), close])
                store.group_add("g", channel("a"))
                store.group_discard("g", channel("a"))

                assert done == Delivered((channel("a", "u"),), {"inbox_full": 1})
                assert await read_all(inbox, store) == [
                    ("reply", "t", "fills it"),
                    ("reply", "t", "close"),
                    ("reply", "t", "close"),
                    ("join", "g", "t"),
                    ("leave", "g", "t"),
                ]

        run(scenario())

    def test_a_message_above_the_bound_passes_where_nothing_waits(self, make: Make) -> None:
        backend = make(inbox_bytes=1000)

        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                assert backend.store.deliver([reply("a", "x" * 2000)]) == Delivered()
                assert backend.store.deliver([reply("a", "y")]).full == (channel("a"),)
                assert len(await read(inbox, 1)) == 1

        run(scenario())


async def _takes(store: Any, inbox: Inbox) -> bool:
    """Whether an inbox takes messages; reads in between, as an interface does."""
    if store.deliver([reply(inbox.node, "room?")]) == Delivered():
        return True
    await inbox.read()
    return False


class TestDeath:
    def test_a_node_that_never_was_gets_nothing(self, backend: Backend) -> None:
        store = backend.store
        store.group_add("g", channel("ghost"))
        store.group_discard("g", channel("ghost"))

        assert store.deliver([reply("ghost"), reply("ghost", control=True)]) == Delivered(dropped={"node_gone": 2})
        assert store.group_channels("g") == []
        assert not backend.remains()

    def test_a_dead_node_is_left_out_and_nothing_written_for_it(self, backend: Backend) -> None:
        """Given two nodes with members, one dead. Expect a send to find it gone once, and nothing to bring it back."""

        async def scenario() -> None:
            async with nodes(backend, "a", "b") as [inbox, other]:
                store = backend.store
                for node in "ab":
                    store.group_add("g", channel(node))
                backend.kill("a")

                assert store.group_channels("g") == [channel("b")]
                assert store.deliver([group_send("g", "1")]) == Delivered(dropped={"node_gone": 1})
                assert store.deliver([group_send("g", "2")]) == Delivered()
                store.group_add("g", channel("a", "new"))
                assert store.deliver([reply("a")]) == Delivered(dropped={"node_gone": 1})
                await inbox.record({"x": "/"}, (), ())
                assert store.deliver([group_send("g", "3")]) == Delivered()

                assert store.reap() == []
                assert [s for s in await read_all(other, store) if s[0] == "group"] == [
                    ("group", "g", text) for text in "123"
                ]
            assert not backend.remains()

        run(scenario())

    def test_each_orphan_is_given_out_once(self, backend: Backend) -> None:
        """Given dead nodes and a living one, two reapers at once. Expect every orphan once, the living untouched."""
        # item 116
        dead = [f"n{number}" for number in range(20)]

        async def scenario() -> None:
            async with nodes(backend, *dead, "alive") as inboxes:
                for inbox in inboxes:
                    await inbox.record({f"t{n}": f"/{inbox.node}/ü{n}" for n in range(5)}, (), ())
                    await inbox.record({}, ["t0"], ())
                    backend.store.group_add("g", channel(inbox.node, "t1"))
                for node in dead:
                    backend.kill(node)

                found = await asyncio.gather(*(asyncio.to_thread(backend.store.reap) for _ in range(2)))

                orphans = Counter(orphan for some in found for orphan in some)
                assert orphans == Counter(
                    Orphan(ReplyAddress(node, f"t{n}"), f"/{node}/ü{n}") for node in dead for n in range(1, 5)
                )
                assert backend.store.reap() == []
                assert backend.store.group_channels("g") == [channel("alive", "t1")]
                assert await inboxes[-1].beat() is Beat.ALIVE
                # a name that others buried stays dead, whatever it does
                for inbox in inboxes[:-1]:
                    assert await inbox.beat() is Beat.DEAD
                    await inbox.record({"t9": "/"}, (), ())
                    await inbox.rebuild({"t9": "/"}, {"g": ["t9"]})
                    assert await inbox.beat() is Beat.DEAD
                assert backend.store.group_channels("g") == [channel("alive", "t1")]
                assert backend.store.reap() == []
                assert [what for what in backend.remains() if "n1" in what and "tomb:" not in what] == []

        run(scenario())

    def test_a_node_dies_of_silence(self, make: Make) -> None:
        """Given a node that beats and one that does not. Expect the second to be reaped."""
        backend = make(heartbeat=0.1, node_expiry=0.5)

        async def scenario() -> None:
            async with nodes(backend, "beats", "silent") as [beats, silent]:
                for inbox in (beats, silent):
                    await inbox.record({"t": "/"}, (), ())

                async def reaped() -> list[Orphan]:
                    assert await beats.beat() is Beat.ALIVE
                    return backend.store.reap()

                assert await until(reaped) == [Orphan(ReplyAddress("silent", "t"), "/")]
                assert await silent.beat() is Beat.DEAD

        run(scenario())

    def test_a_node_that_nobody_buried_lives_on(self, backend: Backend) -> None:
        """Given a node that was silent for too long, noticed by a send but by no reaper. Expect it to be told that it
        lost what others knew of it, what waited in its inbox to be there once, and a rebuild to bring it back."""

        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                store = backend.store
                store.group_add("g", channel("a"))
                assert flat(await read(inbox, 1)) == [("join", "g", "t")]
                store.deliver([reply("a", "waits")])
                backend.kill("a")
                assert store.deliver([group_send("g", "lost")]) == Delivered(dropped={"node_gone": 1})

                assert await inbox.beat() is Beat.LOST
                await inbox.rebuild({"t": "/"}, {"g": ["t"]})
                assert await inbox.beat() is Beat.ALIVE
                store.deliver([group_send("g", "found")])

                assert await read_all(inbox, store) == [("reply", "t", "waits"), ("group", "g", "found")]

        run(scenario())


class TestLoss:
    def test_a_node_learns_of_it_and_writes_everything_again(self, backend: Backend) -> None:
        """Given a store that lost its data. Expect LOST until a rebuild, and members to be found after it, those who
        joined meanwhile too."""

        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                store = backend.store
                await inbox.record({"t": "/", "u": "/"}, (), ())
                store.group_add("g", channel("a", "t"))
                store.deliver([reply("a", "old")])
                await read(inbox, 2)
                assert await inbox.beat() is Beat.ALIVE

                backend.lose()
                assert store.deliver([reply("a")]) == Delivered(dropped={"node_gone": 1})
                assert await inbox.beat() is Beat.LOST
                assert await inbox.beat() is Beat.LOST
                store.group_add("g", channel("a", "u"))
                store.deliver([reply("a", "new")])
                await inbox.rebuild({"t": "/t", "u": "/u"}, {"g": ["t"], "h": ["t", "u"]})
                assert await inbox.beat() is Beat.ALIVE

                assert set(store.group_channels("g")) == {channel("a", "t"), channel("a", "u")}
                assert set(store.group_channels("h")) == {channel("a", "t"), channel("a", "u")}
                store.deliver([group_send("g", "hi")])
                assert await read_all(inbox, store) == [
                    ("join", "g", "u"),
                    ("reply", "t", "new"),
                    ("group", "g", "hi"),
                ]
                backend.kill("a")
                assert set(store.reap()) == {
                    Orphan(ReplyAddress("a", "t"), "/t"),
                    Orphan(ReplyAddress("a", "u"), "/u"),
                }

        run(scenario())

    def test_a_rebuild_forgets_connections_that_ended_meanwhile(self, backend: Backend) -> None:
        """Given connections that are known and end while they cannot be recorded. Expect no orphans of them."""

        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                await inbox.record({"t": "/", "u": "/"}, (), ())
                backend.kill("a")
                assert await inbox.beat() is Beat.LOST
                await inbox.rebuild({"u": "/"}, {})
                backend.kill("a")

                assert backend.store.reap() == [Orphan(ReplyAddress("a", "u"), "/")]

        run(scenario())

    def test_a_loss_under_a_waiting_reader_reads_nothing_twice(self, backend: Backend) -> None:
        """Given a reader that waits while the store loses its data, 20 times. Expect what is sent after the node is
        known again once each, in order."""

        async def scenario() -> None:
            seen: list[tuple[Any, ...]] = []
            async with nodes(backend, "a") as [inbox]:

                async def read_on() -> None:
                    while True:
                        seen.extend(flat(await inbox.read()))

                reading = asyncio.create_task(read_on())
                expected = []
                for number in range(20):
                    backend.store.deliver([reply("a", f"before {number}")])
                    expected.append(("reply", "t", f"before {number}"))
                    await until(_holds(seen, expected[-1]))
                    backend.lose()
                    assert await inbox.beat() is Beat.LOST
                    backend.store.deliver([reply("a", f"after {number}")])
                    expected.append(("reply", "t", f"after {number}"))
                    await inbox.rebuild({}, {})
                await until(_holds(seen, expected[-1]))
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
                assert seen == expected

        run(scenario())


def _holds(seen: list[Any], wanted: Any) -> Callable[[], Coroutine[Any, Any, bool]]:
    async def ask() -> bool:
        return wanted in seen

    return ask


class TestEnds:
    def test_close_leaves_nothing(self, backend: Backend) -> None:
        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                await inbox.record({"t": "/"}, (), ())
                for number in range(1200):
                    backend.store.group_add(f"g{number}", channel("a"))
                backend.store.deliver([reply("a"), group_send("g1")])
                await read(inbox, 1)
            assert not backend.remains()
            assert backend.store.deliver([reply("a")]) == Delivered(dropped={"node_gone": 1})

        run(scenario())

    def test_flush_leaves_no_messages_and_no_groups(self, backend: Backend) -> None:
        """Item 50. Expect the interface processes to live on."""
        # item 50

        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                store = backend.store
                store.group_add("g", channel("a"))
                store.group_add("h", "jobs")
                store.deliver([reply("a", "old")])
                store.flush()

                assert store.group_channels("g") == store.group_channels("h") == []
                assert await inbox.beat() is Beat.ALIVE
                store.deliver([reply("a", "new"), group_send("g", "none")])
                assert await read_all(inbox, store) == [("reply", "t", "new")]

        run(scenario())

    def test_a_closed_store_can_be_used_again(self, backend: Backend) -> None:
        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                backend.store.deliver([reply("a", "1")])
                backend.store.close()
                backend.store.deliver([reply("a", "2")])

                assert await read_all(inbox, backend.store) == [("reply", "t", "1"), ("reply", "t", "2")]

        run(scenario())
