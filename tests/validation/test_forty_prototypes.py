"""Forty distorted prototypes of one to five elements: in a batch, alone, and by ASE."""

import numpy as np
import pytest
from validation_judges import TENSORNET, needs_tensornet

from tests.validation.validation_crystals import prototypes
from validation.crystal import Crystal
from validation.flight import relax_batch
from validation.potentials import load_judge
from validation.relaxation import Stopped, relax
from validation.rules import RelaxationSettings

pytestmark = pytest.mark.potential
SETTINGS = RelaxationSettings(fmax_ev_per_ang=0.05)
ENERGY_TOLERANCE_EV_PER_ATOM = 1e-3
LENGTH_TOLERANCE_ANG = 0.01
MIXED = {
    "perovskite": (38, 22, 8, 8, 9),  # Sr Ti O O F: five sites, four elements
    "five": (38, 22, 8, 16, 9),
    "half-substituted": (11, 19, 17, 35, 53, 9, 11, 11),
}


def distorted(count):
    """Prototypes as they are and with other elements on their sites, strained by 3 % and rattled by 0.05 Å."""
    rng = np.random.default_rng(11)
    starts = [Crystal.from_structure(one.get_primitive_structure()) for one in prototypes().values()]
    perovskite, salt = (Crystal.from_structure(prototypes()[name]) for name in ("perovskite", "rocksalt"))
    starts += [Crystal.of(perovskite.lattice, perovskite.frac_coords, MIXED[name]) for name in ("perovskite", "five")]
    starts.append(Crystal.of(salt.lattice, salt.frac_coords, MIXED["half-substituted"]))
    found = []
    for place in range(count):
        start = starts[place % len(starts)]
        strain = np.eye(3) + 0.03 * rng.normal(size=(3, 3))
        moves = 0.05 * rng.normal(size=(len(start), 3)) @ np.linalg.inv(start.lattice)
        found.append(Crystal.of(start.lattice @ strain, start.frac_coords + moves, start.numbers))
    return found


def judge_named(name):
    return load_judge("chgnet", threads=1) if name == "chgnet" else load_judge("matgl", str(TENSORNET), threads=1)


def agree_in_every_way(crystals, judge):
    together = {end.key: end.relaxation for end in relax_batch(enumerate(crystals), judge, SETTINGS)}
    alone = {
        place: next(iter(relax_batch([(place, start)], judge, SETTINGS))).relaxation
        for place, start in enumerate(crystals)
    }
    for place, start in enumerate(crystals):
        by_ase = relax(start, judge, SETTINGS)
        for found in (together[place], alone[place]):
            assert found.stopped is by_ase.stopped is Stopped.CONVERGED
            assert found.energy_per_atom == pytest.approx(by_ase.energy_per_atom, abs=ENERGY_TOLERANCE_EV_PER_ATOM)
            lengths = np.linalg.norm(found.crystal.lattice, axis=1)
            expected = np.linalg.norm(by_ase.crystal.lattice, axis=1)
            assert lengths == pytest.approx(expected, abs=LENGTH_TOLERANCE_ANG)


def test_the_forty_have_one_to_five_elements():
    assert {len(start.elements) for start in distorted(40)} >= {1, 2, 3, 4, 5}


def test_two_of_them_relax_by_chgnet_to_the_same_in_a_batch_alone_and_by_ase():
    agree_in_every_way(distorted(2), judge_named("chgnet"))


@needs_tensornet
def test_two_of_them_relax_by_tensornet_to_the_same_in_a_batch_alone_and_by_ase():
    agree_in_every_way(distorted(2), judge_named("tensornet"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["chgnet", pytest.param("tensornet", marks=needs_tensornet)])
def test_forty_relax_to_the_same_in_a_batch_alone_and_by_ase(name):
    agree_in_every_way(distorted(40), judge_named(name))
