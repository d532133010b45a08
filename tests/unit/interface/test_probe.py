"""Whether an interface process lives is asked of its event loop."""

import asyncio
import threading
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from channelcelery.interface import probe as module
from channelcelery.interface.probe import InterfaceProbe
from channelcelery.layers.base import NodeStatus


def test_given_an_event_loop_that_hangs_expect_it_not_live_and_afterwards_live(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    nobody: Any = SimpleNamespace()
    probe = InterfaceProbe(loop, nobody, nobody, nobody, nobody)
    assert probe.live() == ""
    released = threading.Event()
    loop.call_soon_threadsafe(released.wait, 10)
    with monkeypatch.context() as shortly:
        shortly.setattr(module, "TURN", 0.1)
        assert probe.live() == "the event loop took no turn in 0.1 s"
    released.set()
    assert probe.live() == ""
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    assert probe.live() == ""  # it ends, in good order


def test_until_its_server_listens_expect_it_not_ready() -> None:
    server, nobody = SimpleNamespace(started=False), SimpleNamespace()
    node: Any = SimpleNamespace(takes_sockets=True)
    probe = InterfaceProbe(nobody, nobody, node, nobody, nobody, lambda: server.started)  # type: ignore[arg-type]
    assert probe.ready() == "the server does not listen yet"
    server.started = True
    assert probe.ready() == ""
    node.takes_sockets = False
    assert probe.ready() != ""


def test_given_counts_of_node_and_publisher_expect_them_summed_and_as_of_now() -> None:
    hub = SimpleNamespace(counts=lambda: {"websocket": 3, "http": 1}, group_count=2, replies=7, group_sends=5)
    node: Any = SimpleNamespace(takes_sockets=True, hub=hub, name="n1")
    status = NodeStatus("n1", True, connections=4, groups=2, entries=11, bytes=600, lag=0.5)
    layer: Any = SimpleNamespace(replies=SimpleNamespace(status=lambda name: [status] if name == "n1" else []))
    faults: Any = SimpleNamespace(dropped=Counter(socket_gone=2, channel_full=1))
    published = Counter({"websocket.receive": 9})
    publisher: Any = SimpleNamespace(dropped=Counter(channel_full=3, expired=4), published=published, waiting=6)
    values = InterfaceProbe(SimpleNamespace(), layer, node, publisher, faults).values()  # type: ignore[arg-type]
    faults.dropped["socket_gone"] += 1
    published["websocket.receive"] += 1
    assert values == {
        "ready": 1.0,
        "dropped": {"socket_gone": 2, "channel_full": 4, "expired": 4},
        "connections": {"websocket": 3, "http": 1},
        "groups": 2,
        "published": {"websocket.receive": 9},
        "publish_waiting": 6,
        "delivered": {"reply": 7, "group": 5},
        "inbox_entries": 11,
        "inbox_bytes": 600,
        "inbox_lag_seconds": 0.5,
    }
