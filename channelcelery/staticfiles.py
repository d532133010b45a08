"""Static files in front of the views, for development (Channels 1.x, item 112)."""

from typing import Any
from urllib.parse import urlparse

from django.conf import settings
from django.contrib.staticfiles import utils
from django.contrib.staticfiles.views import serve
from django.core.exceptions import SuspiciousOperation
from django.core.handlers.exception import response_for_exception
from django.http import Http404, HttpRequest
from django.utils.functional import cached_property

from channelcelery.handler import AsgiHandler, ViewConsumer

__all__ = ["StaticFilesConsumer", "StaticFilesHandler"]


class StaticFilesHandler(AsgiHandler):
    """Serves files below STATIC_URL as `django.contrib.staticfiles` finds them, all else by views."""

    @cached_property
    def base_url(self) -> Any:
        """STATIC_URL, taken apart."""
        utils.check_settings()
        return urlparse(settings.STATIC_URL)

    def get_response(self, request: HttpRequest) -> Any:
        """Return a file, or the response of a view."""
        if self.base_url.netloc or not request.path.startswith(self.base_url.path):
            return super().get_response(request)
        try:
            # whoever chose this handler wants files without DEBUG, too
            response: Any = serve(request, request.path[len(self.base_url.path) :], insecure=True)
        except (Http404, SuspiciousOperation) as error:
            if isinstance(error, Http404) and not settings.DEBUG:
                return super().get_response(request)
            response = response_for_exception(request, error)
        response._resource_closers.append(request.close)
        return response


class StaticFilesConsumer(ViewConsumer):
    """The consumer of `http.request` that serves static files too: the default with DEBUG and staticfiles installed."""

    handler_class = StaticFilesHandler
