"""The symmetry of a relaxed crystal: space group, Wyckoff positions, Pearson symbol and label of its prototype."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from validation.crystal import Crystal
from validation.prototype_labels import label_of, prototype_of

SYMPREC_ANG = 0.05  # what forces of 0.03 eV/Å leave of a displaced start
_FAMILIES = ((2, "a"), (15, "m"), (74, "o"), (142, "t"), (194, "h"), (230, "c"))  # up to which number


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """An orbit of sites. multiplicity: atoms in the conventional cell, rhombohedral ones on hexagonal axes."""

    element: str
    letter: str
    multiplicity: int


@dataclass(frozen=True, slots=True)
class Symmetry:
    """number: International Tables'. positions: in the setting in which they were found, sorted."""

    number: int
    pearson_symbol: str
    positions: tuple[Position, ...]

    @property
    def symbol(self) -> str:
        return symbol_of(self.number)

    @property
    def label(self) -> str:
        """Prototype and elements, as ``validation.prototype_labels`` has it: ``AB_cF8_225_a_b:Cl-Na``."""
        amounts: Counter[str] = Counter()
        letters: dict[str, str] = defaultdict(str)
        for position in self.positions:
            amounts[position.element] += position.multiplicity
            letters[position.element] += position.letter
        return label_of(self.number, self.pearson_symbol, amounts, letters)

    @property
    def prototype(self) -> str:
        """The same for all crystals of a kind, whatever their elements: ``AB_cF8_225_a_b``."""
        return prototype_of(self.label)


def symmetry_of(crystal: Crystal, symprec_ang: float = SYMPREC_ANG) -> Symmetry | None:
    """Found by moyo (https://github.com/spglib/moyo). None where no group is found.

    Where moyo finds none at this tolerance and goes on with another, or gives up, spglib is asked as well (Togo,
    Shinohara, Tanaka, 2024; doi 10.1080/27660400.2024.2384822), and of two answers the group of more operations counts.
    """
    found, at_once = _by_moyo(crystal, symprec_ang)
    if at_once:
        return found
    other = _by_spglib(crystal, symprec_ang)
    return max((one for one in (found, other) if one is not None), key=_n_operations, default=None)


@lru_cache(maxsize=230)
def symbol_of(number: int) -> str:
    """Hermann and Mauguin's short symbol; a screw axis as 6_3, an inversion as -3. Raises ValueError for no group."""
    import moyopy  # late: only who looks for symmetry, or shows it, needs it

    return moyopy.SpaceGroupType(number).hm_short.replace(" ", "")


def _n_operations(symmetry: Symmetry) -> int:
    import moyopy  # late: as above

    return moyopy.operations_from_number(symmetry.number, primitive=True).num_operations


def _by_moyo(crystal: Crystal, symprec_ang: float) -> tuple[Symmetry | None, bool]:
    """The second value says whether it was found at the tolerance that was asked for."""
    import moyopy  # late: as above

    cell = moyopy.Cell(crystal.lattice.tolist(), crystal.frac_coords.tolist(), crystal.numbers.tolist())
    try:
        found = moyopy.MoyoDataset(cell, symprec=symprec_ang)
    except ValueError:  # it found none at any tolerance
        return None, False
    n_atoms = len(found.std_cell.numbers)
    return _symmetry(crystal, found.number, n_atoms, found.orbits, found.wyckoffs), found.symprec == symprec_ang


def _by_spglib(crystal: Crystal, symprec_ang: float) -> Symmetry | None:
    import spglib  # late: as above

    found = spglib.get_symmetry_dataset((crystal.lattice, crystal.frac_coords, crystal.numbers), symprec=symprec_ang)
    if found is None:
        return None
    orbits = found.crystallographic_orbits.tolist()
    return _symmetry(crystal, int(found.number), len(found.std_types), orbits, found.wyckoffs)


def _symmetry(crystal: Crystal, number: int, n_atoms: int, orbits: Sequence[int], letters: Sequence[str]) -> Symmetry:
    """n_atoms: in the conventional cell. orbits and letters: of each site of the crystal."""
    sizes = Counter(orbits)
    positions = (
        Position(crystal.symbols[site], letters[site], sizes[site] * n_atoms // len(crystal)) for site in sizes
    )
    return Symmetry(number, _pearson_symbol(number, n_atoms), tuple(sorted(positions)))


def _pearson_symbol(number: int, n_atoms: int) -> str:
    """All centrings of one face are C."""
    family = next(letter for last, letter in _FAMILIES if number <= last)
    centring = symbol_of(number)[0]
    return f"{family}{'C' if centring == 'A' else centring}{n_atoms}"
