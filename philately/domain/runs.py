"""Runs: evaluations of a season's facts, opened on a release and taken up where they were left."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from django.db import transaction
from django.db.models import Max

from hull.entries import Formula
from hull.store import HullStore
from hull.texts import entries_of_rows
from philately.domain import bulk
from philately.domain.outcomes import POINT, point_rows
from philately.domain.versions import provenance
from philately.models import HullPoint, Phase, Release, ReleasePhase, Run, Season
from philately.queries.grounds import grounds_of
from philately.states import PhaseStatus
from validation.rules import Rules

_CHUNK = 5000
_Item = TypeVar("_Item")
_PHASE = (
    *("run", "number", "status", "formula", "chemical_system", "energy_per_atom", "formation_energy_per_atom"),
    "release_phase",
)


def open_run(season: Season, release: Release, rules: Rules, *, reason: str = "") -> Run:
    """A new run of the season with the release's phases on record. Its release must be on the season's scale."""
    if release.scale_id != season.scale_id:
        raise ValueError(f"the release {release} is on another scale than the season {season}")
    with transaction.atomic():
        latest = season.runs.aggregate(latest=Max("number"))["latest"] or 0
        run = Run.objects.create(
            season=season,
            number=latest + 1,
            scale_id=season.scale_id,
            release=release,
            rules=rules.to_json(),
            rules_digest=rules.digest(),
            reason=reason,
            provenance=provenance(),
            next_phase_number=release.n_phases + 1,
        )
        for rows in _chunks(_release_phases(run)):
            bulk.insert(Phase, _PHASE, rows)
        for rows in _chunks(point_rows(run, hull_of(run).point_arrays())):
            bulk.insert(HullPoint, POINT, rows)
    return run


def hull_of(run: Run, *, keep: Callable[[], None] = lambda: None) -> HullStore:
    """The hull of all phases on record, with the energies they have now.

    keep: called after every few thousand, so that a lock can be kept.
    """
    store = HullStore(run.scale.digest)
    phases = Phase.objects.filter(run=run, status=PhaseStatus.ON_RECORD).order_by("number")
    rows = phases.values_list("number", "formula", "energy_per_atom")
    last = 0
    while some := list(rows.filter(number__gt=last)[:_CHUNK]):  # no cursor stays open: ``keep`` may write on SQLite
        store.insert_arrays(entries_of_rows(some))
        keep()
        last = some[-1][0]
    return store


def _release_phases(run: Run) -> Iterator[bulk.Row]:
    grounds = grounds_of(run.release)
    rows = ReleasePhase.objects.filter(release=run.release).order_by("number")
    status = PhaseStatus.ON_RECORD.value
    for key, number, text, energy in rows.values_list("pk", "number", "formula", "energy_per_atom"):
        formula = Formula.parse(text)
        formation = grounds.formation_energy_per_atom(formula, energy)
        yield run.pk, number, status, text, formula.chemical_system, energy, formation, key


def _chunks(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    iterator = iter(items)
    while some := list(islice(iterator, _CHUNK)):
        yield some
