"""When two crystals are one: pymatgen's StructureMatcher decides, in either direction.

The policy has a name, ``rules.MATCHER_VERSION``; whoever changes what matches changes that name. docs/matching.md tells
what stands in front of the matcher, and how that was tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from validation.confirming import confirmed
from validation.crystal import Crystal
from validation.fingerprint import Fingerprint, Limits
from validation.fitting import may_fit, may_fit_upon
from validation.folding import TOLERANCE_ANG, matcher_cell
from validation.gathered import Gathered
from validation.lattices import turns
from validation.reduction import LOOSE_SYMPREC_ANG, SYMPREC_ANG, reduced
from validation.rules import Rules, Tolerances
from validation.translations import may_fold, smallest_cell

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core.structure import Structure

_KEPT = 4096  # descriptions and turned cells: a crowd of one formula is compared again and again
_SAME_DIGITS = 3  # of a distance between fingerprints; two descriptions of one crystal differ in the seventh
_FOLD_REACH = 1.5  # the matcher's box is along the vectors that it starts from: in another basis it reaches further


@dataclass(frozen=True, eq=False, slots=True)
class Description:
    """What it takes to compare a crystal with others: its reduced cells, and the fingerprint of each.

    The first is what StructureMatcher reduces it to. There are others, each of another size, where a looser tolerance
    finds a smaller cell, as in a noisy supercell, which the matcher alone would miss; and where the matcher takes
    atoms for the same that are up to a quarter of an ångström from it, so that a neighbour of the crystal may not.
    """

    cells: tuple[Crystal, ...]
    fingerprints: tuple[Fingerprint, ...]

    @classmethod
    def of(cls, crystal: Crystal, tolerances: Tolerances) -> Description:
        """Of any cell of the crystal. tolerances: no cell is looser than the matcher's own tolerance of a site."""
        return _described(crystal, min(LOOSE_SYMPREC_ANG, tolerances.stol * (crystal.volume / len(crystal)) ** (1 / 3)))


@dataclass(frozen=True, slots=True)
class KnownPhase:
    """A phase that was placed before. number: its order of acceptance."""

    number: int
    crystal: Crystal
    energy_per_atom: float  # eV


@dataclass(frozen=True, slots=True)
class Match:
    """A phase that a structure matches. distance: of their fingerprints; energy_difference: eV/atom, absolute."""

    number: int
    distance: float
    energy_difference: float

    def rank(self) -> tuple[float, float, int]:
        """Of several the least is taken: the nearest fingerprint, then the nearest energy, then the lowest number.
        Distances that differ by rounding only count as equal."""
        return round(self.distance, _SAME_DIGITS), self.energy_difference, self.number


def is_twin(a: Crystal, b: Crystal, tolerances: Tolerances) -> bool:
    """Whether two crystals are the same initial structure, so that one relaxation serves both."""
    return a.content_hash == b.content_hash or is_match(a, b, tolerances)


def is_duplicate(a: Crystal, b: Crystal, tolerances: Tolerances) -> bool:
    """Whether two relaxed crystals are one phase; their energies are the caller's business (``first_match``)."""
    return is_match(a, b, tolerances)


def is_match(a: Crystal, b: Crystal, tolerances: Tolerances) -> bool:
    """Whether some reduced cell of the one fits one of the other."""
    if a.formula != b.formula:
        return False
    return _matches(Description.of(a, tolerances), Description.of(b, tolerances), tolerances)


def find_twin(crystal: Crystal, earlier: Sequence[tuple[int, Crystal]], tolerances: Tolerances) -> int | None:
    """Number of the first earlier crystal, in the order given, that the crystal is a twin of.

    Equal content hashes are looked for first, since they cost nothing.
    """
    for number, other in earlier:
        if other.content_hash == crystal.content_hash:
            return number
    return next((number for number, other in earlier if is_match(crystal, other, tolerances)), None)


def first_match(crystal: Crystal, energy_per_atom: float, known: Sequence[KnownPhase], rules: Rules) -> Match | None:
    """The known phase that the relaxed crystal duplicates.

    energy_per_atom: eV, on the same scale as those of ``known``. Only phases within the rules' window are fitted, in
    the order of ``Match.rank``; the first that fits is taken.
    """
    window = rules.duplicate_window_ev_per_atom
    apart = [(abs(phase.energy_per_atom - energy_per_atom), phase.number, phase.crystal) for phase in known]
    near = sorted((item for item in apart if item[0] <= window), key=lambda item: item[:2])
    if not near:
        return None
    mine = Description.of(crystal, rules.duplicate)
    energy_differences = {number: difference for difference, number, _ in near}
    limits = Limits.of(rules.duplicate)
    others = [(number, Description.of(other, rules.duplicate)) for _, number, other in near]
    distances = [least_distance(mine.fingerprints, other.fingerprints, limits) for _, other in others]
    pairs = zip(others, distances, strict=True)
    found = matches(mine, [(*other, distance) for other, distance in pairs if distance is not None], rules.duplicate)
    return next((Match(number, distance, energy_differences[number]) for number, distance in found), None)


def find_duplicates(
    structures: Sequence[Crystal | Structure | Atoms],
    *,
    tolerances: Tolerances | None = None,
    energies_per_atom: Sequence[float] | NDArray[np.float64] | None = None,
    window_ev_per_atom: float | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[int | None]:
    """For each structure the index of the earlier one that it is a duplicate of, or None where it is the first.

    structures: crystals, or ordered pymatgen Structures or ASE Atoms. tolerances, window_ev_per_atom: by default those
    of ``Rules``; the window counts where energies (eV/atom) are given.
    What is itself a duplicate is no original for later ones. Of several originals the one with the nearest fingerprint
    is named, then the earliest. on_progress: gets the numbers of structures done and of all.
    """
    rules = Rules()
    tolerances = tolerances or rules.duplicate
    window = rules.duplicate_window_ev_per_atom if window_ev_per_atom is None else window_ev_per_atom
    originals, descriptions = Gathered(tolerances), dict[int, Description]()
    found: list[int | None] = []
    for number, structure in enumerate(structures):
        description = Description.of(_crystal_of(structure), tolerances)
        near = originals.near(description.fingerprints)
        others = [(other, descriptions[other], distance) for other, distance in near]
        if energies_per_atom is not None:
            energy = energies_per_atom[number]
            others = [item for item in others if abs(energies_per_atom[item[0]] - energy) <= window]
        found.append(next((other for other, _ in matches(description, others, tolerances)), None))
        if found[-1] is None:
            originals.add(number, description.fingerprints)
            descriptions[number] = description
        on_progress(number + 1, len(structures))
    return found


def matches(
    mine: Description, near: Iterable[tuple[int, Description, float]], tolerances: Tolerances
) -> Iterator[tuple[int, float]]:
    """Numbers of all that match, and the distance of their fingerprints, the nearest first.

    near: numbers, descriptions and distances of what may. Distances that differ by rounding only count as equal; of
    these the order given decides.
    """
    for number, other, distance in sorted(near, key=lambda item: round(item[2], _SAME_DIGITS)):
        if _matches(mine, other, tolerances):
            yield number, distance


def least_distance(a: Iterable[Fingerprint], b: Sequence[Fingerprint], limits: Limits) -> float | None:
    """Of two fingerprints, one of each structure, that are near each other; None where none are."""
    pairs = [(one, other) for one in a for other in b if one.is_near(other, limits)]
    return min((one.distance_to(other) for one, other in pairs), default=None)


def _matches(a: Description, b: Description, tolerances: Tolerances) -> bool:
    return any(
        one.key == other.key and _fits(a.cells[i], b.cells[j], tolerances)
        for i, one in enumerate(a.fingerprints)
        for j, other in enumerate(b.fingerprints)
    )


def _fits(a: Crystal, b: Crystal, tolerances: Tolerances) -> bool:
    """In either direction: near its tolerance the matcher's answer depends on which crystal comes first.

    Enantiomorphs fit, because the matcher maps lattices by lengths and angles, which a mirror keeps. It also depends
    on the cell that it maps upon: of a lattice more symmetric than its atoms several cells are equally good, and which
    of them pymatgen reduces to is a matter of rounding. So each of them is tried.
    """
    forth, back = may_fit(a, b, tolerances)
    if (forth and confirmed(a, b, tolerances)) or (back and confirmed(b, a, tolerances)):
        return True
    return any(
        may_fit_upon(one, turned, tolerances) and confirmed(one, turned, tolerances)
        for one, other in ((a, b), (b, a))
        for turned in turned_cells(other)
    )


@lru_cache(maxsize=_KEPT)
def turned_cells(cell: Crystal) -> tuple[Crystal, ...]:
    """The crystal in the other reduced cells of its lattice."""
    return tuple(
        Crystal.of(turn @ cell.lattice, cell.frac_coords @ np.linalg.inv(turn), cell.numbers)
        for turn in turns(cell.lattice)
    )


@lru_cache(maxsize=_KEPT)
def _described(crystal: Crystal, loose_ang: float) -> Description:
    tight = smallest_cell(crystal, SYMPREC_ANG)
    cells = [reduced(tight)]
    if may_fold(cells[0], _FOLD_REACH * 2.0 * TOLERANCE_ANG):
        cells.insert(0, matcher_cell(crystal))
    loose = smallest_cell(tight, loose_ang)
    if loose is not tight:
        cells.append(reduced(loose))
    distinct = tuple({len(cell): cell for cell in reversed(cells)}.values())[::-1]
    return Description(distinct, tuple(Fingerprint.of(cell) for cell in distinct))


def _crystal_of(structure: Crystal | Structure | Atoms) -> Crystal:
    if isinstance(structure, Crystal):
        return structure
    return Crystal.from_structure(structure) if hasattr(structure, "lattice") else Crystal.from_atoms(structure)
