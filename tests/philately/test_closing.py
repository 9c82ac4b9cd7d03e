"""Closing, freezing and re-opening a season; quotas of a season and of one participant; the audit log; the export."""

import json
from datetime import timedelta

import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone
from driving import first_texts, run_all, submit
from facts import Killed, add_batch, add_candidate, before_statement, kill, let_expire, rows_of
from stories import STORY, alloy

from hull.entries import Formula
from philately.domain import evaluations, exports, place
from philately.domain.audit_log import Deed, record
from philately.domain.audits import audit
from philately.domain.closing import close, freeze, reopen
from philately.domain.decisions import decide
from philately.domain.evaluations import (
    EvaluationRefused,
    Plan,
    changed_rules,
    discard,
    evaluate,
    make_official,
    open_evaluation,
)
from philately.domain.organisers import DeedRefused
from philately.domain.own_limits import change
from philately.domain.place import place_waiting
from philately.domain.quotas import limits_of, quota_left
from philately.domain.refusals import QuotaUsedUp, UploadRefused
from philately.domain.reruns import Selection, rerun
from philately.domain.rounds import close as close_round
from philately.domain.seasons import join
from philately.domain.withdrawals import WithdrawalRefused, ask
from philately.models import AuditEntry, Candidate, Lock, Membership, Phase, Round, Run, ScoreEntry, User
from philately.queries import latest_dump
from philately.states import BatchState, CandidateState, Role
from validation.crystal import Crystal

S = CandidateState


@pytest.fixture(autouse=True)
def _cold():
    place.forget()


@pytest.fixture
def story(season, join_as):
    candidates = [add_candidate(join_as(name), atoms, energy) for atoms, energy, name in STORY]
    place_waiting(season.pk)
    season.refresh_from_db()
    return candidates


@pytest.fixture
def olga(join_as):
    return join_as("olga", Role.ORGANISER).user


def _run(season):
    season.refresh_from_db()
    return Run.objects.select_related("release", "scale").get(pk=season.official_run_id)


class TestClosing:
    def test_nothing_more_is_uploaded_and_what_is_in_flight_is_finished(self, season, participant, olga):
        submit(participant, first_texts())

        assert close(season, by=olga, reason="the end")
        assert not close(season, by=olga, reason="the end")

        with pytest.raises(UploadRefused, match="closed"):
            submit(Membership.objects.get(pk=participant.pk), {"a.cif": "data_"})
        run_all(season)
        assert Candidate.objects.filter(state=S.PLACED).exists()
        assert AuditEntry.objects.filter(deed="close_season").count() == 1

    def test_frozen_its_last_round_is_paid_its_dump_written_and_nothing_changes_any_more(self, season, story, olga):
        close(season, by=olga, reason="the end")

        manifest = freeze(season, by=olga, reason="the end")

        run = _run(season)
        before = rows_of(run)
        assert not sum(ScoreEntry.objects.filter(run=run, provisional=True).values_list("points", flat=True))
        assert latest_dump(season).manifest == manifest
        assert manifest["run"] == {"number": 1, "placed_to": run.placed_to, "log_position": run.log_position}
        for deed, refusal in (
            (lambda: decide(season, [story[8].pk], accepted=True, by=olga, reason="x"), DeedRefused),
            (lambda: close_round(season, by=olga), DeedRefused),
            (lambda: rerun(season, Selection(failed=True), by=olga), DeedRefused),
            (lambda: close(season, by=olga, reason="x"), DeedRefused),
            (lambda: ask(Candidate.objects.filter(pk=story[0].pk), by=story[0].batch.owner.user), WithdrawalRefused),
            (lambda: submit(Membership.objects.get(pk=story[0].batch.owner_id), {"a.cif": "data_"}), UploadRefused),
        ):
            with pytest.raises(refusal):
                deed()
        other = open_evaluation(season, Plan(release=run.release, rules=changed_rules(run, {})))
        evaluate(other)
        with pytest.raises(Exception, match="frozen"):
            make_official(other)
        assert rows_of(run) == before
        assert audit(run).sentences == []

        assert freeze(season, by=olga, reason="again")["run"] == manifest["run"]
        assert (Round.objects.count(), AuditEntry.objects.filter(deed="freeze_season").count()) == (1, 1)

    def test_while_anything_is_in_flight_it_is_not_frozen(self, season, story, olga):
        with pytest.raises(DeedRefused, match="close it first"):
            freeze(season, by=olga, reason="the end")
        close(season, by=olga, reason="the end")
        late = add_candidate(story[0].batch.owner, alloy("Ag", "Pd"), state=S.PARSED)
        add_batch(story[0].batch.owner, state=BatchState.UPLOADED)

        with pytest.raises(DeedRefused, match="1 uploads to read, 1 structures"):
            freeze(season, by=olga, reason="the end")

        season.refresh_from_db()
        assert (season.frozen_at, Round.objects.count()) == (None, 0)
        assert Candidate.objects.get(pk=late.pk).state == S.PARSED

    def test_killed_before_any_statement_it_is_frozen_by_the_next_attempt(self, season, story, olga):
        close(season, by=olga, reason="the end")
        statement, survived = 0, False
        while not survived:
            statement += 7
            try:
                with before_statement(statement, kill):
                    freeze(season, by=olga, reason="the end")
                survived = True
            except Killed:
                place.forget()
                let_expire(Lock.objects.all())  # it may have died just before it let go
        assert statement > 20
        assert (Round.objects.count(), AuditEntry.objects.filter(deed="freeze_season").count()) == (1, 1)
        assert ScoreEntry.objects.filter(reason="paid").count() == len(
            set(ScoreEntry.objects.filter(reason="paid").values_list("phase"))
        )
        assert latest_dump(season).manifest["run"]["placed_to"] == _run(season).placed_to
        assert audit(_run(season)).sentences == []

    def test_opened_again_it_goes_on_with_a_reason(self, season, story, olga):
        close(season, by=olga, reason="the end")
        freeze(season, by=olga, reason="the end")
        with pytest.raises(DeedRefused, match="say why"):
            reopen(season, by=olga, reason="")

        assert reopen(season, by=olga, reason="a week more")
        assert not reopen(season, by=olga, reason="a week more")

        late = add_candidate(story[0].batch.owner, alloy("Ag", "Pd"), -0.3)
        place_waiting(season.pk)
        assert Candidate.objects.get(pk=late.pk).state == S.PLACED
        told = AuditEntry.objects.get(deed="reopen_season")
        assert told.reason == "a week more" and told.outcome["before"]["frozen_at"]
        assert audit(_run(season)).sentences == []

    def test_the_commands_do_the_same_and_refuse(self, season, story, olga, capsys):
        with pytest.raises(CommandError, match="neither organises"):
            call_command("close_season", season.slug, by="ben", reason="x")
        with pytest.raises(CommandError, match="past"):
            call_command("close_season", season.slug, by="olga", reason="x", at=timezone.now() - timedelta(days=1))
        call_command("close_season", season.slug, by="olga", reason="the end")
        call_command("freeze_season", season.slug, by="olga", reason="the end")
        printed = capsys.readouterr().out
        assert "closed on" in printed and "is frozen with run 1" in printed and "phases.parquet" in printed
        call_command("reopen_season", season.slug, by="olga", reason="more")
        assert "is open" in capsys.readouterr().out


class TestQuotas:
    def test_a_participant_s_own_limit_holds_before_the_season_s_and_the_page_shows_it(
        self, client, season, join_as, olga
    ):
        ann, ben = join_as("ann"), join_as("ben")
        assert change(season, {"structures_a_day": 77}, by=olga, reason="few machines")
        assert change(season, {"structures_a_day": 4321}, by=olga, member=ann) == {"structures_a_day": (77, 4321)}
        season.refresh_from_db()
        ann = Membership.objects.get(pk=ann.pk)

        assert [limits_of(season, one).structures_a_day for one in (None, ann, ben)] == [77, 4321, 77]
        assert quota_left(ann).left.structures_a_day == 4321
        client.force_login(ann.user)
        assert "4,321" in client.get(reverse("upload", args=[season.slug])).content.decode()
        assert change(season, {"structures_a_day": 4321}, by=olga, member=ann) == {}
        assert AuditEntry.objects.filter(deed="quota").count() == 2

        with pytest.raises(DeedRefused, match="say why"):
            change(season, {"structures_a_day": None}, by=olga, member=ann)
        ann.refresh_from_db()
        assert ann.own_limits == {"structures_a_day": 4321}
        assert change(season, {"structures_a_day": None}, by=olga, member=ann, reason="done")

    def test_a_lower_one_keeps_its_participant_from_uploading(self, season, participant, olga):
        change(season, {"uploads_a_day": 0}, by=olga, member=participant, reason="abuse")
        with pytest.raises(QuotaUsedUp):
            submit(Membership.objects.get(pk=participant.pk), first_texts())

    def test_the_command_sets_and_shows_and_refuses(self, season, participant, olga, capsys):
        call_command("quota", season.slug, member="ann", structures_a_day="12345678", by="olga", show=True)
        printed = capsys.readouterr().out
        assert "1,000,000 → 12,345,678" in printed and "12,345,678 left" in printed
        for options, why in (
            ({"member": "zoe"}, "no participant 'zoe'"),
            ({"by": "ann", "uploads_a_day": "9"}, "neither"),
            ({"uploads_a_day": "1"}, "say why"),
        ):
            with pytest.raises(CommandError, match=why):
                call_command("quota", season.slug, **{"by": "olga", **options})
        with pytest.raises(CommandError, match="neither a number"):
            call_command("quota", season.slug, "--uploads-a-day=many", "--by=olga")
        assert limits_of(season).uploads_a_day == 200


class TestAuditLog:
    def test_nothing_in_it_is_changed_or_taken_away(self, season, olga):
        close(season, by=olga, reason="the end")
        entry = AuditEntry.objects.get(deed="close_season")
        for deed in (
            entry.save,
            entry.delete,
            AuditEntry.objects.all().delete,
            lambda: AuditEntry.objects.update(who=""),
        ):
            with pytest.raises(TypeError, match="append-only"):
                deed()

    @pytest.mark.django_db(transaction=True)
    def test_a_deed_is_written_down_in_its_own_transaction(self):
        with pytest.raises(RuntimeError, match="own transaction"):
            record(Deed.QUOTA, by=None)

    def test_whatever_existed_before_is_written_down_as_well(self, season, story, olga, admin_client, admin_user):
        ask(Candidate.objects.filter(pk=story[0].pk), by=story[0].batch.owner.user, reason="mine")
        with pytest.raises(WithdrawalRefused, match="say why"):
            ask(Candidate.objects.filter(pk=story[1].pk), by=olga)
        call_command("disqualify", season.slug, candidate=[story[4].pk], reason="copied", by="olga", official=True)
        member = Membership.objects.get(user__username="ben")
        admin_client.post(reverse("admin:philately_membership_change", args=[member.pk]), {"role": "organiser"})
        page = reverse("admin:philately_season_change", args=[season.pk])
        form = {"name": "Renamed", "description": "", "opens_at_0": "2026-01-01", "opens_at_1": "00:00:00"}
        answer = admin_client.post(page, {**form, "uploads_a_day": "1"})
        assert "Please say why" in answer.content.decode()
        admin_client.post(page, {**form, "uploads_a_day": "1", "reason": "few machines"})

        deeds = {entry.deed: entry for entry in AuditEntry.objects.order_by("pk")}
        assert {"create_season", "import_release", "withdraw", "disqualify", "official_run"} < set(deeds)
        assert deeds["withdraw"].candidate == story[0]
        assert (deeds["disqualify"].by, deeds["disqualify"].reason) == (olga, "copied")
        assert deeds["official_run"].outcome == {"before": 1, "after": 2}
        assert (deeds["give_role"].by, deeds["give_role"].parameters["role"]) == (
            admin_user,
            {"before": "participant", "after": "organiser"},
        )
        assert (deeds["edit_season"].reason, deeds["edit_season"].parameters["uploads_a_day"]["after"]) == (
            "few machines",
            1,
        )
        listed = admin_client.get(reverse("admin:philately_auditentry_changelist"), {"q": "few machines"})
        assert [entry.deed for entry in listed.context["cl"].queryset] == ["edit_season"]

    def test_the_command_shows_it_by_season_user_and_moment(self, season, story, olga, capsys):
        close(season, by=olga, reason="the end")
        call_command("audit_log", season.slug, by="olga")
        assert "close_season" in capsys.readouterr().out
        call_command("audit_log", since=timezone.now() + timedelta(hours=1))
        assert capsys.readouterr().out == ""
        call_command("audit_log", season.slug, json=True)
        told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert told[-1]["who"] == "olga" and told[-1]["reason"] == "the end" and told[-1]["season"] == season.slug


class TestPreview:
    def test_a_preview_shows_who_moves_where_and_leaves_nothing(self, season, story, olga, capsys, tmp_path):
        rules = tmp_path / "rules.json"
        rules.write_text(json.dumps({"points": {"stable": 100}, "held_below_reference_ev_per_atom": 9.0}))
        before = Phase.objects.count(), ScoreEntry.objects.count()

        call_command("new_run", season.slug, rules=rules, by="olga", preview=True)

        (eve,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("eve")]
        assert eve.split()[-2:] == ["1", "0"]  # what was held is a find of hers there
        assert (Phase.objects.count(), ScoreEntry.objects.count(), Run.objects.count()) == (*before, 1)
        assert AuditEntry.objects.filter(deed="discard_run", by=olga).exists()
        with pytest.raises(CommandError, match="official"):
            call_command("new_run", season.slug, discard=1)

    def test_killed_before_any_statement_a_preview_is_of_no_use_and_the_next_attempt_deletes_it(self, season, story):
        before = Phase.objects.count(), ScoreEntry.objects.count()
        official = _run(season)
        run = open_evaluation(season, Plan(release=official.release, rules=changed_rules(official, {})))
        evaluate(run)
        place.forget()
        statement, survived = 0, False
        while not survived:
            statement += 5
            try:
                with before_statement(statement, kill):
                    discard(run)
                survived = True
            except Killed:
                Lock.objects.update(token="", until=None)
                if Run.objects.filter(pk=run.pk, discarded_at__isnull=False).exists():
                    with pytest.raises(EvaluationRefused, match="preview"):
                        make_official(run)
        assert statement > 10
        assert (Phase.objects.count(), ScoreEntry.objects.count(), Run.objects.count()) == (*before, 1)

    def test_of_a_large_one_the_phases_stay_and_the_run_is_marked(self, season, story, monkeypatch):
        monkeypatch.setattr(evaluations, "_PHASES_DELETED", 5)
        official = _run(season)
        run = open_evaluation(season, Plan(release=official.release, rules=changed_rules(official, {})))
        evaluate(run)

        assert not discard(run)

        run.refresh_from_db()
        assert run.discarded_at and run.phases.exists() and not run.placements.exists()


class TestExport:
    def test_everything_comes_back_from_the_files(self, season, participant, story, olga, tmp_path):
        submit(participant, first_texts())
        run_all(season)
        decide(season, [story[8].pk], accepted=False, by=olga, reason="an artefact")
        close_round(season, by=olga)
        ask(Candidate.objects.filter(pk=story[0].pk), by=participant.user)
        place_waiting(season.pk)
        season.refresh_from_db()

        manifest = exports.export(season, tmp_path / "all", by=olga)
        exports.export(season, tmp_path / "all", by=olga)

        def table(name):
            return pq.read_table(tmp_path / "all" / f"{name}.parquet").to_pylist()

        run = _run(season)
        assert {one["candidate"]: one["state"] for one in table("candidates")} == dict(
            season.candidates.values_list("pk", "state")
        )
        (bad,) = [one for one in table("candidates") if one["reason"] == "NOT_CIF"]
        assert bad["sentence"]
        assert sum(one["points"] for one in table("scores")) == sum(run.scores.values_list("points", flat=True))
        assert len(table("phases")) == run.phases.count() and len(table("log")) == run.log.count()
        for one in table("relaxations"):
            assert Crystal.unpack(one["geometry"]).formula == Formula.parse(one["formula"])
        assert [one["reason"] for one in table("decisions")] == ["an artefact"]
        assert [one["round"] for one in table("rounds")] == [1]
        assert {one["name"] for one in table("members")} >= {"ann", "olga"}
        assert table("audit_log") and table("withdrawals") and table("placements") and table("batches")
        for name, told in manifest["tables"].items():
            assert set(told["columns"]) == set(pq.read_schema(tmp_path / "all" / name).names)
            assert all(column["meaning"] for column in told["columns"].values())
        assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]

    def test_no_secret_is_in_it(self, season, participant, olga, tmp_path):
        User.objects.filter(pk=participant.user_id).update(email="ann@example.org", password="a-secret-digest")
        exports.export(season, tmp_path / "all", by=olga)
        for path in (tmp_path / "all").glob("*.parquet"):
            text = str(pq.read_table(path).to_pylist())
            assert "ann@example.org" not in text and "a-secret-digest" not in text

    def test_it_is_refused_to_others_and_into_what_is_no_export(self, season, participant, olga, tmp_path):
        (tmp_path / "mine").mkdir()
        for options, why in (({"by": "ann"}, "neither"), ({"to": tmp_path / "mine"}, "no export")):
            with pytest.raises(CommandError, match=why):
                call_command("export", season.slug, **{"by": "olga", "to": tmp_path / "all", **options})
        assert [path.name for path in tmp_path.iterdir() if path.name in ("all", "mine")] == ["mine"]
        join(season, participant.user)
