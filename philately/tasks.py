"""Celery's side: primary keys in, nothing out, and running one twice equals running it once."""

import inspect
import multiprocessing
from collections.abc import Sequence
from functools import partial
from typing import Any

import django
from celery.signals import task_postrun, task_prerun, worker_process_shutdown, worker_ready, worker_shutting_down

from philately import logs
from philately.broker import app, ring
from philately.counted import count
from philately.service.pools import end_when_a_child_dies

django.setup()

from philately.domain import audits as audits_domain  # noqa: E402 - models need the set-up above
from philately.domain import dry_reading as dry_domain  # noqa: E402
from philately.domain import dumps as dumps_domain  # noqa: E402
from philately.domain import intake as intake_domain  # noqa: E402
from philately.domain import locks, tallies  # noqa: E402
from philately.domain import parse as parse_domain  # noqa: E402
from philately.domain import place as place_domain  # noqa: E402
from philately.domain import reading as reading_domain  # noqa: E402
from philately.domain import relax as relax_domain  # noqa: E402
from philately.domain import twins as twins_domain  # noqa: E402

_ending = multiprocessing.Event()  # made before the pool forks, so that its children see what the parent sets


@worker_shutting_down.connect
def _end(**kwargs: object) -> None:
    """A relaxation in hand gives back what it did not finish, the sequencer stops after the chunk in hand."""
    _ending.set()


@worker_ready.connect
def _watch(sender: Any, **kwargs: object) -> None:
    """Brokers without an event loop get a pool that does not survive a child that is killed."""
    if sender.hub is None:
        end_when_a_child_dies(sender.controller.pool, _ending.is_set)


@worker_process_shutdown.connect
def _leave(**kwargs: object) -> None:
    reading_domain.leave()
    place_domain.leave()
    tallies.keep()


@task_prerun.connect
def _begin(task_id: str, task: Any, args: Sequence[object], **kwargs: object) -> None:
    """What is logged from now on carries the task's id, and the key that it was rung for under its parameter's name."""
    names = (name.removesuffix("_id") for name in inspect.signature(task.run).parameters)
    logs.begin(task=task_id, task_name=_short(task), **dict(zip(names, args, strict=False)))


@task_postrun.connect
def _done(task: Any, state: str | None = None, **kwargs: object) -> None:
    """Counted; what failed at once, the rest now and then."""
    is_well = state == "SUCCESS"
    count("tasks", f"{_short(task)}:{'done' if is_well else 'failed'}")
    if is_well:
        tallies.keep_when_due()
    else:
        tallies.keep()
    logs.begin()


def _short(task: Any) -> str:
    return str(task.name).rsplit(".", 1)[-1]


@app.task
def intake(season_id: int) -> None:
    between = partial(parse_domain.parse_a_little, season_id)
    intake_domain.read_batches(season_id, stop=_ending.is_set, between=between)


@app.task
def parse(shard_id: int) -> None:
    parse_domain.parse_next(shard_id)


@app.task
def dry_run(dry_run_id: int) -> None:
    dry_domain.carry_out(dry_run_id)


@app.task
def settle(season_id: int) -> None:
    twins_domain.settle(season_id)


@app.task
def dump(season_id: int) -> None:
    dumps_domain.refresh(season_id)


@app.task
def audit(season_id: int) -> None:
    audits_domain.audit_when_due(season_id)


@app.task
def relax(scale_id: int) -> None:
    if relax_domain.relax_some(scale_id, stop=_ending.is_set) and not _ending.is_set():
        ring("relax", scale_id, queue="relax")


@app.task
def place(season_id: int) -> None:
    if locks.stand_by(f"place:{season_id}"):
        place_domain.place_waiting(season_id, stop=_ending.is_set)
