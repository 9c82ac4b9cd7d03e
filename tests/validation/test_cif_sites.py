"""Sites of a CIF: elements, coordinates and occupancies are read as they are meant, or refused by their number."""

import time

import pytest

from tests.validation.cif_reading import RULES, rejection
from tests.validation.validation_crystals import cif_text
from validation.cif import read_block
from validation.rules import Reason, Rules

COORDINATES = ("label", "type_symbol", "fract_x", "fract_y", "fract_z")
OCCUPIED = (*COORDINATES, "occupancy")


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


def test_many_listed_sites_are_refused_quickly():
    sites = "\n".join(f"C{n} C 0.{n:05d} 0 0" for n in range(50_000))
    start = time.process_time()

    problem = rejection(cif_text(sites))

    assert problem.reason in (Reason.TOO_MANY_ATOMS, Reason.TOO_LARGE)
    assert rejection(cif_text(sites), Rules(max_text_bytes=10_000_000)).reason is Reason.TOO_MANY_ATOMS
    assert time.process_time() - start < 2.0
