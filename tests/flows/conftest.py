import pytest
from servers import postgres_database


@pytest.fixture
def postgres_url():
    """A PostgreSQL database of its own, dropped at the end."""
    with postgres_database() as url:
        yield url
