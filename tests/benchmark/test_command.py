import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.__main__ import BENCHMARKS, main
from benchmark.machine import machine, versions

ROOT = Path(__file__).resolve().parents[2]


STAND_IN = '''"""Nothing much: in no time.

More."""

MEANINGS = {"inserts_per_s": "inserts a second"}


def measure(*, quick, full, say):
    say("measuring")
    return {"inserts_per_s_1e3": 1234.5, "compared": 30000, "flag_differences": 0}
'''


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """A benchmark that takes no time, in a module of its own."""
    (tmp_path / "quick_stand_in.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "quick_stand_in", raising=False)
    monkeypatch.setitem(BENCHMARKS, "nothing", "quick_stand_in")


def test_figures_become_a_table_and_a_file_of_json(stand_in, tmp_path, capsys):
    status = main(["nothing", "--quick", "--json", str(tmp_path / "figures.json")])

    table = capsys.readouterr().out.splitlines()
    written = json.loads((tmp_path / "figures.json").read_text())
    assert status == 0
    assert table[0].split() == ["inserts_per_s_1e3", "1234", "inserts", "a", "second", "at", "1e3", "entries"]
    assert table[1].split() == ["compared", "30,000"]
    assert written["figures"] == {"inserts_per_s_1e3": 1234.5, "compared": 30000, "flag_differences": 0}
    assert (written["machine"], written["versions"]) == (machine(), versions())


def test_the_list_says_a_line_of_each_benchmark_without_importing_it(stand_in, capsys):
    assert main(["--list"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(BENCHMARKS)
    assert lines[-1].split(maxsplit=1)[1] == "Nothing much: in no time."
    assert "quick_stand_in" not in sys.modules


@pytest.mark.parametrize("arguments", [["hul"], [], ["--quick"]])
def test_an_unknown_name_or_none_ends_with_2_and_says_what_there_is(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert f"Choose from: {', '.join(BENCHMARKS)}" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["hull", "--quick", "--full"], ["hull", "--fast"], ["hull", "place"]])
def test_what_is_not_understood_ends_with_2_before_anything_is_measured(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert arguments[-1] in capsys.readouterr().err


def test_help_names_every_benchmark_and_needs_nothing_of_them():
    program = "import sys, benchmark.__main__ as b; b.main(['--list']); print('django' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    helped = subprocess.run(
        [sys.executable, "-m", "benchmark", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert shown.stdout.splitlines()[-1] == "False"
    assert all(name in helped.stdout for name in (*BENCHMARKS, "--json", "--quick", "--full"))


def test_the_machine_is_described_by_what_figures_depend_on():
    described = machine()

    assert described["processor"]
    assert described["cores"] >= 1
    assert described["memory_gib"] > 0
    assert {"python", "numpy", "pymatgen"} <= versions().keys()
