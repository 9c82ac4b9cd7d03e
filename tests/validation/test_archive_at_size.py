"""Archives of very many small files, read by a process of its own whose peak memory is measured."""

import subprocess
import sys
import tarfile
import zipfile

import pytest
import zstandard

MAX_GROWTH_MB = 10  # what reading may add to a process, whatever the number of members
MAX_BYTES_A_MEMBER = 70  # of a zip's list, a fifth of a member's text

CIF = """data_x{0}
_cell_length_a 4.{0:07d}
_cell_length_b 4
_cell_length_c 4
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Na 0 0 0
"""
READ = """
import re, sys
from validation.uploads import structures_of
def peak_mb():  # getrusage's counts the process that started this one, too
    return int(re.search(r"VmHWM:\\s+([0-9]+) kB", open("/proc/self/status").read())[1]) // 1024
before = peak_mb()
with open(sys.argv[1], "rb") as stream:
    count = sum(found.block is not None for found in structures_of(stream, sys.argv[1]))
print(count, peak_mb() - before)
"""


def write_zip(path, count):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(count):
            archive.writestr(f"{number:07d}.cif", CIF.format(number))


def write_tar(path, count):
    with path.open("wb") as file, zstandard.ZstdCompressor(level=1).stream_writer(file) as packed:
        for number in range(count):
            data = CIF.format(number).encode()
            info = tarfile.TarInfo(f"{number:07d}.cif")
            info.size = len(data)
            packed.write(info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % 512))
        packed.write(bytes(1024))


def write_cif(path, count):
    with path.open("w") as file:
        file.writelines(CIF.format(number) for number in range(count))


def read(path):
    """Structures found, and by how many MB the memory of a fresh process grew while it looked for them."""
    done = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=True)
    count, growth_mb = done.stdout.split()
    return int(count), int(growth_mb)


@pytest.mark.parametrize(("write", "name"), [(write_zip, "a.zip"), (write_tar, "a.tar.zst")])
@pytest.mark.parametrize(
    "n_members",
    [
        pytest.param(50_000, id="50,000"),
        pytest.param(200_000, id="200,000", marks=pytest.mark.slow),
        pytest.param(1_000_000, id="a million", marks=pytest.mark.slow),
    ],
)
def test_very_many_members_are_read_in_little_memory(tmp_path, write, name, n_members):
    write(tmp_path / name, n_members)

    count, growth_mb = read(tmp_path / name)

    assert count == n_members
    assert growth_mb < MAX_GROWTH_MB + MAX_BYTES_A_MEMBER * n_members / 1e6


@pytest.mark.parametrize("n_blocks", [50_000, pytest.param(200_000, marks=pytest.mark.slow)])
def test_a_file_of_very_many_blocks_is_read_in_the_memory_of_its_bytes(tmp_path, n_blocks):
    write_cif(tmp_path / "all.cif", n_blocks)

    count, growth_mb = read(tmp_path / "all.cif")

    assert count == n_blocks
    assert growth_mb < MAX_GROWTH_MB + 3 * (tmp_path / "all.cif").stat().st_size // 1_000_000
