"""Blind seasons: until the close, what a participant sees does not depend on what others submitted."""

import re
from collections.abc import Sequence
from datetime import timedelta

import pytest
from django.core.cache import caches
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from driving import cif, ordered_alloy, place_all, read_all, relax_all, run_all, season_on, submit, zipped
from facts import add_candidate

from philately import queries
from philately.domain import dry_runs, place
from philately.domain.dry_reading import carry_out
from philately.domain.intake import Method
from philately.domain.seasons import join
from philately.models import HullPoint, Membership, Phase, Placement, Run, Season, User
from philately.queries import remembered
from philately.states import Role, Visibility
from tests.releases import write_emt_release
from validation.placing import Verdict


def alloy(majority: str, minority: str, lattice_ang: float, n_minority: int = 1) -> str:
    return cif(ordered_alloy(majority, minority, lattice_ang=lattice_ang, n_minority=n_minority))


# Both lie between gold and copper, so the hull beneath one is raised or lowered by the other.
ANNS = {"anns-Cu3Au.cif": alloy("Cu", "Au", 3.7), "anns-CuAu3.cif": alloy("Au", "Cu", 3.95)}
BOBS = {"bobs-CuAu.cif": alloy("Cu", "Au", 3.85, 2), "bobs-notes.txt": "hello"}


@pytest.fixture
def blind(season) -> Season:
    Season.objects.filter(pk=season.pk).update(visibility=Visibility.BLIND)
    season.refresh_from_db()
    return season


@pytest.fixture
def ann(join_as):
    return join_as("ann")


@pytest.fixture
def bob(join_as):
    return join_as("bob")


def seen_by(member, season: Season, batch) -> dict[str, str]:
    """Everything that a participant can open, without ids of their own, positions in the queue and times."""
    client = Client()
    client.force_login(member.user)
    candidates = list(batch.candidates.order_by("arrival").values_list("pk", flat=True))
    addresses = {
        "home": reverse("home"),
        **{name: reverse(name, args=[season.slug]) for name in ("season", "leaderboard", "stable", "upload")},
        "batches": reverse("batches"),
        **{name: reverse(name, args=[batch.pk]) for name in ("batch", "batch-live", "batch-csv", "batch-withdraw")},
        **{f"batch of {word}": f"{reverse('batch', args=[batch.pk])}?outcome={word}" for word in Verdict},
        **{f"candidate {n}": reverse("candidate", args=[pk]) for n, pk in enumerate(candidates)},
    }
    return {what: _without_ids(client.get(address)) for what, address in addresses.items()}


def _without_ids(answer) -> str:
    assert answer.status_code == 200
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    text = body.decode()
    for pattern in (
        r"<time.*?</time>",
        r'(?<=/batches/)\d+/">\d+',
        r'name="csrfmiddlewaretoken" value="[^"]+"',
        r"(?<=batches/)\d+|(?<=candidates/)\d+|(?<=[Bb]atch )\d+|(?<=Candidate )\d+",
        r"arrival \d+",
        r"(?m)^\d+(?=,bobs)",
        r'value="\d+"|data-user="\d+"',
        r"takes about [\d,]+ of them",  # the judge's pace, of whatever it relaxed lately
    ):
        text = re.sub(pattern, "…", text)
    return text


@pytest.fixture
def worlds(season, ann, bob, settings, tmp_path):
    """What bob sees where nobody else submitted anything, and where ann did before him; whoever is told of looks
    first."""

    def world(name: str, others: dict[str, str], first_looks: Sequence[Membership]) -> dict[str, str]:
        settings.MEDIA_ROOT = tmp_path / name  # rolled back, the other world's batches had the same keys
        place.forget()
        caches["figures"].clear()
        with transaction.atomic():
            if others:
                submit(ann, others)
                run_all(season)
            batch = submit(bob, BOBS)
            run_all(season)
            for member in first_looks:
                seen_by(member, season, batch)
            seen = seen_by(bob, season, batch)
            transaction.set_rollback(True)
        season.refresh_from_db()
        return seen

    def both(*first_looks: Membership) -> tuple[dict[str, str], dict[str, str]]:
        world("before", ANNS, ())  # whoever comes first pays for a relaxation, in atom-steps of his quota
        return world("alone", {}, first_looks), world("beside", ANNS, first_looks)

    return both


def test_all_that_a_participant_sees_is_the_same_whatever_others_submitted(blind, worlds):
    alone, beside = worlds()

    for what in alone:
        assert beside[what].splitlines() == alone[what].splitlines(), what
    assert alone.keys() == beside.keys()


@pytest.fixture
def kept(settings, monkeypatch):
    """Every figure is, from the first look on, and never counted again."""
    settings.FIGURES_KEPT_FROM_S = 0.0
    monkeypatch.setattr(remembered, "_REST", 1e12)


def test_figures_that_are_kept_are_the_same_too_whoever_looked_before(blind, bob, join_as, worlds, kept):
    alone, beside = worlds(join_as("olga", Role.ORGANISER), bob)

    for what in alone:
        assert beside[what].splitlines() == alone[what].splitlines(), what
    assert "(as of" in alone["batch"] and "(as of" in alone["leaderboard"] and "(as of" in alone["season"]


def test_figures_kept_for_a_participant_are_not_shown_to_organisers_nor_after_the_close(
    blind, ann, bob, join_as, client, kept
):
    submit(ann, ANNS)
    run_all(blind)
    batch = submit(bob, BOBS)
    run_all(blind)
    verdict = Placement.objects.get(candidate__batch=batch).verdict
    olga = join_as("olga", Role.ORGANISER)
    veiled = seen_by(bob, blind, batch)
    assert f"outcome={verdict}" not in veiled["batch"] and "By points" not in veiled["leaderboard"]

    for member in (olga, bob):
        told = seen_by(member, blind, batch)
        assert f"outcome={verdict}" in told["batch"]
        assert "By points" in told["leaderboard"] and "ann" in told["leaderboard"]
        assert "3 submitted" not in veiled["season"] and "4 submitted" in told["season"]
        Season.objects.update(closes_at=timezone.now() - timedelta(seconds=1))


def test_in_an_open_season_it_is_not(worlds):
    alone, beside = worlds()

    differing = {what for what in alone if alone[what] != beside[what]}
    assert {"home", "season", "leaderboard", "stable", "batch", "batch-csv", "candidate 0"} <= differing


class TestAProbe:
    """A structure whose energy is known tells the hull at its composition, if distances are from everybody's."""

    @pytest.fixture
    def batch(self, blind, ann, bob):
        submit(ann, ANNS)
        run_all(blind)
        batch = submit(bob, BOBS)
        run_all(blind)
        return batch

    def row(self, batch, user) -> queries.BatchRow:
        season = Season.objects.select_related("scale", "official_run__release").get(pk=batch.season_id)
        return queries.table_of(queries.view_of(season, user), batch).rows[0]

    def test_has_its_distances_from_the_release_alone(self, batch, bob, blind):
        row = self.row(batch, bob.user)

        energies = dict(
            Phase.objects.filter(run=blind.official_run, formula__in=("Au", "Cu")).values_list(
                "formula", "energy_per_atom"
            )
        )
        formation = row.energy_per_atom - sum(energies.values()) / 2  # by hand: two elements, one half each
        assert row.e_above_hull_on_arrival == pytest.approx(formation, abs=1e-9)
        assert row.e_above_hull == pytest.approx(max(0.0, formation), abs=1e-9)
        assert [part.formula for part in row.decomposition] == ["Au", "Cu"]
        assert (row.outcome, row.points, row.sentence) == ("placed", None, "")

    def test_has_the_true_ones_for_organisers_and_for_its_owner_after_the_close(self, batch, bob, join_as):
        true = self.row(batch, join_as("olga", Role.ORGANISER).user)
        Season.objects.update(closes_at=timezone.now() - timedelta(seconds=1))
        later = self.row(batch, bob.user)

        assert true == later
        placement = Placement.objects.get(candidate__batch=batch)
        assert true.outcome == placement.verdict and true.points is not None
        assert true.e_above_hull_on_arrival == placement.e_above_hull_on_arrival
        assert "AuCu3" in {part.formula for part in true.decomposition}

    def test_is_not_found_by_the_class_that_it_has(self, batch, bob, client):
        client.force_login(bob.user)
        page = reverse("batch", args=[batch.pk])
        verdict = Placement.objects.get(candidate__batch=batch).verdict

        assert "bobs-CuAu.cif" not in client.get(page, {"outcome": verdict}).content.decode()
        assert "bobs-CuAu.cif" in client.get(page, {"outcome": "placed"}).content.decode()
        assert f"outcome={verdict}" not in client.get(page).content.decode()


def test_a_twin_and_a_duplicate_of_anothers_are_told_as_such_and_no_more(blind, ann, bob, client):
    submit(ann, {"anns.cif": alloy("Cu", "Au", 3.7), "anns-wide.cif": alloy("Ag", "Pd", 4.0)})
    run_all(blind)
    batch = submit(bob, {"twin.cif": alloy("Cu", "Au", 3.7), "duplicate.cif": alloy("Ag", "Pd", 4.1)})
    run_all(blind)
    client.force_login(bob.user)

    view = queries.view_of(Season.objects.select_related("scale", "official_run__release").get(), bob.user)
    twin, duplicate = queries.table_of(view, batch).rows

    assert (twin.outcome, twin.reason) == ("parked", "TWIN")
    assert twin.sentence == "the same initial structure as one submitted earlier; the first finder keeps the find"
    assert (duplicate.outcome, duplicate.reason) == ("duplicate", "DUPLICATE")
    assert duplicate.sentence == "the same as a phase found earlier"
    for page in (reverse("batch", args=[batch.pk]), reverse("batch-csv", args=[batch.pk])):
        answer = client.get(page)
        text = (b"".join(answer.streaming_content) if answer.streaming else answer.content).decode()
        assert "ann" not in text and not re.search(r"phase \d", text)


def test_ones_own_find_is_shown_as_it_was_sent_though_another_refined_it(blind, ann, bob, client):
    atoms = ordered_alloy("Cu", "Au", lattice_ang=3.7)
    add_candidate(ann, atoms, -3.0)
    place_all(blind)
    add_candidate(bob, atoms, -3.005)
    place_all(blind)
    assert Placement.objects.filter(verdict=Verdict.REFINED).count() == 1
    client.force_login(ann.user)
    view = queries.view_of(Season.objects.select_related("scale", "official_run__release").get(), ann.user)

    (found,) = queries.stable_page(view).phases

    assert found.energy_per_atom == -3.0
    assert queries.newest_finds(view) == [found]
    assert Phase.objects.get(number=found.number).energy_per_atom == -3.005
    others = queries.view_of(view.season, bob.user)
    assert queries.stable_page(others).phases == () and queries.stable_counts(others).total == 0


def test_ones_own_finds_are_paged_one_after_the_other(blind, ann):
    for step in range(5):  # of one formula, far enough apart in energy to be phases of their own
        add_candidate(ann, ordered_alloy("Cu", "Au", lattice_ang=3.7 + step / 10), -3.0 - step / 20)
    place_all(blind)
    view = queries.view_of(Season.objects.select_related("scale", "official_run__release").get(), ann.user)

    first = queries.stable_page(view, size=2)
    second = queries.stable_page(view, size=2, after=first.following)
    third = queries.stable_page(view, size=2, after=second.following)

    numbers = [phase.number for page in (first, second, third) for phase in page.phases]
    assert len(numbers) == len(set(numbers)) == 5
    assert third.following is None
    assert queries.stable_page(view, system="Ag-Pd").phases == ()


def test_ones_own_finds_are_kept_where_they_are_many_and_what_was_withdrawn_is_not_shown(
    blind, ann, settings, monkeypatch
):
    monkeypatch.setattr(remembered, "_REST", 1e12)
    for step in range(4):
        add_candidate(ann, ordered_alloy("Cu", "Au", lattice_ang=3.7 + step / 10), -3.0 - step / 20)
    place_all(blind)
    view = queries.view_of(Season.objects.select_related("scale", "official_run__release").get(), ann.user)
    counted = [(find.formula, find.candidate) for find in queries.stable_page(view).phases]
    caches["figures"].clear()
    settings.FIGURES_KEPT_FROM_S = 0.0
    queries.stable_counts(view)

    Placement.objects.filter(candidate=counted[1][1]).update(withdrawn_after=1)
    counts, page = queries.stable_counts(view), queries.stable_page(view, size=2)
    following = queries.stable_page(view, size=2, after=page.following)

    assert counts.total == 4 and counts.as_of is not None
    assert [find.candidate for find in page.phases] == [counted[0][1]]
    assert [find.candidate for find in following.phases] == [key for _, key in counted[2:]]
    newest = [find.candidate for find in queries.newest_finds(view)]
    assert newest == sorted((key for number, (_, key) in enumerate(counted) if number != 1), reverse=True)


def test_a_dry_run_asks_nothing_about_others(blind, ann, bob):
    submit(ann, {"anns.cif": alloy("Cu", "Au", 3.7)})
    submit(bob, {"bobs.cif": alloy("Cu", "Au", 3.7)})  # parked under ann's
    read_all(blind)

    def answers(member) -> list[tuple[str, str]]:
        upload = SimpleUploadedFile("new.zip", zipped({"again.cif": alloy("Cu", "Au", 3.7)}))
        run = dry_runs.accept_dry_run(member, upload, Method("by hand"), consent=True)
        carry_out(run.pk)
        run.refresh_from_db()
        return [(row.reason, row.sentence) for row in queries.dry_rows(run)]

    cleo = type(ann).objects.create(season=blind, user=type(ann.user).objects.create_user("cleo"))
    assert answers(cleo) == [("", "")]
    assert answers(bob)[0][0] == "TWIN" and "bobs.cif of your batch" in answers(bob)[0][1]
    Season.objects.update(closes_at=timezone.now() + timedelta(days=1), visibility=Visibility.OPEN)
    assert answers(cleo)[0][0] == "TWIN"


def test_auditors_opinions_are_told_at_the_close(blind, ann, client, monkeypatch):
    """That an auditor was asked says that the find would be stable on everybody's hull."""
    batch = submit(ann, ANNS)
    run_all(blind)
    said = queries.OpinionRow("second judge", energy_per_atom=-1.0)
    monkeypatch.setattr(queries, "opinions_on", lambda run, candidate: [said])
    client.force_login(ann.user)
    page = reverse("candidate", args=[batch.candidates.order_by("pk")[0].pk])

    assert "second judge" not in client.get(page).content.decode()
    Season.objects.update(closes_at=timezone.now() - timedelta(seconds=1))
    assert "second judge" in client.get(page).content.decode()


def test_a_page_of_a_blind_batch_takes_as_many_queries_for_more_structures(
    blind, ann, client, django_assert_max_num_queries
):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    one = submit(ann, {"one.cif": alloy("Cu", "Au", 3.7)})
    three = submit(ann, {f"{x}.cif": alloy("Cu", x, 3.7) for x in ("Ag", "Pd", "Pt")})
    run_all(blind)
    client.force_login(ann.user)
    with CaptureQueriesContext(connection) as few:
        client.get(reverse("batch", args=[one.pk]))

    with django_assert_max_num_queries(len(few)):
        client.get(reverse("batch", args=[three.pk]))


def test_an_element_that_the_release_lacks_leaves_distances_undefined(db, settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path / "files"
    release = write_emt_release(tmp_path / "cu.parquet", ("Cu",))
    season = season_on(release, slug="gap", name="Gap", visibility=Visibility.BLIND)
    ann = join(season, User.objects.create_user("ann"))
    batch = submit(ann, {"mixed.cif": alloy("Cu", "Pt", 3.7), "alone.cif": alloy("Pt", "Ag", 3.9)})
    read_all(season)
    relax_all(season)
    waiting = queries.table_of(queries.view_of(season, ann.user), batch).rows
    place_all(season)
    placed = queries.table_of(queries.view_of(season, ann.user), batch).rows

    for rows in (waiting, placed):
        assert [row.missing for row in rows] == [("Pt",), ("Ag", "Pt")]
        assert {row.e_above_hull for row in rows} == {None}
    assert {row.outcome for row in placed} == {"undefined"}
    assert "no reference for Pt" in placed[0].sentence


def test_without_a_run_there_are_no_distances(blind, ann):
    batch = submit(ann, ANNS)
    read_all(blind)
    relax_all(blind)
    Season.objects.update(official_run=None)
    view = queries.view_of(Season.objects.select_related("scale", "official_run").get(), ann.user)

    assert [row.e_above_hull for row in queries.table_of(view, batch).rows] == [None, None]
    assert queries.stable_page(view).phases == () and queries.newest_finds(view) == []
    assert queries.leaderboard(view).standings[0].submitted == 2
    assert Run.objects.exists() and HullPoint.objects.exists()
