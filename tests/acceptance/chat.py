"""People in the chat of the example site, as sockets: what they say, hear and see."""

import itertools
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection

from tests.acceptance.sites import Site, open_socket

__all__ = ["expect_chat", "expect_people", "hear", "people", "say", "status_of", "wait_for_chat"]

_numbers = itertools.count(1)


@contextmanager
def people(site: Site, *names: str, room: str = "lobby") -> Iterator[list[ClientConnection]]:
    """Let people into a room, one after the other."""
    with ExitStack() as stack:
        yield [stack.enter_context(site.socket(f"/chat/{room}/?name={name}")) for name in names]


def say(member: ClientConnection, text: str) -> None:
    """Say something to the room."""
    member.send(json.dumps({"text": text}))


def hear(member: ClientConnection, timeout: float = 10.0) -> dict[str, Any]:
    """Return what a member hears next."""
    heard: dict[str, Any] = json.loads(member.recv(timeout=timeout))
    return heard


def expect_chat(*members: ClientConnection) -> None:
    """Let each say something in turn, which all must hear, and nothing else."""
    for member in members:
        text = f"hello {next(_numbers)}"
        say(member, text)
        heard = [hear(each) for each in members]
        assert [each["text"] for each in heard] == [text] * len(members)
        assert len({each["name"] for each in heard}) == 1


def wait_for_chat(*members: ClientConnection, within: float) -> float:
    """Let the first speak again and again until all have heard a sentence; return the seconds that took.

    What is said while something is away may be lost; a socket that is closed fails.
    """
    began = time.monotonic()
    said: set[str] = set()
    deaf = list(members)
    while deaf:
        assert time.monotonic() - began < within, f"{len(deaf)} of {len(members)} heard nothing within {within:g} s"
        text = f"still there? {next(_numbers)}"
        said.add(text)
        say(members[0], text)
        deaf = [member for member in deaf if not _hears(member, said)]
    _hear_out(members[0], members)
    return time.monotonic() - began


def _hears(member: ClientConnection, said: set[str]) -> bool:
    try:
        return hear(member, timeout=0.3)["text"] in said
    except TimeoutError:
        return False


def _hear_out(speaker: ClientConnection, members: tuple[ClientConnection, ...]) -> None:
    """Let everybody hear what is still on its way, up to a last sentence."""
    text = f"as I said {next(_numbers)}"
    say(speaker, text)
    for member in members:
        while hear(member)["text"] != text:
            pass


def expect_people(watcher: ClientConnection, *names: str, within: float = 10.0) -> None:
    """Wait until the list of who is in the room is this one."""
    deadline, shown = time.monotonic() + within, None
    while shown != list(names):
        left = deadline - time.monotonic()
        try:
            shown = json.loads(watcher.recv(timeout=max(left, 0.01)))["people"]
        except TimeoutError:
            raise AssertionError(f"the list is {shown}, not {names}, after {within:g} s") from None


def status_of(port: int, path: str) -> int:
    """Try a handshake and return the HTTP status of its answer."""
    try:
        with open_socket(port, path):
            return 101
    except InvalidStatus as error:
        return int(error.response.status_code)
    except OSError:  # nothing listens
        return 0
