"""Runs: an official evaluation of a season's facts, and the fold that it is, taken up where it was left."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeVar

from django.db import transaction
from django.db.models import Max, QuerySet

from hull.entries import Formula
from philately.domain.releases import release_of
from philately.domain.turns import Waiting
from philately.domain.versions import provenance
from philately.models import (
    HullPoint,
    Phase,
    RelaxationGeometry,
    Release,
    ReleasePhase,
    Run,
    ScoreEntry,
    Season,
)
from philately.states import PhaseStatus
from validation.crystal import Crystal
from validation.placing import Arrival, Fold, KeptPhase
from validation.rules import Rules
from validation.scoring import Award, Find, PointsFor

_CHUNK = 2000
_Numbered = TypeVar("_Numbered", Phase, ScoreEntry)


def open_run(season: Season, release: Release, rules: Rules) -> Run:
    """A new run of the season with the release's phases on record. Its release must be on the season's scale."""
    if release.scale_id != season.scale_id:
        raise ValueError(f"the release {release} is on another scale than the season {season}")
    with transaction.atomic():
        latest = season.runs.aggregate(latest=Max("number"))["latest"] or 0
        run = Run.objects.create(
            season=season,
            number=latest + 1,
            scale_id=season.scale_id,
            release=release,
            rules=rules.to_json(),
            rules_digest=rules.digest(),
            provenance=provenance(),
        )
        fold = Fold(release_of(release), rules)
        Phase.objects.bulk_create(_release_phases(run, fold), batch_size=1000)
        HullPoint.objects.bulk_create(
            (
                HullPoint(
                    run=run,
                    formula=str(point.formula),
                    hull_energy=point.hull_energy,
                    lowest_energy=point.lowest_energy,
                    lowest_phase=point.lowest_entry,
                    is_vertex=point.is_vertex,
                    log_position=0,
                )
                for point in fold.hull.points()
            ),
            batch_size=1000,
        )
        Run.objects.filter(pk=run.pk).update(next_phase_number=fold.next_number)
        run.refresh_from_db()
    return run


def _release_phases(run: Run, fold: Fold) -> Iterable[Phase]:
    rows = {row.number: row for row in ReleasePhase.objects.filter(release=run.release).defer("geometry")}
    for phase in fold.release.phases:
        yield Phase(
            run=run,
            number=phase.number,
            formula=str(phase.formula),
            chemical_system=phase.formula.chemical_system,
            energy_per_atom=phase.energy_per_atom,
            formation_energy_per_atom=fold.release.formation_energy_per_atom(phase.formula, phase.energy_per_atom),
            release_phase=rows[phase.number],
        )


def fold_of(run: Run, *, keep: Callable[[], None] = lambda: None) -> Fold:
    """The run's fold as the database has it: its release, then every phase and award since.

    keep: called again and again meanwhile, which takes minutes for a million phases, so that a lock can be kept.
    """
    fold = Fold(release_of(run.release), Rules.from_json(run.rules))
    known = {phase.number: phase.energy_per_atom for phase in fold.release.phases}
    phases = _by_number(Phase.objects.filter(run=run).select_related("first_candidate__batch"), keep)
    scores = _by_number(ScoreEntry.objects.filter(run=run).select_related("phase"), keep)
    fold.restore(
        (kept_phase(phase) for phase in phases if known.get(phase.number) != phase.energy_per_atom),
        (award_of(row) for row in scores),
    )
    return fold


def _by_number(rows: QuerySet[_Numbered], keep: Callable[[], None]) -> Iterator[_Numbered]:
    """Rows in order, some at a time; no cursor stays open, so that ``keep`` may write on SQLite, too."""
    last = 0
    while some := list(rows.filter(number__gt=last).order_by("number")[:_CHUNK]):
        for row in some:
            keep()
            yield row
        last = some[-1].number


def kept_phase(phase: Phase) -> KeptPhase:
    find = None
    if phase.first_candidate is not None:
        owner = phase.first_candidate.batch.owner_id
        find = Find(owner, phase.first_candidate.pk, phase.number, phase.formula)
    crystal = partial(relaxed_crystal, phase.candidate_id) if phase.candidate_id else partial(_release_crystal, phase)
    on_record = phase.status == PhaseStatus.ON_RECORD
    return KeptPhase(phase.number, Formula.parse(phase.formula), phase.energy_per_atom, crystal, find, on_record)


def _release_crystal(phase: Phase) -> Crystal:
    return Crystal.unpack(ReleasePhase.objects.values_list("geometry", flat=True).get(pk=phase.release_phase_id or 0))


def relaxed_crystal(candidate_id: int) -> Crystal:
    """The relaxed cell of a candidate."""
    blob = RelaxationGeometry.objects.values_list("crystal", flat=True).get(relaxation__candidates=candidate_id)
    return Crystal.unpack(blob)


def award_of(row: ScoreEntry) -> Award:
    return Award(
        row.member_id,
        row.candidate_id,
        row.phase.number if row.phase else 0,
        row.formula,
        row.points,
        PointsFor(row.reason),
        row.provisional,
    )


def arrival_of(waiting: Waiting) -> Arrival:
    """A relaxed candidate as the fold takes it."""
    return Arrival(
        waiting.candidate,
        waiting.member,
        Formula.parse(waiting.formula),
        waiting.energy_per_atom,
        partial(relaxed_crystal, waiting.candidate),
    )
