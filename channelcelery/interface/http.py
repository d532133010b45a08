"""HTTP in the interface process: Django's own handler where CONFIG["http"] says "inline", else nothing."""

from channelcelery.conf import LayerConfig
from channelcelery.interface.bodies import BoundedBodies, HttpApplication
from channelcelery.interface.events import Receive, Scope, Send
from channelcelery.interface.faults import Faults, logger

__all__ = ["HttpApplication", "http_application"]


def http_application(config: LayerConfig, faults: Faults) -> HttpApplication:
    """Return what answers HTTP.

    Args:
        config: the layer's settings.
        faults: where requests that were cut off are counted.
    """
    if config.http == "off":
        return _nothing_here
    return BoundedBodies(_inline(), config.body_size, config.body_timeout, faults)


def _inline() -> HttpApplication:
    # imported here: this alone loads middleware, URLconf and views, which an interface process otherwise never does
    from django.apps import apps
    from django.conf import settings
    from django.core.handlers.asgi import ASGIHandler

    logger.info(
        "HTTP is served in the interface process (CONFIG['http'] is 'inline'): deploying new views restarts its sockets"
    )
    # not get_asgi_application(), which would set up Django and its logging a second time
    handler = ASGIHandler()
    if settings.DEBUG and apps.is_installed("django.contrib.staticfiles"):
        from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler

        return ASGIStaticFilesHandler(handler)
    return handler


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    body = b"This process serves WebSockets only (CONFIG['http'] is 'off').\n"
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 404, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
