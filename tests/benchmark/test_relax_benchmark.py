import json
import math

import pytest

from benchmark.__main__ import main
from benchmark.relax import MEANINGS
from benchmark.relaxed_crystals import MAX_ATOMS, crystals


@pytest.mark.slow
@pytest.mark.potential
def test_quick_gives_figures_that_agree(tmp_path):
    path = tmp_path / "figures.json"
    assert main(["relax", "--quick", "--json", str(path)]) == 0

    figures = json.loads(path.read_text())["figures"]

    assert figures.keys() <= MEANINGS.keys()
    assert {"speedup_over_ase_loop_chgnet", "share_outside_potential"} <= figures.keys()
    assert all(math.isfinite(value) and value >= 0 for value in figures.values())
    assert figures["max_energy_difference_ev_per_atom"] < 1e-3
    assert figures["failed_chgnet"] == figures["converged_in_one_chgnet"] == 0
    assert figures["steps_chgnet"] == figures["ase_steps_chgnet"]


def test_without_a_corpus_the_crystals_are_made_here(monkeypatch, tmp_path):
    monkeypatch.setenv("BENCHMARK_CIFS", str(tmp_path / "nothing.zip"))

    found, of_the_corpus = crystals(5, {"Cu", "I", "Na", "O", "Ti", "Mg", "Cl"})

    assert not of_the_corpus
    assert len(found) == 5
    assert all(len(crystal) <= MAX_ATOMS for crystal in found)
