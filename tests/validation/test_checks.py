import time
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk

from tests.validation.validation_crystals import ELEMENTS, crystal, permuted, prototypes, rotated, shifted, supercell
from validation.checks import check_initial, check_relaxed, primitive
from validation.crystal import Crystal
from validation.element_data import ATOMIC_VOLUME_ANG3
from validation.lattices import aspect_ratio
from validation.rules import Reason, Rejected, Rules

RULES = Rules()
NAMES = sorted(prototypes())
SAME_DISTANCE_ANG = 1e-6


def initial_rejection(start, rules=RULES, known=ELEMENTS):
    with pytest.raises(Rejected) as caught:
        check_initial(start, rules, known)
    return caught.value


def relaxed_rejection(initial, relaxed, rules=RULES):
    with pytest.raises(Rejected) as caught:
        check_relaxed(initial, relaxed, rules)
    return caught.value


def scaled(start, *factors):
    return Crystal.of(start.lattice * np.array(factors).reshape(-1, 1), start.frac_coords, start.numbers)


def with_vacuum(start, ang):
    """The third vector longer by so much, the atoms where they were."""
    lattice = start.lattice.copy()
    lattice[2] *= 1.0 + ang / np.linalg.norm(lattice[2])
    return Crystal.of(lattice, start.cart_coords @ np.linalg.inv(lattice), start.numbers)


def cell_of(lengths, symbol_number=29, frac=((0.0, 0.0, 0.0),)):
    return Crystal.of(np.diag(lengths), frac, [symbol_number] * len(frac))


@pytest.mark.parametrize("name", NAMES)
def test_well_known_crystals_pass_before_and_after_relaxation(name):
    start = crystal(name)

    check_initial(start, RULES, ELEMENTS)
    check_relaxed(start, start, RULES)


def test_an_element_that_the_judge_does_not_know_names_its_site():
    problem = initial_rejection(crystal("rocksalt"), known=frozenset({"Na"}))

    assert problem.reason is Reason.ELEMENT_NOT_ALLOWED
    assert "site 5 (Cl)" in problem.detail


def test_an_excluded_element_is_refused_though_the_judge_knows_it():
    problem = initial_rejection(cell_of((4, 4, 4), 54))

    assert problem.reason is Reason.ELEMENT_NOT_ALLOWED
    assert "site 1 (Xe)" in problem.detail


def test_no_atoms_are_refused():
    assert initial_rejection(Crystal.of(4 * np.eye(3), [], [])).reason is Reason.NO_ATOMS


def test_more_elements_than_the_limit_are_refused():
    problem = initial_rejection(crystal("perovskite"), Rules(max_elements=2))

    assert problem.reason is Reason.TOO_MANY_ELEMENTS
    assert "3 elements; at most 2" in problem.detail


def test_atoms_are_counted_in_the_primitive_cell():
    check_initial(supercell(crystal("rocksalt"), 2, 1, 1), Rules(max_atoms=2), ELEMENTS)
    check_initial(supercell(crystal("rocksalt"), 3, 2, 1), RULES, ELEMENTS)
    assert initial_rejection(crystal("corundum"), Rules(max_atoms=9)).reason is Reason.TOO_MANY_ATOMS


def test_too_many_atoms_state_the_number_and_the_limit():
    frac = np.random.default_rng(0).random((51, 3))

    problem = initial_rejection(Crystal.of(20 * np.eye(3), frac, [29] * 51))

    assert problem.reason is Reason.TOO_MANY_ATOMS
    assert "51 atoms; at most 50" in problem.detail


def test_a_long_supercell_has_the_aspect_ratio_of_its_primitive_cell():
    check_initial(supercell(crystal("CsCl"), 1, 1, 24), RULES, ELEMENTS)


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (cell_of((1.2, 3.0, 30.0)), Reason.ASPECT_RATIO),
        (cell_of((0.6, 0.6, 900.0)), Reason.ASPECT_RATIO),
        (cell_of((0.6, 900.0, 900.0)), Reason.ASPECT_RATIO),
        (cell_of((1.5, 1.5, 1.5)), Reason.VOLUME),
        (cell_of((1e-9, 1e-9, 1e-9)), Reason.VOLUME),
        (cell_of((np.nan, 4.0, 4.0)), Reason.VOLUME),
        (Crystal.of(np.zeros((3, 3)), [[0, 0, 0]], [29]), Reason.VOLUME),
        (Crystal.of([[4, 0, 0], [4, 1e-12, 0], [0, 0, 4]], [[0, 0, 0]], [29]), Reason.VOLUME),
        (cell_of((2.3, 2.3, 2.3), 92), Reason.DENSITY),
    ],
)
def test_hostile_cells_are_refused_by_the_cheapest_rule(start, reason):
    began = time.process_time()

    assert initial_rejection(start).reason is reason
    assert time.process_time() - began < 0.5


def test_a_sheared_cell_is_judged_by_its_lattice_and_not_by_its_vectors():
    start = crystal("CsCl")
    shear = np.array([[1, 0, 0], [120, 1, 0], [-77, 45, 1]])
    sheared = Crystal.of(shear @ start.lattice, start.frac_coords @ np.linalg.inv(shear), start.numbers)

    assert aspect_ratio(sheared.lattice) == pytest.approx(1.0, abs=1e-6)
    check_initial(sheared, RULES, ELEMENTS)


def test_atoms_too_close_name_both_sites_distance_and_limit():
    start = Crystal.of(5 * np.eye(3), [[0, 0, 0], [0.98, 0, 0]], [11, 17])

    problem = initial_rejection(start)

    assert problem.reason is Reason.OVERLAPPING_ATOMS
    assert "site 1 (Na) is 0.10 Å from site 2 (Cl)" in problem.detail
    assert "1.34 Å" in problem.detail  # half of 1.66 + 1.02


def test_an_atom_too_close_to_its_own_image_is_refused():
    problem = initial_rejection(cell_of((1.2, 5.0, 5.0)))

    assert problem.reason is Reason.OVERLAPPING_ATOMS
    assert "its own image" in problem.detail


def test_the_distance_allowed_is_larger_after_relaxation():
    start = Crystal.of(np.diag([4.0, 4.0, 4.0]), [[0, 0, 0], [0.36, 0, 0]], [29, 29])  # 1.44 Å, radii 1.32 + 1.32

    check_initial(start, RULES, ELEMENTS)
    assert relaxed_rejection(start, start).reason is Reason.OVERLAPPING_ATOMS


@pytest.mark.parametrize(
    ("lengths", "words"),
    [((4, 4, 12), "slab"), ((4, 12, 12), "chain"), ((12, 12, 12), "cluster"), ((4, 4, 5.1), "slab")],
)
def test_vacuum_is_no_bulk(lengths, words):
    problem = initial_rejection(cell_of(lengths))

    assert problem.reason is Reason.NOT_BULK
    assert words in problem.detail


def test_pieces_that_no_bond_connects_are_no_bulk():
    two_layers = cell_of((4, 4, 14), frac=((0, 0, 0), (0, 0, 0.5)))

    assert "pieces" in initial_rejection(two_layers).detail


def test_layers_nearer_than_a_bond_are_bulk():
    check_initial(cell_of((4, 4, 4.9)), RULES, ELEMENTS)


@pytest.mark.parametrize("change", [rotated, permuted, shifted, lambda start: supercell(start, 2, 1, 1)])
@pytest.mark.parametrize("name", NAMES)
def test_verdicts_do_not_depend_on_the_description(name, change):
    check_initial(change(crystal(name)), RULES, ELEMENTS)
    slab = with_vacuum(crystal(name), 9.0)

    assert initial_rejection(slab).reason is Reason.NOT_BULK
    assert initial_rejection(change(slab)).reason is Reason.NOT_BULK


def test_a_collapse_or_a_gas_after_relaxation_is_refused_by_volume():
    start = crystal("rocksalt")
    expected = 4 * (ATOMIC_VOLUME_ANG3["Na"] + ATOMIC_VOLUME_ANG3["Cl"])

    gas = scaled(start, *[(3.1 * expected / start.volume) ** (1 / 3)] * 3)
    collapsed = scaled(start, *[(0.29 * expected / start.volume) ** (1 / 3)] * 3)

    assert "3.10 times" in relaxed_rejection(start, gas).detail
    assert "0.29 times" in relaxed_rejection(start, collapsed).detail
    assert relaxed_rejection(start, collapsed).reason is Reason.VOLUME


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_relaxation_that_left_the_numbers_exploded(value):
    start = crystal("CsCl")
    lattice = start.lattice.copy()
    lattice[0, 0] = value

    broken = Crystal(lattice, start.frac_coords, start.numbers)

    assert relaxed_rejection(start, broken).reason is Reason.EXPLODED


def test_a_stretched_needle_after_relaxation_is_refused_by_its_shape():
    start = crystal("bcc")

    assert relaxed_rejection(start, scaled(start, 0.5, 0.5, 11)).reason is Reason.ASPECT_RATIO


def test_a_relaxation_with_other_atoms_is_our_mistake():
    with pytest.raises(ValueError, match="keeps its atoms"):
        check_relaxed(crystal("CsCl"), crystal("rocksalt"), RULES)


@pytest.mark.parametrize(("name", "n_atoms"), [("rocksalt", 2), ("corundum", 10), ("bcc", 1), ("rutile", 6)])
def test_the_primitive_cell_has_its_known_number_of_atoms(name, n_atoms):
    small = primitive(supercell(crystal(name), 2, 1, 1))

    assert len(small) == n_atoms
    assert small.formula == crystal(name).formula
    assert small.volume / n_atoms == pytest.approx(crystal(name).volume / len(crystal(name)))


def test_a_rejection_names_sites_and_numbers_beside_its_sentence():
    near = initial_rejection(Crystal.of(5 * np.eye(3), [[0, 0, 0], [0.98, 0, 0]], [11, 17]))
    own_image = initial_rejection(cell_of((1.2, 5.0, 5.0)))
    element = initial_rejection(crystal("rocksalt"), known=frozenset({"Na"}))
    volume = initial_rejection(cell_of((1.5, 1.5, 1.5)))
    density = initial_rejection(cell_of((2.3, 2.3, 2.3), 92))
    aspect = initial_rejection(cell_of((1.2, 3.0, 30.0)))

    assert near.sites == (1, 2)
    assert (near.value, near.limit) == (pytest.approx(0.1), pytest.approx(0.5 * (1.66 + 1.02)))
    assert own_image.sites == (1,)
    assert element.sites == (5,)
    assert (volume.value, volume.limit) == (pytest.approx(1.5**3), RULES.min_volume_per_atom_ang3)
    assert density.value > density.limit == RULES.max_density_g_per_cm3
    assert (aspect.value, aspect.limit) == (pytest.approx(25.0), RULES.max_aspect_ratio)


@pytest.mark.parametrize(
    ("symbol", "structure", "a"),
    [("Cs", "bcc", 6.16), ("Cs", "fcc", 7.75), ("Rb", "fcc", 7.22), ("Ba", "bcc", 5.03), ("K", "bcc", 5.33)],
)
def test_metals_of_large_atoms_are_bulk(symbol, structure, a):
    metal = Crystal.from_atoms(bulk(symbol, structure, a=a))

    check_initial(metal, RULES, frozenset({symbol}))
    check_relaxed(metal, metal, RULES)


@pytest.mark.parametrize("symbol", ["Cs", "Rb", "Mg", "Cu", "W"])
def test_metals_with_vacuum_are_no_bulk(symbol):
    slab = with_vacuum(Crystal.from_atoms(bulk(symbol)), 10.0)

    assert initial_rejection(slab, known=frozenset({symbol})).reason is Reason.NOT_BULK


def test_by_the_rules_of_version_1_bonds_of_any_atoms_end_at_one_length():
    metal = Crystal.from_atoms(bulk("Cs", "bcc", a=6.16))

    problem = initial_rejection(metal, replace(RULES, bond_radii_ratio=0.0), frozenset({"Cs"}))

    assert problem.reason is Reason.NOT_BULK
    assert "bonds of up to 5 Å must" in problem.detail


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (Crystal.of(4.0 * np.eye(3), np.random.default_rng(0).random((50_000, 3)), [6] * 50_000), Reason.VOLUME),
        (
            Crystal.of(99.0 * np.eye(3), np.random.default_rng(0).random((50_000, 3)), [6] * 50_000),
            Reason.TOO_MANY_ATOMS,
        ),
        (
            Crystal.of(8.0 * np.eye(3), 1e-4 * np.random.default_rng(0).random((50, 3)), [6] * 50),
            Reason.OVERLAPPING_ATOMS,
        ),
        (Crystal.of(np.diag([0.9, 0.9, 17.9]), [[0, 0, 0]], [6]), Reason.NOT_BULK),
        (
            Crystal.of(np.diag([18.0, 18.0, 0.91]), np.random.default_rng(0).random((50, 3)), [6] * 50),
            Reason.OVERLAPPING_ATOMS,
        ),
    ],
)
def test_hostile_crystals_are_refused_by_the_rule_that_bounds_the_next(start, reason):
    assert initial_rejection(start).reason is reason
