from django.db import models


class Post(models.Model):
    """A post of the live blog, on every open page from the moment it is saved as published."""

    title = models.CharField(max_length=200)
    body = models.TextField(max_length=10_000)
    published = models.BooleanField(default=True)
    created = models.DateTimeField(auto_now_add=True)
    changed = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-created", "-pk"]

    def __str__(self) -> str:
        return self.title

    def as_json(self) -> dict[str, object]:
        """What a page needs to show the post."""
        return {
            "id": self.pk,
            "title": self.title,
            "body": self.body,
            "created": self.created.isoformat(),
            "changed": self.changed.isoformat(),
        }


def newest_posts() -> list[Post]:
    """Return what a page shows at most, newest first."""
    return list(Post.objects.filter(published=True)[:50])
