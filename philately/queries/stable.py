"""The stable set: what the judge predicts to lie on the hull."""

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from django.db.models import Case, Count, F, OuterRef, Q, QuerySet, Subquery, Sum, TextField, Value, When
from django.db.models.functions import Coalesce, Greatest

from philately.models import Phase, Placement, Run
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
    rows = list(_shown(phases).order_by("formula", "number")[: size + 1])
    following = rows[size - 1]["formula"] if len(rows) > size else None
    return StablePage(tuple(_with_opinions(view, [StablePhase(**row) for row in rows[:size]])), following)


def newest_finds(view: View, size: int = 10) -> list[StablePhase]:
    """What participants found last and is on the hull still. Two queries, and what ``opinions_of`` costs.

    In a blind season until the close: the viewer's own finds, wherever they lie.
    """
    if view.veiled:
        return _own_rows(view, _own(view).figure.newest(size), "-candidate__arrival")
    found = on_hull(view.season.official_run).filter(first_candidate__isnull=False)
    return _with_opinions(view, [StablePhase(**row) for row in _shown(found).order_by("-number")[:size]])


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


def _shown(phases: QuerySet[Phase]) -> QuerySet[Phase, dict[str, Any]]:
    """Columns alone: objects of the seven tables that they are from would be half of what a page costs."""
    placed = Placement.objects.filter(run=OuterRef("run"), candidate=OuterRef("first_candidate"))
    accepted = Placement.objects.filter(run=OuterRef("run"), candidate=OuterRef("candidate"), decision__accepted=True)
    shown: QuerySet[Phase, dict[str, Any]] = phases.values(
        *("number", "formula", "chemical_system", "energy_per_atom", "formation_energy_per_atom"),
        e_above_hull=Greatest(F("above"), 0.0),
        finder=F("first_candidate__batch__owner__user__username"),
        found_at=Subquery(placed.values("placed_at")[:1]),
        space_group_number=_of_representative("space_group_number"),
        prototype_label=_of_representative("prototype_label"),
        relaxation=F("candidate__relaxation"),
        accepted_because=Coalesce(
            Subquery(accepted.values("decision__reason")[:1]), Value(""), output_field=TextField()
        ),
    )
    return shown


def _of_representative(field: str) -> Case:
    """That is a relaxed candidate, else the release's."""
    relaxed = When(candidate__relaxation__isnull=False, then=f"candidate__relaxation__{field}")
    return Case(relaxed, default=f"release_phase__{field}")
