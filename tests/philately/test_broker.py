"""Bells on each broker, and workers that would hear none."""

import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from own_servers import Rabbit, Redis
from servers import needs

RINGING = Path(__file__).with_name("ringing.py")
BROKERS = {
    "filesystem": ("filesystem://", {}),
    "RabbitMQ": ("amqp://guest:guest@127.0.0.1:5672//", {"RabbitMQ": 5672}),
    "Redis": ("redis://127.0.0.1:6379/9", {"Redis": 6379}),
}


@pytest.fixture(params=BROKERS)
def environment(request, tmp_path):
    """A broker, on which the queues have names of their own."""
    url, ports = BROKERS[request.param]
    needs(**ports)
    own = {"DATA_DIR": str(tmp_path), "BROKER_URL": url, "QUEUE_PREFIX": f"test-{uuid4().hex[:8]}-"}
    return {key: value for key, value in os.environ.items() if key != "DATABASE_URL"} | own


def test_it_is_rung_up_to_so_many_bells_that_nobody_has_taken(environment):
    done = subprocess.run([sys.executable, RINGING], env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"filled": [1, 1, 3, 4], "others": [5, 5, 6]}


@pytest.fixture(params=[Redis, pytest.param(Rabbit, marks=pytest.mark.slow)])
def own_server(request):
    server = request.param()
    yield server
    server.remove()


def test_who_asks_a_broker_that_hangs_goes_on_without_an_answer(tmp_path, own_server):
    own = {"DATA_DIR": str(tmp_path), "BROKER_URL": own_server.url}
    with own_server.hung():
        done = subprocess.run(
            [sys.executable, RINGING, "declare"],
            env=os.environ | own,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert done.returncode == 0, done.stderr
    assert "the broker does not answer" in done.stderr


def test_a_worker_for_a_queue_that_is_none_of_ours_does_not_start(tmp_path):
    environment = os.environ | {"DATA_DIR": str(tmp_path), "BROKER_URL": "filesystem://", "QUEUE_PREFIX": "test-"}
    command = [sys.executable, "-m", "celery", "--app", "philately.broker", "worker", "--queues", "relax"]  # no prefix
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode != 0
    assert "relax" in done.stderr
    assert "queue" in done.stderr
