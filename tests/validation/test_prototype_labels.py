"""Labels of prototypes, and the permutations of Wyckoff letters, against an independent tabulation of them."""

import gzip
import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from validation.prototype_labels import label_of, prototype_of
from validation.wyckoff_letters import relabelled

TABLES = Path(find_spec("pymatgen.analysis.prototypes").origin).parent
MONOCLINIC_UP_TO = 15


@pytest.fixture(scope="module")
def tabulated() -> dict[int, set[str]]:
    """All permutations that pymatgen knows: what the letters in their order become."""
    with gzip.open(TABLES / "wyckoff-position-relabelings.json.gz") as stream:
        table = json.load(stream)
    ordered = {
        int(group): [{chr(int(code)): image for code, image in one.items()} for one in ones]
        for group, ones in table.items()
    }
    return {
        group: {"".join(one[letter] for letter in sorted(one, key=_place)) for one in ones}
        for group, ones in ordered.items()
    }


def _place(letter: str) -> tuple[bool, str]:
    """After z comes A."""
    return letter.isupper(), letter


def test_permutations_are_the_tabulated_ones_where_axes_can_only_be_exchanged(tabulated):
    for group in range(MONOCLINIC_UP_TO + 1, 231):
        start = "".join(sorted(next(iter(tabulated[group])), key=_place))
        assert relabelled(group, start) == tabulated[group], group


def test_permutations_include_all_tabulated_shifts_where_axes_can_be_sheared_as_well(tabulated):
    for group in range(1, MONOCLINIC_UP_TO + 1):
        start = "".join(sorted(next(iter(tabulated[group])), key=_place))
        assert relabelled(group, start) >= tabulated[group], group


def test_the_eight_inversion_centres_of_a_triclinic_cell_are_alike_and_so_are_any_four_in_a_plane():
    """The affine group over the field of two elements: 1,344 permutations, transitive on planes."""
    assert len(relabelled(2, "abcdefgh")) == 1344
    assert len({"".join(sorted(text)) for text in relabelled(2, "abcg")}) == 14
    assert len({"".join(sorted(text)) for text in relabelled(2, "abc")}) == 56


def test_a_group_with_one_kind_of_position_keeps_its_letters():
    assert relabelled(4, "3a_a") == {"3a_a"}


def test_the_label_does_not_know_which_of_two_equal_origins_was_taken():
    amounts = {"Na": 4, "Cl": 4}

    labels = {label_of(225, "cF8", amounts, letters) for letters in ({"Na": "a", "Cl": "b"}, {"Na": "b", "Cl": "a"})}

    assert labels == {"AB_cF8_225_a_b:Cl-Na"}


def test_positions_with_parameters_are_counted():
    label = label_of(194, "hP12", {"Mg": 4, "Zn": 8}, {"Mg": "f", "Zn": "ah"})

    assert label == "AB2_hP12_194_f_ah:Mg-Zn"
    assert label_of(14, "mP16", {"O": 12, "Ti": 4}, {"O": "eee", "Ti": "e"}) == "A3B_mP16_14_3e_e:O-Ti"


@pytest.mark.parametrize(
    "label",
    [
        "A3BC_cP5_221_c_a_b:O-Sr-Ti",
        "A2BC4_cF56_227_c_b_e:Al-Mg-O",
        "A2B_tP6_136_f_a:O-Ti",
        "A3B_mP16_14_3e_e:O-Ti",
        "A3B5_oP16_62_3c_5c:Ti-O",
    ],
)
def test_the_prototype_without_elements_is_the_one_that_pymatgen_makes_of_the_label(label):
    from pymatgen.analysis.prototypes import get_prototype_from_protostructure  # late: it reads its library for 5 s

    assert prototype_of(label) == get_prototype_from_protostructure(label)


@pytest.mark.parametrize("elements", ["Ag-As-Mg", "As-Mg-Zr", "Ba-Fe-O"])
def test_the_prototype_does_not_depend_on_which_element_is_where_in_the_alphabet(elements):
    labels = {
        label_of(
            216, "cF12", dict.fromkeys(elements.split("-"), 4), dict(zip(elements.split("-"), letters, strict=True))
        )
        for letters in ("abc", "bca", "cab", "acb", "dab", "dca")
    }

    assert {prototype_of(label) for label in labels} == {"ABC_cF12_216_a_b_c"}


def test_what_is_no_label_has_no_prototype():
    with pytest.raises(ValueError):
        prototype_of("AB_cF8_225_a:Cl-Na")
