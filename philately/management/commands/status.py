"""``manage.py status``: an organiser's glance at queues, failures, locks, sweeper, judges, dumps and audits."""

import json
import math
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError
from prometheus_client import Metric
from prometheus_client.samples import Sample

from philately.domain.readiness import Readiness, readiness
from philately.queries import vitals
from philately.queries.alarms import Raised, raised_by
from philately.queries.figures import family

_UNITS = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


class Command(BaseCommand):
    help = (
        "Show whether the platform is well: what waits at each stage and for how long, what failed or was set aside, "
        "who holds which lock, when the sweeper ran last, whether a judge is refused, how old dumps and audits are, "
        "and how much disk is free; the same figures as /metrics, read now. The last lines name what is wrong, and "
        "docs/operations.md says what each alarm means and what to do. The exit status is 0 where all is well, else 1."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="the same as one JSON object, for programmes")
        parser.add_argument("--quiet", action="store_true", help="only what is wrong")

    def handle(self, **options: Any) -> None:
        found = readiness()
        families = [_dependencies(found), *_families(found)]
        raised = raised_by(families)
        if options["json"]:
            self.stdout.write(json.dumps(_as_json(found, families, raised), indent=2))
        else:
            self._table([] if options["quiet"] else families)
            self._wrong(found, raised)
        if raised:
            raise SystemExit(1)

    def _table(self, families: list[Metric]) -> None:
        lines = [(_name(one.name), _labels(one.labels), shown(one)) for family in families for one in family.samples]
        widths = [max((len(line[column]) for line in lines), default=0) for column in (0, 1)]
        for name, labels, figure in lines:
            self.stdout.write(f"{name:{widths[0]}}  {labels:{widths[1]}}  {figure}")

    def _wrong(self, found: Readiness, raised: list[Raised]) -> None:
        problems = {check.name: check.problem for check in found.checks if check.problem}
        for one in raised:
            says = problems.get(one.labels.get("dependency", ""), one.alarm.says)
            where = f" ({_labels(one.labels)})" if one.labels else ""
            self.stdout.write(f"WRONG {one.alarm.name}{where}: {says}")
        if not raised:
            self.stdout.write("all is well")


def _families(found: Readiness) -> list[Metric]:
    """Nothing where there is no database to ask."""
    if found.status == "unready":
        return []
    try:
        return vitals.families()
    except DatabaseError:
        return []


def _dependencies(found: Readiness) -> Metric:
    samples = (((check.name,), float(not check.problem)) for check in found.checks)
    return family("dependency_up", "1 where it answers.", ("dependency",), samples)


def _as_json(found: Readiness, families: list[Metric], raised: list[Raised]) -> dict[str, Any]:
    return {
        "well": not raised,
        "readiness": found.as_json(),
        "wrong": [
            {"alarm": one.alarm.name, "labels": one.labels, "figure": _number(one.figure), "says": one.alarm.says}
            for one in raised
        ],
        "figures": [
            {"name": one.name, "labels": one.labels, "figure": _number(one.value)}
            for family in families
            for one in family.samples
        ],
    }


def shown(sample: Sample) -> str:
    """A figure as a person reads it; units are in names."""
    if sample.name.endswith("_seconds"):
        return _time(sample.value)
    if sample.name.endswith("_bytes"):
        return f"{sample.value / 1e9:.1f} GB"
    if sample.name.endswith(("_up", "_paused")):
        return "yes" if sample.value else "no"
    if sample.name.endswith("_ratio"):
        return f"{sample.value:.0%}"
    return f"{sample.value:,.0f}"


def _time(seconds: float) -> str:
    if math.isinf(seconds):
        return "never"
    for size, unit in _UNITS:
        if abs(seconds) >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _name(metric: str) -> str:
    """As in /metrics, without what all share and without units, which the figures show."""
    name = metric.removeprefix("philately_")
    for unit in ("_seconds", "_bytes", "_total"):
        name = name.removesuffix(unit)
    return name.replace("_", " ")


def _labels(labels: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in labels.items())


def _number(figure: float) -> float | None:
    """JSON has no infinity."""
    return figure if math.isfinite(figure) else None
