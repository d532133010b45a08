"""Unit tests open no sockets: a forbidden attempt fails the test even where the code swallowed the error."""

import socket
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest
from hypothesis import HealthCheck, settings

# Nothing here is timed: a busy machine must not turn a test red.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


class SocketForbiddenError(RuntimeError):
    """A unit test tried to reach the network; test it in tests/contract or tests/integration instead."""


@pytest.fixture(autouse=True)
def sockets_forbidden(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Refuse every socket call but those of AF_UNIX, whose pairs an asyncio loop needs to wake itself."""
    attempts: list[str] = []

    def guard(name: str) -> None:
        original = getattr(socket.socket, name)

        def guarded(self: socket.socket, *arguments: Any) -> Any:
            if self.family == getattr(socket, "AF_UNIX", None):
                return original(self, *arguments)
            refuse(f"{name}{arguments[-1:]}")

        monkeypatch.setattr(socket.socket, name, guarded)

    def refuse(attempt: str) -> NoReturn:
        attempts.append(attempt)
        raise SocketForbiddenError(f"unit tests open no sockets: {attempt}")

    for name in ("connect", "connect_ex", "bind", "listen", "sendto"):
        guard(name)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: refuse(f"getaddrinfo{arguments[:2]}"))
    yield attempts
    assert not attempts, f"unit tests open no sockets, but this one tried: {attempts}"
