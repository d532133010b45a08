"""What is measured: the product in its forms, floors of nothing but the way itself, and other projects beside it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

__all__ = ["PRODUCT", "SLOW", "SUBJECTS", "Subject"]

#: The subject that all others stand beside.
PRODUCT = "channelcelery"


@dataclass(frozen=True, slots=True)
class Subject:
    """How something is run.

    Args:
        interface: what the interpreter is told to run; `{port}` is where it listens.
        worker: the Celery app of its worker, if it has one.
        ready: what that says in its log when it is ready.
        sender: the module of the process that sends to its group.
        env: more of its environment.
        is_other: whether it runs in the environment of other projects.
        echo: path of its echo.
        group: path of its group.
        join: what a socket says before it is in the group, if being open is not enough.
        children: processes of the worker's pool.
    """

    interface: str = ""
    worker: str | None = None
    ready: str = r" ready\."
    sender: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    is_other: bool = False
    echo: str = "/echo"
    group: str = "/group"
    join: str = ""
    children: int = 1


#: Sockets say something five times a second, and one text in 100 is answered 50 ms later.
SLOW = "channelcelery, 1 in 100 sleeps"

_UVICORN = "uvicorn --port {port} --log-level warning --no-access-log"
#: As this project sets it; others are run as their documentation says.
_SANS_IO = f"{_UVICORN} --loop uvloop --ws websockets-sansio --ws-per-message-deflate"


def _product(http: str = "worker", interface: str = "django runinterface --host 127.0.0.1 --port {port}") -> Subject:
    return Subject(
        interface, "benchmarks.project", r"running \d+ channels", "benchmarks.project.sender", {"BENCH_HTTP": http}
    )


def _channels(layer: str) -> Subject:
    return Subject(
        f"{_UVICORN} benchmarks.others.channels4:application",
        sender="benchmarks.others.channels4_sender",
        env={"DJANGO_SETTINGS_MODULE": "benchmarks.others.settings", "BENCH_LAYER": layer},
        is_other=True,
    )


_PAGE = {"DJANGO_SETTINGS_MODULE": "benchmarks.others.settings"}

SUBJECTS: Mapping[str, Subject] = {
    PRODUCT: _product(),
    SLOW: replace(_product(), children=2, echo="/slow"),
    "channelcelery, inline": _product("inline"),
    "channelcelery, deflate": _product(interface=f"{_SANS_IO} true channelcelery.asgi:application"),
    "floor": Subject(f"{_SANS_IO} false benchmarks.floor.interface:app", "benchmarks.floor.worker"),
    "bare writes": Subject("benchmarks.floor.broadcast {port}", sender="benchmarks.floor.sender"),
    "Celery task": Subject(worker="benchmarks.reliable.task", env={"BENCH_TASK": "early"}),
    "Celery task, acks_late": Subject(worker="benchmarks.reliable.task", env={"BENCH_TASK": "late"}),
    "channelcelery, reliable": Subject(worker="benchmarks.reliable.celery"),
    "Channels 4": _channels("channels_redis.core.RedisChannelLayer"),
    "Channels 4, pub/sub": _channels("channels_redis.pubsub.RedisPubSubChannelLayer"),
    "python-socketio": Subject(
        f"{_UVICORN} benchmarks.others.socket_io:application",
        sender="benchmarks.others.socket_io_sender",
        is_other=True,
        group="/socket.io/?EIO=4&transport=websocket",
        join="40",
    ),
    # in this project's environment: the same Django, uvicorn and httptools
    "Django's ASGI handler, uvicorn": Subject(f"{_UVICORN} benchmarks.others.page:asgi", env=_PAGE),
    "Django, gunicorn sync": Subject(
        "gunicorn --bind 127.0.0.1:{port} --workers 1 benchmarks.others.page:wsgi", env=_PAGE, is_other=True
    ),
}
