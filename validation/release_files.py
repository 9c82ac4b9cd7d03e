"""Files of a built-in release: the release, its attempts beside it, and their lines in SHA256SUMS."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hull.atomic import atomic_file
from hull.reference import Release, write_release
from validation.attempt_records import WorkFile
from validation.attempts import TaskT
from validation.potentials import Judge
from validation.rules import RelaxationSettings

CHECKSUMS = "SHA256SUMS"
SEASON_SETTINGS = RelaxationSettings()  # the scale's: energies at the tighter settings of a build belong to it as well


def work_file(
    work_dir: Path, judge: Judge, settings: RelaxationSettings, task_of: Callable[[dict[str, Any]], TaskT]
) -> WorkFile[TaskT]:
    """What a build of this judge with these settings goes on from; the folder is made."""
    work_dir.mkdir(parents=True, exist_ok=True)
    return WorkFile(work_dir / "attempts.jsonl", {**judge.identity(), "settings": asdict(settings)}, task_of)


def publish(release: Release, out: Path, write_attempts: Callable[[Path], None]) -> str:
    """Write the release, beside it its attempts, and their lines in SHA256SUMS; the SHA-256 of the release."""
    out.parent.mkdir(parents=True, exist_ok=True)
    sha256 = write_release(release, out)
    attempts_path = attempts_path_of(out)
    write_attempts(attempts_path)
    _note_checksums(out.parent / CHECKSUMS, (out, attempts_path))
    return sha256


def attempts_path_of(out: Path) -> Path:
    """Where the attempts stand of the release at ``out``."""
    return out.with_name(f"{out.stem}-attempts{out.suffix}")


def _note_checksums(path: Path, files: Iterable[Path]) -> None:
    """Replace or add the files' lines, in the format of sha256sum, sorted by name."""
    sums = {}
    if path.exists():
        sums = {name: digest for digest, name in (line.split(maxsplit=1) for line in path.read_text().splitlines())}
    sums |= {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    with atomic_file(path) as out:
        out.write("".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode())
