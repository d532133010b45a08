from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = "Make the login admin / admin for trying the live blog. Refuses without DEBUG."

    def handle(self, *args, **options) -> None:
        if not settings.DEBUG:
            raise CommandError("A password that everyone knows is for DEBUG only. Use: manage.py createsuperuser")
        users = get_user_model().objects
        if users.filter(username="admin").exists():
            self.stdout.write("The user admin exists already.")
        else:
            users.create_superuser("admin", password="admin")
            self.stdout.write("Log in at /admin/ as admin with the password admin. Never on a public address.")
