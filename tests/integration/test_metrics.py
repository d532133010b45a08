"""What probes and Prometheus get from real processes: every count exact, and 503 only where something is wrong."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.observed import Samples, site
from tests.integration.workers import WorkerSetup
from tests.servers import Process, RedisServer, wait_until

SAY = "tests.project.consumers.say"


def labelled(samples: Samples, name: str) -> dict[str, float]:
    return {labels[0]: value for (sample, *labels), value in samples.items() if sample == name}


@contextmanager
def standing_still(worker: Process) -> Iterator[None]:
    """Have the processes of a worker's pool stand still for the length of a block."""
    children = [int(pid) for pid in Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()]
    for pid in children:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in children:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_given_sockets_and_messages_expect_each_counted_once(setup: WorkerSetup) -> None:
    """With prefork: consumers run in other processes than the one that is asked."""
    with site(setup) as running:
        # what waits at the broker, as long as it does: of a channel that no job has run of yet, little is taken ahead
        with standing_still(running.worker.process):
            setup.send_work(40, 0.05)
            depths = wait_until(
                lambda: seen if (seen := labelled(running.worker.samples(), "queue_depth"))["work"] else None,
                what="a depth",
            )
        assert depths["work"] <= 40
        # of each routed channel, whatever else the broker holds
        assert depths.keys() >= {"work", "websocket.connect", "raise"}
        done = running.worker.wait_for(timeout=30, run_total=40.0, worker_jobs=0.0, worker_waiting=0.0)
        assert labelled(done, "queue_depth")["work"] == 0
        # forty times 0.05 s, however long each waited for its turn
        assert 2 <= labelled(done, "consumer_seconds_sum")["tests.project.consumers.work"] < 20
        lines = running.worker.process.output().count(": INFO/")
        with running.socket("/group/a/") as first, running.socket("/group/a/"):
            running.worker.wait_for(run_total=42.0)
            for number in range(5):
                first.send(str(number))
                assert first.recv(timeout=10) == str(number)
            setup.send("raise", [{"number": 1}, {"number": 2}])
            worker = running.worker.wait_for(run_total=51.0, failed_total=2.0)
            interface = running.interface.wait_for(connections={"websocket": 2.0}, delivered_total={"group": 5.0})
        assert labelled(worker, "consumer_seconds_count") == {
            "tests.project.consumers.join": 2,
            SAY: 5,
            "tests.project.consumers.fail": 2,
            "tests.project.consumers.work": 42,
        }
        assert labelled(worker, "consumer_failed_total")["tests.project.consumers.fail"] == 2
        assert labelled(worker, "consumer_failed_total")[SAY] == 0
        assert 0 < labelled(worker, "consumer_seconds_sum")[SAY] < 5
        # accepts are replies
        assert labelled(worker, "sent_total") == {"reply": 2, "group": 5, "channel": 2}
        assert labelled(worker, "dropped_total") == {}
        assert worker["worker_slots",] == 2
        assert worker["ready",] == interface["ready",] == 1
        assert interface["groups",] == 1
        assert labelled(interface, "published_total") == {"websocket.connect": 2, "websocket.receive": 5}
        assert labelled(interface, "delivered_total") == {"reply": 2, "group": 5}
        assert interface["publish_waiting",] == 0
        assert interface["inbox_lag_seconds",] < 2
        running.interface.wait_for(
            connections={"websocket": 0.0, "http": 0.0}, groups=0.0, published_total={"websocket.disconnect": 2.0}
        )
        running.worker.wait_for(run_total=53.0)
        # one line for a connection, none for a message
        assert running.worker.process.output().count(": INFO/") == lines
        assert running.interface.process.output().count("WebSocket ") == 2
        running.interface.process.wait_for_output(
            r"INFO django\.channels\.interface: WebSocket '/group/a/' ended with 10"
        )


def test_given_a_redis_or_a_broker_that_goes_away_expect_not_ready_and_alive(
    new_redis: Callable[..., RedisServer], tmp_path: Path
) -> None:
    layer, broker = new_redis(), new_redis()
    setup = WorkerSetup(broker=broker.url, layer=layer.url, directory=tmp_path, config='{"publish_timeout": 0.5}')
    with site(setup) as running:
        assert running.interface.get("/live") == running.worker.get("/live") == (200, "ok")
        layer.stop()
        _, text = wait_until(
            lambda: answer if (answer := running.interface.get("/ready"))[0] == 503 else None, what="not ready"
        )
        assert "the channel layer is not reached" in text
        samples = running.interface.samples()
        assert samples["ready",] == 0
        assert ("inbox_entries",) not in samples
        assert labelled(samples, "dropped_total")["layer_unavailable"] >= 1
        assert running.worker.get("/ready") == (200, "ok")
        layer.start()
        wait_until(lambda: running.interface.get("/ready")[0] == 200, what="ready again")
        broker.stop()
        wait_until(lambda: running.worker.get("/ready")[0] == 503, what="not ready")
        assert running.worker.samples()["ready",] == 0
        assert running.interface.get("/live") == running.worker.get("/live") == (200, "ok")
        broker.start()
        wait_until(lambda: running.worker.get("/ready")[0] == 200, timeout=20, what="ready again")
