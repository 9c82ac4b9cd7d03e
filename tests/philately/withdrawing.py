"""Arrivals that are placed and taken back, and the hull held against the rows after it."""

from facts import add_candidate
from stories import warm_hull

from philately.domain.audits import audit
from philately.domain.place import place_waiting
from philately.domain.runs import hull_of
from philately.domain.withdrawals import ask
from philately.models import Candidate, Run


def place_arrivals(*arrivals):
    """(membership, atoms, eV/atom) in order of arrival."""
    candidates = [add_candidate(member, atoms, energy) for member, atoms, energy in arrivals]
    place_waiting(arrivals[0][0].season_id)
    return candidates


def withdraw(*candidates, **changes):
    """By their owner, who is one and the same."""
    ask(rows_for(*candidates), **{"by": candidates[0].batch.owner.user, **changes})
    place_waiting(candidates[0].season_id)


def rows_for(*candidates):
    return Candidate.objects.filter(pk__in=[one.pk for one in candidates])


def run_of(season) -> Run:
    return Run.objects.select_related("release", "scale").get(pk=season.official_run_id)


def check_hull(season):
    """The rows are those of the hull built again, from the sequencer's memory as from the disk and from the rows."""
    run = run_of(season)
    assert audit(run).sentences == []
    assert [str(point) for point in hull_of(run).points()] == [str(point) for point in warm_hull(run).points()]


def state_of(candidate):
    return Candidate.objects.get(pk=candidate.pk).state
