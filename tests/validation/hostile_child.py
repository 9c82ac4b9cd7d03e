"""A child for tests: reads like the real one, except that some texts make it misbehave as a library might."""

import ctypes
import os
import signal
import stat
import struct
import subprocess
import sys
import time

from validation.acceptance import accept_initial
from validation.child import serve
from validation.crystal import Crystal

_hoard = []


def _answers_pipe() -> int:
    """The file number that answers are written to: the last pipe that is open."""
    pipes = [number for number in range(3, 64) if _is_pipe(number)]
    return pipes[-1]


def _is_pipe(number: int) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(number).st_mode)
    except OSError:
        return False


def _hang() -> None:
    ctypes.CDLL(None).usleep(100_000_000)
    signal.pause()


def _burn_in_compiled_code() -> None:
    sum(iter(int, 1))


def _start_another() -> None:
    subprocess.Popen(["sleep", "1000"])
    _hang()


def _allocate() -> None:
    while True:
        _hoard.append(bytearray(1 << 24))


def _allocate_and_crash() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    while True:
        ctypes.memset(libc.malloc(1 << 22) or 0, 1, 1 << 22)  # as C that does not look at what malloc gives


def _leave_files_behind() -> None:
    with open("/tmp/left-behind-by-a-child", "wb") as file:  # noqa: PTH123
        file.write(b"x")


DEEDS = {
    "hang": _hang,
    "burn": _burn_in_compiled_code,
    "start another": _start_another,
    "segfault": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "exit silently": lambda: os._exit(0),
    "system exit": lambda: sys.exit(3),
    "allocate": _allocate,
    "allocate and crash": _allocate_and_crash,
    "raise": lambda: {}["no such key"],
    "recurse": lambda: (lambda f: f(f))(lambda f: f(f)),
    "write garbage": lambda: os.write(_answers_pipe(), b"garbage, and more of it"),
    "endless frame": lambda: os.write(_answers_pipe(), struct.pack("<II", 1000, (1 << 32) - 1)),
    "unfinished frame": lambda: (os.write(_answers_pipe(), struct.pack("<II", 1000, 1000)), _hang()),
    "print": lambda: os.write(1, b"a library's greeting\n"),
    "write a file": _leave_files_behind,
    "environment": lambda: (_ for _ in ()).throw(LookupError(" ".join(sorted(os.environ)))),
}
_lived_through: list[str] = []


def accept(text, rules, known_elements, **details) -> Crystal:
    deed, _, rest = text.partition("\n")
    if deed == "die unless fresh":
        if len(_lived_through) > 2:  # the first ones are what it warms up with
            os.abort()
        text = rest
    elif deed == "sleep":
        time.sleep(0.2)
        text = rest
    elif deed in DEEDS:
        DEEDS[deed]()
        text = rest
    _lived_through.append(deed)
    return accept_initial(text, rules, known_elements, **details)


if __name__ == "__main__":
    serve(accept, sys.argv[1:])
