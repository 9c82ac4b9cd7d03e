"""The benchmark of the dump runs, and its figures fit together; nothing here is about speed."""

import pytest
from servers import answers

from benchmark import dump


@pytest.mark.slow
def test_every_phase_is_in_the_dump_and_each_figure_has_a_meaning(monkeypatch):
    monkeypatch.setattr(dump, "QUICK", 300)

    figures = dump.measure(quick=True, full=False, say=lambda line: None)

    for database in ("sqlite", "postgresql") if answers("PostgreSQL", 5432) else ("sqlite",):
        assert figures[f"rows_{database}"] == 300 + 89  # and the release's elements
        assert figures[f"orm_rows_{database}"] == 300
        assert figures[f"rows_per_s_{database}"] > 0 and figures[f"orm_rows_per_s_{database}"] > 0
        assert 50 < figures[f"peak_rss_mb_{database}"] < 5000
    assert set(figures) <= set(dump.MEANINGS)
