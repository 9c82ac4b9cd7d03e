import numpy as np
import pytest

from benchmark.anions import anion_of, class_of
from benchmark.scale_shift import by_anion, by_element, fitted, left_over, shift_of
from hull.entries import Formula

TOLERANCE_EV_PER_ATOM = 0.04  # the ridge draws a shift to zero by as much
METALS = ("Li", "Na", "K", "Mg", "Ca", "Sr", "Ba", "Zn", "Al", "Ti", "Zr", "La")
TRUE = {"O": -0.7, "S": -0.4, "Ba": 0.3}


@pytest.fixture
def formulas():
    return [
        Formula.parse(f"{metal}{amount}")
        for metal in METALS
        for amount in ("O", "O2", "S", "S2", "2O3", "2S3", "2", "")
    ]


@pytest.fixture
def differences(formulas):
    return np.array([shift_of(formula, TRUE, by_element) for formula in formulas])


def test_shifts_are_found_again(formulas, differences):
    found = fitted(formulas, differences, by_element)

    assert {symbol: found[symbol] for symbol in TRUE} == pytest.approx(TRUE, abs=TOLERANCE_EV_PER_ATOM)
    assert abs(found["Mg"]) < TOLERANCE_EV_PER_ATOM


def test_one_wrong_crystal_in_twenty_moves_no_shift(formulas, differences):
    differences[::20] -= 3.0

    found = fitted(formulas, differences, by_element)

    assert {symbol: found[symbol] for symbol in TRUE} == pytest.approx(TRUE, abs=2 * TOLERANCE_EV_PER_ATOM)


def test_the_order_of_the_crystals_does_not_matter(formulas, differences):
    backwards = fitted(formulas[::-1], differences[::-1], by_element)

    assert backwards == pytest.approx(fitted(formulas, differences, by_element), abs=1e-9)


def test_an_element_alone_is_not_shifted():
    assert shift_of(Formula.parse("O2"), TRUE, by_element) == 0
    assert shift_of(Formula.parse("O2"), TRUE, by_anion) == 0


def test_what_is_left_over_is_of_fits_that_did_not_see_the_formula():
    formulas = [Formula.parse(f"{metal}O") for metal in METALS] + [Formula.parse("CsCl")] * 3
    differences = np.array([-0.35] * len(METALS) + [0.5] * 3)

    left = left_over(formulas, differences, by_anion)

    assert np.abs(left[:-3]).max() < TOLERANCE_EV_PER_ATOM
    assert left[-3:] == pytest.approx([0.5] * 3)  # no other chloride tells of chlorine


@pytest.mark.parametrize(
    ("formula", "anion", "name"),
    [
        ("MgO", "O", "oxides"),
        ("BaSO4", "O", "oxides"),
        ("LaOF", "F", "fluorides"),
        ("LiH", "", "other"),
        ("NiAs", "As", "pnictides"),
        ("CsPbI3", "I", "other_halides"),
        ("Cu3Au", "", "other"),
        ("O2", "", "other"),
    ],
)
def test_the_anion_is_the_most_electronegative_non_metal_of_a_compound(formula, anion, name):
    assert (anion_of(Formula.parse(formula)), class_of(Formula.parse(formula))) == (anion, name)
