"""What a fold must know of a run before it places a chunk: a few queries, however large the run is."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from django.db import connection

from hull.entries import Formula
from hull.reference import Coverage
from philately.domain import bulk
from philately.models import Phase, RelaxationGeometry, Release, ReleasePhase, Run, ScoreEntry
from philately.queries.grounds import vertices_of
from philately.states import PhaseStatus
from validation.crystal import Crystal
from validation.memory import KeptPhase
from validation.placing import Arrival, Outcome
from validation.rules import Rules
from validation.scoring import PUTS_ON_HULL, Find, Ledger, PointsFor
from validation.verdicts import Change, text_of

Judged = tuple[Arrival, Outcome]


def phases_near(run: Run, arrivals: Iterable[Arrival], rules: Rules) -> dict[Formula, list[KeptPhase]]:
    """By formula of the arrivals: every phase that one of them may be matched with, by number.

    A phase that the chunk refines keeps within reach of what refined it, so the energies of now decide.
    """
    near: dict[Formula, list[KeptPhase]] = {arrival.formula: [] for arrival in arrivals}
    keys = _keys_within(run, _ranges(arrivals, rules.duplicate_window_ev_per_atom))
    phases = Phase.objects.filter(pk__in=keys).order_by("number") if keys else Phase.objects.none()
    for phase in phases.exclude(status=PhaseStatus.WITHDRAWN).select_related("first_candidate__batch", "candidate"):
        kept = kept_phase(phase)
        near[kept.formula].append(kept)
    return near


def finds_and_ledger(
    run: Run, judged: Sequence[Judged], known: Mapping[int, Find | None], rules: Rules
) -> tuple[dict[int, Find | None], Ledger]:
    """The finds of all phases that the outcomes speak of, and the ledger as far as these finds can concern it.

    known: those that need not be looked for.
    """
    moved = {item.phase for _, outcome in judged for item in outcome.log if item.kind is not Change.REFINED}
    finds = {**known, **finds_of(run, moved - known.keys())}
    concerned = [find for number in {*moved, *(o.phase for _, o in judged)} if number and (find := finds.get(number))]
    return finds, ledger_of(run, concerned, rules)


def open_systems(run: Run) -> set[str]:
    """Chemical systems with a compound found stable, in the run or in its release."""
    found = ScoreEntry.objects.filter(run=run, reason__in=PUTS_ON_HULL).order_by()
    formulas = found.values_list("formula", flat=True).distinct()
    systems = {Formula.parse(formula).chemical_system for formula in formulas.iterator(chunk_size=2000)}
    return systems | _systems_of_release(run.release_id)


def kept_phase(phase: Phase) -> KeptPhase:
    """Needs ``first_candidate__batch`` and ``candidate``."""
    crystal = partial(relaxed_crystal, phase.candidate_id) if phase.candidate_id else partial(_release_crystal, phase)
    find = None
    if phase.first_candidate is not None:
        owner = phase.first_candidate.batch.owner_id
        find = Find(owner, phase.first_candidate.pk, phase.number, phase.formula)
    on_record = phase.status == PhaseStatus.ON_RECORD
    formula = Formula.parse(phase.formula)
    return KeptPhase(phase.number, formula, phase.energy_per_atom, crystal, find, on_record, structure_of(phase))


def structure_of(phase: Phase) -> int:
    """The number that ``comparisons`` gives the structure of a phase's representative."""
    if phase.candidate is not None and phase.candidate.relaxation_id is not None:
        return phase.candidate.relaxation_id
    assert phase.release_phase_id is not None  # whatever is no candidate's is the release's
    return -phase.release_phase_id


def relaxed_crystal(candidate_id: int) -> Crystal:
    """The relaxed cell of a candidate."""
    blob = RelaxationGeometry.objects.values_list("crystal", flat=True).get(relaxation__candidates=candidate_id)
    return Crystal.unpack(blob)


def _release_crystal(phase: Phase) -> Crystal:
    return Crystal.unpack(ReleasePhase.objects.values_list("geometry", flat=True).get(pk=phase.release_phase_id or 0))


def _ranges(arrivals: Iterable[Arrival], window: float) -> dict[str, tuple[float, float]]:
    """The energies by formula that any of the arrivals may be matched at (eV/atom)."""
    ranges: dict[str, tuple[float, float]] = {}
    for arrival in arrivals:
        formula, low, high = (
            text_of(arrival.formula),
            arrival.energy_per_atom - window,
            arrival.energy_per_atom + window,
        )
        before = ranges.get(formula, (low, high))
        ranges[formula] = (min(low, before[0]), max(high, before[1]))
    return ranges


def _keys_within(run: Run, ranges: Mapping[str, tuple[float, float]]) -> list[int]:
    """Primary keys of the run's phases of these formulas and energies; reads no others, however many there are."""
    wanted = [(formula, low, high) for formula, (low, high) in ranges.items()]
    if not wanted:
        return []
    source, values = bulk.as_table(wanted, ("text", "double precision", "double precision"))
    statement = (
        f"WITH wanted (formula, low, high) AS ({source}) SELECT phase.id FROM wanted"
        f" JOIN {connection.ops.quote_name(Phase._meta.db_table)} AS phase"
        " ON phase.run_id = %s AND phase.formula = wanted.formula"
        " AND phase.energy_per_atom >= wanted.low AND phase.energy_per_atom <= wanted.high"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [*values, run.pk])
        return [key for (key,) in cursor.fetchall()]


def finds_of(run: Run, numbers: Iterable[int]) -> dict[int, Find | None]:
    rows = Phase.objects.filter(run=run, number__in=numbers).values_list(
        "number", "formula", "first_candidate", "first_candidate__batch__owner"
    )
    return {
        number: None if candidate is None else Find(owner, candidate, number, formula)
        for number, formula, candidate, owner in rows
    }


def ledger_of(run: Run, finds: Iterable[Find], rules: Rules) -> Ledger:
    """All entries of the finds' formulas; those of other members and phases do no harm. A find's candidate found
    nothing else in the run, so it stands for the phase."""
    phases = {find.candidate: find.phase for find in finds}
    entries = ScoreEntry.objects.filter(run=run, formula__in={find.formula for find in finds})
    ledger = Ledger(rules.points)
    for member, candidate, formula, reason in entries.values_list("member", "candidate", "formula", "reason"):
        ledger.record(Find(member, candidate, phases.get(candidate, 0), formula), PointsFor(reason))
    return ledger


def _systems_of_release(release_id: int) -> frozenset[str]:
    """Those of compounds that are on the release's own hull."""
    release = Release.objects.only("coverage").get(pk=release_id)
    return frozenset() if release.coverage == Coverage.ELEMENTS else frozenset(vertices_of(release_id))
