"""Which compounds are tried, that their charges balance, and where their relaxation starts."""

from collections import Counter

import numpy as np
import pytest

from hull.entries import SYMBOLS
from validation.checks import check_initial
from validation.compound_places import OCCUPATIONS, goldschmidt
from validation.compound_prototypes import compound_prototype, compound_prototype_labels
from validation.compounds import CompoundTask, compound_tasks, quick_tasks
from validation.crystal import Crystal
from validation.heuslers import VALENCE_ELECTRONS, half_heuslers, heuslers
from validation.rules import Rules

START_TOLERANCE = 0.07  # of a length; radii are sums, bonds are not
TASKS = compound_tasks(set(SYMBOLS[:94]) - set(Rules().excluded_elements))
KNOWN = {
    "rocksalt": "Na-Cl Mg-O Ti-C Sc-N La-P Pb-S Li-H Eu-O",
    "CsCl": "Cs-Cl Tl-Br",
    "zincblende": "Zn-S Ga-As Cu-Cl B-N",
    "wurtzite": "Zn-O Ga-N Al-N",
    "NiAs": "Ni-S Fe-S Mn-Te",
    "GeS": "Sn-S Ge-Se",
    "PtS": "Cu-O Pd-O Pt-S",
    "fluorite": "Ca-F Zr-O Ce-O Th-O",
    "antifluorite": "Li-O Na-S K-Te",
    "rutile": "Ti-O Sn-O Mg-F Mn-O",
    "anatase": "Ti-O",
    "quartz": "Si-O Ge-O",
    "CdI2": "Cd-I Mg-Br Sn-S",
    "MoS2": "Mo-S W-Se",
    "cuprite": "Cu-O Ag-O",
    "corundum": "Al-O Fe-O Cr-O",
    "La2O3": "La-O Ce-O",
    "anti-La2O3": "Mg-Sb Ca-As",
    "ReO3": "W-O Al-F",
    "UCl3": "La-Cl Nd-Br",
    "BiI3": "Bi-I Cr-Cl",
    "Li3N": "Li-N",
    "Na3As": "Na-As Li-P",
    "anti-BiF3": "Li-Sb",
    "perovskite": "Sr-Ti-O Ba-Ti-O K-Mg-F Cs-Pb-Br Ba-Li-H",
    "perovskite-R": "La-Al-O",
    "perovskite-O": "Ca-Ti-O La-Fe-O",
    "ilmenite": "Mg-Ti-O Fe-Ti-O",
    "LiNbO3": "Li-Nb-O",
    "calcite": "Ca-C-O Mg-C-O In-B-O",
    "delafossite": "Cu-Al-O Ag-In-O",
    "NaFeO2": "Li-Co-O Na-Cr-S",
    "chalcopyrite": "Cu-In-Se Cu-Fe-S Zn-Ge-P",
    "spinel": "Mg-Al-O Fe-Fe-O Ti-Mg-O Cd-Cr-S",
    "K2NiF4": "Sr-Ti-O La-Cu-O K-Ni-F",
    "scheelite": "Ca-W-O Pb-Mo-O",
    "zircon": "Zr-Si-O Y-P-O",
    "K2PtCl6": "K-Pt-Cl Cs-Sn-I",
    "PbFCl": "Ba-F-Cl La-O-Cl Bi-O-Br Ca-H-Cl",
    "half-Heusler": "Ti-Ni-Sn Zr-Co-Sb Li-Zn-As",
    "Heusler": "Fe-V-Al Co-Mn-Si Cu-Mn-Al",
}
# Lattice parameter a in Å of the conventional cell: Wyckoff, Crystal Structures, vols. 1 to 3.
MEASURED_ANG = {
    ("rocksalt", ("Na", "Cl"), (1, -1)): 5.640,
    ("rocksalt", ("Mg", "O"), (2, -2)): 4.211,
    ("CsCl", ("Cs", "Cl"), (1, -1)): 4.123,
    ("zincblende", ("Ga", "As"), (3, -3)): 5.653,
    ("fluorite", ("Ca", "F"), (2, -1)): 5.463,
    ("antifluorite", ("Li", "O"), (1, -2)): 4.619,
    ("perovskite", ("Sr", "Ti", "O"), (2, 4, -2)): 3.905,
    ("spinel", ("Mg", "Al", "O"), (2, 3, -2)): 8.083,
    ("half-Heusler", ("Ti", "Ni", "Sn"), ()): 5.93,
}


def test_every_prototype_is_tried_with_something():
    assert {task.prototype for task in TASKS} == set(compound_prototype_labels())
    assert set(OCCUPATIONS) | {"half-Heusler", "Heusler"} == set(compound_prototype_labels())


def test_some_thousand_small_cells_are_tried_each_once():
    assert 3000 < len(TASKS) < 6500
    assert len(set(TASKS)) == len(TASKS)
    assert max(task.n_atoms for task in TASKS) <= 20


@pytest.mark.parametrize("label", sorted(KNOWN))
def test_known_compounds_are_among_them(label):
    tried = {"-".join(task.species) for task in TASKS if task.prototype == label}

    assert set(KNOWN[label].split()) <= tried


def test_charges_balance_in_every_cell():
    for task in TASKS:
        if task.charges:
            kinds = compound_prototype(task.prototype).kinds.tolist()
            assert sum(task.charges[kind] for kind in kinds) == 0, task


def test_only_heusler_compounds_are_without_charges():
    assert {task.prototype for task in TASKS if not task.charges} == {"half-Heusler", "Heusler"}


def test_an_element_is_twice_in_a_compound_only_in_two_states():
    twice = [task for task in TASKS if len(set(task.species)) < len(task.species)]

    assert CompoundTask("spinel", ("Fe", "Fe", "O"), (2, 3, -2)) in twice
    for task in twice:
        states = list(zip(task.species, task.charges, strict=True))
        assert len(set(states)) == len(states), task


def test_no_element_is_cation_and_anion_at_once():
    for task in TASKS:
        if task.charges:
            signs = {(element, charge > 0) for element, charge in zip(task.species, task.charges, strict=True)}
            assert len(signs) == len(set(task.species)), task


def test_common_ions_come_first_and_the_order_does_not_depend_on_that_of_the_elements():
    ranks = [task.rank for task in TASKS]

    assert ranks == sorted(ranks)
    assert compound_tasks(["Cl", "Na", "Mg", "O"]) == compound_tasks({"O", "Mg", "Na", "Cl"})


def test_only_the_elements_asked_for_are_used():
    salts = compound_tasks({"Na", "Cl"})

    assert {task.species for task in salts} == {("Na", "Cl")}
    assert {task.prototype for task in salts} == {"rocksalt", "CsCl", "zincblende", "wurtzite", "NiAs"}
    assert compound_tasks({"Fm", "O"}) == ()


def test_a_quick_build_takes_one_of_each_prototype():
    quick = quick_tasks(TASKS)

    assert Counter(task.prototype for task in quick) == dict.fromkeys(compound_prototype_labels(), 1)


def test_every_start_is_what_a_season_would_accept():
    elements = frozenset(SYMBOLS[:94])
    for task in TASKS:
        check_initial(task.start(), Rules(), elements)


@pytest.mark.parametrize(("label", "species", "charges"), sorted(MEASURED_ANG))
def test_a_start_is_near_the_measured_cell(label, species, charges):
    start = CompoundTask(label, species, charges).start()

    made = compound_prototype(label)
    conventional = {"P": 1, "F": 4}["P" if label in ("CsCl", "perovskite") else "F"]
    a = (conventional * start.volume) ** (1 / 3)
    assert a == pytest.approx(MEASURED_ANG[label, species, charges], rel=START_TOLERANCE)
    assert len(start) == len(made)


def test_the_cation_with_fewer_neighbours_starts_nearer_to_them():
    four, six, eight = (
        compound_prototype(label) and CompoundTask(label, ("Zn", "S"), (2, -2)).start()
        for label in ("zincblende", "rocksalt", "CsCl")
    )

    bonds = [four.volume ** (1 / 3) * 0.6874, six.volume ** (1 / 3) * 0.7937, eight.volume ** (1 / 3) * 0.8660]
    assert np.diff(bonds).min() > 0
    assert bonds[1] == pytest.approx(0.74 + 1.84, abs=0.001)  # Shannon's radii of six neighbours


def test_the_tolerance_factor_is_goldschmidts():
    assert goldschmidt(1.40, 1.40, 1.40) == pytest.approx(2**-0.5)
    assert goldschmidt(1.44, 0.605, 1.40) == pytest.approx(1.0, abs=0.005)  # SrTiO3 with strontium's radius of twelve


def test_heusler_compounds_have_the_electrons_that_make_them():
    metals = [species for species in half_heuslers() if species[0] in ("Ti", "Zr", "Sc", "V")]
    assert ("Ti", "Ni", "Sn") in metals
    assert all(sum(VALENCE_ELECTRONS[symbol] for symbol in species) == 18 for species in metals)
    full = [species for species in heuslers() if species[1] != "Mn"]
    assert ("Fe", "V", "Al") in full
    assert all(sum(VALENCE_ELECTRONS[symbol] for symbol in (*species, species[0])) == 24 for species in full)


def test_what_a_season_would_refuse_is_refused():
    task = CompoundTask("rocksalt", ("Na", "Cl"), (1, -1))
    start = task.start()
    torn = Crystal.of(start.lattice * 2, start.frac_coords, start.numbers)

    assert task.why_refused(start, 6.0) == ""
    assert task.why_refused(torn, 6.0).startswith("VOLUME")
