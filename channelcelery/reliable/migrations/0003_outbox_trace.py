"""The trace of what stands in the outbox."""

from django.db import migrations, models

__all__ = ["Migration"]


class Migration(migrations.Migration):
    """Adds it."""

    dependencies = [("channelcelery_reliable", "0002_outbox")]

    operations = [
        migrations.AddField(
            model_name="outboxrow",
            name="trace",
            field=models.CharField(
                blank=True, db_default="", default="", help_text="traceparent of its sending", max_length=64
            ),
        ),
    ]
