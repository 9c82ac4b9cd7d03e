"""A verdict computed again gives the same figures, and a figure that was tampered with is found."""

import pytest
from ase.build import bulk
from driving import first_texts, ordered_alloy, run_all, submit
from facts import add_candidate

from philately.domain import place
from philately.domain.place import place_waiting
from philately.domain.replays import NotPlaced, replay
from philately.models import Candidate, Placement, RelaxationFact, Scale
from philately.states import CandidateState
from validation.scales import scale_digest


@pytest.fixture
def judged(participant):
    place.forget()
    submit(participant, {name: first_texts()[name] for name in ("Cu3Au.cif", "CuAu.cif")})
    run_all(participant.season)
    return list(Candidate.objects.filter(state=CandidateState.PLACED).order_by("arrival"))


@pytest.fixture
def placed(participant, join_as):
    """Placed with energies made up: a find, a duplicate of it, a lower polymorph, its refinement and a neighbour."""
    place.forget()
    long = ordered_alloy("Cu", "Au", lattice_ang=3.8)
    long.set_cell(long.cell * [1, 1, 1.3], scale_atoms=True)
    story = [
        (ordered_alloy("Cu", "Au", lattice_ang=3.7), -0.1),
        (ordered_alloy("Cu", "Au", lattice_ang=3.7), -0.101),
        (long, -0.15),
        (long, -0.155),
        (ordered_alloy("Au", "Cu", lattice_ang=3.9), -0.2),
        (bulk("Au", cubic=True), -0.5),
    ]
    candidates = [add_candidate(participant, atoms, energy) for atoms, energy in story]
    place_waiting(participant.season_id)
    return candidates


def test_every_verdict_comes_out_the_same(placed):
    verdicts = []
    for candidate in placed:
        result = replay(candidate)
        assert result.differences == ()
        verdicts.append(result.outcome.verdict.value)

    assert verdicts == ["stable", "duplicate", "stable", "refined", "stable", "held"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("verdict", "unstable"),
        ("formation_energy_per_atom", -1.0),
        ("e_above_hull_on_arrival", None),
        ("decomposition_energy", 0.5),
        ("reason", "VOLUME"),
        ("is_novel", True),
    ],
)
def test_a_figure_that_was_tampered_with_is_reported(placed, field, value):
    Placement.objects.filter(candidate=placed[0]).update(**{field: value})

    (difference,) = replay(placed[0]).differences

    assert (difference.name, difference.stored) == (field, value)
    assert difference.replayed != value


def test_a_relaxed_energy_that_was_tampered_with_is_reported(placed):
    RelaxationFact.objects.filter(candidates=placed[0]).update(energy_per_atom=-0.5)

    names = [difference.name for difference in replay(Candidate.objects.get(pk=placed[0].pk)).differences]

    assert "formation_energy_per_atom" in names


def test_relaxing_again_agrees_and_names_both_devices(judged):
    for candidate in judged[:2]:
        result = replay(candidate, relax_again=True)

        assert result.differences == ()
        assert result.energy_per_atom == pytest.approx(result.placement.energy_per_atom, abs=0.002)
        assert (result.device, result.stored_device) == ("cpu", "cpu")


def test_relaxing_again_to_another_energy_is_reported(judged):
    Placement.objects.filter(candidate=judged[0]).update(energy_per_atom=-0.9)

    (difference,) = replay(judged[0], relax_again=True).differences

    assert (difference.name, difference.stored) == ("energy_per_atom", -0.9)


def test_a_relaxation_that_is_rejected_this_time_is_a_difference_and_no_crash(judged):
    scale = Scale.objects.get()
    scale.identity["relaxation"] |= {"max_steps": 1}
    scale.digest = scale_digest(scale.identity)
    scale.save()
    candidate = Candidate.objects.get(pk=judged[0].pk)

    result = replay(candidate, relax_again=True)

    (difference,) = result.differences
    assert result.outcome is None
    assert "NOT_CONVERGED" in str(difference.replayed)


def test_without_a_verdict_there_is_nothing_to_replay(participant):
    candidate = add_candidate(participant, bulk("Cu"), state=CandidateState.PARSED)

    with pytest.raises(NotPlaced, match="waiting for relaxation"):
        replay(candidate)
