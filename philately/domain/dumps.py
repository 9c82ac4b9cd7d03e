"""The dump: every phase of a season's official run as Parquet, with the release, a manifest and checksums.

The same database gives the same bytes. Every distance in it can be computed again from its own columns.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from django.conf import settings
from django.db.models.functions import Now

from hull.reference import Coverage, write_release
from hull.store import STABLE_TOLERANCE
from philately.domain import dump_rows, offered_dumps
from philately.domain.dump_phases import Phases
from philately.domain.dump_rows import SCHEMA
from philately.domain.locks import Hold, LockLost, lock
from philately.domain.releases import file_sha256, release_of
from philately.logs import carries
from philately.models import Candidate, Dump, Run, Season
from philately.queries.dumps import MANIFEST, latest_dump, shows, state_of
from philately.states import FINAL, CandidateState

FORMAT_VERSION = 2
_UNDER_WAY = sorted(set(CandidateState) - FINAL)  # told one by one, they are looked up in an index
_PREFIX = ".offered-"  # of folders in DUMP_DIR, on their way to the storage
_ABANDONED_S = 86_400.0
_PATIENCE_S = 600.0  # for the sequencer
_QUICK_S = 5.0  # what a dump may take and be made at once whenever all is quiet
_REST = 20.0  # times as long as one took, where it takes longer: a twentieth of a worker and of the sequencer


class DumpRefused(Exception):
    """The dump cannot be written there; the message says why."""


def dump_season(
    season: Season, out: Path, *, wait_s: float = _PATIENCE_S, at_work: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Write the season's official run into the folder ``out``, replacing an older dump; returns the manifest.

    The sequencer waits meanwhile, so that rows and hull belong together. at_work: called again and again. Raises
    DumpRefused, and OSError where there is no room; then the older one stays.
    """
    return _dumped(season, out, wait_s, at_work)[0]


def _dumped(season: Season, out: Path, wait_s: float, at_work: Callable[[], None]) -> tuple[dict[str, Any], float]:
    """The manifest, and the seconds for which the sequencer waited."""
    if season.official_run is None:
        raise DumpRefused(f"the season {season} has no official run")
    if out.exists() and not (out / MANIFEST).is_file():
        raise DumpRefused(f"{out} exists and is no dump; give another folder")
    with _sequencer_lock(season, wait_s, at_work) as hold:  # which keeps two dumps out of each other's folder, too
        begun = time.monotonic()
        fresh = out.with_name(f".{out.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        run = Run.objects.select_related("release__scale", "season").get(pk=season.official_run.pk)
        try:
            manifest = _write(run, fresh, hold, at_work)
            hold.confirm()
        except LockLost as lost:
            raise DumpRefused("writing took so long that the sequencer went on meanwhile; try again later") from lost
        except OSError:
            shutil.rmtree(fresh, ignore_errors=True)  # a disk that is full is not to stay so for half a dump
            raise
        _put(fresh, out)
        return manifest, time.monotonic() - begun


def due(season: Season) -> bool:
    """Whether what is offered for download is behind the official run, and either all is quiet or it is old. One that
    took long rests first, also when all is quiet: the next batch, which may come in a moment, waits for it."""
    run = season.official_run
    if run is None or run.placed_to == 0:
        return False
    offered = latest_dump(season)
    if offered is None:
        return True
    if shows(offered, run):
        return False
    under_way = Candidate.objects.filter(season=season, state__in=_UNDER_WAY).exists()
    rest_s = settings.DUMP_EVERY_S if under_way else _rest_s(offered)
    return not Dump.objects.filter(pk=offered.pk, whole_at__gt=Now() - timedelta(seconds=rest_s)).exists()


def _rest_s(offered: Dump) -> float:
    return 0.0 if offered.took_s <= _QUICK_S else min(_REST * offered.took_s, settings.DUMP_EVERY_S)


@carries("season")
def refresh(season_id: int) -> bool:
    """Make the dump that the season's page offers anew, where it is due; says whether it was."""
    season = Season.objects.select_related("official_run").get(pk=season_id)
    with lock(_lock_of(season)) as hold:
        if hold is None or not due(season):
            return False
        _offer(season, hold)
    return True


def offer(season: Season) -> Dump:
    """Make it anew at once. Raises DumpRefused."""
    with lock(_lock_of(season)) as hold:
        if hold is None:
            raise DumpRefused("another process is making this season's dump; it will be there soon")
        return _offer(season, hold)


def _offer(season: Season, hold: Hold) -> Dump:
    """Written here, then put into the storage."""
    _remove_abandoned()
    Path(settings.DUMP_DIR).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.DUMP_DIR, prefix=_PREFIX) as folder:
        written = Path(folder) / season.slug
        manifest, took_s = _dumped(season, written, _PATIENCE_S, hold.at_work)
        try:
            return offered_dumps.publish(season, written, manifest, hold, took_s=took_s)
        except LockLost as lost:
            raise DumpRefused("storing took so long that another process makes this dump now") from lost


def _remove_abandoned() -> None:
    """What processes of this machine left that were killed while they wrote."""
    for folder in Path(settings.DUMP_DIR).glob(f"{_PREFIX}*"):
        if folder.stat().st_mtime < time.time() - _ABANDONED_S:
            shutil.rmtree(folder, ignore_errors=True)


def _lock_of(season: Season) -> str:
    return f"dump:{season.pk}"


class _sequencer_lock:
    """The sequencer's lock, waited for."""

    def __init__(self, season: Season, wait_s: float, at_work: Callable[[], None]) -> None:
        self._name, self._at_work = f"place:{season.pk}", at_work
        self._until = time.monotonic() + wait_s

    def __enter__(self) -> Hold:
        while True:
            self._context = lock(self._name)
            hold = self._context.__enter__()
            if hold is not None:
                return hold
            self._context.__exit__(None, None, None)
            if time.monotonic() > self._until:
                raise DumpRefused("the sequencer is busy; try again later")
            self._at_work()
            time.sleep(0.2)

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)


def _write(run: Run, folder: Path, hold: Hold, at_work: Callable[[], None]) -> dict[str, Any]:
    def keep() -> None:
        hold.keep()
        at_work()

    phases = Phases(run, keep=keep)
    hull = phases.hull(keep=keep)
    written = folder / "phases.parquet"
    n_rows = 0
    with _TableWriter(written) as writer:
        for table in dump_rows.tables(run, phases, hull):
            hold.confirm()
            at_work()
            writer.write(table)
            n_rows += table.num_rows
    release = folder / "release.parquet"
    write_release(release_of(run.release), release)
    manifest = _manifest(run, {written.name: n_rows, release.name: run.release.n_phases}, folder)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    sums = {name: about["sha256"] for name, about in manifest["files"].items()}
    sums[MANIFEST] = file_sha256(folder / MANIFEST)
    (folder / "SHA256SUMS").write_text("".join(f"{sums[name]}  {name}\n" for name in sorted(sums)))
    return manifest


class _TableWriter:
    """Encodes and writes one table while the next is made: Arrow needs no lock of Python's for it."""

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(path, SCHEMA, compression="zstd")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writes the dump")
        self._writing: Future[None] | None = None

    def __enter__(self) -> "_TableWriter":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._wait()
        finally:
            self._thread.shutdown()
            self._writer.close()

    def write(self, table: pa.Table) -> None:
        """Raises what went wrong with the table before, too."""
        self._wait()
        self._writing = self._thread.submit(self._writer.write_table, table)

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.result()


def _put(fresh: Path, out: Path) -> None:
    """Swap folders; a reader sees the old dump or the new one."""
    old = out.with_name(f".{out.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    fresh.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _manifest(run: Run, rows: dict[str, int], folder: Path) -> dict[str, Any]:
    season, release = run.season, run.release
    return {
        "format_version": FORMAT_VERSION,
        "season": {"slug": season.slug, "name": season.name, "data_licence": season.data_licence},
        "run": state_of(run),
        "judge": {"name": run.scale.name, "scale_digest": run.scale.digest, "identity": run.scale.identity},
        "release": {"name": release.name, "coverage": release.coverage, "sha256": release.sha256},
        "practice": release.coverage != Coverage.FULL,
        "remark": _remark(release.coverage),
        "rules": run.rules,
        "rules_digest": run.rules_digest,
        "versions": run.provenance,
        "units": {"energies": "eV", "distances": "eV/atom", "lengths": "Å"},
        "stable_tolerance_ev_per_atom": STABLE_TOLERANCE,
        "files": {
            name: {"rows": count, "sha256": file_sha256(folder / name), "bytes": (folder / name).stat().st_size}
            for name, count in sorted(rows.items())
        },
        "schema": {field.name: str(field.type) for field in SCHEMA},
    }


def _remark(coverage: str) -> str:
    if coverage == Coverage.FULL:
        return "Stable reads: predicted stable by the judge."
    return (
        f"The release covers {coverage} only: e_above_hull is optimistic, novelty is not defined and points are for "
        "practice. Stable reads: predicted stable by the judge."
    )
