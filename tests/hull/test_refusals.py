"""What the store refuses leaves it exactly as it was, also in the middle of a batch; what is merely large it takes."""

import math

import numpy as np
import pytest
from hull_checks import assert_same_store, points_of
from hull_oracle import filled
from rational_oracle import RationalHull

from hull.entries import (
    ENERGY_BOUND_EV_PER_ATOM,
    MAX_AMOUNT,
    SYMBOLS,
    BadComposition,
    BadEnergy,
    DuplicateEntry,
    Entry,
    Formula,
    HullError,
    MixedScales,
    TooManyElements,
    UnknownElement,
    UnknownEntry,
)

LI, OXYGEN, LIO, LI3O, FEO = (Formula.parse(text) for text in ("Li", "O", "LiO", "Li3O", "FeO"))
ENTRIES = [
    Entry(1, LI, -1.0),
    Entry(2, OXYGEN, -2.0),
    Entry(3, LIO, -3.0),
    Entry(-4, LIO, -2.5),
    Entry(2**63 - 1, LI3O, -2.1),
    Entry(-(2**63), FEO, -2.5),
]
DEEP = Entry(50, LI3O, -9.0)  # would move everything
NO_ENERGIES = [math.nan, math.inf, -math.inf, 1000.0001, -1e300, None, "-3", 10**400, 1j]


def everything_about(store):
    positions = [(store.entry_position(entry.entry_id), store.e_above_hull(entry.entry_id)) for entry in ENTRIES]
    asked = [store.position(Formula.parse(text), -0.5) for text in ("LiO2", "Li", "FeLi", "LiO")]
    return (
        len(store),
        store.scale,
        list(store.points()),
        store.stable_entries(),
        positions,
        asked,
        DEEP.entry_id in store,
    )


@pytest.fixture
def store():
    """With the guarantee that whatever the test does to it leaves it as it was, and working."""
    made = filled(ENTRIES)
    before = everything_about(made)
    yield made
    assert everything_about(made) == before
    made.insert(DEEP)
    assert_same_store(made, filled([*ENTRIES, DEEP]))


@pytest.mark.parametrize("energy", NO_ENERGIES)
def test_what_is_no_energy_is_refused_wherever_it_is_given(store, energy):
    with pytest.raises(BadEnergy):
        Entry(60, LIO, energy)
    with pytest.raises(BadEnergy):
        store.position(LIO, energy)
    with pytest.raises(BadEnergy):
        store.lower(3, energy)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("bad", [Entry(3, LIO, -9.0), Entry(2**63 - 1, LI, -9.0), Entry(-4, FEO, -9.0), DEEP])
def test_an_id_that_is_taken_spoils_its_whole_batch(store, bad, place):
    batch = [DEEP, Entry(51, LI, -5.0), Entry(52, FEO, -5.0)]
    batch.insert(place if bad is not DEEP else 3, bad)

    with pytest.raises(DuplicateEntry):
        store.insert_many(batch)


def test_another_scale_is_refused_for_one_and_for_many(store):
    with pytest.raises(MixedScales):
        store.insert(DEEP, scale="another")
    with pytest.raises(MixedScales):
        store.insert_many([DEEP], scale="")
    with pytest.raises(MixedScales):
        store.insert_many(iter([DEEP, DEEP]), scale="Test")


def test_a_batch_that_breaks_off_while_it_is_read_does_nothing(store):
    def broken():
        yield DEEP
        yield Entry(51, LI, -5.0)
        raise ConnectionError("the rest never came")

    with pytest.raises(ConnectionError):
        store.insert_many(broken())


@pytest.mark.parametrize("stranger", [None, 7, "LiO", (51, LIO, -3.0), LIO])
def test_what_is_no_entry_spoils_its_whole_batch(store, stranger):
    with pytest.raises((TypeError, AttributeError, HullError)):
        store.insert_many([DEEP, stranger])


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**64 + 1, 2**70])
def test_an_id_of_more_than_64_bits_is_refused_or_is_never_confused_with_another(number):
    """2**64 + 1 would be 1 in an array of 64 bits."""
    store = filled(ENTRIES)
    before = everything_about(store)

    try:
        store.insert_many([DEEP, Entry(number, LIO, -9.0)])
    except (HullError, OverflowError):
        assert everything_about(store) == before
    else:
        assert len(store) == len(ENTRIES) + 2
        assert store.stable_entries() == filled([*ENTRIES, DEEP, Entry(number, LIO, -9.0)]).stable_entries()
    with pytest.raises(UnknownEntry):
        store.withdraw(number + 2**66)


@pytest.mark.parametrize("question", ["withdraw", "e_above_hull", "entry_position"])
@pytest.mark.parametrize("number", [0, -1, 2**31, 2**32 + 3, 2**63 - 2, -(2**63) + 1, 2**63, 2**64 + 3, -(2**70)])
def test_an_id_that_is_not_there_is_unknown_however_large(store, question, number):
    with pytest.raises(UnknownEntry):
        getattr(store, question)(number)
    assert number not in store


def test_lowering_refuses_what_is_higher_by_any_hair_or_unknown(store):
    with pytest.raises(BadEnergy):
        store.lower(3, math.nextafter(-3.0, 0.0))
    with pytest.raises(UnknownEntry):
        store.lower(DEEP.entry_id, -9.0)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Li1000000000", BadComposition),
        ("Li0", BadComposition),
        ("Li-1", BadComposition),
        ("Xx2O", UnknownElement),
        ("DLi", UnknownElement),
        ("".join(SYMBOLS[:10]), TooManyElements),
    ],
)
def test_a_formula_that_is_none_never_reaches_the_store(store, text, error):
    with pytest.raises(error):
        store.position(Formula.parse(text), -1.0)


def test_an_unknown_element_of_a_system_is_refused(store):
    with pytest.raises(UnknownElement):
        store.stable_entries(["Li", "Xx"])


def test_nine_elements_of_four_digits_each_are_a_composition_like_any_other():
    elements = [Entry(number, Formula.of({symbol: 1}), -number / 4) for number, symbol in enumerate(SYMBOLS[:9])]
    huge = Formula.of({symbol: MAX_AMOUNT - number for number, symbol in enumerate(SYMBOLS[:9])})
    entries = [*elements, Entry(10, huge, -3.0), Entry(11, Formula.of(dict.fromkeys(SYMBOLS[:9], 1)), -2.0)]

    store = filled(entries)

    exact = RationalHull(entries)
    for formula, point in points_of(store).items():
        hull = exact.hull_energy(formula)
        assert point.hull_energy == (None if hull is None else pytest.approx(float(hull), rel=0, abs=1e-9))
        assert point.is_vertex == exact.is_vertex(formula)


@pytest.mark.parametrize("amount", [MAX_AMOUNT + 1, 10**9 - 1, 3 * 10**12 + 1])
def test_amounts_that_no_cell_has_are_refused(amount):
    """Compositions that differ by 1e-9 of the atoms are no basis of a programme in this arithmetic."""
    with pytest.raises(BadComposition, match="at most 10,000"):
        Formula.of({"Li": amount, "O": 3})
    with pytest.raises(BadComposition):
        Formula(((3, amount), (8, 3)))
    with pytest.raises(BadComposition):
        Formula.parse(f"Li{amount}O3")


def test_amounts_are_counted_after_they_are_reduced():
    assert Formula.of({"Li": 5 * 10**9, "O": 10**9}) == Formula.parse("Li5O")


def test_energies_up_to_the_bound_are_taken_and_cost_no_precision_that_matters():
    bound = ENERGY_BOUND_EV_PER_ATOM
    entries = [
        Entry(1, LI, bound),
        Entry(2, OXYGEN, -bound),
        Entry(3, LIO, -0.125),
        Entry(4, LI3O, 499.0),
        Entry(5, LI, 0.5),
    ]

    store = filled(entries)

    exact = RationalHull(entries)
    assert store.stable_entries() == exact.stable_entries()
    for entry in entries:
        assert store.e_above_hull(entry.entry_id) == pytest.approx(float(exact.e_above_hull(entry)), abs=1e-9)


def test_numbers_of_numpy_are_numbers():
    plain = filled(ENTRIES)
    arrays = filled(Entry(np.int64(e.entry_id), e.formula, np.float64(e.energy_per_atom)) for e in ENTRIES)

    assert_same_store(plain, arrays)
    assert arrays.e_above_hull(np.int64(3)) == arrays.e_above_hull(3)
    assert arrays.withdraw(np.int32(3)).events == plain.withdraw(3).events
    assert all(type(number) is int for number in filled(ENTRIES).stable_entries())
