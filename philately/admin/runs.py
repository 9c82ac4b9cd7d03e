"""Evaluations: runs with their phases, placements, hull, log and points."""

from django.contrib import admin

from philately import models
from philately.admin.looking import ReadOnly


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


@admin.register(models.RunAuditor)
class RunAuditorAdmin(ReadOnly):
    list_display = ("id", "run", "release")
    list_select_related = ("run__season", "release__scale")


@admin.register(models.RunExclusion)
class RunExclusionAdmin(ReadOnly):
    list_display = ("id", "run", "candidate_id", "reason", "by")
    list_select_related = ("run__season", "by")


@admin.register(models.Phase)
class PhaseAdmin(ReadOnly):
    list_display = ("id", "run_id", "number", "formula", "status", "energy_per_atom", "formation_energy_per_atom")
    list_filter = ("status",)
    search_fields = ("formula",)
    search_help_text = "its number in the run, a reduced formula or a chemical system"
    numbers, texts = ("number",), ("formula", "chemical_system")
    within = ("run", models.Run)


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
