"""The tables of the outbox, and of the marks of what is done."""

from django.db import migrations, models

__all__ = ["Migration"]


class Migration(migrations.Migration):
    """Makes them."""

    dependencies = [("channelcelery_reliable", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="Done",
            fields=[
                ("message_id", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("done_at", models.DateTimeField(db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name="OutboxRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("message_id", models.CharField(max_length=64, unique=True)),
                ("alias", models.CharField(max_length=100, verbose_name="layer")),
                ("channel", models.CharField(max_length=100)),
                ("content", models.BinaryField(help_text="encoded as it travels")),
                (
                    "attempt",
                    models.PositiveIntegerField(default=1, help_text="the run that it is to be published for"),
                ),
                ("published", models.PositiveIntegerField(default=0, help_text="how often it was, for that run")),
                ("sent_at", models.DateTimeField()),
                (
                    "due_at",
                    models.DateTimeField(db_index=True, help_text="when it is to be published, if it is still here"),
                ),
            ],
            options={
                "verbose_name": "message in the outbox",
                "verbose_name_plural": "outbox",
                "ordering": ["due_at", "id"],
            },
        ),
    ]
