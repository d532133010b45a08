"""An admin with the page of channels, as docs/observing.md has it."""

from django.contrib import admin
from django.urls import include, path

from channelcelery.observe.page import status_urls

urlpatterns = [
    path("admin/channels/", include(status_urls())),
    path("admin/", admin.site.urls),
]
