"""The state of all processes as a page in Django's admin, for staff."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from django.views.decorators.http import require_safe

from channelcelery.observe.status import look

__all__ = ["status_page", "status_urls"]


@require_safe
def status_page(request: HttpRequest) -> HttpResponse:
    """Show what `manage.py channelstatus` shows; who may see it is for `status_urls` to say."""
    status = look()
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": "Channels",
        "tables": list(status.tables()),
        "problems": status.problems,
    }
    return TemplateResponse(request, "channelcelery/status.html", context)


def status_urls(site: admin.AdminSite = admin.site) -> Any:
    """Return the page for `urlpatterns`, before those of the admin: only active staff sees it, others log in first.

    Args:
        site: the admin that it belongs to.
    """
    return [path("", site.admin_view(status_page), name="channelcelery-status")]
