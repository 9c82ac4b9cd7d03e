"""Compounds that are tried for a judge: balanced ions in prototypes, and Heusler compounds, the commonest first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import ClassVar

import numpy as np

from validation.checks import check_relaxed
from validation.compound_places import OCCUPATIONS, Occupation
from validation.compound_prototypes import CompoundPrototype, compound_prototype
from validation.crystal import Crystal
from validation.element_data import ATOMIC_VOLUME_ANG3
from validation.heuslers import half_heuslers, heuslers
from validation.ions import Ion, ion, ions
from validation.neighbours import neighbour_pairs
from validation.rules import Rejected, RelaxationSettings, Rules

# Between an element's reference and a season's structure: what it leaves is below the season's own noise.
COMPOUND_SETTINGS = RelaxationSettings(fmax_ev_per_ang=0.02, smax_ev_per_ang3=0.0005, max_steps=300)

_SHELL = 1.25  # neighbours up to this times the nearest distance count as its coordination
_REACH_ANG = 5.0
_SIX = 6
_BORN = 1 / 8  # a bond grows with its number as (n / 6)^(1 / (B - 1)), Born's exponent B being about 9
_HEUSLERS = {"half-Heusler": half_heuslers, "Heusler": heuslers}
_RARER = 1  # by so many ranks in all; beyond are 1,300 more, binaries of the rarer lanthanides and the like
_METALLIC_RANK = 6  # intermetallic compounds come after the ions


@dataclass(frozen=True, slots=True, order=True)
class CompoundTask:
    """One relaxation to do. species: an element a kind of the prototype. charges: theirs, empty for metals."""

    continuations: ClassVar[int] = 0  # the soft ones that need more steps are not worth them

    prototype: str
    species: tuple[str, ...]
    charges: tuple[int, ...] = ()

    @property
    def cost(self) -> float:
        """Of the relaxation, in no unit: a judge's time goes with the atoms, beside what every step costs."""
        return 1.0 + self.n_atoms

    def why_refused(self, relaxed: Crystal, cutoff_ang: float) -> str:
        """What a season would refuse is no reference; its rules see to it that no atom is left without neighbours."""
        try:
            check_relaxed(relaxed, relaxed, Rules())
        except Rejected as rejection:
            return str(rejection)
        return ""

    def start(self) -> Crystal:
        made = compound_prototype(self.prototype)
        return made.crystal(self.species, self._volume_per_atom(made))

    @property
    def n_atoms(self) -> int:
        return len(compound_prototype(self.prototype))

    @property
    def rank(self) -> int:
        """Of all its ions together: the less the commoner."""
        if not self.charges:
            return _METALLIC_RANK
        return sum(ion(element, charge).rank for element, charge in zip(self.species, self.charges, strict=True))

    def _volume_per_atom(self, made: CompoundPrototype) -> float:
        if not self.charges:
            amounts = zip(self.species, made.amounts, strict=True)
            return sum(ATOMIC_VOLUME_ANG3[element] * amount for element, amount in amounts) / len(made)
        return ionic_volume_per_atom(made, [ion(*one) for one in zip(self.species, self.charges, strict=True)])

    def __str__(self) -> str:
        return f"{'-'.join(self.species)} {self.prototype}"


def compound_tasks(elements: Iterable[str]) -> tuple[CompoundTask, ...]:
    """All that the tables of ions, places and Heusler compounds give of these elements, the commonest ions first.

    Elements without a tabulated volume, which no release may hold, are left out.
    """
    known = frozenset(elements) & ATOMIC_VOLUME_ANG3.keys()
    ionic = (task for label in OCCUPATIONS for task in _ionic_tasks(label, ions(known)))
    found = {task: None for task in ionic if task.rank <= len(task.species) + _RARER}
    found |= {
        CompoundTask(label, species): None
        for label, listed in _HEUSLERS.items()
        for species in listed()
        if known.issuperset(species)
    }
    return tuple(sorted(found, key=lambda task: (task.rank, task.n_atoms, task)))


def quick_tasks(tasks: Iterable[CompoundTask]) -> tuple[CompoundTask, ...]:
    """The first of each prototype: to try things out."""
    first: dict[str, CompoundTask] = {}
    for task in tasks:
        first.setdefault(task.prototype, task)
    return tuple(first.values())


def _ionic_tasks(label: str, known: tuple[Ion, ...]) -> Iterator[CompoundTask]:
    for occupation in OCCUPATIONS[label]:
        for chosen in _balanced(compound_prototype(label).amounts, occupation, known):
            yield CompoundTask(label, tuple(one.element for one in chosen), tuple(one.charge for one in chosen))


def _balanced(amounts: tuple[int, ...], occupation: Occupation, known: tuple[Ion, ...]) -> Iterator[tuple[Ion, ...]]:
    for chosen in product(*([one for one in known if place.takes(one)] for place in occupation.places)):
        charge = sum(amount * one.charge for amount, one in zip(amounts, chosen, strict=True))
        if charge == 0 and _may_meet(chosen) and occupation.takes(chosen):
            yield chosen


def _may_meet(chosen: tuple[Ion, ...]) -> bool:
    """An element may come twice only as two cations of different charge, as iron does in magnetite."""
    cations, anions = ({one.element for one in chosen if one.charge * sign > 0} for sign in (1, -1))
    return cations.isdisjoint(anions) and len(set(chosen)) == len(chosen)


def ionic_volume_per_atom(made: CompoundPrototype, chosen: list[Ion]) -> float:
    """Å³ at which cations are the sum of the radii from their nearest anions, in the geometric mean over the cations.

    Radii of six neighbours are scaled to others as Pauling has it (The Nature of the Chemical Bond, 3rd ed., 1960,
    p. 537).
    """
    attracted = tuple(one.charge > 0 for one in chosen)
    scales = [
        (chosen[kind].radius_ang + chosen[other].radius_ang) * (number / _SIX) ** _BORN / distance
        for kind, other, distance, number in _shells(made.label, attracted)
    ]
    return made.volume_per_atom * float(np.exp(np.log(scales).mean())) ** 3


@cache
def _shells(label: str, positive: tuple[bool, ...]) -> tuple[tuple[int, int, float, int], ...]:
    """Of each kind of cations: itself, the kind of its nearest anion, their distance in Å, and how many are there."""
    made = compound_prototype(label)
    crystal = Crystal.of(made.lattice, made.frac_coords, made.kinds + 1)
    pairs = neighbour_pairs(crystal, _REACH_ANG)
    sites = np.concatenate([pairs.first, pairs.second]), np.concatenate([pairs.second, pairs.first])
    kinds, distances = (made.kinds[sites[0]], made.kinds[sites[1]]), np.tile(pairs.distances, 2)
    attracting = np.array(positive)[kinds[0]] & ~np.array(positive)[kinds[1]]
    shells = []
    for kind in np.flatnonzero(positive).tolist():
        mine = attracting & (sites[0] == int(np.flatnonzero(made.kinds == kind)[0]))
        nearest = int(np.flatnonzero(mine)[distances[mine].argmin()])
        number = int((distances[mine] <= _SHELL * distances[nearest]).sum())
        shells.append((kind, int(kinds[1][nearest]), float(distances[nearest]), number))
    return tuple(shells)
