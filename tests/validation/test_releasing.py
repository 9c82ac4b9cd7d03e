"""A release of other people's structures: what is kept, what is left out and why, in whatever order they end."""

import dataclasses

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from hull.reference import Coverage
from validation.crystal import Crystal
from validation.potentials import load_judge
from validation.releasing import ReleaseRefused, Source, relax_release
from validation.rules import Reason, Rejected, RelaxationSettings, Rules

SETTINGS, RULES = RelaxationSettings(), Rules(excluded_elements=())


class NoGold(EMT):
    """A potential that breaks down on an element."""

    def calculate(self, atoms=None, properties=None, system_changes=()):
        if "Au" in atoms.get_chemical_symbols():
            raise ArithmeticError("no gold today")
        super().calculate(atoms, properties, system_changes)


def metal(symbol, stretch=1.0):
    return Source(symbol, Crystal.from_atoms(bulk(symbol, a=bulk(symbol).cell.lengths()[0] * np.sqrt(2) * stretch)))


def released(sources, judge=None):
    return relax_release(sources, judge or load_judge("emt"), SETTINGS, RULES, name="few", coverage=Coverage.PROTOTYPES)


def test_phases_are_numbered_in_the_order_of_the_source_and_not_as_they_end():
    built = released([metal("Pt", 1.06), metal("Cu"), metal("Al", 1.03)])

    assert [(phase.number, phase.label) for phase in built.release.phases] == [(1, "Pt"), (2, "Cu"), (3, "Al")]
    assert built.left_out == ()


def test_what_cannot_be_relaxed_is_left_out_with_its_reason_and_costs_no_other():
    unread = Source("torn.cif", None, Rejected(Reason.UNREADABLE, "there is no cell"))
    strange = Source("salt", Crystal.of(4 * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]], [55, 17]))
    judge = dataclasses.replace(load_judge("emt"), calculator=NoGold())

    built = released([unread, metal("Au"), metal("Cu"), strange], judge)

    assert [phase.label for phase in built.release.phases] == ["Cu"]
    assert [label for label, _ in built.left_out] == ["torn.cif", "Au", "salt"]
    assert [why for _, why in built.left_out][1] == "the judge failed on it, ArithmeticError: no gold today"


def test_a_release_of_nothing_is_refused():
    with pytest.raises(ReleaseRefused, match="none of its structures"):
        released([Source("torn.cif", None, Rejected(Reason.UNREADABLE, "there is no cell"))])
