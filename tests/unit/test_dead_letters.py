"""Dead letters: written once, found again, replayed, dropped; on the database and a broker in memory."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from celery import Celery
from django.contrib.admin import AdminSite
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError
from django.test import RequestFactory
from kombu import Connection

from channelcelery.broker import connection
from channelcelery.broker.connection import use_app
from channelcelery.broker.reliable_queues import reliable_queue
from channelcelery.conf import LayerConfig
from channelcelery.core.envelope import encode_content
from channelcelery.core.reliable import Reason
from channelcelery.exceptions import BrokerUnavailable, InvalidEnvelope
from channelcelery.layers import channel_layers
from channelcelery.reliable import dead
from channelcelery.reliable.dead import Death, dead_letters, record
from channelcelery.reliable.models import DeadLetter
from channelcelery.reliable.parcel import Parcel
from channelcelery.reliable.replay import replay
from channelcelery.reliable.sending import ReliableSender
from tests.fakes import FakeLayer

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def sender(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[ReliableSender]:
    """A layer whose reliable half is on a broker in memory."""
    monkeypatch.setattr(connection, "_app", None)
    use_app(Celery("project", broker="memory://"))
    layer, config = FakeLayer(), LayerConfig("default", "memory", prefix=f"{abs(hash(request.node.name))}:")
    made = ReliableSender(config, lambda: Connection("memory://"))
    layer.make_reliable = lambda _: made
    made.prefix = config.prefix  # type: ignore[attr-defined]
    former = channel_layers.set("default", layer)
    yield made
    made.close()
    channel_layers.set("default", former)


def death(number: int = 1, channel: str = "orders", reason: Reason = Reason.RAISED, at: float = 1e9) -> Death:
    content = encode_content({"n": number}, 1_000)
    parcel = Parcel(f"id-{number}", "default", channel, content, attempt=5, sent=9e8)
    return Death(parcel, reason, "ValueError: no", "Traceback …", at)


def waiting(sender: Any, channel: str = "orders") -> list[Parcel]:
    """Take what waits on a reliable channel."""
    found = []
    with Connection("memory://") as broker:
        queue = reliable_queue(sender.prefix, channel, "memory").bind(broker.channel())
        queue.declare()
        while (message := queue.get(no_ack=True, accept=["json"])) is not None:
            found.append(Parcel.read(message.headers, message.payload[0]))
    return found


class TestWriting:
    def test_given_a_death_expect_all_of_it_in_the_table(self) -> None:
        record(death())
        letter = dead_letters().objects.get()
        assert (letter.message_id, letter.alias, letter.channel, letter.attempts) == ("id-1", "default", "orders", 5)
        assert (letter.reason, letter.detail, letter.traceback) == ("raised", "ValueError: no", "Traceback …")
        assert letter.decoded() == {"n": 1}
        assert letter.died_at == datetime.fromtimestamp(1e9, UTC)
        assert letter.sent_at == datetime.fromtimestamp(9e8, UTC)

    def test_if_it_is_written_twice_expect_one(self) -> None:
        """As where a worker is killed between the letter and the acknowledgement."""
        record(death())
        record(death(reason=Reason.KILLED))
        assert [letter.reason for letter in dead_letters().objects.all()] == ["killed"]

    def test_if_the_database_is_away_expect_it_at_the_broker_and_later_in_the_table(
        self, sender: ReliableSender, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(death: Death) -> None:
            raise DatabaseError("away")

        with monkeypatch.context() as patch:
            patch.setattr(dead, "record", refuse)
            sender.keep_dead(death(7, reason=Reason.REJECTED))
            for _ in range(2):
                with pytest.raises(DatabaseError):
                    sender.drain_dead()
        assert dead_letters().objects.count() == 0
        assert sender.drain_dead() == 1, "what could not be written stayed at the broker"
        assert sender.drain_dead() == 0
        letter = dead_letters().objects.get()
        assert (letter.message_id, letter.reason, letter.detail) == ("id-7", "rejected", "ValueError: no")
        assert (letter.traceback, letter.attempts) == ("Traceback …", 5)
        assert letter.died_at == datetime.fromtimestamp(1e9, UTC), "not when it could be written"

    def test_given_one_that_the_broker_took_for_dead_expect_that_as_the_reason(self) -> None:
        task = death().parcel.task()
        assert Death.read(task.headers, json.dumps(task.body)).reason is Reason.BROKER

    @pytest.mark.parametrize("body", ["[]", "{}", '[["default", "orders", "!"], {}, {}]', '[["a"], {}, {}]', b"\x80"])
    def test_given_garbage_expect_an_error(self, body: Any) -> None:
        with pytest.raises((InvalidEnvelope, ValueError)):
            Death.read({"id": "a"}, body)

    @pytest.mark.parametrize(
        "forged",
        [
            {"id": "a" * 65},
            {"id": "a\0"},
            {"channelcelery_attempt": 2**40},
            {"channelcelery_attempt": 0},
            {"channelcelery_sent": float("nan")},
            {"channelcelery_sent": 1e300},
            {"channelcelery_sent": -1},
        ],
        ids=str,
    )
    def test_given_what_the_table_would_not_take_expect_it_dropped_and_no_other_held_up(
        self, sender: ReliableSender, forged: dict[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        task = death(1).task()
        task.headers.update(forged)
        sender._publisher.bury(task)
        sender._publisher.bury(death(2).task())
        sender.drain_dead()
        assert [letter.message_id for letter in dead_letters().objects.all()] == ["id-2"]
        assert "no sender of ours wrote" in caplog.text


class TestReplaying:
    def test_given_letters_expect_each_message_again_as_new_and_its_letter_gone(
        self, sender: ReliableSender, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for number in range(20):
            record(death(number))
        channel_layers["default"].attempts.count("id-3", 5)
        call_command("deadletters", "replay", "--all")
        assert "20 of 20 messages were sent again" in capsys.readouterr().out
        found = waiting(sender)
        assert {(parcel.id, parcel.attempt, parcel.sent) for parcel in found} == {
            (f"id-{n}", 1, 9e8) for n in range(20)
        }
        assert dead_letters().objects.count() == 0
        assert channel_layers["default"].attempts.count("id-3", 1) == 2, "its runs are counted anew"

    def test_if_it_dies_again_before_its_letter_is_gone_expect_the_new_letter(
        self, sender: ReliableSender, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record(death())
        monkeypatch.setattr(sender, "send_again", lambda parcel: record(death(at=1e9 + 5)))
        call_command("deadletters", "replay", "id-1")
        assert dead_letters().objects.count() == 1

    def test_if_two_replay_the_same_expect_the_message_sent_once(self, sender: ReliableSender) -> None:
        """As by the command and in the admin at once: both have read the letter before one of them is done."""
        record(death())
        first, second = dead_letters().objects.get(), dead_letters().objects.get()
        replay(first)
        replay(second)
        assert len(waiting(sender)) == 1
        assert dead_letters().objects.count() == 0

    def test_if_the_broker_is_away_expect_the_letters_to_stay_and_an_error(
        self, sender: ReliableSender, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def refuse(parcel: Parcel) -> None:
            raise BrokerUnavailable("away")

        record(death())
        monkeypatch.setattr(sender, "send_again", refuse)
        with pytest.raises(CommandError, match="1 stay"):
            call_command("deadletters", "replay", "--all")
        assert "id-1 stays" in capsys.readouterr().err
        assert dead_letters().objects.count() == 1


class TestChoosing:
    @pytest.fixture(autouse=True)
    def letters(self) -> None:
        now = datetime.now(UTC).timestamp()
        record(death(1, "orders.paid", Reason.RAISED, now - 1000))
        record(death(2, "orders.sent", Reason.KILLED, now - 10))
        record(death(3, "mail", Reason.RAISED, now - 10))

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ([], {1, 2, 3}),
            (["id-2", "id-3"], {2, 3}),
            (["--channel", "orders.*"], {1, 2}),
            (["--reason", "raised"], {1, 3}),
            (["--older", "500"], {1}),
            (["--newer", "500"], {2, 3}),
            (["--newer", "500", "--reason", "raised"], {3}),
            (["--layer", "other"], set()),
        ],
    )
    def test_given_options_expect_what_fits_all_of_them(
        self, options: list[str], expected: set[int], capsys: pytest.CaptureFixture[str]
    ) -> None:
        call_command("deadletters", "list", *options)
        out = capsys.readouterr().out
        assert {number for number in (1, 2, 3) if f"id-{number}" in out} == expected
        call_command("deadletters", "drop", *options, "--all")
        assert dead_letters().objects.count() == 3 - len(expected)

    @pytest.mark.parametrize("action", ["replay", "drop"])
    def test_given_a_dry_run_expect_nothing_done(self, action: str, capsys: pytest.CaptureFixture[str]) -> None:
        call_command("deadletters", action, "--all", "--dry-run")
        assert "3 would be" in capsys.readouterr().out
        assert dead_letters().objects.count() == 3

    @pytest.mark.parametrize("action", ["replay", "drop"])
    def test_if_nothing_chooses_expect_a_question(self, action: str) -> None:
        with pytest.raises(CommandError, match="which"):
            call_command("deadletters", action)
        assert dead_letters().objects.count() == 3

    def test_given_an_error_that_would_command_a_terminal_expect_it_escaped(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        record(replace(death(9), detail="a\x1b[2J\nid-1", traceback="first\n\x1b[2Jé"))
        call_command("deadletters", "show", "id-9")
        out = capsys.readouterr().out
        assert "a\\x1b[2J\\nid-1\n" in out
        assert "first\n\\x1b[2Jé\n" in out

    def test_given_one_to_show_expect_its_content_and_traceback(self, capsys: pytest.CaptureFixture[str]) -> None:
        call_command("deadletters", "show", "id-2")
        out = capsys.readouterr().out
        assert "{'n': 2}" in out
        assert "Traceback …" in out
        assert "id-1" not in out


class TestAdmin:
    @pytest.fixture
    def pages(self, settings: Any) -> Any:
        settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "django.contrib.admin"]
        from channelcelery.reliable.admin import DeadLetterAdmin

        return DeadLetterAdmin(DeadLetter, AdminSite())

    def test_given_letters_expect_their_content_shown_and_those_chosen_sent_again(
        self, sender: ReliableSender, pages: Any, rf: RequestFactory
    ) -> None:
        record(death(1))
        record(death(2))
        request, said = rf.get("/"), list[str]()
        pages.message_user = lambda request, text, level: said.append(text)
        assert pages.message(DeadLetter.objects.get(message_id="id-2")) == "{'n': 2}"
        assert not pages.has_add_permission(request)
        pages.replay(request, DeadLetter.objects.filter(message_id="id-2"))
        assert said == ["1 messages were sent again."]
        assert [parcel.id for parcel in waiting(sender)] == ["id-2"]
        assert [letter.message_id for letter in DeadLetter.objects.all()] == ["id-1"]

    def test_given_what_cannot_be_read_expect_it_said(self, pages: Any) -> None:
        assert pages.message(DeadLetter(content=b"\xc1")) == "(it cannot be read)"


def test_the_migrations_are_those_of_the_models() -> None:
    call_command("makemigrations", "channelcelery_reliable", check=True, dry_run=True)
