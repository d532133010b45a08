"""Models to bind, whose keys are chosen by different parties."""

import uuid
from typing import Any

from django.contrib.auth.models import User
from django.db import models


class Tag(models.Model):
    """A key that people choose."""

    code = models.CharField(max_length=20, primary_key=True)
    text = models.CharField(max_length=20, blank=True)


class Number(models.Model):
    """A key that the database chooses."""

    name = models.CharField(max_length=20)
    value = models.IntegerField(default=0)
    owner = models.ForeignKey(User, null=True, on_delete=models.CASCADE)

    @property
    def doubled(self) -> int:
        return self.value * 2

    def shout(self) -> str:
        return self.name.upper()


class Box(models.Model):
    """A key that Python chooses, and fields that are filled in by themselves."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=20)
    made = models.DateTimeField(auto_now_add=True)
    tags = models.ManyToManyField(Tag)

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.name = self.name.strip()
        super().save(*args, **kwargs)
