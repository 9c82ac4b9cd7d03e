"""Auditors: second judges, each on an energy scale and a release of its own, who are asked about stable finds.

A find that exploits one potential seldom exploits another. Energies of two scales never meet in one hull, so formation
energies are compared, each measured from its own scale's elements and without the corrections that one of the two
may have learned (``validation.corrections``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from hull.entries import Formula
from validation.formation import Grounds
from validation.relaxation import Stopped


class HowItEnded(Protocol):
    """The end of a relaxation, fresh or read back from where it is kept. stopped: a value of ``Stopped``."""

    @property
    def stopped(self) -> str: ...
    @property
    def energy_per_atom(self) -> float | None: ...
    @property
    def note(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Heard:
    """What an auditor made of a find's relaxed crystal. energy_per_atom: eV/atom on its own scale, after relaxing it.

    problem: why there is no energy, empty where there is one.
    """

    energy_per_atom: float | None
    problem: str = ""

    @classmethod
    def of(cls, found: HowItEnded) -> Heard:
        """From the auditor's relaxation; one that ran out of steps says where it had come to."""
        if found.stopped == Stopped.EXPLODED:
            return cls(None, f"its relaxation ran away, {found.note}")
        return cls(found.energy_per_atom)


@dataclass(frozen=True, slots=True)
class Auditor:
    """A second judge by its name, and what it measures formation energies from."""

    name: str
    grounds: Grounds

    def is_asked_about(self, formula: Formula) -> bool:
        """Not where its release lacks an element: it has no opinion there."""
        return not self.grounds.missing(formula)

    def formation_energy_per_atom(self, formula: Formula, heard: Heard) -> float | None:
        """eV/atom on its own scale; None where it came to no energy, or its release lacks an element."""
        if heard.energy_per_atom is None:
            return None
        return self.grounds.formation_energy_per_atom(formula, heard.energy_per_atom)

    def difference(self, formula: Formula, heard: Heard, formation: float, judge: Grounds) -> float | None:
        """Of its formation energy from the judge's, eV/atom, corrections taken out of both; None where it has none.

        formation: the judge's; judge: what that was measured from.
        """
        theirs = self.formation_energy_per_atom(formula, heard)
        if theirs is None:
            return None
        return self.grounds.without_corrections(formula, theirs) - judge.without_corrections(formula, formation)

    def objection(self, formula: Formula, heard: Heard, formation: float, judge: Grounds, limit: float) -> str:
        """Why an organiser must look at a find; empty where the two agree.

        formation, judge: as in ``difference``. limit: on that, eV/atom. That the auditor comes to no energy is an
        objection, too.
        """
        apart = self.difference(formula, heard, formation, judge)
        if apart is None:
            return f"the auditor {self.name} comes to no energy: {heard.problem}; an organiser looks at it"
        if abs(apart) <= limit:
            return ""
        theirs = self.formation_energy_per_atom(formula, heard)
        corrected = self.grounds.corrections or judge.corrections
        return (
            f"its formation energy is {formation:.3f} eV/atom, and {theirs:.3f} by the auditor {self.name}: "
            f"{abs(apart):.3f} apart{' without the corrections of anions' if corrected else ''} (limit {limit:g}); "
            "an organiser looks at it"
        )


class Unheard(Exception):
    """A find cannot be judged before its auditors were asked."""

    def __init__(self, candidate: int, auditors: tuple[str, ...]) -> None:
        super().__init__(f"candidate {candidate} waits for {', '.join(auditors)}")
        self.candidate = candidate
        self.auditors = auditors


def objection_to(
    arrival: tuple[int, Formula],
    formation: float,
    judge: Grounds,
    auditors: tuple[Auditor, ...],
    heard: Mapping[str, Heard],
    limit: float,
) -> str:
    """The first objection of those who are asked, empty where all agree. heard: by auditor. Raises Unheard."""
    candidate, formula = arrival
    if silent := silent_about(formula, auditors, heard):
        raise Unheard(candidate, tuple(auditor.name for auditor in silent))
    asked = (auditor for auditor in auditors if auditor.is_asked_about(formula))
    objections = (auditor.objection(formula, heard[auditor.name], formation, judge, limit) for auditor in asked)
    return next(filter(None, objections), "")


def silent_about(formula: Formula, auditors: Iterable[Auditor], heard: Mapping[str, Heard]) -> list[Auditor]:
    """Who has to be asked still. heard: by auditor."""
    return [auditor for auditor in auditors if auditor.name not in heard and auditor.is_asked_about(formula)]
