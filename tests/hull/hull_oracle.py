"""Independent answers: pymatgen's PhaseDiagram freshly built, and hypothesis strategies of awkward chemistries."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import settings
from hypothesis import strategies as st
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition

from hull.entries import Entry, Formula
from hull.store import HullStore

AGREEMENT_EV_PER_ATOM = 1e-8
effort = 1  # conftest.py sets it before any test module is read
SYMBOLS = ("Li", "Na", "O", "S", "Fe")

GRID_STEPS = st.integers(-12, 4).map(lambda step: step / 4)  # many exact ties and flat faces
ROUGH = st.floats(-3.0, 1.0, allow_nan=False).map(lambda energy: round(energy, 6))
NUDGES = st.sampled_from([0.0, 0.0, 3e-11, -3e-11, 4e-10, -4e-10, 3e-9, -3e-9, 3e-8, -3e-8])
ENERGIES = st.one_of(GRID_STEPS, ROUGH, st.builds(lambda energy, nudge: energy + nudge, GRID_STEPS, NUDGES))


@st.composite
def formulas(draw: st.DrawFn, symbols: tuple[str, ...]) -> Formula:
    chosen = draw(st.lists(st.sampled_from(symbols), min_size=1, max_size=len(symbols), unique=True))
    return Formula.of({symbol: draw(st.integers(1, 4)) for symbol in chosen})


@st.composite
def chemistries(draw: st.DrawFn, *, referenced: bool = True, max_phases: int = 14) -> list[Entry]:
    """Entries of two to five elements in any order; with a reference of each element if `referenced`."""
    symbols = SYMBOLS[: draw(st.integers(2, len(SYMBOLS)))]
    kinds = [Formula.of({symbol: 1}) for symbol in symbols] if referenced else []
    kinds += draw(st.lists(formulas(symbols), min_size=1, max_size=max_phases))
    energies = draw(st.lists(ENERGIES, min_size=len(kinds), max_size=len(kinds)))
    numbers = draw(st.permutations(range(len(kinds))))
    entries = [Entry(number, kind, energy) for number, kind, energy in zip(numbers, kinds, energies, strict=True)]
    return draw(st.permutations(entries))


def examples(count: int) -> settings:
    """That many in ``make test``, more in ``make test-full``."""
    return settings(max_examples=count * effort, deadline=None)


def filled(entries: Iterable[Entry]) -> HullStore:
    store = HullStore("test")
    store.insert_many(entries)
    return store


def pd_entry(entry: Entry) -> PDEntry:
    atoms = {symbol: fraction * entry.formula.n_atoms for symbol, fraction in entry.formula.fractions.items()}
    return PDEntry(Composition(atoms), entry.energy_per_atom * entry.formula.n_atoms, name=str(entry.entry_id))


def reference_of(formula: Formula, entries: Iterable[Entry]) -> PhaseDiagram:
    """The diagram of just this formula's elements."""
    inside = [entry for entry in entries if set(entry.formula.elements) <= set(formula.elements)]
    return PhaseDiagram([pd_entry(entry) for entry in inside])


def distance(entry: Entry, entries: Iterable[Entry]) -> float:
    """Signed, eV/atom, of an entry against others."""
    return reference_of(entry.formula, entries).get_decomp_and_e_above_hull(pd_entry(entry), allow_negative=True)[1]
