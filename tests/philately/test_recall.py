"""A fold that recalls what it needs, chunk by chunk, against one that has everything in memory."""

import random

import pytest
from driving import ordered_alloy
from facts import add_candidate

from philately.domain import place
from philately.domain.releases import release_of
from philately.domain.turns import arrival_of, waiting_of
from philately.models import Candidate, LogEntry, Phase, Placement, ScoreEntry
from validation.placing import Fold
from validation.rules import Rules

N = 70


def _atoms(n_minority, stretch):
    atoms = ordered_alloy("Cu", "Au", lattice_ang=3.8, n_minority=n_minority)
    atoms.set_cell(atoms.cell @ [[1, 0, 0], [0, 1, 0], [0, 0, stretch]], scale_atoms=True)
    return atoms


@pytest.fixture
def crowd(join_as):
    """Few formulas, few structures and steps of 3 meV/atom, lower and lower: most arrivals are near some other."""
    dice = random.Random(5)
    for number in range(N):
        steps = dice.choice([-3, -2, -1, 0, 0, 1, 2, 5, 12, 40]) - number // 8
        atoms = _atoms(dice.choice([1, 2, 3, 4]), dice.choice([1.0, 1.4]))
        add_candidate(join_as(dice.choice(["ann", "ben", "eve"])), atoms, 0.003 * steps)


@pytest.fixture
def expected(season, crowd):
    """Of a fold in memory: (verdict, phase, energies), log and points."""
    run = season.official_run
    fold = Fold.on(release_of(run.release), Rules.from_json(run.rules))
    arrivals = map(arrival_of, waiting_of(Candidate.objects.order_by("arrival")))
    return [(arrival, fold.place(arrival)) for arrival in arrivals]


@pytest.mark.parametrize("chunk", [1, 7, 2000])
@pytest.mark.parametrize("cold", [False, True], ids=["warm", "cold"])
def test_what_is_recalled_chunk_by_chunk_is_all_that_matters(season, expected, settings, chunk, cold):
    settings.PLACE_CHUNK = chunk
    place.forget()
    while True:
        with place.lock(f"place:{season.pk}") as hold:
            season.official_run.refresh_from_db()
            if not place.place_chunk(season.official_run, hold)[1]:
                break
        if cold:
            place.forget()

    placed = Placement.objects.order_by("candidate__arrival").values_list(
        *("candidate", "verdict", "phase__number", "sentence", "formation_energy_per_atom", "e_above_hull_on_arrival")
    )
    scores = ScoreEntry.objects.order_by("number").values_list(
        *("member", "candidate", "phase__number", "formula", "points", "reason", "provisional")
    )
    log = LogEntry.objects.order_by("position").values_list("kind", "phase__number", "by__number", "candidate")
    assert [row[:4] for row in placed] == [(a.candidate, o.verdict, o.phase, o.sentence) for a, o in expected]
    for row, (_, outcome) in zip(placed, expected, strict=True):
        figures = (outcome.formation_energy_per_atom, outcome.position.e_above_hull_on_arrival)
        assert row[4:] == pytest.approx(figures, abs=1e-12)
    assert list(scores) == [
        (w.member, w.candidate, w.phase, w.formula, w.points, w.reason, w.provisional)
        for _, outcome in expected
        for w in outcome.awards
    ]
    assert list(log) == [(i.kind, i.phase, i.by, a.candidate) for a, outcome in expected for i in outcome.log]
    assert {o.verdict for _, o in expected} >= {"stable", "metastable", "duplicate", "refined"}
    assert {w.reason for _, o in expected for w in o.awards} >= {"dethroned", "dethroned_first", "back_on_hull"}
    assert Phase.objects.filter(first_candidate__isnull=False).count() > 10
