"""``python -m validation check`` and ``check_files``: everybody's own structures get the verdicts of a season."""

import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pymatgen.io.cif import CifWriter

from hull.entries import SYMBOLS
from tests.validation.validation_crystals import prototypes
from validation.__main__ import main
from validation.acceptance import accept_initial
from validation.archive import open_upload
from validation.blocks import split_file
from validation.check_reports import table_line
from validation.checking import Verdict, check_files, mark_duplicates
from validation.matching import find_duplicates
from validation.rules import Reason, Rejected, Rules

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "first_batch.zip"
KNOWN = frozenset(SYMBOLS[:94])


def cif_of(name, *, scale=None):
    structure = prototypes()[name].copy()
    if scale is not None:
        structure.make_supercell(scale)
    return str(CifWriter(structure))


@pytest.fixture
def folder(tmp_path):
    """Two valid structures, one of them twice, one that is none, one that is hidden, and an archive."""
    files = tmp_path / "files"
    (files / "deep").mkdir(parents=True)
    (files / ".hidden").mkdir()
    (files / "a.cif").write_text(cif_of("rocksalt"))
    (files / "b.cif").write_text("hello")
    (files / "deep" / "c.cif").write_text(cif_of("perovskite") + cif_of("rocksalt", scale=[2, 1, 1]))
    (files / ".hidden" / "d.cif").write_text("hello")
    os.mkfifo(files / "pipe.cif")
    with zipfile.ZipFile(files / "z.zip", "w") as archive:
        archive.writestr("in/e.cif", cif_of("CsCl"))
        archive.writestr("f.cif", cif_of("CsCl").replace("_cell_length_a", "_cell_length_x"))
    return files


def run(*arguments, **options):
    command = [sys.executable, "-m", "validation", "check", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120, check=False, **options)


def test_every_example_gets_the_verdict_that_reading_it_here_gives():
    found = list(check_files([EXAMPLES], jobs=2))

    expected = []
    for member in open_upload(io.BytesIO(EXAMPLES.read_bytes()), EXAMPLES.name):
        for block in split_file(member.data, "a.cif"):
            try:
                crystal = accept_initial(block.text, Rules(), KNOWN, first_line=block.line)
                expected.append((f"{EXAMPLES}/{member.name}", block.name, "valid", str(crystal.formula), ""))
            except Rejected as rejection:
                expected.append((f"{EXAMPLES}/{member.name}", block.name, "rejected", "", rejection.detail))
    assert [(item.file, item.block, item.verdict, item.formula, item.sentence) for item in found] == expected
    assert len({item.reason for item in found}) > 5


def test_a_folder_is_read_by_name_with_its_archives_and_without_what_is_hidden(folder):
    found = [(Path(item.file).relative_to(folder).as_posix(), item.verdict) for item in check_files([folder])]

    assert found == [
        ("a.cif", "valid"),
        ("b.cif", "rejected"),
        ("z.zip/in/e.cif", "valid"),
        ("z.zip/f.cif", "rejected"),
        ("deep/c.cif", "valid"),
        ("deep/c.cif", "valid"),
    ]


def test_what_is_the_same_as_an_earlier_one_names_it(folder):
    marked = mark_duplicates(list(check_files([folder])))

    assert [item.verdict for item in marked].count(Verdict.DUPLICATE) == 1
    last = marked[-1]
    assert (last.verdict, last.reason, last.formula) == (Verdict.DUPLICATE, Reason.DUPLICATE, "ClNa")
    assert last.duplicate_of == f"{folder / 'a.cif'}#NaCl"
    assert last.duplicate_of in last.sentence


def test_find_duplicates_points_at_the_first_of_its_kind_within_the_window_of_energy():
    crystals = [item.crystal for item in check_files([EXAMPLES]) if item.crystal and item.formula == "MgO"]
    told = []

    found = find_duplicates([*crystals, *crystals], on_progress=lambda done, total: told.append((done, total)))

    assert found[: len(crystals)] == [None, None, 0]  # rocksalt, CsCl's type, rocksalt turned
    assert found[len(crystals) :] == [0, 1, 0]
    assert told[-1] == (6, 6)
    assert find_duplicates(crystals, energies_per_atom=[-6.0, -5.9, -5.98]) == [None, None, None]


def test_symmetry_and_atoms_are_those_of_the_primitive_cell(tmp_path):
    (tmp_path / "c.cif").write_text(cif_of("rocksalt"))

    (found,) = check_files([tmp_path / "c.cif"])

    assert (found.space_group, found.n_atoms, found.line, found.block) == (225, 2, 1, "NaCl")


def test_elements_and_rules_may_be_chosen(tmp_path):
    path = tmp_path / "c.cif"
    path.write_text(cif_of("perovskite"))

    (unknown,) = check_files([path], elements=frozenset({"Sr", "Ti"}))
    (too_many,) = check_files([path], Rules(max_elements=2))

    assert (unknown.reason, too_many.reason) == (Reason.ELEMENT_NOT_ALLOWED, Reason.TOO_MANY_ELEMENTS)


def test_an_archive_that_is_refused_is_said_so_and_others_are_read(tmp_path):
    (tmp_path / "a.zip").write_bytes(EXAMPLES.read_bytes()[:2000])
    (tmp_path / "b.cif").write_text(cif_of("rocksalt"))

    found = list(check_files([tmp_path]))

    assert [item.verdict for item in found] == [Verdict.REFUSED, Verdict.VALID]
    assert "damaged" in found[0].sentence


def test_progress_ends_where_the_files_end(folder):
    told = []

    list(check_files([folder], on_progress=lambda done, total: told.append((done, total))))

    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file() and ".hidden" not in path.parts]
    assert told[-1] == (sum(sizes), sum(sizes))
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_the_table_has_a_line_a_structure_and_a_summary(folder, capsys):
    status = main(["check", str(folder)])

    lines = capsys.readouterr().out.splitlines()
    assert status == 1
    assert lines[0].split() == ["file", "block", "formula", "atoms", "group", "verdict", "reason", "sentence"]
    assert lines[1].split()[-5:] == ["NaCl", "ClNa", "2", "225", "valid"]
    assert "NOT_CIF" in lines[2]
    assert lines[7].startswith("6 structures: 3 valid, 1 duplicate, 2 rejected")
    assert [line.split() for line in lines[8:]] == [["1", "BAD_CELL"], ["1", "DUPLICATE"], ["1", "NOT_CIF"]]


def test_wide_cells_are_cut_and_control_characters_are_not_printed():
    line = table_line(("far/" * 20 + "end.cif", "b" * 30, "", "2", "1", "valid", "", "words " * 30 + "\x1b[31m"), 150)

    assert len(line) == 150
    assert "end.cif " in line.split("…")[1]
    assert "\x1b" not in line


def test_json_and_parquet_hold_the_same(folder, tmp_path, capsys):
    out_json, out_parquet = tmp_path / "out.json", tmp_path / "out.parquet"

    main(["check", str(folder), "--json", str(out_json), "--parquet", str(out_parquet), "--quiet"])

    data = json.loads(out_json.read_text())
    assert pq.read_table(out_parquet).to_pylist() == data["structures"]
    assert data["summary"]["verdicts"] == {"duplicate": 1, "rejected": 2, "valid": 3}
    assert data["structures"][-1]["duplicate_of"].endswith("a.cif#NaCl")
    assert capsys.readouterr().out.startswith("6 structures")


def test_all_valid_is_status_0_and_without_duplicates_copies_are_valid(folder, capsys):
    (folder / "copy.cif").write_text(cif_of("rocksalt"))
    paths = [str(folder / "a.cif"), str(folder / "copy.cif")]

    assert main(["check", *paths, "--no-duplicates"]) == 0
    assert main(["check", *paths]) == 1
    assert main(["check", *paths, "--exact"]) == 1


def test_elements_of_a_judge_are_those_it_knows(folder, capsys):
    main(["check", str(folder / "a.cif"), "--judge-elements", "emt"])

    assert "ELEMENT_NOT_ALLOWED" in capsys.readouterr().out


def test_standard_input_may_be_an_archive_or_a_file():
    archive = run("-", "--quiet", input=EXAMPLES.read_bytes())
    single = run("-", input=cif_of("rocksalt").encode())

    assert (archive.returncode, single.returncode) == (1, 0)
    assert archive.stdout.startswith(b"26 structures: 18 valid, 1 duplicate, 7 rejected")
    assert b"225 valid" in single.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "FILES"),
        (["nowhere.cif"], "no file or folder nowhere.cif"),
        ([str(EXAMPLES), "--jobs", "0"], "at least 1"),
        ([str(EXAMPLES), "--elements", "Na,Xx"], "Xx"),
        ([str(EXAMPLES), "--judge-elements", "oracle"], "no judge 'oracle'"),
        ([str(EXAMPLES), "--rules", str(ROOT / "README.md")], "Expecting value"),
        ([str(EXAMPLES), "--json", "/nowhere/out.json"], "/nowhere/out.json"),
    ],
)
def test_misuse_is_status_2_and_says_what_was_wrong(arguments, words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["check", *arguments])

    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_rules_in_a_file_are_those_that_differ_from_the_default(folder, tmp_path, capsys):
    (tmp_path / "rules.json").write_text('{"max_elements": 2}')

    main(["check", str(folder / "deep"), "--rules", str(tmp_path / "rules.json")])

    assert "TOO_MANY_ELEMENTS" in capsys.readouterr().out


def test_ctrl_c_reports_what_was_read_by_then(tmp_path):
    out, times = tmp_path / "out.json", 200
    command = [sys.executable, "-m", "validation", "check", *[str(EXAMPLES)] * times, "--no-duplicates"]
    with subprocess.Popen(
        [*command, "--json", str(out)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # it is ignored where a shell runs us behind
    ) as process:
        lines = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)

    assert b"valid" in lines[-1]
    assert process.returncode == 130
    assert b"interrupted" in errors
    reported = json.loads(out.read_text())
    assert 2 <= len(reported["structures"]) == reported["summary"]["structures"] < 26 * times
    assert f"{len(reported['structures']):,} structures: ".encode() in rest


def test_no_django_and_no_potential_is_loaded():
    code = "import sys, validation.__main__; print(sorted({'django', 'torch', 'pymatgen', 'ase'} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
