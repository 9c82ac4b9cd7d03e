"""What a page costs the database does not grow with the rows: SQLite's own steps are counted, whatever the machine."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import caches
from django.db import connection
from django.test.utils import CaptureQueriesContext

from benchmark.addresses import BLIND, OPEN, Address, addresses
from benchmark.filled import Filled, fill
from benchmark.visited import Headers, ask, blind, headers_of, named, prepare
from philately import keyset_admin
from philately.queries import chosen, remembered, table
from philately.queries.remembered import wait_for_counts

FEW, MANY = 1_200, 4_800  # candidates: in both seasons each list has a whole page
STEPS = 100  # of SQLite's machine, counted at a time
MORE = 1.6  # times the steps: trees get deeper, and lists a little fuller
SPARE = 5_000  # steps
LOOKED_THROUGH = {"stable", "stable_found"}  # until a page is full

pytestmark = pytest.mark.skipif(
    not settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"), reason="the steps are SQLite's"
)


@pytest.fixture
def small(db, settings, tmp_path, monkeypatch) -> Filled:
    """Figures that are counted over everything are kept from the first look on, and never counted again."""
    settings.FIGURES_KEPT_FROM_S = 0.0
    monkeypatch.setattr(remembered, "_REST", 1e12)
    monkeypatch.setattr(keyset_admin, "LOOKED_THROUGH", 500)
    monkeypatch.setattr(chosen, "LOOKED_THROUGH", 100)
    monkeypatch.setitem(table.table_of.__kwdefaults__, "size", 10)  # of what waits a small season has no more
    settings.MEDIA_ROOT, settings.STAGING_DIR = tmp_path / "files", tmp_path / "staging"
    caches["figures"].clear()
    return fill(FEW, tmp_path, slug="small")


def costs(filled: Filled) -> dict[str, tuple[int, int]]:
    """Steps and queries by page, the second time that it is opened."""
    prepare(filled)
    headers, found = headers_of(filled), {}
    for page in addresses(named(filled), OPEN):
        found[page.name] = _cost(page, headers[page.who])
    with blind(filled):
        for page in addresses(named(filled), BLIND):
            found[page.name] = _cost(page, headers[page.who])
    wait_for_counts()
    return found


def _cost(page: Address, headers: Headers) -> tuple[int, int]:
    counted = [0]

    def count() -> int:
        counted[0] += STEPS
        return 0

    _open(page, headers)
    raw: sqlite3.Connection = connection.connection
    raw.set_progress_handler(count, STEPS)
    try:
        with CaptureQueriesContext(connection) as queries:
            _open(page, headers)
    finally:
        raw.set_progress_handler(None, STEPS)
    return counted[0], len(queries)


def _open(page: Address, headers: Headers) -> Any:
    answer = ask(page, headers)
    return next(iter(answer)) if answer.streaming else answer.content


def test_no_page_takes_more_steps_or_queries_where_there_are_five_times_the_rows(small: Filled, tmp_path: Path):
    few = costs(small)
    many = costs(fill(MANY, tmp_path, slug="large", seed=1))

    grown = {
        name: (few[name], cost)
        for name, cost in many.items()
        if cost[0] > MORE * few[name][0] + SPARE and name not in LOOKED_THROUGH
    }

    assert not grown
    assert {name: n for name, (_, n) in many.items()} == {name: n for name, (_, n) in few.items()}
