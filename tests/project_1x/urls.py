"""Pages that have the browser client, by either form of its script, and the static files themselves."""

from django.contrib.staticfiles.views import serve
from django.http import HttpRequest, HttpResponse
from django.urls import path

SCRIPTS = {
    "classic": '<script src="/static/channels/js/websocketbridge.js"></script>',
    "module": """
<script type="module">
  import { WebSocketBridge } from "/static/channels/js/websocketbridge.module.js";
  globalThis.Bridge = WebSocketBridge;
</script>
""",
}


def page(request: HttpRequest, form: str) -> HttpResponse:
    """Return a page that does nothing by itself."""
    return HttpResponse(f"<!doctype html><title>Bridge</title><link rel=icon href=data:,>{SCRIPTS[form]}")


urlpatterns = [
    path("page/<form>/", page),
    path("static/<path:path>", serve, {"insecure": True}),
]
