"""Bells that nobody answers. Waiting is no fault of what waits: where no worker comes, nothing is set aside, but the
log says so, loudly and again.
"""

import logging
from collections.abc import Collection
from datetime import timedelta

from django.conf import settings
from django.db.models import F, Q
from django.db.models.functions import Now

from philately.models import Bell

log = logging.getLogger(__name__)

_AGAIN = timedelta(hours=1)


def note(name: str, mark: str) -> None:
    """Somebody was rung for. name: the task and its key. mark: where its work stands, so that it is another one as soon
    as somebody does some of it."""
    fresh = {"mark": mark, "since": Now(), "rung": 1, "told_at": None}
    if Bell.objects.filter(name=name).exclude(mark=mark).update(**fresh):
        return
    if not Bell.objects.filter(name=name).update(rung=F("rung") + 1):
        Bell.objects.bulk_create([Bell(name=name, mark=mark)], ignore_conflicts=True)


def tell(noted: Collection[str]) -> int:
    """Forget what is not rung for any longer, and say what nobody has answered for SILENT_AFTER_S; says how many that
    are. noted: the names of this round."""
    Bell.objects.exclude(name__in=list(noted)).delete()
    old = Bell.objects.filter(since__lt=Now() - timedelta(seconds=settings.SILENT_AFTER_S))
    untold = old.filter(Q(told_at=None) | Q(told_at__lt=Now() - _AGAIN))
    for bell in untold:
        if untold.filter(pk=bell.pk).update(told_at=Now()):
            log.error(
                "nobody answers: %s was rung for %s times since %s and nothing moved; is a worker for it running?",
                bell.name,
                bell.rung,
                f"{bell.since:%Y-%m-%d %H:%M} UTC",
            )
    return old.count()
