"""Fits made ahead change no placement, and the sequencer makes none of them again."""

import random
from dataclasses import replace

import pytest
from driving import ordered_alloy
from facts import add_candidate

from philately.domain import comparisons, place
from philately.domain.comparisons import compare, fits_of, policy_of, write_fingerprints
from philately.domain.place import place_waiting
from philately.domain.releases import release_of
from philately.domain.turns import arrival_of, waiting_of
from philately.models import Candidate, Fit, Placement, RelaxedFingerprint
from validation import matching
from validation.matching import Description
from validation.placing import Fold
from validation.rules import Rules, Tolerances

RULES = Rules()
N = 24


@pytest.fixture(autouse=True)
def _cold():
    """A process that has placed nothing and read no crystal yet."""
    place.forget()
    comparisons._crystal.cache_clear()


@pytest.fixture
def crowd(participant):
    """Few formulas, few structures, energies close to each other: most of them have to be compared."""
    dice = random.Random(2)
    candidates = []
    for _ in range(N):
        atoms = ordered_alloy("Cu", "Au", lattice_ang=3.8, n_minority=dice.choice([1, 2]))
        stretch = dice.choice([1.0, 1.09, 1.4])
        atoms.set_cell(atoms.cell @ [[1, 0, 0], [0, 1, 0], [0, 0, stretch]], scale_atoms=True)
        candidates.append(add_candidate(participant, atoms, 0.001 * dice.randrange(8)))
    return candidates


def _with_fingerprints(candidates):
    for candidate in candidates:
        number = candidate.relaxation_id
        write_fingerprints([(number, Description.of(comparisons._crystal(number), RULES.duplicate).fingerprints)])


@pytest.fixture
def searched(monkeypatch):
    """Grows by one with each search of the compiled matcher."""
    calls = []
    search = matching.may_fit

    def counted(a, b, tolerances):
        calls.append(1)
        return search(a, b, tolerances)

    monkeypatch.setattr(matching, "may_fit", counted)
    return calls


@pytest.fixture
def expected(season, crowd):
    """Of a fold in memory that knows no fits."""
    run = season.official_run
    fold = Fold.on(release_of(run.release), Rules.from_json(run.rules))
    arrivals = list(map(arrival_of, waiting_of(Candidate.objects.order_by("arrival"))))
    outcomes = [(arrival.candidate, fold.place(arrival)) for arrival in arrivals]
    return [(candidate, outcome.verdict, outcome.phase, outcome.sentence) for candidate, outcome in outcomes]


def _placed():
    return list(
        Placement.objects.order_by("candidate__arrival").values_list(
            "candidate", "verdict", "phase__number", "sentence"
        )
    )


@pytest.mark.parametrize("compared", [0, 1, 2, 3], ids=["none", "every third", "every second", "all"])
def test_fits_made_ahead_give_the_same_placements_as_none(season, crowd, expected, compared):
    _with_fingerprints(crowd[::2] if compared == 2 else crowd)
    for candidate in crowd[:: 4 - compared] if compared else ():
        compare(season.official_run, [candidate.pk])

    assert place_waiting(season.pk) == N

    assert _placed() == expected
    assert {"duplicate"} < {verdict for _, verdict, _, _ in expected}


def test_what_was_compared_ahead_is_not_searched_again(season, crowd, searched):
    _with_fingerprints(crowd)
    for candidate in crowd:
        compare(season.official_run, [candidate.pk])
    ahead = len(searched)

    place_waiting(season.pk)

    assert set(Fit.objects.values_list("matches", flat=True)) == {False, True}
    assert len(searched) == ahead > 0


def test_without_fits_made_ahead_the_sequencer_searches_itself(season, crowd, searched):
    _with_fingerprints(crowd)

    place_waiting(season.pk)

    assert searched and not Fit.objects.exists()


def test_comparing_twice_fits_nothing_twice(season, crowd, searched):
    for _ in range(2):
        compare(season.official_run, [crowd[5].pk])
        searched_once, facts = len(searched), list(Fit.objects.order_by("pk").values_list())
        compare(season.official_run, [crowd[5].pk])
        assert len(searched) == searched_once
        assert list(Fit.objects.order_by("pk").values_list()) == facts


def test_comparing_completes_the_fingerprints_that_it_needs(season, crowd):
    compare(season.official_run, [crowd[0].pk])

    own = RelaxedFingerprint.objects.filter(relaxation=crowd[0].relaxation)
    assert own.count() == 1
    assert own.get().key == f"{crowd[0].formula}:{crowd[0].n_atoms}"


def test_what_is_far_by_fingerprint_is_settled_without_a_fit(season, crowd):
    _with_fingerprints(crowd)
    structures = [candidate.relaxation_id for candidate in crowd]

    fits = fits_of(structures, RULES)
    settled = [
        (one, other) for one in structures for other in structures if one < other and not fits.is_open(one, other)
    ]

    assert settled
    for one, other in settled:
        assert fits.distance(one, other) is None
        assert not matching.is_match(comparisons._crystal(one), comparisons._crystal(other), RULES.duplicate)


def test_facts_hold_for_every_season_and_both_ways_round(season, crowd):
    _with_fingerprints(crowd)
    for candidate in crowd:
        compare(season.official_run, [candidate.pk])

    fits = fits_of([candidate.relaxation_id for candidate in crowd], replace(RULES, max_atoms=7))

    for lower, higher, matches in Fit.objects.values_list("lower", "higher", "matches"):
        assert lower < higher
        assert not fits.is_open(lower, higher) and not fits.is_open(higher, lower)
        assert (fits.distance(higher, lower) is not None) == matches


def test_other_tolerances_are_another_policy():
    stricter = replace(RULES, duplicate=Tolerances(0.05, 0.09, 5.0, True))

    assert policy_of(RULES) != policy_of(stricter)
    assert policy_of(RULES) == policy_of(replace(RULES, max_atoms=7, twin=stricter.duplicate))


def test_facts_of_another_policy_count_for_nothing(season, crowd):
    _with_fingerprints(crowd)
    for candidate in crowd:
        compare(season.official_run, [candidate.pk])

    stricter = replace(RULES, duplicate=Tolerances(0.05, 0.09, 5.0, True))

    assert fits_of([candidate.relaxation_id for candidate in crowd], RULES).results
    assert not fits_of([candidate.relaxation_id for candidate in crowd], stricter).results
