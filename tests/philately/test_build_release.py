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
