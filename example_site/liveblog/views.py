from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from example_site.liveblog.models import newest_posts


def index(request: HttpRequest) -> HttpResponse:
    """The page as of now; the socket keeps it up to date."""
    return render(request, "liveblog/index.html", {"posts": newest_posts()})
