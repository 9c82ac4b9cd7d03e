"""The release that a command is about."""

from django.core.management.base import CommandError

from philately.models import Release


def chosen_release(text: str) -> Release:
    """By its number, its name, or the beginning of its SHA-256; CommandError where that is not one."""
    by_number = Release.objects.filter(pk=int(text)) if text.isdecimal() else Release.objects.none()
    found = list(by_number or Release.objects.filter(name=text) or Release.objects.filter(sha256__startswith=text))
    if len(found) != 1:
        known = ", ".join(f"{release.pk} ({release.name})" for release in Release.objects.order_by("pk")) or "none"
        raise CommandError(f"{len(found)} releases fit {text!r}; known are {known}")
    return found[0]
