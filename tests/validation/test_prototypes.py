"""Prototypes against what is published of them: space group, number of atoms, nearest neighbours."""

import numpy as np
import pytest
import spglib

from hull.entries import ATOMIC_NUMBER
from validation.element_data import ATOMIC_VOLUME_ANG3
from validation.elements_table import KNOWN_STRUCTURE, prototypes_of
from validation.neighbours import neighbour_pairs
from validation.prototypes import prototype, prototype_labels

LENGTH_TOLERANCE_ANG = 0.03
SHELL_WIDTH_ANG = 0.06  # real c/a ratios split the shell of twelve a little
VOLUME_TOLERANCE = 1e-9

# label: (element, space group, atoms in the primitive cell, neighbours of an atom in the nearest shells)
PUBLISHED = {
    "fcc": ("Cu", 225, 1, 12),
    "bcc": ("Fe", 229, 1, 8),
    "sc": ("Po", 221, 1, 6),
    "hcp": ("Mg", 194, 2, 12),
    "hcp-Zn": ("Zn", 194, 2, 6),
    "dhcp": ("La", 194, 4, 12),
    "9R": ("Sm", 166, 3, 12),
    "omega": ("Ti", 191, 3, None),
    "A15": ("W", 223, 8, None),
    "bct-In": ("In", 139, 1, 4),
    "bct-Pa": ("Pa", 139, 1, 10),
    "bct-Hg": ("Hg", 139, 1, 2),
    "hR1-Hg": ("Hg", 166, 1, 6),
    "diamond": ("Si", 227, 2, 4),
    "beta-Sn": ("Sn", 141, 2, 4),
    "graphite": ("C", 194, 4, 3),
    "A7": ("Sb", 166, 2, 3),
    "black-P": ("P", 64, 4, 3),
    "alpha-Ga": ("Ga", 64, 4, 1),
    "Se-chain": ("Se", 152, 3, 2),
    "S6": ("S", 148, 6, 2),
    "alpha-S8": ("S", 70, 32, 2),
    "alpha-B12": ("B", 166, 12, None),
    "alpha-Mn": ("Mn", 217, 29, None),
    "alpha-U": ("U", 63, 2, None),
    "alpha-Np": ("Np", 62, 8, None),
    "alpha-Pu": ("Pu", 11, 16, None),
    "I2": ("I", 64, 4, 1),
    "alpha-O2": ("O", 12, 2, 1),
    "alpha-N2": ("N", 205, 8, 1),
    "gamma-N2": ("N", 136, 4, 1),
    "hcp-H2": ("H", 194, 4, 1),
}
# Shortest distance in Å: Donohue, The Structures of the Elements (1974); of molecules, Huber and Herzberg (1979).
SHORTEST_ANG = {
    "alpha-S8": 2.05,
    "S6": 2.06,
    "Se-chain": 2.37,
    "black-P": 2.22,
    "alpha-Ga": 2.47,
    "alpha-Mn": 2.24,
    "alpha-U": 2.75,
    "alpha-Pu": 2.57,
    "alpha-Np": 2.60,
    "alpha-B12": 1.67,
    "graphite": 1.42,
    "diamond": 2.35,
    "I2": 2.67,
    "alpha-O2": 1.21,
    "alpha-N2": 1.10,
    "hcp-H2": 0.74,
}


def made(label, volume=None):
    start = prototype(label)
    own = abs(np.linalg.det(start.lattice)) / len(start)
    return start.crystal(PUBLISHED[label][0], own if volume is None else volume)


def test_every_prototype_is_compared_with_what_is_published():
    assert set(prototype_labels()) == set(PUBLISHED)


@pytest.mark.parametrize("label", sorted(PUBLISHED))
def test_a_prototype_has_its_space_group_in_as_few_atoms_as_it_allows(label):
    crystal = made(label)

    _, space_group, n_atoms, _ = PUBLISHED[label]
    cell = (crystal.lattice, crystal.frac_coords, crystal.numbers)
    assert spglib.get_symmetry_dataset(cell, symprec=1e-3).number == space_group
    assert len(crystal) == n_atoms == len(spglib.find_primitive(cell, symprec=1e-3)[2])


@pytest.mark.parametrize("label", sorted(label for label, facts in PUBLISHED.items() if facts[3] is not None))
def test_an_atom_has_the_published_number_of_nearest_neighbours(label):
    crystal = made(label)

    pairs = neighbour_pairs(crystal, 4.0)
    nearest = pairs.distances <= pairs.distances.min() + SHELL_WIDTH_ANG
    assert 2 * nearest.sum() / len(crystal) == PUBLISHED[label][3]


@pytest.mark.parametrize("label", sorted(SHORTEST_ANG))
def test_the_shortest_distance_is_the_published_one(label):
    crystal = made(label)

    shortest = neighbour_pairs(crystal, 4.0).distances.min()
    assert shortest == pytest.approx(SHORTEST_ANG[label], abs=LENGTH_TOLERANCE_ANG)


@pytest.mark.parametrize("label", ["fcc", "alpha-Mn", "I2"])
def test_a_crystal_has_the_volume_asked_for(label):
    crystal = made(label, volume=30.0)

    assert crystal.volume / len(crystal) == pytest.approx(30.0, rel=VOLUME_TOLERANCE)


@pytest.mark.parametrize("factor", [0.8, 1.25])
@pytest.mark.parametrize("element", ["Br", "Cl", "I"])
def test_a_molecule_keeps_its_bond_when_the_cell_is_stretched(element, factor):
    crystal = prototype("I2").crystal(element, factor * ATOMIC_VOLUME_ANG3[element])

    bonds = {"Cl": 1.988, "Br": 2.281, "I": 2.666}
    assert neighbour_pairs(crystal, 4.0).distances.min() == pytest.approx(bonds[element], abs=1e-6)


def test_a_molecular_crystal_of_an_element_without_molecules_is_refused():
    with pytest.raises(KeyError):
        prototype("I2").crystal("Fe", 12.0)


def test_every_element_tries_its_known_structure_first_and_each_prototype_once():
    for element in KNOWN_STRUCTURE:
        labels = prototypes_of(element)

        assert labels[0] == KNOWN_STRUCTURE[element]
        assert len(set(labels)) == len(labels)
        assert set(labels) <= set(prototype_labels())
        assert element in ATOMIC_NUMBER
