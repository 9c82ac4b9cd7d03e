"""What organisers had judged again."""

from django.db import models
from django.db.models.functions import Now

from philately.states import CandidateState


class Rerun(models.Model):
    """A fact: where a candidate stood before it was sent through the phases once more."""

    candidate = models.ForeignKey("philately.Candidate", models.PROTECT, related_name="reruns")
    arrival_before = models.PositiveBigIntegerField()
    state_before = models.CharField(max_length=16, choices=CandidateState.choices)
    reason_before = models.CharField(max_length=32, blank=True, help_text="reason code of the rejection")
    sentence_before = models.TextField(blank=True)
    by = models.ForeignKey("philately.User", models.PROTECT, null=True, db_index=False, related_name="+")
    reason = models.TextField(blank=True)
    at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.candidate} again"
