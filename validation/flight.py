"""Many relaxations at once: crystals board a batch, move together, and leave it each with a verdict of its own.

The optimiser, its settings and the verdicts are those of ``validation.relaxation.relax``: a crystal does here what it
does there, whatever else is aboard, up to the rounding of the potential.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from validation.aboard import Aboard, Passenger
from validation.batch_limit import BatchLimit
from validation.crystal import Crystal
from validation.evaluation import Batch, CellTooFlat, Evaluation, Evaluator, OutOfMemory, expected_pairs_of
from validation.potentials import Judge
from validation.relaxation import (
    MAX_ENERGY_EV_PER_ATOM,
    MAX_FORCE_EV_PER_ANG,
    MAX_VOLUME_CHANGE,
    MIN_VOLUME_PER_ATOM_ANG3,
    Relaxation,
    State,
    Stopped,
    TimeLimitExceeded,
    cell_explosion,
    check_optimiser,
    displaced,
    relaxation,
)
from validation.rules import RelaxationSettings


class UnknownElement(ValueError):
    """The judge does not know an element of the crystal."""


@dataclass(frozen=True, slots=True, eq=False)
class Relaxed:
    """A relaxation that came to an end, converged or not."""

    key: Hashable
    relaxation: Relaxation


@dataclass(frozen=True, slots=True, eq=False)
class Failed:
    """No verdict on a crystal: its potential raised this, it took too long, or the judge lacks an element."""

    key: Hashable
    error: Exception


Ended = Relaxed | Failed


def relax_batch(
    source: Iterable[tuple[Hashable, Crystal]],
    judge: Judge,
    settings: RelaxationSettings,
    *,
    stop: Callable[[], bool] = lambda: False,
    pairs_at_once: int | None = None,
    time_limit_s: float | None = None,
) -> Iterator[Ended]:
    """Relax every crystal of the source; each end is yielded when it happens, so not in the source's order.

    The source is read as there is room. stop: asked between two steps; once it is true the rest ends unfinished, and of
    it nothing is yielded. For what is left out see Flight.
    """
    flight = Flight(judge, settings, pairs_at_once=pairs_at_once, time_limit_s=time_limit_s)
    coming = iter(source)
    while not stop():
        while flight.hungry and (pair := next(coming, None)) is not None:
            flight.add(*pair)
        if not flight.unfinished:
            return
        yield from flight.step()


def relax_alone(crystal: Crystal, judge: Judge, settings: RelaxationSettings) -> Relaxation:
    """One crystal, by the same engine. Raises what the potential raises, and UnknownElement."""
    (ended,) = relax_batch([(0, crystal)], judge, settings)
    if isinstance(ended, Failed):
        raise ended.error
    return ended.relaxation


class Flight:
    """Relaxations on one judge, advanced by whoever holds it; between two steps crystals may be added and dropped.

    pairs_at_once: neighbours in a batch, as the judge's potential wants it where it is None; less for a while where
    memory runs out. time_limit_s: of one crystal, its share of the batch's time.
    """

    def __init__(
        self,
        judge: Judge,
        settings: RelaxationSettings,
        *,
        pairs_at_once: int | None = None,
        time_limit_s: float | None = None,
    ) -> None:
        check_optimiser(settings)
        self._judge, self._settings = judge, settings
        self._evaluator = judge.batched or _of_calculator(judge)
        self._fixed_pairs, self._fitting = pairs_at_once, BatchLimit()
        self._time_limit_s = math.inf if time_limit_s is None else time_limit_s
        self._waiting: deque[Passenger] = deque()
        self._waiting_pairs = self._aboard_pairs = 0.0  # asked for with each that is added, so not summed then
        self._aboard = Aboard.of([], [], settings.max_steps)
        self._numbers = count()

    @property
    def pairs_at_once(self) -> float:
        return min(self._own_pairs, self._fitting.pairs)

    @property
    def _own_pairs(self) -> int:
        return self._fixed_pairs or self._evaluator.pairs_at_once

    @property
    def room(self) -> float:
        """Neighbours (directed pairs within the cutoff) that there is room for; negative where somebody has to wait."""
        return self.pairs_at_once - self._aboard_pairs - self._waiting_pairs

    @property
    def hungry(self) -> bool:
        """Whether there is room for more than those who wait already."""
        return self.room >= 0

    @property
    def unfinished(self) -> list[Hashable]:
        """The keys of those aboard and of those that wait."""
        return [one.key for one in (*self._aboard.passengers, *self._waiting)]

    def add(self, key: Hashable, crystal: Crystal) -> None:
        """It comes aboard when there is room."""
        pairs = expected_pairs_of(crystal, self._judge.cutoff_ang)
        self._waiting.append(Passenger(key, next(self._numbers), crystal, pairs))
        self._waiting_pairs += pairs

    def drop(self, keys: Iterable[Hashable]) -> None:
        """Forget these without a verdict."""
        dropped = set(keys)
        self._waiting = deque(one for one in self._waiting if one.key not in dropped)
        self._waiting_pairs = _pairs_of(self._waiting)
        self._keep(np.array([one.key not in dropped for one in self._aboard.passengers], dtype=np.bool_))

    def step(self) -> list[Ended]:
        """Board, evaluate all once, and move those that go on; says what ended.

        What a potential raises about a single crystal ends that one as Failed, memory that runs out included.
        """
        started = time.perf_counter()
        ended = self._board()
        ended += self._explode(self._broken_cells())
        if not len(self._aboard):
            return ended
        batch = self._aboard.batch()
        found, failed = self._evaluated(batch)
        if failed:
            ended += self._failed(failed)
            batch = self._aboard.batch()
        if len(self._aboard):
            self._aboard.seconds += (time.perf_counter() - started) * batch.counts / len(batch.numbers)
            ended += self._judged(batch, found)
        return ended

    def _board(self) -> list[Ended]:
        """Whom there is room for, one at least; says whom the judge does not know."""
        load, limit, boarding = self._aboard_pairs, self.pairs_at_once, list[Passenger]()
        refused: list[Ended] = []
        while self._waiting:
            one = self._waiting[0]
            if unknown := set(one.crystal.elements) - self._judge.elements:
                names = ", ".join(sorted(unknown))
                refused.append(Failed(one.key, UnknownElement(f"the judge {self._judge.name} does not know {names}")))
            elif load == 0 or load + one.pairs <= limit:
                boarding.append(one)
                load += one.pairs
            else:
                break
            self._waiting.popleft()
        self._waiting_pairs = _pairs_of(self._waiting)
        if boarding:
            starts = [displaced(one.crystal, self._settings.displacement_ang) for one in boarding]
            self._aboard = self._aboard.joined(Aboard.of(boarding, starts, self._settings.max_steps))
            self._aboard_pairs = _pairs_of(self._aboard.passengers)
        return refused

    def _broken_cells(self) -> dict[int, str]:
        """Whose cells are beyond what a judge may be asked, and why."""
        volumes, starts = self._aboard.volumes()
        sizes = self._aboard.counts
        with np.errstate(invalid="ignore", divide="ignore"):
            change = np.abs(np.log(volumes / starts)) <= np.log(MAX_VOLUME_CHANGE)
            fine = change & (volumes >= MIN_VOLUME_PER_ATOM_ANG3 * sizes)
        return {
            index: explosion
            for index in np.flatnonzero(~fine).tolist()
            if (explosion := cell_explosion(float(volumes[index]), float(starts[index]), int(sizes[index])))
        }

    def _evaluated(self, batch: Batch) -> tuple[Evaluation, dict[int, Exception]]:
        """Of those that could be evaluated, in order, and what was raised about the others, by their index."""
        parts: list[Evaluation] = []
        failed: dict[int, Exception] = {}
        ranges = self._ranges()
        is_full = bool(self._waiting) or len(ranges) > 1
        while ranges:
            start, end = ranges.pop()
            try:
                parts.append(self._evaluator.evaluate(batch.part(start, end)))
            except Exception as error:  # noqa: BLE001 - whatever a potential raises belongs to the crystal that it is about
                if end - start == 1:
                    failed[start] = error
                    continue
                if isinstance(error, OutOfMemory):
                    self._fitting.too_many(_pairs_of(self._aboard.passengers[start:end]))
                middle = (start + end) // 2
                ranges += [(middle, end), (start, middle)]
        self._fitting.after_step(is_full=is_full, own_pairs=self._own_pairs)
        return Evaluation.joined(parts) if parts else _NOTHING, failed

    def _ranges(self) -> list[tuple[int, int]]:
        """Whom to evaluate together, the last first."""
        ranges: list[tuple[int, int]] = []
        load, limit = 0.0, self.pairs_at_once
        for index, one in enumerate(self._aboard.passengers):
            if not ranges or load + one.pairs > limit:
                ranges.append((index, index))
                load = 0.0
            ranges[-1] = (ranges[-1][0], index + 1)
            load += one.pairs
        return ranges[::-1]

    def _failed(self, errors: Mapping[int, Exception]) -> list[Ended]:
        flat = {index: str(error) for index, error in errors.items() if isinstance(error, CellTooFlat)}
        others = [index for index in errors if index not in flat]
        ended: list[Ended] = [Failed(self._aboard.passengers[index].key, errors[index]) for index in others]
        return ended + self._explode(flat, besides=others)

    def _explode(self, broken: Mapping[int, str], besides: Sequence[int] = ()) -> list[Ended]:
        """End these without asking the judge; ``besides`` leave, too."""
        if not broken and not besides:
            return []
        aboard = self._aboard
        for index in broken:
            aboard.history[index, aboard.steps[index]] = np.nan
        ended: list[Ended] = [
            self._ended(index, State.exploded(int(aboard.counts[index]), note), Stopped.EXPLODED)
            for index, note in broken.items()
        ]
        self._keep(~np.isin(np.arange(len(aboard)), [*broken, *besides]))
        return ended

    def _judged(self, batch: Batch, found: Evaluation) -> list[Ended]:
        """End those that are done, move the others."""
        aboard = self._aboard
        first = batch.first[:-1]
        fmax = np.maximum.reduceat(np.linalg.norm(found.forces, axis=1), first)
        smax = np.abs(found.stresses).max(axis=(1, 2))
        rows = np.column_stack([found.energies / batch.counts, fmax, smax])
        aboard.history[np.arange(len(aboard)), aboard.steps] = rows
        ended: list[Ended] = []
        keep = np.ones(len(aboard), dtype=np.bool_)
        for index in np.flatnonzero(self._doubtful(rows)).tolist():
            end = self._end_of(index, batch, found)
            if end is not None:
                ended.append(end)
                keep[index] = False
        self._keep(keep)
        if keep.all():
            self._aboard.move(batch, found)
        elif keep.any():
            self._aboard.move(batch.kept(keep), found.kept(keep, aboard.counts))
        return ended

    def _doubtful(self, rows: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Who may have come to an end. rows: energy an atom, largest force and stress component."""
        settings = self._settings
        converged = (rows[:, 1] <= settings.fmax_ev_per_ang) & (rows[:, 2] <= settings.smax_ev_per_ang3)
        late = (self._aboard.steps >= settings.max_steps) | (self._aboard.seconds > self._time_limit_s)
        usual = (np.abs(rows) <= _BOUNDS).all(axis=1)
        doubtful: NDArray[np.bool_] = converged | late | ~usual
        return doubtful

    def _end_of(self, index: int, batch: Batch, found: Evaluation) -> Ended | None:
        atoms = slice(int(batch.first[index]), int(batch.first[index + 1]))
        stress = found.stresses[index].ravel()[_VOIGT]
        sites = {name: values[atoms] for name, values in found.sites.items()}
        state = State.of(float(found.energies[index]), found.forces[atoms], stress, sites)
        steps = int(self._aboard.steps[index])
        stopped = state.verdict(steps, self._settings)
        if stopped is not None:
            return self._ended(index, state, stopped)
        if self._aboard.seconds[index] > self._time_limit_s:
            late = TimeLimitExceeded(f"not finished after {self._time_limit_s:g} s and {steps} steps")
            return Failed(self._aboard.passengers[index].key, late)
        return None

    def _ended(self, index: int, state: State, stopped: Stopped) -> Relaxed:
        aboard = self._aboard
        one = aboard.passengers[index]
        history = aboard.history[index, : aboard.steps[index] + 1].copy()
        seconds = float(aboard.seconds[index])
        end = relaxation(one.crystal, aboard.crystal(index), state, stopped=stopped, history=history, seconds=seconds)
        return Relaxed(one.key, end)

    def _keep(self, keep: NDArray[np.bool_]) -> None:
        leaving = [one.number for one, stays in zip(self._aboard.passengers, keep, strict=True) if not stays]
        if leaving:
            self._evaluator.forget(tuple(leaving))
            self._aboard = self._aboard.kept(keep)
            self._aboard_pairs = _pairs_of(self._aboard.passengers)


def _pairs_of(passengers: Iterable[Passenger]) -> float:
    """Neighbours of all, expected."""
    return sum(one.pairs for one in passengers)


def _of_calculator(judge: Judge) -> Evaluator:
    from validation.judges.ase_evaluator import AseEvaluator  # late: ASE takes half a second to import

    return AseEvaluator(judge.calculator)


_BOUNDS = np.array([MAX_ENERGY_EV_PER_ATOM, MAX_FORCE_EV_PER_ANG, np.finfo(np.float64).max])
_VOIGT = [0, 4, 8, 5, 2, 1]  # xx, yy, zz, yz, xz, xy of a symmetric 3 × 3 matrix
_NOTHING = Evaluation(np.empty(0), np.empty((0, 3)), np.empty((0, 3, 3)))
