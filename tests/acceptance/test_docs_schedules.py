"""The example on schedules, run as a reader would: beat, a worker and an interface, with one Redis."""

import sys
from pathlib import Path

from tests.acceptance.pages import Project
from tests.acceptance.sites import open_socket, program
from tests.acceptance.test_docs_examples import DOCS, SETTINGS
from tests.processes import LOOPBACK, Process, free_port, is_listening, wait_until

LAYER = """
from clock.schedule import CELERY_BEAT_SCHEDULE
CHANNEL_LAYERS = {{"default": {{
    "BACKEND": "channelcelery.layers.RedisChannelLayer", "CONFIG": {{"hosts": [{url!r}], "http": "off"}},
}}}}
CELERY_BROKER_URL = {url!r}
"""


def test_given_a_schedule_expect_its_messages_at_sockets(tmp_path: Path, redis_url: str) -> None:
    """Expect them again and again, and what another program sends between them."""
    project = Project(tmp_path, settings="clock.settings")
    project.write(DOCS / "schedules.md")
    settings = SETTINGS.format(app="clock", package="clock") + LAYER.format(url=redis_url)
    (tmp_path / "clock" / "settings.py").write_text(settings)
    ring = tmp_path / "elsewhere" / "ring.py"
    ring.write_text(ring.read_text().replace("redis://127.0.0.1:6379/0", redis_url) + "\n\nring()\n")
    port = free_port()
    celery = [program("celery"), "-A", "channelcelery"]
    worker = [*celery, "worker", "--loglevel", "info", "--concurrency", "1", "--without-mingle"]
    beat = [*celery, "beat", "--schedule", str(tmp_path / "beat")]
    interface = [sys.executable, "-m", "django", "runinterface", "--host", LOOPBACK, "--port", str(port)]
    with (
        Process(interface, cwd=tmp_path, env=project.env(), name="interface") as held,
        Process(worker, cwd=tmp_path, env=project.env(), name="worker") as ran,
        Process(beat, cwd=tmp_path, env=project.env(), name="beat"),
    ):
        held.wait_for_output("sockets are taken", timeout=40)
        ran.wait_for_output(r"^  \. channelcelery\.send_to_channel$", timeout=40)
        wait_until(lambda: is_listening(port), what="the interface to listen")
        with open_socket(port, "/clock/") as client:
            assert [client.recv(20), client.recv(10)] == ["tick", "tick"]
            project.run(str(ring))
            assert "ring" in [client.recv(10) for _ in range(5)]
