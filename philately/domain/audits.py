"""Audits: a run's hull built again from its rows, and compared with everything that is stored of it."""

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings

from hull.entries import HullError
from philately.domain.consistent_reads import consistent_read
from philately.domain.discrepancies import Findings, Kind
from philately.domain.hull_checks import check_log, check_points
from philately.domain.locks import Hold, lock
from philately.domain.rebuilding import rebuild
from philately.domain.record_checks import check_record
from philately.domain.versions import provenance
from philately.logs import carries
from philately.models import HullAudit, Run, Season
from philately.queries import clock

log = logging.getLogger(__name__)

_LOGGED = 10


class AuditRefused(Exception):
    """There is nothing to audit, or another audit of the run is at it; the message says which."""


@dataclass(frozen=True, slots=True)
class Audit:
    """placed_to and log_position: of the run when its rows were read."""

    placed_to: int
    log_position: int
    n_phases: int
    n_compositions: int
    n_events: int
    findings: Findings

    @property
    def sentences(self) -> list[str]:
        return [difference.sentence for difference in self.findings.differences]

    @property
    def summary(self) -> str:
        looked_at = f"{self.n_phases} phases, {self.n_compositions} compositions, {self.n_events} events"
        if not self.findings.n_differences:
            return f"nothing differs: {looked_at}"
        counts = ", ".join(f"{kind} {number}" for kind, number in sorted(self.findings.counts.items()))
        noun = "difference" if self.findings.n_differences == 1 else "differences"
        return f"{self.findings.n_differences} {noun} in {looked_at} ({counts})"

    def as_json(self) -> dict[str, Any]:
        return {
            "placed_to": self.placed_to,
            "log_position": self.log_position,
            "n_phases": self.n_phases,
            "n_compositions": self.n_compositions,
            "n_events": self.n_events,
            "n_differences": self.findings.n_differences,
            "counts": {kind.value: number for kind, number in sorted(self.findings.counts.items())},
            "differences": [difference.as_json() for difference in self.findings.differences],
        }


@carries("run")
def audit(run: Run) -> Audit:
    """Audit a run and record the result. The sequencer may go on meanwhile. Raises AuditRefused."""
    with lock(f"audit:{run.pk}") as hold:
        if hold is None:
            raise AuditRefused(f"another audit of {run} is under way")
        started = clock.now()
        result = _audit(run.pk, hold)
        fields = result.as_json()
        HullAudit.objects.create(
            run=run, started_at=started, finished_at=clock.now(), code_version=_code_version(), **fields
        )
    return result


def _audit(run_id: int, hold: Hold) -> Audit:
    findings = Findings()
    sizes = (0, 0, 0)
    with consistent_read():
        run = Run.objects.select_related("release", "scale", "season").get(pk=run_id)
        try:
            sizes = _check_hull(run, findings, hold)
        except HullError as error:
            findings.add(Kind.RUN, str(run), stored="rows of which no hull can be made", rebuilt=str(error))
        check_record(run, findings)
    return Audit(run.placed_to, run.log_position, *sizes, findings)


def _check_hull(run: Run, findings: Findings, hold: Hold) -> tuple[int, int, int]:
    """How many phases, compositions and events were looked at. Raises HullError."""
    rebuilt = rebuild(run, findings, hold.at_work)
    n_compositions = check_points(run, rebuilt.hull, findings, hold.at_work)
    n_events = check_log(run, rebuilt, findings, hold.at_work)
    hold.at_work()
    return len(rebuilt.hull), n_compositions, n_events


def _code_version() -> str:
    made_by = provenance()
    return f"{made_by['code']} {made_by['commit']}".strip()


def due(season: Season) -> bool:
    """Whether the official run has not been audited for a while and has moved since, or was found to differ."""
    run = season.official_run
    if run is None:
        return False
    last = HullAudit.objects.filter(run=run).order_by("-finished_at").first()
    rested = clock.now() - timedelta(seconds=settings.HULL_AUDIT_EVERY_S)
    if last is None:
        return run.placed_to > 0 and run.created_at < rested
    moved = (run.placed_to, run.log_position) != (last.placed_to, last.log_position)
    return last.finished_at < rested and (moved or last.n_differences > 0)


@carries("season")
def audit_when_due(season_id: int) -> bool:
    """Audit the season's official run where that is due; says whether it was. What differs is logged as an error."""
    season = Season.objects.select_related("official_run__season").get(pk=season_id)
    run = season.official_run
    if run is None or not due(season):
        return False
    try:
        result = audit(run)
    except AuditRefused:
        return False
    if result.findings.n_differences:
        found = "; ".join([result.summary, *_first(result)])
        log.error("the hull of %s is not what its rows say: %s", run, found, extra={"run": run.pk})
    return True


def _first(result: Audit) -> list[str]:
    return result.sentences[:_LOGGED]
