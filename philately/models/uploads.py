"""What is on its way: uploads that may be resumed, and dry runs. Neither is a fact; both are removed in time."""

from django.db import models
from django.db.models import Q

from philately.models.batches import Leased
from philately.states import DryRunState


class DryRun(Leased):
    """One upload that is read and checked, and no more. Only its owner sees it."""

    owner = models.ForeignKey("philately.Membership", models.CASCADE, related_name="dry_runs")
    sha256 = models.CharField(max_length=64)
    file_name = models.CharField(max_length=255)
    n_bytes = models.PositiveBigIntegerField()
    stored_as = models.CharField(max_length=255)
    method = models.CharField(max_length=100)
    method_description = models.TextField(blank=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    state = models.CharField(max_length=16, choices=DryRunState.choices, default=DryRunState.WAITING)
    problem = models.TextField(blank=True, help_text="why it was refused or set aside")
    n_done = models.PositiveBigIntegerField(default=0)
    n_total = models.PositiveBigIntegerField(null=True, help_text="none until the archive has been looked through")
    counts = models.JSONField(default=dict, help_text="structures by reason; those that pass have none")
    n_atoms = models.PositiveBigIntegerField(null=True, help_text="of those that pass, in their primitive cells")
    table_as = models.CharField(max_length=255, blank=True, help_text="the results in the storage, as Parquet")
    batch = models.ForeignKey(
        "philately.Batch", models.SET_NULL, null=True, related_name="dry_runs", help_text="where it was submitted after"
    )

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(state__in=DryRunState.values), name="dry_run_state_known"),
            models.CheckConstraint(
                condition=~Q(state=DryRunState.REFUSED) | ~Q(problem=""), name="dry_run_refusal_told"
            ),
        ]
        indexes = [
            models.Index(fields=["owner", "created_at"], name="dry_run_owner_day"),
            models.Index(fields=["id"], name="dry_run_queue", condition=Q(state=DryRunState.WAITING)),
            models.Index(fields=["expires_at"], name="dry_run_expiry"),
        ]

    def __str__(self) -> str:
        return f"dry run {self.pk} ({self.file_name})"


class ResumableUpload(models.Model):
    """An upload that comes in parts. Its address is its token, which nobody can guess."""

    token = models.CharField(max_length=64, unique=True)
    owner = models.ForeignKey("philately.Membership", models.CASCADE, related_name="uploads")
    metadata = models.TextField(blank=True, help_text="as the client sent it")
    file_name = models.CharField(max_length=255)
    method = models.CharField(max_length=100)
    method_description = models.TextField(blank=True)
    is_dry_run = models.BooleanField(default=False)
    length = models.PositiveBigIntegerField(help_text="bytes of the whole")
    offset = models.PositiveBigIntegerField(
        default=0, help_text="bytes that are safely on disk; the length only once the upload was handed over"
    )
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    batch = models.ForeignKey("philately.Batch", models.CASCADE, null=True, related_name="+")
    dry_run = models.ForeignKey(DryRun, models.CASCADE, null=True, related_name="+")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(offset__lte=models.F("length")), name="upload_within_its_length"),
            models.CheckConstraint(
                condition=Q(finished_at__isnull=True) | Q(offset=models.F("length")), name="upload_finished_is_whole"
            ),
        ]
        indexes = [
            models.Index(fields=["owner"], name="upload_unfinished", condition=Q(finished_at__isnull=True)),
            models.Index(fields=["expires_at"], name="upload_expiry"),
        ]

    def __str__(self) -> str:
        return f"upload of {self.file_name} ({self.offset:,} of {self.length:,} bytes)"
