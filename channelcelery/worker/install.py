"""`install(app)`: the one line that a project with a Celery app adds."""

from celery import Celery
from click import Option

from channelcelery.broker.connection import use_app
from channelcelery.broker.safe_app import make_safe

__all__ = ["install"]

# by name: the interface process imports the project's Celery app too, and must not thereby import routing
_WORKER_STEPS = ("channelcelery.worker.preflight:Preflight", "channelcelery.worker.reliable_stop:Acceptance")
_CONSUMER_STEPS = (
    "channelcelery.worker.bootstep:ChannelsStep",
    "channelcelery.worker.reliable_step:ReliableStep",
    "channelcelery.worker.observe_step:ObserveStep",
)


def install(app: Celery) -> Celery:
    """Make the workers of an app run consumers, and its broker hold the channels; twice is as good as once.

    They know the task `channelcelery.send_to_channel` too. Where the broker is Redis, the whole app uses a transport
    that loses nothing when a worker is killed; other apps' processes may go on with Kombu's own.

    Args:
        app: the project's Celery app.

    Returns:
        The app.
    """
    use_app(make_safe(app))
    app.autodiscover_tasks(["channelcelery"])
    app.steps["worker"].update(_WORKER_STEPS)
    app.steps["consumer"].update(_CONSUMER_STEPS)
    options = app.user_options["worker"]
    if not any("--only-channels" in option.opts for option in options):
        options.add(_option("--only-channels", "Run only channels that match this glob; may be repeated."))
        options.add(_option("--exclude-channels", "Don't run channels that match this glob; may be repeated."))
        text = "Answer /live, /ready and /metrics at this port of 127.0.0.1, or at this address:port."
        options.add(Option(["--metrics"], default="", metavar="[ADDRESS:]PORT", help=text))
    return app


def _option(name: str, text: str) -> Option:
    return Option([name], multiple=True, help=text)
