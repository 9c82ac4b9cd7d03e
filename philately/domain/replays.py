"""Replay: a verdict computed again from the facts, by a fold that starts from the release."""

from collections import deque
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from django.db.models import QuerySet

from hull.entries import Formula
from philately.domain.judges import judge_of, settings_of
from philately.domain.releases import release_of
from philately.domain.turns import arrival_of, waiting_of
from philately.models import Candidate, Phase, Placement, Run
from philately.queries.opinions import auditors_of, heard_of
from philately.queries.positions import subsystems
from validation.acceptance import accept_relaxed
from validation.crystal import Crystal
from validation.flight import relax_alone
from validation.history import History
from validation.placing import Arrival, Fold, Outcome
from validation.rules import Rejected, Rules

RELAX_TOLERANCE_EV_PER_ATOM = 0.002


class NotPlaced(Exception):
    """There is no verdict to replay."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of the verdict that came out otherwise."""

    name: str
    stored: object
    replayed: object


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay found. energy_per_atom and device: of a new relaxation, where one was asked for.

    outcome: None where the new relaxation is rejected before it could be placed.
    """

    placement: Placement
    outcome: Outcome | None
    differences: tuple[Difference, ...]
    energy_per_atom: float | None = None
    device: str = ""
    stored_device: str = ""


def replay(candidate: Candidate, *, relax_again: bool = False) -> Replay:
    """Compute a candidate's placement in the official run again, from the stored relaxed energies.

    Only what lies in its own chemical system can have had a say in it, so only that is folded. With ``relax_again`` the
    candidate is relaxed anew: it must get the same verdict and an energy within 0.002 eV/atom. Raises NotPlaced.
    """
    run = candidate.season.official_run
    placement = None if run is None else Placement.objects.filter(run=run, candidate=candidate).first()
    if run is None or placement is None:
        raise NotPlaced(f"candidate {candidate.pk} is {candidate.get_state_display()}: there is no placement to replay")
    fold = _history_before(run, candidate).fold
    if relax_again:
        return _relaxed_again(candidate, placement, fold)
    outcome = fold.judge(_arrival(run, candidate))
    return Replay(placement, outcome, tuple(_differences(placement, outcome)))


def _history_before(run: Run, candidate: Candidate) -> History:
    """The fold as it stood when the candidate's turn came, as far as its own elements reach.

    What was rejected left no trace in a fold, and has no phase.
    """
    history = History(release_of(run.release), Rules.from_json(run.rules), auditors_of(run))
    elements = Formula.parse(candidate.formula).elements
    phases = Phase.objects.filter(run=run, chemical_system__in=subsystems(elements))
    earlier = Candidate.objects.filter(placements__phase__in=phases, arrival__lt=candidate.arrival).order_by("arrival")
    between = deque(_between(phases, candidate))
    waiting_before = list(waiting_of(earlier))
    heard = heard_of(run, [waiting.relaxation for waiting in waiting_before])
    for waiting in waiting_before:
        while between and between[0].after < waiting.arrival:
            _happen(history, between.popleft())
        history.place(arrival_of(waiting, heard))
    for one in between:
        _happen(history, one)
    return history


class _Between(NamedTuple):
    """What happened to a candidate that was placed. after: the arrival number that the run had come to."""

    after: int
    order: int  # among what happened there
    candidate: int
    accepted: bool  # else withdrawn


def _between(phases: QuerySet[Phase], candidate: Candidate) -> list[_Between]:
    """What was withdrawn, and what was held and accepted, before the candidate's turn came, in order."""
    rows = Placement.objects.filter(phase__in=phases, withdrawn_after__lt=candidate.arrival)
    gone = [
        _Between(after, wish or 0, key, accepted=False)
        for after, wish, key in rows.values_list("withdrawn_after", "candidate__withdrawal", "candidate")
        if after is not None
    ]
    decided = Placement.objects.filter(phase__in=phases, decision__accepted=True)
    earlier = decided.filter(decision__arrival__lt=candidate.arrival).values_list("decision__arrival", "candidate")
    return sorted([*gone, *(_Between(arrival, 0, key, accepted=True) for arrival, key in earlier)])


def _happen(history: History, one: _Between) -> None:
    if one.accepted:
        history.accept(one.candidate)
    else:
        history.withdraw(one.candidate)


def _arrival(run: Run, candidate: Candidate) -> Arrival:
    (waiting,) = waiting_of(Candidate.objects.filter(pk=candidate.pk))
    return arrival_of(waiting, heard_of(run, [waiting.relaxation]))


def _differences(placement: Placement, outcome: Outcome) -> list[Difference]:
    defined = outcome.formation_energy_per_atom is not None
    position = outcome.position
    figures = {
        "verdict": (placement.verdict, outcome.verdict.value),
        "reason": (placement.reason, outcome.reason.value if outcome.reason else ""),
        "formation_energy_per_atom": (placement.formation_energy_per_atom, outcome.formation_energy_per_atom),
        "e_above_hull_on_arrival": (
            placement.e_above_hull_on_arrival,
            position.e_above_hull_on_arrival if defined else None,
        ),
        "decomposition_energy": (placement.decomposition_energy, position.decomposition_energy if defined else None),
        "is_novel": (placement.is_novel, outcome.is_novel),
    }
    return [Difference(name, stored, found) for name, (stored, found) in figures.items() if not _same(stored, found)]


def _same(stored: object, found: object) -> bool:
    """Floats agree to the last digits that a linear programme solved with other phases around it may move."""
    if isinstance(stored, float) and isinstance(found, float):
        return abs(stored - found) <= 1e-10
    return stored == found


def _relaxed_again(candidate: Candidate, placement: Placement, fold: Fold) -> Replay:
    scale = candidate.season.scale
    judge, _ = judge_of(scale.pk)
    initial, how = Crystal.unpack(candidate.detail.geometry or b""), settings_of(scale)
    result = relax_alone(initial, judge, how)
    stored_device = candidate.relaxation.provenance["device"] if candidate.relaxation else ""
    found = partial(Replay, placement, stored_device=stored_device, device=judge.device)
    try:
        accept_relaxed(initial, result.crystal, result, rules=fold.rules, settings=how)
    except Rejected as rejection:  # not to be placed: there may not even be an energy
        return found(None, (Difference("verdict", placement.verdict, str(rejection)),))
    again = replace(
        _arrival(placement.run, candidate),
        energy_per_atom=result.energy_per_atom,
        crystal=lambda: result.crystal,
        structure=None,  # it is another one, however near
    )
    outcome = fold.judge(again)
    differences = []
    if outcome.verdict.value != placement.verdict:
        differences.append(Difference("verdict", placement.verdict, outcome.verdict.value))
    if not abs(result.energy_per_atom - placement.energy_per_atom) <= RELAX_TOLERANCE_EV_PER_ATOM:
        differences.append(Difference("energy_per_atom", placement.energy_per_atom, result.energy_per_atom))
    return found(outcome, tuple(differences), result.energy_per_atom)
