"""Fixtures that tests of several subjects start from."""

import logging

import pytest
from facts import add_candidate
from stories import STORY

from philately.domain.place import place_waiting


@pytest.fixture
def story(season, join_as):
    """Placed, all of them."""
    candidates = [add_candidate(join_as(name), atoms, energy) for atoms, energy, name in STORY]
    place_waiting(season.pk)
    return candidates


@pytest.fixture
def errors(caplog, monkeypatch):
    """What the log says loudly."""
    monkeypatch.setattr(logging.getLogger("philately"), "propagate", True)
    caplog.set_level(logging.ERROR, logger="philately")
    return lambda: [record.getMessage() for record in caplog.records]
