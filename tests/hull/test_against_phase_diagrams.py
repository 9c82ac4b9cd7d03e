"""The store held to freshly built PhaseDiagrams where those are hardest: many elements, ties, nearly flat hulls.

The contract is |difference| <= 1e-8 eV/atom and the same phases at or below 1e-8. What lies within FLAG_ROUNDING of
1e-8 itself is called either way by the diagram's own rounding.
"""

import numpy as np
import pytest
from hull_oracle import AGREEMENT_EV_PER_ATOM, ROUGH, distance, examples, filled, pd_entry, reference_of
from hypothesis import given
from hypothesis import strategies as st

from hull.entries import Entry, Formula
from hull.store import STABLE_TOLERANCE

FLAG_ROUNDING = 1e-10
UNIQUE_EV_PER_ATOM = 1e-6  # all else lies this far above the plane, so that only one mixture is the cheapest
PART_TOLERANCE = 1e-6
SEVEN = ("Li", "Na", "Mg", "Al", "Fe", "O", "S")
MAGNITUDES = st.sampled_from([0.0, 1e-12, 1e-11, 1e-10, 1e-9, 3e-9, 3e-8, 1e-7])
NUDGES = st.builds(lambda size, part: size * part, MAGNITUDES, st.integers(-97, 97).map(lambda step: step / 97))


@st.composite
def surfaces(draw):
    """A function of the composition on which, within a nudge, every phase lies: a plane, a tent, a bowl, or nothing."""
    slopes = {symbol: draw(st.integers(-12, 0)) / 4 for symbol in SEVEN}
    depth = draw(st.sampled_from([0.0, 0.0, 0.5, 1.5]))
    power = draw(st.sampled_from([1, 2]))

    def energy(formula):
        parts = formula.fractions
        return sum(slopes[symbol] * part for symbol, part in parts.items()) - depth * (1 - max(parts.values()) ** power)

    return energy


@st.composite
def near_degenerate(draw, *, symbols=SEVEN, most=7):
    """Two to seven elements; phases on a surface, nudged by 0 to 1e-7 eV, some far above or below; twins; any order."""
    chosen = draw(st.lists(st.sampled_from(symbols), min_size=2, max_size=most, unique=True))
    surface = draw(surfaces())
    counts = st.integers(1, 6)
    amounts = st.dictionaries(st.sampled_from(chosen), counts, min_size=1, max_size=len(chosen))
    kinds = [Formula.of({symbol: 1}) for symbol in chosen] + draw(st.lists(amounts.map(Formula.of), max_size=16))
    kinds += draw(st.lists(st.sampled_from(kinds), max_size=4))
    astray = st.one_of(NUDGES, NUDGES, NUDGES, ROUGH)
    entries = [Entry(number, kind, surface(kind) + draw(astray)) for number, kind in enumerate(kinds, start=1)]
    return draw(st.permutations(entries))


@examples(60)
@given(near_degenerate())
def test_distances_and_flags_agree_on_nearly_flat_hulls_of_two_to_seven_elements(entries):
    store = filled(entries)

    diagrams = {}
    for entry in entries:
        system = entry.formula.chemical_system
        if system not in diagrams:
            diagrams[system] = reference_of(entry.formula, entries)
        theirs = diagrams[system].get_e_above_hull(pd_entry(entry), allow_negative=True)
        ours = store.e_above_hull(entry.entry_id)

        assert abs(ours - theirs) <= AGREEMENT_EV_PER_ATOM
        if abs(theirs - STABLE_TOLERANCE) > FLAG_ROUNDING:
            assert (ours <= STABLE_TOLERANCE) == (theirs <= STABLE_TOLERANCE)


@examples(25)
@given(near_degenerate())
def test_the_largest_diagram_that_holds_a_phase_gives_the_same_distance_as_its_own(entries):
    """pymatgen's answer for a phase must not depend on which other elements the diagram has; the store has them all."""
    store = filled(entries)
    everything = Formula.of(dict.fromkeys({symbol for entry in entries for symbol in entry.formula.elements}, 1))

    diagram = reference_of(everything, entries)

    for entry in entries:
        theirs = diagram.get_e_above_hull(pd_entry(entry), allow_negative=True)
        assert abs(store.e_above_hull(entry.entry_id) - theirs) <= AGREEMENT_EV_PER_ATOM


@examples(30)
@given(near_degenerate(), st.data())
def test_a_question_below_at_or_above_the_hull_gets_the_signed_distance_of_a_diagram(entries, data):
    store = filled(entries)
    known = data.draw(st.sampled_from(entries))
    energy = known.energy_per_atom + data.draw(st.one_of(NUDGES, st.sampled_from([-2.0, -0.25, 0.25])))

    position = store.position(known.formula, energy)

    asked = Entry(0, known.formula, energy)
    assert abs(position.e_above_hull_on_arrival - distance(asked, entries)) <= AGREEMENT_EV_PER_ATOM
    assert abs(position.e_above_hull - distance(asked, [*entries, asked])) <= AGREEMENT_EV_PER_ATOM


@examples(30)
@given(near_degenerate(most=5), st.data())
def test_where_a_reference_lacks_what_remains_is_the_diagram_of_the_rest(entries, data):
    lost = data.draw(st.sampled_from(sorted({symbol for entry in entries for symbol in entry.formula.elements})))
    left = [entry for entry in entries if entry.formula.elements != (lost,)]

    store = filled(left)

    for entry in left:
        if lost in entry.formula.elements:
            assert store.e_above_hull(entry.entry_id) is None
            assert store.entry_position(entry.entry_id).missing == (lost,)
        else:
            assert abs(store.e_above_hull(entry.entry_id) - distance(entry, left)) <= AGREEMENT_EV_PER_ATOM


@examples(40)
@given(near_degenerate(most=5), st.lists(st.integers(1, 5), min_size=7, max_size=7))
def test_a_mixture_is_that_of_a_diagram_where_only_one_is_the_cheapest(entries, amounts):
    store = filled(entries)
    known = {entry.entry_id: entry for entry in entries}
    symbols = sorted({symbol for entry in entries for symbol in entry.formula.elements})
    formulas = {entry.formula for entry in entries} | {Formula.of(dict(zip(symbols, amounts, strict=False)))}

    for formula in formulas:
        position = store.position(formula, 0.0)
        parts = _by_formula((known[number].formula, part) for number, part in position.decomposition)
        theirs, energy = reference_of(formula, entries).get_decomp_and_hull_energy_per_atom(_composition(formula))
        mixed = sum(part * known[number].energy_per_atom for number, part in position.decomposition)
        assert abs(mixed - energy) <= AGREEMENT_EV_PER_ATOM
        if _is_the_only_one(store, formula, parts, position):
            expected = _by_formula((Formula.parse(_alphabetical(phase)), part) for phase, part in theirs.items())
            assert {one: pytest.approx(part, abs=PART_TOLERANCE) for one, part in parts.items()} == expected


@examples(15)
@given(near_degenerate(most=4))
def test_decomposition_energies_are_pymatgens_phase_separation_energies(entries):
    """Stable phases go through a nonlinear optimiser there, whose tolerance this has to bear."""
    store = filled(entries)

    for entry in entries:
        if entry.formula.is_element:
            continue
        diagram = reference_of(entry.formula, entries)
        theirs = diagram.get_phase_separation_energy(pd_entry(entry))
        others = [other for other in entries if other.formula != entry.formula]
        position = store.entry_position(entry.entry_id)
        assert abs(position.decomposition_energy - distance(entry, others)) <= AGREEMENT_EV_PER_ATOM
        if store.point(entry.formula).lowest_energy == entry.energy_per_atom:
            assert abs(position.decomposition_energy - theirs) <= 1e-5


def _composition(formula):
    return pd_entry(Entry(0, formula, 0.0)).composition


def _alphabetical(phase):
    amounts = {element.symbol: round(amount) for element, amount in phase.composition.items()}
    return str(Formula.of(amounts))


def _by_formula(pairs):
    parts = {}
    for formula, part in pairs:
        if part > PART_TOLERANCE:
            parts[formula] = parts.get(formula, 0.0) + part
    return parts


def _is_the_only_one(store, formula, parts, position):
    """Nothing but the parts, themselves independent, comes near the plane of the potentials."""
    if formula.is_element or formula in parts:
        return formula in parts
    potentials = dict(position.chemical_potentials)
    touching = {
        point.formula
        for point in store.points()
        if point.formula != formula and set(point.formula.elements) <= set(formula.elements)
        and point.lowest_energy - sum(part * potentials[one] for one, part in point.formula.fractions.items())
        < UNIQUE_EV_PER_ATOM
    }  # fmt: skip
    matrix = [[one.fractions.get(symbol, 0.0) for symbol in formula.elements] for one in touching]
    own = store.point(formula)
    apart = own is None or own.lowest_energy > own.hull_energy + UNIQUE_EV_PER_ATOM
    return apart and touching == set(parts) and np.linalg.matrix_rank(np.array(matrix)) == len(touching)
