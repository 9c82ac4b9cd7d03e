"""``manage.py sweep``: once, or every few seconds."""

import logging
import signal
import threading
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import close_old_connections

from philately.domain.sweep import sweep
from philately.domain.transitions import SESSION_LOST
from philately.storage import StorageFault

log = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Take work from workers that died, try again what failed, ring for what was forgotten."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--every",
            type=float,
            nargs="?",
            const=settings.SWEEP_EVERY_S,
            metavar="SECONDS",
            help="go on, with this pause, or SWEEP_EVERY_S where none is said (default: sweep once)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["every"] is None:
            sweep()
            return
        ended = threading.Event()
        signal.signal(signal.SIGTERM, lambda signum, frame: ended.set())
        while not ended.is_set():
            try:
                sweep()
            except SESSION_LOST as error:
                log.warning("the database does not answer, the next round will try again: %s", error)
                close_old_connections()
            except StorageFault as error:
                log.warning("the next round will try again: %s", error)
            ended.wait(options["every"])
