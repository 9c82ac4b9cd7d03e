"""The benchmark of the sequencer runs, and its figures fit together; nothing here is about speed."""

from itertools import pairwise

import pytest
from servers import answers

from benchmark import place
from benchmark.seasons import APART_EV, make
from hull.entries import Formula


@pytest.fixture(scope="module")
def figures():
    return place.measure(quick=True, full=False, say=lambda line: None)


def _databases():
    return ("sqlite", "postgresql") if answers("PostgreSQL", 5432) else ("sqlite",)


def test_every_figure_has_a_meaning_and_all_candidates_were_placed(figures):
    for database in _databases():
        assert figures[f"placed_{database}"] == place.QUICK
        assert 0 < figures[f"placed_per_s_{database}"] < figures[f"placed_per_s_without_hull_{database}"]
        assert figures[f"new_run_placed_per_s_{database}"] > 0
        assert 0 < figures[f"hull_share_{database}"] < 1
        assert 0.02 < figures[f"stable_share_{database}"] < 0.12
    assert set(figures) <= set(place.MEANINGS)


def test_a_server_that_does_not_answer_is_said_and_not_measured(monkeypatch):
    said = []
    monkeypatch.setenv("BENCHMARK_POSTGRES_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setattr(place, "_measured", lambda count, say, database, url: {database: 1.0})

    assert place.measure(quick=True, full=False, say=said.append) == {"sqlite": 1.0}
    assert "PostgreSQL is not measured" in said[0]


def test_two_candidates_of_a_formula_are_never_near_in_energy():
    made = make(2000)

    by_formula = {}
    for formula, energy in zip(made.formulas, made.energies_per_atom, strict=True):
        by_formula.setdefault(formula, []).append(energy)

    assert max(map(len, by_formula.values())) > 2
    for energies in by_formula.values():
        assert all(high - low > APART_EV - 1e-9 for low, high in pairwise(sorted(energies)))
    assert not any(Formula.parse(formula).is_element for formula in by_formula)
