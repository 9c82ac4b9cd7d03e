"""Locks for what one process at a time may do. What was done under a lock is committed only while it is still held.

A holder's process prolongs its lock from a thread of its own, whatever long step it is in, as long as it says now and
then that it is at work. So a process that dies or is suspended loses its lock within one lease, and one that hangs
within LEASE_S.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Now

from philately.domain.transitions import lease_end, new_token
from philately.models import Lock

log = logging.getLogger(__name__)

_SEQUENCER = "place:"


class LockLost(Exception):
    """The lock ran out and somebody else has it: nothing of the work in hand may be committed."""


def lease_of(name: str) -> float:
    """Seconds after which a lock that is not prolonged is free: few for the sequencer's, for which everybody waits."""
    return float(settings.SEQUENCER_LEASE_S if name.startswith(_SEQUENCER) else settings.LEASE_S)


@dataclass(slots=True)
class Hold:
    """deaths: how many holders before this one fell silent, one after the other."""

    name: str
    token: str
    deaths: int = 0
    _confirmed: float = field(default_factory=time.monotonic)
    _at_work: float = field(default_factory=time.monotonic)

    def confirm(self) -> None:
        """Prolong the lock; raises LockLost. Inside a transaction nobody else can take it until that is committed."""
        if connection.in_atomic_block and connection.vendor == "postgresql":
            _bound_idling(lease_of(self.name))
        if not self._prolong():
            raise LockLost(self.name)
        self.at_work()

    def keep(self) -> None:
        """To be called again and again in long work: sees to it that the lock is kept; raises LockLost."""
        self.at_work()
        if self._at_work - self._confirmed > lease_of(self.name) / 4:
            self.confirm()

    def at_work(self) -> None:
        """Say that the work goes on; asks no database, so it may be called inside a read-only transaction."""
        self._at_work = time.monotonic()

    def beat(self, ended: threading.Event) -> None:
        """Prolong the lock until ``ended``, in a thread: the work in hand may be one long step."""
        try:
            while not ended.wait(max(0.05, lease_of(self.name) / 5)):
                if time.monotonic() - self._at_work < settings.LEASE_S:
                    self._try_to_prolong()
        finally:
            connection.close()  # this thread's own

    def _try_to_prolong(self) -> None:
        try:
            self._prolong()
        except DatabaseError as error:
            told = {"lock": self.name}
            log.warning(
                "the lock %s could not be prolonged, the next beat tries again: %s", self.name, error, extra=told
            )
            connection.close()

    def _prolong(self) -> bool:
        asked = time.monotonic()
        mine = Lock.objects.filter(name=self.name, token=self.token)
        if mine.update(until=lease_end(lease_of(self.name))) != 1:
            return False
        self._confirmed = asked
        return True


@contextmanager
def lock(name: str) -> Iterator[Hold | None]:
    """Hold the lock, or get None where another does. A holder that dies loses it when its lease runs out."""
    before, _ = Lock.objects.get_or_create(name=name)
    token = new_token()
    if Lock.objects.filter(_free(), name=name).update(**_taken_by(token, name)) != 1:
        yield None
        return
    hold, ended = Hold(name, token, _count_death(before) if before.token else 0), threading.Event()
    threading.Thread(target=hold.beat, args=(ended,), name=f"keeps {name}", daemon=True).start()
    try:
        yield hold
    finally:
        ended.set()
        Lock.objects.filter(name=name, token=token).update(token="", until=None, deaths=0)


def _count_death(lock: Lock) -> int:
    """How many holders of a lock fell silent, one after the other, with the one that it is being taken from."""
    deaths = lock.deaths + 1
    level = logging.ERROR if deaths >= settings.MAX_ATTEMPTS else logging.WARNING
    log.log(level, "the lock %s was taken from a holder that fell silent, the %sth in a row", lock.name, deaths)
    return deaths


def is_free(name: str) -> bool:
    return not Lock.objects.filter(name=name).exclude(_free()).exists()


def give_up(name: str) -> None:
    """Nothing is left to do under the lock, so nobody will come to take it from a holder that fell silent."""
    silent = Lock.objects.filter(name=name, until__lt=Now()).exclude(token="")
    if silent.exists() and silent.update(token="", until=None, deaths=0):
        log.warning("the lock %s is free: its holder fell silent, and nothing waits for another", name)


def within_reach(name: str) -> bool:
    """Whether the lock is free, or its holder in doubt: one that lives never lets half of the lease pass."""
    sure = Now() + timedelta(seconds=lease_of(name) / 2)
    return not Lock.objects.filter(name=name, until__gte=sure).exclude(token="").exists()


def stand_by(name: str) -> bool:
    """Wait, where the lock's holder is in doubt, until it is seen alive or the lease has run out; says whether the lock
    can be had now. Where the holder is known to live the answer is no, at once: at most half a lease is waited."""
    pause_s = min(0.5, lease_of(name) / 30)
    patience_ends = time.monotonic() + lease_of(name)
    while within_reach(name):
        if is_free(name):
            return True
        if time.monotonic() > patience_ends:
            return False
        time.sleep(pause_s)
    return False


def _taken_by(token: str, name: str) -> dict[str, Any]:
    deaths = Case(When(token="", then=Value(0)), default=F("deaths") + 1)
    return {"token": token, "until": lease_end(lease_of(name)), "taken_at": Now(), "deaths": deaths}


def _free() -> Q:
    return Q(token="") | Q(until__lt=Now())


def _bound_idling(seconds: float) -> None:
    """Let the server end this session if it falls silent inside the transaction in hand, as one does that is suspended
    or whose machine is gone: it would keep the lock's row, so that nobody could ever take over."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL idle_in_transaction_session_timeout = {int(seconds * 1000)}")
