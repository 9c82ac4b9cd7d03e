"""The dump: what it says can be computed again from its own columns, and the same database gives the same bytes."""

import hashlib
import json
import threading
from datetime import timedelta

import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from ase.build import bulk
from django.db import connection
from django.db.models.functions import Now
from driving import ordered_alloy, season_on
from facts import add_candidate
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition, Structure

from hull.reference import read_release
from philately.domain import place
from philately.domain.dumps import DumpRefused, due, dump_season, refresh
from philately.domain.locks import lock
from philately.domain.place import place_waiting
from philately.domain.seasons import join
from philately.models import Dump, Phase, ScoreEntry, Season
from philately.queries.dumps import MANIFEST, latest_dump
from tests.releases import write_emt_release

TOLERANCE_EV_PER_ATOM = 1e-6
FINDS = [
    ("Cu", "Au", 1, -0.10),
    ("Cu", "Au", 2, -0.04),
    ("Au", "Cu", 1, -0.12),
    ("Pd", "Pt", 2, 0.05),
    ("Ag", "Al", 1, -0.2),
    ("Al", "Ag", 1, -0.01),
]


@pytest.fixture(autouse=True)
def _cold():
    place.forget()


@pytest.fixture
def placed(season, participant, join_as):
    """A season with finds, a refinement of one, a held element and polymorphs."""
    for majority, minority, n, energy in FINDS:
        add_candidate(participant, ordered_alloy(majority, minority, lattice_ang=3.8, n_minority=n), energy)
    add_candidate(join_as("ben"), ordered_alloy("Cu", "Au", lattice_ang=3.81), -0.105)
    add_candidate(join_as("ben"), ordered_alloy("Cu", "Au", lattice_ang=3.9) * (1, 1, 2), -0.06)
    add_candidate(join_as("ben"), bulk("Au", cubic=True), -0.5)
    place_waiting(season.pk)
    return season


@pytest.fixture
def rows(placed, tmp_path):
    dump_season(placed, tmp_path / "dump")
    return pq.read_table(tmp_path / "dump" / "phases.parquet").to_pylist()


def test_four_readers_read_the_same(placed, tmp_path):
    dump_season(placed, tmp_path / "dump")
    path = str(tmp_path / "dump" / "phases.parquet")

    expected = pq.read_table(path).column("e_above_hull").to_pylist()
    with_pandas = pd.read_parquet(path)["e_above_hull"]
    with_polars = pl.read_parquet(path)["e_above_hull"].to_list()
    with_duckdb = [row[0] for row in duckdb.sql(f"SELECT e_above_hull FROM '{path}'").fetchall()]

    assert [None if pd.isna(value) else value for value in with_pandas] == expected
    assert with_polars == with_duckdb == expected
    assert len(expected) == Phase.objects.count()


def test_every_distance_can_be_computed_again_from_the_columns(rows):
    entries = {
        row["immutable_id"]: PDEntry(Composition(row["chemical_formula_reduced"]) * 1, _energy_of_formula(row))
        for row in rows
        if row["status"] == "on_record"
    }
    diagram = PhaseDiagram(list(entries.values()))

    compared = [row for row in rows if row["immutable_id"] in entries]
    assert {row["origin"] for row in compared} == {"season", "release"}
    for row in compared:
        expected = diagram.get_e_above_hull(entries[row["immutable_id"]])
        assert row["e_above_hull"] == pytest.approx(expected, abs=TOLERANCE_EV_PER_ATOM), row["immutable_id"]
        assert row["is_stable"] == (expected <= 1e-8)


def _energy_of_formula(row):
    return row["energy_per_atom"] * Composition(row["chemical_formula_reduced"]).num_atoms


def test_formation_energies_can_be_computed_again_from_the_release_s_rows(rows):
    reference = {row["elements"][0]: row["energy_per_atom"] for row in rows if row["origin"] == "release"}
    for row in rows:
        fractions = Composition(row["chemical_formula_reduced"]).fractional_composition.get_el_amt_dict()
        mixture = sum(part * reference[symbol] for symbol, part in fractions.items())
        assert row["formation_energy_per_atom"] == pytest.approx(
            row["energy_per_atom"] - mixture, abs=TOLERANCE_EV_PER_ATOM
        )


def test_decompositions_name_rows_and_sum_to_one(rows):
    ids = {row["immutable_id"]: row["chemical_formula_reduced"] for row in rows}
    for row in rows:
        parts = row["decomposition"]
        if parts is None:
            continue
        assert sum(part["fraction"] for part in parts) == pytest.approx(1)
        assert all(ids[part["immutable_id"]] == part["chemical_formula_reduced"] for part in parts)


def test_structures_are_whole_and_of_their_formula(rows):
    for row in rows:
        structure = Structure(
            row["lattice_vectors"],
            row["species_at_sites"],
            row["cartesian_site_positions"],
            coords_are_cartesian=True,
        )
        assert structure.composition.reduced_composition == Composition(row["chemical_formula_reduced"])
        assert row["energy"] == pytest.approx(row["energy_per_atom"] * row["nsites"])


def test_a_refined_phase_has_its_finder_s_name_and_its_refiner_s_cell(rows):
    (row,) = [row for row in rows if row["energy_per_atom"] == pytest.approx(-0.105)]

    assert (row["participant"], row["arrival"], row["method"]) == ("ann", 1, "made up")
    assert row["lattice_vectors"][0][0] == pytest.approx(3.81)


def test_what_is_held_is_in_it_without_a_distance(rows):
    (held,) = [row for row in rows if row["status"] == "held"]

    assert (held["e_above_hull"], held["is_stable"], held["decomposition"]) == (None, None, None)


def test_what_is_undefined_is_in_it_without_a_distance(participant, tmp_path):
    season = season_on(write_emt_release(tmp_path / "few.parquet", ("Au", "Cu")), slug="few", name="Few")
    add_candidate(join(season, participant.user), ordered_alloy("Cu", "Ni", lattice_ang=3.6), -0.2)
    place_waiting(season.pk)
    dump_season(season, tmp_path / "dump")

    rows = pq.read_table(tmp_path / "dump" / "phases.parquet").to_pylist()
    (row,) = [row for row in rows if row["status"] == "undefined"]
    assert (row["e_above_hull"], row["formation_energy_per_atom"]) == (None, None)


def _bytes(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_same_database_gives_the_same_bytes_and_nothing_is_left_behind(placed, tmp_path):
    dump_season(placed, tmp_path / "first")
    dump_season(placed, tmp_path / "second")
    dump_season(placed, tmp_path / "first")

    assert _bytes(tmp_path / "first") == _bytes(tmp_path / "second")
    assert sorted(path.name for path in tmp_path.iterdir() if "file" not in path.name) == ["first", "second"]


def test_the_checksums_of_manifest_and_list_are_true(placed, tmp_path):
    manifest = dump_season(placed, tmp_path / "dump")
    files = _bytes(tmp_path / "dump")

    assert json.loads(files[MANIFEST]) == manifest
    for name, about in manifest["files"].items():
        assert hashlib.sha256(files[name]).hexdigest() == about["sha256"]
        assert len(files[name]) == about["bytes"]
        assert pq.read_metadata(tmp_path / "dump" / name).num_rows == about["rows"]
    listed = dict(reversed(line.split("  ")) for line in files["SHA256SUMS"].decode().splitlines())
    assert listed == {name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name != "SHA256SUMS"}


def test_the_release_in_it_is_the_release(placed, tmp_path, emt_release_file):
    manifest = dump_season(placed, tmp_path / "dump")

    shipped, taken = read_release(tmp_path / "dump" / "release.parquet"), read_release(emt_release_file)
    assert shipped.scale_digest == taken.scale_digest == manifest["judge"]["scale_digest"]
    assert [(phase.formula, phase.energy_per_atom) for phase in shipped.phases] == [
        (phase.formula, phase.energy_per_atom) for phase in taken.phases
    ]


def test_a_practice_season_s_dump_says_so(placed, tmp_path):
    manifest = dump_season(placed, tmp_path / "dump")

    assert manifest["practice"] is True
    assert "optimistic" in manifest["remark"]


def test_a_folder_that_is_no_dump_is_never_overwritten(placed, tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")

    with pytest.raises(DumpRefused, match="is no dump"):
        dump_season(placed, precious)

    assert _bytes(precious) == {"thesis.txt": b"years of work"}


def test_a_season_without_a_run_has_nothing_to_dump(season, tmp_path):
    season.official_run = None

    with pytest.raises(DumpRefused, match="no official run"):
        dump_season(season, tmp_path / "dump")


def test_while_the_sequencer_is_busy_it_waits_and_touches_no_other_dump_s_folder(placed, tmp_path):
    half_written = tmp_path / ".dump.new"
    half_written.mkdir()
    (half_written / "phases.parquet").write_text("somebody is at it")

    with lock(f"place:{placed.pk}"), pytest.raises(DumpRefused, match="busy"):
        dump_season(placed, tmp_path / "dump", wait_s=0.1)

    assert (half_written / "phases.parquet").exists()


@pytest.mark.django_db(transaction=True)
def test_two_dumps_at_once_into_one_folder_give_one_whole_dump(placed, tmp_path):
    errors = []

    def write():
        try:
            dump_season(placed, tmp_path / "dump")
        except Exception as error:  # noqa: BLE001 - told to the test below
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert set(_bytes(tmp_path / "dump")) == {"phases.parquet", "release.parquet", MANIFEST, "SHA256SUMS"}


def test_points_are_no_part_of_it(rows):
    assert ScoreEntry.objects.exists()
    assert not any("points" in name for name in rows[0])


def _again(season):
    return Season.objects.select_related("official_run").get(pk=season.pk)


def test_a_season_in_which_nothing_was_placed_has_no_dump_due(season):
    assert not due(_again(season))
    assert not refresh(season.pk)


def test_the_offered_dump_is_made_once_and_again_when_something_was_placed(placed, participant):
    assert refresh(placed.pk)
    assert not refresh(placed.pk)
    rows = latest_dump(placed).manifest["files"]["phases.parquet"]["rows"]

    add_candidate(participant, ordered_alloy("Ni", "Pt", lattice_ang=3.7), -0.08)
    place_waiting(placed.pk)

    assert refresh(placed.pk)
    assert latest_dump(placed).manifest["files"]["phases.parquet"]["rows"] == rows + 1


def test_while_work_goes_on_the_offered_dump_may_be_a_while_behind(placed, participant, settings):
    refresh(placed.pk)
    add_candidate(participant, ordered_alloy("Ni", "Pt", lattice_ang=3.7), -0.08)
    place_waiting(placed.pk)
    add_candidate(participant, ordered_alloy("Ni", "Pd", lattice_ang=3.7), -0.08)

    assert not due(_again(placed))

    settings.DUMP_EVERY_S = 0
    assert due(_again(placed))


def test_a_dump_that_took_long_rests_when_all_is_quiet_and_then_is_made_again(placed, participant, settings):
    refresh(placed.pk)
    add_candidate(participant, ordered_alloy("Ni", "Pt", lattice_ang=3.7), -0.08)
    place_waiting(placed.pk)
    offered = Dump.objects.filter(season=placed)
    assert 0 < offered.get().took_s < 5
    assert due(_again(placed))

    offered.update(took_s=45.0)
    assert not due(_again(placed))
    assert not refresh(placed.pk)

    offered.update(whole_at=Now() - timedelta(seconds=890))
    assert not due(_again(placed))
    offered.update(whole_at=Now() - timedelta(seconds=910))
    assert due(_again(placed))

    offered.update(whole_at=Now() - timedelta(seconds=60), took_s=9999.0)
    settings.DUMP_EVERY_S = 59  # as while work goes on, and no longer
    assert refresh(placed.pk)
