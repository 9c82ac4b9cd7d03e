"""`relax-shard` as a command: killed, ended or hanging, the same command goes on; what is wrong gets a sentence."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from shard_making import alloys, folder_of, order_on, parts_of, poison

from validation.__main__ import main
from validation.potentials import load_judge
from validation.shard_files import read_results, write_shard
from validation.shards import Progress

ROOT = Path(__file__).resolve().parents[2]
DONE = Progress(done=1, failed=0, structures=1, atoms_done=1, atoms=1)


@pytest.fixture(scope="module")
def emt():
    return load_judge("emt")


@pytest.fixture
def shard(tmp_path, emt):
    """A file with six structures."""
    path = tmp_path / "in.parquet"
    write_shard(path, order_on(emt), alloys(6))
    return path


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.parquet"


def _command(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "validation", "relax-shard", *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def _wait_for_parts(process, out, count):
    until = time.monotonic() + 120
    while len(parts_of(out)) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)


def test_the_command_relaxes_a_shard_and_says_so(shard, out, capsys):
    assert main(["relax-shard", str(shard), str(out), "--quiet"]) == 0

    shown = capsys.readouterr()
    assert "out.parquet: 6 of 6 structures; " in shown.out
    assert shown.err == ""
    assert len(read_results(out).rows) == 6


def test_killed_and_then_ended_by_sigterm_the_same_command_goes_on(tmp_path, out, emt):
    """Real processes: the first is killed, the second told to end, the third finishes."""
    shard = tmp_path / "in.parquet"
    write_shard(shard, order_on(emt), alloys(24))
    killed = _command(shard, out, "--save-every-s", 0)
    _wait_for_parts(killed, out, 3)
    killed.kill()
    killed.communicate()
    after_kill = {row["id"]: row for path in parts_of(out) for row in read_results(path).rows}
    ended = _command(shard, out, "--save-every-s", 0)
    _wait_for_parts(ended, out, len(parts_of(out)) + 1)
    ended.send_signal(signal.SIGTERM)
    told, _ = ended.communicate(timeout=60)
    after_term = {row["id"]: row for path in parts_of(out) for row in read_results(path).rows}

    assert main(["relax-shard", str(shard), str(out), "--quiet"]) == 0

    rows = {row["id"]: row for row in read_results(out).rows}
    assert (killed.returncode, ended.returncode) == (-signal.SIGKILL, 128 + signal.SIGTERM)
    assert f"stopped: {len(after_term)} of 24 structures are written; the same command goes on" in told
    assert 3 <= len(after_kill) < len(after_term) < len(rows) == 24
    assert {id: rows[id] for id in after_term} == after_term
    assert {id: after_term[id] for id in after_kill} == after_kill


_HANGS_ON_PALLADIUM = """
import ctypes
import sys

from ase.calculators.emt import EMT
from validation.__main__ import main

own = EMT.calculate


def calculate(self, atoms, *others):
    if 46 in atoms.numbers:
        ctypes.PyDLL(None).sleep(60)  # and lets no other thread of Python go on
    own(self, atoms, *others)


EMT.calculate = calculate
sys.exit(main(["relax-shard", *sys.argv[1:]]))
"""


def test_a_step_that_hangs_ends_its_process_which_says_where_and_the_structure_is_found(tmp_path, out, emt):
    shard = tmp_path / "in.parquet"
    write_shard(shard, order_on(emt), [*alloys(2), poison(), *alloys(4)[2:]])
    command = [sys.executable, "-c", _HANGS_ON_PALLADIUM, shard, out, "--step-limit-s", "3", "--save-every-s", "0"]
    started = time.monotonic()

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)

    assert done.returncode == -signal.SIGALRM, done.stderr
    assert "Timeout (0:00:03)!" in done.stderr
    assert "in calculate" in done.stderr
    assert time.monotonic() - started < 55  # it would have hung for a minute
    (in_hand,) = folder_of(out).glob("*.in-hand")
    assert "poison" in in_hand.read_text()
    for number in (2, 3):  # as if it had gone on like that
        in_hand.with_name(f"{number}.in-hand").write_text("poison\n")
    assert main(["relax-shard", str(shard), str(out), "--quiet"]) == 0
    rows = {row["id"]: row for row in read_results(out).rows}
    assert rows["poison"]["error"] == "3 processes died or hung while it was being relaxed"
    assert all(row["stopped"] == "converged" for id, row in rows.items() if id != "poison")


def test_the_limit_of_a_step_follows_that_of_a_structure_and_can_be_put_away(shard, out, monkeypatch):
    seen = []
    monkeypatch.setattr("validation.shards.relax_shard", lambda *paths, pace, **others: seen.append(pace) or DONE)

    for options in ([], ["--limit-s", "60"], ["--step-limit-s", "7"], ["--step-limit-s", "0"]):
        main(["relax-shard", str(shard), str(out), *options])

    assert [pace.step_limit_s for pace in seen] == [930.0, 90.0, 7.0, None]


def test_what_is_no_shard_or_no_judge_for_it_gets_a_sentence_and_status_2(shard, out, tmp_path, emt, capsys):
    (tmp_path / "text.parquet").write_text("hello")
    spoiled = alloys(1)[0].crystal
    object.__setattr__(spoiled, "content_hash", "0" * 64)
    write_shard(tmp_path / "spoiled.parquet", order_on(emt), [dataclasses.replace(alloys(1)[0], crystal=spoiled)])
    write_shard(tmp_path / "twice.parquet", order_on(emt), alloys(1) * 2)
    other = dataclasses.replace(order_on(emt), scale={**order_on(emt).scale, "dtype": "float32"})
    write_shard(tmp_path / "other.parquet", other, alloys(1))
    main(["relax-shard", str(shard), str(out), "--quiet"])
    cases = {
        "missing.parquet": "No such file or directory",
        "text.parquet": "is no shard of structures to relax",
        "out.parquet": "is no shard of structures to relax: it lacks the metadata",
        "spoiled.parquet": "row 1 (s0) is not the crystal whose hash it states",
        "twice.parquet": "two structures have the same id",
        "other.parquet": "not on the scale of spring-0001: dtype is float64, asked for is float32",
    }
    for name, sentence in cases.items():
        with pytest.raises(SystemExit) as ended:
            main(["relax-shard", str(tmp_path / name), str(tmp_path / "new.parquet")])
        assert ended.value.code == 2
        assert sentence in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.glob("new.parquet*"))


@pytest.mark.parametrize(
    "wrong",
    [["--limit-s", "-1"], ["--limit-s", "nan"], ["--threads", "0"], ["--judge", "oracle"], ["--save-every-s", "x"]],
)
def test_options_that_mean_nothing_are_refused(shard, out, wrong, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["relax-shard", str(shard), str(out), *wrong])

    assert ended.value.code == 2
    assert wrong[0] in capsys.readouterr().err
