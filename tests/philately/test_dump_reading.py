"""Rows by their keys, as a dump reads them; and that a dump does not depend on how many are read at a time."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from driving import ordered_alloy
from facts import add_candidate

from philately.domain import dump_phases, dump_rows, place
from philately.domain.dump_reading import aligned, rows_of
from philately.domain.dumps import dump_season
from philately.domain.place import place_waiting
from philately.models import Candidate, Placement

CANDIDATE = pa.schema([("id", pa.int64()), ("arrival", pa.int64())])
PLACEMENT = pa.schema([("candidate", pa.int64()), ("energy_per_atom", pa.float64())])


@pytest.fixture
def placed(season, participant):
    place.forget()
    for n, (majority, minority) in enumerate((("Cu", "Au"), ("Au", "Cu"), ("Pd", "Pt"), ("Ag", "Al"), ("Al", "Ag"))):
        add_candidate(participant, ordered_alloy(majority, minority, lattice_ang=3.8), -0.1 - 0.01 * n)
    place_waiting(season.pk)
    return season


@pytest.fixture
def keys(placed):
    return list(Candidate.objects.order_by("pk").values_list("pk", flat=True))


def test_rows_are_read_once_a_key_and_nothing_is_asked_without_keys(keys, django_assert_num_queries):
    found = rows_of(Candidate, CANDIDATE, pa.array([keys[2], None, keys[0], keys[2]]))

    assert found.schema == CANDIDATE
    assert sorted(found["id"].to_pylist()) == [keys[0], keys[2]]
    with django_assert_num_queries(0):
        assert len(rows_of(Candidate, CANDIDATE, pa.array([None], pa.int64()))) == 0


def test_rows_are_read_by_another_field_among_those_where_a_third_is_equal(placed, keys):
    run = placed.official_run.pk

    found = rows_of(Placement, PLACEMENT, pa.array(keys[:2]), run=run)

    assert sorted(found["candidate"].to_pylist()) == keys[:2]
    assert len(rows_of(Placement, PLACEMENT, pa.array(keys), run=run + 1)) == 0


def test_rows_are_put_into_the_order_of_the_keys_with_nulls_for_no_key(keys):
    wanted = pa.array([keys[2], None, keys[0], keys[2]])

    found = aligned(rows_of(Candidate, CANDIDATE, wanted), wanted)

    assert found.to_pylist() == [
        {"id": keys[2], "arrival": 3},
        {"id": None, "arrival": None},
        {"id": keys[0], "arrival": 1},
        {"id": keys[2], "arrival": 3},
    ]


def test_nothing_is_all_nulls():
    rows = pa.RecordBatch.from_pylist([], schema=CANDIDATE)

    assert aligned(rows, pa.array([None, None], pa.int64())).to_pylist() == [{"id": None, "arrival": None}] * 2


def test_a_row_that_is_not_there_is_no_null(keys):
    wanted = pa.array([keys[0], keys[-1] + 1000])

    with pytest.raises(LookupError, match="1 rows"):
        aligned(rows_of(Candidate, CANDIDATE, wanted), wanted)


def test_rows_are_the_same_however_many_are_read_at_a_time(placed, tmp_path, monkeypatch):
    dump_season(placed, tmp_path / "dump")
    expected = pq.read_table(tmp_path / "dump" / "phases.parquet")

    monkeypatch.setattr(dump_phases, "_PAGE", 2)
    monkeypatch.setattr(dump_rows, "_CHUNK", 3)
    dump_season(placed, tmp_path / "dump")

    assert pq.read_table(tmp_path / "dump" / "phases.parquet").equals(expected)
    names = ["chemical_system", "chemical_formula_reduced", "energy_per_atom"]
    rows = expected.select(names).to_pylist()
    assert rows == sorted(rows, key=lambda row: [row[name] for name in names])
    assert len(rows) > 6
