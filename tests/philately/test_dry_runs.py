"""Dry runs: the answers of phase 1, for their owner alone, and nothing else comes of them."""

import csv
import io
from types import SimpleNamespace

import pytest
from ase.build import bulk
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone
from driving import cif, first_texts, ordered_alloy, read_all, submit, zipped
from facts import Killed, before_statement, bells, kill, let_expire

from philately import queries
from philately.domain import dry_reading, dry_runs
from philately.domain.dry_reading import carry_out
from philately.domain.intake import Method
from philately.domain.keys import make_key
from philately.domain.refusals import UploadRefused
from philately.domain.sweep import sweep
from philately.models import Batch, Candidate, DryRun, Season, Shard
from philately.queries.dry_runs import FAULT, PASSED
from philately.states import BatchState, CandidateState, DryRunState, Role
from philately.storage import storage
from validation.answers import Fault, Read

TEXTS = first_texts()


def start(member, texts=TEXTS, *, data: bytes | None = None, name: str = "batch.zip") -> DryRun:
    upload = SimpleUploadedFile(name, zipped(texts) if data is None else data)
    return dry_runs.accept_dry_run(member, upload, Method("by hand", "twice"), consent=True)


def carried_out(member, texts=TEXTS, **options) -> DryRun:
    run = start(member, texts, **options)
    carry_out(run.pk)
    run.refresh_from_db()
    return run


def reasons(run: DryRun) -> dict[str, str]:
    return {row.file: row.reason for row in queries.dry_rows(run)}


def stored() -> set[str]:
    return set(storage().names_below("dry-runs"))


class TestTheAnswers:
    def test_are_those_of_a_submission(self, participant, join_as, season):
        run = carried_out(participant)
        batch = submit(join_as("bob"), TEXTS)
        read_all(season)

        assert reasons(run) == {one.detail.file: one.reason for one in batch.candidates.select_related("detail")}
        assert run.state == DryRunState.DONE
        assert (run.n_done, run.n_total) == (6, 6)
        assert run.counts == {"": 4, "TWIN": 1, "NOT_CIF": 1}

    def test_leave_no_trace_in_the_season(self, participant, season):
        before = Season.objects.get().next_arrival

        carried_out(participant)

        assert not Batch.objects.exists() and not Candidate.objects.exists() and not Shard.objects.exists()
        assert Season.objects.get().next_arrival == before

    def test_tell_place_formula_and_atoms(self, participant):
        text = cif(bulk("Cu")) + cif(ordered_alloy("Cu", "Au", lattice_ang=3.7))

        rows = list(queries.dry_rows(carried_out(participant, data=text.encode(), name="both.cif")))

        assert [(row.number, row.file, row.block, row.formula, row.n_atoms) for row in rows] == [
            (1, "both.cif", "Cu", "Cu", 1),
            (2, "both.cif", "Cu3Au", "AuCu3", 4),
        ]
        assert rows[1].line > rows[0].line == 1

    def test_name_the_twin_in_the_upload_and_the_one_in_the_season(self, participant, join_as, season):
        own = submit(participant, {"mine.cif": cif(bulk("Ag"))})
        submit(join_as("bob"), {"theirs.cif": cif(bulk("Pt"))})
        read_all(season)
        texts = {"ag.cif": cif(bulk("Ag") * (2, 1, 1)), "pt.cif": cif(bulk("Pt")), "ag2.cif": cif(bulk("Ag"))}

        rows = {row.file: row for row in queries.dry_rows(carried_out(participant, texts))}

        assert {row.reason for row in rows.values()} == {"TWIN"}
        assert rows["ag.cif"].sentence == f"the same initial structure as mine.cif of your batch {own.pk}"
        assert rows["pt.cif"].sentence.endswith("submitted earlier; the first finder keeps the find")
        assert rows["ag2.cif"].sentence == "the same initial structure as number 1 of this upload"

    def test_know_nothing_of_what_was_withdrawn(self, participant, season):
        submit(participant, {"mine.cif": cif(bulk("Ag"))})
        read_all(season)
        Candidate.objects.update(state=CandidateState.WITHDRAWN)

        assert reasons(carried_out(participant, {"ag.cif": cif(bulk("Ag"))})) == {"ag.cif": ""}

    def test_an_archive_that_breaks_a_limit_is_refused_before_anything_is_checked(
        self, participant, settings, monkeypatch
    ):
        settings.UPLOAD_LIMIT_MEMBERS = 5
        monkeypatch.setattr(dry_reading.reading, "readers", lambda: pytest.fail("it was read"))

        run = carried_out(participant)

        assert (run.state, run.n_done, run.table_as) == (DryRunState.REFUSED, 0, "")
        assert "more than 5 members" in run.problem

    def test_one_that_takes_too_long_costs_only_itself(self, participant, settings):
        settings.PARSE_LIMIT_S = 1e-4
        large = cif(bulk("Cu", cubic=True) * (5, 5, 4))

        run = carried_out(participant, {"Cu.cif": large, "notes.txt": "hello"})

        assert reasons(run)["Cu.cif"] == "TOO_SLOW"
        assert run.state == DryRunState.DONE

    def test_a_fault_of_ours_is_told_as_such_and_costs_the_others_nothing(self, participant, monkeypatch):
        def one_fault(texts, **terms):
            for number, read in enumerate(readers.read(texts, **terms)):
                yield Read(fault=Fault("ZeroDivisionError", "oh")) if number == 0 else read

        readers = dry_reading.reading.readers()
        monkeypatch.setattr(dry_reading.reading, "readers", lambda: SimpleNamespace(read=one_fault))

        rows = {row.file: row for row in queries.dry_rows(carried_out(participant))}

        assert rows["Cu3Au.cif"].reason == FAULT
        assert "our fault: ZeroDivisionError: oh" in rows["Cu3Au.cif"].sentence
        assert rows["Cu.cif"].reason == ""


class TestWorkers:
    def test_the_bell_rings_and_the_sweeper_rings_again(self, participant, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks(execute=True):
            run = start(participant)
        assert bells("parse") == [("dry_run", run.pk)]

        with django_capture_on_commit_callbacks(execute=True):
            sweep()
        assert bells("parse") == [("dry_run", run.pk)]

        carry_out(run.pk)
        with django_capture_on_commit_callbacks(execute=True):
            sweep()
        assert bells("parse") == []

    def test_twice_equals_once(self, participant):
        run = carried_out(participant)

        assert not carry_out(run.pk)
        assert len(stored()) == 2  # upload and table

    def test_killed_before_any_statement_the_next_one_finishes(self, participant, settings):
        settings.MAX_ATTEMPTS = 1000
        run = start(participant)
        for number in range(1, 100):
            try:
                with before_statement(number, kill):
                    carry_out(run.pk)
            except Killed:
                let_expire(DryRun.objects.filter(lease__isnull=False))
            else:
                break

        run.refresh_from_db()
        assert number > 3
        assert (run.state, run.n_done, run.counts[""]) == (DryRunState.DONE, 6, 4)
        assert len(reasons(run)) == 6

    def test_who_lost_the_lease_writes_nothing(self, participant):
        run = start(participant)

        with before_statement(3, lambda: DryRun.objects.update(lease="another")):
            carry_out(run.pk)

        run.refresh_from_db()
        assert (run.state, run.lease, run.counts, run.table_as) == (DryRunState.WAITING, "another", {}, "")
        assert len(stored()) == 1

    def test_after_three_attempts_it_is_set_aside(self, participant):
        run = start(participant)
        default_storage.delete(run.stored_as)
        for _ in range(3):
            with pytest.raises(FileNotFoundError):
                carry_out(run.pk)
            let_expire(DryRun.objects.all())

        assert not carry_out(run.pk)
        sweep()

        run.refresh_from_db()
        assert (run.state, run.lease) == (DryRunState.SET_ASIDE, None)
        assert "our fault" in run.problem


class TestSubmission:
    def test_the_stored_upload_becomes_a_batch_without_another_upload(self, participant, season):
        run = carried_out(participant)

        batch, is_new = dry_runs.submit(run)
        read_all(season)

        batch.refresh_from_db()
        assert is_new
        assert (batch.sha256, batch.file_name, batch.method, batch.method_description) == (
            run.sha256,
            "batch.zip",
            "by hand",
            "twice",
        )
        assert batch.state == BatchState.READ
        assert batch.candidates.count() == 6

    def test_twice_is_the_same_batch(self, participant):
        run = carried_out(participant)

        assert (dry_runs.submit(run)[0], dry_runs.submit(run)[1]) == (Batch.objects.get(), False)

    def test_it_uses_up_what_a_submission_does(self, participant, season):
        run = carried_out(participant)
        season.uploads_a_day = 0
        season.save()
        run = DryRun.objects.get(pk=run.pk)

        with pytest.raises(UploadRefused, match="at most 0"):
            dry_runs.submit(run)

    def test_what_was_removed_meanwhile_is_not_submitted(self, participant):
        run = carried_out(participant)
        DryRun.objects.all().delete()

        with pytest.raises(UploadRefused, match="upload it again"):
            dry_runs.submit(run)


class TestExpiry:
    def expire(self) -> None:
        DryRun.objects.update(expires_at=timezone.now())
        sweep()

    def test_it_goes_with_its_files(self, participant):
        carried_out(participant)
        assert len(stored()) == 2

        self.expire()

        assert (DryRun.objects.count(), stored()) == (0, set())

    def test_the_file_of_a_batch_stays(self, participant, season):
        batch, _ = dry_runs.submit(carried_out(participant))

        self.expire()
        read_all(season)

        batch.refresh_from_db()
        assert batch.state == BatchState.READ
        assert stored() == {batch.stored_as}

    def test_the_file_goes_where_the_batch_has_one_of_its_own(self, participant):
        batch = submit(participant, TEXTS)
        again, _ = dry_runs.submit(carried_out(participant))

        self.expire()

        assert again == batch
        assert (stored(), default_storage.exists(batch.stored_as)) == (set(), True)

    def test_what_is_being_read_stays(self, participant):
        run = start(participant)
        dry_reading._claim(run.pk)

        self.expire()

        assert DryRun.objects.exists()


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
