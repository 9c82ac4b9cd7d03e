import json
import math

import numpy as np
import pytest
from ase.build import bulk
from pymatgen.io.cif import CifWriter

from benchmark.__main__ import main
from benchmark.cifs import Cif
from benchmark.held import MEANINGS, MODEL, Plan, Side, WrongRelease, held, measure
from benchmark.held_arrivals import Arrived, on_arrival
from benchmark.held_relaxed import Cache, End, spread
from benchmark.held_shares import Find, of_arrivals, of_both, of_one
from hull.entries import ATOMIC_NUMBER, Formula
from hull.reference import Coverage, Release
from tests.releases import emt_release
from validation.corrections import MP2020, correction_per_atom
from validation.crystal import Crystal
from validation.potentials import load_judge
from validation.references import reference_phase
from validation.relaxation import relax
from validation.rules import RelaxationSettings, Rules

ELEMENTS = ("Cu", "Ni", "Pt")
NUMBERS = {"Cu": 29, "Ni": 28, "Pt": 78}
ALLOYS = (("Cu", "Pt"), ("Ni", "Pt"), ("Cu", "Ni"))  # by EMT -0.10, -0.14 and 0.07 eV/atom
FCC = [(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)]
REPRODUCED_EV_PER_ATOM = 2e-3


def alloy(first, second, lattice_ang=3.0):
    return Crystal.of(np.eye(3) * lattice_ang, [(0, 0, 0), (0.5, 0.5, 0.5)], [NUMBERS[first], NUMBERS[second]])


def cif(name, crystal):
    return Cif(str(CifWriter(crystal.to_structure())), symmetric=False, name=name)


@pytest.fixture(scope="module")
def files():
    """B2 alloys, copper, and one with an element that the judge does not know."""
    crystals = [alloy(*pair) for pair in ALLOYS] + [Crystal.from_atoms(bulk("Cu"))]
    unknown = Crystal.from_atoms(bulk("Fe"))
    return [cif(f"{number}.cif", crystal) for number, crystal in enumerate([*crystals, unknown])]


@pytest.fixture(scope="module")
def emt():
    return Side("emt", "", emt_release(ELEMENTS))


@pytest.fixture(scope="module")
def run(files, emt, tmp_path_factory):
    """Figures of a run by judge and auditor of the same kind, on a release with an alloy, and where its cache lies."""
    path = tmp_path_factory.mktemp("held") / "cache.jsonl"
    plan = Plan(cache=path, release=with_an_alloy(emt.elements))
    return held(files, emt, emt, plan, lambda line: None), path


def with_an_alloy(elements):
    judge, settings = load_judge("emt"), RelaxationSettings()
    result = relax(alloy("Cu", "Pt"), judge, settings)
    phase = reference_phase(len(elements.phases) + 1, result.crystal, result.energy_per_atom, label="B2")
    return Release("EMT alloy", Coverage.PROTOTYPES, elements.scale, elements.scale_digest, (*elements.phases, phase))


def test_crystals_that_the_rules_let_in_are_relaxed_by_judge_and_auditor(run):
    figures, _ = run

    assert (figures["files"], figures["accepted"], figures["relaxed"]) == (5, 4, 4)
    assert figures["finds"] == figures["audited"] == figures["crystals_all"] == 4
    assert figures.keys() <= MEANINGS.keys()
    assert all(math.isfinite(value) for value in figures.values())


def test_an_auditor_that_is_the_judge_differs_from_it_by_what_a_relaxation_leaves_open(run):
    figures, _ = run

    assert figures["share_apart_0.10_plain_all"] == 0
    assert figures["median_abs_ev_per_atom_plain_all"] < REPRODUCED_EV_PER_ATOM


def test_an_elemental_crystal_lies_at_its_reference_and_no_lower(run):
    figures, _ = run

    assert figures["elements_judge"] == 1
    assert abs(figures["lowest_element_ev_per_atom_judge"]) < REPRODUCED_EV_PER_ATOM
    assert figures["share_elements_below_0.02_judge"] == 0


def test_only_what_the_release_does_not_have_lowers_its_hull(run):
    figures, _ = run
    of_nickel_and_platinum = figures["lowest_formation_ev_per_atom_judge"]

    assert figures["placed"] == 4
    assert figures["lowest_on_arrival_ev_per_atom"] == pytest.approx(of_nickel_and_platinum, abs=1e-9)
    assert -0.2 < of_nickel_and_platinum < -0.1


def test_a_run_goes_on_from_its_cache_and_relaxes_what_is_missing(run, files, emt):
    figures, path = run
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:3]) + lines[3][:100])  # broken off in the middle of the fourth
    said = []

    again = held(files, emt, emt, Plan(cache=path, release=with_an_alloy(emt.elements)), said.append)

    assert again == pytest.approx(figures, abs=1e-6)
    assert [line for line in said if "relaxed by emt" in line] == [
        "  1 of 1 relaxed by emt",
        "  4 of 4 relaxed by emt",
    ]
    assert sorted(path.read_text().splitlines()) == sorted("".join(lines).splitlines())


def test_a_whole_cache_needs_no_relaxation(run, files, emt):
    figures, path = run
    said = []

    again = held(files, emt, emt, Plan(cache=path, release=with_an_alloy(emt.elements)), said.append)

    assert again == figures
    assert not [line for line in said if "relaxed by" in line]


def test_a_release_of_another_scale_is_refused(files, emt):
    stranger = Release("elsewhere", Coverage.ELEMENTS, {}, "0" * 64, emt.elements.phases)

    with pytest.raises(WrongRelease, match="elsewhere"):
        held(files, Side("emt", "", stranger), None, Plan(), lambda line: None)


def test_a_cache_gives_back_what_exploded_and_knows_nothing_of_another_scale(tmp_path):
    crystal = alloy("Cu", "Pt")
    end = End(
        crystal=crystal,
        energy_per_atom=None,
        stopped="exploded",
        steps=7,
        fmax_ev_per_ang=None,
        smax_ev_per_ang3=None,
        note="the cell collapsed",
    )
    Cache(tmp_path / "cache.jsonl").add("one", "CuPt", crystal, end)

    cache = Cache(tmp_path / "cache.jsonl")

    read = cache.get("one", crystal)
    assert (read.stopped, read.steps, read.note) == ("exploded", 7, "the cell collapsed")
    assert read.crystal.content_hash == crystal.content_hash
    assert read.refusal(crystal, Rules(), RelaxationSettings()) == "EXPLODED"
    assert cache.get("other", crystal) is None


def test_a_limit_takes_crystals_from_the_first_to_the_last():
    crystals = {str(number): alloy("Cu", "Pt") for number in range(10)}

    assert list(spread(crystals, 4)) == ["0", "2", "5", "7"]
    assert list(spread(crystals, 20)) == list(crystals)


def test_shares_of_one_scale_are_of_formation_energies_and_of_elements_below_their_references():
    energies = [("Cu", -0.03), ("Au", 0.0), ("CaF2", -4.2), ("UF6", -5.5), ("ArF", None)]

    figures = of_one([(Formula.parse(formula), energy) for formula, energy in energies], "judge")

    assert figures["elements_judge"] == 2
    assert figures["share_elements_below_0.02_judge"] == 0.5
    assert figures["share_elements_below_0.05_judge"] == 0
    assert figures["share_formation_below_-4_judge"] == 0.5
    assert figures["share_formation_below_-5_judge"] == 0.25
    assert figures["lowest_formation_ev_per_atom_judge"] == -5.5


def test_shares_on_arrival_are_of_all_that_were_placed_and_of_those_among_compounds():
    figures = of_arrivals([Arrived(-0.7, False), Arrived(-0.35, True), Arrived(0.0, True), Arrived(0.05, False)])

    assert figures["share_on_arrival_below_-0.3"] == 0.5
    assert figures["share_on_arrival_below_-0.5"] == 0.25
    assert figures["placed_among_compounds"] == 2
    assert figures["share_on_arrival_below_-0.3_among_compounds"] == 0.5
    assert figures["share_on_arrival_below_-0.5_among_compounds"] == 0


def test_without_a_single_arrival_there_are_no_shares():
    assert of_arrivals([]) == {"placed": 0, "placed_among_compounds": 0}


def test_what_scales_differ_by_holds_all_oxides_as_they_are_and_none_less_the_shift():
    metals = ("Li", "Na", "K", "Mg", "Ca", "Sr", "Ba", "Zn", "Al", "Ti", "Zr", "La")
    formulas = [Formula.parse(f"{metal}{amount}") for metal in metals for amount in ("O", "O2", "S")]
    finds = [Find(formula=one, judge=-2.0 + correction_per_atom(one, MP2020), auditor=-2.0) for one in formulas]

    figures = of_both(finds)

    assert figures["crystals_oxides"] == 24
    assert figures["share_apart_0.20_plain_oxides"] == 1
    assert figures["share_apart_0.10_corrected_all"] == figures["share_apart_0.10_fitted_all"] == 0
    assert figures["share_lower_0.20_plain_oxides"] == 1
    assert figures["median_ev_per_atom_plain_oxides"] < -0.3
    assert figures["median_ev_per_atom_corrected_oxides"] == pytest.approx(0, abs=1e-9)
    assert figures["shift_ev_by_anion_O"] == pytest.approx(MP2020[ATOMIC_NUMBER["O"]], abs=0.02)
    assert figures["shift_ev_by_element_O"] == pytest.approx(0, abs=1e-9)


def test_nothing_is_held_while_the_crystals_arrive(emt):
    deep = [(alloy("Ni", "Pt"), -10.0), (alloy("Cu", "Ni"), -12.0), (alloy("Cu", "Pt"), 10.0)]

    arrived = list(on_arrival(deep, emt.elements, Rules()))

    assert len(arrived) == 2  # the third is above the limit for formation energies
    assert max(one.distance for one in arrived) < -5


def test_among_compounds_is_what_no_element_competes_with(emt):
    release = with_an_alloy(emt.elements)
    richer = Crystal.of(np.eye(3) * 3.8, FCC, [29, 29, 29, 78])
    energy = release.phases[-1].energy_per_atom

    arrived = list(on_arrival([(alloy("Cu", "Pt", 3.3), energy - 0.5), (richer, energy - 0.6)], release, Rules()))

    assert [one.among_compounds for one in arrived] == [True, False]  # CuPt is there, Cu3Pt lies between it and copper


@pytest.mark.slow
@pytest.mark.potential
def test_without_a_corpus_crystals_are_made(monkeypatch, tmp_path):
    monkeypatch.setenv("BENCHMARK_CIFS", str(tmp_path / "nothing.zip"))
    monkeypatch.setenv("BENCHMARK_MODEL", str(tmp_path / "nothing"))

    figures = measure(quick=True, full=False, say=lambda line: None)

    assert figures["of_the_corpus"] == 0
    assert 1 <= figures["finds"] <= figures["accepted"]
    assert "audited" not in figures


@pytest.mark.slow
@pytest.mark.potential
@pytest.mark.skipif(not MODEL.is_dir(), reason="there is no auditor beside this checkout: shared/models is missing")
def test_quick_gives_figures_of_real_potentials(tmp_path):
    path = tmp_path / "figures.json"
    assert main(["held", "--quick", "--json", str(path), "--cache", str(tmp_path / "cache.jsonl")]) == 0

    figures = json.loads(path.read_text())["figures"]

    assert figures.keys() <= MEANINGS.keys()
    assert figures["audited"] >= 1
    assert figures["lowest_formation_ev_per_atom_judge"] > -5
