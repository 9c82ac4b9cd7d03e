"""The dump that is offered: one row says which, its files are whole before, and stay for those who still read them."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from driving import ordered_alloy, season_on
from facts import Killed, add_candidate, before_statement, kill, let_expire

from philately.domain import offered_dumps, place, tidying
from philately.domain.dumps import DumpRefused, due, offer, refresh
from philately.domain.locks import lock
from philately.domain.place import place_waiting
from philately.models import Dump, Lock, Season
from philately.queries.dumps import latest_dump
from philately.storage import storage

FILES = ["SHA256SUMS", "manifest.json", "phases.parquet", "release.parquet"]


@pytest.fixture(autouse=True)
def _cold():
    place.forget()


@pytest.fixture
def placed(season, participant):
    add_candidate(participant, ordered_alloy("Cu", "Au", lattice_ang=3.8), -0.10)
    place_waiting(season.pk)
    return again(season)


def again(season):
    return Season.objects.select_related("official_run").get(pk=season.pk)


def stored():
    """Folders of dumps, and how many files are in each."""
    folders = [name.rpartition("/")[0] for name in storage().names_below("dumps")]
    return {folder: folders.count(folder) for folder in folders}


def long_ago(*dumps):
    Dump.objects.filter(pk__in=[dump.pk for dump in dumps]).update(whole_at=timezone.now() - timedelta(hours=1))


def test_its_files_are_in_a_folder_of_their_own_and_nothing_is_left_where_it_was_written(placed, settings):
    first, second = offer(placed), offer(placed)

    assert first.stored_in != second.stored_in
    assert (latest_dump(placed), second.names) == (second, FILES)
    assert stored() == {first.stored_in: 4, second.stored_in: 4}
    assert list(settings.DUMP_DIR.iterdir()) == []


def test_one_that_was_replaced_stays_for_a_while_and_no_longer(placed):
    dumps = [offer(placed) for _ in range(3)]
    assert len(stored()) == 3  # the first was replaced a moment ago

    long_ago(dumps[0], dumps[1])
    offered_dumps.remove_superseded(placed)
    assert set(stored()) == {dumps[1].stored_in, dumps[2].stored_in}  # the second is replaced by a young one

    long_ago(dumps[2])
    offered_dumps.remove_superseded(placed)
    assert set(stored()) == {dumps[2].stored_in}
    assert list(Dump.objects.all()) == [dumps[2]]


def test_a_download_that_began_ends_with_the_bytes_that_it_began_with(placed, participant, client):
    offer(placed)
    download = client.get(reverse("dump-file", args=[placed.slug, "phases.parquet"]))
    expected = latest_dump(placed).manifest["files"]["phases.parquet"]
    add_candidate(participant, ordered_alloy("Cu", "Au", lattice_ang=3.8, n_minority=2), -0.2)
    place_waiting(placed.pk)
    offer(again(placed))

    assert len(b"".join(download.streaming_content)) == expected["bytes"]


def test_killed_before_any_statement_the_old_or_the_new_one_is_offered_whole_and_the_next_removes_the_rest(placed):
    old = offer(placed)
    for number in range(1, 200):
        killed = False
        try:
            with before_statement(number, kill):
                offer(placed)
        except Killed:
            killed = True
            let_expire(Lock.objects.all())
        offered = latest_dump(placed)
        assert offered.names == FILES
        assert all(storage().exists(f"{offered.stored_in}/{name}") for name in FILES)
        if not killed:
            break
    last = offer(placed)

    assert number > 10
    assert not Dump.objects.filter(whole_at=None).exists()
    assert set(stored()) == set(Dump.objects.values_list("stored_in", flat=True))
    assert last.pk > old.pk


def test_who_lost_the_lock_meanwhile_offers_nothing_and_leaves_nothing(placed, monkeypatch):
    whole = offer(placed)
    store = offered_dumps.files.put

    def lose(name, content):
        Lock.objects.filter(name=f"dump:{placed.pk}").update(token="another")
        return store(name, content)

    monkeypatch.setattr(offered_dumps.files, "put", lose)
    with pytest.raises(DumpRefused, match="another process makes this dump"):
        offer(placed)

    assert latest_dump(placed) == whole
    assert stored() == {whole.stored_in: 4}


def test_while_one_process_makes_it_another_does_not(placed):
    with lock(f"dump:{placed.pk}"):
        assert not refresh(placed.pk)
        with pytest.raises(DumpRefused, match="another process"):
            offer(placed)


def test_a_season_serves_its_own_files_and_no_other_season_s(placed, client, emt_release_file):
    other = season_on(emt_release_file, slug="other", name="Other")
    dump = offer(placed)

    assert client.get(reverse("dump-file", args=[other.slug, "phases.parquet"])).status_code == 404
    for name in ("..", "phases.parquet.", dump.stored_in.rpartition("/")[2]):
        assert client.get(f"/seasons/{placed.slug}/dump/{name}").status_code == 404


def test_one_whose_files_are_gone_is_offered_no_more_and_made_again(placed, client):
    """As after the database was restored from a backup: it knows a dump that was removed since."""
    dump = offer(placed)
    storage().delete_below(dump.stored_in)
    assert client.get(reverse("dump-file", args=[placed.slug, "phases.parquet"])).status_code == 404
    assert not due(placed)

    tidying.tidy()

    assert latest_dump(placed) is None
    assert due(placed)
    assert refresh(placed.pk)
