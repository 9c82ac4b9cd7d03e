"""The fold: arrivals in order in, verdicts, hull log and points out. Energies are made up, in round numbers."""

from __future__ import annotations

import pytest

from hull.reference import Coverage
from tests.validation.made_up_arrivals import (
    ANN,
    BEN,
    OPENED_BY_REFINEMENT,
    RULES,
    arrival_of,
    energy_of,
    other_crystal,
    release_of,
)
from validation.placing import Change, Fold, Outcome, Verdict
from validation.rules import Reason
from validation.scoring import PointsFor


def _points(outcome: Outcome) -> list[tuple[int, PointsFor, float]]:
    return [(award.member, award.reason, award.points) for award in outcome.awards]


@pytest.fixture
def fold() -> Fold:
    return Fold.on(release_of(), RULES)


def test_the_first_stable_compound_of_a_system_gets_fifteen_provisional_points(fold: Fold) -> None:
    outcome = fold.place(arrival_of(1, -2.0))

    assert outcome.verdict is Verdict.STABLE
    assert outcome.formation_energy_per_atom == pytest.approx(-0.5)
    assert [(item.kind, item.phase, item.by) for item in outcome.log] == [(Change.STABLE, 4, None)]
    assert _points(outcome) == [
        (ANN, PointsFor.UNIQUE, 1),
        (ANN, PointsFor.STABLE, 10),
        (ANN, PointsFor.FIRST_OF_SYSTEM, 5),
    ]


def test_a_second_stable_compound_of_the_system_gets_no_bonus(fold: Fold) -> None:
    fold.place(arrival_of(1, -2.0))

    outcome = fold.place(arrival_of(2, -1.9, formula="ClNa3", member=BEN))

    assert outcome.verdict is Verdict.STABLE
    assert PointsFor.FIRST_OF_SYSTEM not in [award.reason for award in outcome.awards]


def test_a_system_that_the_release_holds_a_stable_compound_of_gives_no_bonus() -> None:
    fold = Fold.on(release_of(compounds=[("ClNa", -2.0)]), RULES)

    outcome = fold.place(arrival_of(1, -1.9, formula="ClNa3"))

    assert outcome.verdict is Verdict.STABLE
    assert PointsFor.FIRST_OF_SYSTEM not in [award.reason for award in outcome.awards]


def test_a_lower_polymorph_dethrones_and_its_predecessor_keeps_what_a_metastable_find_is_worth(fold: Fold) -> None:
    fold.place(arrival_of(1, -2.0))

    outcome = fold.place(arrival_of(2, -2.05, member=BEN))

    assert [(item.kind, item.phase, item.by) for item in outcome.log] == [
        (Change.STABLE, 5, None),
        (Change.DETHRONED, 4, 5),
    ]
    assert _points(outcome) == [
        (BEN, PointsFor.UNIQUE, 1),
        (BEN, PointsFor.STABLE, 10),
        (ANN, PointsFor.DETHRONED, -10),
        (ANN, PointsFor.DETHRONED_FIRST, -5),
        (ANN, PointsFor.METASTABLE, 3),
    ]


def test_a_neighbouring_compound_dethrones_as_well(fold: Fold) -> None:
    fold.place(arrival_of(1, -1.6))

    outcome = fold.place(arrival_of(2, -2.6, formula="ClNa3", member=BEN))

    assert (ANN, PointsFor.DETHRONED, -10) in _points(outcome)
    assert (ANN, PointsFor.METASTABLE, 3) not in _points(outcome)  # it now lies far above the hull


@pytest.mark.parametrize(
    ("above_hull", "verdict"), [(0.05, Verdict.METASTABLE), (0.1999, Verdict.UNSTABLE), (-0.001, Verdict.METASTABLE)]
)
def test_the_class_is_that_of_the_distance_on_arrival(fold: Fold, above_hull: float, verdict: Verdict) -> None:
    fold.place(arrival_of(1, -2.0, crystal=other_crystal))

    outcome = fold.place(arrival_of(2, -2.0 + above_hull, member=BEN))

    assert outcome.verdict is verdict
    assert outcome.position.e_above_hull_on_arrival == pytest.approx(above_hull)


def test_at_most_five_unique_structures_of_a_formula_and_member_count(fold: Fold) -> None:
    outcomes = [fold.place(arrival_of(number, -2.0 + 0.02 * number)) for number in range(7)]
    other = fold.place(arrival_of(8, -1.7, member=BEN))

    unique = [sum(award.reason is PointsFor.UNIQUE for award in outcome.awards) for outcome in outcomes]
    metastable = [sum(award.reason is PointsFor.METASTABLE for award in outcome.awards) for outcome in outcomes]
    assert unique == [1, 1, 1, 1, 1, 0, 0]
    assert metastable == [0, 1, 0, 0, 0, 0, 0]
    assert _points(other) == [(BEN, PointsFor.UNIQUE, 1)]


def test_a_duplicate_belongs_to_its_first_finder_and_gets_nothing(fold: Fold) -> None:
    first = fold.place(arrival_of(1, -2.0))

    outcome = fold.place(arrival_of(2, -2.001, member=BEN))

    assert (outcome.verdict, outcome.reason, outcome.phase) == (Verdict.DUPLICATE, Reason.DUPLICATE, first.phase)
    assert (outcome.awards, outcome.log, outcome.moved) == ((), (), ())
    assert fold.next_number == 5


def test_a_phase_of_the_release_is_nobody_s_find(fold: Fold) -> None:
    outcome = fold.place(arrival_of(1, -1.0, formula="Na"))

    assert outcome.verdict is Verdict.DUPLICATE
    assert outcome.phase == 1
    assert "of the release" in outcome.sentence


def test_another_structure_at_the_same_energy_is_a_phase_of_its_own(fold: Fold) -> None:
    fold.place(arrival_of(1, -2.0))

    outcome = fold.place(arrival_of(2, -1.999, crystal=other_crystal))

    assert outcome.verdict is Verdict.METASTABLE
    assert outcome.phase == 5


def test_a_duplicate_that_lies_a_little_lower_refines_its_phase_without_points(fold: Fold) -> None:
    fold.place(arrival_of(1, -2.0))

    outcome = fold.place(arrival_of(2, -2.005, member=BEN))
    third = fold.place(arrival_of(3, -2.012, member=BEN))

    assert (outcome.verdict, outcome.phase, outcome.awards) == (Verdict.REFINED, 4, ())
    assert outcome.log[0].kind is Change.REFINED
    assert energy_of(fold, 4) == pytest.approx(-2.012)
    assert third.verdict is Verdict.REFINED  # measured against the refined energy


def test_a_refinement_that_reaches_the_hull_gives_its_first_finder_the_points(fold: Fold) -> None:
    fold.place(arrival_of(1, -2.0, crystal=other_crystal, member=BEN))
    fold.place(arrival_of(2, -1.997))

    outcome = fold.place(arrival_of(3, -2.004, member=BEN))

    assert outcome.verdict is Verdict.REFINED
    assert (ANN, PointsFor.BACK_ON_HULL, 10) in _points(outcome)
    assert (BEN, PointsFor.DETHRONED, -10) in _points(outcome)


def test_a_refinement_that_reaches_the_hull_opens_its_system(fold: Fold) -> None:
    refined = [fold.place(arrival) for arrival in OPENED_BY_REFINEMENT][-1]
    later = fold.place(arrival_of(4, -1.4, formula="ClNa3"))

    assert (ANN, PointsFor.BACK_ON_HULL, 10) in _points(refined)
    assert later.verdict is Verdict.STABLE
    assert PointsFor.FIRST_OF_SYSTEM not in [award.reason for award in later.awards]


def test_above_the_formation_energy_limit_nothing_is_kept(fold: Fold) -> None:
    outcomes = [fold.place(arrival_of(number, -1.3)) for number in (1, 2)]

    assert [outcome.verdict for outcome in outcomes] == [Verdict.REJECTED, Verdict.REJECTED]
    assert all(outcome.reason is Reason.FORMATION_ENERGY and not outcome.awards for outcome in outcomes)
    assert "0.200 eV/atom" in outcomes[0].sentence
    assert fold.next_number == 4


def test_without_a_reference_of_an_element_distances_are_undefined_and_points_are_none(fold: Fold) -> None:
    outcome = fold.place(arrival_of(1, -3.0, formula="ClCs"))
    again = fold.place(arrival_of(2, -3.001, formula="ClCs", member=BEN))

    assert outcome.verdict is Verdict.UNDEFINED
    assert outcome.formation_energy_per_atom is None
    assert outcome.position.e_above_hull_on_arrival is None
    assert outcome.awards == ()
    assert "Cs" in outcome.sentence
    assert again.verdict is Verdict.DUPLICATE


@pytest.mark.parametrize(("coverage", "novel"), [(Coverage.ELEMENTS, None), (Coverage.FULL, True)])
def test_novelty_is_defined_against_a_full_release_only(coverage: Coverage, novel: bool | None) -> None:
    fold = Fold.on(release_of(coverage), RULES)

    assert fold.place(arrival_of(1, -1.7)).is_novel is novel
    assert fold.place(arrival_of(2, -1.0, formula="Na")).is_novel is (False if novel else None)
