"""Seasons that take turns at one sequencer do not drive each other's hulls out of its memory."""

import pytest
from django.db import OperationalError, connection
from driving import season_on
from facts import add_candidate
from stories import alloy

from philately.domain import hull_snapshots, place, warm_folds
from philately.domain.audits import audit
from philately.domain.place import place_waiting
from philately.domain.seasons import join
from philately.models import Run, Season


@pytest.fixture
def seasons(season, participant, emt_release_file):
    """Whoever takes part in each of three seasons, in which no structure has the arrival number of another's."""
    others = (season_on(emt_release_file, slug=slug, name=slug) for slug in ("second", "third"))
    members = [participant, *(join(other, participant.user) for other in others)]
    for n, member in enumerate(members):
        Season.objects.filter(pk=member.season_id).update(next_arrival=1 + 1000 * n)
    return members


@pytest.fixture
def built(monkeypatch):
    """Keys of the runs whose hull was loaded or built, in order."""
    seen, really = [], hull_snapshots.load_or_rebuild

    def load_or_rebuild(run, *args, **kwargs):
        seen.append(run.pk)
        return really(run, *args, **kwargs)

    monkeypatch.setattr(hull_snapshots, "load_or_rebuild", load_or_rebuild)
    return seen


def _in_turn(members, n):
    """A find in each season, again and again; the runs as they are then."""
    for step in range(n):
        for member in members:
            add_candidate(member, alloy(n=1 + step), -0.1 - 0.01 * step)
            assert place_waiting(member.season_id) == 1
    return [Run.objects.select_related("release", "scale").get(season=member.season) for member in members]


def test_each_hull_is_built_once_while_seasons_take_turns(seasons, built):
    runs = _in_turn(seasons, 3)

    assert built == [run.pk for run in runs]
    assert warm_folds.kept() == tuple(run.pk for run in runs)
    assert [audit(run).sentences for run in runs] == [[], [], []]


def test_the_one_in_hand_stays_however_large_it_is_and_those_used_longest_ago_go(seasons, built, settings):
    settings.HULLS_KEPT_BYTES = 0
    *_, last = _in_turn(seasons, 2)
    assert (len(built), warm_folds.kept()) == (6, (last.pk,))

    settings.HULLS_KEPT_BYTES = 2 * warm_folds.take(last).hull.nbytes + 1000
    _first, second, third = _in_turn(seasons, 1)
    assert warm_folds.kept() == (second.pk, third.pk)


def test_what_others_have_gone_beyond_and_what_there_is_no_room_for_goes_before_another_is_loaded(
    seasons, settings, monkeypatch
):
    first, second, _ = _in_turn(seasons, 2)
    folds = {run.pk: warm_folds.take(run) for run in (first, second)}
    warm_folds.forget()
    for run in (first, second):
        warm_folds.keep(run, folds[run.pk])
    Run.objects.filter(pk=second.pk).update(placed_to=second.placed_to + 1)
    third = Run.objects.get(season=seasons[2].season)

    warm_folds.make_room(third)
    assert warm_folds.kept() == (first.pk,)

    settings.HULLS_KEPT_BYTES = folds[first.pk].hull.nbytes
    warm_folds.make_room(third)
    assert warm_folds.kept() == ()


def test_between_chunks_it_knows_no_structure_of_the_last_one(season, participant, seasons):
    for step in range(3):
        add_candidate(participant, alloy(n=1), -0.1 - 0.1 * step)
    assert place_waiting(season.pk) == 3

    memory = warm_folds.take(Run.objects.get(season=season)).memory

    assert not (memory.phases or memory.finds or memory.fits.fingerprints)
    assert memory.systems


def test_on_sqlite_each_connection_of_the_sequencer_s_gets_room_for_indexes(seasons, monkeypatch):
    if connection.vendor != "sqlite":
        pytest.skip("a setting of SQLite's connections")
    rooms, really = [], place._commit
    monkeypatch.setattr(place, "_commit", lambda *args: (rooms.append(_cache_size()), really(*args)))
    for _ in range(2):
        _in_turn(seasons[:1], 1)
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA cache_size = -2000")  # what a task's new connection has

    assert len(rooms) == 2
    assert max(rooms) < -100_000  # KB


def _cache_size() -> int:
    with connection.cursor() as cursor:
        return cursor.execute("PRAGMA cache_size").fetchone()[0]


def test_one_that_another_sequencer_has_gone_beyond_is_not_used(seasons, built):
    run, *_ = _in_turn(seasons, 1)
    behind = warm_folds.take(run)
    _in_turn(seasons[:1], 1)
    warm_folds.forget()
    warm_folds.keep(run, behind)

    again, *_ = _in_turn(seasons[:1], 2)

    assert built.count(run.pk) == 3
    assert audit(again).sentences == []


def test_at_an_orderly_end_every_season_s_hull_is_kept_on_disk(seasons, settings):
    runs = _in_turn(seasons, 1)

    place.leave()

    assert sorted(path.name for path in settings.HULL_DIR.glob("*.npz")) == sorted(f"run-{run.pk}.npz" for run in runs)


def test_one_that_cannot_be_kept_on_disk_does_not_keep_the_others_from_it(seasons, settings, monkeypatch, caplog):
    *others, last = _in_turn(seasons, 1)
    really = hull_snapshots.save

    def save(run, hull):
        if run.pk == last.pk:
            raise OperationalError("the server has gone")
        really(run, hull)

    monkeypatch.setattr(hull_snapshots, "save", save)

    place.leave()

    assert {path.name for path in settings.HULL_DIR.glob("*.npz")} == {f"run-{run.pk}.npz" for run in others}
    assert "the server has gone" in caplog.text


def test_at_the_end_one_that_another_sequencer_went_beyond_meanwhile_is_left(seasons, settings, monkeypatch):
    first, second, _ = _in_turn(seasons, 1)
    really = hull_snapshots.save_at_end

    def save_at_end(run, hull):
        Run.objects.filter(pk=first.pk).update(placed_to=first.placed_to + 1)
        return really(run, hull)

    monkeypatch.setattr(hull_snapshots, "save_at_end", save_at_end)

    place.leave()

    kept = {path.name for path in settings.HULL_DIR.glob("*.npz")}
    assert f"run-{second.pk}.npz" in kept
    assert f"run-{first.pk}.npz" not in kept


def test_what_failed_in_the_middle_leaves_nothing_in_memory(seasons, monkeypatch):
    (run,) = _in_turn(seasons[:1], 1)
    monkeypatch.setattr(place, "_commit", lambda *args: 1 / 0)
    add_candidate(seasons[0], alloy(n=3), -0.2)

    place_waiting(run.season_id)

    assert warm_folds.kept() == ()
