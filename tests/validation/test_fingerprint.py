"""Fingerprints do not see how a crystal is described, move with its atoms, and are found by ranges of projections."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.pairs import disguised, pair
from tests.validation.validation_crystals import (
    crystal,
    heusler,
    mirrored,
    permuted,
    prototypes,
    rattled,
    rotated,
    shifted,
    supercell,
)
from validation.crystal import Crystal
from validation.fingerprint import Fingerprint, Limits, key_of, near, stacked
from validation.fitting import may_fit
from validation.reduction import primitive, reduced
from validation.rules import Rules

RULES = Rules()
NAMES = sorted(prototypes())
SAME = 1e-5  # of numbers kept as float32


def fingerprint(start):
    return Fingerprint.of(primitive(start))


def random_crystal(seed, n_sites=None, kinds=3):
    dice = np.random.default_rng(seed)
    n_sites = n_sites or int(dice.integers(1, 9))
    lattice = dice.normal(size=(3, 3)) + 3.0 * np.eye(3)
    return Crystal.of(2.0 * lattice, dice.random((n_sites, 3)), dice.integers(8, 8 + kinds, size=n_sites))


def images(reach):
    return np.array(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3)).reshape(3, -1).T


def by_brute_force(start, reach):
    """Distances and lengths from all images within ``reach`` reduced cells: slow and plain."""
    start = reduced(start)
    vectors = images(reach) @ start.lattice
    cart = start.cart_coords
    apart = np.linalg.norm(cart[None, :, None] + vectors[None, None] - cart[:, None, None], axis=-1)
    apart[apart < 1e-9] = np.inf
    means = [np.sort(apart.reshape(len(start), -1), axis=1)[:, :48].mean(axis=0)]
    species = sorted(set(start.numbers.tolist()))
    for place, one in enumerate(species):
        for other in species[place:]:
            of_pair = apart[start.numbers == one][:, start.numbers == other]
            means.append(np.sort(of_pair.reshape(len(of_pair), -1), axis=1)[:, :10].mean(axis=0))
    lengths = np.sort(np.linalg.norm(vectors, axis=1))[1:27:2]
    unit = (start.volume / len(start)) ** (1 / 3)
    return np.concatenate(means) / unit, np.log(lengths / start.volume ** (1 / 3))


@pytest.mark.parametrize("seed", range(12))
def test_distances_and_lengths_are_those_of_all_images(seed):
    start = random_crystal(seed)

    found = Fingerprint.of(start)
    distances, lengths = by_brute_force(start, 6)

    np.testing.assert_allclose(found.distances, distances, atol=SAME)
    np.testing.assert_allclose(found.lengths, lengths, atol=SAME)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "change",
    [
        rotated,
        permuted,
        shifted,
        mirrored,
        lambda start: supercell(start, 2, 1, 1),
        lambda start: rotated(supercell(start, 1, 2, 2)),
        lambda start: Crystal.of(start.lattice * 1.7, start.frac_coords, start.numbers),
        lambda start: Crystal.of(start.lattice @ np.diag([1, 1, -1]), start.frac_coords, start.numbers),
    ],
    ids=["rotated", "permuted", "shifted", "mirrored", "supercell", "turned supercell", "scaled", "left-handed"],
)
def test_another_description_has_the_same_fingerprint(name, change):
    one, other = fingerprint(crystal(name)), fingerprint(change(crystal(name)))

    assert one.key == other.key
    assert one.distance_to(other) < SAME
    assert one.lattice_distance_to(other) < SAME


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.lists(st.integers(-2, 2), min_size=3, max_size=3))
def test_the_choice_of_cell_does_not_count(seed, steps):
    start = random_crystal(seed)
    basis = np.array([[1, steps[0], steps[1]], [0, 1, steps[2]], [0, 0, 1]])

    other = Crystal.of(basis @ start.lattice, start.frac_coords @ np.linalg.inv(basis), start.numbers)

    assert Fingerprint.of(start).distance_to(Fingerprint.of(other)) < SAME
    assert Fingerprint.of(start).lattice_distance_to(Fingerprint.of(other)) < SAME


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ang", [1e-4, 1e-3, 1e-2])
def test_a_small_displacement_makes_a_small_difference(name, ang):
    start = primitive(crystal(name))

    moved = rattled(start, ang)

    assert Fingerprint.of(start).distance_to(Fingerprint.of(moved)) < 2 * ang
    assert Fingerprint.of(start).lattice_distance_to(Fingerprint.of(moved)) < SAME


def test_species_pairs_see_what_distances_alone_do_not():
    one, other = Fingerprint.of(heusler("XYXZ")), Fingerprint.of(heusler("XXYZ"))

    np.testing.assert_allclose(one.distances[:48], other.distances[:48], atol=SAME)
    assert one.distance_to(other) > 0.05


@pytest.mark.parametrize(
    "start",
    [
        Crystal.of(np.eye(3) * 3, [[0, 0, 0]], [84]),
        Crystal.of(np.diag([2.5, 2.5, 60.0]), [[0, 0, 0], [0, 0, 0.05]], [6, 8]),  # flat
        Crystal.of(np.diag([60.0, 60.0, 2.5]), [[0, 0, 0], [0.05, 0, 0]], [6, 8]),  # a needle
        Crystal.of(np.diag([12.0, 13.0, 14.0]), np.random.default_rng(0).random((200, 3)), [92] + [1] * 199),
    ],
    ids=["one atom", "flat", "needle", "200 atoms, one of them rare"],
)
def test_cells_of_any_shape_and_size_have_one(start):
    found = Fingerprint.of(start)

    assert np.isfinite(found.distances).all() and (found.distances >= 0).all()
    assert (np.diff(found.distances[:48]) >= 0).all() and (np.diff(found.lengths) >= 0).all()
    assert found.distance_to(Fingerprint.of(rotated(permuted(start)))) < SAME


def test_rare_elements_are_sought_far_enough():
    start = Crystal.of(np.diag([9.0, 10.0, 11.0]), np.random.default_rng(1).random((60, 3)), [92] + [1] * 59)

    distances, _ = by_brute_force(start, 3)

    np.testing.assert_allclose(Fingerprint.of(start).distances, distances, atol=SAME)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_unpacked_is_what_was_packed(name):
    one = fingerprint(crystal(name))

    other = Fingerprint.unpack(one.key, one.pack())

    assert other.key == one.key == key_of(primitive(crystal(name)))
    assert (other.distances == one.distances).all() and (other.lengths == one.lengths).all()
    assert other.projections == one.projections


def test_too_few_bytes_are_refused():
    with pytest.raises(ValueError, match="a packed fingerprint has at least"):
        Fingerprint.unpack("C:1", b"\0" * 100)


def test_key_numbers_are_the_same_in_every_process_and_differ():
    one, other = fingerprint(crystal("rocksalt")), fingerprint(crystal("CsCl"))

    assert (one.key, one.n_atoms) == ("ClNa:2", 2)
    assert one.key_number == -4964010351682422951
    assert one.key_number != other.key_number


@pytest.mark.parametrize("tolerances", [RULES.twin, RULES.duplicate], ids=["twins", "duplicates"])
def test_what_is_within_the_limits_is_within_reach_of_the_projections(tolerances):
    limits, dice = Limits.of(tolerances), np.random.default_rng(0)
    start = fingerprint(crystal("quartz"))
    furthest = np.zeros(3)

    for _ in range(300):
        drawn = dice.normal(size=len(start.distances)) * (dice.random(len(start.distances)) < dice.random())
        drawn *= limits.distances / max(float(np.sqrt(np.mean(drawn**2))), 1e-9)
        lengths = start.lengths + dice.uniform(-1, 1, size=13) * limits.lengths * 0.999
        other = Fingerprint(start.key, (start.distances + 0.999 * drawn).astype(np.float32), lengths.astype(np.float32))
        assert start.is_near(other, limits)
        furthest = np.maximum(furthest, np.abs(np.subtract(start.projections, other.projections)))

    assert (furthest <= limits.reaches).all()


def test_a_difference_along_the_contrast_reaches_the_limit_of_its_projection():
    limits, start = Limits.of(RULES.duplicate), fingerprint(crystal("quartz"))
    along = np.zeros(len(start.distances))
    along[:4], along[4:12] = 1.0, -0.5
    along *= limits.distances / np.sqrt(np.mean(along**2))

    other = Fingerprint(start.key, (start.distances + along).astype(np.float32), start.lengths)

    assert abs(other.projections[1] - start.projections[1]) == pytest.approx(limits.reaches[1], rel=1e-4)


def test_near_finds_in_many_rows_what_is_near_one_by_one():
    dice, limits = np.random.default_rng(0), Limits.of(RULES.duplicate)
    start = fingerprint(crystal("rutile"))
    others = [
        Fingerprint(
            start.key,
            (start.distances + dice.normal(0, dice.uniform(0.1, 0.25), size=len(start.distances))).astype(np.float32),
            np.sort(start.lengths + dice.normal(0, 0.06, size=13)).astype(np.float32),
        )
        for _ in range(500)
    ]

    rows, apart = near(start, stacked(other.pack() for other in others), limits)

    expected = [number for number, other in enumerate(others) if start.is_near(other, limits)]
    assert rows.tolist() == expected
    assert 20 < len(expected) < 480
    np.testing.assert_allclose(apart, [start.distance_to(others[row]) for row in expected], rtol=1e-5)


@pytest.mark.parametrize("tolerances", [RULES.twin, RULES.duplicate], ids=["twins", "duplicates"])
def test_crystals_that_fit_at_the_limit_are_near(tolerances):
    starts = [primitive(crystal(name)) for name in NAMES]
    tried = 0

    for seed in range(150):
        two = pair(starts, tolerances, (7, seed))
        if two is None or two.noisy or len(two.a) != len(primitive(two.b)):
            continue
        a, b = reduced(two.a), primitive(two.b)
        if any(may_fit(a, b, tolerances)):
            tried += 1
            assert Fingerprint.of(a).is_near(Fingerprint.of(b), Limits.of(tolerances)), two.kind

    assert tried > 60


def test_a_disguise_changes_no_fingerprint():
    dice = np.random.default_rng(0)
    for name in NAMES:
        one, other = fingerprint(crystal(name)), fingerprint(disguised(primitive(crystal(name)), dice))
        assert one.key == other.key and one.distance_to(other) < SAME and one.lattice_distance_to(other) < SAME


@pytest.mark.parametrize("tolerances", [RULES.twin, RULES.duplicate], ids=["twins", "duplicates"])
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("name", ["bcc", "diamond", "CsCl"])
def test_cells_pulled_along_the_diagonal_as_far_as_they_fit_are_near(name, sign, tolerances):
    start = reduced(primitive(crystal(name)))
    along = np.full((3, 3), 1 / 3)
    fitting = []

    for by in np.linspace(0.0, 0.4, 200):
        pulled = reduced(Crystal.of(start.lattice @ (np.eye(3) + sign * by * along), start.frac_coords, start.numbers))
        if any(may_fit(start, pulled, tolerances)):
            fitting.append(pulled)

    assert len(fitting) > 3
    assert all(Fingerprint.of(start).is_near(Fingerprint.of(one), Limits.of(tolerances)) for one in fitting)
