"""Uploads through all three phases, judged by EMT: a real relaxation, quick enough for a test."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

import pytest

from hull.entries import ATOMIC_NUMBER
from hull.reference import Coverage, ReferencePhase, Release
from validation.archive import ArchiveRefused
from validation.crystal import Crystal
from validation.pipeline import Ended, Progress, Report, Stage, Upload, WrongRelease, awards_of, judge_files, points_of
from validation.placing import Change, Verdict
from validation.potentials import Judge, load_judge
from validation.relaxation import relax
from validation.rules import Reason, RelaxationSettings
from validation.scales import scale_digest, scale_of
from validation.scoring import PointsFor

SETTINGS = RelaxationSettings(fmax_ev_per_ang=0.03, smax_ev_per_ang3=0.002, displacement_ang=0.0)
FCC = ((0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))
LATTICE_ANG = {"Al": 3.994, "Au": 4.056, "Cu": 3.590, "Ni": 3.488}
# Raised on purpose: so the two CuAu cells lie clearly below the elements, and fcc Al refines its reference.
RAISED_EV_PER_ATOM = {"Au": 0.03, "Al": 0.005}


def _fcc(symbol: str, factor: float = 1.0) -> Crystal:
    edge = LATTICE_ANG[symbol] * factor
    return Crystal.of([[edge * part for part in row] for row in FCC], [(0, 0, 0)], [ATOMIC_NUMBER[symbol]])


def _pair(first: str, second: str, a: float, c: float) -> Crystal:
    """Layers along c: L1_0, and with c = a B2."""
    numbers = [ATOMIC_NUMBER[first], ATOMIC_NUMBER[second]]
    return Crystal.of([[a, 0, 0], [0, a, 0], [0, 0, c]], [(0, 0, 0), (0.5, 0.5, 0.5)], numbers)


def _turned_double(crystal: Crystal) -> Crystal:
    """Twice as large, along a diagonal."""
    return Crystal.from_structure(crystal.to_structure().make_supercell([[1, 1, 0], [-1, 1, 0], [0, 0, 1]]))


def _zip(files: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def _cif(crystal: Crystal) -> str:
    return str(crystal.to_structure().to(fmt="cif"))


B2 = _pair("Cu", "Au", 3.05, 3.05)
FIRST = {
    "b2.cif": _cif(B2),
    "twin.cif": _cif(_turned_double(B2)),
    "copper.cif": _cif(_fcc("Cu", 1.01)),
    "unbound.cif": _cif(_pair("Al", "Ni", 2.98, 2.98)),
    "notes.txt": "nothing to judge here",
    "two.cif": _cif(_fcc("Al")) + "\n" + _cif(_fcc("Ni", 0.6)),
}
SECOND = {
    "l10.cif": _cif(_pair("Cu", "Au", 2.72, 3.80)),
    "b2-again.cif": _cif(_pair("Cu", "Au", 3.13, 3.13)),
    "b2-copied.cif": FIRST["b2.cif"],
}
UPLOADS = (Upload("ann", "first.zip", _zip(FIRST)), Upload("ben", "second.zip", _zip(SECOND)))


@pytest.fixture(scope="module")
def judge() -> Judge:
    return load_judge("emt")


@pytest.fixture(scope="module")
def release(judge: Judge) -> Release:
    scale = scale_of(judge, SETTINGS)
    phases = []
    for number, symbol in enumerate(sorted(LATTICE_ANG), 1):
        result = relax(_fcc(symbol), judge, SETTINGS)
        a, b, c = (tuple(row) for row in result.crystal.lattice.tolist())
        energy = result.energy_per_atom + RAISED_EV_PER_ATOM.get(symbol, 0.0)
        phases.append(
            ReferencePhase(number, result.crystal.formula, energy, (a, b, c), ((0.0, 0.0, 0.0),), (symbol,), "fcc")
        )
    return Release("raised", Coverage.ELEMENTS, scale, scale_digest(scale), tuple(phases))


@pytest.fixture(scope="module")
def reports(judge: Judge, release: Release) -> list[Report]:
    return judge_files(UPLOADS, judge, release, settings=SETTINGS)


def _of(reports: list[Report], file: str, nth: int = 0) -> Report:
    return [report for report in reports if report.file == file][nth]


def test_reports_stand_in_order_of_arrival_one_a_data_block(reports: list[Report]) -> None:
    assert [report.arrival for report in reports] == list(range(1, 11))
    assert [report.file for report in reports] == [*FIRST, "two.cif", *SECOND]
    assert {report.member for report in reports[:7]} == {"ann"}
    assert {report.member for report in reports[7:]} == {"ben"}


def test_what_phase_one_refuses_is_reported_with_its_sentence(reports: list[Report]) -> None:
    notes, squeezed = _of(reports, "notes.txt"), _of(reports, "two.cif", 1)

    assert (notes.ended, notes.reason, notes.formula) == (Ended.REJECTED, Reason.NOT_CIF, "")
    assert "data_" in notes.sentence
    assert (squeezed.ended, squeezed.reason, squeezed.verdict) == (Ended.REJECTED, Reason.VOLUME, "rejected")


def test_a_twin_is_parked_behind_its_original_whoever_sends_it(reports: list[Report]) -> None:
    twins = [_of(reports, "twin.cif"), _of(reports, "b2-copied.cif")]

    assert [(twin.ended, twin.reason, twin.twin_of) for twin in twins] == [(Ended.PARKED, Reason.TWIN, 1)] * 2
    assert all(twin.outcome is None and twin.energy_per_atom is None for twin in twins)


def test_a_stable_find_is_dethroned_by_a_lower_polymorph_and_its_finder_loses_points(reports: list[Report]) -> None:
    first, second = _of(reports, "b2.cif"), _of(reports, "l10.cif")

    assert first.verdict == second.verdict == Verdict.STABLE
    assert first.outcome is not None and second.outcome is not None
    assert [(item.kind, item.phase) for item in second.outcome.log] == [
        (Change.STABLE, second.outcome.phase),
        (Change.DETHRONED, first.outcome.phase),
    ]
    assert [(member, award.reason, award.points) for member, award in awards_of([first, second])] == [
        ("ann", PointsFor.UNIQUE, 1),
        ("ann", PointsFor.STABLE, 10),
        ("ann", PointsFor.FIRST_OF_SYSTEM, 5),
        ("ben", PointsFor.UNIQUE, 1),
        ("ben", PointsFor.STABLE, 10),
        ("ann", PointsFor.DETHRONED, -10),
        ("ann", PointsFor.DETHRONED_FIRST, -5),
        ("ann", PointsFor.METASTABLE, 3),
    ]


def test_points_are_summed_by_member_most_first(reports: list[Report]) -> None:
    assert points_of(reports) == {"ben": 11, "ann": 4}
    assert list(points_of(reports)) == ["ben", "ann"]


def test_what_is_no_twin_but_relaxes_to_a_known_phase_is_a_duplicate(reports: list[Report]) -> None:
    again, original = _of(reports, "b2-again.cif"), _of(reports, "b2.cif")

    assert (again.verdict, again.reason) == (Verdict.DUPLICATE, Reason.DUPLICATE)
    assert again.outcome is not None and original.outcome is not None
    assert again.outcome.phase == original.outcome.phase


def test_a_phase_of_the_release_is_a_duplicate_and_a_lower_one_refines_it(reports: list[Report]) -> None:
    copper, aluminium = _of(reports, "copper.cif"), _of(reports, "two.cif")

    assert copper.verdict == Verdict.DUPLICATE
    assert "of the release" in copper.sentence
    assert aluminium.verdict == Verdict.REFINED
    assert aluminium.outcome is not None and aluminium.outcome.awards == ()


def test_what_does_not_bind_is_rejected_after_its_relaxation(reports: list[Report]) -> None:
    unbound = _of(reports, "unbound.cif")

    assert (unbound.ended, unbound.verdict) == (Ended.PLACED, Verdict.REJECTED)
    assert unbound.reason is Reason.FORMATION_ENERGY
    assert unbound.energy_per_atom is not None


def test_judging_twice_gives_the_same_reports(release: Release, reports: list[Report]) -> None:
    assert judge_files(UPLOADS, load_judge("emt"), release, settings=SETTINGS) == reports


def test_what_was_relaxed_before_does_not_change_an_energy(
    judge: Judge, release: Release, reports: list[Report]
) -> None:
    backwards = dict(reversed(FIRST.items()))

    other = judge_files([Upload("ann", "first.zip", _zip(backwards))], judge, release, settings=SETTINGS)

    for file in ("copper.cif", "two.cif", "unbound.cif"):
        assert _of(other, file).energy_per_atom == _of(reports, file).energy_per_atom
    assert _of(other, "b2.cif").twin_of == _of(other, "twin.cif").arrival


def test_a_single_file_and_several_uploads_count_on(judge: Judge, release: Release) -> None:
    uploads = [Upload("ann", "a.txt", b"one"), Upload("ben", "b.txt", b"two")]

    found = judge_files(uploads, judge, release, settings=SETTINGS)

    assert [(report.arrival, report.member, report.file) for report in found] == [
        (1, "ann", "a.txt"),
        (2, "ben", "b.txt"),
    ]


def test_what_does_not_converge_says_how_far_it_came(judge: Judge, release: Release) -> None:
    hasty = RelaxationSettings(max_steps=1, displacement_ang=0.0)
    scale = scale_of(judge, hasty)
    hasty_release = Release("hasty", release.coverage, scale, scale_digest(scale), release.phases)

    (report,) = judge_files([Upload("ann", "b2.cif", _cif(B2).encode())], judge, hasty_release, settings=hasty)

    assert (report.ended, report.reason) == (Ended.REJECTED, Reason.NOT_CONVERGED)
    assert report.sentence.startswith("after 1 steps")


def test_progress_counts_every_structure_of_every_stage(judge: Judge, release: Release) -> None:
    seen: list[Progress] = []
    uploads = [Upload("ann", "first.zip", _zip({"copper.cif": FIRST["copper.cif"], "notes.txt": "no"}))]

    judge_files(uploads, judge, release, settings=SETTINGS, on_progress=seen.append)

    assert seen == [
        Progress(Stage.PARSE, 1, 2),
        Progress(Stage.PARSE, 2, 2),
        Progress(Stage.RELAX, 1, 1),
        Progress(Stage.PLACE, 1, 2),
        Progress(Stage.PLACE, 2, 2),
    ]


def test_a_release_of_another_scale_is_refused(judge: Judge, release: Release) -> None:
    with pytest.raises(WrongRelease, match="raised"):
        judge_files(UPLOADS, judge, release, settings=RelaxationSettings())


def test_a_damaged_archive_is_refused_as_a_whole(judge: Judge, release: Release) -> None:
    with pytest.raises(ArchiveRefused):
        judge_files([Upload("ann", "first.zip", UPLOADS[0].data[:-40])], judge, release, settings=SETTINGS)
