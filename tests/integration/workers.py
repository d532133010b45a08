"""Running the test project's worker as a real process, and reading what its consumers wrote down."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kombu import Connection

from channelcelery.broker.publisher import KombuPublisher
from channelcelery.conf import LayerConfig
from channelcelery.core.envelope import decode_batch, encode_content, encode_item
from tests.servers import Process, wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
#: Deadline of every message that is not meant to expire: the year 2286.
NEVER = 10_000_000_000_000


@dataclass
class WorkerSetup:
    """Where the test project's processes find each other, and the file that consumers write to.

    Args:
        broker: URL of the broker.
        layer: URL of the layer's Redis.
        directory: a temporary directory.
        config: CONFIG of the layer, as JSON.
        environment: more variables of the processes.
        cwd: where they are started.
    """

    broker: str
    layer: str
    directory: Path
    config: str = "{}"
    environment: dict[str, str] = field(default_factory=dict)
    cwd: Path = ROOT
    project = "tests.project"

    @property
    def notes(self) -> Path:
        """The file that consumers write to."""
        return self.directory / "notes"

    def env(self) -> dict[str, str | None]:
        """Return the environment of the project's processes."""
        return {
            "DJANGO_SETTINGS_MODULE": "tests.project.settings",
            "CELERY_BROKER_URL": self.broker,
            "CHANNEL_LAYER_URL": self.layer,
            "TEST_LAYER_CONFIG": self.config,
            "TEST_NOTES": str(self.notes),
            "TEST_DATABASE": str(self.directory / "db.sqlite3"),
            "PYTHONPATH": str(ROOT),
            **self.environment,
        }

    def start(self, pool: str = "prefork", concurrency: int = 4, arguments: Sequence[str] = ()) -> Process:
        """Start a worker and return it at once."""
        celery = os.path.join(os.path.dirname(sys.executable), "celery")
        command = [celery, "-A", self.project, "worker", "-P", pool, "-c", str(concurrency), "-l", "info"]
        # it would wait a second for other workers to answer
        return Process([*command, "--without-mingle", *arguments], env=self.env(), cwd=self.cwd)

    @contextmanager
    def worker(self, pool: str = "prefork", concurrency: int = 4, arguments: Sequence[str] = ()) -> Iterator[Process]:
        """Run a worker, ready when the block begins."""
        with self.start(pool, concurrency, arguments) as process:
            process.wait_for_output(r"running \d+ channels", timeout=30)
            yield process

    def python(self, code: str) -> None:
        """Run Python code as a process of the project, to its end."""
        with Process([sys.executable, "-c", code], env=self.env(), cwd=self.cwd) as process:
            assert process.wait(30) == 0, process.output()

    def lines(self) -> list[str]:
        """Return what consumers wrote down so far."""
        return self.notes.read_text().splitlines() if self.notes.exists() else []

    def send(self, channel: str, contents: Sequence[dict[str, object]]) -> None:
        """Send messages one by one, as separate messages of the broker."""
        publisher = self.publisher()
        for content in contents:
            publisher.publish(channel, [encode_item(encode_content(content, 1_000_000), NEVER)])
        publisher.close()

    def publisher(self) -> KombuPublisher:
        """Return a publisher of this broker."""
        return KombuPublisher(LayerConfig("default", "redis"), connection=lambda: Connection(self.broker))

    def send_work(self, count: int, seconds: float) -> None:
        """Queue numbered messages that take some time each."""
        self.send("work", [{"number": number, "seconds": seconds} for number in range(count)])

    def left(self, channel: str = "work") -> int:
        """Return how many channel messages wait in a queue, by taking them all out."""
        taken = 0
        with Connection(self.broker) as connection, connection.channel() as amqp_channel:
            while (message := amqp_channel.basic_get(f"cc:{channel}", no_ack=True)) is not None:
                body = message.body
                taken += len(decode_batch(body if isinstance(body, bytes) else body.encode("latin-1")).items)
        return taken

    def wait_for_lines(self, count: int, timeout: float = 60.0) -> list[str]:
        """Wait until consumers have written at least so many lines."""
        return wait_until(
            lambda: lines if len(lines := self.lines()) >= count else None,
            timeout=timeout,
            what=f"{count} lines; there are {len(self.lines())}",
        )
