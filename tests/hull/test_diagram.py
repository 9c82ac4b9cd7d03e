import numpy as np
import pytest
from hull_oracle import chemistries, filled
from hypothesis import assume, given, settings
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition

from hull.diagram import MissingReference, diagram_of
from hull.entries import BadComposition, Entry, Formula, TooManyElements, UnknownElement

LI, OXYGEN, LI2O, LIO = (Formula.parse(text) for text in ("Li", "O", "Li2O", "LiO"))
ENTRIES = [Entry(1, LI, -1.0), Entry(2, OXYGEN, -2.0), Entry(3, LI2O, -3.0), Entry(4, LIO, -2.9), Entry(5, LI2O, -2.9)]


def test_a_binary_diagram_joins_neighbours_along_the_composition_axis():
    diagram = diagram_of(filled(ENTRIES), ["O", "Li"])

    assert diagram.elements == ("Li", "O")
    assert [(one.formula, one.entry_id) for one in diagram.vertices] == [(LI, 1), (LIO, 4), (LI2O, 3), (OXYGEN, 2)]
    assert [one.formation_energy_per_atom for one in diagram.vertices] == pytest.approx([0.0, -1.4, -5 / 3, 0.0])
    assert diagram.fractions[:, 0].tolist() == pytest.approx([1.0, 0.5, 2 / 3, 0.0])
    assert diagram.simplices == ((0, 2), (1, 2), (1, 3))


def test_an_element_alone_is_one_vertex():
    diagram = diagram_of(filled(ENTRIES), ["Li"])

    assert diagram.simplices == ((0,),)
    assert [one.entry_id for one in diagram.vertices] == [1]


def test_elements_without_compounds_are_one_simplex():
    diagram = diagram_of(filled([*ENTRIES[:2], Entry(9, Formula.parse("Fe"), -3.0)]), ["Fe", "Li", "O"])

    assert diagram.simplices == ((0, 1, 2),)


@pytest.mark.parametrize(
    ("elements", "error"),
    [
        (["Li", "Xx"], UnknownElement),
        ([], BadComposition),
        (["H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne"], TooManyElements),
        (["Li", "Fe"], MissingReference),
    ],
)
def test_a_system_that_cannot_be_shown_is_refused_with_a_reason(elements, error):
    with pytest.raises(error):
        diagram_of(filled(ENTRIES), elements)


@settings(max_examples=60, deadline=None)
@given(chemistries())
def test_the_simplices_are_those_of_pymatgen_and_cover_every_composition_once(entries):
    store = filled(entries)
    symbols = sorted({symbol for entry in entries for symbol in entry.formula.elements})
    assume(2 <= len(symbols) <= 4)

    diagram = diagram_of(store, symbols)

    theirs = PhaseDiagram([_pd_entry(entry) for entry in entries])
    assert {one.entry_id for one in diagram.vertices} == set(store.stable_entries(symbols))
    volumes = [abs(np.linalg.det(diagram.fractions[list(simplex)])) for simplex in diagram.simplices]
    assert sum(volumes) == pytest.approx(1.0, abs=1e-9)
    for simplex in diagram.simplices:
        middle = diagram.fractions[list(simplex)].mean(axis=0)
        energy = np.mean([diagram.vertices[place].energy_per_atom for place in simplex])
        composition = Composition(dict(zip(symbols, middle.tolist(), strict=True)))
        assert energy == pytest.approx(theirs.get_hull_energy_per_atom(composition), abs=1e-7)


def _pd_entry(entry: Entry) -> PDEntry:
    amounts = {symbol: part * entry.formula.n_atoms for symbol, part in entry.formula.fractions.items()}
    return PDEntry(Composition(amounts), entry.energy_per_atom * entry.formula.n_atoms)
