"""The scripts of Redis and the state in memory decide alike: both are led through the same random histories."""

import asyncio
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from channelcelery.layers.inbox import Inbox
from tests.contract.reply_backends import (
    PREFIX,
    Backend,
    MemoryBackend,
    RedisBackend,
    channel,
    config_of,
    flat,
    group_send,
    reply,
)

NODES, GROUPS, TOKENS, QUEUES = st.sampled_from("abc"), st.sampled_from("gh"), st.sampled_from("tu"), st.just("jobs")
MEMBERS = st.one_of(st.builds(channel, NODES, TOKENS), QUEUES)
TEXTS = st.integers(0, 40).map(lambda size: "x" * size)
SENDS = st.lists(
    st.one_of(
        st.builds(reply, NODES, TEXTS, token=TOKENS, control=st.booleans()), st.builds(group_send, GROUPS, TEXTS)
    ),
    max_size=6,
)
STEPS = st.one_of(
    st.tuples(st.just("deliver"), SENDS),
    st.tuples(st.just("add"), GROUPS, MEMBERS),
    st.tuples(st.just("discard"), GROUPS, MEMBERS),
    st.tuples(st.just("kill"), NODES),
    st.tuples(st.just("reap")),
    st.tuples(st.just("open"), NODES),
    st.tuples(st.just("beat"), NODES),
    st.tuples(st.just("close"), NODES),
    st.tuples(
        st.just("record"),
        NODES,
        st.dictionaries(TOKENS, st.just("/")),
        st.sets(TOKENS),
        st.sets(st.tuples(GROUPS, TOKENS)),
    ),
    st.tuples(
        st.just("rebuild"), NODES, st.dictionaries(TOKENS, st.just("/")), st.dictionaries(GROUPS, st.sets(TOKENS))
    ),
    st.tuples(st.just("flush")),
)


class History:
    """One backend led through a history.

    Args:
        backend: which one.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.inboxes: dict[str, Inbox] = {}

    async def step(self, step: tuple[Any, ...]) -> Any:
        """Take a step and return what can be seen of it."""
        store = self.backend.store
        match step:
            case ("deliver", sends):
                done = store.deliver(sends)
                return done.full, dict(done.dropped), sorted(done.forward)
            case ("add", group, name):
                return store.group_add(group, name)
            case ("discard", group, name):
                return store.group_discard(group, name)
            case ("reap",):
                return sorted((o.address.node, o.address.token, o.path) for o in store.reap())
            case ("flush",):
                return store.flush()
            case (action, node, *arguments):
                return await self._act(action, node, *arguments)

    async def _act(self, action: str, node: str, *arguments: Any) -> Any:
        if action == "open":
            # a name is taken by one process once
            if node not in self.inboxes:
                self.inboxes[node] = self.backend.inbox(node)
                await self.inboxes[node].open()
            return None
        inbox = self.inboxes.get(node)
        if inbox is None:
            return None
        if action == "kill":
            return self.backend.kill(node)
        if action == "close":
            del self.inboxes[node]
        return await getattr(inbox, action)(*arguments)

    async def look(self) -> Any:
        """Return all that can be seen without changing anything."""
        return {group: sorted(self.backend.store.group_channels(group)) for group in "gh"}

    async def end(self) -> Any:
        """Read every inbox to its end and close it; return what was read and what is left."""
        seen = {}
        for node, inbox in sorted(self.inboxes.items()):
            seen[node] = await self._read(inbox)
            await inbox.close()
        return seen

    async def _read(self, inbox: Inbox) -> list[tuple[Any, ...]]:
        seen: list[tuple[Any, ...]] = []
        while await self._waits(inbox.node):
            seen += flat(await inbox.read())
        return seen

    async def _waits(self, node: str) -> bool:
        if isinstance(self.backend, MemoryBackend):
            return self.backend.store.state.has_unread(node)
        assert isinstance(self.backend, RedisBackend)
        reader = self.backend_position(node)
        return bool(self.backend.client.xrange(f"{PREFIX}inbox:{node}", f"({reader}", "+", count=1))

    def backend_position(self, node: str) -> str:
        return str(self.inboxes[node]._reader.position)  # type: ignore[attr-defined]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(st.lists(STEPS, min_size=5, max_size=30))
def test_both_show_the_same(redis_url: str, steps: list[tuple[Any, ...]]) -> None:
    """Given any history. Expect every answer, every list of members and every inbox to be equal."""
    bounds: dict[str, Any] = {"inbox_capacity": 4, "inbox_bytes": 120}
    memory = MemoryBackend(config_of("memory", **bounds))
    on_redis = RedisBackend(config_of("redis", hosts=[redis_url], **bounds))

    async def scenario() -> None:
        twins = History(memory), History(on_redis)
        for step in [("open", "a"), ("open", "b"), *steps]:
            one, other = [await twin.step(step) for twin in twins]
            assert one == other, step
            one, other = [await twin.look() for twin in twins]
            assert one == other, step
        one, other = [await twin.end() for twin in twins]
        assert one == other

    on_redis.client.flushdb()
    try:
        asyncio.run(scenario())
    finally:
        on_redis.close()
