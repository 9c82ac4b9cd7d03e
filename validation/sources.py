"""Where structures lie: files, archives and folders of them, read from front to back, a member in memory at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from validation.blocks import Block
from validation.members import ArchiveRefused, UploadLimits
from validation.rules import Rejected
from validation.uploads import structures_of

STDIN = "-"
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class FoundBlock:
    """One structure's text. file: its path; an archive's members are named as if it were a folder."""

    file: str
    block: Block


@dataclass(frozen=True, slots=True)
class FoundProblem:
    """A file that gives no structures. rejection: None where nothing more can be read of the file as a whole."""

    file: str
    sentence: str
    rejection: Rejected | None = None


Found = FoundBlock | FoundProblem


def files_of(paths: Iterable[str | Path]) -> list[str]:
    """Folders become the files below them, by name, hidden ones left out. Raises FileNotFoundError."""
    return [file for path in paths for file in _files(str(path))]


def find_structures(
    files: Iterable[str],
    *,
    stdin: BinaryIO | None = None,
    limits: UploadLimits | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> Iterator[Found]:
    """Every block of every file, in order. stdin: what "-" stands for; seekable.

    on_progress: is told how many bytes of how many lie behind.
    """
    files = list(files)
    sizes = [0 if file == STDIN else Path(file).stat().st_size for file in files]
    for number, file in enumerate(files):
        before, total = sum(sizes[:number]), sum(sizes)
        try:
            with _opened(file, stdin) as stream, closing(_structures(file, stream, limits)) as found:
                for item in found:
                    yield item
                    on_progress(min(before + stream.tell(), total), total)
        except ArchiveRefused as refusal:
            yield FoundProblem(file, str(refusal))
        except OSError as error:
            yield FoundProblem(file, f"the file cannot be read: {error.strerror or error}")


def _files(path: str) -> Iterator[str]:
    if path == STDIN or Path(path).is_file():
        yield path
    elif not Path(path).is_dir():
        raise FileNotFoundError(f"there is no file or folder {path}")
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = (Path(folder) / name for name in sorted(names) if not name.startswith("."))
        yield from (str(file) for file in below if file.is_file())  # no pipes, no links to nowhere


def _opened(file: str, stdin: BinaryIO | None) -> BinaryIO:
    if file != STDIN:
        return Path(file).open("rb")
    if stdin is None:
        raise OSError("there is no standard input")
    return stdin


def _structures(file: str, stream: BinaryIO, limits: UploadLimits | None) -> Generator[Found]:
    name = Path(file).name
    for found in structures_of(stream, name, limits):
        is_itself = found.file in (name, name.removesuffix(".gz"), name.removesuffix(".zst"))
        place = file if is_itself else f"{file}/{found.file}"
        if found.block is not None:
            yield FoundBlock(place, found.block)
        elif found.problem is not None:
            yield FoundProblem(place, found.problem.detail, found.problem)
