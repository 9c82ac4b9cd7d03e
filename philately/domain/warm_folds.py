"""Folds that stay in this process's memory between chunks: with a million phases it takes seconds to make one again.

Those of several runs, so that seasons that take turns do not drive each other out.
"""

from dataclasses import dataclass

from django.conf import settings

from philately.models import Run
from validation.placing import Fold

_BYTES_A_PHASE = 100  # of a hull, about; docs/hull.md has what was measured


@dataclass(frozen=True, slots=True)
class _Warm:
    """A fold, and the state of its run that it stands for."""

    stand: tuple[int, int]  # its placed_to and log_position
    fold: Fold


_kept: dict[int, _Warm] = {}  # by run, the one that was used last at the end


def take(run: Run) -> Fold | None:
    """The run's fold where nobody else has placed anything since. It is kept no longer: whatever goes wrong with who
    has it leaves it ahead of the database."""
    warm = _kept.pop(run.pk, None)
    if warm is None or warm.stand != (run.placed_to, run.log_position):
        return None
    return warm.fold


def make_room(run: Run) -> None:
    """Before the run's hull is loaded: folds go that others have gone beyond, and those that were used longest ago,
    where hulls would take more than HULLS_KEPT_BYTES with it."""
    at_work = Run.objects.filter(pk__in=_kept, season__frozen_at=None)
    stands = {
        key: (arrival, position) for key, arrival, position in at_work.values_list("pk", "placed_to", "log_position")
    }
    for key, warm in list(_kept.items()):
        if stands.get(key) != warm.stand:
            del _kept[key]
    _trim(settings.HULLS_KEPT_BYTES - _BYTES_A_PHASE * run.next_phase_number)


def keep(run: Run, fold: Fold) -> None:
    """What it did is committed. Folds that were used longest ago go, where all hulls together take more than
    HULLS_KEPT_BYTES; this one stays however large it is."""
    fold.forget_arrivals()
    _kept.pop(run.pk, None)
    _trim(settings.HULLS_KEPT_BYTES - fold.hull.nbytes)
    _kept[run.pk] = _Warm((run.placed_to, run.log_position), fold)


def _trim(limit_bytes: int) -> None:
    taken = sum(warm.fold.hull.nbytes for warm in _kept.values())
    for key in list(_kept):
        if taken <= limit_bytes:
            break
        taken -= _kept.pop(key).fold.hull.nbytes


def kept() -> tuple[int, ...]:
    """Keys of their runs, the one that was used last at the end."""
    return tuple(_kept)


def forget() -> None:
    """As in a process that has placed nothing yet."""
    _kept.clear()
