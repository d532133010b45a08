"""`ChannelLiveServerTestCase`: tests that reach the project as a browser does (item 217)."""

import sys
from typing import Any

from django.test import TransactionTestCase
from django.utils.functional import classproperty

from channelcelery.test.live import LiveSite, overridden

__all__ = ["ChannelLiveServerTestCase"]


#: Characters of what the processes wrote that are shown beside a failure.
_SHOWN = 20_000


class ChannelLiveServerTestCase(TransactionTestCase):
    """Runs the interface and a Celery worker beside the tests of a class, on the test database and TEST_CONFIG.

    They are started once for the class, and see the settings that `override_settings` and `modify_settings` on the
    class change. If a test fails, what they wrote is shown.
    """

    #: The name that the site is reached by, on this machine.
    host = "localhost"
    #: Where it listens; 0 means any port that is free.
    port = 0
    #: Whether static files are served, as in development.
    serve_static = True
    #: Consumers that may run at the same time.
    worker_threads = 1

    live_site: LiveSite

    @classproperty
    def live_server_url(cls) -> str:
        """The site's address for HTTP."""
        return cls.live_site.url

    @classproperty
    def live_server_ws_url(cls) -> str:
        """The site's address for sockets."""
        return cls.live_site.ws_url

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        site = LiveSite(
            cls.host,
            cls.port,
            serve_static=cls.serve_static,
            worker_threads=cls.worker_threads,
            changed=overridden(cls),
        )
        cls.live_site = cls.enterClassContext(site)
        cls.enterClassContext(site.layer())

    def doCleanups(self) -> None:
        """Show what the processes wrote if the test failed, and do what cleanups do."""
        outcome: Any = getattr(self, "_outcome", None)
        if outcome is not None and not outcome.success:
            print(self.live_site.output()[-_SHOWN:], file=sys.stderr)
        super().doCleanups()
