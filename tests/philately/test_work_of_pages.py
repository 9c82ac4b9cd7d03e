"""What a page costs the database does not grow with the rows: SQLite's own steps are counted, whatever the machine."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import caches
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from benchmark.addresses import PAGES, Address, addresses
from benchmark.filled import Filled, fill
from benchmark.pages_once import accounts, named
from philately import keyset_admin
from philately.queries import remembered
from philately.queries.remembered import wait_for_counts

FEW, MANY = 1_200, 4_800  # candidates: in both seasons each list has a whole page
STEPS = 100  # of SQLite's machine, counted at a time
MORE = 1.6  # times the steps: trees get deeper, and lists a little fuller
SPARE = 5_000  # steps
LOOKED_THROUGH = {"stable", "stable_found", "batch_stable", "batch_reason", "batch_rejected"}  # until a page is full

pytestmark = pytest.mark.skipif(
    not settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"), reason="the steps are SQLite's"
)


@pytest.fixture
def small(db, settings, tmp_path, monkeypatch) -> Filled:
    """Figures that are counted over everything are kept from the first look on, and never counted again."""
    settings.FIGURES_KEPT_FROM_S = 0.0
    monkeypatch.setattr(remembered, "_REST", 1e12)
    monkeypatch.setattr(keyset_admin, "LOOKED_THROUGH", 500)
    caches["figures"].clear()
    return fill(FEW, tmp_path, slug="small")


def costs(filled: Filled) -> dict[str, tuple[int, int]]:
    """Steps and queries by page, the second time that it is opened."""
    clients = {who: Client() for who in PAGES}
    for who, user in accounts(filled).items():
        clients[who].force_login(user)
    found = {}
    for page in addresses(named(filled)):
        _open(clients[page.who], page)
        found[page.name] = _cost(clients[page.who], page)
    wait_for_counts()
    return found


def _cost(client: Client, page: Address) -> tuple[int, int]:
    counted = [0]

    def count() -> int:
        counted[0] += STEPS
        return 0

    raw: sqlite3.Connection = connection.connection
    raw.set_progress_handler(count, STEPS)
    try:
        with CaptureQueriesContext(connection) as queries:
            _open(client, page)
    finally:
        raw.set_progress_handler(None, STEPS)
    return counted[0], len(queries)


def _open(client: Client, page: Address) -> Any:
    answer = client.get(page.path)
    assert answer.status_code == 200, page.path
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
