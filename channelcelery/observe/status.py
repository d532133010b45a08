"""The state of all processes at a glance: interface processes by Redis, queues by the broker, workers by themselves."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from kombu.exceptions import OperationalError

from channelcelery.broker.connection import broker_app
from channelcelery.exceptions import BrokerUnavailable, LayerUnavailable
from channelcelery.layers import channel_layers
from channelcelery.layers.routers import router_of

__all__ = ["Interface", "Queue", "Status", "Worker", "look"]

#: Seconds for the broker to take a connection.
_PATIENCE = 2.0
#: Counts of a worker that are no losses.
_NOT_DROPPED = frozenset({"ran", "failed", "forwarded"})


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface process; see `layers.base.NodeStatus`."""

    layer: str
    node: str
    alive: bool
    connections: int
    groups: int
    inbox: int
    lag: float


@dataclass(frozen=True, slots=True)
class Queue:
    """One channel: its depth is counted in messages of the broker, each of which may carry many."""

    layer: str
    channel: str
    depth: int
    capacity: int


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker that answered."""

    name: str
    pool: str
    slots: int
    channels: int
    ran: int
    failed: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Status:
    """What was found.

    Args:
        nodes: the interface processes.
        queues: the channels of the routing.
        workers: those that answered in time.
        problems: why something is missing above, in a sentence each.
    """

    nodes: tuple[Interface, ...]
    queues: tuple[Queue, ...]
    workers: tuple[Worker, ...]
    problems: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """Return it as dicts and lists."""
        return asdict(self)

    def tables(self) -> Iterator[tuple[str, tuple[str, ...], list[tuple[Any, ...]]]]:
        """Yield for people: what a table is about, its heads and its rows."""
        yield (
            f"{len(self.nodes)} interface processes, {sum(node.connections for node in self.nodes)} connections",
            ("layer", "node", "alive", "connections", "groups", "inbox", "lag"),
            [
                (n.layer, n.node, "yes" if n.alive else "NO", n.connections, n.groups, n.inbox, f"{n.lag:.1f} s")
                for n in self.nodes
            ],
        )
        yield (
            f"{len(self.queues)} channels, {sum(queue.depth for queue in self.queues)} messages of the broker wait",
            ("layer", "channel", "depth", "capacity"),
            [(queue.layer, queue.channel, queue.depth, queue.capacity) for queue in self.queues],
        )
        yield (
            f"{len(self.workers)} workers",
            ("worker", "pool", "slots", "channels", "ran", "failed", "dropped"),
            [(w.name, w.pool, w.slots, w.channels, w.ran, w.failed, w.dropped) for w in self.workers],
        )


def look(patience: float = 1.0) -> Status:
    """Look at everything that can be reached; what cannot is a problem, and no error.

    Args:
        patience: seconds that workers have to answer, all of which are waited.
    """
    problems: list[str] = []
    nodes = tuple(node for alias in channel_layers for node in _nodes(alias, problems))
    if (problem := _broker_problem()) is not None:
        # what follows would try again, each for many seconds
        return Status(nodes, (), (), (*problems, f"queues and workers: the broker cannot be reached: {problem}"))
    queues = tuple(queue for alias in channel_layers for queue in _queues(alias, problems))
    return Status(nodes, queues, tuple(_workers(patience, problems)), tuple(problems))


def _broker_problem() -> str | None:
    """Return why the broker cannot be reached, or None if it can."""
    with broker_app().connection_for_read(connect_timeout=_PATIENCE) as connection:
        limits = {"socket_timeout": _PATIENCE, "socket_connect_timeout": _PATIENCE}  # Redis
        connection.transport_options = {**(connection.transport_options or {}), **limits}
        errors: tuple[type[BaseException], ...] = (*connection.connection_errors, OperationalError, OSError)
        tries = max(0, len(connection.alt) - 1)
        try:
            connection.ensure_connection(max_retries=tries, interval_start=0, interval_step=0, interval_max=0)
        except errors as error:
            return type(error).__name__
    return None


def _nodes(alias: str, problems: list[str]) -> list[Interface]:
    try:
        found = channel_layers[alias].replies.status()
    except LayerUnavailable as error:
        problems.append(f"interface processes of {alias}: {error}")
        return []
    return [
        Interface(alias, each.node, each.alive, each.connections, each.groups, each.entries, each.lag)
        for each in sorted(found, key=lambda each: each.node)
    ]


def _queues(alias: str, problems: list[str]) -> list[Queue]:
    layer, queues = channel_layers[alias], []
    for channel in sorted(router_of(alias).channels):
        try:
            half = layer.reliable if layer.is_reliable(channel) else None
            depth = (half or layer.publisher).depth(channel)
            queues.append(Queue(alias, channel, depth, layer.config.capacity_of(channel)))
        except BrokerUnavailable as error:
            problems.append(f"queues of {alias}: {error}")
            break
    return queues


def _workers(patience: float, problems: list[str]) -> list[Worker]:
    app = broker_app()
    with app.connection_for_read() as connection:
        errors: tuple[type[BaseException], ...] = (*connection.recoverable_connection_errors, OperationalError, OSError)
    try:
        stats: Mapping[str, Any] = app.control.inspect(timeout=patience).stats() or {}
    except errors as error:
        problems.append(f"workers: the broker cannot be reached: {type(error).__name__}")
        return []
    workers = []
    for name, found in sorted(stats.items()):
        if (channels := found.get("channels")) is None:
            continue  # a worker of another project
        counts, pool = channels["counts"], found.get("pool", {})
        dropped = sum(number for reason, number in counts.items() if reason not in _NOT_DROPPED)
        kind = str(pool.get("implementation", "")).partition(":")[0].rpartition(".")[2]
        slots = int(pool.get("max-concurrency") or 1)
        ran, failed = counts.get("ran", 0), counts.get("failed", 0)
        workers.append(Worker(name, kind, slots, len(channels["names"]), ran, failed, dropped))
    return workers
