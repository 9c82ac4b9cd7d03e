"""Named locks in the database, for what only one process at a time may do; and bells that nobody answered."""

from django.db import models
from django.db.models.functions import Now


class Lock(models.Model):
    """Held by whoever's token it carries, until it runs out; a holder renews it or loses it."""

    name = models.CharField(max_length=100, primary_key=True)
    token = models.CharField(max_length=32, blank=True)
    until = models.DateTimeField(null=True)
    taken_at = models.DateTimeField(null=True, help_text="when its holder, or the last one, took it")
    deaths = models.PositiveSmallIntegerField(default=0, help_text="holders in a row that fell silent")

    def __str__(self) -> str:
        return self.name


class Bell(models.Model):
    """Work for which the sweeper rings, while nobody is at it."""

    name = models.CharField(max_length=100, primary_key=True, help_text="task and key")
    mark = models.CharField(max_length=200, help_text="where the work stands; it changes when somebody does some of it")
    since = models.DateTimeField(db_default=Now(), help_text="when it was first rung for as it stands")
    rung = models.PositiveIntegerField(default=1)
    told_at = models.DateTimeField(null=True, help_text="when the log said last that nobody answers")

    def __str__(self) -> str:
        return self.name
