"""System checks: what is wrong with CHANNEL_LAYERS and the routing, said before the first message is lost."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.core.management import get_commands, load_command_class
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder

from channelcelery.conf import DEFAULT_CHANNEL_LAYER, LayerConfig, layer_config
from channelcelery.exceptions import InvalidChannelLayerError

__all__ = [
    "LAYERS_TAG",
    "ROUTING_TAG",
    "check_deployment",
    "check_layers",
    "check_routing",
    "check_runserver",
    "check_tables",
    "register_checks",
]

#: Checks that read the settings only: any process may run them.
LAYERS_TAG = "channelcelery"

#: Checks that import routing and consumers. A command of the interface process leaves this tag out of its
#: `requires_system_checks`, since that process runs no user code.
ROUTING_TAG = "channelcelery_routing"

#: Where our `runserver` is. It is looked for by name, since importing it brings the whole interface along.
_RUNSERVER = "channelcelery.management.commands.runserver"


def register_checks() -> None:
    """Register the checks with Django; doing so again changes nothing."""
    register(check_layers, LAYERS_TAG)
    register(check_routing, ROUTING_TAG)
    register(check_runserver, "channelcelery_commands")
    register(check_deployment, LAYERS_TAG, deploy=True)
    register(check_tables, Tags.database)


def check_layers(app_configs: object = None, **kwargs: Any) -> list[CheckMessage]:
    """Find the entries of CHANNEL_LAYERS that are wrong (channelcelery.E001)."""
    if not isinstance(getattr(settings, "CHANNEL_LAYERS", {}), Mapping):
        hint = "Write CHANNEL_LAYERS = {'default': {'BACKEND': …, 'CONFIG': {…}}}."
        return [Error("CHANNEL_LAYERS is no dict.", hint=hint, id="channelcelery.E001")]
    errors: list[CheckMessage] = []
    for alias, entry in _entries().items():
        try:
            layer_config(alias, entry)
        except InvalidChannelLayerError as error:
            text = f"CHANNEL_LAYERS[{error.alias!r}], {error.key} is wrong."
            errors.append(Error(text, hint=error.mend, id="channelcelery.E001"))
    return errors


def check_routing(app_configs: object = None, **kwargs: Any) -> list[CheckMessage]:
    """Find routing that cannot be loaded (E002), consumers of aliases that do not exist (E003), and no table (E004)."""
    # imported here since the interface process imports this module, but must not import routing
    from channelcelery.consumers import registry
    from channelcelery.routing import get_router

    errors: list[CheckMessage] = []
    for config in _valid_layers():
        try:
            reliable = sorted(get_router(config.alias).reliable)
            if (reliable or config.outbox) and not apps.is_installed("channelcelery.reliable"):
                what = f"{', '.join(reliable)} must be reliable" if reliable else "CONFIG['outbox'] is set"
                text = f"{what}, but there are no tables for the outbox and dead letters."
                hint = "Put 'channelcelery.reliable' into INSTALLED_APPS, and migrate."
                errors.append(Error(text, hint=hint, id="channelcelery.E004"))
        except ImproperlyConfigured as error:
            text = f"The routing of the channel layer {config.alias!r} cannot be loaded: {error}"
            hint = f"Correct CHANNEL_LAYERS[{config.alias!r}]['ROUTING'] or what it includes."
            errors.append(Error(text, hint=hint, id="channelcelery.E002"))
    # a project without any layer is plain Django, whatever its apps bring along (item 15)
    for registration in registry if _entries() else ():
        if registration.alias not in _entries():
            text = f"{registration} is for the channel layer {registration.alias!r}, which does not exist."
            hint = "Add the alias to CHANNEL_LAYERS, or correct the decorator."
            errors.append(Error(text, hint=hint, id="channelcelery.E003"))
    return errors


def check_tables(app_configs: object = None, databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Find tables of reliable channels that are not there (W005), for `manage.py check --database`.

    No error, since `migrate` makes this check before it makes the tables; and nothing in a database without any
    migration, which `migrate` is about to make its first ones in.
    """
    if not databases or not apps.is_installed("channelcelery.reliable"):
        return []
    from channelcelery.reliable.tables import missing_tables

    begun = [using for using in databases if MigrationRecorder(connections[using]).has_table()]
    if not (missing := missing_tables(begun)):
        return []
    text = f"There is no table {', '.join(missing)}: reliable channels cannot keep what they must."
    return [Warning(text, hint="Run manage.py migrate channelcelery_reliable.", id="channelcelery.W005")]


def check_runserver(app_configs: object = None, **kwargs: Any) -> list[CheckMessage]:
    """Find out whether `manage.py runserver` is that of another application (item 221, channelcelery.W004)."""
    other = get_commands()["runserver"]
    if not _entries() or other == "channelcelery":
        return []
    hint = f"Put 'channelcelery' before {other!r} in INSTALLED_APPS."
    try:
        command = type(load_command_class(other, "runserver"))
    except ImportError as error:  # as of one that was copied from Channels 1.x; other commands work without it
        text = f"manage.py runserver, that of {other}, cannot be imported: {error}."
        hint += f" Or derive it from the Command of {_RUNSERVER}."
        return [Warning(text, hint=hint, id="channelcelery.W004")]
    # one that builds on the next application's, as whitenoise's and many a project's own do, may be ours in the end
    if any(each.__module__ == _RUNSERVER for each in command.__mro__):
        return []
    text = f"manage.py runserver is that of {other}: it serves no sockets and runs no consumers."
    return [Warning(text, hint=hint, id="channelcelery.W004")]


def check_deployment(app_configs: object = None, **kwargs: Any) -> list[CheckMessage]:
    """Find what is fit for development only: `manage.py check --deploy` (W001 to W003)."""
    warnings: list[CheckMessage] = []
    for config in _valid_layers():
        if config.alias == DEFAULT_CHANNEL_LAYER and config.kind == "memory":
            text = "The default channel layer is in memory: it reaches no other process."
            hint = "Use 'channelcelery.layers.RedisChannelLayer' as its BACKEND."
            warnings.append(Warning(text, hint=hint, id="channelcelery.W001"))
        if config.allowed_origins is None and "*" in settings.ALLOWED_HOSTS:
            text = (
                f"Any site can open sockets of the channel layer {config.alias!r} with your users' cookies: "
                "ALLOWED_HOSTS has '*', and there are no allowed_origins."
            )
            hint = f"List your hosts in CHANNEL_LAYERS[{config.alias!r}]['CONFIG']['allowed_origins']."
            warnings.append(Warning(text, hint=hint, id="channelcelery.W002"))
    if _entries() and getattr(settings, "CHANNELS_SESSION_KEY_IN_QUERY", True) is not False:
        text = (
            "The session decorators take session keys from URLs (?session_key=…): whoever reads a URL in a log, a "
            "history or a Referer header is then its user, and a link can put a victim into an attacker's session."
        )
        hint = "Set CHANNELS_SESSION_KEY_IN_QUERY = False, unless clients without cookies need it."
        warnings.append(Warning(text, hint=hint, id="channelcelery.W003"))
    return warnings


def _entries() -> Mapping[str, Any]:
    entries = getattr(settings, "CHANNEL_LAYERS", {})
    return entries if isinstance(entries, Mapping) else {}


def _valid_layers() -> Iterator[LayerConfig]:
    """The entries that are right; `check_layers` tells of the others."""
    for alias, entry in _entries().items():
        try:
            yield layer_config(alias, entry)
        except InvalidChannelLayerError:
            continue
