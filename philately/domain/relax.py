"""Phase 2: claim, relax many at once, save each structure as it finishes."""

import logging
import signal
import time
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager

from django.conf import settings
from django.db.models import F, QuerySet

from philately.broker import ring
from philately.domain import judges, relaxations
from philately.domain.alarms import alarm
from philately.domain.relaxations import LeaseLost
from philately.domain.transitions import claim, fail, move, new_token, renew
from philately.models import Candidate, RelaxationFact, Scale
from philately.states import CandidateState, Stage
from validation.canary import CanaryResult
from validation.crystal import Crystal
from validation.flight import Ended, Failed, Flight
from validation.potentials import Judge

log = logging.getLogger(__name__)

_GRACE_S = 30.0  # a relaxation that heeds its limit has ended by then
_LOOK_AGAIN_S = 1.0  # after there was nothing to claim, while others are being relaxed
_HELPING = 64  # structures claimed at a time, at most
_SUSPECT = 2  # attempts after which a structure is relaxed alone: it may be the one that kills workers


def relax_some(scale_id: int, *, stop: Callable[[], bool] = lambda: False) -> bool:
    """Relax what waits on this scale; says whether there was anything to do.

    It goes on until nothing waits, or other scales' structures have waited for a turn. Told to stop, it gives back what
    it did not finish. Raises what loading the judge raised; nothing is claimed then.
    """
    if not _waiting(scale_id).exists():
        return False
    judge, canary = judges.loaded(scale_id)
    in_hand = InHand(Scale.objects.get(pk=scale_id), judge, canary)
    began = time.monotonic()
    while not stop():
        if in_hand.hungry:
            if _turn_is_over(scale_id, began):
                in_hand.rest()
            else:
                in_hand.claim()
        if not len(in_hand):
            return True
        in_hand.step()
    in_hand.give_back()
    return True


def _waiting(scale_id: int) -> QuerySet[Candidate]:
    return Candidate.objects.filter(season__scale_id=scale_id, state=CandidateState.PARSED)


def _turn_is_over(scale_id: int, began: float) -> bool:
    if time.monotonic() - began < settings.RELAX_TURN_S:
        return False
    others = Scale.objects.exclude(pk=scale_id).values_list("pk", flat=True)
    return any(_waiting(other).exists() for other in others)  # one look at an index each, however much waits here


class InHand:
    """The structures that this worker has claimed on one scale and is relaxing together. All carry one token."""

    def __init__(self, scale: Scale, judge: Judge, canary: CanaryResult) -> None:
        self._scale, self._token = scale, new_token()
        self._provenance = judges.provenance(judge, canary)
        self._flight = Flight(judge, judges.settings_of(scale), time_limit_s=settings.RELAX_LIMIT_S)
        self._held: dict[Hashable, Candidate] = {}
        self._renewed = time.monotonic()
        self._look_again_at = 0.0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def hungry(self) -> bool:
        """Whether more should be claimed."""
        return self._flight.hungry and time.monotonic() >= self._look_again_at

    def claim(self) -> None:
        """One helping of atoms, in order of arrival. What is a known fact by now is committed at once."""
        picked = self._helping()
        if not picked:
            self.rest()
            return
        counted = {"attempts": F("attempts") + 1}
        claim(picked, CandidateState.PARSED, CandidateState.RELAXING, token=self._token, **counted)
        mine = Candidate.objects.filter(lease=self._token, pk__in=picked).order_by("arrival")
        taken = list(mine.select_related("detail", "season__official_run"))
        self._held |= {candidate.pk: candidate for candidate in taken}
        facts = relaxations.known_facts(self._scale.pk, {candidate.content_hash for candidate in taken})
        for candidate in taken:
            self._board(candidate, facts.get(candidate.content_hash))

    def rest(self) -> None:
        """Ask for no more for a moment."""
        self._look_again_at = time.monotonic() + _LOOK_AGAIN_S

    def _helping(self) -> list[int]:
        """At least one candidate, and as many more as the budget of atoms allows; one under suspicion comes alone.

        In order of arrival and not of size: nothing is padded, and those who came first are waited for.
        """
        if any(candidate.attempts > _SUSPECT for candidate in self._held.values()):
            return []
        waiting = _waiting(self._scale.pk).order_by("arrival").values_list("pk", "n_atoms", "attempts")
        helping: list[int] = []
        atoms = 0
        for pk, n_atoms, attempts in waiting[:_HELPING]:
            if attempts >= _SUSPECT:
                return helping or ([] if self._held else [pk])
            atoms += n_atoms or 1
            if helping and atoms > settings.RELAX_CLAIM_ATOMS:
                break
            helping.append(pk)
        return helping

    def _board(self, candidate: Candidate, fact: RelaxationFact | None) -> None:
        if fact is not None:
            self._end(candidate, fact)
            return
        try:
            self._flight.add(candidate.pk, Crystal.unpack(candidate.detail.geometry or b""))
        except Exception as error:
            log.exception("relaxing candidate %s failed", candidate.pk)
            self._failed(candidate, error)

    def step(self) -> None:
        """One step of all of them; those that end are saved, by the rules of their seasons."""
        self._keep_lease()
        try:
            with _killed_after(settings.RELAX_LIMIT_S + _GRACE_S):
                ended = self._flight.step()
        except Exception as error:
            log.exception("a step of %s candidates failed", len(self._held))
            for candidate in list(self._held.values()):
                self._failed(candidate, error)
            self._flight.drop(self._flight.unfinished)
            return
        for end in ended:
            self._end(self._held[end.key], end)

    def _end(self, candidate: Candidate, end: Ended | RelaxationFact) -> None:
        """Commit how it ended: the only place where the faults of a single structure are caught."""
        try:
            relaxations.commit(candidate, self._fact(candidate, end))
            ring("place", candidate.season_id, queue="place")
            del self._held[candidate.pk]
        except LeaseLost:
            self._lost({candidate.pk})
        except Exception as error:
            log.exception("relaxing candidate %s failed", candidate.pk)
            self._failed(candidate, error)

    def _fact(self, candidate: Candidate, end: Ended | RelaxationFact) -> RelaxationFact:
        if isinstance(end, RelaxationFact):
            return end
        if isinstance(end, Failed):
            raise end.error
        return relaxations.save(candidate, end.relaxation, self._provenance)

    def _failed(self, candidate: Candidate, error: Exception) -> None:
        fail(candidate, Stage.RELAX, error, token=self._token)
        del self._held[candidate.pk]

    def _keep_lease(self) -> None:
        """What another worker took meanwhile is dropped."""
        if time.monotonic() - self._renewed <= settings.LEASE_S / 4:
            return
        self._renewed = time.monotonic()
        if renew(self._token) < len(self._held):
            still = Candidate.objects.filter(lease=self._token).values_list("pk", flat=True)
            self._lost(set(self._held).difference(still))

    def _lost(self, candidates: set[Hashable]) -> None:
        log.warning("candidates %s were taken over by another worker", list(candidates))
        self._flight.drop(candidates)
        for pk in candidates:
            del self._held[pk]

    def give_back(self) -> None:
        """What is unfinished waits again, and no attempt counts."""
        mine = Candidate.objects.filter(lease=self._token, pk__in=list(self._held))
        move(mine, CandidateState.RELAXING, CandidateState.PARSED, attempts=F("attempts") - 1)
        self._held.clear()


def _killed_after(seconds: float) -> AbstractContextManager[None]:
    """End this process where a single step hangs in compiled code, which no exception reaches.

    The pool starts another one, and the sweeper takes the structures back.
    """
    return alarm(seconds, signal.SIG_DFL)
