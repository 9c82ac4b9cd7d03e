import hashlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.validation.validation_crystals import crystal, permuted, prototypes, rotated, shifted, supercell
from validation.crystal import Crystal

NAMES = sorted(prototypes())
EXACT = 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_sites_and_whole_cells_do_not_change_the_hash(name):
    start = crystal(name)

    assert permuted(start).content_hash == start.content_hash
    assert (
        Crystal.of(start.lattice, start.frac_coords + np.array([1, -2, 3]), start.numbers).content_hash
        == start.content_hash
    )


def test_noise_far_below_the_resolution_does_not_change_the_hash():
    start = crystal("CsCl")

    assert Crystal.of(start.lattice, start.frac_coords - 1e-12, start.numbers).content_hash == start.content_hash
    assert Crystal.of(start.lattice + 1e-9, start.frac_coords, start.numbers).content_hash == start.content_hash


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("rocksalt", "5f87bd1e58d6906e9cef485e6179f1d42887d6a9de3f2b6843d697607f9cfe1c"),
        ("quartz", "2430b3b3a73d50791ca6503cbe1ee6dc894f7c5aadc5ec05cf16a05fa69b9fcb"),
    ],
)
def test_hashes_stay_what_they_were_when_relaxations_were_stored_under_them(name, known):
    assert crystal(name).content_hash == known


@given(st.integers(0, 10_000), st.integers(1, 30))
def test_the_hash_is_that_of_whole_steps_of_a_ten_thousandth_of_an_angstrom(seed, n_sites):
    rng = np.random.default_rng(seed)
    start = Crystal.of(rng.normal(size=(3, 3)) * 4, rng.random((n_sites, 3)), rng.integers(1, 95, n_sites))
    steps = [round(value / 1e-4) for value in start.lattice.ravel()]
    grid = [max(round(float(length) / 1e-4), 1) for length in np.linalg.norm(start.lattice, axis=1)]
    sites = sorted(
        (int(number), *(round(float(place) * n) % n for place, n in zip(frac, grid, strict=True)))
        for number, frac in zip(start.numbers, start.frac_coords, strict=True)
    )
    packed = b"crystal-1" + struct.pack(f"<{9 + 4 * n_sites}q", *steps, *(value for site in sites for value in site))

    assert start.content_hash == hashlib.sha256(packed).hexdigest()


@pytest.mark.parametrize("change", [rotated, shifted, lambda start: supercell(start, 2, 1, 1)])
def test_another_cell_or_origin_has_another_hash(change):
    assert change(crystal("rutile")).content_hash != crystal("rutile").content_hash


def test_another_element_or_place_has_another_hash():
    start = crystal("rocksalt")
    moved = start.frac_coords.copy()
    moved[0, 0] += 0.001

    assert Crystal.of(start.lattice, start.frac_coords, start.numbers + 1).content_hash != start.content_hash
    assert Crystal.of(start.lattice, moved, start.numbers).content_hash != start.content_hash


@given(st.integers(0, 10_000), st.integers(0, 40))
def test_packing_is_exact(seed, n_sites):
    rng = np.random.default_rng(seed)
    start = Crystal.of(rng.normal(size=(3, 3)), rng.normal(size=(n_sites, 3)), rng.integers(1, 119, n_sites))

    found = Crystal.unpack(start.pack())

    assert np.array_equal(found.lattice, start.lattice)
    assert np.array_equal(found.frac_coords, start.frac_coords)
    assert np.array_equal(found.numbers, start.numbers)
    assert found.content_hash == start.content_hash


@pytest.mark.parametrize(
    "spoil",
    [lambda blob: blob[:-1], lambda blob: blob + b"x", lambda blob: b"?" + blob[1:], lambda blob: blob[:5]],
)
def test_bytes_that_are_no_packed_crystal_are_refused(spoil):
    with pytest.raises(ValueError, match="packed crystal"):
        Crystal.unpack(spoil(crystal("CsCl").pack()))


@given(st.floats(-1e6, 1e6))
def test_coordinates_are_wrapped_into_the_cell(value):
    found = Crystal.of(np.eye(3), [[value, 0.0, 0.0]], [1]).frac_coords

    assert 0.0 <= found[0, 0] < 1.0


def test_ase_and_pymatgen_give_the_crystal_back():
    start = crystal("corundum")

    for found in (Crystal.from_atoms(start.to_atoms()), Crystal.from_structure(start.to_structure())):
        np.testing.assert_allclose(found.cart_coords, start.cart_coords, atol=1e-9)
        assert found.symbols == start.symbols


def test_a_crystal_knows_its_formula_elements_and_volume():
    start = crystal("perovskite")

    assert str(start.formula) == "O3SrTi"
    assert start.elements == ("O", "Sr", "Ti")
    assert len(start) == 5
    assert start.volume == pytest.approx(3.91**3, abs=EXACT * 1e3)
