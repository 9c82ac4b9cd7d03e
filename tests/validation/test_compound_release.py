"""A release of prototypes: what is kept, what it is measured by, how a broken-off build goes on; judged by EMT."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram

from hull.entries import Entry
from hull.reference import Coverage, read_release
from hull.store import HullStore
from tests.releases import emt_release
from validation.attempt_records import OtherWork, WorkFile
from validation.attempts import Attempt
from validation.building import build
from validation.compound_release import (
    NEAR_EV_PER_ATOM,
    OtherScale,
    build_compounds,
    compound_task,
    compounds_release,
    doubts,
    markdown_summary,
    row_of,
    tasks_of,
)
from validation.compounds import COMPOUND_SETTINGS, CompoundTask
from validation.crystal import Crystal
from validation.potentials import load_judge
from validation.references import reference_crystal
from validation.release_files import CHECKSUMS, attempts_path_of
from validation.rules import Rules

ENERGY_TOLERANCE_EV_PER_ATOM = 1e-8
REFERENCE = Path(__file__).resolve().parents[2] / "reference"
ALLOYS = (
    CompoundTask("CsCl", ("Cu", "Au")),
    CompoundTask("CsCl", ("Au", "Cu")),  # the same crystal
    CompoundTask("CsCl", ("Cu", "Pd")),
    CompoundTask("BiF3", ("Pd", "Cu")),
    CompoundTask("CsCl", ("Al", "Ni")),  # EMT does not bind it
    CompoundTask("zincblende", ("Cu", "Pd")),
    CompoundTask("Heusler", ("Cu", "Au", "Pd")),
)


@pytest.fixture(scope="module")
def judge():
    return load_judge("emt")


@pytest.fixture(scope="module")
def elements():
    return emt_release(("Al", "Au", "Cu", "Ni", "Pd"))


@pytest.fixture(scope="module")
def attempts(judge):
    return build(ALLOYS, judge, COMPOUND_SETTINGS)


@pytest.fixture(scope="module")
def built(judge, elements, attempts):
    """The release of the alloys, and the standing of each by its task."""
    release, standings = compounds_release(judge, elements, attempts, name="emt-prototypes")
    return release, {standing.attempt.task: standing for standing in standings}


def test_the_elements_come_first_and_keep_their_numbers(built, elements):
    release, _ = built

    assert release.coverage is Coverage.PROTOTYPES
    assert release.phases[: len(elements.phases)] == elements.phases
    assert release.scale_digest == elements.scale_digest


def test_distances_are_those_of_pymatgens_phase_diagram(built, elements, attempts):
    _, standings = built
    entries = [PDEntry(str(phase.formula), phase.energy_per_atom * phase.formula.n_atoms) for phase in elements.phases]
    alloys = {}
    for one in attempts:
        crystal = Crystal.unpack(one.crystal)
        alloys[one.task] = PDEntry(str(crystal.formula), one.energy_per_atom * crystal.formula.n_atoms)

    diagram = PhaseDiagram([*entries, *alloys.values()])

    for task, entry in alloys.items():
        standing = standings[task]
        assert standing.e_above_hull == pytest.approx(diagram.get_e_above_hull(entry), abs=ENERGY_TOLERANCE_EV_PER_ATOM)
        assert standing.formation_energy == pytest.approx(
            diagram.get_form_energy_per_atom(entry), abs=ENERGY_TOLERANCE_EV_PER_ATOM
        )


def test_of_two_that_are_one_crystal_the_lower_is_kept(built):
    release, standings = built
    one, other = standings[ALLOYS[0]], standings[ALLOYS[1]]

    kept, repeat = (one, other) if one.number else (other, one)
    assert repeat.number is None
    assert repeat.duplicate_of == kept.number
    assert kept.attempt.energy_per_atom <= repeat.attempt.energy_per_atom
    assert sum(str(phase.formula) == "AuCu" for phase in release.phases) == 1


def test_what_is_far_above_the_hull_is_left_out(built):
    _, standings = built
    far = standings[CompoundTask("CsCl", ("Al", "Ni"))]

    assert far.e_above_hull > NEAR_EV_PER_ATOM
    assert (far.number, far.duplicate_of, far.refused) == (None, None, "")
    assert standings[CompoundTask("CsCl", ("Cu", "Pd"))].number is not None


def test_a_phase_holds_the_relaxed_cell_and_energy_of_its_attempt(built):
    release, standings = built
    alloy = standings[CompoundTask("CsCl", ("Cu", "Pd"))]

    phase = release.phases[alloy.number - 1]
    assert (phase.number, phase.energy_per_atom) == (alloy.number, alloy.attempt.energy_per_atom)
    assert phase.label == "CsCl"
    assert reference_crystal(phase).volume == pytest.approx(Crystal.unpack(alloy.attempt.crystal).volume)


def changed(attempts, task, **fields):
    return [dataclasses.replace(one, **fields) if one.task == task else one for one in attempts]


def test_a_refused_attempt_has_no_part_in_the_hull(judge, elements, attempts, built):
    _, before = built
    lowest = CompoundTask("CsCl", ("Cu", "Pd"))

    _, standings = compounds_release(
        judge, elements, changed(attempts, lowest, refused="not converged in 300 steps"), name="x"
    )

    after = {standing.attempt.task: standing for standing in standings}
    assert after[lowest].refused == "not converged in 300 steps"
    assert (after[lowest].e_above_hull, after[lowest].number, after[lowest].formation_energy) == (None, None, None)
    other = CompoundTask("BiF3", ("Pd", "Cu"))
    assert after[other].e_above_hull < before[other].e_above_hull


def test_a_formation_energy_that_a_season_would_hold_is_refused(judge, elements, attempts):
    deep = changed(attempts, ALLOYS[2], energy_per_atom=-20.0)

    _, standings = compounds_release(judge, elements, deep, name="x")

    (found,) = [standing for standing in standings if standing.attempt.task == ALLOYS[2]]
    assert found.refused.endswith(f"below {Rules().held_formation_energy_ev_per_atom:g}")
    assert found.number is None


def test_elements_of_another_scale_are_refused(judge, elements, tmp_path):
    foreign = dataclasses.replace(elements, scale_digest="0" * 64)

    with pytest.raises(OtherScale, match="not on the scale of emt"):
        build_compounds(judge, foreign, tmp_path / "x.parquet", tmp_path / "work", tasks=ALLOYS)
    assert not (tmp_path / "work").exists()


class PowerCut(Exception):
    pass


def test_a_build_that_breaks_off_goes_on_where_it_stopped_and_writes_the_same(judge, elements, tmp_path, built):
    def cut(progress):
        if progress.done == 3:
            raise PowerCut

    out, work = tmp_path / "emt-prototypes.parquet", tmp_path / "work"
    with pytest.raises(PowerCut):
        build_compounds(judge, elements, out, work, tasks=ALLOYS, progress=cut)
    assert not out.exists()
    seen = []

    again = build_compounds(judge, elements, out, work, tasks=ALLOYS, progress=seen.append)

    assert [progress.done for progress in seen] == [4, 5, 6, 7]
    assert again.release == built[0]
    assert read_release(out, sha256=again.sha256) == again.release


def test_building_again_repeats_nothing_and_writes_the_same_bytes(judge, elements, tmp_path):
    out, work, seen = tmp_path / "emt-prototypes.parquet", tmp_path / "work", []
    build_compounds(judge, elements, out, work, tasks=ALLOYS[:3])
    written = out.read_bytes(), attempts_path_of(out).read_bytes()

    build_compounds(judge, elements, out, work, tasks=ALLOYS[:3], progress=seen.append)

    assert seen == []
    assert (out.read_bytes(), attempts_path_of(out).read_bytes()) == written
    for line in (tmp_path / CHECKSUMS).read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest


def test_the_work_of_an_elements_build_is_not_taken_over(judge, elements, tmp_path):
    WorkFile(tmp_path / "attempts.jsonl", {"judge": "emt"}, compound_task).append(attempt_at(judge, ALLOYS[0]))

    with pytest.raises(OtherWork, match="other settings"):
        build_compounds(judge, elements, tmp_path / "x.parquet", tmp_path, tasks=ALLOYS)


def attempt_at(judge, task) -> Attempt:
    (made,) = build([task], judge, COMPOUND_SETTINGS)
    return made


def test_a_work_file_gives_tasks_back_as_they_were(judge, tmp_path):
    salt = attempt_at(judge, dataclasses.replace(ALLOYS[0], charges=()))
    named = dataclasses.replace(salt, task=CompoundTask("rocksalt", ("Na", "Cl"), (1, -1)))
    work = WorkFile(tmp_path / "attempts.jsonl", {}, compound_task)
    work.append(salt)
    work.append(named)

    assert work.attempts() == (salt, named)


def test_the_table_of_attempts_says_where_each_stands(judge, elements, tmp_path, built):
    out = tmp_path / "emt-prototypes.parquet"
    build_compounds(judge, elements, out, tmp_path / "work", tasks=ALLOYS)

    rows = pq.read_table(attempts_path_of(out)).to_pylist()

    _, standings = built
    assert [(row["prototype"], tuple(row["species"])) for row in rows] == [
        (task.prototype, task.species) for task in ALLOYS
    ]
    for task, row in zip(ALLOYS, rows, strict=True):
        standing = standings[task]
        assert (row["number"], row["duplicate_of"]) == (standing.number, standing.duplicate_of)
        assert row["kept"] == (standing.number is not None)
        assert row["e_above_hull"] == pytest.approx(standing.e_above_hull, abs=1e-6)


def test_the_summary_counts_by_prototype(built):
    _, standings = built

    lines = markdown_summary(map(row_of, standings.values())).splitlines()

    assert lines[0] == "| prototype | tried | refused | in the release | on the hull |"
    assert [line.split(" | ")[:2] for line in lines[2:]] == [
        ["| BiF3", "1"],
        ["| CsCl", "4"],
        ["| Heusler", "1"],
        ["| zincblende", "1"],
    ]
    assert lines[-1] == "| zincblende | 1 | 0 | 0 | 0 |"


def test_a_compound_of_a_doubtful_element_says_so(judge, attempts):
    oxide = dataclasses.replace(attempts[0], task=CompoundTask("scheelite", ("Ca", "W", "O"), (2, 6, -2)))
    chgnet = dataclasses.replace(judge, name="chgnet", model="0.3.0")

    assert doubts(chgnet, oxide) == "the judge is known to be off for W"
    assert doubts(judge, oxide) == ""
    assert doubts(chgnet, attempts[2]) == ""


def test_only_what_the_release_has_is_tried_and_no_noble_gas():
    built_in = read_release(REFERENCE / "chgnet-elements.parquet")

    used = {element for task in tasks_of(built_in) for element in task.species}

    assert used <= set(built_in.elements) - set(Rules().excluded_elements)
    assert len(used) >= 70


def test_the_built_in_release_holds_the_elements_and_compounds_near_its_hull():
    elements, built_in = (read_release(REFERENCE / f"chgnet-{name}.parquet") for name in ("elements", "prototypes"))

    assert (built_in.coverage, built_in.scale_digest) == (Coverage.PROTOTYPES, elements.scale_digest)
    assert built_in.phases[: len(elements.phases)] == elements.phases
    hull = HullStore(built_in.scale_digest)
    hull.insert_many(Entry(phase.number, phase.formula, phase.energy_per_atom) for phase in built_in.phases)
    above = hull.stored_e_above_hull(np.array([phase.number for phase in built_in.phases[len(elements.phases) :]]))
    assert above.max() <= NEAR_EV_PER_ATOM + ENERGY_TOLERANCE_EV_PER_ATOM
    assert len(above) > 1000


def test_the_readme_shows_how_the_prototypes_of_the_built_in_release_fared():
    rows = pq.read_table(REFERENCE / "chgnet-prototypes-attempts.parquet").to_pylist()

    assert markdown_summary(rows) in (REFERENCE / "README.md").read_text()
    assert {(row["prototype"], tuple(row["species"]), tuple(row["charges"])) for row in rows} == {
        (task.prototype, task.species, task.charges)
        for task in tasks_of(read_release(REFERENCE / "chgnet-elements.parquet"))
    }
