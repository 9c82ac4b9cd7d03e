"""Phase 3 as a fold: relaxed structures go in, in order of arrival; verdicts, hull and points come out.

Nothing here depends on time, workers or a database: the same arrivals give the same outcomes, which is what lets every
verdict be replayed.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from hull.arrays import EntryArrays
from hull.entries import Entry, Formula
from hull.moved import NOTHING_MOVED, Moved
from hull.reference import Coverage, Release
from hull.store import EventKind, HullStore, Insertion, Position
from validation.auditing import Auditor, objection_to
from validation.formation import Grounds
from validation.matching import KnownPhase, Match, first_match
from validation.memory import KeptPhase, Memory
from validation.references import reference_crystal
from validation.rules import Reason, Rules
from validation.scoring import Award, Find, Ledger
from validation.verdicts import Arrival, Change, LogItem, Outcome, Verdict, text_of

__all__ = ["Arrival", "Change", "Fold", "KeptPhase", "LogItem", "Memory", "Outcome", "Verdict"]

_BY_COMPOUNDS = 3  # version of the rules since which it counts what the hull beneath a deep arrival is made of
_ROUNDING_EV = 1e-6  # eV/atom, far above that of a hull


class Fold:
    """The state between two placements: hull, memory and the number of the next phase.

    ``place`` changes it; so do its halves, of which ``award`` may come for many arrivals after ``judge`` has come for
    all of them: no verdict depends on points.
    """

    def __init__(
        self,
        grounds: Grounds,
        rules: Rules,
        hull: HullStore,
        memory: Memory,
        *,
        next_number: int,
        auditors: tuple[Auditor, ...] = (),
    ) -> None:
        """Take up a run where it was left. memory: may be another for each arrival, as far as it can ask."""
        self.grounds = grounds
        self.rules = rules
        self.hull = hull
        self.memory = memory
        self.next_number = next_number
        self.auditors = auditors

    @classmethod
    def on(cls, release: Release, rules: Rules, auditors: tuple[Auditor, ...] = ()) -> Fold:
        """An empty season on this release, all in memory: its phases are numbered as there."""
        hull, memory = HullStore(release.scale_digest), Memory.whole(rules.points)
        hull.insert_arrays(EntryArrays.of(Entry(p.number, p.formula, p.energy_per_atom) for p in release.phases))
        for p in release.phases:
            crystal = partial(reference_crystal, p)
            memory.keep(KeptPhase(p.number, p.formula, p.energy_per_atom, crystal, find=None, in_hull=True))
        formulas = {p.number: p.formula for p in release.phases}
        memory.systems |= {formulas[number].chemical_system for number in hull.stable_entries()}
        number = len(release.phases) + 1
        return cls(Grounds.of(release), rules, hull, memory, next_number=number, auditors=auditors)

    def forget_arrivals(self) -> None:
        """What the memory has for those that were placed last; whoever places others brings their own."""
        self.memory = Memory(Ledger(self.rules.points), self.memory.systems)

    def place(self, arrival: Arrival) -> Outcome:
        """Match, formation energy, hull, class and points of the next arrival."""
        outcome = self.judge(arrival)
        return replace(outcome, awards=self.award(arrival, outcome))

    def judge(self, arrival: Arrival) -> Outcome:
        """All but the points. The memory must have the phases of the arrival's formula near it in energy.

        Raises Unheard, and changes nothing, where its auditors have to be asked first.
        """
        formation = self.grounds.formation_energy_per_atom(arrival.formula, arrival.energy_per_atom)
        matched = self._match(arrival)
        if matched is None and formation is not None and self._is_inconspicuous(arrival, formation):
            return self._accept(arrival, formation)
        position = self.hull.position(arrival.formula, arrival.energy_per_atom)
        if matched is not None:
            return self._duplicate(arrival, matched, formation, position)
        if formation is None:
            return self._undefined(arrival, position)
        limit = self.rules.max_formation_energy_ev_per_atom
        if formation > limit:
            sentence = f"its formation energy is {formation:.3f} eV/atom; at most {limit:g} is accepted"
            return self._outcome(
                Verdict.REJECTED, None, formation, position, reason=Reason.FORMATION_ENERGY, sentence=sentence
            )
        if held := self._held(arrival, formation, position):
            phase = self._new_phase(arrival, in_hull=False)
            return self._outcome(Verdict.HELD, phase, formation, position, sentence=held)
        return self._accept(arrival, formation)

    def admit(self, phase: KeptPhase, arrival: Arrival) -> Outcome:
        """An organiser accepts what was held: its phase comes onto the record, or takes its lower energy. The class is
        that of the moment. phase: the arrival's own, or the one that it would refine, as it is now."""
        formation = self.grounds.formation_energy_per_atom(arrival.formula, arrival.energy_per_atom)
        position = self.hull.position(arrival.formula, arrival.energy_per_atom)
        if phase.in_hull and phase.energy_per_atom <= arrival.energy_per_atom:
            return self._outcome(Verdict.DUPLICATE, phase, formation, position, reason=Reason.DUPLICATE)
        if phase.in_hull:
            return self._refined(arrival, phase, formation, position, "")
        insertion = self.hull.insert(Entry(phase.number, arrival.formula, arrival.energy_per_atom))
        phase.in_hull = True
        return self._outcome(
            self._class(insertion.on_arrival),
            phase,
            formation,
            insertion.on_arrival,
            log=(LogItem(Change.ACCEPTED, phase.number, None), *self._log(insertion)),
            moved=insertion.moved,
        )

    def award(self, arrival: Arrival, outcome: Outcome) -> tuple[Award, ...]:
        """The points of what was judged, in the order of arrival. The memory must have the ledger of the arrival's
        member and formula, whether its system is open, and the finds of the phases in the log with their ledger."""
        accepted = outcome.verdict in (Verdict.STABLE, Verdict.METASTABLE, Verdict.UNSTABLE)
        corrections = self._corrections(outcome, arriving=outcome.phase if accepted else None)
        return (*self._earned(arrival, outcome), *corrections) if accepted else tuple(corrections)

    def _match(self, arrival: Arrival) -> KeptPhase | None:
        window = self.rules.duplicate_window_ev_per_atom
        near = [
            phase
            for phase in self.memory.phases[arrival.formula]
            if abs(phase.energy_per_atom - arrival.energy_per_atom) <= window
        ]
        if not near:
            return None
        fits, structure = self.memory.fits, arrival.structure
        matching = [
            Match(phase.number, distance, abs(phase.energy_per_atom - arrival.energy_per_atom))
            for phase in near
            if not fits.is_open(structure, phase.structure)
            and (distance := fits.distance(structure, phase.structure)) is not None
        ]
        unknown = [phase for phase in near if fits.is_open(structure, phase.structure)]
        if unknown:
            known = [KnownPhase(phase.number, phase.crystal(), phase.energy_per_atom) for phase in unknown]
            found = first_match(arrival.crystal(), arrival.energy_per_atom, known, self.rules)
            matching += [found] if found else []
        best = min(matching, key=Match.rank, default=None)
        return None if best is None else next(phase for phase in near if phase.number == best.number)

    def _duplicate(self, arrival: Arrival, phase: KeptPhase, formation: float | None, position: Position) -> Outcome:
        gain = phase.energy_per_atom - arrival.energy_per_atom
        whose = "of the release" if phase.find is None else "found earlier"
        sentence = f"the same as phase {phase.number} ({phase.formula.written}), {whose}"
        if gain < self.rules.refine_ev_per_atom or not phase.in_hull:
            return self._outcome(
                Verdict.DUPLICATE, phase, formation, position, reason=Reason.DUPLICATE, sentence=sentence
            )
        if formation is not None and (held := self._held(arrival, formation, position)):
            # Step by step, each within the window, a reference would sink as far as one likes.
            return self._outcome(Verdict.HELD, phase, formation, position, sentence=f"{sentence}; {held}")
        return self._refined(
            arrival, phase, formation, position, f"{sentence}; its energy is now {1000 * gain:.1f} meV/atom lower"
        )

    def _refined(
        self, arrival: Arrival, phase: KeptPhase, formation: float | None, position: Position, sentence: str
    ) -> Outcome:
        """The phase takes the arrival's energy, which is lower."""
        insertion = self.hull.lower(phase.number, arrival.energy_per_atom)
        phase.energy_per_atom, phase.crystal = arrival.energy_per_atom, arrival.crystal
        phase.structure = arrival.structure
        return self._outcome(
            Verdict.REFINED,
            phase,
            formation,
            position,
            reason=Reason.DUPLICATE,
            sentence=sentence,
            log=(LogItem(Change.REFINED, phase.number, None), *self._log(insertion)),
            moved=insertion.moved,
        )

    def _undefined(self, arrival: Arrival, position: Position) -> Outcome:
        phase = self._new_phase(arrival, in_hull=False)
        missing = ", ".join(self.grounds.missing(arrival.formula))
        sentence = f"the release has no reference for {missing}, so its distances are undefined"
        return self._outcome(Verdict.UNDEFINED, phase, None, position, sentence=sentence)

    def _is_inconspicuous(self, arrival: Arrival, formation: float) -> bool:
        """Whether its formation energy alone shows that it is neither rejected nor held, wherever the hull is: that is
        never above the elements, so nothing lowers it by more than its formation energy. Then its position need not be
        asked for twice. With auditors it must: they are asked about what is stable."""
        if self.auditors:
            return False
        rules = self.rules
        lowest = max(rules.held_formation_energy_ev_per_atom, rules.held_on_arrival_ev_per_atom) + _ROUNDING_EV
        return not arrival.formula.is_element and lowest < formation <= rules.max_formation_energy_ev_per_atom

    def _held(self, arrival: Arrival, formation: float, position: Position) -> str:
        """Why an organiser must look first; empty where nothing is suspicious."""
        rules = self.rules
        on_arrival = position.e_above_hull_on_arrival
        if arrival.formula.is_element and formation < -rules.held_below_reference_ev_per_atom:
            return (
                f"it lies {-formation:.3f} eV/atom below the reference of its element "
                f"(limit {rules.held_below_reference_ev_per_atom:g}); an organiser looks at it"
            )
        if formation < rules.held_formation_energy_ev_per_atom:
            limit = rules.held_formation_energy_ev_per_atom
            return f"its formation energy is {formation:.3f} eV/atom (limit {limit:g}); an organiser looks at it"
        depth = rules.held_on_arrival_ev_per_atom
        if on_arrival is not None and on_arrival < depth and self._is_suspicious(arrival.formula, position):
            return f"it lowers the hull by {-on_arrival:.3f} eV/atom (limit {-depth:g}); an organiser looks at it"
        return self._objection(arrival, formation, position)

    def _is_suspicious(self, formula: Formula, position: Position) -> bool:
        """Of what lowers the hull by much. Where a hull lacks most compounds, good ones do: against prototypes a
        quarter of real crystals, but none where the hull beneath them is of compounds alone.
        """
        coverage = self.grounds.coverage
        if self.rules.version < _BY_COMPOUNDS:
            return coverage is not Coverage.ELEMENTS
        return coverage is Coverage.FULL or self._is_among_compounds(formula, position)

    def _is_among_compounds(self, formula: Formula, position: Position) -> bool:
        """Whether the hull beneath is of compounds alone, or of its own composition; else an element stands there for
        compounds that nobody has found yet."""
        on_arrival, others = position.e_above_hull_on_arrival, position.decomposition_energy
        if on_arrival is None or others is None:  # an element has a rule of its own
            return False
        points = (self.hull.point(Formula.parse(element)) for element in formula.elements)
        corners = {point.lowest_entry for point in points if point is not None}
        return on_arrival > others or not any(number in corners for number, _ in position.decomposition)

    def _objection(self, arrival: Arrival, formation: float, position: Position) -> str:
        """What its auditors have against a find that is stable, or a duplicate that makes its phase so."""
        if not (self.auditors and self.would_be_stable(position)):
            return ""
        limit = self.rules.held_auditor_difference_ev_per_atom
        asked = arrival.candidate, arrival.formula
        return objection_to(asked, formation, self.grounds, self.auditors, arrival.heard, limit)

    def would_be_stable(self, position: Position) -> bool:
        """Of a position on arrival."""
        on_arrival = position.e_above_hull_on_arrival
        return on_arrival is not None and on_arrival <= self.rules.stable_on_arrival_ev_per_atom

    def _accept(self, arrival: Arrival, formation: float) -> Outcome:
        phase = self._new_phase(arrival, in_hull=True)
        insertion = self.hull.insert(Entry(phase.number, arrival.formula, arrival.energy_per_atom))
        return self._outcome(
            self._class(insertion.on_arrival),
            phase,
            formation,
            insertion.on_arrival,
            log=self._log(insertion),
            moved=insertion.moved,
        )

    def _class(self, position: Position) -> Verdict:
        on_arrival = position.e_above_hull_on_arrival
        assert on_arrival is not None  # the release knows every element, so the hull is defined
        if self.would_be_stable(position):
            return Verdict.STABLE
        return Verdict.METASTABLE if on_arrival <= self.rules.metastable_ev_per_atom else Verdict.UNSTABLE

    def _log(self, insertion: Insertion) -> tuple[LogItem, ...]:
        return tuple(
            LogItem(
                Change(event.kind.value),
                event.entry_id,
                event.by,
                self.hull.e_above_hull(event.entry_id) if event.kind is EventKind.DETHRONED else None,
            )
            for event in insertion.events
        )

    def _earned(self, arrival: Arrival, outcome: Outcome) -> list[Award]:
        """What an accepted arrival is worth to its finder."""
        assert outcome.phase is not None
        find = self.memory.finds[outcome.phase]
        assert find is not None
        ledger, systems = self.memory.ledger, self.memory.systems
        awards = ledger.for_unique(find)
        if outcome.verdict is Verdict.STABLE:
            system = arrival.formula.chemical_system
            awards += ledger.for_stable(find, first_of_system=not arrival.formula.is_element and system not in systems)
            systems.add(system)
        elif outcome.verdict is Verdict.METASTABLE:
            awards += ledger.for_metastable(find)
        return awards

    def _corrections(self, outcome: Outcome, *, arriving: int | None) -> list[Award]:
        """What a log takes from and gives to the finders of other phases than the arriving one."""
        ledger, awards = self.memory.ledger, []
        for item in outcome.log:
            if item.kind is Change.REFINED or item.phase == arriving:
                continue
            find = self.memory.finds[item.phase]
            if find is None:
                continue
            if item.kind is Change.DETHRONED:
                awards += ledger.for_dethroned(find)
                if item.e_above_hull is not None and item.e_above_hull <= self.rules.metastable_ev_per_atom:
                    awards += ledger.for_still_metastable(find)
            else:
                awards += ledger.for_return(find)
                self.memory.systems.add(Formula.parse(find.formula).chemical_system)
        return awards

    def _new_phase(self, arrival: Arrival, *, in_hull: bool) -> KeptPhase:
        find = Find(arrival.member, arrival.candidate, self.next_number, text_of(arrival.formula))
        phase = KeptPhase(
            find.phase, arrival.formula, arrival.energy_per_atom, arrival.crystal, find, in_hull, arrival.structure
        )
        self.memory.keep(phase)
        self.next_number += 1
        return phase

    def _outcome(
        self,
        verdict: Verdict,
        phase: KeptPhase | None,
        formation: float | None,
        position: Position,
        *,
        reason: Reason | None = None,
        sentence: str = "",
        log: tuple[LogItem, ...] = (),
        moved: Moved = NOTHING_MOVED,
    ) -> Outcome:
        novel = None
        if self.grounds.coverage is Coverage.FULL:
            novel = phase is None or phase.find is not None
        number = None if phase is None else phase.number
        return Outcome(verdict, number, formation, position, novel, reason, sentence, log, moved)
