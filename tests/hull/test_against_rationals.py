"""The store held to exact arithmetic: awkward chemistries whose every number is a multiple of a power of two.

Energies on a coarse grid make every depth either 0 or larger than 1e-7 eV/atom, so whether a composition is a vertex
has one answer, however many phases tie.
"""

from fractions import Fraction

import pytest
from hull_oracle import examples, filled
from hypothesis import given
from hypothesis import strategies as st
from rational_oracle import RationalHull, cheapest_of_all_bases, exact_minimum, fractions_in

from hull.entries import Entry, Formula
from hull.store import HullStore

ROUNDING_EV_PER_ATOM = 1e-11
SYMBOLS = ("O", "Fe", "Li", "S")  # not in the order of their atomic numbers

GRIDS = st.sampled_from(
    [
        st.integers(-6, 2).map(lambda step: step / 4),  # ties everywhere
        st.integers(-40, 10).map(lambda step: step / 16),
        st.integers(-3000, 800).map(lambda step: step / 1024),
        st.integers(-2, 2).map(lambda step: 512 + step / 4),  # far from zero
    ]
)
FLAT = st.just(0.0)


@st.composite
def grid_chemistries(draw, *, referenced=True, energies=GRIDS):
    """Two to four elements, compositions drawn again and again, polymorphs, twins of one energy; any order."""
    symbols = SYMBOLS[: draw(st.integers(2, 4))]
    amounts = st.dictionaries(st.sampled_from(symbols), st.integers(1, 4), min_size=1, max_size=len(symbols))
    kinds = draw(st.lists(amounts.map(Formula.of), min_size=2, max_size=12, unique=True))
    kinds = kinds + draw(st.lists(st.sampled_from(kinds), max_size=5))
    kinds += [Formula.of({symbol: 1}) for symbol in symbols] if referenced else []
    grid = draw(energies) if energies is GRIDS else energies
    numbers = draw(st.permutations(range(len(kinds))))
    made = [Entry(number, kind, draw(grid)) for number, kind in zip(numbers, kinds, strict=True)]
    return draw(st.permutations(made))


@st.composite
def bowls(draw):
    """A convex function of the composition, sampled finely: every composition a vertex, or all of them on one plane."""
    symbols, atoms = draw(st.sampled_from([(SYMBOLS[:2], 24), (SYMBOLS[:3], 7), (SYMBOLS[:4], 4)]))
    curvature = draw(st.sampled_from([Fraction(0), Fraction(1, 64), Fraction(1, 2)]))
    slopes = draw(st.lists(st.integers(-8, 8), min_size=len(symbols), max_size=len(symbols)))
    entries = []
    for amounts in _partitions(atoms, len(symbols)):
        formula = Formula.of({symbol: amount for symbol, amount in zip(symbols, amounts, strict=True) if amount})
        inside = fractions_in(formula, symbols)
        exact = sum(part * slope + curvature * part**2 for part, slope in zip(inside, slopes, strict=True))
        entries.append(Entry(len(entries), formula, float(exact)))
    chosen = draw(st.lists(st.sampled_from(entries), max_size=14, unique=True))
    corners = [entry for entry in entries if entry.formula.is_element and entry not in chosen]
    return draw(st.permutations(chosen + corners))


def _partitions(total, parts):
    if parts == 1:
        yield (total,)
        return
    for first in range(total + 1):
        yield from ((first, *rest) for rest in _partitions(total - first, parts - 1))


def assert_exact(store, entries, *, flags=True):
    """Every number of the store is the float of the rational one; with flags, every yes and no too."""
    exact = RationalHull(entries)
    assert [point.formula for point in store.points()] == sorted(exact.lowest)
    for point in store.points():
        energy, number = exact.lowest[point.formula]
        assert (point.lowest_energy, point.lowest_entry) == (float(energy), number)
        assert point.hull_energy == _close(exact.hull_energy(point.formula))
        assert not flags or point.is_vertex == exact.is_vertex(point.formula)
    assert not flags or store.stable_entries() == exact.stable_entries()
    for entry in entries:
        position = store.entry_position(entry.entry_id)
        hull = exact.hull_energy(entry.formula)
        assert store.e_above_hull(entry.entry_id) == _close(exact.e_above_hull(entry))
        assert position.e_above_hull == _close(exact.e_above_hull(entry))
        assert position.decomposition_energy == _close(None if hull is None else Fraction(entry.energy_per_atom) - hull)
        assert position.missing == exact.missing(entry.formula)


def _close(number):
    return None if number is None else pytest.approx(float(number), rel=0, abs=ROUNDING_EV_PER_ATOM)


@examples(60)
@given(grid_chemistries())
def test_the_exact_programme_is_the_best_of_all_bases(entries):
    exact = RationalHull(entries)

    for formula in list(exact.lowest)[:4]:
        columns, energies, names = exact.programme(formula)
        if formula.is_element or len(names) > 9:
            continue
        target = fractions_in(formula, formula.elements)
        optimum, parts = exact_minimum(columns, energies, target)
        assert optimum == cheapest_of_all_bases(columns, energies, target)
        assert all(part > 0 for part in parts.values())
        for place, wanted in enumerate(target):
            assert sum(part * columns[column][place] for column, part in parts.items()) == wanted


@examples(120)
@given(grid_chemistries())
def test_every_number_and_every_flag_is_the_rational_one(entries):
    assert_exact(filled(entries), entries)


@examples(60)
@given(grid_chemistries(referenced=False))
def test_so_it_is_where_references_lack_or_come_late(entries):
    assert_exact(filled(entries), entries)


@examples(30)
@given(grid_chemistries(energies=FLAT))
def test_where_every_formation_energy_is_zero_only_the_elements_are_vertices(entries):
    store = filled(entries)

    assert_exact(store, entries)
    assert all(store.point(point.formula).is_vertex == point.formula.is_element for point in store.points())
    assert all(store.e_above_hull(entry.entry_id) == 0.0 for entry in entries)


@examples(40)
@given(bowls())
def test_a_plane_and_a_bowl_that_are_sampled_finely_are_exact(entries):
    planar = RationalHull(entries)
    depths = [depth for formula in planar.lowest if (depth := planar.depth(formula)) is not None]

    assert_exact(filled(entries), entries, flags=all(abs(depth) > 1e-9 for depth in depths))


@examples(40)
@given(grid_chemistries(), st.data())
def test_it_stays_exact_through_withdrawals_and_lowerings(entries, data):
    store = filled(entries)
    kept = {entry.entry_id: entry for entry in entries}

    for _ in range(data.draw(st.integers(1, 8))):
        if not kept:
            break
        number = data.draw(st.sampled_from(sorted(kept)))
        if data.draw(st.booleans()):
            store.withdraw(number)
            del kept[number]
        else:
            lower = kept[number].energy_per_atom - data.draw(st.integers(0, 6)) / 4
            store.lower(number, lower)
            kept[number] = Entry(number, kept[number].formula, lower)

    assert_exact(store, list(kept.values()))


@examples(40)
@given(grid_chemistries(), st.data())
def test_a_mixture_that_the_store_names_has_the_exact_composition_and_energy(entries, data):
    store, exact = filled(entries), RationalHull(entries)
    known = {entry.entry_id: entry for entry in entries}
    amounts = st.dictionaries(st.sampled_from(SYMBOLS[:2]), st.integers(1, 5), min_size=2)
    formula = data.draw(st.one_of(st.sampled_from(entries).map(lambda entry: entry.formula), amounts.map(Formula.of)))

    position = store.position(formula, 0.0)

    hull = min(
        energy for energy in (exact.hull_energy(formula), exact.lowest.get(formula, (None,))[0]) if energy is not None
    )
    mixed = sum(part * known[number].energy_per_atom for number, part in position.decomposition)
    assert mixed == _close(hull)
    assert sum(part for _, part in position.decomposition) == pytest.approx(1.0, abs=1e-12)
    for symbol, fraction in formula.fractions.items():
        inside = sum(part * known[number].formula.fractions.get(symbol, 0) for number, part in position.decomposition)
        assert inside == pytest.approx(fraction, abs=1e-12)


def test_amounts_of_four_digits_are_exact_too():
    formulas = [
        "Li",
        "O",
        "Li9999O",
        "LiO9999",
        "Li9998O9999",
        "LiO",
        "Li2O",
        "Li5000O4999",
    ]
    entries = [Entry(number, Formula.parse(text), -number / 8) for number, text in enumerate(formulas)]

    assert_exact(filled(entries), entries)
    assert_exact(filled(entries[::-1]), entries)


def test_a_store_without_entries_has_no_point_and_nothing_stable():
    store = HullStore("test")

    assert (list(store.points()), store.stable_entries(), len(store)) == ([], [], 0)
