"""/metrics: true whichever process counted, for whoever may read it, at a cost that does not grow with a season."""

import json
from datetime import timedelta

import pytest
from ase.build import bulk
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from driving import first_texts, run_all, submit
from facts import add_batch, add_candidate, let_expire, long_ago
from prometheus_client.parser import text_string_to_metric_families

from philately import counted
from philately.broker import ring
from philately.domain import readiness, tallies
from philately.domain.dumps import refresh
from philately.domain.locks import lock
from philately.domain.sweep import sweep
from philately.domain.transitions import claim
from philately.models import HullAudit, Lock, Phase, Scale, Season, Tally
from philately.queries import vitals
from philately.queries.season_vitals import with_figures
from philately.states import BatchState, CandidateState, PhaseStatus, Stage

S = CandidateState


@pytest.fixture(autouse=True)
def _nothing_remembered(settings):
    settings.METRICS_KEPT_S = 0
    vitals.forget()
    readiness.forget()
    counted.take()
    yield
    vitals.forget()


@pytest.fixture
def figures(client, monkeypatch):
    """Scrapes: (name, labels' values in the order of the labels' names …) → figure."""
    monkeypatch.setattr(vitals, "SHARE", 1e9)

    def scrape() -> dict[tuple[str, ...], float]:
        answer = client.get("/metrics")
        assert answer.status_code == 200
        families = text_string_to_metric_families(answer.content.decode())
        return {
            (
                sample.name.removeprefix("philately_"),
                *(sample.labels[label] for label in sorted(sample.labels)),
            ): sample.value
            for family in families
            for sample in family.samples
        }

    return scrape


class TestFigures:
    def test_they_are_true_of_a_small_season_with_failures(self, season, participant, figures):
        submit(participant, first_texts())
        run_all(season)
        add_batch(participant, state=BatchState.UPLOADED)
        add_batch(participant, state=BatchState.SET_ASIDE)
        add_candidate(participant, bulk("Cu"), state=S.FAILED, failed_in=Stage.RELAX, attempts=1)
        add_candidate(participant, bulk("Cu"), state=S.SET_ASIDE)
        for state in (S.RECEIVED, S.CHECKED, S.PARSED, S.PARSED):
            add_candidate(participant, bulk("Cu"), state=state)
        add_candidate(participant, bulk("Au"), 0.0)
        long_ago(season.candidates.filter(state=S.PARSED), days=2)

        found = figures()

        of = "practice"
        assert found["batches_waiting", of] == found["batches_set_aside", of] == 1
        assert found["candidates_failed", of] == found["candidates_set_aside", of] == 1
        assert {stage: found["candidates_waiting", of, stage] for stage in ("parse", "relax", "place")} == {
            "parse": 2,
            "relax": 2,
            "place": 1,
        }
        assert found["candidates_relaxing", of] == 0
        assert found["oldest_waiting_seconds", of, "relax"] == pytest.approx(2 * 86_400, abs=600)
        assert 0 <= found["oldest_waiting_seconds", of, "place"] < 600
        assert found["sequencer_arrivals_behind", of] == 7
        assert found["sequencer_overdue_seconds", of] == 0, "earlier ones are open"
        assert found["last_sweep_age_seconds",] == float("inf")
        assert {key[1]: figure for key, figure in found.items() if key[0] == "relaxation_paused"} == {
            season.scale.digest[:12]: 0
        }

    def test_what_is_done_is_in_no_queue(self, season, participant, figures):
        submit(participant, first_texts())
        run_all(season)

        found = figures()

        assert {figure for key, figure in found.items() if key[0].startswith(("candidates", "oldest"))} == {0}
        assert found["sequencer_arrivals_behind", "practice"] == 0

    def test_a_relaxed_structure_whose_turn_has_come_is_overdue(self, season, participant, figures):
        add_candidate(participant, bulk("Au"), 0.0)
        long_ago(season.candidates, days=1)
        add_candidate(participant, bulk("Cu"), state=S.PARSED)

        assert figures()["sequencer_overdue_seconds", "practice"] == pytest.approx(86_400, abs=600)

    def test_finds_that_are_held_are_counted_in_the_official_run_only(self, season, participant, figures):
        submit(participant, first_texts())
        run_all(season)
        found = Phase.objects.filter(run=season.official_run, first_candidate__isnull=False)
        Phase.objects.filter(pk=found.first().pk).update(status=PhaseStatus.HELD)

        assert figures()["finds_held", "practice"] == 1

    def test_relaxation_that_stands_still_is_told_from_a_queue_that_is_long(self, season, participant, figures):
        key = ("relaxation_idle_seconds", season.scale.digest[:12], season.scale.name)
        assert figures()[key] == 0
        submit(participant, first_texts())
        run_all(season)
        add_candidate(participant, bulk("Cu"), state=S.PARSED)
        long_ago(season.candidates.filter(state=S.PARSED), days=1)
        assert figures()[key] < 600, "one was finished just now"
        season.scale.relaxations.update(created_at=Now() - timedelta(hours=2))
        assert figures()[key] == pytest.approx(7200, abs=600)

    def test_a_refused_judge_pauses_relaxation(self, season, figures):
        Scale.objects.update(problem="CanaryDied: Si differs")

        assert figures()["relaxation_paused", season.scale.digest[:12], season.scale.name] == 1

    def test_locks_show_for_how_long_they_are_held_and_whether_their_holder_lives(self, season, figures):
        with lock(f"place:{season.pk}"), lock("intake:1"):
            Lock.objects.update(taken_at=Now() - timedelta(hours=1))
            let_expire(Lock.objects.filter(name="intake:1"))
            found = figures()

        assert found["lock_held_seconds", f"place:{season.pk}"] == pytest.approx(3600, abs=60)
        assert 0 < found["lock_lease_left_seconds", f"place:{season.pk}"] <= 15
        assert found["lock_lease_left_seconds", "intake:1"] < 0
        assert not [key for key in figures() if key[0] == "lock_held_seconds"]

    def test_dump_and_audit_are_stale_once_the_run_has_moved_on(self, season, participant, figures):
        of = "practice"
        assert ("dump_stale_seconds", of) not in figures()
        submit(participant, first_texts())
        run_all(season)
        type(season.official_run).objects.update(created_at=Now() - timedelta(hours=2))
        found = figures()
        assert found["dump_stale_seconds", of] == found["hull_audit_stale_seconds", of]
        assert found["dump_stale_seconds", of] == pytest.approx(7200, abs=60)
        assert ("dump_age_seconds", of) not in found

        refresh(season.pk)
        run = season.official_run
        run.refresh_from_db()
        HullAudit.objects.create(
            run=run,
            placed_to=run.placed_to,
            log_position=run.log_position,
            n_differences=3,
            **dict.fromkeys(("started_at", "finished_at"), Now() - timedelta(hours=3)),
            **dict.fromkeys(("n_phases", "n_compositions", "n_events"), 0),
        )
        found = figures()
        assert found["dump_stale_seconds", of] == found["hull_audit_stale_seconds", of] == 0
        assert found["hull_audit_differences", of] == 3
        assert found["hull_audit_age_seconds", of] == pytest.approx(10_800, abs=60)

        type(run).objects.update(placed_to=run.placed_to + 1)
        found = figures()
        assert found["dump_stale_seconds", of] == pytest.approx(found["dump_age_seconds", of], abs=5)
        assert found["hull_audit_stale_seconds", of] == pytest.approx(10_800, abs=60)

    def test_disks_and_versions_are_shown(self, figures, db):
        found = figures()

        assert 0 < found["disk_free_ratio", "data"] <= 1
        assert found["disk_free_bytes", "files"] > 1e6
        assert any(key[0] == "build_info" and key[-1] == "0.1.0" for key in found)
        assert found["dependency_up", "database"] == found["dependency_up", "broker"] == 1


class TestCountsOfAllProcesses:
    def test_the_sweeper_leaves_a_sign_of_life_and_says_what_it_took_from_the_dead(self, participant, figures):
        key = add_candidate(participant, bulk("Cu"), state=S.PARSED).pk
        claim([key], S.PARSED, S.RELAXING, attempts=1)
        let_expire(participant.season.candidates)
        assert figures()["leases_overdue",] == 1

        sweep()
        sweep()

        found = figures()
        assert (found["leases_expired_total", "candidate"], found["leases_overdue",]) == (1, 0)
        assert found["sweeps_total",] == 2
        assert 0 <= found["last_sweep_age_seconds",] < 60

    def test_bells_are_counted_in_whichever_process_they_ring(self, db, figures, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks(execute=True):
            for _ in range(3):
                ring("relax", 1, queue="relax")
            ring("place", 1, queue="place")
        tallies.keep()  # as a worker does after a task
        with django_capture_on_commit_callbacks(execute=True):
            ring("place", 1, queue="place")

        found = figures()

        assert (found["bells_rung_total", "relax"], found["bells_rung_total", "place"]) == (3, 2)

    def test_two_processes_add_up_and_what_is_written_down_is_forgotten(self, db):
        counted.count("tasks", "relax:done", 2)
        tallies.keep()
        tallies.keep()
        counted.count("tasks", "relax:done")
        tallies.keep()

        assert Tally.objects.get(name="tasks").count == 3

    def test_tasks_are_counted_by_how_they_ended(self, season, figures):
        from philately.tasks import intake, relax

        intake.apply([season.pk])
        relax.apply([10**9])  # no such scale, nothing to do
        intake.apply(["no number"])

        found = figures()
        assert found["tasks_total", "done", "intake"] == 1
        assert found["tasks_total", "failed", "intake"] == 1


class TestCost:
    def test_the_number_of_queries_does_not_depend_on_the_rows(self, season, participant):
        def queries() -> int:
            with CaptureQueriesContext(
                connection,
            ) as captured:
                vitals.families()
            return len(captured)

        add_candidate(participant, bulk("Cu"), state=S.FAILED, failed_in=Stage.RELAX)
        few = queries()
        for number in range(30):
            state = (S.PARSED, S.SET_ASIDE, S.CHECKED)[number % 3]
            add_candidate(participant, bulk("Cu"), state=state)
            Tally.objects.create(name="bells_rung", label=str(number))
            Season.objects.create(
                slug=f"s{number}", name="Other", scale=season.scale, rules={}, data_licence="CC0", opens_at=Now()
            )

        assert queries() == few
        assert few < 20

    def test_nothing_is_read_that_grows_with_a_season(self, season, participant):
        """Only the seasons themselves are gone through; all else is looked up in an index."""
        submit(participant, first_texts())
        run_all(season)

        plan = with_figures().explain()

        if connection.vendor == "sqlite":
            scanned = [line.split("SCAN ")[1].split()[0] for line in plan.splitlines() if "SCAN " in line]
            assert set(scanned) <= {"philately_season"}
            assert "phase_held" in plan
            assert "COVERING INDEX candidate_queue" in plan

    def test_figures_are_read_again_only_after_a_while_and_say_how_old_they_are(self, participant, client, settings):
        settings.METRICS_KEPT_S = 60
        client.get("/metrics")
        add_candidate(participant, bulk("Cu"), state=S.PARSED)

        with CaptureQueriesContext(connection) as captured:
            text = client.get("/metrics").content.decode()

        assert len(captured) == 0
        assert 'philately_candidates_waiting{season="practice",stage="relax"} 0.0' in text
        assert "philately_figures_age_seconds" in text

    def test_what_takes_long_to_count_is_counted_more_rarely(self, db, monkeypatch):
        monkeypatch.setattr(vitals, "SHARE", 1e-9)
        vitals.remembered(0)

        with CaptureQueriesContext(connection) as captured:
            vitals.remembered(0)

        assert len(captured) == 0


class TestWhoMayRead:
    def test_without_a_token_this_machine_only(self, client, db):
        assert client.get("/metrics").status_code == 200
        assert client.get("/metrics", REMOTE_ADDR="::1").status_code == 200
        for address in ("10.0.0.7", "192.0.2.1", "2001:db8::1", "", "unix:"):
            answer = client.get("/metrics", REMOTE_ADDR=address)
            assert (answer.status_code, b"philately_" in answer.content) == (403, False), address

    @pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "X-Forwarded-Proto"])
    def test_nobody_who_comes_through_a_proxy_on_this_machine(self, client, db, header):
        assert client.get("/metrics", headers={header: "127.0.0.1"}).status_code == 403

    def test_nobody_without_a_token_where_a_proxy_ends_tls(self, client, db, settings):
        settings.HTTPS = True

        assert client.get("/metrics").status_code == 403

    @pytest.mark.parametrize(
        "shown", [None, "Bearer", "Bearer wrong", "Basic c2VjcmV0", "secret", "Bearer secre", "Bearer ü"]
    )
    def test_with_a_token_nobody_without_it_not_even_here(self, client, db, settings, shown):
        settings.METRICS_TOKEN = "secret"

        answer = client.get("/metrics", headers={} if shown is None else {"Authorization": shown})

        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert b"philately_" not in answer.content

    def test_with_the_token_from_anywhere_by_any_name(self, db, settings):
        settings.METRICS_TOKEN, settings.HTTPS = "secret", True
        settings.SECURE_SSL_REDIRECT = True

        answer = Client().get(
            "/metrics",
            REMOTE_ADDR="10.0.0.7",
            headers={"Authorization": "Bearer secret", "Host": "10.0.0.3:8000"},
        )

        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=")


class TestRequests:
    def test_requests_are_counted_and_timed_by_view_method_and_status(self, client, db, figures):
        def seen() -> dict[tuple[str, ...], float]:
            return {key: figure for key, figure in figures().items() if key[0].endswith("duration_seconds_count")}

        before = seen()
        client.get("/")
        client.get("/")
        client.get("/batches/17/")
        client.get("/nowhere/at/all")
        client.generic("BREW", "/")
        after = seen()

        new = {key[1:]: figure - before.get(key, 0) for key, figure in after.items() if figure > before.get(key, 0)}
        new.pop(("GET", "200", "metrics"))
        assert new == {
            ("GET", "200", "home"): 2,
            ("GET", "302", "batch"): 1,
            ("GET", "404", "none"): 1,
            ("other", "405", "home"): 1,
        }

    def test_a_request_keeps_its_id_or_gets_one(self, client, db):
        assert client.get("/", headers={"X-Request-ID": "abc-1.2_Z"}).headers["X-Request-ID"] == "abc-1.2_Z"
        made = client.get("/").headers["X-Request-ID"]
        assert len(made) == 32
        for hostile in ("a b", "x" * 65, "ü", 'a"b', "", "a\tb"):
            given = client.get("/", headers={"X-Request-ID": hostile}).headers["X-Request-ID"]
            assert given not in (hostile, made)

    def test_what_an_unknown_method_or_address_says_is_no_label(self, client, db):
        client.generic("X" * 40, "/")
        client.get("/some/" + "y" * 40)

        text = client.get("/metrics").content.decode()

        assert "X" * 40 not in text
        assert "y" * 40 not in text


def test_readiness_is_json_of_checks(client, db):
    answer = client.get("/readyz")

    assert answer.status_code == 200
    found = json.loads(answer.content)
    assert found["status"] == "ready"
    assert set(found["checks"]) == {"database", "storage", "staging", "broker"}
