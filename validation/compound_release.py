"""A release of prototypes: the elements, and of many compounds what lies near the hull that they make together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pyarrow as pa

from hull.entries import Entry
from hull.reference import Coverage, Release
from hull.store import STABLE_TOLERANCE, HullStore
from validation.attempt_records import OUTCOME, TABLE_DIGITS, outcome_row, write_rows
from validation.attempts import Attempt
from validation.building import Progress, build
from validation.compounds import COMPOUND_SETTINGS, CompoundTask, compound_tasks
from validation.crystal import Crystal
from validation.elements_table import KNOWN_DEVIATIONS
from validation.matching import find_duplicates
from validation.potentials import Judge
from validation.references import kept_phase
from validation.release_files import SEASON_SETTINGS, publish, work_file
from validation.rules import RelaxationSettings, Rules
from validation.scales import scale_digest, scale_of

NEAR_EV_PER_ATOM = 0.2  # above the hull: twice what a season calls metastable, for later hulls lie lower

CompoundAttempt = Attempt[CompoundTask]


class OtherScale(ValueError):
    """Elements of another scale than the compounds' would be; their energies never meet."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an attempt stands. energies in eV/atom, None where it was refused; refused: the attempt's own reason or one
    that only the elements give.

    number: of its phase in the release, None where it is not there. duplicate_of: number of the phase that it repeats.
    """

    attempt: CompoundAttempt
    refused: str
    formation_energy: float | None = None
    e_above_hull: float | None = None
    number: int | None = None
    duplicate_of: int | None = None


@dataclass(frozen=True, slots=True)
class BuiltCompounds:
    """A release as written, and where every attempt stands in it, in the order of the tasks."""

    release: Release
    sha256: str
    standings: tuple[Standing, ...]


def build_compounds(
    judge: Judge,
    elements: Release,
    out: Path,
    work_dir: Path,
    *,
    settings: RelaxationSettings = COMPOUND_SETTINGS,
    tasks: Sequence[CompoundTask] | None = None,
    progress: Callable[[Progress], None] = lambda progress: None,
    workers: int = 1,
) -> BuiltCompounds:
    """Build, or finish building, and write the release, beside it the attempts and their lines in SHA256SUMS.

    elements: the judge's release of elements. tasks: all of ``tasks_of(elements)`` where None. work_dir: holds the work
    file of a build that was broken off. Raises OtherWork where that is of another judge, OtherScale where the elements
    are.
    """
    if elements.scale_digest != scale_digest(scale_of(judge, SEASON_SETTINGS)):
        raise OtherScale(f"the release {elements.name} is not on the scale of {judge.name} {judge.model}")
    work = work_file(work_dir, judge, settings, compound_task)
    attempts = build(
        tuple(tasks) if tasks is not None else tasks_of(elements),
        judge,
        settings,
        done=work.attempts(),
        record=work.append,
        progress=progress,
        workers=workers,
    )
    release, standings = compounds_release(judge, elements, attempts, name=out.stem)
    sha256 = publish(release, out, lambda path: write_standings(standings, path))
    return BuiltCompounds(release, sha256, standings)


def tasks_of(elements: Release) -> tuple[CompoundTask, ...]:
    """Compounds of what the release holds, without those elements that seasons leave out."""
    return compound_tasks(set(elements.elements) - set(Rules().excluded_elements))


def compounds_release(
    judge: Judge, elements: Release, attempts: Iterable[CompoundAttempt], *, name: str
) -> tuple[Release, tuple[Standing, ...]]:
    """The elements' phases with their numbers, then compounds by formula and energy: sane, converged, no duplicates,
    within NEAR_EV_PER_ATOM of the hull of all of them. Beside it the standing of each attempt, in their order.
    """
    attempts = tuple(attempts)
    refused = [_why_refused(elements, attempt) for attempt in attempts]
    above = _distances(elements, [attempt for attempt, why in zip(attempts, refused, strict=True) if not why])
    near = [attempt for attempt in attempts if above.get(attempt.task, np.inf) <= NEAR_EV_PER_ATOM]
    kept, repeats = _unique(near)
    numbers = {attempt.task: number for number, attempt in enumerate(kept, start=len(elements.phases) + 1)}
    phases = tuple(kept_phase(numbers[attempt.task], attempt, doubts(judge, attempt)) for attempt in kept)
    release = Release(name, Coverage.PROTOTYPES, elements.scale, elements.scale_digest, elements.phases + phases)
    return release, tuple(
        Standing(
            attempt,
            why,
            None if why else formation_energy(elements, attempt),
            above.get(attempt.task),
            numbers.get(attempt.task),
            numbers[repeats[attempt.task]] if attempt.task in repeats else None,
        )
        for attempt, why in zip(attempts, refused, strict=True)
    )


def formation_energy(elements: Release, attempt: CompoundAttempt) -> float | None:
    """eV/atom against the elements; None where there is no energy, or no reference of one of them."""
    if attempt.energy_per_atom is None:
        return None
    return elements.formation_energy_per_atom(Crystal.unpack(attempt.crystal).formula, attempt.energy_per_atom)


def doubts(judge: Judge, attempt: CompoundAttempt) -> str:
    """What is known against the elements that its distance is measured from; empty where nothing is."""
    known: Collection[str] = KNOWN_DEVIATIONS.get(f"{judge.name}/{PurePath(judge.model).name}", {})
    doubtful = [element for element in sorted(set(attempt.task.species)) if element in known]
    return f"the judge is known to be off for {', '.join(doubtful)}" if doubtful else ""


def _why_refused(elements: Release, attempt: CompoundAttempt) -> str:
    energy, limit = formation_energy(elements, attempt), Rules().held_formation_energy_ev_per_atom
    if attempt.refused or energy is None:
        return attempt.refused or "no energy to compare with the elements"
    return f"formation energy {energy:.2f} eV/atom, below {limit:g}" if energy < limit else ""


def _distances(elements: Release, sane: Sequence[CompoundAttempt]) -> dict[CompoundTask, float]:
    """e_above_hull of each, eV/atom, on the hull of them all and the elements."""
    hull = HullStore(elements.scale_digest)
    hull.insert_many(Entry(phase.number, phase.formula, phase.energy_per_atom) for phase in elements.phases)
    first = len(elements.phases) + 1
    hull.insert_many(
        Entry(number, Crystal.unpack(attempt.crystal).formula, _energy(attempt))
        for number, attempt in enumerate(sane, start=first)
    )
    distances = hull.stored_e_above_hull(np.arange(first, first + len(sane)))
    return {attempt.task: distance for attempt, distance in zip(sane, distances.tolist(), strict=True)}


def _unique(near: Sequence[CompoundAttempt]) -> tuple[list[CompoundAttempt], dict[CompoundTask, CompoundTask]]:
    """Those that repeat none of lower energy, by formula and energy; and what each of the others repeats."""
    crystals = {attempt.task: Crystal.unpack(attempt.crystal) for attempt in near}
    ordered = sorted(near, key=lambda one: (str(crystals[one.task].formula), _energy(one), one.task))
    originals = find_duplicates(
        [crystals[attempt.task] for attempt in ordered], energies_per_atom=[_energy(attempt) for attempt in ordered]
    )
    pairs = list(zip(ordered, originals, strict=True))
    repeats = {attempt.task: ordered[original].task for attempt, original in pairs if original is not None}
    return [attempt for attempt, original in pairs if original is None], repeats


def _energy(attempt: CompoundAttempt) -> float:
    if attempt.energy_per_atom is None:
        raise ValueError(f"{attempt.task} is sane without an energy")
    return attempt.energy_per_atom


def markdown_summary(rows: Iterable[Mapping[str, Any]]) -> str:
    """How the prototypes fared, as the table that stands in reference/README.md.

    rows: those of the attempts' table. Of each prototype: relaxations, those that were refused, phases of the release
    that came from it, and how many of these are on the hull.
    """
    lines = ["| prototype | tried | refused | in the release | on the hull |", "| --- | ---: | ---: | ---: | ---: |"]
    by_prototype: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_prototype.setdefault(row["prototype"], []).append(row)
    for label, of_it in sorted(by_prototype.items(), key=lambda item: item[0].casefold()):
        kept = [row for row in of_it if row["number"] is not None]
        stable = [row for row in kept if row["e_above_hull"] <= STABLE_TOLERANCE]
        refused = sum(bool(row["refused"]) for row in of_it)
        lines.append(f"| {label} | {len(of_it)} | {refused} | {len(kept)} | {len(stable)} |")
    return "\n".join(lines) + "\n"


def compound_task(fields: dict[str, Any]) -> CompoundTask:
    return CompoundTask(fields["prototype"], tuple(fields["species"]), tuple(fields["charges"]))


def write_standings(standings: Iterable[Standing], path: Path) -> None:
    """Every attempt as Parquet (zstd), in the order of the tasks, without its cell.

    Columns: formula, prototype, species and charges of its kinds, formation_energy_per_atom and e_above_hull (eV/atom),
    number and duplicate_of (phases of the release), then those of ``attempt_records.OUTCOME``.
    """
    write_rows([row_of(standing) for standing in standings], _COLUMNS | OUTCOME, path)


_COLUMNS: dict[str, pa.DataType] = {
    "formula": pa.string(),
    "prototype": pa.string(),
    "species": pa.list_(pa.string()),
    "charges": pa.list_(pa.int64()),
    "formation_energy_per_atom": pa.float64(),
    "e_above_hull": pa.float64(),
    "number": pa.int64(),
    "duplicate_of": pa.int64(),
}


def row_of(standing: Standing) -> dict[str, Any]:
    """As it stands in the attempts' table."""
    task = standing.attempt.task
    return outcome_row(standing.attempt, kept=standing.number is not None) | {
        "refused": standing.refused,
        "formula": str(Crystal.unpack(standing.attempt.crystal).formula),
        "prototype": task.prototype,
        "species": list(task.species),
        "charges": list(task.charges),
        "formation_energy_per_atom": _rounded(standing.formation_energy),
        "e_above_hull": _rounded(standing.e_above_hull),
        "number": standing.number,
        "duplicate_of": standing.duplicate_of,
    }


def _rounded(energy: float | None) -> float | None:
    return None if energy is None else round(energy, TABLE_DIGITS)
