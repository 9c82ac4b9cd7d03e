"""Relaxations of an element in one prototype: what is tried, and why an outcome is refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from validation.attempts import Attempt, volume_ratio
from validation.crystal import Crystal
from validation.element_data import ATOMIC_VOLUME_ANG3, covalent_radii
from validation.elements_table import LARGE_CELL_ATOMS, LARGE_CELL_FACTORS, START_FACTORS, prototypes_of
from validation.neighbours import Pairs, neighbour_pairs, periodic_directions
from validation.prototypes import prototype
from validation.rules import RelaxationSettings, Rules

# Tighter than any season's, so that the reference is not what limits a distance to the hull; same scale all the same.
ELEMENT_SETTINGS = RelaxationSettings(fmax_ev_per_ang=0.01, smax_ev_per_ang3=0.0002, max_steps=500)
VOLUME_RATIO_RANGE = (0.5, 2.0)  # of the tabulated volume; beyond, a judge has collapsed or evaporated the element
BOND_TO_RADII = 1.3  # Cs in its metal is 1.1 times its covalent diameter from its neighbours

NO_NEIGHBOUR = "no neighbour within"


@dataclass(frozen=True, slots=True, order=True)
class Task:
    """One relaxation to do. start_factor: volume at the start over the tabulated one."""

    continuations: ClassVar[int] = 5

    element: str
    prototype: str
    start_factor: float

    @property
    def cost(self) -> float:
        """Of the relaxation, in no unit; large cells take both longer steps and more of them."""
        n_atoms = len(prototype(self.prototype))
        return 1.0 if n_atoms == 1 else 4.0 + 0.6 * n_atoms

    def start(self) -> Crystal:
        return prototype(self.prototype).crystal(self.element, self.start_factor * ATOMIC_VOLUME_ANG3[self.element])

    def why_refused(self, relaxed: Crystal, cutoff_ang: float) -> str:
        return why_refused(relaxed, cutoff_ang)

    def __str__(self) -> str:
        return f"{self.element} {self.prototype} {self.start_factor:g}"


ElementAttempt = Attempt[Task]


def tasks_for(elements: Iterable[str]) -> tuple[Task, ...]:
    """Every prototype of every element from each start; an element without a tabulated volume has none."""
    return tuple(
        Task(element, label, factor)
        for element in sorted(elements)
        if element in ATOMIC_VOLUME_ANG3
        for label in prototypes_of(element)
        for factor in (START_FACTORS if len(prototype(label)) < LARGE_CELL_ATOMS else LARGE_CELL_FACTORS)
    )


def why_refused(crystal: Crystal, cutoff_ang: float) -> str:
    """Why a converged cell is no reference: it collapsed, evaporated, fell apart, or an atom of it sees no other.

    A season refuses submissions that fall apart; a reference made of layers in vacuum would be one that none may match.
    """
    ratio, (low, high) = volume_ratio(crystal), VOLUME_RATIO_RANGE
    if not low <= ratio <= high:
        return f"volume {ratio:.2f} of the tabulated one, outside {low:g} to {high:g}"
    bond_ang = bond_limit_ang(crystal)
    pairs = neighbour_pairs(crystal, max(cutoff_ang, bond_ang))
    seen = pairs.distances <= cutoff_ang
    alone = set(range(len(crystal))) - {*pairs.first[seen].tolist(), *pairs.second[seen].tolist()}
    if alone:
        return f"{len(alone)} of {len(crystal)} atoms have {NO_NEIGHBOUR} {cutoff_ang:g} Å"
    short = pairs.distances <= bond_ang
    bonds = Pairs(pairs.first[short], pairs.second[short], pairs.offsets[short], pairs.distances[short])
    connected, directions = periodic_directions(len(crystal), bonds)
    if not connected or directions < 3:
        shape = ("clusters", "chains", "layers", "pieces")[directions]
        return f"falls apart into {shape} with no bond of up to {bond_ang:.2g} Å between them"
    return ""


def bond_limit_ang(crystal: Crystal) -> float:
    """The season's bond length, or more for atoms so large that even their metals have longer ones (Rb, Cs)."""
    return max(Rules().bond_length_ang, BOND_TO_RADII * 2.0 * float(covalent_radii()[crystal.numbers].max()))
