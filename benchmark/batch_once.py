"""One process's part of ``benchmark.batch``: ``python -m benchmark.batch_once COUNT``, the figures as JSON on stdout.

It takes the batch in and starts the workers, ``python -m benchmark.batch_once worker NUMBER``. The environment names
the database and the data folder.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import django

django.setup()

import numpy as np  # noqa: E402 - all of these need the set-up above
from django.conf import settings  # noqa: E402
from django.core.files import File  # noqa: E402
from django.core.files.uploadedfile import UploadedFile  # noqa: E402
from django.core.management import call_command  # noqa: E402

from benchmark.machine import peak_rss_mb, peak_rss_of_children_mb  # noqa: E402
from benchmark.seasons import fill, make  # noqa: E402
from hull.entries import SYMBOLS  # noqa: E402
from philately.domain import intake, parse, reading, twins  # noqa: E402
from philately.domain.seasons import join  # noqa: E402
from philately.models import Candidate, Scale, Season, Shard, User  # noqa: E402
from philately.states import CandidateState, ShardState  # noqa: E402

N_WORKERS = 2
TWICE_EVERY = 100
_ELEMENTS = [symbol for symbol in SYMBOLS[:83] if symbol not in ("He", "Ne", "Ar", "Kr", "Xe")]
_RUTILE = ((0.0, 0.0), (0.5, 0.5), (0.3, 0.3), (0.7, 0.7), (0.8, 0.2), (0.2, 0.8))
_CELLS = (  # kind of element and place of each site
    [(0, 0.0, 0.0, 0.0), (1, 0.5, 0.5, 0.5)],
    [(0, 0.0, 0.0, 0.0), (1, 0.5, 0.5, 0.5), (2, 0.5, 0.5, 0.0), (2, 0.5, 0.0, 0.5), (2, 0.0, 0.5, 0.5)],
    [
        (kind, x, y, z)
        for kind, (x, y), z in zip((0, 0, 1, 1, 1, 1), _RUTILE, (0.0, 0.5, 0.0, 0.0, 0.5, 0.5), strict=True)
    ],
)
_CIF = """data_{name}
_cell_length_a {a:.5f}
_cell_length_b {b:.5f}
_cell_length_c {c:.5f}
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
"""


def main(count: int) -> dict[str, float]:
    """Take the batch in here, and let workers do the rest."""
    call_command("migrate", verbosity=0)
    folder = Path(settings.DATA_DIR)
    season = fill(make(0), folder)
    Scale.objects.update(identity={"judge": "none", "elements": _ELEMENTS})
    archive = folder / "batch.zip"
    _write(archive, count)
    with archive.open("rb") as stream:
        upload = UploadedFile(File(stream), name="batch.zip", size=archive.stat().st_size)
        member = join(season, User.objects.create_user("sender"))
        intake.accept_upload(member, upload, intake.Method("made up"), consent=True)
    settings.RELEASE_AHEAD = count + 1  # no worker asks for the rest while this is measured
    started = time.perf_counter()
    intake.read_batches(season.pk)
    taken_in_s = time.perf_counter() - started
    started = time.perf_counter()
    workers = [_worker(number) for number in range(N_WORKERS)]
    peaks = [json.loads(worker.communicate()[0]) for worker in workers]
    read_s = time.perf_counter() - started
    _refuse_unfinished(count, workers)
    again = range(TWICE_EVERY, count + 1, TWICE_EVERY)
    missed = Candidate.objects.filter(arrival__in=again, state=CandidateState.PARSED)
    return {
        "batch_structures": count,
        "rejected": Candidate.objects.filter(state=CandidateState.REJECTED).count(),
        "taken_in_per_s": count / taken_in_s,
        "read_and_matched_per_s": count / read_s,
        "twins_missed": missed.count(),
        "peak_intake_mb": peak_rss_mb(),
        "peak_worker_mb": max(peak["worker"] for peak in peaks),
        "peak_child_mb": max(peak["child"] for peak in peaks),
    }


def work(number: int) -> dict[str, float]:
    """Every second shard, from this worker's first; then the twins of what is left."""
    season = Season.objects.get()
    for shard in Shard.objects.filter(state=ShardState.WAITING).order_by("number"):
        if shard.number % N_WORKERS == number:
            parse.parse_shard(shard.pk)
    twins.settle(season.pk)
    reading.leave()
    return {"worker": peak_rss_mb(), "child": peak_rss_of_children_mb()}


def _worker(number: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmark.batch_once", "worker", str(number)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _refuse_unfinished(count: int, workers: list[subprocess.Popen[str]]) -> None:
    """Raises RuntimeError where the figures would be of less than the whole batch."""
    ends = [CandidateState.PARSED, CandidateState.PARKED, CandidateState.REJECTED]
    done = Candidate.objects.filter(state__in=ends).count()
    if done != count or any(worker.returncode for worker in workers):
        raise RuntimeError(f"{done} of {count} structures were read and judged")


def _write(archive: Path, count: int) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as stream:
        for number, text in enumerate(_texts(count)):
            stream.writestr(f"{number // 1000}/{number}.cif", text)


def _texts(count: int) -> Iterator[str]:
    """Distorted CsCl, perovskite and rutile cells of drawn elements; now and then an earlier one again."""
    dice = np.random.default_rng(4)
    before = ""
    for number in range(1, count + 1):
        if number % TWICE_EVERY:
            cell = _CELLS[dice.integers(len(_CELLS))]
            elements = dice.choice(_ELEMENTS, 3, replace=False)
            a, b, c = 3.2 * len(cell) ** (1 / 3) * dice.uniform(0.95, 1.15, 3)
            places = np.array([place for _, *place in cell]) + dice.normal(0.0, 0.01, (len(cell), 3))
            rows = zip((elements[kind] for kind, *_ in cell), places.tolist(), strict=True)
            sites = "".join(f"{symbol} {x:.5f} {y:.5f} {z:.5f}\n" for symbol, (x, y, z) in rows)
            before = _CIF.format(name=number, a=a, b=b, c=c) + sites
        yield before


if __name__ == "__main__":
    print(json.dumps(work(int(sys.argv[2])) if sys.argv[1] == "worker" else main(int(sys.argv[1]))))
