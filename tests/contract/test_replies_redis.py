"""Replies and groups on Redis: what can go wrong with a server, and what is only there."""

import asyncio
import contextlib
import os
import re
import socket
import time
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import redis

from channelcelery.core.delivery import host_of
from channelcelery.exceptions import InvalidChannelLayerError, LayerUnavailable
from channelcelery.layers.base import Delivered
from channelcelery.layers.inbox import Beat
from channelcelery.layers.redis_inbox import RedisInbox
from channelcelery.layers.redis_store import RedisReplyStore
from tests.contract.reply_backends import (
    PREFIX,
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
from tests.servers import Process, RedisServer, find_program, free_port, wait_until


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 60))


@contextlib.contextmanager
def redis_backend(url: str | Sequence[str], **values: Any) -> Iterator[RedisBackend]:
    backend = RedisBackend(config_of("redis", hosts=[url] if isinstance(url, str) else list(url), **values))
    try:
        yield backend
    finally:
        backend.close()


@pytest.fixture
def backend(redis_url: str) -> Iterator[RedisBackend]:
    with redis_backend(redis_url) as made:
        yield made


@contextlib.asynccontextmanager
async def nodes(backend: RedisBackend, *names: str) -> AsyncIterator[list[RedisInbox]]:
    inboxes = [backend.inbox(name) for name in names]
    await open_all(*inboxes)
    try:
        yield inboxes
    finally:
        await close_all(inboxes)


def test_more_arguments_of_connections_reach_every_client(redis_url: str) -> None:
    """Item 52: CONFIG["connection_kwargs"], on the senders' side and on the interface's."""

    async def scenario() -> None:
        with redis_backend(redis_url, connection_kwargs={"client_name": "of-the-test"}) as backend:
            async with nodes(backend, "a"):
                backend.store.deliver([reply("a")])
                names = [client["name"] for client in backend.client.client_list()]
                assert names.count("of-the-test") >= 2

    run(scenario())


def test_given_no_trace_of_a_node_expect_joins_to_wait_for_it_but_once_in_vain(redis_url: str) -> None:
    """Redis may have lost its data, and the node not yet have noticed; one that is dead left a trace."""
    store = RedisReplyStore(config_of("redis", hosts=[redis_url], heartbeat=0.2))
    waited = []
    for _ in range(2):
        begun = time.monotonic()
        store.group_add("g", channel("a"))
        waited.append(time.monotonic() - begun)
    assert waited[0] >= 0.4 > waited[1]
    assert store.dropped == {"join_node_gone": 2}
    store.close()


def length(backend: RedisBackend, node: str = "a") -> int:
    return int(backend.client.xlen(f"{PREFIX}inbox:{node}"))


def unread_bytes(backend: RedisBackend, node: str = "a") -> int:
    return int(backend.client.get(f"{PREFIX}inbox:{node}:bytes") or 0)


async def _reaches(call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """What a call returns, or None while Redis does not answer."""
    try:
        return await call()
    except LayerUnavailable:
        return None


class TestKeys:
    def test_every_key_is_under_the_prefix_and_known(self, backend: RedisBackend) -> None:
        known = r"epoch|nodes|fingerprint|node:a(:channels|:groups)?|inbox:a(:bytes)?|group:[gh](:a)?|tomb:b"

        async def scenario() -> None:
            async with nodes(backend, "a", "b") as [inbox, other]:
                backend.kill("b")
                backend.store.reap()
                assert await other.beat() is Beat.DEAD
                backend.store.check_fingerprint("x")
                await inbox.record({"t": "/"}, (), ())
                backend.store.group_add("g", channel("a"))
                backend.store.group_add("h", "jobs")
                keys = [key.decode() for key in backend.client.keys("*")]

                assert len(keys) == 12
                assert [key for key in keys if not re.fullmatch(PREFIX + f"({known})", key)] == []

        run(scenario())

    def test_the_last_to_close_leaves_only_the_epoch(self, backend: RedisBackend) -> None:
        async def scenario() -> None:
            async with nodes(backend, "a"):
                async with nodes(backend, "b"):
                    backend.store.check_fingerprint("x")
                    backend.store.group_add("g", channel("b"))
                assert backend.client.exists(f"{PREFIX}fingerprint")
            assert backend.client.keys("*") == [f"{PREFIX}epoch".encode()]

        run(scenario())

    def test_what_was_read_leaves_the_stream_and_the_count_of_bytes(self, backend: RedisBackend) -> None:
        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                for number in range(1500):
                    backend.store.deliver([reply("a", number)])
                assert length(backend) == 1500
                assert unread_bytes(backend) > 1500
                assert [number for _, _, number in flat(await read(inbox, 1500))] == list(range(1500))

                reading = asyncio.create_task(inbox.read())
                await until(lambda: asyncio.to_thread(lambda: length(backend) == unread_bytes(backend) == 0))
                # and it counts on from there
                backend.store.deliver([reply("a", "x")])
                assert len(await reading) == 1

        run(scenario())

    def test_a_count_of_bytes_that_went_wrong_is_right_again_when_nothing_waits(self, redis_url: str) -> None:
        with redis_backend(redis_url, inbox_bytes=1000) as backend:

            async def scenario() -> None:
                async with nodes(backend, "a") as [inbox]:
                    backend.client.set(f"{PREFIX}inbox:a:bytes", 5000)
                    assert backend.store.deliver([reply("a", "1")]) == Delivered()
                    assert backend.store.deliver([reply("a", "2")]) == Delivered()
                    assert len(await read(inbox, 2)) == 2
                    backend.client.set(f"{PREFIX}inbox:a:bytes", 5000)
                    reading = asyncio.create_task(inbox.read())
                    await until(lambda: asyncio.to_thread(lambda: length(backend) == 0))
                    for change in (backend.store.group_add, backend.store.group_discard):
                        backend.client.set(f"{PREFIX}inbox:a:bytes", 5000)
                        change("g", channel("a"))
                        assert len(await reading) == 1
                        assert unread_bytes(backend) == len("gt")
                        reading = asyncio.create_task(inbox.read())
                        await until(lambda: asyncio.to_thread(lambda: length(backend) == 0))
                    reading.cancel()

            run(scenario())

    def test_every_entry_counts_its_bytes(self, backend: RedisBackend) -> None:
        async def scenario() -> None:
            async with nodes(backend, "a"):
                backend.store.group_add("g", channel("a"))
                backend.store.deliver([reply("a", "xyz"), group_send("g", "xyz")])
                backend.store.group_discard("g", channel("a"))
                entries = backend.client.xrange(f"{PREFIX}inbox:a")
                assert len(entries) == 4
                assert unread_bytes(backend) == sum(len(value) for _, fields in entries for value in fields.values())

        run(scenario())

    def test_groups_that_a_node_left_are_forgotten(self, backend: RedisBackend) -> None:
        """Expect no trace of a group without members: there may be a new one for every message."""

        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                for group in "gh":
                    for token in "tu":
                        backend.store.group_add(group, channel("a", token))
                for token in "tu":
                    backend.store.group_discard("g", channel("a", token))
                    await inbox.record({}, (), [("h", token)])
                assert not [key for key in backend.client.keys("*") if b"group" in key]

        run(scenario())

    def test_a_node_that_others_never_see_is_written_again(self, backend: RedisBackend) -> None:
        """Given a node that is missing where reapers look, evicted perhaps. Expect LOST, and to be there again."""

        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                backend.client.zrem(f"{PREFIX}nodes", "a")
                assert await inbox.beat() is Beat.LOST
                assert backend.client.zscore(f"{PREFIX}nodes", "a")

        run(scenario())

    def test_a_buried_name_cannot_be_taken(self, backend: RedisBackend) -> None:
        """Given a node that others bury while it is about to make itself known again. Expect it not to be."""

        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                backend.kill("a")
                backend.store.reap()
                await inbox.open()
                assert not backend.client.exists(f"{PREFIX}node:a")
                assert await inbox.beat() is Beat.DEAD

        run(scenario())

    def test_a_node_with_a_longer_expiry_than_the_reapers_lives(self, backend: RedisBackend) -> None:
        async def scenario() -> None:
            async with nodes(backend, "a", "b") as [inbox, other]:
                backend.client.zadd(f"{PREFIX}nodes", {"a": 0})
                backend.kill("b")
                assert backend.store.reap() == []
                assert await inbox.beat() is Beat.ALIVE
                assert await other.beat() is Beat.DEAD

        run(scenario())

    def test_scripts_say_at_their_head_what_they_touch(self) -> None:
        """Expect every key that a script's text builds to be named in its head comment."""
        scripts = [
            path for path in files("channelcelery.layers").joinpath("scripts").iterdir() if path.name.endswith(".lua")
        ]
        assert len(scripts) >= 10
        for path in scripts:
            head, _, body = path.read_text("utf-8").partition("]]")
            for word in ("KEYS", "ARGV", "Reads", "Writes", "Gives"):
                assert re.search(rf"^{word} ", head, re.MULTILINE), f"{path.name} lacks {word}"
            named = set(
                re.findall(r"\b(epoch|nodes|fingerprint|node:|inbox:|group:|tomb:)", head.partition("Reads")[2])
            )
            built = set(re.findall(r"'(epoch|nodes|fingerprint|node:|inbox:|group:|tomb:)'", body))
            assert built <= named, path.name


class TestHosts:
    NAMES = [f"n{number}" for number in range(8)]

    def test_nodes_are_spread_and_a_group_reaches_all_of_them(self, new_redis: Callable[..., RedisServer]) -> None:
        """Given two hosts. Expect nodes on both, every member reached, a normal channel once, and order kept."""
        server = new_redis()
        urls = [server.database(0), server.database(1)]

        async def scenario(backend: RedisBackend) -> None:
            async with nodes(backend, *self.NAMES) as inboxes:
                store = backend.store
                for name in self.NAMES:
                    store.group_add("g", channel(name))
                store.group_add("g", "jobs")
                replies = [reply(name, "before") for name in self.NAMES]
                done = store.deliver([*replies, group_send("g", "all"), *(reply(name, "after") for name in self.NAMES)])

                assert [name for name, _ in done.forward] == ["jobs"]
                assert set(store.group_channels("g")) == {"jobs", *map(channel, self.NAMES)}
                for inbox in inboxes:
                    assert await read_all(inbox, store) == [
                        ("join", "g", "t"),
                        ("reply", "t", "before"),
                        ("group", "g", "all"),
                        ("reply", "t", "after"),
                    ]
                for number, url in enumerate(urls):
                    with redis.Redis.from_url(url) as client:
                        there = {name.decode() for name in client.zrange(f"{PREFIX}nodes", 0, -1)}
                    assert there == {name for name in self.NAMES if host_of(name, 2) == number} != set()
                store.flush()
                assert store.group_channels("g") == []

        with redis_backend(urls) as backend:
            run(scenario(backend))

    def test_one_host_that_is_down_takes_only_its_own_nodes(self, new_redis: Callable[..., RedisServer]) -> None:
        servers = [new_redis(), new_redis()]

        async def scenario(backend: RedisBackend) -> None:
            async with nodes(backend, *(name for name in self.NAMES if host_of(name, 2) == 1)) as inboxes:
                backend.store.group_add("g", channel(inboxes[0].node))
                servers[0].kill()
                with pytest.raises(LayerUnavailable):
                    backend.store.deliver([reply(inboxes[0].node, "1"), group_send("g", "2")])
                # its own host is asked for nothing else
                seen = flat(await read(inboxes[0], 3))
                assert seen == [("join", "g", "t"), ("reply", "t", "1"), ("group", "g", "2")]
                # orphans that a host gave out are not lost with another host
                inbox = inboxes[0]
                await inbox.record({"t": "/"}, (), ())
                with redis.Redis.from_url(servers[1].url) as client:
                    client.delete(f"{PREFIX}node:{inbox.node}")
                    client.zadd(f"{PREFIX}nodes", {inbox.node: 0})
                assert [orphan.address.token for orphan in backend.store.reap()] == ["t"]
                with pytest.raises(LayerUnavailable):
                    backend.store.reap()

        with redis_backend([server.url for server in servers]) as backend:
            run(scenario(backend))

    def test_a_cluster_is_refused_with_the_reason(self, tmp_path: Path) -> None:
        port = free_port()
        program = find_program("redis-server", package="redis-server")
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path), "--save", ""]
        # its port for other cluster members is 10,000 higher unless said, where outgoing connections have theirs
        command += ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]
        with Process(command, log=tmp_path / "log"):
            wait_until(lambda: _answers(port), what="Redis to answer")
            config = config_of("redis", hosts=[f"redis://127.0.0.1:{port}/0"])
            store, inbox = RedisReplyStore(config), RedisInbox(config, "a")

            async def scenario() -> None:
                with pytest.raises(InvalidChannelLayerError, match="Cluster"):
                    await inbox.open()
                with contextlib.suppress(LayerUnavailable):
                    await inbox.close()

            run(scenario())
            for call in (
                lambda: store.deliver([reply("a")]),
                lambda: store.group_add("g", "jobs"),
                lambda: store.check_fingerprint("x"),
                store.reap,
                store.flush,
            ):
                with pytest.raises(InvalidChannelLayerError, match=r"default.*hosts.*Cluster"):
                    call()
            store.close()


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(64).startswith(b"+PONG")
    return False


class TestRestarts:
    @pytest.mark.parametrize("kept", [False, True], ids=["emptied", "kept"])
    def test_killed_and_started_again(
        self, new_redis: Callable[..., RedisServer], kept: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Given a server killed under a waiting reader, with its data lost or kept. Expect errors of ours while it is
        down; then LOST, and after a rebuild all as before, nothing twice."""
        server = new_redis(appendonly=kept, directory=tmp_path)

        async def scenario(backend: RedisBackend) -> None:
            async with nodes(backend, "a") as [inbox]:
                store = backend.store
                store.group_add("g", channel("a"))
                assert flat(await read(inbox, 1)) == [("join", "g", "t")]
                reading = asyncio.create_task(inbox.read())
                server.kill()
                with pytest.raises(LayerUnavailable):
                    await reading
                for call in (inbox.beat, inbox.read, lambda: inbox.record({}, (), ())):
                    with pytest.raises(LayerUnavailable, match="Redis did not answer"):
                        await call()
                for refused in (
                    lambda: store.deliver([reply("a")]),
                    lambda: store.group_add("g", channel("a")),
                    lambda: store.group_discard("g", "jobs"),
                    lambda: store.group_channels("g"),
                    store.reap,
                    store.flush,
                ):
                    with pytest.raises(LayerUnavailable):
                        refused()

                server.start()
                assert await until(lambda: _reaches(inbox.beat)) is Beat.LOST
                await inbox.rebuild({"t": "/"}, {"g": ["t"]})
                assert await inbox.beat() is Beat.ALIVE
                store.deliver([reply("a", "1"), group_send("g", "2")])
                assert await read_all(inbox, store) == [("reply", "t", "1"), ("group", "g", "2")]

        with redis_backend(server.url) as backend:
            run(scenario(backend))

    def test_a_sender_goes_on_at_once(self, new_redis: Callable[..., RedisServer]) -> None:
        """Given a server that was restarted while a sender idled. Expect its next call to succeed, scripts included."""
        server = new_redis()
        with redis_backend(server.url) as backend:
            backend.store.group_add("g", "jobs")
            server.stop()
            server.start()

            assert backend.store.deliver([reply("a")]) == Delivered(dropped={"node_gone": 1})

    def test_a_frozen_server_is_waited_for_so_long_and_no_longer(self, new_redis: Callable[..., RedisServer]) -> None:
        server = new_redis()

        async def scenario(backend: RedisBackend) -> None:
            async with nodes(backend, "a") as [inbox]:
                server.pause()
                for call in (inbox.beat, inbox.read):
                    with pytest.raises(LayerUnavailable):
                        await call()
                with pytest.raises(LayerUnavailable):
                    backend.store.deliver([reply("a", "perhaps")])
                server.resume()
                assert await until(lambda: _reaches(inbox.beat)) is Beat.ALIVE
                seen = await read_all(inbox, backend.store)
                # what was given up may have arrived, but once, and no answer is taken for another's
                assert seen in ([], [("reply", "t", "perhaps")])

        with redis_backend(server.url, publish_timeout=0.3) as backend:
            run(scenario(backend))

    def test_an_earlier_clock(self, backend: RedisBackend) -> None:
        """Given a reader whose last entry is from a clock ahead, and a stream that begins anew with smaller ids while
        all else is as it was. Expect LOST, and what is in the new stream to be read."""

        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                backend.client.xadd(f"{PREFIX}inbox:a", {"j": "g", "k": "t"}, id="9999999999999-5")
                assert len(await read(inbox, 1)) == 1
                assert await inbox.beat() is Beat.ALIVE
                backend.client.delete(f"{PREFIX}inbox:a")
                backend.store.deliver([reply("a", "new")])

                assert await inbox.beat() is Beat.LOST
                await inbox.rebuild({}, {})
                assert await inbox.beat() is Beat.ALIVE
                assert await read_all(inbox, backend.store) == [("reply", "t", "new")]

        run(scenario())

    def test_a_new_stream_is_read_from_its_beginning(self, backend: RedisBackend) -> None:
        """Given a reader that waits at an id of a clock ahead, and a stream that begins anew: first an entry below that
        id, then one above, which alone ends the waiting. Expect both, in order."""

        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                backend.client.xadd(f"{PREFIX}inbox:a", {"j": "g", "k": "old"}, id="9999999999999-5")
                assert len(await read(inbox, 1)) == 1
                await inbox.read()
                reading = asyncio.create_task(inbox.read())
                await until(lambda: asyncio.to_thread(lambda: backend.client.info("clients")["blocked_clients"]))
                backend.lose()
                assert await inbox.beat() is Beat.LOST
                backend.client.xadd(f"{PREFIX}inbox:a", {"j": "g", "k": "below"})
                backend.client.xadd(f"{PREFIX}inbox:a", {"j": "g", "k": "above"}, id="9999999999999-9")

                assert flat(await reading) == [("join", "g", "below"), ("join", "g", "above")]

        run(scenario())

    def test_a_trim_that_fails_is_no_reason_to_lose_or_repeat(self, backend: RedisBackend) -> None:
        """Given a count of bytes that somebody made a list of. Expect an error of ours, and then every entry once."""

        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                backend.store.deliver([reply("a", "1")])
                assert len(await read(inbox, 1)) == 1
                backend.store.deliver([reply("a", "2")])
                backend.client.delete(f"{PREFIX}inbox:a:bytes")
                backend.client.lpush(f"{PREFIX}inbox:a:bytes", "x")
                with pytest.raises(LayerUnavailable, match="WRONGTYPE"):
                    await inbox.read()
                backend.client.delete(f"{PREFIX}inbox:a:bytes")
                for text in "234":
                    assert await read_all(inbox, backend.store) == [("reply", "t", text)]
                    backend.store.deliver([reply("a", chr(ord(text) + 1))])

        run(scenario())

    def test_scripts_that_redis_forgot(self, backend: RedisBackend) -> None:
        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                backend.store.deliver([reply("a", "1")])
                assert await inbox.beat() is Beat.ALIVE
                backend.client.script_flush()
                backend.store.deliver([reply("a", "2")])
                assert await inbox.beat() is Beat.ALIVE
                assert len(await read(inbox, 2)) == 2

        run(scenario())

    def test_a_failed_rebuild_is_asked_for_again(self, new_redis: Callable[..., RedisServer]) -> None:
        server = new_redis()

        async def scenario(backend: RedisBackend) -> None:
            async with nodes(backend, "a") as [inbox]:
                backend.lose()
                assert await inbox.beat() is Beat.LOST
                backend.client.replicaof("127.0.0.1", str(free_port()))
                with pytest.raises(LayerUnavailable):
                    await inbox.rebuild({"t": "/"}, {"g": ["t"]})
                backend.client.replicaof("no", "one")
                assert await inbox.beat() is Beat.LOST
                await inbox.rebuild({"t": "/"}, {"g": ["t"]})
                assert await inbox.beat() is Beat.ALIVE

        with redis_backend(server.url) as backend:
            run(scenario(backend))


class TestRefusals:
    def test_out_of_memory(self, new_redis: Callable[..., RedisServer]) -> None:
        """Given a server that takes no more data. Expect senders to be told, and interfaces to live, read and trim."""
        server = new_redis()

        async def scenario(backend: RedisBackend) -> None:
            async with nodes(backend, "a") as [inbox]:
                backend.store.check_fingerprint("x")
                backend.store.deliver([reply("a", "1")])
                backend.client.config_set("maxmemory", 1)
                with pytest.raises(LayerUnavailable, match="memory"):
                    backend.store.deliver([reply("a", "2")])
                assert await inbox.beat() is Beat.ALIVE
                assert flat(await read(inbox, 1)) == [("reply", "t", "1")]
                assert not await inbox.read()
                assert length(backend) == 0
                await inbox.record({}, ["none"], [("g", "none")])

                async def reaped() -> bool:
                    backend.store.reap()
                    return not backend.client.exists(f"{PREFIX}nodes")

                await until(reaped)
                assert await inbox.beat() is Beat.DEAD

        with redis_backend(server.url, heartbeat=0.2, node_expiry=2.0) as backend:
            run(scenario(backend))

    def test_a_replica(self, new_redis: Callable[..., RedisServer]) -> None:
        server = new_redis()
        with redis_backend(server.url) as backend:
            backend.client.replicaof("127.0.0.1", str(free_port()))

            with pytest.raises(LayerUnavailable, match=r"(?i)read only replica"):
                backend.store.group_add("g", "jobs")

    def test_no_password_in_errors(self, new_redis: Callable[..., RedisServer]) -> None:
        server = new_redis()
        with redis.Redis.from_url(server.url) as client:
            client.config_set("requirepass", "right")
            url = server.url.replace("redis://", "redis://:hunter2@")
            store = RedisReplyStore(config_of("redis", hosts=[url]))
            with pytest.raises(LayerUnavailable) as caught:
                store.deliver([reply("a")])
            store.close()
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))

    def test_a_url_cannot_change_how_answers_are_read(self, redis_url: str) -> None:
        with redis_backend(f"{redis_url}?protocol=3&decode_responses=true") as backend:

            async def scenario() -> None:
                async with nodes(backend, "a") as [inbox]:
                    backend.store.group_add("g", channel("a"))
                    backend.store.deliver([reply("a", "x")])
                    assert backend.store.group_channels("g") == [channel("a")]
                    assert flat(await read(inbox, 2)) == [("join", "g", "t"), ("reply", "t", "x")]

            run(scenario())


class TestReader:
    def test_a_cancelled_read_loses_nothing(self, backend: RedisBackend) -> None:
        """Given reads that are cancelled at any moment. Expect every message once, in order."""

        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                seen: list[Any] = []
                for number in range(150):
                    backend.store.deliver([reply("a", number)])
                    reading = asyncio.create_task(inbox.read())
                    for _ in range(number % 15):
                        await asyncio.sleep(0)
                    reading.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        seen += flat(await reading)
                while len(seen) < 150:
                    seen += flat(await inbox.read())
                assert [number for _, _, number in seen] == list(range(150))

        run(scenario())

    def test_a_large_rebuild_keeps_the_loop_alive(self, backend: RedisBackend) -> None:
        """Given 2,000 sockets in 4,000 groups. Expect other tasks to run meanwhile, and all to be written."""
        channels = {f"t{number}": "/" for number in range(2000)}
        groups = {f"g{number}": [f"t{number % 2000}", f"t{number % 7}"] for number in range(4000)}

        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                backend.lose()
                assert await inbox.beat() is Beat.LOST
                building = asyncio.create_task(inbox.rebuild(channels, groups))
                turns = 0
                while not building.done():
                    await asyncio.sleep(0)
                    turns += 1
                await building
                assert turns > 20
                assert await inbox.beat() is Beat.ALIVE
                assert backend.client.hlen(f"{PREFIX}node:a:channels") == 2000
                assert backend.client.scard(f"{PREFIX}node:a:groups") == 4000
                for name, tokens in list(groups.items())[::500]:
                    assert set(backend.store.group_channels(name)) == {channel("a", token) for token in tokens}

        run(scenario())

    def test_a_close_waits_for_the_rebuild_that_still_has_it(self, backend: RedisBackend) -> None:
        """Given a connection that closes while a rebuild writes it. Expect it not to be known afterwards."""
        channels = {f"t{number}": "/" for number in range(3000)}

        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                # two connections are there, so that neither waits for one
                await asyncio.gather(inbox.beat(), inbox.beat())
                building = asyncio.create_task(inbox.rebuild(channels, {"g": ["t2999"]}))
                await asyncio.sleep(0)
                await inbox.record({}, ["t2999"], [("g", "t2999")])
                await building
                assert backend.client.hlen(f"{PREFIX}node:a:channels") == 2999
                assert backend.store.group_channels("g") == []

        run(scenario())


class TestFingerprint:
    def test_equal_ones_agree_and_others_are_refused(self, backend: RedisBackend) -> None:
        secret = "amqp://user:hunter2@rabbit//"
        other = RedisReplyStore(backend.config)
        backend.store.check_fingerprint(secret)
        other.check_fingerprint(secret)
        backend.store.check_fingerprint(secret)

        with pytest.raises(InvalidChannelLayerError, match="different brokers or prefixes") as caught:
            other.check_fingerprint("amqp://elsewhere//")
        assert "hunter2" not in str(caught.value)
        assert b"hunter2" not in backend.client.get(f"{PREFIX}fingerprint")
        assert 0 < backend.client.ttl(f"{PREFIX}fingerprint") <= 60
        other.close()

    def test_it_is_kept_by_the_living(self, backend: RedisBackend) -> None:
        """Expect heartbeats and reapers to renew it, to write it again where it is lost, and never another one's."""
        key = f"{PREFIX}fingerprint"

        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                backend.store.check_fingerprint("ours")
                ours = backend.client.get(key)

                async def reap() -> None:
                    backend.store.reap()

                for renew in (inbox.beat, reap):
                    backend.client.set(key, ours, ex=5)
                    await renew()
                    assert backend.client.ttl(key) > 50
                    backend.client.delete(key)
                    await renew()
                    assert backend.client.get(key) == ours
                    backend.client.set(key, "another one's", ex=5)
                    await renew()
                    assert backend.client.get(key) == b"another one's"
                    assert backend.client.ttl(key) <= 5
                    backend.client.delete(key)

        run(scenario())


class TestFork:
    def test_a_store_used_before_a_fork_is_used_by_both_sides(self, backend: RedisBackend) -> None:
        """Given a store that was used, then three forks (gunicorn --preload, prefork). Expect all four processes to
        send on connections of their own, each in order."""

        async def scenario() -> None:
            async with nodes(backend, "a") as [inbox]:
                backend.store.deliver([reply("a", "first")])
                children = [_fork(lambda token=token: _send(backend, token)) for token in "xyz"]
                _send(backend, "parent")
                for child in children:
                    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
                seen = await read_all(inbox, backend.store)
                assert seen[0] == ("reply", "t", "first")
                for token in ("x", "y", "z", "parent"):
                    assert [number for _, t, number in seen if t == token] == list(range(200))

        run(scenario())


def _send(backend: RedisBackend, token: str) -> None:
    for number in range(200):
        assert backend.store.deliver([reply("a", number, token=token)]) == Delivered()
        assert backend.store.group_channels("nobody") == []


def _fork(work: Callable[[], None]) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
