"""Opening a season and taking part in it."""

from datetime import timedelta

import pytest
from django.utils import timezone
from driving import season_on

from philately.domain.seasons import SeasonPlan, SeasonRefused, join, open_season
from philately.models import Membership, Season
from philately.states import Role


def test_a_season_opens_with_a_run_of_its_release_s_phases(season):
    run = season.official_run

    assert run.number == 1
    assert run.phases.count() == run.release.n_phases == run.hull_points.count() == 7
    assert run.next_phase_number == 8
    assert run.scale_id == season.scale_id == run.release.scale_id


def _plan(season, **changes):
    return SeasonPlan(**{"slug": "second", "name": "Second", "release": season.official_run.release, **changes})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"slug": "practice"}, "already"),
        ({"slug": "spring 2027"}, "cannot stand in an address"),
        ({"slug": ""}, "cannot stand in an address"),
        ({"closes_at": timezone.now() - timedelta(days=1)}, "before it opens"),
    ],
)
def test_a_season_that_cannot_be_is_refused_with_a_sentence(season, changes, sentence):
    with pytest.raises(SeasonRefused, match=sentence):
        open_season(_plan(season, **changes))

    assert Season.objects.count() == 1


def test_two_seasons_on_one_release_have_runs_of_their_own(season, emt_release_file):
    other = season_on(emt_release_file, slug="second", name="Second")

    assert other.official_run.pk != season.official_run.pk
    assert other.official_run.release == season.official_run.release


def test_joining_twice_is_joining_once_and_each_role_is_a_membership(participant):
    again = join(participant.season, participant.user)
    organiser = join(participant.season, participant.user, Role.ORGANISER)

    assert again == participant
    assert Membership.objects.count() == 2
    assert organiser.role == Role.ORGANISER
