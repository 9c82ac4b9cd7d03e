"""PostgreSQL plans by what it last counted; a run that grows is counted again."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg

ROOT = Path(__file__).resolve().parents[2]


def test_the_server_is_told_of_a_run_that_grew(tmp_path, postgres_url):
    environment = {
        **{key: value for key, value in os.environ.items() if key not in ("BROKER_URL", "STORAGE_URL")},
        "DATABASE_URL": postgres_url,
        "DATA_DIR": str(tmp_path),
        "BROKER_URL": "memory://",
        "DJANGO_SETTINGS_MODULE": "philately.settings",
        "OMP_NUM_THREADS": "1",
    }

    subprocess.run([sys.executable, "-m", "benchmark.place_once", "400"], cwd=ROOT, env=environment, check=True)

    with psycopg.connect(postgres_url) as connection:
        counted = connection.execute(
            "SELECT n_distinct FROM pg_stats WHERE tablename = 'philately_phase' AND attname = 'number'"
        ).fetchone()
    assert counted is not None  # it is, once anything was counted in a table with rows
