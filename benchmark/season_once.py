"""One platform's part of ``benchmark.season``: ``python -m benchmark.season_once COUNT ROWS ROWS``, figures as JSON.

COUNT: structures of an upload. ROWS: how many are in a season before, of the two that are compared. The environment
names database, broker and data folder.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import django

django.setup()

from django.conf import settings  # noqa: E402 - all of these need the set-up above
from django.core.files.uploadedfile import SimpleUploadedFile  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402

from benchmark.filled import renew_statistics  # noqa: E402
from benchmark.season_crystals import archive, elements_release, texts, usual_elements  # noqa: E402
from benchmark.season_rows import add_rows  # noqa: E402
from hull.reference import Release, write_release  # noqa: E402
from philately.domain import dumps, intake  # noqa: E402
from philately.domain.releases import import_release  # noqa: E402
from philately.domain.seasons import SeasonPlan, join, open_season  # noqa: E402
from philately.models import Candidate, Membership, Placement, Season, User  # noqa: E402
from philately.states import FINAL  # noqa: E402
from validation.cif import read_block  # noqa: E402
from validation.crystal import Crystal  # noqa: E402
from validation.flight import relax_batch  # noqa: E402
from validation.judges.judge import Judge  # noqa: E402
from validation.potentials import load_judge  # noqa: E402
from validation.reduction import primitive  # noqa: E402
from validation.relaxation import relax  # noqa: E402
from validation.rules import RelaxationSettings, Rules  # noqa: E402
from validation.verdicts import Verdict  # noqa: E402

RELAX_WORKERS = 2
_WARMING, _SAMPLE, _ALONE = 40, 40, 200
_STARTED = 1_000_000  # seeds of what is not compared
_SEEDS = (1, 2, 3, 4)  # of uploads; seasons that are compared get the same: as many structures look alike in each
_PATIENCE_S = 3600.0
_MANY = 1_000_000_000  # structures that one participant may send: all that are there are theirs
_TICKS = os.sysconf("SC_CLK_TCK")
_ROLES = {" parse@": "parse", " relax-": "relax", " place@": "place", " sweep ": "sweep"}


def main(count: int, rows: Sequence[int]) -> dict[str, float]:
    call_command("migrate", verbosity=0)
    judge, elements = load_judge("morse"), usual_elements()
    release = elements_release(judge, sorted(judge.elements))
    known = _member(release, "known")
    with _platform() as platform:
        _through(known, archive(_WARMING, elements, seed=_STARTED))
        before = _cpu_s(platform)
        took_s = _through(known, archive(count, elements, seed=1))
        spent = {role: seconds - before[role] for role, seconds in _cpu_s(platform).items()}
        placed = _placed(known)
        dump_s = _dumped_s(known)
        for seed in _SEEDS[1:]:  # so that their relaxations are known, too
            _through(known, archive(count, elements, seed=seed))
        among, alone = [_member(release, f"among-{wanted}") for wanted in rows], 0.0
        for number, (member, wanted) in enumerate(zip(among, rows, strict=True), start=1):
            alone = _filled(member, wanted, seed=number) or alone
        seconds = _in_turn(among, [archive(count, elements, seed=seed) for seed in _SEEDS])
        rates = [count * len(_SEEDS) / one for one in seconds]
    potential_s = _potential_s(judge, elements, count)
    script_per_s = _script_per_s(judge, release, elements, min(_SAMPLE, count))
    total_s = sum(spent.values())
    return {
        "candidates_per_s": count / took_s,
        "candidates_per_s_without_relaxation": rates[0],
        "own_cpu_ms_per_candidate": 1000 * (total_s - potential_s) / count,
        "share_parse": spent["parse"] / total_s,
        "share_relax": (spent["relax"] - potential_s) / total_s,
        "share_potential": potential_s / total_s,
        "share_place": spent["place"] / total_s,
        "share_sweep": spent["sweep"] / total_s,
        **({"place_alone_per_s": alone} if alone else {}),
        "dump_s": dump_s,
        "slowdown": rates[0] / rates[-1],
        "script_per_s": script_per_s,
        "speedup_over_script": count / took_s / script_per_s,
        **placed,
    }


def _member(release: Release, slug: str) -> Membership:
    """Whoever submits to a season of this name."""
    file = Path(settings.DATA_DIR) / f"{slug}.parquet"
    write_release(release, file)
    season = open_season(SeasonPlan(slug=slug, name=slug, release=import_release(file)[0]))
    Season.objects.filter(pk=season.pk).update(structures_a_day=_MANY, structures_a_season=_MANY)
    season.refresh_from_db()
    return join(season, User.objects.get_or_create(username="sender")[0])


@contextmanager
def _platform() -> Iterator[int]:
    """The process id of ``manage.py up`` without the web server."""
    command = [sys.executable, "manage.py", "up", "--no-web", "--no-season", "--relax-workers", str(RELAX_WORKERS)]
    with (Path(settings.DATA_DIR) / "log").open("ab") as log:
        process = subprocess.Popen(command, cwd=settings.BASE_DIR, stdout=log, stderr=log)
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        if process.wait(timeout=60):
            print((Path(settings.DATA_DIR) / "log").read_text()[-4000:], file=sys.stderr)


def _through(member: Membership, packed: bytes) -> float:
    """Seconds from the upload until nothing more will come of it."""
    upload = SimpleUploadedFile("batch.zip", packed)
    started = time.perf_counter()
    batch, _ = intake.accept_upload(member, upload, intake.Method("made up"), consent=True)
    _wait(batch.pk)
    return time.perf_counter() - started


def _in_turn(members: Sequence[Membership], uploads: Sequence[bytes]) -> list[float]:
    """Seconds of all the uploads by each of the members. Each upload comes from all of them before the next one does,
    and another one goes first each time: a machine that grows slower meanwhile does so for all."""
    seconds = [0.0] * len(members)
    for number, packed in enumerate(uploads):
        for place in range(len(members)):
            mine = (number + place) % len(members)
            seconds[mine] += _through(members[mine], packed)
            _until_dumped(members[mine])
    return seconds


def _until_dumped(member: Membership) -> None:
    """It holds the sequencer up; while an upload is under way none is made."""
    while dumps.due(Season.objects.select_related("official_run").get(pk=member.season_id)):
        time.sleep(0.5)


def _wait(batch: int) -> None:
    mine = Candidate.objects.filter(batch=batch)
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        time.sleep(0.1)
        batch_is_read = Season.objects.filter(batches=batch, batches__state="read").exists()
        if batch_is_read and not mine.exclude(state__in=FINAL).exists():
            return
    log = (Path(settings.DATA_DIR) / "log").read_text()[-4000:]
    raise RuntimeError(f"not finished: {Counter(mine.values_list('state', flat=True))}\n{log}")


def _placed(member: Membership) -> dict[str, float]:
    placements = Placement.objects.filter(run__season=member.season)
    found = placements.count()
    return {"placed": found, "stable_share": placements.filter(verdict=Verdict.STABLE).count() / max(found, 1)}


def _dumped_s(member: Membership) -> float:
    started = time.perf_counter()
    dumps.dump_season(member.season, Path(settings.DATA_DIR) / "dump-measured")
    return time.perf_counter() - started


def _filled(member: Membership, wanted: int, *, seed: int) -> float:
    """Let the season have so many candidates; how many were placed a second, 0 where none were missing."""
    missing = wanted - Candidate.objects.filter(season=member.season).count()
    if missing <= 0:
        return 0.0
    add_rows(member, missing, seed=seed)
    started = time.perf_counter()
    while Candidate.objects.filter(season=member.season).exclude(state__in=FINAL).exists():
        time.sleep(0.2)
    placed_s = time.perf_counter() - started
    if connection.vendor == "postgresql":
        renew_statistics()
    _until_dumped(member)
    return missing / placed_s


def _cpu_s(platform: int) -> dict[str, float]:
    """Seconds of CPU by role, of the platform's processes and of those that they had."""
    spent = dict.fromkeys(_ROLES.values(), 0.0)
    waiting = [(platform, "")]
    while waiting:
        pid, role = waiting.pop()
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            tasks = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
        except OSError:
            continue
        role = role or next((name for mark, name in _ROLES.items() if mark in command), "")
        if role:
            spent[role] += sum(map(int, fields[11:15])) / _TICKS  # user, system, and those of children that ended
        waiting += [(int(child), role) for text in tasks for child in text.split()]
    return spent


def _crystals(elements: Sequence[str], count: int, *, seed: int) -> list[Crystal]:
    return [primitive(read_block(text, Rules())) for text in texts(count, elements, seed=seed)]


def _potential_s(judge: Judge, elements: Sequence[str], count: int) -> float:
    """CPU seconds that potential and optimiser alone take for what was relaxed."""
    crystals = _crystals(elements, min(count, _ALONE), seed=1)
    list(relax_batch(enumerate(crystals[:2]), judge, RelaxationSettings()))
    started = time.process_time()
    ended = list(relax_batch(enumerate(crystals), judge, RelaxationSettings()))
    return (time.process_time() - started) * count / len(ended)


def _script_per_s(judge: Judge, release: Release, elements: Sequence[str], count: int) -> float:
    """What one would write without a platform: read, relax, look where it lies; one after the other."""
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition
    from pymatgen.io.cif import CifParser

    entries = [PDEntry(Composition(str(phase.formula)), phase.energy_per_atom) for phase in release.phases]
    relax(_crystals(elements, 1, seed=1)[0], judge, RelaxationSettings())
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for text in texts(count, elements, seed=1):
            structure = CifParser(io.StringIO(text)).parse_structures(primitive=True)[0]
            end = relax(Crystal.from_structure(structure), judge, RelaxationSettings())
            entry = PDEntry(structure.composition, end.energy_per_atom * len(structure))
            near = [one for one in entries if set(one.composition.elements) <= set(entry.composition.elements)]
            PhaseDiagram([*near, entry]).get_e_above_hull(entry)
            entries.append(entry)
    return count / (time.perf_counter() - started)


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), [int(text) for text in sys.argv[2:]])))
