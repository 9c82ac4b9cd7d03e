"""Build the elemental references of a judge: ``manage.py build_release --judge chgnet``."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from validation.attempt_records import OtherWork
from validation.attempts import Task, tasks_for
from validation.canary import CanaryDied, check
from validation.element_release import build_release, markdown_table
from validation.elements_table import prototypes_of
from validation.potentials import Judge, UnknownJudge, judge_names, load_judge


class Command(BaseCommand):
    help = (
        "Relax every element that a judge knows in a short list of prototypes and write the lowest sane ones as a "
        "release: a Parquet file, all attempts beside it, and their lines in SHA256SUMS. Needs no data and no network "
        "(a judge with weights of its own aside). About 40 minutes for chgnet on two cores; a build that is broken off "
        "goes on where it stopped when it is started again with the same --work-dir."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--judge", required=True, choices=judge_names(), help="the potential")
        parser.add_argument(
            "--model", default="", help="folder or hub name of its weights, where the judge has several"
        )
        parser.add_argument("--out", type=Path, help="the release (default: reference/<judge>-elements.parquet)")
        parser.add_argument(
            "--work-dir", type=Path, help="keeps finished attempts (default: <data folder>/work/<name of the release>)"
        )
        parser.add_argument("--workers", type=int, default=2, help="processes, one thread each (default: %(default)s)")
        parser.add_argument("--elements", nargs="+", metavar="SYMBOL", help="only these (default: all the judge knows)")
        parser.add_argument(
            "--quick", action="store_true", help="only each element's known structure from one start: to try things out"
        )

    def handle(self, **options: Any) -> None:
        for library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ.setdefault(library, "1")  # BLAS threads of worker processes on busy cores cost a factor of 10
        try:
            self._build(options)
        except (UnknownJudge, CanaryDied, OtherWork) as error:
            raise CommandError(str(error)) from error

    def _build(self, options: dict[str, Any]) -> None:
        judge = load_judge(options["judge"], options["model"], threads=1)
        self.stdout.write(f"{judge.name} {judge.model}: canary against {check(judge).source}, passed")
        out: Path = options["out"] or settings.BASE_DIR / "reference" / f"{judge.name}-elements.parquet"
        built = build_release(
            judge,
            out,
            options["work_dir"] or settings.DATA_DIR / "work" / out.stem,
            tasks=_tasks(judge, options["elements"], quick=options["quick"]),
            progress=lambda progress: self.stdout.write(str(progress)),
            workers=options["workers"],
        )
        self.stdout.write(markdown_table(built.release))
        if built.missing:
            self.stderr.write(f"no sane reference for {', '.join(built.missing)}: the release is without them")
        self.stdout.write(f"{out}: {len(built.release.phases)} elements, SHA-256 {built.sha256}")


def _tasks(judge: Judge, elements: list[str] | None, *, quick: bool) -> tuple[Task, ...]:
    if unknown := sorted(set(elements or ()) - judge.elements):
        raise CommandError(f"the judge {judge.name} does not know {', '.join(unknown)}")
    tasks = tasks_for(elements or judge.elements)
    if not quick:
        return tasks
    return tuple(
        task for task in tasks if task.start_factor == 1.0 and task.prototype == prototypes_of(task.element)[0]
    )
