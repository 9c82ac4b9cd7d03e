"""Relaxations in several processes, and what happens when one of them dies."""

import dataclasses

import numpy as np
import pytest

from validation.crew import Crew, Duty, ProcessDied
from validation.crystal import Crystal
from validation.flight import Failed, Relaxed, UnknownElement
from validation.potentials import load_judge
from validation.relaxation import relax
from validation.rules import RelaxationSettings

SETTINGS = RelaxationSettings(fmax_ev_per_ang=0.1, smax_ev_per_ang3=0.005)
DUTY = Duty(judge="emt", model="", settings=SETTINGS)


def metal(number, lattice_ang=3.9):
    return Crystal.of(
        lattice_ang / 2 * (np.ones((3, 3)) - np.eye(3)) @ np.diag([1.02, 1.0, 0.97]), [[0, 0, 0]], [number]
    )


METALS = [metal(number) for number in (13, 29, 46, 47, 78, 79)]


@pytest.fixture(scope="module")
def crew():
    with Crew(DUTY, 2) as crew:
        yield crew


def test_a_crew_gives_what_one_process_gives(crew):
    ended = {end.key: end.relaxation for end in crew.relax(enumerate(METALS))}

    assert set(ended) == set(range(len(METALS)))
    for place, metal in enumerate(METALS):
        alone = relax(metal, load_judge("emt"), SETTINGS)
        assert ended[place].steps == alone.steps
        assert ended[place].crystal.lattice == pytest.approx(alone.crystal.lattice, abs=1e-9)


def test_what_a_process_raises_about_a_crystal_comes_back_with_its_type(crew):
    salt = Crystal.of(4 * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]], [55, 17])

    ended = {end.key: end for end in crew.relax([("salt", salt), ("gold", METALS[-1])])}

    assert isinstance(ended["salt"].error, UnknownElement)
    assert isinstance(ended["gold"], Relaxed)


def test_a_process_that_is_killed_loses_only_what_it_had_in_hand_and_is_replaced(crew):
    def source():
        yield 0, METALS[0]
        for place, found in enumerate(METALS[1:], 1):
            if place == 4:
                crew._members[0].process.kill()
            yield place, found

    ended = {end.key: end for end in crew.relax(source())}

    lost = [end for end in ended.values() if isinstance(end, Failed)]
    assert set(ended) == set(range(len(METALS)))
    assert 1 <= len(lost) <= 2  # what was aboard, and what waited
    assert all(isinstance(end.error, ProcessDied) for end in lost)
    again = list(crew.relax((end.key, METALS[end.key]) for end in lost))
    assert all(isinstance(end, Relaxed) for end in again)


def test_a_judge_that_cannot_be_loaded_is_said_by_the_crew_and_not_waited_for():
    nonsense = Duty(judge="emt", model="no such model", settings=SETTINGS)

    with Crew(nonsense, 1) as crew, pytest.raises(ProcessDied, match="judge emt has no models"):
        list(crew.relax(enumerate(METALS)))


def test_a_process_that_loads_another_judge_is_not_asked():
    other = dataclasses.replace(DUTY, identity={"judge": "emt", "weights_sha256": "ab" * 32})

    with Crew(other, 1) as crew, pytest.raises(ProcessDied, match=r"weights_sha256 is .*, asked for is abab"):
        list(crew.relax(enumerate(METALS)))


def test_a_stop_ends_a_crew_with_the_rest_unfinished():
    with Crew(dataclasses.replace(DUTY, pairs_at_once=10**6), 1) as crew:
        stopped = list(crew.relax(enumerate(METALS), stop=lambda: True))
        assert stopped == []
        some = crew.relax(enumerate(METALS))
        next(some)
        some.close()
        with pytest.raises(RuntimeError, match="work in hand"):
            next(crew.relax(enumerate(METALS)))
