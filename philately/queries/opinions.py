"""The auditors of a run, what they said of structures, and how that reads."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from django.db.models import F, Q

from hull.entries import Entry, Formula
from hull.store import HullStore
from philately.models import Candidate, Opinion, Phase, Placement, Release, Run, RunAuditor
from philately.queries.among import Among
from philately.queries.grounds import grounds_of, vertices_of
from philately.queries.positions import systems_within
from philately.states import OpinionState, PhaseStatus
from validation.auditing import Auditor, Heard
from validation.formation import Grounds
from validation.relaxation import Stopped
from validation.rules import Rules

_ASKED = 2000  # structures a statement
_FINAL = (OpinionState.GIVEN, OpinionState.SET_ASIDE)


@dataclass(frozen=True, slots=True)
class Audited:
    """A structure for auditors. formation_energy_per_atom: by the season's judge, eV/atom."""

    relaxation: int
    formula: str
    formation_energy_per_atom: float | None


@dataclass(frozen=True, slots=True)
class OpinionRow:
    """What an auditor says of a structure, energies in eV/atom on its own scale; None where it said nothing.

    e_above_hull: from the hull of its own release and of all finds of the run that it was asked about. difference: of
    its formation energy from the judge's, without the corrections that one of them learned. agrees: within the limit of
    the rules. note: what else there is to say.
    """

    auditor: str
    energy_per_atom: float | None = None
    formation_energy_per_atom: float | None = None
    e_above_hull: float | None = None
    difference: float | None = None
    agrees: bool | None = None
    note: str = ""


def auditor_rows(run: Run | None) -> list[RunAuditor]:
    """In the order in which they were named, with ``release__scale``. One query."""
    return [] if run is None else list(run.auditors.select_related("release__scale").order_by("pk"))


def auditors_of(run: Run) -> tuple[Auditor, ...]:
    """As the fold takes them."""
    return tuple(Auditor(row.release.scale.name, grounds_of(row.release)) for row in auditor_rows(run))


def releases_of(run: Run | None) -> list[Release]:
    """Those of its auditors."""
    return [row.release for row in auditor_rows(run)]


def heard_of(run: Run, relaxations: Collection[int]) -> dict[int, dict[str, Heard]]:
    """By relaxation and auditor's name; only what is final. Where verdicts rest on an auditor's silence, that: it may
    have been asked again since, but the same facts give the same verdicts."""
    scales = {row.release.scale_id: row.release.scale.name for row in auditor_rows(run)}
    heard: dict[int, dict[str, Heard]] = {}
    if not scales:
        return heard
    final = Opinion.objects.filter(Q(state__in=_FINAL) | ~Q(silence=""), scale__in=scales)
    wanted = list(relaxations)
    for start in range(0, len(wanted), _ASKED):
        some = final.filter(relaxation__in=wanted[start : start + _ASKED])
        for opinion in some.select_related("result"):
            said = Heard(None, opinion.silence) if opinion.silence else heard_in(opinion)
            heard.setdefault(opinion.relaxation_id, {})[scales[opinion.scale_id]] = said
    return heard


def heard_in(opinion: Opinion) -> Heard:
    """What a final opinion says."""
    return Heard(None, opinion.problem) if opinion.result is None else Heard.of(opinion.result)


def opinions_of(run: Run | None, structures: Sequence[Audited]) -> dict[int, list[OpinionRow]]:
    """By relaxation, a row for each of the run's auditors; empty where it has none.

    Three queries an auditor and two more, however many structures, beside what ``vertices_of`` keeps. Needs the run's
    ``release__scale``.
    """
    rows: dict[int, list[OpinionRow]] = {one.relaxation: [] for one in structures}
    if run is None or not structures:
        return rows
    named_ones = auditor_rows(run)
    if not named_ones:
        return rows
    limit, judge = Rules.from_json(run.rules).held_auditor_difference_ev_per_atom, grounds_of(run.release)
    for named in named_ones:
        auditor = Auditor(named.release.scale.name, grounds_of(named.release))
        found = Opinion.objects.filter(scale=named.release.scale_id, relaxation__in=list(rows))
        opinions = {opinion.relaxation_id: opinion for opinion in found.select_related("result")}
        hull = _hull_by(run, named.release, structures, opinions.values())
        for one in structures:
            opinion = opinions.get(one.relaxation)
            rows[one.relaxation].append(_row(one, auditor, opinion, hull, (judge, limit)))
    return rows


def opinions_on(run: Run | None, candidate: Candidate) -> list[OpinionRow]:
    """Of one candidate; none where the run placed it without asking anybody, or not at all."""
    if run is None or candidate.relaxation_id is None:
        return []
    placement = Placement.objects.filter(run=run, candidate=candidate).first()
    formation = None if placement is None else placement.formation_energy_per_atom
    one = Audited(candidate.relaxation_id, candidate.formula, formation)
    rows = opinions_of(run, [one])[one.relaxation]
    return rows if any(row.note or row.energy_per_atom is not None for row in rows) else []


def _row(
    one: Audited, auditor: Auditor, opinion: Opinion | None, hull: HullStore | None, against: tuple[Grounds, float]
) -> OpinionRow:
    """against: the judge's grounds, and the limit of the difference."""
    formula = Formula.parse(one.formula)
    if not auditor.is_asked_about(formula):
        return OpinionRow(auditor.name, note=f"no reference for {', '.join(auditor.grounds.missing(formula))}")
    if opinion is None:
        return OpinionRow(auditor.name)
    if opinion.state not in _FINAL:
        return OpinionRow(auditor.name, note="asked, not heard yet")
    heard = heard_in(opinion)
    formation = auditor.formation_energy_per_atom(formula, heard)
    if heard.energy_per_atom is None or formation is None or hull is None:
        return OpinionRow(auditor.name, agrees=False, note=heard.problem)
    judged, (judge, limit) = one.formation_energy_per_atom, against
    difference = None if judged is None else auditor.difference(formula, heard, judged, judge)
    slow = opinion.result is not None and opinion.result.stopped == Stopped.MAX_STEPS
    return OpinionRow(
        auditor.name,
        heard.energy_per_atom,
        formation,
        hull.position(formula, heard.energy_per_atom).e_above_hull,
        difference,
        None if difference is None else abs(difference) <= limit,
        f"not converged after {opinion.result.steps} steps" if slow and opinion.result is not None else "",
    )


def _hull_by(
    run: Run, release: Release, structures: Iterable[Audited], opinions: Iterable[Opinion]
) -> HullStore | None:
    """The auditor's hull as far as these structures can ask: its release, and the run's finds that it knows."""
    if not any(opinion.result_id for opinion in opinions):
        return None
    systems = systems_within(Formula.parse(one.formula) for one in structures)
    vertices = vertices_of(release.pk)
    entries = [phase for system in systems for phase in vertices.get(system, ())] + _finds(run, release, systems)
    store = HullStore(release.scale.digest)
    store.insert_many(Entry(number, formula, energy) for number, (formula, energy) in enumerate(entries, start=1))
    return store


def _finds(run: Run, release: Release, systems: Collection[str]) -> list[tuple[Formula, float]]:
    """The run's phases on record with the auditor's energies, eV/atom."""
    known = Phase.objects.filter(
        Among(F("chemical_system"), systems),
        run=run,
        status=PhaseStatus.ON_RECORD,
        candidate__relaxation__opinions__scale=release.scale_id,
        candidate__relaxation__opinions__state=OpinionState.GIVEN,
    )
    rows = known.values_list("formula", "candidate__relaxation__opinions__result__energy_per_atom")
    return [(Formula.parse(formula), energy) for formula, energy in rows if energy is not None]
