"""Every page. The sockets have the same paths; `consumers.py` of each app says what they do."""

from django.contrib import admin
from django.templatetags.static import static
from django.urls import path, re_path
from django.views.generic import RedirectView, TemplateView

from example_site.chat import views as chat
from example_site.chat.rules import ROOM
from example_site.liveblog import views as liveblog
from example_site.orders import views as orders

urlpatterns = [
    path("", TemplateView.as_view(template_name="home.html"), name="home"),
    path("chat/", chat.index, name="chat"),
    re_path(rf"^chat/{ROOM}/$", chat.room, name="room"),
    path("liveblog/", liveblog.index, name="liveblog"),
    path("echo/", TemplateView.as_view(template_name="echo/echo.html"), name="echo"),
    path("orders/", orders.index, name="orders"),
    path("orders/lines/", orders.lines, name="orders-lines"),
    path("orders/<int:pk>/again/", orders.again, name="orders-again"),
    path("admin/", admin.site.urls),
    path("favicon.ico", RedirectView.as_view(url=static("site/logo.svg"))),
]
