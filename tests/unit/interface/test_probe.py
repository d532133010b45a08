"""Whether an interface process lives is asked of its event loop."""

import asyncio
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from channelcelery.interface import probe as module
from channelcelery.interface.probe import InterfaceProbe


def test_given_an_event_loop_that_hangs_expect_it_not_live_and_afterwards_live(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "TURN", 0.1)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    nobody: Any = SimpleNamespace()
    probe = InterfaceProbe(loop, nobody, nobody, nobody, nobody)
    assert probe.live() == ""
    loop.call_soon_threadsafe(time.sleep, 0.5)
    assert probe.live() == "the event loop took no turn in 0.1 s"
    time.sleep(0.5)
    assert probe.live() == ""
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    assert probe.live() == ""  # it ends, in good order
