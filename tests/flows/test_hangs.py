"""A step that hangs in compiled code is beyond Python's reach, so the process ends itself."""

import signal
import subprocess
import sys
import textwrap
import time

from platform_of import ROOT

_HANGING = textwrap.dedent("""
    import ctypes
    import django

    django.setup()
    from validation.alarms import killed_after

    libc = ctypes.CDLL(None)
    with killed_after(0.5):
        for _ in range(200):
            libc.usleep(100_000)
""")


def test_a_relaxation_that_hangs_in_compiled_code_ends_its_process(tmp_path):
    environment = {"DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "philately.settings", "PYTHONPATH": str(ROOT)}

    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", _HANGING], env=environment, timeout=60, check=False)

    assert done.returncode == -signal.SIGALRM
    assert time.monotonic() - started < 19  # it would have hung for twenty seconds
