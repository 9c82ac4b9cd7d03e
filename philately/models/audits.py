"""What audits of the hull found."""

from django.db import models


class HullAudit(models.Model):
    """A run's hull was built again from its rows and compared with what is stored."""

    run = models.ForeignKey("philately.Run", models.PROTECT, related_name="hull_audits")
    placed_to = models.PositiveBigIntegerField(help_text="of the run when its rows were read")
    log_position = models.PositiveBigIntegerField(help_text="of the run when its rows were read")
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    n_phases = models.PositiveBigIntegerField(help_text="phases in the hull")
    n_compositions = models.PositiveBigIntegerField()
    n_events = models.PositiveBigIntegerField(help_text="entries of the hull log")
    n_differences = models.PositiveBigIntegerField()
    counts = models.JSONField(default=dict, help_text="differences by kind")
    differences = models.JSONField(default=list, help_text="the first of each kind")
    code_version = models.CharField(max_length=100)

    class Meta:
        indexes = [models.Index(fields=["run", "-finished_at"], name="hull_audit_latest")]

    def __str__(self) -> str:
        found = f"differences: {self.n_differences}" if self.n_differences else "nothing differs"
        return f"{self.run} at log position {self.log_position}: {found}"
