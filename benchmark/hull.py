"""The hull store from empty to a million entries, and fresh PhaseDiagrams beside it: speed, memory, agreement.

Every distance is current after every chunk of CHUNK entries. Speeds are in CPU time of one core, of compiled code that
is warm; files and the fresh process are in seconds of the clock. Figures without a size are of the largest size that
was measured, up to 10^6.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmark.hull_agreement import agreement
from benchmark.hull_arrivals import single_inserts, vertex_times_ms
from benchmark.workload import Workload, by_system, composition_keys, take
from hull.arrays import EntryArrays
from hull.snapshot import load, save
from hull.store import HullStore

CHUNK = 10_000  # entries handed to the store at once
HEADLINE_LIMIT = 10**6  # figures without a size are of at most so many entries
LEAST_CPU_S = 0.5  # a speed is measured for as long, at least
SCALE = "benchmark"
DEPTHS = {2: "binary", 3: "ternary", 4: "quaternary"}

MEANINGS = {
    "inserts_per_s": "inserts/s from empty, random order, every distance current after each chunk of 10,000",
    "inserts_clustered_per_s": "inserts/s from empty, system by system",
    "single_inserts_per_s": "inserts/s of one entry a call, with its position, events and moves",
    "lp_queries_per_s": "queries/s at compositions that the store does not have: one programme each",
    "stored_lookups_per_s": "look-ups/s of e_above_hull by entry id, random ids",
    "bytes_per_entry": "bytes of memory an entry, everything that the store holds",
    "vertices": "phases on the hull",
    "lowered_the_hull_share": "of the entries, upon their insertion",
    "snapshot_s": "s of the clock to write a snapshot",
    "snapshot_bytes_per_entry": "bytes of snapshot an entry",
    "load_s": "s of the clock to load a snapshot",
    "cold_start_s": "s of the clock of a fresh process: import, load, first answer",
    "warm_up_s": "s of the clock until the compiled code is there, before anything is measured",
    "compared": "distances compared with freshly built PhaseDiagrams",
    "max_abs_difference_ev_per_atom": "eV/atom, largest difference from them",
    "flag_differences": "phases of which only one of both says that they are stable (1e-8 eV/atom)",
    "speedup_over_phase_diagram": "x: PhaseDiagram and one query of a new entry, over the insertion of it here",
    **{
        f"p{share}_new_{name}_vertex_ms": f"ms of CPU time, {which}, to insert a new {name} vertex"
        for share, which in ((50, "median"), (99, "99th percentile"))
        for name in DEPTHS.values()
    },
}


def measure(*, quick: bool, full: bool, say: Callable[[str], None]) -> dict[str, float]:
    """Figures by name; MEANINGS says what each is. Raises AssertionError where a made vertex is none."""
    sizes = [10**3, 10**4] if quick else [10**4, 10**5, 10**6, *([10**7] if full else [])]
    headline = max(size for size in sizes if size <= HEADLINE_LIMIT)
    say("compiling")
    figures = {"warm_up_s": _warm_up()}
    for size in sizes:
        say(f"{_suffix(size)} entries")
        figures |= _measure_size(size, quick=quick, headline=size == headline, say=say)
    return figures


def _measure_size(size: int, *, quick: bool, headline: bool, say: Callable[[str], None]) -> dict[str, float]:
    workload = Workload(size)
    arrays = workload.entries()
    suffix = _suffix(size)
    say("  clustered by system")
    clustered = _filled(by_system(arrays))[0]  # the store is not kept: two of the largest may not fit
    say("  in random order")
    speed, lowered, store = _filled(arrays)
    figures = {
        "inserts_per_s": speed,
        "inserts_clustered_per_s": clustered,
        "lowered_the_hull_share": lowered,
        "vertices": len(store.stable_entries()),
        "bytes_per_entry": store.nbytes / size,
    }
    say("  queries and look-ups")
    figures |= _questions(store, arrays, workload)
    say("  single arrivals")
    figures["single_inserts_per_s"] = single_inserts(store, workload.more(200 if quick else 5_000, draw=1))
    vertices: dict[str, float] = {}
    for elements, name in DEPTHS.items():
        times = vertex_times_ms(store, arrays, n_elements=elements, count=100 if quick else 1_000)
        vertices |= {f"p{share}_new_{name}_vertex_ms": float(np.percentile(times, share)) for share in (50, 99)}
    say("  snapshot")
    figures |= vertices | _snapshot(store, arrays)
    named = {f"{name}_{suffix}": value for name, value in figures.items()}
    if headline:
        say("  fresh PhaseDiagrams")
        compared = agreement(store, arrays, at_least=1_000 if quick else 30_000)
        named |= {"bytes_per_entry": figures["bytes_per_entry"], **vertices, **compared}
    return named


def _filled(arrays: EntryArrays) -> tuple[float, float, HullStore]:
    """Inserts/s of CPU time, the share of the entries that lowered the hull, and the store."""
    store = HullStore(SCALE)
    spent, lowered = 0.0, 0
    for chunk in _chunks(arrays):
        started = time.process_time()
        insertion = store.insert_arrays(chunk, scale=SCALE)
        spent += time.process_time() - started
        lowered += int(np.count_nonzero(insertion.e_above_hull_on_arrival < 0.0))  # nan is not
    return len(arrays) / spent, lowered / len(arrays), store


def _questions(store: HullStore, arrays: EntryArrays, workload: Workload) -> dict[str, float]:
    """Queries at new compositions and look-ups of what is there, per second."""
    asked = workload.more(min(2 * len(arrays), 300_000))
    new = list(_chunks(take(asked, np.flatnonzero(~np.isin(composition_keys(asked), composition_keys(arrays))))))
    ids = np.random.default_rng(3).choice(arrays.entry_ids, size=10**6)
    return {
        "lp_queries_per_s": _rate(lambda: [store.distances(chunk) for chunk in new], sum(map(len, new))),
        "stored_lookups_per_s": _rate(lambda: store.stored_e_above_hull(ids), len(ids)),
    }


def _snapshot(store: HullStore, arrays: EntryArrays) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hull"
        started = time.perf_counter()
        save(store, path, log_position=len(arrays))
        saved = time.perf_counter()
        load(path)
        loaded = time.perf_counter()
        _first_answer(path)
        return {
            "snapshot_s": saved - started,
            "snapshot_bytes_per_entry": path.stat().st_size / len(arrays),
            "load_s": loaded - saved,
            "cold_start_s": time.perf_counter() - loaded,
        }


def _first_answer(path: Path) -> None:
    """In a process of its own."""
    program = (
        "import sys; from hull.entries import Formula; from hull.snapshot import load; "
        "print(load(sys.argv[1])[0].position(Formula.parse('ClNa'), -3.0).e_above_hull)"
    )
    root = Path(__file__).resolve().parents[1]
    subprocess.run([sys.executable, "-c", program, str(path)], cwd=root, check=True, stdout=subprocess.DEVNULL)


def _warm_up() -> float:
    """Everything once, on a small store; s of the clock."""
    started = time.perf_counter()
    workload = Workload(1_000)
    arrays = workload.entries()
    _, _, store = _filled(arrays)
    store.distances(workload.more(10))
    store.stored_e_above_hull(arrays.entry_ids)
    single_inserts(store, workload.more(10))
    with tempfile.TemporaryDirectory() as folder:
        save(store, Path(folder) / "hull", log_position=0)
        load(Path(folder) / "hull")
    return time.perf_counter() - started


def _rate(ask: Callable[[], object], answers: int) -> float:
    """Answers a second of CPU time."""
    asked, started = 0, time.process_time()
    while time.process_time() - started < LEAST_CPU_S:
        ask()
        asked += answers
    return asked / (time.process_time() - started)


def _chunks(arrays: EntryArrays) -> Iterator[EntryArrays]:
    for first in range(0, len(arrays), CHUNK):
        yield take(arrays, slice(first, first + CHUNK))


def _suffix(size: int) -> str:
    """1e4 for 10,000: sizes are powers of ten."""
    return f"1e{len(str(size)) - 1}"
