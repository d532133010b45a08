"""Django's views for `http.request`: requests go through middleware and URLconf, responses become messages.

Channels 1.x, items 96 to 109.
"""

import logging
import threading
import traceback
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core import signals
from django.core.exceptions import BadRequest, RequestDataTooBig
from django.core.handlers.base import BaseHandler
from django.core.signals import setting_changed
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseServerError
from django.http.response import HttpResponseBase
from django.urls import get_script_prefix, set_script_prefix

from channelcelery.beside import beside
from channelcelery.exceptions import RequestAborted, RequestTimeout, ResponseLater
from channelcelery.message import Message
from channelcelery.request import AsgiRequest, script_prefix
from channelcelery.streaming import FAILED, Reply, Sending, parts_of

__all__ = ["AsgiHandler", "AsgiRequest", "ViewConsumer"]

logger = logging.getLogger("django.request")

#: Of each class one handler with its middleware loaded, for the whole process.
_loaded: dict[type, "AsgiHandler"] = {}
_loading = threading.Lock()


class _Later(HttpResponse):
    """Stands for a response that something else sends: middleware sees it, the client does not."""


class AsgiHandler(BaseHandler):
    """Makes replies of requests: call one with a message, or iterate over one that was made with a message.

    Middleware and URLconf are loaded by the first request of a process, once for all handlers.

    Args:
        message: an `http.request`, for the second way.
    """

    request_class = AsgiRequest
    #: Bytes of one reply's content at most (item 106).
    chunk_size = 512 * 1024

    def __init__(self, message: Message | None = None) -> None:
        super().__init__()
        self._message = message
        self._ready = False

    def __iter__(self) -> Iterator[Reply]:
        if self._message is None:
            raise TypeError("this handler was made without a message: write AsgiHandler(message), or call it with one")
        return self(self._message)

    def __call__(self, message: Message) -> Generator[Reply]:
        """Answer a request; the replies are made one by one, and there are none if something else answers it."""
        if (response := self.respond(message)) is not None:
            yield from self.replies(message, response)

    def respond(self, message: Message) -> HttpResponseBase | None:
        """Return the response to a request, or None if something else answers it; `replies` must follow."""
        self._load_once()
        response: Any = None
        signals.request_started.send(sender=type(self), message=message)
        try:
            with _script_prefix(message):
                response = self._respond(message)
        finally:
            if response is None:
                signals.request_finished.send(sender=type(self))
        if isinstance(response, _Later):
            response.close()  # which sends request_finished
            return None
        return response  # type: ignore[no-any-return]

    def replies(self, message: Message, response: HttpResponseBase) -> Generator[Reply]:
        """Return the replies of a response one by one, and close it.

        Args:
            message: the request.
            response: what `respond` returned for it.
        """
        try:
            with _script_prefix(message):
                # a layer may take less than what a reply holds otherwise
                chunk_size = min(self.chunk_size, message.channel_layer.config.message_size // 2)
                yield from self.encode_response(response, chunk_size)
        finally:
            response.close()

    def _load_once(self) -> None:
        if self._ready:
            return
        with _loading:
            if (loaded := _loaded.get(type(self))) is None:
                self.load_middleware()
                _loaded[type(self)] = loaded = self
            self._middleware_chain: Any = loaded._middleware_chain
            self._ready = True

    def _respond(self, message: Message) -> Any:
        try:
            request = self.request_class(message)
        except RequestAborted:
            return None
        except RequestTimeout:
            logger.warning("Request Timeout: the body of %.200r did not come", message.get("path"))
            return HttpResponse("408 Request Timeout (upload too slow)", content_type="text/plain", status=408)
        except (UnicodeDecodeError, BadRequest) as error:
            logger.warning("Bad Request (%s)", type(error).__name__, exc_info=error, extra={"status_code": 400})
            return HttpResponseBadRequest()
        except RequestDataTooBig as error:
            logger.warning("Payload Too Large: %s", error, extra={"status_code": 413})
            return HttpResponse("413 Payload Too Large", content_type="text/plain", status=413)
        response = self._response_for(request)
        response._handler_class = type(self)
        if isinstance(response, FileResponse):
            response.block_size = self.chunk_size
        return response

    def _response_for(self, request: HttpRequest) -> Any:
        try:
            return self.get_response(request)
        except Exception as error:
            # Django's own handling of errors failed, and there is no server around that would answer (item 109)
            if settings.DEBUG_PROPAGATE_EXCEPTIONS:
                raise
            logger.exception("the error of %.200r could not be handled", request.path)
            text = "".join(traceback.format_exception(error)) if settings.DEBUG else "Internal Server Error"
            return HttpResponseServerError(text, content_type="text/plain")

    def _get_response(self, request: Any) -> Any:
        try:
            return super()._get_response(request)  # type: ignore[misc]
        except ResponseLater:
            # as a response, so that middleware which comes back from the view does its work, such as saving the session
            return _Later()

    def process_exception_by_middleware(self, exception: Exception, request: HttpRequest) -> Any:
        """Ask middleware for a response to what a view raised, unless it raised ResponseLater."""
        if isinstance(exception, ResponseLater):
            raise exception
        return super().process_exception_by_middleware(exception, request)

    @classmethod
    def encode_response(cls, response: HttpResponseBase, chunk_size: int | None = None) -> Iterator[Reply]:
        """Return the replies that a response is (item 106): one, unless it is long or a stream.

        Args:
            response: any response of Django's.
            chunk_size: bytes of one reply's content at most; `AsgiHandler.chunk_size` if not given.
        """
        size = chunk_size or cls.chunk_size
        reply: Reply = {"status": response.status_code, "headers": _headers(response)}
        if not response.streaming:
            content = response.content  # type: ignore[attr-defined]
            for start in range(0, len(content) or 1, size):
                more = start + size < len(content)
                yield {**reply, "content": content[start : start + size], "more_content": more}
                reply = {}
            return
        for part in parts_of(response):  # type: ignore[arg-type]
            for start in range(0, len(part), size):
                yield {**reply, "content": part[start : start + size], "more_content": True}
                reply = {}
        yield {**reply, "more_content": False}


def _headers(response: HttpResponseBase) -> list[tuple[bytes, bytes]]:
    headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in response.items()]
    if response.cookies:
        headers += [
            (b"Set-Cookie", cookie.output(header="").strip().encode("ascii")) for cookie in response.cookies.values()
        ]
    return headers


class ViewConsumer:
    """The consumer of `http.request` that answers by Django's views."""

    handler_class: type[AsgiHandler] = AsgiHandler

    def __init__(self) -> None:
        self.handler = self.handler_class()

    def __call__(self, message: Message, **kwargs: Any) -> None:
        """Answer a request; a stream goes on in a thread beside, so that the process is free for others meanwhile."""
        if message.reply_channel is None:
            raise ValueError("an http.request without a reply channel: nobody could get the answer")
        try:
            response = self.handler.respond(message)
        except BaseException:
            message.reply_channel.send(FAILED, immediately=True)
            raise
        if response is None:
            return
        sending = Sending(message.reply_channel, self.handler.replies(message, response))
        # outside of workers, as in tests, nothing else waits for this thread
        in_worker = message.ordered is not None
        reply = message.reply_channel
        names = reply.channel_layer.alias, reply.name
        if not (response.streaming and in_worker and beside.run(sending.send_beside, sending.cut_off, names)):
            sending.send()


@contextmanager
def _script_prefix(message: Message) -> Iterator[None]:
    prefix = get_script_prefix()
    set_script_prefix(script_prefix(message))
    try:
        yield
    finally:
        set_script_prefix(prefix)


def _on_setting_changed(*, setting: str, **kwargs: Any) -> None:
    if setting == "MIDDLEWARE":
        with _loading:
            _loaded.clear()


setting_changed.connect(_on_setting_changed, dispatch_uid="channelcelery.handler")
