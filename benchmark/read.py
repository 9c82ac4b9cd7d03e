"""Reading CIFs with all checks, and pymatgen's CifParser on the same files: speed and agreement.

Every file is read once by each, in turns of CHUNK files, in CPU time of one core; compiled code is warm, nothing else.
"""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from pymatgen.io.cif import CifParser

from benchmark.cifs import Cif, corpus, made
from hull.entries import SYMBOLS
from validation.checks import check_initial
from validation.cif import read_block
from validation.compiling import compile_kernels
from validation.crystal import Crystal
from validation.rules import Rejected, Rules

CHUNK = 50
RULES = Rules(max_atoms=200)
KNOWN_ELEMENTS = frozenset(SYMBOLS)
SAME_VOLUME = 1e-5  # of the cell's volume; files round to eight digits
TYPICAL_ATOMS = 20

MEANINGS = {
    "files": "CIFs read by both",
    "corpus_files": "of them from the corpus; 0 where there is none beside the checkout",
    "symmetry_files": "of them with symmetry operations",
    "speedup_over_cifparser": "x: CifParser over reading with all checks, all files",
    "speedup_over_cifparser_p1": "x: the same, files that list every site",
    "speedup_over_cifparser_symmetry": "x: the same, files with symmetry operations",
    "disagreements": "files that both accept but with other atoms, composition or volume",
    "rejected_only_here": "files that cannot be read here but by CifParser",
    "accepted_only_here": "files that CifParser cannot read",
    "refused_by_checks": "files that are read and then refused by a rule",
    "read_ms": "ms of CPU time to read a file here, mean",
    "read_ms_p1": "ms, the same, files that list every site",
    "read_ms_symmetry": "ms, the same, files with symmetry operations",
    "check_ms": "ms of CPU time for all checks of what was read, mean",
    "check_ms_20_atoms": "ms, the same, cells of 20 atoms",
    "cifparser_ms": "ms of CPU time of CifParser a file, mean",
    "atoms": "atoms in a cell, mean",
}


@dataclass(slots=True)
class _Times:
    """CPU seconds a file, in the order of the files."""

    read: list[float] = field(default_factory=list)
    check: list[float] = field(default_factory=list)
    cifparser: list[float] = field(default_factory=list)


@dataclass(slots=True)
class _Found:
    """What came of each file; None where it was not accepted. A content is sorted atomic numbers and volume."""

    here: list[Crystal | None] = field(default_factory=list)
    by_cifparser: list[tuple[list[int], float] | None] = field(default_factory=list)
    refused_by_checks: int = 0


def measure(*, quick: bool, full: bool, say: Callable[[str], None]) -> dict[str, float]:
    """Figures by name; MEANINGS says what each is."""
    say("compiling")
    compile_kernels()
    real = corpus()
    say(f"{len(real)} CIFs in the corpus" if real else "no corpus beside this checkout, and none in BENCHMARK_CIFS")
    say("making crystals")
    files = [*(real[::50] if quick else real), *made(10 if quick else 2_000 if full else 400)]
    _read_here(files[0], _Times(), _Found())
    times, found = _Times(), _Found()
    for first in range(0, len(files), CHUNK):
        chunk = files[first : first + CHUNK]
        for file in chunk:
            _read_here(file, times, found)
        for file in chunk:
            _read_by_cifparser(file, times, found)
        say(f"  {first + len(chunk)} of {len(files)} files")
    return {"files": len(files), "corpus_files": len(real[::50] if quick else real), **_figures(files, times, found)}


def _read_here(file: Cif, times: _Times, found: _Found) -> None:
    started = time.process_time()
    crystal = _read(file.text)
    read = time.process_time()
    found.refused_by_checks += crystal is not None and not _passes(crystal)
    times.check.append(time.process_time() - read)
    times.read.append(read - started)
    found.here.append(crystal)


def _read(text: str) -> Crystal | None:
    try:
        return read_block(text, RULES)
    except Rejected:
        return None


def _passes(crystal: Crystal) -> bool:
    try:
        check_initial(crystal, RULES, KNOWN_ELEMENTS)
    except Rejected:
        return False
    return True


def _read_by_cifparser(file: Cif, times: _Times, found: _Found) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started = time.process_time()
        try:
            structure = CifParser(io.StringIO(file.text)).parse_structures(primitive=False)[0]
        except (ValueError, ArithmeticError, LookupError):  # what it raises for a file that it cannot read
            structure = None
        times.cifparser.append(time.process_time() - started)
    content = None if structure is None else (sorted(structure.atomic_numbers), float(structure.volume))
    found.by_cifparser.append(content)


def _figures(files: Sequence[Cif], times: _Times, found: _Found) -> dict[str, float]:
    symmetric = np.array([file.symmetric for file in files])
    sizes = np.array([0 if crystal is None else len(crystal) for crystal in found.here])
    read, check, cifparser = np.array(times.read), np.array(times.check), np.array(times.cifparser)
    pairs = list(zip(found.here, found.by_cifparser, strict=True))

    def speedup(which: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float:
        return float(cifparser[which].sum() / (read[which].sum() + check[which].sum()))

    return {
        "symmetry_files": int(symmetric.sum()),
        "speedup_over_cifparser": speedup(symmetric | ~symmetric),
        "speedup_over_cifparser_p1": speedup(~symmetric),
        "speedup_over_cifparser_symmetry": speedup(symmetric),
        "disagreements": sum(here is not None and there is not None and _differ(here, there) for here, there in pairs),
        "rejected_only_here": sum(here is None and there is not None for here, there in pairs),
        "accepted_only_here": sum(here is not None and there is None for here, there in pairs),
        "refused_by_checks": found.refused_by_checks,
        "read_ms": 1e3 * float(read.mean()),
        "read_ms_p1": 1e3 * float(read[~symmetric].mean()),
        "read_ms_symmetry": 1e3 * float(read[symmetric].mean()),
        "check_ms": 1e3 * float(check[sizes > 0].mean()),
        "check_ms_20_atoms": 1e3 * float(check[sizes == TYPICAL_ATOMS].mean()),
        "cifparser_ms": 1e3 * float(cifparser.mean()),
        "atoms": float(sizes.mean()),
    }


def _differ(here: Crystal, there: tuple[list[int], float]) -> bool:
    numbers, volume = there
    return sorted(here.numbers.tolist()) != numbers or not abs(here.volume - volume) <= SAME_VOLUME * volume
