"""A CIF is read as pymatgen reads it, or refused with a reason that names the line; whatever the text, nothing else."""

import io
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.io.cif import CifParser, CifWriter

from tests.validation.cif_reading import RULES, rejection
from tests.validation.validation_crystals import cif_text, prototypes
from validation.cif import read_block
from validation.rules import Reason, Rejected

SAME_SITE_ANG = 0.02
CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus" / "mp.zip"
PROTOTYPES = prototypes()
WRITTEN = str(CifWriter(PROTOTYPES["rocksalt"], symprec=0.01))


def assert_same_as_pymatgen(text):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = CifParser(io.StringIO(text)).parse_structures(primitive=False)[0]

    found = read_block(text, RULES)

    assert found.to_structure().composition == expected.composition
    assert found.volume == pytest.approx(expected.volume, rel=1e-6)
    distances = expected.lattice.get_all_distances(expected.frac_coords, found.frac_coords)
    same_element = np.array(expected.atomic_numbers)[:, None] == found.numbers
    assert np.where(same_element, distances, np.inf).min(axis=1).max() < SAME_SITE_ANG


@pytest.mark.parametrize("symprec", [None, 0.01], ids=["P1", "symmetry"])
@pytest.mark.parametrize("name", PROTOTYPES)
@pytest.mark.parametrize("primitive", [False, True], ids=["conventional", "primitive"])
def test_reading_agrees_with_pymatgen_on_prototypes(name, symprec, primitive):
    structure = PROTOTYPES[name].get_primitive_structure() if primitive else PROTOTYPES[name]

    assert_same_as_pymatgen(str(CifWriter(structure, symprec=symprec)))


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus of real crystals is not beside this checkout")
def test_reading_agrees_with_pymatgen_on_real_crystals():
    with zipfile.ZipFile(CORPUS) as archive:
        for name in archive.namelist()[::25]:
            assert_same_as_pymatgen(archive.read(name).decode())


def test_a_cell_and_sites_are_enough():
    crystal = read_block(cif_text(), RULES)

    assert crystal.symbols == ("Na", "Cl")
    np.testing.assert_allclose(crystal.lattice, 4.0 * np.eye(3), atol=1e-12)


def test_numbers_with_uncertainties_are_read():
    crystal = read_block(cif_text("Na1 Na 0.25(1) 0 0", cell=("4.00(2)", 4, 4, 90, 90, 90)), RULES)

    assert crystal.frac_coords[0, 0] == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        (" \n\n", "empty"),
        ("<!DOCTYPE html><html></html>", "HTML"),
        ("\n<html>data_x</html>", "HTML"),
        ("data_a\n_x '\0'\n", "NUL"),
        ("\x7fELF\0\0", "NUL"),
        ("Na Cl\n1.0\n5.6 0 0\n", "data_"),
        ("{}", "data_"),
    ],
)
def test_what_is_no_cif_says_what_it_looks_like(text, words):
    problem = rejection(text)

    assert problem.reason is Reason.NOT_CIF
    assert words in problem.detail


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data_a\n_x 'foo\n", "line 2 .*unterminated"),
        ("data_a\n_x 1\n_x 2\n", "line 3 .*duplicate tag"),
        ("data_a\n_x\n", "line 2 .*no value"),
        ("data_a\nloop_\n_a\n_b\n1 2 3\n", "line 2 .*number of values"),
        ("data_a\n;\nnever ends\n", "line 2"),
        ("data_a\n_b 'c'\ndata_d\n", "2 data blocks"),
        ("data_a\n_x '" + "' '" * 300_000, "line 2"),
        ("garbage\ndata_a\n", "line 1"),
    ],
)
def test_syntax_errors_name_their_line(text, words):
    problem = rejection(text)

    assert problem.reason is Reason.UNREADABLE
    with pytest.raises(Rejected, match=words):
        raise problem


def test_lines_are_counted_from_where_the_block_begins():
    with pytest.raises(Rejected, match="line 101 "):
        read_block("data_a\n_x 'foo\n", RULES, first_line=100)


def test_text_beyond_ascii_is_read_past():
    assert len(read_block(cif_text(extra="_publ_author 'Gödel'\n_note ünquoted\n# ß\n"), RULES)) == 2


def test_more_text_than_the_limit_is_too_large():
    problem = rejection(cif_text() + "#" * 1_000_000)

    assert problem.reason is Reason.TOO_LARGE
    assert "1,000,000" in problem.detail


@pytest.mark.parametrize(
    "cell",
    [
        ("?", 4, 4, 90, 90, 90),
        ("nan", 4, 4, 90, 90, 90),
        (1e308, 4, 4, 90, 90, 90),
        (0, 4, 4, 90, 90, 90),
        (-4, 4, 4, 90, 90, 90),
        (0.5, 4, 4, 90, 90, 90),
        (4, 4, 1000.1, 90, 90, 90),
        (4, 4, 4, 0.5, 90, 90),
        (4, 4, 4, 90, 90, 180),
        (4, 4, 4, 60, 60, 120),
        (4, 4, 4, 150, 150, 150),
        (4, 4, 4, 90, 90, "text"),
    ],
)
def test_absurd_cells_are_refused(cell):
    assert rejection(cif_text(cell=cell)).reason is Reason.BAD_CELL


def test_a_missing_cell_names_the_tag():
    assert "_cell_length_a" in rejection("data_a\n_x 1\n").detail


@given(st.text(max_size=300))
def test_any_text_is_read_or_rejected_and_nothing_else(text):
    with pytest.raises(Rejected):
        read_block(text, RULES)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10_000), st.text(max_size=8), st.integers(0, 10))
def test_a_spoiled_cif_is_read_or_rejected_and_nothing_else(position, junk, removed):
    text = WRITTEN
    position %= len(text)

    try:
        crystal = read_block(text[:position] + junk + text[position + removed :], RULES)
    except Rejected as rejected:
        assert rejected.detail.endswith(".")
    else:
        assert np.isfinite(crystal.lattice).all()
        assert np.isfinite(crystal.frac_coords).all()
