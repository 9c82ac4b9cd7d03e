"""What relaxing costs, in atom-steps: atoms × steps, the unit that a judge's time goes with.

What is to come is estimated from what the latest relaxations took. Nothing here is exact, and nothing pretends to be.
"""

from collections.abc import Sequence
from dataclasses import dataclass

DEFAULT_ATOMS = 20
DEFAULT_STEPS = 100  # the elements of the built-in releases took 48 on average; compounds have more to give way
_ENOUGH = 5  # relaxations, before their pace is told
_STRETCH_S = 60.0  # shorter than this, the time before its first end is too large a part of a stretch of work
_PAUSE_S = 300.0  # nothing ended for so long: what came before is another stretch


@dataclass(frozen=True, slots=True)
class Effort:
    """What one relaxation took. seconds: of one worker's clock, in a batch its share; None where it was done elsewhere.

    ended_at_s: on any clock that all efforts share.
    """

    n_atoms: int
    steps: int
    seconds: float | None
    ended_at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Structures that are to be relaxed. n_atoms: of those that were read; the others are n_unread."""

    n_structures: int
    n_atoms: int = 0
    n_unread: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """What a relaxation usually takes. steps: averaged over atoms, so that atoms × steps is what structures cost.

    s_per_atom_step: of one worker, None where too little is known. n_workers: busy side by side when work went on last.
    """

    n_atoms: float = DEFAULT_ATOMS
    steps: float = DEFAULT_STEPS
    s_per_atom_step: float | None = None
    n_workers: int = 1

    def atom_steps(self, waiting: Waiting) -> int:
        return round((waiting.n_atoms + waiting.n_unread * self.n_atoms) * self.steps)

    def seconds_for(self, atom_steps: float, *, n_workers: int = 0) -> float | None:
        """By the clock. n_workers: at work now; with none, as many as worked last. None where nothing can be said."""
        if self.s_per_atom_step is None:
            return None
        return atom_steps * self.s_per_atom_step / (n_workers or self.n_workers)


def rough(number: float, *, digits: int = 2) -> int:
    """A whole number with so many significant digits: an estimate that shows more of them pretends to know."""
    return int(float(f"{number:.{digits - 1}e}"))


def usual(efforts: Sequence[Effort]) -> Usual:
    """What the relaxations of a scale took, given the newest first; the defaults where there are none.

    The pace is the clock of one worker over the atom-steps that it did; idle times do not enter, nor how many worked.
    """
    n_atoms = sum(one.n_atoms for one in efforts)
    if not n_atoms:
        return Usual()
    steps = sum(one.n_atoms * one.steps for one in efforts) / n_atoms
    here = [(one, one.seconds) for one in efforts if one.seconds is not None]
    done_here = sum(one.n_atoms * one.steps for one, _ in here)
    known = len(here) >= _ENOUGH and done_here > 0
    return Usual(
        n_atoms=n_atoms / len(efforts),
        steps=steps,
        s_per_atom_step=sum(seconds for _, seconds in here) / done_here if known else None,
        n_workers=_workers([(one.ended_at_s, seconds) for one, seconds in here]),
    )


def _workers(ends: Sequence[tuple[float, float]]) -> int:
    """How many were busy on average in the latest stretch of work: their clocks together over the time it took; at
    least one. ends: when each relaxation ended and what it took, newest first."""
    if not ends:
        return 1
    last = first = ends[0][0]
    busy_s = 0.0
    for ended_at_s, seconds in ends:
        if first - ended_at_s > _PAUSE_S:
            break
        first, busy_s = ended_at_s, busy_s + seconds
    return max(1, round(busy_s / (last - first))) if last - first >= _STRETCH_S else 1
