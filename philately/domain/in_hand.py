"""What a relax worker has claimed on one scale and relaxes together, whichever queues it comes from."""

import logging
import time
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Generic

from django.conf import settings

from philately.domain import judges, relaxations
from philately.domain.relax_queue import Queue, RowT
from philately.domain.transitions import SESSION_LOST, ids, new_token
from philately.models import Candidate, RelaxationFact, Scale
from philately.models.batches import Leased
from validation.alarms import killed_after
from validation.canary import CanaryResult
from validation.flight import Failed, Flight
from validation.potentials import Judge
from validation.relaxation import Relaxation

log = logging.getLogger(__name__)

_GRACE_S = 30.0  # a relaxation that heeds its limit has ended by then
_LOOK_AGAIN_S = 1.0  # after there was nothing to claim, while others are being relaxed
_HELPING = 256  # structures claimed at a time, at most
_SUSPECT = 2  # attempts after which a structure is relaxed alone: it may be the one that kills workers
_TOGETHER, _MOMENT_S = 128, 0.5  # structures that end are committed together, so many or so long after the first

End = Relaxation | RelaxationFact  # made here, or known


class _Held(Generic[RowT]):
    """The rows of one queue that are in hand, by key."""

    def __init__(self, queue: Queue[RowT], token: str) -> None:
        self.queue, self.token = queue, token
        self.n_done = self.n_failed = self.n_atoms = 0  # atoms of those that are done
        self.rows: dict[int, RowT] = {}

    @property
    def has_suspect(self) -> bool:
        return any(row.attempts > _SUSPECT for row in self.rows.values())

    def helping(self, budget: float, *, alone: bool) -> list[int]:
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
            if helping and atoms > budget:
                break
            helping.append(pk)
        return helping

    def take(self, keys: list[int]) -> list[RowT]:
        taken = self.queue.claim(keys, self.token)
        self.rows |= {row.pk: row for row in taken}
        return taken

    def end(self, ends: Mapping[int, End], provenance: dict[str, object]) -> None:
        """Commit how they ended, all together; where that fails, one by one, so that what is wrong with a single
        structure is caught with it, and nowhere else. Those that are in hand no longer are passed over."""
        mine = [(key, end) for key, end in ends.items() if key in self.rows]
        if len(mine) > 1:
            try:
                self._commit(mine, provenance)
                return
            except SESSION_LOST:
                raise
            except Exception:
                log.exception("committing %s structures together failed; they are committed one by one", len(mine))
        for key, end in mine:
            try:
                self._commit([(key, end)], provenance)
            except Exception as error:  # noqa: BLE001 - recorded with the structure that it is about
                self.fail(key, error)

    def fail(self, key: int, error: Exception) -> None:
        row = self.rows.pop(key)
        log.error("relaxing %s failed", row, exc_info=error, extra=_ids(row))
        self.n_failed += 1
        self.queue.fail(row, error, self.token)

    def _commit(self, ends: Sequence[tuple[int, End]], provenance: dict[str, object]) -> None:
        made = [(self.rows[key], end) for key, end in ends if isinstance(end, Relaxation)]
        facts = [(self.rows[key], end) for key, end in ends if isinstance(end, RelaxationFact)]
        if made:
            saved = self.queue.save(made, provenance)
            facts += [(row, fact) for (row, _), fact in zip(made, saved, strict=True)]
        moved = self.queue.commit(facts)
        for row, _ in facts:
            del self.rows[row.pk]
            if row.pk not in moved:
                log.warning("%s was taken over by another worker", row, extra=_ids(row))
        self.n_done += len(moved)
        self.n_atoms += sum(fact.n_sites for _, fact in facts)

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


class _Ended:
    """What ended and is not committed yet: at most so many structures, or as many as ended within a moment."""

    def __init__(self) -> None:
        self._ends: dict[int, dict[int, End]] = {}
        self._n = 0
        self._since = 0.0

    def append(self, number: int, key: int, end: End) -> None:
        """number: of the queue."""
        if not self._n:
            self._since = time.monotonic()
        self._n += 1
        self._ends.setdefault(number, {})[key] = end

    @property
    def is_due(self) -> bool:
        return self._n > 0 and (self._n >= _TOGETHER or time.monotonic() - self._since >= _MOMENT_S)

    def taken(self) -> dict[int, dict[int, End]]:
        """By number of the queue and key; there are none then."""
        taken, self._ends, self._n = self._ends, {}, 0
        return taken


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
        self._began = time.monotonic()
        self._renewed = time.monotonic()
        self._look_again_at = 0.0
        self._ended = _Ended()

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

    def claim(self) -> bool:
        """One helping of atoms, if there is any. What is a known fact by now is committed at once."""
        if not any(held.has_suspect for held in self._queues):
            for number, held in enumerate(self._queues):
                if helping := held.helping(self._budget, alone=not len(self)):
                    self._take(number, helping)
                    return True
        self.rest()
        return False

    @property
    def _budget(self) -> float:
        """Atoms to claim at a time: what a second takes at the pace so far, so that others have something to do, too,
        and claims are few where structures take milliseconds."""
        pace = sum(held.n_atoms for held in self._queues) / max(time.monotonic() - self._began, 1.0)
        return max(pace, settings.RELAX_CLAIM_ATOMS)

    def _take(self, number: int, helping: list[int]) -> None:
        held = self._queues[number]
        taken = held.take(helping)
        hashes = {row.pk: held.queue.initial_hash(row) for row in taken}
        facts = relaxations.known_facts(self._scale.pk, hashes.values())
        held.end({key: facts[hashes[key]] for key in hashes if hashes[key] in facts}, self._provenance)
        for row in taken:
            if hashes[row.pk] not in facts:
                self._board(number, row)
        self.ring()

    def _board(self, number: int, row: Leased) -> None:
        held = self._queues[number]
        try:
            self._flight.add((number, row.pk), held.queue.start(row))
        except Exception as error:  # noqa: BLE001 - of what is stored of this one
            held.fail(row.pk, error)

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
            log.exception("a step of %s structures failed", len(self._flight.unfinished))
            for number, key in map(_place_of, self._flight.unfinished):
                self._queues[number].fail(key, error)
            self._flight.drop(self._flight.unfinished)
            ended = []
        for end in ended:
            number, key = _place_of(end.key)
            if isinstance(end, Failed):
                self._queues[number].fail(key, end.error)
            else:
                self._ended.append(number, key, end.relaxation)
        if self._ended.is_due or not self._flight.unfinished:
            self._save()

    def _save(self) -> None:
        """What ended a moment ago: statements for many cost hardly more than for one."""
        for number, ends in self._ended.taken().items():
            self._queues[number].end(ends, self._provenance)
        self.ring()

    def _keep_leases(self) -> None:
        """What another worker took meanwhile is dropped."""
        if time.monotonic() - self._renewed <= settings.LEASE_S / 4:
            return
        self._renewed = time.monotonic()
        self._flight.drop((number, key) for number, held in enumerate(self._queues) for key in held.lost())

    def give_back(self) -> None:
        """What is unfinished waits again, and no attempt counts."""
        self._save()
        for held in self._queues:
            held.give_back()


def _ids(row: Leased) -> dict[str, int]:
    return ids(row) if isinstance(row, Candidate) else {"opinion": row.pk}


def _place_of(key: Hashable) -> tuple[int, int]:
    """The number of its queue, and its key there."""
    assert isinstance(key, tuple)
    return key
