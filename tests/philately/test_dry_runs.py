"""Dry runs: the answers of phase 1, and nothing else comes of them unless they are submitted."""

from types import SimpleNamespace

import pytest
from ase.build import bulk
from django.core.files.storage import default_storage
from django.utils import timezone
from driving import cif, ordered_alloy, read_all, submit
from dry_running import TEXTS, carried_out, start
from facts import Killed, before_statement, bells, kill, let_expire

from philately import queries
from philately.domain import dry_reading, dry_runs
from philately.domain.dry_reading import carry_out
from philately.domain.refusals import UploadRefused
from philately.domain.sweep import sweep
from philately.models import Batch, Candidate, DryRun, Season, Shard
from philately.queries.dry_runs import FAULT
from philately.states import BatchState, CandidateState, DryRunState
from philately.storage import storage
from validation.answers import Fault, Read


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
