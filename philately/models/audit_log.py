"""Who did what to a season, when and why."""

from typing import Any, NoReturn

from django.db import models
from django.db.models.functions import Now


class AppendOnly(models.QuerySet[Any]):
    """What was written is neither changed nor taken away."""

    def update(self, **changes: object) -> NoReturn:
        raise TypeError("the audit log is append-only")

    def delete(self) -> NoReturn:
        raise TypeError("the audit log is append-only")


class AuditEntry(models.Model):
    """A deed, written in its own transaction: where the deed is not in the database, neither is this."""

    at = models.DateTimeField(db_default=Now(), help_text="by the database's clock")
    by = models.ForeignKey("philately.User", models.PROTECT, null=True, db_index=False, related_name="+")
    who = models.CharField(max_length=150, help_text="name of the user; else of the account that ran the command")
    deed = models.CharField(max_length=32)
    reason = models.TextField(blank=True)
    season = models.ForeignKey("philately.Season", models.PROTECT, null=True, db_index=False, related_name="audit_log")
    run = models.ForeignKey("philately.Run", models.SET_NULL, null=True, db_index=False, related_name="+")
    batch = models.ForeignKey("philately.Batch", models.PROTECT, null=True, db_index=False, related_name="+")
    candidate = models.ForeignKey("philately.Candidate", models.PROTECT, null=True, db_index=False, related_name="+")
    member = models.ForeignKey("philately.Membership", models.PROTECT, null=True, db_index=False, related_name="+")
    parameters = models.JSONField(default=dict, help_text="what was asked for")
    outcome = models.JSONField(default=dict, help_text="what came of it")

    objects = AppendOnly.as_manager()

    class Meta:
        verbose_name_plural = "audit log"
        indexes = [models.Index(fields=["season", "id"], name="audit_log_season")]

    def __str__(self) -> str:
        return f"{self.deed} by {self.who}"

    def save(self, *arguments: Any, **options: Any) -> None:
        if not self._state.adding:
            raise TypeError("the audit log is append-only")
        super().save(*arguments, **options)

    def delete(self, *arguments: Any, **options: Any) -> NoReturn:
        raise TypeError("the audit log is append-only")
