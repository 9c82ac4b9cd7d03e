"""Formulas read at once are the formulas read one by one, and so is what is refused."""

import numpy as np
import pytest
from hull_oracle import examples
from hypothesis import example, given
from hypothesis import strategies as st

from hull.arrays import EntryArrays
from hull.entries import SYMBOLS, Entry, Formula, HullError
from hull.texts import chemical_systems_of, entries_of, formulas_of

FORMULAS = st.dictionaries(st.sampled_from(SYMBOLS), st.integers(1, 10_000), min_size=1, max_size=9).map(Formula.of)
TEXTS = st.one_of(FORMULAS.map(str), st.text("AaBbCcNaOl019\n é", max_size=12))


def read(texts):
    return entries_of(np.arange(len(texts)), texts, np.linspace(-3.0, 1.0, len(texts)))


@examples(100)
@given(st.lists(FORMULAS, max_size=30))
def test_what_a_formula_writes_is_read_as_that_formula(formulas):
    energies = np.linspace(-3.0, 1.0, len(formulas))

    found = read([str(formula) for formula in formulas])

    expected = EntryArrays.of(Entry(*one) for one in zip(range(len(formulas)), formulas, energies, strict=True))
    for name in EntryArrays.__slots__:
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_every_symbol_is_read(symbol):
    assert read([symbol]).atomic_numbers[0].tolist() == [SYMBOLS.index(symbol) + 1, *[0] * 8]


@examples(200)
@given(st.lists(FORMULAS, max_size=30))
def test_many_formulas_are_written_as_each_of_them_writes_itself(formulas):
    arrays = EntryArrays.of(Entry(number, formula, -1.0) for number, formula in enumerate(formulas))

    assert formulas_of(arrays.atomic_numbers, arrays.amounts) == list(map(str, formulas))
    assert chemical_systems_of(arrays.atomic_numbers) == [formula.chemical_system for formula in formulas]


def test_the_longest_formula_that_is_possible_is_written():
    longest = Formula.of(dict.fromkeys(["Ac", "Ag", "Al", "Am", "Ar", "As", "At", "Au"], 10_000) | {"Ba": 9_999})
    arrays = EntryArrays.of([Entry(1, longest, -1.0)] * 3)

    assert formulas_of(arrays.atomic_numbers, arrays.amounts) == [str(longest)] * 3


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_every_symbol_is_written(symbol):
    numbers = np.array([[SYMBOLS.index(symbol) + 1, *[0] * 8]], np.uint8)

    assert chemical_systems_of(numbers) == [symbol]
    assert formulas_of(numbers, np.ones((1, 9), np.int32)) == [symbol]
    assert formulas_of(numbers, np.full((1, 9), 10_000, np.int32)) == [f"{symbol}10000"]


@examples(200)
@given(TEXTS)
@example("")
@example("Li0")
@example("LiLi")
@example("Li\nO")
@example("\n")
@example("Li1234567890")
@example("Uue")
@example("BCFHIKNOPS")
@example("Li2O4")
def test_what_is_refused_alone_is_refused_among_others_and_nothing_else(text):
    try:
        expected = Formula.parse(text).amounts
    except HullError as error:
        with pytest.raises(type(error)) as refused:
            read(["NaCl", text, "NaCl"])
        assert str(refused.value) == str(error)
        return

    found = read(["NaCl", text, "NaCl"])
    numbers, amounts = found.atomic_numbers[1], found.amounts[1]
    divisor = np.gcd.reduce(amounts)
    pairs = zip(numbers[numbers > 0].tolist(), (amounts[numbers > 0] // divisor).tolist(), strict=True)
    assert tuple(pairs) == expected
