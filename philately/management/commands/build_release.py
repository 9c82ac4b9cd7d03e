"""Build a release of a judge from code: its elements, ``manage.py build_release --judge chgnet``, or compounds."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from hull.reference import DamagedRelease, Release, read_release
from validation.attempt_records import OtherWork
from validation.canary import CanaryDied, check
from validation.compound_release import OtherScale, build_compounds, markdown_summary, row_of, tasks_of
from validation.compounds import CompoundTask, quick_tasks
from validation.element_release import build_release, markdown_table
from validation.element_tasks import Task, tasks_for
from validation.elements_table import prototypes_of
from validation.potentials import Judge, UnknownJudge, judge_names, load_judge


class Command(BaseCommand):
    help = (
        "Relax every element that a judge knows in a short list of prototypes and write the lowest sane ones as a "
        "release: a Parquet file, all attempts beside it, and their lines in SHA256SUMS. With --prototypes: relax some "
        "thousand compounds of balanced ions in common prototypes, and write the elements and what lies near the hull. "
        "Needs no data and no network (a judge with weights of its own aside). On two cores about 40 minutes for "
        "chgnet's elements, and as long for its prototypes; a build that is broken off goes on where it "
        "stopped when it is started again with the same --work-dir."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--judge", required=True, choices=judge_names(), help="the potential")
        parser.add_argument(
            "--model", default="", help="folder or hub name of its weights, where the judge has several"
        )
        parser.add_argument(
            "--out", type=Path, help="the release (default: reference/<judge>-elements.parquet, or -prototypes.parquet)"
        )
        parser.add_argument(
            "--work-dir", type=Path, help="keeps finished attempts (default: <data folder>/work/<name of the release>)"
        )
        parser.add_argument("--workers", type=int, default=2, help="processes, one thread each (default: %(default)s)")
        parser.add_argument("--elements", nargs="+", metavar="SYMBOL", help="only these (default: all the judge knows)")
        parser.add_argument(
            "--quick",
            action="store_true",
            help="only each element's known structure from one start, or each prototype's commonest compound: to try "
            "things out",
        )
        parser.add_argument("--prototypes", action="store_true", help="compounds, beside the elements")
        parser.add_argument(
            "--elements-release",
            type=Path,
            help="with --prototypes: the judge's elements (default: reference/<judge>-elements.parquet)",
        )
        parser.add_argument("--limit", type=int, help="with --prototypes: only so many compounds, the commonest ions")

    def handle(self, **options: Any) -> None:
        for library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ.setdefault(library, "1")  # BLAS threads of worker processes on busy cores cost a factor of 10
        if not options["prototypes"] and (options["elements_release"] or options["limit"] is not None):
            raise CommandError("--elements-release and --limit are for --prototypes")
        try:
            judge = load_judge(options["judge"], options["model"], threads=1)
            self.stdout.write(f"{judge.name} {judge.model}: canary against {check(judge).source}, passed")
            (self._build_prototypes if options["prototypes"] else self._build_elements)(judge, options)
        except (UnknownJudge, CanaryDied, OtherWork, OtherScale) as error:
            raise CommandError(str(error)) from error

    def _build_elements(self, judge: Judge, options: dict[str, Any]) -> None:
        out: Path = options["out"] or _built_in(judge, "elements")
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

    def _build_prototypes(self, judge: Judge, options: dict[str, Any]) -> None:
        out: Path = options["out"] or _built_in(judge, "prototypes")
        elements = _elements_release(options["elements_release"] or _built_in(judge, "elements"))
        built = build_compounds(
            judge,
            elements,
            out,
            options["work_dir"] or settings.DATA_DIR / "work" / out.stem,
            tasks=_compound_tasks(elements, options["elements"], limit=options["limit"], quick=options["quick"]),
            progress=lambda progress: self.stdout.write(str(progress)),
            workers=options["workers"],
        )
        self.stdout.write(markdown_summary(map(row_of, built.standings)))
        n_compounds = len(built.release.phases) - len(elements.phases)
        self.stdout.write(
            f"{out}: {n_compounds} phases of {len(built.standings)} relaxations, beside {len(elements.phases)} of "
            f"elements, SHA-256 {built.sha256}"
        )


def _built_in(judge: Judge, coverage: str) -> Path:
    return Path(settings.BASE_DIR) / "reference" / f"{judge.name}-{coverage}.parquet"


def _tasks(judge: Judge, elements: list[str] | None, *, quick: bool) -> tuple[Task, ...]:
    if unknown := sorted(set(elements or ()) - judge.elements):
        raise CommandError(f"the judge {judge.name} does not know {', '.join(unknown)}")
    tasks = tasks_for(elements or judge.elements)
    if not quick:
        return tasks
    return tuple(
        task for task in tasks if task.start_factor == 1.0 and task.prototype == prototypes_of(task.element)[0]
    )


def _elements_release(path: Path) -> Release:
    try:
        return read_release(path)
    except (OSError, DamagedRelease) as error:
        raise CommandError(f"compounds need the judge's elements, --elements-release: {error}") from error


def _compound_tasks(
    elements: Release, only: list[str] | None, *, limit: int | None, quick: bool
) -> tuple[CompoundTask, ...]:
    if unknown := sorted(set(only or ()) - set(elements.elements)):
        raise CommandError(f"the release {elements.name} has no {', '.join(unknown)}")
    tasks = tuple(task for task in tasks_of(elements) if not only or set(task.species) <= set(only))
    chosen = (quick_tasks(tasks) if quick else tasks)[:limit]
    if not chosen:
        raise CommandError("no compound of these elements is among those that are tried")
    return chosen
