"""The worker of `runserver` and the demo, in the process that sends: reliable channels with nothing else started."""

import sys
from pathlib import Path

import pytest

from tests.integration.reliable import ReliableSetup
from tests.integration.workers import ROOT
from tests.processes import Process, wait_until
from tests.scale import scaled

_SITE = """
import logging, signal, time, django
django.setup()
logging.basicConfig(level="INFO", format="%(asctime)s %(message)s")
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
from channelcelery import Channel
from channelcelery.reliable.models import DeadLetter
from channelcelery.worker.embedded import EmbeddedWorker
from django.core.management import call_command

worker = EmbeddedWorker()
worker.start()
for number in range(10):
    Channel("orders").send({"number": number})
for how in ("raise", "exit", "retry", "reject", "once"):
    Channel("fails").send({"how": how})
Channel("slow-retry").send({"number": 1})
Channel("note-time-reliably").send({"after": 500, "sent": time.time()}, delay=500)
deadline = time.monotonic() + 30
while DeadLetter.objects.count() < 4 and time.monotonic() < deadline:
    time.sleep(0.05)
call_command("deadletters", "replay", "--reason", "rejected")
signal.sigwait([signal.SIGTERM])
worker.stop()
"""


@pytest.mark.chaos
@pytest.mark.parametrize("outbox", scaled(["true"], ["false", "true"]))
def test_given_reliable_channels_in_one_process_expect_retries_delays_dead_letters_and_replay(
    tmp_path: Path, outbox: str
) -> None:
    """Given all in memory, with and without the outbox / Expect what other workers do; time limits it cannot keep."""
    setup = ReliableSetup(broker="memory://", layer="", directory=tmp_path, config=f'{{"outbox": {outbox}}}')
    setup.migrate()
    with Process([sys.executable, "-c", _SITE], env=setup.env(), cwd=ROOT) as site:
        setup.wait_for("end", 10, timeout=30)
        wait_until(lambda: setup.counted("reject").total() == 2, timeout=30, what="the replayed one to run again")
        wait_until(lambda: setup.counted("once").total() == 2, timeout=30, what="the second run of what fails once")
        setup.wait_for("waits", 1, timeout=30)
        wait_until(lambda: setup.counted("waits").total() == 2, timeout=30, what="the run that it asked for")
        wait_until(lambda: setup.counted("reliable-500").total() == 1, timeout=30, what="the delayed message")
        wait_until(lambda: len(setup.letters("id")) == 4, timeout=30, what="the letter of what was replayed")
        site.terminate()
        assert site.wait(15) == 0, site.output()
        assert "limited has a time limit of 1 s, which only the pool prefork can enforce: here it has none" in (
            site.output()
        )
    assert set(setup.counted("start").values()) == {1}
    expected = [("raised", 3), ("raised", 3), ("rejected", 1), ("retried", 3)]
    assert sorted(setup.letters("reason", "attempts")) == expected
    (late,) = [float(line.split()[1]) for line in setup.lines() if line.startswith("reliable-500 ")]
    assert late >= 500
    first, second = [float(line.split()[3]) for line in setup.lines() if line.startswith("waits 1 ")]
    assert second - first >= 1.1
