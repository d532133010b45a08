from django.apps import AppConfig


class LiveblogConfig(AppConfig):
    name = "example_site.liveblog"
    verbose_name = "Live blog"

    def ready(self) -> None:
        from example_site.liveblog import signals  # noqa: F401 - connects the receivers
