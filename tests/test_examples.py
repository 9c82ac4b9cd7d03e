"""The examples are what their script makes, and phase 1 says of each what examples/README.md says."""

from __future__ import annotations

import runpy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hull.entries import SYMBOLS
from hull.reference import read_release
from validation.pipeline import Checked, Upload, awards_of, check_submissions, judge_files, read_uploads
from validation.placing import Verdict
from validation.potentials import load_judge
from validation.rules import Reason, Rejected, Rules
from validation.scoring import PointsFor

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
BUILT_IN = EXAMPLES.parent / "reference" / "chgnet-elements.parquet"
LOST = ("member 0", PointsFor.DETHRONED)
BATCHES = ("first_batch.zip", "second_batch.zip")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table of examples/README.md."""

    file: str
    block: str
    purpose: str
    phase_1: str
    verdict: str


def _rows(batch: str) -> list[Row]:
    section = (EXAMPLES / "README.md").read_text().split(f"## {batch}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [Row(*(cell.strip() for cell in line.strip("|").split("|"))) for line in lines[2:]]


@pytest.fixture(scope="module")
def checked() -> list[Checked]:
    uploads = [Upload.from_path(str(number), EXAMPLES / batch) for number, batch in enumerate(BATCHES)]
    return check_submissions(read_uploads(uploads), Rules(), frozenset(SYMBOLS[:94]))


@pytest.mark.parametrize("batch", BATCHES)
def test_the_archives_are_what_the_script_makes(tmp_path: Path, batch: str) -> None:
    script: dict[str, Any] = runpy.run_path(str(EXAMPLES / "make_examples.py"))

    script["main"](tmp_path)

    assert (tmp_path / batch).read_bytes() == (EXAMPLES / batch).read_bytes()


def test_the_tables_name_every_structure_in_order_of_arrival(checked: list[Checked]) -> None:
    rows = [row for batch in BATCHES for row in _rows(batch)]

    assert [(item.submission.file, item.submission.block) for item in checked] == [
        (row.file, row.block) for row in rows
    ]


def test_phase_one_says_what_the_tables_say(checked: list[Checked]) -> None:
    rows = [row for batch in BATCHES for row in _rows(batch)]

    assert {row.file: _phase_1(item) for row, item in zip(rows, checked, strict=True)} == {
        row.file: row.phase_1 for row in rows
    }


def test_the_tables_cover_the_classes_that_they_can(checked: list[Checked]) -> None:
    verdicts = {row.verdict for batch in BATCHES for row in _rows(batch)}

    assert verdicts == {
        *(Verdict.STABLE, Verdict.METASTABLE, Verdict.UNSTABLE, Verdict.DUPLICATE, Verdict.REJECTED),
        "parked",
    }


def test_no_example_is_large(checked: list[Checked]) -> None:
    originals = [item.original for item in checked if item.original is not None]

    assert len(originals) == 28
    assert max(len(crystal) for crystal in originals) <= 6


@pytest.mark.slow
@pytest.mark.potential
@pytest.mark.skipif(not BUILT_IN.exists(), reason="the built-in release is not there")
def test_the_default_judge_says_what_the_tables_say() -> None:
    uploads = [Upload.from_path(f"member {number}", EXAMPLES / batch) for number, batch in enumerate(BATCHES)]

    reports = judge_files(uploads, load_judge("chgnet"), read_release(BUILT_IN))

    found = [(report.file, report.block, report.verdict) for report in reports]
    assert found == [(row.file, row.block, row.verdict) for batch in BATCHES for row in _rows(batch)]
    lost = {award.formula for member, award in awards_of(reports) if (member, award.reason) == LOST}
    assert lost == {"ClNa", "O2Ti"}


def _phase_1(item: Checked) -> str:
    if isinstance(item.crystal, Rejected):
        return item.crystal.reason
    return "goes on" if item.twin_of is None else Reason.TWIN
