"""What auditors, the second judges of runs, make of relaxed structures."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from philately.models.batches import Leased
from philately.states import OpinionState


class Opinion(Leased):
    """A relaxed structure relaxed again on another scale: a fact, shared by all runs with an auditor of that scale."""

    relaxation = models.ForeignKey(
        "philately.RelaxationFact", models.PROTECT, db_index=False, related_name="opinions", help_text="by the judge"
    )
    scale = models.ForeignKey("philately.Scale", models.PROTECT, db_index=False, related_name="opinions")
    state = models.CharField(max_length=16, choices=OpinionState.choices, default=OpinionState.WAITING)
    result = models.ForeignKey(
        "philately.RelaxationFact", models.PROTECT, null=True, related_name="+", help_text="by the auditor"
    )
    problem = models.TextField(blank=True, help_text="why the last attempt failed")
    silence = models.TextField(
        blank=True, help_text="why nothing was heard when verdicts were made that rest on that; they go on doing so"
    )
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["relaxation", "scale"], name="opinion_once_a_scale"),
            models.CheckConstraint(condition=Q(state__in=OpinionState.values), name="opinion_state_known"),
            models.CheckConstraint(
                condition=~Q(state=OpinionState.GIVEN) | Q(result__isnull=False), name="opinion_given_has_result"
            ),
            models.CheckConstraint(
                condition=Q(state=OpinionState.RELAXING, lease__isnull=False, lease_until__isnull=False)
                | (~Q(state=OpinionState.RELAXING) & Q(lease__isnull=True, lease_until__isnull=True)),
                name="opinion_lease_while_relaxing",
            ),
        ]
        indexes = [
            models.Index(fields=["scale", "state", "id"], name="opinion_queue"),
            models.Index(fields=["lease"], name="opinion_lease_token", condition=Q(lease__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.relaxation} by {self.scale}: {self.state}"
