import networkx as nx
import numpy as np
import pytest
from ase.neighborlist import primitive_neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.validation.validation_crystals import crystal, prototypes, rotated, shifted, supercell
from validation.crystal import Crystal
from validation.lattices import aspect_ratio, reduced_lattice
from validation.neighbours import (
    Pairs,
    ReducedCell,
    bonded_directions,
    closest_contact,
    neighbour_pairs,
    periodic_directions,
)

CUBE = Crystal.of(4.0 * np.eye(3), [[0, 0, 0]], [29])
RANDOM = settings(deadline=None, max_examples=100)
SEEDS = st.integers(0, 10**6)
SAME_DISTANCE_ANG = 1e-6


def random_crystal(seed, n_atoms):
    """With 15 Å³ an atom, and no needle; None where the draw is one."""
    rng = np.random.default_rng(seed)
    lattice = rng.normal(size=(3, 3)) + np.eye(3)
    lattice *= (15.0 * n_atoms / abs(np.linalg.det(lattice))) ** (1 / 3)
    return Crystal.of(lattice, rng.random((n_atoms, 3)), [29] * n_atoms) if aspect_ratio(lattice) < 8 else None


def directions_by_networkx(n_sites, pairs):
    """Connected or not, and the rank of what every bond adds to a tree through the piece of the first site."""
    graph = nx.MultiGraph()
    graph.add_nodes_from(range(n_sites))
    graph.add_edges_from(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    offset = {}
    for i, j, cell in zip(pairs.first.tolist(), pairs.second.tolist(), pairs.offsets, strict=True):
        offset[j, i], offset[i, j] = -cell, cell
    place = {0: np.zeros(3, dtype=int)}
    for i, j in nx.bfs_edges(graph, 0):
        place[j] = place[i] + offset[i, j]
    cycles = [
        place[i] + cell - place[j]
        for i, j, cell in zip(pairs.first.tolist(), pairs.second.tolist(), pairs.offsets, strict=True)
        if i in place
    ]
    return nx.is_connected(graph), int(np.linalg.matrix_rank(cycles)) if cycles else 0


def distances_by_brute_force(start):
    """Å between each two sites, the diagonal to the nearest own image; shape (n, n)."""
    reduced = reduced_lattice(start.lattice)
    grid = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) @ reduced
    frac = start.cart_coords @ np.linalg.inv(reduced)
    apart = frac[None, :, :] - frac[:, None, :]
    apart = (apart - np.round(apart)) @ reduced
    distances = np.linalg.norm(apart[:, :, None, :] + grid, axis=-1)
    distances[distances < 1e-9] = np.inf
    return distances.min(axis=2)


def within(pairs, ang):
    near = pairs.distances <= ang
    return Pairs(pairs.first[near], pairs.second[near], pairs.offsets[near], pairs.distances[near])


@RANDOM
@given(SEEDS, st.integers(1, 9), st.floats(1.5, 5.0))
def test_directions_agree_with_networkx(seed, n_atoms, bond_ang):
    start = random_crystal(seed, n_atoms)
    if start is None:
        return
    pairs = neighbour_pairs(start, bond_ang)

    assert periodic_directions(n_atoms, pairs) == directions_by_networkx(n_atoms, pairs)


@RANDOM
@given(SEEDS, st.integers(1, 9), st.floats(1.5, 5.0), st.floats(0.0, 2.0))
def test_looking_no_further_than_needed_gives_the_verdict_of_all_bonds(seed, n_atoms, bond_ang, ratio):
    start = random_crystal(seed, n_atoms)
    if start is None:
        return
    radii = np.random.default_rng(seed).uniform(0.5, 2.0, size=n_atoms)
    pairs = neighbour_pairs(start, max(bond_ang, 4.0 * ratio))
    bonded = pairs.distances <= np.maximum(bond_ang, ratio * (radii[pairs.first] + radii[pairs.second]))
    bonds = Pairs(pairs.first[bonded], pairs.second[bonded], pairs.offsets[bonded], pairs.distances[bonded])

    found = bonded_directions(ReducedCell.of(start), radii, bond_ang=bond_ang, ratio=ratio)

    assert found[0] == periodic_directions(n_atoms, bonds)[0]
    assert not found[0] or found[1] == periodic_directions(n_atoms, bonds)[1]


@RANDOM
@given(SEEDS, st.integers(1, 9))
def test_the_closest_contact_agrees_with_brute_force(seed, n_atoms):
    start = random_crystal(seed, n_atoms)
    if start is None:
        return
    radii = np.random.default_rng(seed).uniform(0.5, 1.5, size=n_atoms)
    ratios = distances_by_brute_force(start) / (radii[:, None] + radii[None, :])

    contact = closest_contact(ReducedCell.of(start), radii, 0.9)

    assert (contact is None) == bool(ratios.min() >= 0.9)
    if contact is not None:
        assert contact.distance / contact.limit * 0.9 == pytest.approx(ratios.min(), rel=1e-9)
        assert ratios[contact.first, contact.second] == pytest.approx(ratios.min(), rel=1e-9)


@pytest.mark.parametrize("change", [rotated, shifted, lambda start: supercell(start, 2, 1, 1)])
@pytest.mark.parametrize("name", sorted(prototypes()))
def test_distances_an_atom_do_not_depend_on_the_description(name, change):
    start, other = crystal(name), change(crystal(name))
    again = len(other) // len(start)

    found = np.sort(neighbour_pairs(other, 5.0).distances)

    expected = np.sort(np.repeat(neighbour_pairs(start, 5.0).distances, again))
    assert len(found) == len(expected)
    np.testing.assert_allclose(found, expected, atol=SAME_DISTANCE_ANG)


def test_more_pairs_than_there_was_room_for_are_all_found():
    start = crystal("diamond")

    far = neighbour_pairs(start, 12.0)

    assert len(far.distances) > 40 * len(start)
    np.testing.assert_allclose(np.sort(within(far, 3.0).distances), np.sort(neighbour_pairs(start, 3.0).distances))


def test_a_crystal_that_falls_apart_has_the_directions_of_its_first_atoms_piece():
    layers = Crystal.of(np.diag([3.0, 3.0, 20.0]), [[0, 0, 0], [0.5, 0.5, 0.5]], [29, 29])

    assert periodic_directions(2, neighbour_pairs(layers, 3.1)) == (False, 2)


def test_two_nets_through_each_other_are_two_pieces_and_a_bond_between_them_makes_them_one():
    nets = Crystal.of(4.0 * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]], [29, 29])
    pairs = neighbour_pairs(nets, 4.1)
    apart = pairs.first == pairs.second

    own = Pairs(pairs.first[apart], pairs.second[apart], pairs.offsets[apart], pairs.distances[apart])

    assert periodic_directions(2, own) == (False, 3)
    assert periodic_directions(2, pairs) == (True, 3)


def test_a_screw_that_closes_only_after_several_cells_counts_as_one_direction():
    steps = np.array([[0, 0, 0], [0, 0, 0], [0, 0, 1]])
    pairs = Pairs(np.array([0, 1, 2]), np.array([1, 2, 0]), steps, np.ones(3))

    assert periodic_directions(3, pairs) == (True, 1)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 8))
def test_neighbours_agree_with_ase_in_any_cell(seed, n_atoms):
    rng = np.random.default_rng(seed)
    lattice = rng.normal(size=(3, 3)) * 3 + np.eye(3) * 3
    if aspect_ratio(lattice) > 20 or abs(np.linalg.det(lattice)) < 4 * n_atoms:
        return
    start = Crystal.of(lattice, rng.random((n_atoms, 3)), [29] * n_atoms)

    pairs = neighbour_pairs(start, 5.0)

    expected = np.sort(primitive_neighbor_list("d", [True] * 3, start.lattice, start.cart_coords, 5.0))
    assert len(expected) == 2 * len(pairs.distances)
    np.testing.assert_allclose(np.sort(np.repeat(pairs.distances, 2)), expected, atol=SAME_DISTANCE_ANG)


def test_a_single_bond_through_each_face_makes_three_directions():
    pairs = neighbour_pairs(CUBE, 4.1)

    assert periodic_directions(1, pairs) == (True, 3)
    assert periodic_directions(1, neighbour_pairs(CUBE, 3.9)) == (True, 0)
