"""Pages, through Django's test client on a real database."""

import csv
import io
import json
import re
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from driving import cif as cif_of
from driving import first_texts, ordered_alloy, place_all, read_all, relax_all, run_all, season_on, submit, zipped

from philately.domain.dumps import offer
from philately.models import Batch, Membership, Scale, Season, User
from philately.states import Role, Visibility
from philately.storage import storage


@pytest.fixture
def ann(client, participant):
    client.force_login(participant.user)
    return client


@pytest.fixture
def judged(season, participant):
    batch = submit(participant, first_texts())
    run_all(season)
    return batch


def text_of(answer) -> str:
    return re.sub(r"\s+", " ", answer.content.decode())


def upload(client, season, data: bytes, *, name: str = "batch.zip", **changes):
    form = {"file": SimpleUploadedFile(name, data), "method": "substitution", "consent": "on", **changes}
    form = {field: value for field, value in form.items() if value is not None}
    return client.post(reverse("upload", args=[season.slug]), form)


def other(join_as, name: str = "bob", role: str = Role.PARTICIPANT) -> Client:
    client = Client()
    client.force_login(join_as(name, role).user)
    return client


class TestPagesOfEverybody:
    def test_every_public_page_opens_without_an_account(self, client, season, judged):
        for name in ("season", "leaderboard", "stable"):
            assert client.get(reverse(name, args=[season.slug])).status_code == 200
        assert client.get("/").status_code == 200

    def test_no_page_names_another_host_or_carries_inline_script_or_style(self, ann, season, judged):
        addresses = ["/", "/accounts/signup/", f"/batches/{judged.pk}/", "/batches/"]
        addresses += [reverse(name, args=[season.slug]) for name in ("season", "upload", "leaderboard", "stable")]
        for address in addresses:
            text = ann.get(address, follow=True).content.decode()
            assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", text), address
            assert not re.search(r"<style|\sstyle=|<script>|\son[a-z]+=", text), address

    def test_the_content_security_policy_is_own_host_only(self, client, db):
        assert "default-src 'self'" in client.get("/").headers["Content-Security-Policy"]

    def test_what_is_not_there_has_a_page_of_ours(self, client, db):
        answer = client.get("/nowhere/")

        assert answer.status_code == 404
        assert "There is nothing at this address" in text_of(answer)

    def test_a_fault_of_ours_has_a_page_that_needs_no_database(self, client, db, monkeypatch):
        monkeypatch.setattr("philately.queries.seasons_with_counts", lambda: 1 / 0)
        client.raise_request_exception = False

        answer = client.get("/")

        assert answer.status_code == 500
        assert "This is our fault" in text_of(answer)

    def test_a_form_without_its_token_is_refused_kindly(self, season):
        answer = Client(enforce_csrf_checks=True).post(reverse("login"), {})

        assert answer.status_code == 403
        assert "Please try again" in text_of(answer)


class TestSeasonPage:
    def test_it_names_judge_release_coverage_and_limits(self, client, season):
        text = text_of(client.get(reverse("season", args=[season.slug])))

        assert "coverage elements" in text
        assert "at most 50 atoms of at most 9 elements" in text
        assert "the reference covers elements only, e_above_hull is optimistic, novelty is not defined" in text
        assert re.search(r'<time datetime="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ">[^<]+ UTC</time>', text)

    def test_stable_reads_predicted_stable_by_the_judge(self, client, season, judged):
        text = text_of(client.get(reverse("season", args=[season.slug])))

        assert f"Predicted stable by {season.scale.name}" in text
        assert "Cu<sub>3</sub>Au" in text

    def test_a_refused_judge_is_an_alert(self, client, season):
        Scale.objects.update(problem="CanaryDied: Si differs")

        for name in ("season", "leaderboard"):
            assert "Relaxation is paused: CanaryDied: Si differs" in text_of(
                client.get(reverse(name, args=[season.slug]))
            )

    @pytest.mark.parametrize("page", ["season", "leaderboard", "stable"])
    def test_it_takes_as_many_queries_for_more_rows(
        self, client, season, participant, judged, page, django_assert_max_num_queries
    ):
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        address = reverse(page, args=[season.slug])
        with CaptureQueriesContext(connection) as few:
            client.get(address)
        submit(participant, {"Cu3Pt.cif": cif_of(ordered_alloy("Cu", "Pt", lattice_ang=3.7))})
        run_all(season)

        with django_assert_max_num_queries(len(few)):
            client.get(address)


class TestUpload:
    def test_an_upload_leads_to_its_batch_and_makes_a_participant(self, client, season):
        user = User.objects.create_user("dora")
        client.force_login(user)

        answer = upload(client, season, zipped(first_texts()), method_description="by hand")

        batch = Batch.objects.get()
        assert answer.url == reverse("batch", args=[batch.pk])
        assert batch.owner.user == user and batch.owner.role == Role.PARTICIPANT
        assert (batch.method, batch.method_description, batch.licence) == ("substitution", "by hand", "CC BY 4.0")

    def test_a_single_cif_is_a_batch(self, ann, season):
        upload(ann, season, first_texts()["Cu.cif"].encode(), name="Cu.cif")
        run_all(season)

        assert Batch.objects.get().candidates.count() == 1

    def test_the_limits_are_told_before(self, ann, season):
        text = text_of(ann.get(reverse("upload", args=[season.slug])))

        assert "at most 1 GB" in text and "1,000,000 files" in text
        assert "may be shared under CC BY 4.0" in text

    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"consent": None}, "only under the data licence"),
            ({"method": ""}, "Please name the method"),
            ({"file": None}, "Please choose a file"),
            ({"file": SimpleUploadedFile("a.zip", b"")}, "The file is empty"),
        ],
    )
    def test_a_refusal_is_one_kind_sentence(self, ann, season, changes, sentence):
        answer = upload(ann, season, b"x", **changes)

        assert answer.status_code == 200
        assert sentence in text_of(answer)
        assert not Batch.objects.exists()

    def test_a_file_over_the_limit_is_told_the_limit(self, ann, season, settings):
        settings.UPLOAD_LIMIT_BYTES = 1000

        answer = upload(ann, season, b"x" * 2000)

        assert "at most 1 kB are accepted at once" in text_of(answer)

    def test_a_request_far_over_the_limit_is_not_even_read(self, ann, season, settings):
        settings.UPLOAD_LIMIT_BYTES = 1000

        answer = upload(ann, season, b"x" * 1_100_000)

        assert answer.status_code == 413
        assert "larger than the 1 kB" in text_of(answer)

    def test_it_needs_the_forms_token(self, season, participant):
        client = Client(enforce_csrf_checks=True)
        client.force_login(participant.user)

        assert upload(client, season, b"x").status_code == 403

    def test_the_same_file_leads_to_the_same_batch(self, ann, season):
        first = upload(ann, season, zipped(first_texts()))
        second = upload(ann, season, zipped(first_texts()))

        assert first.url == second.url
        assert "You submitted this very file before" in text_of(ann.get(second.url))

    def test_a_closed_season_takes_nothing_and_nobody_in(self, client, season):
        Season.objects.update(closes_at=timezone.now() - timedelta(hours=1))
        client.force_login(User.objects.create_user("late"))

        answer = upload(client, season, zipped(first_texts()))

        assert "The season closed on" in text_of(answer)
        assert not Membership.objects.exists()

    def test_it_asks_for_an_account_first(self, client, season):
        address = reverse("upload", args=[season.slug])

        assert client.get(address).url == f"{reverse('login')}?next={address}"


class TestBatchPage:
    def test_it_shows_each_structure_with_verdict_reason_and_distances(self, ann, season, judged):
        text = text_of(ann.get(reverse("batch", args=[judged.pk])))

        assert f"predicted stable by {season.scale.name}" in text
        assert "NOT_CIF" in text and "no line that begins with" in text
        assert "e_above_hull now (eV/atom)" in text
        assert "Finished: all 6 structures have an answer" in text

    def test_a_refused_archive_says_why(self, ann, season, participant):
        upload(ann, season, b"PK\x03\x04 is no zip")
        run_all(season)

        text = text_of(ann.get(reverse("batch", args=[Batch.objects.get().pk])))

        assert "The file was refused: " in text
        assert "hx-get" not in text

    def test_it_polls_until_everything_is_final(self, ann, season, participant):
        batch = submit(participant, first_texts())
        page = reverse("batch", args=[batch.pk])

        for work in (read_all, relax_all, place_all):
            assert 'hx-trigger="every 2s"' in text_of(ann.get(page))
            work(season)
        assert "hx-trigger" not in text_of(ann.get(page))

    def test_the_live_part_answers_only_when_something_changed(self, ann, season, participant):
        batch = submit(participant, first_texts())
        page = ann.get(reverse("batch", args=[batch.pk])).content.decode()
        address = re.search(r'hx-get="([^"]+)"', page)[1].replace("&amp;", "&")

        assert ann.get(address).status_code == 204
        read_all(season)
        changed = ann.get(address)

        assert changed.status_code == 200
        assert "relaxing <strong>4</strong>" in text_of(changed)

    def test_filters_are_links_and_narrow_the_table(self, ann, judged):
        page = reverse("batch", args=[judged.pk])

        assert "?reason=TWIN" in text_of(ann.get(page))
        narrowed = text_of(ann.get(page, {"reason": "TWIN"}))
        assert "Cu3Au-supercell.cif" in narrowed and "notes.txt" not in narrowed

    def test_a_nonsensical_page_number_is_the_first_page(self, ann, judged):
        assert "Cu3Au.cif" in text_of(ann.get(reverse("batch", args=[judged.pk]), {"after": "x" * 30}))

    def test_an_undefined_distance_names_the_missing_element(self, client, db, settings, tmp_path):
        from philately.domain.seasons import join
        from tests.releases import write_emt_release

        settings.MEDIA_ROOT = tmp_path / "files"
        season = season_on(write_emt_release(tmp_path / "cu.parquet", ("Cu",)), slug="gap", name="Gap")
        member = join(season, User.objects.create_user("ann"))
        batch = submit(member, {"Cu3Pt.cif": cif_of(ordered_alloy("Cu", "Pt", lattice_ang=3.7))})
        run_all(season)
        client.force_login(member.user)

        text = text_of(client.get(reverse("batch", args=[batch.pk])))

        assert 'title="the release has no reference for Pt">undefined' in text
        assert "no reference for Pt</span>" in text
        assert "0.000" not in text

    def test_it_takes_as_many_queries_for_one_structure_as_for_three(
        self, ann, season, participant, django_assert_num_queries
    ):
        texts = first_texts()
        one = submit(participant, {"Cu.cif": texts["Cu.cif"]})
        three = submit(participant, {name: texts[name] for name in ("Cu3Au.cif", "CuAu.cif", "Cu3Au-wide.cif")})
        run_all(season)

        for batch in (one, three):
            with django_assert_num_queries(14):
                ann.get(reverse("batch", args=[batch.pk]))

    @pytest.mark.parametrize("page", ["batch", "batch-live", "batch-csv"])
    def test_it_is_for_its_owner_organisers_and_staff_only(self, client, judged, join_as, page):
        address = reverse(page, args=[judged.pk])
        staff = Client()
        staff.force_login(User.objects.create_user("root", is_staff=True))

        assert client.get(address).status_code == 302
        assert other(join_as).get(address).status_code == 404
        assert other(join_as, "olga", Role.ORGANISER).get(address).status_code == 200
        assert staff.get(address).status_code == 200

    def test_the_table_is_a_csv_that_no_spreadsheet_executes(self, ann, season, participant):
        batch = submit(participant, {**first_texts(), "=HYPERLINK(1).cif": "no"})
        run_all(season)

        answer = ann.get(reverse("batch-csv", args=[batch.pk]))
        rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))

        assert len(rows) == 7
        assert rows[0]["outcome"] == "stable" and float(rows[0]["e_above_hull"]) == 0
        assert rows[0]["decomposition"] == "0.2500 Au + 0.7500 Cu"
        assert rows[-1]["file"] == "'=HYPERLINK(1).cif"

    def test_my_batches_are_mine(self, ann, judged, join_as):
        assert "batch.zip" in text_of(ann.get(reverse("batches")))
        assert "You have not uploaded anything yet" in text_of(other(join_as).get(reverse("batches")))


class TestBlindSeason:
    @pytest.fixture(autouse=True)
    def blind(self, season, judged):
        Season.objects.update(visibility=Visibility.BLIND)

    @pytest.mark.parametrize("page", ["season", "leaderboard", "stable"])
    def test_others_finds_and_rows_are_hidden(self, client, season, join_as, page):
        address = reverse(page, args=[season.slug])
        for visitor in (client, other(join_as)):
            text = text_of(visitor.get(address))
            assert "AuCu" not in text and "Cu<sub>3</sub>Au" not in text and "CuAu" not in text
            assert "ann" not in re.sub(r"[a-z]ann|ann[a-z]", "", text)

    def test_the_number_of_participants_is_told(self, client, season):
        assert "1 participant." in text_of(client.get(reverse("leaderboard", args=[season.slug])))

    def test_the_dump_stays_with_organisers(self, client, season, join_as):
        season.refresh_from_db()
        offer(season)
        address = reverse("dump-file", args=[season.slug, "phases.parquet"])

        assert client.get(address).status_code == 404
        assert other(join_as, "olga", Role.ORGANISER).get(address).status_code == 200


def file_of(client, season, name):
    return b"".join(client.get(reverse("dump-file", args=[season.slug, name])).streaming_content)


class TestDump:
    @pytest.fixture
    def dumped(self, season, judged):
        season.refresh_from_db()
        return offer(season)

    def test_without_a_dump_there_is_nothing_to_download(self, client, season):
        assert "Download" not in text_of(client.get(reverse("stable", args=[season.slug])))
        assert client.get(reverse("dump-file", args=[season.slug, "manifest.json"])).status_code == 404

    def test_its_files_are_linked_and_served_as_they_are(self, client, season, dumped):
        page = text_of(client.get(reverse("stable", args=[season.slug])))

        for name in ("manifest.json", "phases.parquet", "release.parquet", "SHA256SUMS"):
            address = reverse("dump-file", args=[season.slug, name])
            assert address in page
            served = b"".join(client.get(address).streaming_content)
            with storage().open(f"{dumped.stored_in}/{name}") as file:
                assert served == file.read()
        assert json.loads(file_of(client, season, "manifest.json")) == dumped.manifest

    @pytest.mark.parametrize("name", ["..", "..%2Fsecret_key", "other.txt"])
    def test_nothing_else_is_served(self, client, season, dumped, name):
        assert client.get(f"/seasons/{season.slug}/dump/{name}").status_code == 404


def test_a_batch_that_is_being_read_says_how_many_structures_were_found_so_far(ann, judged, participant):
    batch = submit(participant, {"Cu.cif": cif_of(ordered_alloy("Cu", "Au", lattice_ang=3.7))})
    live = reverse("batch-live", args=[batch.pk])
    waiting = ann.get(live)

    Batch.objects.filter(pk=batch.pk).update(n_found=12_000)
    reading = ann.get(live, {"mark": waiting.context["mark"]})

    assert "Waiting to be read" in text_of(waiting)
    assert "Being read: 12,000 structures so far" in text_of(reading)
    assert ann.get(live, {"mark": reading.context["mark"]}).status_code == 204


def test_the_upload_page_names_the_formats_and_the_archives(ann, judged, season):
    page = text_of(ann.get(reverse("upload", args=[season.slug])))

    assert "CIF, extended XYZ, or JSON of pymatgen structures" in page
    assert "zip, tar, tar.gz or tar.zst archive" in page
