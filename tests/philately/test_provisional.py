"""Positions of what waits are those that the whole hull gives, although only a part of it is looked at."""

from pathlib import Path

import pytest

from benchmark.filled import fill
from hull.entries import Formula
from hull.store import HullStore
from philately.domain.runs import hull_of
from philately.models import Candidate, HullPoint, Run
from philately.queries import provisional_positions
from philately.states import CandidateState

TOLERANCE_EV_PER_ATOM = 1e-10


@pytest.fixture
def run(db, settings, tmp_path: Path) -> Run:
    settings.MEDIA_ROOT = tmp_path / "files"
    found = fill(3000, tmp_path).season.official_run
    assert found is not None
    return found


@pytest.fixture
def whole(run: Run) -> HullStore:
    return hull_of(run)


@pytest.fixture
def relaxed(run: Run) -> list[Candidate]:
    """Of every formula of the season, those placed before included."""
    rows = Candidate.objects.filter(season=run.season, state__in=(CandidateState.RELAXED, CandidateState.PLACED))
    return list(rows.filter(relaxation__energy_per_atom__isnull=False).select_related("relaxation").order_by("pk"))


def same(one: float | None, other: float | None) -> bool:
    return one == other or (None not in (one, other) and one == pytest.approx(other, abs=TOLERANCE_EV_PER_ATOM))


def test_a_part_of_the_hull_gives_the_positions_that_all_of_it_gives(
    run: Run, whole: HullStore, relaxed: list[Candidate]
) -> None:
    vertices = set(HullPoint.objects.filter(run=run, is_vertex=True).values_list("formula", flat=True))
    assert sum(one.formula in vertices for one in relaxed) > 100
    assert sum(one.formula not in vertices for one in relaxed) > 100
    differing = {}

    for start in range(0, len(relaxed), 50):
        some = {one.pk: one for one in relaxed[start : start + 50]}
        for pk, position in provisional_positions(run, some.values()).items():
            candidate = some[pk]
            expected = whole.position(Formula.parse(candidate.formula), candidate.relaxation.energy_per_atom)
            if not (
                same(position.e_above_hull, expected.e_above_hull)
                and same(position.e_above_hull_on_arrival, expected.e_above_hull_on_arrival)
                and same(position.decomposition_energy, expected.decomposition_energy)
                and dict(position.decomposition) == pytest.approx(dict(expected.decomposition))
            ):
                differing[candidate.formula] = (position, expected)

    assert not differing
