"""Named locks in the database, for what only one process at a time may do."""

from django.db import models


class Lock(models.Model):
    """Held by whoever's token it carries, until it runs out; a holder renews it or loses it."""

    name = models.CharField(max_length=100, primary_key=True)
    token = models.CharField(max_length=32, blank=True)
    until = models.DateTimeField(null=True)
    taken_at = models.DateTimeField(null=True, help_text="when its holder, or the last one, took it")

    def __str__(self) -> str:
        return self.name
