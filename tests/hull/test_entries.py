import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition

from hull.entries import (
    MAX_ELEMENTS,
    SYMBOLS,
    BadComposition,
    BadEnergy,
    Entry,
    Formula,
    HullError,
    TooManyElements,
    UnknownElement,
)

AMOUNTS = st.dictionaries(st.sampled_from(SYMBOLS), st.integers(1, 500), min_size=1, max_size=MAX_ELEMENTS)


def test_a_formula_is_reduced_and_written_alphabetically():
    formula = Formula.of({"Ti": 4, "O": 8})

    assert str(formula) == "O2Ti"
    assert formula.elements == ("O", "Ti")
    assert formula.chemical_system == "O-Ti"
    assert formula.n_atoms == 3


@given(AMOUNTS, st.integers(2, 9))
def test_a_formula_knows_neither_the_order_nor_the_size_of_the_cell(amounts, factor):
    larger = {symbol: amounts[symbol] * factor for symbol in reversed(amounts)}

    assert Formula.of(larger) == Formula.of(amounts)


@given(AMOUNTS)
def test_a_formula_reads_what_it_writes(amounts):
    formula = Formula.of(amounts)

    assert Formula.parse(str(formula)) == formula
    assert math.isclose(sum(formula.fractions.values()), 1.0)


def test_counts_of_numpy_are_counts():
    assert Formula.of({"Na": np.int64(2), "Cl": np.int64(2)}) == Formula.parse("ClNa")


@pytest.mark.parametrize(
    ("amounts", "error"),
    [
        ({}, BadComposition),
        ({"Na": 0}, BadComposition),
        ({"Na": -1}, BadComposition),
        ({"Na": 0.5}, BadComposition),
        ({"Na": True}, BadComposition),
        ({"Xx": 1}, UnknownElement),
        ({"D": 1}, UnknownElement),
        (dict.fromkeys(SYMBOLS[: MAX_ELEMENTS + 1], 1), TooManyElements),
    ],
)
def test_bad_amounts_are_refused_each_by_its_own_name(amounts, error):
    with pytest.raises(error):
        Formula.of(amounts)


@pytest.mark.parametrize("text", ["", "na", "2Na", "Na2.5", "Na-Cl", "NaCl ", "Na²", "Na0", "NaNa", "Na" + "9" * 5000])
def test_text_that_is_no_formula_is_a_bad_composition(text):
    with pytest.raises(BadComposition):
        Formula.parse(text)


@pytest.mark.parametrize(
    ("amounts", "error"),
    [
        ((), BadComposition),
        (((11, 2), (17, 2)), BadComposition),
        (((17, 1), (11, 1)), BadComposition),
        (((11, 1), (11, 1)), BadComposition),
        (((0, 1),), UnknownElement),
        (((119, 1),), UnknownElement),
    ],
)
def test_a_composition_has_only_one_formula(amounts, error):
    with pytest.raises(error):
        Formula(amounts)


@pytest.mark.parametrize("energy", [math.nan, math.inf, -math.inf, 1001.0, None, "-3.5"])
def test_an_energy_that_is_none_is_refused(energy):
    with pytest.raises(BadEnergy):
        Entry(1, Formula.parse("ClNa"), energy)


def test_every_refusal_of_the_hull_is_one_kind_of_value_error():
    assert issubclass(HullError, ValueError)
    assert all(issubclass(error, HullError) for error in (BadComposition, BadEnergy, TooManyElements, UnknownElement))


@pytest.mark.parametrize("text", ["NaCl", "TiO2", "SrTiO3", "Al2O3", "GaN", "Ni3Al", "Mg2Si", "CsPbI3", "Cu3Au"])
def test_a_formula_is_written_as_pymatgen_writes_it(text):
    composition = Composition(text)

    amounts = {element.symbol: int(amount) for element, amount in composition.items()}

    assert Formula.of(amounts).written == composition.reduced_formula


def test_every_element_can_be_written():
    assert {Formula.of({symbol: 1}).written for symbol in SYMBOLS} == set(SYMBOLS)
