"""An upload as a stream of structures' texts: its members, cut into blocks, all of it within the limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from validation.archive import read_members
from validation.blocks import Block, split_file
from validation.members import Clock, Meter, UploadLimits
from validation.rules import Rejected


@dataclass(frozen=True, slots=True)
class Found:
    """One structure of a file, or the problem for which the file has none; never both."""

    file: str
    block: Block | None
    problem: Rejected | None = None


def structures_of(
    stream: BinaryIO, name: str, limits: UploadLimits | None = None, *, clock: Clock | None = None
) -> Iterator[Found]:
    """In the upload's order. stream: seekable, at its beginning. clock: seconds, for ``limits.max_seconds``.

    Raises ArchiveRefused, possibly after structures have been yielded: then those are refused with the rest.
    """
    meter = Meter(limits or UploadLimits(), clock)
    for member in read_members(stream, name, meter):
        if member.data is None:
            meter.structure()
            yield Found(member.name, None, member.problem)
            continue
        for block in split_file(member.data, member.name):
            meter.structure()
            yield Found(member.name, block)
