"""The examples for clusters do what docs/operations.md says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from shard_making import alloys, order_on

from validation.potentials import load_judge
from validation.shard_files import read_results, write_shard

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "examples" / "cluster"


@pytest.fixture
def shards(tmp_path):
    """A folder with two shards of three structures."""
    folder = tmp_path / "shards"
    folder.mkdir()
    order = order_on(load_judge("emt"))
    for number in (1, 2):
        write_shard(folder / f"spring-000{number}.parquet", order, alloys(6)[3 * number - 3 : 3 * number])
    return folder


def _run(*command, **variables):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        list(map(str, command)), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )


def test_an_array_task_relaxes_its_own_shard_with_what_it_was_told(shards, tmp_path):
    """Where there is no Slurm, srun is a file that runs its arguments."""
    srun = tmp_path / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text('#!/bin/sh\nexec "$@"\n')
    srun.chmod(0o755)
    relaxed = tmp_path / "relaxed"

    done = _run(
        *("bash", CLUSTER / "relax_array.sbatch", "--quiet"),
        PATH=f"{srun.parent}:{os.environ['PATH']}",
        PYTHON=sys.executable,
        SHARDS=str(shards),
        RELAXED=str(relaxed),
        SLURM_ARRAY_TASK_ID="2",
    )

    assert done.returncode == 0, done.stderr
    assert [path.name for path in relaxed.iterdir()] == ["spring-0002.parquet"]
    assert [row["id"] for row in read_results(relaxed / "spring-0002.parquet").rows] == ["s3", "s4", "s5"]


def test_ray_data_relaxes_every_shard_of_a_folder(shards, tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'ray[data]'")
    relaxed = tmp_path / "relaxed"
    command = (sys.executable, CLUSTER / "relax_on_ray.py", shards, relaxed, "--workers", 2)

    done = _run(*command)

    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in relaxed.iterdir()) == ["spring-0001.parquet", "spring-0002.parquet"]
    ids = [row["id"] for path in sorted(relaxed.iterdir()) for row in read_results(path).rows]
    assert ids == [f"s{number}" for number in range(6)]
    assert done.stdout.count("3 structures, 0 without a relaxation") == 2
