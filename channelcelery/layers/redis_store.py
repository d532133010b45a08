"""The senders' side of replies and groups on Redis."""

import hashlib
import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import islice
from operator import add
from typing import Any

import redis

from channelcelery.conf import LayerConfig
from channelcelery.core.delivery import Outcome, Replies, Tally, host_of, plan, spread, tally
from channelcelery.core.inbox import encode_replies
from channelcelery.core.names import ReplyAddress, is_reply_channel, reply_address
from channelcelery.core.sends import GroupSend, ReplySend
from channelcelery.exceptions import InvalidChannelLayerError, LayerUnavailable
from channelcelery.layers.base import Delivered, NodeStatus, Orphan
from channelcelery.layers.redis_clients import reaching_redis, refuse_cluster, sync_client
from channelcelery.layers.redis_scripts import Scripts
from channelcelery.layers.seals import seal_of

__all__ = ["CLEARED_GROUPS", "FINGERPRINT_EXPIRY", "TOMBSTONE_EXPIRY", "RedisReplyStore"]

logger = logging.getLogger("django.channels.layer")

#: Seconds that a fingerprint counts without being renewed.
FINGERPRINT_EXPIRY = 60
#: Seconds that a dead interface process's tombstone stays.
TOMBSTONE_EXPIRY = 24 * 3600
#: Seconds between two looks whether a node is known again.
_LOOK = 0.02
#: Nodes that one process remembers to have waited for in vain.
_REMEMBERED = 1_000
#: Groups of a node that one script call clears, about 2 ms of Redis's time.
CLEARED_GROUPS = 500


class RedisReplyStore:
    """A `ReplyStore` on one Redis or several; safe to share between threads, and usable again after a fork.

    Args:
        config: the layer's settings; nodes are spread over its hosts.
    """

    def __init__(self, config: LayerConfig) -> None:
        self._config = config
        self._seal = seal_of(config)
        self._hosts = [_Host(config, url) for url in config.hosts]
        #: what `check_fingerprint` was given, hashed; empty before
        self.fingerprint = ""
        #: memberships that were not written since the interface process was dead: "join_node_gone"
        self.dropped: Counter[str] = Counter()
        self._unknown: set[str] = set()

    def deliver(self, sends: Sequence[ReplySend | GroupSend]) -> Delivered:
        """Put replies and group sends into the inboxes, in one round trip a host; see `ReplyStore.deliver`."""
        tallies: list[Tally] = []
        failure = None
        for host, part in zip(self._hosts, spread(sends, len(self._hosts)), strict=True):
            try:
                tallies.append(done := self._deliver(host, part))
                if done.again:
                    tallies.append(self._deliver(host, done.again, force=True))
            except LayerUnavailable as error:
                # the other hosts' nodes are not to suffer from it
                failure = error
        if failure is not None:
            raise failure
        total = reduce(add, tallies)
        return Delivered(total.full, total.dropped, total.forward)

    def _deliver(self, host: "_Host", sends: Sequence[ReplySend | GroupSend], *, force: bool = False) -> Tally:
        operations = plan(sends)
        if not operations:
            return Tally()
        arguments: list[Any] = [self._config.inbox_capacity, self._config.inbox_bytes, int(force)]
        for operation in operations:
            if isinstance(operation, Replies):
                packed = encode_replies([(send.token, send.content) for send in operation.sends])
                arguments += ("r", operation.node, self._sealed(packed, f"inbox {operation.node}"))
            else:
                arguments += ("g", operation.group, self._sealed(operation.content, f"group {operation.group}"))
        answers = host.run("deliver", *arguments)
        # nearly always there is nothing to tell
        return tally(zip(operations, map(_outcome, answers), strict=True)) if any(answers) else Tally()

    def _sealed(self, content: bytes, place: str) -> bytes:
        return self._seal.close(content, place, int((time.time() + self._config.expiry) * 1000))

    # groups

    def group_add(self, group: str, channel: str) -> None:
        """Make a channel a member; see `ReplyStore.group_add`."""
        if not is_reply_channel(channel):
            self._host_of(group).command("SADD", f"group:{group}", channel)
            return
        address = reply_address(channel)
        proof = self._sealed(b"", f"join {group} {address.token}")
        if not self._join(address.node, group, address.token, proof):
            self.dropped["join_node_gone"] += 1
            logger.debug("%s was not added to %s: its interface process is dead", channel, group)

    def _join(self, node: str, group: str, token: str, proof: bytes) -> bool:
        """Tell whether a connection is a member now; wait for a node that Redis lost, but once in vain at most."""
        # it looks once a heartbeat
        until = time.monotonic() + (0 if node in self._unknown else 2 * self._config.heartbeat)
        while (answer := self._host_of(node).run("join", node, group, token, proof)) < 0:
            if time.monotonic() >= until:
                if len(self._unknown) >= _REMEMBERED:
                    self._unknown.clear()
                self._unknown.add(node)
                return False
            time.sleep(_LOOK)
        self._unknown.discard(node)
        return bool(answer)

    def group_discard(self, group: str, channel: str) -> None:
        """End a membership; see `ReplyStore.group_discard`."""
        if not is_reply_channel(channel):
            self._host_of(group).command("SREM", f"group:{group}", channel)
            return
        address = reply_address(channel)
        self._host_of(address.node).run("leave", address.node, group, address.token)

    def group_channels(self, group: str) -> list[str]:
        """Return the members' names, in no order."""
        names: list[str] = []
        for host in self._hosts:
            for member in host.run("members", group):
                if isinstance(member, bytes):
                    names.append(member.decode("ascii"))
                else:
                    node, *tokens = (part.decode("ascii") for part in member)
                    names += (ReplyAddress(node, token).channel() for token in tokens)
        return names

    # the state of the layer

    def reap(self) -> list[Orphan]:
        """Clear the keys of every interface process that died; see `ReplyStore.reap`."""
        orphans: list[Orphan] = []
        failure = None
        for host in self._hosts:
            try:
                for found in self._reap(host):
                    orphans += found
                if self.fingerprint:
                    host.run("fingerprint", self.fingerprint, FINGERPRINT_EXPIRY)
            except LayerUnavailable as error:
                logger.warning("dead interface processes could not be cleared: %s", error)
                failure = error
        if failure is not None and not orphans:
            # with orphans at hand nothing is raised: nobody else is given these
            raise failure
        return orphans

    def _reap(self, host: "_Host") -> Iterator[list[Orphan]]:
        expiry = int(self._config.node_expiry * 1000)
        while cleared := host.run("clear", "", expiry, TOMBSTONE_EXPIRY, CLEARED_GROUPS):
            node, _, *channels = cleared
            yield [
                Orphan(ReplyAddress(node.decode("ascii"), token.decode("ascii")), path.decode("utf-8", "replace"))
                for token, path in zip(channels[::2], channels[1::2], strict=True)
            ]

    def status(self, node: str = "") -> list[NodeStatus]:
        """Tell how interface processes are; see `ReplyStore.status`."""
        hosts = [self._host_of(node)] if node else self._hosts
        found = [each for host in hosts for each in host.run("status", node)]
        return [
            NodeStatus(name.decode("ascii"), bool(alive), connections, groups, entries, size, lag / 1000)
            for name, alive, connections, groups, entries, size, lag in found
        ]

    def check_fingerprint(self, value: str) -> None:
        """Make sure that all processes of this layer use the same broker and prefix; call it once at start.

        Args:
            value: what must be equal in all processes; a hash of it is kept in Redis.

        Raises:
            InvalidChannelLayerError: a process that is alive gave another value.
            LayerUnavailable: Redis did not answer.
        """
        fingerprint = hashlib.sha256(value.encode()).hexdigest()[:32]
        for host in self._hosts:
            if host.run("fingerprint", fingerprint, FINGERPRINT_EXPIRY).decode() != fingerprint:
                raise InvalidChannelLayerError(
                    self._config.alias,
                    "CONFIG",
                    "this process and another one that uses this Redis have different brokers or prefixes, so neither "
                    "would get the other's messages. Give both the same CELERY_BROKER_URL and CONFIG; if the other "
                    f"one's settings were changed on purpose, end it and wait {FINGERPRINT_EXPIRY} s",
                )
        self.fingerprint = fingerprint

    def flush(self) -> None:
        """Delete every inbox entry and group of this layer (item 50)."""
        for host in self._hosts:
            host.flush()

    def close(self) -> None:
        """End the connections; the next call opens new ones."""
        for host in self._hosts:
            host.close()

    def _host_of(self, name: str) -> "_Host":
        return self._hosts[host_of(name, len(self._hosts))]


def _outcome(answer: Any) -> Outcome:
    if not answer:
        return Outcome()
    full, gone, *forward = answer
    return Outcome(full, gone, tuple(channel.decode("ascii") for channel in forward))


class _Host:
    """One Redis server of a layer, seen from a thread."""

    def __init__(self, config: LayerConfig, url: str) -> None:
        self._config, self._prefix = config, config.prefix
        self._client: redis.Redis = sync_client(config, url)
        self._scripts = Scripts(self._client)
        self._checked = False

    def _check(self) -> None:
        if not self._checked:
            with reaching_redis():
                refuse_cluster(self._config, self._client.info("cluster"))
            self._checked = True

    def run(self, name: str, *arguments: Any) -> Any:
        """Run a Lua script and return its answer, undecoded."""
        self._check()
        return self._scripts.run(name, self._prefix, *arguments)

    def command(self, name: str, key: str, *arguments: Any) -> Any:
        """Run a command on one of the layer's keys."""
        self._check()
        with reaching_redis():
            client: Any = self._client
            return client.execute_command(name, self._prefix + key, *arguments)

    def flush(self) -> None:
        """Delete groups and inbox entries; the inboxes' last ids stay, so that their readers go on."""
        self._check()
        with reaching_redis():
            for pattern in ("group:*", "node:*:groups"):
                keys = self._client.scan_iter(match=self._prefix + pattern, count=1000)
                while some := list(islice(keys, 1000)):
                    self._client.unlink(*some)
            nodes: Any = self._client.zrange(f"{self._prefix}nodes", 0, -1)
            for node in nodes:
                inbox = f"{self._prefix}inbox:{node.decode()}"
                self._client.xtrim(inbox, maxlen=0, approximate=False)
                self._client.delete(f"{inbox}:bytes")

    def close(self) -> None:
        """End the connections."""
        self._client.close()
