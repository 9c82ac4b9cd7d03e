"""The supervisor: what dies is started again, and one signal ends everything. All with real processes."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 15


@pytest.fixture
def supervised(tmp_path):
    """Starts a supervisor of these children, each a piece of Python that knows ``note(text)``."""
    started = []

    def start(stop_s=1.0, **children):
        script = tmp_path / "supervise.py"
        script.write_text(_script(tmp_path / "notes", children, stop_s))
        process = subprocess.Popen([sys.executable, str(script)], cwd=ROOT, start_new_session=True)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _script(notes, children, stop_s):
    prelude = f"import os, signal, sys, time\ndef note(text): open({str(notes)!r}, 'a').write(text + chr(10))\n"
    commands = {name: [sys.executable, "-c", prelude + textwrap.dedent(code)] for name, code in children.items()}
    return textwrap.dedent(f"""
        import os, sys
        sys.path.insert(0, {str(ROOT)!r})
        from philately.service.supervisor import Child, Supervisor
        commands = {commands!r}
        Supervisor([Child(name, command, stop_s={stop_s}) for name, command in commands.items()], os.environ).run()
        """)


def _notes(tmp_path, n, seconds=WAIT_S):
    """The notes once there are so many."""
    until = time.monotonic() + seconds
    file = tmp_path / "notes"
    while time.monotonic() < until:
        lines = file.read_text().split() if file.exists() else []
        if len(lines) >= n:
            return lines
        time.sleep(0.05)
    raise AssertionError(f"{lines} after {seconds} s, not {n}")


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def _wait_until_dead(pids):
    until = time.monotonic() + WAIT_S
    while any(map(_alive, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(map(_alive, pids))


STEADY = "note(str(os.getpid())); time.sleep(60)"


def test_a_child_that_is_killed_is_started_again_and_the_others_go_on(supervised, tmp_path):
    supervised(one=STEADY, two=STEADY)
    first = [int(pid) for pid in _notes(tmp_path, 2)]

    os.kill(first[0], signal.SIGKILL)

    again = [int(pid) for pid in _notes(tmp_path, 3)]
    assert _alive(again[2])
    assert _alive(first[1])


def test_one_that_dies_again_and_again_is_started_ever_more_slowly(supervised, tmp_path):
    supervised(one="note(str(time.time()))")

    times = [float(line) for line in _notes(tmp_path, 4)]

    assert times[3] - times[2] > 1.5
    assert times[1] - times[0] < times[3] - times[2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_ends_everything_cleanly(supervised, tmp_path, number):
    process = supervised(
        polite="""
        signal.signal(signal.SIGTERM, lambda *_: (note("bye"), sys.exit(0)))
        note(str(os.getpid())); time.sleep(60)
        """,
        other=STEADY,
    )
    pids = [int(pid) for pid in _notes(tmp_path, 2)]

    process.send_signal(number)

    assert process.wait(WAIT_S) == 0
    assert "bye" in _notes(tmp_path, 3)
    assert not any(map(_alive, pids))


def test_a_child_that_ignores_the_signal_is_killed(supervised, tmp_path):
    process = supervised(
        stop_s=0.3,
        deaf="signal.signal(signal.SIGTERM, signal.SIG_IGN); note(str(os.getpid())); time.sleep(60)",
    )
    (pid,) = map(int, _notes(tmp_path, 1))

    process.send_signal(signal.SIGTERM)

    assert process.wait(WAIT_S) == 0
    assert not _alive(pid)


def test_grandchildren_of_a_child_that_died_are_ended_before_it_is_started_again(supervised, tmp_path):
    supervised(
        parent="""
        if os.fork() == 0:
            note(str(os.getpid())); time.sleep(60)
        else:
            time.sleep(0.3)
        """
    )
    first, _ = _notes(tmp_path, 2)[:2]

    assert _wait_until_dead([int(first)])


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's parent death signal")
def test_children_do_not_outlive_a_supervisor_that_is_killed(supervised, tmp_path):
    process = supervised(one=STEADY, two=STEADY)
    pids = [int(pid) for pid in _notes(tmp_path, 2)]

    process.kill()

    assert _wait_until_dead(pids)
