"""The dump: every phase of a season's official run as Parquet, with the release, a manifest and checksums.

The same database gives the same bytes. Every distance in it can be computed again from its own columns.
"""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from django.conf import settings

from hull.reference import Coverage, write_release
from hull.store import STABLE_TOLERANCE
from philately.domain import dump_rows
from philately.domain.dump_rows import SCHEMA
from philately.domain.locks import Hold, LockLost, lock
from philately.domain.releases import file_sha256, release_of
from philately.domain.runs import hull_of
from philately.models import Candidate, Run, Season
from philately.queries.dumps import MANIFEST, latest_dump
from philately.states import FINAL, CandidateState

FORMAT_VERSION = 2
_UNDER_WAY = sorted(set(CandidateState) - FINAL)  # told one by one, they are looked up in an index


class DumpRefused(Exception):
    """The dump cannot be written there; the message says why."""


def dump_season(season: Season, out: Path, *, wait_s: float = 600.0) -> dict[str, Any]:
    """Write the season's official run into the folder ``out``, replacing an older dump; returns the manifest.

    The sequencer waits meanwhile, so that rows and hull belong together. Raises DumpRefused.
    """
    if season.official_run is None:
        raise DumpRefused(f"the season {season} has no official run")
    if out.exists() and not (out / MANIFEST).is_file():
        raise DumpRefused(f"{out} exists and is no dump; give another folder")
    with _sequencer_lock(season, wait_s) as hold:  # which keeps two dumps out of each other's folder, too
        fresh = out.with_name(f".{out.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        run = Run.objects.select_related("release__scale", "season").get(pk=season.official_run.pk)
        try:
            manifest = _write(run, fresh, hold)
            hold.confirm()
        except LockLost as lost:
            raise DumpRefused("writing took so long that the sequencer went on meanwhile; try again later") from lost
        _put(fresh, out)
    return manifest


def due(season: Season) -> bool:
    """Whether what is offered for download is behind the official run, and either all is quiet or it is old."""
    run = season.official_run
    if run is None or run.placed_to == 0:
        return False
    offered = latest_dump(season)
    if offered is None:
        return True
    if offered.manifest["run"] == _state_of(run):
        return False
    under_way = Candidate.objects.filter(season=season, state__in=_UNDER_WAY).exists()
    age_s = time.time() - offered.files[MANIFEST].stat().st_mtime
    return not under_way or age_s > settings.DUMP_EVERY_S


def refresh(season_id: int) -> bool:
    """Write the dump that the season's page offers, where it is due; says whether it was."""
    season = Season.objects.select_related("official_run").get(pk=season_id)
    with lock(f"dump:{season_id}") as hold:
        if hold is None or not due(season):
            return False
        dump_season(season, Path(settings.DUMP_DIR) / season.slug)
    return True


def _state_of(run: Run) -> dict[str, int]:
    return {"number": run.number, "placed_to": run.placed_to, "log_position": run.log_position}


class _sequencer_lock:
    """The sequencer's lock, waited for."""

    def __init__(self, season: Season, wait_s: float) -> None:
        self._name = f"place:{season.pk}"
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
            time.sleep(0.2)

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)


def _write(run: Run, folder: Path, hold: Hold) -> dict[str, Any]:
    hull = hull_of(run, keep=hold.keep)
    phases = folder / "phases.parquet"
    n_rows = 0
    with pq.ParquetWriter(phases, SCHEMA, compression="zstd") as writer:
        for table in dump_rows.tables(run, hull):
            hold.confirm()
            writer.write_table(table)
            n_rows += table.num_rows
    release = folder / "release.parquet"
    write_release(release_of(run.release), release)
    manifest = _manifest(run, {phases.name: n_rows, release.name: run.release.n_phases}, folder)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    sums = "".join(f"{file_sha256(path)}  {path.name}\n" for path in sorted(folder.iterdir()))
    (folder / "SHA256SUMS").write_text(sums)
    return manifest


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
        "run": _state_of(run),
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
