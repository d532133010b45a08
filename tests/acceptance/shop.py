"""The smallest site that uses channels: an entry in INSTALLED_APPS, a layer, and consumers (item 227)."""

import sys
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.sites import Site

__all__ = ["Shop", "make_shop"]

FILES = {
    "shop_settings.py": """
import os

SECRET_KEY = "for tests only"
DEBUG = os.environ.get("DEBUG") != "0"
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
ROOT_URLCONF = "shop.urls"
STATIC_URL = "/static/"
INSTALLED_APPS = ["channelcelery", "django.contrib.staticfiles", "shop"]
""",
    "shop/__init__.py": "",
    "shop/static/shop.css": "body { color: green }",
    "shop/urls.py": """
from django.http import HttpResponse
from django.urls import path

urlpatterns = [path("page/", lambda request: HttpResponse(f"{request.scheme} {request.META.get('REMOTE_ADDR')}"))]
""",
    "shop/consumers.py": """
import sys
import threading
import time
from functools import partial

from channelcelery import consumer, signals

def show(signal, sender, name, **kwargs):
    # in one piece: Celery makes a line of its log of each
    sys.stdout.write(f"signal {name} of a Worker: {isinstance(sender, signals.Worker)}\\n")

for name in ("worker_process_ready", "worker_ready"):
    getattr(signals, name).connect(partial(show, name=name), weak=False)

running, most, lock = 0, 0, threading.Lock()

@consumer("websocket.connect", path="/about/")
def tell(message):
    about = [message["root_path"], message["scheme"], message["client"][0] if message["client"] else "nobody"]
    message.reply_channel.send({"text": " ".join(about)})

@consumer("websocket.connect", path="/deny/")
def deny(message):
    message.reply_channel.send({"close": True})

@consumer("websocket.connect", path="/slow/")
def answer_late(message):
    time.sleep(2)

@consumer("websocket.connect", path="/busy/")
def count(message):
    global running, most
    with lock:
        running += 1
        most = max(most, running)
    time.sleep(0.4)
    with lock:
        running -= 1
    message.reply_channel.send({"text": str(most)})

@consumer("http.request", path="/late/")
def respond_late(message):
    time.sleep(2)

@consumer("websocket.receive", path="/echo/")
def echo(message):
    message.reply_channel.send({"text": message["text"]})
""",
}
_LAYER = """
CHANNEL_LAYERS = {{"default": {{"BACKEND": "channelcelery.layers.{kind}ChannelLayer", "CONFIG": {config}}}}}
"""


@dataclass
class Shop(Site):
    """The small site, not yet started; its settings may be added to."""

    @property
    def settings(self) -> Path:
        """The module of settings."""
        return self.directory / "shop_settings.py"

    def manage(self, *arguments: str) -> list[str]:
        """Return the command line of `django-admin`."""
        return [sys.executable, "-m", "django", *arguments]

    def set(self, text: str) -> None:
        """Add to the settings."""
        with self.settings.open("a") as file:
            file.write(f"\n{text}\n")


def make_shop(directory: Path, broker: str | None = None, layer: str | None = None, **config: object) -> Shop:
    """Write the site into a directory.

    Args:
        directory: an empty one.
        broker: CELERY_BROKER_URL, or None for one process.
        layer: URL of the layer's Redis, likewise.
        config: more of the layer's CONFIG.
    """
    for name, text in FILES.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    shop = Shop(directory, broker=broker, layer=layer, root=directory)
    shop.environment |= {"DJANGO_SETTINGS_MODULE": "shop_settings", "PYTHONPATH": str(directory)}
    hosts = {"hosts": [layer]} if layer else {}
    shop.set(_LAYER.format(kind="Redis" if layer else "InMemory", config={**hosts, **config}))
    return shop
