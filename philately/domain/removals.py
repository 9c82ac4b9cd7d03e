"""A run without a candidate that was placed in it: the hull is restored, other people's points stay."""

from collections.abc import Sequence

from hull.entries import Formula
from hull.store import HullStore
from philately.domain.amendments import write_awards, write_log
from philately.domain.outcomes import write_hull
from philately.domain.recall import finds_of, ledger_of
from philately.models import Phase, Placement, Run, ScoreEntry, Withdrawal
from philately.states import PhaseStatus
from validation.placing import Fold, Verdict
from validation.scoring import Award, Find, PointsFor
from validation.verdicts import Change, LogItem
from validation.withdrawing import Heir, Loss, Remains, Representative, change_hull, remains_of, settle


def take_out(run: Run, fold: Fold, withdrawal: Withdrawal, placement: Placement) -> None:
    """Let the run go on without the placement's candidate. Takes ``run``, which it saves, and the fold along: where
    anything fails later, both are of no use.

    Belongs into a transaction that holds the run's row.
    """
    placement.withdrawn_after = run.placed_to
    placement.save(update_fields=["withdrawn_after"])
    phase = Phase.objects.select_related("first_candidate__batch", "release_phase").filter(placements=placement).first()
    if phase is None or placement.candidate_id not in (phase.first_candidate_id, phase.candidate_id):
        return  # rejected, a duplicate, or a refinement that is held: nothing rests on it
    loss = _loss(run, phase, placement)
    remains = _remains(phase, placement.candidate_id)
    before = phase.energy_per_atom if phase.status == PhaseStatus.ON_RECORD else None
    log, moved = change_hull(fold.hull, phase.number, Formula.parse(phase.formula), before, remains)
    items = [*_told(phase, remains), *log]
    heirs = _rewrite(phase, remains, fold)
    write_log(run, items, withdrawal)
    write_awards(run, _awards(run, fold, loss, phase if heirs else None, log), fold.memory)
    write_hull(run, fold.hull, [moved])
    run.save(update_fields=["log_position"])


def _loss(run: Run, phase: Phase, placement: Placement) -> Loss:
    owner = placement.candidate.batch.owner_id
    if phase.first_candidate_id != placement.candidate_id:
        return Loss(owner)
    given = ScoreEntry.objects.filter(run=run, candidate=placement.candidate_id).values_list("reason", flat=True)
    find = Find(owner, placement.candidate_id, phase.number, phase.formula)
    return Loss(owner, find, tuple(map(PointsFor, given)))


def _remains(phase: Phase, lost: int) -> Remains | None:
    others: list[Representative] = []
    if phase.release_phase is not None:
        others.append(Representative(None, phase.release_phase.energy_per_atom))
    rows = Placement.objects.filter(run=phase.run_id, phase=phase, withdrawn_after=None).order_by("candidate__arrival")
    names = ("candidate", "energy_per_atom", "verdict", "decision__accepted")
    for candidate, energy, verdict, accepted in rows.values_list(*names):
        others.append(Representative(candidate, energy, held=verdict == Verdict.HELD and not accepted))
    lowest = Representative(phase.candidate_id, phase.energy_per_atom)
    return remains_of(lost, phase.first_candidate_id, lowest, others, in_hull=phase.status == PhaseStatus.ON_RECORD)


def _told(phase: Phase, remains: Remains | None) -> list[LogItem]:
    """What the log says of the phase itself, before it is written anew."""
    left_hull = phase.status == PhaseStatus.ON_RECORD and remains is not None and not remains.in_hull
    if remains is None:
        return [LogItem(Change.WITHDRAWN, phase.number, None)]
    items = [LogItem(Change.WITHDRAWN, phase.number, None)] if left_hull else []
    if remains.lowest.candidate != phase.candidate_id:
        items.append(LogItem(Change.REPLACED, phase.number, None))
    if remains.first is not None and remains.first.candidate != phase.first_candidate_id:
        items.append(LogItem(Change.INHERITED, phase.number, None))
    return items


def _rewrite(phase: Phase, remains: Remains | None, fold: Fold) -> bool:
    """The phase's row; says whether it is somebody else's find in the hull now."""
    if remains is None:
        phase.status = PhaseStatus.WITHDRAWN
        phase.save(update_fields=["status"])
        return False
    before = phase.first_candidate_id
    if phase.status == PhaseStatus.ON_RECORD and not remains.in_hull:
        phase.status = PhaseStatus.HELD  # all that is left of it waits for an organiser
    energy = remains.lowest.energy_per_atom
    phase.energy_per_atom = energy
    phase.formation_energy_per_atom = fold.grounds.formation_energy_per_atom(Formula.parse(phase.formula), energy)
    phase.candidate_id = remains.lowest.candidate
    phase.first_candidate_id = None if remains.first is None else remains.first.candidate
    phase.save()
    return remains.in_hull and phase.first_candidate_id != before


def _awards(run: Run, fold: Fold, loss: Loss, inherited: Phase | None, log: Sequence[LogItem]) -> list[Award]:
    """inherited: the phase, where it is somebody else's find now."""
    numbers = {item.phase for item in log} | ({inherited.number} if inherited else set())
    finds = finds_of(run, numbers)
    heir = _heir(fold.hull, inherited, finds[inherited.number]) if inherited else None
    concerned = [find for find in (loss.find, *finds.values()) if find is not None]
    return settle(ledger_of(run, concerned, fold.rules), loss, heir, log, finds=finds, rules=fold.rules)


def _heir(hull: HullStore, phase: Phase, find: Find | None) -> Heir:
    point, above = hull.point(Formula.parse(phase.formula)), hull.e_above_hull(phase.number)
    assert find is not None and point is not None and above is not None  # it is on record, and not of the release
    return Heir(find, point.is_vertex and point.lowest_entry == phase.number, above)
