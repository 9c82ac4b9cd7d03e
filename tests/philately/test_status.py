"""``manage.py status``: a glance, for people and for programmes; and the alarms that it shares with Prometheus."""

import json
import re
from pathlib import Path

import pytest
import yaml
from ase.build import bulk
from django.conf import settings as project_settings
from django.core.management import call_command
from facts import add_candidate, long_ago

from philately import counted
from philately.domain import readiness, tallies
from philately.domain.locks import lock
from philately.domain.sweep import sweep
from philately.management.commands.status import shown
from philately.models import Scale
from philately.pages import probes
from philately.queries import vitals
from philately.queries.alarms import ALARMS, raised_by
from philately.states import CandidateState, Stage

RULES = project_settings.BASE_DIR / "docs" / "prometheus-alerts.yaml"
OPERATIONS = project_settings.BASE_DIR / "docs" / "operations.md"


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch):
    readiness.forget()
    vitals.forget()
    counted.take()
    monkeypatch.setattr(
        "philately.queries.vitals.disks", lambda: [(("data",), 5e11, 1e12)]
    )  # of the machine that runs tests there is no telling


@pytest.fixture
def status(capsys):
    def ask(*options: str) -> tuple[int, str]:
        try:
            call_command("status", *options)
        except SystemExit as end:
            return int(end.code or 0), capsys.readouterr().out
        return 0, capsys.readouterr().out

    return ask


def test_a_platform_that_is_well_says_so(season, participant, status):
    sweep()
    add_candidate(participant, bulk("Cu"), state=CandidateState.PARSED)

    code, said = status()

    assert code == 0
    assert said.splitlines()[-1] == "all is well"
    assert re.search(r"^candidates waiting +season practice, stage relax +1$", said, re.M)
    assert re.search(r"^last sweep age +\d\.\d s$", said, re.M)
    assert re.search(r"^disk free ratio +folder data +50%$", said, re.M)


def test_what_is_wrong_is_named_and_ends_with_one(season, participant, status):
    add_candidate(participant, bulk("Cu"), state=CandidateState.SET_ASIDE)
    add_candidate(participant, bulk("Cu"), state=CandidateState.RECEIVED)
    long_ago(season.candidates)
    Scale.objects.update(problem="CanaryDied: Si differs")

    code, said = status("--quiet")

    assert code == 1
    named = [line.split()[1] for line in said.splitlines() if line.startswith("WRONG")]
    assert named == [
        "PhilatelySweeperStopped:",
        "PhilatelyRelaxationPaused",
        "PhilatelyParseWaits",
        "PhilatelyCandidatesSetAside",
    ]
    assert "PhilatelyCandidatesSetAside (season practice): an organiser has to decide" in said
    assert len(said.splitlines()) == 4


def test_programmes_get_the_same_as_json(season, participant, status):
    add_candidate(participant, bulk("Cu"), state=CandidateState.FAILED, failed_in=Stage.RELAX)

    code, said = status("--json")

    found = json.loads(said)
    assert (code, found["well"]) == (1, False)
    assert [one["alarm"] for one in found["wrong"]] == ["PhilatelySweeperStopped"]
    figures = {(one["name"], *one["labels"].values()): one["figure"] for one in found["figures"]}
    assert figures["philately_candidates_failed", "practice"] == 1
    assert figures["philately_last_sweep_age_seconds",] is None, "JSON has no infinity"
    assert found["readiness"]["status"] == "ready"


def test_a_broken_dependency_is_told_in_its_own_words(season, status, settings, tmp_path):
    sweep()
    (tmp_path / "file").write_text("")
    settings.MEDIA_ROOT = str(tmp_path / "file" / "files")
    readiness.forget()

    code, said = status("--quiet")

    assert code == 1
    assert said == "WRONG PhilatelyDependencyDown (dependency storage): cannot be written to (Not a directory)\n"


def test_the_help_says_what_the_exit_status_means(capsys):
    with pytest.raises(SystemExit):
        call_command("status", "--help")

    said = " ".join(capsys.readouterr().out.split())
    assert "exit status is 0 where all is well" in said
    assert "docs/operations.md" in said


@pytest.mark.parametrize(
    ("name", "figure", "reads"),
    [
        ("x_seconds", 5400.0, "1.5 h"),
        ("x_seconds", float("inf"), "never"),
        ("x_seconds", -90.0, "-1.5 min"),
        ("x_bytes", 2.5e9, "2.5 GB"),
        ("x", 1234567.0, "1,234,567"),
        ("x_paused", 1.0, "yes"),
    ],
)
def test_figures_read_as_people_read_them(name, figure, reads):
    from prometheus_client.samples import Sample

    assert shown(Sample(name, {}, figure)) == reads


class TestRules:
    """docs/prometheus-alerts.yaml beside the code and the table of docs/operations.md."""

    @pytest.fixture(scope="class")
    def rules(self) -> dict[str, dict]:
        groups = yaml.safe_load(RULES.read_text())["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert len({rule["alert"] for rule in rules}) == len(rules)
        return {rule["alert"]: rule for rule in rules}

    def test_every_rule_names_metrics_that_a_scrape_has(self, rules, season, participant, client):
        sweep()
        for task in ("relax", "place"):
            counted.count("bells_rung", task)
            counted.count("bells_failed", task)
            counted.count("tasks", f"{task}:failed")
        tallies.keep()
        _an_audit_and_a_dump_of(season, participant)
        client.get("/")
        with lock(f"place:{season.pk}"):
            known = set(re.findall(r"^(philately_\w+)", client.get("/metrics").content.decode(), re.M))

        for rule in rules.values():
            named = set(re.findall(r"\bphilately_\w+", rule["expr"]))
            assert named or rule["expr"].startswith("up{"), rule
            assert named <= known, rule["alert"]

    def test_every_rule_says_for_how_long_how_bad_and_what_it_means(self, rules):
        for rule in rules.values():
            assert re.fullmatch(r"\d+[mhd]", rule["for"]), rule["alert"]
            assert rule["labels"]["severity"] in ("page", "ticket")
            assert rule["annotations"]["summary"]
            assert rule["annotations"]["runbook"].endswith("docs/operations.md#what-each-alarm-means")

    def test_thresholds_are_those_of_the_status_command(self, rules):
        for alarm in ALARMS:
            assert rules[alarm.name]["expr"] == alarm.expression

    def test_every_alarm_stands_in_the_table_with_its_threshold_and_nothing_else_does(self, rules):
        table = re.findall(r"^\| `(Philately\w+)` \| (.+?) \| (.+?) \| (.+?) \|$", OPERATIONS.read_text(), re.M)

        assert [name for name, *_ in table] == list(rules)
        for name, signal, means, deed in table:
            assert f"`{rules[name]['expr']}`" in signal.replace("\\|", "|"), name
            assert len(means) > 20
            assert len(deed) > 20

    def test_an_alarm_is_raised_beyond_its_limit_and_not_at_it(self):
        from philately.queries.figures import family

        for alarm in ALARMS:
            labels = (alarm.label[0],) if alarm.label else ()
            values = (alarm.label[1],) if alarm.label else ()
            name = alarm.metric.removeprefix("philately_")
            at = family(name, "", labels, [(values, float(alarm.limit))])
            beyond = family(name, "", labels, [(values, alarm.limit + (-0.01 if alarm.below else 0.01))])

            assert raised_by([at]) == []
            assert [one.alarm for one in raised_by([beyond])] == [alarm]


def _an_audit_and_a_dump_of(season, participant) -> None:
    from philately.domain.audits import audit
    from philately.domain.dumps import refresh
    from philately.domain.place import place_waiting

    add_candidate(participant, bulk("Cu"), 0.0)
    place_waiting(season.pk)
    refresh(season.pk)
    season.official_run.refresh_from_db()
    audit(season.official_run)


def test_every_metric_is_named_as_prometheus_wants_it(season, client):
    text = client.get("/metrics").content.decode()
    families = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.M))

    assert len(families) > 40
    for name, kind in families.items():
        assert name.startswith(("philately_", "process_")), name
        if name.startswith("philately_"):
            assert name.endswith("_total") == (kind == "counter"), name
        assert not name.endswith(("_ms", "_hours", "_days", "_mb", "_percent"))
        assert re.search(rf"^# HELP {name} \S.+$", text, re.M), name


def test_every_metric_stands_in_the_documentation(season, client):
    text = OPERATIONS.read_text()
    named = re.findall(r"^# TYPE (philately_\w+) ", client.get("/metrics").content.decode(), re.M)

    assert named
    assert [name for name in named if f"`{name}" not in text] == []
    assert {"/healthz", "/readyz", "/metrics"} == probes._PATHS


def test_the_rules_are_where_the_documentation_says():
    assert f"[{RULES.name}]({RULES.name})" in OPERATIONS.read_text()
    assert isinstance(RULES, Path)
