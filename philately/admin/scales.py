"""Judges, their scales and releases, and the relaxations and opinions that they gave."""

from django.contrib import admin
from django.http import HttpRequest

from philately import models
from philately.admin.looking import ReadOnly


@admin.register(models.Scale)
class ScaleAdmin(ReadOnly):
    list_display = ("name", "judge", "digest", "problem", "created_at")


@admin.register(models.AcceptedJudge)
class AcceptedJudgeAdmin(ReadOnly):
    """May be deleted, so that other values can be accepted for the same weights."""

    list_display = ("id", "name", "model", "device", "created_at")
    search_fields = ("name", "model")

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return bool(request.user.has_perm("philately.delete_acceptedjudge"))


@admin.register(models.Release)
class ReleaseAdmin(ReadOnly):
    list_display = ("name", "scale", "coverage", "n_phases", "sha256", "created_at")
    list_select_related = ("scale",)


@admin.register(models.ReleasePhase)
class ReleasePhaseAdmin(ReadOnly):
    list_display = ("id", "release_id", "number", "formula", "energy_per_atom", "label", "note")
    search_fields = ("=formula",)
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


@admin.register(models.Opinion)
class OpinionAdmin(ReadOnly):
    """What auditors were asked, and what of it failed."""

    list_display = ("id", "relaxation_id", "scale", "state", "attempts", "problem", "changed_at")
    list_filter = ("state", "scale")
    list_select_related = ("scale",)
    raw_id_fields = ("relaxation", "result")
