"""The benchmark of pages runs, and its figures fit together; nothing here is about speed."""

import pytest
from servers import answers

from benchmark import pages
from benchmark.addresses import NAMES, PAGES, addresses


@pytest.mark.slow
def test_every_page_is_opened_on_each_database_and_takes_no_more_queries_in_the_larger_season(monkeypatch):
    monkeypatch.setattr(pages, "QUICK", 1_500)

    figures = pages.measure(quick=True, full=False, say=lambda line: None)

    for database in ("sqlite", "postgresql") if answers("PostgreSQL", 5432) else ("sqlite",):
        assert figures[f"candidates_{database}"] == 1_500
        assert figures[f"pages_with_more_queries_{database}"] == 0
        assert all(figures[f"{page}_queries_{database}"] > 0 for page in NAMES)
        assert figures[f"answers_{database}"] > 0
        assert figures[f"slowest_p95_ms_{database}"] >= figures[f"home_p50_ms_{database}"] > 0
    assert set(figures) <= set(pages.MEANINGS)


def test_each_page_has_a_name_of_its_own_and_a_path():
    values = dict.fromkeys(
        ("season", "system", "formula", "batch", "arrival", "waiting_batch", "candidate", "waiting"), 1
    )

    found = addresses(values)

    assert len({page.name for page in found}) == len(found) == sum(map(len, PAGES.values()))
    assert all(page.path.startswith("/") and "{" not in page.path for page in found)
