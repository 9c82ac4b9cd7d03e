"""Surroundings of every test: a data folder of its own, and a season judged by ASE's EMT, which needs no weights.

The variables must stand before Django reads its settings, so Django is set up here and not by pyproject.toml.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import django
import pytest

os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="philately-tests-")
os.environ["PLAIN_STATIC"] = "1"
os.environ["FIGURES_KEPT_FROM_S"] = "1e9"  # however busy the machine, pages show what is in the database
os.environ.setdefault("BROKER_URL", "memory://")
os.environ["CACHE_URL"] = "locmem://"  # it is emptied before each test
os.environ.setdefault("OMP_NUM_THREADS", "1")  # idle BLAS threads spin: on two busy cores a 3 × 3 solve takes 8 ms
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "philately.settings")
django.setup()

from django.conf import settings as project_settings  # noqa: E402 - all of these need the set-up above
from django.core.cache import caches  # noqa: E402
from driving import season_on  # noqa: E402

from philately.domain import comparisons, place  # noqa: E402
from philately.domain.seasons import join  # noqa: E402
from philately.models import Membership, Season, User  # noqa: E402
from philately.queries.grounds import vertices_of  # noqa: E402
from philately.states import Role  # noqa: E402
from tests.releases import EMT_ELEMENTS, write_emt_release  # noqa: E402

# a million rounds are half a second for each account; servers that flows start have the real ones
project_settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix):
    """SQLite in a file: a live server, workers and the test each have a connection of their own."""
    database = project_settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3"):
        database.setdefault("TEST", {})["NAME"] = str(Path(os.environ["DATA_DIR"]) / "test.sqlite3")


@pytest.fixture(scope="session")
def emt_release_file(tmp_path_factory) -> Path:
    """A release that covers the elements of EMT."""
    return write_emt_release(tmp_path_factory.mktemp("release") / "emt-elements.parquet", EMT_ELEMENTS)


@pytest.fixture(autouse=True)
def _uncounted() -> None:
    """Nobody has done anything yet, as far as limits count: accounts of other tests had the same keys."""
    caches["default"].clear()
    caches["local"].clear()
    caches["figures"].clear()


@pytest.fixture
def _fresh_process() -> None:
    """Nothing is remembered by primary keys: rolled back, a test leaves its keys to the next one."""
    comparisons._crystal.cache_clear()
    vertices_of.cache_clear()
    place.forget()


@pytest.fixture
def season(_fresh_process, db, settings, tmp_path, emt_release_file) -> Season:
    """An open practice season on EMT, with storage of its own."""
    settings.MEDIA_ROOT = tmp_path / "files"
    settings.STAGING_DIR = tmp_path / "staging"
    settings.DUMP_DIR = tmp_path / "dumps"
    settings.HULL_DIR = tmp_path / "hulls"
    return season_on(emt_release_file, slug="practice", name="Practice season")


@pytest.fixture
def join_as(season) -> Callable[..., Membership]:
    """Makes accounts that take part in the season: ``join_as("bob")`` is bob's membership."""

    def membership(name: str, role: str = Role.PARTICIPANT) -> Membership:
        user = User.objects.filter(username=name).first() or User.objects.create_user(name)
        return join(season, user, role)

    return membership


@pytest.fixture
def participant(join_as) -> Membership:
    """The membership of one participant, ann."""
    return join_as("ann")
