"""A build that is killed from outside, with its processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from validation.attempt_records import WorkFile, element_task
from validation.building import build
from validation.element_tasks import ELEMENT_SETTINGS, tasks_for
from validation.potentials import load_judge

LIMIT_S = 60.0
SCRIPT = """
import sys
from pathlib import Path
from validation.attempt_records import WorkFile, element_task
from validation.building import build
from validation.element_tasks import ELEMENT_SETTINGS, tasks_for
from validation.potentials import load_judge

judge, work = load_judge("emt"), WorkFile(Path(sys.argv[1]), {}, element_task)
build(tasks_for({"Cu", "Al", "Ni"}), judge, ELEMENT_SETTINGS, record=work.append, workers=2)
"""


def wait_until(happened):
    deadline = time.monotonic() + LIMIT_S
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to see whose children there are")
def test_a_killed_build_leaves_no_worker_behind_and_its_attempts_count(tmp_path):
    path, judge = tmp_path / "attempts.jsonl", load_judge("emt")
    killed = subprocess.Popen([sys.executable, "-c", SCRIPT, str(path)], cwd=Path(__file__).resolve().parents[2])
    wait_until(lambda: path.exists() and path.read_bytes().count(b"\n") > 3)
    children = children_of(killed.pid)

    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()

    assert len(children) >= 2
    wait_until(lambda: not any(map(runs, children)))
    done = WorkFile(path, {}, element_task).attempts()
    tasks, fresh = tasks_for({"Cu", "Al", "Ni"}), []
    assert 3 <= len(done) < len(tasks)
    found = build(tasks, judge, ELEMENT_SETTINGS, done=done, record=fresh.append)
    assert [one.task for one in found] == list(tasks)
    assert {one.task for one in fresh} == set(tasks) - {one.task for one in done}
