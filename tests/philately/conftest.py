"""Fixtures that tests of several subjects start from."""

import logging

import pytest
from driving import season_on
from facts import add_candidate
from stories import STORY
from tus_requests import Programme

from philately.domain.place import place_waiting
from philately.domain.releases import import_release
from philately.models import Release, Season
from tests.releases import SECOND_MODEL, write_second_release
from validation.rules import Rules


@pytest.fixture
def story(season, join_as):
    """Placed, all of them."""
    candidates = [add_candidate(join_as(name), atoms, energy) for atoms, energy, name in STORY]
    place_waiting(season.pk)
    return candidates


@pytest.fixture
def no_rest(settings):
    """What failed is tried again at once, and what blocks others is set aside after a week."""
    settings.RETRY_AFTER_S = 0.0
    settings.PLACE_DEADLINE_S = 7 * 86_400.0


@pytest.fixture
def errors(caplog, monkeypatch):
    """What the log says loudly."""
    monkeypatch.setattr(logging.getLogger("philately"), "propagate", True)
    caplog.set_level(logging.ERROR, logger="philately")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.fixture(scope="session")
def second_release_file(tmp_path_factory):
    return write_second_release(tmp_path_factory.mktemp("second") / "second.parquet")


@pytest.fixture
def second(season, second_release_file) -> Release:
    """The auditor's release; EMT with another cutoff agrees with EMT to some meV/atom."""
    return import_release(second_release_file, model=SECOND_MODEL)[0]


@pytest.fixture
def audited(season, second, emt_release_file):
    """Makes seasons with an auditor: ``audited(rule=value)``."""

    def open_with(slug="audited", **rules) -> Season:
        plan = {"slug": slug, "name": "Audited", "auditors": [second], "rules": Rules(**rules)}
        return season_on(emt_release_file, **plan)

    return open_with


@pytest.fixture
def programme(season, participant) -> Programme:
    return Programme(participant.user, season.slug)
