"""The log: one line a record, with what it is about, and nothing that a stranger can forge."""

import io
import json
import logging
import sys
import threading

import pytest
from ase.build import bulk
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DatabaseError
from driving import cif, ordered_alloy, place_all, read_all, relax_all, zipped
from facts import add_candidate, let_expire

from philately import broker, logs
from philately.domain import intake
from philately.domain.sweep import sweep
from philately.domain.transitions import claim
from philately.logs import JsonLines, Lines, about, carries, printable
from philately.models import Candidate, Tally
from philately.states import CandidateState
from philately.tasks import place as place_task

S = CandidateState
HOSTILE = [
    "a\nWARNING philately forged [candidate=1]",
    'a"}\n{"level": "ERROR", "message": "forged"}',
    "red \x1b[31m and \x07",
    "\u2028next\u2029\x85\x0b\x0c",
    "half a pair \udc80",
    "right-to-left \u202e",
    "null \0",
]


@pytest.fixture
def written():
    """What the platform's log writes from now on: (formatter's name) → a list of records, or of lines."""
    streams = {}
    log = logging.getLogger("philately")
    level = log.level

    def read(kind: str) -> list:
        handler = streams[kind]
        lines = handler.stream.getvalue().splitlines()
        return [json.loads(line) for line in lines] if kind == "json" else lines

    for kind, formatter in logs.FORMATS.items():
        handler = logging.StreamHandler(io.StringIO())
        handler.setFormatter(formatter())
        log.addHandler(handler)
        streams[kind] = handler
    yield read
    for handler in streams.values():
        log.removeHandler(handler)
    log.setLevel(level)


def _record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    return logging.getLogger("philately.test").makeRecord(
        "philately.test", logging.WARNING, __file__, 1, message, args, None, extra=extra
    )


class TestOneLine:
    @pytest.mark.parametrize("name", HOSTILE)
    def test_what_a_stranger_named_stays_within_its_line(self, name):
        record = _record("batch 3 is received: %s", name, batch=3)

        line = Lines().format(record)
        assert line.isprintable()
        assert line.endswith("[batch=3]")
        text = JsonLines().format(record)
        assert text.isprintable()
        assert json.loads(text)["message"] == f"batch 3 is received: {name}"
        assert json.loads(text)["level"] == "WARNING"

    @pytest.mark.parametrize("name", HOSTILE)
    def test_so_does_what_an_error_quotes(self, name):
        """Formatted by hand: what is logged in a test pytest hands on as it is, half a pair of surrogates, too."""
        record = _record("reading failed", candidate=7)
        try:
            raise ValueError(name)
        except ValueError:
            record.exc_info = sys.exc_info()

        told = json.loads(JsonLines().format(record))
        assert name.splitlines()[0].split("\x1b")[0].split("\udc80")[0] in told["traceback"]
        first, *rest = Lines().format(record).splitlines()
        assert first.endswith("reading failed [candidate=7]")
        assert rest
        assert all(line.startswith("  | ") and line.isprintable() for line in rest)

    def test_a_name_that_prints_is_left_as_it_is(self):
        assert printable("Grüße_é.cif [x=1]") == "Grüße_é.cif [x=1]"

    def test_a_text_of_any_length_is_cut_in_its_middle(self):
        data = json.loads(JsonLines().format(_record("begin %s end", "x" * 100_000)))

        assert len(data["message"]) < logs.LIMIT + 100
        assert data["message"].startswith("begin xx")
        assert data["message"].endswith("xx end")

    def test_a_traceback_of_another_process_is_shown_as_our_own(self):
        record = _record("reading failed", candidate=7, traceback="Traceback\n  File\nValueError: x")

        assert json.loads(JsonLines().format(record))["traceback"].endswith("ValueError: x")
        assert Lines().format(record).splitlines()[1:] == ["  | Traceback", "  |   File", "  | ValueError: x"]

    def test_only_what_a_record_may_be_about_is_written(self):
        record = _record("x", candidate=7, password="hush", data={"args": "hush"})

        assert "hush" not in JsonLines().format(record) + Lines().format(record)


class TestIds:
    def test_they_hold_for_what_is_done_within_and_for_nothing_else(self, written):
        log = logging.getLogger("philately.test")
        with about(batch=1), about(shard=2):
            log.warning("within", extra={"candidate": 3})
            thread = threading.Thread(target=log.warning, args=("in another thread",))
            thread.start()
            thread.join()
        log.warning("without")

        ids = [{name: record[name] for name in logs.IDS if name in record} for record in written("json")]
        assert ids == [{"batch": 1, "shard": 2, "candidate": 3}, {}, {}]

    def test_a_function_carries_its_first_arguments_rows_by_their_keys(self, written, season):
        @carries("season", "run")
        def deed(season, run: int, other: str) -> str:
            logging.getLogger("philately.test").warning("at it")
            return other

        assert deed(season, 4, other="given back") == "given back"
        with pytest.raises(TypeError):
            deed(season)

        (record,) = written("json")
        assert (record["season"], record["run"]) == (season.pk, 4)
        assert logs.ids_of(_record("after")) == {}

    def test_a_request_that_fails_is_found_by_the_id_in_its_answer(self, client, db, monkeypatch):
        monkeypatch.setattr("philately.queries.seasons_with_counts", lambda: 1 / 0)
        client.raise_request_exception = False
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(JsonLines())
        logging.getLogger("django.request").addHandler(handler)
        try:
            answer = client.get("/?token=hush")
        finally:
            logging.getLogger("django.request").removeHandler(handler)

        (record,) = [json.loads(line) for line in stream.getvalue().splitlines()]
        assert record["request_id"] == answer.headers["X-Request-ID"]
        assert "ZeroDivisionError" in record["traceback"]
        assert "hush" not in stream.getvalue()


class TestStages:
    def test_a_structures_whole_way_is_found_by_its_number(self, season, participant, written):
        logging.getLogger("philately").setLevel(logging.DEBUG)
        alloy = ordered_alloy("Cu", "Au", lattice_ang=3.7)
        texts = {"good.cif": cif(alloy), "twin.cif": cif(alloy * (2, 1, 1)), "bad\nname.cif": "hello"}
        upload = SimpleUploadedFile("spring.zip", zipped(texts))
        batch, _ = intake.accept_upload(participant, upload, intake.Method("x"), consent=True)
        read_all(season)
        relax_all(season)
        place_all(season)

        records = written("json")
        by_file = {file[-8:]: pk for pk, file in Candidate.objects.values_list("pk", "detail__file")}

        def way(file: str) -> list[str]:
            mine = [record for record in records if record.get("candidate") == by_file[file]]
            assert {record["season"] for record in mine} == {season.pk}
            assert {record.get("batch", batch.pk) for record in mine} == {batch.pk}
            return [record["message"].split(": ")[0].split(" is ", 1)[1] for record in mine]

        assert way("good.cif") == ["received", "read", "relaxed", "placed"]
        assert way("twin.cif") == ["received", "read", f"a twin of candidate {by_file['good.cif']}"]
        assert way("name.cif") == ["rejected"]

    def test_at_info_there_is_a_line_a_batch_a_shard_and_a_chunk(self, season, participant, written):
        logging.getLogger("philately").setLevel(logging.INFO)
        texts = {f"{number}.cif": cif(bulk("Cu", a=3.5 + number / 50)) for number in range(6)}
        upload = SimpleUploadedFile("spring.zip", zipped(texts))
        batch, _ = intake.accept_upload(participant, upload, intake.Method("x"), consent=True)
        read_all(season)
        relax_all(season)
        place_all(season)

        records = written("json")
        assert len(records) == 6
        said = [record["message"] for record in records]
        assert said[0].startswith(f"batch {batch.pk} is received: spring.zip, ")
        assert said[1] == f"batch {batch.pk} is read: 1 shards"
        assert said[2].endswith("is read, arrivals 1 to 6: 6 pass, 0 rejected, 0 failed")
        assert said[3].startswith("arrivals 1 to 6 are compared: ")
        assert said[4].split(" structures are relaxed, 0 failed, 0 given back")[0].isdigit()
        assert " placed, arrivals 1 to 6, log position " in said[5]
        assert {record["season"] for record in records if "scale" not in record} == {season.pk}
        assert [record.get("batch") for record in records[:3]] == [batch.pk] * 3
        assert records[5]["run"] == season.official_run_id
        assert len(written("line")) == 6

    def test_an_upload_with_a_hostile_name_is_one_line_of_each_format(self, participant, written):
        upload = SimpleUploadedFile("x.zip", zipped({"a.cif": "x"}))
        upload._name = "a\nERROR forged\x1b[2J.zip"

        intake.accept_upload(participant, upload, intake.Method("x"), consent=True)

        assert len(written("json")) == len(written("line")) == 1
        assert written("line")[0].isprintable()

    def test_what_a_dead_worker_held_is_a_warning_with_its_number(self, participant, written):
        candidate = add_candidate(participant, bulk("Cu"), state=S.PARSED)
        claim([candidate.pk], S.PARSED, S.RELAXING, attempts=1)
        let_expire(Candidate.objects.all())

        sweep()

        (record,) = [record for record in written("json") if record["level"] == "WARNING"]
        assert (record["candidate"], record["batch"], record["season"]) == (
            candidate.pk,
            candidate.batch_id,
            candidate.season_id,
        )

    def test_a_task_is_named_in_what_it_logs_with_the_key_that_it_was_rung_for(self, participant, written):
        add_candidate(participant, bulk("Cu"), 0.0)

        done = place_task.apply([participant.season_id])

        (record,) = written("json")
        assert (record["task"], record["task_name"]) == (done.id, "place")
        assert record["season"] == participant.season_id
        assert logs.ids_of(_record("after")) == {}

    def test_a_broker_that_does_not_answer_is_a_warning_and_counted(
        self, db, written, monkeypatch, django_capture_on_commit_callbacks
    ):
        def refuse(*args: object, **kwargs: object) -> None:
            raise OSError("no route")

        monkeypatch.setattr(broker.app, "send_task", refuse)
        with about(batch=5), django_capture_on_commit_callbacks(execute=True):
            broker.ring("intake", 1, queue="parse")
        sweep()

        assert [record["batch"] for record in written("json")] == [5]
        assert Tally.objects.get(name="bells_failed", label="intake").count == 1

    def test_counts_that_the_database_refuses_are_kept_for_later(self, db, written, monkeypatch):
        from philately import counted
        from philately.domain import tallies

        counted.take()
        counted.count("tasks", "relax:done", 2)

        def refuse(*args: object) -> None:
            raise DatabaseError("gone")

        with monkeypatch.context() as broken:
            broken.setattr(tallies, "_add", refuse)
            tallies.keep()
        assert not Tally.objects.exists()
        tallies.keep()

        assert Tally.objects.get().count == 2
        assert len(written("json")) == 1
