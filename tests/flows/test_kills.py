"""Workers are killed in the middle of a batch; verdicts, log and scores come out as if nothing had happened."""

from pathlib import Path

import pytest
from platform_of import platform, submit_alloys

WORKERS = ("parse", "relax-1", "relax-2", "place", "sweep")


def _undisturbed(folder: Path, count: int) -> dict:
    with platform(folder) as running:
        submit_alloys(running, folder, count)
        running.start()
        running.wait_until_final(420)
        assert running.stop() == 0
        return running.driver("result")


def _with_kills(folder: Path, count: int) -> dict:
    moments = (("received", 1), ("relaxed", 1), ("placed", count // 8), ("placed", count // 4), ("placed", count // 3))
    with platform(folder) as running:
        submit_alloys(running, folder, count)
        running.start()
        for name, (state, number) in zip(WORKERS, moments, strict=True):
            running.wait_for(state, number)
            running.kill(name)
        running.wait_until_final(420)
        assert running.stop() == 0
        return running.driver("result")


@pytest.mark.parametrize("count", [24, pytest.param(200, marks=pytest.mark.slow)])
def test_a_kill_of_each_worker_changes_nothing(tmp_path, count):
    undisturbed = _undisturbed(tmp_path / "undisturbed", count)
    killed = _with_kills(tmp_path / "killed", count)

    arrivals = [row[0] for row in killed["candidates"]]
    assert arrivals == list(range(1, count + 1))
    assert {row[1] for row in killed["candidates"]} <= {"placed", "rejected", "parked"}
    assert len(killed["placements"]) == sum(row[1] == "placed" for row in killed["candidates"])
    assert killed == undisturbed
