"""The fold: arrivals in order in, verdicts, hull log and points out. Energies are made up, in round numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hull.entries import Entry, Formula
from hull.reference import Coverage, ReferencePhase, Release, Vector
from hull.store import HullStore
from validation.auditing import Auditor, Heard, Unheard
from validation.crystal import Crystal
from validation.formation import Grounds
from validation.placing import Arrival, Change, Fold, Memory, Outcome, Verdict
from validation.rules import Points, Reason, Rules
from validation.scoring import PUTS_ON_HULL, Find, PointsFor

ANN, BEN = 1, 2
RULES = Rules()
REFERENCES = {"Na": -1.0, "Cl": -2.0, "K": -1.0}  # eV/atom; with NaCl the ideal mixture has -1.5


@cache
def _crystal(formula: str) -> Crystal:
    """One simple crystal a formula, so that whatever is near in energy matches."""
    amounts = dict(Formula.parse(formula).amounts)
    numbers = [number for number, amount in amounts.items() for _ in range(amount)]
    places = [(index / len(numbers), 0.5 * (index % 2), 0.5 * (index % 2)) for index in range(len(numbers))]
    return Crystal.of([[3.0 * len(numbers), 0, 0], [0, 4, 0], [0, 0, 4]], places, numbers)


@cache
def _other_crystal(formula: str) -> Crystal:
    """A layered arrangement that matches nothing above."""
    plain = _crystal(formula)
    return Crystal.of([[3, 0, 0], [1, 3, 0], [0, 0, 4.0 * len(plain)]], plain.frac_coords[:, ::-1], plain.numbers)


def _release(coverage: Coverage = Coverage.ELEMENTS, compounds: Iterable[tuple[str, float]] = ()) -> Release:
    phases = [
        ReferencePhase(
            number,
            Formula.parse(formula),
            energy,
            _three(_vectors(_crystal(formula).lattice)),
            _vectors(_crystal(formula).cart_coords),
            _crystal(formula).symbols,
            "made up",
        )
        for number, (formula, energy) in enumerate([*REFERENCES.items(), *compounds], 1)
    ]
    return Release("made up", coverage, {}, "scale", tuple(phases))


def _vectors(rows: object) -> tuple[Vector, ...]:
    return tuple((float(x), float(y), float(z)) for x, y, z in rows)  # type: ignore[attr-defined]


def _three(rows: tuple[Vector, ...]) -> tuple[Vector, Vector, Vector]:
    first, second, third = rows
    return first, second, third


def _arrival(
    candidate: int,
    energy_per_atom: float,
    *,
    formula: str = "ClNa",
    member: int = ANN,
    crystal: Callable[[str], Crystal] = _crystal,
) -> Arrival:
    return Arrival(candidate, member, Formula.parse(formula), energy_per_atom, lambda: crystal(formula))


def _points(outcome: Outcome) -> list[tuple[int, PointsFor, float]]:
    return [(award.member, award.reason, award.points) for award in outcome.awards]


@pytest.fixture
def fold() -> Fold:
    return Fold.on(_release(), RULES)


def test_the_first_stable_compound_of_a_system_gets_fifteen_provisional_points(fold: Fold) -> None:
    outcome = fold.place(_arrival(1, -2.0))

    assert outcome.verdict is Verdict.STABLE
    assert outcome.formation_energy_per_atom == pytest.approx(-0.5)
    assert [(item.kind, item.phase, item.by) for item in outcome.log] == [(Change.STABLE, 4, None)]
    assert _points(outcome) == [
        (ANN, PointsFor.UNIQUE, 1),
        (ANN, PointsFor.STABLE, 10),
        (ANN, PointsFor.FIRST_OF_SYSTEM, 5),
    ]


def test_a_second_stable_compound_of_the_system_gets_no_bonus(fold: Fold) -> None:
    fold.place(_arrival(1, -2.0))

    outcome = fold.place(_arrival(2, -1.9, formula="ClNa3", member=BEN))

    assert outcome.verdict is Verdict.STABLE
    assert PointsFor.FIRST_OF_SYSTEM not in [award.reason for award in outcome.awards]


def test_a_system_that_the_release_holds_a_stable_compound_of_gives_no_bonus() -> None:
    fold = Fold.on(_release(compounds=[("ClNa", -2.0)]), RULES)

    outcome = fold.place(_arrival(1, -1.9, formula="ClNa3"))

    assert outcome.verdict is Verdict.STABLE
    assert PointsFor.FIRST_OF_SYSTEM not in [award.reason for award in outcome.awards]


def test_a_lower_polymorph_dethrones_and_its_predecessor_keeps_what_a_metastable_find_is_worth(fold: Fold) -> None:
    fold.place(_arrival(1, -2.0))

    outcome = fold.place(_arrival(2, -2.05, member=BEN))

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
    fold.place(_arrival(1, -1.6))

    outcome = fold.place(_arrival(2, -2.6, formula="ClNa3", member=BEN))

    assert (ANN, PointsFor.DETHRONED, -10) in _points(outcome)
    assert (ANN, PointsFor.METASTABLE, 3) not in _points(outcome)  # it now lies far above the hull


@pytest.mark.parametrize(
    ("above_hull", "verdict"), [(0.05, Verdict.METASTABLE), (0.1999, Verdict.UNSTABLE), (-0.001, Verdict.METASTABLE)]
)
def test_the_class_is_that_of_the_distance_on_arrival(fold: Fold, above_hull: float, verdict: Verdict) -> None:
    fold.place(_arrival(1, -2.0, crystal=_other_crystal))

    outcome = fold.place(_arrival(2, -2.0 + above_hull, member=BEN))

    assert outcome.verdict is verdict
    assert outcome.position.e_above_hull_on_arrival == pytest.approx(above_hull)


def test_at_most_five_unique_structures_of_a_formula_and_member_count(fold: Fold) -> None:
    outcomes = [fold.place(_arrival(number, -2.0 + 0.02 * number)) for number in range(7)]
    other = fold.place(_arrival(8, -1.7, member=BEN))

    unique = [sum(award.reason is PointsFor.UNIQUE for award in outcome.awards) for outcome in outcomes]
    metastable = [sum(award.reason is PointsFor.METASTABLE for award in outcome.awards) for outcome in outcomes]
    assert unique == [1, 1, 1, 1, 1, 0, 0]
    assert metastable == [0, 1, 0, 0, 0, 0, 0]
    assert _points(other) == [(BEN, PointsFor.UNIQUE, 1)]


def test_a_duplicate_belongs_to_its_first_finder_and_gets_nothing(fold: Fold) -> None:
    first = fold.place(_arrival(1, -2.0))

    outcome = fold.place(_arrival(2, -2.001, member=BEN))

    assert (outcome.verdict, outcome.reason, outcome.phase) == (Verdict.DUPLICATE, Reason.DUPLICATE, first.phase)
    assert (outcome.awards, outcome.log, outcome.moved) == ((), (), ())
    assert fold.next_number == 5


def test_a_phase_of_the_release_is_nobody_s_find(fold: Fold) -> None:
    outcome = fold.place(_arrival(1, -1.0, formula="Na"))

    assert outcome.verdict is Verdict.DUPLICATE
    assert outcome.phase == 1
    assert "of the release" in outcome.sentence


def test_another_structure_at_the_same_energy_is_a_phase_of_its_own(fold: Fold) -> None:
    fold.place(_arrival(1, -2.0))

    outcome = fold.place(_arrival(2, -1.999, crystal=_other_crystal))

    assert outcome.verdict is Verdict.METASTABLE
    assert outcome.phase == 5


def test_a_duplicate_that_lies_a_little_lower_refines_its_phase_without_points(fold: Fold) -> None:
    fold.place(_arrival(1, -2.0))

    outcome = fold.place(_arrival(2, -2.005, member=BEN))
    third = fold.place(_arrival(3, -2.012, member=BEN))

    assert (outcome.verdict, outcome.phase, outcome.awards) == (Verdict.REFINED, 4, ())
    assert outcome.log[0].kind is Change.REFINED
    assert _energy_of(fold, 4) == pytest.approx(-2.012)
    assert third.verdict is Verdict.REFINED  # measured against the refined energy


def test_a_refinement_that_reaches_the_hull_gives_its_first_finder_the_points(fold: Fold) -> None:
    fold.place(_arrival(1, -2.0, crystal=_other_crystal, member=BEN))
    fold.place(_arrival(2, -1.997))

    outcome = fold.place(_arrival(3, -2.004, member=BEN))

    assert outcome.verdict is Verdict.REFINED
    assert (ANN, PointsFor.BACK_ON_HULL, 10) in _points(outcome)
    assert (BEN, PointsFor.DETHRONED, -10) in _points(outcome)


def test_a_refinement_that_reaches_the_hull_opens_its_system(fold: Fold) -> None:
    refined = [fold.place(arrival) for arrival in OPENED_BY_REFINEMENT][-1]
    later = fold.place(_arrival(4, -1.4, formula="ClNa3"))

    assert (ANN, PointsFor.BACK_ON_HULL, 10) in _points(refined)
    assert later.verdict is Verdict.STABLE
    assert PointsFor.FIRST_OF_SYSTEM not in [award.reason for award in later.awards]


def test_above_the_formation_energy_limit_nothing_is_kept(fold: Fold) -> None:
    outcomes = [fold.place(_arrival(number, -1.3)) for number in (1, 2)]

    assert [outcome.verdict for outcome in outcomes] == [Verdict.REJECTED, Verdict.REJECTED]
    assert all(outcome.reason is Reason.FORMATION_ENERGY and not outcome.awards for outcome in outcomes)
    assert "0.200 eV/atom" in outcomes[0].sentence
    assert fold.next_number == 4


def test_a_much_lower_element_is_held_outside_hull_and_points(fold: Fold) -> None:
    outcome = fold.place(_arrival(1, -1.05, formula="Na"))
    compound = fold.place(_arrival(2, -2.0))

    assert outcome.verdict is Verdict.HELD
    assert (outcome.awards, outcome.log) == ((), ())
    assert compound.formation_energy_per_atom == pytest.approx(-0.5)
    assert compound.position.e_above_hull_on_arrival == pytest.approx(-0.5)


def test_a_held_structure_that_is_admitted_is_placed_on_the_hull_of_that_moment(fold: Fold) -> None:
    held = fold.place(_arrival(1, -1.05, formula="Na"))
    fold.place(_arrival(2, -2.0, member=BEN))
    (kept,) = [phase for phase in fold.memory.phases[Formula.parse("Na")] if phase.number == held.phase]

    outcome = fold.admit(kept, _arrival(1, -1.05, formula="Na"))

    assert outcome.verdict is Verdict.STABLE
    assert [(item.kind, item.phase) for item in outcome.log][:2] == [(Change.ACCEPTED, 4), (Change.STABLE, 4)]
    assert (Change.DETHRONED, 1) in [(item.kind, item.phase) for item in outcome.log]
    awarded = fold.award(_arrival(1, -1.05, formula="Na"), outcome)
    assert [(award.member, award.reason) for award in awarded] == [(ANN, PointsFor.UNIQUE), (ANN, PointsFor.STABLE)]
    assert set(fold.hull.stable_entries()) == {2, 3, 4, 5}


def test_a_held_refinement_that_is_not_lower_any_more_changes_nothing_when_it_is_admitted(fold: Fold) -> None:
    fold.place(_arrival(1, -2.0))
    (kept,) = fold.memory.phases[Formula.parse("ClNa")]

    outcome = fold.admit(kept, _arrival(2, -1.995))

    assert (outcome.verdict, outcome.log, outcome.moved) == (Verdict.DUPLICATE, (), ())
    assert _energy_of(fold, 4) == pytest.approx(-2.0)


def test_what_repeats_a_held_structure_is_its_duplicate_and_never_refines_it(fold: Fold) -> None:
    held = fold.place(_arrival(1, -1.05, formula="Na"))

    outcome = fold.place(_arrival(2, -1.055, formula="Na", member=BEN))

    assert (outcome.verdict, outcome.phase) == (Verdict.DUPLICATE, held.phase)
    assert _energy_of(fold, 4) == pytest.approx(-1.05)


def test_an_element_s_reference_cannot_be_refined_below_the_limit_step_by_step(fold: Fold) -> None:
    outcomes = [fold.place(_arrival(number, -1.0 - 0.008 * number, formula="Na")) for number in (1, 2, 3, 4)]

    assert [outcome.verdict for outcome in outcomes] == [Verdict.REFINED, Verdict.REFINED, Verdict.HELD, Verdict.HELD]
    reference = outcomes[0].phase
    assert {outcome.phase for outcome in outcomes[:3]} == {reference}
    assert _energy_of(fold, reference) == pytest.approx(-1.016)
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
    fold = Fold.on(_release(coverage), Rules(version=version))

    outcome = fold.place(_arrival(1, -2.2))

    assert outcome.verdict is verdict
    assert bool(outcome.sentence) is (verdict is Verdict.HELD)


@pytest.mark.parametrize("coverage", [Coverage.ELEMENTS, Coverage.PROTOTYPES])
def test_a_deep_find_is_held_where_the_hull_beneath_it_is_of_compounds_alone(coverage: Coverage) -> None:
    """ClNa3 between NaCl and Na lies on an element; Cl2KNa lies between NaCl and KCl, and NaCl on itself."""
    between = _release(coverage, compounds=[("ClNa", -1.6), ("ClK", -1.6)])

    deep = Fold.on(between, RULES).place(_arrival(1, -2.2, formula="Cl2KNa"))
    on_an_element = Fold.on(between, RULES).place(_arrival(1, -2.0, formula="ClNa3"))
    on_itself = Fold.on(between, RULES).place(_arrival(1, -2.2, crystal=_other_crystal))
    shallow = Fold.on(between, RULES).place(_arrival(1, -1.9, formula="Cl2KNa"))

    assert deep.verdict is Verdict.HELD
    assert "it lowers the hull by 0.600 eV/atom (limit 0.5)" in deep.sentence
    assert on_an_element.verdict is Verdict.STABLE
    assert on_itself.verdict is Verdict.HELD
    assert shallow.verdict is Verdict.STABLE


def test_an_absurd_formation_energy_is_held_on_any_release(fold: Fold) -> None:
    assert fold.place(_arrival(1, -7.0)).verdict is Verdict.HELD


def test_without_a_reference_of_an_element_distances_are_undefined_and_points_are_none(fold: Fold) -> None:
    outcome = fold.place(_arrival(1, -3.0, formula="ClCs"))
    again = fold.place(_arrival(2, -3.001, formula="ClCs", member=BEN))

    assert outcome.verdict is Verdict.UNDEFINED
    assert outcome.formation_energy_per_atom is None
    assert outcome.position.e_above_hull_on_arrival is None
    assert outcome.awards == ()
    assert "Cs" in outcome.sentence
    assert again.verdict is Verdict.DUPLICATE


@pytest.mark.parametrize(("coverage", "novel"), [(Coverage.ELEMENTS, None), (Coverage.FULL, True)])
def test_novelty_is_defined_against_a_full_release_only(coverage: Coverage, novel: bool | None) -> None:
    fold = Fold.on(_release(coverage), RULES)

    assert fold.place(_arrival(1, -1.7)).is_novel is novel
    assert fold.place(_arrival(2, -1.0, formula="Na")).is_novel is (False if novel else None)


ARRIVALS = st.lists(
    st.tuples(
        st.sampled_from(["Cl", "ClNa", "ClNa3", "ClK", "ClCs", "ClKNa"]),
        st.sampled_from([-60, -40, *range(-9, 10), 40, 80]),  # in 1.5 meV/atom, from the mixture of the elements
        st.sampled_from([ANN, BEN]),
        st.sampled_from([_crystal, _other_crystal]),
    ),
    min_size=2,
    max_size=14,
)


OPENED_AT_ONCE = (_arrival(1, -1.6),)
OPENED_BY_REFINEMENT = (
    _arrival(1, -1.501),  # below the elements, but by less than makes it stable
    _arrival(2, -1.5015, crystal=_other_crystal),
    _arrival(3, -1.508),
)


def _energy(formula: str, step: int) -> float:
    fractions = Formula.parse(formula).fractions
    return sum(part * REFERENCES.get(symbol, 0.0) for symbol, part in fractions.items()) + 0.0015 * step


def _energy_of(fold: Fold, number: int) -> float:
    return next(p.energy_per_atom for phases in fold.memory.phases.values() for p in phases if p.number == number)


def _restored(fold: Fold, outcomes: Sequence[Outcome], rules: Rules) -> Fold:
    """A new fold from what a database keeps of an old one."""
    kept = [replace(phase) for phases in fold.memory.phases.values() for phase in phases]
    kept.sort(key=lambda phase: phase.number)
    memory = Memory.whole(rules.points)
    memory.systems |= Fold.on(_release(compounds=[("ClK", -1.51)]), rules).memory.systems & fold.memory.systems
    hull = HullStore(fold.hull.scale)
    for phase in kept:
        memory.keep(phase)
        if phase.in_hull:
            hull.insert(Entry(phase.number, phase.formula, phase.energy_per_atom))
    for award in (award for outcome in outcomes for award in outcome.awards):
        memory.ledger.record(Find(award.member, award.candidate, award.phase, award.formula), award.reason)
        if award.reason in PUTS_ON_HULL:
            memory.systems.add(Formula.parse(award.formula).chemical_system)
    return Fold(fold.grounds, rules, hull, memory, next_number=fold.next_number)


@given(drawn=ARRIVALS, cut=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_a_restored_fold_goes_on_exactly_as_the_one_that_never_stopped(
    drawn: list[tuple[str, int, int, Callable[[str], Crystal]]], cut: float
) -> None:
    arrivals = [
        _arrival(number, _energy(formula, step), formula=formula, member=member, crystal=crystal)
        for number, (formula, step, member, crystal) in enumerate(drawn, 1)
    ]
    here = round(cut * len(arrivals))
    steady = Fold.on(_release(compounds=[("ClK", -1.51)]), RULES)
    before = [steady.place(arrival) for arrival in arrivals[:here]]

    restored = _restored(steady, before, RULES)

    assert [restored.place(arrival) for arrival in arrivals[here:]] == [
        steady.place(arrival) for arrival in arrivals[here:]
    ]


@given(drawn=ARRIVALS, deep=st.lists(st.sampled_from([-400, -335, -330, -200]), max_size=4))
@settings(max_examples=40, deadline=None)
def test_a_position_is_that_before_the_arrival_and_what_lowers_the_hull_by_too_much_is_never_accepted(
    drawn: list[tuple[str, int, int, Callable[[str], Crystal]]], deep: list[int]
) -> None:
    fold = Fold.on(_release(Coverage.FULL, compounds=[("ClK", -1.51)]), RULES)
    drawn = [*drawn, *(("ClNa", step, ANN, _other_crystal) for step in deep)]
    for number, (formula, step, member, crystal) in enumerate(drawn, 1):
        arrival = _arrival(number, _energy(formula, step), formula=formula, member=member, crystal=crystal)
        before = fold.hull.position(arrival.formula, arrival.energy_per_atom)

        outcome = fold.place(arrival)

        on_arrival = before.e_above_hull_on_arrival
        assert outcome.position == before
        if on_arrival is not None and on_arrival < RULES.held_on_arrival_ev_per_atom:
            assert outcome.verdict in (Verdict.HELD, Verdict.DUPLICATE)


@pytest.mark.parametrize("stable", [10.0, 0.0])
@pytest.mark.parametrize("opening", [OPENED_BY_REFINEMENT, OPENED_AT_ONCE], ids=["refined", "at once"])
def test_a_restored_fold_knows_which_systems_are_open(opening: Sequence[Arrival], stable: float) -> None:
    rules = replace(RULES, points=Points(stable=stable, first_of_system=stable / 2))
    steady = Fold.on(_release(), rules)
    before = [steady.place(arrival) for arrival in opening]

    restored = _restored(steady, before, rules)

    last = _arrival(9, -1.4, formula="ClNa3")
    outcome = restored.place(last)
    assert outcome.verdict is Verdict.STABLE
    assert outcome == steady.place(last)


LENIENT = Auditor("lenient", Grounds(Coverage.ELEMENTS, {11: -3.0, 17: -4.0}))  # knows no potassium


def _audited(energy_per_atom: float | None, problem: str = "") -> Arrival:
    """NaCl at −0.5 eV/atom by the judge, and what its auditor says, whose elements make −3.5."""
    return replace(_arrival(1, -2.0), heard={LENIENT.name: Heard(energy_per_atom, problem)})


@pytest.fixture
def audited() -> Fold:
    return Fold.on(_release(), RULES, (LENIENT,))


def test_a_stable_find_is_not_judged_before_its_auditors_were_heard_and_nothing_is_changed(audited: Fold) -> None:
    with pytest.raises(Unheard) as missing:
        audited.place(_arrival(1, -2.0))

    assert (missing.value.candidate, missing.value.auditors) == (1, ("lenient",))
    assert audited.next_number == 4
    assert audited.place(_audited(-4.0)) == Fold.on(_release(), RULES).place(_arrival(1, -2.0))


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

    assert audited.place(_arrival(2, -1.95, crystal=_other_crystal)).verdict is Verdict.METASTABLE
    assert audited.place(_arrival(3, -1.3, formula="ClNa3")).verdict is Verdict.UNSTABLE
    assert audited.place(_arrival(4, -8.0, formula="ClNa2")).verdict is Verdict.HELD
    assert audited.place(_arrival(5, -2.001)).verdict is Verdict.DUPLICATE


def test_an_auditor_whose_release_lacks_an_element_has_no_opinion(audited: Fold) -> None:
    assert audited.place(_arrival(1, -2.0, formula="ClK")).verdict is Verdict.STABLE


def test_a_duplicate_that_lowers_a_stable_phase_is_asked_about_too(audited: Fold) -> None:
    audited.place(_audited(-4.0))
    lower = replace(_arrival(2, -2.005), heard={})

    with pytest.raises(Unheard):
        audited.place(lower)

    assert audited.place(replace(lower, heard={"lenient": Heard(-4.0)})).verdict is Verdict.REFINED
