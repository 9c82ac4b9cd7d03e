"""What is stored is found by ranges exactly as it is in memory, on either database, also in a crowd."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from django.db import connection
from django.test.utils import CaptureQueriesContext
from facts import add_candidate

from philately.domain import likenesses
from philately.models import InitialFingerprint
from philately.states import CandidateState
from tests.flows.servers import postgres_database
from validation.crystal import Crystal
from validation.fingerprint import Fingerprint, Limits
from validation.rules import Rules

LIMITS = Limits.of(Rules().twin)
WIDE = Limits.of(Rules().duplicate)
N = 60


def _some(count, seed=0, n_sites=2):
    """Fingerprints of cells of two atoms that differ a little, and their keys."""
    dice = np.random.default_rng(seed)
    for _ in range(count):
        lattice = 3.0 * np.eye(3) + dice.normal(0.0, 0.4, size=(3, 3))
        yield Fingerprint.of(Crystal.of(lattice, dice.normal(0.5, 0.01, size=(n_sites, 3)) * [[0], [1]], [29, 79]))


def _near_in_memory(wanted, stored, limits):
    return {
        owner: {other for other, its in stored if other != owner and one.is_near(its, limits)} for owner, one in wanted
    }


def _found(season, wanted, limits):
    found = likenesses.candidates_near(season.pk, wanted, limits)
    return {owner: set(found.get(owner, ())) for owner, _ in wanted}


@pytest.fixture
def stored(season, participant):
    """Of candidates of one formula: (primary key, fingerprint)."""
    first = add_candidate(participant, bulk("Cu"), state=CandidateState.CHECKED)
    keys = [first.pk]
    while len(keys) < N:
        keys.append(add_candidate(participant, bulk("Cu"), state=CandidateState.CHECKED, shard=first.shard).pk)
    InitialFingerprint.objects.all().delete()  # of the structures that the candidates happen to have
    pairs = list(zip(keys, _some(N), strict=True))
    likenesses.write(season.pk, pairs)
    return pairs


@pytest.mark.parametrize("limits", [LIMITS, WIDE], ids=["twins", "duplicates"])
def test_what_is_stored_is_found_exactly_as_in_memory(season, stored, limits):
    expected = _near_in_memory(stored, stored, limits)

    assert _found(season, stored, limits) == expected
    assert any(expected.values()) and not all(len(others) == N - 1 for others in expected.values())


def test_one_at_a_time_finds_what_all_at_once_do(season, stored):
    expected = _near_in_memory(stored, stored, LIMITS)

    for one in stored[::7]:
        assert _found(season, [one], LIMITS) == {one[0]: expected[one[0]]}


@pytest.mark.parametrize(("fetched", "asked"), [(1, 1), (7, 1), (7, 500)])
def test_a_crowd_is_found_over_several_fetches_and_statements(season, stored, monkeypatch, fetched, asked):
    monkeypatch.setattr(likenesses, "_FETCHED", fetched)
    monkeypatch.setattr(likenesses, "_ASKED", asked)

    assert _found(season, stored, LIMITS) == _near_in_memory(stored, stored, LIMITS)


def test_other_seasons_and_other_keys_are_not_found(season, stored):
    owner, one = stored[0]
    twice = Fingerprint("AuCu:4", one.distances, one.lengths)

    assert likenesses.candidates_near(season.pk + 1, [(owner, one)], WIDE) == {}
    assert likenesses.candidates_near(season.pk, [(owner, twice)], WIDE) == {}


def test_a_candidate_with_two_fingerprints_is_found_by_either(season, stored):
    owner, one = stored[0]
    second = Fingerprint("AuCu:4", one.distances, one.lengths)
    likenesses.write(season.pk, [(owner, second)])

    assert likenesses.candidates_near(season.pk, [(-1, second)], LIMITS) == {-1: [owner]}
    assert owner in likenesses.candidates_near(season.pk, [(-1, one)], LIMITS)[-1]


def test_what_is_read_back_is_what_was_written(season, stored):
    found = likenesses.of_candidates({owner: "AuCu" for owner, _ in stored})

    assert [(owner, one.key, one.pack()) for owner, one in found] == [
        (owner, one.key, one.pack()) for owner, one in stored
    ]
    assert InitialFingerprint.objects.count() == N


def test_many_are_looked_for_in_one_statement(season, stored):
    def statements(wanted):
        with CaptureQueriesContext(connection) as seen:
            likenesses.candidates_near(season.pk, wanted, LIMITS)
        return len(seen)

    assert statements(stored) == statements(stored[:1]) == 1


_ON_POSTGRESQL = """
import django; django.setup()
import json, sys
from pathlib import Path
from django.core.management import call_command
from django.db import connection
from test_likenesses import LIMITS, N, WIDE, _near_in_memory, _some
from philately.domain import likenesses
from philately.domain.releases import import_release
from philately.domain.seasons import SeasonPlan, open_season

call_command("migrate", verbosity=0)
season = open_season(SeasonPlan(slug="s", name="s", release=import_release(Path(sys.argv[1]))[0]))
with connection.cursor() as cursor:
    for name, found in connection.introspection.get_constraints(cursor, "philately_initialfingerprint").items():
        if found["foreign_key"]:
            cursor.execute(f'ALTER TABLE philately_initialfingerprint DROP CONSTRAINT "{name}"')
stored = list(enumerate(_some(N), start=1))
likenesses.write(season.pk, stored)
for fetched in (7, 4096):
    likenesses._FETCHED = fetched
    for limits in (LIMITS, WIDE):
        found = likenesses.candidates_near(season.pk, stored, limits)
        assert {o: set(found.get(o, ())) for o, _ in stored} == _near_in_memory(stored, stored, limits)
print(json.dumps(connection.vendor))
"""


def test_postgresql_finds_exactly_what_memory_does(emt_release_file, tmp_path):
    with postgres_database() as url:
        here = Path(__file__).parent
        own = {"DATABASE_URL": url, "DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "philately.settings"}
        path = os.pathsep.join(map(str, (here, here.parent, here.parents[1])))
        done = subprocess.run(
            [sys.executable, "-c", _ON_POSTGRESQL, str(emt_release_file)],
            env={**os.environ, **own, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == "postgresql"
