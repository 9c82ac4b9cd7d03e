"""Rounds of a season: at the close of each the hull's points are paid."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Round(models.Model):
    """A fact once it is closed. Its arrival number is one of those that structures get, so every run pays for the same
    hull; before that it is a plan of the sweeper's."""

    season = models.ForeignKey("philately.Season", models.PROTECT, db_index=False, related_name="rounds")
    number = models.PositiveIntegerField(null=True, help_text="from 1; none while it is planned")
    arrival = models.PositiveBigIntegerField(null=True, help_text="paid for what arrived with a lower number")
    planned_for = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    by = models.ForeignKey("philately.User", models.PROTECT, null=True, db_index=False, related_name="+")
    reason = models.TextField(blank=True)
    made_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["season", "number"], name="round_number_once"),
            models.UniqueConstraint(fields=["season", "arrival"], name="round_arrival_once"),
            models.UniqueConstraint(fields=["season", "planned_for"], name="round_planned_once"),
            models.CheckConstraint(
                condition=Q(number=None, arrival=None, closed_at=None, planned_for__isnull=False)
                | Q(number__isnull=False, arrival__isnull=False, closed_at__isnull=False),
                name="round_planned_or_closed",
            ),
        ]

    def __str__(self) -> str:
        return f"round {self.number}" if self.number else f"round planned for {self.planned_for}"
