"""Accounts, who takes part as what, their keys, and what organisers and staff did."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.http import HttpRequest

from philately import models
from philately.admin.looking import ReadOnly, changes_of
from philately.domain import edits


@admin.register(models.User)
class LoggedUserAdmin(UserAdmin):
    """Who belongs to the staff is in the audit log."""

    list_per_page = 50

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        assert isinstance(request.user, models.User)  # staff
        edits.save_user(obj, changes_of(form), by=request.user)


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
        edits.save_role(obj, changes_of(form), by=request.user)

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(models.ApiKey)
class ApiKeyAdmin(ReadOnly):
    list_display = ("prefix", "name", "user", "created_at", "used_at", "revoked_at")
    list_select_related = ("user",)
    search_fields = ("=prefix", "user__username")
    exclude = ("digest",)


@admin.register(models.AuditEntry)
class AuditEntryAdmin(ReadOnly):
    list_display = ("at", "who", "deed", "season", "batch_id", "candidate_id", "reason")
    list_filter = ("deed", "season")
    list_select_related = ("season",)
    search_fields = ("who", "deed", "reason", "season__slug", "=candidate__id", "=batch__id", "member__user__username")
    raw_id_fields = ("by", "season", "run", "batch", "candidate", "member")
