"""The auditors of a run: naming them, and asking them about finds. ``queries.opinions`` has what they said."""

from collections.abc import Iterable
from functools import partial

from django.db import transaction

from philately.domain.bells import ring_relax
from philately.models import Opinion, Release, Run, RunAuditor
from philately.queries.opinions import auditor_rows
from philately.states import OpinionState
from validation.auditing import silent_about
from validation.placing import Fold
from validation.verdicts import Arrival


class AuditorRefused(Exception):
    """Somebody who cannot be an auditor of the season; the message says why."""


class WaitsForAuditors(Exception):
    """A run that is not official cannot go on before its auditors were heard about so many structures."""

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} structures wait for the auditors, who have been asked")


def name(run: Run, releases: Iterable[Release]) -> None:
    """Make these releases' judges the auditors of a run in which nothing is placed yet. Raises AuditorRefused."""
    judges = {run.scale.name}
    for release in releases:
        if release.scale_id == run.scale_id or release.scale.name in judges:
            raise AuditorRefused(f"{release.scale} judges this season already; {release} cannot be its auditor's, too")
        judges.add(release.scale.name)
        RunAuditor.objects.create(run=run, release=release)


def are_at_it(run: Run, relaxation: int) -> bool:
    """Whether a structure was asked about and not everybody was heard."""
    under_way = [OpinionState.WAITING, OpinionState.RELAXING]
    asked = Opinion.objects.filter(relaxation=relaxation, state__in=under_way, silence="")
    return asked.filter(scale__in=run.auditors.values("release__scale")).exists()


def ask(run: Run, fold: Fold, arrivals: Iterable[Arrival]) -> int:
    """Ask about every arrival that would be stable if it came next; says how many structures are still unheard of.

    The hull only falls while structures are placed, so nothing that comes between makes another one stable.
    """
    asked: dict[str, list[int]] = {auditor.name: [] for auditor in fold.auditors}
    unheard = 0
    for arrival in arrivals:
        if not fold.would_be_stable(fold.hull.position(arrival.formula, arrival.energy_per_atom)):
            continue
        silent = silent_about(arrival.formula, fold.auditors, arrival.heard)
        unheard += bool(silent)
        for auditor in silent:
            assert arrival.structure is not None  # it is relaxed
            asked[auditor.name].append(arrival.structure)
    _write(run, asked)
    return unheard


def _write(run: Run, asked: dict[str, list[int]]) -> None:
    """What was asked before stays as it is."""
    for auditor in auditor_rows(run):
        scale = auditor.release.scale
        rows = [Opinion(relaxation_id=key, scale=scale) for key in asked[scale.name]]
        Opinion.objects.bulk_create(rows, batch_size=1000, ignore_conflicts=True)
        if rows:
            transaction.on_commit(partial(ring_relax, scale))
