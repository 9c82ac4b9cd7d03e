"""Phase 3: one sequencer a run places what is relaxed, in order of arrival, a chunk a transaction."""

import logging
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.db.models import Max, Q

from hull.entries import Formula
from philately.domain.locks import Hold, LockLost, lock
from philately.domain.runs import arrival_of, fold_of
from philately.domain.transitions import fail, move
from philately.models import Candidate, HullPoint, LogEntry, Phase, Placement, Run, ScoreEntry, Season
from philately.states import SETTLED, CandidateState, PhaseStatus, Stage
from validation.placing import Fold, Outcome, Verdict

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Warm:
    """The fold of the run that this process placed last, and the state of the run that it stands for."""

    run: int
    placed_to: int
    log_position: int
    fold: Fold


_warm: _Warm | None = None


def place_waiting(season_id: int) -> int:
    """Place everything whose turn it is in the season's official run; says how many candidates were placed."""
    placed = 0
    with lock(f"place:{season_id}") as hold:
        while hold is not None:
            season = Season.objects.select_related("official_run__release__scale").get(pk=season_id)
            if season.official_run is None:
                break
            done, more = _place_chunk(season.official_run, hold)
            placed += done
            if not more:
                break
    return placed


def _place_chunk(run: Run, hold: Hold) -> tuple[int, bool]:
    """Place the next candidates in order; the second value says whether to look again."""
    turn, passed_to = _whose_turn_it_is(run)
    if passed_to == run.placed_to:
        return 0, False
    try:
        return _place_turn(run, turn, passed_to, hold)
    except LockLost as lost:
        log.warning("placing in %s stops here, another sequencer goes on: %s", run, lost)
        return 0, False


def _place_turn(run: Run, turn: list[Candidate], passed_to: int, hold: Hold) -> tuple[int, bool]:
    """Place these and commit. Raises LockLost; then nothing has been done."""
    global _warm
    fold = _fold(run, hold)
    _warm = None  # whatever goes wrong below leaves the fold ahead of the database
    outcomes: list[tuple[Candidate, Outcome]] = []
    for candidate in turn:
        hold.keep()
        try:
            outcomes.append((candidate, fold.place(arrival_of(candidate))))
        except Exception as error:
            log.exception("placing candidate %s failed", candidate.pk)
            candidate.attempts += 1
            fail(candidate, Stage.PLACE, error)
            return 0, True
    with transaction.atomic():
        hold.confirm()
        _write(run, outcomes, passed_to)
    _warm = _Warm(run.pk, run.placed_to, run.log_position, fold)
    return len(outcomes), True


def _whose_turn_it_is(run: Run) -> tuple[list[Candidate], int]:
    """Relaxed candidates before the first that is still under way, and how far in the order that takes the run.

    The horizon comes first: what arrives between two of these queries must not be passed over.
    """
    after = Candidate.objects.filter(season_id=run.season_id, arrival__gt=run.placed_to).order_by("arrival")
    horizon = after.values_list("arrival", flat=True).last()
    if horizon is None:
        return [], run.placed_to
    after = after.filter(arrival__lte=horizon)
    first_open = after.exclude(state__in=[*SETTLED, CandidateState.RELAXED]).values_list("arrival", flat=True).first()
    ready = after if first_open is None else after.filter(arrival__lt=first_open)
    turn = list(
        ready.filter(state=CandidateState.RELAXED).select_related("relaxation", "batch")[: settings.PLACE_CHUNK]
    )
    if len(turn) == settings.PLACE_CHUNK:
        return turn, turn[-1].arrival
    last = ready.values_list("arrival", flat=True).last()
    return turn, run.placed_to if last is None else last


def _fold(run: Run, hold: Hold) -> Fold:
    """The run's fold, from this process's memory where nobody else has placed anything since."""
    state = (run.pk, run.placed_to, run.log_position)
    if _warm is not None and (_warm.run, _warm.placed_to, _warm.log_position) == state:
        return _warm.fold
    return fold_of(run, keep=hold.keep)


def _write(run: Run, outcomes: list[tuple[Candidate, Outcome]], passed_to: int) -> None:
    """A chunk's outcomes, all or nothing. The run is read again under the lock: it must be where the fold left it."""
    stored = Run.objects.select_for_update().get(pk=run.pk)
    if (stored.placed_to, stored.log_position) != (run.placed_to, run.log_position):
        raise LockLost(f"{run} has moved on")
    numbers = {number for _, outcome in outcomes for number in _phases_of(outcome)}
    phases = {phase.number: phase for phase in Phase.objects.filter(run=run, number__in=numbers)}
    scores = ScoreEntry.objects.filter(run=run).aggregate(last=Max("number"))["last"] or 0
    for candidate, outcome in outcomes:
        _phase(run, candidate, outcome, phases)
        _log(run, candidate, outcome, phases)
        scores = _scores(run, candidate, outcome, phases, scores)
        _placement(run, candidate, outcome, phases)
        if not move(Candidate.objects.filter(pk=candidate.pk), CandidateState.RELAXED, CandidateState.PLACED):
            raise LockLost(f"candidate {candidate.pk} was withdrawn in between")
    _hull_points(run, [outcome for _, outcome in outcomes])
    run.placed_to = passed_to
    run.next_phase_number = max([run.next_phase_number, *(number + 1 for number in phases)])
    run.save(update_fields=["placed_to", "log_position", "next_phase_number"])


def _phases_of(outcome: Outcome) -> set[int]:
    """Every phase that an outcome speaks of."""
    numbers = {item.phase for item in outcome.log} | {item.by for item in outcome.log if item.by is not None}
    numbers |= {award.phase for award in outcome.awards}
    return numbers | ({outcome.phase} if outcome.phase is not None else set())


def _energy(candidate: Candidate) -> float:
    """eV/atom of a relaxed candidate."""
    return arrival_of(candidate).energy_per_atom


_STATUS = {Verdict.HELD: PhaseStatus.HELD, Verdict.UNDEFINED: PhaseStatus.UNDEFINED}


def _phase(run: Run, candidate: Candidate, outcome: Outcome, phases: dict[int, Phase]) -> None:
    """A phase of its own for a new structure; a lower energy for the phase that it refines; else nothing."""
    number, energy = outcome.phase, _energy(candidate)
    if number is None or (number in phases and outcome.verdict is not Verdict.REFINED):
        return
    if outcome.verdict is Verdict.REFINED:
        phase = phases[number]
        phase.energy_per_atom, phase.formation_energy_per_atom = energy, outcome.formation_energy_per_atom
        phase.candidate = candidate
        phase.save(update_fields=["energy_per_atom", "formation_energy_per_atom", "candidate"])
        return
    phases[number] = Phase.objects.create(
        run=run,
        number=number,
        status=_STATUS.get(outcome.verdict, PhaseStatus.ON_RECORD),
        formula=candidate.formula,
        chemical_system=Formula.parse(candidate.formula).chemical_system,
        energy_per_atom=energy,
        formation_energy_per_atom=outcome.formation_energy_per_atom,
        first_candidate=candidate,
        candidate=candidate,
    )


def _log(run: Run, candidate: Candidate, outcome: Outcome, phases: dict[int, Phase]) -> None:
    for item in outcome.log:
        run.log_position += 1
        LogEntry.objects.create(
            run=run,
            position=run.log_position,
            kind=item.kind.value,
            phase=phases[item.phase],
            by=None if item.by is None else phases[item.by],
            candidate=candidate,
        )


def _scores(run: Run, candidate: Candidate, outcome: Outcome, phases: dict[int, Phase], number: int) -> int:
    """Entries of the ledger, numbered on; the candidate is the one whose arrival caused the entry's find to move."""
    for award in outcome.awards:
        number += 1
        ScoreEntry.objects.create(
            run=run,
            number=number,
            member_id=award.member,
            points=award.points,
            reason=award.reason.value,
            formula=award.formula,
            phase=phases.get(award.phase),
            candidate_id=award.candidate,
            provisional=award.provisional,
            log_position=run.log_position,
        )
    return number


def _placement(run: Run, candidate: Candidate, outcome: Outcome, phases: dict[int, Phase]) -> None:
    position = outcome.position
    defined = outcome.formation_energy_per_atom is not None
    Placement.objects.create(
        run=run,
        candidate=candidate,
        verdict=outcome.verdict.value,
        reason=outcome.reason.value if outcome.reason else "",
        sentence=outcome.sentence,
        phase=phases.get(outcome.phase) if outcome.phase is not None else None,
        energy_per_atom=_energy(candidate),
        formation_energy_per_atom=outcome.formation_energy_per_atom,
        e_above_hull_on_arrival=position.e_above_hull_on_arrival if defined else None,
        decomposition_energy=position.decomposition_energy if defined else None,
        decomposition=[list(part) for part in position.decomposition] if defined else [],
        missing_elements=list(position.missing),
        is_novel=outcome.is_novel,
        log_position=run.log_position,
    )


def _hull_points(run: Run, outcomes: list[Outcome]) -> None:
    """The last state of every composition whose hull moved in this chunk."""
    moved = {str(point.formula): point for outcome in outcomes for point in outcome.points}
    HullPoint.objects.bulk_create(
        [
            HullPoint(
                run=run,
                formula=formula,
                hull_energy=point.hull_energy,
                lowest_energy=point.lowest_energy,
                lowest_phase=point.lowest_entry,
                is_vertex=point.is_vertex,
                log_position=run.log_position,
            )
            for formula, point in sorted(moved.items())
        ],
        batch_size=500,
        update_conflicts=True,
        unique_fields=["run", "formula"],
        update_fields=["hull_energy", "lowest_energy", "lowest_phase", "is_vertex", "log_position"],
    )


def blocking(season: Season) -> Candidate | None:
    """The candidate that the others wait for."""
    run = season.official_run
    if run is None:
        return None
    under_way = ~Q(state__in=[*SETTLED, CandidateState.RELAXED])
    return Candidate.objects.filter(under_way, season=season, arrival__gt=run.placed_to).order_by("arrival").first()
