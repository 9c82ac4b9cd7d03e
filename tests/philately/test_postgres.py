"""A pool of connections to a real PostgreSQL: given back, replaced when they break, never shared with a child."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from philately.postgres import bound, pooled
from tests.flows.servers import postgres_database

SCRIPT = Path(__file__).with_name("pooling.py")
DEEDS = ("given_back", "restarted", "holding", "copied", "arrays", "forked", "bounded")
POSTGRES = {"ENGINE": "django.db.backends.postgresql", "NAME": "x", "OPTIONS": {"sslmode": "require"}}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What a process of its own saw, by deed."""
    with postgres_database() as url:
        own = {"DATABASE_URL": url, "DATA_DIR": str(tmp_path_factory.mktemp("data")), "SEQUENCER_LEASE_S": "1"}
        done = subprocess.run(
            [
                sys.executable,
                str(SCRIPT),
                "given_back",
                "restarted",
                "holding",
                "copied",
                "arrays",
                "forked",
                "bounded",
            ],
            env={**os.environ, **own, "DATABASE_POOL_SIZE": "4", "PLAIN_STATIC": "1"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_connection_is_given_back_and_used_again_by_whoever_comes_next(told):
    assert told["given_back"]["same"]
    assert told["given_back"]["others"] == 1
    assert told["given_back"]["open"] == 2


def test_requests_go_on_after_the_server_was_restarted(told):
    assert told["restarted"]["ended"] >= 1
    assert (told["restarted"]["before"], told["restarted"]["after"]) == (200, [200, 200, 200])


def test_a_task_whose_connection_breaks_fails_and_the_next_one_does_not(told):
    assert told["restarted"]["failed"]
    assert told["restarted"]["users"] == 0


def test_a_lock_is_kept_although_its_thread_lost_its_connection(told):
    assert told["holding"] == {"token": ""}


def test_rows_go_in_by_copy_and_none_where_the_connection_broke(told):
    assert told["copied"] == {"rows": 3001, "half": 0}


def test_columns_of_any_text_number_or_bytes_come_back_as_they_went(told):
    assert told["arrays"] == {"alone": True, "together": True, "kept": True}


def test_a_forked_child_speaks_through_a_connection_of_its_own(told):
    forked = told["forked"]
    assert forked["parent"] == forked["after"] != forked["child"]


def test_the_web_s_statements_locks_and_idle_transactions_are_bounded(told):
    bounded = told["bounded"]
    assert bounded["statement_timeout"] == bounded["idle_in_transaction_session_timeout"] == "1s"
    assert bounded["lock_timeout"] == "500ms"
    assert "statement timeout" in bounded["sleep"]


def test_what_the_address_says_of_the_connection_stays():
    made = pooled(POSTGRES, size=7, timeout_s=3)

    assert made["OPTIONS"]["sslmode"] == "require"
    assert (made["OPTIONS"]["pool"]["max_size"], made["OPTIONS"]["pool"]["timeout"]) == (7, 3)
    assert (made["CONN_MAX_AGE"], made["CONN_HEALTH_CHECKS"]) == (0, True)


def test_queries_are_not_compiled_unless_the_address_says_so_and_limits_join_that():
    made = pooled({**POSTGRES, "OPTIONS": {"options": "-c jit=on"}}, size=0, timeout_s=3)
    assert made["OPTIONS"]["options"] == "-c jit=off -c jit=on"  # the last one counts

    plain = pooled(POSTGRES, size=0, timeout_s=3)
    bound(plain, statement_s=30, lock_s=10)
    assert plain["OPTIONS"]["options"].startswith("-c jit=off -c statement_timeout=30000 -c lock_timeout=10000")


def test_without_a_size_there_is_no_pool():
    assert "pool" not in pooled(POSTGRES, size=0, timeout_s=3)["OPTIONS"]


def test_limits_join_those_of_the_address_and_leave_sqlite_alone():
    made = {**POSTGRES, "OPTIONS": {"options": "-c jit=off"}}
    bound(made, statement_s=30, lock_s=0)
    assert made["OPTIONS"]["options"] == (
        "-c jit=off -c statement_timeout=30000 -c lock_timeout=0 -c idle_in_transaction_session_timeout=30000"
    )

    lite = {"ENGINE": "django.db.backends.sqlite3", "OPTIONS": {}}
    bound(lite, statement_s=30, lock_s=0)
    assert lite["OPTIONS"] == {}
