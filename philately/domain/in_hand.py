"""What a relax worker has claimed on one scale and relaxes together, whichever queues it comes from."""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable, Sequence
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.db.models import QuerySet

from philately.domain import judges, relaxations
from philately.domain.relaxations import LeaseLost
from philately.domain.transitions import ids, new_token
from philately.models import Candidate, RelaxationFact, Scale
from philately.models.batches import Leased
from validation.alarms import killed_after
from validation.canary import CanaryResult
from validation.crystal import Crystal
from validation.flight import Ended, Failed, Flight
from validation.potentials import Judge
from validation.relaxation import Relaxation

log = logging.getLogger(__name__)

_GRACE_S = 30.0  # a relaxation that heeds its limit has ended by then
_LOOK_AGAIN_S = 1.0  # after there was nothing to claim, while others are being relaxed
_HELPING = 64  # structures claimed at a time, at most
_SUSPECT = 2  # attempts after which a structure is relaxed alone: it may be the one that kills workers

RowT = TypeVar("RowT", bound=Leased)


class Queue(ABC, Generic[RowT]):
    """Rows on one scale that wait to be relaxed, and what becomes of those that carry a worker's token.

    atoms: the field that says how large a row's structure is.
    """

    atoms: str

    @abstractmethod
    def waiting(self) -> QuerySet[RowT]:
        """What may be claimed."""

    @abstractmethod
    def in_order(self) -> QuerySet[RowT]:
        """The same, the next first."""

    @abstractmethod
    def claim(self, keys: list[int], token: str) -> list[RowT]:
        """Those of them that still waited carry the token now, and one attempt more."""

    @abstractmethod
    def initial_hash(self, row: RowT) -> str: ...

    @abstractmethod
    def start(self, row: RowT) -> Crystal: ...

    @abstractmethod
    def save(self, row: RowT, found: Relaxation, provenance: dict[str, object]) -> RelaxationFact: ...

    @abstractmethod
    def commit(self, row: RowT, fact: RelaxationFact) -> None:
        """Move the row on while its lease holds. Raises LeaseLost."""

    @abstractmethod
    def fail(self, row: RowT, error: Exception, token: str) -> None:
        """Record a fault of ours, if the row still carries the token."""

    @abstractmethod
    def renew(self, token: str) -> int:
        """Prolong the claim; says how many rows it still holds."""

    @abstractmethod
    def held(self, token: str) -> set[int]:
        """Keys of the rows that carry the token."""

    def ring(self, *, now: bool = False) -> None:
        """For whoever goes on with what was committed; now, or when it was not done a moment ago."""

    @abstractmethod
    def give_back(self, keys: Collection[int], token: str) -> None:
        """They wait again, and no attempt counts."""


class _Held(Generic[RowT]):
    """The rows of one queue that are in hand, by key."""

    def __init__(self, queue: Queue[RowT], token: str) -> None:
        self.queue, self.token = queue, token
        self.n_done = self.n_failed = 0
        self.rows: dict[int, RowT] = {}

    @property
    def has_suspect(self) -> bool:
        return any(row.attempts > _SUSPECT for row in self.rows.values())

    def helping(self, *, alone: bool) -> list[int]:
        """At least one row, and as many more as the budget of atoms allows; one under suspicion comes alone.

        In the queue's order and not by size: nothing is padded, and those who came first are waited for.
        alone: whether nothing is in hand.
        """
        waiting = self.queue.in_order().values_list("pk", self.queue.atoms, "attempts")
        helping: list[int] = []
        atoms = 0
        for pk, n_atoms, attempts in waiting[:_HELPING]:
            if attempts >= _SUSPECT:
                return helping or ([pk] if alone else [])
            atoms += n_atoms or 1
            if helping and atoms > settings.RELAX_CLAIM_ATOMS:
                break
            helping.append(pk)
        return helping

    def take(self, keys: list[int]) -> list[RowT]:
        taken = self.queue.claim(keys, self.token)
        self.rows |= {row.pk: row for row in taken}
        return taken

    def end(self, key: int, end: Ended | RelaxationFact, provenance: dict[str, object]) -> None:
        """Commit how it ended: the only place where the faults of a single structure are caught."""
        row = self.rows.pop(key)
        try:
            self.queue.commit(row, self._fact(row, end, provenance))
        except LeaseLost:
            log.warning("%s was taken over by another worker", row, extra=_ids(row))
        except Exception as error:
            log.exception("relaxing %s failed", row, extra=_ids(row))
            self.n_failed += 1
            self.queue.fail(row, error, self.token)
        else:
            self.n_done += 1

    def fail(self, key: int, error: Exception) -> None:
        self.n_failed += 1
        self.queue.fail(self.rows.pop(key), error, self.token)

    def _fact(self, row: RowT, end: Ended | RelaxationFact, provenance: dict[str, object]) -> RelaxationFact:
        if isinstance(end, RelaxationFact):
            return end
        if isinstance(end, Failed):
            raise end.error
        return self.queue.save(row, end.relaxation, provenance)

    def lost(self) -> set[int]:
        """Keys of what another worker took meanwhile, which is in hand no longer."""
        if not self.rows or self.queue.renew(self.token) >= len(self.rows):
            return set()
        gone = self.rows.keys() - self.queue.held(self.token)
        for key in gone:
            row = self.rows.pop(key)
            log.warning("%s was taken over by another worker", row, extra=_ids(row))
        return gone

    def give_back(self) -> None:
        if self.rows:
            self.queue.give_back(self.rows.keys(), self.token)
            self.rows.clear()


class InHand:
    """The structures that this worker has claimed on one scale, from several queues, and is relaxing together.

    All carry one token.
    """

    def __init__(self, scale: Scale, judge: Judge, canary: CanaryResult, queues: Sequence[Queue[Any]]) -> None:
        """queues: the first is asked first."""
        self._scale = scale
        self._provenance = judges.provenance(judge, canary)
        self._flight = Flight(judge, judges.settings_of(scale), time_limit_s=settings.RELAX_LIMIT_S)
        token = new_token()
        self._queues = [_Held(queue, token) for queue in queues]
        self._renewed = time.monotonic()
        self._look_again_at = 0.0

    def __len__(self) -> int:
        return sum(len(held.rows) for held in self._queues)

    @property
    def rows(self) -> list[Leased]:
        return [row for held in self._queues for row in held.rows.values()]

    @property
    def ended(self) -> tuple[int, int]:
        """How many were relaxed or known so far, and how many failed."""
        return sum(held.n_done for held in self._queues), sum(held.n_failed for held in self._queues)

    @property
    def hungry(self) -> bool:
        """Whether more should be claimed."""
        return self._flight.hungry and time.monotonic() >= self._look_again_at

    def claim(self) -> None:
        """One helping of atoms. What is a known fact by now is committed at once."""
        if any(held.has_suspect for held in self._queues):
            self.rest()
            return
        for number, held in enumerate(self._queues):
            if helping := held.helping(alone=not len(self)):
                self._take(number, helping)
                return
        self.rest()

    def _take(self, number: int, helping: list[int]) -> None:
        held = self._queues[number]
        taken = held.take(helping)
        hashes = {row.pk: held.queue.initial_hash(row) for row in taken}
        facts = relaxations.known_facts(self._scale.pk, hashes.values())
        for row in taken:
            fact = facts.get(hashes[row.pk])
            if fact is not None:
                held.end(row.pk, fact, self._provenance)
                continue
            try:
                self._flight.add((number, row.pk), held.queue.start(row))
            except Exception as error:
                log.exception("relaxing %s failed", row, extra=_ids(row))
                held.fail(row.pk, error)
        self.ring()

    def ring(self, *, now: bool = False) -> None:
        """For whoever goes on with what ended: so often, and at last once more with ``now``."""
        for held in self._queues:
            held.queue.ring(now=now)

    def rest(self) -> None:
        """Ask for no more for a moment."""
        self._look_again_at = time.monotonic() + _LOOK_AGAIN_S

    def step(self) -> None:
        """One step of all of them; those that end are saved."""
        self._keep_leases()
        try:
            with killed_after(settings.RELAX_LIMIT_S + _GRACE_S):  # the sweeper takes the structures back
                ended = self._flight.step()
        except Exception as error:
            log.exception("a step of %s structures failed", len(self))
            for held in self._queues:
                for key, row in list(held.rows.items()):
                    log.error("relaxing %s failed with it", row, extra=_ids(row))
                    held.fail(key, error)
            self._flight.drop(self._flight.unfinished)
            return
        for end in ended:
            number, key = _place_of(end.key)
            self._queues[number].end(key, end, self._provenance)
        self.ring()

    def _keep_leases(self) -> None:
        """What another worker took meanwhile is dropped."""
        if time.monotonic() - self._renewed <= settings.LEASE_S / 4:
            return
        self._renewed = time.monotonic()
        self._flight.drop((number, key) for number, held in enumerate(self._queues) for key in held.lost())

    def give_back(self) -> None:
        """What is unfinished waits again, and no attempt counts."""
        for held in self._queues:
            held.give_back()


def _ids(row: Leased) -> dict[str, int]:
    return ids(row) if isinstance(row, Candidate) else {"opinion": row.pk}


def _place_of(key: Hashable) -> tuple[int, int]:
    """The number of its queue, and its key there."""
    assert isinstance(key, tuple)
    return key
