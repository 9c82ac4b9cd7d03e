import dataclasses
import hashlib
import json
import random

import pyarrow.parquet as pq
import pytest

from hull.entries import BadEnergy, Formula
from hull.reference import (
    BadRelease,
    Coverage,
    DamagedRelease,
    MissingReference,
    ReferencePhase,
    Release,
    read_release,
    write_release,
)

CUBE = ((4.0, 0.0, 0.0), (0.0, 4.0, 0.0), (0.0, 0.0, 4.0))
SCALE = {"potential": "a potential", "fmax_ev_per_ang": 0.05, "settings": {"steps": 500, "cell": True, "note": "ä"}}


def phase(number, energy_per_atom, *species, note=""):
    amounts = {symbol: species.count(symbol) for symbol in species}
    positions = tuple((0.1 * site, 0.2, 1 / 3) for site in range(len(species)))
    return ReferencePhase(
        number, Formula.of(amounts), energy_per_atom, CUBE, positions, species, f"prototype {number}", note
    )


def release(**changes):
    phases = (
        phase(1, -1.9, "Na"),
        phase(2, -1.3, "Na", "Na"),
        phase(3, -2.0, "Cl", "Cl", note="deviates by 0.20 eV/atom from published DFT"),
        phase(4, -3.1 - 1 / 3, "Na", "Na", "Cl", "Cl"),
    )
    made = Release("test-1", Coverage.PROTOTYPES, SCALE, "0123abcd", phases)
    return dataclasses.replace(made, **changes)


def test_a_release_reads_as_it_was_written(tmp_path):
    digest = write_release(release(), tmp_path / "release.parquet")

    assert read_release(tmp_path / "release.parquet", sha256=digest) == release()
    assert digest == hashlib.sha256((tmp_path / "release.parquet").read_bytes()).hexdigest()


def test_the_same_release_gives_the_same_bytes_and_another_gives_others(tmp_path):
    reordered = release(scale=dict(reversed(SCALE.items())))

    digests = [
        write_release(one, tmp_path / "release.parquet") for one in (release(), reordered, release(name="test-2"))
    ]

    assert digests[0] == digests[1] != digests[2]
    assert [file.name for file in tmp_path.iterdir()] == ["release.parquet"]


def test_a_release_is_plain_parquet_that_needs_nothing_of_this_project(tmp_path):
    write_release(release(), tmp_path / "release.parquet")

    table = pq.read_table(tmp_path / "release.parquet")
    row = table.to_pylist()[3]

    assert row["number"] == 4
    assert row["chemical_formula_reduced"] == "ClNa"
    assert row["elements"] == ["Cl", "Na"]
    assert row["nsites"] == 4
    assert row["energy"] == pytest.approx(4 * row["energy_per_atom"])
    assert row["lattice_vectors"] == [list(vector) for vector in CUBE]
    assert row["species_at_sites"] == ["Na", "Na", "Cl", "Cl"]
    assert json.loads(table.schema.metadata[b"release"])["scale"] == SCALE


def test_a_release_without_phases_is_possible(tmp_path):
    write_release(release(phases=()), tmp_path / "release.parquet")

    assert read_release(tmp_path / "release.parquet").phases == ()


def test_the_lowest_phase_of_an_element_is_its_reference():
    assert release().elements == ("Cl", "Na")
    assert release().elemental_reference("Na") == -1.9


def test_a_formation_energy_is_measured_against_the_elements():
    assert release().formation_energy_per_atom(Formula.parse("ClNa3"), -2.5) == pytest.approx(-2.5 + 0.75 * 1.9 + 0.5)
    assert release().formation_energy_per_atom(Formula.parse("Na"), -1.9) == pytest.approx(0.0)
    with pytest.raises(BadEnergy):
        release().formation_energy_per_atom(Formula.parse("ClNa"), float("nan"))


def test_an_element_that_the_release_lacks_makes_the_formation_energy_undefined():
    assert release().formation_energy_per_atom(Formula.parse("ClK"), -3.0) is None
    with pytest.raises(MissingReference, match="K"):
        release().elemental_reference("K")
    with pytest.raises(KeyError):
        release().elemental_reference("K")


def test_another_file_than_the_one_asked_for_is_refused(tmp_path):
    write_release(release(), tmp_path / "release.parquet")

    with pytest.raises(DamagedRelease, match="SHA-256"):
        read_release(tmp_path / "release.parquet", sha256="0" * 64)


def test_no_flipped_byte_is_believed_even_without_a_checksum(tmp_path):
    digest = write_release(release(), tmp_path / "release.parquet")
    content = (tmp_path / "release.parquet").read_bytes()
    damaged = tmp_path / "damaged.parquet"
    refused = 0

    for place in random.Random(3).sample(range(len(content)), 200):
        damaged.write_bytes(content[:place] + bytes([content[place] ^ 0x11]) + content[place + 1 :])
        with pytest.raises(DamagedRelease):
            read_release(damaged, sha256=digest)
        try:
            assert read_release(damaged) == release()
        except DamagedRelease:
            refused += 1
    assert refused > 50
    damaged.write_bytes(content[: len(content) // 2])
    with pytest.raises(DamagedRelease):
        read_release(damaged)


def test_parquet_that_is_no_release_is_refused(tmp_path):
    write_release(release(), tmp_path / "release.parquet")
    table = pq.read_table(tmp_path / "release.parquet")
    pq.write_table(table.replace_schema_metadata(None), tmp_path / "bare.parquet")
    pq.write_table(table.slice(0, 2), tmp_path / "short.parquet")

    for name in ("bare.parquet", "short.parquet"):
        with pytest.raises(DamagedRelease):
            read_release(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_release(tmp_path / "nowhere.parquet")


@pytest.mark.parametrize(
    "changes",
    [
        {"formula": Formula.parse("Na")},
        {"species_at_sites": ("Na",)},
        {"species_at_sites": (), "cartesian_site_positions": ()},
        {"cartesian_site_positions": ((0.0, 0.0, float("nan")),) * 4},
        {"cartesian_site_positions": ((0.0, 0.0),) * 4},
        {"lattice_vectors": CUBE[:2]},
    ],
)
def test_a_phase_that_contradicts_itself_is_never_made(changes):
    with pytest.raises(BadRelease):
        dataclasses.replace(release().phases[3], **changes)


def test_phases_are_numbered_from_one_in_order():
    with pytest.raises(BadRelease):
        release(phases=release().phases[1:])
    with pytest.raises(BadRelease):
        release(phases=release().phases[::-1])


@pytest.mark.parametrize("scale", [{"weights": b"bytes"}, {"fmax": float("nan")}])
def test_a_scale_that_is_not_json_is_refused_before_anything_is_written(tmp_path, scale):
    with pytest.raises(BadRelease):
        write_release(release(scale=scale), tmp_path / "release.parquet")

    assert list(tmp_path.iterdir()) == []
