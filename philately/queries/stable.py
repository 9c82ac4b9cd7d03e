"""The stable set: what the judge predicts to lie on the hull."""

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery, Sum

from philately.models import Phase, Placement, RelaxationFact, ReleasePhase, Run
from philately.queries import blind
from philately.queries.opinions import Audited, OpinionRow, opinions_of
from philately.queries.own_finds import Key, OwnFinds, own_finds
from philately.queries.positions import on_hull, phases_at_point, points_on_hull
from philately.queries.remembered import Remembered, remembered
from philately.queries.seasons import View

_WIDE_OF_PLACEMENT = ("candidate__relaxation__provenance", "candidate__relaxation__note")


@dataclass(frozen=True, slots=True)
class StablePhase:
    """finder and found_at: None for a phase of the release. e_above_hull: eV/atom. Symmetry: of the representative."""

    number: int
    formula: str
    chemical_system: str
    energy_per_atom: float
    formation_energy_per_atom: float | None
    e_above_hull: float | None
    finder: str | None
    found_at: datetime | None
    space_group_number: int | None
    prototype_label: str
    relaxation: int | None = None  # of the representative; None for a phase of the release
    candidate: int | None = None  # told of one's own finds in a blind season
    opinions: tuple[OpinionRow, ...] = ()  # of the run's auditors, in their order; none on a phase of the release
    accepted_because: str = ""  # why an organiser let it onto the record, where it was held


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
    """By formula, the release's phases included unless ``found_only``. Two queries, and what ``opinions_of`` costs.

    In a blind season until the close: the viewer's own finds, wherever they lie (``blind.finds_of``).
    """
    if view.veiled:
        return _own_page(view, system, after, size)
    phases = on_hull(view.season.official_run).filter(formula__gt=after)
    if system:
        phases = phases.filter(chemical_system=system)
    if found_only:
        phases = phases.filter(first_candidate__isnull=False)
    rows = list(_with_finder(phases).order_by("formula", "number")[: size + 1])
    following = rows[size - 1].formula if len(rows) > size else None
    return StablePage(tuple(_with_opinions(view, [_stable(phase) for phase in rows[:size]])), following)


def newest_finds(view: View, size: int = 10) -> list[StablePhase]:
    """What participants found last and is on the hull still. Two queries, and what ``opinions_of`` costs.

    In a blind season until the close: the viewer's own finds, wherever they lie.
    """
    if view.veiled:
        return _own_rows(view, _own(view).figure.newest(size), "-candidate__arrival")
    found = on_hull(view.season.official_run).filter(first_candidate__isnull=False)
    return _with_opinions(view, [_stable(phase) for phase in _with_finder(found).order_by("-number")[:size]])


def stable_counts(view: View) -> StableCounts:
    """One query. In a blind season until the close: the viewer's own finds, wherever they lie, kept apart; and without
    the run's position, which others move."""
    run = view.season.official_run
    if view.veiled:
        own = _own(view)
        return StableCounts(len(own.figure), len(own.figure), own.as_of)
    if run is None:
        return StableCounts(0, 0, None)
    stands_at = (run.number, run.placed_to, run.log_position, run.next_phase_number)
    kept = remembered(f"stable:{run.pk}", partial(_counts, run), position=stands_at)
    return StableCounts(*kept.figure, kept.as_of)


def _counts(run: Run) -> tuple[int, int]:
    """Of the few compositions on the hull, and not of all phases: a tenth of the time."""
    phases = phases_at_point()
    total, found = (
        Subquery(some.values("run").annotate(n=Count("pk")).values("n"))
        for some in (phases, phases.filter(first_candidate__isnull=False))
    )
    points = points_on_hull(run).annotate(total=total, found=found)
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


def _own(view: View) -> Remembered[OwnFinds]:
    return own_finds(view.season.official_run, view.members)


def _own_page(view: View, system: str, after: str, size: int) -> StablePage:
    """By formula and candidate: several of a formula may be one's own."""
    formula, _, key = after.partition(".")
    last = int(key) if key.isascii() and key.isdigit() and len(key) < 19 else 0
    if system:
        finds = blind.finds_of(view.season.official_run, view.members).filter(phase__chemical_system=system)
        finds = finds.filter(Q(candidate__formula__gt=formula) | Q(candidate__formula=formula, candidate__gt=last))
        told = finds.order_by("candidate__formula", "candidate").values_list("candidate__formula", "candidate", "pk")
        keys: list[Key] = list(told[: size + 1])
    else:
        keys = _own(view).figure.after(formula, last, size + 1)
    following = "{}.{}".format(*keys[size - 1]) if len(keys) > size else None
    rows = _own_rows(view, [placement for *_, placement in keys[:size]], "candidate__formula", "candidate")
    return StablePage(tuple(rows), following)


def _own_rows(view: View, placements: list[int], *order: str) -> list[StablePhase]:
    """As the viewer sent them, though another refined them since, and above the hull of the release; without what was
    withdrawn since the keys were read. Two queries."""
    related = ("phase", "candidate__relaxation", "candidate__batch__owner__user")
    wanted = Placement.objects.filter(pk__in=placements, withdrawn_after=None).order_by(*order)
    rows = list(wanted.select_related(*related).defer(*_WIDE_OF_PLACEMENT))
    hull = blind.ReleaseHull.for_formulas(view.season.official_run, {row.candidate.formula for row in rows})
    return [_own_find(row, hull) for row in rows]


def _own_find(placement: Placement, hull: blind.ReleaseHull) -> StablePhase:
    candidate, phase = placement.candidate, placement.phase
    position = hull.position(candidate.formula, placement.energy_per_atom)
    assert phase is not None and candidate.relaxation is not None  # it was placed as a phase of its own
    return StablePhase(
        number=phase.number,
        formula=candidate.formula,
        chemical_system=phase.chemical_system,
        energy_per_atom=placement.energy_per_atom,
        formation_energy_per_atom=placement.formation_energy_per_atom,
        e_above_hull=None if position is None else position.e_above_hull,
        finder=candidate.batch.owner.user.username,
        found_at=placement.placed_at,
        space_group_number=candidate.relaxation.space_group_number,
        prototype_label=candidate.relaxation.prototype_label,
        candidate=candidate.pk,
    )


def _with_finder(phases: QuerySet[Phase]) -> QuerySet[Phase]:
    placed = Placement.objects.filter(run=OuterRef("run"), candidate=OuterRef("first_candidate"))
    related = ("first_candidate__batch__owner__user", "candidate__relaxation", "release_phase")
    wide = ("candidate__relaxation__provenance", "candidate__relaxation__note", "release_phase__geometry")
    accepted = Placement.objects.filter(run=OuterRef("run"), candidate=OuterRef("candidate"), decision__accepted=True)
    return (
        phases.select_related(*related)
        .defer(*wide)
        .annotate(found_at=Subquery(placed.values("placed_at")[:1]))
        .annotate(accepted_because=Subquery(accepted.values("decision__reason")[:1]))
    )


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
        accepted_because=phase.accepted_because or "",  # type: ignore[attr-defined]  # annotated
    )
