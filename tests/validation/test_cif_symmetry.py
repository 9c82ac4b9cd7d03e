"""The symmetry that a CIF claims fills its cell, and what is none or contradicts itself is refused."""

import pytest

from tests.validation.cif_reading import RULES, rejection
from tests.validation.validation_crystals import cif_text
from validation.cif import read_block
from validation.rules import Reason, Rejected

FM3M = "_symmetry_space_group_name_H-M 'F m -3 m'\n"
ROCKSALT = "Na1 Na 0 0 0\nCl1 Cl 0.5 0.5 0.5"
TILTED_C2 = ("x,y,z", "y,x,-z", "x+1/2,y+1/2,z+1/2", "y+1/2,x+1/2,-z+1/2")  # C2, in a setting that no table has
CUBIC = (5.64, 5.64, 5.64, 90, 90, 90)


def operations(*triplets):
    return "loop_\n_symmetry_equiv_pos_as_xyz\n" + "".join(f"'{triplet}'\n" for triplet in triplets)


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


def test_expanded_sites_are_counted_before_they_are_separated():
    sites = "\n".join(f"C{n} C 0.{n:03d}1 0.2{n:03d} 0.3" for n in range(100))

    problem = rejection(cif_text(sites, cell=CUBIC, extra=FM3M))

    assert problem.reason is Reason.TOO_MANY_ATOMS
    assert "sites fill the cell; at most 2,400" in problem.detail
