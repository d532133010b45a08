"""Declaring bindings (Channels 1.x, items 196 and 200)."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from channelcelery.binding import Binding
from channelcelery.binding.base import CREATE, DELETE, UPDATE, BindingMetaclass
from channelcelery.binding.websockets import WebsocketBinding, WebsocketBindingWithMembers
from tests.fakes import FakeLayer
from tests.unit.binding.warehouse.models import Number


def declare(*bases: type, **body: Any) -> type[WebsocketBinding]:
    made: type[WebsocketBinding] = type("Declared", bases or (WebsocketBinding,), body)
    return made


class TestWhatIsNeeded:
    """Item 196."""

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ({"fields": ["name"]}, "model attribute"),
            ({"model": Number, "stream": "numbers"}, "fields or exclude"),
            ({"model": Number, "fields": "name"}, "lists of names"),
            ({"model": Number, "exclude": "name"}, "lists of names"),
            ({"model": "Number", "fields": ["name"]}, "app_label.ModelName"),
        ],
    )
    def test_given_too_little_expect_a_value_error(self, body: dict[str, Any], message: str) -> None:
        for base in (Binding, WebsocketBinding, WebsocketBindingWithMembers):
            with pytest.raises(ValueError, match=message):
                declare(base, **body)

    def test_given_no_such_model_expect_a_lookup_error(self) -> None:
        with pytest.raises(LookupError):
            declare(model="auth.Nobody", fields="__all__")

    @pytest.mark.parametrize("model", ["auth.User", "auth.user", "warehouse.Number", Number])
    def test_given_a_model_or_its_name_expect_the_model(self, model: Any) -> None:
        binding = declare(model=model, stream="x", fields=["id"])
        assert binding.model.__name__ in {"User", "Number"}
        assert binding.model_label in {"auth.user", "warehouse.number"}

    def test_given_none_in_the_body_expect_an_abstract_class(self) -> None:
        abstract = declare(model=None)
        assert abstract.get_registered_models() == []
        with pytest.raises(ValueError, match="model attribute"):
            declare(abstract, fields=["name"])
        assert declare(abstract, model=Number, fields=["name"]).get_registered_models() == [Number]

    def test_expect_the_names_of_channels_1(self) -> None:
        assert (CREATE, UPDATE, DELETE) == ("create", "update", "delete")
        assert WebsocketBinding.channel_session_user is True
        assert WebsocketBinding.channel_session is WebsocketBinding.strict_ordering is False
        assert WebsocketBinding.slight_ordering is False
        assert WebsocketBinding.stream is None
        assert WebsocketBindingWithMembers.send_members == []


def test_given_a_metaclass_as_packages_for_channels_1_have_one_expect_the_binding_to_work(layer: FakeLayer) -> None:
    """Item 200: they derive it from that of bindings in 1.x, to add something to each class."""

    class Counted(BindingMetaclass):
        def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> Any:
            made: Any = super().__new__(cls, name, bases, body)
            made.actions = [name for name in dir(made) if name.endswith("_action")]
            return made

    class Resource(WebsocketBinding, metaclass=Counted):
        model = None

    class Numbers(Resource):
        model = Number
        stream = "numbers"
        fields = ["name"]

    assert Numbers.actions == ["run_action"]  # type: ignore[attr-defined]
    assert Numbers.get_registered_models() == [Number]


@pytest.mark.django_db
def test_given_a_class_that_is_registered_again_expect_one_message(layer: FakeLayer) -> None:
    """Item 200: signals are connected once."""
    binding = declare(
        model=Number, stream="numbers", fields=["name"], group_names=classmethod(lambda cls, instance: ["all"])
    )
    binding.register()
    Number.objects.create(name="one")
    assert len(layer.replies.delivered) == 1


SHOP = {
    "shop/__init__.py": "",
    "shop/apps.py": """
from django.apps import AppConfig

from channelcelery.binding.websockets import WebsocketBinding

class ByName(WebsocketBinding):
    model, stream, fields = "shop.Thing", "by name", ["name"]

    @classmethod
    def group_names(cls, instance):
        return ["things"]

class Misspelt(WebsocketBinding):
    model, stream, fields = "shop.Thin", "never", ["name"]

class ShopConfig(AppConfig):
    name = "shop"
""",
    "shop/models.py": """
from django.db import models

from shop.apps import ByName

class Thing(models.Model):
    name = models.TextField()

class ByClass(ByName):
    model, stream = Thing, "by class"
""",
    "run.py": """
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "channelcelery", "shop.apps.ShopConfig"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    CHANNEL_LAYERS={"default": {"BACKEND": "channelcelery.layers.InMemoryChannelLayer"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()
from django.core import checks
from django.core.management import call_command
from channelcelery.layers import channel_layers
from shop.models import Thing
from tests.fakes import FakeLayer
call_command("migrate", run_syncdb=True, verbosity=0)
layer = FakeLayer()
channel_layers.set("default", layer)
Thing.objects.create(name="chair")
print(sorted(content["text"].split('"')[3] for _, content in layer.replies.delivered))
print([error.id for error in checks.run_checks(tags=["models"])])
""",
}


def test_given_classes_declared_while_apps_load_expect_them_live(tmp_path: Path, repository: Path) -> None:
    """Item 200, in a process of its own: by name before the models are there, by class among them.

    Expect Django's own check to tell of a name that no model has.
    """
    for name, text in SHOP.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    command = [sys.executable, "run.py"]
    environment = {"PYTHONPATH": str(repository)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines() == ["['by class', 'by name']", "['models.E022']"], done.stderr
