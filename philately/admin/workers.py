"""What workers hold and what they are rung for."""

from django.contrib import admin

from philately import models
from philately.admin.looking import LookOnly


@admin.register(models.Lock)
class LockAdmin(LookOnly):
    list_display = ("name", "token", "until", "deaths")


@admin.register(models.Bell)
class BellAdmin(LookOnly):
    """Work that nobody has taken up yet."""

    list_display = ("name", "mark", "since", "rung", "told_at")
