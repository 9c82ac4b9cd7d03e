"""Fixtures that tests of several subjects start from."""

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
