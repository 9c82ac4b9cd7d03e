"""The same code on PostgreSQL with RabbitMQ or Redis gives the same verdicts as on SQLite with the filesystem."""

from uuid import uuid4

import pytest
from platform_of import platform, submit_alloys
from servers import needs

COUNT = 24


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return _result(tmp_path_factory.mktemp("sqlite"))


def _result(folder, **environment):
    with platform(folder, **environment) as running:
        submit_alloys(running, folder, COUNT)
        running.start()
        running.wait_until_final(300)
        assert running.stop() == 0
        return running.driver("result")


@pytest.mark.parametrize(
    "broker", ["amqp://guest:guest@127.0.0.1:5672//", pytest.param("redis://127.0.0.1:6379/9", marks=pytest.mark.slow)]
)
def test_servers_give_the_same_verdicts_as_the_embedded_defaults(tmp_path, postgres_url, expected, broker):
    if broker.startswith("amqp"):
        needs(RabbitMQ=5672)
    else:
        needs(Redis=6379)

    assert (
        _result(tmp_path, DATABASE_URL=postgres_url, BROKER_URL=broker, QUEUE_PREFIX=f"test-{uuid4().hex[:8]}-")
        == expected
    )
