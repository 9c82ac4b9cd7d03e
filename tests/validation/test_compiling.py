import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
from validation import fingerprint, fitting, folding, lattices, matcher_lattice, mean_distances, neighbours, orbits
from validation import translations
from validation.checks import check_initial
from validation.cif import read_block
from validation.compiling import compile_kernels
from validation.crystal import Crystal
from validation.matching import find_duplicates
from validation.reduction import primitive
from validation.rules import Rules

MODULES = (
    *(fingerprint, fitting, folding, lattices, matcher_lattice, mean_distances, neighbours, orbits, translations),
)

def compiled():
    kernels = [item for module in MODULES for item in vars(module).values()]
    return {kernel.__name__: len(kernel.signatures) for kernel in kernels if hasattr(kernel, "signatures")}

assert not any(compiled().values()), "something compiles at import"
compile_kernels()
before = compiled()
cell = "".join(f"_cell_length_{axis} 5.64\\n" for axis in "abc")
cell += "".join(f"_cell_angle_{angle} 90\\n" for angle in ("alpha", "beta", "gamma"))
sites = "loop_\\n_atom_site_label\\n_atom_site_fract_x\\n_atom_site_fract_y\\n_atom_site_fract_z\\n"
text = f"data_x\\n{cell}_space_group_IT_number 225\\n{sites}Na1 0 0 0\\nCl1 0.5 0.5 0.5\\n"
crystal = read_block(text, Rules())
for start in (crystal, Crystal.unpack(crystal.pack()), Crystal.from_atoms(crystal.to_atoms())):
    check_initial(start, Rules(), frozenset({"Na", "Cl"}))
    neighbours.neighbour_pairs(start, 5.0)
    assert find_duplicates([start, primitive(start)]) == [None, 0]
    assert len(folding.matcher_cell(start)) == 2
assert compiled() == before, (before, compiled())
"""


def test_after_compiling_ahead_nothing_is_left_to_compile():
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


RELAXING = """
import numpy as np, torch
from matgl.apps.pes import Potential
from matgl.models import TensorNet
from validation import fire
from validation.compiling import compile_potentials
from validation.crystal import Crystal
from validation.flight import relax_batch
from validation.judges import morse, pairs, tensor_messages
from validation.potentials import load_judge, matgl_judge
from validation.rules import RelaxationSettings

def compiled():
    kernels = [item for module in (fire, morse, pairs, tensor_messages) for item in vars(module).values()]
    return {kernel.__name__: len(kernel.signatures) for kernel in kernels if hasattr(kernel, "signatures")}

assert not any(compiled().values()), "something compiles at import"
compile_potentials()
before = compiled()
judge = matgl_judge(Potential(TensorNet(element_types=("Na", "Cl"), units=16, is_intensive=False)), "random")
salt = Crystal.of(4.0 * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.4]], [11, 17])
ended = list(relax_batch([(0, salt), (1, salt)], judge, RelaxationSettings(fmax_ev_per_ang=0.0, max_steps=3)))
assert [end.relaxation.steps for end in ended] == [3, 3]
list(relax_batch([(0, salt), (1, salt)], load_judge("morse"), RelaxationSettings(max_steps=3)))
assert compiled() == before, (before, compiled())
"""


@pytest.mark.potential
def test_after_compiling_ahead_nothing_is_left_to_compile_for_relaxing():
    done = subprocess.run([sys.executable, "-c", RELAXING], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
