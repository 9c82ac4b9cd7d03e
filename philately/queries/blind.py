"""What a participant sees of a blind season until it closes: nothing that depends on what others submitted.

The hull does, and with it every distance, class and point: whoever sends probes of known energies could read others'
finds from them. So until the close distances are from the hull of the release, classes and points are not told, and of
what matches another's structure it is told that it does, and no more (docs/adr/0020-blind-seasons.md).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Self

from django.db.models import F, Q, QuerySet

from hull.entries import Formula
from hull.store import HullStore, Position
from hull.texts import entries_of_rows
from philately.models import Batch, Phase, Placement, Run
from philately.queries.among import Among
from philately.queries.positions import systems_within
from philately.states import CandidateState
from validation.placing import Verdict

# Which of these it is depends on the hull, or on auditors, who are asked by what the hull says.
CLASSES = frozenset({Verdict.STABLE, Verdict.METASTABLE, Verdict.UNSTABLE, Verdict.HELD})
_MATCHES = frozenset({Verdict.DUPLICATE, Verdict.REFINED})


def shown_as(outcome: str) -> str:
    """What a verdict reads as: a class as placed, what refined a phase as a duplicate."""
    if outcome in CLASSES:
        return CandidateState.PLACED
    return Verdict.DUPLICATE if outcome in _MATCHES else outcome


def judged(outcome: str) -> Q | None:
    """A verdict that is shown as this; None where none is: a filter by a hidden class, or by what an organiser decided,
    finds nothing. For ``fates.with_verdict``."""
    verdicts = [verdict for verdict in Verdict if shown_as(verdict) == outcome]
    return Q(verdict__in=verdicts) if verdicts else None


def sentence_of(placement: Placement) -> str:
    """A verdict's sentence without numbers, energies and owners of phases. Needs ``phase``."""
    if placement.verdict in CLASSES:
        return ""
    if placement.verdict not in _MATCHES:
        return placement.sentence
    whose = "of the release" if placement.phase and placement.phase.release_phase_id else "found earlier"
    return f"the same as a phase {whose}"


def finds_of(run: Run | None, members: Collection[int]) -> QuerySet[Placement]:
    """What these memberships found first, in whatever class; looked up by what they sent, however much others did.

    One small query at once: batches are told one by one, so that the database knows how many rows are theirs. Whether
    it goes through those or through an index of all depends on that.
    """
    season = run.season_id if run else None
    batches = list(Batch.objects.filter(owner__in=members, season=season).values_list("pk", flat=True))
    own = Placement.objects.filter(run=run, candidate__season=season, candidate__batch__in=batches)
    return own.filter(verdict__in=CLASSES, withdrawn_after=None)


@dataclass(frozen=True, slots=True)
class ReleaseHull:
    """The hull of a run's release as far as some formulas can ask, with the energies that were published."""

    store: HullStore | None  # none without a run
    formulas: dict[int, str]  # by the number of an entry

    @classmethod
    def for_formulas(cls, run: Run | None, formulas: Iterable[str]) -> Self:
        """One query."""
        if run is None:
            return cls(None, {})
        systems = systems_within(Formula.parse(formula) for formula in formulas if formula)
        store = HullStore(str(run.scale_id))
        first = run.release.n_phases  # a run's first numbers are the release's, so that nobody else's phases are read
        published = Phase.objects.filter(run=run, number__lte=first, release_phase__isnull=False)
        names = ("number", "release_phase__formula", "release_phase__energy_per_atom")
        rows = list(published.filter(Among(F("chemical_system"), systems)).values_list(*names))
        store.insert_arrays(entries_of_rows(rows))
        return cls(store, {number: text for number, text, _ in rows})

    def position(self, formula: str, energy_per_atom: float | None) -> Position | None:
        """Of an energy in eV/atom at one of the formulas; None where there is no energy, or no run to ask."""
        if energy_per_atom is None or not formula or self.store is None:
            return None
        return self.store.position(Formula.parse(formula), energy_per_atom)
