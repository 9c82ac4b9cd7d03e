"""A row from elsewhere is a relaxation of what was ordered, or refused in a sentence."""

import dataclasses

import numpy as np
import pytest
from shard_making import SETTINGS, alloys

from validation.flight import Relaxed, relax_batch
from validation.potentials import load_judge
from validation.relaxation import Stopped
from validation.rules import RelaxationSettings
from validation.shard_checks import Implausible, canary_of, relaxation_of
from validation.shard_files import result_row

ONE = alloys(1)[0]  # four atoms


@pytest.fixture(scope="module")
def row():
    (end,) = relax_batch([(ONE.id, ONE.crystal)], load_judge("emt"), SETTINGS)
    return result_row(ONE, end)


def test_what_is_right_is_taken_to_the_last_bit(row):
    found = relaxation_of(row, ONE.crystal, SETTINGS)

    assert found.initial_hash == ONE.crystal.content_hash
    assert found.stopped is Stopped.CONVERGED
    again = result_row(ONE, Relaxed(ONE.id, found))
    assert again == row


def _numbers(row, name, kind, place, value):
    values = np.frombuffer(row[name], kind).copy()
    values[place] = value
    return {name: values.tobytes()}


def _crystal(**parts):
    return {"crystal": dataclasses.replace(ONE.crystal, **parts).pack()}


SPOILED = {
    "is no crystal": (lambda row: {"crystal": b"XT1\0"}, "not a packed crystal"),
    "lacks its crystal": (lambda row: {"crystal": None}, "not a packed crystal"),
    "has other atoms": (lambda row: _crystal(numbers=np.array([29, 29, 29, 29])), "has other atoms"),
    "has another order": (lambda row: _crystal(numbers=ONE.crystal.numbers[::-1].copy()), "in another order"),
    "has a cell of nan": (
        lambda row: _crystal(lattice=np.full((3, 3), np.nan)),
        "its cell: not every number",
    ),
    "collapsed": (lambda row: _crystal(lattice=ONE.crystal.lattice / 3), "collapsed to .* and it did not explode"),
    "evaporated": (lambda row: _crystal(lattice=ONE.crystal.lattice * 2), "factor of 8.00 .* did not explode"),
    "lacks forces": (lambda row: {"forces": None}, "nothing where 4 × 3 numbers of 8 bytes are expected"),
    "has too few forces": (lambda row: {"forces": row["forces"][:-8]}, "88 bytes where 4 × 3 numbers"),
    "has a force of nan": (lambda row: _numbers(row, "forces", "<f8", 0, np.nan), "are not finite, and it did not"),
    "has an infinite stress": (lambda row: _numbers(row, "stress", "<f8", 3, np.inf), "are not finite, and it did not"),
    "is not converged": (lambda row: _numbers(row, "forces", "<f8", 0, 0.1), "stopped as converged .* it would go on"),
    "is strained": (lambda row: _numbers(row, "stress", "<f8", 0, 0.01), "stopped as converged .* it would go on"),
    "has a huge energy": (lambda row: {"energy_per_atom": -2000.0}, "the energy reached -2000.0 eV/atom"),
    "has no energy": (lambda row: {"energy_per_atom": None}, "NoneType"),
    "has another energy": (
        lambda row: {"energy_per_atom": row["energy_per_atom"] - 0.01},
        "its history ends",
    ),
    "went on though converged": (lambda row: {"stopped": "max_steps"}, "stopped as max_steps .* that is converged"),
    "stopped otherwise": (lambda row: {"stopped": "tired"}, "'tired' is not a valid Stopped"),
    "has other steps": (lambda row: {"steps": row["steps"] + 1}, "× 3 numbers of 4 bytes are expected"),
    "has negative steps": (lambda row: {"steps": -1, "history": b""}, "-1 steps are none of 0 to 60"),
    "has no steps": (lambda row: {"steps": None}, "NoneType"),
    "has a history of nan": (lambda row: _numbers(row, "history", "<f4", 0, np.nan), "its history: not every number"),
    "took no time at all": (lambda row: {"seconds": float("nan")}, "it took nan s"),
    "has a charge of nan": (lambda row: {"charges": np.full(4, np.nan).tobytes()}, "charges: not every number is"),
    "has too many moments": (lambda row: {"magmoms": np.zeros(5).tobytes()}, "40 bytes where 4 numbers"),
    "exploded silently": (lambda row: {"stopped": "exploded", "note": ""}, "it exploded, and does not say how"),
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_row_is_refused_that(row, how):
    spoil, sentence = SPOILED[how]

    with pytest.raises(Implausible, match=sentence):
        relaxation_of({**row, **spoil(row)}, ONE.crystal, SETTINGS)


def test_more_steps_than_the_scale_allows_are_refused(row):
    with pytest.raises(Implausible, match=r"steps are none of 0 to 1"):
        relaxation_of(row, ONE.crystal, RelaxationSettings(max_steps=1))


def test_one_that_exploded_or_ran_out_of_steps_is_taken_as_such():
    """Copper and gold at a third of its volume explodes; two steps are not enough for another."""
    squeezed = dataclasses.replace(ONE.crystal, lattice=ONE.crystal.lattice * 0.5)
    judge = load_judge("emt")
    short = RelaxationSettings(max_steps=2)
    (burst,) = relax_batch([("a", squeezed)], judge, short)
    (tired,) = relax_batch([("b", ONE.crystal)], judge, short)

    exploded = relaxation_of(result_row(dataclasses.replace(ONE, crystal=squeezed), burst), squeezed, short)
    unfinished = relaxation_of(result_row(ONE, tired), ONE.crystal, short)

    assert (exploded.stopped, exploded.note) == (Stopped.EXPLODED, burst.relaxation.note)
    assert (unfinished.stopped, unfinished.steps) == (Stopped.MAX_STEPS, 2)


def test_whoever_made_it_must_say_what_its_canary_found_and_that_must_be_right():
    sung = {"Cu": 3.590, "Au": 4.056, "Al": 3.994}
    energies = {"Cu": -0.007, "Au": 0.0, "Al": -0.005}
    found = {name: {"lattice_ang": sung[name], "energy_per_atom": energies[name]} for name in sung}
    provenance = {"device": "cpu", "versions": {"ase": "3"}, "canary": found}
    elements = ["Al", "Au", "Cu"]

    assert canary_of(provenance, "emt", "", elements, None).passed
    silent = {name: value for name, value in found.items() if name != "Al"}
    assert not canary_of({**provenance, "canary": silent}, "emt", "", elements, None).passed
    off = {**found, "Au": {"lattice_ang": 4.1, "energy_per_atom": 0.0}}
    assert "Au: expected a = 4.056" in canary_of({**provenance, "canary": off}, "emt", "", elements, None).problem
    for broken in ({}, {"canary": found}, {**provenance, "canary": {"Cu": {}}}, {**provenance, "canary": None}):
        with pytest.raises(Implausible, match="does not say by what device"):
            canary_of(broken, "emt", "", elements, None)
