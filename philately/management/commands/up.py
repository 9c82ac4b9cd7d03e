"""``manage.py up``: the whole platform on one machine, in one command."""

import logging
import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

from hull.reference import Coverage
from philately.broker import queue_name
from philately.domain.defaults import BUILT_IN, ensure_practice_season
from philately.models import Season
from philately.service.supervisor import Child, Supervisor

_KEEPS_HULLS_S = 120.0  # of a million phases one takes some seconds, and the chunk in hand comes first


class Command(BaseCommand):
    help = (
        "Migrate, load the built-in release, then run the web server, a worker for each queue and the sweeper. "
        "A process that dies is started again; SIGTERM or Ctrl-C ends everything cleanly."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
        parser.add_argument("--port", type=int, default=8000, help="port of the web server (default: 8000)")
        parser.add_argument(
            "--relax-workers",
            type=int,
            default=settings.RELAX_WORKERS,
            help="relaxation processes (default: %(default)s)",
        )
        parser.add_argument("--no-web", action="store_true", help="workers and sweeper only")
        parser.add_argument(
            "--practice-on",
            choices=[str(coverage) for coverage in BUILT_IN],
            default=str(Coverage.PROTOTYPES),
            help="the built-in release that a new practice season is judged against (default: %(default)s)",
        )
        parser.add_argument("--no-season", action="store_true", help="do not open the practice season")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.DEBUG:
            self.stderr.write("DEBUG is on: whoever meets a fault sees code and settings; never let others reach this")
        call_command("migrate", verbosity=0)
        if not options["no_season"]:
            self._open_practice_season(Coverage(options["practice_on"]))
        children = _workers(options["relax_workers"])
        if not options["no_web"]:
            call_command("collectstatic", verbosity=0, interactive=False)
            children.insert(0, Child("web", web_command(options["host"], options["port"])))
            self.stdout.write(f"serving http://{options['host']}:{options['port']}/ from {settings.DATA_DIR}")
            self.stdout.flush()
        logging.getLogger("philately").setLevel(settings.LOG_LEVEL)
        environment = {
            **os.environ,
            "RELAX_WORKERS": str(options["relax_workers"]),
            "OMP_NUM_THREADS": "1",  # idle threads of BLAS spin: on busy cores everything takes ten times as long
            "PYTHONWARNINGS": os.environ.get("PYTHONWARNINGS", "ignore:You're running the worker with superuser"),
        }
        Supervisor(children, environment).run()
        self.stdout.write("stopped")

    def _open_practice_season(self, coverage: Coverage) -> None:
        if not Season.objects.exists():
            self.stdout.write(f"opening a practice season on the built-in release of {coverage}, once ...")
            self.stdout.flush()
        ensure_practice_season(coverage)


def web_command(host: str, port: int) -> list[str]:
    command = [sys.executable, "-m", "gunicorn", "philately.wsgi", "--config", "python:philately.service.web_config"]
    return [*command, "--bind", f"{host}:{port}", "--graceful-timeout", "5", "--log-level", "warning"]


def _workers(relax_workers: int) -> list[Child]:
    sweeper = [sys.executable, str(settings.BASE_DIR / "manage.py"), "sweep", "--every"]
    return [
        Child("parse", _worker("parse")),
        Child("place", _worker("place"), stop_s=_KEEPS_HULLS_S),
        *(Child(name, _worker(name)) for name in (f"relax-{number}" for number in range(1, relax_workers + 1))),
        Child("sweeper", sweeper),
    ]


def _worker(name: str) -> list[str]:
    """A Celery worker with one child process, so that a time limit or a kill costs that child alone."""
    return [
        *(sys.executable, "-m", "celery", "--app", "philately.broker", "--quiet", "worker"),
        *(
            "--queues",
            queue_name(name.split("-")[0]),
            "--concurrency",
            "1",
            "--pool",
            "prefork",
            "--hostname",
            f"{name}@%h",
        ),
        *("--loglevel", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat"),
    ]
