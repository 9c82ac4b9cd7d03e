"""Distances from the hull as it is now."""

from collections.abc import Collection, Iterable
from itertools import combinations

from django.db.models import Case, F, FloatField, OuterRef, Q, QuerySet, Subquery, When
from django.db.models.functions import Least

from hull.entries import Formula
from hull.store import STABLE_TOLERANCE, HullStore, Position
from hull.texts import entries_of_rows
from philately.models import Candidate, HullPoint, Phase, Run
from philately.queries.among import Among
from philately.states import PhaseStatus


def distance(energy_per_atom: float, point: HullPoint | None) -> float | None:
    """e_above_hull (eV/atom, >= 0) of an energy at the point's composition; None where the hull is undefined there.

    The same arithmetic as ``HullStore.e_above_hull``, so that pages and dumps show the same number.
    """
    if point is None or (point.hull_energy is None and not point.is_vertex):
        return None
    lowest, hull = point.lowest_energy, point.hull_energy
    return max(0.0, energy_per_atom - (lowest if hull is None else min(lowest, hull)))


def e_above_hull_now(phase: Phase, point: HullPoint | None) -> float | None:
    """Of a phase and the hull point of its formula; None while it is held or undefined."""
    return distance(phase.energy_per_atom, point) if phase.status == PhaseStatus.ON_RECORD else None


def with_distance(phases: QuerySet[Phase]) -> QuerySet[Phase]:
    """Phases on record with ``above``: as ``e_above_hull_now`` says, but not cut off at 0."""
    lowest, hull = F("lowest_energy"), F("hull_energy")
    ground = (
        HullPoint.objects.filter(Q(hull_energy__isnull=False) | Q(is_vertex=True))
        .filter(run=OuterRef("run"), formula=OuterRef("formula"))
        .annotate(ground=Case(When(hull_energy__isnull=True, then=lowest), default=Least(lowest, hull)))
        .values("ground")[:1]
    )
    above = F("energy_per_atom") - Subquery(ground, output_field=FloatField())
    return phases.filter(status=PhaseStatus.ON_RECORD).annotate(above=above)


def points_on_hull(run: Run | None) -> QuerySet[HullPoint]:
    """Compositions with a phase on the hull now, with ``ground``: what its distance is measured from, eV/atom."""
    lowest, hull = F("lowest_energy"), F("hull_energy")
    points = HullPoint.objects.filter(Q(is_vertex=True) | Q(lowest_energy__lte=hull + STABLE_TOLERANCE), run=run)
    return points.annotate(ground=Case(When(hull_energy__isnull=True, then=lowest), default=Least(lowest, hull)))


def phases_at_point() -> QuerySet[Phase]:
    """Those on the hull, of the point of ``points_on_hull`` at hand."""
    of_it = Phase.objects.filter(run=OuterRef("run"), formula=OuterRef("formula"), status=PhaseStatus.ON_RECORD)
    return of_it.filter(energy_per_atom__lte=OuterRef("ground") + STABLE_TOLERANCE).order_by()


def on_hull(run: Run | None) -> QuerySet[Phase]:
    """The phases on the hull now, those of the release included."""
    return with_distance(Phase.objects.filter(run=run)).filter(above__lte=STABLE_TOLERANCE)  # type: ignore[misc]  # annotated


def provisional_positions(run: Run | None, waiting: Iterable[Candidate]) -> dict[int, Position]:
    """Where relaxed candidates would sit if they were placed now, by candidate; one query for all of them.

    Needs ``relaxation``.
    """
    relaxed = [
        (one.pk, Formula.parse(one.formula), one.relaxation.energy_per_atom) for one in waiting if one.relaxation
    ]
    if run is None or not relaxed:
        return {}
    store = _store(run, {formula for _, formula, _ in relaxed})
    return {pk: store.position(formula, energy) for pk, formula, energy in relaxed if energy is not None}


def subsystems(elements: Collection[str]) -> set[str]:
    """The chemical system of these elements and every one within it."""
    ordered = sorted(elements)
    return {"-".join(part) for n in range(1, len(ordered) + 1) for part in combinations(ordered, n)}


def systems_within(formulas: Iterable[Formula]) -> set[str]:
    """The chemical systems of these formulas and every one within them: what competes with any of them."""
    return set[str]().union(*(subsystems(formula.elements) for formula in formulas))


def _store(run: Run, formulas: Collection[Formula]) -> HullStore:
    """What positions at these formulas depend on.

    The vertices of the hull; and, for the distance from all other compositions, what lies above it in the very system
    of a formula, because that may be held up by the formula's own phases. What these hold up elsewhere is in systems
    that have further elements.
    """
    vertices = HullPoint.objects.filter(Among(F("chemical_system"), systems_within(formulas)), run=run, is_vertex=True)
    own = {formula.chemical_system for formula in formulas}
    phases = Phase.objects.filter(Among(F("chemical_system"), own), run=run, status=PhaseStatus.ON_RECORD)
    rows = vertices.values_list("lowest_phase", "formula", "lowest_energy").union(
        phases.values_list("number", "formula", "energy_per_atom"), all=True
    )
    entries = {number: (number, formula, energy) for number, formula, energy in rows}
    store = HullStore(str(run.scale_id))
    store.insert_arrays(entries_of_rows(sorted(entries.values())))  # nobody asks what each of them changed
    return store
