"""The stable set: what the judge predicts to lie on the hull."""

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery, Sum

from philately.models import Phase, Placement, RelaxationFact, ReleasePhase
from philately.queries.opinions import Audited, OpinionRow, opinions_of
from philately.queries.positions import on_hull, phases_at_point, points_on_hull
from philately.queries.remembered import remembered
from philately.queries.seasons import View


@dataclass(frozen=True, slots=True)
class StablePhase:
    """finder and found_at: None for a phase of the release. e_above_hull: eV/atom. Symmetry: of the representative."""

    number: int
    formula: str
    chemical_system: str
    energy_per_atom: float
    formation_energy_per_atom: float | None
    e_above_hull: float
    finder: str | None
    found_at: datetime | None
    space_group_number: int | None
    prototype_label: str
    relaxation: int | None = None  # of the representative; None for a phase of the release
    opinions: tuple[OpinionRow, ...] = ()  # of the run's auditors, in their order; none on a phase of the release


@dataclass(frozen=True, slots=True)
class StablePage:
    """following: what to ask for as ``after`` to get the next page; None on the last."""

    phases: tuple[StablePhase, ...]
    following: str | None


@dataclass(frozen=True, slots=True)
class StableCounts:
    """On the hull now; of them found by participants. as_of: when it was counted, None where that was just now."""

    total: int
    found: int
    as_of: datetime | None


def stable_page(
    view: View, *, system: str = "", found_only: bool = False, after: str = "", size: int = 100
) -> StablePage:
    """By formula, the release's phases included unless ``found_only``. Two queries, and what ``opinions_of`` costs."""
    phases = _visible(view).filter(formula__gt=after)
    if system:
        phases = phases.filter(chemical_system=system)
    if found_only:
        phases = phases.filter(first_candidate__isnull=False)
    rows = list(_with_finder(phases).order_by("formula", "number")[: size + 1])
    following = rows[size - 1].formula if len(rows) > size else None
    return StablePage(tuple(_with_opinions(view, [_stable(phase) for phase in rows[:size]])), following)


def newest_finds(view: View, size: int = 10) -> list[StablePhase]:
    """What participants found last and is on the hull still. Two queries, and what ``opinions_of`` costs."""
    found = _visible(view).filter(first_candidate__isnull=False)
    return _with_opinions(view, [_stable(phase) for phase in _with_finder(found).order_by("-number")[:size]])


def stable_counts(view: View) -> StableCounts:
    """One query."""
    run = view.season.official_run
    if run is None:
        return StableCounts(0, 0, None)
    whose = ",".join(map(str, sorted(view.members))) if view.veiled else "all"
    stands_at = (run.number, run.placed_to, run.log_position, run.next_phase_number)
    kept = remembered(f"stable:{run.pk}:{whose}", partial(_counts, view), position=stands_at)
    return StableCounts(*kept.figure, kept.as_of)


def _counts(view: View) -> tuple[int, int]:
    """Of the few compositions on the hull, and not of all phases: a tenth of the time."""
    phases = phases_at_point().filter(_shown(view))
    total, found = (
        Subquery(some.values("run").annotate(n=Count("pk")).values("n"))
        for some in (phases, phases.filter(first_candidate__isnull=False))
    )
    points = points_on_hull(view.season.official_run).annotate(total=total, found=found)
    counts = points.aggregate(all=Sum("total", default=0), of_them=Sum("found", default=0))
    return counts["all"], counts["of_them"]


def _with_opinions(view: View, phases: list[StablePhase]) -> list[StablePhase]:
    structures = [
        Audited(phase.relaxation, phase.formula, phase.formation_energy_per_atom)
        for phase in phases
        if phase.relaxation is not None
    ]
    said = opinions_of(view.season.official_run, structures)
    return [replace(phase, opinions=tuple(said.get(phase.relaxation or 0, ()))) for phase in phases]


def _visible(view: View) -> QuerySet[Phase]:
    return on_hull(view.season.official_run).filter(_shown(view))


def _shown(view: View) -> Q:
    """What is not hidden from them: all, or the release's and their own."""
    own = Q(first_candidate__isnull=True) | Q(first_candidate__batch__owner__in=view.members)
    return own if view.veiled else Q()


def _with_finder(phases: QuerySet[Phase]) -> QuerySet[Phase]:
    placed = Placement.objects.filter(run=OuterRef("run"), candidate=OuterRef("first_candidate"))
    related = ("first_candidate__batch__owner__user", "candidate__relaxation", "release_phase")
    wide = ("candidate__relaxation__provenance", "candidate__relaxation__note", "release_phase__geometry")
    return phases.select_related(*related).defer(*wide).annotate(found_at=Subquery(placed.values("placed_at")[:1]))


def symmetry_row(phase: Phase) -> RelaxationFact | ReleasePhase:
    """Where the symmetry of the phase's representative stands: a relaxed candidate, or the release's."""
    if phase.candidate is not None and phase.candidate.relaxation is not None:
        return phase.candidate.relaxation
    assert phase.release_phase is not None  # a database constraint
    return phase.release_phase


def _stable(phase: Phase) -> StablePhase:
    found, symmetry = phase.first_candidate, symmetry_row(phase)
    return StablePhase(
        number=phase.number,
        formula=phase.formula,
        chemical_system=phase.chemical_system,
        energy_per_atom=phase.energy_per_atom,
        formation_energy_per_atom=phase.formation_energy_per_atom,
        e_above_hull=max(0.0, phase.above),  # type: ignore[attr-defined]  # annotated
        finder=found.batch.owner.user.username if found else None,
        found_at=phase.found_at,  # type: ignore[attr-defined]  # annotated
        space_group_number=symmetry.space_group_number,
        prototype_label=symmetry.prototype_label,
        relaxation=None if phase.candidate is None else phase.candidate.relaxation_id,
    )
