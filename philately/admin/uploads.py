"""What participants sent: uploads, batches, shards and candidates."""

from django.contrib import admin
from django.db.models import Q

from philately import models
from philately.admin.looking import ReadOnly
from philately.keyset_admin import number


@admin.register(models.Batch)
class BatchAdmin(ReadOnly):
    list_display = ("id", "season", "owner_name", "file_name", "method", "state", "attempts", "problem", "submitted_at")
    list_filter = ("state", "season")
    list_select_related = ("season", "owner__user")
    search_fields = ("=id", "owner__user__username", "sha256")

    @admin.display(description="owner")
    def owner_name(self, batch: models.Batch) -> str:
        return batch.owner.user.username


@admin.register(models.DryRun)
class DryRunAdmin(ReadOnly):
    list_display = ("id", "owner_id", "file_name", "n_bytes", "state", "attempts", "n_done", "problem", "created_at")
    list_filter = ("state",)


@admin.register(models.ResumableUpload)
class ResumableUploadAdmin(ReadOnly):
    """Without the token, which is the upload's address."""

    list_display = ("id", "owner_id", "file_name", "offset", "length", "is_dry_run", "expires_at", "finished_at")
    exclude = ("token",)


@admin.register(models.Shard)
class ShardAdmin(ReadOnly):
    list_display = ("id", "batch_id", "number", "state", "attempts", "problem", "lease_until")
    list_filter = ("state",)
    search_fields = ("=batch__id",)


@admin.register(models.Candidate)
class CandidateAdmin(ReadOnly):
    list_display = ("id", "season_id", "batch_id", "arrival", "formula", "n_atoms", "state", "reason", "attempts")
    list_filter = ("state", "season")
    search_fields = ("formula",)
    search_help_text = "its number, its batch's, or a reduced formula"
    numbers, texts = ("pk", "batch"), ("formula",)

    def indexed(self, term: str) -> Q | None:
        """The index of formulas begins with the season."""
        if number(term.strip()) is not None:
            return super().indexed(term)
        seasons = list(models.Season.objects.values_list("pk", flat=True))
        return Q(season__in=seasons, formula=term.strip())


@admin.register(models.CandidateDetail)
class CandidateDetailAdmin(ReadOnly):
    list_display = ("candidate_id", "file", "block", "sentence")
    search_fields = ("file",)
    search_help_text = "the candidate's number"
    numbers = ("pk",)
    exclude = ("geometry",)
