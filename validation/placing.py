"""Phase 3 as a fold: relaxed structures go in, in order of arrival; verdicts, hull and points come out.

Nothing here depends on time, workers or a database: the same arrivals give the same outcomes, which is what lets every
verdict be replayed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from hull.entries import Entry, Formula
from hull.reference import Coverage, Release
from hull.store import EventKind, HullPoint, HullStore, Insertion, Position
from validation.crystal import Crystal
from validation.matching import KnownPhase, first_match
from validation.references import reference_crystal
from validation.rules import Reason, Rules
from validation.scoring import PUTS_ON_HULL, Award, Find, Ledger


class Verdict(StrEnum):
    """The class of a placement."""

    STABLE = "stable"
    METASTABLE = "metastable"
    UNSTABLE = "unstable"
    DUPLICATE = "duplicate"
    REFINED = "refined"  # a duplicate that lowers its phase's energy
    REJECTED = "rejected"  # above the formation-energy limit
    HELD = "held"
    UNDEFINED = "undefined"  # the release lacks an element


class Change(StrEnum):
    """What the hull log says of a phase."""

    STABLE = "stable"
    DETHRONED = "dethroned"
    RESTORED = "restored"
    REFINED = "refined"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A relaxed candidate whose turn it is. energy_per_atom: eV/atom on the run's scale."""

    candidate: int
    member: int
    formula: Formula
    energy_per_atom: float
    crystal: Callable[[], Crystal]  # the relaxed cell; fetched only where something of its formula is near in energy


@dataclass(frozen=True, slots=True)
class LogItem:
    kind: Change
    phase: int
    by: int | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one arrival did. phase: the number of its own phase, or of the one that it duplicates or would refine."""

    verdict: Verdict
    phase: int | None
    formation_energy_per_atom: float | None
    position: Position
    is_novel: bool | None
    reason: Reason | None = None
    sentence: str = ""
    log: tuple[LogItem, ...] = ()
    points: tuple[HullPoint, ...] = ()  # the compositions whose hull moved
    awards: tuple[Award, ...] = ()


@dataclass(slots=True)
class KeptPhase:
    """What the fold remembers of a phase. find is None for a phase of the release; in_hull is False while held."""

    number: int
    formula: Formula
    energy_per_atom: float
    crystal: Callable[[], Crystal]
    find: Find | None
    in_hull: bool


class Fold:
    """The state between two placements: phases, hull and ledger. ``place`` changes it; nothing else does."""

    def __init__(self, release: Release, rules: Rules) -> None:
        """An empty season on this release: its phases are numbered as there."""
        self.release = release
        self.rules = rules
        self.hull = HullStore(release.scale_digest)
        self.ledger = Ledger(rules.points)
        self.next_number = 1
        self._phases: dict[int, KeptPhase] = {}
        self._by_formula: dict[Formula, list[KeptPhase]] = defaultdict(list)
        self._systems: set[str] = set()  # with a compound found stable, here or in the release
        for phase in release.phases:
            self._keep(
                KeptPhase(
                    phase.number, phase.formula, phase.energy_per_atom, partial(reference_crystal, phase), None, True
                )
            )
        self.hull.insert_many([Entry(p.number, p.formula, p.energy_per_atom) for p in release.phases])
        for number in self.hull.stable_entries():
            self._systems.add(self._phases[number].formula.chemical_system)

    def restore(self, phases: Iterable[KeptPhase], awards: Iterable[Award]) -> None:
        """Take up a run where it was left: its phases beyond the release's, with the energies they have now, and all
        awards in order. Also phases of the release whose energy a refinement lowered."""
        for phase in phases:
            if phase.number in self._phases:
                self.hull.lower(phase.number, phase.energy_per_atom)
                kept = self._phases[phase.number]
                kept.energy_per_atom, kept.crystal = phase.energy_per_atom, phase.crystal
                continue
            self._keep(phase)
            if phase.in_hull:
                self.hull.insert(Entry(phase.number, phase.formula, phase.energy_per_atom))
        for award in awards:
            self.ledger.record([award])
            if award.reason in PUTS_ON_HULL:
                self._systems.add(Formula.parse(award.formula).chemical_system)

    def place(self, arrival: Arrival) -> Outcome:
        """Match, formation energy, hull, class and points of the next arrival."""
        formation = self.release.formation_energy_per_atom(arrival.formula, arrival.energy_per_atom)
        position = self.hull.position(arrival.formula, arrival.energy_per_atom)
        matched = self._match(arrival)
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
            return self._outcome(Verdict.HELD, phase.number, formation, position, sentence=held)
        return self._accept(arrival, formation, position)

    def kept(self, number: int) -> KeptPhase:
        """The phase with this number; raises KeyError."""
        return self._phases[number]

    def _match(self, arrival: Arrival) -> KeptPhase | None:
        window = self.rules.duplicate_window_ev_per_atom
        near = [
            phase
            for phase in self._by_formula[arrival.formula]
            if abs(phase.energy_per_atom - arrival.energy_per_atom) <= window
        ]
        if not near:
            return None
        known = [KnownPhase(phase.number, phase.crystal(), phase.energy_per_atom) for phase in near]
        number = first_match(arrival.crystal(), arrival.energy_per_atom, known, self.rules)
        return None if number is None else self._phases[number]

    def _duplicate(self, arrival: Arrival, phase: KeptPhase, formation: float | None, position: Position) -> Outcome:
        gain = phase.energy_per_atom - arrival.energy_per_atom
        whose = "of the release" if phase.find is None else "found earlier"
        sentence = f"the same as phase {phase.number} ({phase.formula.written}), {whose}"
        if gain < self.rules.refine_ev_per_atom or not phase.in_hull:
            return self._outcome(
                Verdict.DUPLICATE, phase.number, formation, position, reason=Reason.DUPLICATE, sentence=sentence
            )
        if formation is not None and (held := self._held(arrival, formation, position)):
            # Step by step, each within the window, a reference would sink as far as one likes.
            return self._outcome(Verdict.HELD, phase.number, formation, position, sentence=f"{sentence}; {held}")
        insertion = self.hull.lower(phase.number, arrival.energy_per_atom)
        phase.energy_per_atom, phase.crystal = arrival.energy_per_atom, arrival.crystal
        log, awards = self._consequences(insertion, arriving=None)
        return self._outcome(
            Verdict.REFINED,
            phase.number,
            formation,
            position,
            reason=Reason.DUPLICATE,
            sentence=f"{sentence}; its energy is now {1000 * gain:.1f} meV/atom lower",
            log=(LogItem(Change.REFINED, phase.number, None), *log),
            points=self._moved(insertion),
            awards=tuple(awards),
        )

    def _undefined(self, arrival: Arrival, position: Position) -> Outcome:
        phase = self._new_phase(arrival, in_hull=False)
        missing = ", ".join(sorted(set(arrival.formula.elements) - set(self.release.elements)))
        sentence = f"the release has no reference for {missing}, so its distances are undefined"
        return self._outcome(Verdict.UNDEFINED, phase.number, None, position, sentence=sentence)

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
        # Against elements alone every good compound lowers the hull by much: there it is no sign of an exploit.
        judged = self.release.coverage is not Coverage.ELEMENTS
        if judged and on_arrival is not None and on_arrival < rules.held_on_arrival_ev_per_atom:
            limit = rules.held_on_arrival_ev_per_atom
            return f"it lowers the hull by {-on_arrival:.3f} eV/atom (limit {-limit:g}); an organiser looks at it"
        return ""

    def _accept(self, arrival: Arrival, formation: float, position: Position) -> Outcome:
        phase = self._new_phase(arrival, in_hull=True)
        insertion = self.hull.insert(Entry(phase.number, arrival.formula, arrival.energy_per_atom))
        verdict = self._class(position)
        log, corrections = self._consequences(insertion, arriving=phase.number)
        find = phase.find
        assert find is not None
        awards = self.ledger.for_unique(find)
        system = arrival.formula.chemical_system
        if verdict is Verdict.STABLE:
            opens = len(arrival.formula.elements) > 1 and system not in self._systems
            awards += self.ledger.for_stable(find, first_of_system=opens)
            self._systems.add(system)
        elif verdict is Verdict.METASTABLE:
            awards += self.ledger.for_metastable(find)
        return self._outcome(
            verdict,
            phase.number,
            formation,
            position,
            log=log,
            points=self._moved(insertion),
            awards=(*awards, *corrections),
        )

    def _class(self, position: Position) -> Verdict:
        on_arrival = position.e_above_hull_on_arrival
        assert on_arrival is not None  # the release knows every element, so the hull is defined
        if on_arrival <= self.rules.stable_on_arrival_ev_per_atom:
            return Verdict.STABLE
        return Verdict.METASTABLE if on_arrival <= self.rules.metastable_ev_per_atom else Verdict.UNSTABLE

    def _consequences(self, insertion: Insertion, *, arriving: int | None) -> tuple[tuple[LogItem, ...], list[Award]]:
        """The log of an insertion and what it takes from and gives to the finders of other phases."""
        log, awards = [], []
        for event in insertion.events:
            log.append(LogItem(Change(event.kind.value), event.entry_id, event.by))
            find = self._phases[event.entry_id].find
            if find is None or event.entry_id == arriving:
                continue
            if event.kind is EventKind.DETHRONED:
                awards += self.ledger.for_dethroned(find)
                awards += self._still_metastable(find)
            else:
                awards += self.ledger.for_return(find)
                self._systems.add(self._phases[event.entry_id].formula.chemical_system)
        return tuple(log), awards

    def _still_metastable(self, find: Find) -> list[Award]:
        distance = self.hull.e_above_hull(find.phase)
        if distance is None or distance > self.rules.metastable_ev_per_atom:
            return []
        return self.ledger.for_metastable(find)

    def _moved(self, insertion: Insertion) -> tuple[HullPoint, ...]:
        points = (self.hull.point(formula) for formula in insertion.moved)
        return tuple(point for point in points if point is not None)

    def _new_phase(self, arrival: Arrival, *, in_hull: bool) -> KeptPhase:
        find = Find(arrival.member, arrival.candidate, self.next_number, str(arrival.formula))
        phase = KeptPhase(self.next_number, arrival.formula, arrival.energy_per_atom, arrival.crystal, find, in_hull)
        self._keep(phase)
        return phase

    def _keep(self, phase: KeptPhase) -> None:
        self._phases[phase.number] = phase
        self._by_formula[phase.formula].append(phase)
        self.next_number = max(self.next_number, phase.number + 1)

    def _outcome(
        self,
        verdict: Verdict,
        phase: int | None,
        formation: float | None,
        position: Position,
        *,
        reason: Reason | None = None,
        sentence: str = "",
        log: tuple[LogItem, ...] = (),
        points: tuple[HullPoint, ...] = (),
        awards: tuple[Award, ...] = (),
    ) -> Outcome:
        novel = None
        if self.release.coverage is Coverage.FULL:
            novel = phase is None or self._phases[phase].find is not None
        return Outcome(verdict, phase, formation, position, novel, reason, sentence, log, points, awards)
