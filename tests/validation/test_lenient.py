import gemmi
import pytest

from tests.validation.validation_crystals import cif_text
from validation.cif import read_block
from validation.lenient import MAX_LENIENT_CHARACTERS, lenient_block
from validation.rules import Reason, Rejected, Rules

RULES = Rules(max_atoms=300)
CUBIC = (5.64, 5.64, 5.64, 90, 90, 90)
FM3M = "_symmetry_space_group_name_H-M 'F m -3 m'\n"
COLUMNS = ("label", "type_symbol", "fract_x", "fract_y", "fract_z")
ODD = "_publ_section_title 'On the salt\n"  # what gemmi cannot read, in a place that does not matter


def assert_gemmi_refuses(text):
    with pytest.raises((RuntimeError, ValueError)):
        gemmi.cif.read_string(text)


@pytest.mark.parametrize(
    "text",
    [
        cif_text(extra="_publ_section_title 'On the salt\n"),
        cif_text(extra="_chemical_formula_sum Na1 Cl1\n"),
        cif_text(extra="_publ_author_name O'Neil's group\n"),
        cif_text(extra="_cell_volume 64\n_cell_volume 64.0\n"),
        cif_text(extra="_exptl_crystal_colour [white 'a]\n"),
        cif_text(extra="_journal_year\n_journal_page 7\n"),
        "written by hand\n" + cif_text(),
        cif_text().replace("data_test", "data_my salt"),
        cif_text(extra="_publ_author_name 'Gödel\n"),
        cif_text().replace("\n", "\r\n") + "_publ_section_title 'On the salt\r\n",
    ],
    ids=[
        "no end quote",
        "spaces",
        "quotes",
        "twice",
        "brackets",
        "no value",
        "stray text",
        "name",
        "beyond ASCII",
        "CRLF",
    ],
)
def test_a_fault_in_what_makes_no_crystal_is_read_past(text):
    assert_gemmi_refuses(text)

    found, plain = read_block(text, RULES), read_block(cif_text(), RULES)

    assert found.content_hash == plain.content_hash


def test_symmetry_is_expanded_and_guarded_as_elsewhere():
    sites = "Na1 Na 0 0 0\nCl1 Cl 0.5 0.5 0.5"

    assert len(read_block(cif_text(sites, cell=CUBIC, extra=ODD + FM3M), RULES)) == 8
    with pytest.raises(Rejected, match="225"):
        read_block(cif_text(sites, cell=CUBIC, extra=ODD + FM3M + "_symmetry_Int_Tables_number 221\n"), RULES)
    with pytest.raises(Rejected, match="site 2"):
        read_block(cif_text("Na1 Na 0 0 0\nXx1 Xx 0.5 0.5 0.5", extra=ODD), RULES)
    with pytest.raises(Rejected, match="occupancy"):
        read_block(cif_text("Na1 Na 0 0 0 0.5", columns=(*COLUMNS, "occupancy"), extra=ODD), RULES)


@pytest.mark.parametrize(
    "text",
    [
        cif_text(extra="_cell_length_a 5\n"),
        cif_text(extra=ODD + FM3M + FM3M),
        cif_text(extra="_symmetry_space_group_name_H-M 'F m -3 m\n"),
        cif_text(extra="_journal_year\n" + FM3M),
        cif_text(extra=ODD + "_symmetry_Int_Tables_number\n225\n"),
        cif_text(extra=ODD + "_note x _symmetry_Int_Tables_number 225\n"),
        cif_text(extra=ODD + "_symmetry_Int_Tables_number 2 2 5\n"),
        cif_text("Na1 Na 0 0 0\nCl1 Cl 0.5 0.5 0.5 0.5\nCl2 Cl 0.5 0.5", extra=ODD),
        cif_text("Na1 Na 0 0 0\nCl1 Cl 0.5 0.5"),
        cif_text("Na1 Na 0 0 0\nCl1 Cl 0.5 'a 0.5"),
        cif_text() + "END OF FILE\n",
        cif_text("Na1 Na 0 0 0\n;\nCl1 Cl 0.5 0.5 0.5", extra=ODD),
        cif_text(extra=ODD) + cif_text().replace("data_test", "data_other"),
        cif_text(extra=ODD) + cif_text(),
        cif_text(extra=ODD + "loop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\n'-x,-y,-z\n"),
        cif_text(extra=ODD + "loop_ _symmetry_equiv_pos_as_xyz\n'x,y,z'\n'-x,-y,-z'\n"),
        cif_text(extra=ODD + "_x \x0b_symmetry_Int_Tables_number 225\n"),
    ],
)
def test_a_fault_that_could_matter_stays_refused_with_its_line(text):
    with pytest.raises(Rejected, match=r"^UNREADABLE: line \d+ is no valid CIF: ") as caught:
        read_block(text, RULES)

    assert caught.value.reason is Reason.UNREADABLE


def test_long_texts_and_long_lines_are_not_tried():
    assert lenient_block(cif_text(extra=ODD) + "#\n" * MAX_LENIENT_CHARACTERS) is None
    assert lenient_block(cif_text(extra=ODD) + "#" * 3000 + "\n") is None


def test_values_that_are_unknown_stay_unknown():
    text = cif_text("Na1 ? 0 0 0\nCl1 . 0.5 0.5 0.5", extra=ODD)

    assert read_block(text, RULES).symbols == ("Na", "Cl")
