"""Real crystals as a season would take them in, relaxed by a judge and their finds again by an auditor, resumably."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from benchmark.cifs import Cif
from validation.acceptance import accept_initial, accept_relaxed
from validation.crew import Crew, Duty
from validation.crystal import Crystal
from validation.flight import Failed, Relaxed
from validation.relaxation import Relaxation, Stopped
from validation.rules import Rejected, RelaxationSettings, Rules

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Who relaxes: what each process loads, and the digest of the scale on which the energies then are."""

    duty: Duty
    scale_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a relaxation ended, and all of it that a rule asks for. energy_per_atom: None where it exploded.

    crystal: the relaxed cell. refused: the reason where a season would not place it, empty where it would.
    """

    crystal: Crystal
    energy_per_atom: float | None
    stopped: str
    steps: int
    fmax_ev_per_ang: float | None
    smax_ev_per_ang3: float | None
    note: str = ""

    @classmethod
    def of(cls, relaxation: Relaxation) -> Self:
        exploded = relaxation.stopped is Stopped.EXPLODED
        return cls(
            crystal=relaxation.crystal,
            energy_per_atom=None if exploded else relaxation.energy_per_atom,
            stopped=relaxation.stopped.value,
            steps=relaxation.steps,
            fmax_ev_per_ang=None if exploded else relaxation.fmax_ev_per_ang,
            smax_ev_per_ang3=None if exploded else relaxation.smax_ev_per_ang3,
            note=relaxation.note,
        )

    @property
    def energy(self) -> float:
        """eV/atom, of one that did not explode."""
        assert self.energy_per_atom is not None
        return self.energy_per_atom

    def refusal(self, initial: Crystal, rules: Rules, settings: RelaxationSettings) -> str:
        """Why a season would not place it; empty where it would."""
        try:
            accept_relaxed(initial, self.crystal, self, rules=rules, settings=settings)
        except Rejected as rejection:
            return rejection.reason.value
        return ""


class Cache:
    """Ends of relaxations in a file of JSON lines, appended as they come: what broke off goes on from there.

    An end belongs to a scale and to a crystal as it was before; those of others are passed over.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._ends: dict[tuple[str, str], End] = {}
        if path is not None and path.exists():
            self._read(path)

    def get(self, scale_digest: str, initial: Crystal) -> End | None:
        return self._ends.get((scale_digest, initial.content_hash))

    def add(self, scale_digest: str, name: str, initial: Crystal, end: End) -> None:
        self._ends[scale_digest, initial.content_hash] = end
        if self._path is None:
            return
        row = {
            "name": name,
            "formula": str(initial.formula),
            "scale": scale_digest,
            "initial_hash": initial.content_hash,
            **asdict(end),
            "crystal": base64.b64encode(end.crystal.pack()).decode(),
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")

    def _read(self, path: Path) -> None:
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):  # the last line was being written when the run broke off
            os.truncate(path, whole)
        for line in data[:whole].splitlines():
            row: dict[str, Any] = json.loads(line)
            del row["name"], row["formula"]
            key = (row.pop("scale"), row.pop("initial_hash"))
            crystal = Crystal.unpack(base64.b64decode(row.pop("crystal")))
            self._ends[key] = End(crystal=crystal, **row)


def accepted(files: Iterable[Cif], rules: Rules, known_elements: frozenset[str]) -> dict[str, Crystal]:
    """The crystals that the rules let in, as their primitive cells, by the names of the files and in their order."""
    crystals = {}
    for file in files:
        try:
            crystals[file.name] = accept_initial(file.text, rules, known_elements)
        except Rejected:
            continue
    return crystals


def spread(crystals: Mapping[str, Crystal], limit: int | None) -> dict[str, Crystal]:
    """At most so many of them, taken at equal steps from the first to the last."""
    names = list(crystals)
    if limit is None or limit >= len(names):
        return dict(crystals)
    return {name: crystals[name] for name in (names[place * len(names) // limit] for place in range(limit))}


def relaxed(crystals: Mapping[str, Crystal], job: Job, workers: int, cache: Cache, say: Say) -> dict[str, End]:
    """How each ended, in the order of the crystals. On whom the judge failed is left out, and tried again next time."""
    missing = [(name, crystal) for name, crystal in crystals.items() if cache.get(job.scale_digest, crystal) is None]
    if missing:
        _relax(missing, job, workers, cache, say)
    ends = {name: cache.get(job.scale_digest, crystal) for name, crystal in crystals.items()}
    return {name: end for name, end in ends.items() if end is not None}


def _relax(missing: list[tuple[str, Crystal]], job: Job, workers: int, cache: Cache, say: Say) -> None:
    by_name = dict(missing)
    done = 0
    with Crew(job.duty, min(workers, len(missing))) as crew:
        for ended in crew.relax(_keyed(missing)):
            name, done = str(ended.key), done + 1
            if isinstance(ended, Failed):
                say(f"  {name}: {type(ended.error).__name__}: {ended.error}")
            elif isinstance(ended, Relaxed):
                cache.add(job.scale_digest, name, by_name[name], End.of(ended.relaxation))
            if done % 50 == 0 or done == len(missing):
                say(f"  {done} of {len(missing)} relaxed by {job.duty.judge}")


def _keyed(missing: list[tuple[str, Crystal]]) -> Iterator[tuple[Hashable, Crystal]]:
    yield from missing
