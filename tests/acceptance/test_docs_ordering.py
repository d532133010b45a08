"""The example on order, run as a reader would."""

from pathlib import Path

from tests.acceptance.sites import open_socket
from tests.acceptance.test_docs_examples import runserver
from tests.acceptance.test_docs_sessions import project_of


def test_the_story_is_told_in_order(tmp_path: Path) -> None:
    """Items 155, 157 and 171."""
    project = project_of("ordering", "story", tmp_path)
    words = ["once-upon-a-time-there-was", "a", "queue-of-messages", "b"]
    with runserver(project) as port:
        with open_socket(port, "/story/") as socket:
            for word in words:
                socket.send(word)
            told = [socket.recv(10) for _ in words]
        assert told == [" ".join(words[: number + 1]) for number in range(len(words))]
