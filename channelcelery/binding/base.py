"""`Binding`: a model's changes sent to groups, and changes that messages ask for (Channels 1.x, items 196 to 203)."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, ClassVar

from django.apps import apps
from django.db import transaction
from django.db.models import Model
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save
from django.db.models.utils import make_model_tuple

from channelcelery.around import finish
from channelcelery.auth import channel_session_user
from channelcelery.binding.changes import recall, remember
from channelcelery.channel import Group
from channelcelery.conf import DEFAULT_CHANNEL_LAYER
from channelcelery.message import Message
from channelcelery.sessions import channel_session

__all__ = ["CREATE", "DELETE", "UPDATE", "Binding", "BindingMetaclass"]

CREATE = "create"
UPDATE = "update"
DELETE = "delete"


class BindingMetaclass(type):
    """What packages for Channels 1.x derive their bindings' metaclass from; a binding itself needs none (item 200)."""


class Binding:
    """A model bound to groups and messages; subclasses for a protocol add how these look (item 196).

    Declaring a subclass is enough: from then on, or once its model is loaded, saves and deletions are told (item 200).
    Outbound, define `group_names` and `serialize`; inbound, `deserialize`, `has_permission`, `create` and `update`.

    Raises:
        ValueError: on declaration, if `model` or both of `fields` and `exclude` are missing, or one is a plain str.
        LookupError: on declaration after Django's set-up, if there is no such model.
    """

    #: the model, or "app.Model"; None in a class's own body makes that class abstract
    model: ClassVar[Any] = None
    #: the stream of a multiplexed socket
    stream: ClassVar[str | None] = None
    #: names of the fields that are sent and taken; "__all__" or ["__all__"] for all
    fields: ClassVar[Sequence[str] | None] = None
    #: names of those that are not, where `fields` is None
    exclude: ClassVar[Sequence[str] | None] = None
    #: whether inbound messages are decorated with `channelcelery.auth.channel_session_user`
    channel_session_user: ClassVar[bool] = True
    #: whether they are decorated with `channelcelery.sessions.channel_session`
    channel_session: ClassVar[bool] = False
    #: the layer of the groups; Channels 1.1.8 knew the default one only (defect 22)
    channel_layer_alias: ClassVar[str] = DEFAULT_CHANNEL_LAYER
    #: whether a change is told when its transaction is committed, rather than at once
    send_on_commit: ClassVar[bool] = False
    #: "app.model" in lower case, once the model is known
    model_label: ClassVar[str]
    #: what the signal came with that is being told of (item 199)
    signal_kwargs: dict[str, Any] | None = None

    #: outbound, what has changed
    instance: Any
    #: inbound, the message, the route's kwargs, what is asked for, and who asks
    message: Message
    kwargs: dict[str, Any]
    action: str
    pk: Any
    data: Any
    user: Any

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._check()
        if isinstance(cls.model, str) and not apps.models_ready:
            apps.lazy_model_operation(partial(_register, cls), make_model_tuple(cls.model))
        else:
            cls.register()

    @classmethod
    def _check(cls) -> None:
        if cls.model is None:
            if "model" not in cls.__dict__:
                raise ValueError(f"You must set the model attribute on Binding {cls!r}: None if it is abstract.")
            return
        if cls.fields is None and cls.exclude is None:
            raise ValueError(f"You must set the fields or exclude attribute on Binding {cls!r}!")
        if isinstance(cls.exclude, str) or (isinstance(cls.fields, str) and cls.fields != "__all__"):
            raise ValueError(f"fields and exclude of Binding {cls!r} are lists of names, or fields is '__all__'.")

    @classmethod
    def register(cls) -> None:
        """Listen to the model's signals; a second time changes nothing."""
        for model in cls.get_registered_models():
            # bound to the class and never released: declaring is enough, whoever keeps it
            pre_save.connect(cls.pre_save_receiver, sender=model, weak=False)
            post_save.connect(cls.post_save_receiver, sender=model, weak=False)
            pre_delete.connect(cls.pre_delete_receiver, sender=model, weak=False)
            post_delete.connect(cls.post_delete_receiver, sender=model, weak=False)

    @classmethod
    def get_registered_models(cls) -> list[type[Model]]:
        """Return the model in a list, looked up if it is a name, or an empty list for an abstract class."""
        if cls.model is None:
            return []
        if isinstance(cls.model, str):
            cls.model = apps.get_registered_model(*make_model_tuple(cls.model))
        cls.model_label = f"{cls.model._meta.app_label}.{cls.model._meta.object_name}".lower()
        return [cls.model]

    # outbound

    @classmethod
    def encode(cls, stream: str, payload: Any) -> dict[str, Any]:
        """Return the message that carries a payload on a stream; to be defined."""
        raise NotImplementedError

    @classmethod
    def group_names(cls, instance: Any) -> Iterable[str]:
        """Return the names of the groups that see an instance as it is now, as a list; to be defined (item 197)."""
        raise NotImplementedError

    def serialize(self, instance: Any, action: str) -> dict[str, Any]:
        """Return what is sent of an instance, `{}` for nothing; to be defined (item 198)."""
        raise NotImplementedError

    @classmethod
    def pre_save_receiver(cls, instance: Any, **kwargs: Any) -> None:
        """Called before a save."""
        cls.pre_change_receiver(instance, CREATE if instance._state.adding else UPDATE)

    @classmethod
    def post_save_receiver(cls, instance: Any, created: bool, **kwargs: Any) -> None:
        """Called after a save."""
        cls.post_change_receiver(instance, CREATE if created else UPDATE, **kwargs)

    @classmethod
    def pre_delete_receiver(cls, instance: Any, **kwargs: Any) -> None:
        """Called before a deletion."""
        cls.pre_change_receiver(instance, DELETE)

    @classmethod
    def post_delete_receiver(cls, instance: Any, **kwargs: Any) -> None:
        """Called after a deletion."""
        cls.post_change_receiver(instance, DELETE, **kwargs)

    @classmethod
    def pre_change_receiver(cls, instance: Any, action: str) -> None:
        """Remember on the instance who sees it before a change."""
        remember(instance, cls, set() if action == CREATE else cls._seen_by(instance))

    @classmethod
    def post_change_receiver(cls, instance: Any, action: str, **kwargs: Any) -> None:
        """Tell those who saw the instance before a change, and those who see it now (item 197)."""
        before = recall(instance, cls)
        now = set() if action == DELETE else cls._seen_by(instance)
        self = cls()
        self.instance = instance
        self.send_messages(instance, before - now, DELETE, **kwargs)
        self.send_messages(instance, before & now, UPDATE, **kwargs)
        self.send_messages(instance, now - before, CREATE, **kwargs)

    @classmethod
    def _seen_by(cls, instance: Any) -> set[str]:
        names = cls.group_names(instance)
        if isinstance(names, str):
            raise TypeError(f"group_names() of {cls!r} returns a list of names: [{names!r}], not {names!r}")
        return set(names)

    def send_messages(self, instance: Any, group_names: Iterable[str], action: str, **kwargs: Any) -> None:
        """Send an instance to groups, if there are any.

        Args:
            instance: the instance.
            group_names: names of the groups.
            action: CREATE, UPDATE or DELETE, as the groups see it.
            kwargs: what the signal came with.

        Raises:
            ValueError: `stream` is not set.
        """
        if not group_names:
            return
        self.signal_kwargs = kwargs
        payload = self.serialize(instance, action)
        if payload == {}:
            return
        if self.stream is None:
            raise ValueError(f"You must set the stream attribute on Binding {type(self)!r}!")
        message = self.encode(self.stream, payload)
        for name in group_names:
            send = partial(Group(name, alias=self.channel_layer_alias).send, message)
            if self.send_on_commit:
                transaction.on_commit(send, using=kwargs.get("using"))
            else:
                send()

    # inbound

    @classmethod
    def consumer(cls, message: Message, **kwargs: Any) -> None:
        """Handle a message: the consumer that a demultiplexer's `consumers` name (item 201)."""
        finish(cls.get_handler()(message, **kwargs))

    @classmethod
    def get_handler(cls) -> Callable[..., Any]:
        """Return `trigger_inbound` with its decorators; subclasses may add more."""
        if cls.channel_session_user:
            return channel_session_user(cls.trigger_inbound)
        if cls.channel_session:
            return channel_session(cls.trigger_inbound)
        return cls.trigger_inbound

    @classmethod
    def trigger_inbound(cls, message: Message, **kwargs: Any) -> None:
        """Do what a message asks for, if that is allowed."""
        self = cls()
        self.message = message
        self.kwargs = kwargs
        self.action, self.pk, self.data = self.deserialize(message)
        self.user = getattr(message, "user", None) or _nobody()
        self.run_action(self.action, self.pk, self.data)

    def deserialize(self, message: Message) -> tuple[str, Any, Any]:
        """Return action, pk (None for create) and data (None for delete) of a message; to be defined."""
        raise NotImplementedError

    def has_permission(self, user: Any, action: str, pk: Any) -> Any:
        """Tell whether a user, who may be AnonymousUser, may do an action; to be defined, `def` or `async def`."""
        raise NotImplementedError

    def run_action(self, action: str, pk: Any, data: Any) -> None:
        """Call `create`, `update` or `delete`, or nothing if that is not allowed.

        Raises:
            ValueError: there is no such action.
        """
        # what is not awaited would be true
        if not finish(self.has_permission(self.user, action, pk)):
            return
        if action == CREATE:
            finish(self.create(data))
        elif action == UPDATE:
            finish(self.update(pk, data))
        elif action == DELETE:
            finish(self.delete(pk))
        else:
            raise ValueError(f"Bad action {action!r:.100}")

    def create(self, data: Any) -> Any:
        """Make an instance of data; to be defined."""
        raise NotImplementedError

    def update(self, pk: Any, data: Any) -> Any:
        """Change an instance by data; to be defined."""
        raise NotImplementedError

    def delete(self, pk: Any) -> Any:
        """Delete an instance; one that is not there changes nothing."""
        self.model.objects.filter(pk=pk).delete()


def _register(binding: type[Binding], model: type[Model]) -> None:
    """Register a binding whose model has just been loaded."""
    binding.register()


def _nobody() -> Any:
    from django.contrib.auth.models import AnonymousUser  # at import the models may not be loaded yet

    return AnonymousUser()
