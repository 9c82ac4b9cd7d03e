"""Crystals unpacked at once are those unpacked one by one, to the last bit, and so is what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from validation_crystals import crystal, prototypes

from validation.crystal import Crystal
from validation.packed_crystals import cells_of

NAMES = sorted(prototypes())


def random_crystal(seed, n_sites):
    rng = np.random.default_rng(seed)
    return Crystal.of(rng.normal(size=(3, 3)) * 4, rng.random((n_sites, 3)), rng.integers(1, 119, n_sites))


def assert_same(crystals):
    found = cells_of([one.pack() for one in crystals])

    assert found.n_sites.tolist() == [len(one) for one in crystals]
    assert found.lattices.tobytes() == b"".join(one.lattice.tobytes() for one in crystals)
    assert found.cart_coords.tobytes() == b"".join(one.cart_coords.tobytes() for one in crystals)
    assert found.numbers.tolist() == [number for one in crystals for number in one.numbers.tolist()]


def test_known_prototypes_are_unpacked_as_one_by_one():
    assert_same([crystal(name) for name in NAMES])


@given(st.lists(st.tuples(st.integers(0, 1_000), st.integers(0, 40)), max_size=12))
def test_any_crystals_are_unpacked_as_one_by_one(drawn):
    assert_same([random_crystal(*one) for one in drawn])


@pytest.mark.parametrize("n_sites", [1, 2, 200])
def test_many_of_one_size_are_unpacked_as_one_by_one(n_sites):
    assert_same([random_crystal(seed, n_sites) for seed in range(20)])


GOOD = crystal("rutile").pack()
BAD = {
    "nothing": b"",
    "less than a head": b"XT1\0",
    "less than a lattice": GOOD[:40],
    "another format": b"XT2\0" + GOOD[4:],
    "cut short": GOOD[:-1],
    "cut by a site": GOOD[:-25],
    "too long": GOOD + b"\0",
}


@pytest.mark.parametrize("damage", BAD)
def test_what_is_no_packed_crystal_is_refused_as_one_by_one(damage):
    with pytest.raises(ValueError, match="packed crystal") as alone:
        Crystal.unpack(BAD[damage])
    with pytest.raises(ValueError, match="packed crystal") as among:
        cells_of([GOOD, BAD[damage], GOOD])

    assert str(among.value) == str(alone.value)
