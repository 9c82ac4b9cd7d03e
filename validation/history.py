"""A fold in memory from which structures are taken out again, and into which held ones are let: what a run was at any
moment, withdrawals and organisers' decisions included."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

from hull.reference import Release
from validation.auditing import Auditor
from validation.crystal import Crystal
from validation.memory import KeptPhase
from validation.placing import Arrival, Fold, Outcome, Verdict
from validation.references import reference_crystal
from validation.rules import Rules
from validation.withdrawing import Remains, Representative, change_hull, remains_of


class History:
    """Arrivals, withdrawals and acceptances in the order in which they happened. Points are not its business."""

    def __init__(self, release: Release, rules: Rules, auditors: tuple[Auditor, ...] = ()) -> None:
        """An empty season on this release."""
        self.fold = Fold.on(release, rules, auditors)
        self._release = {phase.number: phase for phase in release.phases}
        self._arrivals: dict[int, Arrival] = {}  # by candidate
        self._phases: dict[int, KeptPhase] = {}  # by candidate, what it was placed in
        self._placed: dict[int, list[Representative]] = defaultdict(list)  # by phase
        self._lowest: dict[int, int] = {}  # by phase: the candidate whose energy it has, if it is one's

    def place(self, arrival: Arrival) -> Outcome:
        outcome = self.fold.judge(arrival)
        if outcome.phase is not None:
            number, refined = outcome.phase, outcome.verdict is Verdict.REFINED
            held = outcome.verdict is Verdict.HELD
            kept = next(one for one in self.fold.memory.phases[arrival.formula] if one.number == number)
            if refined or (kept.find is not None and kept.find.candidate == arrival.candidate):
                self._lowest[number] = arrival.candidate
            self._arrivals[arrival.candidate], self._phases[arrival.candidate] = arrival, kept
            self._placed[number].append(Representative(arrival.candidate, arrival.energy_per_atom, held))
        return outcome

    def accept(self, candidate: int) -> None:
        """An organiser accepts what was held; nothing where it is not, or no longer."""
        kept, arrival = self._phases.get(candidate), self._arrivals.get(candidate)
        if kept is None or arrival is None:
            return
        held = Representative(candidate, arrival.energy_per_atom, held=True)
        placed = self._placed[kept.number]
        if kept.in_hull and held not in placed:
            return
        if not kept.in_hull and (kept.find is None or kept.find.candidate != candidate or self._is_undefined(kept)):
            return
        outcome = self.fold.admit(kept, arrival)
        self._placed[kept.number] = [replace(one, held=False) if one == held else one for one in placed]
        if outcome.verdict is Verdict.REFINED:
            self._lowest[kept.number] = candidate

    def _is_undefined(self, kept: KeptPhase) -> bool:
        return self.fold.grounds.formation_energy_per_atom(kept.formula, kept.energy_per_atom) is None

    def withdraw(self, candidate: int) -> None:
        """Take out what was placed; nothing where it has no phase."""
        kept = self._phases.pop(candidate, None)
        if kept is None:
            return
        number, finder = kept.number, None if kept.find is None else kept.find.candidate
        others = self._placed[number] = [one for one in self._placed[number] if one.candidate != candidate]
        if candidate not in (finder, self._lowest.get(number)):
            return
        lowest = Representative(self._lowest.get(number), kept.energy_per_atom)
        own = self._release.get(number)
        every = [Representative(None, own.energy_per_atom), *others] if own is not None else others
        remains = remains_of(candidate, finder, lowest, every, in_hull=kept.in_hull)
        change_hull(self.fold.hull, number, kept.formula, kept.energy_per_atom if kept.in_hull else None, remains)
        self._rewrite(kept, remains)

    def _rewrite(self, kept: KeptPhase, remains: Remains | None) -> None:
        if remains is None:
            self.fold.memory.phases[kept.formula].remove(kept)
            return
        kept.in_hull, kept.energy_per_atom = remains.in_hull, remains.lowest.energy_per_atom
        kept.crystal = self._crystal(kept.number, remains.lowest.candidate)
        if remains.lowest.candidate is None:
            self._lowest.pop(kept.number, None)
        else:
            self._lowest[kept.number] = remains.lowest.candidate
        if kept.find is not None and remains.first is not None and remains.first.candidate is not None:
            arrival = self._arrivals[remains.first.candidate]
            kept.find = replace(kept.find, member=arrival.member, candidate=arrival.candidate)
            self.fold.memory.finds[kept.number] = kept.find

    def _crystal(self, number: int, candidate: int | None) -> Callable[[], Crystal]:
        if candidate is not None:
            return self._arrivals[candidate].crystal
        own = self._release[number]
        return lambda: reference_crystal(own)
