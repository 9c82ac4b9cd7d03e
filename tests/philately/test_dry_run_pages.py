"""Pages of a dry run: the tick box that asks for it, rows by reason and as CSV, for its owner alone, and submission."""

import csv
import io

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from driving import zipped
from dry_running import TEXTS, carried_out, start

from philately import queries
from philately.domain.dry_reading import carry_out
from philately.domain.keys import make_key
from philately.models import Batch, DryRun, Season
from philately.queries.dry_runs import PASSED
from philately.states import Role


class TestPage:
    @pytest.fixture
    def ann(self, client, participant):
        client.force_login(participant.user)
        return client

    def text(self, answer) -> str:
        return " ".join(answer.content.decode().split())

    def test_the_tick_box_leads_there(self, ann, season):
        form = {"file": SimpleUploadedFile("a.zip", zipped(TEXTS)), "method": "m", "consent": "on", "dry_run": "on"}

        answer = ann.post(reverse("upload", args=[season.slug]), form)

        assert answer.url == reverse("dry-run", args=[DryRun.objects.get().pk])
        assert not Batch.objects.exists()

    def test_it_polls_until_it_is_done_and_answers_only_when_something_changed(self, ann, participant):
        run = start(participant)
        page = ann.get(reverse("dry-run", args=[run.pk])).content.decode()
        address = page.split('hx-get="')[1].split('"')[0].replace("&amp;", "&")
        assert "Waiting to be read" in page
        assert ann.get(address).status_code == 204

        carry_out(run.pk)

        changed = ann.get(address)
        assert "4 of 6 structures would go on to relaxation" in self.text(changed)
        assert "hx-get" not in self.text(changed)

    def test_rows_are_filtered_by_reason_and_paged(self, ann, participant, monkeypatch):
        monkeypatch.setattr("philately.queries.dry_runs.PAGE_SIZE", 4)
        address = reverse("dry-run", args=[carried_out(participant).pk])

        first, last = ann.get(address), ann.get(address, {"after": 4})
        assert "Cu3Au.cif" in self.text(first) and "notes.txt" not in self.text(first)
        assert "after=4" in self.text(first)
        assert "notes.txt" in self.text(last) and "Next page" not in self.text(last)
        narrowed = self.text(ann.get(address, {"reason": "TWIN"}))
        assert "Cu3Au-supercell.cif" in narrowed and "CuAu.cif" not in narrowed
        passed = self.text(ann.get(address, {"reason": PASSED}))
        assert "CuAu.cif" in passed and "notes.txt" not in passed

    def test_groups_of_the_table_make_no_difference(self, participant, monkeypatch):
        monkeypatch.setattr("philately.domain.dry_tables.ROWS_A_GROUP", 2)
        run = carried_out(participant)

        for after in range(7):
            assert [row.number for row in queries.dry_rows(run, after=after)] == list(range(after + 1, 7))

    @pytest.mark.parametrize("n_rows", [1, 2, 5000])
    def test_rows_with_a_reason_are_those_of_all_rows_in_whatever_group(self, participant, monkeypatch, n_rows):
        monkeypatch.setattr("philately.domain.dry_tables.ROWS_A_GROUP", n_rows)
        run = carried_out(participant)
        rows = list(queries.dry_rows(run))

        for reason in {row.reason for row in rows} | {"NOBODYS"}:
            for after in (0, 3):
                found = list(queries.dry_rows(run, reason=reason or PASSED, after=after))
                assert found == [row for row in rows if row.reason == reason and row.number > after]

    def test_the_table_is_a_csv_that_no_spreadsheet_executes(self, ann, participant):
        run = carried_out(participant, {**TEXTS, "=1.cif": "no"})

        answer = ann.get(reverse("dry-run-csv", args=[run.pk]))
        rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))

        assert len(rows) == 7
        assert rows[0]["formula"] == "AuCu3" and rows[0]["reason"] == ""
        assert rows[-1]["file"] == "'=1.cif" and rows[-1]["reason"] == "NOT_CIF"

    @pytest.mark.parametrize("page", ["dry-run", "dry-run-live", "dry-run-csv"])
    def test_it_is_for_its_owner_only(self, client, participant, join_as, page, admin_client):
        address = reverse(page, args=[carried_out(participant).pk])
        assert client.get(address).status_code == 302
        client.force_login(join_as("olga", Role.ORGANISER).user)

        assert client.get(address).status_code == 404
        assert admin_client.get(address).status_code == 404
        assert client.post(reverse("dry-run-submit", args=[DryRun.objects.get().pk])).status_code == 404

    def test_its_owners_programmes_read_it(self, client, participant):
        headers = {"Authorization": f"Bearer {make_key(participant.user, 'laptop')}"}
        run = carried_out(participant)

        for page in ("dry-run", "dry-run-csv"):
            assert client.get(reverse(page, args=[run.pk]), headers=headers).status_code == 200

    def test_the_button_submits_and_a_refusal_is_told(self, ann, participant, season):
        run = carried_out(participant)
        address = reverse("dry-run-submit", args=[run.pk])
        Season.objects.update(uploads_a_day=0)
        refused = ann.post(address, follow=True)
        assert "Not submitted: at most 0 uploads" in self.text(refused)

        Season.objects.update(uploads_a_day=None)
        answer = ann.post(address)

        batch = Batch.objects.get()
        assert answer.url == reverse("batch", args=[batch.pk])
        assert f"batch {batch.pk}" in self.text(ann.get(reverse("dry-run", args=[run.pk])))

    def test_what_would_be_refused_says_why(self, ann, participant):
        run = carried_out(participant, data=b"PK\x03\x04 is no zip")

        text = self.text(ann.get(reverse("dry-run", args=[run.pk])))

        assert "The file would be refused: The zip archive is damaged" in text
        assert "Submit this file" not in text

    def test_it_is_listed_with_ones_batches(self, ann, participant, join_as):
        run = carried_out(participant)

        assert f'href="/dry-runs/{run.pk}/"' in self.text(ann.get(reverse("batches")))

    def test_it_takes_as_many_queries_for_one_structure_as_for_six(self, ann, participant, django_assert_num_queries):
        for texts in ({"Cu.cif": TEXTS["Cu.cif"]}, TEXTS):
            run = carried_out(participant, texts)
            with django_assert_num_queries(12):
                ann.get(reverse("dry-run", args=[run.pk]))
