"""Changes that sockets ask for (Channels 1.x, items 201 to 203; defect 7)."""

import contextlib
import json
import logging
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.serializers.base import DeserializationError
from django.db import IntegrityError

from channelcelery.binding import websockets
from channelcelery.binding.websockets import WebsocketBinding
from channelcelery.core.bursts import Bursts
from channelcelery.generic.websockets import WebsocketConsumer, WebsocketDemultiplexer
from channelcelery.message import Message
from channelcelery.ordering import Ordering, ordering_of
from channelcelery.sessions import session_for_reply_channel
from tests.fakes import FakeLayer
from tests.unit.binding.warehouse.models import Box, Number, Tag
from tests.unit.sockets import REPLY, connect_message, disconnect_message, receive_message

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked() -> list[Any]:
    return []


@pytest.fixture
def bind(layer: FakeLayer, asked: list[Any]) -> Callable[..., type[WebsocketBinding]]:
    """Declare a binding that allows everything and notes what it was asked."""

    def has_permission(self: Any, user: Any, action: str, pk: Any) -> bool:
        asked.append((user, action, pk))
        return True

    def declare(**body: Any) -> type[WebsocketBinding]:
        body = {
            "model": Number,
            "stream": "numbers",
            "fields": ["name", "value"],
            "has_permission": has_permission,
        } | body
        body["group_names"] = classmethod(lambda cls, instance: ["all"])
        return type("Bound", (WebsocketBinding,), body)

    return declare


def ask(binding: type[WebsocketBinding], action: object, pk: object = None, data: object = None) -> None:
    """Let a socket's frame reach a binding through a demultiplexer."""
    frame = {"stream": "numbers", "payload": {"action": action, "pk": pk, "data": data}}
    type("Streams", (WebsocketDemultiplexer,), {"consumers": {"numbers": binding.consumer}})(
        receive_message(json.dumps(frame)), room="x"
    )


class TestActions:
    """Item 201."""

    def test_expect_create_update_and_delete(self, bind: Any, asked: list[Any], layer: FakeLayer) -> None:
        binding = bind()
        ask(binding, "create", data={"name": "a", "value": 3})
        number = Number.objects.get()
        assert (number.name, number.value) == ("a", 3)
        ask(binding, "update", number.pk, {"value": "4"})
        number.refresh_from_db()
        assert (number.name, number.value) == ("a", 4)
        ask(binding, "delete", number.pk)
        assert Number.objects.count() == 0
        nobody = AnonymousUser()
        assert asked == [(nobody, "create", None), (nobody, "update", number.pk), (nobody, "delete", number.pk)]
        told = [json.loads(content["text"])["payload"]["action"] for _, content in layer.replies.delivered]
        assert told == ["create", "update", "delete"]

    def test_given_no_permission_expect_nothing(self, bind: Any) -> None:
        number = Number.objects.create(name="a")
        binding = bind(has_permission=lambda self, user, action, pk: False)
        for action in ("create", "update", "delete", "explode"):
            ask(binding, action, number.pk, {"name": "b"})
        assert [number.name for number in Number.objects.all()] == ["a"]

    def test_given_an_async_permission_expect_its_answer_to_count(self, bind: Any) -> None:
        """A coroutine by itself would be true."""

        async def has_permission(self: Any, user: Any, action: str, pk: Any) -> bool:
            return action == "create"

        binding = bind(has_permission=has_permission)
        ask(binding, "create", data={"name": "a"})
        ask(binding, "delete", Number.objects.get().pk)
        assert Number.objects.count() == 1

    def test_given_no_permission_of_one_s_own_expect_an_error(self, layer: FakeLayer) -> None:
        class Forgotten(WebsocketBinding):
            model = Number
            stream = "numbers"
            fields = ["name"]

            @classmethod
            def group_names(cls, instance: Any) -> list[str]:
                return []

        with pytest.raises(NotImplementedError):
            ask(Forgotten, "create", data={"name": "a"})
        assert Number.objects.count() == 0

    @pytest.mark.parametrize("action", ["explode", "", None, 5, ["create"]])
    def test_given_another_action_expect_a_value_error(self, bind: Any, action: object) -> None:
        with pytest.raises(ValueError, match="action"):
            ask(bind(), action, 1, {})

    @pytest.mark.parametrize("text", ["[]", "5", '"create"', "{}", "no json"])
    def test_given_no_payload_expect_a_value_error(self, bind: Any, text: str) -> None:
        with pytest.raises(ValueError):
            bind().consumer(receive_message(text))

    @pytest.mark.parametrize("data", [None, [], "text", 5])
    def test_given_data_that_is_no_object_expect_a_value_error(self, bind: Any, data: object) -> None:
        number = Number.objects.create(name="a")
        for action in ("create", "update"):
            with pytest.raises(ValueError, match="must be an object"):
                ask(bind(), action, number.pk, data)

    def test_given_connect_and_disconnect_expect_nothing(self, bind: Any, asked: list[Any]) -> None:
        """Item 202."""
        binding = bind()
        for message in (connect_message(), disconnect_message()):
            binding.consumer(message)
        assert asked == []

    def test_given_hooks_expect_them_called(self, bind: Any) -> None:
        """Item 203."""
        seen: list[Any] = []
        binding = bind(
            deserialize=lambda self, message: ("update", 7, {"text": message["text"]}),
            update=lambda self, pk, data: seen.append(
                (pk, data, self.kwargs, self.action, self.pk, self.data, self.user)
            ),
        )
        binding.consumer(receive_message("x"), room="y")
        data = {"text": "x"}
        assert seen == [(7, data, {"room": "y"}, "update", 7, data, AnonymousUser())]


class TestFields:
    """Item 205 and defect 7."""

    everything = {"name": "b", "value": 9, "owner": None, "id": 77, "pk": 77, "nonsense": 1}

    @pytest.mark.parametrize(
        ("choice", "taken"),
        [
            ({"fields": ["name"]}, {"name"}),
            ({"fields": "__all__"}, {"name", "value", "owner"}),
            ({"fields": ["__all__"]}, {"name", "value", "owner"}),
            ({"fields": None, "exclude": ["value"]}, {"name", "owner"}),
        ],
    )
    def test_given_create_and_update_expect_only_fields_that_may_be_set(
        self, bind: Any, choice: dict[str, Any], taken: set[str]
    ) -> None:
        ann, bob = User.objects.create_user("ann"), User.objects.create_user("bob")
        binding = bind(**choice)
        data = self.everything | {"owner": bob.pk}
        ask(binding, "create", 77, data)
        created = Number.objects.get(name="b")
        assert created.pk != 77
        former = Number.objects.create(name="a", value=1, owner=ann)
        ask(binding, "update", former.pk, data)
        for number, value, owner in ((created, 0, None), (Number.objects.get(pk=former.pk), 1, ann)):
            assert number.name == "b"
            assert number.value == (9 if "value" in taken else value)
            assert number.owner == (bob if "owner" in taken else owner)
        assert Number.objects.count() == 2

    @pytest.mark.parametrize("fields", ["__all__", ["id", "name"]])
    def test_given_the_key_of_another_row_expect_that_row_as_it_was(self, bind: Any, fields: Any) -> None:
        """Who may create or update one row cannot reach another by it."""
        first, second = Number.objects.create(name="first"), Number.objects.create(name="second")
        binding = bind(fields=fields)
        ask(binding, "update", first.pk, {"id": second.pk, "name": "changed"})
        assert {number.pk: number.name for number in Number.objects.all()} == {first.pk: "changed", second.pk: "second"}
        if fields == "__all__":
            ask(binding, "create", second.pk, {"id": second.pk, "name": "new"})
            assert Number.objects.count() == 3
        else:
            with pytest.raises(IntegrityError):
                ask(binding, "create", second.pk, {"id": second.pk, "name": "new"})

    def test_given_a_key_that_people_choose_expect_it_taken_where_fields_name_it(self, bind: Any) -> None:
        ask(bind(model=Tag, fields=["code", "text"]), "create", data={"code": "red", "text": "Red"})
        ask(bind(model=Tag, fields=["code", "text"]), "update", "red", {"code": "blue", "text": "Rot"})
        assert [(tag.code, tag.text) for tag in Tag.objects.all()] == [("red", "Rot")]

    def test_given_a_model_with_defaults_and_many_to_many_expect_them_set(self, bind: Any) -> None:
        """By the model's own save, as anywhere else."""
        for code in ("red", "blue"):
            Tag.objects.create(code=code)
        binding = bind(model=Box, fields="__all__")
        ask(binding, "create", data={"name": " a ", "tags": ["red"]})
        box = Box.objects.get()
        assert (box.name, [tag.code for tag in box.tags.all()]) == ("a", ["red"])
        assert box.made is not None
        ask(binding, "update", str(box.pk), {"tags": ["blue"]})
        assert [tag.code for tag in Box.objects.get().tags.all()] == ["blue"]

    @pytest.mark.parametrize("data", [{"value": "many"}, {"value": []}, {"owner": "nobody"}])
    def test_given_a_value_of_another_type_expect_an_error_and_no_change(self, bind: Any, data: dict[str, Any]) -> None:
        number = Number.objects.create(name="a")
        binding = bind(fields="__all__")
        for action in ("create", "update"):
            with pytest.raises(DeserializationError):
                ask(binding, action, number.pk, {"name": "b"} | data)
        assert [number.name for number in Number.objects.all()] == ["a"]


class TestMissing:
    """Defect 7."""

    @pytest.mark.parametrize(
        ("model", "pk"),
        [
            *((Number, pk) for pk in (4711, "4711", "text", None, {}, [], 2**80, "9" * 50, 1.5e300)),
            *((Box, pk) for pk in (str(uuid.UUID(int=5)), "text", None, {}, [], 5, -5)),
        ],
    )
    def test_given_a_key_of_nothing_expect_update_and_delete_to_do_nothing(
        self, bind: Any, model: type, pk: object, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(websockets, "_bursts", Bursts())
        binding = bind(model=model, fields=["name"])
        Number.objects.create(name="a")
        Box.objects.create(name="a")
        with caplog.at_level(logging.INFO, "django.channels"):
            for _ in range(3):
                ask(binding, "update", pk, {"name": "b"})
            ask(binding, "delete", pk)
        assert Number.objects.get().name == Box.objects.get().name == "a"
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "that is not there" in caplog.text


class TestDecorators:
    """Item 202."""

    def test_given_a_user_in_the_connection_s_session_expect_it_asked_about(self, bind: Any, asked: list[Any]) -> None:
        user = User.objects.create_user("ann")
        session = session_for_reply_channel(REPLY)
        session.update(
            {"_auth_user_id": str(user.pk), "_auth_user_backend": "django.contrib.auth.backends.ModelBackend"}
        )
        session["_auth_user_hash"] = user.get_session_auth_hash()
        session.save(must_create=True)
        ask(bind(), "create", data={"name": "a"})
        ask(bind(channel_session_user=False), "create", data={"name": "a"})
        assert [who for who, *_ in asked] == [user, AnonymousUser()]

    @pytest.mark.parametrize(("user", "session"), [(True, False), (False, True), (False, False)])
    def test_given_flags_expect_what_they_name_on_the_message(self, bind: Any, user: bool, session: bool) -> None:
        seen: list[Message] = []
        binding = bind(
            channel_session_user=user,
            channel_session=session,
            has_permission=lambda self, user, action, pk: seen.append(self.message),
        )
        ask(binding, "delete", 1)
        (message,) = seen
        assert hasattr(message, "user") == user
        assert hasattr(message, "channel_session") == (user or session)

    @pytest.mark.parametrize(
        ("flags", "ordering"),
        [
            ({"strict_ordering": True}, Ordering.STRICT),
            ({"slight_ordering": True}, Ordering.SLIGHT),
            ({"strict_ordering": True, "slight_ordering": True}, Ordering.STRICT),
            ({}, None),
        ],
    )
    def test_given_ordering_expect_it_of_the_whole_socket(
        self, bind: Any, flags: dict[str, bool], ordering: Ordering | None
    ) -> None:
        """The worker keeps the order of what it routes, which is the demultiplexer's."""
        binding = bind(**flags)
        streams = {"other": WebsocketConsumer, "numbers": binding.consumer}
        demultiplexer = type("Streams", (WebsocketDemultiplexer,), {"consumers": streams})
        for channel in demultiplexer.channel_names():
            assert ordering_of(demultiplexer, channel) == ordering_of(binding.consumer, channel) == ordering
        ask(binding, "create", data={"name": "a"})
        assert Number.objects.count() == 1
        unnumbered = receive_message(json.dumps({"action": "create", "data": {}}), order=None)
        with pytest.raises(ValueError, match="order") if flags else contextlib.nullcontext():
            binding.consumer(unnumbered)
