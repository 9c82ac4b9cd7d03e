"""The dump: every phase of a season's official run as Parquet, with the release, a manifest and checksums.

The same database gives the same bytes. Every distance in it can be computed again from its own columns.
"""

import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from django.conf import settings
from django.db.models import Prefetch, QuerySet

from hull.entries import Formula
from hull.reference import Coverage, write_release
from hull.store import STABLE_TOLERANCE, HullStore, Position
from philately.domain.locks import Hold, LockLost, lock
from philately.domain.releases import file_sha256, release_of
from philately.domain.runs import hull_of
from philately.models import Candidate, Phase, Placement, Run, Season
from philately.queries.dumps import MANIFEST, latest_dump
from philately.queries.stable import symmetry_row
from philately.states import FINAL, CandidateState, PhaseStatus
from validation.crystal import Crystal
from validation.prototype_labels import prototype_of
from validation.spacegroup import symbol_of

FORMAT_VERSION = 2
_CHUNK = 2000
_UNDER_WAY = sorted(set(CandidateState) - FINAL)  # told one by one, they are looked up in an index

SCHEMA = pa.schema(
    [
        ("immutable_id", pa.string()),
        ("origin", pa.string()),  # season, or release
        ("chemical_formula_reduced", pa.string()),  # elements in alphabetical order, as OPTIMADE has it
        ("chemical_system", pa.string()),
        ("elements", pa.list_(pa.string())),
        ("nelements", pa.int32()),
        ("nsites", pa.int32()),
        ("lattice_vectors", pa.list_(pa.list_(pa.float64()))),  # Å
        ("cartesian_site_positions", pa.list_(pa.list_(pa.float64()))),  # Å
        ("species_at_sites", pa.list_(pa.string())),
        ("energy", pa.float64()),  # eV, of the cell
        ("energy_per_atom", pa.float64()),  # eV/atom, and so are the distances below
        ("formation_energy_per_atom", pa.float64()),
        ("e_above_hull", pa.float64()),
        ("e_above_hull_on_arrival", pa.float64()),
        ("decomposition_energy", pa.float64()),
        ("is_stable", pa.bool_()),
        ("status", pa.string()),
        (
            "decomposition",
            pa.list_(
                pa.struct(
                    [
                        ("immutable_id", pa.string()),
                        ("chemical_formula_reduced", pa.string()),
                        ("fraction", pa.float64()),
                    ]
                )
            ),
        ),
        ("space_group_number", pa.int16()),
        ("label", pa.string()),
        ("note", pa.string()),
        ("participant", pa.string()),
        ("method", pa.string()),
        ("submitted_at", pa.timestamp("us", tz="UTC")),
        ("arrival", pa.int64()),
        ("initial_content_hash", pa.string()),
        ("relaxation_steps", pa.int32()),
        ("fmax_ev_per_ang", pa.float64()),
        ("smax_ev_per_ang3", pa.float64()),
        ("judge", pa.string()),
        ("scale_digest", pa.string()),
        ("release_sha256", pa.string()),
        ("rules_digest", pa.string()),
        ("device", pa.string()),
        ("versions", pa.string()),  # JSON
        ("log_position", pa.int64()),
        ("space_group_symbol", pa.string()),
        ("pearson_symbol", pa.string()),
        ("prototype_label", pa.string()),  # AFLOW's notation, with the elements
        ("prototype", pa.string()),  # the same for whatever elements
    ]
)


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
        for rows in _chunks(run, hull):
            hold.confirm()
            writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))
            n_rows += len(rows)
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


def _chunks(run: Run, hull: HullStore) -> Iterator[list[dict[str, Any]]]:
    """Rows sorted by chemical system, formula, energy and number."""
    order = list(
        Phase.objects.filter(run=run)
        .exclude(status=PhaseStatus.WITHDRAWN)
        .order_by("chemical_system", "formula", "energy_per_atom", "number")
        .values_list("pk", flat=True)
    )
    for start in range(0, len(order), _CHUNK):
        some = order[start : start + _CHUNK]
        rows = {phase.pk: phase for phase in _with_everything(run).filter(pk__in=some)}
        positions = {
            phase.number: hull.entry_position(phase.number)
            for phase in rows.values()
            if phase.status == PhaseStatus.ON_RECORD
        }
        formulas = _formulas(run, positions.values())
        yield [_row(run, rows[pk], positions.get(rows[pk].number), formulas) for pk in some]


def _formulas(run: Run, positions: Iterable[Position]) -> dict[int, str]:
    """Of every phase that is part of a decomposition, by number."""
    numbers = {number for position in positions for number, _ in position.decomposition}
    return dict(Phase.objects.filter(run=run, number__in=numbers).values_list("number", "formula"))


def _with_everything(run: Run) -> QuerySet[Phase]:
    placements = Placement.objects.filter(run=run)
    return Phase.objects.select_related(
        "release_phase",
        "candidate__relaxation__geometry",
        "first_candidate__batch__owner__user",
    ).prefetch_related(Prefetch("first_candidate__placements", queryset=placements))


def _id(run: Run, number: int) -> str:
    return f"{run.season.slug}-{run.number}-{number}"


def _row(run: Run, phase: Phase, position: Position | None, formulas: Mapping[int, str]) -> dict[str, Any]:
    crystal = _crystal(phase)
    formula = Formula.parse(phase.formula)
    return {
        "immutable_id": _id(run, phase.number),
        "origin": "release" if phase.release_phase_id else "season",
        "chemical_formula_reduced": phase.formula,
        "chemical_system": phase.chemical_system,
        "elements": list(formula.elements),
        "nelements": len(formula.elements),
        "nsites": len(crystal),
        "lattice_vectors": crystal.lattice.tolist(),
        "cartesian_site_positions": crystal.cart_coords.tolist(),
        "species_at_sites": list(crystal.symbols),
        "energy": phase.energy_per_atom * len(crystal),
        "energy_per_atom": phase.energy_per_atom,
        "formation_energy_per_atom": phase.formation_energy_per_atom,
        "status": phase.status,
        **_distances(run, position, formulas),
        **_origin(phase),
        **_relaxation(phase),
        **_symmetry(phase),
        "judge": run.scale.name,
        "scale_digest": run.scale.digest,
        "release_sha256": run.release.sha256,
        "rules_digest": run.rules_digest,
        "log_position": run.log_position,
    }


def _crystal(phase: Phase) -> Crystal:
    """The representative's cell: a relaxed candidate, or the release's where nobody refined it."""
    if phase.candidate is not None and phase.candidate.relaxation is not None:
        return Crystal.unpack(phase.candidate.relaxation.geometry.crystal)
    assert phase.release_phase is not None  # a database constraint
    return Crystal.unpack(phase.release_phase.geometry)


def _distances(run: Run, position: Position | None, formulas: Mapping[int, str]) -> dict[str, Any]:
    if position is None or position.e_above_hull is None:
        return {"e_above_hull": None, "decomposition_energy": None, "is_stable": None, "decomposition": None}
    return {
        "e_above_hull": position.e_above_hull,
        "decomposition_energy": position.decomposition_energy,
        "is_stable": position.e_above_hull <= STABLE_TOLERANCE,
        "decomposition": [
            {
                "immutable_id": _id(run, number),
                "chemical_formula_reduced": formulas[number],
                "fraction": fraction,
            }
            for number, fraction in position.decomposition
        ],
    }


def _origin(phase: Phase) -> dict[str, Any]:
    if phase.first_candidate is None:
        assert phase.release_phase is not None
        return {"label": phase.release_phase.label, "note": phase.release_phase.note}
    batch = phase.first_candidate.batch
    placement = phase.first_candidate.placements.all()[0]
    return {
        "participant": batch.owner.user.username,
        "method": batch.method,
        "submitted_at": batch.submitted_at,
        "arrival": phase.first_candidate.arrival,
        "e_above_hull_on_arrival": placement.e_above_hull_on_arrival,
    }


def _symmetry(phase: Phase) -> dict[str, Any]:
    """The representative's; null where no group was found, or none was looked for yet."""
    row = symmetry_row(phase)
    number, label = row.space_group_number, row.prototype_label
    return {
        "space_group_number": number,
        "space_group_symbol": symbol_of(number) if number else None,
        "pearson_symbol": row.pearson_symbol or None,
        "prototype_label": label or None,
        "prototype": prototype_of(label) if label else None,
    }


def _relaxation(phase: Phase) -> dict[str, Any]:
    fact = phase.candidate.relaxation if phase.candidate else None
    if fact is None:
        return {}
    return {
        "initial_content_hash": fact.initial_hash,
        "relaxation_steps": fact.steps,
        "fmax_ev_per_ang": fact.fmax_ev_per_ang,
        "smax_ev_per_ang3": fact.smax_ev_per_ang3,
        "device": fact.provenance["device"],
        "versions": json.dumps(fact.provenance["versions"], sort_keys=True),
    }
