"""What clients are told whose answer a killed process of the pool took with it."""

import pytest

from channelcelery.core.outcome import Outcome
from channelcelery.worker import claims, losses
from channelcelery.worker.losses import Losses
from channelcelery.worker.progress import Progress, read_mark
from tests.unit.worker.jobs import encoded

REPLY = "http.response!node.http.token"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, dict[str, bool]]]:
    """What is told to whom."""
    answers: list[tuple[str, str, dict[str, bool]]] = []
    monkeypatch.setattr(losses, "_tell", answers.extend)
    return answers


@pytest.mark.parametrize(
    ("channel", "answer"), [("http.request", {"closed": True}), ("websocket.connect", {"close": True})]
)
def test_given_a_message_that_wants_an_answer_expect_one(
    told: list[object], channel: str, answer: dict[str, bool]
) -> None:
    Losses(lambda job: None).abandoned(("default", channel), encoded({"reply_channel": REPLY}))
    assert told == [("default", REPLY, answer)]


@pytest.mark.parametrize("item", [encoded({}), encoded({"reply_channel": 5}), b"garbage"])
def test_given_a_message_that_nobody_waits_for_expect_nothing(told: list[object], item: bytes) -> None:
    for channel in ("http.request", "websocket.receive", "chat"):
        Losses(lambda job: None).abandoned(("default", channel), item)
    assert told == []


def test_given_responses_of_a_process_that_is_gone_expect_each_ended_once(told: list[object]) -> None:
    found = Losses(lambda job: None)
    found.note(Outcome(pid=1, responses=(("default", "a"), ("other", "b"))))
    found.note(Outcome(pid=2, responses=(("default", "c"),)))
    found.look((), (1, 2))
    assert told == []
    for _ in range(2):
        found.look((), (2, 3))
    assert told == [("default", "a", {"closed": True}), ("other", "b", {"closed": True})]
    found.note(Outcome(pid=2))
    found.look((), ())
    assert len(told) == 2, "what process 2 answered has ended before it"


def test_given_a_job_in_progress_expect_its_mark_and_none_of_an_earlier_job_in_its_place() -> None:
    first, second = claims.new_sequence(), claims.new_sequence()
    progress = Progress(3, first)
    progress.begin()
    progress.run("project.consumers." + "long_" * 50)
    mark = read_mark(3, first)
    assert mark is not None
    assert (mark.begun, mark.consumer[:23]) == (1, "project.consumers.long_")
    assert read_mark(3, second) is None
