"""What organisers decided on structures that were held."""

from django.db import models
from django.db.models.functions import Now


class Decision(models.Model):
    """A fact. Its arrival number is one of those that structures get, so every run comes to it at the same place."""

    season = models.ForeignKey("philately.Season", models.PROTECT, db_index=False, related_name="decisions")
    arrival = models.PositiveBigIntegerField(help_text="it counts after whatever has a lower number")
    candidate = models.ForeignKey("philately.Candidate", models.PROTECT, related_name="decisions")
    accepted = models.BooleanField(help_text="else refused")
    reason = models.TextField(help_text="shown to its owner")
    by = models.ForeignKey("philately.User", models.PROTECT, db_index=False, related_name="+")
    decided_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["season", "arrival"], name="decision_arrival_once")]

    def __str__(self) -> str:
        return f"{self.candidate} {'accepted' if self.accepted else 'refused'}"
