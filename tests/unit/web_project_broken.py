"""A URLconf whose page for errors fails too."""

from tests.unit.web_project import urlpatterns

handler500 = "tests.unit.web_project.broken_500"
__all__ = ["handler500", "urlpatterns"]
