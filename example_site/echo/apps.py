from django.apps import AppConfig


class EchoConfig(AppConfig):
    name = "example_site.echo"
