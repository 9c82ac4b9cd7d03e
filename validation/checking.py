"""Anybody's own files, read and checked as a season does it: for notebooks, and for ``python -m validation check``.

No structure is relaxed, so what is valid here may still be rejected for how its relaxation ends.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from hull.entries import SYMBOLS
from validation.answers import Read, Text
from validation.crystal import Crystal
from validation.matching import find_duplicates
from validation.readers import Readers
from validation.rules import Reason, Rejected, Rules, Tolerances
from validation.seats import ReadingLimits
from validation.sources import Found, FoundBlock, FoundProblem, OnProgress, files_of, find_structures


class Verdict(StrEnum):
    VALID = "valid"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"
    REFUSED = "refused"  # a file as a whole
    FAILED = "failed"  # our fault


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedStructure:
    """What one data block is worth. file: where it lies, an archive's members as in a folder; line: where it begins.

    crystal: the primitive cell. sites: those that the sentence names, from 1. value and limit: its two numbers.
    """

    file: str
    block: str = ""
    line: int = 1
    verdict: Verdict
    reason: Reason | None = None
    sentence: str = ""
    crystal: Crystal | None = field(default=None, repr=False)
    space_group: int | None = None
    duplicate_of: str = ""  # FILE#block
    sites: tuple[int, ...] = ()
    value: float | None = None
    limit: float | None = None

    @property
    def place(self) -> str:
        return f"{self.file}#{self.block}"

    @property
    def formula(self) -> str:
        """Reduced; empty where there is no crystal."""
        return str(self.crystal.formula) if self.crystal is not None else ""

    @property
    def n_atoms(self) -> int | None:
        return len(self.crystal) if self.crystal is not None else None


def default_elements() -> frozenset[str]:
    """H to Pu, what most judges know."""
    return frozenset(SYMBOLS[:94])


def check_files(
    paths: Iterable[str | Path],
    rules: Rules | None = None,
    *,
    elements: frozenset[str] | None = None,
    jobs: int | None = None,
    limits: ReadingLimits | None = None,
    stdin: BinaryIO | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> Iterator[CheckedStructure]:
    """Every structure of files, archives and folders, in their order, as it is read; files of a folder by name.

    elements: those to allow, ``default_elements()`` if not given; the rules' excluded ones are left out in any case.
    jobs: processes that read, one a core if not given. stdin: seekable, what "-" among the paths stands for.
    on_progress: is told how many bytes of how many have been taken. Duplicates are found by ``mark_duplicates``.
    """
    known = default_elements() if elements is None else elements
    found = find_structures(files_of(paths), stdin=stdin, on_progress=on_progress)
    taken: deque[Found] = deque()
    with Readers(rules or Rules(), known, n_children=jobs or _cores(), limits=limits, with_space_group=True) as readers:
        with closing(readers.read(_texts(found, taken))) as reads:
            for read in reads:
                while isinstance(item := taken.popleft(), FoundProblem):
                    yield _unread(item)
                yield _checked(item, read)
        yield from (_unread(item) for item in taken if isinstance(item, FoundProblem))


def mark_duplicates(
    structures: Sequence[CheckedStructure],
    *,
    tolerances: Tolerances | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> list[CheckedStructure]:
    """The same structures; those that are the same as an earlier one are named its duplicates.

    tolerances: ``Rules().duplicate`` if not given, those of relaxed crystals; ``Rules().twin`` is for exact copies.
    """
    indices = [index for index, structure in enumerate(structures) if structure.crystal is not None]
    crystals = [structure.crystal for structure in structures if structure.crystal is not None]
    originals = find_duplicates(crystals, tolerances=tolerances or Rules().duplicate, on_progress=on_progress)
    marked = list(structures)
    for index, original in zip(indices, originals, strict=True):
        if original is not None:
            marked[index] = _duplicate(structures[index], structures[indices[original]])
    return marked


def _duplicate(structure: CheckedStructure, original: CheckedStructure) -> CheckedStructure:
    return replace(
        structure,
        verdict=Verdict.DUPLICATE,
        reason=Reason.DUPLICATE,
        sentence=f"the same as {original.place}",
        duplicate_of=original.place,
    )


def _texts(found: Iterable[Found], taken: deque[Found]) -> Iterator[Text]:
    """What can be read; everything is remembered in ``taken``, for the order of the results."""
    for item in found:
        if isinstance(item, FoundBlock):
            taken.append(replace(item, block=replace(item.block, text="")))
            yield Text(item.block.text, item.block.line, item.block.format)
        else:
            taken.append(item)


def _checked(found: FoundBlock, read: Read) -> CheckedStructure:
    block = found.block
    place = CheckedStructure(file=found.file, block=block.name, line=block.line, verdict=Verdict.VALID)
    if read.rejection is not None:
        return _rejected(place, read.rejection)
    if read.fault is not None:
        return replace(place, verdict=Verdict.FAILED, sentence=f"reading failed: {read.fault}")
    return replace(place, crystal=read.crystal, space_group=read.space_group)


def _unread(problem: FoundProblem) -> CheckedStructure:
    place = CheckedStructure(file=problem.file, verdict=Verdict.REFUSED, sentence=problem.sentence)
    return place if problem.rejection is None else _rejected(place, problem.rejection)


def _rejected(place: CheckedStructure, rejection: Rejected) -> CheckedStructure:
    return replace(
        place,
        verdict=Verdict.REJECTED,
        reason=rejection.reason,
        sentence=rejection.detail,
        sites=getattr(rejection, "sites", ()),
        value=getattr(rejection, "value", None),
        limit=getattr(rejection, "limit", None),
    )


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
