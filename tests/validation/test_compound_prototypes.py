"""Prototypes of compounds against what is published of them: space group, Pearson symbol, neighbours, distances."""

import numpy as np
import pytest
import spglib

from validation.compound_prototypes import compound_prototype, compound_prototype_labels
from validation.neighbours import neighbour_pairs
from validation.spacegroup import symmetry_of

SYMPREC_ANG = 1e-3
LENGTH_TOLERANCE_ANG = 0.02
SHELL_WIDTH = 1.14  # the octahedra of LiNbO3 spread that far
STAND_INS = ("Na", "Ti", "O")
VOLUME_TOLERANCE = 1e-9

# label: (space group, Pearson symbol, atoms of each kind in the primitive cell,
#         {(kind, other kind): neighbours in the nearest shell})
PUBLISHED = {
    "rocksalt": (225, "cF8", (1, 1), {(0, 1): 6, (1, 0): 6}),
    "CsCl": (221, "cP2", (1, 1), {(0, 1): 8, (1, 0): 8}),
    "zincblende": (216, "cF8", (1, 1), {(0, 1): 4, (1, 0): 4}),
    "wurtzite": (186, "hP4", (2, 2), {(0, 1): 4, (1, 0): 4}),
    "NiAs": (194, "hP4", (2, 2), {(0, 1): 6, (1, 0): 6}),
    "litharge": (129, "tP4", (2, 2), {(0, 1): 4, (1, 0): 4}),
    "PtS": (131, "tP4", (2, 2), {(0, 1): 4, (1, 0): 4}),
    "GeS": (62, "oP8", (4, 4), {(0, 1): 3, (1, 0): 3}),
    "fluorite": (225, "cF12", (1, 2), {(0, 1): 8, (1, 0): 4}),
    "antifluorite": (225, "cF12", (2, 1), {(0, 1): 4, (1, 0): 8}),
    "rutile": (136, "tP6", (2, 4), {(0, 1): 6, (1, 0): 3}),
    "anatase": (141, "tI12", (2, 4), {(0, 1): 6, (1, 0): 3}),
    "CdI2": (164, "hP3", (1, 2), {(0, 1): 6, (1, 0): 3}),
    "MoS2": (194, "hP6", (2, 4), {(0, 1): 6, (1, 0): 3}),
    "quartz": (154, "hP9", (3, 6), {(0, 1): 4, (1, 0): 2}),
    "cuprite": (224, "cP6", (4, 2), {(0, 1): 2, (1, 0): 4}),
    "corundum": (167, "hR30", (4, 6), {(0, 1): 6, (1, 0): 4}),
    "anti-corundum": (167, "hR30", (6, 4), {(0, 1): 4, (1, 0): 6}),
    "La2O3": (164, "hP5", (2, 3), {(0, 1): 4}),  # and three further away
    "anti-La2O3": (164, "hP5", (3, 2), {(1, 0): 4}),
    "ReO3": (221, "cP4", (1, 3), {(0, 1): 6, (1, 0): 2}),
    "anti-ReO3": (221, "cP4", (3, 1), {(0, 1): 2, (1, 0): 6}),
    "BiF3": (225, "cF16", (1, 3), {(0, 1): 8}),
    "anti-BiF3": (225, "cF16", (3, 1), {(1, 0): 8}),
    "UCl3": (176, "hP8", (2, 6), {(0, 1): 9, (1, 0): 3}),
    "BiI3": (148, "hR24", (2, 6), {(0, 1): 6, (1, 0): 2}),
    "Li3N": (191, "hP4", (3, 1), {(1, 0): 8}),
    "Na3As": (194, "hP8", (6, 2), {(1, 0): 11}),
    "Th3P4": (220, "cI28", (6, 8), {(0, 1): 8, (1, 0): 6}),
    "perovskite": (221, "cP5", (1, 1, 3), {(0, 2): 12, (1, 2): 6}),
    "perovskite-R": (167, "hR30", (2, 2, 6), {(0, 2): 12, (1, 2): 6}),
    "perovskite-O": (62, "oP20", (4, 4, 12), {(0, 2): 8, (1, 2): 6}),
    "ilmenite": (148, "hR30", (2, 2, 6), {(0, 2): 6, (1, 2): 6}),
    "LiNbO3": (161, "hR30", (2, 2, 6), {(0, 2): 6, (1, 2): 6}),
    "calcite": (167, "hR30", (2, 2, 6), {(0, 2): 6, (1, 2): 3}),
    "delafossite": (166, "hR12", (1, 1, 2), {(0, 2): 2, (1, 2): 6}),
    "NaFeO2": (166, "hR12", (1, 1, 2), {(0, 2): 6, (1, 2): 6}),
    "chalcopyrite": (122, "tI16", (2, 2, 4), {(0, 2): 4, (1, 2): 4}),
    "spinel": (227, "cF56", (2, 4, 8), {(0, 2): 4, (1, 2): 6}),
    "K2NiF4": (139, "tI14", (2, 1, 4), {(0, 2): 9, (1, 2): 6}),
    "scheelite": (88, "tI24", (2, 2, 8), {(0, 2): 8, (1, 2): 4}),
    "zircon": (141, "tI24", (2, 2, 8), {(0, 2): 8, (1, 2): 4}),
    "K2PtCl6": (225, "cF36", (2, 1, 6), {(0, 2): 12, (1, 2): 6}),
    "PbFCl": (129, "tP6", (2, 2, 2), {(0, 1): 4, (1, 0): 4}),
    "half-Heusler": (216, "cF12", (1, 1, 1), {(0, 2): 6, (1, 0): 4, (1, 2): 4}),
    "Heusler": (225, "cF16", (2, 1, 1), {(0, 1): 4, (0, 2): 4, (1, 2): 6}),
}
WIDE_SHELLS = {"perovskite-O": 1.25}

# Distance in Å between a kind and its nearest of another, of the compound that the cell was measured of.
BONDS_ANG = {
    ("rocksalt", 0, 1): 2.820,  # NaCl
    ("quartz", 0, 1): 1.605,  # SiO2
    ("anatase", 0, 1): 1.934,  # TiO2
    ("corundum", 0, 1): 1.855,  # Al2O3
    ("wurtzite", 0, 1): 2.334,  # ZnS
    ("GeS", 0, 1): 2.63,  # SnS
    ("MoS2", 0, 1): 2.41,
    ("calcite", 1, 2): 1.281,  # CaCO3
    ("zircon", 1, 2): 1.622,  # ZrSiO4
    ("scheelite", 1, 2): 1.784,  # CaWO4
    ("spinel", 0, 2): 1.92,  # MgAl2O4
    ("spinel", 1, 2): 1.93,
    ("chalcopyrite", 0, 2): 2.30,  # CuFeS2
    ("NaFeO2", 1, 2): 1.92,  # LiCoO2
    ("delafossite", 0, 2): 1.83,  # CuFeO2
    ("perovskite-O", 1, 2): 1.95,  # CaTiO3
    ("K2PtCl6", 1, 2): 2.34,
    ("UCl3", 0, 1): 2.93,
}


def tabulated(label):
    made = compound_prototype(label)
    return made, made.crystal(STAND_INS[: len(made.amounts)], made.volume_per_atom)


def distances(label, kind, other):
    """From one atom of a kind to all of the other, Å, sorted."""
    made, crystal = tabulated(label)
    pairs = neighbour_pairs(crystal, 5.0)
    first, second = made.kinds[pairs.first], made.kinds[pairs.second]
    site = int(np.flatnonzero(made.kinds == kind)[0])
    near = (pairs.first == site) & (second == other), (pairs.second == site) & (first == other)
    return np.sort(np.concatenate([pairs.distances[one] for one in near]))


def test_every_prototype_is_compared_with_what_is_published():
    assert set(compound_prototype_labels()) == set(PUBLISHED)


@pytest.mark.parametrize("label", sorted(PUBLISHED))
def test_a_prototype_has_its_space_group_and_pearson_symbol(label):
    _, crystal = tabulated(label)

    symmetry = symmetry_of(crystal, SYMPREC_ANG)
    assert (symmetry.number, symmetry.pearson_symbol) == PUBLISHED[label][:2]


@pytest.mark.parametrize("label", sorted(PUBLISHED))
def test_its_cell_is_primitive_and_holds_the_formula(label):
    made, crystal = tabulated(label)

    cell = (crystal.lattice, crystal.frac_coords, crystal.numbers)
    assert made.amounts == PUBLISHED[label][2]
    assert len(spglib.find_primitive(cell, symprec=SYMPREC_ANG)[2]) == len(crystal)


@pytest.mark.parametrize("label", sorted(PUBLISHED))
def test_an_atom_has_the_published_number_of_neighbours(label):
    for (kind, other), number in PUBLISHED[label][3].items():
        around = distances(label, kind, other)
        assert (around <= WIDE_SHELLS.get(label, SHELL_WIDTH) * around[0]).sum() == number, (kind, other)


@pytest.mark.parametrize(("label", "kind", "other"), sorted(BONDS_ANG))
def test_a_bond_has_the_published_length(label, kind, other):
    assert distances(label, kind, other)[0] == pytest.approx(BONDS_ANG[label, kind, other], abs=LENGTH_TOLERANCE_ANG)


def test_a_crystal_has_the_elements_and_the_volume_asked_for():
    crystal = compound_prototype("spinel").crystal(("Mg", "Al", "O"), 9.5)

    assert str(crystal.formula) == "Al2MgO4"
    assert crystal.volume / len(crystal) == pytest.approx(9.5, rel=VOLUME_TOLERANCE)


def test_another_number_of_elements_is_refused():
    with pytest.raises(ValueError, match="spinel has 3 kinds of atoms, not 2"):
        compound_prototype("spinel").crystal(("Mg", "O"), 9.5)


def test_a_prototype_that_is_not_tabulated_is_not_replaced_by_another():
    with pytest.raises(KeyError):
        compound_prototype("garnet")
