import json
import math

import pytest

from benchmark.__main__ import main
from benchmark.hull import MEANINGS

EVERY_SIZE = [
    *("inserts_per_s", "inserts_clustered_per_s", "single_inserts_per_s", "lp_queries_per_s", "stored_lookups_per_s"),
    *("bytes_per_entry", "vertices", "snapshot_s", "snapshot_bytes_per_entry", "load_s", "cold_start_s"),
    *(f"p{share}_new_{name}_vertex_ms" for share in (50, 99) for name in ("binary", "ternary", "quaternary")),
]
ONCE = [
    *("p99_new_binary_vertex_ms", "bytes_per_entry", "compared", "max_abs_difference_ev_per_atom"),
    *("flag_differences", "speedup_over_phase_diagram"),
]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("benchmark") / "figures.json"
    assert main(["hull", "--quick", "--json", str(path)]) == 0
    return json.loads(path.read_text())


def test_quick_gives_every_figure_of_every_size_it_measures(written):
    figures = written["figures"]

    assert {f"{name}_{size}" for name in EVERY_SIZE for size in ("1e3", "1e4")} | set(ONCE) <= figures.keys()
    assert all(math.isfinite(value) and value >= 0 for value in figures.values())
    assert {name.removesuffix("_1e3").removesuffix("_1e4") for name in figures} <= MEANINGS.keys()
    assert figures["bytes_per_entry"] == figures["bytes_per_entry_1e4"]


def test_the_store_agrees_with_every_diagram_that_was_built_beside_it(written):
    figures = written["figures"]

    assert figures["compared"] >= 1_000
    assert figures["max_abs_difference_ev_per_atom"] <= 1e-8
    assert figures["flag_differences"] == 0
