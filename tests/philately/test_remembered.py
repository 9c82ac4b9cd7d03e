"""Figures that are kept: cheap ones are of this moment, costly ones say of when they are and become exact in quiet."""

import threading

import pytest
from django.core.cache import caches
from django.urls import reverse
from driving import cif, first_texts, ordered_alloy, run_all, submit

from philately import queries
from philately.queries import remembered as module
from philately.queries.remembered import remembered, wait_for_counts


@pytest.fixture(autouse=True)
def _forgotten():
    caches["figures"].clear()
    yield
    wait_for_counts()
    caches["figures"].clear()


@pytest.fixture
def costly(settings):
    """Everything is."""
    settings.FIGURES_KEPT_FROM_S = 0.0


@pytest.fixture
def restless(monkeypatch):
    """A figure is counted again as soon as it is asked for."""
    monkeypatch.setattr(module, "_REST", 0)


class Counter:
    """A count that goes up by one each time."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        return self.calls


def test_what_is_cheap_is_counted_whenever_it_is_asked_for(settings):
    settings.FIGURES_KEPT_FROM_S = 1e9
    count = Counter()

    told = [remembered("cheap", count) for _ in range(3)]

    assert [(one.figure, one.as_of) for one in told] == [(1, None), (2, None), (3, None)]


def test_what_is_costly_is_told_as_it_was_and_says_of_when(costly, monkeypatch):
    monkeypatch.setattr(module, "_REST", 1e12)
    count = Counter()

    first, second = remembered("costly", count), remembered("costly", count)
    wait_for_counts()

    assert (first.figure, first.as_of) == (1, None)
    assert second.figure == 1 and second.as_of is not None
    assert count.calls == 1


@pytest.mark.django_db(transaction=True)
def test_it_is_counted_again_in_the_background_once_it_has_rested(costly, restless):
    count = Counter()
    remembered("costly", count)

    before = remembered("costly", count)
    wait_for_counts()
    after = remembered("costly", count)

    assert (before.figure, after.figure) == (1, 2)
    assert before.as_of is not None and after.as_of is not None and before.as_of < after.as_of


def test_as_long_as_nothing_moved_a_kept_figure_is_of_this_moment(costly):
    count = Counter()

    told = [remembered("placed", count, position=(1, 7)) for _ in range(3)]

    assert [(one.figure, one.as_of) for one in told] == [(1, None)] * 3


@pytest.mark.django_db(transaction=True)
def test_when_it_moved_the_figure_is_old_until_it_was_counted_again(costly, restless):
    count = Counter()
    remembered("placed", count, position=(1, 7))

    moved = remembered("placed", count, position=(1, 8))
    wait_for_counts()
    quiet = remembered("placed", count, position=(1, 8))

    assert moved.figure == 1 and moved.as_of is not None
    assert (quiet.figure, quiet.as_of) == (2, None)


@pytest.mark.django_db(transaction=True)
def test_a_count_that_fails_leaves_the_figure_as_it_was_and_is_tried_again(costly, restless, caplog):
    told = iter([1, None, 3])

    def count() -> int:
        number = next(told)
        if number is None:
            raise OSError("the database is away")
        return number

    module.log.propagate, figures = True, []
    for _ in range(4):
        figures.append(remembered("failing", count).figure)
        wait_for_counts()
        if len(figures) == 2:
            assert "the figure failing could not be counted" in caplog.text
        if len(figures) == 3:
            break
    module.log.propagate = False

    assert figures == [1, 1, 1]
    assert caches["figures"].get("figure:failing").figure == 3


def test_whoever_comes_while_it_is_counted_first_waits_and_does_not_count_as_well(costly):
    begun, let_go, calls, told = threading.Event(), threading.Event(), [], []

    def count() -> int:
        calls.append(1)
        begun.set()
        assert let_go.wait(60)
        return 42

    askers = [threading.Thread(target=lambda: told.append(remembered("slow", count).figure)) for _ in range(5)]
    askers[0].start()
    assert begun.wait(60)
    for asker in askers[1:]:
        asker.start()
    let_go.set()
    for asker in askers:
        asker.join(60)

    assert (told, len(calls)) == ([42] * 5, 1)


@pytest.mark.django_db(transaction=True)
def test_pages_say_of_when_their_figures_are_and_catch_up(client, season, participant, costly, restless):
    batch = submit(participant, first_texts())
    run_all(season)
    client.force_login(participant.user)
    pages = [reverse(name, args=[season.slug]) for name in ("season", "leaderboard")]
    pages += ["/", reverse("batches"), reverse("batch", args=[batch.pk])]
    for page in pages:
        assert "(as of <time" not in client.get(page).content.decode(), page

    submit(participant, {"Cu3Pt.cif": cif(ordered_alloy("Cu", "Pt", lattice_ang=3.7))})
    run_all(season)
    for page in pages:
        assert "(as of <time" in client.get(page).content.decode(), page
    wait_for_counts()

    season.refresh_from_db()
    (ann,) = queries.leaderboard(queries.view_of(season, participant.user)).standings
    assert ann.submitted == 7
    assert queries.stable_counts(queries.view_of(season, participant.user)).as_of is None
    assert queries.queue_of(season).total == 7
