"""One process's part of ``benchmark.dump``: ``python -m benchmark.dump_once COUNT``, the figures as JSON on stdout.

It fills the database and starts the processes that write, ``python -m benchmark.dump_once dump`` and ``… orm ROWS``.
The environment names the database and the data folder.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import django

django.setup()

import pandas as pd  # noqa: E402 - all of these need the set-up above
from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402

from benchmark.filled import fill  # noqa: E402
from benchmark.machine import peak_rss_mb  # noqa: E402
from philately.domain.dumps import dump_season  # noqa: E402
from philately.models import Phase, Season  # noqa: E402
from validation.crystal import Crystal  # noqa: E402

_ORM_ROWS = 20_000
_FILE = "phases.parquet"


def main(count: int) -> dict[str, float]:
    call_command("migrate", verbosity=0)
    fill(count, Path(settings.DATA_DIR), all_placed=True)
    dump, orm = _in_a_process("dump"), _in_a_process("orm", str(min(count, _ORM_ROWS)))
    return {
        "rows": dump["rows"],
        "rows_per_s": dump["rows"] / dump["seconds"],
        "peak_rss_mb": dump["peak_rss_mb"],
        "size_mb": dump["size_mb"],
        "orm_rows": orm["rows"],
        "orm_rows_per_s": orm["rows"] / orm["seconds"],
        "orm_peak_rss_mb": orm["peak_rss_mb"],
        "speedup_over_orm": dump["rows"] / dump["seconds"] / (orm["rows"] / orm["seconds"]),
    }


def write_dump() -> dict[str, float]:
    """As a worker does; what is compiled is compiled before, on disk."""
    out = Path(settings.DATA_DIR) / "dump"
    season = Season.objects.select_related("official_run").get()
    began = time.perf_counter()
    manifest = dump_season(season, out)
    return _told(manifest["files"][_FILE]["rows"], time.perf_counter() - began, out / _FILE)


def write_with_orm(count: int) -> dict[str, float]:
    """As somebody would who has Django and pandas."""
    file = Path(settings.DATA_DIR) / _FILE
    began = time.perf_counter()
    related = ("release_phase", "candidate__relaxation__geometry", "first_candidate__batch__owner__user")
    phases = Phase.objects.select_related(*related).order_by("chemical_system", "formula", "energy_per_atom", "number")
    pd.DataFrame([_orm_row(phase) for phase in phases[:count].iterator()]).to_parquet(file)
    return _told(count, time.perf_counter() - began, file)


def _orm_row(phase: Phase) -> dict[str, Any]:
    fact = phase.candidate.relaxation if phase.candidate else None
    geometry = fact.geometry.crystal if fact else phase.release_phase and phase.release_phase.geometry
    crystal = Crystal.unpack(geometry or b"")
    found = phase.first_candidate
    return {
        "number": phase.number,
        "formula": phase.formula,
        "chemical_system": phase.chemical_system,
        "energy_per_atom": phase.energy_per_atom,
        "status": phase.status,
        "lattice_vectors": crystal.lattice.tolist(),
        "cartesian_site_positions": crystal.cart_coords.tolist(),
        "species_at_sites": list(crystal.symbols),
        "participant": found.batch.owner.user.username if found else None,
        "method": found.batch.method if found else None,
        "steps": fact.steps if fact else None,
        "provenance": json.dumps(fact.provenance) if fact else None,
    }


def _told(rows: int, seconds: float, file: Path) -> dict[str, float]:
    size_mb = file.stat().st_size / 1e6
    return {"rows": float(rows), "seconds": seconds, "peak_rss_mb": peak_rss_mb(), "size_mb": size_mb}


def _in_a_process(*arguments: str) -> dict[str, float]:
    """Raises CalledProcessError."""
    command = [sys.executable, "-m", "benchmark.dump_once", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "dump":
        print(json.dumps(write_dump()))
    elif what == "orm":
        print(json.dumps(write_with_orm(int(rest[0]))))
    else:
        print(json.dumps(main(int(what))))
