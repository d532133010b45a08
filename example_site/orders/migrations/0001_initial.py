from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Order",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("item", models.CharField(max_length=80)),
                (
                    "card",
                    models.CharField(
                        choices=[
                            ("good", "Works at once"),
                            ("flaky", "Fails twice, then works"),
                            ("bad", "Fails every time"),
                        ],
                        default="good",
                        max_length=10,
                    ),
                ),
                ("message_id", models.CharField(editable=False, max_length=64)),
                ("created", models.DateTimeField(auto_now_add=True)),
                ("paid", models.DateTimeField(blank=True, null=True)),
            ],
        ),
    ]
