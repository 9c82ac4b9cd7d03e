"""The table of a batch: what became of each of its structures."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from django.db.models import Sum

from hull.store import STABLE_TOLERANCE, Position
from philately.models import Batch, Candidate, HullPoint, Phase, Placement, Run, ScoreEntry
from philately.queries import blind
from philately.queries.chosen import Keys, chosen_keys
from philately.queries.fates import (
    ACCEPTED,
    decision_on,
    fate_of,
    with_fate,
)
from philately.queries.positions import distance, provisional_positions
from philately.queries.seasons import View
from philately.states import CandidateState, PhaseStatus
from validation.placing import Verdict

PAGE_SIZE = 50
_AS_HEIR = "a twin that stands for itself, because its original does not take part"


@dataclass(frozen=True, slots=True)
class Part:
    """A competing phase and its fraction of the atoms. formula: None where the viewer may not see it yet."""

    formula: str | None
    fraction: float


@dataclass(frozen=True, slots=True)
class BatchRow:
    """What became of one structure. Energies and distances in eV/atom; None where not known or undefined.

    outcome: what ``fate_of`` says, else the verdict where there is one, else the state. missing: the elements for
    which the release has no reference, so that distances are undefined. is_provisional: it waits, and the position is
    as of now. points: None while they are not told.

    In a blind season all but organisers see distances from the release's hull alone, and no class (``blind.shown_as``).
    """

    candidate: int
    arrival: int
    file: str
    block: str
    formula: str
    outcome: str
    reason: str
    sentence: str
    energy_per_atom: float | None = None
    formation_energy_per_atom: float | None = None
    e_above_hull: float | None = None
    e_above_hull_on_arrival: float | None = None
    decomposition_energy: float | None = None
    decomposition: tuple[Part, ...] = ()
    missing: tuple[str, ...] = ()
    points: float | None = 0.0
    is_provisional: bool = False
    space_group_number: int | None = None
    prototype_label: str = ""

    @property
    def is_on_hull(self) -> bool:
        """It is itself a phase on the hull now, whatever it was on arrival."""
        placed = self.outcome in (Verdict.STABLE, Verdict.METASTABLE, Verdict.UNSTABLE, Verdict.REFINED, ACCEPTED)
        return placed and self.e_above_hull is not None and self.e_above_hull <= STABLE_TOLERANCE

    @property
    def missing_text(self) -> str:
        return ", ".join(self.missing)


@dataclass(frozen=True, slots=True)
class Table:
    """following: what to ask for as ``after`` to get the next page; None on the last. looked_through: how many
    structures were looked at for what was asked for, where the page is not full and there are more of them."""

    rows: tuple[BatchRow, ...]
    following: int | None
    looked_through: int | None = None


def table_of(
    view: View, batch: Batch, *, outcome: str = "", reason: str = "", after: int = 0, size: int = PAGE_SIZE
) -> Table:
    """A page of a batch in order of arrival; at most seven queries, however many rows, and two more for a choice."""
    run = view.season.official_run
    rest, keys = batch.candidates.filter(arrival__gt=after), Keys((), None, None)
    if outcome or reason:
        keys = chosen_keys(view, rest, outcome, reason, size)
        rest = Candidate.objects.filter(pk__in=keys.page)
    wide = with_fate(rest, run).select_related("detail", "relaxation").order_by("arrival")
    candidates = list(wide[: size + 1])
    following = candidates[size - 1].arrival if len(candidates) > size else keys.following
    return Table(tuple(_rows(view, run, candidates[:size])), following, keys.looked_through)


def row_of(view: View, candidate: Candidate) -> BatchRow:
    """The row of one candidate; as many queries as for a page of a batch."""
    run = view.season.official_run
    mine = with_fate(Candidate.objects.filter(pk=candidate.pk), run).select_related("detail", "relaxation")
    (row,) = _rows(view, run, list(mine))
    return row


def all_rows(view: View, batch: Batch, *, outcome: str = "", reason: str = "") -> Iterator[BatchRow]:
    """Every row, a page at a time; the first pages are small ones, so that an answer begins at once, and soon
    ends where its reader has gone away."""
    after: int | None = 0
    size = PAGE_SIZE
    while after is not None:
        table = table_of(view, batch, outcome=outcome, reason=reason, after=after, size=size)
        yield from table.rows
        after, size = table.following, min(1000, 2 * size)


def _rows(view: View, run: Run | None, candidates: Sequence[Candidate]) -> Iterator[BatchRow]:
    ids = [candidate.pk for candidate in candidates]
    verdicts = Placement.objects.filter(run=run, candidate__in=ids).select_related("phase", "decision")
    placements = {row.candidate_id: row for row in verdicts}
    if view.veiled:
        yield from _veiled_rows(run, candidates, placements)
        return
    refusals = _refusals(view, placements.values())
    waiting = [candidate for candidate in candidates if candidate.state == CandidateState.RELAXED]
    provisional = provisional_positions(run, waiting)
    formulas = {candidate.formula for candidate in candidates}
    points = {point.formula: point for point in HullPoint.objects.filter(run=run, formula__in=formulas)}
    scores = dict(
        ScoreEntry.objects.filter(run=run, candidate__in=ids)
        .order_by("candidate")
        .values_list("candidate")
        .annotate(n=Sum("points"))
    )
    names = _names(view, run, placements.values(), provisional.values())
    for candidate in candidates:
        row = _bare(candidate)
        if placement := placements.get(candidate.pk):
            row = _decided(_placed(row, placement, points.get(candidate.formula), names), placement, refusals)
        elif position := provisional.get(candidate.pk):
            row = _waiting(row, position, names)
        yield _with_fate(replace(row, points=scores.get(candidate.pk, 0.0)), candidate)


def _veiled_rows(
    run: Run | None, candidates: Sequence[Candidate], placements: Mapping[int, Placement]
) -> Iterator[BatchRow]:
    """Rows in which nothing depends on others' structures."""
    hull = blind.ReleaseHull.for_formulas(run, {candidate.formula for candidate in candidates})
    for candidate in candidates:
        row = _bare(candidate)
        placement = placements.get(candidate.pk)
        if placement is not None:
            row = replace(
                row,
                outcome=blind.shown_as(placement.verdict),
                reason=placement.reason,
                sentence=blind.sentence_of(placement),
                energy_per_atom=placement.energy_per_atom,
                formation_energy_per_atom=placement.formation_energy_per_atom,
            )
        yield _with_fate(_from_release(replace(row, points=None), hull), candidate)


def _from_release(row: BatchRow, hull: blind.ReleaseHull) -> BatchRow:
    position = hull.position(row.formula, row.energy_per_atom)
    if position is None:
        return row
    return replace(
        row,
        e_above_hull=None if row.outcome == Verdict.REJECTED else position.e_above_hull,
        e_above_hull_on_arrival=position.e_above_hull_on_arrival,
        decomposition_energy=position.decomposition_energy,
        decomposition=_parts(position.decomposition, hull.formulas),
        missing=position.missing,
    )


def _refusals(view: View, placements: Iterable[Placement]) -> dict[int, str]:
    """By phase that an organiser refused: why, where the viewer may know. No query where there is none."""
    phases = [one.phase_id for one in placements if one.phase is not None and one.phase.status == PhaseStatus.REFUSED]
    if not phases:
        return {}
    rows = Placement.objects.filter(phase__in=phases, decision__accepted=False).order_by("decision__arrival")
    told = "phase__pk", "decision__reason", "candidate__batch__owner"
    return {phase: f": {reason}" if view.shows(owner) else "" for phase, reason, owner in rows.values_list(*told)}


def _decided(row: BatchRow, placement: Placement, refusals: Mapping[int, str]) -> BatchRow:
    """With what an organiser made of it, or of the phase that it duplicates."""
    outcome, sentence = decision_on(placement)
    if outcome:
        return replace(row, outcome=outcome, reason="", sentence=sentence)
    because = refusals.get(placement.phase_id or 0)
    if because is None:
        return row
    return replace(row, sentence=f"{row.sentence}; an organiser refused that phase{because}")


def _with_fate(row: BatchRow, candidate: Candidate) -> BatchRow:
    """What was taken out of the hull has no distance from it."""
    outcome, sentence = fate_of(candidate)
    if not outcome:
        return replace(row, sentence=f"{row.sentence}; {sentence}".strip("; ")) if sentence else row
    return replace(row, outcome=outcome, reason="", sentence=sentence, e_above_hull=None, is_provisional=False)


def _names(
    view: View, run: Run | None, placements: Iterable[Placement], positions: Iterable[Position]
) -> dict[int, str]:
    """The formula of every competing phase that the viewer may see, by phase number."""
    numbers = {number for placement in placements for number, _ in placement.decomposition}
    numbers |= {number for position in positions for number, _ in position.decomposition}
    phases = Phase.objects.filter(run=run, number__in=numbers)
    named = phases.values_list("number", "formula", "first_candidate__batch__owner")
    return {number: formula for number, formula, owner in named if view.shows(owner)}


def _parts(decomposition: Iterable[Sequence[float]], names: dict[int, str]) -> tuple[Part, ...]:
    return tuple(Part(names.get(int(number)), fraction) for number, fraction in decomposition)


def _bare(candidate: Candidate) -> BatchRow:
    relaxed = candidate.state in (CandidateState.RELAXED, CandidateState.PLACED)
    fact = candidate.relaxation if relaxed else None
    return BatchRow(
        candidate=candidate.pk,
        arrival=candidate.arrival,
        file=candidate.detail.file,
        block=candidate.detail.block,
        formula=candidate.formula,
        outcome=candidate.state,
        reason=candidate.reason,
        sentence=candidate.detail.sentence,
        energy_per_atom=fact.energy_per_atom if fact else None,
        space_group_number=fact.space_group_number if fact else None,
        prototype_label=fact.prototype_label if fact else "",
    )


def _placed(row: BatchRow, placement: Placement, point: HullPoint | None, names: dict[int, str]) -> BatchRow:
    phase = placement.phase
    on_record = phase is not None and phase.status == PhaseStatus.ON_RECORD
    return replace(
        row,
        outcome=placement.verdict,
        reason=placement.reason,
        sentence=placement.sentence or _AS_HEIR * (row.outcome == CandidateState.PARKED),
        energy_per_atom=placement.energy_per_atom,
        formation_energy_per_atom=placement.formation_energy_per_atom,
        e_above_hull=distance(placement.energy_per_atom, point) if on_record else None,
        e_above_hull_on_arrival=placement.e_above_hull_on_arrival,
        decomposition_energy=placement.decomposition_energy,
        decomposition=_parts(placement.decomposition, names),
        missing=tuple(placement.missing_elements),
    )


def _waiting(row: BatchRow, position: Position, names: dict[int, str]) -> BatchRow:
    return replace(
        row,
        e_above_hull=position.e_above_hull,
        e_above_hull_on_arrival=position.e_above_hull_on_arrival,
        decomposition_energy=position.decomposition_energy,
        decomposition=_parts(position.decomposition, names),
        missing=position.missing,
        is_provisional=True,
    )
