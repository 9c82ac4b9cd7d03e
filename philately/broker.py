"""The Celery application and the doorbell: a message says that there may be work, the database says what."""

import logging
import logging.config
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from django.conf import settings
from django.db import transaction
from kombu import Queue
from kombu.exceptions import OperationalError

from philately.counted import count

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "philately.settings")
log = logging.getLogger(__name__)

QUEUES = ("parse", "relax", "place")
_ANSWER_S = 5.0
_OF_AMQP, _OF_REDIS = ("read_timeout", "write_timeout"), ("socket_timeout", "socket_connect_timeout")
_LIMITS = {"amqp": _OF_AMQP, "amqps": _OF_AMQP, "redis": _OF_REDIS, "rediss": _OF_REDIS}  # as each transport names them
_HEAP = 1000  # bells that nobody takes: there is no worker, and the next one needs no more


def queue_name(queue: str) -> str:
    """The queue's name at the broker, which several installations may share."""
    return f"{settings.QUEUE_PREFIX}{queue}"


def _filesystem_options() -> dict[str, object]:
    """kombu's filesystem transport, looked at five times a second; its messages move through a folder of our own."""
    folders = {name: settings.BROKER_DIR / name for name in ("messages", "control", "tmp")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = str(folders["tmp"])  # the transport renames through it, which works on one file system only
    messages = str(folders["messages"])
    return {
        "data_folder_in": messages,
        "data_folder_out": messages,
        "control_folder": str(folders["control"]),
        "polling_interval": 0.2,
    }


app = Celery("philately", broker=settings.BROKER_URL)
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    task_default_queue=queue_name("parse"),
    task_queues=[Queue(queue_name(name)) for name in QUEUES],
    task_create_missing_queues=False,  # a worker with a misspelt queue, or without the prefix, would hear nothing
    broker_connection_retry_on_startup=True,
    broker_channel_error_retry=True,  # a server that closes a channel, as RabbitMQ does after its consumer_timeout
    worker_hijack_root_logger=False,
    worker_send_task_events=False,
    task_serializer="json",
    accept_content=["json"],
    broker_transport_options=_filesystem_options() if settings.BROKER_URL.startswith("filesystem") else {},
    imports=["philately.tasks"],
)


@setup_logging.connect  # type: ignore[untyped-decorator]  # Celery has no types
def _log_as_the_platform_does(**kwargs: object) -> None:
    """Celery leaves logging alone then: its own records are lines of our format, with the ids of the task in hand."""
    logging.config.dictConfig(settings.LOGGING)


def reach(timeout_s: float) -> None:
    """Connect to the broker and hang up; raises what that raises."""
    if settings.BROKER_URL.startswith("filesystem"):
        with tempfile.TemporaryFile(dir=settings.BROKER_DIR / "messages") as file:
            file.write(b"reached")
        return
    with app.connection_for_write(connect_timeout=timeout_s) as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=timeout_s)


@cache
def _silence() -> tuple[type[Exception], ...]:
    """What a broker that is away, or was meanwhile, makes a bell raise; each transport has errors of its own."""
    connection = app.connection_for_write()
    return OperationalError, OSError, *connection.connection_errors, *connection.channel_errors


def ring(task: str, key: int, *, queue: str) -> None:
    """Ring for a task once the transaction in hand is committed. A bell that cannot ring is rung by the sweeper."""
    transaction.on_commit(lambda: _send(task, key, queue, 1))


def ring_up_to(n: int, task: str, key: int, *, queue: str, at_least: int = 0) -> None:
    """Once the transaction in hand is committed, ring until n bells for whatever key lie in the queue that nobody has
    taken: workers that are idle take theirs at once. at_least: rung whatever lies there, except in heaps."""

    def send() -> None:
        untaken = _untaken(queue)
        _send(task, key, queue, max(n - untaken, at_least if untaken < _HEAP else 0))

    transaction.on_commit(send)


def _send(task: str, key: int, queue: str, times: int) -> None:
    try:
        for _ in range(times):
            app.send_task(f"philately.tasks.{task}", [key], queue=queue_name(queue), retry=False)
            count("bells_rung", task)
    except _silence() as error:
        count("bells_failed", task)
        log.warning("the broker does not answer, the sweeper will ring for %s(%s): %s", task, key, error)


def _untaken(queue: str) -> int:
    """Bells that no worker has taken yet; none where the broker does not answer, as ringing will tell."""
    try:
        with _asking() as channel:
            declared = app.amqp.queues[queue_name(queue)](channel).queue_declare()
    except _silence():
        return 0
    return int(declared.message_count)


@contextmanager
def _asking() -> Iterator[Any]:
    """A channel of a connection that publishes nothing: RabbitMQ listens no longer to those that do while its memory or
    disk runs short. An answer comes within seconds, or it raises one of ``_silence``."""
    scheme = settings.BROKER_URL.partition("://")[0]
    limits = dict.fromkeys(_LIMITS.get(scheme, ()), _ANSWER_S)
    with app.connection_for_read(connect_timeout=_ANSWER_S, transport_options=limits) as connection:
        yield connection.default_channel


def declare_queues() -> None:
    """Say again which queues there are. Redis forgets them when it is flushed or restarted, and whoever rings believes
    that it has said so already: its bells would reach nobody."""
    try:
        with _asking() as channel:
            for queue in app.conf.task_queues:
                queue(channel).declare()
    except _silence() as error:
        log.warning("the broker does not answer, the next round tells it its queues: %s", error)
