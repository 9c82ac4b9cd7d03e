"""Locks for what one process at a time may do. What was done under a lock is committed only while it is still held."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now

from philately.domain.transitions import lease_end, new_token
from philately.models import Lock


class LockLost(Exception):
    """The lock ran out and somebody else has it: nothing of the work in hand may be committed."""


@dataclass(slots=True)
class Hold:
    name: str
    token: str
    _confirmed: float = field(default_factory=time.monotonic)

    def confirm(self) -> None:
        """Prolong the lock; raises LockLost. Inside a transaction nobody else can take it until that is committed."""
        if Lock.objects.filter(name=self.name, token=self.token).update(until=lease_end()) != 1:
            raise LockLost(self.name)
        self._confirmed = time.monotonic()

    def keep(self) -> None:
        """To be called again and again in long work: prolongs the lock before it runs out; raises LockLost."""
        if time.monotonic() - self._confirmed > settings.LEASE_S / 4:
            self.confirm()


@contextmanager
def lock(name: str) -> Iterator[Hold | None]:
    """Hold the lock, or get None where another does. A holder that dies loses it when its lease runs out."""
    Lock.objects.get_or_create(name=name)
    token = new_token()
    free = Q(token="") | Q(until__lt=Now())
    if Lock.objects.filter(free, name=name).update(token=token, until=lease_end()) != 1:
        yield None
        return
    try:
        yield Hold(name, token)
    finally:
        Lock.objects.filter(name=name, token=token).update(token="", until=None)
