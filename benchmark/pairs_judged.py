"""Pairs at the matcher's limit, judged by pymatgen alone and by what stands here, on all cores."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import product

from pymatgen.analysis.structure_matcher import StructureMatcher

from benchmark.pairs import Pair, pair
from validation.crystal import Crystal
from validation.fingerprint import Fingerprint, Limits
from validation.matching import Description, find_duplicates, is_match, least_distance, turned_cells
from validation.rules import Tolerances

_A_TASK = 50  # pairs
_ATTEMPTS = 20  # until a pair has a limit


@dataclass(frozen=True, slots=True)
class Judged:
    """theirs: pymatgen in either direction, on the crystals as given. ours: of ``is_match``; found: of
    ``find_duplicates``, filters included. near: the fingerprints are within their limits. confirmed: theirs, or
    pymatgen on some pair of the cells that ours reduce to, as they are. reduced: theirs, or pymatgen on these cells
    after reducing them itself; of several equally short cells it may choose another, and answer otherwise. distance,
    lattice_distance: of the nearest fingerprints of one key; infinite where no keys are equal."""

    kind: str
    theirs: bool
    ours: bool
    found: bool
    near: bool
    confirmed: bool
    reduced: bool
    distance: float
    lattice_distance: float


@dataclass(frozen=True, slots=True)
class Task:
    tolerances: Tolerances
    seed: int
    numbers: range


def judged(
    bases: Sequence[Crystal], tolerances: Tolerances, count: int, say: Callable[[str], None], *, seed: int = 0
) -> Iterator[Judged]:
    """Of each of so many pairs. bases: primitive cells from which they are made."""
    tasks = [Task(tolerances, seed, range(first, min(first + _A_TASK, count))) for first in range(0, count, _A_TASK)]
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    spawn = multiprocessing.get_context("spawn")  # compiled code and its threads do not survive a fork
    with ProcessPoolExecutor(workers, spawn, _give, (bases,)) as pool:
        for number, some in enumerate(pool.map(_judge_some, tasks), start=1):
            yield from some
            if number % 40 == 0:
                say(f"    {number * _A_TASK:,} of {count:,} pairs")


def judge(two: Pair, tolerances: Tolerances) -> Judged:
    """Of one pair."""
    limits = Limits.of(tolerances)
    mine, other = Description.of(two.a, tolerances), Description.of(two.b, tolerances)
    theirs = _either_way(tolerances, two.a, two.b)
    found = find_duplicates([two.a, two.b], tolerances=tolerances)[1] is not None
    ours = found or is_match(two.a, two.b, tolerances)
    cells = [some for pair in product(mine.cells, other.cells) for some in _turned(*pair)]
    distance, lattice_distance = _apart(mine.fingerprints, other.fingerprints)
    return Judged(
        kind=two.kind,
        theirs=theirs,
        ours=ours,
        found=found,
        near=least_distance(mine.fingerprints, other.fingerprints, limits) is not None,
        confirmed=ours and (theirs or any(_either_way(tolerances, *some, as_they_are=True) for some in cells)),
        reduced=ours and (theirs or any(_fits_reduced(tolerances, *some) for some in cells)),
        distance=distance,
        lattice_distance=lattice_distance,
    )


def _turned(a: Crystal, b: Crystal) -> list[tuple[Crystal, Crystal]]:
    """The two as they are, and each in the other reduced cells of its lattice."""
    return [(a, b), *((a, turned) for turned in turned_cells(b)), *((turned, b) for turned in turned_cells(a))]


def _apart(mine: Sequence[Fingerprint], others: Sequence[Fingerprint]) -> tuple[float, float]:
    """Both distances of the two that are nearest by the first."""
    pairs = [(one, other) for one in mine for other in others if one.key == other.key]
    nothing = float("inf"), float("inf")
    return min(((one.distance_to(other), one.lattice_distance_to(other)) for one, other in pairs), default=nothing)


def _fits_reduced(tolerances: Tolerances, a: Crystal, b: Crystal) -> bool:
    """Whether pymatgen looks for a smaller cell or not."""
    return any(_either_way(tolerances, a, b, primitive_cell=smaller) for smaller in (True, False))


def _either_way(
    tolerances: Tolerances, a: Crystal, b: Crystal, *, primitive_cell: bool = True, as_they_are: bool = False
) -> bool:
    matcher, one, other = _matcher(tolerances, primitive_cell), a.to_structure(), b.to_structure()
    pairs = ((one, other), (other, one))
    return any(matcher.fit(*pair, skip_structure_reduction=as_they_are) for pair in pairs)


@cache
def _matcher(tolerances: Tolerances, primitive_cell: bool) -> StructureMatcher:
    return StructureMatcher(
        ltol=tolerances.ltol,
        stol=tolerances.stol,
        angle_tol=tolerances.angle_tol,
        scale=tolerances.scale,
        primitive_cell=primitive_cell,
    )


_bases: list[Crystal] = []  # of this process, once for all its tasks


def _give(bases: Sequence[Crystal]) -> None:
    warnings.simplefilter("ignore")  # of how symmetry will be found in coming versions
    _bases[:] = bases


def _judge_some(task: Task) -> list[Judged]:
    return [judge(_some_pair(task, number), task.tolerances) for number in task.numbers]


def _some_pair(task: Task, number: int) -> Pair:
    tried = (pair(_bases, task.tolerances, (task.seed, number, attempt)) for attempt in range(_ATTEMPTS))
    return next(two for two in tried if two is not None)
