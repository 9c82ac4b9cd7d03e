"""Seasons with what is decided about them: texts and dates may be edited, rules and scale not."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from philately import models
from philately.admin.looking import ReadOnly, changes_of
from philately.domain import edits


class SeasonForm(forms.ModelForm):
    reason = forms.CharField(
        required=False, help_text="kept in the audit log; needed where it ends earlier or allows less"
    )

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if not self.errors and edits.hurts(changes_of(self)) and not given.get("reason", "").strip():
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
        changes = {name: values for name, values in changes_of(form).items() if name != "reason"}
        edits.save_season(obj, changes, by=request.user, reason=form.cleaned_data.get("reason", ""))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(models.Round)
class RoundAdmin(ReadOnly):
    list_display = ("id", "season", "number", "arrival", "planned_for", "closed_at", "by", "reason")
    list_select_related = ("season", "by")


@admin.register(models.Decision)
class DecisionAdmin(ReadOnly):
    list_display = ("id", "season", "candidate_id", "accepted", "reason", "by", "arrival", "decided_at")
    list_select_related = ("season", "by")
    search_fields = ("=candidate__id",)


@admin.register(models.Rerun)
class RerunAdmin(ReadOnly):
    list_display = ("id", "candidate_id", "state_before", "reason_before", "arrival_before", "by", "reason", "at")
    list_select_related = ("by",)
    search_fields = ("=candidate__id",)


@admin.register(models.Withdrawal)
class WithdrawalAdmin(ReadOnly):
    list_display = ("id", "candidate_id", "by", "reason", "asked_at", "done_at")
    list_select_related = ("by",)
    search_fields = ("=candidate__id",)


@admin.register(models.Dump)
class DumpAdmin(ReadOnly):
    """The newest whole one of a season is offered."""

    list_display = ("id", "season", "stored_in", "begun_at", "whole_at", "took_s")
    list_select_related = ("season",)
