"""Tables that may be looked at only, and what a form of the others changed."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from philately.domain import edits
from philately.keyset_admin import KeysetAdmin


def changes_of(form: Any) -> edits.Changes:
    return {name: (form.initial.get(name), form.cleaned_data[name]) for name in form.changed_data}


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
