"""A broker that takes a question and never answers it, as RabbitMQ does that was killed while it made a queue."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.integration.reliable import ReliableSetup, numbers
from tests.processes import LOOPBACK

#: Seconds for which a worker waits.
LIMIT = 1


class SilentBroker:
    """Stands before a broker, and lets the answers through until a question holds some bytes: then none at all.

    Args:
        url: the broker's.
        questions: such bytes, for one connection each; later ones are as good as the broker's own.
    """

    def __init__(self, url: str, *questions: bytes) -> None:
        parts = urlsplit(url)
        assert parts.port is not None
        self._broker = (LOOPBACK, parts.port)
        self.questions = list(questions)
        self._listener = socket.create_server((LOOPBACK, 0))
        self._open: list[socket.socket] = [self._listener]
        self.url = url.replace(f":{parts.port}", f":{self._listener.getsockname()[1]}")
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                broker = socket.create_connection(self._broker)
                self._open += [client, broker]
                told = threading.Event()
                for pump in (self._ask, self._answer):
                    threading.Thread(target=pump, args=(client, broker, told), daemon=True).start()

    def _ask(self, client: socket.socket, broker: socket.socket, told: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                if self.questions and self.questions[0] in data and not told.is_set():
                    self.questions.pop(0)
                    told.set()
                broker.sendall(data)
        _end(broker)

    def _answer(self, client: socket.socket, broker: socket.socket, told: threading.Event) -> None:
        with suppress(OSError):
            while data := broker.recv(65536):
                if not told.is_set():
                    client.sendall(data)
        # one that answers nothing does not end the connection either
        if not told.is_set():
            _end(client)

    def close(self) -> None:
        """End it, with its connections."""
        for each in self._open:
            _end(each)
            each.close()


def _end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def silent(rabbit_url: str) -> Iterator[SilentBroker]:
    """Says nothing of the queue of a reliable channel, and then nothing of another's."""
    made = SilentBroker(rabbit_url, b"cc:reliable:orders", b"cc:plain")
    yield made
    made.close()


def test_if_the_broker_does_not_answer_expect_the_worker_to_say_so_and_to_ask_again(
    silent: SilentBroker, redis_url: str, rabbit_url: str, tmp_path: Path
) -> None:
    """Given a queue of which the broker says nothing / Expect the worker to connect anew, and all to run in the end."""
    config = json.dumps({"publish_timeout": LIMIT})
    setup = ReliableSetup(broker=silent.url, layer=redis_url, directory=tmp_path, config=config)
    setup.migrate()
    replace(setup, broker=rabbit_url).send_reliably(*numbers(3), ("plain", {"number": 1}))
    with setup.start("prefork", 1) as worker:
        for what in ("cc:reliable:orders", "the queues of its channels"):
            worker.wait_for_output(f"did not answer for {LIMIT} s when asked for {what}", timeout=30)
        setup.wait_for("end", 3)
        setup.wait_for("plain", 1)
        assert silent.questions == []
        worker.terminate()
        assert worker.wait(30) == 0
    assert set(setup.counted("start").values()) == {1}
