"""One sequencer or auditor in a process of its own: ``python tests/flows/sequencer.py DEED …`` in its environment.

prepare N: migrate, open a season, and add so many relaxed candidates with energies that are made up.
place SECONDS: do as a worker does whom the sweeper rings for, until all is placed; exits with 3 if that takes longer.
audit SECONDS: audit again and again while another process places; nothing may ever differ.
stop_itself computing|writing N: the same, but suspends itself before the Nth candidate, or at the Nth commit.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "philately")]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "philately.settings")

import django  # noqa: E402

django.setup()

import numpy as np  # noqa: E402 - some of these need the set-up above
from alloys import structures  # noqa: E402
from django.db import connection  # noqa: E402

from philately.domain.audits import audit  # noqa: E402
from philately.models import Batch, Candidate, Run, Season, User  # noqa: E402
from philately.states import CandidateState  # noqa: E402
from philately.tasks import place  # noqa: E402
from validation.placing import Fold  # noqa: E402


def prepare(count: str) -> None:
    import driver
    from facts import add_batch, add_candidate, add_shard

    from philately.domain.seasons import join

    driver.prepare()
    member = join(Season.objects.get(), User.objects.create_user("anna"))
    shard = add_shard(add_batch(member))
    energies = np.random.default_rng(7).normal(-0.1, 0.1, int(count))
    for (_, atoms), energy in zip(structures(), energies.tolist(), strict=False):
        add_candidate(member, atoms, energy, shard=shard)
    assert Batch.objects.count() == 1


def place_everything(seconds: str) -> None:
    until = time.monotonic() + float(seconds)
    season = Season.objects.get().pk
    while Candidate.objects.filter(state=CandidateState.RELAXED).exists():
        if time.monotonic() > until:
            sys.exit(3)
        place(season)
        time.sleep(0.05)


def audit_meanwhile(seconds: str) -> None:
    run = Season.objects.get().official_run
    positions = [audit(run).log_position]
    placing = subprocess.Popen([sys.executable, __file__, "place", seconds])
    while placing.poll() is None:
        found = audit(run)
        positions.append(found.log_position)
        assert not found.sentences
    assert placing.returncode == 0
    assert len(set(positions)) > 2, positions


def stop_itself(where: str, number: str) -> None:
    left = int(number)

    def count_down() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGSTOP)

    def before_each_candidate(fold, arrival):
        count_down()
        return judge_one(fold, arrival)

    def before_the_run_moves(execute, sql, *arguments):
        if sql.startswith(f'UPDATE "{Run._meta.db_table}"'):
            count_down()
        return execute(sql, *arguments)

    if where == "computing":
        judge_one, Fold.judge = Fold.judge, before_each_candidate
        place_everything("60")
    else:
        with connection.execute_wrapper(before_the_run_moves):
            place_everything("60")


if __name__ == "__main__":
    deed, *given = sys.argv[1:]
    {"prepare": prepare, "place": place_everything, "audit": audit_meanwhile, "stop_itself": stop_itself}[deed](*given)
