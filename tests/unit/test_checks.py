"""System checks: what is wrong is said with the mend, and only by processes that may find out."""

from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.core.checks import Error, Warning, registry, run_checks
from django.core.management.commands.runserver import Command as DjangoCommand
from django.test import override_settings

from channelcelery.checks import (
    LAYERS_TAG,
    ROUTING_TAG,
    check_deployment,
    check_layers,
    check_routing,
    check_runserver,
    register_checks,
)
from channelcelery.conf import layer_config
from channelcelery.exceptions import InvalidChannelLayerError
from channelcelery.management.commands.runserver import Command
from channelcelery.routing import reset_routers

REDIS = "channelcelery.layers.RedisChannelLayer"
MEMORY = "channelcelery.layers.InMemoryChannelLayer"


@pytest.fixture(autouse=True)
def _no_router_from_before() -> None:
    reset_routers()


def layers(**entries: Any) -> Any:
    return override_settings(CHANNEL_LAYERS=entries)


class TestApplication:
    def test_it_leaves_the_label_channels_to_others(self) -> None:
        config = apps.get_app_config("channelcelery")
        assert (config.name, config.label) == ("channelcelery", "channelcelery")
        assert config.default_auto_field == "django.db.models.BigAutoField"
        assert not apps.is_installed("channels")

    def test_given_it_installed_expect_its_checks_registered_once(self) -> None:
        register_checks()
        registered = [*registry.registry.registered_checks, *registry.registry.deployment_checks]
        for check in (check_layers, check_routing, check_runserver, check_deployment):
            assert registered.count(check) == 1
        assert check_layers in registry.registry.get_checks()
        assert check_routing in registry.registry.get_checks()
        assert check_deployment not in registry.registry.get_checks()
        assert check_deployment in registry.registry.get_checks(include_deployment_checks=True)


class TestRunserver:
    """Item 221: ours is in the place of staticfiles' one, and the order of INSTALLED_APPS decides about others."""

    @pytest.fixture
    def commands(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
        """Application by command, as Django keeps it. That of daphne is its own, that of the shop builds on ours."""
        found: dict[str, str] = {}
        for module in ("apps", "checks"):
            monkeypatch.setattr(f"channelcelery.{module}.get_commands", lambda: found)
        loaded = {"daphne": DjangoCommand, "shop": type("Command", (Command,), {})}
        monkeypatch.setattr("channelcelery.checks.load_command_class", lambda app, name: loaded[app]())
        return found

    @pytest.mark.parametrize(
        ("theirs", "counts", "ids"),
        [
            ("channelcelery", "channelcelery", []),
            ("django.contrib.staticfiles", "channelcelery", []),
            ("daphne", "daphne", ["channelcelery.W004"]),
            ("shop", "shop", []),
        ],
    )
    def test_given_whose_comes_first_expect_ours_or_a_warning(
        self, commands: dict[str, str], theirs: str, counts: str, ids: list[str]
    ) -> None:
        commands["runserver"] = theirs
        apps.get_app_config("channelcelery").ready()
        assert commands == {"runserver": counts}
        found = check_runserver()
        assert [each.id for each in found] == ids
        assert all("before 'daphne'" in str(each.hint) for each in found)

    def test_given_one_that_cannot_be_imported_expect_a_warning_that_says_why(
        self, commands: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Given a runserver that was copied from Channels 1.x, expect other commands to work."""

        def load(app: str, name: str) -> Any:
            raise ImportError("No module named 'channelcelery.log'")

        monkeypatch.setattr("channelcelery.checks.load_command_class", load)
        commands["runserver"] = "shop"
        (found,) = check_runserver()
        assert found.id == "channelcelery.W004"
        assert "that of shop, cannot be imported: No module named 'channelcelery.log'" in found.msg
        assert "derive it from the Command of channelcelery.management.commands.runserver" in str(found.hint)

    def test_given_no_layers_expect_none(self, commands: dict[str, str]) -> None:
        """Ours is Django's own then, too."""
        commands["runserver"] = "daphne"
        with layers():
            assert check_runserver() == []


class TestLayers:
    @pytest.mark.parametrize(
        "entries",
        [{}, {"default": {"BACKEND": MEMORY}}, {"default": {"BACKEND": REDIS}, "other": {"BACKEND": MEMORY}}],
    )
    def test_given_right_entries_expect_nothing(self, entries: Any) -> None:
        with layers(**entries):
            assert check_layers() == []

    def test_given_no_setting_expect_nothing(self) -> None:
        with override_settings():
            del settings.CHANNEL_LAYERS
            assert [check() for check in (check_layers, check_routing, check_deployment)] == [[], [], []]

    def test_given_wrong_entries_expect_each_with_its_mend_as_the_hint(self) -> None:
        entries: dict[str, Any] = {
            "default": {"BACKEND": "no.such.Layer"},
            "right": {"BACKEND": MEMORY},
            "other": {"BACKEND": REDIS, "CONFIG": {"hosts": "redis://h"}},
        }
        with layers(**entries):
            first, second = check_layers()
            assert run_checks(tags=[LAYERS_TAG]) == [first, second]
        for error, alias, key in ((first, "default", "BACKEND"), (second, "other", "CONFIG['hosts']")):
            assert isinstance(error, Error)
            assert error.id == "channelcelery.E001"
            assert error.msg == f"CHANNEL_LAYERS['{alias}'], {key} is wrong."
            with pytest.raises(InvalidChannelLayerError) as caught:
                layer_config(alias, entries[alias])
            assert error.hint == caught.value.mend

    @pytest.mark.parametrize("wrong", [5, None, [], "x"])
    def test_given_no_dict_expect_one_error_and_no_crash(self, wrong: Any) -> None:
        with override_settings(CHANNEL_LAYERS=wrong):
            (error,) = check_layers()
            assert error.id == "channelcelery.E001"
            assert (check_routing(), check_deployment()) == ([], [])


class TestRouting:
    def test_given_right_routing_expect_nothing(self) -> None:
        with layers(default={"BACKEND": MEMORY, "ROUTING": "tests.unit.routings.as_list"}):
            assert run_checks(tags=[ROUTING_TAG]) == []

    def test_given_routing_that_leads_nowhere_expect_alias_and_path(self) -> None:
        with layers(
            default={"BACKEND": MEMORY, "ROUTING": "tests.unit.routings.missing"},
            wrong={"BACKEND": "no.such.Layer", "ROUTING": "also.missing"},
        ):
            (error,) = run_checks(tags=[ROUTING_TAG])
        assert isinstance(error, Error)
        assert error.id == "channelcelery.E002"
        assert "'default'" in error.msg
        assert "'tests.unit.routings.missing'" in error.msg
        assert "CHANNEL_LAYERS['default']['ROUTING']" in str(error.hint)

    def test_given_a_process_that_checks_layers_only_expect_routing_left_alone(self) -> None:
        with layers(default={"BACKEND": MEMORY, "ROUTING": "tests.unit.routings.missing"}):
            assert run_checks(tags=[LAYERS_TAG]) == []
            assert run_checks(tags=[LAYERS_TAG], include_deployment_checks=True) != []


class TestDeployment:
    def deploy(self, *, hosts: list[str], key_in_query: bool = False, **entries: Any) -> list[tuple[Any, bool]]:
        chosen = override_settings(ALLOWED_HOSTS=hosts, CHANNELS_SESSION_KEY_IN_QUERY=key_in_query)
        with layers(**entries), chosen:
            found = run_checks(tags=[LAYERS_TAG], include_deployment_checks=True)
        return [(message.id, isinstance(message, Warning)) for message in found]

    def test_given_the_default_layer_in_memory_expect_a_warning(self) -> None:
        assert self.deploy(hosts=["a.example"], default={"BACKEND": MEMORY}) == [("channelcelery.W001", True)]
        assert self.deploy(hosts=["a.example"], default={"BACKEND": REDIS}, tests={"BACKEND": MEMORY}) == []

    def test_given_every_host_and_no_origins_expect_a_warning(self) -> None:
        assert self.deploy(hosts=["a.example", "*"], default={"BACKEND": REDIS}) == [("channelcelery.W002", True)]
        right = {"BACKEND": REDIS, "CONFIG": {"allowed_origins": ["a.example"]}}
        assert self.deploy(hosts=["*"], default=right) == []

    def test_given_session_keys_in_urls_expect_a_warning(self) -> None:
        """Item 139: on as in Channels 1.x, a setting turns it off."""
        expected = [("channelcelery.W003", True)]
        assert self.deploy(hosts=["a.example"], key_in_query=True, default={"BACKEND": REDIS}) == expected
        with layers(default={"BACKEND": REDIS}), override_settings(ALLOWED_HOSTS=["a.example"]):
            (warning,) = check_deployment()
        assert warning.id == "channelcelery.W003"
        assert "CHANNELS_SESSION_KEY_IN_QUERY = False" in str(warning.hint)

    def test_given_no_deployment_expect_neither(self) -> None:
        with layers(default={"BACKEND": MEMORY}), override_settings(ALLOWED_HOSTS=["*"]):
            assert run_checks(tags=[LAYERS_TAG]) == []
