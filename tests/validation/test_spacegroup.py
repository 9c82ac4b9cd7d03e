"""Space groups and prototypes against published ones, against spglib, and against copies that only look different."""

import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import spglib
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from tests.validation.validation_crystals import crystal, mirrored, permuted, prototypes, rattled, rotated, shifted
from validation.blocks import split_file
from validation.cif import read_block
from validation.crystal import Crystal
from validation.rules import Rejected, Rules
from validation.spacegroup import SYMPREC_ANG, Position, symbol_of, symmetry_of

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus" / "mp.zip"
EVERY = 12  # of the corpus's structures one in so many is looked at
NOISE_ANG = 1e-3

third, cubic, hexagonal = 1 / 3, Lattice.cubic, Lattice.hexagonal
MORE = {  # each built when it is asked for: pymatgen takes a quarter of a second to multiply a group out
    "spinel": ("Fd-3m", cubic(8.08), ["Mg", "Al", "O"], [[0, 0, 0], [5 / 8] * 3, [0.3874] * 3]),
    "half-Heusler": ("F-43m", cubic(5.88), ["Mg", "Ag", "As"], [[0.5] * 3, [0, 0, 0], [0.25] * 3]),
    "Heusler": ("Fm-3m", cubic(5.95), ["Cu", "Mn", "Al"], [[0.25] * 3, [0.5] * 3, [0, 0, 0]]),
    "nickeline": ("P6_3/mmc", hexagonal(3.6, 5.0), ["Ni", "As"], [[0, 0, 0], [third, 2 * third, 0.25]]),
    "BaTiO3": ("Pm-3m", cubic(4.0), ["Ba", "Ti", "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]]),
    "monoclinic": (  # one atom on each of two inversion centres, and a general one
        "P2_1/c",
        Lattice.monoclinic(5.1, 5.9, 6.8, 104),
        ["Ti", "Ca", "O"],
        [[0, 0, 0], [0.5, 0, 0.5], [0.2, 0.31, 0.13]],
    ),
    "triclinic": (
        "P-1",
        Lattice.from_parameters(4.1, 5.3, 6.7, 81, 97, 104),
        ["Ti", "Ca", "Mg", "O"],
        [[0, 0, 0], [0.5, 0, 0], [0.5, 0.5, 0.5], [0.21, 0.32, 0.13]],
    ),
    "Pmmm": (
        "Pmmm",
        Lattice.orthorhombic(4.1, 5.2, 6.7),
        ["Ti", "Ca", "O"],
        [[0, 0, 0], [0.5, 0.5, 0.5], [0, 0.3, 0.5]],
    ),
}
# name: symbol, label, prototype; positions as AFLOW's encyclopedia and the Tables have them, but for the normaliser
PUBLISHED = {
    "rocksalt": ("Fm-3m", "AB_cF8_225_a_b:Cl-Na", "AB_cF8_225_a_b"),
    "CsCl": ("Pm-3m", "AB_cP2_221_a_b:Cl-Cs", "AB_cP2_221_a_b"),
    "zincblende": ("F-43m", "AB_cF8_216_a_c:As-Ga", "AB_cF8_216_a_c"),
    "wurtzite": ("P6_3mc", "AB_hP4_186_b_b:S-Zn", "AB_hP4_186_b_b"),
    "fluorite": ("Fm-3m", "AB2_cF12_225_a_c:Ca-F", "AB2_cF12_225_a_c"),
    "perovskite": ("Pm-3m", "A3BC_cP5_221_c_a_b:O-Sr-Ti", "ABC3_cP5_221_a_b_c"),
    "BaTiO3": ("Pm-3m", "AB3C_cP5_221_a_c_b:Ba-O-Ti", "ABC3_cP5_221_a_b_c"),
    "rutile": ("P4_2/mnm", "A2B_tP6_136_f_a:O-Ti", "AB2_tP6_136_a_f"),
    "diamond": ("Fd-3m", "A_cF8_227_a:C", "A_cF8_227_a"),
    "bcc": ("Im-3m", "A_cI2_229_a:Fe", "A_cI2_229_a"),
    "hcp": ("P6_3/mmc", "A_hP2_194_c:Mg", "A_hP2_194_c"),
    "corundum": ("R-3c", "A2B3_hR30_167_c_e:Al-O", "A2B3_hR30_167_c_e"),
    "spinel": ("Fd-3m", "A2BC4_cF56_227_c_b_e:Al-Mg-O", "AB2C4_cF56_227_a_d_e"),
    "half-Heusler": ("F-43m", "ABC_cF12_216_a_c_b:Ag-As-Mg", "ABC_cF12_216_a_b_c"),
    "Heusler": ("Fm-3m", "AB2C_cF16_225_a_c_b:Al-Cu-Mn", "ABC2_cF16_225_a_b_c"),
    "nickeline": ("P6_3/mmc", "AB_hP4_194_c_a:As-Ni", "AB_hP4_194_a_c"),
    "tellurium": ("P3_121", "A_hP3_152_a:Te", "A_hP3_152_a"),
    "quartz": ("P3_221", "A2B_hP9_152_c_a:O-Si", "AB2_hP9_152_a_c"),
}


@cache
def made(name: str) -> Crystal:
    return Crystal.from_structure(Structure.from_spacegroup(*MORE[name])) if name in MORE else crystal(name)


NAMES = sorted({*prototypes(), *MORE})


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_known_crystal_has_its_published_group_and_label(name):
    found = symmetry_of(made(name))

    assert (found.symbol, found.label, found.prototype) == PUBLISHED[name]


def test_positions_are_counted_in_the_conventional_cell_whatever_cell_was_given():
    spinel = made("spinel")
    primitive = Crystal.from_structure(spinel.to_structure().get_primitive_structure())

    assert len(primitive) == 14
    assert sum(position.multiplicity for position in symmetry_of(primitive).positions) == 56
    assert symmetry_of(primitive).positions == tuple(sorted(symmetry_of(primitive).positions))
    assert Position("O", "e", 32) in symmetry_of(primitive).positions


def test_left_and_right_quartz_have_groups_of_their_own_and_one_label():
    left, right = symmetry_of(made("quartz")), symmetry_of(mirrored(made("quartz")))

    assert (left.number, right.number) == (154, 152)
    assert left.label == right.label


def _supercell(start: Crystal, transformation: list[list[int]]) -> Crystal:
    return Crystal.from_structure(start.to_structure().make_supercell(transformation))


shifts = st.tuples(*[st.floats(0, 1, exclude_max=True)] * 3)
cells = st.sampled_from(
    [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[2, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[1, 1, 0], [-1, 1, 0], [0, 0, 1]],
        [[1, 2, 0], [0, 1, 0], [1, 0, 1]],
        [[0, 1, 0], [0, 0, 1], [1, 0, 0]],
        [[1, 0, 1], [0, 1, 0], [0, 0, 1]],
    ]
)


@settings(max_examples=80, deadline=None)
@given(name=st.sampled_from(NAMES), seed=st.integers(0, 10**6), by=shifts, cell=cells, hand=st.booleans())
def test_a_copy_that_is_turned_shifted_reordered_repeated_mirrored_and_shaken_has_the_same_label(
    name, seed, by, cell, hand
):
    start = made(name)

    copy = _supercell(mirrored(start) if hand else start, cell)
    copy = rattled(permuted(shifted(rotated(copy, seed), by), seed), NOISE_ANG, seed)

    assert symmetry_of(copy).label == symmetry_of(start).label


metrics = {
    "triclinic": st.tuples(*[st.floats(3.5, 8.0)] * 3, *[st.floats(75, 105)] * 3).map(
        lambda cell: Lattice.from_parameters(*cell)
    ),
    "monoclinic": st.tuples(*[st.floats(4.5, 8.0)] * 3, st.floats(70, 112)).map(lambda cell: Lattice.monoclinic(*cell)),
    "Pmmm": st.permutations([4.1, 5.2, 6.7]).map(lambda edges: Lattice.orthorhombic(*edges)),
}


@pytest.mark.parametrize("name", sorted(metrics))
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_which_axis_is_longer_does_not_change_the_prototype(name, data):
    start = made(name)
    lattice = data.draw(metrics[name])

    stretched = symmetry_of(Crystal.of(lattice.matrix, start.frac_coords, start.numbers), symprec_ang=1e-3)

    assert stretched.label == symmetry_of(start).label


def test_atoms_in_one_place_have_no_symmetry():
    lattice, sites = 3 * np.eye(3), [[0, 0, 0], [0, 0, 0.001]]

    assert symmetry_of(Crystal.of(lattice, sites, [26, 26])) is None


def test_a_number_that_is_no_group_has_no_symbol():
    with pytest.raises(ValueError):
        symbol_of(231)


@pytest.fixture(scope="module")
def corpus() -> list[Crystal]:
    if not CORPUS.is_file():
        pytest.skip("the corpus of real crystals is not beside this checkout")
    return list(_crystals(CORPUS))


def _crystals(path):
    rules = Rules(max_atoms=200, excluded_elements=())
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist())[::EVERY]:
            for block in split_file(archive.read(name), name):
                try:
                    yield read_block(block.text, rules)
                except Rejected:
                    continue


def test_it_agrees_with_spglib_on_nearly_all_real_structures(corpus):
    """Where the two draw the line at a tolerance differs for a few that are nearly of a higher group."""
    numbers = [
        spglib.get_symmetry_dataset((one.lattice, one.frac_coords, one.numbers), symprec=SYMPREC_ANG).number
        for one in corpus
    ]

    differing = sum(symmetry_of(one).number != number for one, number in zip(corpus, numbers, strict=True))
    assert differing <= 0.02 * len(corpus)


def test_real_structures_keep_their_label_when_turned_shifted_and_shaken(corpus):
    changed = []
    for seed, one in enumerate(corpus):
        copy = rattled(permuted(shifted(rotated(one, seed)), seed), NOISE_ANG, seed)
        before, after = symmetry_of(one), symmetry_of(copy)
        if before.label != after.label:
            changed.append((before.label, after.label))

    assert len(changed) <= 0.005 * len(corpus), changed


@pytest.mark.parametrize("name", sorted({*PUBLISHED} - {"quartz"}))  # there the lower number of a pair is ours
def test_the_label_is_the_one_that_pymatgen_writes_with_spglib(name):
    from pymatgen.analysis.prototypes import get_protostructure_label_from_spglib  # late: it reads its library for 5 s

    expected = get_protostructure_label_from_spglib(made(name).to_structure(), raise_errors=True)

    assert symmetry_of(made(name)).label == expected
