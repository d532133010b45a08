"""Whether an interface process lives is asked of its event loop."""

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from channelcelery.interface import probe as module
from channelcelery.interface.probe import InterfaceProbe


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
