"""``python -m validation.child``: reads texts from strangers in a process of its own, which may be killed at any time.

Started by ``validation.children``. Texts come in frames on standard input, and each is answered by one frame, in order;
so an answer also says that the next text is begun. The program ends with its input or its parent.
"""

from __future__ import annotations

import ctypes
import errno
import math
import os
import resource
import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Protocol

from validation.acceptance import accept_initial
from validation.answers import Terms, Text, decode_texts, encode_crystal, encode_error, encode_rejection
from validation.blocks import Format
from validation.crystal import Crystal
from validation.frames import Decoder, Fields, encode
from validation.rules import Rejected, Rules

_PR_SET_PDEATHSIG = 1
_READ_BYTES = 1 << 16
_MAX_FILES = 64
_COMPILATIONS = 32  # of kernels in one text
# Every lazy import and every kernel that a structure needs, before the clock and the limits count: one that is centred,
# and one that nearly is.
_ORDINARY = """data_ordinary
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'F m -3 m'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Na1 Na 0 0 0
Cl1 Cl 0.5 0.5 0.5
"""
_NEARLY_CENTRED = """data_nearly_centred
_cell_length_a 8.24
_cell_length_b 4.12
_cell_length_c 4.12
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P m m m'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Na1 Na 0.26 0 0
Cl1 Cl 0 0.5 0.5
Cl2 Cl 0.5 0.5 0.5
"""


class Accept(Protocol):
    def __call__(
        self, text: str, rules: Rules, known_elements: frozenset[str], *, first_line: int, format: Format
    ) -> Crystal: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """Of a child. memory_bytes: of address space, libraries included. parent: the process that it must not outlive."""

    time_s: float
    memory_bytes: int
    parent: int

    def arguments(self) -> list[str]:
        return [str(value) for value in asdict(self).values()]

    @classmethod
    def of(cls, arguments: list[str]) -> Limits:
        time_s, memory_bytes, parent = arguments
        return cls(float(time_s), int(memory_bytes), int(parent))


def serve(accept: Accept, arguments: list[str]) -> None:
    """Answer texts until there are no more. accept: what reads one; raises Rejected."""
    limits = Limits.of(arguments)
    _die_with(limits.parent)
    source, answers = _own_pipes()
    everything = Terms(Rules(), frozenset({"Na", "Cl"}), with_space_group=True, with_fingerprints=True)
    for familiar in (_ORDINARY, _NEARLY_CENTRED):
        _answer(accept, Text(familiar), everything)
    _restrict(limits)
    _send(answers, encode({"ready": True}))
    terms: Terms | None = None
    for fields, blob in _frames(source):
        if "terms" in fields:
            terms = Terms.of(fields["terms"])
            continue
        assert terms is not None, "texts came before what they are read by"
        for text in decode_texts(fields, blob):
            _limit_cpu(limits.time_s)
            _send(answers, _answer(accept, text, terms))


def _answer(accept: Accept, text: Text, terms: Terms) -> bytes:
    """The place where a crystal becomes an answer."""
    try:
        return encode_crystal(_read(accept, text, terms), terms)
    except Rejected as rejection:
        return encode_rejection(rejection)
    except Exception as error:  # noqa: BLE001 - it is the caller's to log, who knows whose text this is
        return encode_error(error)


def _read(accept: Accept, text: Text, terms: Terms) -> Crystal:
    """Once more wherever numba could not keep what it had compiled: by then it has it in memory."""
    decoded = text.text.decode() if isinstance(text.text, bytes) else text.text
    for _ in range(_COMPILATIONS):
        try:
            return accept(decoded, terms.rules, terms.known_elements, first_line=text.first_line, format=text.format)
        except OSError as error:
            if error.errno != errno.EFBIG:  # what RLIMIT_FSIZE gives
                raise
    raise RuntimeError(f"more than {_COMPILATIONS} kernels were compiled for one text")


def _die_with(parent: int) -> None:
    """A text that hangs in compiled code never sees that its input ends, so Linux is asked to end the process."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the process that started this one has ended")


def _own_pipes() -> tuple[int, int]:
    """Input and output under numbers of their own, so that a library that prints does not spoil a frame."""
    source, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)
    return source, answers


def _restrict(limits: Limits) -> None:
    """From here on: bounded memory, few files, none written, no core dumps, nothing printed into our log."""
    for limit, value in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_NOFILE, _MAX_FILES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(limit)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (value, value))
    os.dup2(1, 2)


def _limit_cpu(seconds: float) -> None:
    """SIGXCPU for a text that runs on while the parent is busy with something else."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = math.ceil(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _frames(source: int) -> Iterator[tuple[Fields, bytes]]:
    decoder = Decoder(max_bytes=1 << 33)  # it comes from our own side
    while data := os.read(source, _READ_BYTES):
        yield from decoder.feed(data)


def _send(answers: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(answers, view) :]


if __name__ == "__main__":
    serve(accept_initial, sys.argv[1:])
