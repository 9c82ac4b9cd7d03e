"""The benchmark of pages runs, and its figures fit together; nothing here is about speed."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

import pytest
from django.urls import URLPattern, URLResolver, resolve
from servers import answers

from benchmark import pages
from benchmark.addresses import BLIND, NAMES, NOT_MEASURED, OPEN, Address, addresses
from philately.urls import urlpatterns


@pytest.mark.slow
def test_every_page_is_opened_on_each_database_and_takes_as_many_queries_in_the_larger_season(monkeypatch):
    monkeypatch.setattr(pages, "QUICK", 1_500)

    figures = pages.measure(quick=True, full=False, say=lambda line: None)

    for database in ("sqlite", "postgresql") if answers("PostgreSQL", 5432) else ("sqlite",):
        assert figures[f"candidates_{database}"] == 1_500
        assert figures[f"pages_with_other_queries_{database}"] == 0
        assert all(figures[f"{page}_queries_{database}"] >= 0 for page in NAMES)
        assert all(figures[f"{page}_cpu_ms_{database}"] > 0 for page in NAMES)
        assert figures[f"answers_{database}"] > 0
        assert figures[f"slowest_p95_ms_{database}"] >= figures[f"home_p50_ms_{database}"] > 0
    assert set(figures) <= set(pages.MEANINGS)


def every_address() -> list[Address]:
    return [page for paths in (OPEN, BLIND) for page in addresses(defaultdict(lambda: 1), paths)]


def names_in(patterns: Sequence[URLPattern | URLResolver], space: str = "") -> Iterator[str]:
    """Of all addresses of the platform; those without one lead on."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from names_in(pattern.url_patterns, f"{pattern.namespace}:" if pattern.namespace else space)
        elif pattern.name is not None:
            yield space + pattern.name


def test_each_page_has_a_name_of_its_own_and_a_path():
    found = every_address()

    assert len({page.name for page in found}) == len(found) == len(NAMES)
    assert all(page.path.startswith("/") and "{" not in page.path for page in found)


def test_every_address_of_the_platform_is_measured_or_said_not_to_be():
    measured = {resolve(urlsplit(page.path).path).view_name for page in every_address()}
    endings = tuple(name for name in NOT_MEASURED if name.startswith("_"))
    left_out = {name for name in names_in(urlpatterns) if name in NOT_MEASURED or name.endswith(endings)}

    assert set(names_in(urlpatterns)) - left_out - measured == set()
    assert not measured & set(NOT_MEASURED)
    assert set(NOT_MEASURED) - set(endings) <= left_out
