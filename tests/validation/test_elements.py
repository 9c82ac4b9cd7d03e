"""Elemental references: which outcomes are refused, how a broken-off build goes on, what the release says."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from hull.entries import Formula
from hull.reference import Coverage, read_release
from validation.attempt_records import OtherWork, WorkFile, element_task
from validation.attempts import Attempt, volume_ratio
from validation.building import build
from validation.crystal import Crystal
from validation.element_data import ATOMIC_VOLUME_ANG3
from validation.element_release import build_release, elements_release, markdown_table, note
from validation.element_tasks import ELEMENT_SETTINGS, Task, tasks_for, why_refused
from validation.elements import build_elements, lowest
from validation.potentials import load_judge
from validation.prototypes import prototype
from validation.references import label_of
from validation.release_files import CHECKSUMS, attempts_path_of
from validation.rules import RelaxationSettings
from validation.scales import scale_digest, scale_of

ENERGY_TOLERANCE_EV_PER_ATOM = 1e-4
CUTOFF_ANG = 6.0
REFERENCE = Path(__file__).resolve().parents[2] / "reference"
FEW = tuple(Task(element, label, 1.0) for element in ("Al", "Cu") for label in ("bcc", "fcc"))


@pytest.fixture(scope="module")
def judge():
    return load_judge("emt")


@pytest.fixture(scope="module")
def attempts(judge):
    return build_elements(judge, tasks=FEW)


def outcome(element="Cu", label="fcc", energy=-1.0, ratio=1.0, refused="", start_factor=1.0):
    start = prototype(label).crystal(element, ratio * ATOMIC_VOLUME_ANG3[element])
    return Attempt(
        task=Task(element, label, start_factor),
        n_atoms=len(start),
        energy_per_atom=energy,
        volume_ratio=volume_ratio(start),
        steps=1,
        stopped="converged",
        refused=refused,
        seconds=0.0,
        crystal=start.pack(),
    )


@pytest.mark.parametrize("ratio", [0.45, 2.1])
def test_a_cell_that_collapsed_or_evaporated_is_refused(ratio):
    crystal = prototype("fcc").crystal("Cu", ratio * ATOMIC_VOLUME_ANG3["Cu"])

    assert f"volume {ratio:.2f} of the tabulated one, outside 0.5 to 2" in why_refused(crystal, CUTOFF_ANG)


def test_a_cell_in_which_an_atom_sees_no_other_is_refused():
    caesium = prototype("bcc").crystal("Cs", ATOMIC_VOLUME_ANG3["Cs"])

    assert why_refused(caesium, 5.0) == "1 of 1 atoms have no neighbour within 5 Å"
    assert why_refused(caesium, 6.0) == ""


def test_an_atom_apart_from_a_crowd_is_found():
    crowd = Crystal.of(np.diag([3.0, 3.0, 6.0]), [[0, 0, 0], [0, 0, 0.25], [0, 0, 0.65]], [29, 29, 29])

    assert why_refused(crowd, 2.0) == "1 of 3 atoms have no neighbour within 2 Å"


def test_a_relaxation_that_does_not_converge_is_refused_but_recorded(judge):
    hasty = dataclasses.replace(ELEMENT_SETTINGS, max_steps=1)

    (found,) = build([Task("Cu", "bcc", 0.8)], judge, hasty)

    assert found.refused == "not converged in 6 steps"  # five times continued
    assert found.stopped == "max_steps"
    assert found.energy_per_atom is not None


def test_what_reaches_only_a_seasons_limits_in_its_last_step_is_sane(judge):
    unreachable = dataclasses.replace(ELEMENT_SETTINGS, smax_ev_per_ang3=0.0, max_steps=40)

    (found,) = build([Task("Cu", "fcc", 1.0)], judge, unreachable)

    assert found.stopped == "max_steps"
    assert found.refused == ""


def test_an_explosion_is_recorded_with_its_sentence_and_without_an_energy(judge, monkeypatch):
    monkeypatch.setattr(Task, "start", lambda task: prototype("fcc").crystal("Cu", 0.5))

    (found,) = build([Task("Cu", "fcc", 1.0)], judge, ELEMENT_SETTINGS)

    assert found.stopped == "exploded"
    assert "collapsed to 0.50 Å³ an atom" in found.refused
    assert found.energy_per_atom is None


def test_one_that_takes_too_long_is_recorded_with_its_sentence_and_ends_no_other(judge, monkeypatch):
    monkeypatch.setattr("validation.building.ATTEMPT_LIMIT_S", 0.0)

    late, other = build([Task("Cu", "bcc", 0.8), Task("Al", "bcc", 1.0)], judge, ELEMENT_SETTINGS)

    for found in (late, other):
        assert (found.stopped, found.energy_per_atom) == ("time_limit", None)
        assert found.refused.startswith("not finished after 0 s")


def test_the_lowest_sane_attempt_is_kept():
    attempts = [
        outcome(label="fcc", energy=-1.0),
        outcome(label="bcc", energy=-0.9),
        outcome(label="hcp", energy=-3.0, refused="volume 0.30 of the tabulated one"),
        outcome(label="sc", energy=None, refused="exploded"),
    ]

    kept = lowest(attempts)

    assert kept["Cu"].task.prototype == "fcc"
    assert lowest(attempts[2:]) == {}


def test_every_known_element_is_tried_in_several_prototypes_from_three_starts():
    tasks = tasks_for({"Fe", "Mn", "Po", "Fm"})

    iron = {(task.prototype, task.start_factor) for task in tasks if task.element == "Fe"}
    assert iron == {(label, factor) for label in ("bcc", "fcc", "hcp") for factor in (0.8, 1.0, 1.25)}
    assert not any(task.element == "Fm" for task in tasks)  # no tabulated volume


def test_emt_finds_the_close_packed_metals_it_was_fitted_to(judge, attempts):
    release = elements_release(judge, attempts, name="emt")

    assert release.elements == ("Al", "Cu")
    assert [phase.label for phase in release.phases] == ["fcc", "fcc"]
    assert release.elemental_reference("Cu") == pytest.approx(-0.007, abs=0.001)  # the canary's value
    assert all(0.9 < found.volume_ratio < 1.1 for found in lowest(attempts).values())


def test_a_start_at_any_volume_ends_in_the_same_reference(judge, attempts):
    tasks = [Task("Cu", "fcc", factor) for factor in (0.8, 1.25)]

    energies = [found.energy_per_atom for found in build_elements(judge, tasks=tasks)]

    expected = lowest(attempts)["Cu"].energy_per_atom
    assert energies == pytest.approx([expected] * 2, abs=ENERGY_TOLERANCE_EV_PER_ATOM)


def test_the_release_is_on_the_seasons_scale_and_covers_elements(judge, attempts):
    release = elements_release(judge, attempts, name="emt")

    assert release.coverage is Coverage.ELEMENTS
    assert release.scale == scale_of(judge, RelaxationSettings())
    assert release.scale_digest == scale_digest(release.scale)


def test_processes_find_what_one_process_finds(judge, attempts):
    found = build_elements(judge, tasks=FEW, workers=2)

    assert [other.crystal for other in found] == [one.crystal for one in attempts]


def test_a_broken_off_build_goes_on_without_repeating_what_is_done(judge, attempts):
    fresh = []

    found = build_elements(judge, tasks=FEW, done=attempts[:3], record=fresh.append)

    assert [one.task for one in fresh] == [FEW[3]]
    assert [one.task for one in found] == list(FEW)


def test_progress_counts_what_was_done_before(judge, attempts):
    seen = []

    build_elements(judge, tasks=FEW, done=attempts[:2], progress=seen.append)

    assert [(one.done, one.total) for one in seen] == [(3, 4), (4, 4)]
    assert seen[-1].remaining_s == pytest.approx(0.0)
    assert str(seen[-1]).startswith("4/4 Al" if seen[-1].attempt.task.element == "Al" else "4/4 Cu")


def test_a_work_file_gives_back_what_was_appended_and_drops_a_torn_line(tmp_path, attempts):
    work = WorkFile(tmp_path / "attempts.jsonl", {"judge": "emt"}, element_task)
    for one in attempts[:2]:
        work.append(one)
    with (tmp_path / "attempts.jsonl").open("a") as file:
        file.write('{"task": {"elem')

    assert work.attempts() == attempts[:2]
    work.append(attempts[2])
    assert work.attempts() == attempts[:3]


def test_the_work_of_another_judge_is_not_taken_over(tmp_path, attempts):
    WorkFile(tmp_path / "attempts.jsonl", {"judge": "emt"}, element_task).append(attempts[0])

    with pytest.raises(OtherWork, match="another judge"):
        WorkFile(tmp_path / "attempts.jsonl", {"judge": "chgnet"}, element_task).attempts()


def test_building_twice_writes_the_same_bytes_and_works_only_once(tmp_path, judge):
    out, work = tmp_path / "out" / "emt-elements.parquet", tmp_path / "work"
    steps = []
    first = build_release(judge, out, work, tasks=FEW, progress=steps.append)
    written = out.read_bytes()

    second = build_release(judge, out, work, tasks=FEW, progress=steps.append)

    assert out.read_bytes() == written
    assert first.sha256 == second.sha256
    assert len(steps) == len(FEW)
    assert read_release(out, sha256=first.sha256) == first.release
    sums = (out.parent / CHECKSUMS).read_text().splitlines()
    assert f"{first.sha256}  emt-elements.parquet" in sums
    assert len(sums) == 2
    assert attempts_path_of(out).exists()


def test_an_element_without_a_sane_attempt_is_named_as_missing(tmp_path, judge):
    hasty = dataclasses.replace(ELEMENT_SETTINGS, max_steps=0)

    built = build_release(
        judge, tmp_path / "emt.parquet", tmp_path / "work", settings=hasty, tasks=[Task("Cu", "bcc", 0.8)]
    )

    assert built.missing == ("Cu",)
    assert built.release.phases == ()


def test_the_table_of_attempts_marks_the_kept_ones(tmp_path, judge):
    import pyarrow.parquet as pq

    build_release(judge, tmp_path / "emt.parquet", tmp_path / "work", tasks=FEW)

    rows = pq.read_table(tmp_path / "emt-attempts.parquet").to_pylist()
    assert [(row["element"], row["prototype"], row["kept"]) for row in rows] == [
        ("Al", "bcc", False),
        ("Al", "fcc", True),
        ("Cu", "bcc", False),
        ("Cu", "fcc", True),
    ]


def test_a_deviation_from_published_dft_is_noted_for_the_weights_it_was_measured_with(judge):
    tungsten = outcome("W", "bcc")
    chgnet = dataclasses.replace(judge, name="chgnet", model="0.3.0", architecture="CHGNet")

    assert note(chgnet, tungsten, [tungsten]) == (
        "CHGNet lies about 0.20 eV/atom above published DFT for W; its compounds look too stable"
    )
    assert note(judge, tungsten, [tungsten]) == ""


def test_an_odd_volume_and_an_odd_order_of_prototypes_are_noted(judge):
    kept = outcome("W", "fcc", energy=-13.0, ratio=1.4)
    known = outcome("W", "bcc", energy=-12.9)

    assert note(judge, kept, [kept, known]) == (
        "volume 1.40 of the tabulated one; 0.100 eV/atom below the known structure bcc"
    )


def test_an_element_that_the_judge_does_not_bind_is_noted(judge):
    kept = outcome("Cs", "bcc", energy=-0.7479)
    alone = outcome("Cs", "fcc", energy=-0.7478, refused="1 of 1 atoms have no neighbour within 5 Å")

    assert note(judge, kept, [kept, alone]) == (
        "no lower than atoms that see no other: the judge does not bind this element"
    )


def test_a_relaxation_that_takes_more_steps_than_one_run_goes_on_to_its_end(judge):
    short = dataclasses.replace(ELEMENT_SETTINGS, max_steps=8)

    (found,) = build([Task("Cu", "bcc", 0.8)], judge, short)

    assert found.refused == ""
    assert found.steps > 8


def test_a_known_structure_that_was_lost_is_noted(judge):
    kept = outcome("W", "fcc")
    lost = outcome("W", "bcc", energy=None, refused="not converged in 500 steps")

    assert note(judge, kept, [kept, lost]) == "no sane outcome of the known structure bcc"


def test_a_work_file_is_json_lines_that_anything_can_read(tmp_path, attempts):
    work = WorkFile(tmp_path / "attempts.jsonl", {"judge": "emt"}, element_task)
    work.append(attempts[0])

    owner, first = map(json.loads, (tmp_path / "attempts.jsonl").read_text().splitlines())
    assert owner == {"judge": "emt"}
    assert first["task"] == {"element": "Al", "prototype": "bcc", "start_factor": 1.0}


def test_a_layered_cell_that_falls_apart_is_refused():
    layers = Crystal.of(np.diag([2.5, 2.5, 9.0]), [[0, 0, 0], [0.5, 0.5, 0.2]], [17, 17])

    assert why_refused(layers, CUTOFF_ANG) == "falls apart into layers with no bond of up to 5 Å between them"


def test_metals_of_large_atoms_hold_together_although_their_bonds_are_long():
    for element in ("Rb", "Cs"):
        metal = prototype("bcc").crystal(element, ATOMIC_VOLUME_ANG3[element])

        assert why_refused(metal, CUTOFF_ANG) == ""


def test_within_the_noise_of_convergence_the_known_structure_is_kept():
    attempts = [outcome("Fe", "hcp", energy=-8.3567), outcome("Fe", "bcc", energy=-8.3564)]

    assert lowest(attempts)["Fe"].task.prototype == "bcc"
    assert lowest([*attempts, outcome("Fe", "fcc", energy=-8.3570)])["Fe"].task.prototype == "fcc"


def test_a_label_says_when_the_relaxation_left_the_prototype():
    kept = outcome("Cu", "fcc")
    turned = dataclasses.replace(outcome("Cu", "hcp"), crystal=kept.crystal)

    assert label_of(kept) == "fcc"
    assert label_of(turned) == "hcp, relaxed to space group 225"


@pytest.mark.parametrize("name", ["chgnet-elements", "tensornet-matpes-pbe-elements"])
def test_the_readme_shows_the_releases_that_stand_beside_it(name):
    release = read_release(REFERENCE / f"{name}.parquet")

    assert markdown_table(release) in (REFERENCE / "README.md").read_text()


def test_the_built_in_release_gives_known_formation_energies():
    release = read_release(REFERENCE / "chgnet-elements.parquet")

    found = {
        formula: release.formation_energy_per_atom(Formula.parse(formula), energy)
        for formula, energy in (("ClNa", -3.668), ("MgO", -6.314), ("ClCs", -3.548))  # the canary's energies
    }
    # Standard enthalpies of formation, −411, −602 and −443 kJ/mol (CRC Handbook, 97th ed.), in eV/atom.
    assert found["ClNa"] == pytest.approx(-2.13, abs=0.3)
    assert found["MgO"] == pytest.approx(-3.12, abs=0.3)
    assert found["ClCs"] == pytest.approx(-2.30, abs=0.3)


def test_the_checksums_of_the_built_in_release_hold():
    for line in (REFERENCE / CHECKSUMS).read_text().splitlines():
        digest, name = line.split()

        assert hashlib.sha256((REFERENCE / name).read_bytes()).hexdigest() == digest
