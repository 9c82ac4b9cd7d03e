"""Relaxing a shard without database or broker, on whatever machine it was carried to; resumable by structure."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from validation.alarms import killed_after
from validation.canary import check
from validation.flight import Flight
from validation.potentials import Judge, load_judge
from validation.provenance import provenance
from validation.scales import WrongScale, judge_identity, scale_digest, scale_of
from validation.shard_files import (
    BadShard,
    Order,
    Ordered,
    Results,
    Shard,
    error_row,
    read_results,
    read_shard,
    result_row,
)
from validation.shard_parts import InHand, Parts

LIMIT_S = 900.0  # of one structure, as a season's workers have it
SAVE_EVERY_S = 30.0
_SUSPECT, _GIVEN_UP = 2, 3  # processes that died or hung with a structure in hand: then it goes alone, then not at all


class UnusableJudge(Exception):
    """A judge that cannot be loaded here."""


@dataclass(frozen=True, slots=True)
class CheckedJudge:
    """A judge on a shard's scale whose canary sang. made_by: goes with what it makes."""

    judge: Judge
    made_by: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a shard is gone about. limit_s: of one structure, its share of a batch's time. step_limit_s: of one step of
    all, after which this process is taken to hang and ends by SIGALRM; needs the main thread; None: never.
    pairs_at_once: neighbours in a batch; None: as many as suit the judge and the device."""

    limit_s: float = LIMIT_S
    step_limit_s: float | None = None
    save_every_s: float = SAVE_EVERY_S
    pairs_at_once: int | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """Of a shard, what earlier runs did included. failed: structures without a relaxation, among the done ones."""

    done: int
    failed: int
    structures: int
    atoms_done: int
    atoms: int


OnProgress = Callable[[Progress], None]


def judge_for(order: Order, *, judge: str = "", model: str = "", threads: int | None = None) -> CheckedJudge:
    """The judge that the order names, or another name or place for it, loaded and checked.

    Raises UnusableJudge, CanaryDied and WrongScale.
    """
    name = judge or order.judge
    model = model or (order.model if name == order.judge else "")
    if Path(model).is_absolute() and not Path(model).exists():  # a loader would ask a hub for it first
        raise UnusableJudge(f"there is no {model} here; --model says where the weights of {name} lie")
    try:
        loaded = load_judge(name, model, threads=threads)
    except Exception as error:
        raise UnusableJudge(f"the judge {name} cannot be loaded: {error}") from error
    canary = check(loaded, order.accepted)
    found = scale_of(loaded, order.settings)
    if scale_digest(found) != order.scale_digest:
        raise WrongScale(f"the judge {name} is refused, it is not on the scale of {order.name}: {_apart(order, found)}")
    return CheckedJudge(loaded, {**judge_identity(found), **provenance(loaded, canary)})


def _apart(order: Order, found: dict[str, Any]) -> str:
    names = sorted(name for name in {*found, *order.scale} if found.get(name) != order.scale.get(name))
    if names == ["elements"]:
        return "it knows other elements"
    return "; ".join(
        f"{name} is {_short(found.get(name))}, asked for is {_short(order.scale.get(name))}"
        for name in names
        if name != "elements"
    )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 20 else f"{text[:12]}…"


class Work:
    """A shard on its way, and its rows, the unwritten ones included. parts: what is safely written, open."""

    def __init__(self, shard: Shard, parts: Parts) -> None:
        self._shard, self._parts = shard, parts
        rows = parts.rows
        self._done = {row["id"] for row in rows}
        self._failed = sum(row["error"] is not None for row in rows)
        self._atoms_done = sum(row["n_atoms"] for row in rows)
        self._atoms = sum(len(one.crystal) for one in shard.structures)
        self._unwritten: list[dict[str, Any]] = []
        self._written_at = time.monotonic()

    @property
    def left(self) -> list[Ordered]:
        return [one for one in self._shard.structures if one.id not in self._done]

    @property
    def progress(self) -> Progress:
        n_structures = len(self._shard.structures)
        return Progress(len(self._done), self._failed, n_structures, self._atoms_done, self._atoms)

    def relax(
        self,
        by: CheckedJudge,
        pace: Pace,
        *,
        stop: Callable[[], bool] = lambda: False,
        on_progress: OnProgress = lambda progress: None,
    ) -> None:
        """Relax what is left, or as much of it as is done when ``stop``, asked between two steps, is true."""
        times = self._parts.times_killed()
        for one in self.left:
            if times[one.id] >= _GIVEN_UP:
                self._add(error_row(one, f"{times[one.id]} processes died or hung while it was being relaxed"))
        together = [one for one in self.left if times[one.id] < _SUSPECT]
        alone = [one for one in self.left if times[one.id] >= _SUSPECT]
        for some in (together, *([one] for one in alone)):
            with self._parts.in_hand() as in_hand:
                try:
                    self._relax(_taken(some, in_hand), by, pace, stop=stop, on_progress=on_progress)
                finally:
                    self._write(by)

    def _relax(
        self,
        coming: Iterator[Ordered],
        by: CheckedJudge,
        pace: Pace,
        *,
        stop: Callable[[], bool],
        on_progress: OnProgress,
    ) -> None:
        flight = Flight(
            by.judge, self._shard.order.settings, pairs_at_once=pace.pairs_at_once, time_limit_s=pace.limit_s
        )
        aboard: dict[Hashable, Ordered] = {}
        while not stop():
            while flight.hungry and (one := next(coming, None)) is not None:
                aboard[one.id] = one
                flight.add(one.id, one.crystal)
            if not flight.unfinished:
                return
            with nullcontext() if pace.step_limit_s is None else killed_after(pace.step_limit_s):
                ended = flight.step()
            for end in ended:
                self._add(result_row(aboard.pop(end.key), end))
                on_progress(self.progress)
            if self._unwritten and time.monotonic() - self._written_at >= pace.save_every_s:
                self._write(by)

    def _add(self, row: dict[str, Any]) -> None:
        self._done.add(row["id"])
        self._failed += row["error"] is not None
        self._atoms_done += row["n_atoms"]
        self._unwritten.append(row)

    def _write(self, by: CheckedJudge) -> None:
        if self._unwritten:
            self._parts.save(self._unwritten, by.made_by)
            self._unwritten = []
        self._written_at = time.monotonic()


def _taken(structures: Sequence[Ordered], in_hand: InHand) -> Iterator[Ordered]:
    for one in structures:
        in_hand.take(one.id)
        yield one


def finished(shard: Shard, target: Path) -> Results | None:
    """The results of an earlier run that came to its end; None where there is no such file. Raises BadShard."""
    if not target.exists():
        return None
    found = read_results(target)
    if found.shard_sha256 != shard.sha256:
        raise BadShard(f"{target} is there already and was made of another shard than {shard.order.name}")
    return found


def relax_shard(
    source: Path,
    target: Path,
    judge: Callable[[Order], CheckedJudge] = judge_for,
    *,
    pace: Pace = Pace(),
    stop: Callable[[], bool] = lambda: False,
    on_progress: OnProgress = lambda progress: None,
) -> Progress:
    """Relax the shard in ``source``, going on where an earlier run ended; ``target`` is written once all is done.

    judge: asked where there is something to do, so that many shards may share one. Raises BadShard, Busy, OSError, and
    what ``judge`` raises.
    """
    shard = read_shard(source)
    with Parts(shard, target) as parts:
        whole = finished(shard, target)
        if whole is not None:
            parts.forget()
            return _progress_of(whole.rows)
        work = Work(shard, parts)
        if work.left:
            by = judge(shard.order)
            on_progress(work.progress)
            work.relax(by, pace, stop=stop, on_progress=on_progress)
        if not work.left:
            parts.finish()
        return work.progress


def _progress_of(rows: Iterable[dict[str, Any]]) -> Progress:
    counted = [(row["n_atoms"], row["error"] is not None) for row in rows]
    atoms, failed = sum(atoms for atoms, _ in counted), sum(is_error for _, is_error in counted)
    return Progress(len(counted), failed, len(counted), atoms, atoms)
