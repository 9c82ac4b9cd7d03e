"""A story of arrivals that shows every verdict but one; energies are made up, in round numbers."""

from ase.build import bulk
from driving import ordered_alloy

from philately.domain import warm_folds


def alloy(majority="Cu", minority="Au", n=1):
    return ordered_alloy(majority, minority, lattice_ang=3.8, n_minority=n)


def stretched(factor, **which):
    """Another structure of the same formula: long in one direction."""
    atoms = alloy(**which)
    atoms.set_cell(atoms.cell @ [[1, 0, 0], [0, 1, 0], [0, 0, factor]], scale_atoms=True)
    return atoms


# (atoms, eV/atom, who): finds, a duplicate, a refinement, a lower and a higher polymorph, a neighbour that dethrones,
# one above the limit, and an element far below its reference
STORY = [
    (alloy(), -0.10, "ann"),
    (alloy(), -0.101, "ben"),
    (alloy(), -0.105, "ben"),
    (alloy(n=2), -0.04, "ben"),
    (stretched(1.3), -0.20, "ben"),
    (stretched(1.6), -0.15, "ann"),
    (alloy("Au", "Cu"), -0.30, "eve"),
    (alloy("Pd", "Pt"), 0.25, "eve"),
    (bulk("Au", cubic=True), -0.50, "eve"),
    (alloy("Ag", "Al"), -0.05, "ann"),
    (stretched(1.3), -0.204, "ann"),
]
VERDICTS = [
    "stable",
    "duplicate",
    "refined",
    "metastable",
    "stable",
    "metastable",
    "stable",
    "rejected",
    "held",
    "stable",
    "refined",
]


def warm_hull(run):
    """The hull that the sequencer keeps in memory, and goes on with."""
    fold = warm_folds.take(run)
    assert fold is not None
    warm_folds.keep(run, fold)
    return fold.hull
