"""The benchmark of a whole season runs on its real processes, and its figures fit together; nothing is about speed."""

import math

import pytest
from servers import answers

from benchmark import season
from benchmark.season_crystals import archive, texts, usual_elements
from validation.cif import read_block
from validation.rules import Rules


@pytest.fixture(scope="module")
def figures():
    return season.measure(quick=True, full=False, say=lambda line: None)


@pytest.mark.slow
def test_all_figures_have_a_meaning_and_every_structure_was_placed(figures):
    servers = answers("PostgreSQL", 5432) and answers("RabbitMQ", 5672)
    for database in ("sqlite", "postgresql") if servers else ("sqlite",):
        found = {name.removesuffix(f"_{database}"): value for name, value in figures.items() if name.endswith(database)}
        shares = [value for name, value in found.items() if name.startswith("share_")]
        assert sum(shares) == pytest.approx(1.0)
        assert found["placed"] > season._SIZES["quick"][0]  # with those that warmed it up
        assert 0 < found["stable_share"] < 1
        assert all(
            math.isfinite(found[name]) and found[name] > 0
            for name in ("candidates_per_s", "candidates_per_s_without_relaxation", "slowdown_quick", "dump_s")
        )
    assert set(figures) <= set(season.MEANINGS)


def test_without_rabbitmq_postgresql_is_not_measured_and_that_is_said(monkeypatch):
    said = []
    monkeypatch.setenv("BENCHMARK_BROKER_URL", "amqp://nobody@127.0.0.1:1//")
    monkeypatch.setattr(season, "in_a_process", lambda *given, **named: {"slowdown": 1.0})
    monkeypatch.setattr(season, "on_each", lambda measured, say: measured("postgresql", "postgresql://somewhere"))

    assert season.measure(quick=True, full=False, say=said.append) == {}
    assert "no RabbitMQ answers" in said[0]


def test_the_same_seed_makes_the_same_structures_and_each_can_be_read():
    elements = usual_elements()

    assert archive(5, elements, seed=3) == archive(5, elements, seed=3) != archive(5, elements, seed=4)
    whole = list(texts(60, elements, spoilt=True))
    assert list(texts(100, elements, spoilt=True))[:60] == whole
    assert whole[39] == whole[38]  # a twin
    read = [read_block(text, Rules()) for number, text in enumerate(whole, start=1) if number != 47]
    assert {len(crystal) for crystal in read} == {2, 4}
