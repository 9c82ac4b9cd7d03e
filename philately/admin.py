"""Administration for staff. Facts and evaluations can be looked at only; whatever changes them is a deed of its own."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.db.models import Q
from django.http import HttpRequest
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from philately import models
from philately.domain import edits
from philately.keyset_admin import KeysetAdmin, number

for otp_model in (TOTPDevice, StaticDevice):  # their pages show secrets; second factors are reset by a command
    admin.site.unregister(otp_model)
admin.site.site_header = admin.site.site_title = "Administration"


def _changes(form: Any) -> edits.Changes:
    return {name: (form.initial.get(name), form.cleaned_data[name]) for name in form.changed_data}


@admin.register(models.User)
class LoggedUserAdmin(UserAdmin):
    """Who belongs to the staff is in the audit log."""

    list_per_page = 50

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        assert isinstance(request.user, models.User)  # staff
        edits.save_user(obj, _changes(form), by=request.user)


class LookOnly(admin.ModelAdmin):
    """May be looked at."""

    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


class ReadOnly(LookOnly, KeysetAdmin):
    """Lists join what they show and read no more rows than a page has."""


class SeasonForm(forms.ModelForm):
    reason = forms.CharField(
        required=False, help_text="kept in the audit log; needed where it ends earlier or allows less"
    )

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if not self.errors and edits.hurts(_changes(self)) and not given.get("reason", "").strip():
            self.add_error("reason", "Please say why: this takes something from participants.")
        return given


@admin.register(models.Season)
class SeasonAdmin(admin.ModelAdmin):
    """Texts and dates. Rules, scale and runs are not edited: they would change what verdicts mean."""

    form = SeasonForm
    list_display = ("slug", "name", "scale", "visibility", "opens_at", "closes_at")
    list_select_related = ("scale",)
    fields = (
        "slug",
        "name",
        "description",
        "opens_at",
        "closes_at",
        "frozen_at",
        "round_days",
        "visibility",
        "data_licence",
        "upload_bytes",
        "upload_bytes_a_day",
        "uploads_a_day",
        "uploads_unfinished",
        "structures_a_day",
        "structures_a_season",
        "atom_steps_a_day",
        "atom_steps_a_season",
        "scale",
        "official_run",
        "rules",
        "next_arrival",
        "reason",
    )
    readonly_fields = (
        *("slug", "frozen_at", "visibility", "data_licence", "scale", "official_run", "rules", "next_arrival"),
    )

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        assert isinstance(request.user, models.User)  # staff
        changes = {name: values for name, values in _changes(form).items() if name != "reason"}
        edits.save_season(obj, changes, by=request.user, reason=form.cleaned_data.get("reason", ""))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(models.Membership)
class MembershipAdmin(admin.ModelAdmin):
    """Who takes part as what. Only the role changes; scores belong to the membership."""

    list_display = ("id", "user", "season", "role", "joined_at")
    list_filter = ("role", "season")
    list_select_related = ("user", "season")
    search_fields = ("user__username",)
    raw_id_fields = ("user",)
    list_per_page = 50

    def get_readonly_fields(self, request: HttpRequest, obj: object = None) -> tuple[str, ...]:
        return ("user", "season", "own_limits") if obj else ("own_limits",)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        assert isinstance(request.user, models.User)  # staff
        edits.save_role(obj, _changes(form), by=request.user)

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(models.AuditEntry)
class AuditEntryAdmin(ReadOnly):
    list_display = ("at", "who", "deed", "season", "batch_id", "candidate_id", "reason")
    list_filter = ("deed", "season")
    list_select_related = ("season",)
    search_fields = ("who", "deed", "reason", "season__slug", "=candidate__id", "=batch__id", "member__user__username")
    raw_id_fields = ("by", "season", "run", "batch", "candidate", "member")


@admin.register(models.Decision)
class DecisionAdmin(ReadOnly):
    list_display = ("id", "season", "candidate_id", "accepted", "reason", "by", "arrival", "decided_at")
    list_select_related = ("season", "by")
    search_fields = ("=candidate__id",)


@admin.register(models.Round)
class RoundAdmin(ReadOnly):
    list_display = ("id", "season", "number", "arrival", "planned_for", "closed_at", "by", "reason")
    list_select_related = ("season", "by")


@admin.register(models.Rerun)
class RerunAdmin(ReadOnly):
    list_display = ("id", "candidate_id", "state_before", "reason_before", "arrival_before", "by", "reason", "at")
    list_select_related = ("by",)
    search_fields = ("=candidate__id",)


@admin.register(models.Scale)
class ScaleAdmin(ReadOnly):
    list_display = ("name", "judge", "digest", "problem", "created_at")


@admin.register(models.Release)
class ReleaseAdmin(ReadOnly):
    list_display = ("name", "scale", "coverage", "n_phases", "sha256", "created_at")
    list_select_related = ("scale",)


@admin.register(models.ReleasePhase)
class ReleasePhaseAdmin(ReadOnly):
    list_display = ("id", "release_id", "number", "formula", "energy_per_atom", "label", "note")
    search_fields = ("=formula",)
    exclude = ("geometry",)


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


@admin.register(models.ApiKey)
class ApiKeyAdmin(ReadOnly):
    list_display = ("prefix", "name", "user", "created_at", "used_at", "revoked_at")
    list_select_related = ("user",)
    search_fields = ("=prefix", "user__username")
    exclude = ("digest",)


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


@admin.register(models.RelaxationFact)
class RelaxationFactAdmin(ReadOnly):
    list_display = ("id", "scale", "formula", "n_sites", "stopped", "energy_per_atom", "steps", "seconds", "created_at")
    list_filter = ("stopped",)
    list_select_related = ("scale",)
    search_fields = ("initial_hash",)
    search_help_text = "its number, or the content hash of the initial structure"
    numbers, texts = ("pk",), ("initial_hash",)


@admin.register(models.RelaxationGeometry)
class RelaxationGeometryAdmin(ReadOnly):
    list_display = ("relaxation_id",)
    fields = ("relaxation",)


@admin.register(models.Run)
class RunAdmin(ReadOnly):
    list_display = (
        "id",
        "season",
        "number",
        "release",
        "rules_digest",
        "placed_to",
        "log_position",
        "reason",
        "created_at",
    )
    list_select_related = ("season", "release")


@admin.register(models.Phase)
class PhaseAdmin(ReadOnly):
    list_display = ("id", "run_id", "number", "formula", "status", "energy_per_atom", "formation_energy_per_atom")
    list_filter = ("status",)
    search_fields = ("formula",)
    search_help_text = "its number in the run, a reduced formula or a chemical system"
    numbers, texts = ("number",), ("formula", "chemical_system")
    within = ("run", models.Run)


@admin.register(models.RunAuditor)
class RunAuditorAdmin(ReadOnly):
    list_display = ("id", "run", "release")
    list_select_related = ("run__season", "release__scale")


@admin.register(models.Opinion)
class OpinionAdmin(ReadOnly):
    """What auditors were asked, and what of it failed."""

    list_display = ("id", "relaxation_id", "scale", "state", "attempts", "problem", "changed_at")
    list_filter = ("state", "scale")
    list_select_related = ("scale",)
    raw_id_fields = ("relaxation", "result")


@admin.register(models.RunExclusion)
class RunExclusionAdmin(ReadOnly):
    list_display = ("id", "run", "candidate_id", "reason", "by")
    list_select_related = ("run__season", "by")


@admin.register(models.Withdrawal)
class WithdrawalAdmin(ReadOnly):
    list_display = ("id", "candidate_id", "by", "reason", "asked_at", "done_at")
    list_select_related = ("by",)
    search_fields = ("=candidate__id",)


@admin.register(models.Placement)
class PlacementAdmin(ReadOnly):
    list_display = ("id", "run_id", "candidate_id", "verdict", "reason", "e_above_hull_on_arrival", "placed_at")
    list_filter = ("verdict",)
    search_fields = ("reason",)
    search_help_text = "the candidate's number"
    numbers = ("candidate",)
    within = ("run", models.Run)


@admin.register(models.HullPoint)
class HullPointAdmin(ReadOnly):
    list_display = ("id", "run_id", "formula", "hull_energy", "lowest_energy", "is_vertex", "log_position")
    list_filter = ("is_vertex",)
    search_fields = ("formula",)
    search_help_text = "a reduced formula"
    texts = ("formula",)
    within = ("run", models.Run)


@admin.register(models.HullAudit)
class HullAuditAdmin(ReadOnly):
    list_display = (
        "id",
        "run",
        "log_position",
        "n_differences",
        "n_phases",
        "n_compositions",
        "n_events",
        "finished_at",
    )
    list_filter = ("run__season",)
    list_select_related = ("run__season",)


@admin.register(models.LogEntry)
class LogEntryAdmin(ReadOnly):
    list_display = ("id", "run_id", "position", "kind", "phase", "by", "candidate_id", "written_at")
    list_filter = ("kind",)
    list_select_related = ("phase", "by")


@admin.register(models.ScoreEntry)
class ScoreEntryAdmin(ReadOnly):
    list_display = ("id", "run_id", "number", "member_name", "points", "reason", "formula", "provisional", "written_at")
    list_filter = ("reason", "provisional")
    list_select_related = ("member__user",)
    search_fields = ("member__user__username",)
    search_help_text = "the candidate's number, or a name"
    numbers = ("candidate",)
    within = ("run", models.Run)

    @admin.display(description="member")
    def member_name(self, entry: models.ScoreEntry) -> str:
        return entry.member.user.username


@admin.register(models.AcceptedJudge)
class AcceptedJudgeAdmin(ReadOnly):
    """May be deleted, so that other values can be accepted for the same weights."""

    list_display = ("id", "name", "model", "device", "created_at")
    search_fields = ("name", "model")

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return bool(request.user.has_perm("philately.delete_acceptedjudge"))


@admin.register(models.Lock)
class LockAdmin(LookOnly):
    list_display = ("name", "token", "until", "deaths")


@admin.register(models.Bell)
class BellAdmin(LookOnly):
    """Work that nobody has taken up yet."""

    list_display = ("name", "mark", "since", "rung", "told_at")


@admin.register(models.Dump)
class DumpAdmin(ReadOnly):
    """The newest whole one of a season is offered."""

    list_display = ("id", "season", "stored_in", "begun_at", "whole_at", "took_s")
    list_select_related = ("season",)
