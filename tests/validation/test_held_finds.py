"""What is too good to be true is held, outside hull and points, and so is what an auditor sees otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hull.entries import Formula
from hull.reference import Coverage
from tests.validation.made_up_arrivals import ANN, BEN, RULES, arrival_of, energy_of, other_crystal, release_of
from validation.auditing import Auditor, Heard, Unheard
from validation.formation import Grounds
from validation.placing import Arrival, Change, Fold, Verdict
from validation.rules import Rules
from validation.scoring import PointsFor


@pytest.fixture
def fold() -> Fold:
    return Fold.on(release_of(), RULES)


def test_a_much_lower_element_is_held_outside_hull_and_points(fold: Fold) -> None:
    outcome = fold.place(arrival_of(1, -1.05, formula="Na"))
    compound = fold.place(arrival_of(2, -2.0))

    assert outcome.verdict is Verdict.HELD
    assert (outcome.awards, outcome.log) == ((), ())
    assert compound.formation_energy_per_atom == pytest.approx(-0.5)
    assert compound.position.e_above_hull_on_arrival == pytest.approx(-0.5)


def test_a_held_structure_that_is_admitted_is_placed_on_the_hull_of_that_moment(fold: Fold) -> None:
    held = fold.place(arrival_of(1, -1.05, formula="Na"))
    fold.place(arrival_of(2, -2.0, member=BEN))
    (kept,) = [phase for phase in fold.memory.phases[Formula.parse("Na")] if phase.number == held.phase]

    outcome = fold.admit(kept, arrival_of(1, -1.05, formula="Na"))

    assert outcome.verdict is Verdict.STABLE
    assert [(item.kind, item.phase) for item in outcome.log][:2] == [(Change.ACCEPTED, 4), (Change.STABLE, 4)]
    assert (Change.DETHRONED, 1) in [(item.kind, item.phase) for item in outcome.log]
    awarded = fold.award(arrival_of(1, -1.05, formula="Na"), outcome)
    assert [(award.member, award.reason) for award in awarded] == [(ANN, PointsFor.UNIQUE), (ANN, PointsFor.STABLE)]
    assert set(fold.hull.stable_entries()) == {2, 3, 4, 5}


def test_a_held_refinement_that_is_not_lower_any_more_changes_nothing_when_it_is_admitted(fold: Fold) -> None:
    fold.place(arrival_of(1, -2.0))
    (kept,) = fold.memory.phases[Formula.parse("ClNa")]

    outcome = fold.admit(kept, arrival_of(2, -1.995))

    assert (outcome.verdict, outcome.log, outcome.moved) == (Verdict.DUPLICATE, (), ())
    assert energy_of(fold, 4) == pytest.approx(-2.0)


def test_what_repeats_a_held_structure_is_its_duplicate_and_never_refines_it(fold: Fold) -> None:
    held = fold.place(arrival_of(1, -1.05, formula="Na"))

    outcome = fold.place(arrival_of(2, -1.055, formula="Na", member=BEN))

    assert (outcome.verdict, outcome.phase) == (Verdict.DUPLICATE, held.phase)
    assert energy_of(fold, 4) == pytest.approx(-1.05)


def test_an_element_s_reference_cannot_be_refined_below_the_limit_step_by_step(fold: Fold) -> None:
    outcomes = [fold.place(arrival_of(number, -1.0 - 0.008 * number, formula="Na")) for number in (1, 2, 3, 4)]

    assert [outcome.verdict for outcome in outcomes] == [Verdict.REFINED, Verdict.REFINED, Verdict.HELD, Verdict.HELD]
    reference = outcomes[0].phase
    assert {outcome.phase for outcome in outcomes[:3]} == {reference}
    assert energy_of(fold, reference) == pytest.approx(-1.016)
    assert not outcomes[2].log


@pytest.mark.parametrize(
    ("coverage", "version", "verdict"),
    [
        (Coverage.ELEMENTS, 3, Verdict.STABLE),
        (Coverage.PROTOTYPES, 3, Verdict.STABLE),
        (Coverage.PROTOTYPES, 2, Verdict.HELD),
        (Coverage.FULL, 3, Verdict.HELD),
    ],
)
def test_a_deep_find_is_held_where_the_release_knows_most_compounds(
    coverage: Coverage, version: int, verdict: Verdict
) -> None:
    fold = Fold.on(release_of(coverage), Rules(version=version))

    outcome = fold.place(arrival_of(1, -2.2))

    assert outcome.verdict is verdict
    assert bool(outcome.sentence) is (verdict is Verdict.HELD)


@pytest.mark.parametrize("coverage", [Coverage.ELEMENTS, Coverage.PROTOTYPES])
def test_a_deep_find_is_held_where_the_hull_beneath_it_is_of_compounds_alone(coverage: Coverage) -> None:
    """ClNa3 between NaCl and Na lies on an element; Cl2KNa lies between NaCl and KCl, and NaCl on itself."""
    between = release_of(coverage, compounds=[("ClNa", -1.6), ("ClK", -1.6)])

    deep = Fold.on(between, RULES).place(arrival_of(1, -2.2, formula="Cl2KNa"))
    on_an_element = Fold.on(between, RULES).place(arrival_of(1, -2.0, formula="ClNa3"))
    on_itself = Fold.on(between, RULES).place(arrival_of(1, -2.2, crystal=other_crystal))
    shallow = Fold.on(between, RULES).place(arrival_of(1, -1.9, formula="Cl2KNa"))

    assert deep.verdict is Verdict.HELD
    assert "it lowers the hull by 0.600 eV/atom (limit 0.5)" in deep.sentence
    assert on_an_element.verdict is Verdict.STABLE
    assert on_itself.verdict is Verdict.HELD
    assert shallow.verdict is Verdict.STABLE


def test_an_absurd_formation_energy_is_held_on_any_release(fold: Fold) -> None:
    assert fold.place(arrival_of(1, -7.0)).verdict is Verdict.HELD


LENIENT = Auditor("lenient", Grounds(Coverage.ELEMENTS, {11: -3.0, 17: -4.0}))  # knows no potassium


def _audited(energy_per_atom: float | None, problem: str = "") -> Arrival:
    """NaCl at −0.5 eV/atom by the judge, and what its auditor says, whose elements make −3.5."""
    return replace(arrival_of(1, -2.0), heard={LENIENT.name: Heard(energy_per_atom, problem)})


@pytest.fixture
def audited() -> Fold:
    return Fold.on(release_of(), RULES, (LENIENT,))


def test_a_stable_find_is_not_judged_before_its_auditors_were_heard_and_nothing_is_changed(audited: Fold) -> None:
    with pytest.raises(Unheard) as missing:
        audited.place(arrival_of(1, -2.0))

    assert (missing.value.candidate, missing.value.auditors) == (1, ("lenient",))
    assert audited.next_number == 4
    assert audited.place(_audited(-4.0)) == Fold.on(release_of(), RULES).place(arrival_of(1, -2.0))


@pytest.mark.parametrize(
    ("theirs", "verdict"),
    [(-3.61, Verdict.STABLE), (-4.39, Verdict.STABLE), (-3.59, Verdict.HELD), (-4.41, Verdict.HELD)],
)
def test_a_find_is_held_where_an_auditor_s_formation_energy_differs_by_more_than_the_rule(
    audited: Fold, theirs: float, verdict: Verdict
) -> None:
    outcome = audited.place(_audited(theirs))

    assert outcome.verdict is verdict
    if verdict is Verdict.HELD:
        found = (
            f"is -0.500 eV/atom, and {theirs + 3.5:.3f} by the auditor lenient: {abs(theirs + 4):.3f} apart (limit 0.4)"
        )
        assert found in outcome.sentence
        assert outcome.awards == ()
        assert outcome.moved == ()  # the hull did not move


def test_a_find_whose_auditor_comes_to_no_energy_is_held(audited: Fold) -> None:
    outcome = audited.place(_audited(None, "its relaxation ran away, the cell collapsed"))

    assert outcome.verdict is Verdict.HELD
    assert "the auditor lenient comes to no energy: its relaxation ran away" in outcome.sentence


def test_nobody_is_asked_about_what_is_not_stable_or_held_anyway(audited: Fold) -> None:
    audited.place(_audited(-4.0))

    assert audited.place(arrival_of(2, -1.95, crystal=other_crystal)).verdict is Verdict.METASTABLE
    assert audited.place(arrival_of(3, -1.3, formula="ClNa3")).verdict is Verdict.UNSTABLE
    assert audited.place(arrival_of(4, -8.0, formula="ClNa2")).verdict is Verdict.HELD
    assert audited.place(arrival_of(5, -2.001)).verdict is Verdict.DUPLICATE


def test_an_auditor_whose_release_lacks_an_element_has_no_opinion(audited: Fold) -> None:
    assert audited.place(arrival_of(1, -2.0, formula="ClK")).verdict is Verdict.STABLE


def test_a_duplicate_that_lowers_a_stable_phase_is_asked_about_too(audited: Fold) -> None:
    audited.place(_audited(-4.0))
    lower = replace(arrival_of(2, -2.005), heard={})

    with pytest.raises(Unheard):
        audited.place(lower)

    assert audited.place(replace(lower, heard={"lenient": Heard(-4.0)})).verdict is Verdict.REFINED
