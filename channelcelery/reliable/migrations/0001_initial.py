"""The table of dead letters."""

from django.db import migrations, models

__all__ = ["Migration"]


class Migration(migrations.Migration):
    """Makes it."""

    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="DeadLetter",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("message_id", models.CharField(max_length=64, unique=True)),
                ("alias", models.CharField(max_length=100, verbose_name="layer")),
                ("channel", models.CharField(db_index=True, max_length=100)),
                ("content", models.BinaryField(help_text="encoded as it travelled")),
                (
                    "reason",
                    models.CharField(db_index=True, help_text="one of core.reliable.Reason", max_length=20),
                ),
                ("detail", models.TextField(blank=True)),
                ("traceback", models.TextField(blank=True)),
                ("attempts", models.PositiveIntegerField()),
                ("sent_at", models.DateTimeField(blank=True, null=True)),
                ("died_at", models.DateTimeField(db_index=True)),
            ],
            options={"ordering": ["-died_at", "-id"]},
        ),
    ]
