"""The command that builds elemental references, with the judge that takes seconds."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from hull.reference import Coverage, read_release


def build(folder: Path, *arguments: str, judge: str = "emt") -> str:
    printed = StringIO()
    call_command(
        "build_release",
        "--quick",
        "--workers=1",
        *(f"--judge={judge}", f"--out={folder / 'elements.parquet'}", f"--work-dir={folder / 'work'}"),
        *arguments,
        stdout=printed,
    )
    return printed.getvalue()


def test_it_writes_a_release_of_the_elements_asked_for_and_prints_it(tmp_path: Path) -> None:
    printed = build(tmp_path, "--elements", "Cu", "Al")

    release = read_release(tmp_path / "elements.parquet")
    assert release.elements == ("Al", "Cu")
    assert release.coverage is Coverage.ELEMENTS
    assert "| Cu | fcc |" in printed
    assert "canary against registered values" in printed


def test_a_second_run_repeats_nothing(tmp_path: Path) -> None:
    first = build(tmp_path, "--elements", "Cu")

    second = build(tmp_path, "--elements", "Cu")

    assert "1/1 Cu fcc 1" in first
    assert "1/1" not in second
    assert first.splitlines()[-1] == second.splitlines()[-1]


def test_an_element_that_the_judge_does_not_know_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="emt does not know Fe"):
        build(tmp_path, "--elements", "Fe", "Cu")


def test_a_judge_without_its_weights_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="needs a model"):
        build(tmp_path, judge="matgl")


def test_a_working_folder_of_another_judge_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "attempts.jsonl").write_text('{"judge": "chgnet"}\n')

    with pytest.raises(CommandError, match="another judge"):
        build(tmp_path, "--elements", "Cu")
    assert not (tmp_path / "elements.parquet").exists()


@pytest.mark.potential
def test_it_writes_a_release_of_prototypes_beside_the_elements_and_goes_on_after_a_limit(tmp_path: Path) -> None:
    salts = ("--prototypes", "--elements", "Na", "Cl")

    few = build(tmp_path, *salts, "--limit=1", judge="chgnet")
    printed = build(tmp_path, *salts, "--limit=2", judge="chgnet")

    release = read_release(tmp_path / "elements.parquet")
    assert release.coverage is Coverage.PROTOTYPES
    assert len(release.elements) == 88
    salt = min(release.phases[88:], key=lambda phase: phase.energy_per_atom)
    assert (str(salt.formula), salt.label) == ("ClNa", "rocksalt")
    formed = release.formation_energy_per_atom(salt.formula, salt.energy_per_atom)
    assert formed == pytest.approx(-2.04, abs=0.01)  # as reference/README.md has it
    assert "1/1 Na-Cl CsCl" in few
    assert "2/2 Na-Cl rocksalt" in printed
    assert "1/2" not in printed
    assert "| rocksalt | 1 | 0 | 1 | 1 |" in printed


def test_a_judge_of_metals_alone_has_no_compounds(tmp_path: Path, emt_release_file: Path) -> None:
    with pytest.raises(CommandError, match="no compound of these elements"):
        build(tmp_path, "--prototypes", f"--elements-release={emt_release_file}", "--elements", "Cu", "Al")


def test_compounds_need_the_elements_of_their_judge(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"--elements-release: .*emt-elements\.parquet"):
        build(tmp_path, "--prototypes")


def test_options_of_prototypes_are_refused_without_them(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="are for --prototypes"):
        build(tmp_path, "--limit=3")
