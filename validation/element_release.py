"""A release of elemental references: the lowest sane attempt of each element, with what speaks against its number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from hull.reference import Coverage, Release
from validation.attempt_records import element_task, write_element_attempts
from validation.attempts import volume_ratio
from validation.building import Progress
from validation.element_tasks import ELEMENT_SETTINGS, NO_NEIGHBOUR, ElementAttempt, Task
from validation.elements import build_elements, lowest
from validation.elements_table import KNOWN_DEVIATIONS, KNOWN_STRUCTURE
from validation.potentials import Judge
from validation.references import kept_phase, reference_crystal
from validation.release_files import SEASON_SETTINGS, publish, work_file
from validation.rules import RelaxationSettings
from validation.scales import scale_digest, scale_of

USUAL_VOLUME_RATIO = (0.7, 1.3)  # of the tabulated volume; outside, the note says so
UNBOUND_EV_PER_ATOM = 0.01  # the weakest metals are bound by half an electronvolt
MISORDERED_EV_PER_ATOM = 0.02  # another prototype so far below the element's own is worth a note


@dataclass(frozen=True, slots=True)
class BuiltElements:
    """A release as written, with every attempt behind it. missing: elements of the judge without a sane attempt."""

    release: Release
    sha256: str
    attempts: tuple[ElementAttempt, ...]
    missing: tuple[str, ...]


def build_release(
    judge: Judge,
    out: Path,
    work_dir: Path,
    *,
    settings: RelaxationSettings = ELEMENT_SETTINGS,
    tasks: Sequence[Task] | None = None,
    progress: Callable[[Progress], None] = lambda progress: None,
    workers: int = 1,
) -> BuiltElements:
    """Build, or finish building, and write the release, beside it the attempts and its line in SHA256SUMS.

    work_dir: holds the work file of a build that was broken off. Raises OtherWork where that is of another judge.
    """
    work = work_file(work_dir, judge, settings, element_task)
    attempts = build_elements(
        judge,
        settings,
        tasks=tasks,
        done=work.attempts(),
        record=work.append,
        progress=progress,
        workers=workers,
    )
    release = elements_release(judge, attempts, name=out.stem)
    chosen = [kept.task for kept in lowest(attempts).values()]
    sha256 = publish(release, out, lambda path: write_element_attempts(attempts, chosen, path))
    tried = {attempt.task.element for attempt in attempts}
    return BuiltElements(release, sha256, attempts, tuple(sorted(tried - set(release.elements))))


def elements_release(judge: Judge, attempts: Iterable[ElementAttempt], *, name: str) -> Release:
    """The lowest sane attempt of each element, numbered in the order of the symbols."""
    attempts = tuple(attempts)
    scale = scale_of(judge, SEASON_SETTINGS)
    phases = tuple(
        kept_phase(number, kept, note(judge, kept, attempts))
        for number, (_, kept) in enumerate(sorted(lowest(attempts).items()), start=1)
    )
    return Release(name, Coverage.ELEMENTS, scale, scale_digest(scale), phases)


def markdown_table(release: Release) -> str:
    """The release as the table that stands in reference/README.md."""
    rows = ["| element | prototype | eV/atom | volume / tabulated | note |", "| --- | --- | ---: | ---: | --- |"]
    for phase in release.phases:
        ratio = volume_ratio(reference_crystal(phase))
        cells = (phase.species_at_sites[0], phase.label, f"{phase.energy_per_atom:.4f}", f"{ratio:.2f}", phase.note)
        rows.append(f"| {' | '.join(cells)} |".replace("  ", " "))
    return "\n".join(rows) + "\n"


def note(judge: Judge, kept: ElementAttempt, attempts: Iterable[ElementAttempt]) -> str:
    """What a participant should know before believing this reference; empty where nothing is known against it."""
    attempts = tuple(attempts)
    doubts = (_deviation(judge, kept), _odd_volume(kept), _unbound(kept, attempts), _odd_order(kept, attempts))
    return "; ".join(filter(None, doubts))


def _deviation(judge: Judge, kept: ElementAttempt) -> str:
    element = kept.task.element
    deviation = KNOWN_DEVIATIONS.get(f"{judge.name}/{PurePath(judge.model).name}", {}).get(element)
    if deviation is None:
        return ""
    look = "too stable" if deviation > 0 else "too unstable"
    side = "above" if deviation > 0 else "below"
    return (
        f"{judge.architecture} lies about {abs(deviation):.2f} eV/atom {side} published DFT for {element}; "
        f"its compounds look {look}"
    )


def _odd_volume(kept: ElementAttempt) -> str:
    low, high = USUAL_VOLUME_RATIO
    return "" if low <= kept.volume_ratio <= high else f"volume {kept.volume_ratio:.2f} of the tabulated one"


def _unbound(kept: ElementAttempt, attempts: Iterable[ElementAttempt]) -> str:
    """A judge with a short cutoff may keep a cell whose atoms barely see each other."""
    lone = [
        other.energy_per_atom
        for other in attempts
        if other.task.element == kept.task.element and NO_NEIGHBOUR in other.refused
    ]
    if kept.energy_per_atom is None or not any(
        energy is not None and energy - kept.energy_per_atom < UNBOUND_EV_PER_ATOM for energy in lone
    ):
        return ""
    return "no lower than atoms that see no other: the judge does not bind this element"


def _odd_order(kept: ElementAttempt, attempts: Iterable[ElementAttempt]) -> str:
    known = KNOWN_STRUCTURE.get(kept.task.element)
    rivals = [other for other in attempts if (other.task.element, other.task.prototype) == (kept.task.element, known)]
    rival = lowest(rivals).get(kept.task.element)
    if rivals and rival is None:
        return f"no sane outcome of the known structure {known}"
    if rival is None or rival.energy_per_atom is None or kept.energy_per_atom is None:
        return ""
    gap = rival.energy_per_atom - kept.energy_per_atom
    return f"{gap:.3f} eV/atom below the known structure {known}" if gap > MISORDERED_EV_PER_ATOM else ""
