"""Quotas of one's own: a season's, or a participant's."""

from django.db import models


def _own_limit(what: str) -> "models.PositiveBigIntegerField[int | None, int | None]":
    """Where there is none, the next one holds: the season's, then the installation's setting."""
    return models.PositiveBigIntegerField(null=True, blank=True, help_text=f"{what}; empty: as everywhere")


class OwnLimits(models.Model):
    """Each may be empty."""

    upload_bytes = _own_limit("bytes of one upload")
    upload_bytes_a_day = _own_limit("bytes that a participant may upload a day")
    uploads_a_day = _own_limit("uploads of a participant a day")
    uploads_unfinished = _own_limit("unfinished uploads of a participant at a time")
    structures_a_day = _own_limit("structures of a participant a day")
    structures_a_season = _own_limit("structures of a participant in the season")
    atom_steps_a_day = _own_limit("atoms × steps of relaxation of a participant a day")
    atom_steps_a_season = _own_limit("atoms × steps of relaxation of a participant in the season")

    class Meta:
        abstract = True
