"""What hull/compiled.py promises: nothing compiled at import, everything kept on disk, made anew after any change."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
from numba.core.dispatcher import Dispatcher
import hull.store
from hull import packing, queries
def compiled(module):
    return [name for name, one in vars(module).items() if isinstance(one, Dispatcher) and one.signatures]
assert not compiled(queries), "import compiles"
import numpy as np
queries.row_of(hull.store.HullStore("x").memory.addresses(), 3)
print(sum(queries.row_of.stats.cache_hits.values()), sum(queries.row_of.stats.cache_misses.values()))
"""


@pytest.fixture
def package(tmp_path):
    """A copy of the package, so that it may be changed."""
    shutil.copytree(ROOT / "hull", tmp_path / "hull", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def hits_and_misses(package: Path) -> tuple[int, int]:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(package / "cache"), "OMP_NUM_THREADS": "1"}
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=package, env=environment, check=True, capture_output=True, text=True
    ).stdout.split()
    return int(answer[0]), int(answer[1])


def test_a_kernel_is_compiled_once_and_again_after_a_change_of_any_file(package):
    assert hits_and_misses(package) == (0, 1)
    assert hits_and_misses(package) == (1, 0)

    hashing = package / "hull" / "hashing.py"  # not the file of the kernel, but of what it calls
    hashing.write_text(hashing.read_text() + "\n# changed\n")

    assert hits_and_misses(package) == (0, 1)


def test_everything_that_python_calls_is_compiled_ahead():
    program = """
from numba.core.dispatcher import Dispatcher
import hull.__main__
hull.__main__.compile_kernels()
from hull import landscape, packing, queries, room, simplex, texts, withdrawal
for module in (landscape, packing, queries, room, simplex, texts, withdrawal):
    for name, one in vars(module).items():
        entry = isinstance(one, Dispatcher) and not one.targetoptions.get("no_cpython_wrapper")
        assert not entry or one.signatures, f"{module.__name__}.{name}"
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
