"""Phase 2: claim, relax many at once, save each structure as it finishes."""

import logging
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from django.conf import settings
from django.db.models import F, QuerySet

from philately.domain import judges, relaxations
from philately.domain.bells import SparingBell, ring_relax
from philately.domain.in_hand import InHand
from philately.domain.opinions import OpinionQueue
from philately.domain.relax_queue import Queue
from philately.domain.transitions import claim, fail, move, renew
from philately.logs import carries
from philately.models import Candidate, RelaxationFact, Scale, Season
from philately.states import CandidateState, Stage
from validation.crystal import Crystal
from validation.relaxation import Relaxation

log = logging.getLogger(__name__)


@carries("scale")
def relax_some(scale_id: int, *, stop: Callable[[], bool] = lambda: False) -> bool:
    """Relax what waits on this scale; says whether there was anything to do.

    It goes on until nothing waits, or other scales' structures have waited for a turn. Told to stop, it gives back what
    it did not finish. Raises what loading the judge raised; nothing is claimed then.
    """
    if not is_waited_for(scale_id):
        return False
    in_hand = in_hand_on(scale_id)
    try:
        _relax_in_turn(scale_id, in_hand, stop)
    finally:
        in_hand.ring(now=True)
    return True


def _relax_in_turn(scale_id: int, in_hand: InHand, stop: Callable[[], bool]) -> None:
    began = time.monotonic()
    has_passed_on = False
    while not stop():
        took = False
        if in_hand.hungry:
            if _turn_is_over(scale_id, began):
                in_hand.rest()
            else:
                took = in_hand.claim()
                if took and not has_passed_on:  # there may be others who are idle
                    has_passed_on = ring_relax(Scale.objects.get(pk=scale_id))
        if len(in_hand):
            in_hand.step()
        elif not took:  # else all of it was known
            break
    n_left = len(in_hand)
    in_hand.give_back()
    told = (*in_hand.ended, n_left, time.monotonic() - began)
    log.info("%s structures are relaxed, %s failed, %s given back, in %.0f s", *told)


def in_hand_on(scale_id: int) -> InHand:
    """Nothing yet. Raises what loading the judge raised."""
    judge, canary = judges.loaded(scale_id)
    return InHand(Scale.objects.get(pk=scale_id), judge, canary, queues_on(scale_id))


def queues_on(scale_id: int) -> tuple[Queue[Any], ...]:
    """Opinions first: a sequencer waits for them, and they are few."""
    return OpinionQueue(scale_id), CandidateQueue(scale_id)


def is_waited_for(scale_id: int) -> bool:
    """One look at an index each, however much waits."""
    return any(queue.waiting().exists() for queue in queues_on(scale_id))


def _turn_is_over(scale_id: int, began: float) -> bool:
    if time.monotonic() - began < settings.RELAX_TURN_S:
        return False
    others = Scale.objects.exclude(pk=scale_id).values_list("pk", flat=True)
    return any(map(is_waited_for, others))


class CandidateQueue(Queue[Candidate]):
    """Candidates of the seasons that are judged on the scale: the seasons take turns, a helping each, and in each it
    goes by arrival. Every second helping is of what an organiser has done again, where such waits."""

    atoms = "n_atoms"

    def __init__(self, scale_id: int) -> None:
        self._scale_id = scale_id
        self._n_helpings = 0
        self._last_season = 0
        self._bell = SparingBell()

    def ring(self, *, now: bool = False) -> None:
        self._bell.ring(now=now)

    def waiting(self) -> QuerySet[Candidate]:
        return Candidate.objects.filter(season__scale_id=self._scale_id, state=CandidateState.PARSED)

    def in_order(self) -> QuerySet[Candidate]:
        """Of one season, so that an index has them in order."""
        self._n_helpings += 1
        again_first = self._n_helpings % 2 == 1
        for is_rerun in (again_first, not again_first):
            found = self._next_season(is_rerun=is_rerun)
            if found is not None:
                return found
        return Candidate.objects.none()

    def _next_season(self, *, is_rerun: bool) -> QuerySet[Candidate] | None:
        """What waits in the first season after the last one that had a turn."""
        seasons = sorted(Season.objects.filter(scale=self._scale_id).values_list("pk", flat=True))
        for season in sorted(seasons, key=lambda pk: (pk <= self._last_season, pk)):
            waiting = Candidate.objects.filter(season=season, state=CandidateState.PARSED, is_rerun=is_rerun)
            if waiting.exists():
                self._last_season = season
                return waiting.order_by("arrival")
        return None

    def claim(self, keys: list[int], token: str) -> list[Candidate]:
        claim(keys, CandidateState.PARSED, CandidateState.RELAXING, token=token, attempts=F("attempts") + 1)
        mine = Candidate.objects.filter(lease=token, pk__in=keys).order_by("arrival")
        return list(mine.select_related("detail").prefetch_related("season__official_run"))  # one season for all

    def initial_hash(self, row: Candidate) -> str:
        return row.content_hash

    def start(self, row: Candidate) -> Crystal:
        return Crystal.unpack(row.detail.geometry or b"")

    def save(self, made: Sequence[tuple[Candidate, Relaxation]], provenance: dict[str, object]) -> list[RelaxationFact]:
        return relaxations.save(made, self._scale_id, provenance)

    def commit(self, ended: Sequence[tuple[Candidate, RelaxationFact]]) -> set[int]:
        """By the rules of their seasons."""
        mine = relaxations.commit(ended)
        for season_id in {row.season_id for row, _ in ended if row.pk in mine}:
            self._bell.ready(season_id)
        return mine

    def fail(self, row: Candidate, error: Exception, token: str) -> None:
        fail(row, Stage.RELAX, error, token=token)

    def renew(self, token: str) -> int:
        return renew(token)

    def held(self, token: str) -> set[int]:
        return set(Candidate.objects.filter(lease=token).values_list("pk", flat=True))

    def give_back(self, keys: Collection[int], token: str) -> None:
        mine = Candidate.objects.filter(lease=token, pk__in=keys)
        move(mine, CandidateState.RELAXING, CandidateState.PARSED, attempts=F("attempts") - 1)
