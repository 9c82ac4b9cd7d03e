"""The auditors of a run: who they are, what they said of structures, and asking them about finds."""

from collections.abc import Collection, Iterable
from functools import partial

from django.db import transaction

from philately.domain.bells import ring_relax
from philately.domain.files import chunks
from philately.domain.runs import grounds_of
from philately.models import Opinion, Release, Run, RunAuditor
from philately.states import OpinionState
from validation.auditing import Auditor, Heard, silent_about
from validation.placing import Fold
from validation.verdicts import Arrival

_ASKED = 2000  # structures a statement


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


def auditors_of(run: Run) -> tuple[Auditor, ...]:
    """As the fold takes them, in the order in which they were named."""
    rows = run.auditors.select_related("release__scale").order_by("pk")
    return tuple(Auditor(str(row.release.scale), grounds_of(row.release)) for row in rows)


def are_at_it(run: Run, relaxation: int) -> bool:
    """Whether a structure was asked about and not everybody was heard."""
    under_way = [OpinionState.WAITING, OpinionState.RELAXING]
    asked = Opinion.objects.filter(relaxation=relaxation, state__in=under_way)
    return asked.filter(scale__in=run.auditors.values("release__scale")).exists()


def heard_of(run: Run, relaxations: Collection[int]) -> dict[int, dict[str, Heard]]:
    """By relaxation and auditor's name; only what is final."""
    scales = dict(run.auditors.values_list("release__scale", "release__scale__name"))
    heard: dict[int, dict[str, Heard]] = {}
    if not scales:
        return heard
    final = Opinion.objects.filter(scale__in=scales, state__in=[OpinionState.GIVEN, OpinionState.SET_ASIDE])
    for some in chunks(list(relaxations), _ASKED):
        for opinion in final.filter(relaxation__in=some).select_related("result"):
            heard.setdefault(opinion.relaxation_id, {})[scales[opinion.scale_id]] = heard_in(opinion)
    return heard


def heard_in(opinion: Opinion) -> Heard:
    """What a final opinion says."""
    return Heard(None, opinion.problem) if opinion.result is None else Heard.of(opinion.result)


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
    for auditor in run.auditors.select_related("release__scale"):
        scale = auditor.release.scale
        rows = [Opinion(relaxation_id=key, scale=scale) for key in asked[str(scale)]]
        Opinion.objects.bulk_create(rows, batch_size=1000, ignore_conflicts=True)
        if rows:
            transaction.on_commit(partial(ring_relax, scale))


def releases_of(run: Run | None) -> list[Release]:
    """Those of its auditors, in the order in which they were named."""
    if run is None:
        return []
    return [row.release for row in run.auditors.select_related("release__scale").order_by("pk")]
