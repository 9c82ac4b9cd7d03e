"""What is read: progress, tables, standings, distances; in a constant number of queries."""

from datetime import timedelta

import pytest
from ase.build import bulk
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone
from driving import cif, first_texts, ordered_alloy, place_all, read_all, relax_all, run_all, season_on, submit

from philately import queries
from philately.domain.runs import hull_of
from philately.domain.seasons import join
from philately.models import Candidate, HullPoint, Phase, Season, User
from philately.states import Role, Visibility
from tests.releases import write_emt_release

ENERGY_TOLERANCE_EV_PER_ATOM = 1e-12


@pytest.fixture
def judged(season, participant):
    """The first batch, with all three phases done."""
    batch = submit(participant, first_texts())
    run_all(season)
    return queries.visible_batch(participant.user, batch.pk)


def view(season: Season, user) -> queries.View:
    return queries.view_of(Season.objects.select_related("scale", "official_run__release").get(pk=season.pk), user)


def rows_of(batch, **asked) -> dict[str, queries.BatchRow]:
    return {row.file: row for row in queries.table_of(view(batch.season, batch.owner.user), batch, **asked).rows}


def steps(batch) -> dict[str, int]:
    batch.refresh_from_db()
    return {step.key: step.count for step in queries.progress_of(batch).steps}


def test_progress_follows_a_batch_through_its_phases(season, participant):
    batch = submit(participant, first_texts())
    assert not queries.progress_of(batch).is_finished

    read_all(season)
    assert steps(batch) == {"relaxing": 4, "rejected": 1, "parked": 1}

    relax_all(season)
    assert steps(batch) == {"waiting": 4, "rejected": 1, "parked": 1}

    place_all(season)
    assert steps(batch) == {"placed": 4, "rejected": 1, "parked": 1}
    assert queries.progress_of(batch).is_finished


def test_the_mark_changes_with_every_step_and_only_then(season, participant):
    batch = submit(participant, first_texts())
    uploaded = queries.progress_of(batch).mark

    assert queries.progress_of(batch).mark == uploaded

    read_all(season)
    batch.refresh_from_db()
    assert queries.progress_of(batch).mark != uploaded


def test_tallies_count_the_verdict_where_there_is_one_and_else_the_state(judged):
    tallies = queries.tallies_of(judged)

    assert dict(tallies.outcomes) == {"stable": 1, "metastable": 1, "duplicate": 2, "rejected": 1, "parked": 1}
    assert dict(tallies.reasons) == {"DUPLICATE": 2, "TWIN": 1, "NOT_CIF": 1}


def test_a_row_tells_what_became_of_its_structure(judged):
    row = rows_of(judged)["Cu3Au.cif"]

    assert (row.formula, row.outcome, row.points) == ("AuCu3", "stable", 16)
    assert row.e_above_hull == 0
    assert row.e_above_hull_on_arrival is not None and row.e_above_hull_on_arrival < 0
    assert {part.formula: pytest.approx(part.fraction) for part in row.decomposition} == {"Au": 0.25, "Cu": 0.75}
    assert rows_of(judged)["notes.txt"].reason == "NOT_CIF"
    assert rows_of(judged)["Cu3Au-supercell.cif"].reason == "TWIN"


def test_rows_are_chosen_by_outcome_and_by_reason(judged):
    assert set(rows_of(judged, outcome="duplicate")) == {"Cu3Au-wide.cif", "Cu.cif"}
    assert set(rows_of(judged, outcome="rejected")) == {"notes.txt"}
    assert set(rows_of(judged, reason="TWIN")) == {"Cu3Au-supercell.cif"}


def test_pages_of_a_table_follow_each_other_by_arrival(judged):
    whole = view(judged.season, judged.owner.user)
    first = queries.table_of(whole, judged, size=4)
    second = queries.table_of(whole, judged, size=4, after=first.following)

    assert [row.arrival for row in (*first.rows, *second.rows)] == [1, 2, 3, 4, 5, 6]
    assert second.following is None


def test_a_page_of_one_outcome_looks_so_far_and_the_next_one_goes_on(judged, monkeypatch):
    wanted, seen, after, looked = set(rows_of(judged, outcome="duplicate")), set(), 0, []
    monkeypatch.setattr("philately.queries.chosen.LOOKED_THROUGH", 2)

    while after is not None:
        page = queries.table_of(view(judged.season, judged.owner.user), judged, outcome="duplicate", after=after)
        seen |= {row.file for row in page.rows}
        looked.append(page.looked_through)
        after = page.following

    assert seen == wanted
    assert looked == [2, 2, None]  # of six structures
    assert len(list(queries.all_rows(view(judged.season, judged.owner.user), judged, outcome="duplicate"))) == 2


def test_what_states_tell_is_looked_up_however_far_it_is(judged, monkeypatch):
    monkeypatch.setattr("philately.queries.chosen.LOOKED_THROUGH", 1)

    page = queries.table_of(view(judged.season, judged.owner.user), judged, outcome="set_aside")

    assert page.rows == () and page.following is None


def test_the_table_takes_as_many_queries_for_one_row_as_for_three(
    season, participant, judged, django_assert_num_queries
):
    sight = view(season, participant.user)

    for size in (1, 3):
        with django_assert_num_queries(5):
            queries.table_of(sight, judged, size=size)


def test_waiting_rows_take_one_query_more_however_many(season, participant, judged, django_assert_num_queries):
    waiting = submit(
        participant,
        {
            f"{metal}.cif": cif(ordered_alloy("Cu", metal, lattice_ang=a))
            for metal, a in (("Pt", 3.7), ("Pd", 3.7), ("Ni", 3.55))
        },
    )
    read_all(season)
    relax_all(season)
    sight = view(season, participant.user)

    for size in (1, 3):
        with django_assert_num_queries(6):
            table = queries.table_of(sight, waiting, size=size)
        assert all(row.is_provisional for row in table.rows)


def test_a_waiting_candidate_shows_the_position_that_it_gets_when_it_is_placed(season, participant, judged):
    waiting = submit(participant, {"CuAu3.cif": cif(ordered_alloy("Au", "Cu", lattice_ang=3.95))})
    read_all(season)
    relax_all(season)

    provisional = rows_of(waiting)["CuAu3.cif"]
    place_all(season)
    placed = rows_of(waiting)["CuAu3.cif"]

    assert provisional.is_provisional and not placed.is_provisional
    assert provisional.e_above_hull_on_arrival == pytest.approx(
        placed.e_above_hull_on_arrival, abs=ENERGY_TOLERANCE_EV_PER_ATOM
    )
    assert provisional.decomposition == placed.decomposition


def test_distances_now_are_those_of_the_hull_store(season, participant, judged):
    submit(participant, {"AlNi.cif": cif(ordered_alloy("Ni", "Al", lattice_ang=3.5))})
    run_all(season)
    season.refresh_from_db()
    store = hull_of(season.official_run)
    points = {point.formula: point for point in HullPoint.objects.filter(run=season.official_run)}

    for phase in queries.with_distance(Phase.objects.filter(run=season.official_run)):
        expected = store.e_above_hull(phase.number)
        assert queries.e_above_hull_now(phase, points[phase.formula]) == expected
        assert max(0.0, phase.above) == pytest.approx(expected, abs=ENERGY_TOLERANCE_EV_PER_ATOM)


def test_a_distance_is_undefined_and_never_zero_where_the_release_lacks_an_element(db, settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path / "files"
    season = season_on(write_emt_release(tmp_path / "without-platinum.parquet", ("Au", "Cu")), slug="gap", name="Gap")
    member = join(season, User.objects.create_user("ann"))
    batch = submit(member, {"Cu3Pt.cif": cif(ordered_alloy("Cu", "Pt", lattice_ang=3.7))})
    read_all(season)
    relax_all(season)

    waiting = rows_of(batch)["Cu3Pt.cif"]
    place_all(season)
    placed = rows_of(batch)["Cu3Pt.cif"]

    assert placed.outcome == "undefined"
    assert placed.missing == waiting.missing == ("Pt",)
    assert placed.e_above_hull is None and waiting.e_above_hull is None
    assert queries.e_above_hull_now(Phase.objects.get(formula="Cu3Pt"), None) is None


def test_the_leaderboard_counts_finds_and_rates_over_all_submitted(season, participant, join_as, judged):
    submit(join_as("bob"), {"Cu.cif": cif(bulk("Cu"))})
    run_all(season)

    ann, bob = queries.leaderboard(view(season, participant.user)).standings

    assert (ann.name, ann.rank, ann.points, ann.submitted) == ("ann", 1, 20, 6)
    assert (ann.valid, ann.unique, ann.metastable, ann.stable) == (5, 2, 2, 2)
    assert ann.valid_rate == pytest.approx(5 / 6)
    assert (bob.name, bob.points, bob.unique, bob.submitted) == ("bob", 0, 0, 1)


def test_the_leaderboard_takes_as_many_queries_for_one_participant_as_for_three(
    season, participant, join_as, judged, django_assert_num_queries
):
    sight = view(season, participant.user)
    with django_assert_num_queries(6):
        queries.leaderboard(sight)

    for name in ("bob", "cleo"):
        submit(join_as(name), {"Cu.cif": cif(bulk("Cu"))}, name=name)
    run_all(season)
    with django_assert_num_queries(6):
        assert len(queries.leaderboard(sight).standings) == 3


def test_the_stable_set_names_finders_and_pages_by_formula(season, participant, judged, django_assert_num_queries):
    sight = view(season, participant.user)
    for size in (1, 3):
        with django_assert_num_queries(1):
            page = queries.stable_page(sight, size=size)
    following = queries.stable_page(sight, size=3, after=page.following)

    assert [phase.formula for phase in (*page.phases, *following.phases)] == ["Ag", "Al", "Au", "AuCu", "AuCu3", "Cu"]
    found = {phase.formula: phase.finder for phase in following.phases}
    assert found == {"AuCu": "ann", "AuCu3": "ann", "Cu": None}
    assert queries.stable_counts(sight).found == 2
    assert [phase.formula for phase in queries.stable_page(sight, system="Au-Cu").phases] == ["AuCu", "AuCu3"]


def test_a_batch_is_for_its_owner_organisers_and_staff(judged, join_as):
    staff = User.objects.create_user("root", is_staff=True)
    organiser = join_as("olga", Role.ORGANISER).user

    for user in (judged.owner.user, organiser, staff):
        assert queries.visible_batch(user, judged.pk) == judged
    for user in (join_as("bob").user, AnonymousUser()):
        assert queries.visible_batch(user, judged.pk) is None


@pytest.fixture
def blind(season, judged):
    Season.objects.filter(pk=season.pk).update(visibility=Visibility.BLIND)
    return season


def test_a_blind_season_shows_everybody_their_own_finds_only(blind, join_as, participant):
    bob = join_as("bob")

    own, other = view(blind, participant.user), view(blind, bob.user)

    assert [phase.formula for phase in queries.newest_finds(own)] == ["AuCu", "AuCu3"]
    assert queries.newest_finds(other) == []
    assert queries.stable_counts(other).found == 0
    assert [row.name for row in queries.leaderboard(other).standings] == ["bob"]
    assert queries.leaderboard(other).n_participants == 2


def test_a_blind_season_decomposes_into_phases_of_the_release_alone(blind, join_as):
    batch = submit(join_as("bob"), {"CuAu.cif": cif(ordered_alloy("Cu", "Au", lattice_ang=3.85, n_minority=2))})
    read_all(blind)
    relax_all(blind)

    parts = rows_of(batch)["CuAu.cif"].decomposition

    assert [(part.formula, part.fraction) for part in parts] == [("Au", 0.5), ("Cu", 0.5)]


def test_a_blind_season_is_open_to_organisers_and_to_all_once_it_has_closed(blind, join_as):
    assert not view(blind, join_as("olga", Role.ORGANISER).user).veiled
    assert view(blind, AnonymousUser()).veiled

    Season.objects.filter(pk=blind.pk).update(closes_at=timezone.now() - timedelta(seconds=1))
    assert not view(blind, AnonymousUser()).veiled


def test_a_season_without_a_run_shows_empty_pages(season, participant):
    batch = submit(participant, first_texts())
    read_all(season)
    Season.objects.filter(pk=season.pk).update(official_run=None)
    sight = view(season, participant.user)

    assert len(queries.table_of(sight, batch).rows) == 6
    assert queries.leaderboard(sight).standings[0].points == 0
    assert queries.stable_page(sight).phases == ()


def test_the_queue_counts_every_structure_once(season, judged):
    queue = queries.queue_of(season)

    assert queue.total == Candidate.objects.count() == sum(step.count for step in queue.steps)
    assert queue.waiting == 0
    assert [step.before for step in queue.steps] == [0, 4, 5]
