"""What owners took back."""

from django.db import models
from django.db.models import Q


class Withdrawal(models.Model):
    """The owner's wish that a candidate takes part no longer; carried out by the sequencer where it was placed."""

    season = models.ForeignKey(  # the candidate's
        "philately.Season", models.PROTECT, db_index=False, db_constraint=False, related_name="+"
    )
    candidate = models.OneToOneField("philately.Candidate", models.PROTECT, related_name="withdrawal")
    by = models.ForeignKey("philately.User", models.PROTECT, related_name="+")
    reason = models.TextField(blank=True)
    asked_at = models.DateTimeField(auto_now_add=True)
    done_at = models.DateTimeField(null=True, help_text="none until it has been relaxed and taken out of the run")
    attempts = models.PositiveSmallIntegerField(default=0, help_text="of taking it out of the run that failed")
    problem = models.TextField(blank=True, help_text="why the last attempt failed; after three an organiser decides")

    class Meta:
        indexes = [models.Index(fields=["season", "id"], name="withdrawal_waits", condition=Q(done_at__isnull=True))]

    def __str__(self) -> str:
        return f"withdrawal of {self.candidate}"
