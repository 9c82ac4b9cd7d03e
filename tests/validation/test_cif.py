import io
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.io.cif import CifParser, CifWriter

from tests.validation.validation_crystals import cif_text, prototypes
from validation.cif import read_block
from validation.rules import Reason, Rejected, Rules

RULES = Rules(max_atoms=300)
SAME_SITE_ANG = 0.02
CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus" / "mp.zip"
PROTOTYPES = prototypes()
WRITTEN = str(CifWriter(PROTOTYPES["rocksalt"], symprec=0.01))
COORDINATES = ("label", "type_symbol", "fract_x", "fract_y", "fract_z")
OCCUPIED = (*COORDINATES, "occupancy")
FM3M = "_symmetry_space_group_name_H-M 'F m -3 m'\n"
ROCKSALT = "Na1 Na 0 0 0\nCl1 Cl 0.5 0.5 0.5"
TILTED_C2 = ("x,y,z", "y,x,-z", "x+1/2,y+1/2,z+1/2", "y+1/2,x+1/2,-z+1/2")  # C2, in a setting that no table has
CUBIC = (5.64, 5.64, 5.64, 90, 90, 90)


def rejection(text, rules=RULES):
    with pytest.raises(Rejected) as caught:
        read_block(text, rules)
    return caught.value


def operations(*triplets):
    return "loop_\n_symmetry_equiv_pos_as_xyz\n" + "".join(f"'{triplet}'\n" for triplet in triplets)


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
    "symmetry",
    [
        FM3M,
        "_space_group_name_H-M_alt 'Fm-3m'\n",
        "_space_group_name_Hall '-F 4 2 3'\n",
        "_symmetry_Int_Tables_number 225\n",
        "_space_group_IT_number 225\n" + FM3M,
    ],
)
def test_a_group_by_name_hall_symbol_or_number_alone_is_expanded(symmetry):
    assert len(read_block(cif_text(ROCKSALT, cell=CUBIC, extra=symmetry), RULES)) == 8


def test_operations_listed_are_used_before_names():
    text = cif_text(
        "Na1 Na 0.1 0.2 0.3", extra="_symmetry_space_group_name_H-M 'my own'\n" + operations("x,y,z", "-x,-y,-z")
    )

    assert len(read_block(text, RULES)) == 2


@pytest.mark.parametrize("name", ["P21/c", "P2_1/c", "P2(1)/c", "P 1 21/c 1"])
def test_names_are_read_in_their_common_spellings(name):
    text = cif_text("Na1 Na 0.1 0.2 0.3", extra=f"_symmetry_space_group_name_H-M '{name}'\n")

    assert len(read_block(text, RULES)) == 4


def test_rhombohedral_axes_are_recognised_by_the_cell():
    text = cif_text("Na1 Na 0 0 0", cell=(4, 4, 4, 70, 70, 70), extra="_symmetry_space_group_name_H-M 'R -3 m'\n")

    assert len(read_block(text, RULES)) == 1


def test_a_rounded_special_position_is_one_atom():
    text = cif_text(
        "Mg1 Mg 0.3333 0.6667 0.25", cell=(3.21, 3.21, 5.21, 90, 90, 120), extra="_space_group_IT_number 194\n"
    )

    assert len(read_block(text, RULES)) == 2


@pytest.mark.parametrize(
    ("label", "kind", "symbol"),
    [
        ("X1", "O2-", "O"),
        ("X1", "Fe3+", "Fe"),
        ("X1", "O-2", "O"),
        ("X1", "CL", "Cl"),
        ("Fe1", "?", "Fe"),
        ("CA1", ".", "Ca"),
        ("O1A", ".", "O"),
        ("D1", "D", "H"),
        ("D2", ".", "H"),
    ],
)
def test_elements_are_read_from_type_then_label(label, kind, symbol):
    assert read_block(cif_text(f"{label} {kind} 0 0 0"), RULES).symbols == (symbol,)


@pytest.mark.parametrize(("label", "kind"), [("1Na", "."), ("Xx", "."), ("Na1", "Xx"), ("?", "?"), ("Na1", "NaCl")])
def test_labels_that_name_no_element_are_refused(label, kind):
    problem = rejection(cif_text(f"Na1 Na 0 0 0\n{label} {kind} 0.5 0.5 0.5"))

    assert problem.reason is Reason.UNKNOWN_ELEMENT
    assert "site 2" in problem.detail


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


def test_no_sites_are_refused():
    cell_only = cif_text().split("loop_")[0]

    assert rejection(cell_only).reason is Reason.NO_ATOMS
    assert rejection(cell_only + "loop_\n_atom_site_label\n_atom_site_fract_x\n").reason is Reason.NO_ATOMS


@pytest.mark.parametrize("value", ["?", ".", "nan", "inf", "1e308", "-1e5", "abc", "1/3"])
def test_coordinates_that_are_no_numbers_name_their_site(value):
    problem = rejection(cif_text(f"Na1 Na 0 0 0\nCl1 Cl 0.5 {value} 0.5"))

    assert problem.reason is Reason.BAD_COORDINATES
    assert "site 2 (Cl)" in problem.detail


def test_missing_columns_of_coordinates_are_refused():
    text = cif_text("Na1 Na 0 0", columns=COORDINATES[:4])

    assert rejection(text).reason is Reason.BAD_COORDINATES
    assert rejection(cif_text("Na1 Na", columns=COORDINATES[:2])).reason is Reason.BAD_COORDINATES


@pytest.mark.parametrize("missing", ["x", "y", "z"])
def test_a_missing_column_of_coordinates_is_named(missing):
    columns = tuple(column for column in COORDINATES if column != f"fract_{missing}")

    problem = rejection(cif_text("Na1 Na 0 0", columns=columns))

    assert problem.reason is Reason.BAD_COORDINATES
    assert f"no _atom_site_fract_{missing};" in problem.detail


def test_coordinates_in_other_numbers_than_sites_are_refused():
    spare = "loop_\n_atom_site_fract_z\n0\n0.5\n0.7\n"

    problem = rejection(cif_text("Na1 Na 0 0\nCl1 Cl 0.5 0.5", columns=COORDINATES[:4]) + spare)

    assert problem.reason is Reason.BAD_COORDINATES
    assert "2 x, 2 y and 3 z" in problem.detail


def test_columns_of_their_own_loops_are_read_where_they_fit():
    spare = "loop_\n_atom_site_fract_z\n0\n0.5\n"

    assert len(read_block(cif_text("Na1 Na 0 0\nCl1 Cl 0.5 0.5", columns=COORDINATES[:4]) + spare, RULES)) == 2


def test_one_site_may_be_written_without_a_loop():
    cell = cif_text().split("loop_")[0]
    site = "".join(
        f"_atom_site_{column} {value}\n" for column, value in zip(COORDINATES, ("Na1", "Na", 0, 0, 0), strict=True)
    )

    assert read_block(cell + site, RULES).symbols == ("Na",)


def test_occupancies_in_another_number_than_sites_are_disorder():
    problem = rejection(cif_text() + "loop_\n_atom_site_occupancy\n1\n")

    assert problem.reason is Reason.DISORDERED
    assert "1 occupancies are given for 2 sites" in problem.detail


@pytest.mark.parametrize(("hydrogens", "refused"), [("2", True), ("abc", True), ("0", False), ("?", False)])
def test_hydrogens_that_have_no_place_are_not_lost_in_silence(hydrogens, refused):
    text = cif_text(f"O1 O 0 0 0 {hydrogens}", columns=(*COORDINATES, "attached_hydrogens"))

    if refused:
        assert "site 1 (O)" in rejection(text).detail
    else:
        assert len(read_block(text, RULES)) == 1


def test_a_rejection_names_its_sites_and_its_limit():
    coordinate = rejection(cif_text("Na1 Na 0 0 0\nCl1 Cl 0.5 ? 0.5"))
    occupancy = rejection(cif_text("Na1 Na 0 0 0 1\nCl1 Cl 0.5 0.5 0.5 0.7", columns=OCCUPIED))
    element = rejection(cif_text("Na1 Na 0 0 0\nXx Xx 0.5 0.5 0.5"))
    cell = rejection(cif_text(cell=(4, 4, 2000, 90, 90, 90)))

    assert coordinate.sites == occupancy.sites == element.sites == (2,)
    assert (occupancy.limit, coordinate.limit) == (1.0, 1000.0)
    assert (cell.value, cell.limit) == (2000.0, 1000.0)


@pytest.mark.parametrize("number", ["1_0", "0x1", "1e5", "Infinity", "'0.5'", "0,5"])
def test_what_only_python_takes_for_a_coordinate_is_none(number):
    assert rejection(cif_text(f"Na1 Na {number} 0 0")).reason is Reason.BAD_COORDINATES


@pytest.mark.parametrize("occupancy", ["0.5", "0", "1.5", "-1", "nan", "0.99", "abc"])
def test_partial_occupancies_are_disorder(occupancy):
    problem = rejection(cif_text(f"Na1 Na 0 0 0 1\nCl1 Cl 0.5 0.5 0.5 {occupancy}", columns=OCCUPIED))

    assert problem.reason is Reason.DISORDERED
    assert "site 2 (Cl)" in problem.detail


@pytest.mark.parametrize("occupancy", ["1", "1.0", "0.9995", "1.0005", "1.000(2)", "?", "."])
def test_full_occupancies_pass(occupancy):
    assert len(read_block(cif_text(f"Na1 Na 0 0 0 {occupancy}", columns=OCCUPIED), RULES)) == 1


@pytest.mark.parametrize("second", ["K1 K 0 0 0", "Na2 Na 0.001 1.0 -1", "K1 K 0.999 0 0"])
def test_two_atoms_on_one_place_are_disorder(second):
    assert rejection(cif_text(f"Na1 Na 0 0 0\n{second}")).reason is Reason.DISORDERED


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("_symmetry_space_group_name_H-M 'Q 7'\n", "not known"),
        ("_space_group_name_Hall 'nonsense'\n", "not known"),
        ("_symmetry_Int_Tables_number 231\n", "231"),
        ("_symmetry_Int_Tables_number many\n", "many"),
        ("_symmetry_Int_Tables_number 221\n" + FM3M, "225.*221"),
        (FM3M + operations("x,y,z"), "225.*1 symmetry operation,"),
        ("_symmetry_space_group_name_H-M 'P 1'\n" + operations("x,y,z", "-x,-y,-z"), "number 1.*number 2"),
        (operations("x,y,z", "x,y"), "operation 2"),
        (operations("x,y,z", "2x,y,z"), "operation 2"),
        (operations("x,x,z"), "operation 1"),
        (operations("h,k,l"), "operation 1"),
        (operations("__import__('os')".replace("'", '"')), "operation 1"),
        (operations("x,y,z", "-x,y,z", "x,-y,z"), "not a space group"),
        (operations("x,y,z", "x+y,y,z"), "not a space group"),
        ("_symmetry_space_group_name_H-M 'P 1'\n_space_group_name_H-M_alt 'F m -3 m'\n", r"number 225.*number 1\)"),
        ("_symmetry_Int_Tables_number 1\n_space_group_IT_number 225\n", r"number 225.*number 1\)"),
        ("_space_group_name_Hall '-F 4 2 3'\n" + operations("x,y,z"), "225.*1 symmetry operation,"),
        (
            operations("x,y,z") + "loop_\n_space_group_symop_operation_xyz\n'x,y,z'\n'-x,-y,-z'\n",
            "list different symmetry operations",
        ),
        ("_symmetry_Int_Tables_number 4\n" + operations(*TILTED_C2), "number 4.*number 5"),
        (operations(*["x,y,z"] * 193), "193.*192"),
        (operations(*["x,y,z"] * 20_000), "20000.*192"),
    ],
)
def test_symmetry_that_is_none_or_contradicts_itself_is_refused(extra, words):
    problem = rejection(cif_text(extra=extra))

    assert problem.reason is Reason.BAD_SYMMETRY
    with pytest.raises(Rejected, match=words):
        raise problem


def test_a_cell_without_the_symmetry_of_its_group_is_refused():
    problem = rejection(cif_text(ROCKSALT, cell=(5.64, 6.64, 5.64, 90, 90, 90), extra=FM3M))

    assert problem.reason is Reason.BAD_SYMMETRY


def test_many_listed_sites_are_refused_quickly():
    sites = "\n".join(f"C{n} C 0.{n:05d} 0 0" for n in range(50_000))
    start = time.process_time()

    problem = rejection(cif_text(sites))

    assert problem.reason in (Reason.TOO_MANY_ATOMS, Reason.TOO_LARGE)
    assert rejection(cif_text(sites), Rules(max_text_bytes=10_000_000)).reason is Reason.TOO_MANY_ATOMS
    assert time.process_time() - start < 2.0


def test_expanded_sites_are_counted_before_they_are_separated():
    sites = "\n".join(f"C{n} C 0.{n:03d}1 0.2{n:03d} 0.3" for n in range(100))

    problem = rejection(cif_text(sites, cell=CUBIC, extra=FM3M))

    assert problem.reason is Reason.TOO_MANY_ATOMS
    assert "sites fill the cell; at most 2,400" in problem.detail


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
